//! The replica group: what a master waits for, and an operator's word in it.

use std::time::Duration;

use protocol::{RemotingCommand, response_code as code};
use serde_json::Value;
use sim::time::sleep;
use sim::world::Crash;

use super::TOPIC;
use super::cluster::{Cluster, MASTER, SLAVE, SLAVE_2, play, until};

const GET_REPLICA_GROUP: i32 = 23_011;
const REMOVE_REPLICA: i32 = 23_012;
const BEGIN_HISTORY: i32 = 23_013;

async fn send(cluster: &Cluster, bodies: &[&str]) {
    for body in bodies {
        cluster.at(MASTER).send_ok(TOPIC, 0, body, "").await;
    }
}

async fn ask(cluster: &Cluster, host: &str, request: i32, fields: &[(&str, &str)]) -> RemotingCommand {
    let begin = RemotingCommand::request(request, &());
    let command = fields.iter().fold(begin, |command, (name, value)| command.with_field(name, value));
    cluster.client.invoke(&cluster.addr(host), command, Duration::from_secs(2)).await.expect("it answers")
}

/// What `mqadmin replicaGroup` shows.
async fn group(cluster: &Cluster, host: &str) -> Value {
    serde_json::from_slice(&ask(cluster, host, GET_REPLICA_GROUP, &[]).await.body).expect("it is JSON")
}

#[test]
fn an_empty_master_whose_slave_is_stopped_waits_until_it_is_back() {
    for seed in 30..33 {
        play(
            seed,
            1,
            |_, _| {},
            |cluster| async move {
                cluster.in_sync(1).await;
                send(&cluster, &["m0", "m1", "m2"]).await;
                cluster.stop(SLAVE).await;
                cluster.crash(MASTER, Crash::Disk).await;
                cluster.boot(MASTER).await;
                sleep(Duration::from_secs(60)).await;
                assert_eq!(cluster.try_send(MASTER, TOPIC, "early").await, Some(code::SERVICE_NOT_AVAILABLE));
                let shown = group(&cluster, MASTER).await;
                let waits_for = shown["waitsFor"].as_str().unwrap_or_default();
                assert!(waits_for.contains("broker 1") && waits_for.contains("mqadmin beginHistory"), "{shown}");
                let refused = ask(&cluster, MASTER, BEGIN_HISTORY, &[]).await;
                assert!(refused.code != code::SUCCESS && refused.remark.unwrap_or_default().contains("--accept-loss"));
                cluster.boot(SLAVE).await;
                cluster.in_sync(1).await;
                send(&cluster, &["m3"]).await;
                for host in [MASTER, SLAVE] {
                    cluster.holds(host, TOPIC, &["m0", "m1", "m2", "m3"]).await;
                }
                let [shown, of_slave] = [group(&cluster, MASTER).await, group(&cluster, SLAVE).await];
                assert_eq!((&shown["leads"], &shown["membership"]["generation"]), (&true.into(), &2.into()), "{shown}");
                assert_eq!(shown["membership"]["group"], of_slave["membership"]["group"]);
            },
        );
    }
}

#[test]
fn a_slave_that_was_stopped_is_not_waited_for_by_a_master_that_has_all_of_it() {
    play(
        34,
        2,
        |_, _| {},
        |cluster| async move {
            cluster.in_sync(2).await;
            send(&cluster, &["m0", "m1"]).await;
            cluster.stop(SLAVE_2).await;
            send(&cluster, &["m2"]).await;
            cluster.crash(MASTER, Crash::Power).await;
            cluster.boot(MASTER).await;
            cluster.in_sync(1).await;
            send(&cluster, &["m3"]).await;
            cluster.holds(MASTER, TOPIC, &["m0", "m1", "m2", "m3"]).await;
            cluster.boot(SLAVE_2).await;
            cluster.in_sync(2).await;
            cluster.holds(SLAVE_2, TOPIC, &["m0", "m1", "m2", "m3"]).await;
        },
    );
}

#[test]
fn an_operator_takes_out_a_slave_that_is_gone_for_good() {
    play(
        35,
        2,
        |_, config| config.store.flush_interval_commit_log_ms = 600_000,
        |cluster| async move {
            cluster.in_sync(2).await;
            send(&cluster, &["m0"]).await;
            let follows = ask(&cluster, MASTER, REMOVE_REPLICA, &[("brokerId", "2")]).await;
            assert!(follows.remark.unwrap_or_default().contains("stop it first"));
            // Nobody hears a good-bye.
            cluster.crash(SLAVE_2, Crash::Power).await;
            cluster.crash(MASTER, Crash::Power).await;
            cluster.boot(MASTER).await;
            sleep(Duration::from_secs(30)).await;
            assert_eq!(cluster.try_send(MASTER, TOPIC, "early").await, Some(code::SERVICE_NOT_AVAILABLE));
            assert_eq!(ask(&cluster, MASTER, REMOVE_REPLICA, &[("brokerId", "2")]).await.code, code::SUCCESS);
            cluster.in_sync(1).await;
            send(&cluster, &["m1"]).await;
            cluster.crash(MASTER, Crash::Power).await;
            cluster.boot(MASTER).await;
            cluster.in_sync(1).await;
            cluster.holds(MASTER, TOPIC, &["m0", "m1"]).await;
        },
    );
}

#[test]
fn what_is_given_up_is_said_and_the_refused_store_shows_nothing() {
    play(
        36,
        1,
        |_, _| {},
        |cluster| async move {
            cluster.in_sync(1).await;
            send(&cluster, &["m0", "m1"]).await;
            cluster.crash(SLAVE, Crash::Process).await;
            cluster.crash(MASTER, Crash::Disk).await;
            cluster.boot(MASTER).await;
            sleep(Duration::from_secs(10)).await;
            let begun = ask(&cluster, MASTER, BEGIN_HISTORY, &[("acceptLoss", "true")]).await;
            assert!(begun.code == code::SUCCESS && begun.remark.unwrap_or_default().contains("broker 1"));
            until!("leads", group(&cluster, MASTER).await["leads"] == true);
            until!("stored", cluster.try_send(MASTER, TOPIC, "new").await == Some(code::SLAVE_NOT_AVAILABLE));
            cluster.boot(SLAVE).await;
            cluster.answers(SLAVE).await;
            until!("refused", group(&cluster, SLAVE).await["refused"].is_string());
            let shown = group(&cluster, SLAVE).await;
            assert!(shown["refused"].as_str().is_some_and(|why| why.contains("both are kept")), "{shown}");
            let slave = cluster.at(SLAVE);
            let pulled = slave.pull("readers", TOPIC, 0).await;
            assert!(pulled.code == code::PULL_RETRY_IMMEDIATELY && pulled.messages.is_empty());
            // It knows that after its next start, too.
            cluster.stop(SLAVE).await;
            cluster.boot(SLAVE).await;
            cluster.answers(SLAVE).await;
            assert_eq!(slave.pull("readers", TOPIC, 0).await.code, code::PULL_RETRY_IMMEDIATELY);
        },
    );
}

//! The replica group: what a master waits for, and an operator's word in it.

use std::time::Duration;

use protocol::request_code::{BEGIN_HISTORY, REMOVE_REPLICA};
use protocol::response_code as code;
use sim::time::sleep;
use sim::world::Crash;

use super::TOPIC;
use super::cluster::{Cluster, MASTER, SLAVE, SLAVE_2, play, until};

async fn send(cluster: &Cluster, bodies: &[&str]) {
    for body in bodies {
        cluster.at(MASTER).send_ok(TOPIC, 0, body, "").await;
    }
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
                let shown = cluster.group(MASTER).await;
                let waits_for = shown.waits_for.unwrap_or_default();
                assert!(waits_for.contains("broker 1") && waits_for.contains("mqadmin beginHistory"), "{waits_for}");
                let refused = cluster.ask(MASTER, BEGIN_HISTORY, &[]).await;
                assert!(refused.code != code::SUCCESS && refused.remark.unwrap_or_default().contains("--accept-loss"));
                cluster.boot(SLAVE).await;
                cluster.in_sync(1).await;
                send(&cluster, &["m3"]).await;
                for host in [MASTER, SLAVE] {
                    cluster.holds(host, TOPIC, &["m0", "m1", "m2", "m3"]).await;
                }
                let [shown, of_slave] = [cluster.group(MASTER).await, cluster.group(SLAVE).await];
                assert_eq!((shown.leads, shown.membership.generation), (true, 2), "{shown:?}");
                assert_eq!(shown.membership.group, of_slave.membership.group);
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
            let follows = cluster.ask(MASTER, REMOVE_REPLICA, &[("brokerId", "2")]).await;
            assert!(follows.remark.unwrap_or_default().contains("stop it first"));
            // Nobody hears a good-bye.
            cluster.crash(SLAVE_2, Crash::Power).await;
            cluster.crash(MASTER, Crash::Power).await;
            cluster.boot(MASTER).await;
            sleep(Duration::from_secs(30)).await;
            assert_eq!(cluster.try_send(MASTER, TOPIC, "early").await, Some(code::SERVICE_NOT_AVAILABLE));
            // What broker 2 has more, if anything, would be given up.
            let refused = cluster.ask(MASTER, REMOVE_REPLICA, &[("brokerId", "2")]).await;
            let why = refused.remark.unwrap_or_default();
            assert!(refused.code != code::SUCCESS, "{why}");
            for words in ["log ends at", "broker 2 at", "store", "--accept-loss"] {
                assert!(why.contains(words), "{why}");
            }
            let fields = [("brokerId", "2"), ("acceptLoss", "true")];
            let removed = cluster.ask(MASTER, REMOVE_REPLICA, &fields).await;
            let said = removed.remark.unwrap_or_default();
            assert!(
                removed.code == code::SUCCESS && said.contains("given up: ") && said.contains("are told when"),
                "{said}"
            );
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
            let begun = cluster.ask(MASTER, BEGIN_HISTORY, &[("acceptLoss", "true")]).await;
            assert!(begun.code == code::SUCCESS && begun.remark.unwrap_or_default().contains("broker 1"));
            until!("leads", cluster.group(MASTER).await.leads);
            until!("stored", cluster.try_send(MASTER, TOPIC, "new").await == Some(code::SLAVE_NOT_AVAILABLE));
            cluster.boot(SLAVE).await;
            cluster.answers(SLAVE).await;
            until!("refused", cluster.group(SLAVE).await.refused.is_some());
            let why = cluster.group(SLAVE).await.refused.unwrap_or_default();
            assert!(why.contains("both are kept"), "{why}");
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

/// What a slave has that its master lacks, known or not, is not given up by the way.
#[test]
fn a_removal_that_gives_something_up_says_what_and_wants_to_be_told_so() {
    play(
        37,
        2,
        |_, config| config.store.flush_interval_commit_log_ms = 600_000,
        |cluster| async move {
            cluster.in_sync(2).await;
            send(&cluster, &["m0", "m1"]).await;
            cluster.holds(SLAVE_2, TOPIC, &["m0", "m1"]).await;
            cluster.crash(MASTER, Crash::Disk).await;
            cluster.crash(SLAVE, Crash::Process).await;
            cluster.boot(MASTER).await;
            until!("waits for broker 1", {
                let view = cluster.find_group(MASTER).await.unwrap_or_default();
                view.waits_for.is_some_and(|why| why.contains("broker 1"))
            });
            // One that is connected is no reason to remove it, nor is one of which nobody knows.
            let refused = async |id: &'static str| {
                let refused = cluster.ask(MASTER, REMOVE_REPLICA, &[("brokerId", id)]).await;
                assert_ne!(refused.code, code::SUCCESS, "{id}");
                refused.remark.unwrap_or_default()
            };
            until!("connected", refused("2").await.contains("stop it first"));
            assert!(refused("1").await.contains("this store has no history of its own"));
            assert!(refused("9").await.contains("an address that is not known"));
            assert!(cluster.group(MASTER).await.waits_for.is_some(), "a refusal changes nothing");
            cluster.boot(SLAVE).await;
            cluster.in_sync(2).await;
            cluster.holds(MASTER, TOPIC, &["m0", "m1"]).await;

            // A master that leads has everything: nothing is given up. Who is told is said.
            cluster.crash(SLAVE_2, Crash::Power).await;
            until!("noticed", cluster.group(MASTER).await.slaves.len() == 1);
            let remove = [("brokerId", "2")];
            cluster.stop("ns").await;
            let untold = cluster.ask(MASTER, REMOVE_REPLICA, &remove).await;
            assert!(untold.code == code::SUCCESS && untold.remark.unwrap_or_default().contains("say it again"));
            cluster.boot("ns").await;
            until!("told", {
                let told = cluster.ask(MASTER, REMOVE_REPLICA, &remove).await.remark.unwrap_or_default();
                told.contains("it was no member") && told.contains("the name servers know it")
            });
        },
    );
}

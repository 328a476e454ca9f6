//! Reads from a slave: when the master is away, when it suggests so, and what becomes of the offsets.
use std::time::Duration;

use protocol::header::PullMessageResponseHeader;
use protocol::{BrokerId, request_code, response_code as code};
use quirks::{Quirk, QuirkSet};
use sim::time::sleep;
use sim::world::Crash;

use super::TOPIC;
use super::cluster::{Cluster, MASTER, SLAVE, play, until};
use crate::support::pull_header;

const GROUP: &str = "cg";

async fn send(cluster: &Cluster, bodies: &[&str]) {
    for body in bodies {
        cluster.at(MASTER).send_ok(TOPIC, 0, body, "").await;
    }
}

#[test]
fn a_consumer_goes_on_at_the_slave_and_its_offsets_are_taken_back() {
    play(
        1,
        1,
        |_, _| {},
        |cluster| async move {
            cluster.in_sync(1).await;
            let (master, slave) = (cluster.at(MASTER), cluster.at(SLAVE));
            send(&cluster, &["m0", "m1", "m2", "m3"]).await;
            master.heartbeat("c@1", GROUP, TOPIC, "*").await;
            slave.heartbeat("c@1", GROUP, TOPIC, "*").await;
            assert_eq!(master.pull(GROUP, TOPIC, 0).await.messages.len(), 4);
            assert_eq!(master.commit(GROUP, TOPIC, 2).await, code::SUCCESS);
            until!("copied", slave.committed(GROUP, TOPIC).await == Some(2));
            cluster.crash(MASTER, Crash::Power).await;
            // It stands at 3, as the master has led it: nothing was lost, and the slave does not send it back.
            let pulled = slave.pull(GROUP, TOPIC, 3).await;
            assert_eq!((pulled.code, pulled.bodies()), (code::SUCCESS, vec!["m3".to_owned()]));
            assert_eq!(slave.commit(GROUP, TOPIC, 4).await, code::SUCCESS);
            let sent = cluster.try_send(SLAVE, TOPIC, "no").await;
            assert_eq!(sent, Some(code::SERVICE_NOT_AVAILABLE), "a slave takes no message");
            cluster.boot(MASTER).await;
            cluster.in_sync(1).await;
            until!("taken back", master.committed(GROUP, TOPIC).await == Some(4));
        },
    );
}

#[test]
fn under_the_quirk_the_masters_older_offsets_win() {
    play(
        2,
        1,
        |_, config| config.quirks = QuirkSet::NONE.with(Quirk::OffsetsReplaced),
        |cluster| async move {
            cluster.in_sync(1).await;
            let (master, slave) = (cluster.at(MASTER), cluster.at(SLAVE));
            send(&cluster, &["m0", "m1", "m2"]).await;
            master.pull(GROUP, TOPIC, 0).await;
            assert_eq!(master.commit(GROUP, TOPIC, 1).await, code::SUCCESS);
            until!("copied", slave.committed(GROUP, TOPIC).await == Some(1));
            cluster.stop(MASTER).await;
            slave.pull(GROUP, TOPIC, 1).await;
            assert_eq!(slave.commit(GROUP, TOPIC, 3).await, code::SUCCESS);
            assert_eq!(slave.committed(GROUP, TOPIC).await, Some(3));
            cluster.boot(MASTER).await;
            cluster.in_sync(1).await;
            until!("replaced", slave.committed(GROUP, TOPIC).await == Some(1));
            assert_eq!(master.committed(GROUP, TOPIC).await, Some(1));
        },
    );
}

#[test]
fn a_reader_that_is_ahead_of_a_slave_waits_there_and_keeps_its_place() {
    play(
        3,
        1,
        |_, _| {},
        |cluster| async move {
            cluster.in_sync(1).await;
            send(&cluster, &["m0", "m1"]).await;
            cluster.holds(SLAVE, TOPIC, &["m0", "m1"]).await;
            let header = pull_header(GROUP, TOPIC, 5, "*", 1_000);
            let response = cluster.at(SLAVE).ask(request_code::PULL_MESSAGE, &header).await;
            let answer: PullMessageResponseHeader = response.header().unwrap();
            assert_eq!((response.code, answer.next_begin_offset.0), (code::PULL_NOT_FOUND, 5));
            assert_eq!(answer.suggest_which_broker_id, BrokerId::MASTER);
        },
    );
}

#[test]
fn a_reader_far_behind_is_sent_to_the_slave_and_back_when_it_is_near() {
    play(
        4,
        1,
        |_, config| {
            config.slave_read_enable = true;
            config.store.access_message_in_memory_max_bytes = 4_096;
        },
        |cluster| async move {
            cluster.in_sync(1).await;
            let big = "x".repeat(1_024);
            for _ in 0..12 {
                cluster.at(MASTER).send_ok(TOPIC, 0, &big, "").await;
            }
            cluster.at(MASTER).heartbeat("c@1", GROUP, TOPIC, "*").await;
            cluster.at(SLAVE).heartbeat("c@1", GROUP, TOPIC, "*").await;
            let first = cluster.at(MASTER).pull(GROUP, TOPIC, 0).await;
            assert_eq!(first.header.suggest_which_broker_id, BrokerId(1));
            let mut next = first.header.next_begin_offset.0;
            sleep(Duration::from_secs(3)).await;
            loop {
                let pulled = cluster.at(SLAVE).pull(GROUP, TOPIC, next).await;
                assert_eq!(pulled.code, code::SUCCESS);
                next = pulled.header.next_begin_offset.0;
                if pulled.header.suggest_which_broker_id == BrokerId::MASTER {
                    break;
                }
            }
            // The master has not given it these offsets, but nothing was lost.
            let back = cluster.at(MASTER).pull(GROUP, TOPIC, next).await;
            assert_ne!(back.code, code::PULL_OFFSET_MOVED);
            assert_eq!(cluster.at(MASTER).commit(GROUP, TOPIC, next).await, code::SUCCESS);
        },
    );
}

#[test]
fn a_reset_is_not_undone_by_the_copy_of_a_slave() {
    play(
        5,
        1,
        |_, _| {},
        |cluster| async move {
            cluster.in_sync(1).await;
            let (master, slave) = (cluster.at(MASTER), cluster.at(SLAVE));
            send(&cluster, &["m0", "m1", "m2", "m3"]).await;
            assert_eq!(master.commit(GROUP, TOPIC, 4).await, code::SUCCESS);
            assert_eq!(master.commit("other", TOPIC, 2).await, code::SUCCESS);
            until!("copied", slave.committed(GROUP, TOPIC).await == Some(4));
            // The group is reset, and the master is killed before the slave hears of it.
            assert_eq!(master.commit(GROUP, TOPIC, 0).await, code::SUCCESS);
            cluster.crash(MASTER, Crash::Process).await;
            assert_eq!(slave.commit("other", TOPIC, 3).await, code::SUCCESS);
            cluster.crash(SLAVE, Crash::Process).await;
            cluster.boot(SLAVE).await;
            cluster.boot(MASTER).await;
            cluster.in_sync(1).await;
            until!("taken back", master.committed("other", TOPIC).await == Some(3));
            assert_eq!(master.committed(GROUP, TOPIC).await, Some(0));
            until!("lowered", slave.committed(GROUP, TOPIC).await == Some(0));
        },
    );
}

#[test]
fn a_slave_doubts_what_its_master_has_lost_and_nothing_else() {
    let mut tails_lost = 0;
    for seed in 20..26 {
        let is_lost = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let found = is_lost.clone();
        play(
            seed,
            1,
            |name, config| {
                if name == MASTER {
                    config.ha.role = broker::Role::AsyncMaster;
                    config.store.flush_interval_commit_log_ms = 600_000;
                    config.store.flush_commit_log_thorough_interval_ms = 600_000;
                    config.ha_tail_recovery_timeout_ms = Some(1_000);
                }
            },
            move |cluster| {
                let found = found.clone();
                async move {
                    cluster.in_sync(1).await;
                    send(&cluster, &["m0", "m1", "m2", "m3"]).await;
                    cluster.holds(SLAVE, TOPIC, &["m0", "m1", "m2", "m3"]).await;
                    // The slave is away when the master comes back, and cuts its log afterwards.
                    cluster.crash(SLAVE, Crash::Process).await;
                    cluster.crash(MASTER, Crash::Power).await;
                    cluster.boot(MASTER).await;
                    sleep(Duration::from_secs(5)).await;
                    let master = cluster.at(MASTER);
                    // An operator gives up what only the slave has, if the master lost everything and waits for it.
                    let begin = protocol::RemotingCommand::request(request_code::BEGIN_HISTORY, &())
                        .with_field("acceptLoss", "true");
                    let _ = cluster.client.invoke(&cluster.addr(MASTER), begin, Duration::from_secs(2)).await;
                    until!("serves", cluster.try_send(MASTER, TOPIC, "new").await == Some(code::SUCCESS));
                    let end = master.pull("counts", TOPIC, 0).await.messages.len();
                    if end == 5 {
                        return;
                    }
                    found.store(true, std::sync::atomic::Ordering::Relaxed);
                    for _ in 0..100 {
                        send(&cluster, &["new"]).await;
                    }
                    cluster.boot(SLAVE).await;
                    let follows = |messages: Vec<String>| messages.len() == 32;
                    until!("follows", cluster.messages(SLAVE, TOPIC).await.is_some_and(follows));
                    cluster.in_sync(1).await;
                    for host in [MASTER, SLAVE] {
                        let pulled = async |offset| cluster.at(host).pull("keeps", TOPIC, offset).await.code;
                        cluster.client.close_channel(&cluster.addr(host));
                        sleep(Duration::from_millis(100)).await;
                        assert_eq!(pulled(4).await, code::PULL_OFFSET_MOVED, "{host}");
                        assert_eq!(pulled(90).await, code::SUCCESS, "{host}");
                    }
                }
            },
        );
        tails_lost += usize::from(is_lost.load(std::sync::atomic::Ordering::Relaxed));
    }
    assert!(tails_lost >= 1, "none of the seeds loses anything");
}

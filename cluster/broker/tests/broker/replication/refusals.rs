//! What does not go together is refused in words, and does no harm.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::Role;
use protocol::{BrokerId, request_code, response_code as code};
use sim::time::sleep;

use super::TOPIC;
use super::cluster::{MASTER, SLAVE, play, until};

#[test]
fn a_second_broker_of_the_same_name_and_id_does_not_start() {
    play(
        1,
        1,
        |name, config| {
            // Both would be the master.
            if name == SLAVE {
                config.ha.role = Role::AsyncMaster;
                config.broker_id = BrokerId::MASTER;
            } else {
                config.ha.role = Role::AsyncMaster;
            }
        },
        |cluster| async move {
            // They started at the same moment: now one of them is there, and the other comes.
            sleep(Duration::from_secs(1)).await;
            cluster.stop(SLAVE).await;
            cluster.stop(MASTER).await;
            cluster.boot(MASTER).await;
            until!("up", cluster.try_send(MASTER, TOPIC, "m").await == Some(code::SUCCESS));
            cluster.boot(SLAVE).await;
            until!("refused", {
                cluster.end_of(SLAVE).is_some_and(|end| end.contains("there is a broker broker-a with brokerId 0"))
            });
            assert!(cluster.end_of(SLAVE).unwrap().contains(&cluster.addr(MASTER)));
            cluster.holds(MASTER, TOPIC, &["m"]).await;
        },
    );
}

/// Its log is refused, and its topics, queues and offsets stay as they are, too.
#[test]
fn a_slave_with_the_store_of_another_cluster_loses_nothing_of_it() {
    let is_stranger = Arc::new(AtomicBool::new(true));
    let at_boot = Arc::clone(&is_stranger);
    play(
        3,
        1,
        move |name, config| {
            if name == SLAVE && at_boot.load(Ordering::Relaxed) {
                (config.broker_name, config.broker_cluster_name) = ("broker-z".to_owned(), "elsewhere".to_owned());
                (config.ha.role, config.broker_id) = (Role::AsyncMaster, BrokerId::MASTER);
            }
        },
        move |cluster| {
            let is_stranger = Arc::clone(&is_stranger);
            async move {
                until!("up", cluster.try_send(MASTER, TOPIC, "ours").await.is_some());
                until!("up", cluster.try_send(SLAVE, "Theirs", "theirs").await == Some(code::SUCCESS));
                let stranger = cluster.at(SLAVE);
                stranger.pull("readers", "Theirs", 0).await;
                assert_eq!(stranger.commit("readers", "Theirs", 1).await, code::SUCCESS);
                cluster.stop(SLAVE).await;
                is_stranger.store(false, Ordering::Relaxed);
                cluster.boot(SLAVE).await;
                cluster.answers(SLAVE).await;
                // Many rounds of copying.
                sleep(Duration::from_secs(20)).await;
                let pulled = stranger.pull("readers", "Theirs", 0).await;
                assert!(pulled.code == code::PULL_RETRY_IMMEDIATELY && pulled.messages.is_empty(), "it shows nothing");
                let topics = stranger.ask(request_code::GET_ALL_TOPIC_CONFIG, &()).await.body;
                let topics = String::from_utf8_lossy(&topics).into_owned();
                assert!(topics.contains("\"Theirs\"") && !topics.contains(&format!("\"{TOPIC}\"")), "{topics}");
                cluster.in_sync(0).await;
                // Back in its own place it has everything.
                cluster.stop(SLAVE).await;
                is_stranger.store(true, Ordering::Relaxed);
                cluster.boot(SLAVE).await;
                cluster.answers(SLAVE).await;
                cluster.holds(SLAVE, "Theirs", &["theirs"]).await;
                assert_eq!(stranger.committed("readers", "Theirs").await, Some(1));
            }
        },
    );
}

#[test]
fn settings_that_do_not_go_together_stop_the_start() {
    play(
        2,
        1,
        |name, config| {
            if name == SLAVE {
                config.broker_id = BrokerId::MASTER;
            }
        },
        |cluster| async move {
            until!("refused", cluster.end_of(SLAVE).is_some());
            assert!(cluster.end_of(SLAVE).unwrap().contains("brokerId"));
        },
    );
}

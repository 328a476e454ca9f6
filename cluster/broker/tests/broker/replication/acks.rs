//! What a producer is told: SEND_OK only for what a slave has, and the other statuses of 4.9.
use std::time::Duration;

use protocol::response_code as code;
use quirks::{Quirk, QuirkSet};
use sim::time::{Instant, sleep};
use sim::world::Crash;

use super::TOPIC;
use super::cluster::{MASTER, SLAVE, SLAVE_2, play, until};

#[test]
fn what_is_acknowledged_is_on_the_slave() {
    play(
        1,
        1,
        |_, _| {},
        |cluster| async move {
            cluster.in_sync(1).await;
            let master = cluster.at(MASTER);
            for number in 0..5 {
                assert_eq!(master.send_ok(TOPIC, 0, &format!("m{number}"), "").await, number);
            }
            // At this very moment the master's machine is gone.
            cluster.crash(MASTER, Crash::Disk).await;
            cluster.holds(SLAVE, TOPIC, &["m0", "m1", "m2", "m3", "m4"]).await;
        },
    );
}

/// golden/exp_sync_master_noslave_498.txt, and what follows from it.
#[test]
fn without_a_slave_there_is_none_available_and_with_a_silent_one_it_times_out() {
    play(
        2,
        1,
        |_, _| {},
        |cluster| async move {
            cluster.in_sync(1).await;
            assert_eq!(cluster.try_send(MASTER, TOPIC, "both").await, Some(code::SUCCESS));
            // It falls silent: until that is noticed, it may still be there.
            cluster.partition(MASTER, SLAVE, true).await;
            let begun = Instant::now();
            assert_eq!(cluster.try_send(MASTER, TOPIC, "silent").await, Some(code::FLUSH_SLAVE_TIMEOUT));
            assert!(begun.elapsed() >= Duration::from_secs(3), "slaveTimeout");
            cluster.in_sync(0).await;
            assert_eq!(cluster.try_send(MASTER, TOPIC, "alone").await, Some(code::SLAVE_NOT_AVAILABLE));
            cluster.partition(MASTER, SLAVE, false).await;
            cluster.in_sync(1).await;
            assert_eq!(cluster.try_send(MASTER, TOPIC, "again").await, Some(code::SUCCESS));
            cluster.holds(SLAVE, TOPIC, &["both", "silent", "alone", "again"]).await;
            cluster.stop(SLAVE).await;
            until!("the slave has left", cluster.ha_status(MASTER).await.unwrap().in_sync_slave_nums == 0);
            assert_eq!(cluster.try_send(MASTER, TOPIC, "left").await, Some(code::SLAVE_NOT_AVAILABLE));
        },
    );
}

#[test]
fn with_fewer_than_min_in_sync_replicas_nothing_is_stored() {
    play(
        3,
        2,
        |_, config| {
            config.ha.in_sync_replicas = 3;
            config.ha.min_in_sync_replicas = 2;
        },
        |cluster| async move {
            cluster.in_sync(2).await;
            assert_eq!(cluster.try_send(MASTER, TOPIC, "three").await, Some(code::SUCCESS));
            cluster.crash(SLAVE_2, Crash::Process).await;
            cluster.in_sync(1).await;
            assert_eq!(cluster.try_send(MASTER, TOPIC, "two").await, Some(code::SLAVE_NOT_AVAILABLE));
            cluster.crash(SLAVE, Crash::Process).await;
            cluster.in_sync(0).await;
            assert_eq!(cluster.try_send(MASTER, TOPIC, "refused").await, Some(code::SYSTEM_ERROR));
            cluster.boot(SLAVE).await;
            cluster.boot(SLAVE_2).await;
            cluster.in_sync(2).await;
            assert_eq!(cluster.try_send(MASTER, TOPIC, "again").await, Some(code::SUCCESS));
            cluster.holds(SLAVE_2, TOPIC, &["three", "two", "again"]).await;
        },
    );
}

/// A delayed message is delivered while the slave is silent: an internal put waits for the slave, unless as Apache's.
fn delayed_delivery(seed: u64, quirks: QuirkSet) -> Duration {
    let took = std::sync::Arc::new(std::sync::Mutex::new(Duration::ZERO));
    let result = std::sync::Arc::clone(&took);
    play(
        seed,
        1,
        move |_, config| config.quirks = quirks,
        move |cluster| {
            let took = std::sync::Arc::clone(&took);
            async move {
                cluster.in_sync(1).await;
                let master = cluster.at(MASTER);
                master.send_ok(TOPIC, 0, "first", "").await;
                master.send_ok(TOPIC, 0, "late", "DELAY\u{1}2").await;
                cluster.partition(MASTER, SLAVE, true).await;
                sleep(Duration::from_millis(5_500)).await;
                // When the progress of the level counts.
                let begun = Instant::now();
                until!("delivered", {
                    let info = cluster.runtime_info(MASTER).await;
                    info.get("scheduleMessageOffset_2").is_some_and(|offset| offset.starts_with("1,"))
                });
                *took.lock().unwrap() = begun.elapsed();
            }
        },
    );
    *result.lock().unwrap()
}

#[test]
fn a_due_message_waits_for_the_slave_before_its_delivery_counts() {
    assert!(delayed_delivery(4, QuirkSet::NONE) > Duration::from_secs(2));
    assert!(delayed_delivery(4, QuirkSet::NONE.with(Quirk::InternalPutsUnwaited)) < Duration::from_secs(1));
}

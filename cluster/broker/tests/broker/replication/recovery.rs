//! Masters and slaves that come back.
use std::time::Duration;

use broker::{BrokerConfig, Role};
use protocol::response_code as code;
use sim::time::sleep;
use sim::world::Crash;

use super::TOPIC;
use super::cluster::{Cluster, MASTER, SLAVE, play, until};

/// Nothing reaches a master's drive by itself.
fn lazy(name: &str, config: &mut BrokerConfig) {
    if name == MASTER {
        config.store.flush_interval_commit_log_ms = 600_000;
        config.store.flush_commit_log_thorough_interval_ms = 600_000;
    }
}

async fn send(cluster: &Cluster, bodies: &[&str]) {
    for body in bodies {
        cluster.at(MASTER).send_ok(TOPIC, 0, body, "").await;
    }
}

#[test]
fn a_sync_master_that_lost_its_tail_has_it_back_before_it_serves() {
    for seed in 0..4 {
        play(seed, 1, lazy, |cluster| async move {
            cluster.in_sync(1).await;
            send(&cluster, &["m0", "m1", "m2"]).await;
            cluster.crash(MASTER, Crash::Power).await;
            sleep(Duration::from_secs(1)).await;
            cluster.boot(MASTER).await;
            cluster.in_sync(1).await;
            assert_eq!(cluster.at(MASTER).send_ok(TOPIC, 0, "m3", "").await, 3);
            for host in [MASTER, SLAVE] {
                cluster.holds(host, TOPIC, &["m0", "m1", "m2", "m3"]).await;
            }
        });
    }
}

#[test]
fn until_its_replica_is_heard_a_sync_master_accepts_nothing() {
    play(5, 1, lazy, |cluster| async move {
        cluster.in_sync(1).await;
        send(&cluster, &["m0", "m1"]).await;
        cluster.crash(SLAVE, Crash::Process).await;
        cluster.crash(MASTER, Crash::Power).await;
        cluster.boot(MASTER).await;
        sleep(Duration::from_secs(30)).await;
        assert_eq!(cluster.try_send(MASTER, TOPIC, "early").await, Some(code::SERVICE_NOT_AVAILABLE));
        assert_eq!(cluster.runtime_info(MASTER).await["haRecovering"], "true");
        cluster.boot(SLAVE).await;
        cluster.in_sync(1).await;
        send(&cluster, &["m2"]).await;
        cluster.holds(MASTER, TOPIC, &["m0", "m1", "m2"]).await;
    });
}

#[test]
fn an_async_master_goes_on_without_its_tail_and_the_slave_cuts_its_own() {
    play(
        6,
        1,
        |name, config| {
            lazy(name, config);
            if name == MASTER {
                config.ha.role = Role::AsyncMaster;
            }
        },
        |cluster| async move {
            cluster.in_sync(1).await;
            send(&cluster, &["m0"]).await;
            // A good stop flushes.
            cluster.stop(MASTER).await;
            cluster.boot(MASTER).await;
            cluster.in_sync(1).await;
            send(&cluster, &["old1", "old2"]).await;
            cluster.holds(SLAVE, TOPIC, &["m0", "old1", "old2"]).await;
            cluster.partition(MASTER, SLAVE, true).await;
            cluster.crash(MASTER, Crash::Power).await;
            cluster.boot(MASTER).await;
            until!("serving", cluster.try_send(MASTER, TOPIC, "new").await == Some(code::SUCCESS));
            cluster.partition(MASTER, SLAVE, false).await;
            cluster.in_sync(1).await;
            let bodies = cluster.at(MASTER).pull("TOOLS_CONSUMER", TOPIC, 0).await.bodies();
            assert_eq!(
                (bodies.first().map(String::as_str), bodies.last().map(String::as_str)),
                (Some("m0"), Some("new"))
            );
            let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
            // Whether or not the drive happened to have the tail, both have the same now.
            cluster.holds(SLAVE, TOPIC, &bodies).await;
            assert_eq!(cluster.end_of(SLAVE), None, "the slave's process never ended");
        },
    );
}

#[test]
fn a_slave_that_was_away_catches_up_and_a_rolling_restart_loses_nothing() {
    play(
        7,
        1,
        |_, _| {},
        |cluster| async move {
            cluster.in_sync(1).await;
            send(&cluster, &["m0"]).await;
            cluster.crash(SLAVE, Crash::Os).await;
            until!("noticed", { cluster.try_send(MASTER, TOPIC, "away").await == Some(code::SLAVE_NOT_AVAILABLE) });
            cluster.boot(SLAVE).await;
            cluster.in_sync(1).await;
            cluster.stop(MASTER).await;
            assert_eq!(cluster.end_of(MASTER).as_deref(), Some("in good order"));
            cluster.boot(MASTER).await;
            cluster.in_sync(1).await;
            cluster.stop(SLAVE).await;
            assert_eq!(cluster.end_of(SLAVE).as_deref(), Some("in good order"));
            cluster.boot(SLAVE).await;
            cluster.in_sync(1).await;
            assert_eq!(cluster.try_send(MASTER, TOPIC, "last").await, Some(code::SUCCESS));
            let bodies = cluster.at(MASTER).pull("TOOLS_CONSUMER", TOPIC, 0).await.bodies();
            assert_eq!(
                (bodies.first().map(String::as_str), bodies.last().map(String::as_str)),
                (Some("m0"), Some("last"))
            );
            let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
            cluster.holds(SLAVE, TOPIC, &bodies).await;
        },
    );
}

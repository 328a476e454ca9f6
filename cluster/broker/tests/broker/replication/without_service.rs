//! How long a group is without service after a power loss of its master: from when that answers again to the first SEND_OK. Simulated
//! time, with the settings that deployed brokers have.

use std::time::Duration;

use broker::Role;
use protocol::response_code as code;
use sim::time::{Instant, sleep};
use sim::world::Crash;
use store::FlushDiskType;

use super::TOPIC;
use super::cluster::{MASTER, SLAVE, play};

/// What it may take beyond the transfer of the tail.
const LIMIT: Duration = Duration::from_secs(1);

fn measure(seed: u64, slaves: usize, role: Role, flush: FlushDiskType, crash: Crash) {
    let change = move |name: &str, config: &mut broker::BrokerConfig| {
        let default = broker::BrokerConfig::new("broker-a", "/store");
        config.store = default.store;
        config.store.flush_disk_type = flush;
        config.slave_synchronize_interval_ms = default.slave_synchronize_interval_ms;
        config.slave_synchronize_delay_ms = default.slave_synchronize_delay_ms;
        if name == MASTER {
            config.ha.role = role;
        }
    };
    play(seed, slaves, change, move |cluster| async move {
        cluster.in_sync(i32::try_from(slaves).unwrap()).await;
        let mut last = String::new();
        for number in 0..50 {
            last = format!("m{number}");
            cluster.at(MASTER).send_ok(TOPIC, 0, &last, "").await;
        }
        while cluster.messages(SLAVE, TOPIC).await.is_none_or(|messages| messages.len() < 32) {
            sleep(Duration::from_millis(100)).await;
        }
        sleep(Duration::from_millis(700 * (seed % 4))).await;
        cluster.crash(MASTER, crash).await;
        sleep(Duration::from_secs(seed % 7)).await;
        cluster.boot(MASTER).await;
        while cluster.find_group(MASTER).await.is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        let booted = Instant::now();
        while cluster.try_send(MASTER, TOPIC, "first").await != Some(code::SUCCESS) {
            assert!(booted.elapsed() < Duration::from_secs(120), "{:?}", cluster.find_group(MASTER).await);
            sleep(Duration::from_millis(10)).await;
        }
        let without = booted.elapsed();
        assert!(without <= LIMIT, "{role:?}, {flush:?}, {slaves} slaves, seed {seed}: {without:?}, after {last}");
    });
}

#[test]
fn a_master_whose_slaves_live_serves_a_second_after_its_boot() {
    for slaves in [1, 2] {
        for role in [Role::SyncMaster, Role::AsyncMaster] {
            for flush in [FlushDiskType::AsyncFlush, FlushDiskType::SyncFlush] {
                for seed in 0..4 {
                    measure(seed, slaves, role, flush, Crash::Power);
                }
            }
        }
    }
}

#[test]
fn a_master_with_a_new_disk_whose_slaves_live_does_so_too() {
    for slaves in [1, 2] {
        for role in [Role::SyncMaster, Role::AsyncMaster] {
            measure(20, slaves, role, FlushDiskType::AsyncFlush, Crash::Disk);
        }
    }
}

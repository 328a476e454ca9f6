//! What a store knows of how far readers were shown what a crash has taken.

use std::time::Duration;

use protocol::PhysicalOffset;
use sim::{time::sleep, world::Crash};
use store::{FlushDiskType, MessageStore, StoreConfig};

use crate::{
    machine::on_machine,
    support::{open, put, small_config},
};

/// Nothing comes to the drive by itself.
fn lazy() -> StoreConfig {
    StoreConfig {
        flush_interval_commit_log_ms: 600_000,
        flush_commit_log_thorough_interval_ms: 600_000,
        mapped_file_size_commit_log_bytes: 4 << 20,
        ..small_config()
    }
}

fn sync() -> StoreConfig {
    StoreConfig { flush_disk_type: FlushDiskType::SyncFlush, ..small_config() }
}

/// Puts messages of about 1 KiB, and returns where the log ends then.
async fn put_some(store: &MessageStore, count: usize, pause: Duration) -> PhysicalOffset {
    for _ in 0..count {
        put(store, "TopicA", 0, vec![b'x'; 900]).await;
        sleep(pause).await;
    }
    store.max_physical_offset()
}

/// What the next life says of the loss before it, with where it begins.
async fn lost(config: &StoreConfig) -> (Option<u64>, PhysicalOffset) {
    let epoch = open(config).await.begin_epoch().await.expect("it begins");
    (epoch.lost_bytes_max(), epoch.start)
}

#[test]
fn a_kill_and_a_good_stop_take_nothing_that_was_shown() {
    on_machine(1, |machine| async move {
        for is_stopped in [false, true] {
            let life = async move || {
                let store = open(&lazy()).await;
                put_some(&store, 5, Duration::ZERO).await;
                if is_stopped {
                    store.shutdown().await.expect("it stops");
                }
            };
            machine.run(life).await;
            assert_eq!(machine.run(|| async { lost(&lazy()).await.0 }).await, None, "{is_stopped}");
        }
    });
}

#[test]
fn a_power_loss_takes_no_more_than_the_next_life_says() {
    for (seed, pause_ms) in (0..12).zip([0, 1, 20, 300].into_iter().cycle()) {
        on_machine(seed, move |machine| async move {
            let shown = machine
                .run(move || async move {
                    let store = open(&lazy()).await;
                    let pause = Duration::from_millis(pause_ms);
                    let shown = put_some(&store, 60, pause).await;
                    // The limit is raised while more is put; nobody waits for it.
                    sleep(Duration::from_millis(200)).await;
                    shown
                })
                .await;
            machine.crash(Crash::Power);
            let (lost, start) = machine.run(|| async { lost(&lazy()).await }).await;
            let lost = lost.expect("the machine went down").cast_signed();
            assert!(start + lost >= shown, "seed {seed}: {lost} bytes beyond {start}, but it was shown up to {shown}");
            assert!(start + lost <= shown + (1 << 19), "seed {seed}: {lost} bytes beyond {start} are far too many");
            // It is told once: the life after that begins where this one has ended.
            let again = machine.run(|| async { super::shown::lost(&lazy()).await.0 }).await;
            assert_eq!(again, None);
        });
    }
}

#[test]
fn a_quiet_store_has_shown_hardly_more_than_it_has() {
    on_machine(3, |machine| async move {
        machine
            .run(|| async {
                let store = open(&lazy()).await;
                put_some(&store, 2_000, Duration::ZERO).await;
                store.flush().await.expect("the drive works");
                sleep(Duration::from_secs(30)).await;
            })
            .await;
        machine.crash(Crash::Power);
        let (lost, _) = machine.run(|| async { lost(&lazy()).await }).await;
        assert_eq!(lost, Some(4_096));
    });
}

#[test]
fn under_sync_flush_nothing_is_shown_that_can_be_lost() {
    on_machine(4, |machine| async move {
        machine.run(|| async { put_some(&open(&sync()).await, 5, Duration::ZERO).await }).await;
        machine.crash(Crash::Power);
        assert_eq!(machine.run(|| async { lost(&sync()).await.0 }).await, Some(0));
    });
}

#[test]
fn what_another_broker_has_shown_nobody_knows() {
    for is_apaches in [false, true] {
        on_machine(5, move |machine| async move {
            machine
                .run(move || async move {
                    put_some(&open(&sync()).await, 5, Duration::ZERO).await;
                    if is_apaches {
                        crate::support::write_file("/store/abort", b"").await;
                    } else {
                        sim::disk::remove_file("/store/shown_limit").await.expect("it is there");
                    }
                })
                .await;
            machine.run(|| async { sim::disk::sync_dir("/store").await.expect("the drive works") }).await;
            machine.crash(Crash::Power);
            assert_eq!(machine.run(|| async { lost(&sync()).await.0 }).await, Some(u64::MAX), "{is_apaches}");
        });
    }
}

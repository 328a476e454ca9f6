//! What a crash leaves, made whole; each test is one way in which RocketMQ stores have gone wrong.

use std::time::Duration;

use protocol::{PhysicalOffset, QueueOffset};
use sim::{
    disk,
    time::sleep,
    world::{Crash, DiskSpec},
};
use store::{FlushDiskType, PutMessageStatus, StoreConfig, StoreError};

use crate::{
    machine::{on_machine, on_machine_with},
    support::{all_bodies, get, message, open, patch_file, put, small_config, try_open, write_file},
};

const LOG_FILE: &str = "/store/commitlog/00000000000000000000";

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("body{number}")).collect()
}

async fn put_numbered(store: &store::MessageStore, range: std::ops::Range<usize>) -> Vec<PhysicalOffset> {
    let mut places = Vec::new();
    for number in range {
        places.push(put(store, "TopicA", 0, format!("body{number}")).await.physical_offset);
    }
    places
}

#[test]
fn a_kill_loses_nothing_and_a_power_loss_what_was_not_flushed() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                put_numbered(&open(&small_config()).await, 0..30).await;
            })
            .await;
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                assert!(store.recovery_report().abnormal);
                assert_eq!(all_bodies(&store, "TopicA", 0).await, numbered(0..30));
                put_numbered(&store, 30..33).await;
            })
            .await;
        machine.crash(Crash::Power);
        machine
            .run(|| async {
                let bodies = all_bodies(&open(&small_config()).await, "TopicA", 0).await;
                assert!(bodies.len() >= 30, "recovery had synced what it showed: {}", bodies.len());
                assert_eq!(bodies, numbered(0..bodies.len()));
            })
            .await;
    });
}

#[test]
fn sync_flush_loses_nothing_that_was_acknowledged() {
    for seed in 0..20 {
        on_machine(seed, |machine| async move {
            let config = StoreConfig { flush_disk_type: FlushDiskType::SyncFlush, ..small_config() };
            let here = config.clone();
            machine
                .run(move || async move {
                    put_numbered(&open(&here).await, 0..25).await;
                })
                .await;
            machine.crash(Crash::Power);
            let bodies = machine.run(move || async move { all_bodies(&open(&config).await, "TopicA", 0).await }).await;
            assert_eq!(bodies, numbered(0..25));
        });
    }
}

/// apache/rocketmq#10666: a hole cuts the log at record 2; one record of the same size is written there; a second crash must
/// not bring records 3 to 5 back behind it.
#[test]
fn a_truncated_tail_never_rises_again() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let places = put_numbered(&open(&small_config()).await, 0..6).await;
                // Not flushed, and the page of record 2 did not make it.
                patch_file(LOG_FILE, places[2].0 as u64 + 90, &[0; 20]).await;
            })
            .await;
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                let report = store.recovery_report();
                assert!(report.torn_tail.is_some());
                // What was whole behind the hole is not lost for people.
                let kept = disk::read(report.damaged_tail.as_ref().unwrap()).await.unwrap();
                for body in numbered(3..6) {
                    assert!(kept.windows(body.len()).any(|bytes| bytes == body.as_bytes()), "{body}");
                }
                assert_eq!(all_bodies(&store, "TopicA", 0).await, numbered(0..2));
                let log = disk::read(LOG_FILE).await.unwrap();
                let end = store.max_physical_offset().0 as usize;
                assert!(log[end..].iter().all(|byte| *byte == 0), "erased");
                assert_eq!(put(&store, "TopicA", 0, "newer").await.queue_offset, QueueOffset(2));
            })
            .await;
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                assert_eq!(all_bodies(&store, "TopicA", 0).await, ["body0", "body1", "newer"]);
                assert_eq!(store.recovery_report().damaged_tail, None);
            })
            .await;
    });
}

#[test]
fn damage_below_what_was_flushed_is_reported_and_changes_nothing() {
    for shut_down in [false, true] {
        on_machine(1, |machine| async move {
            let place = machine
                .run(move || async move {
                    let store = open(&small_config()).await;
                    let places = put_numbered(&store, 0..6).await;
                    store.flush().await.unwrap();
                    if shut_down {
                        store.shutdown().await.unwrap();
                        // Or the walk begins at the last record, and the damage is found when it is read.
                        disk::remove_dir_all("/store/consumequeue").await.unwrap();
                    }
                    patch_file(LOG_FILE, places[2].0 as u64 + 90, &[0; 3]).await;
                    places[2]
                })
                .await;
            let before = machine.files();
            let error = machine.run(|| async { try_open(&small_config()).await.map(drop).unwrap_err() }).await;
            assert_eq!(machine.files(), before, "nothing was changed");
            let StoreError::DamagedLog { physical_offset, path, .. } = &error else { panic!("{error}") };
            assert_eq!(*physical_offset, place);
            assert_eq!(path.to_str(), Some(LOG_FILE));
        });
    }
}

/// What was not flushed may be torn, and what a setting saves is only to look again at what was.
#[test]
fn what_was_not_flushed_is_checked_whatever_the_setting_says() {
    on_machine(1, |machine| async move {
        let config = || StoreConfig { check_crc_on_recover: false, ..small_config() };
        machine
            .run(move || async move {
                let store = open(&config()).await;
                put_numbered(&store, 0..2).await;
                store.flush().await.unwrap();
                let torn = put_numbered(&store, 2..3).await[0];
                patch_file(LOG_FILE, torn.0 as u64 + 89, b"B").await;
            })
            .await;
        machine
            .run(move || async move {
                let store = open(&config()).await;
                assert!(store.recovery_report().torn_tail.is_some());
                assert_eq!(all_bodies(&store, "TopicA", 0).await, numbered(0..2));
            })
            .await;
    });
}

/// A page that is read from another place takes a record's end, and its checksum with that.
#[test]
fn a_record_without_the_checksum_that_its_epoch_has_is_damaged() {
    for has_checksums in [true, false] {
        on_machine(1, |machine| async move {
            let config = StoreConfig { enabled_append_prop_crc: has_checksums, ..small_config() };
            machine
                .run(move || async move {
                    let store = open(&config).await;
                    let end = put_numbered(&store, 0..3).await[2].0 as u64;
                    store.shutdown().await.unwrap();
                    // `TAGS` is left, and so many bytes of its value.
                    let bytes = if has_checksums { protocol::message::CHECKSUM_BYTES } else { 0 } + 2;
                    patch_file(LOG_FILE, end - bytes as u64, &vec![b'x'; bytes]).await;
                })
                .await;
            machine
                .run(move || async move {
                    let store = open(&small_config()).await;
                    let served = get(&store, "TopicA", 0, 1).await;
                    assert_eq!(served.messages.len(), if has_checksums { 1 } else { 2 }, "{served:?}");
                    // Not closed: the next start looks through the log.
                })
                .await;
            let options = store::check::CheckOptions::new("/store");
            let check = machine.run(move || async move { store::check::check(options).await.unwrap() }).await;
            let is_told = check.findings.iter().any(|finding| finding.what.contains("no checksum"));
            assert_eq!(is_told, has_checksums, "{check}");
            let opened = machine.run(|| async { try_open(&small_config()).await.map(drop) }).await;
            match opened {
                Err(StoreError::DamagedLog { why, .. }) if has_checksums => {
                    assert!(why.contains("no checksum"), "{why}")
                }
                other => assert!(other.is_ok() && !has_checksums, "{other:?}"),
            }
        });
    }
}

#[test]
fn queues_are_rebuilt_when_they_are_gone_garbage_or_behind() {
    on_machine(1, |machine| async move {
        let queue_dir = "/store/consumequeue/TopicA/0";
        for round in 0..5 {
            machine
                .run(move || async move {
                    let store = open(&small_config()).await;
                    let from = store.max_offset_in_queue("TopicA", 0).0 as usize;
                    assert_eq!(all_bodies(&store, "TopicA", 0).await, numbered(0..from), "before round {round}");
                    put_numbered(&store, from..from + 20).await;
                    match round {
                        0 => {
                            store.shutdown().await.unwrap();
                            disk::remove_dir_all("/store/consumequeue").await.unwrap();
                        }
                        1 => {
                            // The last unit says a place that is too low; after it, garbage.
                            store.flush().await.unwrap();
                            patch_file(&format!("{queue_dir}/00000000000000000640"), 40, &[7; 60]).await;
                        }
                        2 => {
                            store.flush().await.unwrap();
                            let log_end = store.max_physical_offset().0.to_be_bytes();
                            let beyond = [&log_end[..], &[0, 0, 0, 100], &[0; 8]].concat();
                            write_file(&format!("{queue_dir}/00000000000000001120"), &beyond.repeat(8)).await;
                        }
                        3 => {
                            // The checkpoint claims more than is there.
                            store.flush().await.unwrap();
                            sleep(Duration::from_secs(10)).await;
                            put_numbered(&store, from + 20..from + 60).await;
                            store.flush().await.unwrap();
                            for file in disk::read_dir(queue_dir).await.unwrap().iter().skip(1) {
                                disk::remove_file(&format!("{queue_dir}/{}", file.name)).await.unwrap();
                            }
                        }
                        _ => {
                            store.shutdown().await.unwrap();
                            disk::remove_file("/store/checkpoint").await.unwrap();
                        }
                    }
                })
                .await;
        }
        let bodies = machine.run(|| async { all_bodies(&open(&small_config()).await, "TopicA", 0).await }).await;
        assert_eq!(bodies, numbered(0..140));
    });
}

#[test]
fn a_clean_shutdown_needs_no_recovery() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                assert!(disk::exists("/store/abort").await.unwrap());
                put_numbered(&store, 0..100).await;
                store.shutdown().await.unwrap();
                assert!(!disk::exists("/store/abort").await.unwrap());
            })
            .await;
        machine.crash(Crash::Power);
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                let report = store.recovery_report();
                assert!(!report.abnormal && report.scanned_records == 1, "{report:?}");
                assert_eq!(report.redispatched, 0);
                assert_eq!(all_bodies(&store, "TopicA", 0).await, numbered(0..100));
                assert_eq!(put(&store, "TopicA", 0, "x").await.queue_offset, QueueOffset(100));
            })
            .await;
    });
}

#[test]
fn a_file_whose_creation_was_cut_short_is_made_again() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                put_numbered(&store, 0..30).await;
                store.flush().await.unwrap();
                write_file("/store/commitlog/00000000000000008192", &[]).await;
                write_file("/store/consumequeue/TopicA/0/00000000000000000640", &[0; 7]).await;
            })
            .await;
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                assert_eq!(all_bodies(&store, "TopicA", 0).await, numbered(0..30));
                put_numbered(&store, 30..80).await;
                assert_eq!(all_bodies(&store, "TopicA", 0).await, numbered(0..80));
                store.shutdown().await.unwrap();
            })
            .await;
    });
}

#[test]
fn a_drive_that_lost_what_it_had_flushed_is_told_of() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                let places = put_numbered(&store, 0..10).await;
                store.flush().await.unwrap();
                let from = places[6].0 as u64;
                patch_file(LOG_FILE, from, &vec![0; 4096 - from as usize]).await;
            })
            .await;
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                assert_eq!(all_bodies(&store, "TopicA", 0).await, numbered(0..6));
                assert!(store.recovery_report().flushed_but_lost_until.is_some());
                assert_eq!(get(&store, "TopicA", 0, 6).await.next_begin_offset, QueueOffset(6));
            })
            .await;
    });
}

#[test]
fn a_crash_during_recovery_is_recovered_from() {
    async fn put_in_four_queues(store: &store::MessageStore, range: std::ops::Range<usize>) {
        for number in range {
            for queue_id in 0..4 {
                put(store, "TopicA", queue_id, format!("body{number}")).await;
            }
        }
    }
    for seed in 0..60 {
        on_machine(seed, |machine| async move {
            machine
                .run(|| async {
                    let store = open(&small_config()).await;
                    put_in_four_queues(&store, 0..20).await;
                    sleep(Duration::from_secs(10)).await;
                    put_in_four_queues(&store, 20..40).await;
                    store.flush().await.unwrap();
                    // The checkpoint claims units that are gone: the whole log has to be dispatched again.
                    for file in disk::read_dir("/store/consumequeue/TopicA/0").await.unwrap().iter().skip(1) {
                        disk::remove_file(&format!("/store/consumequeue/TopicA/0/{}", file.name)).await.unwrap();
                    }
                    disk::sync_dir("/store/consumequeue/TopicA/0").await.unwrap();
                })
                .await;
            for crash in [Crash::Power, Crash::Process, Crash::Power] {
                machine.start(|| async {
                    let _store = open(&small_config()).await;
                    std::future::pending::<()>().await;
                });
                machine.sleep(Duration::from_micros(700 * seed)).await;
                machine.crash(crash);
            }
            machine
                .run(move || async move {
                    let store = open(&small_config()).await;
                    for queue_id in 0..4 {
                        assert_eq!(all_bodies(&store, "TopicA", queue_id).await, numbered(0..40), "seed {seed}");
                    }
                })
                .await;
        });
    }
}

/// On ext4 the message's blocks are new, and to write them again in place would leave zeros.
#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_copied() {
    for disk in [DiskSpec::default(), DiskSpec::ext4(), DiskSpec::xfs()] {
        a_failed_sync_and_then_a_power_loss(disk);
    }
}

fn a_failed_sync_and_then_a_power_loss(spec: DiskSpec) {
    on_machine_with(1, spec, |machine| async move {
        let config = || StoreConfig {
            flush_disk_type: FlushDiskType::SyncFlush,
            mapped_file_size_commit_log_bytes: 64 << 10,
            ..small_config()
        };
        machine.start(move || async move {
            let store = open(&config()).await;
            put_numbered(&store, 0..3).await;
            sleep(Duration::from_secs(2)).await;
            // More than a page: what is appended later does not make all of it dirty again.
            let unknown = store.put(message("TopicA", 0, "3".repeat(10_000))).await;
            assert_eq!(unknown.status, PutMessageStatus::UnknownError);
            write_file("/failed", b"1").await;
            std::future::pending::<()>().await;
        });
        machine.sleep(Duration::from_millis(1900)).await;
        machine.fail_next_sync();
        machine.sleep(Duration::from_secs(1)).await;
        assert!(machine.files().iter().any(|(path, _)| path == "/failed"), "the sync failed");
        machine.crash(Crash::Process);
        // The page cache still shows the message; whoever appends behind it must not lose it with the next power loss.
        machine
            .run(move || async move {
                let store = open(&config()).await;
                assert_eq!(all_bodies(&store, "TopicA", 0).await.len(), 4);
                put_numbered(&store, 4..7).await;
            })
            .await;
        assert!(!machine.files().iter().any(|(path, _)| path == "/store/sync_failed"), "it is no longer suspect");
        machine.crash(Crash::Power);
        machine
            .run(move || async move {
                let bodies = all_bodies(&open(&config()).await, "TopicA", 0).await;
                assert_eq!((bodies.len(), &bodies[4..]), (7, &numbered(4..7)[..]));
            })
            .await;
    });
}

#[test]
fn a_copy_that_was_cut_short_is_removed() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                put_numbered(&open(&small_config()).await, 0..3).await;
                write_file("/store/commitlog/00000000000000000000.copy", b"half of it").await;
            })
            .await;
        machine
            .run(|| async {
                assert_eq!(all_bodies(&open(&small_config()).await, "TopicA", 0).await, numbered(0..3));
            })
            .await;
        assert!(!machine.files().iter().any(|(path, _)| path.ends_with(".copy")));
    });
}

#[test]
fn a_sync_that_fails_in_recovery_makes_the_next_recovery_copy_the_log() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                put_numbered(&open(&small_config()).await, 0..5).await;
            })
            .await;
        // Which of a recovery's syncs is the log's is not known here: each of them fails once.
        for wait_us in (0..40).map(|step| step * 250) {
            machine.start(|| async {
                sleep(Duration::from_millis(1)).await;
                // Refused or not, it is killed.
                let _ = try_open(&small_config()).await;
            });
            machine.sleep(Duration::from_micros(1_000 + wait_us)).await;
            machine.fail_next_sync();
            machine.sleep(Duration::from_millis(200)).await;
            machine.withdraw_sync_failure();
            machine.crash(Crash::Process);
        }
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                assert_eq!(all_bodies(&store, "TopicA", 0).await, numbered(0..5));
            })
            .await;
        machine.crash(Crash::Power);
        machine
            .run(|| async {
                assert_eq!(all_bodies(&open(&small_config()).await, "TopicA", 0).await, numbered(0..5));
            })
            .await;
    });
}

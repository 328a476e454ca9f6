//! What a store takes of the drive, and how it lives on a full one. Each test that takes a file system is run on all.

use std::time::Duration;

use sim::{
    disk::{self, OpenOptions},
    time::sleep,
    world::{Crash, DiskSpec},
};
use store::{ConfigFile, FlushDiskType, MessageStore, PutMessageStatus, StoreConfig};

use crate::{
    machine::{on_machine, on_machine_with},
    support::{STORE, all_bodies, message, open, put},
};

const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;

fn file_systems() -> [DiskSpec; 4] {
    [DiskSpec::default(), DiskSpec::ext4(), DiskSpec::xfs(), DiskSpec { reserves_room: false, ..DiskSpec::default() }]
}

/// Something else fills the drive, until only this much is left.
async fn leave(bytes: u64) {
    let mut options = OpenOptions::new();
    let ballast = options.write(true).create(true).open("/ballast").await.unwrap();
    ballast.set_len(0).await.unwrap();
    let (mut at, mut piece) = (0, MIB);
    while piece >= PAGE {
        let more = disk::usage("/").await.unwrap().available_bytes.saturating_sub(bytes);
        let fits = more >= piece && ballast.write_all_at(&vec![1; piece as usize], at).await.is_ok();
        if fits { at += piece } else { piece /= 2 }
    }
    ballast.sync_all().await.unwrap();
    disk::sync_dir("/").await.unwrap();
}

async fn taken_bytes() -> u64 {
    let usage = disk::usage("/").await.unwrap();
    usage.total_bytes - usage.available_bytes
}

#[test]
fn a_store_with_a_message_takes_little_and_more_as_it_fills() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let config = StoreConfig { mapped_file_size_commit_log_bytes: 96 * MIB, ..StoreConfig::new(STORE) };
                let store = open(&config).await;
                for queue_id in 0..32 {
                    put(&store, "TopicA", queue_id, "first").await;
                }
                store.flush().await.unwrap();
                let first = taken_bytes().await;
                assert!(first <= 41 * MIB, "{first} bytes");
                // A queue takes what its units take.
                let files = disk::read_dir("/store/consumequeue/TopicA/7").await.unwrap();
                assert_eq!(files.len(), 1);
                sleep(Duration::from_secs(3600)).await;
                assert!(taken_bytes().await <= first + MIB, "an hour without a message");
                let log = || async { disk::read_dir("/store/commitlog").await.unwrap().len() };
                let mut written = 0;
                while store.max_physical_offset().0 < 100 * MIB as i64 {
                    put(&store, "TopicA", 0, vec![b'x'; 1 << 20]).await;
                    sleep(Duration::from_millis(100)).await;
                    written = store.max_physical_offset().0.cast_unsigned();
                    let beyond = taken_bytes().await - (first - 32 * MIB) - written;
                    assert!(beyond <= 49 * MIB, "{beyond} bytes more than were written");
                    assert_eq!(log().await, if written < 80 * MIB { 1 } else { 2 }, "after {written} bytes");
                }
                assert!(written > 0);
            })
            .await;
    });
}

/// Sizes with which a small drive is full soon.
fn config(flush_disk_type: FlushDiskType) -> StoreConfig {
    StoreConfig {
        mapped_file_size_commit_log_bytes: 256 << 10,
        mapped_file_size_consume_queue_bytes: 20 * 100,
        max_hash_slot_num: 100,
        max_index_num: 1000,
        flush_disk_type,
        // What is young stays, and what is full is noticed by the log alone.
        clean_file_forcibly_enable: false,
        disk_space_warning_level_ratio_percent: 100,
        ..StoreConfig::new(STORE)
    }
}

/// Puts until one is refused; the bodies of those that were stored.
async fn put_until_refused(store: &MessageStore, name: &str) -> Vec<String> {
    let mut stored = Vec::new();
    for number in 0..10_000 {
        let body = format!("{name}-{number}-{}", "x".repeat(number * 37 % 3000));
        let result = store.put(message("TopicA", 0, body.clone())).await;
        match result.status {
            PutMessageStatus::PutOk => stored.push(body),
            PutMessageStatus::ServiceNotAvailable => {
                assert!(result.appended.is_none(), "{result:?}");
                return stored;
            }
            status => panic!("{status:?}: {result:?}"),
        }
    }
    panic!("the drive does not become full");
}

/// The drive becomes full in the middle of everything; messages are refused and readable; there is room again, and it goes on. At
/// each stage the store is stopped, or killed, or its machine is.
#[test]
fn a_full_drive_refuses_messages_and_loses_none() {
    for (number, disk) in file_systems().into_iter().enumerate() {
        for left_pages in [0, 1, 4, 17, 60, 120] {
            let disk = DiskSpec { capacity_bytes: 16 * MIB, ..disk.clone() };
            on_machine_with(left_pages + 1, disk, |machine| async move {
                let flush = if left_pages % 2 == 0 { FlushDiskType::SyncFlush } else { FlushDiskType::AsyncFlush };
                let mut stored = machine
                    .run(move || async move {
                        let store = open(&config(flush)).await;
                        let mut stored = Vec::new();
                        for number in 0..40 {
                            stored.push(format!("before-{number}-{}", "x".repeat(1500)));
                            put(&store, "TopicA", 0, stored.last().unwrap().clone()).await;
                        }
                        leave(left_pages * PAGE).await;
                        stored.extend(put_until_refused(&store, "full").await);
                        sleep(Duration::from_secs(30)).await;
                        assert_eq!(all_bodies(&store, "TopicA", 0).await, stored);
                        // Still full, in the same life.
                        stored.extend(put_until_refused(&store, "still").await);
                        leave(MIB).await;
                        sleep(Duration::from_secs(11)).await;
                        stored.push("there is room".to_owned());
                        put(&store, "TopicA", 0, "there is room").await;
                        leave(left_pages * PAGE).await;
                        stored.extend(put_until_refused(&store, "again").await);
                        assert_eq!(all_bodies(&store, "TopicA", 0).await, stored);
                        if number % 2 == 0 {
                            store.shutdown().await.expect("what is kept is enough for a stop");
                        } else {
                            store.flush().await.unwrap_or_default();
                        }
                        stored
                    })
                    .await;
                // The drive is still full.
                for crash in [Crash::Process, Crash::Power] {
                    machine.crash(crash);
                    stored = machine
                        .run(move || async move {
                            let store = open(&config(flush)).await;
                            assert_eq!(all_bodies(&store, "TopicA", 0).await, stored, "{crash:?}");
                            assert_eq!(store.recovery_report().damaged_tail, None);
                            stored.extend(put_until_refused(&store, "reopened").await);
                            store.flush().await.unwrap_or_default();
                            stored
                        })
                        .await;
                }
                machine
                    .run(move || async move {
                        let store = open(&config(flush)).await;
                        leave(2 * MIB).await;
                        sleep(Duration::from_secs(11)).await;
                        stored.push("at last".to_owned());
                        put(&store, "TopicA", 0, "at last").await;
                        assert_eq!(all_bodies(&store, "TopicA", 0).await, stored);
                        store.shutdown().await.unwrap();
                        let store = open(&config(flush)).await;
                        assert!(!store.recovery_report().abnormal);
                        assert_eq!(all_bodies(&store, "TopicA", 0).await, stored);
                    })
                    .await;
            });
        }
    }
}

/// Something else has taken the last byte of the drive.
#[test]
fn what_is_kept_is_enough_for_files_of_the_configuration_a_stop_and_a_start() {
    for disk in [DiskSpec::default(), DiskSpec::ext4(), DiskSpec::xfs()] {
        let disk = DiskSpec { capacity_bytes: 64 * MIB, ..disk };
        on_machine_with(1, disk, |machine| async move {
            machine
                .run(|| async {
                    let store = open(&config(FlushDiskType::AsyncFlush)).await;
                    put(&store, "TopicA", 0, "before").await;
                    leave(0).await;
                    assert_eq!(disk::usage("/").await.unwrap().available_bytes, 0);
                    let file = ConfigFile::new("/store/config/topics.json").of_store(STORE);
                    disk::create_dir_all("/store/config").await.unwrap();
                    file.store(&"what people have asked for".repeat(1000)).await.expect("there is room for it");
                    store.shutdown().await.expect("there is room for it");
                    leave(0).await;
                    let store = open(&config(FlushDiskType::AsyncFlush)).await;
                    assert!(!store.recovery_report().abnormal);
                    assert_eq!(all_bodies(&store, "TopicA", 0).await, ["before"]);
                    assert_eq!(file.load::<String>().await.unwrap().unwrap().len(), 26_000);
                    leave(16 * MIB).await;
                    sleep(Duration::from_secs(11)).await;
                    let reserve = disk::metadata("/store/reserve").await.unwrap().len;
                    assert!(reserve >= 128 << 10, "the room is kept again: {reserve} bytes");
                })
                .await;
        });
    }
}

/// A process may have 40 files open, and there are 300 queues.
#[test]
fn more_queues_than_files_may_be_open() {
    on_machine(1, |machine| async move {
        machine.limit_open_files(40);
        let config =
            || StoreConfig { flush_consume_queue_thorough_interval_ms: 1_000, ..config(FlushDiskType::AsyncFlush) };
        for round in 0..3 {
            machine
                .run(move || async move {
                    let store = open(&config()).await;
                    for queue_id in 0..300 {
                        for number in 0..round {
                            let bodies = all_bodies(&store, "TopicA", queue_id).await;
                            assert_eq!(bodies.get(number), Some(&format!("{number}-{queue_id}")), "queue {queue_id}");
                        }
                        put(&store, "TopicA", queue_id, format!("{round}-{queue_id}")).await;
                        sleep(Duration::from_millis(10)).await;
                    }
                    sleep(Duration::from_secs(3)).await;
                    let mut others = Vec::new();
                    while let Ok(file) = OpenOptions::new().read(true).open("/store/checkpoint").await {
                        others.push(file);
                    }
                    assert!(others.len() >= 20, "{} are left to others", others.len());
                    drop(others);
                    if round != 1 {
                        store.shutdown().await.unwrap();
                    }
                })
                .await;
        }
        machine
            .run(move || async move {
                let store = open(&config()).await;
                for queue_id in 0..300 {
                    assert_eq!(store.max_offset_in_queue("TopicA", queue_id).0, 3);
                }
            })
            .await;
    });
}

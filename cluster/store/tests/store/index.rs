//! Messages by key: what is found, in files that Apache's broker can read, and what a crash leaves of them.

use std::time::Duration;

use protocol::{
    PhysicalOffset, QueueOffset,
    message::{MessageToStore, parse_record},
};
use quirks::{Quirk, QuirkSet};
use sim::{disk, time::sleep, world::Crash};
use store::{FlushDiskType, MessageStore, StoreConfig};

use crate::{
    machine::on_machine,
    support::{bodies, message, open, patch_file, small_config, write_file},
};

const GOLDEN_LOG: &[u8] = include_bytes!("../../../protocol/tests/golden/commitlog_head.bin");
const GOLDEN_INDEX: &[u8] = include_bytes!("../golden/index_20261122164715519");
const GOLDEN_NAME: &str = "/store/index/20261122164715519";
/// How many of its entries lead to what is left of the golden log.
const GOLDEN_ENTRIES: usize = 86;

/// Index files of seven slots and 30 entries.
fn config() -> StoreConfig {
    StoreConfig { max_hash_slot_num: 7, max_index_num: 30, ..small_config() }
}

fn golden_config() -> StoreConfig {
    StoreConfig {
        mapped_file_size_commit_log_bytes: 16_384,
        mapped_file_size_consume_queue_bytes: 6000,
        max_hash_slot_num: 500,
        max_index_num: 2000,
        ..small_config()
    }
}

fn keyed(number: usize, keys: &str) -> MessageToStore {
    let properties = format!("KEYS\u{1}{keys}\u{2}UNIQ_KEY\u{1}U{number}\u{2}TAGS\u{1}t");
    MessageToStore { properties, ..message("TopicA", 0, format!("body{number}")) }
}

async fn put_keyed(store: &MessageStore, numbers: std::ops::Range<usize>) -> Vec<PhysicalOffset> {
    let mut places = Vec::new();
    for number in numbers {
        let result = store.put(keyed(number, &format!("own{number}  third{}", number % 3))).await;
        places.push(result.appended.expect("it is stored").physical_offset);
    }
    places
}

async fn find(store: &MessageStore, key: &str) -> Vec<String> {
    bodies(&store.query_message("TopicA", key, 64, 0, i64::MAX).await.unwrap().messages)
}

/// Every message is found by each of its keys, and nothing else is.
async fn check(store: &MessageStore, numbers: std::ops::Range<usize>) {
    for number in numbers.clone() {
        for key in [format!("own{number}"), format!("U{number}")] {
            assert_eq!(find(store, &key).await, [format!("body{number}")], "{key}");
        }
    }
    for third in 0..3 {
        let expected: Vec<_> = numbers.clone().filter(|n| n % 3 == third).map(|n| format!("body{n}")).collect();
        let youngest = expected.len().saturating_sub(64);
        assert_eq!(find(store, &format!("third{third}")).await, expected[youngest..]);
    }
    for unknown in [format!("own{}", numbers.end), "third3".to_owned(), String::new()] {
        assert_eq!(find(store, &unknown).await, [""; 0]);
    }
}

async fn index_files() -> Vec<String> {
    let entries = disk::read_dir("/store/index").await.unwrap_or_default();
    entries.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn messages_are_found_by_each_of_their_keys_in_any_number_of_files() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&config()).await;
                put_keyed(&store, 0..50).await;
                check(&store, 0..50).await;
                assert_eq!(index_files().await.len(), 6, "150 entries, 29 in a file");
                let others = store.query_message("TopicB", "own3", 64, 0, i64::MAX).await.unwrap();
                assert!(others.messages.is_empty());
                let few = store.query_message("TopicA", "third0", 2, 0, i64::MAX).await.unwrap();
                assert_eq!(bodies(&few.messages), ["body45", "body48"], "the youngest");
                let end = store.confirm_offset();
                assert!(few.index_last_update_physical_offset < end && few.index_last_update_timestamp_ms > 0);
                store.shutdown().await.unwrap();
                let store = open(&config()).await;
                check(&store, 0..50).await;
                put_keyed(&store, 50..60).await;
                check(&store, 0..60).await;
            })
            .await;
    });
}

#[test]
fn times_are_exact_and_include_both_ends() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&config()).await;
                let mut times_ms = Vec::new();
                for number in 0..40 {
                    put_keyed(&store, number..number + 1).await;
                    times_ms
                        .push(store.message_store_timestamp_ms("TopicA", 0, QueueOffset(number as i64)).await.unwrap());
                    sleep(Duration::from_millis(700)).await;
                }
                for (first, last) in [(0, 39), (3, 3), (10, 31), (38, 39)] {
                    let (begin_ms, end_ms) = (times_ms[first].unwrap(), times_ms[last].unwrap());
                    let found = store.query_message("TopicA", "third0", 64, begin_ms, end_ms).await.unwrap();
                    let expected: Vec<_> = (first..=last).filter(|n| n % 3 == 0).map(|n| format!("body{n}")).collect();
                    assert_eq!(bodies(&found.messages), expected);
                    let between =
                        store.query_message("TopicA", "third0", 64, begin_ms + 1, begin_ms + 600).await.unwrap();
                    assert!(between.messages.is_empty());
                }
            })
            .await;
    });
}

#[test]
fn half_messages_are_indexed_and_rolled_back_ones_are_not() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&config()).await;
                for (number, sys_flag) in [(1, 4), (2, 8), (3, 12)] {
                    store.put(MessageToStore { sys_flag, ..keyed(number, "k") }).await;
                }
                assert_eq!(find(&store, "k").await, ["body1", "body2"]);
                store.shutdown().await.unwrap();
                let off = StoreConfig { message_index_enable: false, ..config() };
                let store = open(&off).await;
                store.put(keyed(4, "k")).await;
                assert_eq!(find(&store, "k").await, [""; 0]);
                store.shutdown().await.unwrap();
                let store = open(&config()).await;
                assert_eq!(find(&store, "k").await, ["body1", "body2", "body4"], "what was left out is made good");
            })
            .await;
    });
}

#[test]
fn apaches_index_is_read_and_ours_of_the_same_log_has_its_bytes() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let mut log = GOLDEN_LOG.to_vec();
                log.resize(16_384, 0);
                write_file("/store/commitlog/00000000000000000000", &log).await;
                write_file(GOLDEN_NAME, GOLDEN_INDEX).await;
                let store = open(&golden_config()).await;
                // golden/mqadmin: queryMsgByKey -t TopicA -k key1
                let found = store.query_message("TopicA", "key1", 64, 0, i64::MAX).await.unwrap();
                let places: Vec<_> = found.messages.iter().map(|record| parse_record(record).unwrap()).collect();
                let places: Vec<_> = places.iter().map(|record| (record.queue_id, record.queue_offset.0)).collect();
                assert_eq!(places, [(1, 0), (0, 2)]);
                let unique = "FD0000000000000000000000000000022DDF5FFD2B276FBFB7BE0000";
                let found = store.query_message("TopicA", unique, 32, 0, i64::MAX).await.unwrap();
                assert_eq!(found.messages, [&GOLDEN_LOG[..211]]);
                store.shutdown().await.unwrap();
                assert_eq!(index_files().await, ["20261122164715519"], "it was kept");
                let kept = disk::read(GOLDEN_NAME).await.unwrap();

                disk::remove_dir_all("/store/index").await.unwrap();
                let store = open(&golden_config()).await;
                store.query_message("TopicA", "key1", 64, 0, i64::MAX).await.unwrap();
                store.shutdown().await.unwrap();
                let name = index_files().await.remove(0);
                let built = disk::read(format!("/store/index/{name}")).await.unwrap();
                let entries = 40 + 500 * 4;
                let end = entries + (GOLDEN_ENTRIES + 1) * 20;
                assert!(built[entries..end] == GOLDEN_INDEX[entries..end], "the same entries");
                assert!(built[end..].iter().all(|byte| *byte == 0));
                assert!(
                    built[..entries] == kept[..entries],
                    "the same header and slots as the golden one cut to the log"
                );
            })
            .await;
    });
}

#[test]
fn what_a_crash_takes_of_the_index_is_built_again() {
    for crash in [None, Some(Crash::Os), Some(Crash::Power)] {
        for seed in 0..12 {
            on_machine(seed, |machine| async move {
                let config = StoreConfig { flush_disk_type: FlushDiskType::SyncFlush, ..config() };
                let mut count = 0;
                for round in 0..4 {
                    let here = config.clone();
                    machine.start(move || async move {
                        let store = open(&here).await;
                        check(&store, 0..count).await;
                        put_keyed(&store, count..count + 20).await;
                        sleep(Duration::from_millis(4000 * (seed % 4) + 37 * seed)).await;
                        std::future::pending::<()>().await;
                    });
                    machine.sleep(Duration::from_millis(14_000 + 313 * seed + round)).await;
                    machine.crash(crash.unwrap_or(Crash::Process));
                    count += 20;
                }
                machine
                    .run(move || async move {
                        let store = open(&config).await;
                        check(&store, 0..count).await;
                        store.shutdown().await.unwrap();
                        let store = open(&config).await;
                        check(&store, 0..count).await;
                    })
                    .await;
            });
        }
    }
}

/// The log is cut by a power loss and continued with other messages of the same size at the same places.
#[test]
fn a_log_that_was_cut_and_continued_is_indexed_anew_from_the_cut() {
    on_machine(1, |machine| async move {
        let places = machine
            .run(|| async {
                let store = open(&config()).await;
                let places = put_keyed(&store, 0..12).await;
                check(&store, 0..12).await;
                sleep(Duration::from_secs(11)).await;
                places
            })
            .await;
        machine
            .run(move || async move {
                // The drive lost the last four although the index has them.
                write_file("/store/checkpoint", &[]).await;
                disk::remove_dir_all("/store/consumequeue").await.unwrap();
                patch_file("/store/commitlog/00000000000000000000", places[8].0 as u64, &[0; 2000]).await;
                let off = StoreConfig { message_index_enable: false, ..config() };
                let store = open(&off).await;
                assert_eq!(store.max_physical_offset(), places[8]);
                put_keyed(&store, 30..32).await;
                store.shutdown().await.unwrap();
                let store = open(&config()).await;
                for gone in 8..12 {
                    assert_eq!(find(&store, &format!("own{gone}")).await, [""; 0]);
                }
                for there in (0..8).chain(30..32) {
                    assert_eq!(find(&store, &format!("own{there}")).await, [format!("body{there}")]);
                }
                assert_eq!(find(&store, "third2").await, ["body2", "body5"]);
            })
            .await;
    });
}

#[test]
fn torn_index_files_give_no_wrong_message_and_are_built_again() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&config()).await;
                put_keyed(&store, 0..40).await;
                check(&store, 0..40).await;
                sleep(Duration::from_secs(11)).await;
            })
            .await;
        let files: Vec<_> = machine.files().into_iter().filter(|(path, _)| path.starts_with("/store/index/")).collect();
        assert_eq!(files.len(), 5);
        let length = files[0].1.len() as u64;
        for file in 0..files.len() {
            for (position, torn) in
                [(0, 40), (8, 8), (36, 4), (40, 28), (88, 20), (100, 60), (300, 8), (length - 20, 20)]
            {
                for fill in [0, 0xff, 0x2a] {
                    let files = files.clone();
                    machine
                        .run(move || async move {
                            disk::remove_dir_all("/store/index").await.unwrap();
                            for (path, bytes) in &files {
                                write_file(path, bytes).await;
                            }
                            // As a crash would have it, and a checkpoint that vouches for nothing.
                            write_file("/store/checkpoint", &[]).await;
                            write_file("/store/abort", &[]).await;
                            patch_file(&files[file].0, position, &vec![fill; torn]).await;
                            let store = open(&config()).await;
                            check(&store, 0..40).await;
                        })
                        .await;
                }
            }
        }
    });
}

#[test]
fn files_of_another_size_and_foreign_ones_do_not_keep_a_store_from_opening() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&config()).await;
                put_keyed(&store, 0..40).await;
                check(&store, 0..40).await;
                store.shutdown().await.unwrap();
                write_file("/store/index/README", b"?").await;
                let larger = StoreConfig { max_index_num: 100, ..config() };
                let store = open(&larger).await;
                check(&store, 0..40).await;
                assert_eq!(index_files().await.len(), 3, "two files, and what is not ours");
                store.shutdown().await.unwrap();
                let names = index_files().await;
                write_file(&format!("/store/index/{}", names[0]), b"short").await;
                let store = open(&larger).await;
                check(&store, 0..40).await;
            })
            .await;
    });
}

#[test]
fn index_files_go_with_the_log() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let config = StoreConfig { file_reserved_time_hours: 1, ..config() };
                let store = open(&config).await;
                put_keyed(&store, 0..200).await;
                check(&store, 0..200).await;
                let before = index_files().await;
                sleep(Duration::from_secs(4 * 3600 + 60)).await;
                put_keyed(&store, 200..201).await;
                let first_kept = store.min_offset_in_queue("TopicA", 0).0 as usize;
                assert!(first_kept > 100);
                let after = index_files().await;
                assert!(after.len() < before.len() / 2 && before.ends_with(&after), "{before:?} {after:?}");
                assert_eq!(find(&store, "own3").await, [""; 0]);
                for number in first_kept..201 {
                    assert_eq!(find(&store, &format!("own{number}")).await, [format!("body{number}")]);
                }
                store.shutdown().await.unwrap();
                disk::remove_dir_all("/store/index").await.unwrap();
                let store = open(&config).await;
                assert_eq!(find(&store, &format!("own{first_kept}")).await, [format!("body{first_kept}")]);
            })
            .await;
    });
}

/// apache/rocketmq#8007.
#[test]
fn with_the_quirk_recovery_deletes_index_files_and_does_not_build_them_again() {
    for is_quirky in [false, true] {
        on_machine(1, |machine| async move {
            machine
                .run(|| async {
                    let store = open(&StoreConfig { max_index_num: 3000, ..config() }).await;
                    put_keyed(&store, 0..100).await;
                    check(&store, 0..100).await;
                    sleep(Duration::from_secs(90)).await;
                    put_keyed(&store, 100..101).await;
                    store.flush().await.unwrap();
                })
                .await;
            machine
                .run(move || async move {
                    let quirks =
                        if is_quirky { QuirkSet::NONE.with(Quirk::IndexDeletedOnRecovery) } else { QuirkSet::NONE };
                    let store = open(&StoreConfig { max_index_num: 3000, quirks, ..config() }).await;
                    assert!(store.recovery_report().abnormal);
                    assert!(store.recovery_report().scanned_from.0 > 0);
                    let found = find(&store, "own3").await;
                    assert_eq!(found.is_empty(), is_quirky, "{found:?}");
                    assert_eq!(find(&store, "own100").await, ["body100"], "what recovery dispatches is indexed");
                })
                .await;
        });
    }
}

//! The check of a store directory: clean stores pass, and each kind of damage is found where it is.

use std::{sync::Arc, time::Duration};

use protocol::{PhysicalOffset, message::MessageToStore};
use sim::{disk, time::sleep, world::Crash};
use store::{
    MessageStore, StoreConfig,
    check::{CheckOptions, CheckReport, Severity, check},
};

use crate::{
    machine::on_machine,
    support::{STORE, message, open, patch_file, put, small_config, write_file},
};

const LOG: &str = "/store/commitlog";
const QUEUE: &str = "/store/consumequeue/TopicA/0/00000000000000000000";

fn config() -> StoreConfig {
    StoreConfig { max_hash_slot_num: 7, max_index_num: 40, ..small_config() }
}

fn keyed(number: usize) -> MessageToStore {
    let properties = format!("KEYS\u{1}own{number} all\u{2}UNIQ_KEY\u{1}U{number}\u{2}TAGS\u{1}t");
    MessageToStore { properties, ..message("TopicA", 0, format!("body{number}-{}", "x".repeat(60))) }
}

async fn fill(store: &MessageStore) -> Vec<PhysicalOffset> {
    let mut places = Vec::new();
    for number in 0..60 {
        places.push(store.put(keyed(number)).await.appended.unwrap().physical_offset);
        put(store, "TopicB", number as i32 % 3, "no key").await;
    }
    let delayed = MessageToStore { properties: "DELAY\u{1}3".into(), ..message("SCHEDULE_TOPIC_XXXX", 2, "later") };
    assert!(store.put(delayed).await.is_ok());
    for sys_flag in [4, 8, 12] {
        assert!(store.put(MessageToStore { sys_flag, ..keyed(100) }).await.is_ok());
    }
    store.query_message("TopicA", "own3", 1, 0, i64::MAX).await.unwrap();
    places
}

async fn report() -> CheckReport {
    check(CheckOptions { max_hash_slot_num: Some(7), ..CheckOptions::new(STORE) }).await.unwrap()
}

#[test]
fn a_store_that_was_closed_is_clean_and_checking_changes_nothing() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&config()).await;
                fill(&store).await;
                store.shutdown().await.unwrap();
            })
            .await;
        let before = machine.files();
        machine
            .run(|| async {
                let found = report().await;
                assert_eq!(found.findings, []);
                assert_eq!((found.records, found.queues, found.units), (124, 5, 122), "{found}");
                assert_eq!((found.index_files, found.index_entries), (5, 186), "{found}");
                assert!(found.log_files > 4 && found.is_clean());
                // The number of slots can be found out too.
                assert_eq!(check(CheckOptions::new(STORE)).await.unwrap().findings, []);
            })
            .await;
        assert_eq!(machine.files(), before);
    });
}

#[test]
fn a_store_in_which_nothing_was_put_is_clean_and_a_missing_one_is_an_error() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                assert!(check(CheckOptions::new(STORE)).await.is_err());
                write_file("/photos/rocket.jpg", b"!").await;
                let error = check(CheckOptions::new("/photos")).await.unwrap_err().to_string();
                assert!(error.contains("/photos is no store directory"), "{error}");
                open(&config()).await.shutdown().await.unwrap();
                assert_eq!(report().await.findings, []);
            })
            .await;
    });
}

#[test]
fn what_a_crash_leaves_is_no_damage_and_an_open_store_is_looked_at() {
    for crash in [Crash::Process, Crash::Os, Crash::Power] {
        for seed in 0..10 {
            on_machine(seed, |machine| async move {
                for round in 0..3 {
                    machine.start(move || async move {
                        let store = open(&config()).await;
                        fill(&store).await;
                        let found = report().await;
                        assert!(found.is_open && found.is_clean(), "{found}");
                        sleep(Duration::from_millis(300 * seed * round)).await;
                        fill(&store).await;
                        std::future::pending::<()>().await;
                    });
                    machine.sleep(Duration::from_millis(5_000 + 1_511 * seed)).await;
                    machine.crash(crash);
                    machine
                        .run(move || async move {
                            let found = report().await;
                            assert!(found.is_clean() && !found.is_open, "seed {seed} {crash:?}\n{found}");
                            assert!(found.findings.iter().any(|finding| finding.path.ends_with("abort")));
                            let store = open(&config()).await;
                            store.shutdown().await.unwrap();
                            let found = report().await;
                            assert_eq!(found.findings, [], "seed {seed} {crash:?}");
                        })
                        .await;
                }
            });
        }
    }
}

/// Makes a store, damages it, and gives what the check says.
fn damaged<Fut>(damage: impl Fn(Arc<Vec<PhysicalOffset>>) -> Fut + Send + Sync + 'static) -> CheckReport
where
    Fut: Future<Output = ()> + Send,
{
    on_machine(1, |machine| async move {
        machine
            .run(|| async move {
                let store = open(&config()).await;
                let places = fill(&store).await;
                store.shutdown().await.unwrap();
                damage(Arc::new(places)).await;
                report().await
            })
            .await
    })
}

#[track_caller]
fn assert_found(report: &CheckReport, path: &str, what: &str) {
    let is_it = |finding: &store::check::Finding| {
        finding.severity == Severity::Damage
            && finding.path.to_string_lossy().contains(path)
            && finding.what.contains(what)
    };
    assert!(report.findings.iter().any(is_it), "no {what:?} in {path}:\n{report}");
    assert!(!report.is_clean());
}

fn log_place(place: PhysicalOffset) -> (String, u64) {
    (format!("{LOG}/{:020}", place.0 / 4096 * 4096), (place.0 % 4096) as u64)
}

#[test]
fn damaged_records_are_found() {
    let patch = |at: u64, bytes: &'static [u8]| {
        damaged(move |places| async move {
            let (path, position) = log_place(places[20]);
            patch_file(&path, position + at, bytes).await;
        })
    };
    let body = patch(100, b"?");
    assert_found(&body, LOG, "CRC");
    assert_eq!(body.records, 123, "the others are looked at: {body}");
    assert_found(&patch(4, b"!"), LOG, "the next whole record is at");
    assert_found(&patch(0, &[0, 0, 0, 9]), LOG, "TOTALSIZE");
    assert_found(&patch(28, &[1]), LOG, "belongs at physical offset");
    assert_found(&patch(20, &[0xff]), LOG, "offset -");
    assert_found(&patch(0, &[0; 100]), LOG, "nothing is there");
    let cut = damaged(|places| async move {
        let (path, position) = log_place(places[20]);
        patch_file(&path, position, &vec![0; 4096 - position as usize]).await;
    });
    assert_found(&cut, LOG, "nothing is there, and the next whole record is at");
}

#[test]
fn damaged_files_of_the_log_are_found() {
    assert_found(
        &damaged(|_| async { disk::remove_file(format!("{LOG}/{:020}", 8192)).await.unwrap() }),
        &format!("{:020}", 8192),
        "missing between",
    );
    assert_found(
        &damaged(|_| async { write_file(&format!("{LOG}/{:020}", 4096), &[1; 4000]).await }),
        &format!("{:020}", 4096),
        "4000 bytes instead of 4096",
    );
    assert_found(&damaged(|_| async { write_file(&format!("{LOG}/notes.txt"), b"!").await }), "notes.txt", "20 digits");
    let after_end = damaged(|_| async {
        let last = disk::read_dir(LOG).await.unwrap().pop().unwrap().name;
        patch_file(&format!("{LOG}/{last}"), 4000, b"left over").await;
    });
    assert_found(&after_end, LOG, "bytes after the log's end");
    let blank = damaged(|_| async {
        let file = disk::read(format!("{LOG}/{:020}", 0)).await.unwrap();
        let magic = file.windows(4).rposition(|bytes| bytes == 0xCBD4_3194u32.to_be_bytes()).unwrap();
        patch_file(&format!("{LOG}/{:020}", 0), magic as u64 - 2, &[0, 9]).await;
    });
    assert_found(&blank, LOG, "a blank of");
    let lost_end = damaged(|places| async move {
        let (path, position) = log_place(places[57]);
        patch_file(&path, position, &vec![0; 4096 - position as usize]).await;
        let last = format!("{LOG}/{:020}", places[57].0 / 4096 * 4096 + 4096);
        for entry in disk::read_dir(LOG).await.unwrap() {
            let path = format!("{LOG}/{}", entry.name);
            if path >= last {
                disk::remove_file(path).await.unwrap();
            }
        }
    });
    assert_found(&lost_end, "checkpoint", "flushed up to");
    assert_found(&lost_end, "consumequeue/TopicA", "no such record");
    assert_found(&lost_end, "/index/", "where no record has their keys");
}

#[test]
fn damaged_queues_are_found() {
    let patch = |unit: u64, at: u64, bytes: &'static [u8]| {
        damaged(move |_| async move { patch_file(QUEUE, unit * 20 + at, bytes).await })
    };
    assert_found(&patch(3, 0, &[0; 20]), QUEUE, "has no unit");
    assert_found(&patch(3, 7, &[0xff]), QUEUE, "the unit says");
    assert_found(&patch(3, 11, &[1]), QUEUE, "the unit says");
    assert_found(&patch(3, 19, &[1]), QUEUE, "bytes and tags code");
    let swapped = damaged(|_| async {
        let file = disk::read(QUEUE).await.unwrap();
        patch_file(QUEUE, 40, &[&file[60..80], &file[40..60]].concat()).await;
    });
    assert_found(&swapped, QUEUE, "not behind");
    assert_found(
        &damaged(|_| async { disk::remove_dir_all("/store/consumequeue/TopicB/1").await.unwrap() }),
        "TopicB/1",
        "has no unit",
    );
    let file = "/store/consumequeue/TopicA/0/00000000000000000160";
    assert_found(&damaged(move |_| async move { disk::remove_file(file).await.unwrap() }), file, "missing between");
    assert_found(&damaged(move |_| async move { write_file(file, &[0; 19]).await }), file, "19 bytes instead of 160");
    let extra = damaged(|_| async {
        let directory = "/store/consumequeue/TopicB/0";
        let last = disk::read_dir(directory).await.unwrap().pop().unwrap().name;
        let path = format!("{directory}/{last}");
        let file = disk::read(&path).await.unwrap();
        let end = file.chunks(20).position(|unit| unit[11] == 0).unwrap();
        patch_file(&path, end as u64 * 20, &[0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0]).await;
    });
    assert_found(&extra, "TopicB/0", "no such record");
    let foreign = damaged(|_| async { write_file("/store/consumequeue/TopicA/x/y", b"!").await });
    assert_found(&foreign, "TopicA/x", "queue id");
}

#[test]
fn a_deleted_topic_is_no_damage_and_one_made_anew_counts_from_there() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&config()).await;
                fill(&store).await;
                store.clean_unused_topics(|topic| topic != "TopicA").await.unwrap();
                store.put(keyed(200)).await;
                store.clean_unused_topics(|topic| topic != "TopicB").await.unwrap();
                store.shutdown().await.unwrap();
                assert!(!report().await.is_clean(), "without topics.json nobody knows that it was deleted");
                let topics = br#"{"topicConfigTable":{"TopicA":{"topicName":"TopicA"}}}"#;
                write_file("/store/config/topics.json", topics).await;
                let found = report().await;
                assert!(found.is_clean(), "{found}");
                assert!(found.findings.iter().all(|finding| finding.path.to_string_lossy().contains("TopicB")));
            })
            .await;
    });
}

#[test]
fn a_damaged_index_is_found() {
    let patch = |at: u64, bytes: &'static [u8]| {
        damaged(move |_| async move {
            let first = disk::read_dir("/store/index").await.unwrap().swap_remove(0).name;
            patch_file(&format!("/store/index/{first}"), at, bytes).await;
        })
    };
    let entry = 40 + 7 * 4 + 5 * 20;
    assert_found(&patch(entry, &[0, 0, 0, 1]), "/index/", "chain");
    assert_found(&patch(entry + 4, &[0xff]), "/index/", "negative");
    assert_found(&patch(entry + 10, &[0, 1]), "/index/", "before");
    assert_found(&patch(40, &[0, 0, 0, 2]), "/index/", "slot 0 leads to entry 2");
    assert_found(&patch(36, &[0, 0, 0, 9]), "/index/", "entries of 40");
    // The last byte of the hash may fit the chain all the same, but not the log.
    assert_found(&patch(entry - 20 * 4, &[0, 0, 0, 7]), "/index/", "");
    let lost = damaged(|_| async {
        let mut files = disk::read_dir("/store/index").await.unwrap();
        disk::remove_file(format!("/store/index/{}", files.swap_remove(2).name)).await.unwrap();
    });
    assert_found(&lost, "/index/", "are not in the index");
    let cut = damaged(|_| async {
        let last = disk::read_dir("/store/index").await.unwrap().pop().unwrap().name;
        disk::remove_file(format!("/store/index/{last}")).await.unwrap();
    });
    assert_found(&cut, "/index/", "are not in the index");
}

#[test]
fn damaged_small_files_are_found() {
    let claim = |at: u64| damaged(move |_| async move { patch_file("/store/checkpoint", at, &[0, 0, 0x7f]).await });
    for changed in [0, 8, 16, 24].map(claim) {
        // Another broker's work, perhaps: a start believes nothing of it.
        assert!(changed.is_clean() && changed.to_string().contains("believes nothing of it"), "{changed}");
    }
    assert_found(&damaged(|_| async { write_file("/store/checkpoint", &[0; 7]).await }), "checkpoint", "7 bytes");
    let topics = "/store/config/topics.json";
    assert_found(&damaged(move |_| async move { write_file(topics, b"{\"a\":").await }), topics, "cannot be read");
    assert_found(&damaged(move |_| async move { write_file(topics, b"").await }), topics, "cannot be read");
    let backup = damaged(move |_| async move { write_file("/store/config/topics.json.bak", b"").await });
    assert!(backup.is_clean() && backup.findings.len() == 1, "{backup}");
    assert_found(&damaged(|_| async { write_file("/store/epochs", b"1\n2\n3 4\n").await }), "epochs", "checksum");
}

#[test]
fn damage_below_what_was_flushed_is_found_in_an_open_store() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&config()).await;
                let places = fill(&store).await;
                store.flush().await.unwrap();
                sleep(Duration::from_secs(61)).await;
                let (path, position) = log_place(places[20]);
                patch_file(&path, position + 100, b"?").await;
                patch_file(QUEUE, 47, &[0xff]).await;
                let found = report().await;
                assert!(found.is_open);
                assert_found(&found, LOG, "CRC");
                assert_found(&found, QUEUE, "the unit says");
                // The index still has the three keys of the record that is no message any more.
                assert_found(&found, "/index/", "where no record has its key");
                assert_eq!(found.damages(), 5, "{found}");
            })
            .await;
    });
}

/// The golden store, as far as its captured log goes: what its queues and its index have beyond is said, and nothing else.
#[test]
fn the_golden_store_is_clean_as_far_as_it_was_captured() {
    const GOLDEN_LOG: &[u8] = include_bytes!("../../../protocol/tests/golden/commitlog_head.bin");
    const GOLDEN_QUEUE: &[u8] = include_bytes!("../../../protocol/tests/golden/consumequeue_TopicA_0.bin");
    const GOLDEN_INDEX: &[u8] = include_bytes!("../golden/index_20261122164715519");
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let mut log = GOLDEN_LOG.to_vec();
                log.resize(16_384, 0);
                write_file("/store/commitlog/00000000000000000000", &log).await;
                write_file("/store/consumequeue/TopicA/0/00000000000000000000", GOLDEN_QUEUE).await;
                write_file("/store/index/20261122164715519", GOLDEN_INDEX).await;
                write_file("/store/config/topics.json", br#"{"topicConfigTable":{"TopicA":{}}}"#).await;
                let found = check(CheckOptions::new(STORE)).await.unwrap();
                assert_found(&found, "TopicA/0", "no such record");
                assert_found(&found, "/index/", "4 entries lead to 12347 and beyond");
                assert_found(&found, "/commitlog/", "after the log's end, 12347");
                for finding in found.findings.iter().filter(|finding| finding.severity == Severity::Damage) {
                    let what = &finding.what;
                    let is_beyond = what.contains("no such record") || what.contains("12347");
                    // Of TopicA only one queue was captured.
                    let is_not_captured =
                        ["TopicA/1", "TopicA/2", "TopicA/3"].iter().any(|queue| finding.path.ends_with(queue));
                    assert!(is_beyond || is_not_captured, "{finding}");
                }
                assert_eq!((found.units, found.index_entries), (4, 86), "{found}");

                // Its log and its index, cut to one another: all that Apache wrote is right.
                log[12_347..].fill(0);
                write_file("/store/commitlog/00000000000000000000", &log).await;
                write_file("/store/abort", b"").await;
                let config = StoreConfig {
                    mapped_file_size_commit_log_bytes: 16_384,
                    mapped_file_size_consume_queue_bytes: 6000,
                    max_hash_slot_num: 500,
                    max_index_num: 2000,
                    ..small_config()
                };
                let delays_ms = [0, 1_000, 5_000, 10_000];
                let deliver = move |level: i32, stored_ms: i64| stored_ms + delays_ms[level as usize];
                MessageStore::open(config, Arc::new(deliver)).await.unwrap().shutdown().await.unwrap();
                let found = check(CheckOptions::new(STORE)).await.unwrap();
                assert!(found.is_clean(), "{found}");
                assert_eq!(found.index_entries, 86);
            })
            .await;
    });
}

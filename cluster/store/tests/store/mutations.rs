//! Damage to single files of a store, closed or killed: what was acknowledged is served from the right queue and in order, or
//! the damage is told; and no new message takes the place of a stored one.

use std::{collections::BTreeMap, sync::Arc};

use protocol::QueueOffset;
use store::{MessageStore, StoreConfig};

use crate::{
    machine::on_machine,
    support::{all_bodies, message, open, put, small_config, write_file},
};

type Files = BTreeMap<String, Vec<u8>>;

const TOPICS: [&str; 3] = ["TopicA", "TopicB", "TopicC"];
const QUEUES: i32 = 2;
/// Of each queue.
const MESSAGES: usize = 21;

/// Units of a file of a queue: several files, the last of them not full.
const FILE_UNITS: usize = 8;

fn config() -> StoreConfig {
    StoreConfig { mapped_file_size_consume_queue_bytes: (20 * FILE_UNITS) as u64, ..small_config() }
}

fn body(topic: &str, queue_id: i32, number: usize) -> String {
    format!("{topic}/{queue_id}:{number}")
}

fn queues() -> impl Iterator<Item = (&'static str, i32)> {
    TOPICS.into_iter().flat_map(|topic| (0..QUEUES).map(move |queue_id| (topic, queue_id)))
}

/// The files of a store, as its broker leaves it.
fn written(shut_down: bool) -> Files {
    on_machine(1, move |machine| async move {
        machine
            .run(move || async move {
                let store = open(&config()).await;
                for number in 0..MESSAGES {
                    for (topic, queue_id) in queues() {
                        put(&store, topic, queue_id, body(topic, queue_id, number)).await;
                    }
                }
                store.flush().await.unwrap();
                if shut_down {
                    store.shutdown().await.unwrap();
                }
            })
            .await;
        machine.files().into_iter().collect()
    })
}

async fn check_all(store: &MessageStore, messages: usize, what: &str) {
    for (topic, queue_id) in queues() {
        let expected: Vec<_> = (0..messages).map(|number| body(topic, queue_id, number)).collect();
        assert_eq!(all_bodies(store, topic, queue_id).await, expected, "{what}: {topic}/{queue_id}");
        let max = store.max_offset_in_queue(topic, queue_id);
        assert_eq!(max, QueueOffset(messages as i64), "{what}: {topic}/{queue_id}");
    }
}

/// Opens a store with these files; everything must be there, now, with new messages, and after another start.
fn serves_everything(files: Files, what: impl Into<String>) {
    let what: Arc<str> = what.into().into();
    on_machine(2, move |machine| async move {
        machine
            .run(move || async move {
                for (path, bytes) in &files {
                    write_file(path, bytes).await;
                }
            })
            .await;
        for round in 0..2 {
            let what = Arc::clone(&what);
            machine
                .run(move || async move {
                    let store = open(&config()).await;
                    let messages = MESSAGES + round;
                    // The ends first: a new message must not need that anybody reads.
                    for (topic, queue_id) in queues() {
                        let new = put(&store, topic, queue_id, body(topic, queue_id, messages)).await;
                        assert_eq!(new.queue_offset, QueueOffset(messages as i64), "{what}: {topic}/{queue_id}");
                    }
                    check_all(&store, messages + 1, &what).await;
                    store.shutdown().await.unwrap();
                })
                .await;
        }
    });
}

fn queue_file(topic: &str, queue_id: i32, number: usize) -> String {
    format!("/store/consumequeue/{topic}/{queue_id}/{:020}", number * FILE_UNITS * 20)
}

#[test]
fn a_flipped_bit_in_a_queue_hides_nothing() {
    for shut_down in [true, false] {
        let files = written(shut_down);
        for number in 0..3 {
            let path = queue_file("TopicB", 1, number);
            for byte in 0..20 * FILE_UNITS {
                // Another bit of each byte; over the units of a file each of many.
                let bit = (byte * 5 + byte / 20 + number) % 8;
                let mut harmed = files.clone();
                harmed.get_mut(&path).expect("it is there")[byte] ^= 1 << bit;
                serves_everything(harmed, format!("bit {bit} of byte {byte} of {path}, closed: {shut_down}"));
            }
        }
    }
}

#[test]
fn a_queue_file_that_is_gone_or_another_is_made_anew() {
    for shut_down in [true, false] {
        let files = written(shut_down);
        let what = |what: &str| format!("{what}, closed: {shut_down}");
        for number in 0..3 {
            let path = queue_file("TopicA", 0, number);
            let own = files[&path].clone();
            let harm = |bytes: Vec<u8>, text: &str| {
                let mut harmed = files.clone();
                harmed.insert(path.clone(), bytes);
                serves_everything(harmed, what(&format!("{text} {path}")));
            };
            harm(own[..own.len() - 1].to_vec(), "a byte too few in");
            harm([&own[..], &[0]].concat(), "a byte too many in");
            harm(own[..40].to_vec(), "a part of");
            harm(Vec::new(), "nothing in");
            harm(own.repeat(2), "twice");
            harm(vec![0; own.len()], "zeros in");
            harm(vec![0xff; own.len()], "ones in");
            harm([&own[..60], &[0; 40], &own[100..]].concat(), "a hole in");
            harm(files[&queue_file("TopicA", 1, number)].clone(), "another queue's file as");
            harm(files[&queue_file("TopicB", 0, number)].clone(), "another topic's file as");
            harm(files[&queue_file("TopicA", 0, (number + 1) % 3)].clone(), "another file of the queue as");
            let mut harmed = files.clone();
            harmed.remove(&path);
            serves_everything(harmed, what(&format!("without {path}")));
            for other in [queue_file("TopicA", 1, number), queue_file("TopicC", 0, number)] {
                let mut harmed = files.clone();
                let theirs = harmed.insert(path.clone(), files[&other].clone()).expect("it was there");
                harmed.insert(other.clone(), theirs);
                serves_everything(harmed, what(&format!("{path} and {other} have changed places")));
            }
        }
    }
}

#[test]
fn queues_that_are_gone_are_made_anew() {
    for shut_down in [true, false] {
        let files = written(shut_down);
        for gone in ["/store/consumequeue/TopicB/1/", "/store/consumequeue/TopicB/", "/store/consumequeue/"] {
            let kept = files.iter().filter(|(path, _)| !path.starts_with(gone));
            let harmed = kept.map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
            serves_everything(harmed, format!("without {gone}, closed: {shut_down}"));
        }
        let mut harmed = files.clone();
        for number in 0..3 {
            harmed.insert(queue_file("TopicB", 7, number), files[&queue_file("TopicB", 1, number)].clone());
        }
        serves_everything(harmed, format!("a queue twice, closed: {shut_down}"));
    }
}

#[test]
fn a_changed_checkpoint_claims_nothing() {
    for shut_down in [true, false] {
        let files = written(shut_down);
        for byte in (0..40).chain(1024..1150) {
            let mut harmed = files.clone();
            harmed.get_mut("/store/checkpoint").expect("it is there")[byte] ^= 1 << (byte % 8);
            serves_everything(harmed, format!("byte {byte} of the checkpoint, closed: {shut_down}"));
        }
        for length in [0, 10, 40, 1100] {
            let mut harmed = files.clone();
            harmed.get_mut("/store/checkpoint").expect("it is there").truncate(length);
            serves_everything(harmed, format!("{length} bytes of the checkpoint, closed: {shut_down}"));
        }
    }
}

#[test]
fn a_filter_does_not_pass_over_a_message_whose_tags_code_is_damaged() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&config()).await;
                for number in 0..MESSAGES {
                    let mut message = message("TopicA", 0, format!("{number}"));
                    message.properties = format!("TAGS\u{1}{}", ["red", "blue"][number % 2]);
                    assert!(store.put(message).await.is_ok());
                }
                store.shutdown().await.unwrap();
                let path = queue_file("TopicA", 0, 0);
                let mut file = sim::disk::read(&path).await.unwrap();
                file[2 * 20 + 19] ^= 4;
                file[4 * 20 + 12] ^= 0x80;
                write_file(&path, &file).await;
                let store = open(&config()).await;
                let red = protocol::tags::tags_code(Some("red"));
                let mut found = Vec::new();
                let mut offset = QueueOffset(0);
                while offset.0 < MESSAGES as i64 {
                    let read = store.get_message("TopicA", 0, offset, 32, 1 << 20, |code| code == red).await.unwrap();
                    found.extend(crate::support::bodies(&read.messages));
                    offset = read.next_begin_offset;
                }
                let expected: Vec<_> = (0..MESSAGES).step_by(2).map(|number| number.to_string()).collect();
                assert_eq!(found, expected);
            })
            .await;
    });
}

/// What became of a store that was damaged.
struct Found {
    /// `storeCheck` had nothing to object to.
    is_clean: bool,
    checked: String,
    /// Why it did not open.
    refused: Option<String>,
    /// The start or a reader was told of something.
    is_told: bool,
    /// The start had something to do.
    is_repaired: bool,
    /// Of each queue, what was served.
    served: BTreeMap<(&'static str, i32), Vec<String>>,
}

async fn read_all(store: &MessageStore, topic: &str, queue_id: i32) -> (Vec<String>, bool) {
    let (mut bodies, mut is_told) = (Vec::new(), false);
    let mut offset = store.min_offset_in_queue(topic, queue_id);
    while offset < store.max_offset_in_queue(topic, queue_id) {
        let read = crate::support::get(store, topic, queue_id, offset.0).await;
        bodies.extend(crate::support::bodies(&read.messages));
        is_told |= read.missing > 0;
        assert!(read.next_begin_offset > offset, "{read:?}");
        offset = read.next_begin_offset;
    }
    (bodies, is_told)
}

fn found(files: Files, shut_down: bool) -> Found {
    on_machine(2, move |machine| async move {
        machine
            .run(move || async move {
                for (path, bytes) in &files {
                    write_file(path, bytes).await;
                }
            })
            .await;
        machine
            .run(move || async move {
                let options = store::check::CheckOptions {
                    mapped_file_size_commit_log_bytes: Some(config().mapped_file_size_commit_log_bytes),
                    mapped_file_size_consume_queue_bytes: Some(config().mapped_file_size_consume_queue_bytes),
                    ..store::check::CheckOptions::new(crate::support::STORE)
                };
                let checked = store::check::check(options).await.unwrap();
                let mut found = Found {
                    is_clean: checked.is_clean(),
                    checked: checked.to_string(),
                    refused: None,
                    is_told: false,
                    is_repaired: false,
                    served: BTreeMap::new(),
                };
                let store = match crate::support::try_open(&config()).await {
                    Ok(store) => store,
                    Err(error) => {
                        found.refused = Some(error.to_string());
                        return found;
                    }
                };
                let report = store.recovery_report().clone();
                found.is_told = report.torn_tail.is_some()
                    || report.flushed_but_lost_until.is_some()
                    || report.damaged_tail.is_some();
                found.is_repaired = found.is_told || shut_down && report.redispatched > 0;
                for (topic, queue_id) in queues() {
                    let (bodies, is_told) = read_all(&store, topic, queue_id).await;
                    found.is_told |= is_told;
                    found.served.insert((topic, queue_id), bodies);
                }
                found
            })
            .await
    })
}

/// Damage to one file: its content, or none if it is to be gone.
fn harms(bytes: &[u8], step: usize) -> Vec<(String, Option<Vec<u8>>)> {
    let mut harms = vec![("without it".to_owned(), None)];
    for byte in (0..bytes.len()).step_by(step.max(1)) {
        let bit = (byte / step.max(1)) % 8;
        let mut harmed = bytes.to_vec();
        harmed[byte] ^= 1 << bit;
        harms.push((format!("bit {bit} of byte {byte}"), Some(harmed)));
    }
    if !bytes.is_empty() {
        harms.push(("a byte too few".to_owned(), Some(bytes[..bytes.len() - 1].to_vec())));
        harms.push(("half".to_owned(), Some(bytes[..bytes.len() / 2].to_vec())));
        harms.push(("zeros".to_owned(), Some(vec![0; bytes.len()])));
        let mut hole = bytes.to_vec();
        let middle = bytes.len() / 2;
        hole[middle / 2..middle].fill(0);
        harms.push(("a hole".to_owned(), Some(hole)));
    }
    harms.push(("a byte too many".to_owned(), Some([bytes, b"x"].concat())));
    harms
}

/// Whatever happens to one file: nothing is served wrongly, nothing is missing that nobody was told of, and `storeCheck` and the
/// broker say the same of the store.
#[test]
fn storecheck_and_the_broker_agree_on_damage_to_any_file() {
    let mut objections = Vec::new();
    for shut_down in [true, false] {
        let files = written(shut_down);
        for (path, bytes) in &files {
            let step = match () {
                () if path.contains("/commitlog/") => 61,
                () if path.contains("/consumequeue/") => 23,
                () => (bytes.len() / 40).max(1),
            };
            for (what, harmed) in harms(bytes, step) {
                let mut changed = files.clone();
                match harmed {
                    Some(bytes) => drop(changed.insert(path.clone(), bytes)),
                    None => drop(changed.remove(path)),
                }
                let what = format!("{path}: {what}, closed: {shut_down}");
                let found = found(changed, shut_down);
                if let Some(refused) = &found.refused {
                    if !found.checked.contains(refused) {
                        objections.push(format!("{what}: refused ({refused}), storeCheck says:\n{}", found.checked));
                    }
                    continue;
                }
                if found.checked.contains("does not open this store") {
                    objections.push(format!("{what}: it opens, storeCheck says:\n{}", found.checked));
                }
                if shut_down && found.is_repaired && found.checked.ends_with("0 notes") && found.is_clean {
                    objections.push(format!("{what}: repaired, storeCheck says:\n{}", found.checked));
                }
                let mut is_complete = true;
                for (topic, queue_id) in queues() {
                    let served = &found.served[&(topic, queue_id)];
                    let all: Vec<_> = (0..MESSAGES).map(|number| body(topic, queue_id, number)).collect();
                    let mut expected = all.iter();
                    if !served.iter().all(|body| expected.any(|other| other == body)) {
                        objections.push(format!("{what}: {topic}/{queue_id} serves {served:?}"));
                    }
                    is_complete &= served == &all;
                }
                // Retention, too, removes the oldest file, and a crash may come before the checkpoint says so.
                let is_like_expired = !shut_down && what.contains("/commitlog/00000000000000000000: without it");
                if !is_complete && !found.is_told && found.is_clean && !is_like_expired {
                    objections.push(format!("{what}: something is missing, and nobody was told"));
                }
            }
        }
    }
    assert!(objections.is_empty(), "{} objections:\n{}", objections.len(), objections.join("\n"));
}

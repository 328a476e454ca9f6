//! Putting, reading and looking up, without crashes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use protocol::{QueueOffset, message::MAGIC_V2};
use sim::{disk, time::sleep};
use store::{BoundaryType, FlushDiskType, GetMessageStatus, PutMessageStatus, StoreConfig};

use crate::{
    machine::on_machine,
    support::{all_bodies, bodies, get, message, open, patch_file, put, small_config},
};

#[test]
fn a_full_file_ends_with_a_blank_and_the_next_goes_on() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                for number in 0..20 {
                    put(&store, "TopicA", 0, format!("{number}-{}", "x".repeat(400))).await;
                }
                let expected: Vec<_> = (0..20).map(|number| format!("{number}-{}", "x".repeat(400))).collect();
                assert_eq!(all_bodies(&store, "TopicA", 0).await, expected);
                store.shutdown().await.unwrap();
                let files = disk::read_dir("/store/commitlog").await.unwrap();
                let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
                assert_eq!(
                    names,
                    ["00000000000000000000", "00000000000000004096", "00000000000000008192", "00000000000000012288"],
                    "three in use, one made ahead"
                );
                let first = disk::read("/store/commitlog/00000000000000000000").await.unwrap();
                let record_bytes = i32::from_be_bytes(first[..4].try_into().unwrap()) as usize;
                let blank_at = (0..).map(|n| n * record_bytes).find(|at| at + record_bytes + 8 > 4096).unwrap();
                // The bodies of 10 and more are one byte longer, but those are in later files.
                let blank = &first[blank_at..blank_at + 8];
                assert_eq!(blank[..4], ((4096 - blank_at) as i32).to_be_bytes());
                assert_eq!(blank[4..], 0xCBD4_3194_u32.to_be_bytes());
                let store = open(&small_config()).await;
                assert_eq!(all_bodies(&store, "TopicA", 0).await, expected);
            })
            .await;
    });
}

#[test]
fn every_status_is_rocketmqs() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                let status = |result: store::GetMessageResult| (result.status, result.next_begin_offset.0);
                assert_eq!(status(get(&store, "TopicA", 0, 5).await), (GetMessageStatus::NoMatchedLogicQueue, 0));
                for number in 0..3 {
                    put(&store, "TopicA", 0, format!("{number}")).await;
                }
                assert_eq!(status(get(&store, "TopicA", 0, 0).await), (GetMessageStatus::Found, 3));
                assert_eq!(status(get(&store, "TopicA", 0, 2).await), (GetMessageStatus::Found, 3));
                assert_eq!(status(get(&store, "TopicA", 0, 3).await), (GetMessageStatus::OffsetOverflowOne, 3));
                assert_eq!(status(get(&store, "TopicA", 0, 9).await), (GetMessageStatus::OffsetOverflowBadly, 3));
                assert_eq!(status(get(&store, "TopicA", 0, -1).await), (GetMessageStatus::OffsetTooSmall, 0));
                let none = store.get_message("TopicA", 0, QueueOffset(1), 32, 1 << 20, |_| false).await.unwrap();
                assert_eq!(status(none), (GetMessageStatus::NoMatchedMessage, 3));
                let one = store.get_message("TopicA", 0, QueueOffset(1), 1, 1 << 20, |_| true).await.unwrap();
                assert_eq!(bodies(&one.messages), ["1"]);
                assert_eq!(status(one), (GetMessageStatus::Found, 2));
                let small = store.get_message("TopicA", 0, QueueOffset(0), 32, 1, |_| true).await.unwrap();
                assert_eq!(status(small), (GetMessageStatus::Found, 1), "one message is always given");
                let tag = store.get_message("TopicA", 0, QueueOffset(0), 32, 1 << 20, |tag| tag == 3_552_254);
                assert_eq!(tag.await.unwrap().messages.len(), 3, "the hash of tagX");
            })
            .await;
    });
}

#[test]
fn what_cannot_be_stored_is_refused() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let config = StoreConfig { max_message_size_bytes: 2000, ..small_config() };
                let store = open(&config).await;
                let status = async |message| store.put(message).await.status;
                assert_eq!(status(message("TopicA", 0, vec![0; 2001])).await, PutMessageStatus::MessageIllegal);
                assert_eq!(status(message("a/../../b", 0, "")).await, PutMessageStatus::MessageIllegal);
                assert_eq!(status(message("TopicA", -1, "")).await, PutMessageStatus::MessageIllegal);
                assert_eq!(status(message(&"t".repeat(256), 0, "")).await, PutMessageStatus::MessageIllegal);
                let mut properties = message("TopicA", 0, "");
                properties.properties = "p".repeat(32_768);
                assert_eq!(status(properties).await, PutMessageStatus::PropertiesSizeExceeded);
                let batch = (0..3).map(|_| message("TopicA", 0, vec![0; 1900])).collect();
                assert_eq!(store.put_batch(batch).await.status, PutMessageStatus::MessageIllegal, "longer than a file");
                assert_eq!(store.put_batch(Vec::new()).await.status, PutMessageStatus::MessageIllegal);
                let two = vec![message("TopicA", 0, "a"), message("TopicA", 1, "b")];
                assert_eq!(store.put_batch(two).await.status, PutMessageStatus::MessageIllegal, "two queues");
                put(&store, &"t".repeat(200), 0, "a long topic").await;
                store.shutdown().await.unwrap();
                let refused = store.put(message("TopicA", 0, "late")).await;
                assert_eq!(refused.status, PutMessageStatus::ServiceNotAvailable);
                let log = disk::read("/store/commitlog/00000000000000000000").await.unwrap();
                assert_eq!(log[4..8], MAGIC_V2.to_be_bytes());
            })
            .await;
    });
}

#[test]
fn a_batch_has_consecutive_offsets_and_one_file() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                put(&store, "TopicA", 0, vec![b'a'; 2000]).await;
                let batch = (0..4).map(|number| message("TopicA", 0, format!("{number}{}", "x".repeat(600)))).collect();
                let appended = store.put_batch(batch).await.appended.unwrap();
                assert_eq!(appended.physical_offset.0, 4096, "it does not fit into the first file");
                assert_eq!((appended.queue_offset.0, appended.message_count), (1, 4));
                assert_eq!(appended.message_id.split(',').count(), 4);
                for (id, offset) in appended.message_id.split(',').zip(1..) {
                    let (_, place) = protocol::message_id::decode_offset_message_id(id).unwrap();
                    let by_id = store.look_message_by_offset(place).await.unwrap().unwrap();
                    assert_eq!(by_id, get(&store, "TopicA", 0, offset).await.messages[0]);
                    assert!(store.look_message_by_offset(place + 4).await.unwrap().is_none());
                }
                assert_eq!(put(&store, "TopicA", 0, "next").await.queue_offset.0, 5);
                assert_eq!(put(&store, "TopicA", 1, "other").await.queue_offset.0, 0);
            })
            .await;
    });
}

#[test]
fn under_sync_flush_only_what_is_flushed_is_seen_or_acknowledged() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let config = StoreConfig { flush_disk_type: FlushDiskType::SyncFlush, ..small_config() };
                let store = open(&config).await;
                let seen = Arc::new(Mutex::new(Vec::new()));
                let listener_seen = Arc::clone(&seen);
                store.add_message_arriving_listener(Arc::new(move |request| {
                    listener_seen.lock().unwrap().push((request.queue_offset.0, request.tags_code));
                }));
                let mut hasty = message("TopicA", 0, "hasty");
                hasty.properties = "WAIT\u{1}false".to_owned();
                let result = store.put(hasty).await;
                assert!(result.is_ok());
                assert!(result.appended.unwrap().end_offset > store.flushed_offset(), "WAIT=false does not wait");
                assert_eq!(store.max_offset_in_queue("TopicA", 0), QueueOffset(0), "not visible yet");
                let appended = put(&store, "TopicA", 0, "patient").await;
                assert!(appended.end_offset <= store.flushed_offset());
                assert_eq!(store.max_offset_in_queue("TopicA", 0), QueueOffset(2));
                assert_eq!(*seen.lock().unwrap(), [(0, 0), (1, 3_552_254)]);
                // Those who come during a sync share the next one.
                let puts: Vec<_> = (0..10).map(|n| store.put(message("TopicA", 0, format!("{n}")))).collect();
                for put in puts {
                    assert!(put.await.is_ok());
                }
                assert_eq!(all_bodies(&store, "TopicA", 0).await.len(), 12);
            })
            .await;
    });
}

#[test]
fn async_flush_has_apaches_timing() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let config = StoreConfig { mapped_file_size_commit_log_bytes: 1 << 20, ..small_config() };
                let store = open(&config).await;
                put(&store, "TopicA", 0, "small").await;
                sleep(Duration::from_secs(9)).await;
                assert_eq!(store.flushed_offset().0, 0, "fewer than 4 pages wait for the thorough flush");
                sleep(Duration::from_secs(2)).await;
                assert_eq!(store.flushed_offset(), store.max_physical_offset());
                put(&store, "TopicA", 0, vec![1; 20_000]).await;
                sleep(Duration::from_millis(510)).await;
                assert_eq!(store.flushed_offset(), store.max_physical_offset(), "4 pages do not wait");
            })
            .await;
    });
}

#[test]
fn offsets_are_found_by_time_even_when_the_clock_ran_backwards() {
    on_machine(1, |machine| async move {
        let first = machine
            .run(|| async {
                let store = open(&small_config()).await;
                let mut stored_ms = Vec::new();
                for number in 0..30 {
                    stored_ms.push(
                        put(&store, "TopicA", 0, format!("{number}{}", "x".repeat(500))).await.store_timestamp_ms,
                    );
                    // Three in one millisecond, then a pause.
                    if number % 3 == 2 {
                        sleep(Duration::from_millis(10)).await;
                    }
                }
                for (number, at_ms) in stored_ms.iter().enumerate() {
                    let lower = store.offset_in_queue_by_time("TopicA", 0, *at_ms, BoundaryType::Lower).await.unwrap();
                    let upper = store.offset_in_queue_by_time("TopicA", 0, *at_ms, BoundaryType::Upper).await.unwrap();
                    let first = stored_ms.iter().position(|other| other == at_ms).unwrap();
                    let last = stored_ms.iter().rposition(|other| other == at_ms).unwrap();
                    assert_eq!((lower.0 as usize, upper.0 as usize), (first, last), "message {number}");
                }
                let (first, last) = (stored_ms[0], stored_ms[29]);
                let at = async |ms, boundary| store.offset_in_queue_by_time("TopicA", 0, ms, boundary).await.unwrap().0;
                assert_eq!(at(first - 1, BoundaryType::Lower).await, 0);
                assert_eq!(at(first - 1, BoundaryType::Upper).await, 0);
                assert_eq!(at(last + 1, BoundaryType::Lower).await, 30);
                assert_eq!(at(last + 1, BoundaryType::Upper).await, 29);
                assert_eq!(store.earliest_message_time_ms("TopicA", 0).await.unwrap(), Some(first));
                assert_eq!(store.earliest_store_time_ms().await.unwrap(), Some(first));
                store.shutdown().await.unwrap();
                last
            })
            .await;
        machine.step_clock(-3_600_000);
        machine
            .run(move || async move {
                let store = open(&small_config()).await;
                assert_eq!(put(&store, "TopicA", 0, "later").await.store_timestamp_ms, first);
            })
            .await;
    });
}

#[test]
fn a_record_that_rots_is_not_served() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let config = StoreConfig { tail_cache_max_bytes: 0, ..small_config() };
                let store = open(&config).await;
                let mut places = Vec::new();
                for number in 0..5 {
                    places.push(put(&store, "TopicA", 0, format!("body{number}")).await.physical_offset);
                }
                let path = "/store/commitlog/00000000000000000000";
                patch_file(path, places[2].0 as u64 + 88, b"B").await;
                let result = get(&store, "TopicA", 0, 0).await;
                assert_eq!(bodies(&result.messages), ["body0", "body1", "body3", "body4"]);
                assert_eq!((result.missing, result.next_begin_offset.0), (1, 5));
                assert!(store.look_message_by_offset(places[2]).await.unwrap().is_none());
            })
            .await;
    });
}

#[test]
fn a_deleted_topic_begins_anew() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                for number in 0..20 {
                    put(&store, "TopicA", 0, format!("old{number}")).await;
                    put(&store, "TopicB", 0, format!("{number}")).await;
                }
                store.flush().await.unwrap();
                let removed = store.clean_unused_topics(|topic| topic != "TopicA").await.unwrap();
                assert_eq!(removed, ["TopicA".into()]);
                assert!(!disk::exists("/store/consumequeue/TopicA").await.unwrap());
                assert_eq!(get(&store, "TopicA", 0, 0).await.status, GetMessageStatus::NoMatchedLogicQueue);
                assert_eq!(put(&store, "TopicA", 0, "new").await.queue_offset.0, 0);
                assert_eq!(all_bodies(&store, "TopicA", 0).await, ["new"]);
            })
            .await;
        // Not shut down: the whole log is dispatched again, the old topic's records included.
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                assert_eq!(all_bodies(&store, "TopicA", 0).await, ["new"]);
                assert_eq!(all_bodies(&store, "TopicB", 0).await.len(), 20);
                assert_eq!(store.queue_ids("TopicB"), [0]);
            })
            .await;
    });
}

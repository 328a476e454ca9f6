//! Readers of files that retention deletes at the same moment: clean answers, right bytes, no errors.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use protocol::{
    QueueOffset,
    message::{MessageToStore, parse_record},
};
use sim::{
    rng,
    task::{self, JoinHandle},
    time::sleep,
};
use store::{DeleteWhen, GetMessageStatus, MessageStore, StoreConfig};

use crate::{
    machine::on_machine,
    support::{message, open, small_config},
};

/// Files that may be deleted as soon as they are full; nothing is kept in memory for the readers.
fn config() -> StoreConfig {
    StoreConfig {
        file_reserved_time_hours: 0,
        delete_when: DeleteWhen::hour(0),
        tail_cache_max_bytes: 2000,
        max_hash_slot_num: 7,
        max_index_num: 40,
        ..small_config()
    }
}

fn body(number: i64) -> String {
    format!("{number}-{}", "x".repeat(300))
}

async fn write(store: &MessageStore, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let properties = format!("KEYS\u{1}own{number} all\u{2}");
        let message = MessageToStore { properties, ..message("TopicA", 0, body(number)) };
        assert!(store.put(message).await.is_ok());
    }
}

/// One pull; where to go on.
async fn pull(store: &MessageStore, offset: i64, statuses: &[AtomicUsize; 4]) -> i64 {
    let result = store.get_message("TopicA", 0, QueueOffset(offset), 32, 1 << 20, |_| true).await;
    let result = result.expect("no error");
    let number = match result.status {
        GetMessageStatus::Found => 0,
        GetMessageStatus::OffsetTooSmall => 1,
        GetMessageStatus::MessageWasRemoving | GetMessageStatus::OffsetFoundNull => 2,
        GetMessageStatus::OffsetOverflowOne => 3,
        other => panic!("{other:?} at {offset}: {result:?}"),
    };
    statuses[number].fetch_add(1, Ordering::Relaxed);
    let mut at_least = offset;
    for record in &result.messages {
        let record = parse_record(record).expect("a record");
        record.check_crc().expect("a whole body");
        assert!(record.queue_offset.0 >= at_least, "in order");
        assert_eq!(record.body, body(record.queue_offset.0).as_bytes(), "its own bytes");
        at_least = record.queue_offset.0 + 1;
    }
    let next = result.next_begin_offset.0;
    assert!(next >= at_least && next <= result.max_offset.0, "{result:?}");
    if result.status == GetMessageStatus::OffsetTooSmall {
        assert!(next > offset, "it is told where to go on");
    }
    next
}

#[test]
fn files_are_deleted_under_readers() {
    let mut seen = [0; 2];
    for seed in 0..30 {
        let of_seed = on_machine(seed, |machine| async move {
            machine
                .run(|| async {
                    let store = Arc::new(open(&config()).await);
                    write(&store, 0..300).await;
                    store.flush().await.unwrap();
                    let statuses: Arc<[AtomicUsize; 4]> = Arc::default();
                    let finished = Arc::new(AtomicUsize::new(0));
                    let mut readers: Vec<JoinHandle<()>> = Vec::new();
                    for reader in 0..6 {
                        let (store, statuses, finished) =
                            (Arc::clone(&store), Arc::clone(&statuses), Arc::clone(&finished));
                        readers.push(task::spawn(async move {
                            let mut offset = 0;
                            for _ in 0..60 {
                                offset = match reader {
                                    // Follows what it is told; the others are where the files go.
                                    0 | 1 => pull(&store, offset, &statuses).await,
                                    _ => {
                                        let min = store.min_offset_in_queue("TopicA", 0).0;
                                        let near = min - 3 + rng::below("near", 12).cast_signed();
                                        pull(&store, near.max(0), &statuses).await;
                                        near
                                    }
                                };
                                let key = ["all".to_owned(), format!("own{}", offset.max(0))];
                                let key = &key[rng::below("key", 2) as usize];
                                let found =
                                    store.query_message("TopicA", key, 64, 0, i64::MAX).await.expect("no error");
                                for record in &found.messages {
                                    let record = parse_record(record).expect("a record");
                                    assert_eq!(record.body, body(record.queue_offset.0).as_bytes());
                                }
                                sleep(Duration::from_micros(rng::below("pause", 300))).await;
                            }
                            finished.fetch_add(1, Ordering::Relaxed);
                        }));
                    }
                    let mut written = 300;
                    let mut deleted = 0;
                    while finished.load(Ordering::Relaxed) < readers.len() && written < 20_000 {
                        write(&store, written..written + 20).await;
                        written += 20;
                        store.flush().await.unwrap();
                        deleted += store.clean_expired().await.unwrap();
                        sleep(Duration::from_micros(rng::below("pause of retention", 2000))).await;
                    }
                    for reader in readers {
                        reader.await.expect("it read to its end");
                    }
                    assert!(deleted >= 5, "{deleted}");
                    [statuses[0].load(Ordering::Relaxed), statuses[1].load(Ordering::Relaxed)]
                })
                .await
        });
        seen = [seen[0] + of_seed[0], seen[1] + of_seed[1]];
    }
    assert!(seen[0] > 1000 && seen[1] > 30, "messages and offsets too small: {seen:?}");
}

//! What a put is answered, and what consumers see, under the roles of a master.

use std::time::Duration;

use protocol::QueueOffset;
use sim::{
    task,
    time::{Instant, sleep},
};
use store::{Availability, FlushDiskType, MessageStore, PutMessageStatus, StoreConfig, SyncReplication};

use crate::{
    machine::on_machine,
    support::{message, open, put, small_config},
};

const SYNC: Option<SyncReplication> = Some(SyncReplication { slave_timeout: Duration::from_secs(3) });

fn sync_master() -> StoreConfig {
    StoreConfig { flush_disk_type: FlushDiskType::SyncFlush, ..small_config() }
}

fn visible(store: &MessageStore) -> QueueOffset {
    store.max_offset_in_queue("TopicA", 0)
}

#[test]
fn a_put_waits_for_its_slaves_and_is_visible_when_it_is_answered() {
    for config in [small_config(), sync_master()] {
        on_machine(1, |machine| async move {
            machine
                .run(move || async move {
                    let store = std::sync::Arc::new(open(&config).await);
                    let replication = store.replication();
                    replication.set_sync(SYNC);
                    replication.set_holds_back(true);
                    let here = std::sync::Arc::clone(&store);
                    let answered = task::spawn(async move {
                        let result = here.put(message("TopicA", 0, "a")).await;
                        (result.status, visible(&here))
                    });
                    sleep(Duration::from_secs(1)).await;
                    assert!(!answered.is_finished());
                    assert_eq!(visible(&store), QueueOffset(0), "held back");
                    replication.advance(store.max_physical_offset());
                    assert_eq!(answered.await.unwrap(), (PutMessageStatus::PutOk, QueueOffset(1)));
                    assert_eq!(replication.replicated(), store.max_physical_offset());

                    let begun = Instant::now();
                    let late = store.put(message("TopicA", 0, "b")).await;
                    assert_eq!(late.status, PutMessageStatus::FlushSlaveTimeout);
                    assert!(late.appended.is_some() && begun.elapsed() >= Duration::from_secs(3));
                    assert_eq!(visible(&store), QueueOffset(1));
                    let mut unwaited = message("TopicA", 0, "c");
                    unwaited.properties.push_str("\u{2}WAIT\u{1}false");
                    assert!(store.put(unwaited).await.is_ok());
                    replication.set_holds_back(false);
                    store.flush().await.unwrap();
                    assert_eq!(visible(&store), QueueOffset(3), "let go");
                    replication.set_holds_back(true);
                    assert_eq!(visible(&store), QueueOffset(3), "nothing is taken back");
                    replication.set_sync(None);
                    put(&store, "TopicA", 0, "d").await;
                    assert_eq!(visible(&store), QueueOffset(4), "an ASYNC_MASTER holds nothing back");
                })
                .await;
        });
    }
}

#[test]
fn each_put_that_waits_for_slaves_has_its_own_time() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                store.replication().set_sync(SYNC);
                let mut waiting = Vec::new();
                // A second life of the queue of those who wait: the first three are answered before the others come.
                for (number, pause_ms) in [0, 400, 700, 5_000, 10, 2_000].into_iter().enumerate() {
                    sleep(Duration::from_millis(pause_ms)).await;
                    let (put, begun) = (store.put(message("TopicA", 0, number.to_string())), Instant::now());
                    waiting.push(task::spawn(async move { (put.await, begun.elapsed()) }));
                }
                for answer in waiting {
                    let (result, took) = answer.await.unwrap();
                    assert_eq!(result.status, PutMessageStatus::FlushSlaveTimeout);
                    assert!(result.appended.is_some(), "it is stored");
                    assert!((Duration::from_secs(3)..Duration::from_millis(3_100)).contains(&took), "{took:?}");
                }
                let put = task::spawn(store.put(message("TopicA", 0, "in time")));
                sleep(Duration::from_secs(1)).await;
                store.replication().advance(store.max_physical_offset());
                assert!(put.await.unwrap().is_ok());
            })
            .await;
    });
}

#[test]
fn a_put_that_waits_for_slaves_when_the_store_goes_is_not_said_to_be_unstored() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                store.replication().set_sync(SYNC);
                let put = task::spawn(store.put(message("TopicA", 0, "a")));
                sleep(Duration::from_secs(1)).await;
                assert!(!put.is_finished());
                store.shutdown().await.unwrap();
                drop(store);
                let result = put.await.unwrap();
                assert_eq!(result.status, PutMessageStatus::FlushSlaveTimeout);
                assert!(result.appended.is_some());
            })
            .await;
    });
}

#[test]
fn too_few_slaves_are_said_at_once() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                let replication = store.replication();
                replication.set_sync(SYNC);
                replication.set_availability(Availability::NotEnough);
                let begun = Instant::now();
                let result = store.put(message("TopicA", 0, "a")).await;
                assert_eq!(result.status, PutMessageStatus::SlaveNotAvailable);
                assert!(result.appended.is_some() && begun.elapsed() < Duration::from_secs(1));
                assert_eq!(visible(&store), QueueOffset(1));

                replication.set_availability(Availability::Refuse("1 of 2 replicas".into()));
                let end = store.max_physical_offset();
                let result = store.put(message("TopicA", 0, "b")).await;
                assert_eq!(result.status, PutMessageStatus::InSyncReplicasNotEnough);
                assert_eq!(result.remark.as_deref(), Some("1 of 2 replicas"));
                assert_eq!(store.max_physical_offset(), end, "not stored");
                let mut unwaited = message("TopicA", 0, "c");
                unwaited.properties.push_str("\u{2}WAIT\u{1}false");
                assert!(store.put(unwaited).await.is_ok());

                replication.set_availability(Availability::Enough);
                replication.advance(store.max_physical_offset() + 1_000_000);
                assert_eq!(replication.replicated(), store.max_physical_offset(), "no slave has what is not written");
                let result = store.put(message("TopicA", 0, "d")).await;
                assert_eq!(result.status, PutMessageStatus::FlushSlaveTimeout);

                store.refuse_puts(Some("recovering".into()));
                let result = store.put(message("TopicA", 0, "e")).await;
                assert_eq!(result.status, PutMessageStatus::ServiceNotAvailable);
                assert_eq!(store.refusal().as_deref(), Some("recovering"));
                store.refuse_puts(None);
                replication.set_sync(None);
                put(&store, "TopicA", 0, "f").await;
            })
            .await;
    });
}

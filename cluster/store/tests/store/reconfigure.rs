//! Settings that change while the store is open, and cleaning up out of turn.

use std::time::Duration;

use sim::time::sleep;
use store::{GetMessageStatus, PutMessageStatus, StoreConfig, StoreError};

use crate::{
    machine::on_machine,
    support::{get, message, open, put, small_config},
};

#[test]
fn a_changed_setting_counts_from_now_on() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                for _ in 0..20 {
                    put(&store, "TopicA", 0, "x".repeat(100)).await;
                }
                assert_eq!(get(&store, "TopicA", 0, 0).await.messages.len(), 20);
                let mut wanted = store.config().clone();
                wanted.max_message_size_bytes = 99;
                wanted.max_transfer_count_on_message_in_memory = 3;
                // Not while it is open.
                wanted.mapped_file_size_commit_log_bytes = 1 << 30;
                store.reconfigure(&wanted).unwrap();
                assert_eq!(get(&store, "TopicA", 0, 0).await.messages.len(), 3);
                let refused = store.put(message("TopicA", 0, "x".repeat(100))).await;
                assert_eq!(refused.status, PutMessageStatus::MessageIllegal, "{refused:?}");
                assert!(refused.remark.unwrap().contains("maxMessageSize is 99"));
                wanted.max_message_size_bytes = 100;
                store.reconfigure(&wanted).unwrap();
                put(&store, "TopicA", 0, "x".repeat(100)).await;
                assert_eq!(store.config().mapped_file_size_commit_log_bytes, 4096);
                wanted.flush_interval_consume_queue_ms = 0;
                wanted.max_message_size_bytes = 1;
                let error = store.reconfigure(&wanted).unwrap_err();
                assert!(matches!(error, StoreError::Setting { .. }), "{error}");
                assert_eq!(store.config().max_message_size_bytes, 100, "all or nothing");
            })
            .await;
    });
}

/// A store with files of an hour ago, at an hour that is not `deleteWhen`.
async fn old_files() -> store::MessageStore {
    let config = StoreConfig { file_reserved_time_hours: 72, delete_when: "23".parse().unwrap(), ..small_config() };
    let store = open(&config).await;
    for number in 0..40 {
        put(&store, "TopicA", 0, format!("{number}-{}", "x".repeat(400))).await;
    }
    sleep(Duration::from_secs(2 * 3600)).await;
    put(&store, "TopicA", 0, "young").await;
    sleep(Duration::from_secs(60)).await;
    store
}

#[test]
fn retention_follows_changed_settings() {
    on_machine(2, |machine| async move {
        machine
            .run(|| async {
                let store = old_files().await;
                let mut wanted = store.config().clone();
                wanted.file_reserved_time_hours = 1;
                store.reconfigure(&wanted).unwrap();
                sleep(Duration::from_secs(60)).await;
                assert_eq!(store.min_physical_offset().0, 0, "it is not the hour");
                wanted.delete_when = "02".parse().unwrap();
                store.reconfigure(&wanted).unwrap();
                sleep(Duration::from_secs(60)).await;
                assert!(store.min_physical_offset().0 > 0, "it is two o'clock");
            })
            .await;
    });
}

#[test]
fn an_operator_lets_old_files_go_at_any_hour() {
    on_machine(3, |machine| async move {
        machine
            .run(|| async {
                let store = old_files().await;
                store.delete_expired_soon();
                sleep(Duration::from_secs(60)).await;
                assert_eq!(store.min_physical_offset().0, 0, "they are within their time");
                let wanted = StoreConfig { file_reserved_time_hours: 1, ..store.config().clone() };
                store.reconfigure(&wanted).unwrap();
                store.delete_expired_soon();
                sleep(Duration::from_secs(60)).await;
                let min = store.min_physical_offset();
                assert!(min.0 > 0);
                store.delete_expired_queues().await.unwrap();
                let first = store.min_offset_in_queue("TopicA", 0);
                assert_eq!(get(&store, "TopicA", 0, first.0).await.status, GetMessageStatus::Found);
                // After twenty rounds it is as before.
                sleep(Duration::from_secs(300)).await;
                for _ in 0..40 {
                    put(&store, "TopicA", 0, "x".repeat(400)).await;
                }
                sleep(Duration::from_secs(2 * 3600)).await;
                assert_eq!(store.min_physical_offset(), min);
            })
            .await;
    });
}

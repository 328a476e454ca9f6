//! What a store with many queues asks of its drive: to begin with them, to start again, and after a kill.

use std::sync::Arc;

use protocol::QueueOffset;
use sim::world::{Crash, DiskStats};
use store::{MessageStore, StoreConfig};
use tokio::sync::Notify;

use crate::{
    machine::on_machine,
    support::{all_bodies, open, put, small_config},
};

const TOPICS: usize = 40;
const QUEUES_OF_TOPIC: i32 = 8;
const QUEUES: u64 = TOPICS as u64 * QUEUES_OF_TOPIC.unsigned_abs() as u64;

/// Nothing is flushed but when it is asked for.
fn config() -> StoreConfig {
    let never = 3_600_000;
    StoreConfig {
        mapped_file_size_commit_log_bytes: 1 << 20,
        flush_interval_consume_queue_ms: never,
        flush_consume_queue_thorough_interval_ms: never,
        ..small_config()
    }
}

fn queues() -> impl Iterator<Item = (String, i32)> {
    (0..TOPICS).flat_map(|topic| (0..QUEUES_OF_TOPIC).map(move |queue_id| (format!("Topic{topic}"), queue_id)))
}

async fn put_in_each(store: &MessageStore, body: &str) {
    for (topic, queue_id) in queues() {
        put(store, &topic, queue_id, format!("{topic}/{queue_id} {body}")).await;
    }
}

async fn check_each(store: &MessageStore, bodies: &[&str]) {
    for (topic, queue_id) in queues() {
        let expected: Vec<_> = bodies.iter().map(|body| format!("{topic}/{queue_id} {body}")).collect();
        assert_eq!(all_bodies(store, &topic, queue_id).await, expected);
    }
}

fn syncs_since(now: &DiskStats, before: &DiskStats) -> (u64, u64) {
    (now.syncs - before.syncs, now.dir_syncs - before.dir_syncs)
}

#[test]
fn a_flush_syncs_each_queue_once_and_directories_for_all_of_their_queues() {
    on_machine(1, |machine| async move {
        let (go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (gone, is_done) = (Arc::clone(&go), Arc::clone(&done));
        machine.start(move || async move {
            let store = open(&config()).await;
            for body in ["first", "second"] {
                put_in_each(&store, body).await;
                is_done.notify_one();
                gone.notified().await;
                store.flush().await.unwrap();
                is_done.notify_one();
            }
            std::future::pending::<()>().await;
        });
        // Of the log and the checkpoint are some.
        for (what, syncs_max, dir_syncs_max) in
            [("new files", QUEUES + 5, QUEUES + TOPICS as u64 + 10), ("files that are there", QUEUES + 5, 5)]
        {
            done.notified().await;
            let before = machine.disk_stats();
            go.notify_one();
            done.notified().await;
            let (syncs, dir_syncs) = syncs_since(&machine.disk_stats(), &before);
            assert!(syncs <= syncs_max && dir_syncs <= dir_syncs_max, "{what}: {syncs} and {dir_syncs} syncs");
        }
        machine.crash(Crash::Power);
        machine.run(|| async { check_each(&open(&config()).await, &["first", "second"]).await }).await;
    });
}

/// What was not flushed when the process was killed is dispatched again to where it is, and then made durable.
#[test]
fn a_start_after_a_kill_changes_nothing_in_queues_that_are_right() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&config()).await;
                put_in_each(&store, "first").await;
                store.flush().await.unwrap();
            })
            .await;
        let of_queues = |files: Vec<(String, Vec<u8>)>| -> Vec<_> {
            files.into_iter().filter(|(path, _)| path.contains("/consumequeue/")).collect()
        };
        machine.crash(Crash::Process);
        let files = of_queues(machine.files());
        let before = machine.disk_stats();
        machine
            .run(|| async {
                let store = open(&config()).await;
                assert!(store.recovery_report().abnormal);
                check_each(&store, &["first"]).await;
            })
            .await;
        let now = machine.disk_stats();
        let (syncs, dir_syncs) = syncs_since(&now, &before);
        assert!(syncs + dir_syncs < 30, "{syncs} and {dir_syncs} syncs");
        assert!(of_queues(machine.files()) == files, "nothing has changed");
        machine
            .run(|| async {
                let store = open(&config()).await;
                put_in_each(&store, "second").await;
                store.flush().await.unwrap();
            })
            .await;
        machine.crash(Crash::Power);
        machine
            .run(|| async {
                let store = open(&config()).await;
                check_each(&store, &["first", "second"]).await;
                assert_eq!(store.max_offset_in_queue("Topic7", 3), QueueOffset(2));
            })
            .await;
    });
}

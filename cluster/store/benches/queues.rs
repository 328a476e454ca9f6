//! What many queues cost, on the real drive.
//!
//! `cargo bench -p store --features real --bench queues` (`-- --quick` for a twentieth, `-- --expired` with a log that has lost its
//! beginning): a message for each of 40,000 queues, 8 of a topic; then in seconds: the sends, the first flush and what a send waits
//! meanwhile, the start after a stop, and the start after a kill. And what the store takes of the drive, and of descriptors.
#![allow(clippy::disallowed_methods, reason = "what the operating system says of files and descriptors")]

use std::{fs, net::SocketAddr, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration};

use protocol::{PhysicalOffset, message::MessageToStore};
use sim::time::{Instant, sleep};
use store::{MessageStore, StoreConfig};
use tokio::runtime::{Builder, Runtime};

const QUEUES_OF_TOPIC: usize = 8;

fn runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("threads can be had")
}

fn config(directory: &Path) -> StoreConfig {
    // Nothing is flushed but when it is asked for.
    let never = 3_600_000;
    StoreConfig {
        flush_interval_consume_queue_ms: never,
        flush_consume_queue_thorough_interval_ms: never,
        mapped_file_size_commit_log_bytes: if std::env::args().any(|argument| argument == "--expired") {
            1 << 20
        } else {
            1 << 30
        },
        ..StoreConfig::new(directory)
    }
}

async fn open(directory: &Path) -> MessageStore {
    MessageStore::open(config(directory), Arc::new(|_, stored_ms| stored_ms)).await.expect("the store opens")
}

fn message(topic: String, queue_id: usize) -> MessageToStore {
    MessageToStore {
        topic,
        queue_id: i32::try_from(queue_id).expect("there are eight"),
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: 0,
        born_host: SocketAddr::from(([127, 0, 0, 1], 1)),
        store_host: SocketAddr::from(([127, 0, 0, 1], 10911)),
        reconsume_times: 0,
        prepared_transaction_offset: PhysicalOffset::ZERO,
        body: vec![b'x'; 100].into(),
        properties: String::new(),
    }
}

async fn put_in_each(store: &MessageStore, queues: usize) {
    let messages =
        (0..queues).map(|queue| message(format!("Topic{}", queue / QUEUES_OF_TOPIC), queue % QUEUES_OF_TOPIC));
    let puts: Vec<_> = messages.map(|message| store.put(message)).collect();
    for put in puts {
        assert!(put.await.is_ok());
    }
}

/// The longest that a send waits until `flush` is done.
async fn slowest_send_during(store: &MessageStore, flush: impl Future<Output = ()>) -> Duration {
    tokio::pin!(flush);
    let mut slowest = Duration::ZERO;
    loop {
        let began = Instant::now();
        let sent = async {
            assert!(store.put(message("Other".to_owned(), 0)).await.is_ok());
            slowest = slowest.max(began.elapsed());
            sleep(Duration::from_millis(5)).await;
        };
        tokio::select! {
            biased;
            () = sent => {}
            () = &mut flush => return slowest,
        }
    }
}

fn blocks_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("it can be read").path());
    let of = |path: std::path::PathBuf| {
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        metadata.blocks() * 512 + if metadata.is_dir() { blocks_bytes(&path) } else { 0 }
    };
    entries.map(of).sum()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let queues = if is_quick { 2_000 } else { 40_000 };
    let directory = tempfile::tempdir_in(".").expect("a directory can be made");
    let path = directory.path();
    println!("{queues} queues");
    let measured = |what: &str, began: Instant| println!("{what}: {:.2} s", began.elapsed().as_secs_f64());
    runtime().block_on(async {
        let store = open(path).await;
        let began = Instant::now();
        put_in_each(&store, queues).await;
        measured("a send to each", began);
        let began = Instant::now();
        let slowest = slowest_send_during(&store, async { store.flush().await.expect("the drive works") }).await;
        measured("the first flush", began);
        println!("the slowest send meanwhile: {} ms", slowest.as_millis());
        put_in_each(&store, queues).await;
        let began = Instant::now();
        store.flush().await.expect("the drive works");
        measured("the next flush", began);
        println!("descriptors: {}", descriptors());
        println!("of the drive for queues: {} MiB", blocks_bytes(&path.join("consumequeue")) >> 20);
        store.shutdown().await.expect("the drive works");
    });
    if std::env::args().any(|argument| argument == "--expired") {
        let log = fs::read_dir(path.join("commitlog")).expect("it is there");
        let mut files: Vec<_> = log.map(|entry| entry.expect("it can be read").path()).collect();
        files.sort();
        files.iter().take(2).for_each(|file| fs::remove_file(file).expect("it is there"));
    }
    for what in ["the start after a stop", "the start after a kill"] {
        // The runtime's end is the process's: the store is not shut down.
        runtime().block_on(async {
            let began = Instant::now();
            let store = open(path).await;
            measured(what, began);
            assert!(store.max_offset_in_queue("Topic0", 0).0 > 0);
        });
    }
}

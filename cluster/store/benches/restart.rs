//! The start after a kill, on the real drive.
//!
//! `cargo bench -p store --features real --bench restart` (`-- --quick` for a tenth): with the settings that a broker has by
//! default (files of 1 GiB, everything flushed by time), stores of 100 MB and 3 GB of messages of 1 KiB with keys, in 64 queues, are
//! opened again as a kill leaves them, twice: while messages come, and when nothing has come for a while. The
//! aim: 250 ms and half a second for each GB behind the checkpoint; 2 s for 3 GB.
#![allow(clippy::disallowed_methods, reason = "what the operating system counts")]

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use protocol::{PhysicalOffset, message::MessageToStore};
use sim::time::{Instant, sleep};
use store::{MessageStore, StoreConfig};
use tokio::runtime::{Builder, Runtime};

const QUEUES: usize = 64;
/// Puts that wait together.
const AT_A_TIME: usize = 1_000;
const BODY_BYTES: usize = 1024;
/// Longer than everything that is flushed by time takes.
const QUIET: Duration = Duration::from_secs(15);
const GB: f64 = 1e9;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads can be had")
}

async fn open(directory: &Path) -> MessageStore {
    let config = StoreConfig::new(directory);
    MessageStore::open(config, Arc::new(|_, stored_ms| stored_ms)).await.expect("the store opens")
}

fn message(number: usize) -> MessageToStore {
    MessageToStore {
        topic: "Topic".to_owned(),
        queue_id: i32::try_from(number % QUEUES).expect("there are few"),
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: 0,
        born_host: SocketAddr::from(([127, 0, 0, 1], 1)),
        store_host: SocketAddr::from(([127, 0, 0, 1], 10911)),
        reconsume_times: 0,
        prepared_transaction_offset: PhysicalOffset::ZERO,
        body: vec![b'x'; BODY_BYTES].into(),
        properties: format!("KEYS\u{1}{number:016x}\u{2}"),
    }
}

async fn put_until(store: &MessageStore, bytes: i64) {
    let mut number = 0;
    while store.max_physical_offset().0 < bytes {
        let puts: Vec<_> = (0..AT_A_TIME).map(|next| store.put(message(number + next))).collect();
        for put in puts {
            assert!(put.await.is_ok());
        }
        number += AT_A_TIME;
    }
}

/// What the process has had the drive or its cache read, in bytes (`rchar` of proc(5)).
fn read_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").expect("proc(5)");
    io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok()).expect("proc(5)")
}

fn main() {
    let part = if std::env::args().any(|argument| argument == "--quick") { 0.1 } else { 1.0 };
    println!("the start after a kill; files of 1 GiB; aim: 250 ms and 0.5 s for each GB behind the checkpoint");
    for gigabytes in [0.1 * part, 3.0 * part] {
        for (what, quiet) in [("while messages come", Duration::ZERO), ("after a while of silence", QUIET)] {
            let directory = tempfile::tempdir_in(".").expect("a directory can be made");
            let path = directory.path();
            // The runtime's end is the process's: the store is not shut down.
            runtime().block_on(async {
                let store = open(path).await;
                put_until(&store, (gigabytes * GB) as i64).await;
                sleep(quiet).await;
            });
            runtime().block_on(async {
                let (began, read_before) = (Instant::now(), read_bytes());
                let store = open(path).await;
                let (took, read) = (began.elapsed(), read_bytes() - read_before);
                let report = store.recovery_report();
                let behind = (report.end_offset.0 - report.scanned_from.0) as f64 / GB;
                let aim = Duration::from_secs_f64(0.25 + 0.5 * behind);
                let verdict = if took > aim { "  MISSED" } else { "" };
                println!(
                    "{gigabytes:>5.2} GB, {what:<25} {:>6.2} s, {behind:.2} GB behind, {:.2} GB read{verdict}",
                    took.as_secs_f64(),
                    read as f64 / GB,
                );
                store.shutdown().await.expect("the drive works");
            });
        }
    }
}

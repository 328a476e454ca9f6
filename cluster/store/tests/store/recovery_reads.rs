//! What recovery reads follows what was written, and not the size of files; what it erases is gone.

use sim::{disk, world::Crash};
use store::StoreConfig;

use crate::{
    machine::on_machine,
    support::{all_bodies, message, open, patch_file, put, try_open, write_file},
};

const LOG_FILE: &str = "/store/commitlog/00000000000000000000";
const MIB: u64 = 1 << 20;

/// Files as large as by default, or nearly.
fn large_config() -> StoreConfig {
    StoreConfig { mapped_file_size_commit_log_bytes: 256 * MIB, ..StoreConfig::new("/store") }
}

async fn put_large(store: &store::MessageStore, count: usize, bytes: usize) {
    for number in 0..count {
        let result = store.put(message("TopicA", (number % 8) as i32, vec![b'x'; bytes])).await;
        assert!(result.is_ok(), "{result:?}");
    }
}

#[test]
fn a_start_after_a_crash_reads_the_log_and_not_what_was_only_reserved() {
    for crash in [Crash::Process, Crash::Os, Crash::Power] {
        on_machine(1, |machine| async move {
            let log_bytes = machine
                .run(|| async {
                    let store = open(&large_config()).await;
                    put_large(&store, 200, 10_000).await;
                    store.flush().await.unwrap();
                    store.max_physical_offset().0.cast_unsigned()
                })
                .await;
            for _ in 0..2 {
                machine.crash(crash);
                let before = machine.read_bytes();
                machine
                    .run(|| async {
                        let store = open(&large_config()).await;
                        assert!(store.recovery_report().abnormal);
                        assert_eq!(store.max_offset_in_queue("TopicA", 7).0, 25);
                    })
                    .await;
                let read = machine.read_bytes() - before;
                assert!(read <= 3 * log_bytes + MIB, "{read} bytes were read of a log of {log_bytes} after {crash:?}");
            }
        });
    }
}

/// As a copy leaves it that knows nothing of holes, or Apache's `warmMapedFileEnable`.
#[test]
fn written_zeros_behind_the_log_are_not_all_read() {
    on_machine(1, |machine| async move {
        let config = || StoreConfig { mapped_file_size_commit_log_bytes: 96 * MIB, ..large_config() };
        let log_bytes = machine
            .run(move || async move {
                let store = open(&config()).await;
                put_large(&store, 50, 10_000).await;
                store.flush().await.unwrap();
                let end = store.max_physical_offset().0.cast_unsigned();
                let log = disk::read(LOG_FILE).await.unwrap();
                write_file(LOG_FILE, &log).await;
                end
            })
            .await;
        let before = machine.read_bytes();
        machine
            .run(move || async move {
                let store = open(&config()).await;
                assert_eq!(store.max_offset_in_queue("TopicA", 1).0, 7);
            })
            .await;
        let read = machine.read_bytes() - before;
        assert!(read <= 3 * log_bytes + 30 * MIB, "{} MiB were read of a log of {log_bytes} bytes", read / MIB);
    });
}

/// More of it than is looked at before it is erased.
#[test]
fn a_long_tail_is_kept_erased_and_never_rises_again() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&large_config()).await;
                put(&store, "TopicA", 0, "first").await;
                let hole = put(&store, "TopicA", 0, "second").await.physical_offset;
                put_large(&store, 400, 10_000).await;
                patch_file(LOG_FILE, hole.0.cast_unsigned(), &[0; 100]).await;
            })
            .await;
        machine
            .run(|| async {
                let store = open(&large_config()).await;
                let kept = store.recovery_report().damaged_tail.as_ref().expect("whole records follow");
                assert!(disk::metadata(kept).await.unwrap().len > 4_000_000);
                assert_eq!(all_bodies(&store, "TopicA", 0).await, ["first"]);
            })
            .await;
        machine.crash(Crash::Power);
        machine
            .run(|| async {
                let store = open(&large_config()).await;
                assert_eq!(all_bodies(&store, "TopicA", 0).await, ["first"]);
                assert_eq!(store.recovery_report().damaged_tail, None);
                let end = store.max_physical_offset().0 as usize;
                let log = disk::read(LOG_FILE).await.unwrap();
                assert!(log[end..].iter().all(|byte| *byte == 0), "erased");
            })
            .await;
    });
}

/// A page that never reached the drive is no end of the log before others that did, however much lies between.
#[test]
fn what_was_flushed_is_looked_for_behind_any_number_of_zeros() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let store = open(&large_config()).await;
                let hole = put(&store, "TopicA", 0, "first").await.end_offset;
                put_large(&store, 3_000, 10_000).await;
                store.flush().await.unwrap();
                let last = put(&store, "TopicA", 0, "last").await.physical_offset;
                store.flush().await.unwrap();
                patch_file(LOG_FILE, hole.0.cast_unsigned(), &vec![0; (last - hole) as usize]).await;
            })
            .await;
        let error = machine.run(|| async { try_open(&large_config()).await.map(drop).unwrap_err().to_string() }).await;
        assert!(error.contains("although it had been flushed"), "{error}");
    });
}

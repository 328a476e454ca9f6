//! The same store on the real machine: the seam's two bodies agree on what it needs.
#![cfg(feature = "real")]

use std::{net::SocketAddr, path::Path, sync::Arc};

use protocol::{
    PhysicalOffset, QueueOffset,
    message::{MessageToStore, parse_record},
};
use store::{FlushDiskType, MessageStore, PutMessageStatus, StoreConfig, StoreError};

async fn open(directory: &Path, flush_disk_type: FlushDiskType) -> Result<MessageStore, StoreError> {
    let config = StoreConfig {
        mapped_file_size_commit_log_bytes: 64 << 10,
        mapped_file_size_consume_queue_bytes: 20 * 100,
        flush_disk_type,
        tail_cache_max_bytes: 10_000,
        ..StoreConfig::new(directory)
    };
    MessageStore::open(config, Arc::new(|_, stored_ms| stored_ms)).await
}

fn message(number: usize) -> MessageToStore {
    MessageToStore {
        topic: "TopicA".to_owned(),
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: 0,
        born_host: SocketAddr::from(([127, 0, 0, 1], 1)),
        store_host: SocketAddr::from(([127, 0, 0, 1], 10911)),
        reconsume_times: 0,
        prepared_transaction_offset: PhysicalOffset::ZERO,
        body: number.to_string().repeat(50).into(),
        properties: String::new(),
    }
}

async fn check(store: &MessageStore, count: usize) {
    let mut offset = QueueOffset(0);
    while offset.0 < count as i64 {
        let result = store.get_message("TopicA", 0, offset, 32, 1 << 20, |_| true).await.unwrap();
        for (record, number) in result.messages.iter().zip(offset.0..) {
            assert_eq!(parse_record(record).unwrap().body, number.to_string().repeat(50).as_bytes());
        }
        assert!(result.next_begin_offset > offset, "{result:?}");
        offset = result.next_begin_offset;
    }
    assert_eq!(store.max_offset_in_queue("TopicA", 0), QueueOffset(count as i64));
}

#[test]
fn a_store_is_written_dropped_and_opened_again() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut count = 0;
    for flush_disk_type in [FlushDiskType::AsyncFlush, FlushDiskType::SyncFlush, FlushDiskType::AsyncFlush] {
        for shut_down in [false, true] {
            // The runtime's end is the process's end: every task is gone, and with it the lock.
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            count = runtime.block_on(async {
                let store = open(directory.path(), flush_disk_type).await.unwrap();
                assert!(matches!(open(directory.path(), flush_disk_type).await, Err(StoreError::Locked { .. })));
                check(&store, count).await;
                let puts: Vec<_> = (count..count + 400).map(|number| store.put(message(number))).collect();
                for put in puts {
                    assert_eq!(put.await.status, PutMessageStatus::PutOk);
                }
                check(&store, count + 400).await;
                if shut_down {
                    store.shutdown().await.unwrap();
                }
                count + 400
            });
        }
    }
    runtime.block_on(async {
        let store = open(directory.path(), FlushDiskType::SyncFlush).await.unwrap();
        assert!(!store.recovery_report().abnormal);
        check(&store, count).await;
    });
}

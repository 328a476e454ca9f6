//! Messages and stores to test with.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use protocol::{PhysicalOffset, QueueOffset, message::MessageToStore, message::parse_record};
use sim::disk::{self, OpenOptions};
use store::{DeliverTimestamp, GetMessageResult, MessageStore, StoreConfig, StoreError};

pub const STORE: &str = "/store";

/// Small files, so that they roll over often.
pub fn small_config() -> StoreConfig {
    StoreConfig {
        mapped_file_size_commit_log_bytes: 4096,
        mapped_file_size_consume_queue_bytes: 20 * 8,
        ..StoreConfig::new(STORE)
    }
}

/// Every delay level is so many seconds.
pub fn deliver_timestamp() -> DeliverTimestamp {
    Arc::new(|level, store_timestamp_ms| store_timestamp_ms + i64::from(level) * 1000)
}

pub async fn try_open(config: &StoreConfig) -> Result<MessageStore, StoreError> {
    MessageStore::open(config.clone(), deliver_timestamp()).await
}

pub async fn open(config: &StoreConfig) -> MessageStore {
    try_open(config).await.expect("the store opens")
}

pub fn message(topic: &str, queue_id: i32, body: impl Into<Bytes>) -> MessageToStore {
    MessageToStore {
        topic: topic.to_owned(),
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: 1,
        born_host: SocketAddr::from(([127, 0, 0, 1], 35286)),
        store_host: SocketAddr::from(([127, 0, 0, 1], 10911)),
        reconsume_times: 0,
        prepared_transaction_offset: PhysicalOffset::ZERO,
        body: body.into(),
        properties: "TAGS\u{1}tagX".to_owned(),
    }
}

pub async fn put(store: &MessageStore, topic: &str, queue_id: i32, body: impl Into<Bytes>) -> store::Appended {
    let result = store.put(message(topic, queue_id, body)).await;
    assert!(result.is_ok(), "{result:?}");
    result.appended.expect("it is stored")
}

pub async fn get(store: &MessageStore, topic: &str, queue_id: i32, offset: i64) -> GetMessageResult {
    store.get_message(topic, queue_id, QueueOffset(offset), 32, 1 << 20, |_| true).await.expect("the drive reads")
}

pub fn bodies(messages: &[Bytes]) -> Vec<String> {
    let body = |record: &Bytes| {
        let record = parse_record(record).expect("a record");
        record.check_crc().expect("a whole body");
        String::from_utf8_lossy(record.body).into_owned()
    };
    messages.iter().map(body).collect()
}

/// All bodies of a queue.
pub async fn all_bodies(store: &MessageStore, topic: &str, queue_id: i32) -> Vec<String> {
    let mut all = Vec::new();
    let mut offset = store.min_offset_in_queue(topic, queue_id);
    while offset < store.max_offset_in_queue(topic, queue_id) {
        let result = get(store, topic, queue_id, offset.0).await;
        all.extend(bodies(&result.messages));
        assert!(result.next_begin_offset > offset, "{result:?}");
        offset = result.next_begin_offset;
    }
    all
}

/// Writes a file of its own, as an operator or a foreign program would.
pub async fn write_file(path: &str, bytes: &[u8]) {
    let parent = std::path::Path::new(path).parent().expect("an absolute path of a file");
    disk::create_dir_all(parent).await.expect("a directory");
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).await.expect("a file");
    file.write_all_at(bytes, 0).await.expect("a write");
    file.sync_all().await.expect("a sync");
    disk::sync_dir(parent).await.expect("a sync");
}

/// Overwrites a part of a file.
pub async fn patch_file(path: &str, position: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).await.expect("a file");
    file.write_all_at(bytes, position).await.expect("a write");
    file.sync_all().await.expect("a sync");
}

//! A store directory that Apache's 4.9.8 broker wrote (see cluster/protocol/tests/golden).

use std::net::SocketAddr;

use protocol::{
    PhysicalOffset, QueueOffset,
    message::{MessageToStore, parse_record, patch_store_timestamp},
};
use sim::disk;
use store::{MessageStore, StoreConfig};

use crate::{
    machine::on_machine,
    support::{STORE, all_bodies, bodies, get, write_file},
};

const LOG: &[u8] = include_bytes!("../../../protocol/tests/golden/commitlog_head.bin");
const QUEUE: &[u8] = include_bytes!("../../../protocol/tests/golden/consumequeue_TopicA_0.bin");
const DELAY_QUEUE: &[u8] = include_bytes!("../../../protocol/tests/golden/consumequeue_SCHEDULE_TOPIC_XXXX_2.bin");
const LOG_FILE: &str = "/store/commitlog/00000000000000000000";
const QUEUE_FILE: &str = "/store/consumequeue/TopicA/0/00000000000000000000";
const DELAY_QUEUE_FILE: &str = "/store/consumequeue/SCHEDULE_TOPIC_XXXX/2/00000000000000000000";
/// Where the last whole record ends.
const LOG_END: i64 = 12_347;
const FILE_BYTES: usize = 16_384;

fn config() -> StoreConfig {
    StoreConfig {
        mapped_file_size_commit_log_bytes: FILE_BYTES as u64,
        mapped_file_size_consume_queue_bytes: 6000,
        // 4.9.8 knows no checksum of the whole record.
        enabled_append_prop_crc: false,
        ..StoreConfig::new(STORE)
    }
}

async fn open() -> MessageStore {
    let delays_ms = [0, 1_000, 5_000, 10_000];
    let deliver = move |level: i32, stored_ms: i64| stored_ms + delays_ms[level as usize];
    MessageStore::open(config(), std::sync::Arc::new(deliver)).await.unwrap()
}

async fn write_log() {
    let mut file = LOG.to_vec();
    file.resize(FILE_BYTES, 0);
    write_file(LOG_FILE, &file).await;
}

#[test]
fn apaches_log_is_read_and_its_queues_are_rebuilt_as_apache_built_them() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                write_log().await;
                let store = open().await;
                assert_eq!(store.max_physical_offset(), PhysicalOffset(LOG_END));
                assert!(store.recovery_report().torn_tail.is_some(), "the captured bytes end within a record");
                assert_eq!(all_bodies(&store, "TopicA", 0).await, ["hello0", "hello4", "hello1", "hello5"]);
                assert_eq!(store.max_offset_in_queue("RMQ_SYS_TRANS_HALF_TOPIC", 0), QueueOffset(8));
                let first = get(&store, "TopicA", 0, 0).await;
                assert_eq!(first.messages[0], LOG[..211], "the bytes of the record are given out as they are");
                store.shutdown().await.unwrap();
                // What the captured log still has of these queues.
                for (file, golden, units) in [(QUEUE_FILE, QUEUE, 4), (DELAY_QUEUE_FILE, DELAY_QUEUE, 3)] {
                    let rebuilt = disk::read(file).await.unwrap();
                    assert_eq!(rebuilt[..units * 20], golden[..units * 20]);
                    assert!(rebuilt[units * 20..].iter().all(|byte| *byte == 0));
                    assert_eq!(rebuilt.len(), 6000);
                }
            })
            .await;
    });
}

#[test]
fn apaches_queues_are_read() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                write_log().await;
                write_file(QUEUE_FILE, QUEUE).await;
                write_file(DELAY_QUEUE_FILE, DELAY_QUEUE).await;
                let store = open().await;
                assert_eq!(bodies(&get(&store, "TopicA", 0, 2).await.messages), ["hello1", "hello5"]);
                assert_eq!(
                    store.max_offset_in_queue("TopicA", 0),
                    QueueOffset(4),
                    "its fifth record is not in the log"
                );
                assert_eq!(store.max_offset_in_queue("SCHEDULE_TOPIC_XXXX", 2), QueueOffset(3));
            })
            .await;
    });
}

#[test]
fn our_record_of_the_same_message_has_the_same_bytes() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let golden = parse_record(LOG).unwrap();
                let store = open().await;
                let message = MessageToStore {
                    topic: golden.topic.to_owned(),
                    queue_id: golden.queue_id,
                    flag: golden.flag,
                    sys_flag: golden.sys_flag,
                    born_timestamp_ms: golden.born_timestamp_ms,
                    born_host: golden.born_host,
                    store_host: SocketAddr::from(([127, 0, 0, 1], 10911)),
                    reconsume_times: golden.reconsume_times,
                    prepared_transaction_offset: golden.prepared_transaction_offset,
                    body: golden.body.to_vec().into(),
                    properties: String::from_utf8(golden.properties.to_vec()).unwrap(),
                };
                let appended = store.put(message).await.appended.unwrap();
                assert_eq!(appended.message_id, "7F00000100002A9F0000000000000000");
                store.shutdown().await.unwrap();
                let mut log = disk::read(LOG_FILE).await.unwrap();
                patch_store_timestamp(&mut log, golden.store_timestamp_ms);
                assert_eq!(log[..211], LOG[..211]);
                assert!(log[211..].iter().all(|byte| *byte == 0));
                assert_eq!(disk::read(QUEUE_FILE).await.unwrap()[..40], [&QUEUE[..20], &[0; 20]].concat());
            })
            .await;
    });
}

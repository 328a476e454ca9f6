//! Questions that are cheap to ask and would be dear to answer: each does a bounded amount of work.

use std::time::Duration;

use protocol::{PhysicalOffset, message::MessageToStore};
use sim::time::Instant;
use store::StoreConfig;

use crate::{
    machine::on_machine,
    support::{bodies, message, open, small_config},
};

/// Where the body of a record begins: IPv4 addresses, no flags.
const BODY_POSITION: i64 = 88;
const MAGIC_V1: [u8; 4] = 0xDAA3_20A7_u32.to_be_bytes();

/// A body that begins like a record of `total_bytes` that stands at `offset`.
fn like_a_record(total_bytes: i32, offset: PhysicalOffset) -> Vec<u8> {
    let mut body = vec![0; 200];
    body[..4].copy_from_slice(&total_bytes.to_be_bytes());
    body[4..8].copy_from_slice(&MAGIC_V1);
    body[28..36].copy_from_slice(&offset.0.to_be_bytes());
    body
}

#[test]
fn a_place_within_a_body_is_no_reason_to_read_what_the_body_says() {
    on_machine(1, |machine| async move {
        let config =
            StoreConfig { mapped_file_size_commit_log_bytes: 512 << 20, tail_cache_max_bytes: 0, ..small_config() };
        let here = config.clone();
        let places = machine
            .run(move || async move {
                let store = open(&here).await;
                let first = store.put(message("T", 0, (400_i32 << 20).to_be_bytes().repeat(50))).await;
                let first = first.appended.expect("it is stored");
                let within_second = first.end_offset + BODY_POSITION;
                let second = store.put(message("T", 0, like_a_record(400 << 20, within_second))).await;
                let second = second.appended.expect("it is stored");
                store.shutdown().await.unwrap();
                [first.physical_offset + BODY_POSITION, second.physical_offset + BODY_POSITION]
            })
            .await;
        // A machine that was off has nothing in memory: what is read takes its time.
        machine.crash(sim::world::Crash::Power);
        machine
            .run(move || async move {
                let store = open(&config).await;
                for place in places {
                    let asked_at = Instant::now();
                    assert_eq!(store.look_message_by_offset(place).await.expect("the drive reads"), None);
                    assert!(asked_at.elapsed() < Duration::from_millis(1), "{place}: {:?}", asked_at.elapsed());
                }
                for place in [i64::MIN, -1, 1, i64::MAX - 1, i64::MAX] {
                    let found = store.look_message_by_offset(PhysicalOffset(place)).await;
                    assert_eq!(found.expect("the drive reads"), None, "{place}");
                }
            })
            .await;
    });
}

/// Two keys with one `String.hashCode`: 31 · 'o' + 't' = 31 · 'p' + 'U'.
const HOT: &str = "hot";
const COLLIDES: &str = "hpU";

async fn put_keyed(store: &store::MessageStore, key: &str, body: &str) -> i64 {
    let message =
        MessageToStore { properties: format!("KEYS\u{1}{key}\u{2}"), ..message("T", 0, body.as_bytes().to_vec()) };
    let appended = store.put(message).await.appended.expect("it is stored");
    appended.store_timestamp_ms
}

#[test]
fn a_query_behind_a_hot_key_ends_and_says_where_to_go_on() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let config = StoreConfig {
                    mapped_file_size_commit_log_bytes: 64 << 20,
                    mapped_file_size_consume_queue_bytes: 20 * 50_000,
                    max_hash_slot_num: 7,
                    max_index_num: 200_000,
                    ..small_config()
                };
                let store = open(&config).await;
                put_keyed(&store, COLLIDES, "behind").await;
                sim::time::sleep(Duration::from_secs(5)).await;
                let mut first_hot_ms = 0;
                for number in 0..40_000 {
                    let stored_ms = put_keyed(&store, HOT, "x").await;
                    if number == 0 {
                        first_hot_ms = stored_ms;
                    }
                }
                let query = async |key, end_ms| store.query_message("T", key, 32, 0, end_ms).await.expect("it reads");
                let hot = query(HOT, i64::MAX).await;
                assert_eq!(
                    (hot.messages.len(), hot.cut_at_ms),
                    (32, None),
                    "what is found is not searched for in vain"
                );
                let cut = query(COLLIDES, i64::MAX).await;
                let cut_at_ms = cut.cut_at_ms.expect("too many are of the same hash");
                assert!(cut.messages.is_empty() && cut_at_ms >= first_hot_ms, "{cut:?}");
                let earlier = query(COLLIDES, first_hot_ms - 1000).await;
                assert_eq!((bodies(&earlier.messages), earlier.cut_at_ms), (vec!["behind".to_owned()], None));
            })
            .await;
    });
}

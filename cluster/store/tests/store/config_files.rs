//! topics.json and its siblings: whole at every moment, readable from Apache's.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use sim::{disk, world::Crash};
use store::{ConfigFile, StoreError};

use crate::{machine::on_machine, support::write_file};

const PATH: &str = "/store/config/consumerOffset.json";

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offsets {
    offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

fn offsets(offset: i64) -> Offsets {
    Offsets { offset_table: BTreeMap::from([("TopicA@group".to_owned(), BTreeMap::from([(0, offset)]))]) }
}

#[test]
fn apaches_file_is_read() {
    let golden = include_bytes!("../../../protocol/tests/golden/consumerOffset.json");
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                write_file(PATH, golden).await;
                let loaded: Offsets = ConfigFile::new(PATH).load().await.unwrap().unwrap();
                assert_eq!(loaded.offset_table["TopicA@cg1"], BTreeMap::from([(0, 4), (1, 4), (2, 4), (3, 4)]));
            })
            .await;
    });
}

#[test]
fn the_backup_stands_in() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let file = ConfigFile::new(PATH);
                assert_eq!(file.load::<Offsets>().await.unwrap(), None);
                file.store(&offsets(1)).await.unwrap();
                file.store(&offsets(2)).await.unwrap();
                assert_eq!(file.load().await.unwrap(), Some(offsets(2)));
                write_file(PATH, b"{\"offsetTable\":{").await;
                assert_eq!(file.load().await.unwrap(), Some(offsets(1)));
                write_file(PATH, b"").await;
                assert_eq!(file.load().await.unwrap(), Some(offsets(1)));
                disk::remove_file(PATH).await.unwrap();
                assert_eq!(file.load().await.unwrap(), Some(offsets(1)));
                write_file(&format!("{PATH}.bak"), b"no json").await;
                assert!(matches!(file.load::<Offsets>().await, Err(StoreError::ConfigFile { .. })));
            })
            .await;
    });
}

#[test]
fn a_power_loss_leaves_the_old_or_the_new() {
    for seed in 0..40 {
        on_machine(seed, |machine| async move {
            machine.run(|| async { ConfigFile::new(PATH).store(&offsets(0)).await.unwrap() }).await;
            machine.start(|| async {
                for offset in 1.. {
                    ConfigFile::new(PATH).store(&offsets(offset)).await.unwrap();
                    write_file("/done", offset.to_string().as_bytes()).await;
                }
            });
            machine.sleep(Duration::from_micros(500 * seed + 300)).await;
            machine.crash(Crash::Power);
            machine
                .run(|| async {
                    let loaded: Offsets = ConfigFile::new(PATH).load().await.unwrap().expect("never lost");
                    let found = loaded.offset_table["TopicA@group"][&0];
                    let done = disk::read("/done").await.unwrap_or_default();
                    let done: i64 = String::from_utf8(done).unwrap().parse().unwrap_or(0);
                    assert!(found >= done, "{found} after {done} was stored");
                })
                .await;
        });
    }
}

/// A digit that is another digit is good JSON, and skips messages.
#[test]
fn a_flipped_bit_is_noticed_and_the_backup_stands_in() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let file = ConfigFile::new(PATH);
                file.store(&offsets(1_000)).await.unwrap();
                file.store(&offsets(1_500)).await.unwrap();
                let written = disk::read(PATH).await.unwrap();
                let plain: serde_json::Value = serde_json::from_slice(&written).unwrap();
                assert_eq!(plain["offsetTable"]["TopicA@group"]["0"], 1_500, "a table as Apache's broker reads it");
                for bit in 0..written.len() * 8 {
                    let mut harmed = written.clone();
                    harmed[bit / 8] ^= 1 << (bit % 8);
                    write_file(PATH, &harmed).await;
                    let loaded: Offsets = file.load().await.unwrap().expect("one of the two is whole");
                    assert!(loaded == offsets(1_500) || loaded == offsets(1_000), "bit {bit}: {loaded:?}");
                }
                // Both.
                let digit = written.windows(4).position(|digits| digits == b"1500").unwrap();
                let mut harmed = written.clone();
                harmed[digit] = b'9';
                write_file(PATH, &harmed).await;
                write_file(&format!("{PATH}.bak"), &harmed).await;
                let error = file.load::<Offsets>().await.unwrap_err().to_string();
                assert!(error.contains("checksum is wrong") && error.contains(PATH), "{error}");
            })
            .await;
    });
}

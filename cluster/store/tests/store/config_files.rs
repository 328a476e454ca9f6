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

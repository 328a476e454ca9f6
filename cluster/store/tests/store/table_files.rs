//! topics.json and its journal: what was confirmed is there after any crash and any damage to one of the files.

use std::{collections::BTreeMap, time::Duration};

use protocol::body::{DataVersion, JsonBody, TopicConfig, TopicConfigSerializeWrapper};
use sim::{disk, world::Crash};
use store::{LoadedTable, StoreError, TableChange, TableFile};

use crate::{
    machine::on_machine,
    support::{patch_file, write_file},
};

const PATH: &str = "/store/config/topics.json";
const BACKUP: &str = "/store/config/topics.json.bak";
const JOURNAL: &str = "/store/config/topics.json.journal";

type Topics = TableFile<TopicConfigSerializeWrapper>;

fn set(table: &mut TopicConfigSerializeWrapper, name: &str, queues: i32) -> TableChange<TopicConfig> {
    let row = TopicConfig::new(name, queues, 6);
    table.topic_config_table.insert(name.to_owned(), row.clone());
    table.data_version.next_version(7);
    TableChange { data_version: table.data_version.clone(), rows: BTreeMap::from([(name.to_owned(), Some(row))]) }
}

fn remove(table: &mut TopicConfigSerializeWrapper, name: &str) -> TableChange<TopicConfig> {
    table.topic_config_table.remove(name);
    table.data_version.next_version(8);
    TableChange { data_version: table.data_version.clone(), rows: BTreeMap::from([(name.to_owned(), None)]) }
}

async fn load() -> LoadedTable<TopicConfigSerializeWrapper> {
    Topics::new(PATH).load().await.unwrap()
}

/// A file with the topics A and B; and, in the journal, C, a changed A, and B no more.
async fn written() -> TopicConfigSerializeWrapper {
    let mut file = Topics::new(PATH);
    let mut table = TopicConfigSerializeWrapper::default();
    assert!(file.load().await.unwrap().table.is_none() && !file.takes_changes());
    set(&mut table, "A", 4);
    set(&mut table, "B", 4);
    file.store(table.clone()).await.unwrap();
    for change in [set(&mut table, "C", 1), set(&mut table, "A", 8), remove(&mut table, "B")] {
        file.append(&change).await.unwrap();
    }
    table
}

#[test]
fn changes_are_read_again_and_added_to_and_the_whole_is_what_apache_reads() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let mut table = written().await;
                let mut file = Topics::new(PATH);
                let loaded = file.load().await.unwrap();
                assert_eq!((loaded.table.as_ref(), loaded.is_older, loaded.is_written), (Some(&table), None, false));
                assert!(file.takes_changes());
                file.append(&set(&mut table, "D", 2)).await.unwrap();
                assert_eq!(load().await.table, Some(table.clone()));
                file.store(table.clone()).await.unwrap();
                let loaded = load().await;
                assert_eq!((loaded.table.as_ref(), loaded.is_written), (Some(&table), true));
                for path in [PATH, BACKUP] {
                    let alone = TopicConfigSerializeWrapper::decode(&disk::read(path).await.unwrap()).unwrap();
                    assert_eq!(alone, table, "{path}");
                }
                assert_eq!(disk::read(JOURNAL).await.unwrap().iter().filter(|byte| **byte == b'\n').count(), 1);
            })
            .await;
    });
}

#[test]
fn damage_to_one_of_the_copies_costs_nothing() {
    for path in [PATH, BACKUP] {
        for damage in [&b""[..], b"{\"topicConfigTable\":", &[0; 100]] {
            on_machine(1, move |machine| async move {
                machine
                    .run(move || async move {
                        let table = written().await;
                        write_file(path, damage).await;
                        let loaded = load().await;
                        assert_eq!((loaded.table, loaded.is_older), (Some(table.clone()), None), "{path}");
                        disk::remove_file(path).await.unwrap();
                        assert_eq!(load().await.table, Some(table));
                    })
                    .await;
            });
        }
    }
}

#[test]
fn a_row_that_the_file_has_lost_is_kept_at_hand() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let table = written().await;
                Topics::new(PATH).store(table.clone()).await.unwrap();
                // One letter of a name is another: it is JSON all the same.
                let text = String::from_utf8(disk::read(PATH).await.unwrap()).unwrap();
                write_file(PATH, text.replace("\"A\":", "\"Q\":").as_bytes()).await;
                let loaded = load().await;
                assert_eq!(loaded.spare.keys().collect::<Vec<_>>(), ["A"]);
                assert_eq!(loaded.spare["A"].read_queue_nums, 8);
                assert!(!loaded.is_written);
            })
            .await;
    });
}

#[test]
fn an_older_file_and_an_older_backup_are_told_from_what_was_written_last() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let mut table = written().await;
                let older = disk::read(PATH).await.unwrap();
                let mut file = Topics::new(PATH);
                file.store(table.clone()).await.unwrap();
                file.append(&set(&mut table, "D", 3)).await.unwrap();
                write_file(PATH, &older).await;
                let loaded = load().await;
                assert!(loaded.is_older.is_some_and(|why| why.contains("older than what this broker wrote last")));
                let topics = loaded.table.unwrap().topic_config_table;
                assert_eq!(topics.keys().collect::<Vec<_>>(), ["A", "B", "D"], "what the journal has is added");
                assert_eq!(loaded.spare.keys().collect::<Vec<_>>(), ["C"]);
                write_file(BACKUP, &older).await;
                disk::remove_file(PATH).await.unwrap();
                let loaded = load().await;
                assert!(loaded.is_older.is_some_and(|why| why.contains("its backup is older")));
                assert!(loaded.table.unwrap().topic_config_table.contains_key("D"));
                // Without the file, only the journal.
                disk::remove_file(BACKUP).await.unwrap();
                let loaded = load().await;
                assert!(loaded.is_older.is_some() && loaded.table.unwrap().topic_config_table.contains_key("D"));
                write_file(PATH, b"{").await;
                assert!(matches!(Topics::new(PATH).load().await, Err(StoreError::ConfigFile { .. })));
            })
            .await;
    });
}

#[test]
fn what_another_broker_has_written_counts_and_what_it_did_not_know_is_added() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let ours = written().await;
                // It knew A and B, and has made X since.
                let mut theirs = TopicConfigSerializeWrapper::decode(&disk::read(PATH).await.unwrap()).unwrap();
                set(&mut theirs, "X", 5);
                disk::rename(PATH, BACKUP).await.unwrap();
                write_file(PATH, &theirs.encode_pretty()).await;
                let loaded = load().await;
                let topics = loaded.table.unwrap().topic_config_table;
                assert_eq!(topics.keys().collect::<Vec<_>>(), ["A", "B", "C", "X"]);
                assert_eq!((topics["A"].read_queue_nums, &topics["C"]), (4, &ours.topic_config_table["C"]));
                assert!(loaded.is_older.is_some_and(|why| why.contains("lacks what its journal has")));
            })
            .await;
    });
}

#[test]
fn a_damaged_line_hides_no_other() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                written().await;
                let text = String::from_utf8(disk::read(JOURNAL).await.unwrap()).unwrap();
                let lines: Vec<_> = text.split_inclusive('\n').collect();
                patch_file(JOURNAL, (lines[0].len() + 30) as u64, b"\0\n").await;
                let mut file = Topics::new(PATH);
                let loaded = file.load().await.unwrap();
                let topics = loaded.table.unwrap().topic_config_table;
                assert_eq!(topics.keys().collect::<Vec<_>>(), ["A"], "C is lost, B is gone");
                assert_eq!(topics["A"].read_queue_nums, 8);
                assert!(loaded.is_older.is_some_and(|why| why.contains("is damaged")) && !file.takes_changes());
                // Cut off at its end, it has lost what was never confirmed.
                write_file(JOURNAL, &text.as_bytes()[..text.len() - 3]).await;
                let loaded = load().await;
                assert!(loaded.is_older.is_none() && loaded.table.unwrap().topic_config_table.contains_key("B"));
            })
            .await;
    });
}

#[test]
fn a_power_loss_leaves_all_that_was_confirmed() {
    for seed in 0..40 {
        on_machine(seed, |machine| async move {
            machine.run(|| async { drop(written().await) }).await;
            machine.start(|| async {
                let mut file = Topics::new(PATH);
                let mut table = file.load().await.unwrap().table.unwrap();
                for number in 0.. {
                    let change = set(&mut table, "D", number);
                    if number % 5 == 4 || !file.takes_changes() {
                        file.store(table.clone()).await.unwrap();
                    } else {
                        file.append(&change).await.unwrap();
                    }
                    write_file("/done", number.to_string().as_bytes()).await;
                }
            });
            machine.sleep(Duration::from_micros(700 * seed + 300)).await;
            machine.crash(Crash::Power);
            machine
                .run(|| async {
                    let loaded = load().await;
                    assert_eq!(loaded.is_older, None);
                    let table = loaded.table.expect("never lost");
                    let found = table.topic_config_table.get("D").map_or(-1, |row| row.read_queue_nums);
                    let done = disk::read("/done").await.unwrap_or_default();
                    let done: i32 = String::from_utf8(done).unwrap().parse().unwrap_or(-1);
                    assert!(found >= done, "{found} after {done} was confirmed");
                    assert_eq!(table.data_version.counter, 5 + i64::from(found + 1));
                    assert_ne!(table.data_version, DataVersion::default());
                })
                .await;
        });
    }
}

#[test]
fn a_change_that_failed_or_was_given_up_is_written_with_the_whole() {
    on_machine(1, |machine| async move {
        machine.start(|| async {
            let mut table = written().await;
            let mut file = Topics::new(PATH);
            file.load().await.unwrap();
            sim::time::sleep(Duration::from_secs(2)).await;
            assert!(file.append(&set(&mut table, "D", 1)).await.is_err());
            assert!(!file.takes_changes());
            file.store(table.clone()).await.unwrap();
            assert!(file.takes_changes());
            assert_eq!(load().await.table, Some(table.clone()));
            let given_up = set(&mut table, "E", 1);
            let cut_short = sim::time::timeout(Duration::from_nanos(1), file.append(&given_up)).await;
            assert!(cut_short.is_err());
            assert!(!file.takes_changes(), "nobody knows what of it was written");
            write_file("/done", b"1").await;
            std::future::pending::<()>().await;
        });
        machine.sleep(Duration::from_secs(1)).await;
        machine.fail_next_sync();
        machine.sleep(Duration::from_secs(5)).await;
        assert!(machine.files().iter().any(|(path, _)| path == "/done"), "it came to its end");
    });
}

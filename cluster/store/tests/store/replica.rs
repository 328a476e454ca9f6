//! A log that is copied to another store: byte for byte, queue by queue, whatever crashes on the way.

use std::time::Duration;

use bytes::Bytes;
use protocol::{PhysicalOffset, QueueOffset};
use sim::{disk, world::Crash};
use store::{
    CommonPoint, CutError, EpochEntry, FlushDiskType, MessageStore, OpenOptions, StoreConfig, StoreError, common_point,
};

use crate::{
    machine::on_machine,
    support::{all_bodies, deliver_timestamp, message, open, patch_file, put, small_config, try_open},
};

fn slave_config() -> StoreConfig {
    StoreConfig { store_path_root_dir: "/slave".into(), ..small_config() }
}

async fn put_bodies(store: &MessageStore, range: std::ops::Range<usize>) {
    for number in range {
        let body = format!("{number}{}", "x".repeat(number * 37 % 300));
        put(store, ["TopicA", "TopicB"][number % 2], (number % 3) as i32, body).await;
    }
}

async fn bodies(store: &MessageStore) -> Vec<String> {
    let mut all = Vec::new();
    for topic in ["TopicA", "TopicB"] {
        for queue_id in 0..3 {
            all.extend(all_bodies(store, topic, queue_id).await);
        }
    }
    all
}

/// Copies what the slave lacks in pieces of `chunk` bytes, with the epochs it belongs to.
async fn copy(master: &MessageStore, slave: &MessageStore, chunk: usize) -> Result<(), StoreError> {
    let is_empty = slave.min_physical_offset() == slave.max_physical_offset();
    let from = if is_empty { master.min_physical_offset() } else { slave.max_physical_offset() };
    let mut cutter = slave.record_cutter(from);
    let epochs = master.epochs();
    let mut adopted = None;
    loop {
        let at = cutter.expected();
        let of = epochs.iter().rfind(|epoch| epoch.start <= at).copied().expect("every byte has an epoch");
        let next = epochs.iter().find(|epoch| epoch.start > at).map_or(i64::MAX, |next| next.start.0);
        let most = chunk.min(usize::try_from(next - at.0).unwrap_or(usize::MAX));
        let bytes = master.read_log(at, most).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        if adopted != Some(of) {
            slave.adopt_epoch(of).await?;
            adopted = Some(of);
        }
        cutter.feed(bytes);
        while let Some((at, records)) = cutter.take().expect("it is a log") {
            slave.append_replica(at, records).await?;
        }
    }
}

fn files(all: &[(String, Vec<u8>)], root: &str) -> Vec<(String, Vec<u8>)> {
    let prefix = format!("{root}/commitlog/");
    let of_log = all.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&prefix)?.to_owned(), bytes.clone())));
    // Files made ahead of time.
    of_log.filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).collect()
}

#[test]
fn a_copy_is_the_same_byte_for_byte() {
    for (chunk, flush_disk_type) in
        [(50, FlushDiskType::AsyncFlush), (700, FlushDiskType::SyncFlush), (1 << 20, FlushDiskType::AsyncFlush)]
    {
        on_machine(1, |machine| async move {
            machine
                .run(move || async move {
                    let master = open(&small_config()).await;
                    let config = StoreConfig { flush_disk_type, ..slave_config() };
                    let slave = open(&config).await;
                    slave.refuse_puts(Some("a slave takes no puts".into()));
                    let mut written = slave.subscribe_written();
                    put_bodies(&master, 0..60).await;
                    copy(&master, &slave, chunk).await.unwrap();
                    put_bodies(&master, 60..90).await;
                    copy(&master, &slave, chunk).await.unwrap();
                    assert_eq!(*written.borrow_and_update(), master.max_physical_offset());
                    assert!(!slave.put(message("TopicA", 0, "refused")).await.is_ok());
                    slave.flush().await.unwrap();
                    assert_eq!(*slave.subscribe_flushed().borrow(), master.max_physical_offset());
                    assert_eq!(bodies(&slave).await, bodies(&master).await);
                    assert_eq!(slave.queues(), master.queues());
                    assert_eq!(slave.next_offset_in_queue("TopicA", 0), master.next_offset_in_queue("TopicA", 0));
                    assert_eq!(*slave.epochs(), *master.epochs());
                    assert_eq!(
                        common_point(&slave.history(), &master.history()),
                        CommonPoint::At(master.max_physical_offset())
                    );
                })
                .await;
            let all = machine.files();
            assert!(files(&all, "/store").len() > 5);
            assert_eq!(files(&all, "/slave"), files(&all, "/store"));
            machine
                .run(|| async {
                    let (master, slave) = (open(&small_config()).await, open(&slave_config()).await);
                    assert_eq!(bodies(&slave).await, bodies(&master).await);
                    // It goes on as a log of its own.
                    put(&slave, "TopicA", 0, "own").await;
                    assert_eq!(slave.epochs().len(), 2);
                })
                .await;
        });
    }
}

#[test]
fn an_empty_log_begins_where_the_masters_does() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let master = open(&small_config()).await;
                put_bodies(&master, 0..60).await;
                master.shutdown().await.unwrap();
                for name in ["00000000000000000000", "00000000000000004096"] {
                    disk::remove_file(&format!("/store/commitlog/{name}")).await.unwrap();
                }
                let master = open(&small_config()).await;
                let slave = open(&slave_config()).await;
                copy(&master, &slave, 1000).await.unwrap();
                assert_eq!(slave.min_physical_offset(), PhysicalOffset(8192));
                assert_eq!(slave.queues(), master.queues());
                assert_eq!(bodies(&slave).await, bodies(&master).await);
                slave.flush().await.unwrap();
                slave.shutdown().await.unwrap();
                let slave = open(&slave_config()).await;
                assert_eq!(slave.queues(), master.queues());
                assert_eq!(slave.history(), master.history());
            })
            .await;
    });
}

#[test]
fn what_does_not_belong_there_is_refused() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let master = open(&small_config()).await;
                put_bodies(&master, 0..10).await;
                let slave = open(&slave_config()).await;
                let all = master.read_log(PhysicalOffset(0), 4096).await.unwrap();
                let refused = async |at: i64, bytes: Bytes| {
                    let error = slave.append_replica(PhysicalOffset(at), bytes).await.unwrap_err();
                    assert!(matches!(error, StoreError::NotAppendable { .. }), "{error}");
                    assert_eq!(slave.max_physical_offset(), PhysicalOffset(0));
                    error.to_string()
                };
                assert!(refused(4096, all.clone()).await.contains("belongs at 0"));
                assert!(refused(100, all.clone()).await.contains("belongs at 0"));
                refused(0, all.slice(..all.len() - 1)).await;
                refused(0, Bytes::new()).await;
                refused(-4096, all.clone()).await;
                refused(0, Bytes::from(vec![0; 200])).await;
                let mut damaged = all.to_vec();
                // The first byte of the first body.
                damaged[88] ^= 1;
                refused(0, damaged.into()).await;
                copy(&master, &slave, 4096).await.unwrap();
                let end = slave.max_physical_offset();
                let error = slave.append_replica(PhysicalOffset(0), all.clone()).await.unwrap_err();
                assert!(error.to_string().contains("the log ends at"), "{error}");
                let error = slave.adopt_epoch(EpochEntry { id: 7, start: end - 1 }).await.unwrap_err();
                assert!(matches!(error, StoreError::NotAppendable { .. }), "{error}");
                assert!(matches!(slave.read_log(end + 1, 10).await, Err(StoreError::NotInLog { .. })));
                // A master's log is nobody's copy.
                let own = slave.begin_epoch().await.unwrap();
                assert_eq!(slave.begin_epoch().await.unwrap(), own);
                put_bodies(&master, 10..11).await;
                let more = master.read_log(end, 4096).await.unwrap();
                let error = slave.append_replica(end, more).await.unwrap_err();
                assert!(error.to_string().contains("epoch has begun"), "{error}");

                let mut cutter = slave.record_cutter(PhysicalOffset(0));
                cutter.feed(all.slice(1..));
                assert!(matches!(cutter.take(), Err(CutError::NoRecord { .. })));
                let mut cutter = slave.record_cutter(PhysicalOffset(4096));
                cutter.feed(all.clone());
                assert!(matches!(cutter.take(), Err(CutError::Misplaced { says: PhysicalOffset(0), .. })));
                let mut cutter = slave.record_cutter(PhysicalOffset(0));
                cutter.feed(Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0xda, 0xa3, 0x20, 0xa7]));
                assert!(matches!(cutter.take(), Err(CutError::DoesNotFit { .. })));
            })
            .await;
    });
}

#[test]
fn a_second_record_for_a_taken_place_is_left_out_of_the_queue() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let master = open(&small_config()).await;
                for number in 0..3 {
                    put(&master, "TopicA", 0, format!("{number}")).await;
                }
                let mut bytes = master.read_log(PhysicalOffset(0), 4096).await.unwrap().to_vec();
                let length = bytes.len() / 3;
                // The third record says that it is the second of its queue.
                protocol::message::patch_queue_offset(&mut bytes[2 * length..], QueueOffset(1));
                protocol::message::write_checksum(&mut bytes[2 * length..]);
                let slave = open(&slave_config()).await;
                slave.append_replica(PhysicalOffset(0), bytes.into()).await.unwrap();
                assert_eq!(all_bodies(&slave, "TopicA", 0).await, ["0", "1"]);
                assert_eq!(slave.epochs()[0].id, EpochEntry::UNKNOWN_ID);
                assert_eq!(put(&slave, "TopicA", 0, "next").await.queue_offset, QueueOffset(2));
            })
            .await;
    });
}

#[test]
fn a_diverged_end_is_cut_off_durably_and_kept_for_people() {
    for shut_down in [false, true] {
        on_machine(1, |machine| async move {
            let (end, removed) = machine
                .run(move || async move {
                    let store = open(&small_config()).await;
                    put_bodies(&store, 0..40).await;
                    let end = store.max_physical_offset();
                    put_bodies(&store, 40..80).await;
                    store.flush().await.unwrap();
                    let mut removed = Vec::new();
                    let mut at = end;
                    while at < store.max_physical_offset() {
                        let more = store.read_log(at, 4096).await.unwrap();
                        at += more.len() as i64;
                        removed.extend_from_slice(&more);
                    }
                    if shut_down {
                        store.shutdown().await.unwrap();
                    }
                    (end, removed)
                })
                .await;
            machine.start(move || async move {
                let options = OpenOptions { truncate_at: Some(end) };
                let store = MessageStore::open_with(small_config(), deliver_timestamp(), options).await.unwrap();
                let report = store.recovery_report();
                assert_eq!(report.end_offset, end);
                let kept = disk::read(report.diverged_tail.as_ref().unwrap()).await.unwrap();
                assert_eq!(kept, removed);
                assert_eq!(store.queues().iter().map(|queue| queue.max_offset.0).sum::<i64>(), 40);
                std::future::pending::<()>().await;
            });
            machine.sleep(Duration::from_secs(1)).await;
            machine.crash(Crash::Power);
            machine
                .run(move || async move {
                    let store = open(&small_config()).await;
                    assert_eq!(store.max_physical_offset(), end);
                    assert_eq!(bodies(&store).await.len(), 40);
                    put_bodies(&store, 40..50).await;
                    assert_eq!(store.epochs()[1].start, end);
                })
                .await;
        });
    }
}

#[test]
fn a_log_is_emptied_when_nothing_of_it_is_the_masters() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                let slave = open(&slave_config()).await;
                put_bodies(&slave, 0..60).await;
                slave.shutdown().await.unwrap();
                disk::remove_file("/slave/commitlog/00000000000000000000").await.unwrap();
                let options = OpenOptions { truncate_at: Some(PhysicalOffset(100)) };
                let slave = MessageStore::open_with(slave_config(), deliver_timestamp(), options).await.unwrap();
                assert!(slave.recovery_report().is_empty);
                let master = open(&small_config()).await;
                put_bodies(&master, 0..30).await;
                copy(&master, &slave, 500).await.unwrap();
                assert_eq!(slave.min_physical_offset(), PhysicalOffset(0));
                assert_eq!(bodies(&slave).await, bodies(&master).await);
                assert_eq!(slave.history(), master.history());
            })
            .await;
    });
}

/// A crash at any moment of truncating and copying: the slave is a prefix of the old log up to the common point, or of the
/// master's beyond it, and its epochs say which.
#[test]
fn crashes_while_truncating_and_copying_leave_a_known_history() {
    for seed in 0..40 {
        on_machine(seed, |machine| async move {
            let end = machine
                .run(|| async {
                    let (master, slave) = (open(&small_config()).await, open(&slave_config()).await);
                    put_bodies(&master, 0..20).await;
                    copy(&master, &slave, 4096).await.unwrap();
                    let end = slave.max_physical_offset();
                    slave.shutdown().await.unwrap();
                    master.shutdown().await.unwrap();
                    // Each goes on in an epoch of its own.
                    let (master, slave) = (open(&small_config()).await, open(&slave_config()).await);
                    put_bodies(&slave, 20..45).await;
                    put_bodies(&master, 60..90).await;
                    slave.flush().await.unwrap();
                    master.shutdown().await.unwrap();
                    end
                })
                .await;
            for round in 0..4 {
                machine.start(move || async move {
                    let master = open(&small_config()).await;
                    let truncate_at = {
                        let slave = open(&slave_config()).await;
                        let common = common_point(&slave.history(), &master.history());
                        slave.shutdown().await.unwrap();
                        match common {
                            CommonPoint::At(point) => Some(point),
                            other => panic!("{other:?}"),
                        }
                    };
                    assert!(truncate_at >= Some(end));
                    let slave =
                        MessageStore::open_with(slave_config(), deliver_timestamp(), OpenOptions { truncate_at }).await;
                    copy(&master, &slave.unwrap(), 300).await.unwrap();
                    std::future::pending::<()>().await;
                });
                machine.sleep(Duration::from_micros(900 * (seed + 1) * (round + 1))).await;
                machine.crash([Crash::Power, Crash::Process, Crash::Os][(seed + round) as usize % 3]);
            }
            machine
                .run(move || async move {
                    let (master, slave) = (open(&small_config()).await, open(&slave_config()).await);
                    let CommonPoint::At(point) = common_point(&slave.history(), &master.history()) else {
                        panic!("seed {seed}: {:?} {:?}", slave.history(), master.history())
                    };
                    assert!(point >= end, "seed {seed}");
                    let mut at = PhysicalOffset(0);
                    while at < point {
                        let most = (point - at) as usize;
                        let of_slave = slave.read_log(at, most).await.unwrap();
                        assert_eq!(of_slave, master.read_log(at, of_slave.len()).await.unwrap(), "seed {seed} at {at}");
                        at += of_slave.len() as i64;
                    }
                })
                .await;
        });
    }
}

#[test]
fn a_machine_that_went_down_is_remembered_until_an_epoch_begins() {
    on_machine(1, |machine| async move {
        let look = || async {
            let store = open(&small_config()).await;
            let report = store.recovery_report().clone();
            (report.machine_went_down, report.is_empty)
        };
        assert_eq!(machine.run(look).await, (false, true), "a new store");
        assert_eq!(machine.run(look).await, (false, true), "and still no master's");
        machine.run(|| async { put_bodies(&open(&small_config()).await, 0..5).await }).await;
        assert_eq!(machine.run(look).await, (false, false), "killed");
        machine.crash(Crash::Power);
        assert_eq!(machine.run(look).await, (true, false));
        assert_eq!(machine.run(look).await, (true, false), "killed before it was decided");
        machine.run(|| async { open(&small_config()).await.shutdown().await.unwrap() }).await;
        assert_eq!(machine.run(look).await, (true, false), "closed before it was decided");
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                store.begin_epoch().await.unwrap();
            })
            .await;
        assert_eq!(machine.run(look).await, (false, false));
        machine.run(|| async { open(&small_config()).await.shutdown().await.unwrap() }).await;
        machine.crash(Crash::Os);
        assert_eq!(machine.run(look).await, (false, false), "closed in good order before the machine went down");
    });
}

#[test]
fn a_damaged_file_of_epochs_is_refused() {
    on_machine(1, |machine| async move {
        machine
            .run(|| async {
                put_bodies(&open(&small_config()).await, 0..5).await;
                patch_file("/store/epochs", 15, b"x").await;
            })
            .await;
        machine
            .run(|| async {
                let error = try_open(&small_config()).await.map(drop).unwrap_err();
                assert!(matches!(error, StoreError::EpochsFile { .. }), "{error}");
            })
            .await;
    });
}

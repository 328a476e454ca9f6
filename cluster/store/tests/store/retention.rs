//! Deleting what is old, and what a full disk does.

use std::time::Duration;

use protocol::QueueOffset;
use sim::{
    disk,
    time::sleep,
    world::{Crash, DiskSpec},
};
use store::{GetMessageStatus, PutMessageStatus, StoreConfig};

use crate::{
    machine::{on_machine, on_machine_with},
    support::{all_bodies, get, message, open, put, small_config},
};

async fn fill(store: &store::MessageStore, count: usize) {
    for number in 0..count {
        put(store, "TopicA", 0, format!("{number}-{}", "x".repeat(400))).await;
    }
}

#[test]
fn old_files_go_at_their_hour_and_the_queues_follow() {
    on_machine(1, |machine| async move {
        // At four, and at another hour that does not come.
        let delete_when = "20;04".parse().unwrap();
        let config = StoreConfig { file_reserved_time_hours: 1, delete_when, ..small_config() };
        let here = config.clone();
        let (min_offset, bodies) = machine
            .run(move || async move {
                let store = open(&here).await;
                fill(&store, 40).await;
                put(&store, "TopicOld", 0, "alone").await;
                sleep(Duration::from_secs(3 * 3600 + 1800)).await;
                assert_eq!(store.min_physical_offset().0, 0, "it is half past three");
                put(&store, "TopicA", 0, "young").await;
                sleep(Duration::from_secs(1800 + 60)).await;
                let min = store.min_physical_offset();
                assert!(min.0 > 0, "it is four o'clock");
                assert_eq!(min.0, store.max_physical_offset().0 / 4096 * 4096, "the last file stays");
                let min_offset = store.min_offset_in_queue("TopicA", 0);
                assert!(min_offset.0 > 30);
                let early = get(&store, "TopicA", 0, 3).await;
                assert_eq!((early.status, early.next_begin_offset), (GetMessageStatus::OffsetTooSmall, min_offset));
                assert_eq!(store.max_offset_in_queue("TopicA", 0), QueueOffset(41));
                let first = disk::read_dir("/store/consumequeue/TopicA/0").await.unwrap().swap_remove(0);
                assert_eq!(first.name, format!("{:020}", min_offset.0 / 8 * 160));
                let bodies = all_bodies(&store, "TopicA", 0).await;
                (min_offset, bodies)
            })
            .await;
        machine.crash(Crash::Power);
        machine
            .run(move || async move {
                let store = open(&config).await;
                assert_eq!(store.min_offset_in_queue("TopicA", 0), min_offset);
                let after = all_bodies(&store, "TopicA", 0).await;
                assert_eq!(after, bodies[..after.len()]);
                store.shutdown().await.unwrap();
                // A rebuild cannot know what the queue had before.
                disk::remove_dir_all("/store/consumequeue").await.unwrap();
                let store = open(&config).await;
                assert_eq!(store.min_offset_in_queue("TopicA", 0), min_offset);
                assert_eq!(all_bodies(&store, "TopicA", 0).await, after);
                store.shutdown().await.unwrap();
                let store = open(&config).await;
                assert_eq!(store.min_offset_in_queue("TopicA", 0), min_offset);
                assert_eq!(all_bodies(&store, "TopicA", 0).await, after);
            })
            .await;
    });
}

#[test]
fn a_full_disk_deletes_at_any_hour_and_then_refuses() {
    let disk = DiskSpec { capacity_bytes: 512 << 10, ..DiskSpec::default() };
    on_machine_with(1, disk, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                fill(&store, 60).await;
                store.flush().await.unwrap();
                sleep(Duration::from_secs(11)).await;
                assert_eq!(store.min_physical_offset().0, 0, "there is room");
                let ballast = disk::OpenOptions::new().write(true).create(true).open("/ballast").await.unwrap();
                let ballast_2 = disk::OpenOptions::new().write(true).create(true).open("/ballast2").await.unwrap();
                let room = disk::usage("/").await.unwrap().available_bytes;
                ballast.preallocate(room - (61 << 10)).await.unwrap();
                sleep(Duration::from_secs(11)).await;
                assert!(store.min_physical_offset().0 > 0, "beyond 85 % young files go too");
                put(&store, "TopicA", 0, "still taken").await;
                // So full that all but the last file give too little.
                let room = disk::usage("/").await.unwrap().available_bytes;
                ballast_2.preallocate(room).await.unwrap();
                sleep(Duration::from_secs(11)).await;
                let refused = store.put(message("TopicA", 0, "too much")).await;
                assert_eq!(refused.status, PutMessageStatus::ServiceNotAvailable, "{refused:?}");
                assert!(refused.remark.unwrap().contains("disk is full"));
                ballast_2.set_len(0).await.unwrap();
                sleep(Duration::from_secs(11)).await;
                put(&store, "TopicA", 0, "taken again").await;
            })
            .await;
    });
}

/// A store whose disk is filled up to so many percent, in steps; how many CommitLog files are left after each.
fn files_left(
    steps: &'static [u64],
    consumed: impl Fn(&str) -> std::collections::BTreeMap<i32, QueueOffset> + Send + Sync + 'static,
) -> Vec<i64> {
    let disk = DiskSpec { capacity_bytes: 1 << 20, ..DiskSpec::default() };
    on_machine_with(1, disk, move |machine| async move {
        machine
            .run(move || async move {
                let store = open(&small_config()).await;
                store.set_consumed(std::sync::Arc::new(consumed));
                for number in 0..60 {
                    put(&store, if number % 2 == 0 { "TopicA" } else { "TopicB" }, 0, "x".repeat(900)).await;
                }
                store.flush().await.unwrap();
                let ballast = disk::OpenOptions::new().write(true).create(true).open("/ballast").await.unwrap();
                let mut left = Vec::new();
                for percent in steps {
                    let usage = disk::usage("/").await.unwrap();
                    let length = ballast.len().await.unwrap() + usage.available_bytes;
                    ballast.preallocate(length - usage.total_bytes * (100 - percent) / 100).await.unwrap();
                    sleep(Duration::from_secs(31)).await;
                    left.push((store.max_physical_offset().0 - 1) / 4096 + 1 - store.min_physical_offset().0 / 4096);
                }
                left
            })
            .await
    })
}

#[test]
fn a_nearly_full_disk_deletes_no_more_than_it_must_and_first_what_all_have_consumed() {
    let all = |_: &str| [(0, QueueOffset(1000))].into();
    let [before, nearly, fuller] = files_left(&[80, 87, 89], all)[..] else { panic!("three steps") };
    assert!(before >= 20, "below the forcible ratio young files stay: {before}");
    // A percent of this disk is two and a half files.
    assert!((before - 6..=before - 2).contains(&nearly), "{before}, {nearly}");
    assert!(fuller < nearly, "{nearly}, {fuller}");
    // Of one topic a group has consumed ten messages, which are in the first seven files or so.
    let some = |topic: &str| [(0, QueueOffset(if topic == "TopicA" { 1000 } else { 10 }))].into();
    let [nearly, fuller, full] = files_left(&[87, 90, 93], some)[..] else { panic!("three steps") };
    assert!(nearly < before && nearly > before - 8, "{nearly}");
    assert!(fuller > before - 8, "what is needed stays: {fuller}");
    assert!(full < fuller, "until nothing could be stored any more: {full}");
    // Nobody is known to have consumed anything.
    let nothing = |_: &str| std::collections::BTreeMap::new();
    let [nearly, full] = files_left(&[90, 93], nothing)[..] else { panic!("two steps") };
    assert!(nearly == before && full < before, "{nearly}, {full}");
}

#[test]
fn a_wall_clock_that_jumps_expires_nothing() {
    on_machine(1, |machine| async move {
        let config =
            StoreConfig { file_reserved_time_hours: 2, delete_when: "0;1;2;3;4;5".parse().unwrap(), ..small_config() };
        let second = config.clone();
        machine.start(move || async move {
            let store = open(&config).await;
            loop {
                fill(&store, 1).await;
                sleep(Duration::from_secs(10)).await;
            }
        });
        machine.sleep(Duration::from_secs(600)).await;
        // It ends at an hour at which files are deleted.
        for step_ms in [96 * 3_600_000, 3_600_000, -96 * 3_600_000, 48 * 3_600_000] {
            machine.step_clock(step_ms);
            machine.sleep(Duration::from_secs(30)).await;
        }
        machine.crash(Crash::Process);
        machine.step_clock(72 * 3_600_000);
        let opened = machine
            .run(move || async move {
                let store = open(&second).await;
                sleep(Duration::from_secs(30)).await;
                assert_eq!(store.min_physical_offset().0, 0, "after a restart under a wrong clock");
                sleep(Duration::from_secs(3 * 3600)).await;
                store.min_physical_offset().0
            })
            .await;
        assert!(opened > 0, "in the end they are old");
    });
}

#[test]
fn a_machine_that_boots_with_a_clock_far_ahead_expires_nothing() {
    on_machine(1, |machine| async move {
        let config = StoreConfig { delete_when: "0;1;2;3;4;5".parse().unwrap(), ..small_config() };
        let here = config.clone();
        machine
            .run(move || async move {
                let store = open(&here).await;
                fill(&store, 40).await;
                store.flush().await.unwrap();
            })
            .await;
        machine.crash(Crash::Power);
        machine.step_clock(96 * 3_600_000);
        machine
            .run(move || async move {
                let store = open(&config).await;
                sleep(Duration::from_secs(60)).await;
                assert_eq!(store.min_physical_offset().0, 0, "only the wall clock says that days have passed");
            })
            .await;
    });
}

#[test]
fn young_files_stay_on_a_full_disk_where_that_is_wanted() {
    let disk = DiskSpec { capacity_bytes: 256 << 10, ..DiskSpec::default() };
    on_machine_with(1, disk, |machine| async move {
        machine
            .run(|| async {
                let store = open(&StoreConfig { clean_file_forcibly_enable: false, ..small_config() }).await;
                fill(&store, 60).await;
                store.flush().await.unwrap();
                let ballast = disk::OpenOptions::new().write(true).create(true).open("/ballast").await.unwrap();
                let room = disk::usage("/").await.unwrap().available_bytes;
                ballast.preallocate(room - (34 << 10)).await.unwrap();
                sleep(Duration::from_secs(11)).await;
                assert_eq!(store.min_physical_offset().0, 0);
                // Beyond the warning level no more is taken, and nothing goes.
                ballast.preallocate(room - (8 << 10)).await.unwrap();
                sleep(Duration::from_secs(11)).await;
                let refused = store.put(message("TopicA", 0, "too much")).await;
                assert_eq!(refused.status, PutMessageStatus::ServiceNotAvailable, "{refused:?}");
                assert_eq!(store.min_physical_offset().0, 0);
            })
            .await;
    });
}

#[test]
fn no_room_for_the_next_file_fails_the_put_only() {
    let disk = DiskSpec { capacity_bytes: 64 << 10, ..DiskSpec::default() };
    on_machine_with(1, disk, |machine| async move {
        machine
            .run(|| async {
                let store = open(&small_config()).await;
                put(&store, "TopicA", 0, "first").await;
                // The next file is made meanwhile.
                sleep(Duration::from_millis(100)).await;
                let ballast = disk::OpenOptions::new().write(true).create(true).open("/ballast").await.unwrap();
                // The next file is being made meanwhile.
                sleep(Duration::from_secs(1)).await;
                let room = disk::usage("/").await.unwrap().available_bytes;
                ballast.preallocate(room / 4096 * 4096).await.unwrap();
                let mut results = Vec::new();
                for _ in 0..4 {
                    results.push(store.put(message("TopicA", 0, vec![b'x'; 3000])).await.status);
                }
                assert_eq!(results.last(), Some(&PutMessageStatus::ServiceNotAvailable), "{results:?}");
                let stored = results.iter().filter(|status| **status == PutMessageStatus::PutOk).count() as i64;
                ballast.set_len(0).await.unwrap();
                sleep(Duration::from_secs(1)).await;
                assert_eq!(put(&store, "TopicA", 0, "there is room").await.queue_offset, QueueOffset(1 + stored));
                assert_eq!(all_bodies(&store, "TopicA", 0).await.len() as i64, 2 + stored);
            })
            .await;
    });
}

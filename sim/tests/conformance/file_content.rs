//! What is in a file: holes, ends, sizes, room.

use crate::{
    answers::{bytes_from, kind},
    stand::allocated_bytes,
};
use sim::disk::{self, File, OpenOptions};
use std::{io::ErrorKind, path::Path};

async fn create(path: impl AsRef<Path>) -> File {
    OpenOptions::new().read(true).write(true).create_new(true).open(path).await.expect("created")
}

async fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.len().await.expect("open") as usize + 10];
    let read = file.read_at(&mut bytes, 0).await.expect("read");
    bytes.truncate(read);
    bytes
}

conformance! {
    async fn a_new_file_is_empty(env: Env) {
        let file = create(env.path("f")).await;
        assert_eq!(file.len().await.expect("open"), 0);
        assert_eq!(file.read_at(&mut [0; 8], 0).await.expect("read"), 0);
        assert!(disk::read(env.path("f")).await.expect("read").is_empty());
    }

    async fn reads_end_at_the_end(env: Env) {
        let file = create(env.path("f")).await;
        file.write_all_at(&bytes_from(0, 5_000), 0).await.expect("written");
        let mut buffer = [0; 3_000];
        assert_eq!(file.read_at(&mut buffer, 0).await.expect("read"), 3_000);
        assert_eq!(file.read_at(&mut buffer, 3_000).await.expect("read"), 2_000);
        assert_eq!(buffer[..2_000], bytes_from(3_000, 2_000));
        assert_eq!(file.read_at(&mut buffer, 4_999).await.expect("read"), 1);
        assert_eq!(file.read_at(&mut buffer, 5_000).await.expect("read"), 0);
        assert_eq!(file.read_at(&mut buffer, 1 << 40).await.expect("read"), 0);
        assert_eq!(file.read_at(&mut [], 0).await.expect("read"), 0);
        file.read_exact_at(&mut buffer, 2_000).await.expect("it is all there");
        assert_eq!(kind(file.read_exact_at(&mut buffer, 2_001).await), ErrorKind::UnexpectedEof);
        file.read_exact_at(&mut [], 9_999).await.expect("nothing is always there");
    }

    async fn a_write_beyond_the_end_leaves_zeros(env: Env) {
        let file = create(env.path("f")).await;
        file.write_all_at(b"head", 0).await.expect("written");
        file.write_all_at(b"tail", 10_000).await.expect("written");
        let bytes = content(&file).await;
        assert_eq!(bytes.len(), 10_004);
        assert_eq!(&bytes[..4], b"head");
        assert!(bytes[4..10_000].iter().all(|&byte| byte == 0));
        assert_eq!(&bytes[10_000..], b"tail");
    }

    async fn an_empty_write_changes_nothing_wherever_it_is(env: Env) {
        let file = create(env.path("f")).await;
        file.write_all_at(b"abc", 0).await.expect("written");
        file.write_all_at(b"", 100).await.expect("written");
        assert_eq!(file.len().await.expect("open"), 3);
    }

    async fn overwriting_keeps_the_rest(env: Env) {
        let file = create(env.path("f")).await;
        file.write_all_at(&[1; 9_000], 0).await.expect("written");
        file.write_all_at(&[2; 100], 4_050).await.expect("written");
        let mut expected = vec![1; 9_000];
        expected[4_050..4_150].fill(2);
        assert_eq!(content(&file).await, expected);
    }

    async fn what_was_never_written_is_no_data(env: Env) {
        let file = create(env.path("f")).await;
        assert_eq!(file.next_data(0).await.expect("asked"), None, "an empty file");
        file.preallocate(1 << 20).await.expect("reserved");
        file.write_all_at(b"head", 0).await.expect("written");
        file.write_all_at(b"tail", 600_000).await.expect("written");
        file.sync_data().await.expect("synced");
        let head = file.next_data(0).await.expect("asked").expect("there is some");
        assert!(head.start == 0 && (4..=200_000).contains(&head.end), "{head:?}");
        let tail = file.next_data(300_000).await.expect("asked").expect("there is some");
        assert!((300_000..=600_000).contains(&tail.start) && (600_004..900_000).contains(&tail.end), "{tail:?}");
        assert_eq!(file.next_data(600_002).await.expect("asked").expect("there is some").start, 600_002);
        assert_eq!(file.next_data(900_000).await.expect("asked"), None);
        assert_eq!(file.next_data(2 << 20).await.expect("asked"), None, "beyond the end");
    }

    async fn a_zeroed_range_is_zero_and_keeps_its_room(env: Env) {
        let file = create(env.path("f")).await;
        file.preallocate(40_000).await.expect("reserved");
        file.write_all_at(&[7; 20_000], 0).await.expect("written");
        let room = allocated_bytes(&env.path("f")).await;
        file.zero_range(5_000..30_000).await.expect("zeroed");
        let mut expected = vec![0; 40_000];
        expected[..5_000].fill(7);
        assert_eq!(content(&file).await, expected);
        file.sync_all().await.expect("synced");
        assert_eq!(content(&file).await, expected);
        assert!(allocated_bytes(&env.path("f")).await >= room);
        file.zero_range(0..90_000).await.expect("as far as it reaches");
        file.zero_range(90_000..95_000).await.expect("it does not reach there");
        assert_eq!(content(&file).await, [0; 40_000]);
        file.write_all_at(b"new", 4_999).await.expect("written");
        expected.fill(0);
        expected[4_999..5_002].copy_from_slice(b"new");
        assert_eq!(content(&file).await, expected);
    }

    async fn a_cut_file_grows_with_zeros(env: Env) {
        let file = create(env.path("f")).await;
        file.write_all_at(&[7; 10_000], 0).await.expect("written");
        file.set_len(4_100).await.expect("cut");
        assert_eq!(content(&file).await, [7; 4_100]);
        file.set_len(9_000).await.expect("grown");
        let bytes = content(&file).await;
        assert_eq!(bytes.len(), 9_000);
        assert_eq!(bytes[..4_100], [7; 4_100]);
        assert!(bytes[4_100..].iter().all(|&byte| byte == 0), "old bytes show after a cut");
        file.set_len(0).await.expect("cut");
        file.write_all_at(&[8], 8_191).await.expect("written");
        let bytes = content(&file).await;
        assert!(bytes.len() == 8_192 && bytes[..8_191].iter().all(|&byte| byte == 0));
    }

    async fn set_len_to_the_same_size_changes_nothing(env: Env) {
        let file = create(env.path("f")).await;
        file.write_all_at(&[7; 5_000], 0).await.expect("written");
        file.set_len(5_000).await.expect("as it was");
        assert_eq!(content(&file).await, [7; 5_000]);
    }

    async fn holes_take_no_room_and_written_pages_do(env: Env) {
        let path = env.path("f");
        let file = create(&path).await;
        file.set_len(64 << 20).await.expect("grown");
        file.sync_all().await.expect("synced");
        assert_eq!(allocated_bytes(&path).await, 0);
        file.write_all_at(&[1; 4_096], 32 << 20).await.expect("written");
        file.sync_all().await.expect("synced");
        assert_eq!(allocated_bytes(&path).await, 4_096);
        file.write_all_at(&[1; 2], (40 << 20) - 1).await.expect("written");
        file.sync_all().await.expect("synced");
        assert_eq!(allocated_bytes(&path).await, 3 * 4_096);
        file.set_len(33 << 20).await.expect("cut");
        file.sync_all().await.expect("synced");
        assert_eq!(allocated_bytes(&path).await, 4_096);
        let mut bytes = [9; 16];
        file.read_exact_at(&mut bytes, 1 << 20).await.expect("a hole reads as zeros");
        assert_eq!(bytes, [0; 16]);
    }

    async fn preallocation_takes_the_room_at_once_and_reads_as_zeros(env: Env) {
        let path = env.path("f");
        let file = create(&path).await;
        file.preallocate(1 << 20).await.expect("reserved");
        assert_eq!(file.len().await.expect("open"), 1 << 20);
        file.sync_all().await.expect("synced");
        assert_eq!(allocated_bytes(&path).await, 1 << 20);
        assert_eq!(content(&file).await, vec![0; 1 << 20]);
        file.write_all_at(&[1; 10_000], 100).await.expect("written");
        file.sync_all().await.expect("synced");
        assert_eq!(allocated_bytes(&path).await, 1 << 20);
        // Beyond the end is beyond the reservation.
        file.write_all_at(&[1; 4_096], 1 << 20).await.expect("written");
        file.sync_all().await.expect("synced");
        assert_eq!(allocated_bytes(&path).await, (1 << 20) + 4_096);
    }

    async fn preallocation_keeps_what_is_there_and_never_shortens(env: Env) {
        let file = create(env.path("f")).await;
        file.write_all_at(&[5; 10_000], 0).await.expect("written");
        file.preallocate(4_096).await.expect("reserved");
        assert_eq!(content(&file).await, [5; 10_000]);
        file.preallocate(20_000).await.expect("reserved");
        let bytes = content(&file).await;
        assert_eq!(bytes.len(), 20_000);
        assert!(bytes[..10_000].iter().all(|&byte| byte == 5) && bytes[10_000..].iter().all(|&byte| byte == 0));
    }

    async fn preallocating_nothing_is_refused(env: Env) {
        // fallocate(2): EINVAL when the length is 0.
        let file = create(env.path("f")).await;
        assert_eq!(kind(file.preallocate(0).await), ErrorKind::InvalidInput);
    }

    async fn room_is_reserved_for_a_part_of_a_file_and_given_back_behind_what_was_written(env: Env) {
        let path = env.path("f");
        let file = create(&path).await;
        // ext4 takes a block more for a file of more than four extents.
        let takes = async |bytes: u64| {
            let allocated = allocated_bytes(&path).await;
            assert!((bytes..=bytes + 4_096).contains(&allocated), "{allocated} bytes instead of {bytes}");
        };
        file.set_len(16 << 20).await.expect("grown");
        file.reserve(0..1 << 20).await.expect("reserved");
        file.reserve(1 << 20..3 << 20).await.expect("reserved");
        file.reserve(2 << 20..3 << 20).await.expect("it is reserved already");
        file.sync_all().await.expect("synced");
        assert_eq!(file.len().await.expect("open"), 16 << 20);
        takes(3 << 20).await;
        file.write_all_at(&[1; 10_000], 0).await.expect("written");
        file.sync_all().await.expect("synced");
        takes(3 << 20).await;
        file.write_all_at(&[1; 4_096], 8 << 20).await.expect("written");
        file.sync_all().await.expect("synced");
        takes((3 << 20) + 4_096).await;
        file.unreserve(0).await.expect("nothing lies behind what was written");
        file.sync_all().await.expect("synced");
        takes((3 << 20) + 4_096).await;
        file.reserve(12 << 20..16 << 20).await.expect("reserved");
        file.unreserve((13 << 20) - 1).await.expect("given back");
        file.unreserve(16 << 20).await.expect("there is nothing");
        file.sync_all().await.expect("synced");
        takes((4 << 20) + 4_096).await;
        assert_eq!(file.len().await.expect("open"), 16 << 20);
        let mut expected = vec![0; 16 << 20];
        expected[..10_000].fill(1);
        expected[8 << 20..(8 << 20) + 4_096].fill(1);
        assert!(content(&file).await == expected);
    }

    async fn room_beyond_the_end_of_a_file_is_not_reserved(env: Env) {
        let file = create(env.path("f")).await;
        file.set_len(10_000).await.expect("grown");
        for part in [0..10_001, 0..0, 5_000..5_000, 20_000..30_000] {
            assert_eq!(kind(file.reserve(part).await), ErrorKind::InvalidInput);
        }
        file.reserve(9_000..10_000).await.expect("it is within the file");
    }

    async fn offsets_beyond_what_a_file_can_hold_are_refused(env: Env) {
        let file = create(env.path("f")).await;
        // pwrite(2) and pread(2) take a signed offset.
        assert_eq!(kind(file.write_all_at(b"x", u64::MAX).await), ErrorKind::InvalidInput);
        assert_eq!(kind(file.read_at(&mut [0; 8], u64::MAX).await), ErrorKind::InvalidInput);
        assert_eq!(kind(file.set_len(u64::MAX).await), ErrorKind::InvalidInput);
        assert_eq!(kind(file.write_all_at(b"x", i64::MAX as u64).await), ErrorKind::InvalidInput);
        assert_eq!(file.len().await.expect("open"), 0);
    }

    async fn handles_of_one_file_see_each_other(env: Env) {
        let first = create(env.path("f")).await;
        let second = OpenOptions::new().read(true).write(true).open(env.path("f")).await.expect("opened");
        first.write_all_at(b"first", 0).await.expect("written");
        second.write_all_at(b"second", 5).await.expect("written");
        assert_eq!(content(&first).await, b"firstsecond");
        second.set_len(5).await.expect("cut");
        assert_eq!(content(&first).await, b"first");
        assert_eq!(disk::read(env.path("f")).await.expect("read"), b"first");
    }

    async fn clones_of_a_handle_share_it(env: Env) {
        let file = create(env.path("f")).await;
        let clone = file.clone();
        drop(file);
        clone.write_all_at(b"alive", 0).await.expect("written");
        assert_eq!(content(&clone).await, b"alive");
    }

    async fn concurrent_writes_to_their_own_ranges_all_arrive(env: Env) {
        let file = create(env.path("f")).await;
        let mut tasks = Vec::new();
        for part in 0..20_u64 {
            let file = file.clone();
            tasks.push(sim::task::spawn(async move {
                for step in 0..10 {
                    let at = (step * 20 + part) * 777;
                    file.write_all_at(&bytes_from(at, 777), at).await.expect("written");
                }
            }));
        }
        for task in tasks {
            task.await.expect("it went well");
        }
        assert!(content(&file).await == bytes_from(0, 200 * 777));
    }

    async fn concurrent_writes_to_one_range_leave_one_of_them(env: Env) {
        let file = create(env.path("f")).await;
        let mut tasks = Vec::new();
        for number in 1..=8 {
            let file = file.clone();
            tasks.push(sim::task::spawn(async move { file.write_all_at(&[number; 20_000], 50).await }));
        }
        for task in tasks {
            task.await.expect("it went well").expect("written");
        }
        // The inode lock of Linux makes writes to one file atomic towards each other.
        let bytes = content(&file).await;
        assert!(bytes[..50].iter().all(|&byte| byte == 0));
        assert!(bytes[50..].iter().all(|&byte| byte == bytes[50] && (1..=8).contains(&byte)));
    }

    async fn large_files_are_what_was_written(env: Env) {
        let file = create(env.path("f")).await;
        let mut position = 0;
        while position < 8 << 20 {
            let len = (position * 7 + 1_001) % 200_000 + 1;
            file.write_all_at(&bytes_from(position, len as usize), position).await.expect("written");
            position += len;
        }
        file.sync_data().await.expect("synced");
        assert!(content(&file).await == bytes_from(0, position as usize));
    }
}

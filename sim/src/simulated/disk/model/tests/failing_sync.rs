//! Syncs that fail: what the caller is told, what programs still read, and what the media have.

use super::*;

/// A file of 2s over durable 1s whose sync has just failed.
fn failed(seed: u64) -> (Stand, HandleId) {
    let mut stand = Stand::without_timers(seed);
    let file = stand.durable_file(4 * 4096);
    stand.write(file, 0, &[2; 4 * 4096]);
    stand.disk.fail_next_sync();
    assert_eq!(stand.call(Request::Sync { handle: file, all: false }), Err(DiskError::Io));
    (stand, file)
}

#[test]
fn a_failed_sync_is_told_once_and_its_pages_are_dropped() {
    for crash in [Crash::Os, Crash::Power] {
        let (mut stand, file) = failed(1);
        // Programs read the new content, from the page cache.
        assert_eq!(stand.content("/f"), Some(vec![2; 4 * 4096]));
        // The next sync succeeds, and has nothing to write.
        let synced_bytes = stand.disk.stats().synced_bytes;
        stand.sync(file);
        assert_eq!(stand.disk.stats().synced_bytes, synced_bytes);
        assert_eq!((stand.disk.stats().failed_syncs, stand.disk.stats().dropped_pages), (1, 4));
        let report = stand.crash(crash);
        assert_eq!((report.lost_sectors, report.kept_sectors), (4 * 8, 0), "{report:?}");
        assert_eq!(stand.content("/f"), Some(vec![1; 4 * 4096]));
    }
}

#[test]
fn a_dropped_page_outlives_the_process() {
    let (mut stand, _) = failed(2);
    assert!(!stand.crash(Crash::Process).lost_anything());
    assert_eq!(stand.content("/f"), Some(vec![2; 4 * 4096]));
}

#[test]
fn a_page_that_is_written_again_goes_to_the_drive_as_a_whole() {
    let (mut stand, file) = failed(3);
    stand.write(file, 4096 + 100, &[3]);
    stand.sync(file);
    stand.crash(Crash::Power);
    let content = stand.content("/f").expect("it is there");
    let mut second = vec![2; 4096];
    second[100] = 3;
    assert_eq!(content[..4096], vec![1; 4096]);
    assert_eq!(content[4096..2 * 4096], second);
    assert_eq!(content[2 * 4096..], vec![1; 2 * 4096]);
}

#[test]
fn what_is_written_while_a_sync_fails_is_not_dropped() {
    let mut stand = Stand::without_timers(4);
    let file = stand.durable_file(4096);
    stand.write(file, 0, &[2; 4096]);
    stand.disk.fail_next_sync();
    // The page takes 8 µs to the drive: the second write falls into that.
    let sync = stand.begin(Request::Sync { handle: file, all: false });
    let write = stand.begin(Request::Write { handle: file, offset: 0, bytes: vec![3; 512], wall_ms: 2 });
    stand.pass(SECOND_NS);
    assert_eq!(stand.outcome(sync), Poll::Ready(Err(DiskError::Io)));
    assert_eq!(stand.outcome(write), Poll::Ready(Ok(512)));
    stand.sync(file);
    stand.crash(Crash::Power);
    let content = stand.content("/f").expect("it is there");
    assert_eq!((sector(&content, 0), sector(&content, 1)), ((3, true), (2, true)));
}

#[test]
fn a_new_file_whose_sync_failed_has_neither_content_nor_size_on_the_media() {
    let mut stand = Stand::without_timers(5);
    let file = stand.open("/new");
    stand.write(file, 0, &[5; 4096]);
    stand.sync_dir("/");
    stand.disk.fail_next_sync();
    assert_eq!(stand.call(Request::Sync { handle: file, all: true }), Err(DiskError::Io));
    let now_ns = stand.core.now_ns();
    assert_eq!(stand.disk.durable_files(now_ns), [("/new".to_owned(), Vec::new())]);
    // Its size may become durable by the journal, and then it reads as zeros.
    stand.sync(file);
    stand.crash(Crash::Power);
    assert_eq!(stand.content("/new"), Some(vec![0; 4096]));
}

#[test]
fn only_a_sync_that_has_something_to_write_fails() {
    let mut stand = Stand::without_timers(6);
    let file = stand.durable_file(4096);
    stand.disk.fail_next_sync();
    stand.sync(file);
    stand.sync_dir("/");
    stand.write(file, 0, &[2]);
    assert_eq!(stand.call(Request::Sync { handle: file, all: false }), Err(DiskError::Io));
    stand.disk.fail_next_sync();
    assert!(stand.disk.withdraw_sync_failures());
    assert!(!stand.disk.withdraw_sync_failures());
    stand.write(file, 0, &[3]);
    stand.sync(file);
}

#[test]
fn a_failure_that_the_caller_did_not_live_to_see_is_told_to_nobody() {
    // The call of a killed process goes on in the kernel, and takes the error with it.
    let mut stand = Stand::without_timers(7);
    let file = stand.durable_file(4096);
    stand.write(file, 0, &[2; 4096]);
    stand.disk.fail_next_sync();
    stand.begin(Request::Sync { handle: file, all: false });
    stand.crash(Crash::Process);
    stand.pass(SECOND_NS);
    assert_eq!(stand.disk.stats().failed_syncs, 1);
    let file = stand.open("/f");
    stand.sync(file);
    assert_eq!(stand.content("/f"), Some(vec![2; 4096]));
    stand.crash(Crash::Power);
    assert_eq!(stand.content("/f"), Some(vec![1; 4096]));
}

#[test]
fn every_open_file_is_told_once_and_so_is_who_opens_it_before_anybody_knows() {
    let mut stand = Stand::without_timers(8);
    let first = stand.durable_file(4096);
    let second = stand.open("/f");
    let fails = |stand: &mut Stand, file| stand.call(Request::Sync { handle: file, all: false }) == Err(DiskError::Io);
    stand.write(first, 0, &[2; 4096]);
    stand.disk.fail_next_sync();
    assert!(fails(&mut stand, first));
    assert!(!fails(&mut stand, first));
    assert!(fails(&mut stand, second), "it was open when the pages were dropped");
    let late = stand.open("/f");
    assert!(!fails(&mut stand, late), "it is known by now");
}

#[test]
fn a_crash_in_the_middle_of_a_failing_sync_leaves_nothing_of_it_at_the_drive() {
    for seed in 0..50 {
        let mut stand = Stand::without_timers(seed);
        let file = stand.durable_file(16 * 4096);
        stand.write(file, 0, &[2; 16 * 4096]);
        stand.disk.fail_next_sync();
        stand.begin(Request::Sync { handle: file, all: false });
        stand.pass(100_000);
        let early = stand.crash(Crash::Os).kept_sectors;
        // What is there came by early write-back, as with any dirty page.
        let kept = stand.content("/f").expect("it is there").iter().filter(|&&byte| byte == 2).count();
        assert_eq!(early as usize * 512, kept);
    }
}

//! Each fault of the drive, as a program meets it: what it is told, what it reads, and what is on the media.

use super::*;

const PAGES: usize = 8;
const BYTES: u64 = (PAGES * 4096) as u64;

fn only(set: impl FnOnce(&mut DiskFaults)) -> DiskFaults {
    let mut faults = DiskFaults::default();
    set(&mut faults);
    faults
}

/// A durable file of 1s, then the fault.
fn faulty(seed: u64, faults: DiskFaults) -> (Stand, HandleId) {
    let mut stand = Stand::without_timers(seed);
    let file = stand.durable_file(PAGES * 4096);
    stand.set_faults(faults);
    (stand, file)
}

#[test]
fn a_read_error_is_eio_where_the_drive_is_asked_and_nothing_where_the_page_cache_answers() {
    let (mut stand, file) = faulty(1, only(|faults| faults.read_error = 1.0));
    assert_eq!(stand.read(file, 0, BYTES).expect("in memory").len(), PAGES * 4096);
    stand.go_cold();
    assert_eq!(stand.read(file, 10, 100), Err(DiskError::Unreadable { offset: 10 }));
    // A write within a page has to read it first; one of a whole page has not.
    let part = Request::Write { handle: file, offset: 5, bytes: vec![2], wall_ms: 2 };
    assert_eq!(stand.call(part), Err(DiskError::Unreadable { offset: 5 }));
    stand.write(file, 4096, &[2; 4096]);
    assert_eq!(stand.disk.stats().read_errors_injected, 2);
    stand.set_faults(DiskFaults::default());
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![1; 4096]), "the media are sound");
}

#[test]
fn a_read_that_meets_an_error_later_returns_what_came_before() {
    let (mut stand, file) = faulty(1, DiskFaults::default());
    stand.go_cold();
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![1; 4096]));
    stand.set_faults(only(|faults| faults.read_error = 1.0));
    assert_eq!(stand.read(file, 100, 8192), Ok(vec![1; 4096 - 100]));
    assert_eq!(stand.read(file, 4096, 8192), Err(DiskError::Unreadable { offset: 4096 }));
}

#[test]
fn a_refused_write_is_told_once_and_the_old_bytes_are_back_when_the_page_leaves_memory() {
    let (mut stand, file) = faulty(2, only(|faults| faults.write_error = 1.0));
    stand.write(file, 0, &[2; 4096]);
    let sync = Request::Sync { handle: file, all: false };
    assert_eq!(stand.call(sync.clone()), Err(DiskError::Io));
    assert_eq!(stand.call(sync), Ok(()));
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![2; 4096]));
    stand.go_cold();
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![1; 4096]));
    assert_eq!((stand.disk.stats().write_errors_injected, stand.disk.stats().dropped_pages), (1, 1));
}

#[test]
fn what_the_flusher_could_not_write_is_told_by_the_next_sync_of_every_open_file() {
    let mut stand = Stand::new(3);
    let first = stand.durable_file(4096);
    let second = stand.open("/f");
    stand.set_faults(only(|faults| faults.write_error = 1.0));
    stand.write(first, 0, &[2; 4096]);
    stand.pass(40 * SECOND_NS);
    stand.set_faults(DiskFaults::default());
    assert_eq!((stand.disk.stats().written_back_pages, stand.disk.stats().write_errors_injected), (1, 1));
    let third = stand.open("/f");
    for file in [first, second, third] {
        assert_eq!(stand.call(Request::Sync { handle: file, all: false }), Err(DiskError::Io));
        assert_eq!(stand.call(Request::Sync { handle: file, all: false }), Ok(()));
    }
    stand.crash(Crash::Power);
    assert_eq!(stand.content("/f"), Some(vec![1; 4096]));
}

#[test]
fn a_sync_error_refuses_the_pages_or_forgets_a_sector_and_a_second_sync_succeeds() {
    let (mut refused, mut forgotten) = (0, 0);
    for seed in 0..50 {
        let (mut stand, file) = faulty(seed, only(|faults| faults.sync_error = 1.0));
        stand.write(file, 0, &[2; PAGES * 4096]);
        let sync = Request::Sync { handle: file, all: false };
        assert_eq!(stand.call(sync.clone()), Err(DiskError::Io));
        stand.set_faults(DiskFaults::default());
        assert_eq!(stand.call(sync), Ok(()));
        assert_eq!(stand.read(file, 0, BYTES), Ok(vec![2; PAGES * 4096]), "the page cache has it");
        stand.crash(Crash::Power);
        let content = stand.content("/f").expect("its name is durable");
        let old = content.chunks(512).filter(|sector| **sector == [1; 512]).count() as u64;
        let stats = stand.disk.stats();
        assert_eq!(old, if stats.forgotten_sectors == 0 { 8 * PAGES as u64 } else { 1 });
        assert_eq!((stats.failed_syncs, stats.sync_errors_injected), (1, 1));
        refused += u64::from(stats.forgotten_sectors == 0);
        forgotten += stats.forgotten_sectors;
    }
    assert!(refused > 10 && forgotten > 10, "{refused} {forgotten}");
    let (mut stand, _) = faulty(1, only(|faults| faults.sync_error = 1.0));
    assert_eq!(stand.call(Request::SyncDir { path: "/".into() }), Err(DiskError::Io));
}

#[test]
fn short_reads_and_writes_end_at_a_page_and_lose_nothing() {
    let (mut stand, file) = faulty(4, only(|faults| (faults.short_read, faults.short_write) = (1.0, 1.0)));
    assert_eq!(stand.read(file, 0, BYTES).expect("in memory").len() as u64, BYTES);
    stand.go_cold();
    let read = stand.read(file, 100, BYTES - 100).expect("it can be read").len() as u64;
    assert!(read > 0 && read < BYTES - 100 && (read + 100).is_multiple_of(4096), "{read}");
    let write = stand.begin(Request::Write { handle: file, offset: 100, bytes: vec![2; 3 * 4096], wall_ms: 2 });
    stand.pass(SECOND_NS);
    let Poll::Ready(Ok(written)) = stand.outcome(write) else { panic!("it has ended") };
    assert!(written < 3 * 4096 && (written + 100).is_multiple_of(4096), "{written}");
    let content = stand.content("/f").expect("it is there");
    assert_eq!(content.iter().filter(|&&byte| byte == 2).count() as u64, written);
    // Within a page nothing is short.
    stand.write(file, 0, &[3; 4096]);
    stand.go_cold();
    assert_eq!(stand.read(file, 5 * 4096, 4096).map(|bytes| bytes.len()), Ok(4096));
    assert_eq!((stand.disk.stats().short_reads_injected, stand.disk.stats().short_writes_injected), (1, 1));
}

#[test]
fn a_lost_write_shows_the_old_bytes_when_the_page_is_read_again() {
    let (mut stand, file) = faulty(5, only(|faults| faults.lost_write = 1.0));
    stand.write(file, 0, &[2; 4096]);
    stand.sync(file);
    stand.set_faults(DiskFaults::default());
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![2; 4096]), "the page cache hides it");
    stand.crash(Crash::Os);
    let file = stand.open("/f");
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![1; 4096]));
    assert_eq!(stand.read(file, 4096, 4096), Ok(vec![1; 4096]));
    // Taking the overlay off brings back what was written.
    assert_eq!(stand.disk.repair_media(), 8);
    stand.go_cold();
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![2; 4096]));
    assert_eq!(stand.disk.stats().lost_writes_injected, 1);
}

#[test]
fn a_misdirected_write_leaves_old_bytes_here_and_strange_ones_there() {
    let (mut stand, _) = faulty(6, DiskFaults::default());
    let other = stand.open("/other");
    stand.write(other, 0, &[7; 4096]);
    stand.sync(other);
    stand.sync_dir("/");
    stand.set_faults(only(|faults| faults.misdirected_write = 1.0));
    stand.write(other, 0, &[8; 4096]);
    stand.sync(other);
    stand.set_faults(DiskFaults::default());
    stand.crash(Crash::Power);
    let (file, other) = (stand.open("/f"), stand.open("/other"));
    assert_eq!(stand.read(other, 0, 4096), Ok(vec![7; 4096]), "the old bytes");
    let victim = stand.read(file, 0, BYTES).expect("it can be read");
    let strange: Vec<_> = victim.chunks(4096).filter(|page| page[0] != 1).collect();
    assert_eq!(strange, [vec![8; 4096]], "what was meant for the other file");
    // Writing there cures it.
    stand.write(file, 0, &[3; PAGES * 4096]);
    stand.sync(file);
    stand.go_cold();
    assert_eq!(stand.read(file, 0, BYTES), Ok(vec![3; PAGES * 4096]));
    assert_eq!(stand.disk.repair_media(), 8, "the old bytes of the other file are left");
}

#[test]
fn a_misdirected_read_brings_another_places_bytes_into_memory_and_a_write_keeps_them() {
    let (mut stand, file) = faulty(7, DiskFaults::default());
    let other = stand.open("/other");
    stand.write(other, 0, &[7; 4096]);
    stand.sync(other);
    stand.go_cold();
    stand.set_faults(only(|faults| faults.misdirected_read = 1.0));
    assert_eq!(stand.read(other, 0, 4096), Ok(vec![1; 4096]));
    stand.set_faults(DiskFaults::default());
    assert_eq!(stand.read(other, 0, 4096), Ok(vec![1; 4096]), "it is in the page cache now");
    stand.go_cold();
    assert_eq!(stand.read(other, 0, 4096), Ok(vec![7; 4096]), "the media are sound");

    stand.go_cold();
    stand.set_faults(only(|faults| faults.misdirected_read = 1.0));
    stand.write(other, 0, &[9; 10]);
    stand.set_faults(DiskFaults::default());
    stand.sync(other);
    stand.go_cold();
    let content = stand.read(other, 0, 4096).expect("it can be read");
    assert_eq!((&content[..10], &content[10..]), (&[9; 10][..], &[1; 4086][..]), "the page is written as a whole");
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![1; 4096]));
    assert_eq!(stand.disk.stats().misdirected_reads_injected, 2);
}

#[test]
fn a_stale_read_answers_with_what_was_there_before_the_last_write() {
    let (mut stand, file) = faulty(8, only(|faults| faults.stale_read = 1.0));
    for byte in [2, 3] {
        stand.write(file, 0, &[byte; 4096]);
        stand.sync(file);
    }
    stand.go_cold();
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![2; 4096]));
    assert_eq!(stand.read(file, 4096, 4096), Ok(vec![0; 4096]), "before its first write");
    stand.set_faults(DiskFaults::default());
    stand.go_cold();
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![3; 4096]));
    assert_eq!(stand.disk.stats().stale_reads_injected, 2);
}

#[test]
fn a_lying_sync_is_fast_and_a_power_loss_takes_what_it_promised_an_os_crash_does_not() {
    let mut lost = (0, 0, 0);
    for seed in 0..100 {
        for crash in [Crash::Os, Crash::Power] {
            let (mut stand, file) = faulty(seed, only(|faults| faults.lying_sync = true));
            let new = stand.open("/new");
            stand.sync_dir("/");
            stand.write(file, BYTES, &[2; 4096]);
            let from_ns = stand.core.now_ns();
            stand.sync(file);
            assert!(stand.core.now_ns() - from_ns < 100_000);
            stand.disk.close(&mut stand.core, new);
            let report = stand.crash(crash);
            let content = stand.content("/f").expect("an honest sync of before covers it");
            assert_eq!(content[..BYTES as usize], vec![1; PAGES * 4096]);
            if crash == Crash::Os {
                assert!(!report.lost_anything(), "{report:?}");
                assert_eq!(content[BYTES as usize..], [2; 4096]);
            } else {
                lost.0 += report.lost_sectors;
                lost.1 += u32::from(content.len() as u64 == BYTES);
                lost.2 += report.lost_files;
            }
        }
    }
    assert!(lost.0 > 100 && lost.1 > 20 && lost.2 > 10, "{lost:?}");
}

#[test]
fn after_a_lie_the_drive_drains_by_itself_or_by_the_next_honest_flush() {
    for is_honest in [true, false] {
        let mut stand = Stand::new(9);
        let file = stand.durable_file(4096);
        stand.set_faults(only(|faults| faults.lying_sync = true));
        stand.write(file, 4096, &[2; 4096]);
        stand.sync(file);
        assert_eq!(stand.disk.durable_files(stand.core.now_ns())[0].1.len(), 4096);
        if is_honest {
            stand.set_faults(DiskFaults::default());
            stand.sync_dir("/");
        } else {
            stand.pass(SECOND_NS);
        }
        stand.crash(Crash::Power);
        assert_eq!(stand.content("/f").map(|content| content.len()), Some(8192));
        assert_eq!(stand.disk.stats().lying_flushes_injected, 1);
    }
}

#[test]
fn a_fault_that_is_off_changes_nothing() {
    let run = |faults: DiskFaults| {
        let (mut stand, file) = faulty(10, faults);
        stand.write(file, 0, &[2; 4096]);
        stand.sync(file);
        stand.go_cold();
        let read = stand.read(file, 0, BYTES);
        (read, stand.core.trace.hash(), stand.disk.stats())
    };
    // The dice are thrown, and none of them shows.
    let improbable = only(|faults| (faults.read_error, faults.lost_write, faults.stale_read) = (1e-12, 1e-12, 1e-12));
    assert_eq!(run(DiskFaults::default()), run(improbable));
}

#[test]
#[should_panic(expected = "stale_read is a probability")]
fn a_probability_is_one() {
    Stand::new(1).set_faults(only(|faults| faults.stale_read = 1.5));
}

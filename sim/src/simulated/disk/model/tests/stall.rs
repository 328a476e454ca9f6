//! A drive that is silent for a while.

use super::*;

fn stalled() -> DiskFaults {
    DiskFaults { stalled: true, ..DiskFaults::default() }
}

#[test]
fn what_needs_the_drive_waits_and_takes_the_time_it_had_left() {
    let mut stand = Stand::new(1);
    let file = stand.durable_file(8192);
    stand.go_cold();
    // 80 µs, 4 µs of transfer and 2 µs of copying.
    let early = stand.begin(Request::Read { handle: file, offset: 0, len: 4096 });
    stand.pass(50_000);
    stand.set_faults(stalled());
    let late = stand.begin(Request::Read { handle: file, offset: 4096, len: 4096 });
    let sync = stand.begin(Request::Sync { handle: file, all: false });
    stand.pass(100 * SECOND_NS);
    for call in [early, late, sync] {
        assert!(stand.outcome(call).is_pending());
    }
    let released_ns = stand.core.now_ns();
    stand.set_faults(DiskFaults::default());
    stand.run_until(released_ns + 40_000);
    assert!(stand.outcome(early).is_ready() && stand.outcome(late).is_pending());
    stand.run_until(released_ns + 90_000);
    assert!(stand.outcome(late).is_ready() && stand.outcome(sync).is_pending());
    stand.run_until(released_ns + 6_000_000);
    assert_eq!(stand.outcome(sync), Poll::Ready(Ok(0)));
    assert_eq!(stand.disk.stats().stalled_calls_injected, 3);
}

#[test]
fn the_page_cache_goes_on_and_nothing_of_it_becomes_durable() {
    let mut stand = Stand::new(2);
    let file = stand.durable_file(4096);
    stand.set_faults(stalled());
    stand.write(file, 0, &[2; 4096]);
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![2; 4096]));
    let other = stand.open("/other");
    stand.write(other, 0, b"x");
    stand.pass(120 * SECOND_NS);
    let durable = stand.disk.durable_files(stand.core.now_ns());
    assert_eq!(durable, [("/f".to_owned(), vec![1; 4096])], "neither flusher nor journal");
    stand.set_faults(DiskFaults::default());
    stand.pass(SECOND_NS);
    let durable = stand.disk.durable_files(stand.core.now_ns());
    assert_eq!(durable, [("/f".to_owned(), vec![2; 4096]), ("/other".to_owned(), b"x".to_vec())]);
}

#[test]
fn a_crash_ends_the_calls_and_not_the_stall() {
    for crash in [Crash::Os, Crash::Power] {
        let mut stand = Stand::new(3);
        let file = stand.durable_file(4096);
        stand.write(file, 0, &[2; 4096]);
        stand.set_faults(stalled());
        stand.begin(Request::Sync { handle: file, all: false });
        stand.pass(SECOND_NS);
        let lost = stand.crash(crash).lost_sectors;
        let file = stand.open("/f");
        let read = stand.begin(Request::Read { handle: file, offset: 0, len: 4096 });
        stand.pass(SECOND_NS);
        assert!(stand.outcome(read).is_pending());
        stand.set_faults(DiskFaults::default());
        stand.pass(SECOND_NS);
        assert!(stand.outcome(read).is_ready());
        let old = stand.content("/f").expect("it is there").chunks(512).filter(|sector| sector[0] == 1).count() as u64;
        assert!(old >= lost, "{old} {lost}");
    }
}

#[test]
fn a_write_that_has_to_read_holds_up_the_writes_behind_it() {
    let mut stand = Stand::new(4);
    let file = stand.durable_file(4096);
    stand.go_cold();
    stand.set_faults(stalled());
    let first = stand.begin(Request::Write { handle: file, offset: 10, bytes: vec![2; 10], wall_ms: 2 });
    let second = stand.begin(Request::Write { handle: file, offset: 15, bytes: vec![3; 10], wall_ms: 2 });
    stand.pass(SECOND_NS);
    let third = stand.begin(Request::Write { handle: file, offset: 20, bytes: vec![4; 10], wall_ms: 2 });
    stand.pass(SECOND_NS);
    for write in [first, second, third] {
        assert!(stand.outcome(write).is_pending());
    }
    stand.set_faults(DiskFaults::default());
    stand.pass(SECOND_NS);
    for write in [first, second, third] {
        assert_eq!(stand.outcome(write), Poll::Ready(Ok(10)));
    }
    let content = stand.content("/f").expect("it is there");
    let expected: Vec<u8> = [[1; 10].as_slice(), &[2; 5], &[3; 5], &[4; 10], &[1; 10]].concat();
    assert_eq!(content[..40], expected);
}

#[test]
fn a_process_that_is_killed_leaves_its_sync_to_the_drive() {
    let mut stand = Stand::without_timers(5);
    let file = stand.durable_file(4096);
    stand.write(file, 0, &[2; 4096]);
    stand.set_faults(stalled());
    stand.begin(Request::Sync { handle: file, all: false });
    stand.pass(SECOND_NS);
    stand.crash(Crash::Process);
    stand.set_faults(DiskFaults::default());
    stand.pass(SECOND_NS);
    stand.crash(Crash::Power);
    assert_eq!(stand.content("/f"), Some(vec![2; 4096]));
}

#[test]
fn what_a_rename_or_a_close_would_write_back_waits_for_the_drive() {
    let mut stand = Stand::with_spec(6, DiskSpec::ext4());
    stand.durable_file(4096);
    let new = stand.open("/new");
    stand.write(new, 0, &[2; 4096]);
    stand.set_faults(stalled());
    stand.rename("/new", "/f");
    assert_eq!(stand.disk.stats().written_back_pages, 0);
    stand.set_faults(DiskFaults::default());
    assert_eq!(stand.disk.stats().written_back_pages, 1);
    stand.pass(6 * SECOND_NS);
    stand.crash(Crash::Power);
    assert_eq!(stand.content("/f"), Some(vec![2; 4096]));
}

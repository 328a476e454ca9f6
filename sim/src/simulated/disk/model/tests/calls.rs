//! Calls: how long they take, what they are refused for, and what a dying process leaves of them.

use super::*;

fn write(handle: HandleId, offset: u64, bytes: Vec<u8>) -> Request {
    Request::Write { handle, offset, bytes, wall_ms: 2 }
}

/// How long a call takes.
fn timed(stand: &mut Stand, request: Request) -> u64 {
    let from_ns = stand.core.now_ns();
    stand.call(request).expect("it succeeds");
    stand.core.now_ns() - from_ns
}

#[test]
fn costs_follow_the_spec() {
    let mut stand = Stand::new(1);
    let file = stand.durable_file(1 << 20);
    assert_eq!(timed(&mut stand, write(file, 0, vec![2; 4000])), 2_000 + 1_000);
    let read = Request::Read { handle: file, offset: 0, len: 8000 };
    assert_eq!(timed(&mut stand, read.clone()), 1_500 + 1_000);
    stand.sync(file);
    stand.crash(Crash::Os);
    let file = stand.open("/f");
    let read = |offset| Request::Read { handle: file, offset, len: 8192 };
    assert_eq!(timed(&mut stand, read(0)), 1_500 + 1_024 + 80_000 + 4_096, "not in memory");
    assert_eq!(timed(&mut stand, read(0)), 1_500 + 1_024, "in memory");
    assert_eq!(timed(&mut stand, read(1 << 20)), 1_500, "beyond the end");
}

#[test]
fn a_flush_takes_0_3_to_5_ms_and_1_ms_on_average() {
    let mut stand = Stand::new(1);
    let file = stand.open("/f");
    let times: Vec<_> = (0..1000).map(|_| timed(&mut stand, Request::Sync { handle: file, all: false })).collect();
    assert!(times.iter().all(|time_ns| (300_000..=5_000_000).contains(time_ns)));
    let mean_ns = times.iter().sum::<u64>() / 1000;
    assert!((900_000..1_100_000).contains(&mean_ns), "{mean_ns}");
}

#[test]
fn syncs_have_the_device_one_after_another() {
    let mut stand = Stand::new(1);
    let handles = [stand.open("/a"), stand.open("/b"), stand.open("/c")];
    let syncs = handles.map(|handle| stand.begin(Request::Sync { handle, all: false }));
    stand.pass(899_999);
    let ended = syncs.iter().filter(|sync| stand.outcome(**sync).is_ready()).count();
    assert!(ended < 3, "three flushes of at least 0.3 ms each were done in less than 0.9 ms");
    stand.pass(15_000_000);
    assert_eq!(stand.disk.stats().syncs, 3);
}

#[test]
fn writes_to_one_file_wait_for_each_other() {
    let mut stand = Stand::new(1);
    let file = stand.open("/f");
    let long = stand.begin(write(file, 0, vec![1; 1 << 20]));
    let short = stand.begin(write(file, 0, vec![2; 10]));
    stand.pass(10_000);
    assert!(stand.outcome(long).is_pending() && stand.outcome(short).is_pending());
    stand.pass(SECOND_NS);
    let content = stand.content("/f").expect("it is there");
    assert_eq!((content[9], content[10]), (2, 1));
}

#[test]
fn a_call_goes_on_when_its_future_is_dropped_and_leaves_nothing_behind() {
    let mut stand = Stand::new(1);
    let file = stand.open("/f");
    let operation = stand.begin(write(file, 0, vec![1; 10]));
    stand.disk.abandon(operation);
    stand.pass(SECOND_NS);
    assert_eq!(stand.content("/f"), Some(vec![1; 10]));
    assert!(stand.disk.operations.is_empty());
}

#[test]
fn a_kill_cuts_a_running_write_at_a_page_boundary() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let mut stand = Stand::new(seed);
        let file = stand.open("/f");
        stand.begin(write(file, 100, vec![1; 3 * 4096]));
        stand.begin(write(file, 0, vec![2; 10]));
        stand.pass(100);
        let report = stand.crash(Crash::Process);
        assert_eq!(report.cut_writes, 2);
        let content = stand.content("/f").expect("it is there");
        assert!(content.iter().all(|&byte| byte != 2), "a write that still waited took effect");
        lengths.insert(content.len());
        stand.pass(SECOND_NS);
        assert_eq!(stand.content("/f"), Some(content), "a dead process wrote");
    }
    assert_eq!(Vec::from_iter(lengths), [0, 4096, 2 * 4096, 3 * 4096, 3 * 4096 + 100]);
}

#[test]
fn a_sync_outlives_its_process() {
    for seed in 0..20 {
        let mut stand = Stand::without_timers(seed);
        let file = stand.durable_file(4096);
        stand.write(file, 0, &[2; 4096]);
        stand.begin(Request::Sync { handle: file, all: false });
        stand.crash(Crash::Process);
        stand.pass(SECOND_NS);
        stand.crash(Crash::Power);
        assert_eq!(stand.content("/f"), Some(vec![2; 4096]));
        assert!(stand.disk.operations.is_empty());
    }
}

#[test]
fn a_dead_process_is_answered_with_errors() {
    let mut stand = Stand::new(1);
    let file = stand.open("/f");
    let operation = stand.begin(write(file, 0, vec![1; 10]));
    stand.crash(Crash::Process);
    assert_eq!(stand.outcome(operation), Poll::Ready(Err(DiskError::Dead)));
    assert_eq!(stand.disk.len(file), Err(DiskError::Dead));
    assert_eq!(stand.call(write(file, 0, vec![1])), Err(DiskError::Dead));
    stand.disk.close(&mut stand.core, file);
}

#[test]
fn the_lock_excludes_and_dies_with_its_holder() {
    let mut stand = Stand::new(1);
    let (first, second) = (stand.open("/lock"), stand.open("/lock"));
    assert_eq!(stand.disk.try_lock(first), Ok(()));
    assert_eq!(stand.disk.try_lock(first), Ok(()));
    assert_eq!(stand.disk.try_lock(second), Err(DiskError::Locked));
    stand.disk.close(&mut stand.core, first);
    assert_eq!(stand.disk.try_lock(second), Ok(()));
    stand.crash(Crash::Process);
    let third = stand.open("/lock");
    assert_eq!(stand.disk.try_lock(third), Ok(()));
}

#[test]
fn a_full_disk_refuses_and_counts_reservations() {
    let spec = DiskSpec { capacity_bytes: 10 * 4096, ..DiskSpec::default() };
    let mut stand = Stand::with_spec(1, spec);
    let file = stand.open("/f");
    stand.preallocate(file, 6 * 4096);
    let available = |stand: &Stand| stand.disk.usage().available_bytes / 4096;
    assert_eq!(available(&stand), 4);
    let more = Request::Preallocate { handle: file, len: 11 * 4096, wall_ms: 0 };
    let refused = Err(DiskError::Full { needed_bytes: 5 * 4096, available_bytes: 4 * 4096 });
    assert_eq!(stand.call(more), refused);
    // Within the reservation no room is needed, beyond it there is some for four pages.
    stand.write(file, 0, &[1; 6 * 4096]);
    assert_eq!(available(&stand), 4);
    let refused = Err(DiskError::Full { needed_bytes: 4096, available_bytes: 0 });
    assert_eq!(stand.call(write(file, 6 * 4096, vec![1; 5 * 4096])), refused);
    assert_eq!(stand.disk.len(file), Ok(10 * 4096), "what had room was written");
    stand.set_len(file, 4096);
    assert_eq!(available(&stand), 9);
    stand.set_len(file, 1 << 40);
    assert_eq!(available(&stand), 9, "a hole takes no room");
    stand.set_len(file, 0);
    stand.remove("/f");
    stand.disk.close(&mut stand.core, file);
    assert_eq!(available(&stand), 10);
}

#[test]
fn rights_and_ranges_are_checked() {
    let mut stand = Stand::new(1);
    let all = stand.open("/f");
    let mut options = OpenOptions::new();
    let read_only = stand.open_with(options.read(true), "/f").expect("it is there");
    assert_eq!(stand.call(write(read_only, 0, vec![1])), Err(DiskError::NotPermitted { right: "write" }));
    let mut options = OpenOptions::new();
    let write_only = stand.open_with(options.write(true), "/f").expect("it is there");
    let read = Request::Read { handle: write_only, offset: 0, len: 1 };
    assert_eq!(stand.call(read), Err(DiskError::NotPermitted { right: "read" }));
    let offset = u64::MAX - 3;
    assert_eq!(stand.call(write(all, offset, vec![1; 4])), Err(DiskError::TooLarge { offset, len: 4 }));
    let offset = 1 << 63;
    assert_eq!(stand.call(write(all, offset, Vec::new())), Err(DiskError::TooLarge { offset, len: 0 }));
}

#[test]
fn an_idle_disk_has_no_events_and_memory_follows_what_is_written() {
    let mut stand = Stand::new(1);
    let file = stand.open("/f");
    stand.preallocate(file, 1 << 30);
    stand.write(file, 1 << 29, b"x");
    stand.pass(SECOND_NS);
    assert_eq!(stand.core.next_due_ns(), None);
    assert_eq!(stand.disk.files.values().map(|file| file.page_count()).sum::<usize>(), 1);
}

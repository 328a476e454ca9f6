//! The page cache under a limit.

use super::*;

#[test]
fn clean_pages_leave_first_in_first_out_and_are_read_again() {
    let mut stand = Stand::without_timers(1);
    let file = stand.durable_file(16 * 4096);
    stand.disk.set_cache_limit(stand.core.now_ns(), Some(8 * 4096));
    assert_eq!(stand.disk.stats().evicted_pages, 8);
    let cold = |stand: &Stand| stand.disk.stats().uncached_reads;
    stand.read(file, 8 * 4096, 8 * 4096).expect("in memory");
    assert_eq!(cold(&stand), 0);
    stand.read(file, 0, 8 * 4096).expect("read from the drive");
    assert_eq!(cold(&stand), 1);
    stand.read(file, 8 * 4096, 4096).expect("it had to leave");
    assert_eq!(cold(&stand), 2);
    assert_eq!(stand.content("/f"), Some(vec![1; 16 * 4096]));
    stand.disk.set_cache_limit(stand.core.now_ns(), None);
    stand.read(file, 0, 16 * 4096).expect("it can be read");
    assert_eq!(stand.disk.stats().evicted_pages, 8 + 8 + 1);
}

#[test]
fn dirty_pages_stay() {
    let mut stand = Stand::without_timers(2);
    let file = stand.durable_file(4096);
    stand.write(file, 0, &[2; 4096]);
    assert_eq!(stand.go_cold(), 0);
    stand.sync(file);
    assert_eq!(stand.go_cold(), 1);
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![2; 4096]));
}

#[test]
fn a_writer_with_too_much_dirty_waits_for_the_drive() {
    // 20 % of a thousand pages may be dirty; the drive takes 8 µs for each.
    let mut stand = Stand::without_timers(3);
    let file = stand.open("/f");
    stand.disk.set_cache_limit(0, Some(1000 * 4096));
    let time = |stand: &mut Stand, page: u64| {
        let from_ns = stand.core.now_ns();
        stand.write(file, page * 4096, &[1; 4096]);
        stand.core.now_ns() - from_ns
    };
    for page in 0..200 {
        assert!(time(&mut stand, page) < 4_000, "{page}");
    }
    let waited_ns = time(&mut stand, 200);
    assert!((800_000..900_000).contains(&waited_ns), "100 pages are written back: {waited_ns}");
    assert_eq!((stand.disk.stats().throttled_writes, stand.disk.stats().written_back_pages), (1, 100));
    assert!(time(&mut stand, 201) < 4_000);
    // On a drive that is silent the writer waits as long as that is.
    stand.set_faults(DiskFaults { stalled: true, ..DiskFaults::default() });
    for page in 202..300 {
        stand.write(file, page * 4096, &[1; 4096]);
    }
    let stuck = stand.begin(Request::Write { handle: file, offset: 300 * 4096, bytes: vec![1], wall_ms: 2 });
    stand.pass(SECOND_NS);
    assert!(stand.outcome(stuck).is_pending());
    stand.set_faults(DiskFaults::default());
    stand.pass(SECOND_NS);
    assert_eq!(stand.outcome(stuck), Poll::Ready(Ok(1)));
}

#[test]
fn a_read_larger_than_the_limit_gets_what_the_drive_said() {
    let mut stand = Stand::without_timers(4);
    let file = stand.durable_file(16 * 4096);
    stand.disk.set_cache_limit(stand.core.now_ns(), Some(2 * 4096));
    let damage = MediaDamage { kind: MediaDamageKind::BitRot, path_prefix: None, sectors: 10 };
    stand.disk.damage_media(stand.core.now_ns(), &damage);
    stand.go_cold();
    let rotten = stand.read(file, 0, 16 * 4096).expect("it can be read");
    assert_eq!(rotten.chunks(512).filter(|sector| **sector != [1; 512]).count(), 10);
    assert!(stand.disk.answers.is_empty());
}

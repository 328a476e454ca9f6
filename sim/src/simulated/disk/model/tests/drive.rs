//! Slow drives, and arrays that lose their members.

use super::*;

const MS: u64 = 1_000_000;

/// How long a sync of so many new pages takes.
fn sync_ns(stand: &mut Stand, file: HandleId, pages: usize) -> u64 {
    stand.write(file, 0, &vec![7; pages * 4096]);
    let begin_ns = stand.core.now_ns();
    stand.sync(file);
    stand.core.now_ns() - begin_ns
}

/// The mean time of a sync of so many pages.
fn mean_sync_ns(stand: &mut Stand, file: HandleId, pages: usize) -> u64 {
    (0..50).map(|_| sync_ns(stand, file, pages)).sum::<u64>() / 50
}

/// How long a read of all 64 pages from the drive takes.
fn cold_read_ns(stand: &mut Stand) -> u64 {
    stand.crash(Crash::Os);
    let file = stand.open("/f");
    let begin_ns = stand.core.now_ns();
    stand.call(Request::Read { handle: file, offset: 0, len: 64 * 4096 }).expect("read");
    stand.core.now_ns() - begin_ns
}

fn raid(seed: u64) -> (Stand, HandleId) {
    let mut stand = Stand::with_spec(seed, DiskSpec::raid10());
    let file = stand.durable_file(64 * 4096);
    (stand, file)
}

#[test]
fn a_slow_disk_takes_longer_until_it_is_restored_and_loses_nothing() {
    let mut stand = Stand::new(1);
    let file = stand.durable_file(64 * 4096);
    assert!(sync_ns(&mut stand, file, 10) < 6 * MS);
    let slowdown = DiskSlowdown { added_latency_ns: 100 * MS, bytes_per_s_max: 409_600 };
    stand.disk.set_slowdown(stand.core.now_ns(), Some(slowdown));
    // Ten pages at 100 pages per second, the flush, and the latency.
    let slow_ns = sync_ns(&mut stand, file, 10);
    assert!((200 * MS..206 * MS).contains(&slow_ns), "{slow_ns}");
    let read_ns = cold_read_ns(&mut stand);
    assert!((740 * MS..741 * MS).contains(&read_ns), "{read_ns}");
    stand.disk.set_slowdown(stand.core.now_ns(), None);
    let file = stand.open("/f");
    assert!(sync_ns(&mut stand, file, 10) < 6 * MS);
    assert!(cold_read_ns(&mut stand) < MS);
}

#[test]
fn a_disk_that_was_slow_goes_on_as_if_nothing_had_been() {
    // The draws of a sound drive do not depend on what was before.
    let times = |slowed: bool| {
        let mut stand = Stand::new(2);
        let file = stand.durable_file(4096);
        for slowdown in [Some(DiskSlowdown { added_latency_ns: MS, bytes_per_s_max: 1 << 20 }), None] {
            if slowed {
                stand.disk.set_slowdown(stand.core.now_ns(), slowdown);
            }
        }
        (0..20).map(|_| sync_ns(&mut stand, file, 1)).collect::<Vec<_>>()
    };
    assert_eq!(times(true), times(false));
}

#[test]
fn a_raid10_writes_twice_as_fast_and_its_flush_waits_for_the_slowest_drive() {
    let (mut one, mut four) = (Stand::new(3), raid(3).0);
    let (single, array) = (one.durable_file(4096), four.open("/f"));
    let (small_one_ns, small_four_ns) = (mean_sync_ns(&mut one, single, 1), mean_sync_ns(&mut four, array, 1));
    assert!(small_one_ns < small_four_ns, "{small_one_ns} {small_four_ns}");
    let (large_one_ns, large_four_ns) = (sync_ns(&mut one, single, 16_384), sync_ns(&mut four, array, 16_384));
    // 64 MiB at 500 and at 1,000 MB/s, and a flush of a few milliseconds.
    assert!((134 * MS..141 * MS).contains(&large_one_ns), "{large_one_ns}");
    assert!((67 * MS..74 * MS).contains(&large_four_ns), "{large_four_ns}");
}

#[test]
fn one_member_of_a_pair_may_be_lost_and_is_rebuilt() {
    let (mut stand, _) = raid(4);
    let sound_ns = cold_read_ns(&mut stand);
    assert_eq!(stand.disk.lose_member(stand.core.now_ns(), 2), Some(MemberState::Mirrored));
    assert_eq!(stand.content("/f"), Some(vec![1; 64 * 4096]));
    let degraded_ns = cold_read_ns(&mut stand);
    assert!(degraded_ns > sound_ns + 30_000, "{degraded_ns} {sound_ns}");
    assert_eq!(stand.disk.lose_member(stand.core.now_ns(), 2), None, "it is lost already");
    assert_eq!(stand.disk.lose_member(stand.core.now_ns(), 4), None, "there are four");

    assert!(!stand.disk.replace_member(stand.core.now_ns(), 0), "it is sound");
    assert!(stand.disk.replace_member(stand.core.now_ns(), 2));
    let rebuilding_ns = cold_read_ns(&mut stand);
    assert!(rebuilding_ns > degraded_ns + 400_000, "{rebuilding_ns} {degraded_ns}");
    let file = stand.open("/f");
    let rebuilding_ns = mean_sync_ns(&mut stand, file, 1);
    stand.pass(SECOND_NS);
    assert!(mean_sync_ns(&mut stand, file, 1) + MS < rebuilding_ns);
    assert_eq!(cold_read_ns(&mut stand), sound_ns, "as before");
    assert_eq!(stand.disk.lose_member(stand.core.now_ns(), 3), Some(MemberState::Mirrored));
}

#[test]
fn the_second_member_of_a_pair_is_the_disk_and_one_of_the_other_pair_is_not() {
    let (mut stand, _) = raid(5);
    let now_ns = stand.core.now_ns();
    assert_eq!(stand.disk.lose_member(now_ns, 0), Some(MemberState::Mirrored));
    assert_eq!(stand.disk.lose_member(now_ns, 3), Some(MemberState::Mirrored));
    assert_eq!(stand.disk.lose_member(now_ns, 1), Some(MemberState::Alone));

    // While its mirror is still being filled, too; but the one being filled has nothing to take with it.
    let (mut stand, _) = raid(6);
    let now_ns = stand.core.now_ns();
    assert_eq!(stand.disk.lose_member(now_ns, 0), Some(MemberState::Mirrored));
    assert!(stand.disk.replace_member(now_ns, 0));
    assert_eq!(stand.disk.lose_member(now_ns, 0), Some(MemberState::Mirrored));
    assert!(stand.disk.replace_member(now_ns, 0));
    assert_eq!(stand.disk.lose_member(now_ns, 1), Some(MemberState::Alone));

    // What takes the place of a lost disk is a sound array.
    stand.crash(Crash::Disk);
    assert_eq!(stand.disk.lose_member(stand.core.now_ns(), 0), Some(MemberState::Mirrored));
}

#[test]
fn a_single_drive_is_its_only_member() {
    let mut stand = Stand::new(7);
    assert_eq!(stand.disk.lose_member(0, 1), None);
    assert_eq!(stand.disk.lose_member(0, 0), Some(MemberState::Alone));
    assert!(!stand.disk.replace_member(0, 0));
    assert_eq!(stand.disk.stats().lost_members, 1);
}

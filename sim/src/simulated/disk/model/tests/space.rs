//! A full file system and a quota.

use super::*;

fn write(handle: HandleId, pages: usize) -> Request {
    Request::Write { handle, offset: 0, bytes: vec![1; pages * 4096], wall_ms: 2 }
}

#[test]
fn a_quota_refuses_growth_and_nothing_else() {
    for (spec, is_full) in [(DiskSpec::default(), false), (DiskSpec::ext4(), false), (DiskSpec::xfs(), true)] {
        let mut stand = Stand::with_spec(1, spec);
        let file = stand.open("/f");
        stand.call(write(file, 4)).expect("there is room");
        stand.disk.set_quota(Some(6 * 4096));
        let usage = stand.disk.usage();
        assert_eq!((usage.total_bytes, usage.available_bytes), (6 * 4096, 2 * 4096));
        stand.call(write(file, 6)).expect("up to the quota");
        let refused = match is_full {
            true => DiskError::Full { needed_bytes: 4096, available_bytes: 0 },
            false => DiskError::OverQuota { needed_bytes: 4096, available_bytes: 0 },
        };
        assert_eq!(stand.call(write(file, 7)), Err(refused));
        assert_eq!(stand.disk.len(file), Ok(6 * 4096), "what had room was written");
        stand.disk.set_quota(Some(4096));
        stand.call(write(file, 6)).expect("it has this room already");
        assert!(stand.call(Request::Preallocate { handle: file, len: 7 * 4096, wall_ms: 2 }).is_err());
        stand.disk.set_quota(None);
        stand.call(write(file, 7)).expect("there is no quota any more");
        assert_eq!(stand.disk.stats().refused_room_injected, 2);
    }
}

#[test]
fn a_file_system_filled_by_something_else_refuses_until_that_is_deleted() {
    let mut stand = Stand::new(1);
    let file = stand.open("/f");
    stand.disk.fill(Some(2 * 4096 + 100));
    assert_eq!(stand.disk.usage().available_bytes, 2 * 4096 + 100);
    let refused = DiskError::Full { needed_bytes: 4096, available_bytes: 100 };
    assert_eq!(stand.call(write(file, 3)), Err(refused));
    assert_eq!(stand.disk.len(file), Ok(2 * 4096));
    // What is deleted makes room.
    stand.set_len(file, 0);
    stand.call(write(file, 2)).expect("there is room again");
    stand.disk.fill(None);
    stand.call(write(file, 3)).expect("there is room");
    assert_eq!(stand.disk.stats().refused_room_injected, 1);
}

#[test]
fn what_is_written_of_a_write_that_does_not_fit_depends_on_the_file_system() {
    const ROOM: u64 = 64;
    for (spec, written) in
        [(DiskSpec::default(), [64, 64, 63]), (DiskSpec::ext4(), [64, 0, 63]), (DiskSpec::xfs(), [0; 3])]
    {
        for ((at, pages), written) in [(0, 65), (0, 128), (1, 65)].into_iter().zip(written) {
            let mut stand = Stand::with_spec(1, spec.clone());
            let file = stand.open("/f");
            stand.disk.fill(Some((ROOM - at) * 4096));
            let asked = Request::Write { handle: file, offset: at * 4096, bytes: vec![1; pages * 4096], wall_ms: 2 };
            assert!(matches!(stand.call(asked), Err(DiskError::Full { .. })));
            let end = if written == 0 { 0 } else { at + written };
            assert_eq!(stand.disk.len(file), Ok(end * 4096), "{:?}: {pages} pages at {at}", spec.personality);
            if written == 0 {
                stand.call(write(file, 1)).expect("a small one fits");
            }
        }
    }
}

#[test]
fn a_reservation_that_does_not_fit_takes_what_there_is_on_ext4_and_nothing_elsewhere() {
    for (spec, pages) in [(DiskSpec::default(), 0), (DiskSpec::ext4(), 64), (DiskSpec::xfs(), 0)] {
        let mut stand = Stand::with_spec(1, spec);
        let file = stand.open("/f");
        stand.disk.fill(Some(64 * 4096));
        assert!(stand.call(Request::Preallocate { handle: file, len: 100 * 4096, wall_ms: 2 }).is_err());
        assert_eq!(stand.disk.len(file), Ok(pages * 4096));
        assert_eq!(stand.disk.usage().available_bytes, (64 - pages) * 4096);
    }
}

#[test]
fn a_file_system_that_cannot_reserve_room_takes_none_and_refuses_what_is_written() {
    let mut stand = Stand::with_spec(1, DiskSpec { reserves_room: false, ..DiskSpec::default() });
    let file = stand.open("/f");
    let room = stand.disk.usage().available_bytes;
    stand.preallocate(file, 8 * 4096);
    assert_eq!(stand.disk.len(file), Ok(8 * 4096));
    stand.call(Request::Reserve { handle: file, from: 0, to: 8 * 4096, wall_ms: 2 }).expect("it does not know better");
    assert_eq!(stand.disk.usage().available_bytes, room);
    stand.disk.fill(Some(2 * 4096));
    assert!(matches!(stand.call(write(file, 3)), Err(DiskError::Full { .. })));
}

#[test]
fn a_reservation_within_a_file_that_does_not_fit_can_be_given_back() {
    for (spec, taken) in [(DiskSpec::default(), 0), (DiskSpec::ext4(), 64), (DiskSpec::xfs(), 0)] {
        let personality = spec.personality;
        let mut stand = Stand::with_spec(1, spec);
        let file = stand.open("/f");
        stand.set_len(file, 200 * 4096);
        stand.call(write(file, 3)).expect("there is room");
        stand.disk.fill(Some(64 * 4096));
        let available = |stand: &Stand| stand.disk.usage().available_bytes / 4096;
        let reserve =
            |from: u64, to: u64| Request::Reserve { handle: file, from: from * 4096, to: to * 4096, wall_ms: 2 };
        assert!(matches!(stand.call(reserve(3, 103)), Err(DiskError::Full { .. })));
        assert_eq!(available(&stand), 64 - taken, "{personality:?}");
        stand.call(Request::Unreserve { handle: file, from: 2 * 4096, wall_ms: 2 }).expect("given back");
        assert_eq!(available(&stand), 64, "{personality:?}");
        // What has room already is asked for again on XFS alone.
        let again = stand.call(reserve(0, 66));
        assert_eq!(again.is_err(), personality == Personality::Xfs, "{personality:?}: {again:?}");
        stand.call(reserve(3, 66)).expect("there is room");
        assert_eq!(available(&stand), 1);
        stand.call(write(file, 66)).expect("it is reserved");
        assert_eq!(stand.disk.len(file), Ok(200 * 4096));
        assert_eq!(available(&stand), 1);
    }
}

//! What each crash takes of content and sizes, and what it keeps.

use super::*;

const SEEDS: u64 = 200;

fn written(seed: u64) -> (Stand, HandleId) {
    let mut stand = Stand::without_timers(seed);
    let file = stand.durable_file(16 * 4096);
    // In place: only content is not durable.
    for page in 0..16 {
        stand.write(file, page * 4096, &[2; 4096]);
    }
    (stand, file)
}

#[test]
fn a_process_kill_loses_nothing_of_what_was_written() {
    for seed in 0..20 {
        let (mut stand, _) = written(seed);
        let new = stand.open("/new");
        stand.write(new, 0, b"unsynced");
        stand.rename("/f", "/g");
        let before = stand.disk.cached_files();
        let report = stand.crash(Crash::Process);
        assert!(!report.lost_anything(), "{report:?}");
        assert_eq!(stand.disk.cached_files(), before);
    }
}

#[test]
fn disk_loss_leaves_an_empty_disk_that_works() {
    let (mut stand, file) = written(1);
    let report = stand.crash(Crash::Disk);
    assert_eq!((report.lost_files, report.lost_sectors), (1, 16 * 8));
    assert!(stand.disk.cached_files().is_empty());
    assert_eq!(stand.disk.len(file), Err(DiskError::Dead));
    assert_eq!(stand.disk.usage().available_bytes, stand.disk.usage().total_bytes);
    stand.durable_file(100);
    stand.crash(Crash::Power);
    assert_eq!(stand.content("/f"), Some(vec![1; 100]));
}

#[test]
fn what_was_synced_survives_every_crash_of_the_machine() {
    for seed in 0..SEEDS {
        for crash in [Crash::Os, Crash::Power] {
            let (mut stand, file) = written(seed);
            stand.sync(file);
            let report = stand.crash(crash);
            assert!(!report.lost_anything(), "seed {seed} {report:?}");
            assert_eq!(stand.content("/f"), Some(vec![2; 16 * 4096]), "seed {seed}");
        }
    }
}

#[test]
fn an_os_crash_loses_whole_pages_in_any_order_and_tears_nothing() {
    let (mut lost_all, mut lost_some, mut reordered) = (0, 0, 0);
    for seed in 0..SEEDS {
        let (mut stand, _) = written(seed);
        let report = stand.crash(Crash::Os);
        let content = stand.content("/f").expect("its name is durable");
        let pages: Vec<u8> = (0..16)
            .map(|page| {
                let bytes = &content[page * 4096..(page + 1) * 4096];
                assert!(bytes.iter().all(|byte| *byte == bytes[0]), "seed {seed}: a page is torn by an OS crash");
                bytes[0]
            })
            .collect();
        let lost = pages.iter().filter(|&&page| page == 1).count() as u64;
        assert_eq!((report.lost_sectors, report.kept_sectors, report.torn_sectors), (lost * 8, (16 - lost) * 8, 0));
        lost_all += u32::from(lost == 16);
        lost_some += u32::from(lost > 0 && lost < 16);
        reordered += u32::from(pages.windows(2).any(|pair| pair == [1, 2]));
    }
    assert!(lost_all > 30 && lost_some > 60 && reordered > 40, "{lost_all} {lost_some} {reordered}");
}

#[test]
fn a_power_loss_loses_sectors_in_any_order_and_tears_a_few() {
    let (mut split_page, mut reordered, mut torn) = (0, 0, 0);
    for seed in 0..SEEDS {
        let (mut stand, _) = written(seed);
        let report = stand.crash(Crash::Power);
        let content = stand.content("/f").expect("its name is durable");
        let sectors: Vec<_> = (0..16 * 8).map(|number| sector(&content, number)).collect();
        let mixed = sectors.iter().filter(|(_, whole)| !whole).count() as u64;
        assert!(mixed == report.torn_sectors && mixed <= 3, "seed {seed}: {mixed} torn, {report:?}");
        let kept = sectors.iter().filter(|&&sector| sector == (2, true)).count() as u64;
        assert_eq!(kept, report.kept_sectors, "seed {seed}");
        assert_eq!(report.kept_sectors + report.lost_sectors + report.torn_sectors, 16 * 8);
        torn += u32::from(mixed != 0);
        reordered += u32::from(sectors.windows(2).any(|pair| pair == [(1, true), (2, true)]));
        split_page += u32::from(sectors.chunks(8).any(|page| page.contains(&(1, true)) && page.contains(&(2, true))));
    }
    assert!(torn > 40 && reordered > 40 && split_page > 40, "{torn} {reordered} {split_page}");
}

#[test]
fn the_device_cache_drains_after_an_os_crash_and_not_after_a_power_loss() {
    // Write-back hands the pages to the drive at the first tick after 30 s; the drive keeps them for long.
    let spec = DiskSpec {
        journal_commit_ns: u64::MAX / 4,
        drain_ns_min: u64::MAX / 4,
        drain_ns_max: u64::MAX / 4,
        ..DiskSpec::default()
    };
    let mut lost = 0;
    for seed in 0..50 {
        for crash in [Crash::Os, Crash::Power] {
            let mut stand = Stand::with_spec(seed, spec.clone());
            let file = stand.durable_file(4 * 4096);
            stand.write(file, 0, &[2; 4 * 4096]);
            stand.pass(36 * SECOND_NS);
            let report = stand.crash(crash);
            assert_eq!(stand.disk.stats().written_back_pages, 4);
            if crash == Crash::Os {
                assert_eq!(stand.content("/f"), Some(vec![2; 4 * 4096]), "seed {seed}");
            } else {
                lost += report.lost_sectors;
            }
        }
    }
    assert!(lost > 0);
}

#[test]
fn old_dirty_pages_reach_the_media_by_themselves() {
    for seed in 0..20 {
        let mut stand = Stand::new(seed);
        let file = stand.durable_file(8 * 4096);
        stand.write(file, 0, &[2; 8 * 4096]);
        stand.pass(29 * SECOND_NS);
        assert_eq!(stand.disk.durable_files(stand.core.now_ns())[0].1, vec![1; 8 * 4096], "seed {seed}: too early");
        stand.pass(7 * SECOND_NS);
        assert_eq!(stand.disk.durable_files(stand.core.now_ns())[0].1, vec![2; 8 * 4096], "seed {seed}");
        stand.crash(Crash::Power);
        assert_eq!(stand.content("/f"), Some(vec![2; 8 * 4096]), "seed {seed}");
    }
}

#[test]
fn the_journal_makes_names_and_sizes_durable_after_five_seconds_but_not_content() {
    for seed in 0..50 {
        let mut stand = Stand::new(seed);
        let file = stand.open("/f");
        stand.preallocate(file, 8192);
        stand.write(file, 0, &[7; 4096]);
        assert!(stand.disk.durable_files(stand.core.now_ns()).is_empty());
        stand.pass(5 * SECOND_NS + 1);
        assert_eq!(stand.disk.durable_files(stand.core.now_ns()), [("/f".to_owned(), vec![0; 8192])]);
        stand.crash(Crash::Power);
        let content = stand.content("/f").expect("its name is durable");
        assert_eq!(content.len(), 8192);
        assert!(content[4096..].iter().all(|&byte| byte == 0));
    }
}

#[test]
fn growth_is_undone_wholly_partly_or_not_at_all() {
    let mut sizes = std::collections::BTreeSet::new();
    for seed in 0..SEEDS {
        let mut stand = Stand::without_timers(seed);
        let file = stand.durable_file(1000);
        for step in 1..4 {
            stand.write(file, step * 1000, &[2; 1000]);
        }
        let report = stand.crash(if seed % 2 == 0 { Crash::Os } else { Crash::Power });
        let content = stand.content("/f").expect("its name is durable");
        assert!(content[..1000].iter().all(|&byte| byte == 1), "seed {seed}: synced bytes changed");
        assert!(content[1000..].iter().all(|&byte| byte == 0 || byte == 2), "seed {seed}");
        assert_eq!(report.undone_sizes, u64::from(content.len() != 4000));
        sizes.insert(content.len());
    }
    assert_eq!(Vec::from_iter(sizes), [1000, 2000, 3000, 4000]);
}

#[test]
fn an_undone_cut_brings_the_old_bytes_back() {
    let (mut undone, mut regrown) = (0, 0);
    for seed in 0..SEEDS {
        let mut stand = Stand::without_timers(seed);
        let file = stand.durable_file(10_000);
        stand.set_len(file, 1500);
        assert_eq!(stand.content("/f"), Some(vec![1; 1500]));
        stand.set_len(file, 9000);
        let content = stand.content("/f").expect("it is there");
        assert!(content[1500..].iter().all(|&byte| byte == 0), "growing after a cut shows old bytes");
        stand.crash(if seed % 2 == 0 { Crash::Os } else { Crash::Power });
        let content = stand.content("/f").expect("its name is durable");
        match content.len() {
            10_000 => {
                // The page that the cut divides is the kernel's to write, at any time.
                let is_sound = content[1500..4096] == [1; 2596] || content[1500..4096] == [0; 2596];
                assert!(is_sound && content[..1500] == [1; 1500] && content[4096..] == [1; 5904], "seed {seed}");
                undone += 1;
            }
            9000 => {
                assert!(content[..1500].iter().all(|&byte| byte == 1), "seed {seed}");
                assert!(content[1500..].iter().all(|&byte| byte == 0), "seed {seed}");
                regrown += 1;
            }
            1500 => assert_eq!(content, vec![1; 1500], "seed {seed}"),
            other => panic!("seed {seed}: a size that never was: {other}"),
        }
    }
    assert!(undone > 30 && regrown > 30, "{undone} {regrown}");
}

#[test]
fn a_synced_cut_is_final() {
    for seed in 0..50 {
        let mut stand = Stand::without_timers(seed);
        let file = stand.durable_file(10_000);
        stand.set_len(file, 1500);
        stand.sync(file);
        stand.crash(Crash::Power);
        assert_eq!(stand.content("/f"), Some(vec![1; 1500]), "seed {seed}");
    }
}

#[test]
fn a_sync_does_not_cover_what_is_written_while_it_runs() {
    let mut lost = 0;
    for seed in 0..50 {
        let mut stand = Stand::without_timers(seed);
        let file = stand.durable_file(8192);
        stand.write(file, 0, &[2; 8192]);
        let sync = stand.begin(Request::Sync { handle: file, all: false });
        stand.write(file, 4096, &[3; 4096]);
        assert!(stand.outcome(sync).is_pending(), "a sync takes longer than a write");
        stand.pass(SECOND_NS);
        assert_eq!(stand.outcome(sync), Poll::Ready(Ok(0)));
        stand.crash(Crash::Os);
        let content = stand.content("/f").expect("its name is durable");
        assert!(content[..4096].iter().all(|&byte| byte == 2), "seed {seed}: the synced page is lost");
        assert!(content[4096] == 2 || content[4096] == 3, "seed {seed}: older than the sync");
        lost += u32::from(content[4096] == 2);
    }
    assert!(lost > 10);
}

#[test]
fn growth_during_a_sync_is_not_covered_by_it() {
    let mut undone = 0;
    for seed in 0..50 {
        let mut stand = Stand::without_timers(seed);
        let file = stand.durable_file(4096);
        let sync = stand.begin(Request::Sync { handle: file, all: false });
        stand.write(file, 4096, &[2; 4096]);
        assert!(stand.outcome(sync).is_pending(), "a sync takes longer than a write");
        stand.pass(SECOND_NS);
        stand.crash(Crash::Power);
        undone += u32::from(stand.content("/f").is_some_and(|content| content.len() == 4096));
    }
    assert!(undone > 10, "{undone}");
}

#[test]
fn the_flusher_does_not_overtake_a_sync_with_a_newer_version() {
    // The drive takes a second for a page, the flusher writes back after a millisecond.
    let spec = DiskSpec {
        write_bytes_per_s: 4096,
        writeback_interval_ns: 1_000_000,
        dirty_expire_ns: 1_000_000,
        ..DiskSpec::default()
    };
    for seed in 0..20 {
        let mut stand = Stand::with_spec(seed, spec.clone());
        let file = stand.durable_file(4096);
        stand.write(file, 0, &[2; 4096]);
        stand.begin(Request::Sync { handle: file, all: false });
        stand.write(file, 0, &[3; 4096]);
        stand.pass(10 * SECOND_NS);
        stand.crash(Crash::Power);
        assert_eq!(stand.content("/f"), Some(vec![3; 4096]), "seed {seed}: an older version has replaced a newer one");
    }
}

#[test]
fn a_crash_during_a_sync_finds_a_part_of_it() {
    let mut partly = 0;
    for seed in 0..50 {
        let mut stand = Stand::without_timers(seed);
        let file = stand.durable_file(64 * 4096);
        stand.write(file, 0, &[2; 64 * 4096]);
        stand.begin(Request::Sync { handle: file, all: false });
        // 64 pages at 500 MB/s take 524 µs.
        stand.pass(262_000);
        let report = stand.crash(Crash::Os);
        partly += u32::from(report.kept_sectors > 0 && report.lost_sectors > 0);
    }
    assert!(partly > 40, "{partly}");
}

#[test]
fn a_sync_flushes_the_device_cache_for_every_file() {
    let spec = DiskSpec {
        journal_commit_ns: u64::MAX / 4,
        drain_ns_min: u64::MAX / 4,
        drain_ns_max: u64::MAX / 4,
        ..DiskSpec::default()
    };
    let mut stand = Stand::with_spec(5, spec);
    let file = stand.durable_file(4096);
    stand.write(file, 0, &[2; 4096]);
    stand.pass(36 * SECOND_NS);
    let other = stand.open("/other");
    stand.sync(other);
    let media = stand.disk.durable_files(stand.core.now_ns());
    assert_eq!(media, [("/f".to_owned(), vec![2; 4096])]);
}

#[test]
fn the_same_key_gives_the_same_outcome() {
    let outcome = |seed| {
        let (mut stand, _) = written(seed);
        stand.rename("/f", "/g");
        let report = stand.crash(Crash::Power);
        (report, stand.disk.cached_files(), stand.core.trace.hash())
    };
    for seed in 0..10 {
        assert_eq!(outcome(seed), outcome(seed));
    }
    assert_ne!(outcome(1).1, outcome(2).1);
}

//! The table of personalities, row by row: what each file system may leave after a crash, and that it does.

use super::*;
use std::collections::BTreeSet;

const SEEDS: u64 = 60;

fn spec(personality: Personality) -> DiskSpec {
    match personality {
        Personality::StrictPosix => DiskSpec::default(),
        Personality::Ext4Ordered => DiskSpec::ext4(),
        Personality::Xfs => DiskSpec::xfs(),
    }
}

const ALL: [Personality; 3] = [Personality::StrictPosix, Personality::Ext4Ordered, Personality::Xfs];

/// What a program on a file system of its own leaves after a crash of the machine, over many seeds: what `look` finds.
fn outcomes<T: Ord>(
    personality: Personality,
    crash: Crash,
    program: impl Fn(&mut Stand),
    look: impl Fn(&Stand) -> T,
) -> BTreeSet<T> {
    let outcome = |seed| {
        let mut stand = Stand::with_spec(seed, spec(personality));
        program(&mut stand);
        stand.crash(crash);
        look(&stand)
    };
    (0..SEEDS).map(outcome).collect()
}

fn both<T: Ord>(personality: Personality, program: impl Fn(&mut Stand), look: impl Fn(&Stand) -> T) -> BTreeSet<T> {
    let mut found = outcomes(personality, Crash::Os, &program, &look);
    found.extend(outcomes(personality, Crash::Power, program, look));
    found
}

fn sync_all(stand: &mut Stand, handle: HandleId, all: bool) {
    stand.call(Request::Sync { handle, all }).expect("synced");
}

#[test]
fn fsync_of_a_new_file_keeps_its_name_where_there_is_a_journal() {
    for all in [true, false] {
        let program = |stand: &mut Stand| {
            stand.mkdir("/dir");
            let file = stand.open("/dir/new");
            stand.write(file, 0, &[1; 5000]);
            sync_all(stand, file, all);
        };
        let look = |stand: &Stand| stand.content("/dir/new");
        let kept = Some(vec![1; 5000]);
        assert!(both(Personality::StrictPosix, program, look).contains(&None));
        for personality in [Personality::Ext4Ordered, Personality::Xfs] {
            assert_eq!(both(personality, program, look), BTreeSet::from([kept.clone()]), "{personality:?} {all}");
        }
    }
}

#[test]
fn fsync_of_a_renamed_file_keeps_the_new_name_and_fdatasync_does_on_xfs() {
    for all in [true, false] {
        let program = |stand: &mut Stand| {
            let file = stand.durable_file(100);
            stand.rename("/f", "/g");
            sync_all(stand, file, all);
        };
        let look = |stand: &Stand| stand.paths();
        for personality in ALL {
            let found = both(personality, program, look);
            let is_kept = personality == Personality::Xfs || (personality == Personality::Ext4Ordered && all);
            assert_eq!(found == BTreeSet::from([vec!["/g".to_owned()]]), is_kept, "{personality:?} {all} {found:?}");
        }
    }
}

#[test]
fn a_journal_keeps_names_in_the_order_in_which_they_were_made() {
    let program = |stand: &mut Stand| {
        for number in 0..4 {
            stand.mkdir(&format!("/{number}"));
            stand.open(&format!("/{number}/f"));
        }
    };
    let look = |stand: &Stand| stand.paths();
    let prefix = |paths: &Vec<String>| paths.iter().enumerate().all(|(number, path)| *path == format!("/{number}/f"));
    assert!(!both(Personality::StrictPosix, program, look).iter().all(prefix));
    for personality in [Personality::Ext4Ordered, Personality::Xfs] {
        let found = both(personality, program, look);
        assert!(found.iter().all(prefix), "{personality:?}: {found:?}");
        assert!(found.len() >= 3, "{found:?}");
    }
}

#[test]
fn a_sync_of_anything_changed_commits_everything_before_it_where_there_is_a_journal() {
    let program = |stand: &mut Stand| {
        stand.durable_file(100);
        stand.rename("/f", "/g");
        let other = stand.open("/other");
        sync_all(stand, other, true);
    };
    let look = |stand: &Stand| stand.paths();
    for personality in [Personality::Ext4Ordered, Personality::Xfs] {
        let found = both(personality, program, look);
        assert_eq!(found, BTreeSet::from([vec!["/g".to_owned(), "/other".to_owned()]]), "{personality:?}");
    }
    assert!(both(Personality::StrictPosix, program, look).len() > 1);
}

#[test]
fn the_journal_commits_after_5_s_and_the_log_of_xfs_after_30() {
    for (personality, seconds) in [(Personality::StrictPosix, 5), (Personality::Ext4Ordered, 5), (Personality::Xfs, 30)]
    {
        let mut stand = Stand::with_spec(1, spec(personality));
        stand.open("/f");
        stand.pass(seconds * SECOND_NS - 1);
        assert!(stand.disk.durable_files(stand.core.now_ns()).is_empty(), "{personality:?}");
        stand.pass(1);
        assert_eq!(stand.disk.durable_files(stand.core.now_ns()).len(), 1, "{personality:?}");
    }
}

#[test]
fn growth_by_write_follows_its_content_where_allocation_is_delayed() {
    // Twenty seconds: the journal of ext4 has committed, the flusher has not written back.
    let program = |stand: &mut Stand| {
        let file = stand.durable_file(4096);
        stand.write(file, 4096, &[2; 3 * 4096]);
        stand.pass(20 * SECOND_NS);
    };
    let look = |stand: &Stand| {
        let content = stand.content("/f").expect("its name is durable");
        (content.len(), content[4096.min(content.len())..].contains(&0))
    };
    let found = outcomes(Personality::StrictPosix, Crash::Power, program, look);
    assert!(found.contains(&(4 * 4096, true)), "size before content: {found:?}");
    for personality in [Personality::Ext4Ordered, Personality::Xfs] {
        let found = both(personality, program, look);
        assert!(found.contains(&(4096, false)), "{personality:?}: {found:?}");
    }
    // After write-back and a commit it is there for good.
    let long = |stand: &mut Stand| {
        program(stand);
        stand.pass(80 * SECOND_NS);
    };
    for personality in ALL {
        assert_eq!(both(personality, long, look), BTreeSet::from([(4 * 4096, false)]), "{personality:?}");
    }
}

#[test]
fn a_file_cut_to_a_larger_size_shows_zeros_on_ext4_and_content_on_xfs() {
    let program = |stand: &mut Stand| {
        let file = stand.durable_file(4096);
        stand.write(file, 4096, &[2; 4096]);
        stand.set_len(file, 4 * 4096);
        let other = stand.open("/other");
        sync_all(stand, other, true);
    };
    let look = |stand: &Stand| {
        let content = stand.content("/f").expect("its name is durable");
        (content.len(), content[4096])
    };
    assert!(both(Personality::Ext4Ordered, program, look).contains(&(4 * 4096, 0)));
    assert_eq!(both(Personality::Xfs, program, look), BTreeSet::from([(4 * 4096, 2)]));
}

#[test]
fn a_block_written_back_into_reserved_room_is_unwritten_until_the_next_commit() {
    let program = |stand: &mut Stand| {
        let file = stand.open("/f");
        stand.preallocate(file, 8192);
        sync_all(stand, file, true);
        stand.sync_dir("/");
        stand.write(file, 0, &[2; 4096]);
        let id = stand.disk.handle(file).expect("it is open").file;
        stand.disk.write_back_file(id, stand.core.now_ns());
        // The drive has drained it; the journal's timer has not ended.
        stand.pass(SECOND_NS);
    };
    let look = |stand: &Stand| stand.content("/f").expect("its name is durable")[0];
    assert_eq!(both(Personality::StrictPosix, program, look), BTreeSet::from([2]));
    for personality in [Personality::Ext4Ordered, Personality::Xfs] {
        assert_eq!(both(personality, program, look), BTreeSet::from([0, 2]), "{personality:?}");
    }
}

#[test]
fn replacing_by_rename_without_fsync_is_safe_on_ext4_alone() {
    // Rename replaces; ten (or forty) seconds later the name is committed, and on ext4 the content was before.
    let program = |stand: &mut Stand| {
        stand.durable_file(4096);
        let new = stand.open("/new");
        stand.write(new, 0, &[2; 4096]);
        stand.rename("/new", "/f");
        let seconds = if stand.disk.spec.personality == Personality::Xfs { 31 } else { 6 };
        stand.pass(seconds * SECOND_NS);
    };
    // On XFS the flusher comes at 30 to 35 s, and the log at 30.
    let look = |stand: &Stand| stand.content("/f").expect("one or the other is there");
    assert_eq!(both(Personality::Ext4Ordered, program, look), BTreeSet::from([vec![2; 4096]]));
    for personality in [Personality::StrictPosix, Personality::Xfs] {
        let found = both(personality, program, look);
        let is_empty = |content: &Vec<u8>| content.iter().all(|&byte| byte == 0);
        assert!(found.iter().any(is_empty), "{personality:?}: a new name without content");
    }
    // A commit between the submission of the content and its end, which is when the extents are converted, shows zeros.
    let early = |stand: &mut Stand| {
        stand.durable_file(4096);
        let new = stand.open("/new");
        stand.write(new, 0, &[2; 4096]);
        stand.rename("/new", "/f");
    };
    let found = both(Personality::Ext4Ordered, early, look);
    assert_eq!(found, BTreeSet::from([vec![0; 4096], vec![1; 4096], vec![2; 4096]]));
}

#[test]
fn a_commit_that_comes_at_once_after_a_replacing_rename_shows_zeros_on_ext4() {
    let program = |pause_ns: u64| {
        move |stand: &mut Stand| {
            stand.durable_file(4096);
            let new = stand.open("/new");
            stand.write(new, 0, &[2; 4096]);
            stand.rename("/new", "/f");
            stand.pass(pause_ns);
            let other = stand.open("/other");
            sync_all(stand, other, true);
        }
    };
    let look = |stand: &Stand| stand.content("/f").expect("one or the other is there");
    let found = both(Personality::Ext4Ordered, program(0), look);
    assert_eq!(found, BTreeSet::from([vec![0; 4096], vec![2; 4096]]));
    let found = both(Personality::Ext4Ordered, program(SECOND_NS), look);
    assert_eq!(found, BTreeSet::from([vec![2; 4096]]), "the drive had taken the content");
}

#[test]
fn room_reserved_within_a_file_becomes_its_size_on_ext4_where_that_lagged_behind() {
    let program = |stand: &mut Stand| {
        let file = stand.open("/f");
        stand.write(file, 0, &[2; 3 * 4096]);
        stand.preallocate(file, 5000);
        let other = stand.open("/other");
        sync_all(stand, other, true);
    };
    let look = |stand: &Stand| stand.content("/f").expect("its name is durable").len();
    assert!(both(Personality::Ext4Ordered, program, look).contains(&5000));
    assert!(both(Personality::Xfs, program, look).contains(&0));
}

#[test]
fn zeros_behind_a_cut_may_be_on_the_drive_before_the_cut_is_durable() {
    let program = |stand: &mut Stand| {
        let file = stand.durable_file(4096);
        stand.set_len(file, 1000);
        // XFS writes the page of the old end before the file grows.
        stand.set_len(file, 8192);
    };
    let look = |stand: &Stand| {
        let content = stand.content("/f").expect("its name is durable");
        (content.len(), content.get(1000) == Some(&0))
    };
    for personality in ALL {
        let found = both(personality, program, look);
        assert!(found.contains(&(4096, true)) && found.contains(&(8192, true)), "{personality:?}: {found:?}");
        assert_eq!(found.contains(&(4096, false)), personality != Personality::Xfs, "{personality:?}: {found:?}");
    }
}

#[test]
fn a_file_that_was_cut_is_written_back_when_it_is_closed() {
    for (personality, keeps, is_flushed) in [
        (Personality::StrictPosix, 0, false),
        (Personality::Ext4Ordered, 0, true),
        (Personality::Ext4Ordered, 10, false),
        (Personality::Xfs, 0, true),
        (Personality::Xfs, 10, true),
    ] {
        let mut stand = Stand::with_spec(1, spec(personality));
        let file = stand.durable_file(4096);
        stand.set_len(file, keeps);
        stand.write(file, keeps, &[2; 4096]);
        stand.disk.close(&mut stand.core, file);
        assert_eq!(stand.disk.stats().written_back_pages != 0, is_flushed, "{personality:?} {keeps}");

        // The kernel closes the files of a process that is killed.
        let mut stand = Stand::with_spec(2, spec(personality));
        let file = stand.durable_file(4096);
        stand.set_len(file, keeps);
        stand.write(file, keeps, &[2; 4096]);
        stand.crash(Crash::Process);
        assert_eq!(stand.disk.stats().written_back_pages != 0, is_flushed, "{personality:?} {keeps}");
    }
}

#[test]
fn a_refused_page_of_growth_leaves_zeros_on_ext4_and_the_old_size_on_xfs() {
    let program = |stand: &mut Stand| {
        let file = stand.durable_file(4096);
        stand.write(file, 4096, &[2; 4096]);
        stand.disk.fail_next_sync();
        assert_eq!(stand.call(Request::Sync { handle: file, all: true }), Err(DiskError::Io));
        sync_all(stand, file, true);
    };
    let look = |stand: &Stand| stand.content("/f").expect("its name is durable");
    let grown = [vec![1; 4096], vec![0; 4096]].concat();
    assert_eq!(both(Personality::Ext4Ordered, program, look), BTreeSet::from([grown]));
    assert_eq!(both(Personality::Xfs, program, look), BTreeSet::from([vec![1; 4096]]));
}

#[test]
fn a_refused_page_written_again_is_on_the_drive_except_on_ext4() {
    let program = |stand: &mut Stand| {
        let file = stand.open("/f");
        stand.preallocate(file, 8192);
        sync_all(stand, file, true);
        stand.sync_dir("/");
        stand.write(file, 0, &[2; 4096]);
        stand.disk.fail_next_sync();
        assert_eq!(stand.call(Request::Sync { handle: file, all: true }), Err(DiskError::Io));
        stand.write(file, 0, &[2; 4096]);
        sync_all(stand, file, true);
    };
    let look = |stand: &Stand| stand.content("/f").expect("its name is durable")[..4096].to_vec();
    for personality in ALL {
        let left = if personality == Personality::Ext4Ordered { 0 } else { 2 };
        assert_eq!(both(personality, program, look), BTreeSet::from([vec![left; 4096]]), "{personality:?}");
    }
    // Once the page has left memory, its block is known to be unwritten.
    let cold = |stand: &mut Stand| {
        program(stand);
        stand.go_cold();
        let file = stand.open("/f");
        assert_eq!(stand.read(file, 0, 4096), Ok(vec![0; 4096]));
        stand.write(file, 0, &[3; 4096]);
        sync_all(stand, file, true);
    };
    assert_eq!(both(Personality::Ext4Ordered, cold, look), BTreeSet::from([vec![3; 4096]]));
}

#[test]
fn what_fsync_covered_is_kept_by_every_personality() {
    for personality in ALL {
        let program = |stand: &mut Stand| {
            let file = stand.open("/f");
            stand.preallocate(file, 3 * 4096);
            for round in 1..5_u8 {
                stand.write(file, u64::from(round) * 3000, &[round; 3000]);
                stand.set_len(file, u64::from(round) * 3000 + 2500);
                stand.pass(u64::from(round) * 7 * SECOND_NS);
            }
            sync_all(stand, file, false);
            stand.sync_dir("/");
            stand.disk.cached_files();
        };
        let mut sound = Stand::with_spec(1, spec(personality));
        program(&mut sound);
        let expected = sound.content("/f");
        let look = |stand: &Stand| stand.content("/f");
        assert_eq!(both(personality, program, look), BTreeSet::from([expected]), "{personality:?}");
    }
}

#[test]
fn a_lying_drive_loses_the_end_of_the_journal_and_nothing_in_its_middle() {
    for personality in [Personality::Ext4Ordered, Personality::Xfs] {
        let program = |stand: &mut Stand| {
            stand.set_faults(DiskFaults { lying_sync: true, ..DiskFaults::default() });
            for number in 0..4 {
                let file = stand.open(&format!("/{number}"));
                sync_all(stand, file, true);
            }
        };
        let look = |stand: &Stand| stand.paths();
        let found = outcomes(personality, Crash::Power, program, look);
        assert!(found.len() >= 4, "{personality:?}: {found:?}");
        for paths in found {
            assert!(paths.iter().enumerate().all(|(number, path)| *path == format!("/{number}")), "{paths:?}");
        }
    }
}

#[test]
fn what_an_undone_cut_brings_back_ends_where_the_file_does() {
    let program = |stand: &mut Stand| {
        let file = stand.durable_file(610);
        stand.set_len(file, 1);
        stand.write(file, 0, &[7; 611]);
    };
    // The file grows over its old end: what the drive had been given of the larger file must not rise again.
    for personality in ALL {
        for crash in [Crash::Os, Crash::Power] {
            let (mut undone, mut rewritten) = (0, 0);
            for seed in 0..SEEDS {
                let mut stand = Stand::with_spec(seed, spec(personality));
                program(&mut stand);
                stand.crash(crash);
                let len = stand.content("/f").expect("its name is durable").len();
                let file = stand.open("/f");
                stand.write(file, 620, &[9]);
                let content = stand.content("/f").expect("it is there");
                assert!(content[len..620].iter().all(|&byte| byte == 0), "{personality:?} {crash:?} {seed}: {len}");
                undone += u32::from(len == 610);
                rewritten += u32::from(len == 610 && content[609] == 7);
            }
            assert!(undone > 0 && rewritten > 0, "{personality:?} {crash:?}: {undone} {rewritten}");
        }
    }
}

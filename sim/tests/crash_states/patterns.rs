//! The update protocols of ALICE (Pillai et al., OSDI 2014, tables 1 and 2), each with what may be found after a crash.
//!
//! The file `/x/a` holds three old sectors, durable with its name, unless the row says otherwise. Then comes the update, and the
//! machine dies after its last step; nothing else was synced, and no timer has run. "mixed" is old and new sectors, or new ones
//! and zeros, or torn ones; all of the file is on one page, so that only a power loss mixes. Each test crashes until it has seen
//! everything in its row, and nothing else.
//!
//! | update | StrictPosix | Ext4Ordered | Xfs |
//! |---|---|---|---|
//! | write new file, rename over the old | old, new, empty, zeros, mixed | old, new (a) | old, new, empty (b) |
//! | write new file, fsync it, rename | old, new | old, new | old, new |
//! | the same, fsync the directory | new | new | new |
//! | append within the last block | old, new, zeros, mixed | old, new, zeros, mixed (c) | old, new (d) |
//! | append, fdatasync | new | new | new |
//! | overwrite in place | old, new, mixed | old, new, mixed | old, new, mixed |
//! | overwrite in place, fdatasync | new | new | new |
//! | overwrite one file, then another | either, neither, both | the same | the same |
//! | create one file, then another in another directory | either, neither, both | the second never alone (e) | the same |
//! | create, write, fsync the file only | gone, new | new (f) | new (f) |
//! | create, write, fsync the directory only | empty, zeros, mixed, new | empty, new (g) | empty, new |
//! | cut to nothing, write again | old, empty, zeros, mixed, new | old, empty, new | old, empty, new |
//! | remove | old, gone | old, gone | old, gone |
//! | remove, fsync the directory | gone | gone | gone |
//! | move to another directory | here or there | the same | the same |
//! | create a file, fsync a newer one | there, gone | there (f) | there (f) |
//!
//! Sources. ALICE's table 1 has the same rows for ext3, ext4, btrfs and XFS of 2014. (a) `auto_da_alloc`,
//! `Documentation/admin-guide/ext4.rst`: a rename over another file allocates and writes the new one's blocks before the commit;
//! (b) XFS has no such rule for renames: the size follows the data (`xfs_setfilesize`), so the new name may be empty; (c)
//! `ext4_da_should_update_i_disksize`: the size is in the inode before the data is written, and `data=ordered` waits for newly
//! allocated blocks only; (d) `xfs_end_ioend` changes the size when the data is there; (e) one journal, in order; (f)
//! `ext4_sync_file` and `xfs_file_fsync` commit the journal up to the inode's last change, which a creation is; (g) delayed
//! allocation: blocks and size come at write-back. Pillai et al. also report that applications rely on rows (a) and (f).

use super::program::{FILE_SYSTEMS, Image, Step, When, bytes, crash_images, without_timers};
use sim::world::Crash;
use std::collections::BTreeSet;

const ROUNDS: u64 = 200;
const BATCHES_MAX: u64 = 40;
const LEN: usize = 1536;
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

const STRICT: usize = 0;
const EXT4: usize = 1;
const XFS: usize = 2;

/// The steps that make a file of three sectors durable.
fn durable(name: usize) -> Vec<Step> {
    vec![Step::Create(name), write(name, 0, LEN), Step::Fsync(name), Step::SyncDir(name / 2)]
}

fn write(name: usize, at: u64, len: usize) -> Step {
    Step::Write { name, at, len }
}

fn content(image: &Image, name: usize) -> Option<&Vec<u8>> {
    image.get(super::program::NAMES[name])
}

/// What a file is like, if step `old` wrote its old content and step `new` its new one.
fn state(found: Option<&Vec<u8>>, old: usize, new: usize) -> &'static str {
    let Some(found) = found else { return "gone" };
    if found.is_empty() {
        "empty"
    } else if *found == bytes(old, 0, found.len()) {
        "old"
    } else if *found == bytes(new, 0, found.len()) {
        "new"
    } else if found.iter().all(|&byte| byte == 0) {
        "zeros"
    } else {
        "mixed"
    }
}

/// Crashes until everything that is possible was seen; panics at anything else.
fn expect(file_system: usize, steps: &[Step], outcome: impl Fn(&Image) -> &'static str, possible: &[&'static str]) {
    for crash in [Crash::Os, Crash::Power] {
        let expected: BTreeSet<_> =
            possible.iter().copied().filter(|&outcome| crash == Crash::Power || outcome != "mixed").collect();
        let mut seen = BTreeSet::new();
        for batch in 0..BATCHES_MAX {
            let left =
                crash_images(batch, without_timers(FILE_SYSTEMS[file_system]), steps, crash, When::AtTheEnd, ROUNDS);
            seen.extend(left.iter().map(|left| outcome(&left.image)));
            // One more batch than is needed to see everything, so that something else has a chance too.
            if batch > 0 && seen.is_superset(&expected) {
                break;
            }
        }
        assert_eq!(seen, expected, "{crash:?}, {:?}", FILE_SYSTEMS[file_system]);
    }
}

fn of_a(new: usize) -> impl Fn(&Image) -> &'static str {
    move |image| state(content(image, A), 1, new)
}

/// One outcome set per file system.
fn expect_each(steps: &[Step], outcome: impl Fn(&Image) -> &'static str, possible: [&[&'static str]; 3]) {
    for file_system in [STRICT, EXT4, XFS] {
        expect(file_system, steps, &outcome, possible[file_system]);
    }
}

#[test]
fn replace_by_rename_without_fsync() {
    let steps = [durable(A), vec![Step::Create(B), write(B, 0, LEN), Step::Rename(B, A)]].concat();
    expect_each(
        &steps,
        of_a(5),
        [&["old", "new", "empty", "zeros", "mixed"], &["old", "new"], &["old", "new", "empty"]],
    );
}

#[test]
fn replace_by_rename_after_fsync() {
    let steps = [durable(A), vec![Step::Create(B), write(B, 0, LEN), Step::Fsync(B), Step::Rename(B, A)]].concat();
    expect_each(&steps, of_a(5), [&["old", "new"]; 3]);
}

#[test]
fn replace_by_rename_after_fsync_and_before_the_directorys() {
    let update = vec![Step::Create(B), write(B, 0, LEN), Step::Fsync(B), Step::Rename(B, A), Step::SyncDir(0)];
    expect_each(&[durable(A), update].concat(), of_a(5), [&["new"]; 3]);
}

#[test]
fn append_without_fsync() {
    let steps = [durable(A), vec![write(A, LEN as u64, LEN)]].concat();
    let outcome = |image: &Image| {
        let found = content(image, A).map_or(&[][..], Vec::as_slice);
        if found[..LEN] != bytes(1, 0, LEN) {
            return "old bytes changed";
        }
        match found.len() - LEN {
            0 => "old",
            LEN if found[LEN..] == bytes(4, LEN as u64, LEN) => "new",
            LEN if found[LEN..].iter().all(|&byte| byte == 0) => "zeros",
            LEN => "mixed",
            _ => "a part",
        }
    };
    let torn_end: &[_] = &["old", "new", "zeros", "mixed"];
    expect_each(&steps, outcome, [torn_end, torn_end, &["old", "new"]]);
}

#[test]
fn append_before_fdatasync() {
    let steps = [durable(A), vec![write(A, LEN as u64, LEN), Step::Fdatasync(A)]].concat();
    let outcome =
        |image: &Image| if content(image, A).is_some_and(|found| found.len() == 2 * LEN) { "new" } else { "old" };
    expect_each(&steps, outcome, [&["new"]; 3]);
}

#[test]
fn overwrite_in_place_without_fsync() {
    let steps = [durable(A), vec![write(A, 0, LEN)]].concat();
    expect_each(&steps, of_a(4), [&["old", "new", "mixed"]; 3]);
}

#[test]
fn overwrite_in_place_before_fdatasync() {
    let steps = [durable(A), vec![write(A, 0, LEN), Step::Fdatasync(A)]].concat();
    expect_each(&steps, of_a(4), [&["new"]; 3]);
}

#[test]
fn two_files_overwritten_one_after_the_other() {
    let steps = [durable(A), durable(B), vec![write(A, 0, 512), write(B, 0, 512)]].concat();
    let outcome = |image: &Image| {
        let is_new = |name, step| content(image, name).map(|found| &found[..512]) == Some(&bytes(step, 0, 512)[..]);
        let is_old = |name, step| content(image, name).map(|found| &found[..512]) == Some(&bytes(step, 0, 512)[..]);
        match (is_old(A, 1), is_new(A, 8), is_old(B, 5), is_new(B, 9)) {
            (true, _, true, _) => "none",
            (_, true, true, _) => "first",
            (true, _, _, true) => "second",
            (_, true, _, true) => "both",
            _ => "mixed",
        }
    };
    expect_each(&steps, outcome, [&["none", "first", "second", "both", "mixed"]; 3]);
}

#[test]
fn two_files_created_one_after_the_other() {
    let steps = [Step::Create(A), Step::Create(C)];
    let outcome = |image: &Image| match (content(image, A), content(image, C)) {
        (None, None) => "none",
        (Some(_), None) => "first",
        (None, Some(_)) => "second",
        (Some(_), Some(_)) => "both",
    };
    let in_order: &[_] = &["none", "first", "both"];
    expect_each(&steps, outcome, [&["none", "first", "second", "both"], in_order, in_order]);
}

#[test]
fn a_new_file_before_its_fsync_without_that_of_the_directory() {
    let steps = [Step::Create(A), write(A, 0, LEN), Step::Fsync(A)];
    let outcome = |image: &Image| state(content(image, A), 9, 1);
    expect_each(&steps, outcome, [&["gone", "new"], &["new"], &["new"]]);
}

#[test]
fn a_new_file_before_the_fsync_of_its_directory_without_its_own() {
    let steps = [Step::Create(A), write(A, 0, LEN), Step::SyncDir(0)];
    let outcome = |image: &Image| state(content(image, A), 9, 1);
    let delayed: &[_] = &["empty", "new"];
    expect_each(&steps, outcome, [&["empty", "zeros", "mixed", "new"], delayed, delayed]);
}

#[test]
fn cut_to_nothing_and_written_again() {
    let steps = [durable(A), vec![Step::SetLen(A, 0), write(A, 0, LEN)]].concat();
    let all: &[_] = &["old", "empty", "zeros", "mixed", "new"];
    expect_each(&steps, of_a(5), [all, &["old", "empty", "new"], &["old", "empty", "new"]]);
}

#[test]
fn a_file_removed() {
    let steps = [durable(A), vec![Step::Remove(A)]].concat();
    expect_each(&steps, of_a(9), [&["old", "gone"]; 3]);
}

#[test]
fn a_file_removed_before_the_fsync_of_its_directory() {
    let steps = [durable(A), vec![Step::Remove(A), Step::SyncDir(0)]].concat();
    expect_each(&steps, of_a(9), [&["gone"]; 3]);
}

#[test]
fn a_file_moved_to_another_directory() {
    let steps = [durable(A), vec![Step::Rename(A, C)]].concat();
    let outcome = |image: &Image| match (state(content(image, A), 1, 9), state(content(image, C), 1, 9)) {
        ("old", "gone") => "here",
        ("gone", "old") => "there",
        _ => "in both or in none",
    };
    expect_each(&steps, outcome, [&["here", "there"]; 3]);
}

#[test]
fn an_fsync_of_another_file_keeps_earlier_names_under_a_journal() {
    let update = vec![Step::Create(B), Step::Create(C), write(C, 0, LEN), Step::Fsync(C)];
    let outcome = |image: &Image| if content(image, B).is_some() { "there" } else { "gone" };
    expect_each(&[durable(A), update].concat(), outcome, [&["there", "gone"], &["there"], &["there"]]);
}

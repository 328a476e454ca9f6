//! The update protocols of ALICE (Pillai et al., OSDI 2014, tables 1 and 2), each with what may be found after a crash.
//!
//! The file `x/a` holds three old sectors, durable with its name, unless the row says otherwise. Then comes the update, and the
//! machine dies after its last step; nothing else was synced, and no timer has run. "mixed" is old and new sectors, or new ones
//! and zeros, or torn ones; all of the file is on one page, so that only a power loss mixes. On simulated disks each test
//! crashes until it has seen everything in its row, and nothing else; on the kernel's file systems nothing else may be seen.
//!
//! | update | StrictPosix | Ext4Ordered | Xfs |
//! |---|---|---|---|
//! | write new file, rename over the old | old, new, empty, zeros, mixed | old, new, zeros (a) | old, new, empty (b) |
//! | write new file, fsync it, rename | old, new | old, new | old, new |
//! | the same, fsync the directory | new | new | new |
//! | the first, then another file's fsync | as the first | new, zeros (a) | new, empty (b) |
//! | append within the last block | old, new, zeros, mixed | old, new, zeros, mixed (c) | old, new (d) |
//! | the same, then another file's fsync | the same | new, zeros, mixed (c) | old, new (d) |
//! | append, fdatasync | new | new | new |
//! | overwrite in place | old, new, mixed | old, new, mixed | old, new, mixed |
//! | overwrite in place, fdatasync | new | new | new |
//! | overwrite one file, then another | either, neither, both | the same | the same |
//! | create one file, then another in another directory | either, neither, both | the second never alone (e) | the same |
//! | create, write, fsync the file only | gone, new | new (f) | new (f) |
//! | create, write, fsync the directory only | empty, zeros, mixed, new | empty, zeros, new (g) | empty, new |
//! | cut to nothing, write again | old, empty, zeros, mixed, new | old, empty, zeros, new (g) | old, empty, new |
//! | cut within the page, made longer | old, its end zeroed, cut, new | the same (h) | the same, but never old (h) |
//! | write behind a hole | old, zeros, mixed, new | old, zeros, new (g) | old, new |
//! | write beyond the end, make longer, another file's fsync | any size, zeros, mixed, new | zeros, new | new (i) |
//! | write into reserved room | zeros, mixed, new | zeros, new (j) | zeros, new (j) |
//! | the same, fdatasync | new | new | new |
//! | reserve room beyond the end, fdatasync | new | new | new |
//! | give another name, fdatasync | here or there | here or there | there (f) |
//! | remove | old, gone | old, gone | old, gone |
//! | remove, fsync the directory | gone | gone | gone |
//! | move to another directory | here or there | the same | the same |
//! | create a file, fsync a newer one | there, gone | there (f) | there (f) |
//!
//! Sources. ALICE's table 1 has the same rows for ext3, ext4, btrfs and XFS of 2014. (a) `auto_da_alloc`,
//! `Documentation/admin-guide/ext4.rst`: a rename over another file allocates and writes the new one's blocks; a commit that
//! comes before that writing has ended shows zeros, for it does not wait for blocks that are still unwritten (`dioread_nolock`);
//! (b) XFS has no such rule for renames: the size follows the data (`xfs_setfilesize`), so the new name may be empty; (c)
//! `ext4_da_should_update_i_disksize`: the size is in the inode before the data is written, and `data=ordered` waits for newly
//! allocated blocks only; (d) `xfs_end_ioend` changes the size when the data is there; (e) one journal, in order; (f)
//! `ext4_sync_file` and `xfs_file_fsync` commit the journal up to the inode's last change, which a creation is; (g) delayed
//! allocation: blocks and size come when write-back begins, and the content is visible with the first commit after its end; (h) the
//! kernel zeroes the end of the page in memory and writes that back in place, on XFS before the file grows again
//! (`xfs_setattr_size`); (i) the same; (j) the extent is unwritten until a commit after the content. Pillai et al. also report
//! that applications rely on rows (a) and (f).

use super::{
    contract::Crash,
    program::{Image, NAMES, Step, bytes},
};
use std::collections::BTreeSet;

const LEN: usize = 1536;
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// The steps that make a file of three sectors durable.
fn durable(name: usize) -> Vec<Step> {
    vec![Step::Create(name), write(name, 0, LEN), Step::Fsync(name), Step::SyncDir(name / 2)]
}

fn write(name: usize, at: u64, len: usize) -> Step {
    Step::Write { name, at, len }
}

fn content(image: &Image, name: usize) -> Option<&Vec<u8>> {
    image.get(NAMES[name])
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
    } else if is_zero(found) {
        "zeros"
    } else {
        "mixed"
    }
}

fn of_a(new: usize) -> Outcome {
    Box::new(move |image| state(content(image, A), 1, new))
}

/// Of an append of as much as there was, in step 4.
fn appended(image: &Image) -> &'static str {
    let found = content(image, A).map_or(&[][..], Vec::as_slice);
    if found.len() < LEN || found[..LEN] != bytes(1, 0, LEN) {
        return "old bytes changed";
    }
    match found.len() - LEN {
        0 => "old",
        LEN if found[LEN..] == bytes(4, LEN as u64, LEN) => "new",
        LEN if is_zero(&found[LEN..]) => "zeros",
        LEN => "mixed",
        _ => "a part",
    }
}

/// The steps that make a file of two pages of reserved room durable.
fn reserved() -> Vec<Step> {
    vec![Step::Create(A), Step::Preallocate(A, 8192), Step::Fsync(A), Step::SyncDir(0)]
}

/// Of a write in step 4 to what [`reserved`] made.
fn of_reserved(image: &Image) -> &'static str {
    let found = content(image, A).map_or(&[][..], Vec::as_slice);
    match found.len() {
        8192 if !is_zero(&found[LEN..]) => "written where nobody wrote",
        8192 if found[..LEN] == bytes(4, 0, LEN) => "new",
        8192 if is_zero(found) => "zeros",
        8192 => "mixed",
        _ => "another size",
    }
}

/// Another file, whose sync commits a journal.
fn neighbour() -> Vec<Step> {
    vec![Step::Create(C), Step::Fsync(C)]
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

type Outcome = Box<dyn Fn(&Image) -> &'static str>;

/// A row of the table.
pub struct Row {
    pub steps: Vec<Step>,
    /// What an image is called.
    pub outcome: Outcome,
    /// What is possible on each of [`super::contract::FILE_SYSTEMS`].
    pub possible: [&'static [&'static str]; 3],
}

fn row(
    steps: impl Into<Vec<Step>>,
    outcome: impl Fn(&Image) -> &'static str + 'static,
    possible: [&'static [&'static str]; 3],
) -> Row {
    Row { steps: steps.into(), outcome: Box::new(outcome), possible }
}

impl Row {
    /// What a crash may leave there. Whole pages survive the death of a kernel.
    pub fn possible(&self, file_system: usize, crash: Crash) -> BTreeSet<&'static str> {
        let possible = self.possible[file_system].iter().copied();
        possible.filter(|&outcome| crash == Crash::Power || outcome != "mixed").collect()
    }
}

/// Rows by name; in the simulation each is a test.
macro_rules! rows {
    ($(fn $name:ident() -> Row $body:block)*) => {
        #[cfg(feature = "real")]
        pub const ROWS: &[(&str, fn() -> Row)] = &[$((stringify!($name), rows::$name)),*];

        mod rows {
            use super::*;
            $(pub fn $name() -> Row $body)*
        }

        #[cfg(not(feature = "real"))]
        mod simulated {
            $(
                #[test]
                fn $name() {
                    crate::simulated::expect(&super::rows::$name());
                }
            )*
        }
    };
}

rows! {
    fn replace_by_rename_without_fsync() -> Row {
        let steps = [durable(A), vec![Step::Create(B), write(B, 0, LEN), Step::Rename(B, A)]].concat();
        row(
            steps,
            of_a(5),
            [&["old", "new", "empty", "zeros", "mixed"], &["old", "new", "zeros"], &["old", "new", "empty"]],
        )
    }

    fn replace_by_rename_after_fsync() -> Row {
        let steps = [durable(A), vec![Step::Create(B), write(B, 0, LEN), Step::Fsync(B), Step::Rename(B, A)]].concat();
        row(steps, of_a(5), [&["old", "new"]; 3])
    }

    fn replace_by_rename_after_fsync_and_before_the_directorys() -> Row {
        let update = vec![Step::Create(B), write(B, 0, LEN), Step::Fsync(B), Step::Rename(B, A), Step::SyncDir(0)];
        row([durable(A), update].concat(), of_a(5), [&["new"]; 3])
    }

    fn append_without_fsync() -> Row {
        let steps = [durable(A), vec![write(A, LEN as u64, LEN)]].concat();
        let torn_end: &[_] = &["old", "new", "zeros", "mixed"];
        row(steps, appended, [torn_end, torn_end, &["old", "new"]])
    }

    fn append_before_fdatasync() -> Row {
        let steps = [durable(A), vec![write(A, LEN as u64, LEN), Step::Fdatasync(A)]].concat();
        row(steps, appended, [&["new"]; 3])
    }

    fn overwrite_in_place_without_fsync() -> Row {
        let steps = [durable(A), vec![write(A, 0, LEN)]].concat();
        row(steps, of_a(4), [&["old", "new", "mixed"]; 3])
    }

    fn overwrite_in_place_before_fdatasync() -> Row {
        let steps = [durable(A), vec![write(A, 0, LEN), Step::Fdatasync(A)]].concat();
        row(steps, of_a(4), [&["new"]; 3])
    }

    fn two_files_overwritten_one_after_the_other() -> Row {
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
        row(steps, outcome, [&["none", "first", "second", "both", "mixed"]; 3])
    }

    fn two_files_created_one_after_the_other() -> Row {
        let steps = [Step::Create(A), Step::Create(C)];
        let outcome = |image: &Image| match (content(image, A), content(image, C)) {
            (None, None) => "none",
            (Some(_), None) => "first",
            (None, Some(_)) => "second",
            (Some(_), Some(_)) => "both",
        };
        let in_order: &[_] = &["none", "first", "both"];
        row(steps, outcome, [&["none", "first", "second", "both"], in_order, in_order])
    }

    fn a_new_file_before_its_fsync_without_that_of_the_directory() -> Row {
        let steps = [Step::Create(A), write(A, 0, LEN), Step::Fsync(A)];
        let outcome = |image: &Image| state(content(image, A), 9, 1);
        row(steps, outcome, [&["gone", "new"], &["new"], &["new"]])
    }

    fn a_new_file_before_the_fsync_of_its_directory_without_its_own() -> Row {
        let steps = [Step::Create(A), write(A, 0, LEN), Step::SyncDir(0)];
        let outcome = |image: &Image| state(content(image, A), 9, 1);
        let delayed: [&[_]; 2] = [&["empty", "zeros", "new"], &["empty", "new"]];
        row(steps, outcome, [&["empty", "zeros", "mixed", "new"], delayed[0], delayed[1]])
    }

    fn cut_to_nothing_and_written_again() -> Row {
        let steps = [durable(A), vec![Step::SetLen(A, 0), write(A, 0, LEN)]].concat();
        let all: &[_] = &["old", "empty", "zeros", "mixed", "new"];
        row(steps, of_a(5), [all, &["old", "empty", "zeros", "new"], &["old", "empty", "new"]])
    }

    fn a_file_removed() -> Row {
        let steps = [durable(A), vec![Step::Remove(A)]].concat();
        row(steps, of_a(9), [&["old", "gone"]; 3])
    }

    fn a_file_removed_before_the_fsync_of_its_directory() -> Row {
        let steps = [durable(A), vec![Step::Remove(A), Step::SyncDir(0)]].concat();
        row(steps, of_a(9), [&["gone"]; 3])
    }

    fn a_file_moved_to_another_directory() -> Row {
        let steps = [durable(A), vec![Step::Rename(A, C)]].concat();
        let outcome = |image: &Image| match (state(content(image, A), 1, 9), state(content(image, C), 1, 9)) {
            ("old", "gone") => "here",
            ("gone", "old") => "there",
            _ => "in both or in none",
        };
        row(steps, outcome, [&["here", "there"]; 3])
    }

    fn an_fsync_of_another_file_keeps_earlier_names_under_a_journal() -> Row {
        let update = vec![Step::Create(B), Step::Create(C), write(C, 0, LEN), Step::Fsync(C)];
        let outcome = |image: &Image| if content(image, B).is_some() { "there" } else { "gone" };
        row([durable(A), update].concat(), outcome, [&["there", "gone"], &["there"], &["there"]])
    }

    fn replace_by_rename_before_another_files_fsync() -> Row {
        let update = vec![Step::Create(B), write(B, 0, LEN), Step::Rename(B, A)];
        let all: &[_] = &["old", "new", "empty", "zeros", "mixed"];
        row([durable(A), update, neighbour()].concat(), of_a(5), [all, &["new", "zeros"], &["new", "empty"]])
    }

    fn append_before_another_files_fsync() -> Row {
        let steps = [durable(A), vec![write(A, LEN as u64, LEN)], neighbour()].concat();
        let torn_end: &[_] = &["old", "new", "zeros", "mixed"];
        row(steps, appended, [torn_end, &["new", "zeros", "mixed"], &["old", "new"]])
    }

    fn cut_and_extended() -> Row {
        let steps = [durable(A), vec![Step::SetLen(A, 512), Step::SetLen(A, 3000)]].concat();
        let outcome = |image: &Image| {
            let found = content(image, A).map_or(&[][..], Vec::as_slice);
            match found.len() {
                LEN if found == bytes(1, 0, LEN) => "old",
                LEN if found[..512] == bytes(1, 0, 512) && is_zero(&found[512..]) => "end zeroed",
                512 if found == bytes(1, 0, 512) => "cut",
                3000 if found[..512] == bytes(1, 0, 512) && is_zero(&found[512..]) => "new",
                _ => "something else",
            }
        };
        let ended: &[_] = &["old", "end zeroed", "cut", "new"];
    row(steps, outcome, [ended, ended, &["end zeroed", "cut", "new"]])
    }

    fn a_write_behind_a_hole() -> Row {
        let steps = [durable(A), vec![write(A, 3 * 4096, 512)]].concat();
        let outcome = |image: &Image| {
            let found = content(image, A).map_or(&[][..], Vec::as_slice);
            match found.len() {
                LEN if found == bytes(1, 0, LEN) => "old",
                12800 if found[..LEN] != bytes(1, 0, LEN) || !is_zero(&found[LEN..12288]) => "not a hole",
                12800 if found[12288..] == bytes(4, 12288, 512) => "new",
                12800 if is_zero(&found[12288..]) => "zeros",
                12800 => "mixed",
                _ => "something else",
            }
        };
        row(steps, outcome, [&["old", "new", "zeros", "mixed"], &["old", "zeros", "new"], &["old", "new"]])
    }

    fn a_write_beyond_the_end_then_a_larger_size_before_another_files_fsync() -> Row {
        let steps = [durable(A), vec![write(A, 4096, 512), Step::SetLen(A, 16384)], neighbour()].concat();
        let outcome = |image: &Image| {
            let found = content(image, A).map_or(&[][..], Vec::as_slice);
            match found.len() {
                LEN if found == bytes(1, 0, LEN) => "old",
                4608 | 16384 if found[..LEN] != bytes(1, 0, LEN) => "old bytes changed",
                4608 if found[4096..] == bytes(4, 4096, 512) => "written",
                4608 if is_zero(&found[4096..]) => "written zeros",
                16384 if found[4096..4608] == bytes(4, 4096, 512) => "new",
                16384 if is_zero(&found[4096..]) => "zeros",
                4608 | 16384 => "mixed",
                _ => "something else",
            }
        };
        let all: &[_] = &["old", "written", "written zeros", "new", "zeros", "mixed"];
        row(steps, outcome, [all, &["new", "zeros"], &["new"]])
    }

    fn a_write_into_reserved_room() -> Row {
        row([reserved(), vec![write(A, 0, LEN)]].concat(), of_reserved, [&["zeros", "new", "mixed"], &["zeros", "new"], &["zeros", "new"]])
    }

    fn a_write_into_reserved_room_before_fdatasync() -> Row {
        row([reserved(), vec![write(A, 0, LEN), Step::Fdatasync(A)]].concat(), of_reserved, [&["new"]; 3])
    }

    fn reserved_room_before_fdatasync() -> Row {
        let steps = [durable(A), vec![Step::Preallocate(A, 8192), Step::Fdatasync(A)]].concat();
        row(steps, |image| match content(image, A).map_or(0, Vec::len) { 8192 => "new", LEN => "old", _ => "something else" }, [&["new"]; 3])
    }

    fn a_new_name_before_fdatasync() -> Row {
        let steps = [durable(A), vec![Step::Rename(A, B), Step::Fdatasync(B)]].concat();
        let outcome = |image: &Image| match (content(image, A), content(image, B)) {
            (Some(_), None) => "here",
            (None, Some(_)) => "there",
            _ => "in both or in none",
        };
        row(steps, outcome, [&["here", "there"], &["here", "there"], &["there"]])
    }
}

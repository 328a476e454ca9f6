//! Neither kinder nor crueller: for small programs the whole set of possible images is computed, and over many crashes the
//! model must leave each of them and no other.
//!
//! The set is that of [`crate::contract`] for a disk on which nothing is written back before the crash, so that a page has two
//! versions: the durable one and the last. Torn sectors are left out of the set (their number is large); an image with one
//! must satisfy the contract. Programs that cut files are left to the random programs.

use super::{
    super::{
        contract::{Contract, Crash, PAGE_BYTES, Personality, Promises, SECTOR_BYTES},
        program::{Image, NAMES, Step},
        programs::small_programs,
    },
    When, crash_images, without_timers,
};
use std::collections::BTreeSet;

/// Crashes per batch, and batches until a set must be complete.
const ROUNDS: u64 = 100;
const BATCHES_MAX: u64 = 240;

/// Every content that a file may have.
fn contents(versions: &[Vec<u8>], unit: usize) -> BTreeSet<Vec<u8>> {
    let longest = versions.iter().map(Vec::len).max().unwrap_or(0);
    let padded = |version: &Vec<u8>| {
        let mut bytes = version.clone();
        bytes.resize(longest, 0);
        bytes
    };
    let (old, new) = (padded(&versions[0]), padded(&versions[versions.len() - 1]));
    let parts = || (0..longest).step_by(unit).map(|at| at..longest.min(at + unit));
    let dirty: Vec<_> = parts().filter(|part| old[part.clone()] != new[part.clone()]).collect();
    let mut found = BTreeSet::new();
    for set in 0..1_u32 << dirty.len() {
        let mut content = old.clone();
        for (number, part) in dirty.iter().enumerate() {
            if set & 1 << number != 0 {
                content[part.clone()].copy_from_slice(&new[part.clone()]);
            }
        }
        for version in versions {
            found.insert(content[..version.len()].to_vec());
        }
    }
    found
}

/// Every image that the crash may leave.
fn images(contract: &Contract, crash: Crash) -> BTreeSet<Image> {
    let unit = if crash == Crash::Os { PAGE_BYTES } else { SECTOR_BYTES };
    let mut all = BTreeSet::new();
    for names in contract.legal_names() {
        let mut images = vec![Image::new()];
        for (&name, &file) in &names {
            let contents = contents(&contract.files[file].versions, unit);
            images = images
                .iter()
                .flat_map(|image| {
                    contents.iter().map(|content| {
                        let mut image = image.clone();
                        image.insert(NAMES[name].to_owned(), content.clone());
                        image
                    })
                })
                .collect();
        }
        all.extend(images);
    }
    all
}

/// Crashes the program until every possible image was left; panics at the first impossible one.
fn prove(steps: &[Step], crash: Crash) -> usize {
    prove_on(Personality::StrictPosix, steps, crash)
}

/// As [`prove`], on another file system. The set is right for overwrites in place and for empty files.
fn prove_on(personality: Personality, steps: &[Step], crash: Crash) -> usize {
    let contract = Contract::after(Promises::of(personality), steps);
    let possible = images(&contract, crash);
    let mut missing = possible.clone();
    for batch in 0..BATCHES_MAX {
        for left in crash_images(batch, without_timers(personality), steps, crash, When::AtTheEnd, ROUNDS) {
            missing.remove(&left.image);
            if !possible.contains(&left.image) {
                let verdict = contract.check(&left.image, crash);
                assert!(
                    crash == Crash::Power && verdict.is_ok(),
                    "{personality:?}, {crash:?} after {steps:?} left what cannot be: {:?} {verdict:?}",
                    summary(&left.image)
                );
            }
        }
        if missing.is_empty() {
            return possible.len();
        }
    }
    let kinder: Vec<_> = missing.iter().map(summary).collect();
    panic!(
        "{personality:?}, {crash:?} after {steps:?}: of {} possible images these were never left: {kinder:?}",
        possible.len()
    );
}

/// An image, short: path, length, and each sector's first byte.
fn summary(image: &Image) -> Vec<String> {
    let file = |(path, content): (&String, &Vec<u8>)| {
        let sectors: Vec<u8> = content.chunks(SECTOR_BYTES).map(|sector| sector[0]).collect();
        format!("{path} {} {sectors:?}", content.len())
    };
    image.iter().map(file).collect()
}

fn write(name: usize, at: u64, len: usize) -> Step {
    Step::Write { name, at, len }
}

/// A durable file of three sectors.
fn durable(name: usize) -> Vec<Step> {
    vec![Step::Create(name), write(name, 0, 1536), Step::Fsync(name), Step::SyncDir(0)]
}

fn prove_both(steps: &[Step]) {
    for crash in [Crash::Os, Crash::Power] {
        assert!(prove(steps, crash) > 1, "{steps:?}: there is nothing to lose");
    }
}

#[test]
fn an_overwrite_of_three_sectors() {
    let steps = [durable(0), vec![write(0, 0, 1536)]].concat();
    assert_eq!(prove(&steps, Crash::Os), 2, "the page, or not");
    assert_eq!(prove(&steps, Crash::Power), 8, "each sector, or not");
}

#[test]
fn an_overwrite_of_two_pages() {
    let steps = [vec![Step::Create(0), write(0, 0, 8192), Step::Fsync(0), Step::SyncDir(0)], vec![write(0, 4000, 200)]];
    assert_eq!(prove(&steps.concat(), Crash::Os), 4);
    assert_eq!(prove(&steps.concat(), Crash::Power), 4);
}

#[test]
fn an_append() {
    // The old size; the new one with each of the two new sectors there or zero.
    let steps = [durable(0), vec![write(0, 1536, 1024)]].concat();
    assert_eq!(prove(&steps, Crash::Power), 1 + 4);
    assert_eq!(prove(&steps, Crash::Os), 1 + 2);
}

#[test]
fn two_appends() {
    prove_both(&[durable(0), vec![write(0, 1536, 512), write(0, 2048, 512)]].concat());
}

#[test]
fn an_append_after_a_hole() {
    prove_both(&[durable(0), vec![write(0, 5000, 100)]].concat());
}

#[test]
fn a_growth_without_content() {
    assert_eq!(prove(&[durable(0), vec![Step::SetLen(0, 6000)]].concat(), Crash::Power), 2);
}

#[test]
fn a_new_file() {
    // No name; or an empty file; or its sector or zeros.
    assert_eq!(prove(&[Step::Create(0), write(0, 0, 512)], Crash::Power), 1 + 1 + 2);
}

#[test]
fn a_new_file_that_was_synced_may_have_no_name() {
    assert_eq!(prove(&[Step::Create(0), write(0, 0, 512), Step::Fsync(0)], Crash::Power), 2);
}

#[test]
fn a_new_name_that_was_synced_may_have_no_content() {
    assert_eq!(prove(&[Step::Create(0), write(0, 0, 512), Step::SyncDir(0)], Crash::Power), 1 + 2);
}

#[test]
fn three_names_in_two_directories_survive_in_any_order() {
    assert_eq!(prove(&[Step::Create(0), Step::Create(1), Step::Create(2)], Crash::Os), 8);
}

#[test]
fn what_touches_one_name_keeps_its_order() {
    // Without directory syncs: nothing, a, nothing again, and a anew look like two images.
    assert_eq!(prove(&[Step::Create(0), Step::Remove(0), Step::Create(0), Step::Rename(0, 1)], Crash::Power), 3);
}

#[test]
fn a_replacing_rename_of_a_synced_file() {
    let new = vec![Step::Create(1), write(1, 0, 512), Step::Fsync(1), Step::Rename(1, 0)];
    // The old one alone, the old one beside the new one's first name, the new one.
    assert_eq!(prove(&[durable(0), new].concat(), Crash::Power), 3);
}

#[test]
fn a_replacing_rename_of_a_file_that_was_not_synced() {
    prove_both(&[durable(0), vec![Step::Create(1), write(1, 0, 1024), Step::Rename(1, 0)]].concat());
}

#[test]
fn a_rename_between_directories_is_atomic() {
    assert_eq!(prove(&[durable(0), vec![Step::Rename(0, 2)]].concat(), Crash::Power), 2);
}

#[test]
fn a_removal_may_be_undone() {
    assert_eq!(prove(&[durable(0), vec![Step::Remove(0)]].concat(), Crash::Power), 2);
}

#[test]
fn overwrites_of_two_files_survive_independently() {
    let steps = [durable(0), durable(1), vec![write(0, 0, 512), write(1, 0, 512)]].concat();
    assert_eq!(prove(&steps, Crash::Os), 4);
    assert_eq!(prove(&steps, Crash::Power), 4);
}

#[test]
fn under_a_journal_names_survive_in_their_order() {
    for personality in [Personality::Ext4Ordered, Personality::Xfs] {
        for crash in [Crash::Os, Crash::Power] {
            let creations = [Step::Create(0), Step::Create(2), Step::Create(1)];
            assert_eq!(prove_on(personality, &creations, crash), 4, "none, one, two, three");
            // The last image looks like the second.
            let moves = [Step::Create(0), Step::Rename(0, 2), Step::Create(0), Step::Remove(2)];
            assert_eq!(prove_on(personality, &moves, crash), 4);
            let synced = [Step::Create(0), Step::Create(2), Step::Fsync(2), Step::Create(1)];
            assert_eq!(prove_on(personality, &synced, crash), 2, "the fsync of one keeps the other too");
            let dir_synced = [Step::Create(0), Step::Create(2), Step::SyncDir(1), Step::Remove(0)];
            assert_eq!(prove_on(personality, &dir_synced, crash), 2);
        }
    }
}

#[test]
fn under_a_journal_overwrites_in_place_are_as_free_as_elsewhere() {
    for personality in [Personality::Ext4Ordered, Personality::Xfs] {
        let one = [durable(0), vec![write(0, 0, 1536)]].concat();
        assert_eq!(prove_on(personality, &one, Crash::Os), 2);
        assert_eq!(prove_on(personality, &one, Crash::Power), 8);
        let two = [durable(0), durable(1), vec![write(0, 0, 512), write(1, 0, 512), Step::Create(2)]].concat();
        assert_eq!(prove_on(personality, &two, Crash::Power), 8, "and independent of later names");
    }
}

#[test]
fn every_program_of_up_to_three_operations() {
    let mut proved = 0;
    for program in small_programs(3) {
        for crash in [Crash::Os, Crash::Power] {
            prove(&program, crash);
            proved += 1;
        }
    }
    assert!(proved > 80, "{proved}");
}

//! The table of update protocols on the kernel's file systems: nothing is left but what the row says. How often each outcome was
//! left is printed and says nothing about other machines.

use super::{
    batch::{Manner, Moment, run_batch},
    on_kernel,
    volume::{Cut, Kind, Volume},
};
use crate::{
    contract::{Crash, FILE_SYSTEMS},
    patterns::{ROWS, Row},
    program::Step,
};
use std::collections::BTreeMap;

/// So many times each row is run in a batch, and batches in each manner.
const COPIES: usize = 12;
const ROUNDS: u64 = 2;

/// So many steps make files durable before the update begins.
fn settled(row: &Row) -> usize {
    let is_durable = |steps: &&[Step]| {
        matches!(steps, [Step::Create(_), Step::Write { .. } | Step::Preallocate(..), Step::Fsync(_), Step::SyncDir(_)])
    };
    4 * row.steps.chunks(4).take_while(is_durable).count()
}

/// Whether the update syncs something.
fn syncs(row: &Row) -> bool {
    let is_sync = |step: &Step| matches!(step, Step::Fsync(_) | Step::Fdatasync(_) | Step::SyncDir(_));
    row.steps[settled(row)..].iter().any(is_sync)
}

on_kernel!(table);

fn table(kind: Kind) {
    let file_system = FILE_SYSTEMS.iter().position(|&other| other == kind.personality()).expect("it has a column");
    let rows: Vec<(&str, Row)> = ROWS.iter().map(|(name, row)| (*name, row())).collect();
    let mut seen: Vec<BTreeMap<&str, u32>> = vec![BTreeMap::new(); rows.len()];
    let mut volume = Volume::fresh(kind);
    for seed in 0..ROUNDS {
        for (cut, meddling) in [(Cut::AtOnce, 0.0), (Cut::AtOnce, 0.1), (Cut::AtOnce, 0.4), (Cut::AfterCommit, 0.1)] {
            // Updates that sync something commit what the others did. So those that do not are by themselves too.
            for is_syncing in [None, Some(false)] {
                for steps in [0, 4, 8] {
                    let is_wanted = |row: &Row| {
                        settled(row) == steps && is_syncing.is_none_or(|is_syncing| syncs(row) == is_syncing)
                    };
                    let numbers =
                        rows.iter().enumerate().filter(|(_, (_, row))| is_wanted(row)).map(|(number, _)| number);
                    let numbers: Vec<_> = numbers.flat_map(|number| [number; COPIES]).collect();
                    if numbers.is_empty() {
                        continue;
                    }
                    let programs = numbers.iter().map(|&number| rows[number].1.steps.clone()).collect();
                    let manner = Manner { cut, moment: Moment::AfterAll, meddling, settled: steps, seed };
                    for (outcome, number) in run_batch(&mut volume, programs, manner).iter().zip(numbers) {
                        *seen[number].entry((rows[number].1.outcome)(&outcome.left.image)).or_default() += 1;
                    }
                }
            }
        }
    }
    let mut impossible = Vec::new();
    for ((name, row), seen) in rows.iter().zip(&seen) {
        let possible = row.possible(file_system, Crash::Os);
        let all: u32 = seen.values().sum();
        let shares = seen.iter().map(|(outcome, count)| format!("{outcome} {count}"));
        let never =
            possible.iter().filter(|outcome| !seen.contains_key(*outcome)).map(|outcome| format!("{outcome} 0"));
        let shares: Vec<_> = shares.chain(never).collect();
        println!("{} | {name} | {} | of {all}", kind.name(), shares.join(", "));
        if seen.keys().any(|outcome| !possible.contains(outcome)) {
            impossible.push(format!("{name}: {seen:?}, and possible is {possible:?}"));
        }
    }
    assert!(impossible.is_empty(), "{} left what cannot be:\n{}", kind.name(), impossible.join("\n"));
}

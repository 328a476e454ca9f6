//! Random programs and all small ones on the kernel's file systems: whatever is left after a power cut, the contract allows it.
//!
//! `CRASH_STATES_SEED` is the first seed, `CRASH_STATES_BATCHES` how many are tried; a failure prints its seed. What a kernel
//! does in the background is not repeatable, so that a seed may have to be tried more than once.

use super::{
    batch::{Manner, Moment, Outcome, run_batch},
    on_kernel,
    volume::{Cut, Kind, Volume},
};
use crate::{
    contract::{Contract, Crash, Promises},
    programs::{program, small_programs},
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::collections::BTreeMap;

/// Programs of one batch, and batches between two new file systems: old blocks are used again, with what was in them.
const PROGRAMS: usize = 100;
const BATCHES_PER_VOLUME: u64 = 8;
const BATCHES: u64 = 24;

fn from_environment(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Whether the contract allows what was left; if not, why.
fn check(kind: Kind, outcome: &Outcome) -> Result<(), String> {
    let Outcome { steps, left, is_interrupted, has_doubtful_sync } = outcome;
    let promises = Promises::of(kind.personality());
    let verdict = Contract::after(promises, &steps[..left.completed]).check(&left.image, Crash::Os);
    if verdict.is_ok() {
        return verdict;
    }
    let mut trusted = Contract::after(promises, &steps[..left.completed - usize::from(*has_doubtful_sync)]);
    if *has_doubtful_sync {
        trusted.ignore();
    }
    let mut possible = vec![trusted.clone()];
    if *is_interrupted {
        // The step that was refused may have done a part, or all of it.
        let refused = &steps[left.completed];
        let (mut begun, mut done) = (trusted.clone(), trusted);
        begun.begin(refused);
        done.complete(refused);
        possible.extend([begun, done]);
    }
    match possible.iter().any(|contract| contract.check(&left.image, Crash::Os).is_ok()) {
        true => Ok(()),
        false => verdict,
    }
}

/// The programs that left what the contract forbids.
#[derive(Default)]
struct Verdicts {
    tried: usize,
    interrupted: usize,
    broken: Vec<String>,
}

impl Verdicts {
    fn check(&mut self, kind: Kind, seed: u64, manner: Manner, outcomes: &[Outcome]) {
        self.tried += outcomes.len();
        for outcome in outcomes {
            self.interrupted += usize::from(outcome.is_interrupted);
            if let Err(reason) = check(kind, outcome) {
                let Outcome { steps, left, is_interrupted, .. } = outcome;
                let sizes: BTreeMap<_, _> = left.image.iter().map(|(path, content)| (path, content.len())).collect();
                let refused = if *is_interrupted { " and one refused" } else { "" };
                self.broken.push(format!(
                    "seed {seed}, {manner:?}: {steps:?}, {} steps done{refused}: left {sizes:?}: {reason}",
                    left.completed
                ));
            }
        }
    }

    /// Panics if there are any.
    fn end(self, kind: Kind) {
        println!("{}: {} programs, {} of them interrupted", kind.name(), self.tried, self.interrupted);
        let Verdicts { tried, broken, .. } = self;
        assert!(
            broken.is_empty(),
            "{}: {} of {tried} programs left what the contract forbids:\n{}",
            kind.name(),
            broken.len(),
            broken.join("\n")
        );
    }
}

on_kernel!(random, small);

fn random(kind: Kind) {
    let first = from_environment("CRASH_STATES_SEED", 1);
    let batches = from_environment("CRASH_STATES_BATCHES", BATCHES);
    let mut volume = Volume::fresh(kind);
    let mut verdicts = Verdicts::default();
    for batch in 0..batches {
        if batch > 0 && batch % BATCHES_PER_VOLUME == 0 {
            drop(volume);
            volume = Volume::fresh(kind);
        }
        let seed = first + batch;
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &StdRng::seed_from_u64(seed).random::<[u8; 32]>());
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let programs = program(false);
        let programs =
            (0..PROGRAMS).map(|_| programs.new_tree(&mut runner).expect("nothing is rejected").current()).collect();
        let manner = Manner::drawn(seed);
        let outcomes = run_batch(&mut volume, programs, manner);
        verdicts.check(kind, seed, manner, &outcomes);
    }
    verdicts.end(kind);
}

fn small(kind: Kind) {
    let mut programs = small_programs(4);
    programs.shuffle(&mut StdRng::seed_from_u64(1));
    let mut volume = Volume::fresh(kind);
    let mut verdicts = Verdicts::default();
    for (number, programs) in programs.chunks(400).enumerate() {
        for cut in [Cut::AtOnce, Cut::AfterCommit] {
            let meddling = if number % 2 == 0 { 0.0 } else { 0.2 };
            let manner = Manner { cut, moment: Moment::AfterAll, meddling, settled: 0, seed: number as u64 };
            let outcomes = run_batch(&mut volume, programs.to_vec(), manner);
            verdicts.check(kind, manner.seed, manner, &outcomes);
        }
    }
    verdicts.end(kind);
}

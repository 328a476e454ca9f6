//! Many runs over all cores. Each run has a thread of its own; results come in the order of the trials, whatever the number
//! of jobs, and at most as many wait for their turn as there are jobs.

use crate::{
    run::{self, Panicked, RunOptions},
    spec::Scenario,
};
use reports::RunRecord;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

/// One run of a sweep.
#[derive(Clone, Debug)]
pub struct Trial {
    pub scenario: Arc<Scenario>,
    pub seed: u64,
}

/// Runs all trials, `jobs` at a time, and hands each result to `take` in the order of the trials.
pub fn run_all(trials: &[Trial], jobs: usize, mut take: impl FnMut(&Trial, Result<RunRecord, Panicked>)) {
    let next = AtomicUsize::new(0);
    // The bound keeps fast threads from running far ahead of a slow trial.
    let (sender, receiver) = mpsc::sync_channel(jobs);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(trials.len()) {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(trial) = trials.get(index) else { break };
                    let options = RunOptions { seed: trial.seed, keep_trace: false };
                    let result = run::run(&trial.scenario, &options).map(|outcome| outcome.record);
                    if sender.send((index, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        let mut turn = 0;
        for (index, result) in receiver {
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&turn) {
                take(&trials[turn], result);
                turn += 1;
            }
        }
    });
}

//! The store's update protocols on the kernel's file systems, whose power fails at any moment.

use super::{
    batch::{Manner, run_batch},
    on_kernel,
    volume::{Kind, Volume},
};
use crate::protocols::{Progress, protocols};

const COPIES: usize = 20;
const BATCHES: u64 = 12;

on_kernel!(hold_at_any_moment);

fn hold_at_any_moment(kind: Kind) {
    let mut volume = Volume::fresh(kind);
    let protocols = protocols();
    let mut broken = Vec::new();
    for seed in 0..BATCHES {
        let programs = protocols.iter().flat_map(|protocol| vec![protocol.steps.clone(); COPIES]).collect();
        let manner = Manner::drawn(seed);
        for (number, outcome) in run_batch(&mut volume, programs, manner).iter().enumerate() {
            let protocol = &protocols[number / COPIES];
            let done = outcome.left.completed - usize::from(outcome.has_doubtful_sync);
            let progress = Progress { done, begun: outcome.left.completed + 1 };
            if let Err(reason) = (protocol.judge)(&outcome.left.image, progress) {
                broken.push(format!("{}, seed {seed}, {manner:?}, {progress:?}: {reason}", protocol.name));
            }
        }
    }
    assert!(broken.is_empty(), "{}:\n{}", kind.name(), broken.join("\n"));
}

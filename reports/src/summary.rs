//! A cell as data, for programs: an entry of `cells` in `sweep.json` and `demo.json`.

use crate::{
    cells::{Cell, CellKey, Cells},
    record::{LossPromise, Verdict},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One cell. All times in simulated milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellSummary {
    /// Whose behaviour the brokers have: `hardened`, or a version of Apache's.
    pub profile: String,
    pub mode: String,
    pub flush: String,
    pub fault: String,
    /// What is promised, in words.
    pub promise: String,
    /// The same as data; absent when no trial has a record.
    pub promise_loss: Option<LossPromise>,
    /// The worst verdict of its trials.
    pub verdict: Verdict,
    /// Trials with a record.
    pub trials: u64,
    pub held: u64,
    pub broken: u64,
    pub not_live: u64,
    /// Trials without a record, because the cluster's own code panicked.
    pub panicked: u64,
    /// Trials that lost at least one acknowledged message.
    pub trials_with_loss: u64,
    /// The 95 % interval of the probability that a trial loses a message (Clopper-Pearson).
    pub loss_interval_95: [f64; 2],
    /// Messages acknowledged in all trials.
    pub acked: u64,
    /// Messages lost in all trials.
    pub lost: u64,
    /// Over the trials with a loss: how long before the fault the oldest lost message had been acknowledged.
    pub oldest_lost_ms_median: Option<u64>,
    pub oldest_lost_ms_max: Option<u64>,
    /// How old it may be by the promise; absent where that is not a window of time.
    pub bound_ms: Option<u64>,
    /// Over all trials: the longest time without a successful send.
    pub unavailable_ms_median: Option<u64>,
    pub unavailable_ms_max: Option<u64>,
    /// Deliveries beyond the first of each message, in all trials.
    pub duplicates: u64,
    /// The same per thousand messages delivered.
    pub duplicates_per_1000: f64,
    /// The command that runs the worst trial again; absent when all trials held and lost nothing.
    pub worst: Option<String>,
}

impl Cells {
    /// All cells as data.
    pub fn summaries(&self) -> Vec<CellSummary> {
        self.iter().map(|(key, cell)| CellSummary::of(key, cell)).collect()
    }
}

impl CellSummary {
    fn of(key: &CellKey, cell: &Cell) -> CellSummary {
        let interval = cell.loss_interval();
        CellSummary {
            profile: key.profile.clone(),
            mode: key.mode.clone(),
            flush: key.flush.clone(),
            fault: key.fault.clone(),
            promise: cell.promise.clone(),
            promise_loss: cell.loss_promise,
            verdict: cell.verdict(),
            trials: cell.trials,
            held: cell.held,
            broken: cell.broken,
            not_live: cell.not_live,
            panicked: cell.panicked,
            trials_with_loss: cell.trials_with_loss,
            loss_interval_95: [interval.low, interval.high],
            acked: cell.acked,
            lost: cell.lost,
            oldest_lost_ms_median: cell.oldest_lost_ms.median(),
            oldest_lost_ms_max: cell.oldest_lost_ms.max(),
            bound_ms: cell.bound_ms(),
            unavailable_ms_median: cell.unavailable_ms.median(),
            unavailable_ms_max: cell.unavailable_ms.max(),
            duplicates: cell.duplicates,
            duplicates_per_1000: cell.duplicates_per_1000(),
            worst: cell.worst.as_ref().map(|worst| worst.command.clone()),
        }
    }
}

//! What a cluster promises under a plan of faults: how many acknowledged messages may be lost, and why.
//!
//! A promise follows from who was struck, not from the name of what struck. A replica group keeps a *copy* of its log on each of
//! its members. [`copies`] works out what each event of the plan takes from which copy, whatever machine its disk is in by
//! then; [`survival`] asks what all copies of a message may have lost together, given what its acknowledgement stood for (mode,
//! flush and settings, see [`bounds`]). So the promise is the same for a plan that was drawn, one that somebody wrote, and one
//! that a budget has weakened.
//!
//! Each group has its own promise, and within it each stretch of time: what strikes before a message is acknowledged excuses
//! nobody for losing it. [`Promise::allowed`] is the answer for one message, and [`Promise::weakest`] that for all of them.
//!
//! Claims C1–C43 are those of RocketMQ's own documents, numbered as in ARCHITECTURE.md. Where a document claims more than the
//! configuration can give, the promise is what the configuration gives, and the source says why. Only SEND_OK is a promise:
//! FLUSH_DISK_TIMEOUT, FLUSH_SLAVE_TIMEOUT and SLAVE_NOT_AVAILABLE promise nothing. Settings weaken a promise; profiles do
//! not: Apache's brokers are held to the same claims, and break some of them.

mod bounds;
mod copies;
mod survival;

pub use bounds::{Bounds, bounds, flush_window_ms};

use crate::{run, spec::Scenario};
use copies::Group;
use faults::Plan;
use reports::LossPromise;
use std::{collections::BTreeSet, fmt};

/// How many plans of a class of faults are looked at for the weakest promise of them.
const PLANS: u64 = 64;

/// What may be lost, and from where that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub loss: LossPromise,
    /// Beside that, what a broker deletes from the beginning of its queues when its disk is full.
    pub oldest: bool,
    pub source: &'static str,
}

/// A promise: what may be lost by each group, of what was acknowledged when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    weakest: Allowed,
    groups: Vec<OfGroup>,
}

/// The promise of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OfGroup {
    broker: String,
    /// Until when what strikes may take what; from the last on, nothing.
    stretches: Vec<(u64, Allowed)>,
    /// When members leave it for good: what was acknowledged before may have been on them.
    removed_ms: Vec<u64>,
}

/// The promise for a scenario that is run under this plan. Its knobs must have been [turned](crate::knobs::turned).
pub fn of_run(scenario: &Scenario, plan: &Plan) -> Promise {
    let bounds = bounds(scenario);
    let groups = copies::groups(scenario, plan);
    let groups = groups.iter().map(|group| of_group(group, scenario, &bounds)).collect::<Vec<_>>();
    let all = groups.iter().flat_map(|group| group.stretches.iter().map(|(_, allowed)| *allowed));
    let nothing = if plan.events.is_empty() { survival::NOTHING_BREAKS } else { survival::NOTHING_TAKEN };
    Promise { weakest: all.max_by_key(Allowed::weakness).unwrap_or(nothing), groups }
}

/// The promise for a scenario whose plan is not known: the weakest of those of the plans that its fault draws, for every
/// message.
pub fn of_fault(scenario: &Scenario) -> Promise {
    let plans = (0..PLANS).filter_map(|seed| run::plan(scenario, seed).ok());
    let promises = plans.map(|plan| of_run(scenario, &plan).weakest);
    Promise::of(promises.max_by_key(Allowed::weakness).unwrap_or(survival::NOTHING_BREAKS))
}

fn of_group(group: &Group, scenario: &Scenario, bounds: &Bounds) -> OfGroup {
    let last_ms = group.strikes.iter().map(|strike| strike.until_ms).max();
    let removed_ms = group.removed.values().copied().collect::<Vec<_>>();
    let ends_ms = group.strikes.iter().map(|strike| strike.until_ms);
    let ends_ms = ends_ms.chain(removed_ms.iter().copied().filter(|at_ms| Some(*at_ms) < last_ms));
    let ends_ms = ends_ms.collect::<BTreeSet<_>>();
    let stretch = |until_ms| (until_ms, survival::allowed(group, scenario, bounds, until_ms));
    OfGroup { broker: group.broker.clone(), stretches: ends_ms.into_iter().map(stretch).collect(), removed_ms }
}

impl Promise {
    /// The same for all messages.
    pub fn of(allowed: Allowed) -> Promise {
        Promise { weakest: allowed, groups: Vec::new() }
    }

    /// What may be lost at most, of anybody's messages.
    pub fn weakest(&self) -> Allowed {
        self.weakest
    }

    /// What may be lost of a broker's messages that was acknowledged at one moment, by a fault that strikes at another or by
    /// what comes after it. A broker that is not known may be any.
    pub fn allowed(&self, broker: Option<&str>, acked_at_ns: u64, fault_at_ns: u64) -> Allowed {
        let group = broker.and_then(|broker| self.groups.iter().find(|group| group.broker == broker));
        let Some(group) = group else { return self.weakest };
        let (acked_ms, fault_ms) = (acked_at_ns / 1_000_000, fault_at_ns / 1_000_000);
        let removed_ms = group.removed_ms.iter().copied().filter(|at_ms| *at_ms >= acked_ms);
        let from_ms = removed_ms.fold(fault_ms, u64::min);
        let stretch = group.stretches.iter().find(|(until_ms, _)| from_ms <= *until_ms);
        stretch.map_or(survival::NOTHING_LEFT, |(_, allowed)| *allowed)
    }
}

impl Allowed {
    /// The kind of loss, for records.
    pub fn kind(&self) -> LossPromise {
        if self.oldest { self.loss.max(LossPromise::Oldest) } else { self.loss }
    }

    /// Orders from strong to weak.
    fn weakness(&self) -> (LossPromise, bool) {
        (self.kind(), self.oldest)
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.loss {
            LossPromise::None | LossPromise::Oldest => formatter.write_str("no acknowledged message is lost")?,
            LossPromise::Window { bound_ms } => {
                write!(formatter, "no message is lost that was acknowledged more than {bound_ms} ms before the fault")?;
            }
            LossPromise::Host => {
                return formatter.write_str("nothing: what was on the host, and nowhere else, may be lost");
            }
        }
        let oldest = ", but for the oldest of a queue, which a full disk makes the broker delete";
        formatter.write_str(if self.oldest { oldest } else { "" })
    }
}

#[cfg(test)]
mod tests;

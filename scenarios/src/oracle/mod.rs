//! The oracles: what histories are judged by. They know nothing of the simulator and read histories only, so that they can
//! judge any system that leaves one.
//!
//! [`Ledger`] sums up a history by message in one pass; each oracle then asks it one question:
//!
//! | oracle | objects to |
//! |---|---|
//! | [`loss`] | acknowledged messages that are gone, or skipped: stored and passed over |
//! | [`resurrection`] | messages that stand in their queue again after they had been gone ([`cuts`]) from it |
//! | [`replicas`] | slaves whose log is not their master's: divergence, and those that do not catch up |
//! | [`phantom`] | messages that nobody sent, or whose send had definitely failed |
//! | [`corruption`] | bodies other than those that were sent |
//! | [`duplicates`] | nothing: at-least-once delivery allows them; it counts them by cause |
//! | [`order`] | a queue in which a later send stands before an earlier one |
//! | [`offsets`] | committed offsets outside of their queue, queues that stand still |
//! | [`liveness`] | a cluster that does not work again after everything was healed |
//!
//! Every oracle has histories in its tests that it must object to.

pub mod corruption;
pub mod cuts;
pub mod duplicates;
pub mod ledger;
pub mod liveness;
pub mod loss;
pub mod offsets;
pub mod order;
pub mod phantom;
pub mod replicas;
pub mod resurrection;

#[cfg(test)]
pub(crate) mod fixture;

use crate::history::Event;
use ledger::Ledger;
use reports::Finding;

/// What all oracles say of one history.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub ledger: Ledger,
    pub loss: loss::Loss,
    pub duplicates: reports::DuplicateCauses,
    pub phantoms: Vec<Finding>,
    pub corruptions: Vec<Finding>,
    pub order: Vec<Finding>,
    pub offsets: Vec<Finding>,
    pub resurrections: Vec<Finding>,
    pub replicas: replicas::Replicas,
    /// Why the cluster is not live, if it is not.
    pub not_live: Vec<Finding>,
}

/// Asks every oracle.
pub fn judge(events: &[Event]) -> Judgement {
    let ledger = Ledger::new(events);
    let cuts = cuts::find(&ledger);
    let risen = resurrection::risen(&ledger, &cuts);
    Judgement {
        loss: loss::find(&ledger, &cuts),
        duplicates: duplicates::count(&ledger),
        phantoms: phantom::find(&ledger),
        corruptions: corruption::find(&ledger),
        order: order::find(&ledger, &risen),
        offsets: offsets::find(&ledger),
        resurrections: resurrection::find(&risen, &cuts),
        replicas: replicas::find(&ledger),
        not_live: liveness::find(&ledger),
        ledger,
    }
}

fn finding(oracle: &str, message: String) -> Finding {
    Finding { oracle: oracle.to_owned(), message }
}

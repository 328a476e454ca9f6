//! What may be lost of one replica group, from what its copies lose.
//!
//! | the acknowledgement stands for | a message may be lost when |
//! |---|---|
//! | the master alone | the master loses it; but for its disk, it is asked for at the slaves, which were sent it within the lag |
//! | the master and `k - 1` slaves (SYNC_MASTER) | the master and `k - 1` slaves lose it, and no other slave was sent it |
//!
//! Which slaves have it is not known, so that the `k - 1` are those that lose most. What is damaged and not found, dropped by a
//! failed sync or deleted for want of room is asked for by nobody, whoever has it. A copy that was lost counts as lost for all
//! that was acknowledged before, also when it has been made again since: a plan does not know how far that is.

use super::{
    Allowed, Bounds,
    bounds::SYNC_MS_MAX,
    copies::{Disturbance, Group, Strike, Takes},
};
use crate::spec::{Flush, Scenario};
use reports::LossPromise;

/// How long faults may keep a flush from happening at least, in milliseconds, whatever their plan says of when they end: a
/// broker that was down must open its store, a disk that was slow work off what waits for it. It is as long as the longest that
/// `faults` draws.
const STALL_MS_MIN: u64 = 15_000;

/// Where nothing happens.
pub const NOTHING_BREAKS: Allowed = none("nothing breaks (C4, C9)");
/// Where what happens takes nothing from anybody.
pub const NOTHING_TAKEN: Allowed = none(
    "nothing is taken from any log: a page cache outlives its process, a network destroys nothing that was acknowledged, what is slow \
     is late, and no message depends on the wall clock, or on name servers, to be kept (C2, C4, C9, C30)",
);
/// For what is acknowledged when the last fault is over.
pub const NOTHING_LEFT: Allowed = none("nothing takes anything from it any more (C4, C9)");

const fn none(source: &'static str) -> Allowed {
    Allowed { loss: LossPromise::None, oldest: false, source }
}

fn window(bound_ms: u64, source: &'static str) -> Allowed {
    Allowed { loss: LossPromise::Window { bound_ms }, oldest: false, source }
}

fn host(source: &'static str) -> Allowed {
    Allowed { loss: LossPromise::Host, oldest: false, source }
}

/// What a copy has lost in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Loses {
    Nothing,
    Tail,
    All,
}

/// What may be lost of the messages of a group that were acknowledged by `until_ms`: by what strikes then or later.
pub fn allowed(group: &Group, scenario: &Scenario, bounds: &Bounds, until_ms: u64) -> Allowed {
    let strikes = group.strikes.iter().filter(|strike| strike.until_ms >= until_ms).copied().collect();
    Case { group, strikes, is_sync: scenario.flush == Flush::Sync, bounds, until_ms }.allowed()
}

/// A group, and what strikes it.
struct Case<'a> {
    group: &'a Group,
    strikes: Vec<Strike>,
    /// SYNC_FLUSH.
    is_sync: bool,
    bounds: &'a Bounds,
    until_ms: u64,
}

impl Case<'_> {
    fn allowed(&self) -> Allowed {
        let oldest = self.deletes_oldest();
        // What is damaged is found by who reads all of it, and mended by who has it.
        let is_mended = self.bounds.recovery_reads_all && self.bounds.copies > 1;
        let is_hidden = |strike: &Strike| match strike.takes {
            Takes::Damage { is_found } => !(is_found && is_mended),
            _ => false,
        };
        let allowed = match self.loses(0) {
            _ if self.of(0).any(is_hidden) => host(
                "damaged medium: recovery ends the log at the first damage that no checkpoint vouches for, and what is older, or \
                 damaged later, nobody reads until it is asked for, and so nobody takes from a replica: it is never served, and \
                 may be lost (C3 speaks of a disk that is broken as a whole)",
            ),
            Loses::Nothing => none("the master's log outlives all of it (C2, C4, C9, C12, C13)"),
            _ if self.bounds.copies > 1 => stronger(self.replicated(), self.shipped()),
            _ => self.shipped(),
        };
        // What the drive has refused the master does not ask for, and its slaves cut off when it goes on without.
        let refused = self.of(0).any(|strike| strike.takes == Takes::FailedSyncs);
        let allowed = if refused { weaker(allowed, self.tail()) } else { allowed };
        let source = if oldest && allowed.loss == LossPromise::None {
            "a full disk is no fault: what finds no room is not acknowledged, and from 85 % on the broker deletes its oldest \
             files, whether or not they were consumed (cleanFileForciblyEnable; against C9)"
        } else {
            allowed.source
        };
        Allowed { oldest, source, ..allowed }
    }

    fn of(&self, member: usize) -> impl Iterator<Item = &Strike> {
        self.strikes.iter().filter(move |strike| strike.member == member)
    }

    /// What a member has lost in all. Files that it deleted are none of its master's when that has lost nothing but a tail; who
    /// lost everything takes back what there is.
    fn loses(&self, member: usize) -> Loses {
        let of_strike = |strike: &Strike| match strike.takes {
            Takes::Tail | Takes::FailedSyncs => Loses::Tail,
            Takes::All | Takes::Damage { .. } => Loses::All,
            Takes::Oldest if member > 0 && self.of(0).all(|strike| strike.takes == Takes::Tail) => Loses::All,
            Takes::Oldest => Loses::Nothing,
        };
        self.of(member).map(of_strike).max().unwrap_or(Loses::Nothing)
    }

    /// Whether what is served at the end may lack the oldest messages for want of room: the master's own, or what an empty one has
    /// taken back.
    fn deletes_oldest(&self) -> bool {
        let is_full = |member| self.of(member).any(|strike| strike.takes == Takes::Oldest);
        is_full(0) || self.loses(0) == Loses::All && self.slaves().any(is_full)
    }

    fn slaves(&self) -> impl Iterator<Item = usize> + use<> {
        1..self.group.members
    }

    /// A SYNC_MASTER: a message was on so many slaves when it was acknowledged.
    fn replicated(&self) -> Allowed {
        let mut losses = self.slaves().map(|slave| self.loses_or_leaves(slave)).collect::<Vec<_>>();
        losses.sort_unstable_by_key(|loses| std::cmp::Reverse(*loses));
        let slaves = losses.get(self.bounds.copies - 2).copied().unwrap_or(Loses::Nothing);
        match (self.loses(0), slaves) {
            (_, Loses::Nothing) => none(
                "SYNC_MASTER acknowledges after its slaves have it too, and takes what it has lost back from one that has lost \
                 nothing; no single point of failure (C3, C13, C15, C29, C42)",
            ),
            (Loses::All, Loses::All) => host(
                "the second copy was lost before the first could be made again: more than one failure (against C3)",
            ),
            (Loses::All, _) => self.second_tail(0),
            _ => self.tail(),
        }
    }

    /// What a slave has lost, if it is one at all: who was removed has nothing any more of what was acknowledged before.
    fn loses_or_leaves(&self, slave: usize) -> Loses {
        let leaves = self.group.removed.get(&slave).is_some_and(|at_ms| *at_ms >= self.until_ms);
        if leaves { Loses::All } else { self.loses(slave) }
    }

    /// What the slaves were sent, whatever the acknowledgement stood for. A master that has lost its disk takes back what one of
    /// them has. For the end of its log a SYNC_MASTER waits too; an ASYNC_MASTER goes on without them when they do not answer.
    fn shipped(&self) -> Allowed {
        let is_tail = |strike: &&Strike| matches!(strike.takes, Takes::Tail | Takes::FailedSyncs);
        let has_all = self.loses(0) == Loses::All;
        let lost = self.of(0).filter(|strike| strike.takes != Takes::Oldest && (!has_all || !is_tail(strike)));
        let lost_ms = lost.map(|strike| strike.at_ms).min().unwrap_or(0);
        let slaves = self.slaves().filter(|slave| !self.group.removed.contains_key(slave));
        let best = slaves.map(|slave| self.sent_to(slave, lost_ms)).reduce(stronger);
        match best {
            Some(best) if has_all => best,
            Some(best) if self.bounds.copies > 1 => stronger(self.tail(), best),
            None if has_all => host(
                "machine that cannot boot, broken disk, or one that lies: there is no other copy; a single point of failure (C3)",
            ),
            _ => self.tail(),
        }
    }

    /// What may be lost when a slave is all that is left of what a master had that lost everything at this moment.
    fn sent_to(&self, slave: usize, lost_ms: u64) -> Allowed {
        let mut before = self.group.disturbances.iter().filter(|disturbance| disturbance.at_ms < lost_ms);
        if !self.bounds.waits_for_slaves {
            return host(
                "haTailRecoveryTimeoutMillis lets a master that has lost its disk go on before a slave can give anything back \
                 (against C3)",
            );
        }
        if before.any(|disturbance| disturbance.behind & 1 << slave != 0) {
            return host(
                "asynchronous replication was behind when the master's disk was lost, by what had happened before: what it had \
                 not sent yet has no other copy (against C3)",
            );
        }
        let lag_ms = self.bounds.replication_lag_ms;
        let allowed = match (self.loses(slave), self.is_sync) {
            (Loses::All, _) => host(
                "the second copy was lost before the first could be made again: more than one failure (against C3)",
            ),
            (Loses::Tail, true) => window(
                lag_ms + 2 * SYNC_MS_MAX,
                "what the slave had not been sent, or not flushed, when the master's disk was lost (C3, C12)",
            ),
            (Loses::Tail, false) => self.second_tail(lost_ms),
            (Loses::Nothing, _) => {
                let lag = window(
                    lag_ms,
                    "machine that cannot boot, broken disk, or one that lies: the master takes back what its slave has; \
                     asynchronous replication loses what that had not been sent yet: very few messages, some milliseconds (C3, \
                     C12)",
                );
                // Having gone on without its slaves it may have lost the end of its log for good before.
                let goes_on = self.bounds.copies == 1 && self.of(0).any(|strike| strike.takes == Takes::Tail);
                if goes_on { weaker(lag, self.tail()) } else { lag }
            }
        };
        self.within_reach(allowed, lost_ms)
    }

    /// What the master had not flushed when it lost its memory first.
    fn tail(&self) -> Allowed {
        if self.is_sync {
            return none(
                "SYNC_FLUSH acknowledges after the disk has it; a sync that fails is not acknowledged (C2, C10, C29)",
            );
        }
        let tails = self.of(0).filter(|strike| matches!(strike.takes, Takes::Tail | Takes::FailedSyncs));
        let Some(first) = tails.min_by_key(|strike| strike.at_ms) else { return NOTHING_LEFT };
        let allowed = match self.stall_ms(first) {
            None => window(
                self.bounds.flush_window_ms,
                "ASYNC_FLUSH acknowledges before the disk has it: a small amount is lost, namely what came after the last flush, \
                 where no slave gives it back for certain (C2, C12; of several copies at one instant against C3, C42)",
            ),
            Some(stall_ms) => window(
                self.bounds.thorough_window_ms + stall_ms,
                "what ASYNC_FLUSH had not flushed, with the time for which what had happened before kept it from that, where no \
                 slave gives it back for certain (C2, C12)",
            ),
        };
        self.within_reach(allowed, first.at_ms)
    }

    /// For how long what happened before has kept the master from flushing, or the load from coming; nothing if nothing has.
    fn stall_ms(&self, strike: &Strike) -> Option<u64> {
        // While syncs fail, what happens meanwhile counts too.
        let end_ms = if strike.takes == Takes::FailedSyncs { strike.until_ms } else { strike.at_ms };
        self.stalled_ms(end_ms, 1, |disturbance| disturbance.at_ms != strike.at_ms)
    }

    /// For how long some of what had happened by then may have kept one of these members from flushing.
    fn stalled_ms(&self, end_ms: u64, members: u64, counts: impl Fn(&Disturbance) -> bool) -> Option<u64> {
        let before =
            self.group.disturbances.iter().filter(|disturbance| disturbance.at_ms < end_ms && counts(disturbance));
        let before = before.collect::<Vec<_>>();
        let halted = before.iter().filter(|disturbance| disturbance.halted & members != 0);
        let halted_ms = halted.map(|disturbance| disturbance.halts_ms.min(end_ms - disturbance.at_ms)).sum();
        let least_ms = if before.iter().any(|disturbance| disturbance.is_fault) { STALL_MS_MIN } else { 0 };
        (!before.is_empty()).then_some(least_ms.max(halted_ms))
    }

    /// What a slave had not flushed that was the only copy by this moment, or became it later.
    fn second_tail(&self, lost_ms: u64) -> Allowed {
        if self.is_sync {
            return none("every copy that was lost had been flushed before the acknowledgement (C2, C10, C29)");
        }
        let last_ms = self.strikes.iter().filter(|strike| strike.until_ms < u64::MAX).map(|strike| strike.at_ms).max();
        let end_ms = lost_ms.max(last_ms.unwrap_or(0));
        let stall_ms = self.stalled_ms(end_ms, u64::MAX, |_| true).unwrap_or(0).max(STALL_MS_MIN);
        window(
            self.bounds.thorough_window_ms + stall_ms,
            "what the slave, then the only copy, had not flushed when it lost its memory (C2; against C3, C42)",
        )
    }

    /// A window that ends at a moment, where it reaches back to what is asked for.
    fn within_reach(&self, allowed: Allowed, at_ms: u64) -> Allowed {
        match allowed.loss {
            LossPromise::Window { bound_ms } if at_ms > self.until_ms.saturating_add(bound_ms) => NOTHING_LEFT,
            _ => allowed,
        }
    }
}

fn stronger(one: Allowed, another: Allowed) -> Allowed {
    if another.loss < one.loss { another } else { one }
}

fn weaker(one: Allowed, another: Allowed) -> Allowed {
    if another.loss > one.loss { another } else { one }
}

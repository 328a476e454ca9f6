//! What each mode promises under each class of faults.
//!
//! Claims C1–C43 are those of RocketMQ's own documents, numbered as in ARCHITECTURE.md. Where a document claims more than
//! the configuration can give, the entry says what the configuration gives, and the source says why.

use crate::spec::{Flush, Mode, Scenario};
use faults::{Action, CrashKind, FaultKind, Plan};
use reports::LossPromise;
use std::fmt;

/// The time that the drive may take for one flush together with those queued before it, in milliseconds. The default
/// drive answers a flush in 5 ms at most; a dozen files may stand in line.
const SYNC_MS_MAX: u64 = 100;

/// A promise: how many acknowledged messages may be lost, and from where that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    pub loss: LossPromise,
    pub source: &'static str,
}

/// The promise for a scenario: that of its class of faults, or, under a plan of the user's own, the weakest of those that
/// cover what the plan does.
pub fn of_scenario(scenario: &Scenario) -> Promise {
    let window_ms = flush_window_ms(scenario);
    let Some(plan) = &scenario.plan else {
        return promise(scenario.mode, scenario.flush, scenario.fault, window_ms);
    };
    let promises = classes(plan).into_iter().map(|fault| promise(scenario.mode, scenario.flush, fault, window_ms));
    promises.max_by_key(|promise| strength(promise.loss)).expect("`classes` gives at least one")
}

/// The classes of faults in a plan.
fn classes(plan: &Plan) -> Vec<FaultKind> {
    let of_action = |action: &Action| match action {
        Action::Crash { crash: CrashKind::ProcessKill, .. } => FaultKind::BrokerCrash,
        Action::Crash { crash: CrashKind::OsCrash, .. } => FaultKind::OsCrash,
        Action::Crash { crash: CrashKind::PowerLoss, .. } => FaultKind::PowerLoss,
        Action::Crash { crash: CrashKind::DiskLoss, .. } => FaultKind::DiskLoss,
        Action::Isolate { .. } => FaultKind::Partition,
    };
    std::iter::once(FaultKind::None).chain(plan.events.iter().map(|event| of_action(&event.action))).collect()
}

/// Orders promises from strong to weak.
fn strength(loss: LossPromise) -> (u8, u64) {
    match loss {
        LossPromise::None => (0, 0),
        LossPromise::Window { bound_ms } => (1, bound_ms),
        LossPromise::Host => (2, 0),
    }
}

/// The promise of a mode with this flush under this class of faults. `window_ms` is how long an asynchronous flush may
/// take, see [`flush_window_ms`].
pub fn promise(mode: Mode, flush: Flush, fault: FaultKind, window_ms: u64) -> Promise {
    let Mode::SingleMaster = mode;
    let none = |source| Promise { loss: LossPromise::None, source };
    match (fault, flush) {
        (FaultKind::None, _) => none("nothing breaks (C4, C9)"),
        (FaultKind::BrokerCrash, _) => {
            none("what was acknowledged is at least in the page cache, which outlives the process (C2)")
        }
        (FaultKind::OsCrash | FaultKind::PowerLoss, Flush::Sync) => {
            none("SYNC_FLUSH acknowledges after the disk has it (C2, C10, C29)")
        }
        (FaultKind::OsCrash | FaultKind::PowerLoss, Flush::Async) => Promise {
            loss: LossPromise::Window { bound_ms: window_ms },
            source: "ASYNC_FLUSH acknowledges before the disk has it: a small amount is lost (C2), namely what came after \
                     the last flush",
        },
        (FaultKind::DiskLoss | FaultKind::MachineLoss, _) => Promise {
            loss: LossPromise::Host,
            source: "there is no other copy: a single master is a single point of failure (the failure classes of C3)",
        },
        (FaultKind::Partition | FaultKind::PartitionIn | FaultKind::PartitionOut, _) => {
            none("a partition destroys nothing; sends without an answer are unknown, not acknowledged (C4)")
        }
    }
}

/// How old the oldest message can be that an asynchronous flush has not yet put on the disk, in milliseconds.
///
/// The flush sleeps for `flushIntervalCommitLog`, then works if `flushCommitLogLeastPages` pages of 4 KiB are dirty, else
/// only every `flushCommitLogThoroughInterval`. A message that comes just after a flush began waits for the end of that one,
/// the sleep, and the end of the next. With a load that does not reliably dirty so many pages in an interval (twice as many
/// on average), the thorough interval is the bound.
pub fn flush_window_ms(scenario: &Scenario) -> u64 {
    let (workload, broker) = (&scenario.workload, &scenario.broker);
    let total: u64 = workload.body_bytes.iter().copied().map(u64::from).sum();
    let mean = total / (workload.body_bytes.len() as u64).max(1);
    let bytes_per_interval = mean * u64::from(workload.messages_per_second) * broker.flush_interval_ms / 1000;
    let pages_needed = u64::from(broker.flush_least_pages);
    let wait_ms = if bytes_per_interval >= 2 * pages_needed * 4096 {
        broker.flush_interval_ms
    } else {
        broker.flush_thorough_interval_ms + broker.flush_interval_ms
    };
    wait_ms + 2 * SYNC_MS_MAX
}

impl fmt::Display for Promise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.loss {
            LossPromise::None => formatter.write_str("no acknowledged message is lost"),
            LossPromise::Window { bound_ms } => {
                write!(formatter, "no message is lost that was acknowledged more than {bound_ms} ms before the fault")
            }
            LossPromise::Host => formatter.write_str("nothing: what was on the host, and nowhere else, may be lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue, settings::set};

    #[test]
    fn the_window_follows_from_the_configuration() {
        let standard = catalogue::standard(Mode::SingleMaster);
        assert_eq!(flush_window_ms(&standard), 700);
        assert_eq!(flush_window_ms(&set(&standard, "broker.flush_interval_ms=250").expect("a field")), 450);
        let thin = set(&standard, "workload.messages_per_second=1").expect("a field");
        assert_eq!(flush_window_ms(&thin), 10_700);
    }

    #[test]
    fn a_plan_of_several_faults_has_the_weakest_of_their_promises() {
        let mut scenario = catalogue::standard(Mode::SingleMaster);
        let crash = |crash| faults::PlannedEvent {
            at_ms: 20_000,
            action: Action::Crash { host: "broker-a".to_owned(), crash, boot_after_ms: None },
        };
        scenario.plan = Some(Plan { events: vec![] });
        assert_eq!(of_scenario(&scenario).loss, LossPromise::None);
        scenario.plan = Some(Plan { events: vec![crash(CrashKind::PowerLoss), crash(CrashKind::ProcessKill)] });
        assert_eq!(of_scenario(&scenario).loss, LossPromise::Window { bound_ms: 700 });
        scenario.plan = Some(Plan { events: vec![crash(CrashKind::DiskLoss), crash(CrashKind::PowerLoss)] });
        assert_eq!(of_scenario(&scenario).loss, LossPromise::Host);
    }
}

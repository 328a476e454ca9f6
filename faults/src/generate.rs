//! From a class of faults and a random key to a plan.
//!
//! Each quantity has its own sub-key, so that two plans for the same seed differ only where their classes differ: the same
//! moment of the fault, for example, whatever the fault is. Cluster modes can thus be compared on the same faults.

use crate::{Action, CrashKind, Direction, FaultKind, Plan, PlannedEvent};
use sim::world::Key;

/// When a fault may strike, in simulated milliseconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from_ms: u64,
    pub to_ms: u64,
}

/// How long a killed process stays away: a supervisor's restart delay, or an operator's.
const RESTART_MS: (u64, u64) = (500, 6_000);
/// How long a machine needs from its crash until its broker starts: short for a simulated boot, so that a run stays short.
const REBOOT_MS: (u64, u64) = (3_000, 9_000);
/// How long a cut lasts.
const CUT_MS: (u64, u64) = (2_000, 14_000);

/// The plan of one fault of this class against `host`, within `window`.
pub fn generate(kind: FaultKind, key: Key, host: &str, window: Window) -> Plan {
    let draw = |purpose: &str, (low, high): (u64, u64)| key.derive(purpose).stream().range(low, high);
    let host = host.to_owned();
    let crash = |crash, boot_after_ms| Action::Crash { host: host.clone(), crash, boot_after_ms };
    let isolate =
        |direction| Action::Isolate { host: host.clone(), direction, heal_after_ms: Some(draw("cut", CUT_MS)) };
    let reboot_ms = Some(draw("reboot", REBOOT_MS));
    let action = match kind {
        FaultKind::None => return Plan::default(),
        FaultKind::BrokerCrash => crash(CrashKind::ProcessKill, Some(draw("restart", RESTART_MS))),
        FaultKind::OsCrash => crash(CrashKind::OsCrash, reboot_ms),
        FaultKind::PowerLoss => crash(CrashKind::PowerLoss, reboot_ms),
        FaultKind::DiskLoss => crash(CrashKind::DiskLoss, reboot_ms),
        FaultKind::MachineLoss => crash(CrashKind::DiskLoss, None),
        FaultKind::Partition => isolate(Direction::Both),
        FaultKind::PartitionIn => isolate(Direction::In),
        FaultKind::PartitionOut => isolate(Direction::Out),
    };
    Plan { events: vec![PlannedEvent { at_ms: draw("moment", (window.from_ms, window.to_ms)), action }] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { from_ms: 10_000, to_ms: 30_000 };

    #[test]
    fn all_classes_strike_at_the_same_moment_for_the_same_seed() {
        for seed in 0..20 {
            let key = Key::root(seed).derive("plan");
            let moments = FaultKind::ALL
                .into_iter()
                .flat_map(|kind| generate(kind, key, "broker-a", WINDOW).events)
                .map(|event| event.at_ms)
                .collect::<Vec<_>>();
            assert_eq!(moments.len(), FaultKind::ALL.len() - 1);
            assert!(moments.iter().all(|at_ms| *at_ms == moments[0]));
            assert!((WINDOW.from_ms..=WINDOW.to_ms).contains(&moments[0]));
        }
    }

    #[test]
    fn seeds_differ() {
        let plan = |seed| generate(FaultKind::PowerLoss, Key::root(seed), "broker-a", WINDOW);
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }
}

//! A plan in steps: when each of its actions begins, goes on and ends.

use crate::{Action, CrashKind, Plan};

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub at_ms: u64,
    /// The event that it belongs to.
    pub event: usize,
    pub what: What,
}

/// What happens in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The action begins.
    Begin,
    /// It goes on: a host stops once more.
    Stop(String, CrashKind),
    /// One host of several that were done something to is up again.
    Boot(String),
    /// One host of several is jammed, and released.
    Jam(String),
    Release(String),
    /// Connections are reset once more.
    Reset,
    /// The action ends.
    End,
}

/// The steps of a plan in the order of time; what is written first happens first. What would happen after `heal_ms` does not,
/// and what would end after it ends then.
pub fn steps(plan: &Plan, heal_ms: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    for (event, planned) in plan.events.iter().enumerate() {
        let begin_ms = planned.at_ms;
        let at = |after_ms: u64| begin_ms.saturating_add(after_ms);
        let end = |after_ms: Option<u64>| after_ms.map_or(heal_ms, |after_ms| at(after_ms).min(heal_ms));
        let mut step = |at_ms: u64, what: What| steps.push(Step { at_ms, event, what });
        match &planned.action {
            Action::CrashTogether { hosts, .. } => {
                step(begin_ms, What::Begin);
                for down in hosts {
                    step(end(down.boot_after_ms), What::Boot(down.host.clone()));
                }
            }
            Action::CrashLoop { host, crash, times, down_ms, up_ms } => {
                for stop_ms in Action::stops_ms(*times, *down_ms, *up_ms).filter(|stop_ms| at(*stop_ms) < heal_ms) {
                    step(at(stop_ms), What::Stop(host.clone(), *crash));
                    step(end(stop_ms.checked_add(*down_ms)), What::Boot(host.clone()));
                }
            }
            Action::Swizzle { hosts } => {
                for one in hosts.iter().filter(|one| at(one.jam_after_ms) < heal_ms) {
                    step(at(one.jam_after_ms), What::Jam(one.host.clone()));
                    step(end(Some(one.release_after_ms)), What::Release(one.host.clone()));
                }
            }
            Action::ResetStorm { times, every_ms, .. } => {
                let resets_ms = (0..u64::from(*times)).map(|time| at(time.saturating_mul(*every_ms)));
                resets_ms.filter(|at_ms| *at_ms < heal_ms).for_each(|at_ms| step(at_ms, What::Reset));
            }
            // A medium does not heal.
            Action::DropCaches { .. }
            | Action::SnapshotDisk { .. }
            | Action::DamageMedia { repair_after_ms: None, .. } => step(begin_ms, What::Begin),
            action => {
                step(begin_ms, What::Begin);
                step(end(action.lasts_ms()), What::End);
            }
        }
    }
    steps.sort_by_key(|step| step.at_ms);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PlannedEvent;

    fn told(action: Action) -> Vec<(u64, What)> {
        let plan = Plan::of(vec![PlannedEvent { at_ms: 1_000, action }]);
        steps(&plan, 2_000).into_iter().map(|step| (step.at_ms, step.what)).collect()
    }

    #[test]
    fn what_repeats_ends_with_the_healing() {
        let (host, crash) = ("a".to_owned(), CrashKind::ProcessKill);
        let crashes = Action::CrashLoop { host: host.clone(), crash, times: 5, down_ms: 300, up_ms: 300 };
        let (stop, boot) = (What::Stop(host.clone(), crash), What::Boot(host.clone()));
        let expected = [(1_000, stop.clone()), (1_300, boot.clone()), (1_600, stop), (1_900, boot)];
        assert_eq!(told(crashes), expected);
        let storm = Action::ResetStorm { host, peers: Vec::new(), times: 100, every_ms: 400 };
        assert_eq!(told(storm), [1_000, 1_400, 1_800].map(|at_ms| (at_ms, What::Reset)));
    }

    #[test]
    fn what_lasts_is_over_when_everything_is_healed() {
        let freeze = |thaw_after_ms| Action::FreezeClock { host: "a".to_owned(), thaw_after_ms };
        for (thaw_after_ms, end_ms) in [(None, 2_000), (Some(5_000), 2_000), (Some(50), 1_050)] {
            assert_eq!(told(freeze(thaw_after_ms)), [(1_000, What::Begin), (end_ms, What::End)]);
        }
    }
}

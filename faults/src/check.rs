//! Whether a plan can be carried out: hosts that exist, figures that mean something, actions that do not meet.
//!
//! Actions may overlap as long as each leaves the others something to do. Two of them exclude each other when they would take
//! the same thing away at the same time: a host that is down cannot crash or stand still, and of two that slow the same disk
//! or link the first one's end would be the second one's too. A host that is down may lose its disk, and a wall clock may be
//! stepped twice.

use crate::{Action, CrashKind, Plan};
use std::{collections::BTreeSet, fmt};

/// What moves so little as one disk sector per second counts as a cut, which has an action of its own.
const BYTES_PER_S_MIN: u64 = 512;
/// Longer than a minute no drive and no packet takes: that is a failure, which has actions of its own.
const LATENCY_MS_MAX: u64 = 60_000;
/// A wall clock is wrong by a day at most.
const STEP_MS_MAX: i64 = 24 * 3_600_000;

/// A plan that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(
        "event {index} of the fault plan names the host `{host}`, which the scenario does not have; its hosts are: {known}"
    )]
    UnknownHost { index: usize, host: String, known: String },
    #[error(
        "event {index} of the fault plan is at {at_ms} ms, after everything is healed at {heal_ms} ms; give an earlier at_ms"
    )]
    TooLate { index: usize, at_ms: u64, heal_ms: u64 },
    #[error("event {index} of the fault plan names no host; give it at least one")]
    NoHost { index: usize },
    #[error("event {index} of the fault plan names no peers of `{host}`; give it at least one")]
    NoPeers { index: usize, host: String },
    #[error("event {index} of the fault plan names `{host}` twice; a host has no link to itself, and stops only once")]
    HostTwice { index: usize, host: String },
    #[error(
        "event {index} of the fault plan ends after 0 ms, before it did anything; give a later end, or none to let it last \
         until everything is healed"
    )]
    EndsAtOnce { index: usize },
    #[error("event {index} of the fault plan has {field} = {value}; it must be {expected}")]
    Figure { index: usize, field: &'static str, value: i128, expected: String },
    #[error(
        "events {first} and {second} of the fault plan exclude each other: {what} of `{on}` would be {done} twice at the same \
         time; let event {first} end before {at_ms} ms"
    )]
    Excluded { first: usize, second: usize, what: Part, on: String, done: &'static str, at_ms: u64 },
}

/// What of a host an action takes away for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Process,
    Disk,
    Link,
    Member,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Part::Process => "the process",
            Part::Disk => "the disk",
            Part::Link => "the link",
            Part::Member => "the drive",
        })
    }
}

/// From when to when an action has something.
pub(crate) struct Hold {
    index: usize,
    part: Part,
    on: String,
    done: &'static str,
    from_ms: u64,
    pub to_ms: u64,
    /// It can take what is taken already.
    takes_all_the_same: bool,
}

impl Hold {
    /// Whether a hold that begins no earlier would find nothing left to take.
    pub fn excludes(&self, later: &Hold) -> bool {
        (self.part, &self.on) == (later.part, &later.on) && later.from_ms < self.to_ms && !later.takes_all_the_same
    }

    /// Whether it has the process of this host.
    pub fn is_process_of(&self, host: &str) -> bool {
        self.part == Part::Process && self.on == host
    }
}

impl Plan {
    /// Checks that every event names hosts of the scenario, happens before all is healed, has figures that mean something,
    /// and that no two exclude each other.
    ///
    /// # Errors
    /// The first event that does not, by its index.
    pub fn check(&self, hosts: &[&str], heal_ms: u64) -> Result<(), PlanError> {
        for (index, event) in self.events.iter().enumerate() {
            for host in event.action.hosts() {
                if !hosts.contains(&host) {
                    return Err(PlanError::UnknownHost { index, host: host.to_owned(), known: hosts.join(", ") });
                }
            }
            if event.at_ms >= heal_ms {
                return Err(PlanError::TooLate { index, at_ms: event.at_ms, heal_ms });
            }
            check_action(index, &event.action)?;
        }
        self.check_exclusion(heal_ms)
    }

    fn check_exclusion(&self, heal_ms: u64) -> Result<(), PlanError> {
        let holds =
            (0..).zip(&self.events).flat_map(|(index, event)| holds(index, event.at_ms, &event.action, heal_ms));
        let mut holds = holds.collect::<Vec<_>>();
        holds.sort_by_key(|hold| hold.from_ms);
        for (number, second) in holds.iter().enumerate() {
            if let Some(first) = holds[..number].iter().find(|first| first.excludes(second)) {
                return Err(PlanError::Excluded {
                    first: first.index,
                    second: second.index,
                    what: second.part,
                    on: second.on.clone(),
                    done: second.done,
                    at_ms: second.from_ms,
                });
            }
        }
        Ok(())
    }
}

fn check_action(index: usize, action: &Action) -> Result<(), PlanError> {
    let names = action.hosts();
    if names.is_empty() {
        return Err(PlanError::NoHost { index });
    }
    if matches!(action, Action::Cut { .. } | Action::SlowLink { .. }) && action.peers().is_empty() {
        return Err(PlanError::NoPeers { index, host: action.host().to_owned() });
    }
    let mut seen = BTreeSet::new();
    if let Some(host) = names.iter().find(|host| !seen.insert(**host)) {
        return Err(PlanError::HostTwice { index, host: (*host).to_owned() });
    }
    let ends_at_once = match action {
        Action::CrashTogether { hosts, .. } => hosts.iter().any(|down| down.boot_after_ms == Some(0)),
        // Up again at once is what a supervisor does.
        Action::Crash { .. } => false,
        _ => action.lasts_ms() == Some(0),
    };
    if ends_at_once {
        return Err(PlanError::EndsAtOnce { index });
    }
    let figure = |field, value: i128, good: bool, expected: String| {
        if good { Ok(()) } else { Err(PlanError::Figure { index, field, value, expected }) }
    };
    match *action {
        Action::SlowDisk { latency_ms, bytes_per_s, .. } | Action::SlowLink { latency_ms, bytes_per_s, .. } => {
            let (latency, bytes) = (i128::from(latency_ms), i128::from(bytes_per_s));
            figure("latency_ms", latency, latency_ms <= LATENCY_MS_MAX, format!("at most {LATENCY_MS_MAX}"))?;
            figure("bytes_per_s", bytes, bytes_per_s >= BYTES_PER_S_MIN, format!("at least {BYTES_PER_S_MIN}"))
        }
        Action::StepClock { step_ms, .. } => {
            let good = step_ms != 0 && (-STEP_MS_MAX..=STEP_MS_MAX).contains(&step_ms);
            figure("step_ms", step_ms.into(), good, format!("not 0, and at most {STEP_MS_MAX} either way"))
        }
        _ => Ok(()),
    }
}

/// What an action takes, and how long.
pub(crate) fn holds(index: usize, at_ms: u64, action: &Action, heal_ms: u64) -> Vec<Hold> {
    let hold = |part, on: String, done, lasts_ms: Option<u64>| {
        let to_ms = lasts_ms.map_or(heal_ms, |lasts_ms| at_ms.saturating_add(lasts_ms).min(heal_ms));
        Hold { index, part, on, done, from_ms: at_ms, to_ms, takes_all_the_same: false }
    };
    match action {
        Action::Crash { host, crash, boot_after_ms } => {
            let takes_all_the_same = *crash == CrashKind::DiskLoss;
            vec![Hold { takes_all_the_same, ..hold(Part::Process, host.clone(), "stopped", *boot_after_ms) }]
        }
        Action::CrashTogether { crash, hosts } => {
            let takes_all_the_same = *crash == CrashKind::DiskLoss;
            let stopped = |down: &crate::Down| Hold {
                takes_all_the_same,
                ..hold(Part::Process, down.host.clone(), "stopped", down.boot_after_ms)
            };
            hosts.iter().map(stopped).collect()
        }
        Action::Pause { host, resume_after_ms } => {
            vec![hold(Part::Process, host.clone(), "stopped", *resume_after_ms)]
        }
        Action::SlowDisk { host, restore_after_ms, .. } => {
            vec![hold(Part::Disk, host.clone(), "slowed", *restore_after_ms)]
        }
        Action::SlowLink { host, peers, restore_after_ms, .. } => {
            let link = |peer: &String| {
                let (one, other) = if host < peer { (host, peer) } else { (peer, host) };
                hold(Part::Link, format!("{one} – {other}"), "slowed", *restore_after_ms)
            };
            peers.iter().map(link).collect()
        }
        Action::LoseMember { host, member, replace_after_ms } => {
            vec![hold(Part::Member, format!("{host} number {member}"), "lost", *replace_after_ms)]
        }
        Action::Isolate { .. } | Action::Cut { .. } | Action::StepClock { .. } | Action::FailSync { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Down, PlannedEvent};

    fn checked(events: Vec<(u64, Action)>) -> Result<(), PlanError> {
        let events = events.into_iter().map(|(at_ms, action)| PlannedEvent { at_ms, action }).collect();
        Plan { events }.check(&["a", "b"], 10_000)
    }

    fn crash(host: &str, crash: CrashKind, boot_after_ms: Option<u64>) -> Action {
        Action::Crash { host: host.to_owned(), crash, boot_after_ms }
    }

    fn slow_link(peers: &[&str], bytes_per_s: u64) -> Action {
        let peers = peers.iter().map(|peer| (*peer).to_owned()).collect();
        Action::SlowLink { host: "a".to_owned(), peers, latency_ms: 5, bytes_per_s, restore_after_ms: Some(1_000) }
    }

    #[test]
    fn a_plan_for_other_hosts_or_too_late_is_refused() {
        let isolate =
            |host: &str| Action::Isolate { host: host.to_owned(), direction: Direction::In, heal_after_ms: None };
        assert_eq!(checked(vec![(1, isolate("a"))]), Ok(()));
        let error = checked(vec![(1, isolate("c"))]).expect_err("no such host");
        assert!(error.to_string().contains("`c`"), "{error}");
        let error = checked(vec![(1, isolate("a")), (2, slow_link(&["c"], 1_000))]).expect_err("no such peer");
        assert!(matches!(&error, PlanError::UnknownHost { index: 1, .. }), "{error}");
        assert!(matches!(checked(vec![(10_000, isolate("a"))]), Err(PlanError::TooLate { index: 0, .. })));
    }

    #[test]
    fn two_that_exclude_each_other_are_refused_and_two_in_sequence_are_not() {
        let power = |boot_after_ms| crash("a", CrashKind::PowerLoss, boot_after_ms);
        let error = checked(vec![(100, power(Some(500))), (599, power(None))]).expect_err("down already");
        let words = "events 0 and 1 of the fault plan exclude each other: the process of `a` would be stopped twice at the \
                     same time; let event 0 end before 599 ms";
        assert_eq!(error.to_string(), words);
        assert_eq!(checked(vec![(100, power(Some(500))), (600, power(None))]), Ok(()));
        // The order in which they are written does not matter.
        assert!(checked(vec![(599, power(None)), (100, power(Some(500)))]).is_err());
        assert_eq!(checked(vec![(100, power(None)), (599, crash("b", CrashKind::PowerLoss, None))]), Ok(()));
        assert_eq!(checked(vec![(100, power(None)), (599, crash("a", CrashKind::DiskLoss, None))]), Ok(()));
        let pause = Action::Pause { host: "a".to_owned(), resume_after_ms: None };
        assert!(checked(vec![(100, power(None)), (599, pause.clone())]).is_err());
        assert!(checked(vec![(100, pause), (599, power(None))]).is_err());
        assert!(checked(vec![(100, slow_link(&["b"], 1_000)), (200, slow_link(&["b"], 2_000))]).is_err());
        assert_eq!(checked(vec![(100, slow_link(&["b"], 1_000)), (1_100, slow_link(&["b"], 2_000))]), Ok(()));
    }

    #[test]
    fn figures_must_mean_something() {
        let refused = |action| checked(vec![(1, action)]).expect_err("refused").to_string();
        assert!(refused(slow_link(&["b"], 0)).contains("bytes_per_s = 0; it must be at least 512"));
        assert!(refused(slow_link(&[], 1_000)).contains("names no peers"));
        assert!(refused(slow_link(&["a"], 1_000)).contains("names `a` twice"));
        let step = |step_ms| Action::StepClock { host: "a".to_owned(), step_ms, correct_after_ms: None };
        assert!(refused(step(0)).contains("step_ms = 0"));
        assert!(refused(step(i64::MIN)).contains("at most 86400000"));
        assert_eq!(checked(vec![(1, step(-1))]), Ok(()));
        assert!(refused(Action::Pause { host: "a".to_owned(), resume_after_ms: Some(0) }).contains("ends after 0 ms"));
        let together = |hosts: &[&str]| {
            let hosts = hosts.iter().map(|host| Down { host: (*host).to_owned(), boot_after_ms: Some(1) });
            Action::CrashTogether { crash: CrashKind::OsCrash, hosts: hosts.collect() }
        };
        assert!(refused(together(&[])).contains("names no host"));
        assert!(refused(together(&["a", "a"])).contains("names `a` twice"));
    }
}

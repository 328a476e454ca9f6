//! Whether a plan can be carried out: hosts and zones that exist, figures that mean something, actions that do not meet.
//!
//! Actions may overlap as long as each leaves the others something to do. Two of them exclude each other when they would take
//! the same thing away at the same time: a host that is down cannot crash or stand still, a clock that stands still cannot be
//! stepped, and of two that slow the same disk or link the first one's end would be the second one's too. A host that is down
//! may lose its disk, and a wall clock may be stepped twice.
//!
//! A disk that is put into another machine takes along what is kept on it, not who it is kept for: that is written in the
//! machine. So each disk has one spare that can take it, and from then on that one is meant by whoever means the disk.

mod figures;
mod holds;
mod site;

pub use holds::Part;
pub(crate) use holds::{Hold, holds};
pub(crate) use site::RAID_DRIVES_MIN;
pub use site::{Machine, Site};

use crate::{Action, Disks, Down, Plan, PlannedEvent};
use std::collections::BTreeSet;

/// A plan that cannot be carried out. Events are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(
        "event {index} of the fault plan names the host `{host}`, which the scenario does not have; its hosts are: {known}"
    )]
    UnknownHost { index: usize, host: String, known: String },
    #[error(
        "event {index} of the fault plan names the zone `{zone}`, which the scenario does not have; its zones are: {known}"
    )]
    UnknownZone { index: usize, zone: String, known: String },
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
    Figure { index: usize, field: &'static str, value: String, expected: String },
    #[error(
        "event {index} of the fault plan does nothing: none of its rates is above 0; give at least one of: {known}"
    )]
    DoesNothing { index: usize, known: String },
    #[error(
        "event {index} of the fault plan takes the disk of `{host}`, which is not off from then on; let its machine crash \
         before (not its process alone), without boot_after_ms"
    )]
    NotOff { index: usize, host: String },
    #[error(
        "event {index} of the fault plan puts a disk into `{host}`, which is no spare machine; the spares are: {known}"
    )]
    NoSpare { index: usize, host: String, known: String },
    #[error(
        "event {index} of the fault plan puts the disk of `{host}` into `{to}`, which stands in for `{place}` and would begin to \
         serve as that one; {remedy}"
    )]
    OtherPlace { index: usize, host: String, to: String, place: String, remedy: String },
    #[error(
        "event {index} of the fault plan sets the disk of `{host}` back to a snapshot that no event before it takes; put a \
         snapshot-disk of `{host}` before it"
    )]
    NoSnapshot { index: usize, host: String },
    #[error(
        "event {index} of the fault plan is done to `{host}`, which has no disk any more: event {moved} has put it into `{to}`; \
         name that one"
    )]
    DiskIsElsewhere { index: usize, host: String, moved: usize, to: String },
    #[error(
        "event {index} of the fault plan is done to `{host}`, a spare machine, which is switched off until it gets the disk of \
         `{place}`; put a move-disk to it before, or name `{place}`"
    )]
    NoDiskYet { index: usize, host: String, place: String },
    #[error(
        "event {index} of the fault plan takes drive {member} of `{host}`, whose disk has {drives}, counted from 0; only a \
         RAID10 has more than one"
    )]
    NoDrive { index: usize, host: String, member: u16, drives: u16 },
    #[error(
        "events {first} and {second} of the fault plan exclude each other: {what} of `{on}` would be {done} twice at the same \
         time; let event {first} end before {at_ms} ms"
    )]
    Excluded { first: usize, second: usize, what: Part, on: String, done: &'static str, at_ms: u64 },
}

impl PlanError {
    /// The event that is wrong; of two that exclude each other, the second.
    pub fn index(&self) -> usize {
        match self {
            PlanError::UnknownHost { index, .. }
            | PlanError::UnknownZone { index, .. }
            | PlanError::TooLate { index, .. }
            | PlanError::NoHost { index }
            | PlanError::NoPeers { index, .. }
            | PlanError::HostTwice { index, .. }
            | PlanError::EndsAtOnce { index }
            | PlanError::Figure { index, .. }
            | PlanError::DoesNothing { index, .. }
            | PlanError::NotOff { index, .. }
            | PlanError::NoSnapshot { index, .. }
            | PlanError::NoSpare { index, .. }
            | PlanError::OtherPlace { index, .. }
            | PlanError::DiskIsElsewhere { index, .. }
            | PlanError::NoDiskYet { index, .. }
            | PlanError::NoDrive { index, .. } => *index,
            PlanError::Excluded { second, .. } => *second,
        }
    }

    /// The word in the event's text that is wrong, if it is a single one: a field or a name.
    pub fn word(&self) -> Option<&str> {
        match self {
            PlanError::UnknownHost { host, .. }
            | PlanError::NoSpare { host, .. }
            | PlanError::NotOff { host, .. }
            | PlanError::NoSnapshot { host, .. }
            | PlanError::OtherPlace { to: host, .. }
            | PlanError::DiskIsElsewhere { host, .. }
            | PlanError::NoDiskYet { host, .. } => Some(host),
            PlanError::NoDrive { .. } => Some("member"),
            PlanError::UnknownZone { zone, .. } => Some(zone),
            PlanError::TooLate { .. } => Some("at_ms"),
            PlanError::NoPeers { .. } => Some("peers"),
            PlanError::Figure { field, .. } => Some(field),
            _ => None,
        }
    }
}

impl Plan {
    /// Checks that every event names hosts and zones of the site, happens before all is healed, has figures that mean
    /// something, and that no two exclude each other.
    ///
    /// # Errors
    /// The first event that does not, by its index.
    pub fn check(&self, site: &Site, heal_ms: u64) -> Result<(), PlanError> {
        for (index, event) in self.events.iter().enumerate() {
            check_names(index, &event.action, site)?;
            if event.at_ms >= heal_ms {
                return Err(PlanError::TooLate { index, at_ms: event.at_ms, heal_ms });
            }
            figures::check(index, &event.action)?;
        }
        let plan = self.with_hosts_for_zones(site);
        plan.check_disks(site)?;
        plan.check_exclusion(site, heal_ms)
    }

    /// The same plan with the hosts of zones in the place of the zones. Of a host whose disk is in a spare by then, the spare,
    /// which stands beside it.
    pub fn with_hosts_for_zones(&self, site: &Site) -> Plan {
        let disks = Disks::of(self);
        let events = self.events.iter().map(|event| match &event.action {
            Action::CrashZone { zone, crash, boot_after_ms, boot_gap_ms } => {
                let boot = |number: u64| boot_after_ms.map(|ms| ms.saturating_add(number.saturating_mul(*boot_gap_ms)));
                let hosts = site.hosts_in(zone).into_iter().map(|host| disks.machine_of(host, event.at_ms));
                let hosts = (0..).zip(hosts);
                let hosts = hosts.map(|(number, host)| Down { host: host.to_owned(), boot_after_ms: boot(number) });
                let action = Action::CrashTogether { crash: *crash, hosts: hosts.collect() };
                PlannedEvent { at_ms: event.at_ms, action }
            }
            _ => event.clone(),
        });
        Plan { events: events.collect(), spared: self.spared.clone() }
    }

    /// Whether every machine that something is done to has a disk by then, and a drive that is taken from it.
    fn check_disks(&self, site: &Site) -> Result<(), PlanError> {
        let moves = self.events.iter().enumerate().filter_map(|(index, event)| match &event.action {
            Action::MoveDisk { host, to, .. } => Some(((event.at_ms, index), host, to)),
            _ => None,
        });
        let moves = moves.collect::<Vec<_>>();
        for (index, event) in self.events.iter().enumerate() {
            let when = (event.at_ms, index);
            for host in event.action.machines() {
                let left = moves.iter().find(|(moved, from, _)| *moved < when && *from == host);
                if let Some(((_, moved), _, to)) = left {
                    let (host, moved, to) = (host.to_owned(), *moved, (*to).clone());
                    return Err(PlanError::DiskIsElsewhere { index, host, moved, to });
                }
                let came = || moves.iter().any(|(moved, _, to)| *moved < when && *to == host);
                if let Some(place) = site.machine(host).and_then(|machine| machine.spare_for.clone())
                    && !came()
                {
                    return Err(PlanError::NoDiskYet { index, host: host.to_owned(), place });
                }
            }
            // Each snapshot is used up by the restoration that follows.
            if let Action::SetBackDisk { host, .. } = &event.action {
                let of_host = self.events.iter().enumerate().filter(|(number, other)| {
                    let is_snapshot = matches!(other.action, Action::SnapshotDisk { .. } | Action::SetBackDisk { .. });
                    is_snapshot && other.action.host() == host && (other.at_ms, *number) < when
                });
                let last = of_host.max_by_key(|(number, other)| (other.at_ms, *number));
                if !last.is_some_and(|(_, last)| matches!(last.action, Action::SnapshotDisk { .. })) {
                    return Err(PlanError::NoSnapshot { index, host: host.clone() });
                }
            }
            if let Action::LoseMember { host, member, .. } = &event.action
                && let Some(&Machine { drives, .. }) = site.machine(host)
                && *member >= drives
            {
                return Err(PlanError::NoDrive { index, host: host.clone(), member: *member, drives });
            }
        }
        Ok(())
    }

    fn check_exclusion(&self, site: &Site, heal_ms: u64) -> Result<(), PlanError> {
        let holds =
            (0..).zip(&self.events).flat_map(|(index, event)| holds(index, event.at_ms, &event.action, heal_ms, site));
        let mut holds = holds.collect::<Vec<_>>();
        holds.sort_by_key(|hold| hold.from_ms);
        for (number, second) in holds.iter().enumerate() {
            if let Some(first) = holds[..number].iter().find(|first| first.excludes(second)) {
                return Err(first.exclusion(second));
            }
        }
        let moved = self.events.iter().enumerate().filter_map(|(index, event)| match &event.action {
            Action::MoveDisk { host, .. } => Some((index, event.at_ms, host)),
            _ => None,
        });
        for (index, at_ms, host) in moved {
            if !holds.iter().any(|hold| hold.keeps_off(host, at_ms, heal_ms)) {
                return Err(PlanError::NotOff { index, host: host.clone() });
            }
        }
        Ok(())
    }
}

fn check_names(index: usize, action: &Action, site: &Site) -> Result<(), PlanError> {
    if let Action::CrashZone { zone, .. } = action
        && site.hosts_in(zone).is_empty()
    {
        return Err(PlanError::UnknownZone { index, zone: zone.clone(), known: site.zones().join(", ") });
    }
    let names = action.hosts();
    if let Some(host) = names.iter().find(|host| site.machine(host).is_none()) {
        return Err(PlanError::UnknownHost { index, host: (*host).to_owned(), known: site.hosts().join(", ") });
    }
    if let Action::MoveDisk { host, to, .. } = action {
        match site.machine(to).and_then(|machine| machine.spare_for.as_ref()) {
            None => return Err(PlanError::NoSpare { index, host: to.clone(), known: site.spares().join(", ") }),
            Some(place) if place != host => {
                let own = site.machines.iter().find(|machine| machine.spare_for.as_ref() == Some(host));
                let remedy = match own {
                    Some(own) => format!("put it into `{}`", own.host),
                    None => format!("nothing stands in for `{host}`"),
                };
                let (host, to, place) = (host.clone(), to.clone(), place.clone());
                return Err(PlanError::OtherPlace { index, host, to, place, remedy });
            }
            Some(_) => {}
        }
    }
    if names.is_empty() && !matches!(action, Action::CrashZone { .. }) {
        return Err(PlanError::NoHost { index });
    }
    if matches!(action, Action::Cut { .. } | Action::SlowLink { .. }) && action.peers().is_empty() {
        return Err(PlanError::NoPeers { index, host: action.host().to_owned() });
    }
    let mut seen = BTreeSet::new();
    match names.iter().find(|host| !seen.insert(**host)) {
        Some(host) => Err(PlanError::HostTwice { index, host: (*host).to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CrashKind, Direction};

    fn checked(events: Vec<(u64, Action)>) -> Result<(), PlanError> {
        let events = events.into_iter().map(|(at_ms, action)| PlannedEvent { at_ms, action }).collect();
        Plan::of(events).check(&Site::of(["a", "b"]), 10_000)
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

    /// Reads an action in the form of plans.
    fn action(toml: &str) -> Action {
        #[derive(serde::Deserialize)]
        struct One {
            action: Action,
        }
        toml::from_str::<One>(&format!("action = {{ {toml} }}"))
            .unwrap_or_else(|error| panic!("{toml}: {error}"))
            .action
    }

    #[test]
    fn a_disk_is_set_back_to_a_snapshot_that_was_taken_before_and_only_once() {
        let snapshot = || action(r#"kind = "snapshot-disk", host = "a""#);
        let set_back = || action(r#"kind = "set-back-disk", host = "a", boot_after_ms = 100"#);
        assert_eq!(checked(vec![(1, snapshot()), (9, set_back()), (200, snapshot()), (300, set_back())]), Ok(()));
        for wrong in [
            vec![(9, set_back())],
            vec![(9, set_back()), (10, snapshot())],
            vec![(1, action(r#"kind = "snapshot-disk", host = "b""#)), (9, set_back())],
            vec![(1, snapshot()), (9, set_back()), (500, set_back())],
        ] {
            let error = checked(wrong).expect_err("there is no snapshot");
            assert!(matches!(error, PlanError::NoSnapshot { .. }), "{error}");
            assert!(error.to_string().contains("put a snapshot-disk of `a` before it"), "{error}");
        }
    }

    fn refused(events: &[(u64, &str)]) -> String {
        let events = events.iter().map(|(at_ms, toml)| (*at_ms, action(toml))).collect();
        checked(events).expect_err("refused").to_string()
    }

    #[test]
    fn rates_are_from_0_to_1_and_something_must_be_asked_for() {
        for (toml, words) in [
            (
                r#"kind = "disk-faults", host = "a", faults = { stale_read = 1.01 }"#,
                "stale_read = 1.01; it must be from 0 to 1",
            ),
            (r#"kind = "disk-faults", host = "a", faults = { write_error = -0.5 }"#, "write_error = -0.5"),
            (r#"kind = "disk-faults", host = "a", faults = { write_error = nan }"#, "write_error = NaN"),
            (r#"kind = "disk-faults", host = "a", faults = {}"#, "give at least one of: read_error, write_error"),
            (r#"kind = "bad-link", host = "a", faults = { duplicate = 2 }"#, "duplicate = 2; it must be from 0 to 1"),
            (r#"kind = "bad-link", host = "a", faults = { loss = 0.0 }"#, "give at least one of: loss"),
            (r#"kind = "bad-names", hosts = ["a"], fault = { slow = { delay_ms = 60001 } }"#, "delay_ms = 60001"),
            (r#"kind = "limit-memory", host = "a", bytes = 1"#, "bytes = 1; it must be at least 4096"),
            (r#"kind = "starve-cpu", host = "a", share = 0.0, slice_ms = 1"#, "a process that gets nothing is paused"),
            (
                r#"kind = "starve-cpu", host = "a", share = 1.0, slice_ms = 1"#,
                "share = 1; it must be above 0 and below 1",
            ),
            (r#"kind = "starve-cpu", host = "a", share = 0.5, slice_ms = 0"#, "slice_ms = 0; it must be at least 1"),
            (r#"kind = "damage-media", host = "a", damage = "bit-rot", sectors = 0"#, "sectors = 0"),
            (r#"kind = "drift-clock", host = "a", ppm = 600000"#, "at most 500000 either way"),
            (r#"kind = "strobe-clock", host = "a", step_ms = 0, every_ms = 1"#, "step_ms = 0"),
            (r#"kind = "reset-storm", host = "a", times = 0, every_ms = 1"#, "times = 0"),
            (r#"kind = "crash-loop", host = "a", crash = "os-crash", times = 2, down_ms = 1, up_ms = 0"#, "up_ms = 0"),
            (r#"kind = "out-of-memory", host = "a", operations = 0"#, "operations = 0"),
            (r#"kind = "ring", hosts = ["a", "b"]"#, "at least 3 of them"),
            (r#"kind = "bridge", host = "a", one_side = ["b"], other_side = []"#, "other_side"),
            (
                r#"kind = "swizzle", hosts = [{ host = "a", jam_after_ms = 5, release_after_ms = 5 }]"#,
                "ends after 0 ms",
            ),
            (r#"kind = "jam", host = "a", direction = "both", release_after_ms = 0"#, "ends after 0 ms"),
            (r#"kind = "jam", host = "a", peers = ["a"], direction = "both""#, "names `a` twice"),
            (r#"kind = "crash-zone", zone = "dc-7", crash = "power-loss""#, "the zone `dc-7`"),
            (r#"kind = "move-disk", host = "a", to = "b""#, "`b`, which is no spare machine"),
        ] {
            let told = refused(&[(1, toml)]);
            assert!(told.contains(words), "{toml}: {told}");
        }
    }

    #[test]
    fn what_bends_one_clock_or_drive_twice_is_refused() {
        let freeze = r#"kind = "freeze-clock", host = "a", thaw_after_ms = 1000"#;
        let step = r#"kind = "step-clock", host = "a", step_ms = 100, correct_after_ms = 1000"#;
        let told = refused(&[(1_000, freeze), (1_500, step)]);
        assert!(told.contains("the wall clock of `a` would be changed twice at the same time"), "{told}");
        assert!(told.contains("let event 0 end before 1500 ms"), "{told}");
        refused(&[(1_000, step), (1_500, freeze)]);
        assert_eq!(checked(vec![(1_000, action(step)), (1_500, action(step))]), Ok(()), "steps add up");
        assert_eq!(checked(vec![(1_000, action(step)), (2_000, action(freeze))]), Ok(()));
        let faults = r#"kind = "disk-faults", host = "a", faults = { stalled = true }, clear_after_ms = 1000"#;
        refused(&[(1_000, faults), (1_999, faults)]);
        let pause = r#"kind = "pause", host = "a", resume_after_ms = 100"#;
        let killed =
            r#"kind = "crash-loop", host = "a", crash = "process-kill", times = 3, down_ms = 100, up_ms = 300"#;
        // 1000…1100, 1400…1500 and 1800…1900 ms: between them it is up, but not for long enough to be told.
        refused(&[(1_000, killed), (1_350, pause)]);
        assert_eq!(checked(vec![(1_000, action(killed)), (1_900, action(pause))]), Ok(()));
        let zone = r#"kind = "crash-zone", zone = "dc-1", crash = "power-loss", boot_after_ms = 100, boot_gap_ms = 50"#;
        // a boots after 100 ms, b 50 ms later.
        assert_eq!(checked(vec![(1_000, action(zone)), (1_100, action(pause))]), Ok(()));
        let told = refused(&[(1_000, zone), (1_149, &pause.replace("\"a\"", "\"b\""))]);
        assert!(told.contains("the process of `b`"), "{told}");
    }

    /// Checks a plan on the machines a and b, with a spare for each.
    fn checked_with_spares(events: &[(u64, &str)]) -> Result<(), String> {
        let events = events.iter().map(|(at_ms, toml)| PlannedEvent { at_ms: *at_ms, action: action(toml) }).collect();
        let site = Site::of(["a", "b"]).with_spares(["a", "b"]);
        Plan::of(events).check(&site, 10_000).map_err(|error| error.to_string())
    }

    const STOPS: (u64, &str) = (100, r#"kind = "crash", host = "a", crash = "power-loss""#);
    const MOVES: (u64, &str) = (500, r#"kind = "move-disk", host = "a", to = "a-spare", boot_after_ms = 10"#);

    #[test]
    fn a_disk_moves_from_a_host_that_stays_down_into_a_spare() {
        assert_eq!(checked_with_spares(&[STOPS, MOVES]), Ok(()));
        for wrong in [
            None,
            Some(r#"kind = "crash", host = "a", crash = "power-loss", boot_after_ms = 5000"#),
            Some(r#"kind = "crash", host = "b", crash = "power-loss""#),
            Some(r#"kind = "crash", host = "a", crash = "process-kill""#),
            Some(r#"kind = "pause", host = "a""#),
        ] {
            let events = wrong.map(|toml| (100, toml)).into_iter().chain([MOVES]).collect::<Vec<_>>();
            let told = checked_with_spares(&events).expect_err("it runs");
            assert!(
                told.contains("takes the disk of `a`, which is not off") && told.contains("without boot_after_ms"),
                "{told}"
            );
        }
    }

    /// A disk in another one's place: the machine there would serve under its own name and number what was kept under others.
    #[test]
    fn a_disk_goes_into_its_own_spare_only() {
        let wrong = (500, r#"kind = "move-disk", host = "a", to = "b-spare""#);
        let told = checked_with_spares(&[STOPS, wrong]).expect_err("that is the place of b");
        assert!(told.contains("which stands in for `b`") && told.ends_with("put it into `a-spare`"), "{told}");
        let site = Site::of(["a", "b", "c"]).with_spares(["a"]);
        let moves = r#"kind = "move-disk", host = "c", to = "a-spare""#;
        let stops = r#"kind = "crash", host = "c", crash = "power-loss""#;
        let events = [(1, stops), (2, moves)].map(|(at_ms, toml)| PlannedEvent { at_ms, action: action(toml) });
        let told = Plan::of(events.into()).check(&site, 10).expect_err("c has no spare").to_string();
        assert!(told.ends_with("nothing stands in for `c`"), "{told}");
    }

    #[test]
    fn what_is_done_to_a_disk_is_done_to_the_machine_that_has_it_by_then() {
        for elsewhere in [
            r#"kind = "crash", host = "a", crash = "disk-loss", boot_after_ms = 10"#,
            r#"kind = "disk-faults", host = "a", faults = { stale_read = 0.5 }"#,
            r#"kind = "move-disk", host = "a", to = "a-spare""#,
        ] {
            let told = checked_with_spares(&[STOPS, MOVES, (900, elsewhere)]).expect_err("a has no disk");
            assert!(told.contains("event 1 has put it into `a-spare`; name that one"), "{told}");
            if !elsewhere.contains("move-disk") {
                let there = elsewhere.replace("\"a\"", "\"a-spare\"");
                assert_eq!(checked_with_spares(&[STOPS, MOVES, (900, &there)]), Ok(()));
                let told = checked_with_spares(&[(50, &there), STOPS, MOVES]).expect_err("it has no disk yet");
                assert!(told.contains("switched off until it gets the disk of `a`"), "{told}");
            }
        }
        // What was begun in time ends where the disk is.
        let lasts = r#"kind = "disk-faults", host = "a", faults = { stale_read = 0.5 }, clear_after_ms = 5000"#;
        assert_eq!(checked_with_spares(&[(50, lasts), STOPS, MOVES]), Ok(()));
        // The spare is down until it boots; what is done to the network is done to the old machine all the same.
        let power = r#"kind = "crash", host = "a-spare", crash = "power-loss", boot_after_ms = 10"#;
        let told = checked_with_spares(&[STOPS, MOVES, (505, power)]).expect_err("it has not booted");
        assert!(told.contains("the process of `a-spare` would be stopped twice"), "{told}");
        let jam = r#"kind = "jam", host = "a", direction = "both""#;
        assert_eq!(checked_with_spares(&[STOPS, MOVES, (900, jam)]), Ok(()));
    }

    #[test]
    fn a_zone_has_the_machine_that_a_disk_has_come_into() {
        let zone = (900, r#"kind = "crash-zone", zone = "dc-1", crash = "power-loss", boot_after_ms = 10"#);
        assert_eq!(checked_with_spares(&[STOPS, MOVES, zone]), Ok(()));
        let events = [STOPS, MOVES, zone].map(|(at_ms, toml)| PlannedEvent { at_ms, action: action(toml) });
        let plan = Plan::of(events.into()).with_hosts_for_zones(&Site::of(["a", "b"]).with_spares(["a", "b"]));
        assert_eq!(plan.events[2].action.hosts(), ["a-spare", "b"]);
    }

    #[test]
    fn a_drive_that_is_lost_must_be_there() {
        let lose = |member| format!(r#"kind = "lose-member", host = "a", member = {member}"#);
        assert_eq!(checked_with_spares(&[(1, &lose(3))]), Ok(()));
        let told = checked_with_spares(&[(1, &lose(4))]).expect_err("there are four");
        assert!(told.contains("takes drive 4 of `a`, whose disk has 4, counted from 0"), "{told}");
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

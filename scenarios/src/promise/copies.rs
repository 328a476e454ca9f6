//! What a plan, and the operators beside it, take from each copy of each replica group, and when.
//!
//! [`faults::Toll`] says what an action takes from a machine. Here that becomes what a copy of a log loses: one that has two
//! drives of a pair taken is lost, one whose drive lies is lost with the power, damage is found by a recovery that reads it. A
//! copy goes by the machine that its disk began in, and is struck in whatever machine the disk is by then. Name servers and
//! clients keep no copies; what happens to them, and to the network, takes nothing, but may keep messages from getting to where
//! they are safe ([`Disturbance`]).

use crate::spec::{Disk, Operation, Scenario};
use faults::{Action, CrashKind, Disks, Plan, Taken};
use std::collections::BTreeMap;

/// What a strike takes from a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// What had not been flushed.
    Tail,
    /// The same, by a sync that failed: the broker goes on from what it has, and so its slaves do too.
    FailedSyncs,
    /// Everything.
    All,
    /// Anything: some of it is damaged, and from the first damage on recovery believes nothing. `is_found`: a recovery reads it
    /// after the last of the damage was done.
    Damage { is_found: bool },
    /// The oldest files, deleted for want of room.
    Oldest,
}

/// Something that a copy loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    pub at_ms: u64,
    /// What was acknowledged later is safe from it.
    pub until_ms: u64,
    /// Which member of its group: 0 is the master.
    pub member: usize,
    pub takes: Takes,
}

/// Something that may keep the load, a flush or a slave from going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbance {
    pub at_ms: u64,
    /// A fault, rather than what operators do in good order.
    pub is_fault: bool,
    /// The members of the group that fall behind their master by it, as bits.
    pub behind: u64,
    /// Those that flush nothing meanwhile, although they keep what waits for it; and for how long.
    pub halted: u64,
    pub halts_ms: u64,
}

/// What happens to one replica group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub broker: String,
    /// How many members it has.
    pub members: usize,
    /// In the order of time.
    pub strikes: Vec<Strike>,
    pub disturbances: Vec<Disturbance>,
    /// The members that leave it for good, and when.
    pub removed: BTreeMap<usize, u64>,
}

/// What happens to each replica group.
pub fn groups(scenario: &Scenario, plan: &Plan) -> Vec<Group> {
    let plan = plan.with_hosts_for_zones(&scenario.site());
    let disks = Disks::of(&plan);
    let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for broker in scenario.topology.brokers() {
        homes.entry(broker.broker).or_default().push(broker.host);
    }
    let groups = homes.into_iter().map(|(broker, homes)| {
        let mut strikes = strikes(scenario, &plan, &disks, &homes);
        strikes.sort_by_key(|strike| strike.at_ms);
        let disturbances = disturbances(scenario, &plan, &disks, &homes);
        Group { broker, members: homes.len(), strikes, disturbances, removed: removed(scenario, &homes) }
    });
    groups.collect()
}

/// A toll on one member, at true times.
struct Due {
    member: usize,
    taken: Taken,
    from_ms: u64,
    to_ms: u64,
}

fn strikes(scenario: &Scenario, plan: &Plan, disks: &Disks, homes: &[String]) -> Vec<Strike> {
    let heal_ms = scenario.schedule.heal_ms;
    let mut due = Vec::new();
    for event in &plan.events {
        for toll in event.action.tolls() {
            let home = disks.home_of(toll.host, event.at_ms);
            let Some(member) = homes.iter().position(|host| Some(host.as_str()) == home) else { continue };
            let at = |after_ms: u64| event.at_ms.saturating_add(after_ms).min(heal_ms);
            let (from_ms, to_ms) = (at(toll.from_ms), toll.to_ms.map_or(heal_ms, at));
            due.push(Due { member, taken: toll.taken, from_ms, to_ms });
        }
    }
    let has_mirrors = scenario.topology.disk == Disk::Raid10;
    let of_same = |due: &Due, other: &Due| due.member == other.member;
    let strike = |one: &Due| {
        let Due { member, taken, from_ms, to_ms } = *one;
        let strike = |takes, until_ms| Some(Strike { at_ms: from_ms, until_ms, member, takes });
        match taken {
            Taken::PageCache | Taken::Caches => strike(Takes::Tail, from_ms),
            Taken::Disk => strike(Takes::All, from_ms),
            // Its mirror may not have been rebuilt when it is lost too.
            Taken::Member(drive) if has_mirrors => {
                let is_mirror = |other: &&Due| matches!(other.taken, Taken::Member(lost) if lost == drive ^ 1);
                let mut before = due.iter().filter(|other| of_same(one, other) && other.from_ms <= from_ms);
                before.find(is_mirror).and_then(|_| strike(Takes::All, from_ms))
            }
            Taken::Member(_) => strike(Takes::All, from_ms),
            Taken::FailedSyncs => strike(Takes::FailedSyncs, to_ms),
            // The next loss of power proves it wrong, also when the drive has stopped lying by then.
            Taken::Flushes => {
                let is_power = |other: &&Due| other.taken == Taken::Caches && other.from_ms >= from_ms;
                let power = due.iter().filter(|other| of_same(one, other)).filter(is_power);
                let first_ms = power.map(|other| other.from_ms).min()?;
                Some(Strike { at_ms: first_ms, until_ms: first_ms, member, takes: Takes::All })
            }
            Taken::Reads => strike(Takes::All, to_ms),
            Taken::Medium => {
                let is_read = |other: &Due| {
                    let is_cold = matches!(other.taken, Taken::PageCache | Taken::Caches);
                    of_same(one, other) && is_cold && other.from_ms >= to_ms
                };
                strike(Takes::Damage { is_found: due.iter().any(is_read) }, u64::MAX)
            }
            Taken::Room => strike(Takes::Oldest, to_ms),
        }
    };
    due.iter().filter_map(strike).collect()
}

/// The members that operators remove.
fn removed(scenario: &Scenario, homes: &[String]) -> BTreeMap<usize, u64> {
    let removed = scenario.operations.iter().filter_map(|operation| match &operation.what {
        Operation::Remove { host } => Some((homes.iter().position(|home| home == host)?, operation.at_ms)),
        _ => None,
    });
    removed.collect()
}

fn disturbances(scenario: &Scenario, plan: &Plan, disks: &Disks, homes: &[String]) -> Vec<Disturbance> {
    let heal_ms = scenario.schedule.heal_ms;
    let bits = |machines: &[&str], at_ms| {
        let homes_of = machines.iter().map(|machine| disks.home_of(machine, at_ms).unwrap_or(machine));
        let members = homes_of.filter_map(|home| homes.iter().position(|host| host == home));
        members.fold(0_u64, |bits, member| bits | 1 << member)
    };
    let faults = plan.events.iter().filter(|event| may_stop(&event.action)).map(|event| {
        let (at_ms, action) = (event.at_ms, &event.action);
        let (one, others) = between(action);
        let (one, others) = (bits(&one, at_ms), others.map(|others| bits(&others, at_ms)));
        let halts_ms = halts_ms(action).unwrap_or(u64::MAX).min(heal_ms.saturating_sub(at_ms));
        Disturbance { at_ms, is_fault: true, behind: behind(one, others), halted: one, halts_ms }
    });
    let operators = scenario.operations.iter().map(|operation| {
        let (at_ms, what) = (operation.at_ms, &operation.what);
        let behind = if what.is_of_process() { behind(bits(&[what.host()], at_ms), None) } else { 0 };
        // Who stops in good order has flushed everything.
        Disturbance { at_ms, is_fault: false, behind, halted: 0, halts_ms: 0 }
    });
    faults.chain(operators).collect()
}

/// Which members fall behind when something is wrong with some members, or, with others, with the links between the two.
fn behind(one: u64, others: Option<u64>) -> u64 {
    const MASTER: u64 = 1;
    let through = |here: u64, there: u64| if here & MASTER == 0 { 0 } else { there };
    match others {
        Some(others) => through(one, others) | through(others, one),
        None => one | through(one, u64::MAX),
    }
}

/// The machines that an action is done to, and, where it is done to their links with some others alone, those.
fn between(action: &Action) -> (Vec<&str>, Option<Vec<&str>>) {
    fn names(hosts: &[String]) -> Vec<&str> {
        hosts.iter().map(String::as_str).collect()
    }
    match action {
        Action::Cut { host, peers, .. } | Action::SlowLink { host, peers, .. } => (vec![host], Some(names(peers))),
        Action::Jam { host, peers, .. }
        | Action::ResetStorm { host, peers, .. }
        | Action::BadLink { host, peers, .. } => (vec![host], (!peers.is_empty()).then(|| names(peers))),
        Action::Bridge { one_side, other_side, .. } => (names(one_side), Some(names(other_side))),
        _ => (action.hosts(), None),
    }
}

/// How long an action keeps its machines from flushing what they keep in memory; nothing: until the end. A machine that crashes
/// keeps nothing there.
fn halts_ms(action: &Action) -> Option<u64> {
    let halts = match action {
        Action::Crash { crash, .. } | Action::CrashLoop { crash, .. } | Action::CrashTogether { crash, .. } => {
            *crash == CrashKind::ProcessKill
        }
        Action::Pause { .. }
        | Action::Suspend { .. }
        | Action::StarveCpu { .. }
        | Action::LimitMemory { .. }
        | Action::OutOfMemory { .. }
        | Action::SlowDisk { .. }
        | Action::DiskFaults { .. } => true,
        _ => false,
    };
    if halts { action.lasts_ms() } else { Some(0) }
}

/// Whether an action may keep a process, a disk or a link from working at its pace. What makes clocks wrong, takes one of
/// mirrored drives, or gives wrong bytes without delay does not; nor do names, which nobody looks up who is connected.
fn may_stop(action: &Action) -> bool {
    match action {
        Action::StepClock { .. }
        | Action::FreezeClock { .. }
        | Action::DriftClock { .. }
        | Action::StrobeClock { .. }
        | Action::BadNames { .. }
        | Action::SnapshotDisk { .. }
        | Action::LoseMember { .. }
        | Action::DamageMedia { .. } => false,
        Action::DiskFaults { faults, .. } => faults.stalled || faults.fails_syncs(),
        Action::Crash { .. }
        | Action::CrashTogether { .. }
        | Action::CrashLoop { .. }
        | Action::CrashZone { .. }
        | Action::Isolate { .. }
        | Action::Cut { .. }
        | Action::SlowDisk { .. }
        | Action::SlowLink { .. }
        | Action::Pause { .. }
        | Action::FailSync { .. }
        | Action::FillDisk { .. }
        | Action::DropCaches { .. }
        | Action::SetBackDisk { .. }
        | Action::MoveDisk { .. }
        | Action::Jam { .. }
        | Action::Swizzle { .. }
        | Action::Bridge { .. }
        | Action::Ring { .. }
        | Action::ResetStorm { .. }
        | Action::BadLink { .. }
        | Action::LimitMemory { .. }
        | Action::StarveCpu { .. }
        | Action::OutOfMemory { .. }
        | Action::Suspend { .. } => true,
    }
}

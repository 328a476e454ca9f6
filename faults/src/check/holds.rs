//! What an action takes away, from when to when; two that would take the same exclude each other.

use super::{PlanError, Site};
use crate::{Action, CrashKind};
use std::fmt;

/// What of a host an action takes away for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Process,
    Disk,
    Drive,
    Room,
    Link,
    Wire,
    Member,
    Clock,
    Cpu,
    Memory,
    Names,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Part::Process => "the process",
            Part::Disk => "the disk",
            Part::Drive => "the drive",
            Part::Room => "the room on the disk",
            Part::Link => "the link",
            Part::Wire => "the wire",
            Part::Member => "the drive",
            Part::Clock => "the wall clock",
            Part::Cpu => "the processor",
            Part::Memory => "the memory",
            Part::Names => "the name service",
        })
    }
}

/// From when to when an action has something.
pub(crate) struct Hold {
    index: usize,
    part: Part,
    on: String,
    done: &'static str,
    pub from_ms: u64,
    pub to_ms: u64,
    /// It can take what is taken already.
    takes_all_the_same: bool,
    /// It goes together with others like it.
    is_shared: bool,
    /// The whole machine is off.
    is_off: bool,
}

impl Hold {
    /// Whether a hold that begins no earlier would find nothing left to take.
    pub fn excludes(&self, later: &Hold) -> bool {
        (self.part, &self.on) == (later.part, &later.on)
            && later.from_ms < self.to_ms
            && !later.takes_all_the_same
            && !(self.is_shared && later.is_shared)
    }

    /// The error that says that it excludes a later one.
    pub fn exclusion(&self, later: &Hold) -> PlanError {
        PlanError::Excluded {
            first: self.index,
            second: later.index,
            what: later.part,
            on: later.on.clone(),
            done: later.done,
            at_ms: later.from_ms,
        }
    }

    /// Whether it has the process of this host.
    pub fn is_process_of(&self, host: &str) -> bool {
        self.part == Part::Process && self.on == host
    }

    /// Whether it has switched this host off by `at_ms`, until everything is healed.
    pub fn keeps_off(&self, host: &str, at_ms: u64, heal_ms: u64) -> bool {
        self.is_process_of(host) && self.is_off && self.from_ms <= at_ms && self.to_ms >= heal_ms
    }
}

const STOPPED: &str = "stopped";

/// What an action takes, and how long.
pub(crate) fn holds(index: usize, at_ms: u64, action: &Action, heal_ms: u64, site: &Site) -> Vec<Hold> {
    let hold = |part, on: &str, done, lasts_ms: Option<u64>| {
        let to_ms = lasts_ms.map_or(heal_ms, |lasts_ms| at_ms.saturating_add(lasts_ms).min(heal_ms));
        let on = on.to_owned();
        Hold {
            index,
            part,
            on,
            done,
            from_ms: at_ms,
            to_ms,
            takes_all_the_same: false,
            is_shared: false,
            is_off: false,
        }
    };
    let lasts_ms = action.lasts_ms();
    let one = |part, on: &str, done| vec![hold(part, on, done, lasts_ms)];
    let stopped = |host: &str, crash: CrashKind, boot_after_ms| Hold {
        takes_all_the_same: crash == CrashKind::DiskLoss,
        is_off: crash != CrashKind::ProcessKill,
        ..hold(Part::Process, host, STOPPED, boot_after_ms)
    };
    let links = |part, host: &str, peers: &[String], done| {
        let others = || site.hosts().into_iter().filter(|other| *other != host).collect();
        let peers = if peers.is_empty() { others() } else { peers.iter().map(String::as_str).collect::<Vec<_>>() };
        let link = |peer: &str| {
            let (one, other) = if host < peer { (host, peer) } else { (peer, host) };
            hold(part, &format!("{one} – {other}"), done, lasts_ms)
        };
        peers.into_iter().map(link).collect()
    };
    match action {
        Action::Crash { host, crash, boot_after_ms } => vec![stopped(host, *crash, *boot_after_ms)],
        Action::CrashTogether { crash, hosts } => {
            hosts.iter().map(|down| stopped(&down.host, *crash, down.boot_after_ms)).collect()
        }
        // The spare is down until it boots with it.
        Action::MoveDisk { to, .. } => one(Part::Process, to, STOPPED),
        Action::SetBackDisk { host, boot_after_ms } => vec![stopped(host, CrashKind::PowerLoss, *boot_after_ms)],
        // From the first stop to the last start.
        Action::CrashLoop { host, .. } | Action::OutOfMemory { host, .. } => one(Part::Process, host, STOPPED),
        Action::Pause { host, .. } | Action::Suspend { host, .. } => one(Part::Process, host, "halted"),
        Action::SlowDisk { host, .. } => one(Part::Disk, host, "slowed"),
        Action::DiskFaults { host, .. } => one(Part::Drive, host, "disturbed"),
        Action::FillDisk { host, .. } => one(Part::Room, host, "filled"),
        Action::LoseMember { host, member, .. } => one(Part::Member, &format!("{host} number {member}"), "lost"),
        Action::SlowLink { host, peers, .. } => links(Part::Link, host, peers, "slowed"),
        Action::BadLink { host, peers, .. } => links(Part::Wire, host, peers, "disturbed"),
        Action::BadNames { hosts, .. } => {
            hosts.iter().map(|host| hold(Part::Names, host, "slowed", lasts_ms)).collect()
        }
        Action::StarveCpu { host, .. } => one(Part::Cpu, host, "taken away"),
        Action::LimitMemory { host, .. } => one(Part::Memory, host, "limited"),
        Action::StepClock { host, .. } => {
            vec![Hold { is_shared: true, ..hold(Part::Clock, host, "changed", lasts_ms) }]
        }
        Action::FreezeClock { host, .. } | Action::DriftClock { host, .. } | Action::StrobeClock { host, .. } => {
            one(Part::Clock, host, "changed")
        }
        // Cuts and jams are counted: one's end does not end another's. Damage adds up.
        Action::Isolate { .. }
        | Action::Cut { .. }
        | Action::Jam { .. }
        | Action::Swizzle { .. }
        | Action::Bridge { .. }
        | Action::Ring { .. }
        | Action::ResetStorm { .. }
        | Action::DropCaches { .. }
        | Action::SnapshotDisk { .. }
        | Action::DamageMedia { .. }
        | Action::FailSync { .. }
        // A plan whose holds are asked for has the hosts of its zones.
        | Action::CrashZone { .. } => Vec::new(),
    }
}

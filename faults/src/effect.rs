//! What an action, or its end, did to the world at last.

use crate::{
    CrashKind, Direction, Taken,
    action::{rate, step},
};
use sim::world::{CrashReport, MemberLoss};
use std::fmt;

/// What was done, to one host. [`fmt::Display`] tells it for people, without the host's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A host went down, and this is what its disk lost.
    Crashed { host: String, crash: CrashKind, report: CrashReport },
    /// A host was booted again.
    Booted { host: String },
    /// A host was cut off from all others.
    Isolated { host: String, direction: Direction },
    /// A host was reconnected with all others.
    Reconnected { host: String },
    /// A host was cut off from some others.
    Cut { host: String, peers: Vec<String>, direction: Direction },
    /// A host was reconnected with some others.
    Mended { host: String, peers: Vec<String> },
    /// A host's disk became slow.
    DiskSlowed { host: String, latency_ms: u64, bytes_per_s: u64 },
    /// A host's disk is as fast as before.
    DiskRestored { host: String },
    /// The ways between a host and some others became long and narrow.
    LinkSlowed { host: String, peers: Vec<String>, latency_ms: u64, bytes_per_s: u64 },
    /// The ways between a host and some others are as before.
    LinkRestored { host: String, peers: Vec<String> },
    /// A host's wall clock jumped: at the beginning and, the other way, at the end.
    ClockStepped { host: String, step_ms: i64 },
    /// A host's process stands still.
    Paused { host: String },
    /// A host's process goes on.
    Resumed { host: String },
    /// A host lost a drive.
    MemberLost { host: String, member: u16, loss: MemberLoss },
    /// A host's drive was replaced; its rebuild begins.
    MemberReplaced { host: String, member: u16 },
    /// A host's next sync of a file will fail.
    SyncWillFail { host: String },
    /// No sync came that could have failed, and none will fail any more.
    SyncFailureWithdrawn { host: String },
    /// Anything else began. `takes` as [`Effect::takes`].
    Begun { host: String, what: String, takes: Option<Taken> },
    /// And ended. What it has let a program believe meanwhile may turn out to be gone: then it `takes`.
    Ended { host: String, what: String, takes: Option<Taken> },
}

impl Effect {
    /// The host that it was done to.
    pub fn host(&self) -> &str {
        match self {
            Effect::Crashed { host, .. }
            | Effect::Booted { host }
            | Effect::Isolated { host, .. }
            | Effect::Reconnected { host }
            | Effect::Cut { host, .. }
            | Effect::Mended { host, .. }
            | Effect::DiskSlowed { host, .. }
            | Effect::DiskRestored { host }
            | Effect::LinkSlowed { host, .. }
            | Effect::LinkRestored { host, .. }
            | Effect::ClockStepped { host, .. }
            | Effect::Paused { host }
            | Effect::Resumed { host }
            | Effect::MemberLost { host, .. }
            | Effect::MemberReplaced { host, .. }
            | Effect::SyncWillFail { host }
            | Effect::SyncFailureWithdrawn { host }
            | Effect::Begun { host, .. }
            | Effect::Ended { host, .. } => host,
        }
    }

    /// Whether it ends a fault rather than begin one.
    pub fn heals(&self) -> bool {
        matches!(
            self,
            Effect::Booted { .. }
                | Effect::Reconnected { .. }
                | Effect::Mended { .. }
                | Effect::DiskRestored { .. }
                | Effect::LinkRestored { .. }
                | Effect::Resumed { .. }
                | Effect::MemberReplaced { .. }
                | Effect::SyncFailureWithdrawn { .. }
                | Effect::Ended { takes: None, .. }
        )
    }

    /// What it takes, or will, from what its machine has kept until then.
    pub fn takes(&self) -> Option<Taken> {
        match self {
            Effect::Crashed { crash, .. } => crash.takes(),
            Effect::MemberLost { loss: MemberLoss::Disk(_), .. } => Some(Taken::Disk),
            Effect::SyncWillFail { .. } => Some(Taken::FailedSyncs),
            Effect::Begun { takes, .. } | Effect::Ended { takes, .. } => *takes,
            _ => None,
        }
    }

    /// What the disk lost, if it was a crash.
    pub fn crash_report(&self) -> Option<&CrashReport> {
        match self {
            Effect::Crashed { report, .. } | Effect::MemberLost { loss: MemberLoss::Disk(report), .. } => Some(report),
            _ => None,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Crashed { crash, .. } => formatter.write_str(crash.describe()),
            Effect::Booted { .. } => formatter.write_str("boots"),
            Effect::Isolated { direction: Direction::Both, .. } => formatter.write_str("cut off, both ways"),
            Effect::Isolated { direction: Direction::In, .. } => formatter.write_str("hears nothing any more"),
            Effect::Isolated { direction: Direction::Out, .. } => formatter.write_str("is not heard any more"),
            Effect::Reconnected { .. } => formatter.write_str("reconnected"),
            Effect::Cut { peers, direction, .. } => {
                let what = match direction {
                    Direction::Both => "cut off from",
                    Direction::In => "does not hear any more:",
                    Direction::Out => "is not heard any more by",
                };
                write!(formatter, "{what} {}", peers.join(", "))
            }
            Effect::Mended { peers, .. } => write!(formatter, "reconnected with {}", peers.join(", ")),
            Effect::DiskSlowed { latency_ms, bytes_per_s, .. } => {
                write!(formatter, "disk becomes slow: +{latency_ms} ms, {}", rate(*bytes_per_s))
            }
            Effect::DiskRestored { .. } => formatter.write_str("disk is as fast as before"),
            Effect::LinkSlowed { peers, latency_ms, bytes_per_s, .. } => {
                let (peers, rate) = (peers.join(", "), rate(*bytes_per_s));
                write!(formatter, "way to and from {peers} becomes slow: +{latency_ms} ms, {rate}")
            }
            Effect::LinkRestored { peers, .. } => {
                write!(formatter, "way to and from {} is as before", peers.join(", "))
            }
            Effect::ClockStepped { step_ms, .. } => write!(formatter, "wall clock steps {}", step(*step_ms)),
            Effect::Paused { .. } => formatter.write_str("process stands still"),
            Effect::Resumed { .. } => formatter.write_str("process goes on"),
            Effect::MemberLost { member, loss, .. } => match loss {
                MemberLoss::Nothing => write!(formatter, "has no drive {member} to lose"),
                MemberLoss::Degraded => write!(formatter, "drive {member} lost; its mirror has everything"),
                MemberLoss::Disk(_) => write!(formatter, "drive {member} lost, and with it the disk"),
            },
            Effect::MemberReplaced { member, .. } => write!(formatter, "drive {member} replaced; it is rebuilt"),
            Effect::SyncWillFail { .. } => formatter.write_str("next sync of a file will fail"),
            Effect::SyncFailureWithdrawn { .. } => formatter.write_str("no sync failed"),
            Effect::Begun { what, .. } => formatter.write_str(what),
            Effect::Ended { what, .. } => write!(formatter, "over: {what}"),
        }
    }
}

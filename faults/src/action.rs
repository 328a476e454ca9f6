//! The actions that plans are made of: what is done to which machine, drive or link, and when it ends.
//!
//! Every action has its end within itself (`boot_after_ms`, `heal_after_ms`, …), so that a plan cannot heal what was never
//! broken. Without it the action lasts until everything is healed at the end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Something that is done to one host, or to several at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// The host stops in one of the ways of [`CrashKind`].
    Crash {
        /// The host's name.
        host: String,
        crash: CrashKind,
        /// When it boots again, in milliseconds after the crash. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_after_ms: Option<u64>,
    },
    /// Several hosts stop at one instant, in the same way.
    CrashTogether {
        crash: CrashKind,
        /// Each with its own time to boot.
        hosts: Vec<Down>,
    },
    /// The host is cut off from every other.
    Isolate {
        /// The host's name.
        host: String,
        direction: Direction,
        /// When it is reconnected, in milliseconds after the cut. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heal_after_ms: Option<u64>,
    },
    /// The host is cut off from some others; they and it reach everybody else.
    Cut {
        /// The host's name.
        host: String,
        /// Those that it is cut off from.
        peers: Vec<String>,
        direction: Direction,
        /// When they are reconnected, in milliseconds after the cut. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heal_after_ms: Option<u64>,
    },
    /// The host's disk becomes slow: each read that the page cache cannot answer and each cache flush takes longer, and less
    /// is moved per second.
    SlowDisk {
        /// The host's name.
        host: String,
        /// Added to every operation of the drive.
        latency_ms: u64,
        /// What the drive moves at most, either way.
        bytes_per_s: u64,
        /// When it is as fast as before, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_after_ms: Option<u64>,
    },
    /// The ways between the host and some others become long and narrow, in both directions.
    SlowLink {
        /// The host's name.
        host: String,
        /// Those at the other end.
        peers: Vec<String>,
        /// Added to every packet, one way.
        latency_ms: u64,
        /// What passes at most, each way of each pair for itself.
        bytes_per_s: u64,
        /// When they are as before, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_after_ms: Option<u64>,
    },
    /// The host's wall clock jumps; its monotonic clock does not.
    StepClock {
        /// The host's name.
        host: String,
        /// How far, in milliseconds; negative: backward.
        step_ms: i64,
        /// When it jumps back, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        correct_after_ms: Option<u64>,
    },
    /// The host's process stands still. Its clocks run on, its kernel goes on receiving until its buffers are full.
    Pause {
        /// The host's name.
        host: String,
        /// When it goes on, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume_after_ms: Option<u64>,
    },
    /// One drive of the host's RAID10 is lost. If its mirror is lost too, or not yet rebuilt, the disk is lost, and the machine
    /// stops until the end of this action.
    LoseMember {
        /// The host's name.
        host: String,
        /// Which drive, from 0; drives 2n and 2n+1 mirror each other.
        member: u16,
        /// When it is replaced and its rebuild begins, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replace_after_ms: Option<u64>,
    },
    /// The host's next sync of a file that has something to write fails, once, and what it should have written is dropped.
    /// If none comes, it is taken back when everything is healed at the end.
    FailSync {
        /// The host's name.
        host: String,
    },
}

/// One of the hosts of an [`Action::CrashTogether`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Down {
    /// The host's name.
    pub host: String,
    /// When it boots again, in milliseconds after the crash. Absent: only when everything is healed at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_after_ms: Option<u64>,
}

/// How a host stops, and so what it loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// `kill -9`: process memory.
    ProcessKill,
    /// Kernel panic: process memory and page cache.
    OsCrash,
    /// Power loss: process memory, page cache and the drive's cache.
    PowerLoss,
    /// The drive with everything on it.
    DiskLoss,
}

/// Which way a cut works, as seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Both,
    /// What is sent to the host is lost.
    In,
    /// What the host sends is lost.
    Out,
}

impl Action {
    /// The host that it is done to; of several, the first.
    pub fn host(&self) -> &str {
        match self {
            Action::Crash { host, .. }
            | Action::Isolate { host, .. }
            | Action::Cut { host, .. }
            | Action::SlowDisk { host, .. }
            | Action::SlowLink { host, .. }
            | Action::StepClock { host, .. }
            | Action::Pause { host, .. }
            | Action::LoseMember { host, .. }
            | Action::FailSync { host } => host,
            Action::CrashTogether { hosts, .. } => hosts.first().map_or("", |down| &down.host),
        }
    }

    /// All hosts that it names: those it is done to, and their peers.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Action::CrashTogether { hosts, .. } => hosts.iter().map(|down| down.host.as_str()).collect(),
            _ => std::iter::once(self.host()).chain(self.peers().iter().map(String::as_str)).collect(),
        }
    }

    /// The other ends, of an action that is done to links.
    pub fn peers(&self) -> &[String] {
        match self {
            Action::Cut { peers, .. } | Action::SlowLink { peers, .. } => peers,
            _ => &[],
        }
    }

    /// When it ends by itself, in milliseconds after it began; of several hosts, when the last one is back. `None`: when
    /// everything is healed.
    pub fn lasts_ms(&self) -> Option<u64> {
        match self {
            Action::Crash { boot_after_ms: lasts_ms, .. }
            | Action::Isolate { heal_after_ms: lasts_ms, .. }
            | Action::Cut { heal_after_ms: lasts_ms, .. }
            | Action::SlowDisk { restore_after_ms: lasts_ms, .. }
            | Action::SlowLink { restore_after_ms: lasts_ms, .. }
            | Action::StepClock { correct_after_ms: lasts_ms, .. }
            | Action::Pause { resume_after_ms: lasts_ms, .. }
            | Action::LoseMember { replace_after_ms: lasts_ms, .. } => *lasts_ms,
            Action::FailSync { .. } => None,
            // One that is never back makes the whole last for ever.
            Action::CrashTogether { hosts, .. } => {
                hosts.iter().map(|down| down.boot_after_ms).try_fold(0, |last, ms| ms.map(|ms| last.max(ms)))
            }
        }
    }
}

impl CrashKind {
    /// What happened, for people.
    pub fn describe(self) -> &'static str {
        match self {
            CrashKind::ProcessKill => "process killed",
            CrashKind::OsCrash => "kernel crashed",
            CrashKind::PowerLoss => "power cut",
            CrashKind::DiskLoss => "disk lost",
        }
    }
}

impl Direction {
    /// What a host that is cut off in this way meets, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Direction::Both => "cut off both ways",
            Direction::In => "hears nothing",
            Direction::Out => "is not heard",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Crash { host, crash, boot_after_ms } => {
                write!(formatter, "{host}: {}, {}", crash.describe(), back(*boot_after_ms))
            }
            Action::CrashTogether { crash, hosts } => {
                let told = hosts.iter().map(|down| format!("{} {}", down.host, back(down.boot_after_ms)));
                let told = told.collect::<Vec<_>>().join("; ");
                write!(formatter, "{} on {} machines at once: {told}", crash.describe(), hosts.len())
            }
            Action::Isolate { host, direction, heal_after_ms } => {
                write!(formatter, "{host}: {}, {}", direction.describe(), lasting(*heal_after_ms))
            }
            Action::Cut { host, peers, direction, heal_after_ms } => {
                let (peers, lasting) = (peers.join(", "), lasting(*heal_after_ms));
                match direction {
                    Direction::Both => write!(formatter, "{host}: cut off from {peers}, {lasting}"),
                    Direction::In => write!(formatter, "{host}: does not hear {peers}, {lasting}"),
                    Direction::Out => write!(formatter, "{host}: is not heard by {peers}, {lasting}"),
                }
            }
            Action::SlowDisk { host, latency_ms, bytes_per_s, restore_after_ms } => {
                let (rate, lasting) = (rate(*bytes_per_s), lasting(*restore_after_ms));
                write!(formatter, "{host}: slow disk (+{latency_ms} ms, {rate}), {lasting}")
            }
            Action::SlowLink { host, peers, latency_ms, bytes_per_s, restore_after_ms } => {
                let (peers, rate, lasting) = (peers.join(", "), rate(*bytes_per_s), lasting(*restore_after_ms));
                write!(formatter, "{host}: slow way to and from {peers} (+{latency_ms} ms, {rate}), {lasting}")
            }
            Action::StepClock { host, step_ms, correct_after_ms } => {
                let lasting = lasting(*correct_after_ms);
                write!(formatter, "{host}: wall clock steps {}, {lasting}", step(*step_ms))
            }
            Action::Pause { host, resume_after_ms } => {
                write!(formatter, "{host}: process stands still, {}", lasting(*resume_after_ms))
            }
            Action::LoseMember { host, member, replace_after_ms } => {
                write!(formatter, "{host}: drive {member} of its RAID lost, ")?;
                match replace_after_ms {
                    Some(ms) => write!(formatter, "replaced after {}", seconds(*ms)),
                    None => formatter.write_str("not replaced before the end"),
                }
            }
            Action::FailSync { host } => write!(formatter, "{host}: its next sync of a file fails"),
        }
    }
}

fn back(boot_after_ms: Option<u64>) -> String {
    match boot_after_ms {
        Some(ms) => format!("back after {}", seconds(ms)),
        None => "not back before the end".to_owned(),
    }
}

fn lasting(lasts_ms: Option<u64>) -> String {
    match lasts_ms {
        Some(ms) => format!("for {}", seconds(ms)),
        None => "until the end".to_owned(),
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// A step of a clock, for people: `12.5 s backward`.
pub(crate) fn step(step_ms: i64) -> String {
    format!("{} {}", seconds(step_ms.unsigned_abs()), if step_ms < 0 { "backward" } else { "forward" })
}

/// A rate, for people.
pub(crate) fn rate(bytes_per_s: u64) -> String {
    match bytes_per_s {
        0..10_000 => format!("{bytes_per_s} B/s"),
        10_000..10_000_000 => format!("{} kB/s", bytes_per_s / 1_000),
        _ => format!("{} MB/s", bytes_per_s / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(toml: &str) -> String {
        #[derive(Deserialize)]
        struct One {
            action: Action,
        }
        let action = toml::from_str::<One>(&format!("action = {toml}")).expect("an action").action;
        let json = serde_json::to_string(&action).expect("plain data");
        assert_eq!(serde_json::from_str::<Action>(&json).expect("what was just written"), action);
        action.to_string()
    }

    #[test]
    fn every_action_has_its_form_and_its_words() {
        let cases = [
            (
                r#"{ kind = "crash-together", crash = "power-loss", hosts = [{ host = "a", boot_after_ms = 4000 }, { host = "b" }] }"#,
                "power cut on 2 machines at once: a back after 4.0 s; b not back before the end",
            ),
            (
                r#"{ kind = "cut", host = "a", peers = ["a-s"], direction = "both", heal_after_ms = 2500 }"#,
                "a: cut off from a-s, for 2.5 s",
            ),
            (r#"{ kind = "cut", host = "a", peers = ["n"], direction = "in" }"#, "a: does not hear n, until the end"),
            (
                r#"{ kind = "slow-disk", host = "a", latency_ms = 30, bytes_per_s = 250000, restore_after_ms = 1000 }"#,
                "a: slow disk (+30 ms, 250 kB/s), for 1.0 s",
            ),
            (
                r#"{ kind = "slow-link", host = "a", peers = ["b", "c"], latency_ms = 5, bytes_per_s = 20000000 }"#,
                "a: slow way to and from b, c (+5 ms, 20 MB/s), until the end",
            ),
            (
                r#"{ kind = "step-clock", host = "a", step_ms = -61500, correct_after_ms = 7000 }"#,
                "a: wall clock steps 61.5 s backward, for 7.0 s",
            ),
            (r#"{ kind = "pause", host = "a", resume_after_ms = 3000 }"#, "a: process stands still, for 3.0 s"),
            (
                r#"{ kind = "lose-member", host = "a", member = 3, replace_after_ms = 5000 }"#,
                "a: drive 3 of its RAID lost, replaced after 5.0 s",
            ),
            (r#"{ kind = "fail-sync", host = "a" }"#, "a: its next sync of a file fails"),
        ];
        for (toml, words) in cases {
            assert_eq!(told(toml), words);
        }
    }

    #[test]
    fn an_action_knows_its_hosts_and_its_end() {
        let down = |host: &str, boot_after_ms| Down { host: host.to_owned(), boot_after_ms };
        let crash = CrashKind::PowerLoss;
        let together = |hosts| Action::CrashTogether { crash, hosts };
        assert_eq!(together(vec![down("a", Some(1)), down("b", Some(5))]).lasts_ms(), Some(5));
        assert_eq!(together(vec![down("a", None), down("b", Some(5))]).lasts_ms(), None);
        assert_eq!(together(vec![down("a", None), down("b", Some(5))]).hosts(), ["a", "b"]);
        let cut = Action::Cut {
            host: "a".to_owned(),
            peers: vec!["b".to_owned()],
            direction: Direction::Both,
            heal_after_ms: Some(3),
        };
        assert_eq!((cut.hosts(), cut.lasts_ms()), (vec!["a", "b"], Some(3)));
    }
}

//! Actions in words, for people.

use super::{Action, Damage, Direction, DiskFaultRates, LinkFaultRates, NameFault};
use std::fmt;

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
            Action::DropCaches { host } | Action::SnapshotDisk { host } => write!(formatter, "{host}: {}", self.what()),
            Action::SetBackDisk { boot_after_ms, .. }
            | Action::MoveDisk { boot_after_ms, .. }
            | Action::OutOfMemory { boot_after_ms, .. }
            | Action::CrashZone { boot_after_ms, .. } => {
                write!(formatter, "{}: {}, {}", self.subject(), self.what(), back(*boot_after_ms))
            }
            Action::Swizzle { hosts } => {
                let told = hosts.iter().map(|one| {
                    format!("{} from {} to {}", one.host, seconds(one.jam_after_ms), seconds(one.release_after_ms))
                });
                write!(formatter, "swizzle: {}", told.collect::<Vec<_>>().join("; "))
            }
            Action::ResetStorm { host, times, every_ms, .. } => {
                write!(formatter, "{host}: {}, {times} times, every {every_ms} ms", self.what())
            }
            Action::CrashLoop { host, times, down_ms, up_ms, .. } => {
                let (down, up) = (seconds(*down_ms), seconds(*up_ms));
                write!(formatter, "{host}: {}, {times} times, {down} down and {up} up", self.what())
            }
            _ => write!(formatter, "{}: {}, {}", self.subject(), self.what(), lasting(self.lasts_ms())),
        }
    }
}

impl Action {
    /// Who it is done to, for people.
    fn subject(&self) -> &str {
        match self {
            Action::CrashZone { zone, .. } => zone,
            Action::Ring { .. } => "ring",
            Action::BadNames { .. } => "host names",
            _ => self.host(),
        }
    }

    /// What it does, without whom to and how long.
    pub(crate) fn what(&self) -> String {
        match self {
            Action::DiskFaults { faults, .. } => drive(faults),
            Action::DamageMedia { damage, sectors, path_prefix, .. } => {
                let which = path_prefix.as_ref().map(|prefix| format!(" under {prefix}")).unwrap_or_default();
                match damage {
                    Damage::LatentError => format!("{sectors} sectors{which} become unreadable"),
                    Damage::BitRot => format!("a bit flips in each of {sectors} sectors{which}"),
                }
            }
            Action::FillDisk { free_bytes, .. } => format!("disk full but for {free_bytes} bytes"),
            Action::DropCaches { .. } => "page cache dropped".to_owned(),
            Action::SnapshotDisk { .. } => "a snapshot of its disk is taken".to_owned(),
            Action::SetBackDisk { .. } => "power cut, and its disk set back to the snapshot".to_owned(),
            Action::MoveDisk { to, .. } => format!("its disk is put into {to}"),
            Action::Jam { peers, direction, .. } => match direction {
                Direction::Both => format!("jammed from and to {}", others(peers)),
                Direction::In => format!("jammed from {}", others(peers)),
                Direction::Out => format!("jammed to {}", others(peers)),
            },
            Action::Swizzle { .. } => "swizzle".to_owned(),
            Action::Bridge { one_side, other_side, .. } => {
                format!("only it reaches both {} and {}", one_side.join(", "), other_side.join(", "))
            }
            Action::Ring { hosts, .. } => format!("each reaches its neighbours only: {}", hosts.join(", ")),
            Action::ResetStorm { peers, .. } => format!("connections with {} reset", others(peers)),
            Action::BadLink { peers, faults, .. } => {
                format!("bad way to and from {} ({})", others(peers), link(faults))
            }
            Action::BadNames { hosts, fault, .. } => {
                let how = match fault {
                    NameFault::Slow { delay_ms } => format!("resolved after {delay_ms} ms"),
                    NameFault::Failing => "not resolved".to_owned(),
                    NameFault::Silent => "asked for in vain".to_owned(),
                };
                format!("{how} on {}", hosts.join(", "))
            }
            Action::LimitMemory { bytes, .. } => format!("{bytes} bytes of memory for page cache and sockets"),
            Action::StarveCpu { share, slice_ms, .. } => {
                format!("gets {} of a processor, {slice_ms} ms at a time", percent(*share))
            }
            Action::CrashLoop { crash, .. } => crash.describe().to_owned(),
            Action::OutOfMemory { operations, .. } => {
                format!("out of memory within {operations} operations, and killed")
            }
            Action::Suspend { .. } => "machine suspended".to_owned(),
            Action::FreezeClock { .. } => "wall clock stands still".to_owned(),
            Action::DriftClock { ppm, .. } => {
                format!("wall clock runs {} ppm {}", ppm.unsigned_abs(), if *ppm < 0 { "slow" } else { "fast" })
            }
            Action::StrobeClock { step_ms, every_ms, .. } => {
                format!("wall clock steps {} and back, every {every_ms} ms", step(*step_ms))
            }
            Action::CrashZone { crash, .. } => format!("{} in the whole zone", crash.describe()),
            // These have words of their own in every place.
            _ => String::new(),
        }
    }
}

fn others(peers: &[String]) -> String {
    if peers.is_empty() { "all others".to_owned() } else { peers.join(", ") }
}

/// A probability, for people.
fn percent(rate: f64) -> String {
    format!("{} %", (rate * 10_000.0).round() / 100.0)
}

/// What goes wrong with a drive, for people.
fn drive(faults: &DiskFaultRates) -> String {
    let words = [
        "of reads fail",
        "of writes fail",
        "of syncs fail",
        "of reads are short",
        "of writes are short",
        "of writes are lost",
        "of writes are misdirected",
        "of reads are misdirected",
        "of reads are stale",
    ];
    let rates = faults.rates().into_iter().zip(words).filter(|((_, rate), _)| *rate > 0.0);
    let mut told = rates.map(|((_, rate), words)| format!("{} {words}", percent(rate))).collect::<Vec<_>>();
    told.extend(faults.lying_sync.then(|| "its cache is not flushed".to_owned()));
    told.extend(faults.stalled.then(|| "it answers nothing".to_owned()));
    format!("drive: {}", told.join(", "))
}

/// What goes wrong with a link, for people.
fn link(faults: &LinkFaultRates) -> String {
    let words = ["lost", "doubled", "overtaken", "damaged", "changed unnoticed"];
    let rates = faults.rates().into_iter().zip(words).filter(|((_, rate), _)| *rate > 0.0);
    rates.map(|((_, rate), words)| format!("{} {words}", percent(rate))).collect::<Vec<_>>().join(", ")
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
    use crate::{CrashKind, Down};
    use serde::Deserialize;

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
            (
                r#"{ kind = "disk-faults", host = "a", faults = { read_error = 0.125, lying_sync = true }, clear_after_ms = 2000 }"#,
                "a: drive: 12.5 % of reads fail, its cache is not flushed, for 2.0 s",
            ),
            (
                r#"{ kind = "damage-media", host = "a", damage = "bit-rot", sectors = 8, path_prefix = "/store" }"#,
                "a: a bit flips in each of 8 sectors under /store, until the end",
            ),
            (
                r#"{ kind = "fill-disk", host = "a", free_bytes = 4096, relieve_after_ms = 100 }"#,
                "a: disk full but for 4096 bytes, for 0.1 s",
            ),
            (r#"{ kind = "drop-caches", host = "a" }"#, "a: page cache dropped"),
            (r#"{ kind = "snapshot-disk", host = "a" }"#, "a: a snapshot of its disk is taken"),
            (
                r#"{ kind = "set-back-disk", host = "a", boot_after_ms = 3000 }"#,
                "a: power cut, and its disk set back to the snapshot, back after 3.0 s",
            ),
            (
                r#"{ kind = "move-disk", host = "a", to = "a-spare", boot_after_ms = 3000 }"#,
                "a: its disk is put into a-spare, back after 3.0 s",
            ),
            (
                r#"{ kind = "jam", host = "a", direction = "in", release_after_ms = 1500 }"#,
                "a: jammed from all others, for 1.5 s",
            ),
            (
                r#"{ kind = "swizzle", hosts = [{ host = "a", jam_after_ms = 0, release_after_ms = 900 }] }"#,
                "swizzle: a from 0.0 s to 0.9 s",
            ),
            (
                r#"{ kind = "bridge", host = "a", one_side = ["b"], other_side = ["c"], heal_after_ms = 1000 }"#,
                "a: only it reaches both b and c, for 1.0 s",
            ),
            (
                r#"{ kind = "ring", hosts = ["a", "b", "c"] }"#,
                "ring: each reaches its neighbours only: a, b, c, until the end",
            ),
            (
                r#"{ kind = "reset-storm", host = "a", times = 3, every_ms = 50 }"#,
                "a: connections with all others reset, 3 times, every 50 ms",
            ),
            (
                r#"{ kind = "bad-link", host = "a", peers = ["b"], faults = { loss = 0.5, reorder = 1 } }"#,
                "a: bad way to and from b (50 % lost, 100 % overtaken), until the end",
            ),
            (
                r#"{ kind = "bad-names", hosts = ["a", "b"], fault = { slow = { delay_ms = 900 } } }"#,
                "host names: resolved after 900 ms on a, b, until the end",
            ),
            (
                r#"{ kind = "bad-names", hosts = ["a"], fault = "silent", restore_after_ms = 100 }"#,
                "host names: asked for in vain on a, for 0.1 s",
            ),
            (
                r#"{ kind = "limit-memory", host = "a", bytes = 65536, restore_after_ms = 100 }"#,
                "a: 65536 bytes of memory for page cache and sockets, for 0.1 s",
            ),
            (
                r#"{ kind = "starve-cpu", host = "a", share = 0.25, slice_ms = 20, restore_after_ms = 1000 }"#,
                "a: gets 25 % of a processor, 20 ms at a time, for 1.0 s",
            ),
            (
                r#"{ kind = "crash-loop", host = "a", crash = "process-kill", times = 4, down_ms = 500, up_ms = 1500 }"#,
                "a: process killed, 4 times, 0.5 s down and 1.5 s up",
            ),
            (
                r#"{ kind = "out-of-memory", host = "a", operations = 7, boot_after_ms = 2000 }"#,
                "a: out of memory within 7 operations, and killed, back after 2.0 s",
            ),
            (r#"{ kind = "suspend", host = "a", resume_after_ms = 500 }"#, "a: machine suspended, for 0.5 s"),
            (r#"{ kind = "freeze-clock", host = "a", thaw_after_ms = 500 }"#, "a: wall clock stands still, for 0.5 s"),
            (r#"{ kind = "drift-clock", host = "a", ppm = -5000 }"#, "a: wall clock runs 5000 ppm slow, until the end"),
            (
                r#"{ kind = "strobe-clock", host = "a", step_ms = 4000, every_ms = 20, stop_after_ms = 500 }"#,
                "a: wall clock steps 4.0 s forward and back, every 20 ms, for 0.5 s",
            ),
            (
                r#"{ kind = "crash-zone", zone = "dc-1/room-1", crash = "power-loss", boot_after_ms = 500, boot_gap_ms = 100 }"#,
                "dc-1/room-1: power cut in the whole zone, back after 0.5 s",
            ),
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

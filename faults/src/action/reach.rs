//! Whom an action reaches, and how long.

use super::Action;

impl Action {
    /// The host that it is done to; of several, the first; empty where it is done to a zone.
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
            | Action::FailSync { host }
            | Action::DiskFaults { host, .. }
            | Action::DamageMedia { host, .. }
            | Action::FillDisk { host, .. }
            | Action::DropCaches { host }
            | Action::SnapshotDisk { host }
            | Action::SetBackDisk { host, .. }
            | Action::MoveDisk { host, .. }
            | Action::Jam { host, .. }
            | Action::Bridge { host, .. }
            | Action::ResetStorm { host, .. }
            | Action::BadLink { host, .. }
            | Action::StarveCpu { host, .. }
            | Action::CrashLoop { host, .. }
            | Action::OutOfMemory { host, .. }
            | Action::LimitMemory { host, .. }
            | Action::Suspend { host, .. }
            | Action::FreezeClock { host, .. }
            | Action::DriftClock { host, .. }
            | Action::StrobeClock { host, .. } => host,
            Action::CrashTogether { hosts, .. } => hosts.first().map_or("", |down| &down.host),
            Action::Swizzle { hosts } => hosts.first().map_or("", |swizzled| &swizzled.host),
            Action::Ring { hosts, .. } | Action::BadNames { hosts, .. } => hosts.first().map_or("", String::as_str),
            Action::CrashZone { .. } => "",
        }
    }

    /// All hosts that it names: those it is done to, and their peers.
    pub fn hosts(&self) -> Vec<&str> {
        match self {
            Action::CrashTogether { hosts, .. } => hosts.iter().map(|down| down.host.as_str()).collect(),
            Action::Swizzle { hosts } => hosts.iter().map(|swizzled| swizzled.host.as_str()).collect(),
            Action::Ring { hosts, .. } | Action::BadNames { hosts, .. } => hosts.iter().map(String::as_str).collect(),
            Action::Bridge { host, one_side, other_side, .. } => {
                std::iter::once(host).chain(one_side).chain(other_side).map(String::as_str).collect()
            }
            Action::MoveDisk { host, to, .. } => vec![host, to],
            Action::CrashZone { .. } => Vec::new(),
            _ => std::iter::once(self.host()).chain(self.peers().iter().map(String::as_str)).collect(),
        }
    }

    /// The machines that something is done to, rather than to the network around them or to the names that they look up.
    pub(crate) fn machines(&self) -> Vec<&str> {
        match self {
            Action::CrashTogether { .. } => self.hosts(),
            Action::Crash { host, .. }
            | Action::SlowDisk { host, .. }
            | Action::StepClock { host, .. }
            | Action::Pause { host, .. }
            | Action::LoseMember { host, .. }
            | Action::FailSync { host }
            | Action::DiskFaults { host, .. }
            | Action::DamageMedia { host, .. }
            | Action::FillDisk { host, .. }
            | Action::DropCaches { host }
            | Action::SnapshotDisk { host }
            | Action::SetBackDisk { host, .. }
            | Action::MoveDisk { host, .. }
            | Action::LimitMemory { host, .. }
            | Action::StarveCpu { host, .. }
            | Action::CrashLoop { host, .. }
            | Action::OutOfMemory { host, .. }
            | Action::Suspend { host, .. }
            | Action::FreezeClock { host, .. }
            | Action::DriftClock { host, .. }
            | Action::StrobeClock { host, .. } => vec![host],
            Action::Isolate { .. }
            | Action::Cut { .. }
            | Action::SlowLink { .. }
            | Action::Jam { .. }
            | Action::Swizzle { .. }
            | Action::Bridge { .. }
            | Action::Ring { .. }
            | Action::ResetStorm { .. }
            | Action::BadLink { .. }
            | Action::BadNames { .. }
            | Action::CrashZone { .. } => Vec::new(),
        }
    }

    /// The other ends that it names, of an action that is done to links. Where they may be absent and are, it is done to the
    /// links to all others.
    pub fn peers(&self) -> &[String] {
        match self {
            Action::Cut { peers, .. }
            | Action::SlowLink { peers, .. }
            | Action::Jam { peers, .. }
            | Action::ResetStorm { peers, .. }
            | Action::BadLink { peers, .. } => peers,
            _ => &[],
        }
    }

    /// When it ends by itself, in milliseconds after it began; of several hosts or times, when the last is over. `None`: when
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
            | Action::LoseMember { replace_after_ms: lasts_ms, .. }
            | Action::DiskFaults { clear_after_ms: lasts_ms, .. }
            | Action::DamageMedia { repair_after_ms: lasts_ms, .. }
            | Action::FillDisk { relieve_after_ms: lasts_ms, .. }
            | Action::SetBackDisk { boot_after_ms: lasts_ms, .. }
            | Action::MoveDisk { boot_after_ms: lasts_ms, .. }
            | Action::Jam { release_after_ms: lasts_ms, .. }
            | Action::Bridge { heal_after_ms: lasts_ms, .. }
            | Action::Ring { heal_after_ms: lasts_ms, .. }
            | Action::BadLink { restore_after_ms: lasts_ms, .. }
            | Action::BadNames { restore_after_ms: lasts_ms, .. }
            | Action::StarveCpu { restore_after_ms: lasts_ms, .. }
            | Action::LimitMemory { restore_after_ms: lasts_ms, .. }
            | Action::OutOfMemory { boot_after_ms: lasts_ms, .. }
            | Action::Suspend { resume_after_ms: lasts_ms, .. }
            | Action::FreezeClock { thaw_after_ms: lasts_ms, .. }
            | Action::DriftClock { restore_after_ms: lasts_ms, .. }
            | Action::StrobeClock { stop_after_ms: lasts_ms, .. }
            | Action::CrashZone { boot_after_ms: lasts_ms, .. } => *lasts_ms,
            Action::FailSync { .. } => None,
            Action::DropCaches { .. } | Action::SnapshotDisk { .. } => Some(0),
            // One that is never back makes the whole last for ever.
            Action::CrashTogether { hosts, .. } => {
                hosts.iter().map(|down| down.boot_after_ms).try_fold(0, |last, ms| ms.map(|ms| last.max(ms)))
            }
            Action::Swizzle { hosts } => hosts.iter().map(|swizzled| swizzled.release_after_ms).max(),
            Action::ResetStorm { times, every_ms, .. } => Some(u64::from(times.saturating_sub(1)) * every_ms),
            Action::CrashLoop { times, down_ms, up_ms, .. } => {
                let ups = u64::from(times.saturating_sub(1));
                Some(down_ms.saturating_mul(u64::from(*times)).saturating_add(up_ms.saturating_mul(ups)))
            }
        }
    }

    /// When in the course of a [`Action::CrashLoop`] the host stops, each time, in milliseconds after the beginning.
    pub(crate) fn stops_ms(times: u32, down_ms: u64, up_ms: u64) -> impl Iterator<Item = u64> + Clone {
        (0..u64::from(times)).map(move |time| time.saturating_mul(down_ms.saturating_add(up_ms)))
    }
}

//! What an action takes from what machines keep, whoever they are and whatever they keep: the one list that budgets, the effects
//! that a run records, and promises go by.
//!
//! A process has its memory, a kernel its page cache, a drive its own cache and its medium. What takes memory alone (a killed
//! process) takes nothing that was kept, and is not listed; nor is what makes a machine slow, deaf or dumb.

use crate::{Action, CrashKind};

/// What is taken from a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    /// What is in the page cache alone.
    PageCache,
    /// What is in the page cache or in the drive's own cache alone.
    Caches,
    /// Everything.
    Disk,
    /// One drive of the disk.
    Member(u16),
    /// What the syncs should have written that fail; their callers are told, once.
    FailedSyncs,
    /// What the drive says that it has flushed, if the power goes.
    Flushes,
    /// The trust in reads: they return something else than was written.
    Reads,
    /// Parts of the medium, and nobody knows until they are read.
    Medium,
    /// Room: whoever keeps old files for as long as there is room deletes them.
    Room,
}

/// Something that an action takes from one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toll<'a> {
    pub host: &'a str,
    pub taken: Taken,
    /// From when on it is taken, in milliseconds after the action began.
    pub from_ms: u64,
    /// Until when. Absent: until everything is healed.
    pub to_ms: Option<u64>,
}

impl Action {
    /// What it takes, and from which machines. Nothing of a zone, whose hosts a plan must name first
    /// ([`Plan::with_hosts_for_zones`](crate::Plan::with_hosts_for_zones)).
    pub fn tolls(&self) -> Vec<Toll<'_>> {
        let at = |host, taken, at_ms| Toll { host, taken, from_ms: at_ms, to_ms: Some(at_ms) };
        let lasting = |host, taken| Toll { host, taken, from_ms: 0, to_ms: self.lasts_ms() };
        match self {
            Action::Crash { host, crash, .. } => crash.takes().map(|taken| at(host, taken, 0)).into_iter().collect(),
            Action::CrashTogether { crash, hosts } => {
                let taken = crash.takes().into_iter();
                taken.flat_map(|taken| hosts.iter().map(move |down| at(&down.host, taken, 0))).collect()
            }
            Action::CrashLoop { host, crash, times, down_ms, up_ms } => {
                let stops_ms = Action::stops_ms(*times, *down_ms, *up_ms);
                let taken = crash.takes().into_iter();
                taken.flat_map(|taken| stops_ms.clone().map(move |stop_ms| at(host, taken, stop_ms))).collect()
            }
            // What came after the snapshot; whoever promises something goes by the worst, that it was empty.
            Action::SetBackDisk { host, .. } => vec![at(host, Taken::Disk, 0)],
            Action::LoseMember { host, member, .. } => vec![at(host, Taken::Member(*member), 0)],
            Action::FailSync { host } => vec![lasting(host, Taken::FailedSyncs)],
            Action::DiskFaults { host, faults, .. } => {
                let kinds = [
                    (faults.fails_syncs(), Taken::FailedSyncs),
                    (faults.lying_sync, Taken::Flushes),
                    (faults.misdirected_read > 0.0 || faults.stale_read > 0.0, Taken::Reads),
                    (faults.lost_write > 0.0 || faults.misdirected_write > 0.0, Taken::Medium),
                ];
                kinds.into_iter().filter(|(is_so, _)| *is_so).map(|(_, taken)| lasting(host, taken)).collect()
            }
            Action::DamageMedia { host, .. } => vec![at(host, Taken::Medium, 0)],
            Action::FillDisk { host, .. } => vec![lasting(host, Taken::Room)],
            Action::Isolate { .. }
            | Action::Cut { .. }
            | Action::SlowDisk { .. }
            | Action::SlowLink { .. }
            | Action::StepClock { .. }
            | Action::Pause { .. }
            | Action::DropCaches { .. }
            | Action::SnapshotDisk { .. }
            | Action::MoveDisk { .. }
            | Action::Jam { .. }
            | Action::Swizzle { .. }
            | Action::Bridge { .. }
            | Action::Ring { .. }
            | Action::ResetStorm { .. }
            | Action::BadLink { .. }
            | Action::BadNames { .. }
            | Action::LimitMemory { .. }
            | Action::StarveCpu { .. }
            | Action::OutOfMemory { .. }
            | Action::Suspend { .. }
            | Action::FreezeClock { .. }
            | Action::DriftClock { .. }
            | Action::StrobeClock { .. }
            | Action::CrashZone { .. } => Vec::new(),
        }
    }
}

impl CrashKind {
    /// What it takes of what a machine keeps.
    pub fn takes(self) -> Option<Taken> {
        match self {
            CrashKind::ProcessKill => None,
            CrashKind::OsCrash => Some(Taken::PageCache),
            CrashKind::PowerLoss => Some(Taken::Caches),
            CrashKind::DiskLoss => Some(Taken::Disk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DiskFaultRates;

    fn taken(action: &Action) -> Vec<(&str, Taken, u64, Option<u64>)> {
        action.tolls().into_iter().map(|toll| (toll.host, toll.taken, toll.from_ms, toll.to_ms)).collect()
    }

    #[test]
    fn each_way_of_a_drive_to_go_wrong_takes_what_it_takes() {
        let host = "a".to_owned();
        let action = |faults| Action::DiskFaults { host: host.clone(), faults, clear_after_ms: Some(9) };
        let none = DiskFaultRates::default();
        for harmless in [
            DiskFaultRates { read_error: 1.0, ..none },
            DiskFaultRates { short_read: 1.0, short_write: 1.0, ..none },
            DiskFaultRates { stalled: true, ..none },
        ] {
            assert!(taken(&action(harmless)).is_empty(), "{harmless:?}");
        }
        let several = DiskFaultRates { write_error: 0.5, stale_read: 0.5, lying_sync: true, lost_write: 0.1, ..none };
        let expected = [Taken::FailedSyncs, Taken::Flushes, Taken::Reads, Taken::Medium];
        assert_eq!(taken(&action(several)), expected.map(|taken| ("a", taken, 0, Some(9))));
    }

    #[test]
    fn who_crashes_again_and_again_loses_something_each_time() {
        let crash_loop = |crash| Action::CrashLoop { host: "a".to_owned(), crash, times: 2, down_ms: 10, up_ms: 20 };
        let power = [0, 30].map(|at_ms| ("a", Taken::Caches, at_ms, Some(at_ms)));
        assert_eq!(taken(&crash_loop(CrashKind::PowerLoss)), power);
        assert!(taken(&crash_loop(CrashKind::ProcessKill)).is_empty());
    }
}

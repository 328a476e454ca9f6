//! What each event of a plan did, by the counters of the machines: without a count a fault may not have mattered.

use super::act::Injection;
use crate::{Action, Direction, DiskFaultRates, Plan};
use serde::{Deserialize, Serialize};
use sim::world::DiskStats;
use std::collections::BTreeMap;

/// What one event of a plan did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injected {
    /// The event, counted from 0.
    pub event: usize,
    /// The action in words.
    pub action: String,
    /// What the machines counted, from the beginning of the event until everything was healed; counters that stood still are
    /// left out. Two events of one kind that strike the same host both count what is counted while both last.
    pub counts: BTreeMap<String, u64>,
}

type Counters = Vec<(&'static str, u64)>;

/// The counters at the beginning of each event.
pub struct Counts(Vec<Option<Counters>>);

impl Counts {
    pub fn new(plan: &Plan) -> Counts {
        Counts(vec![None; plan.events.len()])
    }

    /// To be called before each step of an event.
    pub fn before(&mut self, injection: &Injection, event: usize, action: &Action) {
        self.0[event].get_or_insert_with(|| read(injection, action));
    }

    /// What all events did.
    pub fn finish(self, injection: &Injection, plan: &Plan) -> Vec<Injected> {
        let events = plan.events.iter().zip(self.0).enumerate();
        let told = events.map(|(event, (planned, begin))| {
            let end = read(injection, &planned.action);
            let begin = begin.unwrap_or_else(|| end.clone());
            let counts = end
                .into_iter()
                .zip(begin)
                .map(|((name, end), (_, begin))| (name.to_owned(), end.saturating_sub(begin)));
            let counts = counts.filter(|(_, count)| *count > 0).collect();
            Injected { event, action: planned.action.to_string(), counts }
        });
        told.collect()
    }
}

/// The counters of what a drive did wrong, of the ways in which it is told to.
fn drive(faults: &DiskFaultRates, disk: &DiskStats) -> Counters {
    let counters = [
        ("read_errors", disk.read_errors_injected),
        ("write_errors", disk.write_errors_injected),
        ("sync_errors", disk.sync_errors_injected),
        ("short_reads", disk.short_reads_injected),
        ("short_writes", disk.short_writes_injected),
        ("lost_writes", disk.lost_writes_injected),
        ("misdirected_writes", disk.misdirected_writes_injected),
        ("misdirected_reads", disk.misdirected_reads_injected),
        ("stale_reads", disk.stale_reads_injected),
    ];
    let on = faults.rates().into_iter().zip(counters).filter(|((_, rate), _)| *rate > 0.0);
    let mut counters = on.map(|(_, counter)| counter).collect::<Counters>();
    counters.extend(faults.lying_sync.then_some(("lying_flushes", disk.lying_flushes_injected)));
    counters.extend(faults.stalled.then_some(("stalled_calls", disk.stalled_calls_injected)));
    counters
}

/// The counters that an action drives.
fn read(injection: &Injection, action: &Action) -> Counters {
    let world = injection.world;
    // A disk keeps its counters when it is put into another machine.
    let disk = || world.disk_stats(injection.id(injection.keeper_of(action.host())));
    let host = || world.host_stats(injection.id(action.host()));
    let crashes =
        |hosts: &[&str]| hosts.iter().map(|host| world.host_stats(injection.id(host)).crashes_injected).sum::<u64>();
    let links = |ways: Vec<(sim::world::HostId, sim::world::HostId)>| {
        let stats = world.net_stats();
        let mut sum = sim::world::LinkStats::default();
        for way in ways {
            if let Some(link) = stats.links.get(&way) {
                sum += *link;
            }
        }
        sum
    };
    let ways = |direction| injection.ways(action.host(), action.peers(), direction);
    match action {
        Action::Crash { .. } | Action::CrashTogether { .. } | Action::CrashLoop { .. } | Action::CrashZone { .. } => {
            vec![("crashes", crashes(&action.hosts()))]
        }
        Action::Isolate { direction, .. } | Action::Cut { direction, .. } => {
            vec![("packets_dropped", links(ways(*direction)).dropped_by_cut)]
        }
        Action::Bridge { .. } | Action::Ring { .. } => {
            vec![("packets_dropped", links(injection.shape(action)).dropped_by_cut)]
        }
        Action::Jam { direction, .. } => vec![("packets_held", links(ways(*direction)).jam_holds_injected)],
        Action::Swizzle { hosts } => {
            let held = |host: &str| links(injection.ways(host, &[], Direction::Both)).jam_holds_injected;
            vec![("packets_held", hosts.iter().map(|one| held(&one.host)).sum())]
        }
        Action::SlowLink { .. } => vec![("packets_slowed", links(ways(Direction::Both)).slowed)],
        Action::BadLink { .. } => {
            let sum = links(ways(Direction::Both));
            vec![
                ("packets_lost", sum.lost),
                ("packets_damaged", sum.corruptions_injected),
                ("packets_doubled", sum.duplicates_injected),
                ("packets_overtaken", sum.reorders_injected),
                ("packets_changed", sum.bit_flips_injected),
            ]
        }
        Action::ResetStorm { .. } => vec![("connections_reset", world.net_stats().resets_injected)],
        Action::Pause { .. } => vec![("pauses", host().pauses_injected), ("paused_ms", host().paused_ns / 1_000_000)],
        Action::Suspend { .. } => {
            vec![("suspensions", host().suspensions_injected), ("suspended_ms", host().suspended_ns / 1_000_000)]
        }
        Action::StarveCpu { .. } => {
            vec![("throttles", host().throttles_injected), ("throttled_ms", host().throttled_ns / 1_000_000)]
        }
        Action::StepClock { .. } | Action::StrobeClock { .. } => vec![("clock_steps", host().clock_steps_injected)],
        Action::FreezeClock { .. } => vec![("clock_freezes", host().clock_freezes_injected)],
        Action::DriftClock { .. } => vec![("clock_drifts", host().drifts_injected)],
        Action::OutOfMemory { .. } => vec![("oom_kills", host().oom_kills_injected)],
        Action::LoseMember { .. } => vec![("drives_lost", disk().lost_members)],
        Action::FailSync { .. } => {
            vec![("sync_errors", disk().sync_errors_injected), ("pages_dropped", disk().dropped_pages)]
        }
        Action::DiskFaults { faults, .. } => drive(faults, &disk()),
        Action::DamageMedia { .. } => {
            let disk = disk();
            vec![("sectors_damaged", disk.damaged_sectors_injected), ("damaged_reads", disk.damaged_reads_injected)]
        }
        Action::FillDisk { .. } => vec![("writes_refused", disk().refused_room_injected)],
        Action::DropCaches { .. } => vec![("pages_dropped", disk().evicted_pages)],
        // What a slow disk does is seen by how long it takes alone, and a moved one by where it is.
        Action::SlowDisk { .. } => vec![("slow_syncs", disk().syncs), ("slow_reads", disk().uncached_reads)],
        Action::SnapshotDisk { .. } => vec![("snapshots", disk().snapshots_injected)],
        Action::SetBackDisk { .. } => vec![("disks_set_back", disk().set_back_injected)],
        Action::MoveDisk { to, .. } => vec![("disks_moved", u64::from(injection.keeper_of(action.host()) == to))],
        Action::BadNames { .. } => {
            let stats = world.net_stats();
            vec![("names_late", stats.slow_names_injected), ("names_not_resolved", stats.failed_names_injected)]
        }
        Action::LimitMemory { .. } => {
            vec![("oom_kills", host().oom_kills_injected), ("pages_evicted", disk().evicted_pages)]
        }
    }
}

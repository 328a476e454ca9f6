//! What each step of an action does to the world.

use super::{Targets, steps::What};
use crate::{Action, CrashKind, Damage, Direction, DiskFaultRates, Effect, LinkFaultRates, NameFault, Taken};
use sim::world::{
    ClockStrobe, CpuStarvation, Crash, DiskFaults, DiskSlowdown, HostId, HostState, LinkSlowdown, LinkSpec,
    MediaDamage, MediaDamageKind, MemberLoss, NameService, World, partition,
};
use std::collections::{BTreeMap, BTreeSet};

/// A plan that is being carried out.
pub struct Injection<'a> {
    pub world: &'a World,
    targets: &'a Targets,
    /// The hosts and drives whose loss was the loss of the disk, and so stopped the machine.
    stopped: BTreeSet<(String, u16)>,
    /// What links were like before they went bad.
    links: BTreeMap<(HostId, HostId), LinkSpec>,
    /// How fast clocks ran before they drifted.
    drifts: BTreeMap<HostId, i64>,
    /// Where the disks are that were put into other machines, by the machines that they were taken from.
    moved: BTreeMap<String, String>,
}

impl<'a> Injection<'a> {
    pub fn new(world: &'a World, targets: &'a Targets) -> Injection<'a> {
        let (links, drifts) = (BTreeMap::new(), BTreeMap::new());
        Injection { world, targets, stopped: BTreeSet::new(), links, drifts, moved: BTreeMap::new() }
    }

    /// Does what a step of an action does.
    pub fn take(&mut self, action: &Action, what: &What) -> Vec<Effect> {
        match what {
            What::Begin => self.begin(action),
            What::End => self.end(action),
            What::Stop(host, crash) => vec![self.crash(host, *crash)],
            What::Boot(host) => self.boot(host),
            What::Jam(host) => {
                self.every_way(host, &[], Direction::Both, World::jam);
                vec![Effect::Begun { host: host.clone(), what: "jammed".to_owned(), takes: None }]
            }
            What::Release(host) => {
                self.every_way(host, &[], Direction::Both, |world, from, to| {
                    world.unjam(from, to);
                });
                vec![ended(host, "jammed")]
            }
            What::Reset => {
                let host = action.host();
                let id = self.targets[host];
                let reset =
                    self.peers(host, action.peers()).into_iter().map(|peer| self.world.reset_connections(id, peer));
                let what = format!("{} connections reset", reset.sum::<usize>());
                vec![Effect::Begun { host: host.to_owned(), what, takes: None }]
            }
        }
    }

    fn begin(&mut self, action: &Action) -> Vec<Effect> {
        let world = self.world;
        let host = action.host().to_owned();
        let id = self.targets[&host];
        let begun = || vec![Effect::Begun { host: host.clone(), what: action.what(), takes: takes(action) }];
        match action {
            Action::Crash { crash, .. } => vec![self.crash(&host, *crash)],
            // Nothing else runs between these: they are one instant.
            Action::CrashTogether { crash, hosts } => hosts.iter().map(|down| self.crash(&down.host, *crash)).collect(),
            Action::Isolate { direction, .. } => {
                self.every_way(&host, &[], *direction, World::cut);
                vec![Effect::Isolated { host, direction: *direction }]
            }
            Action::Cut { peers, direction, .. } => {
                self.every_way(&host, peers, *direction, World::cut);
                vec![Effect::Cut { host, peers: peers.clone(), direction: *direction }]
            }
            Action::SlowDisk { latency_ms, bytes_per_s, .. } => {
                let (latency_ms, bytes_per_s) = (*latency_ms, *bytes_per_s);
                world.slow_disk(
                    id,
                    DiskSlowdown { added_latency_ns: latency_ms * 1_000_000, bytes_per_s_max: bytes_per_s },
                );
                vec![Effect::DiskSlowed { host, latency_ms, bytes_per_s }]
            }
            Action::SlowLink { peers, latency_ms, bytes_per_s, .. } => {
                let (latency_ms, bytes_per_s) = (*latency_ms, *bytes_per_s);
                let slowdown = LinkSlowdown { added_latency_ns: latency_ms * 1_000_000, bytes_per_s_max: bytes_per_s };
                self.every_way(&host, peers, Direction::Both, |world, from, to| world.slow_link(from, to, slowdown));
                vec![Effect::LinkSlowed { host, peers: peers.clone(), latency_ms, bytes_per_s }]
            }
            Action::StepClock { step_ms, .. } => {
                world.step_clock(id, *step_ms);
                vec![Effect::ClockStepped { host, step_ms: *step_ms }]
            }
            Action::Pause { .. } => some(world.pause(id), Effect::Paused { host }),
            Action::LoseMember { member, .. } => {
                let loss = world.lose_member(id, *member);
                if matches!(loss, MemberLoss::Disk(_)) {
                    self.stopped.insert((host.clone(), *member));
                }
                vec![Effect::MemberLost { host, member: *member, loss }]
            }
            Action::FailSync { .. } => {
                world.fail_next_sync(id);
                vec![Effect::SyncWillFail { host }]
            }
            Action::DiskFaults { faults, .. } => {
                world.set_disk_faults(id, drive(faults));
                begun()
            }
            Action::DamageMedia { damage, sectors, path_prefix, .. } => {
                let kind = match damage {
                    Damage::LatentError => MediaDamageKind::LatentError,
                    Damage::BitRot => MediaDamageKind::BitRot,
                };
                let damage = MediaDamage { kind, path_prefix: path_prefix.clone(), sectors: *sectors };
                let report = world.damage_media(id, damage);
                let what = format!("{} ({} were there)", action.what(), report.sectors);
                vec![Effect::Begun { host, what, takes: takes(action) }]
            }
            Action::FillDisk { free_bytes, .. } => {
                world.fill_disk(id, Some(*free_bytes));
                // Whoever keeps files for as long as there is room deletes them now.
                begun()
            }
            Action::DropCaches { .. } => {
                world.drop_caches(id);
                begun()
            }
            Action::SnapshotDisk { .. } => {
                world.take_snapshot(id);
                begun()
            }
            Action::SetBackDisk { .. } => {
                let crashed = self.crash(&host, CrashKind::PowerLoss);
                if world.restore_snapshot(id) { begun() } else { vec![crashed] }
            }
            Action::MoveDisk { to, .. } => {
                let moved = world.move_disk(id, self.targets[to]);
                self.moved.extend(moved.then(|| (host.clone(), to.clone())));
                some(moved, begun().remove(0))
            }
            Action::Jam { peers, direction, .. } => {
                self.every_way(&host, peers, *direction, World::jam);
                begun()
            }
            Action::Bridge { .. } | Action::Ring { .. } => {
                self.shape(action).into_iter().for_each(|(from, to)| world.cut(from, to));
                begun()
            }
            Action::BadLink { peers, faults, .. } => {
                for (from, to) in self.ways(&host, peers, Direction::Both) {
                    let link = world.link(from, to);
                    self.links.insert((from, to), link);
                    world.set_link(from, to, bad(link, faults));
                }
                begun()
            }
            Action::BadNames { hosts, fault, .. } => {
                let service = match *fault {
                    NameFault::Slow { delay_ms } => NameService::Slow { delay_ns: delay_ms * 1_000_000 },
                    NameFault::Failing => NameService::Failing,
                    NameFault::Silent => NameService::Silent,
                };
                hosts.iter().for_each(|host| world.set_name_service(self.targets[host], service));
                begun()
            }
            Action::LimitMemory { bytes, .. } => {
                world.limit_memory(id, Some(*bytes));
                begun()
            }
            Action::StarveCpu { share, slice_ms, .. } => {
                world.starve_cpu(id, CpuStarvation { share: *share, slice_ns: slice_ms * 1_000_000 });
                begun()
            }
            Action::OutOfMemory { operations, .. } => {
                world.oom_kill_at(id, Some(*operations));
                begun()
            }
            Action::Suspend { .. } => some(world.suspend(id), begun().remove(0)),
            Action::FreezeClock { .. } => some(world.freeze_clock(id), begun().remove(0)),
            Action::DriftClock { ppm, .. } => {
                let before = world.set_wall_drift(id, *ppm);
                self.drifts.insert(id, before);
                begun()
            }
            Action::StrobeClock { step_ms, every_ms, .. } => {
                world.strobe_clock(id, ClockStrobe { step_ms: *step_ms, period_ns: every_ms * 1_000_000 });
                begun()
            }
            Action::CrashLoop { .. } | Action::Swizzle { .. } | Action::ResetStorm { .. } => {
                unreachable!("it begins with a step of its own kind")
            }
            Action::CrashZone { .. } => panic!("the plan names a zone; it must name hosts to be carried out"),
        }
    }

    fn end(&mut self, action: &Action) -> Vec<Effect> {
        let world = self.world;
        let host = action.host().to_owned();
        let id = self.targets[&host];
        let over = || vec![ended(&host, &action.what())];
        // What was done to a disk ends where the disk is by now.
        let keeper = self.keeper_of(&host).to_owned();
        let disk = self.targets[&keeper];
        match action {
            Action::Crash { .. } | Action::SetBackDisk { .. } => self.boot(&host),
            Action::MoveDisk { to, .. } if keeper == *to => self.boot(to),
            // It was not possible: the spare has no disk to boot from.
            Action::MoveDisk { .. } => Vec::new(),
            Action::Isolate { direction, .. } => {
                self.every_way(&host, &[], *direction, World::heal);
                vec![Effect::Reconnected { host }]
            }
            Action::Cut { peers, direction, .. } => {
                self.every_way(&host, peers, *direction, World::heal);
                vec![Effect::Mended { host, peers: peers.clone() }]
            }
            Action::SlowDisk { .. } => {
                world.restore_disk(disk);
                vec![Effect::DiskRestored { host: keeper }]
            }
            Action::SlowLink { peers, .. } => {
                self.every_way(&host, peers, Direction::Both, World::restore_link);
                vec![Effect::LinkRestored { host, peers: peers.clone() }]
            }
            Action::StepClock { step_ms, .. } => {
                world.step_clock(id, -step_ms);
                vec![Effect::ClockStepped { host, step_ms: -step_ms }]
            }
            // Killed meanwhile, perhaps: then there is nothing to go on.
            Action::Pause { .. } => some(world.resume(id), Effect::Resumed { host }),
            Action::LoseMember { member, .. } => {
                // With the disk all its drives were replaced.
                if self.stopped.remove(&(host.clone(), *member)) {
                    return self.boot(&keeper);
                }
                some(world.replace_member(disk, *member), Effect::MemberReplaced { host: keeper, member: *member })
            }
            Action::FailSync { .. } => {
                some(world.withdraw_sync_failure(disk), Effect::SyncFailureWithdrawn { host: keeper })
            }
            Action::DiskFaults { .. } => {
                world.clear_disk_faults(disk);
                vec![Effect::Ended { host: keeper, what: action.what(), takes: takes(action) }]
            }
            Action::DamageMedia { .. } => {
                world.repair_media(disk);
                vec![ended(&keeper, &action.what())]
            }
            Action::FillDisk { .. } => {
                world.fill_disk(disk, None);
                vec![Effect::Ended { host: keeper, what: action.what(), takes: takes(action) }]
            }
            Action::Jam { peers, direction, .. } => {
                let mut held = 0;
                for (from, to) in self.ways(&host, peers, *direction) {
                    held += world.unjam(from, to);
                }
                vec![Effect::Ended { host, what: format!("{}; {held} packets were held", action.what()), takes: None }]
            }
            Action::Bridge { .. } | Action::Ring { .. } => {
                self.shape(action).into_iter().for_each(|(from, to)| world.heal(from, to));
                over()
            }
            Action::BadLink { peers, .. } => {
                for way in self.ways(&host, peers, Direction::Both) {
                    if let Some(link) = self.links.remove(&way) {
                        world.set_link(way.0, way.1, link);
                    }
                }
                over()
            }
            Action::BadNames { hosts, .. } => {
                hosts.iter().for_each(|host| world.set_name_service(self.targets[host], NameService::Healthy));
                over()
            }
            Action::LimitMemory { .. } => {
                world.limit_memory(id, None);
                let mut effects = over();
                effects.extend(self.boot(&host));
                effects
            }
            Action::StarveCpu { .. } => {
                world.restore_cpu(id);
                over()
            }
            Action::OutOfMemory { .. } => {
                world.oom_kill_at(id, None);
                self.boot(&host)
            }
            Action::Suspend { .. } => some(world.wake(id), ended(&host, &action.what())),
            Action::FreezeClock { .. } => some(world.thaw_clock(id), ended(&host, &action.what())),
            Action::DriftClock { .. } => {
                world.set_wall_drift(id, self.drifts.remove(&id).unwrap_or(0));
                over()
            }
            Action::StrobeClock { .. } => {
                world.still_clock(id);
                over()
            }
            Action::CrashTogether { .. }
            | Action::CrashLoop { .. }
            | Action::CrashZone { .. }
            | Action::Swizzle { .. }
            | Action::ResetStorm { .. }
            | Action::DropCaches { .. }
            | Action::SnapshotDisk { .. } => unreachable!("it ends with a step of its own kind"),
        }
    }

    fn crash(&self, host: &str, crash: CrashKind) -> Effect {
        let how = match crash {
            CrashKind::ProcessKill => Crash::Process,
            CrashKind::OsCrash => Crash::Os,
            CrashKind::PowerLoss => Crash::Power,
            CrashKind::DiskLoss => Crash::Disk,
        };
        Effect::Crashed { host: host.to_owned(), crash, report: self.world.crash(self.targets[host], how) }
    }

    /// Boots a host that is not running. A second crash of the same host may have been healed by the first one's boot; and a
    /// machine whose disk was put into another one has nothing to boot from.
    fn boot(&self, host: &str) -> Vec<Effect> {
        let id = self.targets[host];
        if self.world.state(id) == HostState::Running || self.moved.contains_key(host) {
            return Vec::new();
        }
        self.world.boot(id);
        vec![Effect::Booted { host: host.to_owned() }]
    }

    /// The other ends of an action: those that it names, or all others.
    pub fn peers(&self, host: &str, peers: &[String]) -> Vec<HostId> {
        if !peers.is_empty() {
            return peers.iter().map(|name| self.targets[name]).collect();
        }
        let id = self.targets[host];
        self.targets.values().copied().filter(|other| *other != id).collect()
    }

    /// The ways between a host and its peers, in this direction.
    pub fn ways(&self, host: &str, peers: &[String], direction: Direction) -> Vec<(HostId, HostId)> {
        let id = self.targets[host];
        let ways = |other| match direction {
            Direction::Both => vec![(id, other), (other, id)],
            Direction::In => vec![(other, id)],
            Direction::Out => vec![(id, other)],
        };
        self.peers(host, peers).into_iter().flat_map(ways).collect()
    }

    fn every_way(
        &self,
        host: &str,
        peers: &[String],
        direction: Direction,
        mut act: impl FnMut(&World, HostId, HostId),
    ) {
        for (from, to) in self.ways(host, peers, direction) {
            act(self.world, from, to);
        }
    }

    /// The ways that a bridge or a ring cuts.
    pub fn shape(&self, action: &Action) -> Vec<(HostId, HostId)> {
        let ids = |names: &[String]| names.iter().map(|name| self.targets[name]).collect::<Vec<_>>();
        match action {
            Action::Bridge { one_side, other_side, .. } => partition::between(&ids(one_side), &ids(other_side)),
            Action::Ring { hosts, .. } => partition::majorities_ring(&ids(hosts)),
            _ => Vec::new(),
        }
    }

    /// The machine that has the disk of this one by now: itself, if nobody has moved it.
    pub fn keeper_of<'b>(&'b self, host: &'b str) -> &'b str {
        self.moved.get(host).map_or(host, String::as_str)
    }

    /// A host by its name.
    pub fn id(&self, host: &str) -> HostId {
        self.targets[host]
    }
}

/// What an action takes; of several things any, since all are as bad.
fn takes(action: &Action) -> Option<Taken> {
    action.tolls().first().map(|toll| toll.taken)
}

fn ended(host: &str, what: &str) -> Effect {
    Effect::Ended { host: host.to_owned(), what: what.to_owned(), takes: None }
}

fn some(done: bool, effect: Effect) -> Vec<Effect> {
    if done { vec![effect] } else { Vec::new() }
}

fn drive(faults: &DiskFaultRates) -> DiskFaults {
    DiskFaults {
        read_error: faults.read_error,
        write_error: faults.write_error,
        sync_error: faults.sync_error,
        short_read: faults.short_read,
        short_write: faults.short_write,
        lost_write: faults.lost_write,
        misdirected_write: faults.misdirected_write,
        misdirected_read: faults.misdirected_read,
        stale_read: faults.stale_read,
        lying_sync: faults.lying_sync,
        stalled: faults.stalled,
    }
}

/// A link with faults on top of what it is like.
fn bad(link: LinkSpec, faults: &LinkFaultRates) -> LinkSpec {
    LinkSpec {
        loss: link.loss.max(faults.loss),
        corrupt: link.corrupt.max(faults.corrupt),
        duplicate: link.duplicate.max(faults.duplicate),
        reorder: link.reorder.max(faults.reorder),
        undetected_corruption: link.undetected_corruption.max(faults.undetected_corruption),
        ..link
    }
}

//! Carries a plan out against a world.

use crate::{Action, CrashKind, Direction, Effect, Plan};
use sim::world::{Crash, DiskSlowdown, HostId, HostState, LinkSlowdown, MemberLoss, World};
use std::collections::{BTreeMap, BTreeSet};

/// The hosts of a scenario by name.
pub type Targets = BTreeMap<String, HostId>;

/// One step of an expanded plan: an action begins or ends.
enum Step<'a> {
    Begin(&'a Action),
    End(&'a Action),
    /// One host of several that crashed together is back.
    Boot(&'a str),
}

/// Carries out `plan` and, at `heal_ms`, heals all that is still broken. `observe` is told of every effect with its true
/// time in nanoseconds. The plan must have passed [`Plan::check`].
///
/// # Panics
/// When the plan names an unknown host.
pub async fn inject(world: &World, plan: &Plan, targets: &Targets, heal_ms: u64, mut observe: impl FnMut(u64, Effect)) {
    let mut steps = Vec::new();
    for event in &plan.events {
        let end_ms = |lasts_ms: Option<u64>| lasts_ms.map_or(heal_ms, |lasts_ms| (event.at_ms + lasts_ms).min(heal_ms));
        steps.push((event.at_ms, Step::Begin(&event.action)));
        match &event.action {
            Action::CrashTogether { hosts, .. } => {
                steps.extend(hosts.iter().map(|down| (end_ms(down.boot_after_ms), Step::Boot(&down.host))));
            }
            action => steps.push((end_ms(action.lasts_ms()), Step::End(action))),
        }
    }
    // Stable: what is written first happens first.
    steps.sort_by_key(|(at_ms, _)| *at_ms);
    let mut injection = Injection { world, targets, stopped: BTreeSet::new() };
    for (at_ms, step) in steps {
        world.sleep_until_ns(at_ms * 1_000_000).await;
        let effects = match step {
            Step::Begin(action) => injection.begin(action),
            Step::End(action) => injection.end(action),
            Step::Boot(host) => injection.boot(host),
        };
        for effect in effects {
            observe(world.now_ns(), effect);
        }
    }
    world.sleep_until_ns(heal_ms * 1_000_000).await;
}

struct Injection<'a> {
    world: &'a World,
    targets: &'a Targets,
    /// The hosts and drives whose loss was the loss of the disk, and so stopped the machine.
    stopped: BTreeSet<(String, u16)>,
}

impl Injection<'_> {
    fn begin(&mut self, action: &Action) -> Vec<Effect> {
        let world = self.world;
        let host = action.host().to_owned();
        let id = self.targets[&host];
        let effect = match action {
            Action::Crash { crash, .. } => self.crash(&host, *crash),
            Action::CrashTogether { crash, hosts } => {
                // Nothing else runs between these: they are one instant.
                return hosts.iter().map(|down| self.crash(&down.host, *crash)).collect();
            }
            Action::Isolate { direction, .. } => {
                for (from, to) in links(id, *direction, self.others(id)) {
                    world.cut(from, to);
                }
                Effect::Isolated { host, direction: *direction }
            }
            Action::Cut { peers, direction, .. } => {
                for (from, to) in links(id, *direction, self.ids(peers)) {
                    world.cut(from, to);
                }
                Effect::Cut { host, peers: peers.clone(), direction: *direction }
            }
            Action::SlowDisk { latency_ms, bytes_per_s, .. } => {
                let (latency_ms, bytes_per_s) = (*latency_ms, *bytes_per_s);
                world.slow_disk(
                    id,
                    DiskSlowdown { added_latency_ns: latency_ms * 1_000_000, bytes_per_s_max: bytes_per_s },
                );
                Effect::DiskSlowed { host, latency_ms, bytes_per_s }
            }
            Action::SlowLink { peers, latency_ms, bytes_per_s, .. } => {
                let (latency_ms, bytes_per_s) = (*latency_ms, *bytes_per_s);
                let slowdown = LinkSlowdown { added_latency_ns: latency_ms * 1_000_000, bytes_per_s_max: bytes_per_s };
                for (from, to) in links(id, Direction::Both, self.ids(peers)) {
                    world.slow_link(from, to, slowdown);
                }
                Effect::LinkSlowed { host, peers: peers.clone(), latency_ms, bytes_per_s }
            }
            Action::StepClock { step_ms, .. } => {
                world.step_clock(id, *step_ms);
                Effect::ClockStepped { host, step_ms: *step_ms }
            }
            Action::Pause { .. } => {
                if !world.pause(id) {
                    return Vec::new();
                }
                Effect::Paused { host }
            }
            Action::LoseMember { member, .. } => {
                let loss = world.lose_member(id, *member);
                if matches!(loss, MemberLoss::Disk(_)) {
                    self.stopped.insert((host.clone(), *member));
                }
                Effect::MemberLost { host, member: *member, loss }
            }
            Action::FailSync { .. } => {
                world.fail_next_sync(id);
                Effect::SyncWillFail { host }
            }
        };
        vec![effect]
    }

    fn end(&mut self, action: &Action) -> Vec<Effect> {
        let world = self.world;
        let host = action.host().to_owned();
        let id = self.targets[&host];
        let effect = match action {
            Action::Crash { .. } | Action::CrashTogether { .. } => return self.boot(&host),
            Action::Isolate { direction, .. } => {
                for (from, to) in links(id, *direction, self.others(id)) {
                    world.heal(from, to);
                }
                Effect::Reconnected { host }
            }
            Action::Cut { peers, direction, .. } => {
                for (from, to) in links(id, *direction, self.ids(peers)) {
                    world.heal(from, to);
                }
                Effect::Mended { host, peers: peers.clone() }
            }
            Action::SlowDisk { .. } => {
                world.restore_disk(id);
                Effect::DiskRestored { host }
            }
            Action::SlowLink { peers, .. } => {
                for (from, to) in links(id, Direction::Both, self.ids(peers)) {
                    world.restore_link(from, to);
                }
                Effect::LinkRestored { host, peers: peers.clone() }
            }
            Action::StepClock { step_ms, .. } => {
                world.step_clock(id, -step_ms);
                Effect::ClockStepped { host, step_ms: -step_ms }
            }
            Action::Pause { .. } => {
                // Killed meanwhile, perhaps: then there is nothing to go on.
                if !world.resume(id) {
                    return Vec::new();
                }
                Effect::Resumed { host }
            }
            Action::LoseMember { member, .. } => {
                // With the disk all its drives were replaced.
                if self.stopped.remove(&(host.clone(), *member)) {
                    return self.boot(&host);
                }
                if !world.replace_member(id, *member) {
                    return Vec::new();
                }
                Effect::MemberReplaced { host, member: *member }
            }
            Action::FailSync { .. } => {
                if !world.withdraw_sync_failure(id) {
                    return Vec::new();
                }
                Effect::SyncFailureWithdrawn { host }
            }
        };
        vec![effect]
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

    /// Boots a host that is not running. A second crash of the same host may have been healed by the first one's boot.
    fn boot(&self, host: &str) -> Vec<Effect> {
        let id = self.targets[host];
        if self.world.state(id) == HostState::Running {
            return Vec::new();
        }
        self.world.boot(id);
        vec![Effect::Booted { host: host.to_owned() }]
    }

    fn others(&self, host: HostId) -> Vec<HostId> {
        self.targets.values().copied().filter(|other| *other != host).collect()
    }

    fn ids(&self, names: &[String]) -> Vec<HostId> {
        names.iter().map(|name| self.targets[name]).collect()
    }
}

fn links(host: HostId, direction: Direction, others: Vec<HostId>) -> Vec<(HostId, HostId)> {
    others
        .into_iter()
        .flat_map(|other| match direction {
            Direction::Both => vec![(host, other), (other, host)],
            Direction::In => vec![(other, host)],
            Direction::Out => vec![(host, other)],
        })
        .collect()
}

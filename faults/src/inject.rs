//! Carries a plan out against a world.

use crate::{Action, CrashKind, Direction, Plan};
use sim::world::{Crash, CrashReport, HostId, HostState, World};
use std::collections::BTreeMap;

/// The hosts of a scenario by name.
pub type Targets = BTreeMap<String, HostId>;

/// What an action, or its healing, did at last.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A host went down, and this is what its disk lost.
    Crashed { host: String, crash: CrashKind, report: CrashReport },
    /// A host was booted again.
    Booted { host: String },
    /// A host was cut off.
    Isolated { host: String, direction: Direction },
    /// A host was reconnected.
    Reconnected { host: String },
}

/// One step of an expanded plan: an action begins or ends.
enum Step {
    Begin(Action),
    End(Action),
}

/// Carries out `plan` and, at `heal_ms`, heals all that is still broken. `observe` is told of every effect with its true
/// time in nanoseconds. The plan must have passed [`Plan::check`].
///
/// # Panics
/// When the plan names an unknown host.
pub async fn inject(world: &World, plan: &Plan, targets: &Targets, heal_ms: u64, mut observe: impl FnMut(u64, Effect)) {
    let mut steps = plan
        .events
        .iter()
        .flat_map(|event| {
            let lasts_ms = match &event.action {
                Action::Crash { boot_after_ms, .. } => *boot_after_ms,
                Action::Isolate { heal_after_ms, .. } => *heal_after_ms,
            };
            let end_ms = lasts_ms.map_or(heal_ms, |lasts_ms| (event.at_ms + lasts_ms).min(heal_ms));
            [(event.at_ms, Step::Begin(event.action.clone())), (end_ms, Step::End(event.action.clone()))]
        })
        .collect::<Vec<_>>();
    // Stable: what is written first happens first.
    steps.sort_by_key(|(at_ms, _)| *at_ms);
    for (at_ms, step) in steps {
        world.sleep_until_ns(at_ms * 1_000_000).await;
        let effect = match step {
            Step::Begin(action) => begin(world, action, targets),
            Step::End(action) => end(world, action, targets),
        };
        if let Some(effect) = effect {
            observe(world.now_ns(), effect);
        }
    }
    world.sleep_until_ns(heal_ms * 1_000_000).await;
}

fn begin(world: &World, action: Action, targets: &Targets) -> Option<Effect> {
    let id = targets[action.host()];
    Some(match action {
        Action::Crash { host, crash, .. } => {
            let how = match crash {
                CrashKind::ProcessKill => Crash::Process,
                CrashKind::OsCrash => Crash::Os,
                CrashKind::PowerLoss => Crash::Power,
                CrashKind::DiskLoss => Crash::Disk,
            };
            Effect::Crashed { host, crash, report: world.crash(id, how) }
        }
        Action::Isolate { host, direction, .. } => {
            for (from, to) in links(id, direction, targets) {
                world.cut(from, to);
            }
            Effect::Isolated { host, direction }
        }
    })
}

fn end(world: &World, action: Action, targets: &Targets) -> Option<Effect> {
    let id = targets[action.host()];
    match action {
        // A second crash of the same host may have been healed by the first one's boot.
        Action::Crash { .. } if world.state(id) == HostState::Running => None,
        Action::Crash { host, .. } => {
            world.boot(id);
            Some(Effect::Booted { host })
        }
        Action::Isolate { host, direction, .. } => {
            for (from, to) in links(id, direction, targets) {
                world.heal(from, to);
            }
            Some(Effect::Reconnected { host })
        }
    }
}

fn links(host: HostId, direction: Direction, targets: &Targets) -> Vec<(HostId, HostId)> {
    let others = targets.values().copied().filter(|other| *other != host);
    others
        .flat_map(|other| match direction {
            Direction::Both => vec![(host, other), (other, host)],
            Direction::In => vec![(other, host)],
            Direction::Out => vec![(host, other)],
        })
        .collect()
}

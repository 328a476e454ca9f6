//! Carries a plan out against a world.

mod act;
mod counts;
mod steps;

pub use counts::Injected;

use crate::{Effect, Plan};
use act::Injection;
use sim::world::{HostId, World};
use std::collections::BTreeMap;
use steps::steps;

/// The hosts of a scenario by name.
pub type Targets = BTreeMap<String, HostId>;

/// Carries out `plan` and, at `heal_ms`, heals all that is still broken. `observe` is told of every effect with its true
/// time in nanoseconds. Returns what each event of the plan did to the machines, by their own counters.
///
/// The plan must have passed [`Plan::check`], and name hosts instead of zones ([`Plan::with_hosts_for_zones`]).
///
/// # Panics
/// When the plan names an unknown host, or a zone.
pub async fn inject(
    world: &World,
    plan: &Plan,
    targets: &Targets,
    heal_ms: u64,
    mut observe: impl FnMut(u64, Effect),
) -> Vec<Injected> {
    let mut injection = Injection::new(world, targets);
    let mut counts = counts::Counts::new(plan);
    for step in steps(plan, heal_ms) {
        world.sleep_until_ns(step.at_ms * 1_000_000).await;
        let event = &plan.events[step.event];
        counts.before(&injection, step.event, &event.action);
        for effect in injection.take(&event.action, &step.what) {
            observe(world.now_ns(), effect);
        }
    }
    world.sleep_until_ns(heal_ms * 1_000_000).await;
    counts.finish(&injection, plan)
}

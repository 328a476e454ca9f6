//! Scenarios in which everything breaks at once, for the test that a run is the same again: see [`faults::storm`].

use crate::{
    catalogue,
    spec::{Disk, Flush, Mode, Scenario},
};
use faults::{FaultKind, Plan};

/// The scenario of this seed: modes and flushes by turns, on mirrored drives, so that one can be lost.
pub fn scenario(seed: u64) -> Scenario {
    let mut scenario = catalogue::standard(Mode::ALL[(seed % 4) as usize]);
    scenario.flush = Flush::ALL[(seed / 4 % 2) as usize];
    scenario.topology.disk = Disk::Raid10;
    scenario.name = "all-faults".to_owned();
    scenario
}

/// The scenario of this seed with its plan.
pub fn trial(seed: u64) -> Scenario {
    let mut scenario = scenario(seed);
    scenario.plan = Some(plan(&scenario, seed));
    scenario
}

/// The plan of all kinds of faults that go together, for this scenario and seed.
pub fn plan(scenario: &Scenario, seed: u64) -> Plan {
    storm(scenario, seed).0
}

/// The kinds that are in it.
pub fn kinds(scenario: &Scenario, seed: u64) -> Vec<FaultKind> {
    storm(scenario, seed).1
}

fn storm(scenario: &Scenario, seed: u64) -> (Plan, Vec<FaultKind>) {
    let key = sim::world::Key::root(seed).derive("storm");
    let site = scenario.topology.site(true);
    faults::storm(key, &scenario.cast(), &site, scenario.window(), scenario.schedule.heal_ms)
}

//! The scenarios that come with the house. Each mode has a standard scenario of the same name; the others show one thing
//! each.

mod apache;
mod operations;

use crate::{
    fault_points::FaultPoints,
    knobs::Knobs,
    spec::{
        BrokerSettings, Disk, FileSystem, Flush, Mode, Placement, ProfileName, Scenario, Schedule, Topology, Workload,
    },
};
use faults::{Budget, Fault};
use std::collections::BTreeMap;

/// All scenarios: the modes, then the others.
pub fn all() -> Vec<Scenario> {
    Mode::ALL.map(standard).into_iter().chain(operations::all()).chain(apache::all()).collect()
}

/// The scenario of this name.
pub fn find(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

/// The standard scenario of a mode: about a minute of steady load, one fault in its middle, everything healed while the
/// load goes on, then a drain.
pub fn standard(mode: Mode) -> Scenario {
    let (masters, messages_per_second) = if mode == Mode::SingleMaster { (1, 200) } else { (2, 300) };
    Scenario {
        name: mode.name().to_owned(),
        about: format!("the standard minute under load on {}", mode.describe()),
        mode,
        flush: Flush::Async,
        profile: ProfileName::default(),
        profiles: BTreeMap::new(),
        quirks: Vec::new(),
        fault: Fault::none(),
        plan: None,
        budget: Budget::Unlimited,
        fault_points: FaultPoints::Off,
        knobs: Knobs::default(),
        operations: Vec::new(),
        topology: Topology {
            name_servers: 2,
            masters,
            slaves: u16::from(mode.has_slaves()),
            producers: 2,
            consumers: 2,
            placement: Placement::Spread,
            disk: if mode == Mode::TwoMastersNoSlave { Disk::Raid10 } else { Disk::Single },
            file_system: FileSystem::StrictPosix,
        },
        workload: Workload {
            topic: "StaticfireTopic".to_owned(),
            queues: 4,
            messages_per_second,
            body_bytes: vec![64, 128, 256, 512, 512, 1024, 1024, 2048, 4000],
        },
        schedule: Schedule {
            load_from_ms: 3_000,
            load_to_ms: 56_000,
            fault_from_ms: 12_000,
            fault_to_ms: 36_000,
            heal_ms: 50_000,
            drain_ms_max: 90_000,
        },
        broker: BrokerSettings::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_valid_and_survives_toml() {
        for scenario in all() {
            scenario.check().unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
            let text = toml::to_string(&scenario).expect("plain data");
            assert_eq!(toml::from_str::<Scenario>(&text).expect("what was just written"), scenario);
        }
    }
}

//! The scenarios that come with the house. Each mode has a standard scenario of the same name.

use crate::spec::{BrokerSettings, Flush, Mode, Scenario, Schedule, Topology, Workload};
use faults::FaultKind;

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    Mode::ALL.map(standard).into()
}

/// The scenario of this name.
pub fn find(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

/// The standard scenario of a mode: about a minute of steady load, one fault in its middle, everything healed while the
/// load goes on, then a drain.
pub fn standard(mode: Mode) -> Scenario {
    Scenario {
        name: mode.name().to_owned(),
        about: format!("the standard minute under load on {}", mode.describe()),
        mode,
        flush: Flush::Async,
        fault: FaultKind::None,
        plan: None,
        topology: Topology { name_servers: 2, producers: 2, consumers: 2 },
        workload: Workload {
            topic: "StaticfireTopic".to_owned(),
            queues: 4,
            messages_per_second: 200,
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
        broker: BrokerSettings {
            commit_log_file_bytes: 1 << 20,
            consume_queue_file_units: 1_000,
            flush_interval_ms: 500,
            flush_least_pages: 4,
            flush_thorough_interval_ms: 10_000,
        },
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

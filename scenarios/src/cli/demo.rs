//! `staticfire demo`: the first matrix. Every mode and flush under the classes of faults that deployments are chosen by, in a
//! few minutes.
//!
//! It is a sweep over the standard scenarios under half their load, which halves the time and leaves every bound as it is. The
//! seeds are the outermost loop, so that all cells fill alike, and the time left is told well from the start.

use super::{
    CliError, Exit,
    args::{fault, parse, profile, seeds},
    combinations::{Combinations, Wanted},
    matrix, output,
};
use crate::{
    catalogue,
    spec::{Flush, Mode, ProfileName, Scenario},
    sweep::Trial,
};
use clap::Args;
use faults::Fault;
use std::{io::Write, ops::Range, path::PathBuf, sync::Arc};

/// How many trials a cell gets: as many as fit into five minutes on two cores, with room for slower ones.
const TRIALS: u64 = 10;

/// The classes of faults, in the order of rows; a mode has those that can strike it. First the five by which RocketMQ's
/// documents compare its deployments, by severity; then what takes more or less than one machine; then the network; then
/// slaves, alone and with their master while they catch up.
const FAULTS: [&str; 12] = [
    "broker-crash",
    "os-crash",
    "power-loss",
    "machine-loss",
    "disk-loss",
    "disk-member-loss",
    "power-loss-rack",
    "power-loss-all",
    "partition",
    "partition-pair",
    "slave-power-loss",
    "slave-power-loss+power-loss",
];

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// How many trials each cell gets, from seed 1 on
    #[arg(long, value_name = "N", default_value_t = TRIALS, value_parser = clap::value_parser!(u64).range(1..))]
    pub trials: u64,
    /// Other seeds, the last one not included: 11..21 are ten
    #[arg(long, value_parser = seeds, conflicts_with = "trials")]
    pub seeds: Option<Range<u64>>,
    /// How many at once [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// The cluster modes, each with its standard scenario [default: all]
    #[arg(long, value_delimiter = ',', value_parser = parse::<Mode>)]
    pub modes: Vec<Mode>,
    /// async, sync [default: both]
    #[arg(long, value_delimiter = ',', value_parser = parse::<Flush>)]
    pub flush: Vec<Flush>,
    /// The classes of faults [default: those that tell the modes apart]
    #[arg(long, value_delimiter = ',', value_parser = fault)]
    pub faults: Vec<Fault>,
    /// Whose behaviour the brokers have: hardened, apache-4.9.8 or apache-5.3 [default: hardened]
    #[arg(long, value_parser = profile)]
    pub profile: Option<ProfileName>,
    /// Change one field of every scenario; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Where records.jsonl and demo.json go
    #[arg(long, value_name = "DIR", default_value = "target/staticfire/demo")]
    pub out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    pub md: bool,
}

pub fn demo(arguments: &DemoArguments) -> Result<Exit, CliError> {
    let seeds = arguments.seeds.clone().unwrap_or(1..arguments.trials.saturating_add(1));
    let combinations = combinations(arguments)?;
    let trial =
        |seed| combinations.scenarios.iter().map(move |scenario| Trial { scenario: Arc::clone(scenario), seed });
    let trials = seeds.clone().flat_map(trial).collect::<Vec<_>>();
    let matrix = matrix::carry_out(&trials, arguments.jobs, &arguments.out)?;
    let summary = matrix.json([seeds.start, seeds.end]);
    output::write_file(&arguments.out, "demo.json", |file| {
        serde_json::to_writer_pretty(&mut *file, &summary)?;
        file.write_all(b"\n")
    })?;
    if arguments.json {
        output::print_json(&summary)?;
    } else if arguments.md {
        output::print(&matrix.markdown())?;
    } else {
        output::print(&matrix.text())?;
    }
    Ok(matrix.exit())
}

/// The scenario of each cell. What was left out is said only where it had been asked for.
fn combinations(arguments: &DemoArguments) -> Result<Combinations, CliError> {
    let defaults = FAULTS.map(|name| name.parse::<Fault>().expect("the names of faults"));
    let wanted = Wanted {
        modes: &arguments.modes,
        flushes: &arguments.flush,
        faults: if arguments.faults.is_empty() { &defaults } else { &arguments.faults },
        profile: arguments.profile,
        settings: &arguments.settings,
    };
    let combinations = Combinations::new(&wanted, thin)?;
    if !arguments.faults.is_empty() {
        combinations.say_skipped();
    }
    Ok(combinations)
}

/// The standard scenario of a mode under half its load.
fn thin(mode: Mode) -> Scenario {
    let mut scenario = catalogue::standard(mode);
    scenario.workload.messages_per_second /= 2;
    scenario
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{promise::flush_window_ms, settings};

    #[test]
    fn every_mode_and_flush_has_the_five_classes_of_the_documents() {
        let defaults = FAULTS.map(|name| name.parse::<Fault>().expect("the names of faults"));
        let wanted = Wanted { faults: &defaults, ..Wanted::default() };
        let made = Combinations::new(&wanted, thin).expect("something is left");
        for (mode, flush) in Mode::ALL.into_iter().flat_map(|mode| Flush::ALL.map(|flush| (mode, flush))) {
            for fault in &defaults[..5] {
                let is_cell = |scenario: &Arc<Scenario>| {
                    (scenario.mode, scenario.flush) == (mode, flush) && scenario.fault == *fault
                };
                assert!(made.scenarios.iter().any(is_cell), "{mode}, {flush} flush, {fault}");
            }
        }
    }

    #[test]
    fn the_thin_load_leaves_the_bound_as_it_is() {
        for mode in Mode::ALL {
            let standard = catalogue::standard(mode);
            let thin = thin(mode);
            assert_eq!(flush_window_ms(&thin), flush_window_ms(&standard), "{mode}");
            let rate = thin.workload.messages_per_second;
            assert_eq!(settings::beyond_catalogue(&thin), [format!("workload.messages_per_second={rate}")]);
        }
    }
}

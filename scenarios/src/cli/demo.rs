//! `staticfire demo`: the first matrix. Every mode and flush under the classes of faults that deployments are chosen by, in a
//! few minutes.
//!
//! It is a sweep over the standard scenarios under half their load, which halves the time and leaves every bound as it is. The
//! seeds are the outermost loop, so that all cells fill alike, and the time left is told well from the start.

use super::{
    CliError, Exit,
    args::{parse, seeds},
    matrix, output,
};
use crate::{
    catalogue, settings,
    spec::{Flush, Mode, Scenario},
    sweep::Trial,
};
use clap::Args;
use faults::{Fault, FaultKind};
use std::{io::Write, ops::Range, path::PathBuf, sync::Arc};

/// How many trials a cell gets: as many as fit into five minutes on two cores, with room for slower ones.
const TRIALS: u64 = 10;

/// The classes of faults, in the order of rows. First the five of RocketMQ's documents, by severity.
const FAULTS: [FaultKind; 6] = [
    FaultKind::BrokerCrash,
    FaultKind::OsCrash,
    FaultKind::PowerLoss,
    FaultKind::MachineLoss,
    FaultKind::DiskLoss,
    FaultKind::Partition,
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
    #[arg(long, value_delimiter = ',', value_parser = parse::<Fault>)]
    pub faults: Vec<Fault>,
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
    let scenarios = scenarios(arguments)?;
    let trial = |seed| scenarios.iter().map(move |scenario| Trial { scenario: Arc::clone(scenario), seed });
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

/// The scenario of each cell, in the order of the matrix.
fn scenarios(arguments: &DemoArguments) -> Result<Vec<Arc<Scenario>>, CliError> {
    let modes = if arguments.modes.is_empty() { Mode::ALL.to_vec() } else { arguments.modes.clone() };
    let flushes = if arguments.flush.is_empty() { Flush::ALL.to_vec() } else { arguments.flush.clone() };
    let faults = if arguments.faults.is_empty() { FAULTS.map(Fault::from).to_vec() } else { arguments.faults.clone() };
    let mut scenarios = Vec::new();
    for &mode in &modes {
        for &flush in &flushes {
            for fault in &faults {
                let mut scenario = Scenario { flush, fault: fault.clone(), ..thin(mode) };
                for setting in &arguments.settings {
                    scenario = settings::set(&scenario, setting)?;
                }
                scenario.check()?;
                scenarios.push(Arc::new(scenario));
            }
        }
    }
    Ok(scenarios)
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
    use crate::promise::flush_window_ms;

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

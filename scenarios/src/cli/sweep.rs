//! `staticfire sweep`

use super::{
    CliError, Exit,
    args::SweepArguments,
    combinations::{Combinations, Wanted},
    matrix, output,
};
use crate::{catalogue, sweep::Trial};
use std::{io::Write, sync::Arc};

pub fn sweep(arguments: &SweepArguments) -> Result<Exit, CliError> {
    let trials = trials(arguments)?;
    let matrix = matrix::carry_out(&trials, arguments.jobs, &arguments.out)?;
    let summary = matrix.json([arguments.seeds.start, arguments.seeds.end]);
    output::write_file(&arguments.out, "sweep.json", |file| {
        serde_json::to_writer_pretty(&mut *file, &summary)?;
        file.write_all(b"\n")
    })?;
    if arguments.json {
        output::print_json(&summary)?;
    } else {
        output::print(&matrix.text())?;
    }
    Ok(matrix.exit())
}

/// All trials of the sweep in order: by seed last, so that the cells fill one after the other.
fn trials(arguments: &SweepArguments) -> Result<Vec<Trial>, CliError> {
    let wanted = Wanted {
        modes: &arguments.modes,
        flushes: &arguments.flush,
        faults: &arguments.faults,
        profile: arguments.profile,
        settings: &arguments.settings,
    };
    let combinations = Combinations::new(&wanted, catalogue::standard)?;
    combinations.say_skipped();
    let trial = |scenario: &Arc<_>, seed| Trial { scenario: Arc::clone(scenario), seed };
    let of_cell = |scenario| arguments.seeds.clone().map(move |seed| trial(scenario, seed));
    let mut trials = combinations.scenarios.iter().flat_map(of_cell).collect::<Vec<_>>();
    if let Some((index, count)) = arguments.shard {
        let mut number = 0;
        trials.retain(|_| {
            number += 1;
            (number - 1) % count == index - 1
        });
    }
    Ok(trials)
}

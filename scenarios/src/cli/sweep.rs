//! `staticfire sweep`

use super::{CliError, Exit, args::SweepArguments, output};
use crate::{
    catalogue, settings,
    spec::{Flush, Mode, Scenario},
    sweep::{self, Trial},
};
use faults::FaultKind;
use indicatif::{ProgressBar, ProgressStyle};
use reports::Cells;
use serde_json::json;
use std::{io::Write, num::NonZeroUsize, time::Instant};

/// How many identifiers of lost messages a record of a sweep carries.
const LOST_IDS_MAX: usize = 100;

pub fn sweep(arguments: &SweepArguments) -> Result<Exit, CliError> {
    let trials = trials(arguments)?;
    output::create_dir(&arguments.out)?;
    let (mut records, records_path) = output::create(&arguments.out, "records.jsonl")?;
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = arguments.jobs.map_or(cores, usize::from);
    let progress = progress(trials.len() as u64);
    let started = Instant::now();
    let mut cells = Cells::default();
    let mut panics = Vec::new();
    let mut written = Ok(());
    sweep::run_all(&trials, jobs, |trial, result| {
        match result {
            Ok(mut record) => {
                cells.add(&record, fault_order(trial.scenario.fault));
                record.lost_ids.truncate(LOST_IDS_MAX);
                if written.is_ok() {
                    written = serde_json::to_writer(&mut records, &record)
                        .map_err(std::io::Error::from)
                        .and_then(|()| records.write_all(b"\n"));
                }
            }
            Err(panic) => {
                let again = super::run::again(&trial.scenario, trial.seed);
                progress.suspend(|| eprintln!("staticfire: {panic}\n  again: {again}"));
                panics.push(again);
            }
        }
        progress.inc(1);
    });
    progress.finish_and_clear();
    written
        .and_then(|()| records.flush())
        .map_err(|source| output::OutputError::Write { path: records_path.display().to_string(), source })?;
    let wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let summary = json!({
        "trials": trials.len(),
        "seeds": [arguments.seeds.start, arguments.seeds.end],
        "jobs": jobs,
        "wall_ms": wall_ms,
        "verdict": cells.verdict(),
        "panicked": panics,
        "cells": cells.iter().map(|(key, cell)| {
            let interval = reports::clopper_pearson_95(cell.trials_with_loss, cell.trials);
            json!({
                "mode": key.mode, "flush": key.flush, "fault": key.fault, "promise": cell.promise,
                "trials": cell.trials, "held": cell.held, "broken": cell.broken, "not_live": cell.not_live,
                "trials_with_loss": cell.trials_with_loss, "loss_interval_95": [interval.low, interval.high],
                "acked": cell.acked, "lost": cell.lost, "oldest_lost_ms_max": cell.oldest_lost_ms_max,
                "bound_ms": cell.bound_ms, "unavailable_ms_max": cell.unavailable_ms_max,
                "duplicates": cell.duplicates, "worst": cell.worst,
            })
        }).collect::<Vec<_>>(),
    });
    output::write_file(&arguments.out, "sweep.json", |file| {
        serde_json::to_writer_pretty(&mut *file, &summary)?;
        file.write_all(b"\n")
    })?;
    if arguments.json {
        output::print_json(&summary)?;
    } else {
        output::print(&cells.text())?;
        output::print(&format!(
            "\n{} trials in {} on {jobs} threads; records in {}\n",
            reports::count(trials.len() as u64),
            reports::duration_ms(wall_ms),
            records_path.display()
        ))?;
    }
    Ok(if panics.is_empty() { cells.verdict().into() } else { Exit::Panicked })
}

/// All trials of the sweep in order: by seed last, so that the cells fill one after the other.
fn trials(arguments: &SweepArguments) -> Result<Vec<Trial>, CliError> {
    let or_all = |given: &[Mode]| if given.is_empty() { Mode::ALL.to_vec() } else { given.to_vec() };
    let flushes = if arguments.flush.is_empty() { Flush::ALL.to_vec() } else { arguments.flush.clone() };
    let faults = if arguments.faults.is_empty() { FaultKind::ALL.to_vec() } else { arguments.faults.clone() };
    let mut trials = Vec::new();
    for mode in or_all(&arguments.modes) {
        for &fault in &faults {
            for &flush in &flushes {
                let scenario = cell_scenario(mode, flush, fault, &arguments.settings)?;
                trials.extend(arguments.seeds.clone().map(|seed| Trial { scenario: scenario.clone(), seed }));
            }
        }
    }
    if let Some((index, count)) = arguments.shard {
        let mut number = 0;
        trials.retain(|_| {
            number += 1;
            (number - 1) % count == index - 1
        });
    }
    Ok(trials)
}

fn cell_scenario(
    mode: Mode,
    flush: Flush,
    fault: FaultKind,
    sets: &[String],
) -> Result<std::sync::Arc<Scenario>, CliError> {
    let mut scenario = catalogue::standard(mode);
    (scenario.flush, scenario.fault) = (flush, fault);
    for setting in sets {
        scenario = settings::set(&scenario, setting)?;
    }
    scenario.check()?;
    Ok(scenario.into())
}

fn fault_order(fault: FaultKind) -> usize {
    FaultKind::ALL.iter().position(|kind| *kind == fault).unwrap_or(usize::MAX)
}

/// A bar with an estimate, on a terminal; nothing elsewhere.
fn progress(trials: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} trials  {elapsed} gone, {eta} to go")
        .expect("a fixed template");
    ProgressBar::new(trials).with_style(style)
}

//! Many trials, added up into a matrix: what `sweep` and `demo` share. Every record goes to `records.jsonl` as it comes, in
//! the order of the trials.

use super::{CliError, Exit, coverage::Coverage, output, progress::Progress};
use crate::{
    run,
    spec::Scenario,
    sweep::{self, Trial},
};
use console::Term;
use reports::{CellKey, Cells, TableStyle, Verdict};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Instant,
};

/// How many identifiers of lost messages a record in `records.jsonl` carries.
const LOST_IDS_MAX: usize = 100;

/// What came out of all trials.
pub struct Matrix {
    pub cells: Cells,
    /// How many there were, those that panicked included.
    pub trials: usize,
    /// The commands that run the trials again in which the cluster's own code panicked.
    pub panicked: Vec<String>,
    /// What the fault points did, if a scenario has them on.
    pub coverage: Option<Coverage>,
    pub jobs: usize,
    pub wall_ms: u64,
    /// The file with the records.
    pub records: PathBuf,
}

/// Runs all trials, `jobs` at a time (one per core if that is not given), with progress on a terminal.
pub fn carry_out(trials: &[Trial], jobs: Option<u16>, out: &Path) -> Result<Matrix, CliError> {
    output::create_dir(out)?;
    let (mut records, path) = output::create(out, "records.jsonl")?;
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = jobs.map_or(cores, usize::from);
    let progress = Progress::new(trials.len());
    let started = Instant::now();
    let mut cells = Cells::default();
    let mut panicked = Vec::new();
    let has_fault_points = trials.iter().any(|trial| !trial.scenario.fault_points.is_off());
    let mut coverage = has_fault_points.then(Coverage::default);
    let mut written: io::Result<()> = Ok(());
    sweep::run_all(trials, jobs, |trial, result| {
        match result {
            Ok(mut record) => {
                cells.add(&record);
                if let Some(coverage) = &mut coverage {
                    coverage.add(&record);
                }
                if record.lost_ids.len() > LOST_IDS_MAX {
                    record.lost_ids.truncate(LOST_IDS_MAX);
                    record = record.sealed();
                }
                if written.is_ok() {
                    written = reports::write_record(&record, &mut records);
                }
            }
            Err(panic) => {
                let again = super::run::again(&trial.scenario, trial.seed);
                progress.say(&format!("staticfire: {panic}\n  again: {again}"));
                cells.add_panic(cell(&trial.scenario), again.clone());
                panicked.push(again);
            }
        }
        progress.advance(&cells);
    });
    progress.finish();
    written
        .and_then(|()| records.flush())
        .map_err(|source| output::OutputError::Write { path: path.display().to_string(), source })?;
    let wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Matrix { cells, trials: trials.len(), panicked, coverage, jobs, wall_ms, records: path })
}

/// The cell of a scenario's trials.
fn cell(scenario: &Scenario) -> CellKey {
    CellKey {
        profile: scenario.profile.to_string(),
        mode: scenario.mode.name().to_owned(),
        fault: run::fault_name(scenario),
        flush: scenario.flush.name().to_owned(),
    }
}

impl Matrix {
    /// The whole of it as one JSON object; `seeds` are the first one and the one after the last.
    pub fn json(&self, seeds: [u64; 2]) -> Value {
        let mut matrix = json!({
            "trials": self.trials,
            "seeds": seeds,
            "jobs": self.jobs,
            "wall_ms": self.wall_ms,
            "verdict": self.cells.verdict(),
            "panicked": self.panicked,
            "cells": self.cells.summaries(),
        });
        if let Some(coverage) = &self.coverage {
            matrix["fault_points"] = coverage.json();
        }
        matrix
    }

    /// The table and what to say below it, for standard output.
    pub fn text(&self) -> String {
        format!("{}\n{}\n", self.cells.text(style(&Term::stdout())), self.last_line())
    }

    /// The same in Markdown.
    pub fn markdown(&self) -> String {
        format!("{}\n{}\n", self.cells.markdown(), self.last_line())
    }

    fn last_line(&self) -> String {
        let cells = self.cells.len();
        let outcome = self.cells.outcome();
        let coverage = self.coverage.as_ref().map(Coverage::line).unwrap_or_default();
        format!(
            "{coverage}{outcome}: {} trials in {cells} cells, {} on {} threads; records in {}",
            reports::count(self.trials as u64),
            reports::duration_ms(self.wall_ms),
            self.jobs,
            self.records.display()
        )
    }

    /// How it went.
    pub fn exit(&self) -> Exit {
        match (self.panicked.is_empty(), self.cells.verdict()) {
            (false, _) => Exit::Panicked,
            (true, verdict @ (Verdict::Held | Verdict::NotLive | Verdict::Broken)) => verdict.into(),
        }
    }
}

/// The table fits a terminal, and has colours there unless `NO_COLOR` (or `TERM=dumb`) says otherwise.
fn style(stdout: &Term) -> TableStyle {
    TableStyle {
        width: stdout.size_checked().map(|(_, columns)| usize::from(columns)),
        has_colour: stdout.is_term() && console::colors_enabled(),
    }
}

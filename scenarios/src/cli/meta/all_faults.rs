//! `staticfire meta --all-faults`: every mode and flush by turns, under all kinds of faults at once, in two fresh processes, of
//! which one runs one trial at a time and the other two; what comes out must be the same, trial by trial.
//!
//! No promise holds under such a plan, so none is judged. A trial in which the cluster's own code panics must panic again in
//! the same way, and is reported.

use super::{child, first_difference};
use crate::{
    cli::{CliError, Exit, args::MetaArguments, output},
    settings, storm,
    sweep::{self, Trial},
};
use faults::FaultKind;
use reports::RunRecord;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeMap, io::Write, path::Path, sync::Arc, time::Instant};

/// What a trial was, as far as two processes must agree: without the wall-clock time all of the record does.
#[derive(Debug, Deserialize, Serialize)]
struct Line {
    seed: u64,
    mode: String,
    flush: String,
    /// Absent where it panicked.
    trace_hash: Option<String>,
    /// Of the whole record.
    record_hash: u32,
    panicked: Option<String>,
    /// How many events of the plan were counted to have done something, and how many there were.
    mattered: usize,
    events: usize,
}

pub fn meta(arguments: &MetaArguments) -> Result<Exit, CliError> {
    match &arguments.write {
        Some(file) => write(arguments, file, arguments.jobs.unwrap_or(1)),
        None => compare(arguments),
    }
}

/// What each of the two processes does.
fn write(arguments: &MetaArguments, file: &Path, jobs: usize) -> Result<Exit, CliError> {
    let mut trials = Vec::new();
    for seed in arguments.seeds.clone().unwrap_or_default() {
        let mut scenario = storm::scenario(seed);
        for setting in &arguments.settings {
            scenario = settings::set(&scenario, setting)?;
        }
        scenario.plan = Some(storm::plan(&scenario, seed));
        scenario.check()?;
        trials.push(Trial { scenario: Arc::new(scenario), seed });
    }
    let directory = file.parent().unwrap_or(Path::new("."));
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut lines = Vec::new();
    sweep::run_all(&trials, jobs, |trial, result| lines.push(line(trial, result)));
    output::write_file(directory, &name, |out| {
        for line in &lines {
            serde_json::to_writer(&mut *out, line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })?;
    Ok(Exit::Held)
}

fn line(trial: &Trial, result: Result<RunRecord, crate::run::Panicked>) -> Line {
    let scenario = &trial.scenario;
    let line = Line {
        seed: trial.seed,
        mode: scenario.mode.to_string(),
        flush: scenario.flush.to_string(),
        trace_hash: None,
        record_hash: 0,
        panicked: None,
        mattered: 0,
        events: scenario.plan.as_ref().map_or(0, |plan| plan.events.len()),
    };
    match result {
        Ok(record) => Line {
            mattered: record.injected.iter().filter(|injection| !injection.counts.is_empty()).count(),
            trace_hash: Some(record.trace_hash.clone()),
            record_hash: crc32fast::hash(&serde_json::to_vec(&record.without_wall_time()).expect("plain data")),
            ..line
        },
        Err(panic) => Line { panicked: Some(panic.message), ..line },
    }
}

fn compare(arguments: &MetaArguments) -> Result<Exit, CliError> {
    let seeds = arguments.seeds.clone().unwrap_or_default();
    let work = std::env::temp_dir().join(format!("staticfire-meta-{}", std::process::id()));
    output::create_dir(&work)?;
    let started = Instant::now();
    let texts = ["1", "2"].map(|jobs| -> Result<String, CliError> {
        let directory = work.join(format!("{jobs}-at-a-time"));
        let mut words =
            ["meta", "--all-faults", "--jobs", jobs, "--write", "trials.jsonl", "--seeds"].map(str::to_owned).to_vec();
        words.push(format!("{}..{}", seeds.start, seeds.end));
        words.extend(arguments.settings.iter().flat_map(|setting| ["--set".to_owned(), setting.clone()]));
        child(&directory, jobs, &words)?;
        Ok(output::read_file(&directory.join("trials.jsonl"))?)
    });
    if let Err(error) = std::fs::remove_dir_all(&work) {
        eprintln!("staticfire: cannot remove {}: {error}", work.display());
    }
    let [one, another] = texts;
    let (one, another): (String, String) = (one?, another?);
    let difference = first_difference(&one, &another).map(|line| seeds.start + line as u64 - 1);
    let lines = one.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()).collect::<Vec<_>>();
    let panicked = lines.iter().filter(|line| line.panicked.is_some()).collect::<Vec<_>>();
    let (mattered, events) = lines.iter().fold((0, 0), |(m, e), line| (m + line.mattered, e + line.events));
    let wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if arguments.json {
        output::print_json(&json!({
            "seeds": [seeds.start, seeds.end], "trials": lines.len(), "deterministic": difference.is_none(),
            "first_difference": difference, "panicked": panicked, "events": events, "mattered": mattered,
            "kinds": covered(&seeds), "wall_ms": wall_ms,
        }))?;
    } else {
        for line in &panicked {
            let message = line.panicked.as_deref().unwrap_or_default();
            output::print(&format!("seed {} ({}, {} flush) panicked: {message}\n", line.seed, line.mode, line.flush))?;
        }
        let said = match difference {
            None => "deterministic".to_owned(),
            Some(seed) => format!("NOT DETERMINISTIC, first with seed {seed}"),
        };
        output::print(&format!(
            "{said}: {} trials, each in two processes with 1 and 2 jobs; {} of {} events did something; {} in all\n",
            lines.len(),
            reports::count(mattered as u64),
            reports::count(events as u64),
            reports::duration_ms(wall_ms)
        ))?;
    }
    Ok(match difference {
        Some(_) => Exit::NotDeterministic,
        None if !panicked.is_empty() => Exit::Panicked,
        None => Exit::Held,
    })
}

/// In how many of these trials each kind of fault was asked to take part.
fn covered(seeds: &std::ops::Range<u64>) -> BTreeMap<&'static str, usize> {
    let mut covered = FaultKind::ALL.iter().map(|kind| (kind.name(), 0)).collect::<BTreeMap<_, _>>();
    for seed in seeds.clone() {
        let scenario = storm::scenario(seed);
        for kind in storm::kinds(&scenario, seed) {
            *covered.entry(kind.name()).or_default() += 1;
        }
    }
    covered
}

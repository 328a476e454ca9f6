//! `staticfire replay`: runs what a record holds, its plan and its settings as they were, and says whether it was the same run.
//!
//! | the record | the trace | said | exit status |
//! |---|---|---|---|
//! | is whole, and of this build | is the same | the same run | that of the verdict |
//! | is whole, and of this build | is another | another run | 12: it is not deterministic |
//! | is of another build, or of an older form | any | another build, and whether trace and verdict are the same | that of the verdict |
//! | was altered after it was written | any | it was altered | 1: there is nothing that it could be compared with |
//!
//! A record of a form that is not known yet is refused.

use super::{CliError, Exit, args::ReplayArguments, output, run as run_command};
use crate::{
    knobs,
    run::{self, Prepared, RunOptions},
    spec::Scenario,
};
use faults::Plan;
use reports::{Build, RunRecord};
use serde_json::{Value, json};
use std::fmt::Display;

/// What a record is to this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    ThisBuild,
    AnotherBuild,
    /// It is of a form without a seal, and so of another build too.
    OlderForm,
    Altered,
}

impl Origin {
    fn of(text: &Value, record: &RunRecord, here: &Build) -> Origin {
        if record.format < RunRecord::FORMAT {
            Origin::OlderForm
        } else if record.seal != reports::seal_of(text) {
            Origin::Altered
        } else if record.build == *here {
            Origin::ThisBuild
        } else {
            Origin::AnotherBuild
        }
    }

    fn name(self) -> &'static str {
        match self {
            Origin::ThisBuild => "this-build",
            Origin::AnotherBuild => "another-build",
            Origin::OlderForm => "older-form",
            Origin::Altered => "altered",
        }
    }
}

pub fn replay(arguments: &ReplayArguments) -> Result<Exit, CliError> {
    let path = arguments.record.display();
    let text = output::read_file(&arguments.record)?;
    let wrong = |error: &dyn Display| CliError::Usage(format!("`{path}` is not the record of a run: {error}"));
    let value: Value = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let format = value.get("format").and_then(Value::as_u64).unwrap_or(1);
    if format > u64::from(RunRecord::FORMAT) {
        return Err(CliError::Usage(format!(
            "`{path}` is a record of form {format}, and this version reads forms up to {}; take the version that wrote it, or a \
             later one",
            RunRecord::FORMAT
        )));
    }
    let old: RunRecord = serde_json::from_value(value.clone()).map_err(|error| wrong(&error))?;
    let prepared = recorded(&old).map_err(|error| wrong(&error))?;
    let scenario = prepared.scenario.clone();
    if let Some(dir) = &arguments.out {
        output::create_dir(dir)?;
    }
    if let Some(filter) = &arguments.log {
        run_command::log_to_stderr(filter)?;
    }
    let options = RunOptions { seed: old.seed, keep_trace: arguments.trace };
    let outcome = run::run_prepared(prepared, &options)
        .map_err(|panic| CliError::Panicked(panic, run_command::again(&scenario, old.seed)))?;
    if let Some(dir) = &arguments.out {
        run_command::write(dir, &outcome, true)?;
    }
    let new = outcome.record;
    let (origin, same) = (Origin::of(&value, &old, &new.build), new.trace_hash == old.trace_hash);
    if arguments.json {
        output::print_json(&json!({
            "recorded_trace_hash": old.trace_hash, "trace_hash": new.trace_hash, "origin": origin.name(),
            "same": same && origin != Origin::Altered, "same_verdict": new.verdict == old.verdict,
            "recorded_build": old.build, "build": new.build, "record": new,
        }))?;
    } else {
        output::print(&reports::run_text(&new))?;
        output::print(&format!("  replayed   {}\n", told(origin, same, &old, &new)))?;
    }
    Ok(match origin {
        Origin::Altered => Exit::Usage,
        Origin::ThisBuild if !same => Exit::NotDeterministic,
        Origin::ThisBuild | Origin::AnotherBuild | Origin::OlderForm => new.verdict.into(),
    })
}

/// The run that a record holds: nothing of it is drawn again.
fn recorded(record: &RunRecord) -> Result<Prepared, CliError> {
    let wrong = |what: &str, error: &dyn Display| CliError::Usage(format!("its {what}: {error}"));
    let scenario: Scenario = serde_json::from_value(record.spec.clone()).map_err(|error| wrong("spec", &error))?;
    let plan: Plan = serde_json::from_value(record.plan.clone()).map_err(|error| wrong("plan", &error))?;
    scenario.check().map_err(|error| wrong("spec", &error))?;
    plan.check(&scenario.site(), scenario.schedule.heal_ms).map_err(|error| wrong("plan", &error))?;
    let turned = knobs::turned_to(&scenario, &record.knobs).map_err(|error| wrong("knobs", &error))?;
    turned.check().map_err(|error| wrong("knobs", &error))?;
    Ok(Prepared { scenario, turned, plan })
}

/// What the run was to the record, in words.
fn told(origin: Origin, same: bool, old: &RunRecord, new: &RunRecord) -> String {
    let build = |build: &Build| {
        let source = if build.source.is_empty() { "no source named" } else { &build.source };
        format!("{} {} ({source})", build.version, build.profile)
    };
    let outcome = || {
        let trace = if same { "the same trace" } else { "another trace" };
        let verdict = if old.verdict == new.verdict { "the same verdict" } else { "another verdict" };
        format!("{trace}, {verdict} (then {}): {} then, {} now", old.verdict, build(&old.build), build(&new.build))
    };
    match origin {
        Origin::ThisBuild if same => "the same run: the trace hashes are equal".to_owned(),
        Origin::ThisBuild => format!("ANOTHER RUN: the record has the trace hash {}", old.trace_hash),
        Origin::AnotherBuild => format!("by another build: {}", outcome()),
        Origin::OlderForm => format!("a record of the older form {}, by another build: {}", old.format, outcome()),
        Origin::Altered => {
            "the record was altered after it was written: this is what it says now, and there is nothing that it \
                            could be compared with"
                .to_owned()
        }
    }
}

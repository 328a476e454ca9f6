//! `staticfire replay`

use super::{CliError, Exit, args::ReplayArguments, output, run as run_command};
use crate::{
    run::{self, RunOptions},
    spec::Scenario,
};
use reports::RunRecord;
use serde_json::json;

pub fn replay(arguments: &ReplayArguments) -> Result<Exit, CliError> {
    let path = arguments.record.display();
    let text = output::read_file(&arguments.record)?;
    let wrong =
        |error: &dyn std::fmt::Display| CliError::Usage(format!("`{path}` is not the record of a run: {error}"));
    let old: RunRecord = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let scenario: Scenario = serde_json::from_value(old.spec.clone()).map_err(|error| wrong(&error))?;
    scenario.check()?;
    if let Some(dir) = &arguments.out {
        output::create_dir(dir)?;
    }
    if let Some(filter) = &arguments.log {
        run_command::log_to_stderr(filter)?;
    }
    let options = RunOptions { seed: old.seed, keep_trace: arguments.trace };
    let outcome = run::run(&scenario, &options)
        .map_err(|panic| CliError::Panicked(panic, run_command::again(&scenario, old.seed)))?;
    if let Some(dir) = &arguments.out {
        run_command::write(dir, &outcome, true)?;
    }
    let new = outcome.record;
    let same = new.trace_hash == old.trace_hash;
    let same_build = new.build == old.build;
    if arguments.json {
        output::print_json(&json!({
            "recorded_trace_hash": old.trace_hash, "trace_hash": new.trace_hash, "same": same,
            "recorded_build": old.build, "build": new.build, "record": new,
        }))?;
    } else {
        output::print(&reports::run_text(&new))?;
        output::print(&match (same, same_build) {
            (true, _) => "  replayed   the same run: the trace hashes are equal\n".to_owned(),
            (false, true) => format!("  replayed   ANOTHER RUN: the record has the trace hash {}\n", old.trace_hash),
            (false, false) => format!(
                "  replayed   another run (trace hash {} then), by another build: {} {} then, {} {} now\n",
                old.trace_hash, old.build.version, old.build.profile, new.build.version, new.build.profile
            ),
        })?;
    }
    Ok(if same { new.verdict.into() } else { Exit::NotDeterministic })
}

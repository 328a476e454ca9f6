//! `staticfire run`

use super::{CliError, Exit, args::RunArguments, output};
use crate::{
    catalogue, history,
    run::{self, RunOptions, RunOutcome},
    settings,
    spec::{Scenario, ScenarioError},
};
use faults::{PlanError, Written};
use reports::RunRecord;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

pub fn run(arguments: &RunArguments) -> Result<Exit, CliError> {
    let scenario = scenario(arguments)?;
    let explicit_out = arguments.out.is_some();
    let out = arguments.out.clone().unwrap_or_else(|| default_out(&scenario, arguments.seed));
    // Before the run, so that a directory that cannot be written does not cost one.
    output::create_dir(&out)?;
    if let Some(filter) = &arguments.log {
        log_to_stderr(filter)?;
    }
    let options = RunOptions { seed: arguments.seed, keep_trace: arguments.trace };
    let outcome =
        run::run(&scenario, &options).map_err(|panic| CliError::Panicked(panic, again(&scenario, arguments.seed)))?;
    write(&out, &outcome, explicit_out)?;
    let record = &outcome.record;
    if arguments.json {
        output::print_json(record)?;
    } else {
        let again = match &arguments.plan {
            Some(file) => record.command_with_plan(&file.display().to_string()),
            None => record.command(),
        };
        output::print(&reports::run_text_with(record, &again))?;
        output::print(&format!("  record     {}\n", out.join("run.json").display()))?;
    }
    Ok(record.verdict.into())
}

/// The scenario that the arguments describe.
fn scenario(arguments: &RunArguments) -> Result<Scenario, CliError> {
    let mut scenario = settings::load(&arguments.scenario)?;
    if let Some(mode) = arguments.mode.filter(|mode| *mode != scenario.mode) {
        // With a mode come its machines.
        let standard = catalogue::standard(mode).topology;
        let topology = &mut scenario.topology;
        (topology.masters, topology.slaves, topology.disk) = (standard.masters, standard.slaves, standard.disk);
        scenario.mode = mode;
    }
    scenario.profile = arguments.profile.unwrap_or(scenario.profile);
    scenario.flush = arguments.flush.unwrap_or(scenario.flush);
    if let Some(fault) = arguments.fault.clone() {
        scenario.fault = fault;
        scenario.plan = None;
    }
    if let Some(path) = &arguments.plan {
        let (file, text) = (path.display().to_string(), output::read_file(path)?);
        scenario.plan = Some(Written::plan(&file, &text).read().map_err(|error| CliError::Usage(error.to_string()))?);
    }
    for setting in &arguments.settings {
        scenario = settings::set(&scenario, setting)?;
    }
    match scenario.check() {
        Ok(()) => Ok(scenario),
        Err(ScenarioError::Plan(error)) => Err(plan_error(arguments, error)),
        Err(error) => Err(error.into()),
    }
}

/// What is wrong with a plan, with its line in the file that it stands in.
fn plan_error(arguments: &RunArguments, error: PlanError) -> CliError {
    let scenario = Some(PathBuf::from(&arguments.scenario)).filter(|_| arguments.scenario.ends_with(".toml"));
    let Some(path) = arguments.plan.clone().or(scenario) else { return ScenarioError::Plan(error).into() };
    let (file, text) = match output::read_file(&path) {
        Ok(text) => (path.display().to_string(), text),
        Err(error) => return error.into(),
    };
    let written = match arguments.plan {
        Some(_) => Written::plan(&file, &text),
        None => Written::scenario(&file, &text),
    };
    CliError::Usage(written.locate(&error).to_string())
}

fn default_out(scenario: &Scenario, seed: u64) -> PathBuf {
    Path::new("out").join(format!("{}-{}-{}-{seed}", scenario.name, scenario.flush, run::fault_name(scenario)))
}

/// The command that runs the scenario again.
pub fn again(scenario: &Scenario, seed: u64) -> String {
    let settings = settings::beyond_catalogue(scenario);
    reports::run_command(&scenario.name, scenario.flush.name(), &run::fault_name(scenario), seed, &settings)
}

/// Writes what a run leaves into `dir`.
pub fn write(dir: &Path, outcome: &RunOutcome, with_history: bool) -> Result<(), CliError> {
    output::write_file(dir, "run.json", |file| write_record(&outcome.record, file))?;
    if with_history {
        output::write_file(dir, "history.jsonl", |file| history::write(&outcome.history, file))?;
    }
    if !outcome.trace.is_empty() {
        output::write_file(dir, "trace.jsonl", |file| {
            for step in &outcome.trace {
                let (host, name) = (step.host.0, step.step);
                writeln!(
                    file,
                    r#"{{"at_ns":{},"host":{host},"step":"{name}","a":{},"b":{}}}"#,
                    step.at_ns, step.a, step.b
                )?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn write_record(record: &RunRecord, file: &mut impl Write) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *file, record)?;
    file.write_all(b"\n")
}

/// Logs to standard error, with simulated time.
pub fn log_to_stderr(filter: &str) -> Result<(), CliError> {
    use tracing_subscriber::{EnvFilter, fmt::format::Writer, fmt::time::FormatTime};
    struct SimulatedTime;
    impl FormatTime for SimulatedTime {
        fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
            match sim::world::now_ns() {
                Some(now_ns) => write!(writer, "{:>3}.{:06} s", now_ns / 1_000_000_000, now_ns / 1_000 % 1_000_000),
                None => Ok(()),
            }
        }
    }
    let wrong = |error: &dyn std::fmt::Display| {
        CliError::Usage(format!(
            "--log {filter}: {error}; write a level such as info, or a filter such as broker=debug"
        ))
    };
    // The executor's own spans carry numbers that differ between processes, and say nothing of the cluster.
    let filter = EnvFilter::try_new(format!("{filter},madsim=off")).map_err(|error| wrong(&error))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(SimulatedTime)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| CliError::Usage(error.to_string()))
}

//! One run: a scenario and a seed become a record and a history.
//!
//! | what | when |
//! |---|---|
//! | name servers boot | 0 |
//! | masters boot, then slaves | 0.2 s, 0.3 s |
//! | the operator creates the topic | 0.5 s |
//! | consumers, then producers boot | 1.5 s |
//! | load | `load_from_ms` to `load_to_ms` |
//! | the plan and the operations are carried out | within, by `heal_ms` everything is healed |
//! | probe | from `load_to_ms`: the operator sends to every master until it gets a SEND_OK |
//! | drain | until everything acknowledged was delivered, or nothing more comes |
//! | finish | clients stop in good order, slaves get time to catch up; consumers start again if the group is not at every end |
//! | verify | the operator reads every queue of every master from end to end |
//! | compare | the logs of all replicas are read from their disks |
//!
//! What happens in between is in `harness`; here is what comes out of it.

use crate::{
    fault_points, harness::harness, history::Event, knobs, oracle::loss::LostMessage, promise, settings,
    spec::Scenario, verdict,
};
use faults::{FaultError, Injected, Plan};
use reports::{Build, Injection, RunRecord};
use sim::world::{SimulationSpec, TraceStep, simulate};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

pub use sim::world::Panicked;

/// The simulated time after which a run counts as stuck, beyond its schedule.
const LIMIT_BEYOND: Duration = Duration::from_secs(3_600);

/// How to run a scenario.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    pub seed: u64,
    /// Keep every step of the simulation.
    pub keep_trace: bool,
}

/// What a run leaves.
#[derive(Debug)]
pub struct RunOutcome {
    pub record: RunRecord,
    pub history: Vec<Event>,
    /// Empty unless it was asked for.
    pub trace: Vec<TraceStep>,
}

/// The name of the class of faults in records: `plan` for a plan of the user's own.
pub fn fault_name(scenario: &Scenario) -> String {
    if scenario.plan.is_some() { reports::PLAN.to_owned() } else { scenario.fault.to_string() }
}

/// The plan that a scenario is run under with this seed.
///
/// # Errors
/// When the scenario has nobody for the fault to strike; never if it has passed [`Scenario::check`].
pub fn plan(scenario: &Scenario, seed: u64) -> Result<Plan, FaultError> {
    let key = sim::world::Key::root(seed).derive("plan");
    let cast = scenario.cast();
    let plan = match &scenario.plan {
        Some(plan) => plan.with_hosts_for_zones(&scenario.site()),
        None => faults::generate(&scenario.fault, key, &cast, scenario.window())?,
    };
    Ok(scenario.budget.applied(&plan, &scenario.lasting_cast(), key.derive("budget")))
}

/// A run that is about to begin: all that it depends on beside its seed and the build.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    pub scenario: Scenario,
    /// The scenario with its knobs as they are turned.
    pub turned: Scenario,
    pub plan: Plan,
}

/// What a scenario becomes with this seed: its knobs and its plan are drawn.
///
/// # Errors
/// As [`plan`].
pub fn prepare(scenario: &Scenario, seed: u64) -> Result<Prepared, FaultError> {
    let (turned, plan) = (knobs::turned(scenario, seed), plan(scenario, seed)?);
    Ok(Prepared { scenario: scenario.clone(), turned, plan })
}

/// Runs a scenario, which must have passed [`Scenario::check`].
///
/// # Errors
/// When the cluster's own code (or the harness) panics.
///
/// # Panics
/// When the scenario has nobody for its fault to strike, which the check says.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Result<RunOutcome, Panicked> {
    let prepared = prepare(scenario, options.seed)
        .unwrap_or_else(|error| panic!("the scenario has not passed its check: {error}"));
    run_prepared(prepared, options)
}

/// Runs what was prepared, or recorded: nothing is drawn but by the simulation.
///
/// # Errors
/// When the cluster's own code (or the harness) panics.
pub fn run_prepared(prepared: Prepared, options: &RunOptions) -> Result<RunOutcome, Panicked> {
    let started = Instant::now();
    let Prepared { scenario, turned, plan } = prepared;
    let spec = SimulationSpec {
        seed: options.seed,
        time_limit: Duration::from_millis(scenario.schedule.load_to_ms + scenario.schedule.drain_ms_max) + LIMIT_BEYOND,
        keep_trace: options.keep_trace,
    };
    let turned = Arc::new(turned);
    let (shared, harness_plan) = (Arc::clone(&turned), plan.clone());
    let finished = simulate(spec, move |world| async move {
        let (history, injected) = harness(world.clone(), shared, harness_plan).await;
        (history, injected, fault_points::counts(&world))
    })?;
    let (history, injected, fault_points) = finished.value;
    let mut record = record(&scenario, &turned, &plan, &history);
    record.fault_points = fault_points;
    record.injected = injected.into_iter().map(injection).collect();
    record.seed = options.seed;
    record.trace_hash = format!("{:016x}", finished.trace_hash);
    record.trace_steps = finished.trace_steps;
    record.sim_seconds = finished.simulated_ns as f64 / 1e9;
    record.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(RunOutcome { record: record.sealed(), history, trace: finished.trace })
}

fn injection(injected: Injected) -> Injection {
    Injection { event: injected.event, action: injected.action, counts: injected.counts }
}

/// The record of a history, but for what only the simulation knows. `turned` is the scenario with its knobs as they were.
fn record(scenario: &Scenario, turned: &Scenario, plan: &Plan, history: &[Event]) -> RunRecord {
    let promise = promise::of_run(turned, plan);
    let allowed = promise.weakest();
    let judged = verdict::judge_against(history, &promise);
    let judgement = &judged.judgement;
    let counts = judgement.ledger.counts;
    let lost: &[LostMessage] = &judgement.loss.lost;
    RunRecord {
        format: RunRecord::FORMAT,
        scenario: scenario.name.clone(),
        mode: scenario.mode.name().to_owned(),
        flush: scenario.flush.name().to_owned(),
        profile: scenario.profile.to_string(),
        quirks: scenario.quirks.iter().map(ToString::to_string).collect(),
        fault: fault_name(scenario),
        seed: 0,
        settings: settings::beyond_catalogue(scenario),
        build: Build {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
            source: env!("STATICFIRE_SOURCE").to_owned(),
        },
        trace_hash: String::new(),
        trace_steps: 0,
        sim_seconds: 0.0,
        wall_ms: 0,
        sent: counts.sent,
        acked: counts.acked,
        unknown: counts.unknown,
        failed: counts.failed,
        delivered: counts.delivered,
        lost: lost.len() as u64,
        lost_ids: lost.iter().map(|lost| lost.id.to_string()).collect(),
        lost_bytes: judgement.loss.bytes,
        undelivered: judgement.loss.skipped(),
        duplicates: judgement.duplicates.redelivered + judgement.duplicates.resent,
        duplicates_by_cause: judgement.duplicates,
        phantoms: judgement.phantoms.len() as u64,
        corruptions: judgement.corruptions.len() as u64,
        order_violations: judgement.order.len() as u64,
        offset_violations: judgement.offsets.len() as u64,
        divergences: judgement.replicas.divergent_places,
        resurrections: judgement.resurrections.len() as u64,
        skipped: judgement.loss.skipped(),
        oldest_lost_ms: judged.oldest_lost_ms,
        unavailable_ms: judged.unavailable_ms,
        availability: judged.availability.clone(),
        knobs: turned.knobs.values().iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        fault_points: BTreeMap::new(),
        promise: allowed.to_string(),
        promise_loss: allowed.kind(),
        promise_source: allowed.source.to_owned(),
        verdict: judged.verdict,
        findings: judged.findings.clone(),
        timeline: verdict::timeline(history),
        injected: Vec::new(),
        spec: serde_json::to_value(scenario).expect("a scenario is plain data"),
        plan: serde_json::to_value(plan).expect("a plan is plain data"),
        seal: String::new(),
    }
}

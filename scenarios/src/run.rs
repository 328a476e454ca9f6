//! One run: a scenario and a seed become a record and a history.
//!
//! | what | when |
//! |---|---|
//! | name servers boot | 0 |
//! | brokers boot | 0.2 s |
//! | the operator creates the topic | 0.5 s |
//! | consumers, then producers boot | 1.5 s |
//! | load | `load_from_ms` to `load_to_ms` |
//! | the plan is carried out | within, by `heal_ms` everything is healed |
//! | drain | from `load_to_ms` until everything acknowledged was delivered, or nothing more comes |
//! | verify | clients stop in good order, then the operator reads every queue from end to end |
//!
//! The operator is a host of its own that no fault of the catalogue touches.

use crate::{
    cluster,
    history::Event,
    oracle::loss::LostMessage,
    promise,
    recorder::Recorder,
    settings,
    spec::{BROKER, Scenario},
    verdict,
    workload::Operator,
};
use faults::{CrashKind, Direction, Effect, Plan};
use reports::{Availability, Build, RunRecord};
use sim::world::{CrashReport, HostId, HostState, SimulationSpec, TraceStep, World, simulate};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use sim::world::Panicked;

/// How long the group may get nothing before the drain is given up while messages are outstanding: longer than a client's
/// pull time-out (30 s).
const QUIET_MS: u64 = 35_000;
/// How long a client may take to stop in good order.
const STOP_MS_MAX: u64 = 20_000;
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
pub fn fault_name(scenario: &Scenario) -> &'static str {
    if scenario.plan.is_some() { "plan" } else { scenario.fault.name() }
}

/// The plan that a scenario is run under with this seed.
pub fn plan(scenario: &Scenario, seed: u64) -> Plan {
    let key = sim::world::Key::root(seed).derive("plan");
    let generated = || faults::generate(scenario.fault, key, BROKER, scenario.window());
    scenario.plan.clone().unwrap_or_else(generated)
}

/// Runs a scenario, which must have passed [`Scenario::check`].
///
/// # Errors
/// When the cluster's own code (or the harness) panics.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Result<RunOutcome, Panicked> {
    let started = Instant::now();
    let plan = plan(scenario, options.seed);
    let spec = SimulationSpec {
        seed: options.seed,
        time_limit: Duration::from_millis(scenario.schedule.load_to_ms + scenario.schedule.drain_ms_max) + LIMIT_BEYOND,
        keep_trace: options.keep_trace,
    };
    let shared = Arc::new(scenario.clone());
    let harness_plan = plan.clone();
    let finished = simulate(spec, move |world| harness(world, shared, harness_plan))?;
    let history = finished.value;
    let mut record = record(scenario, &plan, &history);
    record.seed = options.seed;
    record.trace_hash = format!("{:016x}", finished.trace_hash);
    record.trace_steps = finished.trace_steps;
    record.sim_seconds = finished.simulated_ns as f64 / 1e9;
    record.wall_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(RunOutcome { record, history, trace: finished.trace })
}

/// What runs outside of the simulated world, and returns the history.
async fn harness(world: World, scenario: Arc<Scenario>, plan: Plan) -> Vec<Event> {
    let recorder = Recorder::new(world.clone());
    let operator = Operator::default();
    let hosts = cluster::build(&world, &scenario, &recorder, &operator);
    let schedule = scenario.schedule.clone();
    recorder.note("built", summary(&scenario));
    boot(&world, &hosts.name_servers);
    world.sleep_until_ns(ms(200)).await;
    boot(&world, &hosts.brokers);
    world.sleep_until_ns(ms(500)).await;
    world.boot(hosts.operator);
    world.sleep_until_ns(ms(1_500)).await;
    boot(&world, &hosts.consumers);
    boot(&world, &hosts.producers);
    world.sleep_until_ns(ms(schedule.load_from_ms)).await;
    recorder.push(|at_ns| Event::Load { at_ns });

    let injecting = recorder.clone();
    faults::inject(&world, &plan, &hosts.by_name, schedule.heal_ms, move |_, effect| observe(&injecting, &effect))
        .await;
    for host in hosts.by_name.values().copied().filter(|host| world.state(*host) != HostState::Running) {
        // A process that ended by itself (a broker that could not go on) gets its last chance here.
        world.boot(host);
    }
    recorder.push(|at_ns| Event::Healed { at_ns });
    world.sleep_until_ns(ms(schedule.load_to_ms)).await;
    recorder.push(|at_ns| Event::Unload { at_ns });

    drain(&world, &recorder, &schedule).await;
    stop(&world, &hosts.producers).await;
    stop(&world, &hosts.consumers).await;
    operator.read_back().await;
    recorder.push(|at_ns| Event::End { at_ns });
    recorder.take()
}

/// What is built, for people.
fn summary(scenario: &Scenario) -> String {
    let Scenario { topology, workload, broker, .. } = scenario;
    let several = |count: u16, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!(
        "{}, 1 broker ({} flush, log files of {} KiB), {}, {} in one group, 1 operator, each on a machine of its own; \
         {} msg/s to {}",
        several(topology.name_servers, "name server"),
        scenario.flush,
        broker.commit_log_file_bytes >> 10,
        several(topology.producers, "producer"),
        several(topology.consumers, "consumer"),
        workload.messages_per_second,
        several(workload.queues, "queue"),
    )
}

fn ms(ms: u64) -> u64 {
    ms * 1_000_000
}

fn boot(world: &World, hosts: &[HostId]) {
    for host in hosts {
        world.boot(*host);
    }
}

async fn drain(world: &World, recorder: &Recorder, schedule: &crate::spec::Schedule) {
    let deadline_ns = ms(schedule.load_to_ms + schedule.drain_ms_max);
    loop {
        world.sleep(Duration::from_millis(250)).await;
        let (outstanding, last_delivery_ns) = recorder.outstanding();
        let quiet_since_ns = last_delivery_ns.max(ms(schedule.load_to_ms));
        let is_quiet = world.now_ns() >= quiet_since_ns + ms(QUIET_MS);
        // A moment more after the last one, for sends that were under way.
        let is_done = outstanding == 0 && world.now_ns() >= quiet_since_ns + ms(1_000);
        if is_done || is_quiet || world.now_ns() >= deadline_ns {
            return;
        }
    }
}

/// Stops processes in good order, and by force those that do not.
async fn stop(world: &World, hosts: &[HostId]) {
    let deadline_ns = world.now_ns() + ms(STOP_MS_MAX);
    for host in hosts {
        world.terminate(*host);
    }
    while hosts.iter().any(|host| world.state(*host) == HostState::Running) && world.now_ns() < deadline_ns {
        world.sleep(Duration::from_millis(10)).await;
    }
    for host in hosts.iter().filter(|host| world.state(**host) == HostState::Running) {
        world.crash(*host, sim::world::Crash::Process);
    }
}

/// Takes an effect of the plan down.
fn observe(recorder: &Recorder, effect: &Effect) {
    let (host, what, destroys) = match effect {
        Effect::Crashed { host, crash, report } => {
            let what = match crash {
                CrashKind::ProcessKill => "process killed".to_owned(),
                CrashKind::OsCrash => format!("kernel crashed{}", took(report)),
                CrashKind::PowerLoss => format!("power cut{}", took(report)),
                CrashKind::DiskLoss => format!("disk lost{}", took(report)),
            };
            (host, what, *crash != CrashKind::ProcessKill)
        }
        Effect::Booted { host } => return recorder.note(host, "boots"),
        Effect::Isolated { host, direction } => {
            let what = match direction {
                Direction::Both => "cut off, both ways",
                Direction::In => "hears nothing any more",
                Direction::Out => "is not heard any more",
            };
            (host, what.to_owned(), false)
        }
        Effect::Reconnected { host } => return recorder.note(host, "reconnected"),
    };
    recorder.push(|at_ns| Event::Fault { at_ns, host: host.as_str().into(), what: what.into(), destroys });
}

/// What a crash took from the disk, for people: `; 12 sectors lost, 1 torn, 3 kept by chance`.
fn took(report: &CrashReport) -> String {
    let counts = [
        (report.lost_sectors, "sectors lost"),
        (report.torn_sectors, "torn"),
        (report.kept_sectors, "kept by chance"),
        (report.lost_files, "files lost"),
        (report.undone_sizes, "file sizes undone"),
        (report.lost_entries, "directory entries undone"),
    ];
    let told =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", reports::count(*count)));
    let told = told.collect::<Vec<_>>().join(", ");
    if told.is_empty() { String::new() } else { format!("; {told}") }
}

/// The record of a history, but for what only the simulation knows.
fn record(scenario: &Scenario, plan: &Plan, history: &[Event]) -> RunRecord {
    let promise = promise::of_scenario(scenario);
    let judged = verdict::judge_against(history, &promise);
    let judgement = &judged.judgement;
    let counts = judgement.ledger.counts;
    let lost: &[LostMessage] = &judgement.loss.lost;
    RunRecord {
        scenario: scenario.name.clone(),
        mode: scenario.mode.name().to_owned(),
        flush: scenario.flush.name().to_owned(),
        fault: fault_name(scenario).to_owned(),
        seed: 0,
        settings: settings::beyond_catalogue(scenario),
        build: Build {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
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
        undelivered: judgement.loss.undelivered(),
        duplicates: judgement.duplicates.redelivered + judgement.duplicates.resent,
        duplicates_by_cause: judgement.duplicates,
        phantoms: judgement.phantoms.len() as u64,
        corruptions: judgement.corruptions.len() as u64,
        order_violations: judgement.order.len() as u64,
        offset_violations: judgement.offsets.len() as u64,
        oldest_lost_ms: judged.oldest_lost_ms,
        unavailable_ms: judged.unavailable_ms,
        availability: Availability::default(),
        promise: promise.to_string(),
        promise_loss: promise.loss,
        promise_source: promise.source.to_owned(),
        verdict: judged.verdict,
        findings: judged.findings.clone(),
        timeline: verdict::timeline(history),
        spec: serde_json::to_value(scenario).expect("a scenario is plain data"),
        plan: serde_json::to_value(plan).expect("a plan is plain data"),
    }
}

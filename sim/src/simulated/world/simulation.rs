//! One simulation, from its beginning to its end: the thread, the executor and the kernel that it gets, and that nothing is
//! left of it.

use super::{Program, World};
use crate::simulated::{
    core::{Core, HostId},
    executor,
    fault_point::FaultPoints,
    host::HostState,
    kernel::{self, Kernel},
    memory::Shortage,
    misuse,
    net::Net,
    timer::Timers,
    trace::{Trace, TraceStep},
};
use madsim::runtime::Runtime;
use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, PoisonError},
    time::Duration,
};

/// What to simulate, apart from the harness.
#[derive(Clone, Debug)]
pub struct SimulationSpec {
    /// All randomness follows from it.
    pub seed: u64,
    /// The run is stopped as stuck when it goes on for longer than this (simulated time).
    pub time_limit: Duration,
    /// Keep every step of the trace in memory, not only its hash.
    pub keep_trace: bool,
}

impl Default for SimulationSpec {
    fn default() -> Self {
        SimulationSpec { seed: 0, time_limit: Duration::from_secs(24 * 3600), keep_trace: false }
    }
}

/// A simulation that came to its end.
#[derive(Debug)]
pub struct Finished<T> {
    /// What the harness returned.
    pub value: T,
    /// The digest of every step.
    pub trace_hash: u64,
    /// How many steps there were.
    pub trace_steps: u64,
    /// The steps, if they were kept.
    pub trace: Vec<TraceStep>,
    /// How long it took in simulated time, nanoseconds.
    pub simulated_ns: u64,
}

/// A simulation that did not: something panicked, on a host or in the harness, or the time limit was reached.
#[derive(Debug, thiserror::Error)]
#[error("the simulation of seed {seed} panicked: {message}")]
pub struct Panicked {
    pub seed: u64,
    pub message: String,
}

/// Runs one simulation to its end, on a fresh OS thread.
///
/// A fresh thread, because the keys of std's hash maps are per thread; entered into a seeded tokio runtime, because
/// `select!` and `watch` draw from tokio's thread-local generator; by `Handle::block_on`, because `Runtime::block_on` would
/// install a scheduler whose deferred wake-ups never come; `unconstrained`, because the simulation is one single poll, for
/// which tokio's cooperative budget would be far too small.
///
/// # Errors
/// When anything panics: the message of the panic.
pub fn simulate<T, F, Fut>(spec: SimulationSpec, harness: F) -> Result<Finished<T>, Panicked>
where
    F: FnOnce(World) -> Fut + Send,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let seed = spec.seed;
    let joined = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name(format!("seed-{seed}"))
            .spawn_scoped(scope, move || run(spec, harness))
            .expect("the operating system gives us a thread")
            .join()
    });
    joined.map_err(|panic| Panicked { seed, message: misuse::with_hint(panic_message(&*panic)) })
}

fn run<T, F, Fut>(spec: SimulationSpec, harness: F) -> Finished<T>
where
    F: FnOnce(World) -> Fut + Send,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let runtime = Runtime::with_seed_and_config(spec.seed, madsim::Config::default());
    let tokio = misuse::seeded_tokio(spec.seed);
    misuse::guard_hosts();
    tokio.handle().block_on(tokio::task::unconstrained(async move {
        // All within one poll, see `executor`.
        runtime.block_on(async move {
            let world = World { programs: Arc::default() };
            catch_unwind(AssertUnwindSafe(|| drive(&spec, &world, harness))).unwrap_or_else(|panic| {
                // A task may have panicked because of what it was refused.
                let refusal = misuse::take_refusal();
                clear_up(&world);
                match refusal {
                    Some(refusal) => resume_unwind(Box::new(format!("{} ({refusal})", panic_message(&*panic)))),
                    None => resume_unwind(panic),
                }
            })
        })
    }))
}

/// Runs the harness to its end, then everything else to nothing.
fn drive<T, F, Fut>(spec: &SimulationSpec, world: &World, harness: F) -> Finished<T>
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = T> + 'static,
    T: 'static,
{
    let core = Core::new(spec.seed, Trace::new(spec.keep_trace));
    let key = core.key();
    kernel::install(Kernel {
        net: Net::new(key),
        core,
        timers: Timers::default(),
        hosts: Vec::new(),
        disks: Vec::new(),
        snapshots: BTreeMap::new(),
        streams: BTreeMap::new(),
        fault_points: FaultPoints::default(),
        libc_clock: madsim::time::TimeHandle::current(),
        libc_clock_ns: 0,
        suspended: 0,
        shortage: Shortage::default(),
    });
    let value = executor::run(key, spec.time_limit, || harness(world.clone()));
    world.stop_all();
    executor::drop_all();
    drop(world.take_programs());
    let mut kernel = kernel::uninstall().expect("installed before");
    Finished {
        value,
        trace_hash: kernel.core.trace.hash(),
        trace_steps: kernel.core.trace.count(),
        trace: kernel.core.trace.take_kept(),
        simulated_ns: kernel.core.now_ns(),
    }
}

/// After a panic: ends and drops all tasks. What they drop may panic again, because of locks that are poisoned: each time one
/// task less is left.
fn clear_up(world: &World) {
    const PANICS_MAX: u32 = 1_000;
    for _ in 0..PANICS_MAX {
        let cleared = catch_unwind(AssertUnwindSafe(|| {
            if kernel::is_installed() {
                world.stop_all();
            }
            executor::drop_all();
            drop(world.take_programs());
            drop(kernel::uninstall());
        }));
        if cleared.is_ok() {
            return;
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

impl World {
    /// Programs hold what the harness gave them, often this very world: the circle must be broken, or none of it is freed.
    fn take_programs(&self) -> Vec<Program> {
        std::mem::take(&mut *self.programs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stop_all(&self) {
        let hosts = kernel::with(|kernel| {
            kernel.hosts.iter_mut().for_each(|host| host.state = HostState::Off);
            (0..kernel.hosts.len() as u32).map(HostId)
        });
        hosts.for_each(|host| self.kill_tasks(host));
    }
}

//! The control panel of the simulation: hosts are created and booted here, and broken here.
//!
//! [`simulate`] runs one simulation to its end on a thread of its own. The closure it is given is the *harness*: it runs on
//! no host, sees true time, and holds the [`World`]. Everything that runs on a host is a [`Program`]: a function that
//! makes the future of a process, called anew at every boot.
//!
//! ```
//! use sim::world::{Crash, HostSpec, SimulationSpec, simulate};
//! use std::time::Duration;
//!
//! let run = simulate(SimulationSpec { seed: 7, ..Default::default() }, |world| async move {
//!     let host = world.add_host(HostSpec::new("one", || async { sim::time::sleep(Duration::from_secs(3600)).await }));
//!     world.boot(host);
//!     world.sleep(Duration::from_secs(1)).await;
//!     world.crash(host, Crash::Power);
//!     world.now_ns()
//! })
//! .expect("nothing panicked");
//! assert!(run.value >= 1_000_000_000);
//! ```

mod breakage;
mod fault_points;
#[cfg(test)]
mod tests;

use super::{
    core::Core,
    disk::Disk,
    fault_point::FaultPoints,
    host::Host,
    kernel::{self, Driver, Kernel},
    net::Net,
    timer::{TimerId, Timers},
    trace::Trace,
};
use madsim::{
    runtime::{Handle, Runtime},
    task::NodeId,
};
use std::{
    any::Any,
    collections::BTreeMap,
    net::Ipv4Addr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

pub use super::{
    core::{Crash, HostId, ProcessId},
    disk::{CrashReport, DiskSlowdown, DiskSpec, DiskStats, Raid10},
    fault_point::{ACTIVE_PROBABILITY, ActiveSites, FaultPointCount},
    host::{ClockSpec, EPOCH_MS, HostState},
    key::{Key, Stream},
    net::{LinkSlowdown, LinkSpec, NetStats},
    trace::{TraceStep, digest},
};
pub use breakage::MemberLoss;

/// What a process runs: makes its future at every boot.
pub type Program = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

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

/// A machine to add to the world.
#[derive(Clone)]
pub struct HostSpec {
    /// Its host name, which `sim::net::resolve` knows.
    pub name: String,
    /// What fails together: the rack, the power supply.
    pub zone: u32,
    pub clock: ClockSpec,
    pub disk: DiskSpec,
    /// What it runs.
    pub program: Program,
}

impl HostSpec {
    /// A host with the default disk and a true clock in zone 0.
    pub fn new<F, Fut>(name: impl Into<String>, program: F) -> HostSpec
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        HostSpec {
            name: name.into(),
            zone: 0,
            clock: ClockSpec::default(),
            disk: DiskSpec::default(),
            program: Arc::new(move || Box::pin(program())),
        }
    }
}

/// The control panel. Clones control the same world.
#[derive(Clone)]
pub struct World {
    handle: Handle,
    programs: Arc<Mutex<Vec<Program>>>,
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
    joined.map_err(|panic| Panicked { seed, message: panic_message(&*panic) })
}

fn run<T, F, Fut>(spec: SimulationSpec, harness: F) -> Finished<T>
where
    F: FnOnce(World) -> Fut + Send,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let mut runtime = Runtime::with_seed_and_config(spec.seed, madsim::Config::default());
    runtime.set_time_limit(spec.time_limit);
    let core = Core::new(spec.seed, Trace::new(spec.keep_trace));
    kernel::install(Kernel {
        net: Net::new(core.key()),
        core,
        timers: Timers::default(),
        hosts: Vec::new(),
        disks: Vec::new(),
        processes: BTreeMap::new(),
        streams: BTreeMap::new(),
        fault_points: FaultPoints::default(),
        time: runtime.block_on(async { madsim::time::TimeHandle::current() }),
    });
    let tokio = tokio::runtime::Builder::new_current_thread()
        .rng_seed(tokio::runtime::RngSeed::from_bytes(&spec.seed.to_le_bytes()))
        .build()
        .expect("a tokio runtime without drivers needs nothing");
    tokio.handle().block_on(tokio::task::unconstrained(async move {
        let world = World { handle: runtime.handle().clone(), programs: Arc::default() };
        runtime.block_on(async move {
            let driver = madsim::task::spawn(Driver::default());
            let value = harness(world.clone()).await;
            // Tasks that are alive when the runtime is dropped are never freed: end them, and let the executor drop them.
            world.stop_all();
            driver.abort();
            madsim::time::sleep(Duration::from_millis(1)).await;
            // Programs hold what the harness gave them, often this very world: break the circle, or none of it is freed.
            let programs = std::mem::take(&mut *world.programs.lock().unwrap_or_else(PoisonError::into_inner));
            drop(programs);
            let mut kernel = kernel::uninstall().expect("installed above");
            Finished {
                value,
                trace_hash: kernel.core.trace.hash(),
                trace_steps: kernel.core.trace.count(),
                trace: kernel.core.trace.take_kept(),
                simulated_ns: kernel.core.now_ns(),
            }
        })
    }))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// True simulated time since the start in nanoseconds; `None` outside of a simulation. For log lines.
pub fn now_ns() -> Option<u64> {
    kernel::try_with(|kernel| kernel.core.now_ns())
}

impl World {
    /// True simulated time since the start, in nanoseconds.
    pub fn now_ns(&self) -> u64 {
        kernel::with(|kernel| kernel.core.now_ns())
    }

    /// The root of this simulation's keyed randomness.
    pub fn key(&self) -> Key {
        kernel::with(|kernel| kernel.core.key())
    }

    /// Waits in true time.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until_ns(self.now_ns() + u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)).await;
    }

    /// Waits until true time `at_ns`.
    pub async fn sleep_until_ns(&self, at_ns: u64) {
        let mut timer = TrueTimer(None);
        std::future::poll_fn(|context| {
            kernel::with(|kernel| {
                let fired = match timer.0 {
                    Some(timer) => kernel.timers.poll(timer, context.waker()),
                    None if at_ns <= kernel.core.now_ns() => true,
                    None => {
                        timer.0 = Some(kernel.timers.start(&mut kernel.core, at_ns, context.waker()));
                        false
                    }
                };
                if fired { Poll::Ready(()) } else { Poll::Pending }
            })
        })
        .await;
    }

    /// Adds a machine, switched off. Its address is 10.0.x.y after the order of creation.
    pub fn add_host(&self, spec: HostSpec) -> HostId {
        let id = kernel::with(|kernel| {
            let id = HostId(u32::try_from(kernel.hosts.len()).expect("a world has fewer than 2^32 hosts"));
            let number = id.0 + 1;
            let address = Ipv4Addr::new(10, 0, (number / 250) as u8, (number % 250) as u8);
            kernel.net.add_host(id, &spec.name, address);
            let key = kernel.core.key().derive("disk").index(u64::from(id.0));
            kernel.disks.push(Disk::new(spec.disk, key));
            kernel.hosts.push(Host {
                name: spec.name,
                zone: spec.zone,
                address,
                clock: spec.clock,
                state: HostState::Off,
                incarnation: 0,
                machine_boots: 0,
                paused: false,
                terminate: false,
                terminate_wakers: Vec::new(),
            });
            id
        });
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).push(spec.program);
        id
    }

    /// Boots the machine if it is off, and starts its program as a new process. A process that returns by itself leaves
    /// the host idle.
    ///
    /// # Panics
    /// When a process is running there.
    pub fn boot(&self, host: HostId) -> ProcessId {
        let name = kernel::with(|kernel| {
            assert!(kernel.host(host).state != HostState::Running, "{host:?} runs already");
            if kernel.host(host).state == HostState::Off {
                kernel.host(host).machine_boots += 1;
                let (net, core) = kernel.net_core();
                net.on_host_up(core, host);
            }
            kernel.host(host).name.clone()
        });
        let node = self.handle.create_node().name(name).build();
        let process = kernel::with(|kernel| {
            let entry = kernel.host(host);
            entry.incarnation += 1;
            entry.state = HostState::Running;
            entry.terminate = false;
            let process = entry.process(host);
            kernel.processes.insert(node.id(), process);
            kernel.core.trace(host, "boot", u64::from(process.incarnation), 0);
            process
        });
        let program = Arc::clone(&self.programs.lock().unwrap_or_else(PoisonError::into_inner)[host.0 as usize]);
        let main = node.spawn(async move { program().await });
        let world = self.clone();
        madsim::task::spawn(async move {
            // An error means that the process was killed, which whoever killed it has dealt with.
            if main.await.is_ok() {
                world.end_process(process, "exit");
            }
        });
        process
    }

    /// What a host is doing.
    pub fn state(&self, host: HostId) -> HostState {
        kernel::with(|kernel| kernel.host(host).state)
    }

    /// The address of a host.
    pub fn address(&self, host: HostId) -> Ipv4Addr {
        kernel::with(|kernel| kernel.host(host).address)
    }

    /// The zone of a host.
    pub fn zone(&self, host: HostId) -> u32 {
        kernel::with(|kernel| kernel.host(host).zone)
    }

    /// Asks the process to stop in good order (SIGTERM).
    pub fn terminate(&self, host: HostId) {
        let wakers = kernel::with(|kernel| {
            kernel.core.trace(host, "terminate", 0, 0);
            let host = kernel.host(host);
            host.terminate = true;
            std::mem::take(&mut host.terminate_wakers)
        });
        wakers.into_iter().for_each(std::task::Waker::wake);
    }

    /// Stops a host in one of the ways of [`Crash`]; what was lost on its disk. It stays down until [`World::boot`].
    /// Crashing what does not run loses what its kind of crash loses all the same.
    pub fn crash(&self, host: HostId, crash: Crash) -> CrashReport {
        let process = kernel::with(|kernel| {
            let entry = kernel.host(host);
            let process = (entry.state == HostState::Running).then(|| entry.process(host));
            entry.state = match crash {
                Crash::Process if entry.state != HostState::Off => HostState::Idle,
                _ => HostState::Off,
            };
            process
        });
        let report = kernel::with(|kernel| {
            let step = match crash {
                Crash::Process => "kill",
                Crash::Os => "os-crash",
                Crash::Power => "power-loss",
                Crash::Disk => "disk-loss",
            };
            kernel.core.trace(host, step, 0, 0);
            let (net, core) = kernel.net_core();
            match (crash, process) {
                (Crash::Process, Some(process)) => net.on_process_killed(core, process),
                (Crash::Process, None) => {}
                _ => net.on_host_silenced(core, host),
            }
            let (disk, core) = kernel.disk(host);
            disk.crash(core, host, crash)
        });
        if let Some(process) = process {
            self.kill_tasks(process);
        }
        report
    }

    /// Cuts the way from one host to another, in this direction only.
    pub fn cut(&self, from: HostId, to: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(from, "cut", u64::from(to.0), 0);
            let (net, core) = kernel.net_core();
            net.cut(core, from, to);
        });
    }

    /// Mends what [`World::cut`] cut.
    pub fn heal(&self, from: HostId, to: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(from, "heal", u64::from(to.0), 0);
            let (net, core) = kernel.net_core();
            net.heal(core, from, to);
        });
    }

    /// Changes the properties of the way from one host to another. A slowdown in force stays in force on top of them.
    pub fn set_link(&self, from: HostId, to: HostId, link: LinkSpec) {
        kernel::with(|kernel| {
            let words = [link.latency_ns_min, link.jitter_ns_mean, link.tail_ns_mean, link.bandwidth_bytes_per_s];
            let digest = words.into_iter().chain([link.tail_probability.to_bits(), link.loss.to_bits()]);
            let digest = digest.fold(0_u64, |digest, word| digest.rotate_left(11) ^ word);
            kernel.core.trace(from, "net.link", u64::from(to.0), digest);
            kernel.net.set_link(from, to, link);
        });
    }

    /// The properties of the way from one host to another, without a slowdown that may be in force.
    pub fn link(&self, from: HostId, to: HostId) -> LinkSpec {
        kernel::with(|kernel| kernel.net.link(from, to))
    }

    /// Steps the wall clock of a host by so many milliseconds, forward or backward.
    pub fn step_clock(&self, host: HostId, step_ms: i64) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "clock-step", step_ms.cast_unsigned(), 0);
            kernel.host(host).clock.offset_ms += step_ms;
        });
    }

    /// Counters of the network.
    pub fn net_stats(&self) -> NetStats {
        kernel::with(|kernel| kernel.net.stats())
    }

    /// Counters of a host's disk.
    pub fn disk_stats(&self, host: HostId) -> DiskStats {
        kernel::with(|kernel| kernel.disk(host).0.stats())
    }

    /// The files of a host as a program there would read them: path and content, sorted by path.
    pub fn disk_files(&self, host: HostId) -> Vec<(String, Vec<u8>)> {
        kernel::with(|kernel| kernel.disk(host).0.cached_files())
    }

    /// The files of a host as they are on the media now: what the unkindest power loss would leave.
    pub fn durable_disk_files(&self, host: HostId) -> Vec<(String, Vec<u8>)> {
        kernel::with(|kernel| {
            let now_ns = kernel.core.now_ns();
            kernel.disk(host).0.durable_files(now_ns)
        })
    }

    /// The digest of all steps so far.
    pub fn trace_hash(&self) -> u64 {
        kernel::with(|kernel| kernel.core.trace.hash())
    }

    /// Leaves a step of the harness in the trace, under a host.
    pub fn trace(&self, host: HostId, step: &'static str, a: u64, b: u64) {
        kernel::with(|kernel| kernel.core.trace(host, step, a, b));
    }

    fn end_process(&self, process: ProcessId, step: &'static str) {
        let alive = kernel::with(|kernel| {
            let alive = kernel.is_alive(process);
            if alive {
                kernel.host(process.host).state = HostState::Idle;
                kernel.core.trace(process.host, step, u64::from(process.incarnation), 0);
                let (net, core) = kernel.net_core();
                net.on_process_killed(core, process);
                let (disk, core) = kernel.disk(process.host);
                disk.crash(core, process.host, Crash::Process);
            }
            alive
        });
        if alive {
            self.kill_tasks(process);
        }
    }

    /// madsim's node of a process.
    fn node(&self, process: ProcessId) -> Option<NodeId> {
        kernel::with(|kernel| kernel.processes.iter().find(|(_, id)| **id == process).map(|(node, _)| *node))
    }

    fn kill_tasks(&self, process: ProcessId) {
        let was_paused = kernel::with(|kernel| std::mem::take(&mut kernel.host(process.host).paused));
        if let Some(node) = self.node(process) {
            if was_paused {
                // Tasks that are set aside would be dropped within madsim's lock, which what they drop may ask for again.
                self.handle.resume(node);
            }
            self.handle.kill(node);
        }
    }

    fn stop_all(&self) {
        let running = kernel::with(|kernel| {
            let hosts = kernel.hosts.iter_mut().zip(0..);
            hosts
                .filter(|(host, _)| host.state == HostState::Running)
                .map(|(host, id)| {
                    host.state = HostState::Off;
                    host.process(HostId(id))
                })
                .collect::<Vec<_>>()
        });
        running.into_iter().for_each(|process| self.kill_tasks(process));
    }
}

/// A timer in true time that is stopped when dropped.
struct TrueTimer(Option<TimerId>);

impl Drop for TrueTimer {
    fn drop(&mut self) {
        if let Some(timer) = self.0.take() {
            drop(kernel::try_with(|kernel| kernel.timers.stop(timer)));
        }
    }
}

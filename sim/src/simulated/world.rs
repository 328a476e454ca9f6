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

mod disk;
mod fault_points;
mod hosts;
mod net;
pub mod partition;
mod simulation;
#[cfg(test)]
mod tests;

use super::{
    clock::Clock,
    disk::Disk,
    executor,
    host::Host,
    kernel,
    timer::{Due, TimerId},
};
use std::{
    net::Ipv4Addr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

pub use super::{
    clock::{ClockSpec, EPOCH_MS},
    core::{Crash, HostId, ProcessId},
    disk::{
        CrashReport, DamageReport, DiskFaults, DiskSlowdown, DiskSpec, DiskStats, MediaDamage, MediaDamageKind,
        Personality, Raid10,
    },
    fault_point::{ACTIVE_PROBABILITY, ActiveSites, FaultPointCount},
    host::{HostState, HostStats, Place, Zone},
    key::{Key, Stream},
    net::{
        LatencyDistribution, LinkFilter, LinkSlowdown, LinkSpec, LinkStats, NameService, NetStats, Passing, Verdict,
    },
    stall::CpuStarvation,
    strobe::ClockStrobe,
    trace::{TraceStep, digest},
};
pub use disk::MemberLoss;
pub use hosts::CrashLoop;
pub use simulation::{Finished, Panicked, SimulationSpec, simulate};

/// What a process runs: makes its future at every boot.
pub type Program = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A machine to add to the world.
#[derive(Clone)]
pub struct HostSpec {
    /// Its host name, which `sim::net::resolve` knows.
    pub name: String,
    /// Where it stands: what fails together.
    pub zone: Zone,
    pub clock: ClockSpec,
    pub disk: DiskSpec,
    /// What it runs.
    pub program: Program,
}

impl HostSpec {
    /// A host with the default disk and a true clock in the first rack of all.
    pub fn new<F, Fut>(name: impl Into<String>, program: F) -> HostSpec
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        HostSpec {
            name: name.into(),
            zone: Zone::default(),
            clock: ClockSpec::default(),
            disk: DiskSpec::default(),
            program: Arc::new(move || Box::pin(program())),
        }
    }
}

/// The control panel. Clones control the same world.
#[derive(Clone)]
pub struct World {
    programs: Arc<Mutex<Vec<Program>>>,
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
                        let due = Due { host: None, at_ns, deadline_ns: at_ns };
                        timer.0 = Some(kernel.timers.start(&mut kernel.core, due, context.waker()));
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
            kernel.hosts.push(Host::new(spec.name, spec.zone, address, Clock::new(spec.clock)));
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
        kernel::with(|kernel| {
            assert!(kernel.host(host).state != HostState::Running, "{host:?} runs already");
            if kernel.host(host).state == HostState::Off {
                let now_ns = kernel.core.now_ns();
                let entry = kernel.host(host);
                entry.machine_boots += 1;
                entry.clock.boot(now_ns);
                let (net, core) = kernel.net_core();
                net.on_host_up(core, host);
            }
        });
        let (process, node) = kernel::with(|kernel| {
            let entry = kernel.host(host);
            entry.incarnation += 1;
            entry.state = HostState::Running;
            entry.terminate = false;
            let process = entry.process(host);
            let node = executor::create_node(process);
            kernel.stall_new_process(host, node);
            kernel.forget_killed(host);
            kernel.core.trace(host, "boot", u64::from(process.incarnation), 0);
            (process, node)
        });
        let program = Arc::clone(&self.programs.lock().unwrap_or_else(PoisonError::into_inner)[host.0 as usize]);
        let main = executor::spawn_on(node, async move { program().await });
        let world = self.clone();
        executor::spawn(async move {
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
            entry.stats.crashes_injected += 1;
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
        self.kill_tasks(host);
        report
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
            self.kill_tasks(process.host);
        }
    }

    /// Ends the tasks of the process of a host, and what stalls them.
    fn kill_tasks(&self, host: HostId) {
        if let Some(node) = kernel::with(|kernel| kernel.release_process(host)) {
            executor::kill(node);
        }
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

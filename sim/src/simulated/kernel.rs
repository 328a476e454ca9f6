//! The kernel: all models of one simulation in one place, on one OS thread, and the driver that moves them.
//!
//! One simulation owns one OS thread; its kernel lives in a thread-local and is reached by [`with`], so that sockets,
//! files and timers are plain identifiers (and so `Send`). The executor runs the tasks, and between them asks the kernel to
//! move the time on and to hand the events that are due to their models: [`advance_by`], [`advance_to_next`].

use super::{
    clock::Clock,
    core::{Core, Event, HostId, ProcessId},
    disk::Disk,
    executor,
    fault_point::FaultPoints,
    host::{Host, HostState},
    key::Stream,
    memory::Shortage,
    net::Net,
    timer::Timers,
};
use madsim::time::TimeHandle;
use std::{cell::RefCell, collections::BTreeMap, time::Duration};

thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

/// Everything that is simulated beneath the tasks.
pub struct Kernel {
    pub core: Core,
    pub net: Net,
    pub timers: Timers,
    pub hosts: Vec<Host>,
    pub disks: Vec<Disk>,
    /// Copies of disks, by the host that they were made of.
    pub snapshots: BTreeMap<HostId, Disk>,
    pub streams: BTreeMap<(ProcessId, &'static str), Stream>,
    pub fault_points: FaultPoints,
    /// madsim's clock, which is what libc shows.
    pub libc_clock: TimeHandle,
    pub libc_clock_ns: u64,
    /// How many machines are suspended.
    pub suspended: u32,
    /// Who is short of memory.
    pub shortage: Shortage,
}

/// How far the clock that libc shows may lag behind. Nobody should look at it but the allocator, which gives memory back by it:
/// at every step of the simulated time that would be far too often.
const LIBC_CLOCK_LAG_NS: u64 = 1_000_000_000;

impl Kernel {
    /// The network and the core, borrowed apart.
    pub fn net_core(&mut self) -> (&mut Net, &mut Core) {
        (&mut self.net, &mut self.core)
    }

    /// The disk of a host and the core, borrowed apart.
    pub fn disk(&mut self, host: HostId) -> (&mut Disk, &mut Core) {
        (&mut self.disks[host.0 as usize], &mut self.core)
    }

    /// A host.
    pub fn host(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0 as usize]
    }

    /// Whether this process runs at present.
    pub fn is_alive(&self, process: ProcessId) -> bool {
        let host = &self.hosts[process.host.0 as usize];
        host.incarnation == process.incarnation && host.state == HostState::Running
    }

    /// The process of the task that is being polled; `None` in the harness.
    pub fn current(&self) -> Option<ProcessId> {
        executor::current_process()
    }

    /// The host of the polled task and its clock; `None` in the harness, which sees true time.
    pub fn current_clock(&self) -> Option<(HostId, &Clock)> {
        self.current().map(|process| (process.host, &self.hosts[process.host.0 as usize].clock))
    }

    fn run_due(&mut self) {
        while let Some(event) = self.core.next_due() {
            // Looked at only while a machine is suspended.
            let event = if self.suspended == 0 { Some(event) } else { self.hold(event) };
            let Some(event) = event else { continue };
            match event {
                Event::Timer { slot, generation } => self.timers.fire(&mut self.core, slot, generation),
                Event::Starvation(host, event) => self.on_starvation(host, event),
                Event::Strobe(host, generation) => self.on_strobe(host, generation),
                Event::Net(event) => self.net.on_event(&mut self.core, event),
                Event::Disk(host, event) => {
                    let (disk, core) = self.disk(host);
                    disk.on_event(core, host, event);
                }
            }
        }
    }

    /// Moves the time on to `until_ns`, through all events that are due by then.
    fn advance(&mut self, until_ns: u64) {
        while let Some(due_ns) = self.core.next_due_ns().filter(|&due_ns| due_ns <= until_ns) {
            self.core.set_now_ns(due_ns.max(self.core.now_ns()));
            self.run_due();
        }
        self.core.set_now_ns(until_ns);
        let lag_ns = until_ns - self.libc_clock_ns;
        if lag_ns >= LIBC_CLOCK_LAG_NS {
            self.libc_clock.advance(Duration::from_nanos(lag_ns));
            self.libc_clock_ns = until_ns;
        }
    }
}

/// Puts the kernel of a simulation into this thread.
pub fn install(kernel: Kernel) {
    KERNEL.with(|cell| *cell.borrow_mut() = Some(kernel));
}

/// Whether a simulation runs in this thread.
pub fn is_installed() -> bool {
    KERNEL.with(|cell| cell.borrow().is_some())
}

/// Takes the kernel out of this thread, at the end of a simulation.
pub fn uninstall() -> Option<Kernel> {
    KERNEL.with(|cell| cell.borrow_mut().take())
}

/// Works on the kernel, then calls the wakers that were handed over meanwhile.
///
/// # Panics
/// Outside of a simulation, and when called from within itself.
pub fn with<R>(work: impl FnOnce(&mut Kernel) -> R) -> R {
    try_with(work).expect("the seam is used outside of a simulation: call it from within `world::simulate`")
}

/// As [`with`]; `None` when the simulation is over (sockets and timers that are dropped late).
pub fn try_with<R>(work: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
    let (result, wakers) = KERNEL.with(|cell| {
        let mut kernel = cell.borrow_mut();
        let kernel = kernel.as_mut()?;
        let result = work(kernel);
        Some((result, kernel.core.take_wakers()))
    })?;
    if let Some(mut wakers) = wakers {
        wakers.drain(..).for_each(std::task::Waker::wake);
        KERNEL.with(|cell| cell.borrow_mut().as_mut().map(|kernel| kernel.core.give_wakers_back(wakers)));
    }
    Some(result)
}

/// Moves the time on by this much. Nothing happens when the simulation is over.
pub fn advance_by(ns: u64) {
    try_with(|kernel| {
        let until_ns = kernel.core.now_ns() + ns;
        kernel.advance(until_ns);
    });
}

/// Moves the time on to the next event of the agenda; returns it, or `None` when nothing will ever happen by itself.
pub fn advance_to_next() -> Option<u64> {
    with(|kernel| {
        let until_ns = kernel.core.next_due_ns()?.max(kernel.core.now_ns());
        kernel.advance(until_ns);
        Some(until_ns)
    })
}

/// The process of the task that is being polled.
///
/// # Panics
/// In the harness, which runs on no host.
pub fn current_process() -> ProcessId {
    with(|kernel| kernel.current()).expect("files, sockets and processes belong to a host: boot a program on one")
}

/// The polled task's process begins an operation; comes back only if it is not killed instead.
pub async fn operation() {
    if !with(Kernel::operate_current) {
        std::future::pending::<()>().await;
    }
}

//! The kernel: all models of one simulation in one place, on one OS thread, and the driver that moves them.
//!
//! One simulation owns one OS thread; its kernel lives in a thread-local and is reached by [`with`], so that sockets,
//! files and timers are plain identifiers (and so `Send`). madsim runs the tasks and owns the clock; the [`Driver`] is a
//! task that sleeps until the next event of the agenda, hands the due events to their models, and sleeps again.
//!
//! madsim's own randomness only orders the tasks that are ready at the same instant and adds 50–100 ns per poll. Everything
//! else that is random is keyed, see `key`.

use super::{
    clock::Clock,
    core::{Core, Event, HostId, ProcessId},
    disk::Disk,
    fault_point::FaultPoints,
    host::{Host, HostState},
    key::Stream,
    memory::Shortage,
    net::Net,
    timer::Timers,
};
use madsim::{task::NodeId, time::TimeHandle};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

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
    /// madsim's node of each process that ever ran.
    pub processes: BTreeMap<NodeId, ProcessId>,
    pub streams: BTreeMap<(ProcessId, &'static str), Stream>,
    pub fault_points: FaultPoints,
    pub time: TimeHandle,
    /// How many machines are suspended.
    pub suspended: u32,
    /// Who is short of memory.
    pub shortage: Shortage,
}

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
        self.processes.get(&madsim::plugin::node()).copied()
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
        let now_ns = u64::try_from(kernel.time.elapsed().as_nanos()).expect("a simulation is shorter than 584 years");
        kernel.core.set_now_ns(now_ns);
        let result = work(kernel);
        Some((result, kernel.core.take_wakers()))
    })?;
    for waker in wakers {
        waker.wake();
    }
    Some(result)
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

/// The task that moves the kernel; see the module's text.
#[derive(Default)]
pub struct Driver {
    sleep: Option<Pin<Box<madsim::time::Sleep>>>,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let (next, time) = match step(context.waker()) {
                Step::Next(next, time) => (next, time),
                Step::Nothing => {
                    self.sleep = None;
                    return Poll::Pending;
                }
                Step::Over => return Poll::Ready(()),
            };
            let deadline = time.now_instant() - time.elapsed() + Duration::from_nanos(next);
            // `reset` has no floor, while `sleep_until` has one of a millisecond.
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(time.sleep(Duration::ZERO)));
            sleep.as_mut().reset(deadline);
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// What the driver does next.
enum Step {
    /// Sleep until this time.
    Next(u64, TimeHandle),
    /// Wait until there is something to do.
    Nothing,
    /// There is no kernel any more.
    Over,
}

/// Runs what is due and arms the driver.
fn step(waker: &Waker) -> Step {
    try_with(|kernel| {
        kernel.run_due();
        kernel.core.arm(waker).map_or(Step::Nothing, |next| Step::Next(next, kernel.time.clone()))
    })
    .unwrap_or(Step::Over)
}

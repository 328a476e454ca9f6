//! The core that all machine models share: the time, the agenda of events to come, wake-ups, trace and random keys.
//!
//! A model (`net`, `disk`) is plain data with plain functions that take `&mut Core`: it reads `now_ns`, puts its next
//! events on the agenda, hands over wakers and leaves lines in the trace. It never polls a future and never calls a waker
//! itself: wakers collected here are called after the kernel's borrow has ended, because waking can drop a task, and a
//! dropped task closes its sockets, which enters the kernel again.

use super::{disk::DiskEvent, key::Key, net::NetEvent, stall::StarvationEvent, trace::Trace};
use std::{cmp::Reverse, collections::BinaryHeap, task::Waker};

/// A simulated host, numbered from 0 in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u32);

/// One life of the process on a host. `incarnation` counts boots from 1, so that what outlives a crash can be told from
/// what belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    pub host: HostId,
    pub incarnation: u32,
}

/// How a host stops. The table of what each loses is in `ARCHITECTURE.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// `kill -9`: process memory is lost; the kernel lives on and closes the sockets.
    Process,
    /// Kernel panic: the page cache is lost too; the drive lives on and drains its cache. The network falls silent.
    Os,
    /// Power loss: the drive's volatile cache is lost too, and a sector being written may be torn.
    Power,
    /// The drive is gone with everything on it; the machine stops as at a power loss.
    Disk,
}

/// Something that happens at a time.
#[derive(Debug)]
pub enum Event {
    /// A timer of a task: see `time`.
    Timer {
        slot: u32,
        generation: u32,
    },
    Net(NetEvent),
    Disk(HostId, DiskEvent),
    /// The process of a starved host gets or loses the CPU: see `stall`.
    Starvation(HostId, StarvationEvent),
    /// A strobed clock is stepped: see `strobe`.
    Strobe(HostId, u32),
}

struct Due {
    at_ns: u64,
    sequence: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.sequence).cmp(&(other.at_ns, other.sequence))
    }
}

/// What every model needs of the kernel.
pub struct Core {
    now_ns: u64,
    key: Key,
    agenda: BinaryHeap<Reverse<Due>>,
    sequence: u64,
    wakers: Vec<Waker>,
    pub trace: Trace,
}

impl Core {
    pub fn new(seed: u64, trace: Trace) -> Core {
        Core { now_ns: 0, key: Key::root(seed), agenda: BinaryHeap::new(), sequence: 0, wakers: Vec::new(), trace }
    }

    /// True simulated time in nanoseconds since the simulation began; no host's clock.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Moves the time forward. Called by the kernel alone.
    pub fn set_now_ns(&mut self, now_ns: u64) {
        debug_assert!(now_ns >= self.now_ns, "simulated time runs backwards");
        self.now_ns = now_ns;
    }

    /// The root of the keyed randomness of this simulation.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Puts an event on the agenda; a time that has passed means "as soon as possible". Events of the same time happen in
    /// the order in which they were scheduled.
    pub fn schedule(&mut self, at_ns: u64, event: Event) {
        self.sequence += 1;
        self.agenda.push(Reverse(Due { at_ns, sequence: self.sequence, event }));
    }

    /// Takes the next event that is due by now.
    pub fn next_due(&mut self) -> Option<Event> {
        if self.agenda.peek()?.0.at_ns > self.now_ns {
            return None;
        }
        self.agenda.pop().map(|Reverse(due)| due.event)
    }

    /// The time of the next event, which may have passed; `None` when the agenda is empty.
    pub fn next_due_ns(&self) -> Option<u64> {
        self.agenda.peek().map(|Reverse(due)| due.at_ns)
    }

    /// Hands over a waker to be called once the kernel is no longer borrowed.
    pub fn wake(&mut self, waker: Waker) {
        self.wakers.push(waker);
    }

    /// As [`Core::wake`], for a waker that may be absent.
    pub fn wake_slot(&mut self, waker: &mut Option<Waker>) {
        if let Some(waker) = waker.take() {
            self.wakers.push(waker);
        }
    }

    /// The wakers handed over since the last call, if there are any. Called by the kernel alone, which gives the vector back.
    pub fn take_wakers(&mut self) -> Option<Vec<Waker>> {
        (!self.wakers.is_empty()).then(|| std::mem::take(&mut self.wakers))
    }

    /// Takes a vector of [`Core::take_wakers`] back, emptied, so that it is allocated once.
    pub fn give_wakers_back(&mut self, wakers: Vec<Waker>) {
        if self.wakers.capacity() == 0 {
            self.wakers = wakers;
        }
    }

    /// Leaves a step in the trace at the present time.
    pub fn trace(&mut self, host: HostId, step: &'static str, a: u64, b: u64) {
        self.trace.step(self.now_ns, host, step, a, b);
    }
}

//! What makes the process of a host stand still while its machine is there: three reasons, which may overlap.
//!
//! * **Paused**: the process alone stands, as under SIGSTOP or in a long garbage collection. The kernel goes on: it
//!   acknowledges what arrives until the receive buffers are full, ends the calls under way, lets timers run out. Both clocks
//!   run on.
//! * **Suspended**: the whole virtual machine stands, as in a live migration or a snapshot. Nothing happens on it: packets
//!   wait in the hypervisor's queue, the kernel's timers and its write-back stand still, and so does the monotonic clock.
//!   Peers see silence. When it goes on, everything that waited happens at once, and timers run for what they had left.
//! * **Throttled**: the process is off the CPU for a part of each time slice, as under a quota of CFS bandwidth control
//!   (`cpu.max`, whose period is 100 ms by default) or beside a greedy neighbour. When in the slice its turn comes is a keyed
//!   draw. The kernel has CPU enough: interrupts are not throttled.
//!
//! A simulated computation takes no time, so starvation shows as delay, not as less work for each turn. Not modelled: the
//! bound of a hypervisor's queue (what a sender has in flight is bounded by TCP's windows), and guests whose timers jump
//! when they go on.

use super::{
    core::{Event, HostId},
    executor::{self, NodeId},
    host::HostState,
    kernel::Kernel,
    key::Key,
    net::NetEvent,
};

/// How a host is starved of CPU time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuStarvation {
    /// The part of each slice in which the process may run, from 0 (never) to 1 (always).
    pub share: f64,
    /// The length of a slice in nanoseconds; CFS's default is 100 ms.
    pub slice_ns: u64,
}

/// Why the process of a host stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    pub paused: bool,
    pub suspended: bool,
    pub throttled: bool,
}

impl Stalls {
    fn any(self) -> bool {
        self.paused || self.suspended || self.throttled
    }
}

/// The starvation of a host, and what is needed to count.
#[derive(Default)]
pub struct Starving {
    spec: Option<CpuStarvation>,
    /// Tells the events of this starvation from those of an earlier one.
    generation: u32,
    /// The slice that runs, its beginning and when the process may run in it.
    slice: u64,
    slice_from_ns: u64,
    stalled_since_ns: Stalled,
    held: Vec<(u64, Event)>,
}

/// Since when a stall lasts, each kind for itself.
#[derive(Default)]
struct Stalled {
    paused_ns: u64,
    suspended_ns: u64,
    throttled_ns: u64,
}

/// A step of starvation.
#[derive(Clone, Copy, Debug)]
pub struct StarvationEvent {
    generation: u32,
    runs: bool,
}

/// When in a slice the process runs: `(from, until)` in nanoseconds after the beginning of the slice.
fn turn(key: Key, host: HostId, starvation: CpuStarvation, slice: u64) -> (u64, u64) {
    let runs_ns = (starvation.share * starvation.slice_ns as f64) as u64;
    let runs_ns = runs_ns.min(starvation.slice_ns);
    let mut stream = key.derive("cpu-turn").index(u64::from(host.0)).index(slice).stream();
    let from_ns = stream.below(starvation.slice_ns - runs_ns + 1);
    (from_ns, from_ns + runs_ns)
}

impl Kernel {
    /// Changes the reasons for which a host's process stands still, and has the executor follow.
    fn stall(&mut self, host: HostId, change: impl FnOnce(&mut Stalls)) {
        let entry = self.host(host);
        let before = entry.stalls.any();
        change(&mut entry.stalls);
        let after = entry.stalls.any();
        let Some(node) = entry.node.filter(|_| before != after) else {
            return;
        };
        if after { executor::pause(node) } else { executor::resume(node) }
    }

    /// A new process has begun on a host that may be throttled.
    pub fn stall_new_process(&mut self, host: HostId, node: NodeId) {
        let entry = self.host(host);
        entry.node = Some(node);
        if entry.stalls.any() {
            executor::pause(node);
        }
    }

    /// The process of a host has ended: what stalled it alone is over. Returns the executor's node of it, which can be killed
    /// now.
    pub fn release_process(&mut self, host: HostId) -> Option<NodeId> {
        self.resume_process(host);
        self.resume_machine(host);
        self.host(host).node.take()
    }

    /// The process stands still; false when none runs, or it was paused already.
    pub fn pause_process(&mut self, host: HostId) -> bool {
        let now_ns = self.core.now_ns();
        let entry = self.host(host);
        if entry.state != HostState::Running || entry.stalls.paused {
            return false;
        }
        entry.stats.pauses_injected += 1;
        entry.starving.stalled_since_ns.paused_ns = now_ns;
        self.stall(host, |stalls| stalls.paused = true);
        true
    }

    /// The process goes on; false when it was not paused.
    pub fn resume_process(&mut self, host: HostId) -> bool {
        let now_ns = self.core.now_ns();
        let entry = self.host(host);
        if !entry.stalls.paused {
            return false;
        }
        entry.stats.paused_ns += now_ns - entry.starving.stalled_since_ns.paused_ns;
        self.stall(host, |stalls| stalls.paused = false);
        true
    }

    /// The machine stands still; false when it is off, or suspended already.
    pub fn suspend_machine(&mut self, host: HostId) -> bool {
        let now_ns = self.core.now_ns();
        let entry = self.host(host);
        if entry.state == HostState::Off || entry.stalls.suspended {
            return false;
        }
        entry.stats.suspensions_injected += 1;
        entry.starving.stalled_since_ns.suspended_ns = now_ns;
        entry.clock.suspend(now_ns);
        self.suspended += 1;
        self.stall(host, |stalls| stalls.suspended = true);
        self.disk(host).0.set_standstill(now_ns, true);
        self.retime(host);
        true
    }

    /// The machine goes on, and what waited happens; false when it was not suspended.
    pub fn resume_machine(&mut self, host: HostId) -> bool {
        let now_ns = self.core.now_ns();
        let entry = self.host(host);
        if !entry.stalls.suspended {
            return false;
        }
        let slept_ns = entry.clock.resume(now_ns);
        let held = std::mem::take(&mut entry.starving.held);
        entry.stats.suspended_ns += slept_ns;
        entry.stats.suspended_events += held.len() as u64;
        self.suspended -= 1;
        for (due_ns, event) in held {
            // Timers run for what they had left; what came from outside has come.
            let at_ns = if let Event::Net(NetEvent::Timer { .. } | NetEvent::DelayedAck { .. }) = event {
                due_ns + slept_ns
            } else {
                now_ns
            };
            self.core.schedule(at_ns, event);
        }
        self.disk(host).0.set_standstill(now_ns, false);
        self.retime(host);
        self.stall(host, |stalls| stalls.suspended = false);
        true
    }

    /// Sets the timers of a host anew after its monotonic clock was bent.
    pub fn retime(&mut self, host: HostId) {
        self.timers.retime(&mut self.core, host, &self.hosts[host.0 as usize].clock);
    }

    /// Keeps an event of a suspended machine back, or returns it.
    pub fn hold(&mut self, event: Event) -> Option<Event> {
        let host = match &event {
            Event::Net(event) => self.net.host_of(event),
            Event::Disk(host, _) => Some(*host),
            Event::Timer { .. } | Event::Starvation(..) | Event::Strobe(..) => None,
        };
        let Some(host) = host.filter(|host| self.hosts[host.0 as usize].stalls.suspended) else {
            return Some(event);
        };
        let now_ns = self.core.now_ns();
        self.host(host).starving.held.push((now_ns, event));
        None
    }

    /// Begins to starve the process of a host, or ends it. The present starvation is replaced.
    pub fn set_starvation(&mut self, host: HostId, starvation: Option<CpuStarvation>) {
        self.set_throttled(host, false);
        let now_ns = self.core.now_ns();
        let starving = &mut self.host(host).starving;
        starving.generation = starving.generation.wrapping_add(1);
        starving.spec = starvation;
        starving.slice_from_ns = now_ns;
        if let Some(starvation) = starvation.filter(|starvation| starvation.share < 1.0) {
            self.set_throttled(host, true);
            self.next_turn(host, starvation, now_ns);
        }
    }

    /// A step of starvation is due.
    pub fn on_starvation(&mut self, host: HostId, event: StarvationEvent) {
        let starving = &mut self.host(host).starving;
        let StarvationEvent { generation, runs } = event;
        let (Some(starvation), true) = (starving.spec, generation == starving.generation) else {
            return;
        };
        self.set_throttled(host, !runs);
        if !runs {
            let starving = &mut self.host(host).starving;
            starving.slice += 1;
            starving.slice_from_ns += starvation.slice_ns;
            let slice_from_ns = starving.slice_from_ns;
            self.next_turn(host, starvation, slice_from_ns);
        }
    }

    fn next_turn(&mut self, host: HostId, starvation: CpuStarvation, slice_from_ns: u64) {
        let starving = &self.hosts[host.0 as usize].starving;
        let (from_ns, until_ns) = turn(self.core.key(), host, starvation, starving.slice);
        if from_ns == until_ns {
            // No turn at all, ever: the share is too small for the slice.
            return;
        }
        for (runs, at_ns) in [(true, from_ns), (false, until_ns)] {
            let event = StarvationEvent { generation: starving.generation, runs };
            self.core.schedule(slice_from_ns + at_ns, Event::Starvation(host, event));
        }
    }

    fn set_throttled(&mut self, host: HostId, throttled: bool) {
        let now_ns = self.core.now_ns();
        let entry = self.host(host);
        if entry.stalls.throttled == throttled {
            return;
        }
        if throttled {
            entry.stats.throttles_injected += 1;
            entry.starving.stalled_since_ns.throttled_ns = now_ns;
        } else {
            entry.stats.throttled_ns += now_ns - entry.starving.stalled_since_ns.throttled_ns;
        }
        self.stall(host, |stalls| stalls.throttled = throttled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A turn lies within its slice, has its share of it, and is the same for the same key.
        #[test]
        fn a_turn_is_a_share_of_its_slice(seed: u64, slice: u64, share in 0.0..=1.0, slice_ns in 1..1_000_000_000_u64) {
            let starvation = CpuStarvation { share, slice_ns };
            let (from_ns, until_ns) = turn(Key::root(seed), HostId(3), starvation, slice);
            prop_assert!(from_ns <= until_ns && until_ns <= slice_ns);
            prop_assert!((until_ns - from_ns) as f64 <= share * slice_ns as f64);
            prop_assert!((until_ns - from_ns) as f64 + 1.0 > share * slice_ns as f64);
            prop_assert_eq!(turn(Key::root(seed), HostId(3), starvation, slice), (from_ns, until_ns));
        }
    }
}

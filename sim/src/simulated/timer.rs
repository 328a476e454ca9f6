//! Timers of tasks: a slab of slots with generations, so that a dropped timer costs nothing but its stale agenda entry.
//!
//! A timer of a host runs by the host's monotonic clock. When that clock is bent, its timers get new places on the
//! agenda, and the old ones are found to be early or too late.

use super::{
    clock::Clock,
    core::{Core, Event, HostId},
};
use std::task::Waker;

#[derive(Default)]
struct Slot {
    generation: u32,
    /// The waiting task; `None` once fired or freed.
    waker: Option<Waker>,
    fired: bool,
    due: Due,
}

/// When a timer runs out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Due {
    /// Whose clock it follows; `None` for true time.
    pub host: Option<HostId>,
    /// In true time, as things are.
    pub at_ns: u64,
    /// By the host's monotonic clock.
    pub deadline_ns: u64,
}

/// All timers of a simulation.
#[derive(Default)]
pub struct Timers {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// One running timer.
#[derive(Clone, Copy, Debug)]
pub struct TimerId {
    slot: u32,
    generation: u32,
}

impl Timers {
    /// Starts a timer that wakes `waker`.
    pub fn start(&mut self, core: &mut Core, due: Due, waker: &Waker) -> TimerId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 timers at once")
        });
        let entry = &mut self.slots[slot as usize];
        entry.waker = Some(waker.clone());
        entry.fired = false;
        entry.due = due;
        let generation = entry.generation;
        core.schedule(due.at_ns, Event::Timer { slot, generation });
        TimerId { slot, generation }
    }

    /// Whether the timer has fired; if not, `waker` takes the place of the earlier one.
    pub fn poll(&mut self, timer: TimerId, waker: &Waker) -> bool {
        let entry = &mut self.slots[timer.slot as usize];
        debug_assert_eq!(entry.generation, timer.generation, "a timer is polled by its owner only");
        if !entry.fired && !entry.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            entry.waker = Some(waker.clone());
        }
        entry.fired
    }

    /// Frees a timer. The returned waker must be dropped outside the kernel.
    pub fn stop(&mut self, timer: TimerId) -> Option<Waker> {
        let entry = &mut self.slots[timer.slot as usize];
        if entry.generation != timer.generation {
            return None;
        }
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(timer.slot);
        entry.waker.take()
    }

    /// The agenda has reached a timer, which may have been stopped meanwhile.
    pub fn fire(&mut self, core: &mut Core, slot: u32, generation: u32) {
        let entry = &mut self.slots[slot as usize];
        // Early: the clock has become slower since, and the timer has a later place on the agenda.
        if entry.generation == generation && entry.due.at_ns <= core.now_ns() {
            entry.fired = true;
            core.wake_slot(&mut entry.waker);
        }
    }

    /// The monotonic clock of a host was bent: its timers that still run get new places on the agenda.
    pub fn retime(&mut self, core: &mut Core, host: HostId, clock: &Clock) {
        for (entry, slot) in self.slots.iter_mut().zip(0..) {
            if entry.due.host != Some(host) || entry.waker.is_none() || entry.fired {
                continue;
            }
            entry.due.at_ns = clock.true_ns(entry.due.deadline_ns);
            // Never, as things are: the end of the suspension will retime it.
            if entry.due.at_ns != u64::MAX {
                core.schedule(entry.due.at_ns, Event::Timer { slot, generation: entry.generation });
            }
        }
    }
}

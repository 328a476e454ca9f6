//! Timers of tasks: a slab of slots with generations, so that a dropped timer costs nothing but its stale agenda entry.

use super::core::{Core, Event};
use std::task::Waker;

#[derive(Default)]
struct Slot {
    generation: u32,
    /// The waiting task; `None` once fired or freed.
    waker: Option<Waker>,
    fired: bool,
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
    /// Starts a timer that wakes `waker` at true time `at_ns`.
    pub fn start(&mut self, core: &mut Core, at_ns: u64, waker: &Waker) -> TimerId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 timers at once")
        });
        let entry = &mut self.slots[slot as usize];
        entry.waker = Some(waker.clone());
        entry.fired = false;
        let generation = entry.generation;
        core.schedule(at_ns, Event::Timer { slot, generation });
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
        if entry.generation == generation {
            entry.fired = true;
            core.wake_slot(&mut entry.waker);
        }
    }
}

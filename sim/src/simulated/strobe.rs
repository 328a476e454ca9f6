//! A wall clock that steps forth and back in turn, as Jepsen's `strobe-time` does to a node.

use super::{
    core::{Event, HostId},
    kernel::Kernel,
};

/// How a wall clock is strobed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStrobe {
    /// How far the clock is stepped, milliseconds; negative: back first.
    pub step_ms: i64,
    /// How long it stays there, and how long it is right in between, nanoseconds of true time.
    pub period_ns: u64,
}

/// The strobe of a host.
#[derive(Default)]
pub struct Strobing {
    strobe: Option<ClockStrobe>,
    stepped: bool,
    /// Tells the events of this strobe from those of an earlier one.
    generation: u32,
}

impl Kernel {
    /// Begins to strobe the wall clock of a host with a step, or ends that and takes the last step back. The present strobe is
    /// replaced.
    pub fn set_strobe(&mut self, host: HostId, strobe: Option<ClockStrobe>) {
        let strobing = &mut self.host(host).strobing;
        if strobing.stepped {
            self.toggle(host);
        }
        let strobing = &mut self.host(host).strobing;
        strobing.generation = strobing.generation.wrapping_add(1);
        strobing.strobe = strobe;
        let generation = strobing.generation;
        self.on_strobe(host, generation);
    }

    /// A step of a strobe is due.
    pub fn on_strobe(&mut self, host: HostId, generation: u32) {
        let strobing = &self.host(host).strobing;
        if let (Some(strobe), true) = (strobing.strobe, strobing.generation == generation) {
            self.toggle(host);
            let at_ns = self.core.now_ns() + strobe.period_ns;
            self.core.schedule(at_ns, Event::Strobe(host, generation));
        }
    }

    fn toggle(&mut self, host: HostId) {
        let entry = self.host(host);
        let Some(strobe) = entry.strobing.strobe else {
            return;
        };
        entry.strobing.stepped = !entry.strobing.stepped;
        let step_ms = if entry.strobing.stepped { strobe.step_ms } else { -strobe.step_ms };
        entry.clock.step(step_ms);
        entry.stats.clock_steps_injected += 1;
        self.core.trace(host, "clock-step", step_ms.cast_unsigned(), 0);
    }
}

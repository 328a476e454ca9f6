//! A host: its place, its clock, the life of the process on it.
//!
//! The clock model: a host's clocks run at a constant rate that differs from true time by `drift_ppm`, and its wall clock
//! is off by `offset_ms`, which may be stepped. The monotonic clock goes on through crashes (it only has to be monotonic
//! within one process, and nothing durable may depend on it). Not modelled: a rate that changes while it runs (NTP slew).

use super::core::{HostId, ProcessId};
use std::{net::Ipv4Addr, task::Waker};

/// The wall clock reads this at the start of the simulation on a host without offset: 2026-01-01T00:00:00Z.
pub const EPOCH_MS: i64 = 1_767_225_600_000;

/// How a host's clocks differ from true time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClockSpec {
    /// The wall clock is ahead of true time by this (milliseconds; negative: behind).
    pub offset_ms: i64,
    /// Both clocks run fast by this (parts per million; negative: slow). Crystals do ±100.
    pub drift_ppm: i64,
}

/// Whether a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostState {
    /// No power, or a kernel that has not booted: the network hears nothing from it.
    Off,
    /// The kernel runs, no process does.
    Idle,
    /// A process runs.
    Running,
}

pub(super) struct Host {
    pub name: String,
    pub zone: u32,
    pub address: Ipv4Addr,
    pub clock: ClockSpec,
    pub state: HostState,
    /// Counts the processes that were started.
    pub incarnation: u32,
    /// Counts the boots of the machine itself.
    pub machine_boots: u32,
    /// The running process stands still.
    pub paused: bool,
    /// Has the running process been asked to terminate, and who waits for that.
    pub terminate: bool,
    pub terminate_wakers: Vec<Waker>,
}

impl Host {
    /// The present process, dead or alive.
    pub fn process(&self, id: HostId) -> ProcessId {
        ProcessId { host: id, incarnation: self.incarnation }
    }
}

impl ClockSpec {
    /// The monotonic clock at a true time, both in nanoseconds.
    pub fn monotonic_ns(self, true_ns: u64) -> u64 {
        let drift = i128::from(true_ns) * i128::from(self.drift_ppm) / 1_000_000;
        u64::try_from(i128::from(true_ns) + drift).unwrap_or(0)
    }

    /// The first true time at which the monotonic clock reads at least `monotonic_ns`.
    pub fn true_ns(self, monotonic_ns: u64) -> u64 {
        let rate = i128::from(1_000_000 + self.drift_ppm);
        u64::try_from((i128::from(monotonic_ns) * 1_000_000 + rate - 1) / rate).unwrap_or(u64::MAX)
    }

    /// The wall clock at a true time, in milliseconds since 1970.
    pub fn wall_ms(self, true_ns: u64) -> i64 {
        let since_start_ms = i64::try_from(self.monotonic_ns(true_ns) / 1_000_000).unwrap_or(i64::MAX);
        EPOCH_MS + self.offset_ms + since_start_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drifting_clock_reaches_its_deadline_and_not_before() {
        for drift_ppm in [-200, -1, 0, 1, 200] {
            let clock = ClockSpec { offset_ms: 0, drift_ppm };
            for deadline_ns in [0, 1, 999, 1_000_000, 123_456_789_012] {
                let true_ns = clock.true_ns(deadline_ns);
                assert!(clock.monotonic_ns(true_ns) >= deadline_ns);
                assert!(true_ns == 0 || clock.monotonic_ns(true_ns - 1) <= deadline_ns);
            }
        }
    }

    #[test]
    fn the_wall_clock_carries_offset_and_drift() {
        let clock = ClockSpec { offset_ms: -250, drift_ppm: 100 };
        assert_eq!(clock.wall_ms(0), EPOCH_MS - 250);
        assert_eq!(clock.wall_ms(10_000_000_000), EPOCH_MS - 250 + 10_001);
    }
}

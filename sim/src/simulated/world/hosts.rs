//! The switches of the control panel for whole hosts: what makes them stand still, bends their clocks, takes them down
//! together and brings them back one after another. Each has its way back, and each leaves a step in the trace.

use super::World;
use crate::simulated::{
    clock::Clock,
    core::{Crash, HostId},
    disk::CrashReport,
    host::{Host, HostState, HostStats, Place, Zone},
    kernel,
    memory::Memory,
    stall::CpuStarvation,
    strobe::ClockStrobe,
};
use std::time::Duration;

/// A process that is killed and started again and again, see [`World::crash_loop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashLoop {
    pub crash: Crash,
    /// How often.
    pub crashes: u32,
    /// How long it stays down each time.
    pub down: Duration,
    /// How long it runs in between.
    pub up: Duration,
}

impl World {
    /// Makes the process of a host stand still, as SIGSTOP or a long garbage collection does; false when none runs there, or
    /// it is paused already. The clocks run on; the kernel goes on too: it acknowledges what arrives until the receive
    /// buffers are full, and ends the calls that are under way. A crash ends it.
    pub fn pause(&self, host: HostId) -> bool {
        kernel::with(|kernel| {
            let incarnation = kernel.host(host).incarnation;
            let paused = kernel.pause_process(host);
            if paused {
                kernel.core.trace(host, "pause", u64::from(incarnation), 0);
            }
            paused
        })
    }

    /// Lets a process go on that is paused; false when none is on this host.
    pub fn resume(&self, host: HostId) -> bool {
        kernel::with(|kernel| {
            let incarnation = kernel.host(host).incarnation;
            let resumed = kernel.resume_process(host);
            if resumed {
                kernel.core.trace(host, "resume", u64::from(incarnation), 0);
            }
            resumed
        })
    }

    /// Makes a whole virtual machine stand still, as a snapshot or a live migration does; false when it is off, or suspended
    /// already. To its peers it is silent; its monotonic clock and its timers stand still. A crash ends it.
    pub fn suspend(&self, host: HostId) -> bool {
        kernel::with(|kernel| {
            let suspended = kernel.suspend_machine(host);
            if suspended {
                kernel.core.trace(host, "suspend", 0, 0);
            }
            suspended
        })
    }

    /// Lets a suspended machine go on; false when it is not suspended. What was sent to it meanwhile arrives at once, its
    /// timers run for what they had left, and its wall clock is set right.
    pub fn wake(&self, host: HostId) -> bool {
        kernel::with(|kernel| {
            let woken = kernel.resume_machine(host);
            if woken {
                kernel.core.trace(host, "wake", 0, 0);
            }
            woken
        })
    }

    /// Lets the process of a host run only in its share of each time slice, those to come included, whichever process it
    /// then is. A starvation that is in force is replaced. Slices are numbered from the first starvation of the host on.
    ///
    /// # Panics
    /// When the share is not within 0 and 1, or the slice is empty.
    pub fn starve_cpu(&self, host: HostId, starvation: CpuStarvation) {
        let CpuStarvation { share, slice_ns } = starvation;
        assert!((0.0..=1.0).contains(&share), "the share of CPU time is a part of 1, not {share}");
        assert!(slice_ns > 0, "a time slice is not empty");
        kernel::with(|kernel| {
            kernel.core.trace(host, "cpu-starve", share.to_bits(), slice_ns);
            kernel.set_starvation(host, Some(starvation));
        });
    }

    /// Ends what [`World::starve_cpu`] began.
    pub fn restore_cpu(&self, host: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "cpu-restore", 0, 0);
            kernel.set_starvation(host, None);
        });
    }

    /// Limits what the page cache and the sockets of a host may hold, or ends the limit. The cache lets pages go (it gets the
    /// whole limit); a process whose sockets hold more is killed at its next operation. Its heap is not counted: see
    /// [`World::oom_kill_at`].
    pub fn limit_memory(&self, host: HostId, bytes: Option<u64>) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "memory-limit", bytes.unwrap_or(u64::MAX), 0);
            let memory = kernel.host(host).memory;
            kernel.set_memory(host, Memory { limit_bytes: bytes, ..memory });
            let (disk, core) = kernel.disk(host);
            disk.set_cache_limit(core.now_ns(), bytes);
        });
    }

    /// Limits how many files and sockets a process of a host may have open together, or ends the limit.
    pub fn limit_open_files(&self, host: HostId, max: Option<u64>) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "open-files-limit", max.unwrap_or(u64::MAX), 0);
            kernel.set_open_files_max(host, max);
        });
    }

    /// Has the kernel kill the process of a host, as by `kill -9`, when it would begin its N-th operation from now on,
    /// counted from 1: an allocation that failed, at an arbitrary point of what the process does. Operations are calls on
    /// files and sockets, each time that one is tried, and the starts of timers. `None` withdraws it.
    ///
    /// # Panics
    /// When N is 0.
    pub fn oom_kill_at(&self, host: HostId, operation: Option<u64>) {
        assert!(operation != Some(0), "operations are counted from 1");
        kernel::with(|kernel| {
            kernel.core.trace(host, "oom-kill-at", operation.unwrap_or(0), 0);
            let memory = kernel.host(host).memory;
            kernel.set_memory(host, Memory { dies_at: operation, ..memory });
        });
    }

    /// What the sockets of a host hold in their buffers: what [`World::limit_memory`] can kill for.
    pub fn socket_bytes(&self, host: HostId) -> u64 {
        kernel::with(|kernel| kernel.net.buffered_bytes(host))
    }

    /// Steps the wall clock of a host by so many milliseconds, forward or backward.
    pub fn step_clock(&self, host: HostId, step_ms: i64) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "clock-step", step_ms.cast_unsigned(), 0);
            let entry = kernel.host(host);
            entry.stats.clock_steps_injected += 1;
            entry.clock.step(step_ms);
        });
    }

    /// Steps the wall clock of a host forth and back in turn, beginning now. A strobe in force is replaced.
    ///
    /// # Panics
    /// When the period is zero.
    pub fn strobe_clock(&self, host: HostId, strobe: ClockStrobe) {
        assert!(strobe.period_ns > 0, "a strobe needs a period");
        kernel::with(|kernel| {
            kernel.core.trace(host, "clock-strobe", strobe.step_ms.cast_unsigned(), strobe.period_ns);
            kernel.set_strobe(host, Some(strobe));
        });
    }

    /// Ends what [`World::strobe_clock`] began, with the clock as it would be without.
    pub fn still_clock(&self, host: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "clock-still", 0, 0);
            kernel.set_strobe(host, None);
        });
    }

    /// Has the wall clock of a host show the present time for ever; false when it is frozen already. The monotonic clock
    /// runs on.
    pub fn freeze_clock(&self, host: HostId) -> bool {
        self.bend_clock(host, "clock-freeze", 0, |now_ns, host| {
            let frozen = host.clock.freeze(now_ns);
            host.stats.clock_freezes_injected += u64::from(frozen);
            frozen
        })
    }

    /// Has a frozen wall clock show again what it would have shown; false when it is not frozen.
    pub fn thaw_clock(&self, host: HostId) -> bool {
        self.bend_clock(host, "clock-thaw", 0, |_, host| host.clock.thaw())
    }

    /// From now on both clocks of a host run fast by this (parts per million; negative: slow). Returns what it was before.
    ///
    /// # Panics
    /// From −1,000,000 ppm down: such a clock would not go forward.
    pub fn set_drift(&self, host: HostId, ppm: i64) -> i64 {
        let before = self.bend_clock(host, "clock-drift", ppm, |now_ns, host| {
            let before = host.clock.drift_ppm();
            host.clock.set_drift(now_ns, ppm);
            host.stats.drifts_injected += 1;
            before
        });
        kernel::with(|kernel| kernel.retime(host));
        before
    }

    /// From now on the wall clock of a host runs fast by this against its monotonic clock (parts per million; negative:
    /// slow). Returns what it was before.
    ///
    /// # Panics
    /// As [`World::set_drift`].
    pub fn set_wall_drift(&self, host: HostId, ppm: i64) -> i64 {
        self.bend_clock(host, "clock-wall-drift", ppm, |now_ns, host| {
            let before = host.clock.wall_drift_ppm();
            host.clock.set_wall_drift(now_ns, ppm);
            host.stats.drifts_injected += 1;
            before
        })
    }

    fn bend_clock<R>(&self, host: HostId, step: &'static str, by: i64, bend: impl FnOnce(u64, &mut Host) -> R) -> R {
        kernel::with(|kernel| {
            kernel.core.trace(host, step, by.cast_unsigned(), 0);
            let now_ns = kernel.core.now_ns();
            bend(now_ns, kernel.host(host))
        })
    }

    /// What the wall clock of a host shows, in milliseconds since 1970.
    pub fn wall_clock_ms(&self, host: HostId) -> i64 {
        self.read_clock(host, Clock::wall_ms)
    }

    /// What the monotonic clock of a host shows, in nanoseconds.
    pub fn monotonic_ns(&self, host: HostId) -> u64 {
        self.read_clock(host, Clock::monotonic_ns)
    }

    fn read_clock<R>(&self, host: HostId, read: impl FnOnce(&Clock, u64) -> R) -> R {
        kernel::with(|kernel| {
            let now_ns = kernel.core.now_ns();
            read(&kernel.host(host).clock, now_ns)
        })
    }

    /// Where a host stands.
    pub fn zone(&self, host: HostId) -> Zone {
        kernel::with(|kernel| kernel.host(host).zone)
    }

    /// The hosts that stand in a place, in the order of their numbers.
    pub fn hosts_in(&self, place: Place) -> Vec<HostId> {
        kernel::with(|kernel| {
            let hosts = kernel.hosts.iter().zip(0..);
            hosts.filter(|(host, _)| place.contains(host.zone)).map(|(_, id)| HostId(id)).collect()
        })
    }

    /// Stops several hosts in the same way at one instant: nothing runs in between. What was lost on each.
    pub fn crash_together(&self, hosts: &[HostId], crash: Crash) -> Vec<CrashReport> {
        hosts.iter().map(|&host| self.crash(host, crash)).collect()
    }

    /// Stops a host and boots it, over and over; what was lost each time. Ends with the host running. Where somebody else has
    /// booted it meanwhile, it runs on.
    pub async fn crash_loop(&self, host: HostId, crash_loop: CrashLoop) -> Vec<CrashReport> {
        let mut reports = Vec::new();
        for round in 0..crash_loop.crashes {
            if round > 0 {
                self.sleep(crash_loop.up).await;
            }
            reports.push(self.crash(host, crash_loop.crash));
            self.sleep(crash_loop.down).await;
            self.boot_if_down(host);
        }
        reports
    }

    /// Boots hosts in this order, with a gap between one and the next. Those that run already keep their place in the order
    /// and run on.
    pub async fn boot_in_order(&self, hosts: &[HostId], gap: Duration) {
        for (index, &host) in hosts.iter().enumerate() {
            if index > 0 {
                self.sleep(gap).await;
            }
            self.boot_if_down(host);
        }
    }

    fn boot_if_down(&self, host: HostId) {
        if self.state(host) != HostState::Running {
            self.boot(host);
        }
    }

    /// What was done to a host so far. Stalls count when they end.
    pub fn host_stats(&self, host: HostId) -> HostStats {
        kernel::with(|kernel| kernel.host(host).stats)
    }
}

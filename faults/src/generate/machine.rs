//! What stops, halts or confuses machines: crashes, processes that stand still or starve, clocks.

use super::{Draws, Strike, Target, once};
use crate::{Action, CrashKind, Down, FaultError, FaultKind};

/// How long a killed process stays away: a supervisor's restart delay, or an operator's.
const RESTART_MS: (u64, u64) = (500, 6_000);
/// How long a machine needs from its crash until its broker starts: short for a simulated boot, so that a run stays short.
pub const REBOOT_MS: (u64, u64) = (3_000, 9_000);
/// What machines that lost power together need in addition, each for itself: in any order.
const REBOOT_SPREAD_MS: (u64, u64) = (0, 8_000);
/// From one machine to the next, where they boot one after the other.
const REBOOT_GAP_MS: (u64, u64) = (200, 1_500);
/// How long a process stands still: from a live migration's last copy to a hypervisor that is out of memory.
const PAUSE_MS: (u64, u64) = (1_000, 15_000);
/// How long a wall clock is wrong.
const CLOCK_MS: (u64, u64) = (2_000, 14_000);
/// How far a wall clock steps, as a power of two times this: up to several minutes.
const CLOCK_STEP_MS: u64 = 200;
/// By how much a wall clock runs fast or slow, as a power of two times this: from what a bad oscillator does to a broken
/// timer, 1000 to 256 000 ppm.
const CLOCK_DRIFT_PPM: u64 = 1_000;
/// From one step of a strobing clock to the next, as a power of two times this.
const STROBE_MS: u64 = 10;
/// How long a process starves, of the processor or of memory.
const STARVE_MS: (u64, u64) = (4_000, 14_000);
/// A starved process runs for so long at a time: one to ten ticks of a scheduler (`sched_rr_timeslice_ms` is 100).
const SLICE_MS: (u64, u64) = (10, 100);
/// How little memory a machine has, as a power of two times this.
const MEMORY_BYTES: u64 = 16 << 10;
/// How often a process that does not come up is killed again, and how long it is down and up.
const LOOP_TIMES: (u64, u64) = (3, 7);
const LOOP_DOWN_MS: (u64, u64) = (100, 1_000);
const LOOP_UP_MS: (u64, u64) = (100, 2_500);

/// What a kind of this family does.
pub fn strike(
    target: &Target,
    kind: FaultKind,
    draws: &Draws,
    is_lost: &dyn Fn(&str) -> bool,
) -> Result<Option<Strike>, FaultError> {
    let primary = || target.primary();
    let secondary = || target.secondary(kind);
    let restart_ms = || Some(draws.lasts_ms("restart", RESTART_MS));
    let reboot_ms = || Some(draws.lasts_ms("reboot", REBOOT_MS));
    let crash = |host, crash, boot_after_ms| Action::Crash { host, crash, boot_after_ms };
    let clock_ms = || Some(draws.lasts_ms("cut", CLOCK_MS));
    let step_ms = || {
        let least_ms = draws.grade("clock-step", CLOCK_STEP_MS, 11);
        draws.signed("clock-direction", draws.range("clock-step-within", (least_ms, 2 * least_ms)))
    };
    once(match kind {
        FaultKind::BrokerCrash => crash(primary(), CrashKind::ProcessKill, restart_ms()),
        FaultKind::OsCrash => crash(primary(), CrashKind::OsCrash, reboot_ms()),
        FaultKind::PowerLoss => crash(primary(), CrashKind::PowerLoss, reboot_ms()),
        FaultKind::PowerLossRack => power_off(draws, target.group.members().collect(), is_lost),
        FaultKind::PowerLossRoom => power_off(draws, target.cast.room_of(&target.group.primary), is_lost),
        FaultKind::PowerLossAll => power_off(draws, target.cast.servers().collect(), is_lost),
        FaultKind::RebootOrder => reboot_in_order(target, draws, is_lost),
        FaultKind::DiskLoss => crash(primary(), CrashKind::DiskLoss, reboot_ms()),
        FaultKind::MachineLoss => crash(primary(), CrashKind::DiskLoss, None),
        FaultKind::SlaveCrash => crash(secondary()?, CrashKind::ProcessKill, restart_ms()),
        FaultKind::SlaveOsCrash => crash(secondary()?, CrashKind::OsCrash, reboot_ms()),
        FaultKind::SlavePowerLoss => crash(secondary()?, CrashKind::PowerLoss, reboot_ms()),
        FaultKind::SlaveDiskLoss => crash(secondary()?, CrashKind::DiskLoss, reboot_ms()),
        FaultKind::NamesrvCrash => crash(target.registry(kind)?, CrashKind::ProcessKill, restart_ms()),
        FaultKind::RestartLoop => {
            let times = draws.range("loop-times", LOOP_TIMES);
            let stage_ms = |purpose, range| draws.stage_ms(purpose, range, 2 * times);
            let (down_ms, up_ms) = (stage_ms("loop-down", LOOP_DOWN_MS), stage_ms("loop-up", LOOP_UP_MS));
            Action::CrashLoop { host: primary(), crash: CrashKind::ProcessKill, times: times as u32, down_ms, up_ms }
        }
        FaultKind::OutOfMemory => Action::OutOfMemory {
            host: primary(),
            operations: draws.grade("oom-operations", 1, 12),
            boot_after_ms: restart_ms(),
        },
        FaultKind::MemoryLimit => Action::LimitMemory {
            host: primary(),
            bytes: draws.grade("memory", MEMORY_BYTES, 8),
            restore_after_ms: Some(draws.lasts_ms("starve", STARVE_MS)),
        },
        FaultKind::Pause => Action::Pause { host: primary(), resume_after_ms: Some(draws.lasts_ms("pause", PAUSE_MS)) },
        FaultKind::Suspend => {
            Action::Suspend { host: primary(), resume_after_ms: Some(draws.lasts_ms("pause", PAUSE_MS)) }
        }
        FaultKind::CpuStarvation => Action::StarveCpu {
            host: primary(),
            share: draws.rate("cpu-share", (1, 6)),
            slice_ms: draws.range("cpu-slice", SLICE_MS),
            restore_after_ms: Some(draws.lasts_ms("starve", STARVE_MS)),
        },
        FaultKind::ClockStep => Action::StepClock { host: primary(), step_ms: step_ms(), correct_after_ms: clock_ms() },
        FaultKind::ClockFreeze => Action::FreezeClock { host: primary(), thaw_after_ms: clock_ms() },
        FaultKind::ClockDrift => {
            let ppm = draws.signed("clock-direction", draws.grade("clock-drift", CLOCK_DRIFT_PPM, 9));
            Action::DriftClock { host: primary(), ppm, restore_after_ms: clock_ms() }
        }
        FaultKind::ClockStrobe => Action::StrobeClock {
            host: primary(),
            step_ms: step_ms(),
            every_ms: draws.grade("strobe", STROBE_MS, 8),
            stop_after_ms: clock_ms(),
        },
        _ => return Ok(None),
    })
}

/// Power is cut on all of these at one instant; each boots in its time. Those that are lost have no power to lose.
fn power_off(draws: &Draws, hosts: Vec<&str>, is_lost: &dyn Fn(&str) -> bool) -> Action {
    let reboot_ms = draws.range("reboot", REBOOT_MS);
    let down = |(number, host): (u64, &str)| {
        let mut stream = draws.key.derive("spread").index(number).stream();
        let spread_ms = stream.range(REBOOT_SPREAD_MS.0, REBOOT_SPREAD_MS.1);
        let boot_after_ms = (reboot_ms + spread_ms).min(draws.lasts_ms_max).max(1);
        Down { host: host.to_owned(), boot_after_ms: Some(boot_after_ms) }
    };
    let hosts = (0..).zip(hosts).filter(|(_, host)| !is_lost(host)).map(down).collect();
    Action::CrashTogether { crash: CrashKind::PowerLoss, hosts }
}

/// Power is cut on all servers; first the secondaries boot, one after the other, then the primaries, then the registries.
fn reboot_in_order(target: &Target, draws: &Draws, is_lost: &dyn Fn(&str) -> bool) -> Action {
    let cast = target.cast;
    let secondaries = cast.groups.iter().flat_map(|group| &group.secondaries);
    let primaries = cast.groups.iter().map(|group| &group.primary);
    let order = secondaries.chain(primaries).chain(&cast.registries).filter(|host| !is_lost(host));
    let (reboot_ms, gap_ms) = (draws.range("reboot", REBOOT_MS), draws.range("reboot-gap", REBOOT_GAP_MS));
    let down = |(number, host): (u64, &String)| {
        let boot_after_ms = (reboot_ms + number * gap_ms).min(draws.lasts_ms_max).max(1);
        Down { host: host.clone(), boot_after_ms: Some(boot_after_ms) }
    };
    Action::CrashTogether { crash: CrashKind::PowerLoss, hosts: (0..).zip(order).map(down).collect() }
}

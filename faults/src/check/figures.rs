//! Whether the figures of an action mean something.

use super::PlanError;
use crate::{Action, NameFault};
use std::fmt::Display;

/// What moves so little as one disk sector per second counts as a cut, which has an action of its own.
const BYTES_PER_S_MIN: u64 = 512;
/// Longer than a minute no drive and no packet takes: that is a failure, which has actions of its own.
const LATENCY_MS_MAX: u64 = 60_000;
/// A wall clock is wrong by a day at most.
const STEP_MS_MAX: i64 = 24 * 3_600_000;
/// A wall clock that runs fast or slow runs at least at half and at most at one and a half times its speed: no oscillator is
/// worse, but a hypervisor's emulated timer may be.
const DRIFT_PPM_MAX: i64 = 500_000;
/// What repeats does so this often at most.
const TIMES_MAX: u32 = 1_000;
/// More sectors than this, 512 MiB, are no damage but a lost disk.
const SECTORS_MAX: u32 = 1 << 20;

/// With less than one page no kernel runs.
const MEMORY_BYTES_MIN: u64 = 4_096;

/// Checks the figures of one action.
pub fn check(index: usize, action: &Action) -> Result<(), PlanError> {
    let ends_at_once = match action {
        Action::CrashTogether { hosts, .. } => hosts.iter().any(|down| down.boot_after_ms == Some(0)),
        Action::Swizzle { hosts } => hosts.iter().any(|one| one.release_after_ms <= one.jam_after_ms),
        // Up again at once is what a supervisor does; the others are of an instant.
        Action::Crash { .. }
        | Action::SnapshotDisk { .. }
        | Action::SetBackDisk { .. }
        | Action::MoveDisk { .. }
        | Action::DropCaches { .. }
        | Action::ResetStorm { .. } => false,
        _ => action.lasts_ms() == Some(0),
    };
    if ends_at_once {
        return Err(PlanError::EndsAtOnce { index });
    }
    let figure = |field, value: &dyn Display, good: bool, expected: String| {
        if good { Ok(()) } else { Err(PlanError::Figure { index, field, value: value.to_string(), expected }) }
    };
    let rate = |field, value: f64| figure(field, &value, (0.0..=1.0).contains(&value), "from 0 to 1".to_owned());
    let at_least_one = |field, value: u64| figure(field, &value, value >= 1, "at least 1".to_owned());
    let latency =
        |field, value: u64| figure(field, &value, value <= LATENCY_MS_MAX, format!("at most {LATENCY_MS_MAX}"));
    let step = |step_ms: i64| {
        let good = step_ms != 0 && (-STEP_MS_MAX..=STEP_MS_MAX).contains(&step_ms);
        figure("step_ms", &step_ms, good, format!("not 0, and at most {STEP_MS_MAX} either way"))
    };
    let times = |times: u32| {
        figure("times", &times, (1..=TIMES_MAX).contains(&times), format!("at least 1, and at most {TIMES_MAX}"))
    };
    match action {
        Action::SlowDisk { latency_ms, bytes_per_s, .. } | Action::SlowLink { latency_ms, bytes_per_s, .. } => {
            latency("latency_ms", *latency_ms)?;
            let good = *bytes_per_s >= BYTES_PER_S_MIN;
            figure("bytes_per_s", bytes_per_s, good, format!("at least {BYTES_PER_S_MIN}"))
        }
        Action::StepClock { step_ms, .. } => step(*step_ms),
        Action::StrobeClock { step_ms, every_ms, .. } => {
            step(*step_ms)?;
            at_least_one("every_ms", *every_ms)
        }
        Action::DriftClock { ppm, .. } => {
            let good = *ppm != 0 && (-DRIFT_PPM_MAX..=DRIFT_PPM_MAX).contains(ppm);
            figure("ppm", ppm, good, format!("not 0, and at most {DRIFT_PPM_MAX} either way"))
        }
        Action::DiskFaults { faults, .. } => {
            let rates = faults.rates();
            rates.into_iter().try_for_each(|(field, value)| rate(field, value))?;
            if rates.iter().all(|(_, rate)| *rate == 0.0) && !faults.lying_sync && !faults.stalled {
                let names = rates.map(|(name, _)| name).join(", ");
                return Err(PlanError::DoesNothing { index, known: format!("{names}, lying_sync, stalled") });
            }
            Ok(())
        }
        Action::BadLink { faults, .. } => {
            let rates = faults.rates();
            rates.into_iter().try_for_each(|(field, value)| rate(field, value))?;
            if rates.iter().all(|(_, rate)| *rate == 0.0) {
                return Err(PlanError::DoesNothing { index, known: rates.map(|(name, _)| name).join(", ") });
            }
            Ok(())
        }
        Action::DamageMedia { sectors, .. } => {
            let good = (1..=SECTORS_MAX).contains(sectors);
            figure("sectors", sectors, good, format!("at least 1, and at most {SECTORS_MAX}"))
        }
        Action::BadNames { fault: NameFault::Slow { delay_ms }, .. } => {
            at_least_one("delay_ms", *delay_ms)?;
            latency("delay_ms", *delay_ms)
        }
        Action::LimitMemory { bytes, .. } => {
            figure("bytes", bytes, *bytes >= MEMORY_BYTES_MIN, format!("at least {MEMORY_BYTES_MIN}"))
        }
        Action::StarveCpu { share, slice_ms, .. } => {
            let good = *share > 0.0 && *share < 1.0;
            figure("share", share, good, "above 0 and below 1; a process that gets nothing is paused".to_owned())?;
            at_least_one("slice_ms", *slice_ms)
        }
        Action::ResetStorm { times: count, every_ms, .. } => {
            times(*count)?;
            at_least_one("every_ms", *every_ms)
        }
        Action::CrashLoop { times: count, down_ms, up_ms, .. } => {
            times(*count)?;
            at_least_one("down_ms", *down_ms)?;
            at_least_one("up_ms", *up_ms)
        }
        Action::OutOfMemory { operations, .. } => at_least_one("operations", *operations),
        Action::Ring { hosts, .. } => {
            figure("hosts", &hosts.len(), hosts.len() >= 3, "at least 3 of them, or all reach all".to_owned())
        }
        Action::Bridge { one_side, other_side, .. } => {
            figure("one_side", &"[]", !one_side.is_empty(), "at least one host".to_owned())?;
            figure("other_side", &"[]", !other_side.is_empty(), "at least one host".to_owned())
        }
        _ => Ok(()),
    }
}

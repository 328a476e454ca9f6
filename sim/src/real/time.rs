//! The system's clocks and tokio's timers.

use std::time::Duration;

pub use tokio::time::{Instant, Interval, Sleep, Timeout, error::Elapsed, interval, sleep, sleep_until, timeout};

/// The wall clock in milliseconds since 1970-01-01T00:00:00Z.
pub fn wall_clock_ms() -> i64 {
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// The time since the machine was started, suspensions included (CLOCK_BOOTTIME): nobody sets that clock, and it goes on from one
/// process to the next. Readings of two boots ([`process::boot_id`](super::process::boot_id)) must not be compared. Where
/// there is no such clock it begins with the process, as does what stands in for the boot id there.
pub fn since_boot() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0));
        Duration::new(seconds, nanos)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        BEGAN.get_or_init(std::time::Instant::now).elapsed()
    }
}

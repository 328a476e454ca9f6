//! The system's clocks and tokio's timers.

pub use tokio::time::{Instant, Interval, Sleep, Timeout, error::Elapsed, interval, sleep, sleep_until, timeout};

/// The wall clock in milliseconds since 1970-01-01T00:00:00Z.
pub fn wall_clock_ms() -> i64 {
    match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

//! Wall clock times as dates. Apache's code takes the machine's zone; here all of them are UTC.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::Offset};

/// A wall clock time in milliseconds since 1970 as a date in UTC. One that the calendar does not reach (before the year
/// −9999 or after 9999: nonsense from a peer) is the nearest that it does.
#[must_use]
pub fn utc(wall_clock_ms: i64) -> DateTime {
    let at = SignedDuration::from_millis(wall_clock_ms);
    let nearest = if at.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
    Offset::UTC.to_datetime(Timestamp::from_duration(at).unwrap_or(nearest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_before_and_after_1970_and_beyond_the_calendar() {
        assert_eq!(utc(951_782_400_000).to_string(), "2000-02-29T00:00:00");
        assert_eq!(utc(-1).to_string(), "1969-12-31T23:59:59.999");
        assert_eq!(utc(i64::MAX).year(), 9999);
        assert_eq!(utc(i64::MIN).year(), -9999);
    }
}

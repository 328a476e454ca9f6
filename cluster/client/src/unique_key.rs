//! Gives messages their names (`MessageClientIDSetter`): the UNIQ_KEY property, which users know as the message id.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use protocol::{calendar::utc, message_id::unique_key};

/// Makes keys that no other generator makes: address and process id tell processes apart, a random salt the generators of
/// one process, time and a counter the keys of one generator (65,536 within a millisecond).
#[derive(Debug)]
pub(crate) struct UniqueKeys {
    ip: IpAddr,
    process_id: u16,
    salt: u32,
    counter: AtomicU16,
}

impl UniqueKeys {
    pub(crate) fn new(ip: IpAddr) -> Self {
        // Java, too, keeps the low 16 bits of the process id; the upper half of a random number is a random number.
        let process_id = sim::process::id() as u16;
        let salt = (sim::rng::u64("client unique key salt") >> 32) as u32;
        Self { ip, process_id, salt, counter: AtomicU16::new(0) }
    }

    pub(crate) fn next(&self) -> String {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        unique_key(self.ip, self.process_id, self.salt, month_ms(sim::time::wall_clock_ms()), counter)
    }
}

/// Milliseconds since the month began (UTC; Java's time zone is the machine's), which fit in 32 bits.
fn month_ms(wall_clock_ms: i64) -> u32 {
    const DAY_MS: i64 = 86_400_000;
    let days = i64::from(utc(wall_clock_ms).day()) - 1;
    u32::try_from(days * DAY_MS + wall_clock_ms.rem_euclid(DAY_MS)).expect("31 days in ms fit in 32 bits")
}

#[cfg(test)]
mod tests {
    use super::month_ms;

    #[test]
    fn months_begin_at_zero() {
        assert_eq!(month_ms(0), 0);
        // 2024-02-29T00:00:00Z and 2024-03-01T00:00:00.001Z
        assert_eq!(month_ms(1_709_164_800_000), 28 * 86_400_000);
        assert_eq!(month_ms(1_709_251_200_001), 1);
        // 2026-12-31T23:59:59.999Z
        assert_eq!(month_ms(1_798_761_599_999), 31 * 86_400_000 - 1);
        // 1969-12-31T00:00:00Z
        assert_eq!(month_ms(-86_400_000), 30 * 86_400_000);
    }
}

//! How much of the log may be sent when (`haFlowControlEnable`, Apache's `FlowMonitor`): a bucket that fills at a steady rate.
//!
//! Apache counts the bytes of each second and stops until the next; a bucket that holds a tenth of a second's bytes gives the
//! same rate without its bursts. Pure: the time is handed in, counted from the bucket's beginning.

use std::time::Duration;

/// The bucket holds what flows in this time.
const BURST: Duration = Duration::from_millis(100);

/// A bucket of bytes.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    bytes_per_second: u64,
    /// Below zero: sent on credit, to be waited for.
    bytes: i64,
    filled_at: Duration,
}

impl TokenBucket {
    /// A full bucket. A rate of 0 counts as 1 byte per second.
    pub(crate) fn new(bytes_per_second: u64) -> TokenBucket {
        let bytes_per_second = bytes_per_second.max(1);
        TokenBucket { bytes_per_second, bytes: burst_bytes(bytes_per_second), filled_at: Duration::ZERO }
    }

    /// Takes `bytes` out, and says how long to wait before they may be sent.
    pub(crate) fn take(&mut self, bytes: usize, now: Duration) -> Duration {
        let flown = now.saturating_sub(self.filled_at).as_nanos() * u128::from(self.bytes_per_second);
        let flown_bytes = flown / NANOS;
        if flown_bytes > 0 {
            // The rest of a byte is not lost: the time moves on by whole bytes only.
            let whole = Duration::from_nanos(clamp(flown_bytes * NANOS / u128::from(self.bytes_per_second)));
            self.filled_at += whole;
            let full = burst_bytes(self.bytes_per_second);
            self.bytes = self.bytes.saturating_add_unsigned(clamp(flown_bytes)).min(full);
        }
        self.bytes = self.bytes.saturating_sub_unsigned(bytes as u64);
        let missing = u128::from(self.bytes.min(0).unsigned_abs());
        Duration::from_nanos(clamp((missing * NANOS).div_ceil(u128::from(self.bytes_per_second))))
    }
}

const NANOS: u128 = 1_000_000_000;

fn clamp(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn burst_bytes(bytes_per_second: u64) -> i64 {
    let bytes = u128::from(bytes_per_second) * BURST.as_nanos() / NANOS;
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_the_rate_holds() {
        let mut bucket = TokenBucket::new(1000);
        assert_eq!(bucket.take(100, Duration::ZERO), Duration::ZERO, "the bucket is full at first");
        assert_eq!(bucket.take(500, Duration::ZERO), Duration::from_millis(500));
        assert_eq!(bucket.take(0, Duration::from_millis(500)), Duration::ZERO);
        assert_eq!(bucket.take(100, Duration::from_secs(3600)), Duration::ZERO, "an hour fills it, and no more");
        assert_eq!(bucket.take(1, Duration::from_secs(3600)), Duration::from_millis(1));
    }

    proptest! {
        #[test]
        fn no_time_has_more_than_the_rate_and_one_burst(
            rate in 1_u64..1 << 30,
            steps in proptest::collection::vec((0_usize..1 << 20, 0_u64..2_000_000_000), 1..50),
        ) {
            let mut bucket = TokenBucket::new(rate);
            let mut now = Duration::ZERO;
            let mut sent: u128 = 0;
            for (bytes, pause_ns) in steps {
                now += Duration::from_nanos(pause_ns);
                now += bucket.take(bytes, now);
                sent += bytes as u128;
                let allowed = u128::from(rate) * now.as_nanos() / NANOS + burst_bytes(rate) as u128 + 1;
                prop_assert!(sent <= allowed, "{sent} bytes within {now:?}");
            }
        }
    }
}

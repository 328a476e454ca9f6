//! How long sends took, by kinds of duration (`StoreStatsService.putMessageDistributeTime`).
//!
//! Counts are of one minute and begin anew with the next, as with Apache's: consoles and exporters read each as a number of
//! 32 bits, and show it as it is.

use std::fmt;

/// How long the counts are kept, in ms.
const MINUTE_MS: i64 = 60_000;

/// The longest duration of each kind, in ms, and Apache's word for the kind. All that is longer is of the last.
const KINDS: [(i64, &str); 13] = [
    (0, "<=0ms"),
    (10, "0~10ms"),
    (50, "10~50ms"),
    (100, "50~100ms"),
    (200, "100~200ms"),
    (500, "200~500ms"),
    (1_000, "500ms~1s"),
    (2_000, "1~2s"),
    (3_000, "2~3s"),
    (4_000, "3~4s"),
    (5_000, "4~5s"),
    (10_000, "5~10s"),
    (i64::MAX, "10s~"),
];

/// The counts of a minute. Times are of a monotonic clock, in ms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutTimes {
    counts: [u32; KINDS.len()],
    minute: i64,
}

impl PutTimes {
    /// A send took so long.
    pub fn count(&mut self, took_ms: i64, now_ms: i64) {
        self.turn(now_ms);
        let kind = KINDS.partition_point(|(longest_ms, _)| *longest_ms < took_ms);
        self.counts[kind] = self.counts[kind].saturating_add(1);
    }

    /// Begins anew if the minute is over.
    pub fn turn(&mut self, now_ms: i64) {
        let minute = now_ms / MINUTE_MS;
        if minute != self.minute {
            *self = Self { minute, ..Self::default() };
        }
    }
}

impl fmt::Display for PutTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ((_, kind), count)) in KINDS.iter().zip(self.counts).enumerate() {
            let blank = if number == 0 { "" } else { " " };
            write!(f, "{blank}[{kind}]:{count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_kind_for_a_minute() {
        let mut times = PutTimes::default();
        for took_ms in [0, 0, 1, 10, 11, 999, 1_000, 10_000, 10_001, i64::MAX] {
            times.count(took_ms, 59_999);
        }
        let all = "[<=0ms]:2 [0~10ms]:2 [10~50ms]:1 [50~100ms]:0 [100~200ms]:0 [200~500ms]:0 [500ms~1s]:2 [1~2s]:0 [2~3s]:0 \
                   [3~4s]:0 [4~5s]:0 [5~10s]:1 [10s~]:2";
        assert_eq!(times.to_string(), all);
        times.count(3, 60_000);
        assert!(times.to_string().starts_with("[<=0ms]:0 [0~10ms]:1 [10~50ms]:0"), "{times}");
        times.turn(130_000);
        assert_eq!(times, PutTimes { minute: 2, ..PutTimes::default() });
    }
}

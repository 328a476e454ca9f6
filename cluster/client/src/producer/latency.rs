//! Which brokers to leave alone for a while because they were slow or failed (`LatencyFaultToleranceImpl`,
//! `MQFaultStrategy`, with the tables of 4.9).
//!
//! A pure state machine: times come in as milliseconds on whatever monotonic clock the caller keeps. Used only when
//! `send_latency_fault_enable` is set; otherwise a producer merely avoids the broker that failed last.

use std::collections::BTreeMap;

/// From this latency on (ms) ... (`MQFaultStrategy.latencyMax`)
const LATENCY_MAX_MS: [u64; 7] = [50, 100, 550, 1_000, 2_000, 3_000, 15_000];
/// ... a broker is left alone for this long (ms) (`MQFaultStrategy.notAvailableDuration`).
const NOT_AVAILABLE_MS: [u64; 7] = [0, 0, 30_000, 60_000, 120_000, 180_000, 600_000];
/// The latency that a failed send counts as.
const FAULT_LATENCY_MS: u64 = 30_000;

/// What is known of one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FaultItem {
    latency_ms: u64,
    available_from_ms: u64,
}

/// The latencies of brokers and who is available.
#[derive(Clone, Debug, Default)]
pub struct LatencyFaultTolerance {
    items: BTreeMap<String, FaultItem>,
    picks: usize,
}

impl LatencyFaultTolerance {
    /// Nothing is known, so all are available.
    #[must_use]
    pub const fn new() -> Self {
        Self { items: BTreeMap::new(), picks: 0 }
    }

    /// A send to the broker took `latency_ms`, or failed.
    pub fn update(&mut self, broker_name: &str, latency_ms: u64, failed: bool, now_ms: u64) {
        let counted_ms = if failed { FAULT_LATENCY_MS } else { latency_ms };
        let item = FaultItem { latency_ms, available_from_ms: now_ms + not_available_ms(counted_ms) };
        match self.items.get_mut(broker_name) {
            Some(known) => *known = item,
            None => drop(self.items.insert(broker_name.to_owned(), item)),
        }
    }

    /// Whether the broker may be sent to.
    #[must_use]
    pub fn is_available(&self, broker_name: &str, now_ms: u64) -> bool {
        self.items.get(broker_name).is_none_or(|item| now_ms >= item.available_from_ms)
    }

    /// Forgets a broker.
    pub fn remove(&mut self, broker_name: &str) {
        self.items.remove(broker_name);
    }

    /// One of the better half of the known brokers, in turn: for when no queue's broker is available.
    pub fn pick_one_at_least(&mut self, now_ms: u64) -> Option<String> {
        let mut known: Vec<_> = self.items.iter().collect();
        known.sort_by_key(|(name, item)| {
            (now_ms < item.available_from_ms, item.latency_ms, item.available_from_ms, name.as_str())
        });
        let better_half = (known.len() / 2).max(1);
        self.picks = self.picks.wrapping_add(1);
        known.get(self.picks % better_half).map(|(name, _)| (*name).clone())
    }
}

/// How long a broker with this latency is left alone.
fn not_available_ms(latency_ms: u64) -> u64 {
    LATENCY_MAX_MS.iter().rposition(|&from_ms| latency_ms >= from_ms).map_or(0, |class| NOT_AVAILABLE_MS[class])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn table_of_4_9() {
        let expected = [(0, 0), (50, 0), (100, 0), (549, 0), (550, 30_000), (1_000, 60_000), (2_000, 120_000)];
        for (latency_ms, not_available) in expected {
            assert_eq!(not_available_ms(latency_ms), not_available, "{latency_ms}");
        }
        assert_eq!(not_available_ms(3_000), 180_000);
        assert_eq!(not_available_ms(15_000), 600_000);
    }

    #[test]
    fn failed_brokers_rest_and_come_back() {
        let mut tolerance = LatencyFaultTolerance::new();
        assert!(tolerance.is_available("a", 0));
        tolerance.update("a", 3, true, 1_000);
        assert!(!tolerance.is_available("a", 600_999));
        assert!(tolerance.is_available("a", 601_000));
        tolerance.update("a", 3, false, 2_000);
        assert!(tolerance.is_available("a", 2_000));
    }

    #[test]
    fn picks_from_the_better_half() {
        let mut tolerance = LatencyFaultTolerance::new();
        assert_eq!(tolerance.pick_one_at_least(0), None);
        for (name, latency_ms) in [("a", 700), ("b", 10), ("c", 20), ("d", 600)] {
            tolerance.update(name, latency_ms, false, 0);
        }
        let mut picked: Vec<_> = (0..4).filter_map(|_| tolerance.pick_one_at_least(0)).collect();
        picked.sort();
        assert_eq!(picked, ["b", "b", "c", "c"]);
    }

    proptest! {
        #[test]
        fn always_picks_a_known_broker(
            updates in prop::collection::vec((0_u8..5, 0_u64..20_000, any::<bool>(), 0_u64..1_000_000), 1..30)
        ) {
            let mut tolerance = LatencyFaultTolerance::new();
            for (broker, latency_ms, failed, now_ms) in &updates {
                tolerance.update(&format!("b{broker}"), *latency_ms, *failed, *now_ms);
            }
            let picked = tolerance.pick_one_at_least(500_000).expect("some are known");
            let known = updates.iter().any(|(broker, ..)| picked == format!("b{broker}"));
            prop_assert!(known);
        }
    }
}

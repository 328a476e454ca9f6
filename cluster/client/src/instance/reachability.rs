//! Which brokers do not answer at present: a pure table with which reads go to another replica of the broker name.
//!
//! Java's client knows a broker that went without a word (power, cable) as alive until the name servers forget it after
//! 120 s, and fails with every pull meanwhile, whatever slaves there are. Here a broker that could not be reached is passed
//! over for a while, as long as another one can be asked instead. Sends do not look here: only a master takes them, and
//! whether a producer avoids a failing one is its own setting (`send_latency_fault_enable`).

use std::collections::BTreeMap;

/// For how long a broker is passed over (ms), unless it is heard of: every heartbeat, sent each 30 s, tells.
pub const PASSED_OVER_MS: u64 = 60_000;

/// When which address was found not to answer.
#[derive(Clone, Debug, Default)]
pub struct Reachability {
    failed_at_ms: BTreeMap<String, u64>,
}

impl Reachability {
    /// No connection could be made, or no answer came in time. Times are milliseconds on any monotonic clock.
    pub fn failed(&mut self, addr: &str, now_ms: u64) {
        self.failed_at_ms.retain(|_, at_ms| now_ms < *at_ms + PASSED_OVER_MS);
        self.failed_at_ms.insert(addr.to_owned(), now_ms);
    }

    /// The broker has answered.
    pub fn answered(&mut self, addr: &str) {
        self.failed_at_ms.remove(addr);
    }

    /// Whether there is no reason to pass it over.
    #[must_use]
    pub fn is_reachable(&self, addr: &str, now_ms: u64) -> bool {
        self.failed_at_ms.get(addr).is_none_or(|at_ms| now_ms >= *at_ms + PASSED_OVER_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_broker_is_passed_over_until_it_is_heard_of() {
        let mut reachability = Reachability::default();
        assert!(reachability.is_reachable("a", 0));
        reachability.failed("a", 1_000);
        assert!(!reachability.is_reachable("a", 1_000 + PASSED_OVER_MS - 1));
        assert!(reachability.is_reachable("a", 1_000 + PASSED_OVER_MS));
        assert!(reachability.is_reachable("b", 1_000));
        reachability.answered("a");
        assert!(reachability.is_reachable("a", 1_001));
    }
}

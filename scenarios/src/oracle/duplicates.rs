//! Duplicates, by their cause. RocketMQ promises delivery at least once, so they break nothing; they are counted.

use super::ledger::Ledger;
use reports::DuplicateCauses;

/// Counts the deliveries beyond the first of each message. Those from a place that it was already delivered from are
/// deliveries repeated; those from another place exist because the producer sent the message again.
pub fn count(ledger: &Ledger) -> DuplicateCauses {
    let mut causes = DuplicateCauses::default();
    for entry in ledger.messages.values() {
        if entry.delivered.len() < 2 {
            continue;
        }
        let mut places = entry.delivered.clone();
        places.sort_unstable();
        places.dedup();
        causes.resent += places.len() as u64 - 1;
        causes.redelivered += (entry.delivered.len() - places.len()) as u64;
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fixture::*;

    #[test]
    fn each_cause_is_counted_for_itself() {
        let mut history = good(1, 1, 0);
        assert_eq!(count(&Ledger::new(&history)), DuplicateCauses::default());
        history.extend([delivered(1, 5, 0), delivered(1, 6, 0), delivered(1, 7, 4)]);
        assert_eq!(count(&Ledger::new(&history)), DuplicateCauses { redelivered: 2, resent: 1 });
    }
}

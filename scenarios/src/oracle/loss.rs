//! Acknowledged loss: SEND_OK was given, and the message is gone.
//!
//! A message counts as lost when it no longer stands in any queue at the end, even if a consumer had been given it before
//! (another group, or a second reading, would not get it), and when it stands there but the group was never given it.
//! Where a history has no reading of the queues at its end, what was delivered counts as kept.
//! Its age is the time from its acknowledgement to the next fault that may destroy messages. An acknowledgement may be on its
//! way when the fault strikes and arrive a moment later; its message then has the age 0.

use super::ledger::Ledger;
use crate::message::MessageId;

/// How long an acknowledgement may be on its way when the fault strikes.
const IN_FLIGHT_NS_MAX: u64 = 1_000_000_000;

/// The acknowledged messages that were lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    pub lost: Vec<LostMessage>,
    pub bytes: u64,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostMessage {
    pub id: MessageId,
    /// From its acknowledgement to the fault that explains its loss; absent when no fault came after it.
    pub age_ns: Option<u64>,
    /// It still stands in a queue, and was never delivered.
    pub undelivered: bool,
}

impl Loss {
    /// The age of the oldest in milliseconds, rounded up; 0 when nothing was lost, or nothing that a fault explains.
    pub fn oldest_ms(&self) -> u64 {
        let oldest_ns = self.lost.iter().filter_map(|lost| lost.age_ns).max().unwrap_or(0);
        oldest_ns.div_ceil(1_000_000)
    }

    /// How many are stored but were never delivered.
    pub fn undelivered(&self) -> u64 {
        self.lost.iter().filter(|lost| lost.undelivered).count() as u64
    }
}

/// Finds the lost messages, in the order in which they were sent.
pub fn find(ledger: &Ledger) -> Loss {
    let mut loss = Loss::default();
    for (id, entry) in &ledger.messages {
        let kept = if ledger.was_read { !entry.stored.is_empty() } else { !entry.delivered.is_empty() };
        let undelivered = kept && entry.delivered.is_empty();
        if !entry.is_acked() || (kept && !undelivered) {
            continue;
        }
        let explains = |at_ns: u64| {
            let was_under_way = entry.sent_at_ns.is_some_and(|sent_at_ns| sent_at_ns <= at_ns);
            at_ns >= entry.answered_at_ns || (was_under_way && at_ns + IN_FLIGHT_NS_MAX >= entry.answered_at_ns)
        };
        let fault = ledger.destructions.iter().find(|fault| explains(fault.at_ns));
        let age_ns = fault.filter(|_| !undelivered).map(|fault| fault.at_ns.saturating_sub(entry.answered_at_ns));
        loss.lost.push(LostMessage { id: *id, age_ns, undelivered });
        loss.bytes += u64::from(entry.bytes);
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fixture::*;

    fn lost(events: &[crate::history::Event]) -> Loss {
        find(&Ledger::new(events))
    }

    #[test]
    fn a_good_history_has_no_loss() {
        assert_eq!(lost(&good(1, 10, 0)), Loss::default());
    }

    #[test]
    fn what_was_acknowledged_and_is_gone_is_lost_even_if_it_was_delivered() {
        let mut history = good(1, 10, 0);
        history.extend([send(2, 20), acked(2, 21, 1), delivered(2, 22, 1), power_loss(500), offsets(0, 1, None)]);
        let loss = lost(&history);
        assert_eq!(loss.lost, [LostMessage { id: id(2), age_ns: Some(479 * MS), undelivered: false }]);
        assert_eq!((loss.oldest_ms(), loss.bytes), (479, 100));
    }

    #[test]
    fn what_is_stored_but_never_delivered_is_lost() {
        let loss = lost(&[send(1, 10), acked(1, 11, 0), stored(1, 0), power_loss(20)]);
        assert_eq!(loss.lost, [LostMessage { id: id(1), age_ns: None, undelivered: true }]);
        assert_eq!(loss.undelivered(), 1);
    }

    #[test]
    fn what_was_not_acknowledged_was_not_promised() {
        use crate::history::Outcome::{Fail, Unknown};
        let history = [send(1, 1), sent(1, 2, Fail), send(2, 3), sent(2, 4, Unknown), send(3, 5), offsets(0, 0, None)];
        assert_eq!(lost(&history), Loss::default());
    }

    #[test]
    fn an_answer_on_its_way_when_the_fault_strikes_is_explained_by_it_and_a_later_send_is_not() {
        let on_its_way = lost(&[send(1, 19), power_loss(20), acked(1, 21, 0), offsets(0, 0, None)]);
        assert_eq!(on_its_way.lost, [LostMessage { id: id(1), age_ns: Some(0), undelivered: false }]);
        for history in [
            [power_loss(20), send(1, 21), acked(1, 22, 0), offsets(0, 0, None)],
            [send(1, 19), power_loss(20), acked(1, 3_000, 0), offsets(0, 0, None)],
        ] {
            assert_eq!(lost(&history).lost, [LostMessage { id: id(1), age_ns: None, undelivered: false }]);
        }
    }

    #[test]
    fn without_a_reading_at_the_end_delivery_counts() {
        let history = [send(1, 1), acked(1, 2, 0), delivered(1, 3, 0), send(2, 4), acked(2, 5, 1)];
        assert_eq!(lost(&history).lost, [LostMessage { id: id(2), age_ns: None, undelivered: false }]);
    }
}

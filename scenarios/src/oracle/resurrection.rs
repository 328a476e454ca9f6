//! Resurrection: a message that was gone from its queue stands there again (Apache #10666).
//!
//! A recovery that moves the end of the log back in memory only leaves the old bytes on the disk. New messages are written
//! over the first of them; the next recovery reads on behind the new ones and takes the old tail for its own. What had been
//! cut, and perhaps been given up for lost and sent again, is there once more, out of order.
//!
//! That a message was gone is known from [`cuts`](super::cuts). It is back when it stands at the same place at the end, or
//! was delivered from it again. Deliveries count only where one machine alone serves the queue: a slave that has not been
//! told yet may show for a moment what its master has cut, which is no resurrection.

use super::{cuts::Cut, finding, ledger::Ledger};
use crate::message::MessageId;
use indexmap::{IndexMap, IndexSet};
use reports::Finding;

/// How long a consumer may take over a message that it had been given before the cut.
const IN_HAND_NS_MAX: u64 = 1_000_000_000;

/// The messages that rose again.
pub fn risen(ledger: &Ledger, cuts: &IndexMap<MessageId, Vec<Cut>>) -> IndexSet<MessageId> {
    let is_back = |id: &MessageId, cut: &Cut| {
        let Some(entry) = ledger.messages.get(id) else { return false };
        let delivered_again = || {
            let late = |at_ns: &u64| *at_ns > cut.known_at_ns.saturating_add(IN_HAND_NS_MAX);
            let mut deliveries = entry.delivered.iter().zip(&entry.delivered_at_ns);
            !ledger.has_slaves(&cut.place.0) && deliveries.any(|(place, at_ns)| *place == cut.place && late(at_ns))
        };
        entry.stored.contains(&cut.place) || delivered_again()
    };
    cuts.iter().filter(|(id, cuts)| cuts.iter().any(|cut| is_back(id, cut))).map(|(id, _)| *id).collect()
}

/// Says so, for each of them.
pub fn find(risen: &IndexSet<MessageId>, cuts: &IndexMap<MessageId, Vec<Cut>>) -> Vec<Finding> {
    let told = risen.iter().filter_map(|id| {
        let cut = cuts.get(id)?.first()?;
        let (queue, offset) = &cut.place;
        let (by, by_offset) = (cut.by, cut.by_offset);
        Some(finding(
            "resurrection",
            format!(
                "{id} stands at {queue} offset {offset} again; it had been cut when {by}, sent later, was given offset \
                 {by_offset}"
            ),
        ))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Event, oracle::fixture::*};

    fn judge(events: &[Event]) -> Vec<Finding> {
        let ledger = Ledger::new(events);
        let cuts = crate::oracle::cuts::find(&ledger);
        find(&risen(&ledger, &cuts), &cuts)
    }

    /// Two messages, of which a power loss takes the first place back, and a third one that is given it.
    fn cut_and_written_over() -> Vec<Event> {
        let mut history = vec![send(1, 1), acked(1, 2, 0), send(2, 3), acked(2, 4, 1), power_loss(10)];
        history.extend([send(3, 20), acked(3, 21, 0), power_loss(30)]);
        history
    }

    #[test]
    fn what_was_cut_and_stands_there_again_has_risen() {
        let history = [cut_and_written_over(), vec![stored(3, 0), stored(2, 1)]].concat();
        let found = judge(&history);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.starts_with("p1-000002 stands at broker-a/T/0 offset 1 again"), "{found:?}");
    }

    #[test]
    fn what_was_cut_and_is_delivered_again_has_risen() {
        let history = [cut_and_written_over(), vec![delivered(2, 2_000, 1)]].concat();
        assert_eq!(judge(&history).len(), 1);
    }

    #[test]
    fn what_was_cut_and_stays_away_has_not() {
        let history = [cut_and_written_over(), vec![stored(3, 0)]].concat();
        assert_eq!(judge(&history), []);
    }

    #[test]
    fn what_a_consumer_still_had_in_hand_has_not() {
        let history = [cut_and_written_over(), vec![delivered(2, 22, 1), stored(3, 0)]].concat();
        assert_eq!(judge(&history), []);
    }

    #[test]
    fn what_a_slave_still_shows_has_not() {
        let history = [cut_and_written_over(), vec![delivered(2, 2_000, 1), replica(false, 0, 0)]].concat();
        assert_eq!(judge(&history), []);
    }

    #[test]
    fn what_was_sent_twice_by_its_producer_stands_in_its_second_place_rightly() {
        // The first attempt was stored at 0 without an answer, the second at 2.
        let history =
            [send(1, 1), send(2, 2), acked(2, 3, 1), acked(1, 5, 2), stored(1, 0), stored(2, 1), stored(1, 2)];
        assert_eq!(judge(&history), []);
    }
}

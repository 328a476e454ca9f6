//! Phantoms: messages that nobody sent, and messages whose send had definitely failed.

use super::{finding, ledger::Ledger};
use crate::history::Outcome;
use reports::Finding;

/// Finds them.
pub fn find(ledger: &Ledger) -> Vec<Finding> {
    let nameless = ledger.nameless.iter().map(|(queue, offset)| {
        finding("phantom", format!("the message at {queue} offset {offset} carries no identity of this workload"))
    });
    let named = ledger.messages.iter().filter_map(|(id, entry)| {
        let (queue, offset) = entry.stored.first().or(entry.delivered.first())?;
        match (entry.sent_at_ns, entry.outcome) {
            (None, _) => Some(finding("phantom", format!("{id} at {queue} offset {offset} was never sent"))),
            (_, Some(Outcome::Fail)) => Some(finding(
                "phantom",
                format!("{id} at {queue} offset {offset}: its producer was told that it had definitely failed"),
            )),
            _ => None,
        }
    });
    nameless.chain(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Event, oracle::fixture::*};

    #[test]
    fn what_was_sent_is_none_even_without_an_answer() {
        let mut history = good(1, 1, 0);
        history.extend([send(2, 5), sent(2, 6, Outcome::Unknown), stored(2, 1), send(3, 7), delivered(3, 8, 2)]);
        assert_eq!(find(&Ledger::new(&history)), []);
    }

    #[test]
    fn what_was_never_sent_is_one() {
        let found = find(&Ledger::new(&[delivered(9, 1, 0)]));
        assert!(found[0].message.contains("p1-000009") && found[0].message.contains("never sent"));
    }

    #[test]
    fn what_had_failed_and_is_stored_is_one() {
        let found = find(&Ledger::new(&[send(1, 1), sent(1, 2, Outcome::Fail), stored(1, 0)]));
        assert!(found[0].message.contains("definitely failed"));
    }

    #[test]
    fn what_names_nobody_is_one() {
        let event = Event::Stored { id: None, checksum: 7, queue: QUEUE.into(), offset: 3 };
        assert_eq!(find(&Ledger::new(&[event])).len(), 1);
    }
}

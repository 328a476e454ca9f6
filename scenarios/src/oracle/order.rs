//! Order per queue: if one send had been acknowledged before another to the same queue began, it stands before it; and no
//! two messages stand in one place.
//!
//! This is the order in real time between any two producers, which is stronger than the order of one producer's own
//! messages. Messages that were lost give their place up and are left out, as are those that rose again, which
//! [`resurrection`](super::resurrection) names. A message that stands elsewhere than its answer says was stored more than once
//! by its producer's retries; that is a violation only where no fault explains that the named place is empty. The order in which concurrent consumers are
//! given messages is not promised, so deliveries are not looked at.

use super::{
    finding,
    ledger::{Destruction, Ledger},
};
use crate::{history::Queue, message::MessageId};
use indexmap::IndexSet;
use reports::Finding;
use std::collections::BTreeMap;

struct Stored {
    offset: i64,
    sent_at_ns: u64,
    answered_at_ns: u64,
    id: MessageId,
}

/// Finds violations: at most one for each queue and place, the nearest offender named.
pub fn find(ledger: &Ledger, risen: &IndexSet<MessageId>) -> Vec<Finding> {
    let mut queues: BTreeMap<&Queue, Vec<Stored>> = BTreeMap::new();
    let mut findings = Vec::new();
    let mut places: BTreeMap<(&Queue, i64), MessageId> = BTreeMap::new();
    for (id, entry) in ledger.messages.iter().filter(|(id, _)| !risen.contains(*id)) {
        for (queue, offset) in &entry.stored {
            if let Some(other) = places.insert((queue, *offset), *id)
                && other != *id
            {
                findings.push(finding("order", format!("{other} and {id} both stand at {queue} offset {offset}")));
            }
        }
        let (Some((queue, offset)), Some(sent_at_ns), true) =
            (&entry.answered_place, entry.sent_at_ns, entry.is_acked())
        else {
            continue;
        };
        if !ledger.was_read || entry.stored.iter().any(|place| place.0 == *queue && place.1 == *offset) {
            let stored = Stored { offset: *offset, sent_at_ns, answered_at_ns: entry.answered_at_ns, id: *id };
            queues.entry(queue).or_default().push(stored);
        } else if !entry.stored.is_empty() && !is_explained(ledger, &(queue.clone(), *offset), sent_at_ns) {
            findings.push(finding(
                "order",
                format!("{id} was acknowledged at {queue} offset {offset} and stands elsewhere"),
            ));
        }
    }
    for (queue, mut stored) in queues {
        stored.sort_by_key(|message| message.offset);
        // Walking backwards: no message may have begun after the earliest acknowledgement of those that stand behind it.
        let mut earliest: Option<&Stored> = None;
        for message in stored.iter().rev() {
            if let Some(behind) = earliest
                && behind.answered_at_ns < message.sent_at_ns
            {
                findings.push(finding(
                    "order",
                    format!(
                        "{} at {queue} offset {} was acknowledged before {} at offset {} began to be sent",
                        behind.id, behind.offset, message.id, message.offset
                    ),
                ));
            }
            if earliest.is_none_or(|behind| message.answered_at_ns < behind.answered_at_ns) {
                earliest = Some(message);
            }
        }
    }
    findings
}

/// Whether something destroyed messages of this queue since then; or, where a disk was full, its oldest, of which the one at this
/// place is one.
fn is_explained(ledger: &Ledger, place: &(Queue, i64), since_ns: u64) -> bool {
    let explains = |fault: &Destruction| !fault.is_full || ledger.begins_after(place);
    let mut since = ledger.destructions.iter().filter(|fault| fault.at_ns >= since_ns);
    since.any(|fault| fault.concerns(Some(&place.0)) && explains(fault))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Event, oracle::fixture::*};

    fn judge(events: &[Event]) -> Vec<Finding> {
        find(&Ledger::new(events), &IndexSet::new())
    }

    #[test]
    fn messages_in_the_order_of_their_sends_are_fine() {
        let history = [good(1, 1, 0), good(2, 10, 1), good(3, 20, 2)].concat();
        assert_eq!(judge(&history), []);
    }

    #[test]
    fn sends_at_the_same_time_may_stand_in_any_order() {
        let history = [send(1, 1), send(2, 2), acked(1, 5, 1), acked(2, 5, 0), stored(1, 1), stored(2, 0)];
        assert_eq!(judge(&history), []);
    }

    #[test]
    fn a_later_send_before_an_earlier_one_is_a_violation() {
        let history = [good(1, 1, 1), good(2, 10, 0)].concat();
        let found = judge(&history);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.starts_with("p1-000001 at broker-a/T/0 offset 1"), "{found:?}");
    }

    #[test]
    fn a_lost_message_gives_its_place_up() {
        let mut history = vec![send(1, 1), acked(1, 2, 0), power_loss(5)];
        history.extend(good(2, 10, 0));
        assert_eq!(judge(&history), []);
    }

    #[test]
    fn two_messages_in_one_place_and_a_message_in_another_place_are_violations() {
        let history = [good(1, 1, 0), vec![send(2, 5), stored(2, 0)]].concat();
        assert_eq!(judge(&history).len(), 1);
        let history = [send(1, 1), acked(1, 2, 0), stored(1, 7)];
        assert!(judge(&history)[0].message.contains("stands elsewhere"));
    }

    #[test]
    fn a_second_copy_may_outlive_the_acknowledged_one() {
        let history = [send(1, 1), acked(1, 2, 3), stored(1, 1), power_loss(5)];
        assert_eq!(judge(&history), []);
        let history = [send(1, 1), acked(1, 2, 3), stored(1, 1), power_loss_elsewhere(5)];
        assert_eq!(judge(&history).len(), 1);
        // A full disk takes what stands before the beginning of its queue, and nothing behind it.
        let full =
            |min| vec![send(1, 1), acked(1, 2, 3), stored(1, 7), disk_full(5, "broker-a"), offsets(min, 8, None)];
        assert_eq!((judge(&full(4)).len(), judge(&full(3)).len()), (0, 1));
    }

    #[test]
    fn what_has_risen_is_named_elsewhere() {
        let history = [good(1, 1, 1), good(2, 10, 0)].concat();
        assert_eq!(find(&Ledger::new(&history), &IndexSet::from([id(1)])), []);
    }
}

//! What is known to have been cut from the end of its queue, by the places that answers and deliveries name.
//!
//! A queue grows at its end only. A message that was sent after another had been seen at an offset, and that was given the
//! same offset or a smaller one, proves that the queue had ended before the other one when it was appended: the other one
//! had been cut off, as recoveries do with a damaged tail. Two acknowledgements of the same place by different messages are
//! the plainest case. That a message was cut is no violation by itself, since a loss may be allowed; but whatever was cut
//! must not be there again.

use super::ledger::{Ledger, Place};
use crate::{history::Queue, message::MessageId};
use indexmap::IndexMap;

/// The proof that a message was gone from a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The place that it was seen at.
    pub place: Place,
    /// The later message, and the offset in the same queue that it was given.
    pub by: MessageId,
    pub by_offset: i64,
    /// When the later message was answered: the cut had happened by then.
    pub known_at_ns: u64,
}

struct Seen {
    id: MessageId,
    offset: i64,
    at_ns: u64,
}

struct Appended {
    id: MessageId,
    offset: i64,
    sent_at_ns: u64,
    answered_at_ns: u64,
}

/// Finds the cut messages; for one that was cut at several places, each.
pub fn find(ledger: &Ledger) -> IndexMap<MessageId, Vec<Cut>> {
    let mut queues: IndexMap<&Queue, (Vec<Seen>, Vec<Appended>)> = IndexMap::new();
    for (id, entry) in &ledger.messages {
        if let (Some((queue, offset)), Some(sent_at_ns)) = (&entry.answered_place, entry.sent_at_ns) {
            let (seen, appended) = queues.entry(queue).or_default();
            let answered_at_ns = entry.answered_at_ns;
            seen.push(Seen { id: *id, offset: *offset, at_ns: answered_at_ns });
            appended.push(Appended { id: *id, offset: *offset, sent_at_ns, answered_at_ns });
        }
        for ((queue, offset), at_ns) in entry.delivered.iter().zip(&entry.delivered_at_ns) {
            // What the answer already says need not be said again; of repeated deliveries the first says most.
            let is_answered =
                entry.answered_place.as_ref().is_some_and(|place| place.0 == *queue && place.1 == *offset);
            let (seen, _) = queues.entry(queue).or_default();
            let is_repeated = seen.last().is_some_and(|last| last.id == *id && last.offset == *offset);
            if !is_answered && !is_repeated {
                seen.push(Seen { id: *id, offset: *offset, at_ns: *at_ns });
            }
        }
    }
    let mut cuts: IndexMap<MessageId, Vec<Cut>> = IndexMap::new();
    for (queue, (mut seen, mut appended)) in queues {
        // Backwards in time: the smallest offset that was given to anything sent after the moment looked at.
        seen.sort_by_key(|seen| std::cmp::Reverse(seen.at_ns));
        appended.sort_by_key(|appended| std::cmp::Reverse(appended.sent_at_ns));
        let mut later = appended.iter().peekable();
        let mut smallest: Option<&Appended> = None;
        for seen in &seen {
            while let Some(appended) = later.next_if(|appended| appended.sent_at_ns > seen.at_ns) {
                if smallest.is_none_or(|smallest| appended.offset <= smallest.offset) {
                    smallest = Some(appended);
                }
            }
            if let Some(by) = smallest.filter(|by| by.offset <= seen.offset && by.id != seen.id) {
                cuts.entry(seen.id).or_default().push(Cut {
                    place: (queue.clone(), seen.offset),
                    by: by.id,
                    by_offset: by.offset,
                    known_at_ns: by.answered_at_ns,
                });
            }
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fixture::*;

    fn cut(events: &[crate::history::Event]) -> Vec<u32> {
        let mut cut = find(&Ledger::new(events)).keys().map(|id| id.sequence).collect::<Vec<_>>();
        cut.sort_unstable();
        cut
    }

    #[test]
    fn a_queue_that_only_grows_has_none() {
        assert_eq!(cut(&[good(1, 1, 0), good(2, 10, 1), good(3, 20, 2)].concat()), [0; 0]);
    }

    #[test]
    fn two_answers_for_one_place_say_that_the_first_was_cut() {
        assert_eq!(cut(&[send(1, 1), acked(1, 2, 0), send(2, 5), acked(2, 6, 0)]), [1]);
    }

    #[test]
    fn an_answer_for_an_earlier_place_says_that_all_behind_it_were_cut() {
        let history = [send(1, 1), acked(1, 2, 3), send(2, 3), acked(2, 4, 4), send(3, 5), acked(3, 6, 2)];
        assert_eq!(cut(&history), [1, 2]);
    }

    #[test]
    fn sends_at_the_same_time_say_nothing() {
        assert_eq!(cut(&[send(1, 1), send(2, 2), acked(1, 5, 1), acked(2, 6, 0)]), [0; 0]);
    }

    #[test]
    fn a_delivery_is_as_good_as_an_answer() {
        let history = [send(1, 1), delivered(1, 2, 5), send(2, 5), acked(2, 6, 5)];
        assert_eq!(cut(&history), [1]);
        let before = [send(1, 1), send(2, 1), delivered(1, 2, 5), acked(2, 6, 5)];
        assert_eq!(cut(&before), [0; 0]);
    }
}

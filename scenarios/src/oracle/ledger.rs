//! A history summed up by message, in one pass and in memory proportional to the messages.

use crate::{
    history::{Event, Outcome, Queue},
    message::MessageId,
};
use indexmap::IndexMap;
use std::sync::Arc;

/// Where a message stands: its queue and the offset in it.
pub type Place = (Queue, i64);

/// All that is known of one message.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// When its send began; absent for a message that nobody sent.
    pub sent_at_ns: Option<u64>,
    pub bytes: u32,
    pub checksum: u32,
    /// How the send ended; absent while it was under way at the end.
    pub outcome: Option<Outcome>,
    pub answered_at_ns: u64,
    /// The place that the answer named.
    pub answered_place: Option<Place>,
    /// Where it was delivered from, once for each delivery.
    pub delivered: Vec<Place>,
    /// Where it stood at the end.
    pub stored: Vec<Place>,
    /// Deliveries and stored copies with another body.
    pub corrupted: Vec<Place>,
}

impl Entry {
    /// Whether the cluster had promised to keep it.
    pub fn is_acked(&self) -> bool {
        self.outcome == Some(Outcome::Ok)
    }
}

/// The bounds of a queue at the end, and what the group had committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEnd {
    pub queue: Queue,
    pub min: i64,
    pub max: i64,
    pub committed: Option<i64>,
}

/// Something that was done to the cluster and may have destroyed messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destruction {
    pub at_ns: u64,
    pub host: Arc<str>,
    pub what: Arc<str>,
}

/// A history summed up.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub messages: IndexMap<MessageId, Entry>,
    /// Deliveries and stored messages whose body names nobody.
    pub nameless: Vec<Place>,
    pub destructions: Vec<Destruction>,
    pub queues: Vec<QueueEnd>,
    pub unreadable: Vec<(Queue, Arc<str>)>,
    pub load_from_ns: Option<u64>,
    pub load_to_ns: Option<u64>,
    pub healed_at_ns: Option<u64>,
    pub ended_at_ns: u64,
    /// The times of successful sends, rising.
    pub acked_at_ns: Vec<u64>,
    /// Whether the queues were read at the end. If not, what was delivered is all that is known to be kept.
    pub was_read: bool,
    pub counts: Counts,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub acked: u64,
    pub unknown: u64,
    pub failed: u64,
    pub delivered: u64,
}

impl Ledger {
    /// Sums up a history.
    pub fn new(events: &[Event]) -> Ledger {
        let mut ledger = Ledger::default();
        for event in events {
            ledger.observe(event);
        }
        // A send without an end may have happened.
        ledger.counts.unknown +=
            ledger.counts.sent - ledger.counts.acked - ledger.counts.unknown - ledger.counts.failed;
        ledger.acked_at_ns.sort_unstable();
        ledger
    }

    fn observe(&mut self, event: &Event) {
        if let Event::Send { at_ns, .. } | Event::Sent { at_ns, .. } | Event::Delivered { at_ns, .. } = event {
            self.ended_at_ns = self.ended_at_ns.max(*at_ns);
        }
        match event {
            Event::Send { at_ns, id, bytes, checksum } => {
                let entry = self.messages.entry(*id).or_default();
                entry.sent_at_ns = Some(*at_ns);
                entry.bytes = *bytes;
                entry.checksum = *checksum;
                self.counts.sent += 1;
            }
            Event::Sent { at_ns, id, outcome, queue, offset, why: _ } => {
                let entry = self.messages.entry(*id).or_default();
                entry.outcome = Some(*outcome);
                entry.answered_at_ns = *at_ns;
                entry.answered_place = queue.clone().zip(*offset);
                match outcome {
                    Outcome::Ok => {
                        self.counts.acked += 1;
                        self.acked_at_ns.push(*at_ns);
                    }
                    Outcome::Fail => self.counts.failed += 1,
                    Outcome::Unknown => self.counts.unknown += 1,
                }
            }
            Event::Delivered { id, checksum, queue, offset, .. } => {
                self.counts.delivered += 1;
                self.seen(*id, *checksum, (queue.clone(), *offset), |entry| &mut entry.delivered);
            }
            Event::Stored { id, checksum, queue, offset } => {
                self.was_read = true;
                self.seen(*id, *checksum, (queue.clone(), *offset), |entry| &mut entry.stored);
            }
            Event::Fault { at_ns, host, what, destroys: true } => {
                self.destructions.push(Destruction { at_ns: *at_ns, host: host.clone(), what: what.clone() });
            }
            Event::Fault { destroys: false, .. } | Event::Note { .. } => {}
            Event::Offsets { queue, min, max, committed } => {
                self.was_read = true;
                self.queues.push(QueueEnd { queue: queue.clone(), min: *min, max: *max, committed: *committed });
            }
            Event::Unreadable { queue, why } => self.unreadable.push((queue.clone(), why.clone())),
            Event::Load { at_ns } => self.load_from_ns = Some(*at_ns),
            Event::Unload { at_ns } => self.load_to_ns = Some(*at_ns),
            Event::Healed { at_ns } => self.healed_at_ns = Some(*at_ns),
            Event::End { at_ns } => self.ended_at_ns = *at_ns,
        }
    }

    fn seen(
        &mut self,
        id: Option<MessageId>,
        checksum: u32,
        place: Place,
        list: impl FnOnce(&mut Entry) -> &mut Vec<Place>,
    ) {
        let Some(id) = id else {
            self.nameless.push(place);
            return;
        };
        let entry = self.messages.entry(id).or_default();
        if entry.sent_at_ns.is_some() && entry.checksum != checksum {
            entry.corrupted.push(place.clone());
        }
        list(entry).push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fixture::*;

    #[test]
    fn a_send_without_an_end_is_unknown() {
        let ledger = Ledger::new(&[send(1, 1), send(2, 2), acked(2, 3, 0)]);
        assert_eq!(ledger.counts, Counts { sent: 2, acked: 1, unknown: 1, failed: 0, delivered: 0 });
    }
}

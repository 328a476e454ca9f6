//! A history summed up by message, in one pass and in memory proportional to the messages.

use crate::{
    history::{Event, Outcome, Queue},
    message::MessageId,
};
use indexmap::IndexMap;
use std::{collections::BTreeMap, sync::Arc};

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
    /// And when, in the same order.
    pub delivered_at_ns: Vec<u64>,
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
    /// The broker name whose messages it may have destroyed; absent: anybody's.
    pub broker: Option<Arc<str>>,
    /// The host's disk was full: the oldest messages alone may have been deleted.
    pub is_full: bool,
}

impl Destruction {
    /// Whether it may have destroyed messages of this queue; one that is not known may be any.
    pub fn concerns(&self, queue: Option<&Queue>) -> bool {
        match (&self.broker, queue) {
            (Some(broker), Some(queue)) => broker_of(queue) == &**broker,
            _ => true,
        }
    }
}

/// The log of one replica at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replica {
    pub broker: Arc<str>,
    pub host: Arc<str>,
    pub is_master: bool,
    pub min: u64,
    pub max: u64,
    /// In the order of their places.
    pub records: Vec<LogRecord>,
}

/// A record in the log of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub physical: u64,
    /// Of all its bytes.
    pub checksum: u32,
    pub queue: Queue,
    pub offset: i64,
    pub id: Option<MessageId>,
}

/// What was seen of one broker name while there was load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// When sends to its queues succeeded.
    pub acked_at_ns: Vec<u64>,
    /// When messages were delivered from them.
    pub delivered_at_ns: Vec<u64>,
}

/// The broker name in the name of a queue.
pub fn broker_of(queue: &Queue) -> &str {
    queue.split('/').next().unwrap_or_default()
}

/// A history summed up.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub messages: IndexMap<MessageId, Entry>,
    /// Deliveries and stored messages whose body names nobody.
    pub nameless: Vec<Place>,
    pub destructions: Vec<Destruction>,
    pub queues: Vec<QueueEnd>,
    /// By host.
    pub replicas: IndexMap<Arc<str>, Replica>,
    /// By broker name.
    pub service: BTreeMap<Arc<str>, Service>,
    /// The last probe of each broker name that got no SEND_OK, and why.
    pub refusing: BTreeMap<Arc<str>, Arc<str>>,
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
        for service in ledger.service.values_mut() {
            service.acked_at_ns.sort_unstable();
            service.delivered_at_ns.sort_unstable();
        }
        for replica in ledger.replicas.values_mut() {
            replica.records.sort_by_key(|record| record.physical);
        }
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
                        if let Some(queue) = queue {
                            self.service_of(queue).acked_at_ns.push(*at_ns);
                        }
                    }
                    Outcome::Fail => self.counts.failed += 1,
                    Outcome::Unknown => self.counts.unknown += 1,
                }
            }
            Event::Delivered { at_ns, id, checksum, queue, offset, .. } => {
                self.counts.delivered += 1;
                self.service_of(queue).delivered_at_ns.push(*at_ns);
                if let Some(id) = id {
                    self.messages.entry(*id).or_default().delivered_at_ns.push(*at_ns);
                }
                self.seen(*id, *checksum, (queue.clone(), *offset), |entry| &mut entry.delivered);
            }
            Event::Stored { id, checksum, queue, offset } => {
                self.was_read = true;
                self.seen(*id, *checksum, (queue.clone(), *offset), |entry| &mut entry.stored);
            }
            Event::Fault { at_ns, host, what, destroys: true, full, broker } => {
                let (host, what, broker) = (host.clone(), what.clone(), broker.clone());
                self.destructions.push(Destruction { at_ns: *at_ns, host, what, broker, is_full: *full });
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
            Event::Probe { broker, ok: true, .. } => {
                self.refusing.remove(broker);
            }
            Event::Probe { broker, ok: false, why, .. } => {
                self.refusing.insert(broker.clone(), why.clone().unwrap_or_else(|| "no reason is given".into()));
            }
            Event::Replica { broker, host, master, min, max } => {
                let replica = self.replica(host);
                (replica.broker, replica.is_master) = (broker.clone(), *master);
                (replica.min, replica.max) = (*min, *max);
            }
            Event::Record { host, physical, checksum, queue, offset, id } => {
                let (physical, checksum, offset, id) = (*physical, *checksum, *offset, *id);
                self.replica(host).records.push(LogRecord { physical, checksum, queue: queue.clone(), offset, id });
            }
            Event::End { at_ns } => self.ended_at_ns = *at_ns,
        }
    }

    fn replica(&mut self, host: &Arc<str>) -> &mut Replica {
        let new = || Replica { host: host.clone(), ..Replica::default() };
        self.replicas.entry(host.clone()).or_insert_with(new)
    }

    fn service_of(&mut self, queue: &Queue) -> &mut Service {
        let broker = broker_of(queue);
        // Histories name few brokers, and name them often.
        if !self.service.contains_key(broker) {
            self.service.insert(broker.into(), Service::default());
        }
        self.service.get_mut(broker).expect("it was just put there")
    }

    /// Whether the queue begins, at the end, behind this place.
    pub fn begins_after(&self, (queue, offset): &Place) -> bool {
        self.queues.iter().any(|end| end.queue == *queue && end.min > *offset)
    }

    /// Whether the disk of this host was full, so that it may have deleted its oldest files.
    pub fn was_full(&self, host: &str) -> bool {
        self.destructions.iter().any(|fault| fault.is_full && *fault.host == *host)
    }

    /// Whether consumers may have been served by a slave of this queue's broker.
    pub fn has_slaves(&self, queue: &Queue) -> bool {
        self.replicas.values().any(|replica| !replica.is_master && *replica.broker == *broker_of(queue))
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

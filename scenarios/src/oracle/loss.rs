//! Acknowledged loss: SEND_OK was given, and the message is gone, or was passed over.
//!
//! A message counts as lost when it no longer stands in any queue at the end, even if a consumer had been given it before
//! (another group, or a second reading, would not get it). It counts as *skipped* when it stands there and the group was never
//! given it although it moved past; a group that has not got so far is not live, which is another oracle's concern, and a
//! queue that could not be read says nothing about what is in it. Where a history has no reading of the queues at its end,
//! what was delivered counts as kept, unless a later answer proves that it was cut.
//!
//! The age of a lost message is the time from its acknowledgement to the next fault that may have destroyed it: one of its
//! broker's own machines, and none that it was still delivered after. An acknowledgement may be on its way when the fault
//! strikes and arrive a moment later; its message then has the age 0. A disk that was full explains the loss of messages that
//! lie before the beginning of their queue, and of no others.

use super::{
    cuts::Cut,
    ledger::{Destruction, Entry, Ledger},
};
use crate::message::MessageId;
use indexmap::IndexMap;

/// How long an acknowledgement, or a message given to a consumer, may be on its way when the fault strikes.
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
    /// When that fault struck.
    pub fault_at_ns: Option<u64>,
    /// Its place lies before the beginning of its queue, and what explains its loss is a disk that was full.
    pub deleted: bool,
    /// It still stands in a queue, and was passed over.
    pub skipped: bool,
}

impl Loss {
    /// The age of the oldest in milliseconds, rounded up; 0 when nothing was lost, or nothing that a fault explains.
    pub fn oldest_ms(&self) -> u64 {
        let oldest_ns = self.lost.iter().filter_map(|lost| lost.age_ns).max().unwrap_or(0);
        oldest_ns.div_ceil(1_000_000)
    }

    /// How many are stored but were passed over.
    pub fn skipped(&self) -> u64 {
        self.lost.iter().filter(|lost| lost.skipped).count() as u64
    }
}

/// Finds the lost messages, in the order in which they were sent.
pub fn find(ledger: &Ledger, cuts: &IndexMap<MessageId, Vec<Cut>>) -> Loss {
    let mut loss = Loss::default();
    for (id, entry) in ledger.messages.iter().filter(|(_, entry)| entry.is_acked()) {
        let was_cut = || {
            cuts.get(id).is_some_and(|cuts| cuts.iter().any(|cut| entry.answered_place.as_ref() == Some(&cut.place)))
        };
        let kept = match ledger.was_read {
            true => !entry.stored.is_empty() || is_unreadable(ledger, entry),
            false => !entry.delivered.is_empty() && !was_cut(),
        };
        let skipped = kept && entry.delivered.is_empty() && was_passed_over(ledger, entry);
        if kept && !skipped {
            continue;
        }
        let is_before = || entry.answered_place.as_ref().is_some_and(|place| ledger.begins_after(place));
        let full = if !skipped && is_before() { explanation(ledger, entry, true) } else { None };
        let deleted = full.is_some();
        let fault = if skipped { None } else { full.or_else(|| explanation(ledger, entry, false)) };
        let fault_at_ns = fault.map(|fault| fault.at_ns);
        let age_ns = fault_at_ns.map(|at_ns| at_ns.saturating_sub(entry.answered_at_ns));
        loss.lost.push(LostMessage { id: *id, age_ns, fault_at_ns, deleted, skipped });
        loss.bytes += u64::from(entry.bytes);
    }
    loss
}

/// Whether the queue that it was acknowledged in could not be read.
fn is_unreadable(ledger: &Ledger, entry: &Entry) -> bool {
    let Some((queue, _)) = &entry.answered_place else { return false };
    ledger.unreadable.iter().any(|(unreadable, _)| unreadable == queue)
}

/// Whether the group has moved past one of the places at which it stands. Where the history does not say how far the group
/// got, or that the cluster was healed, being stored and not delivered is enough.
fn was_passed_over(ledger: &Ledger, entry: &Entry) -> bool {
    if ledger.healed_at_ns.is_none() || ledger.queues.is_empty() {
        return !is_unreadable(ledger, entry);
    }
    let passed = |(queue, offset): &(crate::history::Queue, i64)| {
        let end = ledger.queues.iter().find(|end| end.queue == *queue);
        end.is_none_or(|end| end.committed.is_some_and(|committed| committed > *offset))
    };
    entry.stored.iter().any(passed)
}

/// The first fault since the acknowledgement that may have destroyed the message; or, `full`, the first disk that was full.
fn explanation<'a>(ledger: &'a Ledger, entry: &Entry, full: bool) -> Option<&'a Destruction> {
    let queue = entry.answered_place.as_ref().map(|(queue, _)| queue);
    let was_under_way = |at_ns: u64| entry.sent_at_ns.is_some_and(|sent_at_ns| sent_at_ns <= at_ns);
    // Where nobody else can have given it to consumers, a delivery proves that it had survived the faults before.
    let alone = queue.is_none_or(|queue| !ledger.has_slaves(queue));
    let delivered = entry.delivered.iter().zip(&entry.delivered_at_ns);
    let seen = delivered.filter(|(place, _)| alone && Some(*place) == entry.answered_place.as_ref());
    // What is deleted for want of room goes at any time while that lasts.
    let last_seen_ns = if full { 0 } else { seen.map(|(_, at_ns)| *at_ns).max().unwrap_or(0) };
    let explains = |fault: &&Destruction| {
        let at_ns = fault.at_ns;
        let reach_ns = at_ns.saturating_add(IN_FLIGHT_NS_MAX);
        let after_answer = at_ns >= entry.answered_at_ns || (was_under_way(at_ns) && reach_ns >= entry.answered_at_ns);
        fault.is_full == full && fault.concerns(queue) && after_answer && reach_ns >= last_seen_ns
    };
    ledger.destructions.iter().find(explains)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::Event, oracle::fixture::*};

    fn lost(events: &[Event]) -> Loss {
        {
            let ledger = Ledger::new(events);
            find(&ledger, &crate::oracle::cuts::find(&ledger))
        }
    }

    /// Sequence, age, and whether it was skipped.
    fn told(loss: &Loss) -> Vec<(u32, Option<u64>, bool)> {
        loss.lost.iter().map(|lost| (lost.id.sequence, lost.age_ns, lost.skipped)).collect()
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
        assert_eq!(told(&loss), [(2, Some(479 * MS), false)]);
        assert_eq!((loss.oldest_ms(), loss.bytes), (479, 100));
    }

    #[test]
    fn what_is_stored_and_was_passed_over_is_skipped() {
        let loss = lost(&[send(1, 10), acked(1, 11, 0), stored(1, 0), power_loss(20)]);
        assert_eq!(told(&loss), [(1, None, true)]);
        assert_eq!(loss.skipped(), 1);
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
        assert_eq!(told(&on_its_way), [(1, Some(0), false)]);
        for history in [
            [power_loss(20), send(1, 21), acked(1, 22, 0), offsets(0, 0, None)],
            [send(1, 19), power_loss(20), acked(1, 3_000, 0), offsets(0, 0, None)],
        ] {
            assert_eq!(told(&lost(&history)), [(1, None, false)]);
        }
    }

    #[test]
    fn without_a_reading_at_the_end_delivery_counts() {
        let history = [send(1, 1), acked(1, 2, 0), delivered(1, 3, 0), send(2, 4), acked(2, 5, 1)];
        assert_eq!(told(&lost(&history)), [(2, None, false)]);
    }

    #[test]
    fn a_group_that_has_not_got_so_far_has_skipped_nothing() {
        let end = |committed| {
            vec![Event::Healed { at_ns: 0 }, send(1, 10), acked(1, 11, 0), stored(1, 0), offsets(0, 1, committed)]
        };
        assert_eq!(lost(&end(Some(0))), Loss::default());
        assert_eq!(lost(&end(None)), Loss::default());
        assert_eq!(lost(&end(Some(1))).skipped(), 1);
    }

    #[test]
    fn a_queue_that_could_not_be_read_says_nothing() {
        let unreadable = Event::Unreadable { queue: QUEUE.into(), why: "time-out".into() };
        let other = Event::Offsets { queue: "broker-b/T/0".into(), min: 0, max: 0, committed: None };
        assert_eq!(lost(&[send(1, 1), acked(1, 2, 0), unreadable, other.clone()]), Loss::default());
        assert_eq!(lost(&[send(1, 1), acked(1, 2, 0), other]).lost.len(), 1);
    }

    #[test]
    fn a_fault_of_another_broker_explains_nothing() {
        let history = |fault| lost(&[send(1, 1), acked(1, 2, 0), fault, offsets(0, 0, None)]).lost[0].age_ns;
        assert_eq!(history(power_loss(10)), Some(8 * MS));
        assert_eq!(history(power_loss_elsewhere(10)), None);
    }

    #[test]
    fn a_fault_before_a_delivery_does_not_explain_what_is_gone_after_it() {
        let history = |again_ms| {
            let faults = [power_loss(10), delivered(1, again_ms, 0), power_loss(5_000), offsets(0, 0, None)];
            lost(&[vec![send(1, 1), acked(1, 2, 0)], faults.into()].concat()).lost[0].age_ns
        };
        assert_eq!(history(3_000), Some(4_998 * MS));
        // It may have been in the consumer's hands when the first fault struck.
        assert_eq!(history(11), Some(8 * MS));
    }

    #[test]
    fn without_a_reading_a_place_given_to_another_proves_the_loss() {
        let history = [good(1, 1, 0), vec![power_loss(5), send(2, 10), acked(2, 11, 0), delivered(2, 12, 0)]].concat();
        let without_reading =
            history.into_iter().filter(|event| !matches!(event, Event::Stored { .. })).collect::<Vec<_>>();
        assert_eq!(told(&lost(&without_reading)), [(1, Some(3 * MS), false)]);
    }

    #[test]
    fn a_full_disk_explains_what_lies_before_the_beginning_of_its_queue_and_nothing_else() {
        let history = |fault| vec![send(1, 1), acked(1, 2, 0), send(2, 3), acked(2, 4, 1), fault, offsets(1, 2, None)];
        let full = lost(&history(disk_full(10, "broker-a")));
        assert_eq!(told(&full), [(1, Some(8 * MS), false), (2, None, false)]);
        assert_eq!(full.lost.iter().map(|lost| lost.deleted).collect::<Vec<_>>(), [true, false]);
        // A disk that was not full deletes nothing.
        let power = lost(&history(power_loss(10)));
        assert_eq!(told(&power), [(1, Some(8 * MS), false), (2, Some(6 * MS), false)]);
        assert!(power.lost.iter().all(|lost| !lost.deleted));
        // What came when there was room again.
        let late = [disk_full(10, "broker-a"), send(1, 20), acked(1, 21, 0), offsets(1, 1, None)];
        assert_eq!(told(&lost(&late)), [(1, None, false)]);
    }
}

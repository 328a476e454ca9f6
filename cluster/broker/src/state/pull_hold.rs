//! Pulls that found nothing and wait for a message (`PullRequestHoldService`, `ManyPullRequest`).
//!
//! A held pull is woken by the first message of its queue that its tag filter lets through, or by its time. There is no
//! sweep over all of them and no timer for each: the holder asks for the earliest time and waits for that. Times are of a monotonic clock, in ms.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::body::SubscriptionData;

use super::queue_map::QueueMap;

/// A pull that waits. `T` is what is needed to answer it.
#[derive(Debug)]
pub struct HeldPull<T> {
    /// Where it wants to read from.
    pub queue_offset: i64,
    /// Which messages wake it, by their tags' hashes.
    pub subscription: Arc<SubscriptionData>,
    /// When it is answered at the latest.
    pub deadline_ms: i64,
    /// How to answer it.
    pub payload: T,
}

/// All pulls that wait, by queue and by time.
#[derive(Debug)]
pub struct PullHold<T> {
    queues: QueueMap<Vec<(u64, HeldPull<T>)>>,
    /// By deadline and number: the queue.
    deadlines: BTreeMap<(i64, u64), (Arc<str>, i32)>,
    number_next: u64,
}

impl<T> Default for PullHold<T> {
    fn default() -> Self {
        Self { queues: QueueMap::default(), deadlines: BTreeMap::new(), number_next: 0 }
    }
}

impl<T> PullHold<T> {
    /// Holds a pull; says whether its deadline is now the earliest, so that who waits for it must wait anew.
    pub fn hold(&mut self, topic: &str, queue_id: i32, pull: HeldPull<T>) -> bool {
        let number = self.number_next;
        self.number_next += 1;
        let key = (pull.deadline_ms, number);
        let is_first = self.deadlines.first_key_value().is_none_or(|(first, _)| key < *first);
        self.deadlines.insert(key, (topic.into(), queue_id));
        self.queues.get_or_insert_with(topic, queue_id, Vec::new).push((number, pull));
        is_first
    }

    /// A message has become visible: `next_offset` is one past its place. The pulls that want it are taken out.
    pub fn message_arrived(
        &mut self,
        topic: &str,
        queue_id: i32,
        next_offset: i64,
        tags_code: i64,
        woken: &mut Vec<HeldPull<T>>,
    ) {
        let Some(held) = self.queues.get_mut(topic, queue_id) else { return };
        let wanted = |pull: &HeldPull<T>| next_offset > pull.queue_offset && pull.subscription.may_match(tags_code);
        let mut index = 0;
        while index < held.len() {
            if wanted(&held[index].1) {
                let (number, pull) = held.remove(index);
                self.deadlines.remove(&(pull.deadline_ms, number));
                woken.push(pull);
            } else {
                index += 1;
            }
        }
        // The empty vector stays: the consumer's next pull comes at once, and the memory is ready for it.
    }

    /// The pulls of a queue whose offset lies before `max_offset`, taken out whatever their filters say.
    pub fn take_behind(&mut self, topic: &str, queue_id: i32, max_offset: i64, woken: &mut Vec<HeldPull<T>>) {
        let Some(held) = self.queues.get_mut(topic, queue_id) else { return };
        let deadlines = &mut self.deadlines;
        woken.extend(held.extract_if(.., |(_, pull)| pull.queue_offset < max_offset).map(|(number, pull)| {
            deadlines.remove(&(pull.deadline_ms, number));
            pull
        }));
    }

    /// When the first of them must be answered.
    #[must_use]
    pub fn earliest_deadline_ms(&self) -> Option<i64> {
        self.deadlines.first_key_value().map(|((deadline_ms, _), _)| *deadline_ms)
    }

    /// The pulls whose time is over, taken out.
    pub fn expired(&mut self, now_ms: i64, woken: &mut Vec<HeldPull<T>>) {
        while let Some(entry) = self.deadlines.first_entry() {
            if entry.key().0 > now_ms {
                return;
            }
            let ((_, number), (topic, queue_id)) = entry.remove_entry();
            let held = self.queues.get_mut(&topic, queue_id);
            if let Some(held) = held
                && let Some(index) = held.iter().position(|(held_number, _)| *held_number == number)
            {
                woken.push(held.swap_remove(index).1);
            }
            if self.queues.get(&topic, queue_id).is_some_and(Vec::is_empty) {
                self.queues.remove(&topic, queue_id);
            }
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(queue_offset: i64, expression: &str, deadline_ms: i64, payload: u32) -> HeldPull<u32> {
        let subscription = Arc::new(SubscriptionData::by_tags("T", expression, 1));
        HeldPull { queue_offset, subscription, deadline_ms, payload }
    }

    fn payloads(woken: &mut Vec<HeldPull<u32>>) -> Vec<u32> {
        woken.drain(..).map(|pull| pull.payload).collect()
    }

    #[test]
    fn a_message_wakes_those_who_want_it() {
        let mut hold = PullHold::default();
        let mut woken = Vec::new();
        assert!(hold.hold("T", 0, pull(5, "*", 1000, 1)));
        assert!(!hold.hold("T", 0, pull(5, "tagX", 1000, 2)));
        assert!(!hold.hold("T", 0, pull(6, "*", 1001, 3)));
        assert!(!hold.hold("T", 1, pull(5, "*", 1002, 4)));
        hold.message_arrived("T", 0, 6, 0, &mut woken);
        assert_eq!(payloads(&mut woken), [1]);
        hold.message_arrived("T", 0, 7, 3_552_254, &mut woken);
        assert_eq!(payloads(&mut woken), [2, 3]);
        hold.message_arrived("U", 0, 7, 0, &mut woken);
        assert!(woken.is_empty());
        assert_eq!(hold.len(), 1);
    }

    #[test]
    fn time_wakes_in_order() {
        let mut hold = PullHold::default();
        let mut woken = Vec::new();
        hold.hold("T", 0, pull(5, "*", 300, 1));
        assert!(hold.hold("T", 0, pull(5, "*", 100, 2)));
        hold.hold("T", 1, pull(5, "*", 200, 3));
        assert_eq!(hold.earliest_deadline_ms(), Some(100));
        hold.expired(99, &mut woken);
        assert!(woken.is_empty());
        hold.expired(200, &mut woken);
        assert_eq!(payloads(&mut woken), [2, 3]);
        hold.take_behind("T", 0, 6, &mut woken);
        assert_eq!(payloads(&mut woken), [1]);
        assert!(hold.is_empty());
        assert_eq!(hold.earliest_deadline_ms(), None);
    }
}

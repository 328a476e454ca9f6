//! Pulls that found nothing and wait for a message (`PullRequestHoldService`, `ManyPullRequest`).
//!
//! A held pull is woken by the first message of its queue that its tag filter lets through, or by its time. There is no
//! sweep over all of them and no timer for each: the holder asks for the earliest time and waits for that. Times are of a
//! monotonic clock, in ms.
//!
//! A pull is small to send and large to keep, so there are limits. A connection that has ended has no pulls here. One reader
//! (a group on a connection) has [`HELD_BY_READER_MAX`] pulls of one queue at most: the oldest is given back, whoever sent it
//! has long given up. One connection has no more than half of what is left of [`HELD_MAX`], so that there is always room for
//! others. `K` names a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::body::SubscriptionData;
use slab::Slab;

use super::queue_map::QueueMap;

/// The most pulls that wait.
pub const HELD_MAX: usize = 262_144;
/// The most pulls of one queue that one group on one connection has here. Clients have one; a proxy has one for each client.
pub const HELD_BY_READER_MAX: usize = 64;

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

/// Where a pull comes from and what it reads.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a, K> {
    /// The connection.
    pub channel: K,
    /// The group.
    pub group: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: i32,
}

/// What a hold led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its deadline is the earliest now: who waits for that must wait anew.
    First,
    /// Another deadline is earlier.
    Later,
    /// There is no room for it: it was given back.
    Refused,
}

#[derive(Debug)]
struct Held<K, T> {
    pull: HeldPull<T>,
    topic: Arc<str>,
    queue_id: i32,
    number: u64,
    /// Its place among the pulls of its queue.
    index: usize,
    reader: (K, u64),
}

/// All pulls that wait, by queue, by time and by reader.
#[derive(Debug)]
pub struct PullHold<K, T> {
    pulls: Slab<Held<K, T>>,
    queues: QueueMap<Vec<usize>>,
    /// By deadline and number.
    deadlines: BTreeSet<(i64, u64, usize)>,
    /// By connection, a hash of the group and the queue, and number.
    readers: BTreeMap<(K, u64, u64), usize>,
    /// How many each connection has.
    channels: BTreeMap<K, usize>,
    number_next: u64,
    /// Those that a message wakes; kept for its memory.
    wanted: Vec<usize>,
}

impl<K: Ord + Copy, T> Default for PullHold<K, T> {
    fn default() -> Self {
        Self {
            pulls: Slab::new(),
            queues: QueueMap::default(),
            deadlines: BTreeSet::new(),
            readers: BTreeMap::new(),
            channels: BTreeMap::new(),
            number_next: 0,
            wanted: Vec::new(),
        }
    }
}

/// A hash of a reader's group and queue (FNV-1a). Two that have the same one count as one reader of their connection.
fn reader_hash(group: &str, topic: &str, queue_id: i32) -> u64 {
    let bytes = group.bytes().chain([0]).chain(topic.bytes()).chain(queue_id.to_be_bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

impl<K: Ord + Copy, T> PullHold<K, T> {
    /// Holds a pull. `given_back` gets it if there is no room, and another pull of the same reader if that has too many.
    pub fn hold(&mut self, place: Place<'_, K>, pull: HeldPull<T>, given_back: &mut Vec<HeldPull<T>>) -> Hold {
        let Place { channel, group, topic, queue_id } = place;
        let of_channel = self.channels.get(&channel).copied().unwrap_or(0);
        if of_channel >= HELD_MAX.saturating_sub(self.pulls.len()) / 2 {
            given_back.push(pull);
            return Hold::Refused;
        }
        let hash = reader_hash(group, topic, queue_id);
        let mut of_reader = self.readers.range((channel, hash, 0)..=(channel, hash, u64::MAX)).map(|(_, id)| *id);
        if let Some(oldest) = of_reader.next()
            && of_reader.count() + 1 >= HELD_BY_READER_MAX
        {
            given_back.push(self.take(oldest));
        }
        let number = self.number_next;
        self.number_next += 1;
        let deadline_ms = pull.deadline_ms;
        let ids = self.queues.get_or_insert_with(topic, queue_id, Vec::new);
        let held = Held { pull, topic: topic.into(), queue_id, number, index: ids.len(), reader: (channel, hash) };
        let id = self.pulls.insert(held);
        ids.push(id);
        self.readers.insert((channel, hash, number), id);
        *self.channels.entry(channel).or_insert(0) += 1;
        let key = (deadline_ms, number, id);
        let is_first = self.deadlines.first().is_none_or(|first| key < *first);
        self.deadlines.insert(key);
        if is_first { Hold::First } else { Hold::Later }
    }

    /// Takes a pull out. The list of its queue stays, also when it is empty: the consumer's next pull comes at once, and the
    /// memory is ready for it.
    fn take(&mut self, id: usize) -> HeldPull<T> {
        let Held { pull, topic, queue_id, number, index, reader: (channel, hash) } = self.pulls.remove(id);
        self.deadlines.remove(&(pull.deadline_ms, number, id));
        self.readers.remove(&(channel, hash, number));
        if let Some(count) = self.channels.get_mut(&channel) {
            *count -= 1;
            if *count == 0 {
                self.channels.remove(&channel);
            }
        }
        if let Some(ids) = self.queues.get_mut(&topic, queue_id) {
            ids.swap_remove(index);
            if let Some(moved) = ids.get(index) {
                self.pulls[*moved].index = index;
            }
        }
        pull
    }

    /// As [`PullHold::take`], of a queue whose reader may not come again.
    fn take_for_good(&mut self, id: usize) -> HeldPull<T> {
        let (topic, queue_id) = (Arc::clone(&self.pulls[id].topic), self.pulls[id].queue_id);
        let pull = self.take(id);
        if self.queues.get(&topic, queue_id).is_some_and(Vec::is_empty) {
            self.queues.remove(&topic, queue_id);
        }
        pull
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
        self.wake(topic, queue_id, woken, |pull| {
            next_offset > pull.queue_offset && pull.subscription.may_match(tags_code)
        });
    }

    /// The pulls of a queue whose offset lies before `max_offset`, taken out whatever their filters say.
    pub fn take_behind(&mut self, topic: &str, queue_id: i32, max_offset: i64, woken: &mut Vec<HeldPull<T>>) {
        self.wake(topic, queue_id, woken, |pull| pull.queue_offset < max_offset);
    }

    fn wake(
        &mut self,
        topic: &str,
        queue_id: i32,
        woken: &mut Vec<HeldPull<T>>,
        is_wanted: impl Fn(&HeldPull<T>) -> bool,
    ) {
        let Some(ids) = self.queues.get(topic, queue_id) else { return };
        let pulls = &self.pulls;
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.extend(ids.iter().filter(|id| is_wanted(&pulls[**id].pull)));
        // Whoever came first is woken first.
        wanted.sort_unstable_by_key(|id| pulls[*id].number);
        woken.extend(wanted.drain(..).map(|id| self.take(id)));
        self.wanted = wanted;
    }

    /// A connection has ended: its pulls are forgotten.
    pub fn forget_channel(&mut self, channel: K) {
        let ids: Vec<usize> =
            self.readers.range((channel, 0, 0)..=(channel, u64::MAX, u64::MAX)).map(|(_, id)| *id).collect();
        for id in ids {
            self.take_for_good(id);
        }
    }

    /// When the first of them must be answered.
    #[must_use]
    pub fn earliest_deadline_ms(&self) -> Option<i64> {
        self.deadlines.first().map(|(deadline_ms, ..)| *deadline_ms)
    }

    /// The pulls whose time is over, taken out.
    pub fn expired(&mut self, now_ms: i64, woken: &mut Vec<HeldPull<T>>) {
        while let Some((_, _, id)) = self.deadlines.first().copied().filter(|(deadline_ms, ..)| *deadline_ms <= now_ms)
        {
            woken.push(self.take_for_good(id));
        }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pulls.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pulls.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Table = PullHold<u32, u32>;

    fn pull(queue_offset: i64, expression: &str, deadline_ms: i64, payload: u32) -> HeldPull<u32> {
        let subscription = Arc::new(SubscriptionData::by_tags("T", expression, 1));
        HeldPull { queue_offset, subscription, deadline_ms, payload }
    }

    fn place(channel: u32, queue_id: i32) -> Place<'static, u32> {
        Place { channel, group: "g", topic: "T", queue_id }
    }

    fn hold(hold: &mut Table, queue_id: i32, pull: HeldPull<u32>) -> Hold {
        let mut given_back = Vec::new();
        let held = hold.hold(place(pull.payload, queue_id), pull, &mut given_back);
        assert!(given_back.is_empty());
        held
    }

    fn payloads(woken: &mut Vec<HeldPull<u32>>) -> Vec<u32> {
        woken.drain(..).map(|pull| pull.payload).collect()
    }

    #[test]
    fn a_message_wakes_those_who_want_it() {
        let mut table = Table::default();
        let mut woken = Vec::new();
        assert_eq!(hold(&mut table, 0, pull(5, "*", 1000, 1)), Hold::First);
        assert_eq!(hold(&mut table, 0, pull(5, "tagX", 1000, 2)), Hold::Later);
        assert_eq!(hold(&mut table, 0, pull(6, "*", 1001, 3)), Hold::Later);
        assert_eq!(hold(&mut table, 1, pull(5, "*", 1002, 4)), Hold::Later);
        table.message_arrived("T", 0, 6, 0, &mut woken);
        assert_eq!(payloads(&mut woken), [1]);
        table.message_arrived("T", 0, 7, 3_552_254, &mut woken);
        assert_eq!(payloads(&mut woken), [2, 3]);
        table.message_arrived("U", 0, 7, 0, &mut woken);
        assert!(woken.is_empty());
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn time_wakes_in_order() {
        let mut table = Table::default();
        let mut woken = Vec::new();
        hold(&mut table, 0, pull(5, "*", 300, 1));
        assert_eq!(hold(&mut table, 0, pull(5, "*", 100, 2)), Hold::First);
        hold(&mut table, 1, pull(5, "*", 200, 3));
        assert_eq!(table.earliest_deadline_ms(), Some(100));
        table.expired(99, &mut woken);
        assert!(woken.is_empty());
        table.expired(200, &mut woken);
        assert_eq!(payloads(&mut woken), [2, 3]);
        table.take_behind("T", 0, 6, &mut woken);
        assert_eq!(payloads(&mut woken), [1]);
        assert!(table.is_empty());
        assert_eq!(table.earliest_deadline_ms(), None);
    }

    #[test]
    fn a_reader_has_few_pulls_of_one_queue_and_a_connection_leaves_room_for_others() {
        let mut table = Table::default();
        let mut given_back = Vec::new();
        for number in 0..HELD_BY_READER_MAX as u32 + 2 {
            table.hold(place(1, 0), pull(5, "*", 1000, number), &mut given_back);
        }
        assert_eq!(payloads(&mut given_back), [0, 1], "the oldest");
        let mut held = table.len();
        for queue_id in 1.. {
            match table.hold(place(1, queue_id), pull(5, "*", 1000, 7), &mut given_back) {
                Hold::Refused => break,
                Hold::First | Hold::Later => held += 1,
            }
        }
        assert_eq!(payloads(&mut given_back), [7]);
        assert_eq!(held, HELD_MAX / 3, "as much as half of what is left");
        assert_eq!(table.hold(place(2, 0), pull(5, "*", 1000, 8), &mut given_back), Hold::Later);
        table.forget_channel(1);
        assert_eq!((table.len(), table.channels.len(), table.readers.len()), (1, 1, 1));
    }

    proptest! {
        /// However pulls come and go, every way to find them leads to the same ones.
        #[test]
        fn all_sides_of_the_table_agree(
            steps in prop::collection::vec((0..5_u8, 0..4_u32, 0..3_i32, 0..10_i64, 0..50_i64), 1..80)
        ) {
            let mut table = Table::default();
            let mut woken = Vec::new();
            let (mut came, mut forgotten) = (0, 0);
            for (kind, channel, queue_id, offset, time_ms) in steps {
                match kind {
                    0 | 1 => {
                        came += 1;
                        table.hold(place(channel, queue_id), pull(offset, "*", time_ms, came), &mut woken);
                    }
                    2 => table.message_arrived("T", queue_id, offset, 0, &mut woken),
                    3 => table.expired(time_ms, &mut woken),
                    _ => {
                        let before = table.len();
                        table.forget_channel(channel);
                        forgotten += before - table.len();
                    }
                }
                let count = table.len();
                prop_assert_eq!(count + woken.len() + forgotten, came as usize);
                prop_assert_eq!((table.deadlines.len(), table.readers.len()), (count, count));
                prop_assert_eq!(table.channels.values().sum::<usize>(), count);
                let mut in_queues = 0;
                for (topic, queue_id, ids) in table.queues.iter() {
                    for (index, id) in ids.iter().enumerate() {
                        let held = &table.pulls[*id];
                        prop_assert_eq!((held.index, &*held.topic, held.queue_id), (index, topic, queue_id));
                        in_queues += 1;
                    }
                }
                prop_assert_eq!(in_queues, count);
            }
        }
    }
}

//! Pulls that found nothing and wait for a message (`PullRequestHoldService`, `ManyPullRequest`).
//!
//! A held pull is woken by the first message of its queue that its tag filter lets through, or by its time. There is no
//! sweep over all of them and no timer for each: the holder asks for the earliest time and waits for that. Times are of a
//! monotonic clock, in ms.
//!
//! A message costs what it wakes, not what waits: pulls are found by tag and offset. Only those that name many tags are looked
//! through, and of those there are few.
//!
//! A pull is small to send and large to keep, so there are limits. A connection that has ended has no pulls here. One reader
//! (a group on a connection) has [`HELD_BY_READER_MAX`] pulls of one queue at most: the oldest is given back, whoever sent it
//! has long given up. So is the oldest of more than [`MANY_TAGS_HELD_MAX`] pulls of one queue that name many tags. One connection
//! has no more than half of what is left of [`HELD_MAX`] and [`HELD_BYTES_MAX`], so that there is always room for others. `K`
//! names a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::body::SubscriptionData;
use slab::Slab;

use super::queue_map::QueueMap;

/// The most pulls that wait.
pub const HELD_MAX: usize = 262_144;
/// The most pulls of one queue that one group on one connection has here. Clients have one; a proxy has one for each client.
pub const HELD_BY_READER_MAX: usize = 64;
/// The most memory that pulls take which bring a subscription of their own.
pub const HELD_BYTES_MAX: usize = 128 << 20;
/// A pull that names more tags is not found by tag.
const INDEXED_TAGS_MAX: usize = 16;
/// The most pulls of one queue that name so many: each message looks at them.
pub const MANY_TAGS_HELD_MAX: usize = 1_024;

/// A pull that waits. `T` is what is needed to answer it.
#[derive(Debug)]
pub struct HeldPull<T> {
    /// Where it wants to read from.
    pub queue_offset: i64,
    /// Which messages wake it, by their tags' hashes.
    pub subscription: Arc<SubscriptionData>,
    /// When it is answered at the latest.
    pub deadline_ms: i64,
    /// The memory that is its own.
    pub bytes: usize,
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
    reader: (K, u64),
}

/// By number: the oldest first.
type Numbered = (u64, usize);

/// The pulls of one queue.
#[derive(Debug, Default)]
struct Waiters {
    /// Those that want every message, by offset.
    any: BTreeSet<(i64, Numbered)>,
    /// Those that name a few tags: once for each, by its hash and by offset.
    tagged: BTreeSet<(i32, i64, Numbered)>,
    /// Those that name many.
    many: BTreeSet<Numbered>,
}

impl Waiters {
    fn names_many_tags<T>(pull: &HeldPull<T>) -> bool {
        !pull.subscription.takes_all() && pull.subscription.code_set.len() > INDEXED_TAGS_MAX
    }

    fn insert<T>(&mut self, pull: &HeldPull<T>, numbered: Numbered) {
        let tags = &pull.subscription.code_set;
        if pull.subscription.takes_all() {
            self.any.insert((pull.queue_offset, numbered));
        } else if Self::names_many_tags(pull) {
            self.many.insert(numbered);
        } else {
            self.tagged.extend(tags.iter().map(|tag| (*tag, pull.queue_offset, numbered)));
        }
    }

    fn remove<T>(&mut self, pull: &HeldPull<T>, numbered: Numbered) {
        let tags = &pull.subscription.code_set;
        if pull.subscription.takes_all() {
            self.any.remove(&(pull.queue_offset, numbered));
        } else if Self::names_many_tags(pull) {
            self.many.remove(&numbered);
        } else {
            for tag in tags {
                self.tagged.remove(&(*tag, pull.queue_offset, numbered));
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.any.is_empty() && self.tagged.is_empty() && self.many.is_empty()
    }
}

/// All pulls that wait, by queue, by time and by reader.
#[derive(Debug)]
pub struct PullHold<K, T> {
    pulls: Slab<Held<K, T>>,
    queues: QueueMap<Waiters>,
    /// By deadline and number.
    deadlines: BTreeSet<(i64, u64, usize)>,
    /// By connection, a hash of the group and the queue, and number.
    readers: BTreeMap<(K, u64, u64), usize>,
    /// What each connection has.
    channels: BTreeMap<K, Taken>,
    bytes: usize,
    number_next: u64,
    /// Those that a message wakes; kept for its memory.
    wanted: Vec<Numbered>,
}

/// What a connection has here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    pulls: usize,
    bytes: usize,
}

impl<K: Ord + Copy, T> Default for PullHold<K, T> {
    fn default() -> Self {
        Self {
            pulls: Slab::new(),
            queues: QueueMap::default(),
            deadlines: BTreeSet::new(),
            readers: BTreeMap::new(),
            channels: BTreeMap::new(),
            bytes: 0,
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
        let of_channel = self.channels.get(&channel).copied().unwrap_or_default();
        if of_channel.pulls >= HELD_MAX.saturating_sub(self.pulls.len()) / 2
            || of_channel.bytes + pull.bytes > HELD_BYTES_MAX.saturating_sub(self.bytes) / 2
        {
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
        if Waiters::names_many_tags(&pull)
            && let Some(waiters) = self.queues.get(topic, queue_id)
            && waiters.many.len() >= MANY_TAGS_HELD_MAX
            && let Some((_, oldest)) = waiters.many.first().copied()
        {
            given_back.push(self.take(oldest));
        }
        let number = self.number_next;
        self.number_next += 1;
        let deadline_ms = pull.deadline_ms;
        let taken = self.channels.entry(channel).or_default();
        taken.pulls += 1;
        taken.bytes += pull.bytes;
        self.bytes += pull.bytes;
        let entry = self.pulls.vacant_entry();
        let id = entry.key();
        self.queues.get_or_insert_with(topic, queue_id, Waiters::default).insert(&pull, (number, id));
        entry.insert(Held { pull, topic: topic.into(), queue_id, number, reader: (channel, hash) });
        self.readers.insert((channel, hash, number), id);
        let key = (deadline_ms, number, id);
        let is_first = self.deadlines.first().is_none_or(|first| key < *first);
        self.deadlines.insert(key);
        if is_first { Hold::First } else { Hold::Later }
    }

    /// Takes a pull out. The list of its queue stays, also when it is empty: the consumer's next pull comes at once, and the
    /// memory is ready for it.
    fn take(&mut self, id: usize) -> HeldPull<T> {
        let Held { pull, topic, queue_id, number, reader: (channel, hash) } = self.pulls.remove(id);
        self.deadlines.remove(&(pull.deadline_ms, number, id));
        self.readers.remove(&(channel, hash, number));
        self.bytes -= pull.bytes;
        if let Some(taken) = self.channels.get_mut(&channel) {
            taken.pulls -= 1;
            taken.bytes -= pull.bytes;
            if taken.pulls == 0 {
                self.channels.remove(&channel);
            }
        }
        if let Some(waiters) = self.queues.get_mut(&topic, queue_id) {
            waiters.remove(&pull, (number, id));
        }
        pull
    }

    /// As [`PullHold::take`], of a queue whose reader may not come again.
    fn take_for_good(&mut self, id: usize) -> HeldPull<T> {
        let (topic, queue_id) = (Arc::clone(&self.pulls[id].topic), self.pulls[id].queue_id);
        let pull = self.take(id);
        if self.queues.get(&topic, queue_id).is_some_and(Waiters::is_empty) {
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
        let Some(waiters) = self.queues.get(topic, queue_id) else { return };
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.extend(waiters.any.range(..(next_offset, (0, 0))).map(|(_, numbered)| *numbered));
        if let Ok(tag) = i32::try_from(tags_code) {
            let tagged = waiters.tagged.range((tag, i64::MIN, (0, 0))..(tag, next_offset, (0, 0)));
            wanted.extend(tagged.map(|(_, _, numbered)| *numbered));
        }
        let many = waiters.many.iter().filter(|(_, id)| {
            let pull = &self.pulls[*id].pull;
            next_offset > pull.queue_offset && pull.subscription.may_match(tags_code)
        });
        wanted.extend(many);
        // Whoever came first is woken first.
        wanted.sort_unstable();
        woken.extend(wanted.drain(..).map(|(_, id)| self.take(id)));
        self.wanted = wanted;
    }

    /// A connection has ended, or its peer sends nothing more: its pulls are taken out.
    pub fn take_channel(&mut self, channel: K) -> Vec<HeldPull<T>> {
        let ids: Vec<usize> =
            self.readers.range((channel, 0, 0)..=(channel, u64::MAX, u64::MAX)).map(|(_, id)| *id).collect();
        ids.into_iter().map(|id| self.take_for_good(id)).collect()
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
        HeldPull { queue_offset, subscription, deadline_ms, bytes: 10, payload }
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
        table.message_arrived("T", 0, 6, 0, &mut woken);
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
        table.take_channel(1);
        assert_eq!((table.len(), table.channels.len(), table.readers.len()), (1, 1, 1));
    }

    #[test]
    fn pulls_of_many_tags_are_few_and_take_little_memory() {
        let mut table = Table::default();
        let mut given_back = Vec::new();
        let tags: Vec<String> = (0..=INDEXED_TAGS_MAX).map(|number| format!("tag{number}")).collect();
        for number in 0..=MANY_TAGS_HELD_MAX as u32 {
            table.hold(place(number, 0), pull(5, &tags.join("||"), 1000, number), &mut given_back);
        }
        assert_eq!(payloads(&mut given_back), [0], "the oldest");
        let mut large = pull(5, "tagX", 1000, 7);
        large.bytes = HELD_BYTES_MAX / 2;
        assert_eq!(table.hold(place(1, 1), large, &mut given_back), Hold::Refused);
        for (expected, number) in [(Hold::Later, 8), (Hold::Refused, 9)] {
            let mut large = pull(5, "tagX", 1000, number);
            large.bytes = HELD_BYTES_MAX / 4;
            assert_eq!(table.hold(place(1, 1), large, &mut given_back), expected);
        }
        assert_eq!(payloads(&mut given_back), [7, 9]);
        let code = i64::from(*SubscriptionData::by_tags("T", "tag3", 1).code_set.first().expect("one tag"));
        table.message_arrived("T", 0, 6, code, &mut given_back);
        assert_eq!(given_back.len(), MANY_TAGS_HELD_MAX);
    }

    proptest! {
        /// However pulls come and go, every way to find them leads to the same ones.
        #[test]
        fn all_sides_of_the_table_agree(
            steps in prop::collection::vec((0..5_u8, 0..4_u32, 0..3_i32, 0..10_i64, 0..50_i64), 1..80)
        ) {
            let many: Vec<String> = (0..=INDEXED_TAGS_MAX).map(|number| format!("tag{number}")).collect();
            let many = many.join("||");
            let code = i64::from(*SubscriptionData::by_tags("T", "tag3", 1).code_set.first().expect("one tag"));
            let mut table = Table::default();
            let mut woken = Vec::new();
            let (mut came, mut forgotten) = (0, 0);
            for (kind, channel, queue_id, offset, time_ms) in steps {
                match kind {
                    0 | 1 => {
                        came += 1;
                        let expression = ["*", "tag3", "tag3||tag4", "tag5", &many][time_ms as usize % 5];
                        table.hold(place(channel, queue_id), pull(offset, expression, time_ms, came), &mut woken);
                    }
                    2 => {
                        let code = if time_ms % 2 == 0 { code } else { 0 };
                        let before = woken.len();
                        table.message_arrived("T", queue_id, offset, code, &mut woken);
                        let is_wanted =
                            |pull: &HeldPull<u32>| pull.queue_offset < offset && pull.subscription.may_match(code);
                        prop_assert!(woken[before..].iter().all(is_wanted));
                        let mut others = table.pulls.iter().filter(|(_, held)| held.queue_id == queue_id);
                        prop_assert!(!others.any(|(_, held)| is_wanted(&held.pull)));
                    }
                    3 => table.expired(time_ms, &mut woken),
                    _ => {
                        let before = table.len();
                        table.take_channel(channel);
                        forgotten += before - table.len();
                    }
                }
                let count = table.len();
                prop_assert_eq!(count + woken.len() + forgotten, came as usize);
                prop_assert_eq!((table.deadlines.len(), table.readers.len()), (count, count));
                let taken = table.channels.values();
                let taken = taken.fold((0, 0), |sum, of_one| (sum.0 + of_one.pulls, sum.1 + of_one.bytes));
                prop_assert_eq!((taken, table.bytes), ((count, 10 * count), 10 * count));
                let mut in_queues = 0;
                for (_, _, waiters) in table.queues.iter() {
                    let tagged = waiters.tagged.iter().map(|(_, _, numbered)| *numbered).collect::<BTreeSet<_>>();
                    in_queues += waiters.any.len() + waiters.many.len() + tagged.len();
                }
                prop_assert_eq!(in_queues, count);
            }
        }
    }
}

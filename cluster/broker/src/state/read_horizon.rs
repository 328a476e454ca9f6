//! Up to which queue offset a reader can honestly have got, in this life of the broker.
//!
//! A crash under asynchronous flush may take the end of a queue away: a group had consumed up to offset 5, recovery keeps
//! 3 messages. The next two messages get the offsets 3 and 4, and a reader that still stands at 5, from the broker's
//! previous life, never sees them although they were acknowledged and are durable. Apache's broker behaves like that (its
//! `consumerProgress` shows a difference of 0); whether it happens depends on whether the reader pulls before the new
//! messages come.
//!
//! This state machine tells the two kinds of offset apart. What a reader may stand at is
//! * the queue's end after recovery, or anything before: those messages survived;
//! * what this incarnation has itself answered as next offset to that reader (a group; in a broadcasting group, one
//!   client), or has accepted as its committed offset;
//! * what this incarnation has told on the same connection as an answer about the queue (its maximum, an offset by time):
//!   a new group starts from there. Connections do not outlive the broker, so such an offset is of this life.
//!
//! Anything beyond is a left-over. The broker answers it with PULL_OFFSET_MOVED and an offset at or before the queue's end
//! after recovery: the reader sees some messages twice rather than new ones never.
//!
//! The price: a reader that keeps its offsets elsewhere and jumps, right after a restart of the broker, to an offset that
//! neither its group nor its connection has been given by this incarnation is sent back as well.

use std::collections::BTreeMap;

use super::queue_map::QueueMap;

/// See the module's head. `C` names a connection.
#[derive(Debug)]
pub struct ReadHorizon<C> {
    /// One past the last offset of each queue when the broker started; queues that are not here were empty.
    recovered_max: QueueMap<i64>,
    /// By reader: one past the highest offset it was given, where that is beyond what was recovered.
    given: BTreeMap<String, QueueMap<i64>>,
    /// By connection: the highest offset it was told.
    told: BTreeMap<C, QueueMap<i64>>,
}

/// Who reads, as the horizon counts readers: a group, or one client of a broadcasting group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader<'a> {
    /// All clients of a clustering group share one position.
    Group(&'a str),
    /// Each client of a broadcasting group has its own.
    Client(&'a str, &'a str),
}

/// Between group and client in a reader's key; neither name can contain it.
const SEPARATOR: char = '\u{1}';

impl Reader<'_> {
    fn with_key<T>(&self, work: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Group(group) => work(group),
            Self::Client(group, client) => work(&format!("{group}{SEPARATOR}{client}")),
        }
    }
}

impl<C: Ord + Copy> ReadHorizon<C> {
    /// The horizon of a broker that has just recovered: each queue with one past its last offset.
    pub fn new<'a>(recovered_max: impl IntoIterator<Item = (&'a str, i32, i64)>) -> Self {
        let mut map = QueueMap::default();
        for (topic, queue_id, max_offset) in recovered_max {
            map.insert(topic, queue_id, max_offset);
        }
        Self { recovered_max: map, given: BTreeMap::new(), told: BTreeMap::new() }
    }

    /// One past the last offset that the queue had when the broker started.
    #[must_use]
    pub fn recovered_max(&self, topic: &str, queue_id: i32) -> i64 {
        self.recovered_max.get(topic, queue_id).copied().unwrap_or(0)
    }

    /// Whether `reader` can have got to `offset` in this life of the broker.
    #[must_use]
    pub fn allows(&self, reader: &Reader<'_>, channel: C, topic: &str, queue_id: i32, offset: i64) -> bool {
        if offset <= self.recovered_max(topic, queue_id) {
            return true;
        }
        let reaches = |map: Option<&QueueMap<i64>>| {
            map.and_then(|map| map.get(topic, queue_id)).is_some_and(|&highest| offset <= highest)
        };
        reader.with_key(|key| reaches(self.given.get(key))) || reaches(self.told.get(&channel))
    }

    /// `reader` was given `next_offset` as the place to go on from, or it was accepted as its committed offset.
    pub fn give(&mut self, reader: &Reader<'_>, topic: &str, queue_id: i32, next_offset: i64) {
        if next_offset <= self.recovered_max(topic, queue_id) {
            return;
        }
        reader.with_key(|key| {
            if !self.given.contains_key(key) {
                self.given.insert(key.to_owned(), QueueMap::default());
            }
            let map = self.given.get_mut(key).expect("the reader is there: it was inserted above if it was missing");
            raise(map, topic, queue_id, next_offset);
        });
    }

    /// The peer of `channel` was told `offset` when it asked about the queue.
    pub fn tell(&mut self, channel: C, topic: &str, queue_id: i32, offset: i64) {
        if offset > self.recovered_max(topic, queue_id) {
            raise(self.told.entry(channel).or_default(), topic, queue_id, offset);
        }
    }

    /// A connection has ended: what was told on it is forgotten.
    pub fn forget_channel(&mut self, channel: C) {
        self.told.remove(&channel);
    }

    /// A topic was deleted: if it comes again, its queues start at 0.
    pub fn forget_topic(&mut self, topic: &str) {
        self.recovered_max.remove_topic(topic);
        for map in self.given.values_mut().chain(self.told.values_mut()) {
            map.remove_topic(topic);
        }
        self.given.retain(|_, map| !map.is_empty());
        self.told.retain(|_, map| !map.is_empty());
    }
}

fn raise(map: &mut QueueMap<i64>, topic: &str, queue_id: i32, offset: i64) {
    let highest = map.get_or_insert_with(topic, queue_id, || offset);
    *highest = offset.max(*highest);
}

/// Where a reader that stands at a left-over offset goes on.
///
/// The committed offset (clamped to what was recovered when the broker started) is what the group is known to have done
/// with. A group that has committed nothing starts over where QUERY_CONSUMER_OFFSET would let it start: at the beginning
/// of a queue that is still young, else at the end of what was recovered.
#[must_use]
pub fn corrected_offset(
    committed: Option<i64>,
    recovered_max: i64,
    min_offset: i64,
    max_offset: i64,
    is_young: bool,
) -> i64 {
    let wanted = match committed {
        Some(committed) if committed >= 0 => committed,
        _ if is_young => min_offset,
        _ => recovered_max,
    };
    wanted.clamp(min_offset, max_offset.max(min_offset))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOPIC: &str = "TopicZ";

    #[test]
    fn a_left_over_of_the_previous_life_is_told_from_an_honest_offset() {
        let mut horizon = ReadHorizon::new([(TOPIC, 0, 3)]);
        let group = Reader::Group("cz1");
        assert!(horizon.allows(&group, 1, TOPIC, 0, 3));
        assert!(!horizon.allows(&group, 1, TOPIC, 0, 5));
        horizon.give(&group, TOPIC, 0, 5);
        assert!(horizon.allows(&group, 1, TOPIC, 0, 5));
        assert!(!horizon.allows(&Reader::Group("other"), 1, TOPIC, 0, 5));
        assert!(!horizon.allows(&group, 1, TOPIC, 1, 1), "a queue that was not recovered starts at 0");
    }

    #[test]
    fn what_was_told_on_a_connection_counts_there_until_it_ends() {
        let mut horizon = ReadHorizon::new([(TOPIC, 0, 3)]);
        let group = Reader::Group("new");
        horizon.tell(7, TOPIC, 0, 9);
        assert!(horizon.allows(&group, 7, TOPIC, 0, 9));
        assert!(!horizon.allows(&group, 8, TOPIC, 0, 9));
        horizon.forget_channel(7);
        assert!(!horizon.allows(&group, 7, TOPIC, 0, 9));
    }

    #[test]
    fn clients_of_a_broadcasting_group_are_told_apart() {
        let mut horizon = ReadHorizon::new([(TOPIC, 0, 3)]);
        horizon.give(&Reader::Client("b", "one"), TOPIC, 0, 6);
        assert!(horizon.allows(&Reader::Client("b", "one"), 1, TOPIC, 0, 6));
        assert!(!horizon.allows(&Reader::Client("b", "two"), 1, TOPIC, 0, 6));
    }

    #[test]
    fn a_deleted_topic_starts_at_zero() {
        let mut horizon = ReadHorizon::new([(TOPIC, 0, 3)]);
        horizon.give(&Reader::Group("g"), TOPIC, 0, 6);
        horizon.forget_topic(TOPIC);
        assert!(!horizon.allows(&Reader::Group("g"), 1, TOPIC, 0, 1));
        assert!(horizon.allows(&Reader::Group("g"), 1, TOPIC, 0, 0));
    }

    /// What happens to one queue after a restart.
    #[derive(Clone, Debug)]
    enum Step {
        /// That many messages are appended.
        Append(i64),
        /// The group pulls, at its position.
        Pull(usize),
        /// The group reconnects and takes its committed offset.
        Reconnect(usize),
        /// The group commits its position.
        Commit(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..5_i64).prop_map(Step::Append),
            (0..3_usize).prop_map(Step::Pull),
            (0..3_usize).prop_map(Step::Reconnect),
            (0..3_usize).prop_map(Step::Commit),
        ]
    }

    proptest! {
        /// However far ahead the readers stand after a crash, and whatever comes first, each of them is given every
        /// message that was appended after the recovery; and an honest reader is never sent back.
        #[test]
        fn no_reader_misses_a_message_of_this_life(
            recovered in 0..20_i64,
            stands_at in prop::array::uniform3(0..40_i64),
            committed_then in prop::array::uniform3(0..40_i64),
            steps in prop::collection::vec(step(), 0..80),
        ) {
            let mut horizon = ReadHorizon::new([(TOPIC, 0, recovered)]);
            let names = ["a", "b", "c"];
            let mut max = recovered;
            let mut position = stands_at;
            let mut committed = committed_then.map(|offset| offset.min(recovered));
            // A position is of this life once the broker has given it.
            let mut of_this_life = [false; 3];
            let mut seen: [Vec<i64>; 3] = Default::default();
            let pull = |horizon: &mut ReadHorizon<u8>, who: usize, position: &mut [i64; 3], of_this_life: &mut [bool; 3],
                            committed: &[i64; 3], seen: &mut [Vec<i64>; 3], max: i64| {
                let reader = Reader::Group(names[who]);
                let at = position[who];
                if horizon.allows(&reader, 0, TOPIC, 0, at) {
                    if at < max {
                        seen[who].push(at);
                        position[who] = at + 1;
                        horizon.give(&reader, TOPIC, 0, at + 1);
                        of_this_life[who] = true;
                    }
                } else {
                    assert!(!of_this_life[who], "an honest reader was sent back from {at}");
                    position[who] = corrected_offset(Some(committed[who]), recovered, 0, max, false);
                    assert!(position[who] <= recovered);
                    of_this_life[who] = true;
                }
            };
            for step in steps {
                match step {
                    Step::Append(count) => max += count,
                    Step::Pull(who) => {
                        pull(&mut horizon, who, &mut position, &mut of_this_life, &committed, &mut seen, max);
                    }
                    Step::Reconnect(who) => {
                        position[who] = committed[who];
                        of_this_life[who] = true;
                    }
                    Step::Commit(who) => {
                        if horizon.allows(&Reader::Group(names[who]), 0, TOPIC, 0, position[who]) {
                            committed[who] = position[who];
                            horizon.give(&Reader::Group(names[who]), TOPIC, 0, position[who]);
                        }
                    }
                }
            }
            for who in 0..3 {
                for _ in 0..200 {
                    pull(&mut horizon, who, &mut position, &mut of_this_life, &committed, &mut seen, max);
                }
                for offset in recovered..max {
                    prop_assert!(seen[who].contains(&offset), "reader {who} never saw {offset} of {max}");
                }
            }
        }
    }
}

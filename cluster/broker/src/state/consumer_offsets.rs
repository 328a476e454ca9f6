//! What each group has consumed of each queue (`ConsumerOffsetManager`): in memory, and as consumerOffset.json.
//!
//! Offsets are kept as they come, also backwards: the last writer wins, as with Apache's broker. Node's `ali-ons` commits
//! -1 where it means 0; that is kept too, and read back as "nothing is stored".
//!
//! A master and its slaves each have such a table, and groups commit to whichever they read from. They are brought together
//! by taking the higher offset of each queue ([`ConsumerOffsets::merge`]). What was lowered or removed on purpose would
//! rise again that way; so each such change gives the offset, the topic or the group a new *generation*, and of two
//! generations the newer counts, whatever the offset. Generations are numbered through by each table, a master's odd and a
//! slave's even, and a table goes on after the highest that it has seen. One that is not on the drive yet must not be told
//! ([`ConsumerOffsets::is_durable`]): after a crash it would be given again.
//!
//! They are kept in consumerOffset.json beside the offsets, where Apache's brokers read past them. Left out: of more than
//! [`REMOVED_MAX`] removed topics or groups the oldest are forgotten.
//!
//! Slaves are sent the table as a whole, in one frame. So there is a limit: beyond it no queue gets its first offset
//! ([`ConsumerOffsets::has_room_for`]), and those that have one go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::QueueOffset;
use protocol::body::{ConsumerOffsetSerializeWrapper, TOPIC_GROUP_SEPARATOR};
use protocol::frame::FRAME_BYTES_MAX;

use super::groups_by_topic::GroupsByTopic;
use super::left_overs::record_bytes_min;
use super::queue_map::QueueMap;

/// How many removed topics are remembered, and how many groups.
pub const REMOVED_MAX: usize = 1_000;

/// How long the table may be as it is sent, about: a frame, and a part of it for what is beside the offsets.
pub const TABLE_BYTES_MAX: usize = FRAME_BYTES_MAX - (2 << 20);
/// A queue's number and its offset, about, and as much for a generation.
const QUEUE_BYTES: usize = 20;

/// A topic and a group with what is around them.
fn key_bytes(group: &str, topic: &str) -> usize {
    group.len() + topic.len() + 6
}

/// A value for each queue of each group. What is written or sent is a clone, which shares what does not change meanwhile.
type ByGroup = BTreeMap<String, Arc<QueueMap<i64>>>;

fn queues_of<'a>(table: &'a mut ByGroup, group: &str) -> Option<&'a mut QueueMap<i64>> {
    table.get_mut(group).map(Arc::make_mut)
}

/// The offsets of all groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerOffsets {
    groups: ByGroup,
    by_topic: GroupsByTopic,
    /// How long the offsets are as they are sent, about.
    bytes: usize,
    /// The generations of offsets that were lowered on purpose, by group.
    lowered: ByGroup,
    removed_topics: BTreeMap<String, i64>,
    removed_groups: BTreeMap<String, i64>,
    /// The highest generation that was given or seen…
    generation: i64,
    /// …and the highest that is on the drive.
    durable_generation: i64,
    is_slave: bool,
    changed: bool,
}

impl ConsumerOffsets {
    /// What is stored for a queue, -1 included.
    #[must_use]
    pub fn get(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.groups.get(group)?.get(topic, queue_id).copied()
    }

    /// The offset to go on from; a stored -1 counts as none (`ConsumerOffsetManager.queryOffset`).
    #[must_use]
    pub fn committed(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.get(group, topic, queue_id).filter(|offset| *offset >= 0)
    }

    /// Whether a queue's offset can be stored: it has one, or the table may become longer.
    #[must_use]
    pub fn has_room_for(&self, group: &str, topic: &str, queue_id: i32) -> bool {
        self.bytes < TABLE_BYTES_MAX || self.get(group, topic, queue_id).is_some()
    }

    /// Stores an offset that a group has committed and returns the old one. A lower one than before is a change on purpose.
    pub fn commit(&mut self, group: &str, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
        let old = self.set(group, topic, queue_id, offset);
        if old.is_some_and(|old| offset < old) {
            let generation = self.next_generation();
            let lowered = self.lowered.entry(group.to_owned()).or_default();
            Arc::make_mut(lowered).insert(topic, queue_id, generation);
        }
        old
    }

    fn next_generation(&mut self) -> i64 {
        self.changed = true;
        self.generation = (self.generation / 2 + 1) * 2 + i64::from(!self.is_slave);
        self.generation
    }

    /// The generation of a queue's offset, whether it is there or was removed; 0 if it never was lowered or removed.
    fn generation_of(&self, group: &str, topic: &str, queue_id: i32) -> i64 {
        let lowered = self.lowered.get(group).and_then(|queues| queues.get(topic, queue_id)).copied();
        let removed = self.removed_topics.get(topic).max(self.removed_groups.get(group)).copied();
        lowered.max(removed).unwrap_or(0)
    }

    fn set(&mut self, group: &str, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), Arc::default());
        }
        let queues =
            queues_of(&mut self.groups, group).expect("the group is there: it was inserted above if it was missing");
        let is_new_topic = queues.topic(topic).is_none();
        let old = queues.insert(topic, queue_id, offset);
        if old.is_none() {
            self.bytes += QUEUE_BYTES;
        }
        if is_new_topic {
            self.bytes += key_bytes(group, topic);
            self.by_topic.insert(topic, group);
        }
        self.changed |= old != Some(offset);
        old
    }

    /// Takes all of a group's offsets of a topic away.
    fn remove_topic_of(&mut self, group: &str, topic: &str) {
        if let Some(queues) = queues_of(&mut self.groups, group)
            && let Some(of_topic) = queues.remove_topic(topic)
        {
            self.bytes -= key_bytes(group, topic) + QUEUE_BYTES * of_topic.len();
            self.by_topic.remove(topic, group);
            if queues.is_empty() {
                self.groups.remove(group);
            }
        }
        if let Some(queues) = queues_of(&mut self.lowered, group) {
            queues.remove_topic(topic);
            if queues.is_empty() {
                self.lowered.remove(group);
            }
        }
    }

    /// Lowers every offset that lies beyond the end of its queue to that end; gives what was changed. For a broker that
    /// has just recovered: such offsets are of messages that are no more.
    pub fn clamp(&mut self, max_offset: impl Fn(&str, i32) -> i64) -> Vec<ClampedOffset> {
        let mut clamped = Vec::new();
        for (group, queues) in &self.groups {
            for (topic, queue_id, &offset) in queues.iter() {
                let max = max_offset(topic, queue_id);
                if offset > max {
                    let (group, topic) = (group.clone(), topic.to_owned());
                    clamped.push(ClampedOffset { group, topic, queue_id, from: offset, to: max });
                }
            }
        }
        for offset in &clamped {
            self.set(&offset.group, &offset.topic, offset.queue_id, offset.to);
        }
        clamped
    }

    /// Lowers every group's offset of one queue that lies beyond `floor`, but not beyond `bound`; returns how many there
    /// were.
    pub fn clamp_queue(&mut self, topic: &str, queue_id: i32, floor: i64, bound: i64) -> usize {
        let mut clamped = 0;
        for group in self.by_topic.all(topic) {
            let offset = queues_of(&mut self.groups, group).and_then(|queues| queues.get_mut(topic, queue_id));
            if let Some(offset) = offset.filter(|offset| **offset > floor && **offset <= bound) {
                *offset = floor;
                clamped += 1;
            }
        }
        self.changed |= clamped > 0;
        clamped
    }

    /// Takes in the table of another broker of the same name: of each queue the offset of the newer generation, of one
    /// generation the higher offset. No offset is taken beyond `max_offset` of its queue. Returns whether anything has
    /// changed.
    pub fn merge(&mut self, other: &Self, max_offset: impl Fn(&str, i32) -> i64) -> bool {
        let changed = std::mem::take(&mut self.changed);
        for (topic, &generation) in &other.removed_topics {
            if self.removed_topics.get(topic).is_none_or(|own| *own < generation) {
                let groups: Vec<String> = self.by_topic.all(topic).map(str::to_owned).collect();
                groups.iter().for_each(|group| self.forget_older(generation, group, topic));
                self.removed_topics.insert(topic.clone(), generation);
                self.changed = true;
            }
        }
        for (group, &generation) in &other.removed_groups {
            if self.removed_groups.get(group).is_none_or(|own| *own < generation) {
                let topics: Vec<String> = self.topics_of(group).map(str::to_owned).collect();
                topics.iter().for_each(|topic| self.forget_older(generation, group, topic));
                self.removed_groups.insert(group.clone(), generation);
                self.changed = true;
            }
        }
        if self.generation < other.generation {
            self.generation = other.generation;
            self.changed = true;
        }
        for (group, queues) in &other.groups {
            for (topic, queue_id, &offset) in queues.iter() {
                let offset = offset.min(max_offset(topic, queue_id));
                let theirs = other.generation_of(group, topic, queue_id);
                let ours = self.generation_of(group, topic, queue_id);
                let is_higher = || self.get(group, topic, queue_id).is_none_or(|own| own < offset);
                if theirs > ours || theirs == ours && is_higher() {
                    self.set(group, topic, queue_id, offset);
                }
                if theirs > ours {
                    let lowered = self.lowered.entry(group.clone()).or_default();
                    Arc::make_mut(lowered).insert(topic, queue_id, theirs);
                    self.changed = true;
                }
            }
        }
        self.trim_removed();
        let merged = self.changed;
        self.changed |= changed;
        merged
    }

    /// Forgets offsets of older generations, of one topic of a group.
    fn forget_older(&mut self, generation: i64, group: &str, topic: &str) {
        let queue_ids = self.of_topic(group, topic).into_iter().flat_map(BTreeMap::keys).copied();
        let is_older = |queue_id: &i32| self.generation_of(group, topic, *queue_id) < generation;
        let older: Vec<i32> = queue_ids.filter(is_older).collect();
        if older.len() == self.of_topic(group, topic).map_or(0, BTreeMap::len) {
            return self.remove_topic_of(group, topic);
        }
        for queue_id in older {
            if let Some(queues) = queues_of(&mut self.groups, group) {
                queues.remove(topic, queue_id);
                self.bytes -= QUEUE_BYTES;
            }
            if let Some(queues) = queues_of(&mut self.lowered, group) {
                queues.remove(topic, queue_id);
            }
        }
    }

    fn trim_removed(&mut self) {
        for removed in [&mut self.removed_topics, &mut self.removed_groups] {
            if removed.len() > REMOVED_MAX {
                let mut generations: Vec<i64> = removed.values().copied().collect();
                generations.sort_unstable();
                let oldest = generations[generations.len() - REMOVED_MAX];
                removed.retain(|_, generation| *generation >= oldest);
            }
        }
    }

    /// Becomes the table of another broker, as it is (`SlaveSynchronize.syncConsumerOffset`).
    pub fn replace(&mut self, other: Self) {
        let changed = self.changed || self.groups != other.groups;
        *self = Self { changed, is_slave: self.is_slave, ..other };
    }

    /// The queues of a topic that a group has offsets for.
    #[must_use]
    pub fn of_topic(&self, group: &str, topic: &str) -> Option<&BTreeMap<i32, i64>> {
        self.groups.get(group)?.topic(topic)
    }

    /// The topics that a group has consumed.
    pub fn topics_of(&self, group: &str) -> impl Iterator<Item = &str> {
        self.groups.get(group).into_iter().flat_map(|queues| queues.topics())
    }

    /// The groups that have consumed anything.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// The groups that have consumed a topic.
    #[must_use]
    pub fn groups_of(&self) -> &GroupsByTopic {
        &self.by_topic
    }

    /// Forgets a topic in every group.
    pub fn remove_topic(&mut self, topic: &str) {
        let generation = self.next_generation();
        let groups: Vec<String> = self.by_topic.all(topic).map(str::to_owned).collect();
        groups.iter().for_each(|group| self.remove_topic_of(group, topic));
        self.removed_topics.insert(topic.to_owned(), generation);
        self.trim_removed();
    }

    /// Forgets a group.
    pub fn remove_group(&mut self, group: &str) {
        let generation = self.next_generation();
        let topics: Vec<String> = self.topics_of(group).map(str::to_owned).collect();
        topics.iter().for_each(|topic| self.remove_topic_of(group, topic));
        self.removed_groups.insert(group.to_owned(), generation);
        self.trim_removed();
    }

    /// The highest generation that was given or seen.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// Says that all generations up to this one are on the drive.
    pub fn note_durable(&mut self, generation: i64) {
        self.durable_generation = generation.max(self.durable_generation);
    }

    /// Whether all that was lowered or removed on purpose is on the drive.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.durable_generation >= self.generation
    }

    /// Whether something has changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Says that the last change has not reached the file after all.
    pub fn mark_changed(&mut self) {
        self.changed = true;
    }

    /// The table as it is now, to be written or sent: made in a moment, whatever its size.
    #[must_use]
    pub fn snapshot(&self) -> OffsetsSnapshot {
        OffsetsSnapshot {
            groups: self.groups.clone(),
            lowered: self.lowered.clone(),
            removed_topics: self.removed_topics.clone(),
            removed_groups: self.removed_groups.clone(),
        }
    }

    /// The offsets of a file, or of another broker. A key that is not `topic@group` is left out.
    #[must_use]
    pub fn from_file(file: &ConsumerOffsetSerializeWrapper, is_slave: bool) -> Self {
        let groups = from_table(&file.offset_table, |offset| offset.0);
        let (mut by_topic, mut bytes) = (GroupsByTopic::default(), 0);
        for (group, queues) in &groups {
            for topic in queues.topics() {
                by_topic.insert(topic, group);
                bytes += key_bytes(group, topic) + QUEUE_BYTES * queues.topic(topic).map_or(0, BTreeMap::len);
            }
        }
        let lowered = from_table(&file.lowered_table, |generation| *generation);
        let (removed_topics, removed_groups) = (file.removed_topics.clone(), file.removed_groups.clone());
        let of_lowered = lowered.values().flat_map(|queues| queues.iter()).map(|(_, _, generation)| *generation);
        let of_removed = removed_topics.values().chain(removed_groups.values()).copied();
        let generation = of_lowered.chain(of_removed).max().unwrap_or(0).max(0);
        let durable_generation = generation;
        Self {
            groups,
            by_topic,
            bytes,
            lowered,
            removed_topics,
            removed_groups,
            generation,
            durable_generation,
            is_slave,
            changed: false,
        }
    }
}

/// The table as it was at a moment.
#[derive(Clone, Debug)]
pub struct OffsetsSnapshot {
    groups: ByGroup,
    lowered: ByGroup,
    removed_topics: BTreeMap<String, i64>,
    removed_groups: BTreeMap<String, i64>,
}

impl OffsetsSnapshot {
    /// The file's content.
    #[must_use]
    pub fn to_file(&self) -> ConsumerOffsetSerializeWrapper {
        ConsumerOffsetSerializeWrapper {
            data_version: None,
            offset_table: to_table(&self.groups, QueueOffset),
            lowered_table: to_table(&self.lowered, |generation| generation),
            removed_topics: self.removed_topics.clone(),
            removed_groups: self.removed_groups.clone(),
        }
    }
}

fn to_table<T>(groups: &ByGroup, make: impl Fn(i64) -> T) -> BTreeMap<String, BTreeMap<i32, T>> {
    let mut table = BTreeMap::new();
    for (group, queues) in groups {
        for topic in queues.topics() {
            if let Some(values) = queues.topic(topic) {
                let values = values.iter().map(|(&queue_id, &value)| (queue_id, make(value))).collect();
                table.insert(format!("{topic}{TOPIC_GROUP_SEPARATOR}{group}"), values);
            }
        }
    }
    table
}

fn from_table<T>(table: &BTreeMap<String, BTreeMap<i32, T>>, read: impl Fn(&T) -> i64) -> ByGroup {
    let mut groups = ByGroup::new();
    for (key, values) in table {
        let Some((topic, group)) = key.split_once(TOPIC_GROUP_SEPARATOR) else {
            tracing::warn!(key, "consumerOffset.json has a key that is not topic@group: left out");
            continue;
        };
        let queues = Arc::make_mut(groups.entry(group.to_owned()).or_default());
        for (&queue_id, value) in values {
            queues.insert(topic, queue_id, read(value));
        }
    }
    groups
}

/// An offset that lay beyond the end of its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClampedOffset {
    /// The consumer group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The queue.
    pub queue_id: i32,
    /// What was stored.
    pub from: i64,
    /// What is stored now: one past the queue's last message.
    pub to: i64,
}

impl ClampedOffset {
    /// How many bytes of the log are missing at least.
    #[must_use]
    pub fn bytes_min(&self) -> u64 {
        let messages = self.from.saturating_sub(self.to).max(0).cast_unsigned();
        messages.saturating_mul(record_bytes_min(&self.topic))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_file_that_apache_wrote_is_read_and_written_back() {
        let text = r#"{"offsetTable":{"%RETRY%cg1@cg1":{"0":2},"TopicA@cg1":{"0":4,"1":4,"2":4,"3":4}}}"#;
        let file: ConsumerOffsetSerializeWrapper = serde_json::from_str(text).unwrap();
        let mut offsets = ConsumerOffsets::from_file(&file, false);
        assert!(!offsets.take_changed());
        assert_eq!(offsets.get("cg1", "TopicA", 3), Some(4));
        assert_eq!(offsets.get("cg1", "TopicA", 4), None);
        assert_eq!(serde_json::to_string(&offsets.snapshot().to_file()).unwrap(), text);
        assert_eq!(offsets.topics_of("cg1").collect::<Vec<_>>(), ["%RETRY%cg1", "TopicA"]);
        assert_eq!(offsets.groups_of().all("TopicA").collect::<Vec<_>>(), ["cg1"]);
    }

    #[test]
    fn minus_one_is_stored_but_counts_as_none() {
        let mut offsets = ConsumerOffsets::default();
        offsets.commit("g", "T", 0, -1);
        assert_eq!(offsets.get("g", "T", 0), Some(-1));
        assert_eq!(offsets.committed("g", "T", 0), None);
        assert!(offsets.take_changed());
        offsets.commit("g", "T", 0, -1);
        assert!(!offsets.take_changed(), "the same again changes nothing");
    }

    #[test]
    fn offsets_beyond_the_end_are_lowered() {
        let mut offsets = ConsumerOffsets::default();
        offsets.commit("cz1", "TopicZ", 0, 5);
        offsets.commit("cz1", "TopicZ", 1, 2);
        let clamped = offsets.clamp(|_, _| 3);
        assert_eq!(clamped.len(), 1);
        assert_eq!((clamped[0].from, clamped[0].to), (5, 3));
        assert_eq!(offsets.committed("cz1", "TopicZ", 0), Some(3));
        assert_eq!(offsets.committed("cz1", "TopicZ", 1), Some(2));
    }

    const ANY: fn(&str, i32) -> i64 = |_, _| i64::MAX;

    fn restarted(offsets: &ConsumerOffsets) -> ConsumerOffsets {
        let text = serde_json::to_string(&offsets.snapshot().to_file()).unwrap();
        ConsumerOffsets::from_file(&serde_json::from_str(&text).unwrap(), offsets.is_slave)
    }

    fn slave() -> ConsumerOffsets {
        ConsumerOffsets { is_slave: true, ..ConsumerOffsets::default() }
    }

    #[test]
    fn the_higher_offset_of_two_tables_counts_unless_it_was_lowered_on_purpose() {
        let mut master = ConsumerOffsets::default();
        master.commit("g", "T", 0, 5);
        master.commit("g", "T", 1, 9);
        let mut slave = slave();
        slave.commit("g", "T", 0, 7);
        slave.commit("g", "T", 1, 3);
        slave.commit("h", "T", 0, 2);
        assert!(slave.merge(&master, ANY));
        assert_eq!(
            [slave.get("g", "T", 0), slave.get("g", "T", 1), slave.get("h", "T", 0)],
            [Some(7), Some(9), Some(2)]
        );
        assert!(!slave.merge(&master, ANY), "nothing is new");
        // A master that comes back takes them, but none beyond the end of its queue.
        assert!(master.merge(&slave, |_, _| 6));
        assert_eq!([master.get("g", "T", 0), master.get("h", "T", 0)], [Some(6), Some(2)]);
        // The group is reset to an earlier place: the slave's higher offset does not hide that, and loses nothing else.
        slave.commit("h", "T", 0, 4);
        master.commit("g", "T", 1, 1);
        assert!(slave.merge(&master, ANY));
        assert_eq!([slave.get("g", "T", 1), slave.get("h", "T", 0)], [Some(1), Some(4)]);
        assert!(!master.merge(&restarted(&slave), |topic, queue| if (topic, queue) == ("T", 0) { 2 } else { 9 }));
        // From there the group goes on at the slave.
        slave.commit("g", "T", 1, 2);
        assert!(master.merge(&slave, ANY));
        assert_eq!(master.get("g", "T", 1), Some(2));
    }

    #[test]
    fn a_reset_outlives_restarts_of_either_side() {
        let mut master = ConsumerOffsets::default();
        master.commit("g", "T", 0, 100);
        let mut slave = slave();
        slave.merge(&master, ANY);
        slave.commit("g", "T", 0, 120);
        master.commit("g", "T", 0, 0);
        let (mut master, mut slave) = (restarted(&master), restarted(&slave));
        assert!(!master.merge(&slave, ANY), "the slave has not heard of it");
        assert_eq!(master.get("g", "T", 0), Some(0));
        slave.merge(&master, ANY);
        assert_eq!(restarted(&slave).get("g", "T", 0), Some(0));
        // A slave that is restarted later does not hide what its master was told meanwhile, nor the other way round.
        slave.commit("h", "T", 0, 9);
        slave.commit("h", "T", 0, 3);
        master.commit("g", "T", 0, 50);
        let (mut master, slave) = (restarted(&master), restarted(&slave));
        assert!(master.merge(&slave, ANY));
        assert_eq!([master.get("g", "T", 0), master.get("h", "T", 0)], [Some(50), Some(3)]);
    }

    #[test]
    fn of_two_that_lower_at_one_time_the_master_is_right() {
        let (mut master, mut slave) = (ConsumerOffsets::default(), slave());
        for table in [&mut master, &mut slave] {
            table.commit("g", "T", 0, 100);
        }
        slave.commit("g", "T", 0, 90);
        master.commit("g", "T", 0, 0);
        assert!(!master.merge(&slave, ANY));
        assert!(slave.merge(&master, ANY));
        assert_eq!([master.get("g", "T", 0), slave.get("g", "T", 0)], [Some(0), Some(0)]);
    }

    #[test]
    fn a_removed_topic_or_group_does_not_come_back_from_a_table_that_has_not_heard_of_it() {
        let mut master = ConsumerOffsets::default();
        for group in ["g", "h"] {
            master.commit(group, "T", 0, 5);
            master.commit(group, "U", 0, 5);
        }
        let mut slave = slave();
        slave.merge(&master, ANY);
        slave.commit("only-here", "T", 0, 8);
        master.remove_topic("T");
        master.remove_group("h");
        let mut master = restarted(&master);
        assert!(!master.merge(&slave, ANY));
        // The topic is made again before the slave hears of anything.
        master.commit("g", "T", 0, 1);
        assert!(slave.merge(&master, ANY));
        for table in [&master, &slave] {
            let stored = [("g", "T"), ("g", "U"), ("h", "T"), ("h", "U"), ("only-here", "T")];
            let stored = stored.map(|(group, topic)| table.get(group, topic, 0));
            assert_eq!(stored, [Some(1), Some(5), None, None, None]);
        }
    }

    #[test]
    fn what_was_lowered_is_durable_when_its_generation_is_noted() {
        let mut offsets = ConsumerOffsets::default();
        offsets.commit("g", "T", 0, 5);
        assert!(offsets.is_durable(), "commits are written now and then");
        offsets.commit("g", "T", 0, 3);
        assert!(!offsets.is_durable());
        let written = offsets.generation();
        offsets.commit("g", "T", 0, 2);
        offsets.note_durable(written);
        assert!(!offsets.is_durable(), "it was lowered again meanwhile");
        offsets.note_durable(offsets.generation());
        assert!(offsets.is_durable());
    }

    #[test]
    fn the_oldest_of_too_many_removals_is_forgotten() {
        let mut offsets = ConsumerOffsets::default();
        for number in 0..=REMOVED_MAX {
            offsets.remove_topic(&number.to_string());
        }
        assert_eq!(offsets.removed_topics.len(), REMOVED_MAX);
        assert!(!offsets.removed_topics.contains_key("0"));
    }

    #[test]
    fn a_full_table_takes_no_new_queue_and_those_that_are_there_go_on() {
        let mut offsets = ConsumerOffsets::default();
        let topics = |number: i32| format!("{number:0>100}");
        let full = (0..).find(|number| {
            let has_room = offsets.has_room_for("g", &topics(*number), 0);
            if has_room {
                for queue_id in 0..100 {
                    offsets.commit("g", &topics(*number), queue_id, 1_000_000);
                }
            }
            !has_room
        });
        let full = topics(full.expect("there is an end"));
        let sent = serde_json::to_vec(&offsets.snapshot().to_file()).unwrap().len();
        assert!(sent < FRAME_BYTES_MAX && sent > FRAME_BYTES_MAX / 2, "{sent}");
        assert!(offsets.has_room_for("g", &topics(0), 99) && !offsets.has_room_for("g", &topics(0), 100));
        offsets.remove_topic(&topics(0));
        assert!(offsets.has_room_for("g", &full, 0));
        offsets.remove_group("g");
        assert_eq!((offsets.bytes, &offsets.by_topic), (0, &GroupsByTopic::default()));
    }

    proptest! {
        /// Whatever came and went, what is known by topic and what is counted are those of the table.
        #[test]
        fn all_sides_of_the_table_agree(steps in prop::collection::vec((0..6_u8, 0..3_u8, 0..3_u8, 0..3_i32, 0..9_i64), 1..60)) {
            let (mut master, mut other) = (ConsumerOffsets::default(), slave());
            for (what, group, topic, queue_id, offset) in steps {
                let (group, topic) = (format!("g{group}"), format!("T{topic}"));
                match what {
                    0 | 1 => _ = master.commit(&group, &topic, queue_id, offset),
                    2 => _ = other.commit(&group, &topic, queue_id, offset),
                    3 if offset % 2 == 0 => master.remove_topic(&topic),
                    3 => master.remove_group(&group),
                    4 => _ = other.merge(&master, ANY),
                    _ => _ = master.merge(&other, ANY),
                }
                for table in [&master, &other] {
                    let again = restarted(table);
                    prop_assert_eq!((&table.groups, &table.lowered), (&again.groups, &again.lowered));
                    prop_assert_eq!((&table.by_topic, table.bytes), (&again.by_topic, again.bytes));
                }
            }
        }
    }

    #[test]
    fn one_queue_is_lowered_for_all_groups() {
        let mut offsets = ConsumerOffsets::default();
        offsets.commit("g", "T", 0, 5);
        offsets.commit("h", "T", 0, 2);
        offsets.commit("h", "T", 1, 5);
        offsets.commit("i", "T", 0, 7);
        assert_eq!(offsets.clamp_queue("T", 0, 3, 6), 1);
        let stored = [("g", 0), ("h", 0), ("h", 1), ("i", 0)].map(|(group, queue)| offsets.get(group, "T", queue));
        assert_eq!(stored, [Some(3), Some(2), Some(5), Some(7)]);
    }
}

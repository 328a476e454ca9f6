//! What each group has consumed of each queue (`ConsumerOffsetManager`): in memory, and as consumerOffset.json.
//!
//! Offsets are kept as they come, also backwards: the last writer wins, as with Apache's broker. Node's `ali-ons` commits
//! -1 where it means 0; that is kept too, and read back as "nothing is stored".
//!
//! A master and its slaves each have such a table, and groups commit to whichever they read from. They are brought together
//! by taking the higher offset of each queue ([`ConsumerOffsets::merge`]). What was lowered or removed on purpose would
//! rise again that way; so each such change raises the table's version, and a table of a newer version replaces an older
//! one. The version is in the file's `dataVersion`, which 4.9 ignores, once there has been such a change.

use std::collections::BTreeMap;
use std::ops::Bound;

use protocol::QueueOffset;
use protocol::body::{ConsumerOffsetSerializeWrapper, DataVersion, TOPIC_GROUP_SEPARATOR};

use super::queue_map::QueueMap;

/// The offsets of all groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerOffsets {
    groups: BTreeMap<String, QueueMap<i64>>,
    /// How often an offset was lowered or removed on purpose.
    version: i64,
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

    /// Stores an offset that a group has committed and returns the old one. A lower one than before is a change on purpose.
    pub fn commit(&mut self, group: &str, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
        let old = self.set(group, topic, queue_id, offset);
        self.version += i64::from(old.is_some_and(|old| offset < old));
        old
    }

    fn set(&mut self, group: &str, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), QueueMap::default());
        }
        let queues = self.groups.get_mut(group).expect("the group is there: it was inserted above if it was missing");
        let old = queues.insert(topic, queue_id, offset);
        self.changed |= old != Some(offset);
        old
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

    /// Lowers every group's offset of one queue that lies beyond `max`; says how many there were.
    pub fn clamp_queue(&mut self, topic: &str, queue_id: i32, max: i64) -> usize {
        let mut clamped = 0;
        for queues in self.groups.values_mut() {
            if let Some(offset) = queues.get_mut(topic, queue_id).filter(|offset| **offset > max) {
                *offset = max;
                clamped += 1;
            }
        }
        self.changed |= clamped > 0;
        clamped
    }

    /// Takes in the table of another broker of the same name. A table with a newer version replaces this one; of tables of
    /// one version the higher offset of each queue counts; an older one says nothing. No offset is taken beyond
    /// `max_offset` of its queue. Says whether anything has changed.
    pub fn merge(&mut self, other: &Self, max_offset: impl Fn(&str, i32) -> i64) -> bool {
        if other.version < self.version {
            return false;
        }
        let before = if other.version > self.version { Some(std::mem::take(&mut self.groups)) } else { None };
        self.version = other.version;
        let mut raised = false;
        for (group, queues) in &other.groups {
            for (topic, queue_id, &offset) in queues.iter() {
                let offset = offset.min(max_offset(topic, queue_id));
                if self.get(group, topic, queue_id).is_none_or(|own| own < offset) {
                    self.set(group, topic, queue_id, offset);
                    raised = true;
                }
            }
        }
        let changed = before.map_or(raised, |before| before != self.groups);
        self.changed |= changed;
        changed
    }

    /// Becomes the table of another broker, as it is (`SlaveSynchronize.syncConsumerOffset`).
    pub fn replace(&mut self, other: Self) {
        let changed = self.changed || self.groups != other.groups;
        *self = Self { changed, ..other };
    }

    /// The queues of a topic that a group has offsets for.
    #[must_use]
    pub fn of_topic(&self, group: &str, topic: &str) -> Option<&BTreeMap<i32, i64>> {
        self.groups.get(group)?.topic(topic)
    }

    /// The topics that a group has consumed.
    pub fn topics_of(&self, group: &str) -> impl Iterator<Item = &str> {
        self.groups.get(group).into_iter().flat_map(QueueMap::topics)
    }

    /// The groups that have consumed anything.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// The groups that have consumed a topic, among the next `walked` groups after `after`; and where to go on, if there are
    /// more.
    #[must_use]
    pub fn groups_of(&self, topic: &str, after: Option<&str>, walked: usize) -> (Vec<String>, Option<String>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let slice: Vec<_> = self.groups.range::<str, _>((from, Bound::Unbounded)).take(walked).collect();
        let next = slice.last().filter(|_| slice.len() == walked).map(|(group, _)| (*group).clone());
        let has = slice.into_iter().filter(|(_, queues)| queues.topic(topic).is_some());
        (has.map(|(group, _)| group.clone()).collect(), next)
    }

    /// Forgets a topic in every group.
    pub fn remove_topic(&mut self, topic: &str) {
        let mut removed = false;
        for queues in self.groups.values_mut() {
            removed |= queues.remove_topic(topic).is_some();
        }
        self.groups.retain(|_, queues| !queues.is_empty());
        self.changed |= removed;
        self.version += i64::from(removed);
    }

    /// Forgets a group.
    pub fn remove_group(&mut self, group: &str) {
        let removed = self.groups.remove(group).is_some();
        self.changed |= removed;
        self.version += i64::from(removed);
    }

    /// Whether something has changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Says that the last change has not reached the file after all.
    pub fn mark_changed(&mut self) {
        self.changed = true;
    }

    /// The file's content.
    #[must_use]
    pub fn to_file(&self) -> ConsumerOffsetSerializeWrapper {
        let mut offset_table = BTreeMap::new();
        for (group, queues) in &self.groups {
            for topic in queues.topics() {
                if let Some(offsets) = queues.topic(topic) {
                    let offsets = offsets.iter().map(|(&queue_id, &offset)| (queue_id, QueueOffset(offset))).collect();
                    offset_table.insert(format!("{topic}{TOPIC_GROUP_SEPARATOR}{group}"), offsets);
                }
            }
        }
        let data_version = (self.version > 0).then(|| DataVersion { counter: self.version, ..DataVersion::default() });
        ConsumerOffsetSerializeWrapper { data_version, offset_table }
    }

    /// The offsets of a file. A key that is not `topic@group` is left out.
    #[must_use]
    pub fn from_file(file: &ConsumerOffsetSerializeWrapper) -> Self {
        let mut offsets = Self::default();
        for (key, queues) in &file.offset_table {
            let Some((topic, group)) = key.split_once(TOPIC_GROUP_SEPARATOR) else {
                tracing::warn!(key, "consumerOffset.json has a key that is not topic@group: left out");
                continue;
            };
            for (&queue_id, &QueueOffset(offset)) in queues {
                offsets.set(group, topic, queue_id, offset);
            }
        }
        offsets.version = file.data_version.as_ref().map_or(0, |version| version.counter);
        offsets.changed = false;
        offsets
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_apache_wrote_is_read_and_written_back() {
        let text = r#"{"offsetTable":{"%RETRY%cg1@cg1":{"0":2},"TopicA@cg1":{"0":4,"1":4,"2":4,"3":4}}}"#;
        let file: ConsumerOffsetSerializeWrapper = serde_json::from_str(text).unwrap();
        let mut offsets = ConsumerOffsets::from_file(&file);
        assert!(!offsets.take_changed());
        assert_eq!(offsets.get("cg1", "TopicA", 3), Some(4));
        assert_eq!(offsets.get("cg1", "TopicA", 4), None);
        assert_eq!(serde_json::to_string(&offsets.to_file()).unwrap(), text);
        assert_eq!(offsets.topics_of("cg1").collect::<Vec<_>>(), ["%RETRY%cg1", "TopicA"]);
        assert_eq!(offsets.groups_of("TopicA", None, 10), (vec!["cg1".to_owned()], None));
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

    #[test]
    fn the_higher_offset_of_two_tables_counts_unless_it_was_lowered_on_purpose() {
        let mut master = ConsumerOffsets::default();
        master.commit("g", "T", 0, 5);
        master.commit("g", "T", 1, 9);
        let mut slave = ConsumerOffsets::default();
        slave.commit("g", "T", 0, 7);
        slave.commit("g", "T", 1, 3);
        slave.commit("h", "T", 0, 2);
        assert!(slave.merge(&master, |_, _| i64::MAX));
        assert_eq!(
            [slave.get("g", "T", 0), slave.get("g", "T", 1), slave.get("h", "T", 0)],
            [Some(7), Some(9), Some(2)]
        );
        assert!(!slave.merge(&master, |_, _| i64::MAX), "nothing is new");
        // A master that comes back takes them, but none beyond the end of its queue.
        assert!(master.merge(&slave, |_, _| 6));
        assert_eq!([master.get("g", "T", 0), master.get("h", "T", 0)], [Some(6), Some(2)]);
        // The group is reset to an earlier place: the slave's higher offset does not hide that.
        master.commit("g", "T", 1, 1);
        assert!(slave.merge(&master, |_, _| i64::MAX));
        assert_eq!(slave.get("g", "T", 1), Some(1));
        let again = ConsumerOffsets::from_file(&slave.to_file());
        assert!(!master.merge(&again, |_, _| 100), "the version is kept in the file");
    }

    #[test]
    fn a_removed_topic_does_not_come_back_from_a_table_that_has_not_heard_of_it() {
        let mut master = ConsumerOffsets::default();
        master.commit("g", "T", 0, 5);
        let mut slave = ConsumerOffsets::from_file(&master.to_file());
        master.remove_topic("T");
        assert!(!master.merge(&slave, |_, _| i64::MAX));
        assert!(slave.merge(&master, |_, _| i64::MAX));
        assert_eq!(slave.get("g", "T", 0), None);
    }

    #[test]
    fn one_queue_is_lowered_for_all_groups() {
        let mut offsets = ConsumerOffsets::default();
        offsets.commit("g", "T", 0, 5);
        offsets.commit("h", "T", 0, 2);
        offsets.commit("h", "T", 1, 5);
        assert_eq!(offsets.clamp_queue("T", 0, 3), 1);
        assert_eq!(
            [offsets.get("g", "T", 0), offsets.get("h", "T", 0), offsets.get("h", "T", 1)],
            [Some(3), Some(2), Some(5)]
        );
    }
}

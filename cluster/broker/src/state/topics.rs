//! The topics of a broker (`TopicConfigManager`): which there are, how new ones come about, their version.
//!
//! Pure: who changes the table persists it and tells the name servers.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::body::{TopicConfig, TopicConfigSerializeWrapper};
use protocol::perm::{self, PERM_INHERIT, PERM_READ, PERM_WRITE};
use protocol::topic;

use store::LoadedTable;

use super::tracked::{ChangeNumber, Holds, TableFull, Tracked};
use crate::config::BrokerConfig;

/// Queues of `BenchmarkTest`.
const BENCHMARK_QUEUE_NUMS: i32 = 1024;
/// Queues of the topic that has the cluster's name.
const CLUSTER_TOPIC_QUEUE_NUMS: i32 = 16;

/// The table of topics.
#[derive(Clone, Debug, Default)]
pub struct Topics {
    table: Tracked<TopicConfigSerializeWrapper>,
    /// Those that are only known from messages.
    inferred: BTreeSet<String>,
    /// Topics that an older copy of the file has and the table does not.
    spare: BTreeMap<String, TopicConfig>,
    /// The table may be older than the store.
    is_older: bool,
    /// The last change that makes all topics be told differently.
    told_differently: ChangeNumber,
}

/// A queue that the store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueFound {
    /// Its topic.
    pub topic: String,
    /// Its id.
    pub queue_id: i32,
    /// Whether there are messages in it.
    pub has_messages: bool,
}

/// Topics that the table lacked, or had with fewer queues than have messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundMissing {
    /// Those that an older copy of the table has.
    pub known_before: Vec<String>,
    /// Those that only their messages tell of.
    pub inferred: Vec<String>,
    /// Those that have more queues to be read now.
    pub widened: Vec<String>,
}

impl FoundMissing {
    /// Whether the table has changed.
    #[must_use]
    pub fn is_any(&self) -> bool {
        !(self.known_before.is_empty() && self.inferred.is_empty() && self.widened.is_empty())
    }
}

impl Holds for Topics {
    type Table = TopicConfigSerializeWrapper;

    fn tracked(&self) -> &Tracked<TopicConfigSerializeWrapper> {
        &self.table
    }

    fn tracked_mut(&mut self) -> &mut Tracked<TopicConfigSerializeWrapper> {
        &mut self.table
    }
}

impl Topics {
    /// The topics that were stored, and the system's own that are missing.
    #[must_use]
    pub fn new(stored: LoadedTable<TopicConfigSerializeWrapper>, config: &BrokerConfig, now_ms: i64) -> Self {
        let mut topics = Self {
            table: Tracked::saved(stored.table.unwrap_or_default()),
            spare: stored.spare,
            is_older: stored.is_older.is_some(),
            ..Self::default()
        };
        let mut added = false;
        for system in system_topics(config) {
            if topics.get(&system.topic_name).is_none() {
                topics.table.put_quietly(&system.topic_name.clone(), system);
                added = true;
            }
        }
        if added {
            topics.table.next_version(now_ms);
        }
        topics
    }

    /// A topic.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TopicConfig> {
        self.table.topic_config_table.get(name)
    }

    /// All of them with their version, as they are stored and sent.
    #[must_use]
    pub fn table(&self) -> &TopicConfigSerializeWrapper {
        &self.table
    }

    /// The table as it is sent.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.table.json()
    }

    /// Sets a topic, new or changed.
    ///
    /// # Errors
    /// With it the table could not be sent.
    pub fn put(&mut self, config: TopicConfig, now_ms: i64) -> Result<(), TableFull> {
        self.put_all(vec![config], now_ms)
    }

    /// Makes or changes several topics; none of them if there is no room for all.
    ///
    /// # Errors
    /// The table would have more bytes than can be sent.
    pub fn put_all(&mut self, configs: Vec<TopicConfig>, now_ms: i64) -> Result<(), TableFull> {
        let names: Vec<String> = configs.iter().map(|config| config.topic_name.clone()).collect();
        self.table.put_all(names.iter().cloned().zip(configs).collect(), now_ms)?;
        for name in &names {
            self.inferred.remove(name);
        }
        Ok(())
    }

    /// What name servers are told of the topics is different from now on, although no topic has changed: without a new version
    /// they would not look at it.
    pub fn told_differently(&mut self, now_ms: i64) {
        self.table.next_version(now_ms);
        self.told_differently = self.table.last_change();
    }

    /// Takes a topic away; says whether it was there.
    pub fn remove(&mut self, name: &str, now_ms: i64) -> bool {
        self.inferred.remove(name);
        self.table.remove(name, now_ms)
    }

    /// The configuration that a send to the unknown topic `name` would create (`createTopicInSendMessageMethod`): copied
    /// from `default_topic`, if that hands itself on.
    #[must_use]
    pub fn inherited(
        &self,
        name: &str,
        default_topic: &str,
        wished_queue_nums: i32,
        auto_create: bool,
    ) -> Option<TopicConfig> {
        let parent = self.get(default_topic)?;
        if !perm::is_inherited(parent.perm) || (default_topic == topic::AUTO_CREATE_TOPIC_KEY && !auto_create) {
            return None;
        }
        // At least one: a message is waiting for it.
        let queue_nums = wished_queue_nums.min(parent.write_queue_nums).max(1);
        let mut config = TopicConfig::new(name, queue_nums, parent.perm & !PERM_INHERIT);
        config.topic_filter_type = parent.topic_filter_type;
        Some(config)
    }

    /// A slave's table becomes the master's, unless it is the same, or the master's is older: a master that has lost its
    /// table does not wipe the slave's (but does if `replace`). Gives the topics that are no more, in order, if anything
    /// was copied.
    pub fn copy(&mut self, master: TopicConfigSerializeWrapper, replace: bool) -> Option<Vec<String>> {
        if master.data_version == self.table.data_version
            || (master.data_version.counter < self.table.data_version.counter && !replace)
        {
            return None;
        }
        let gone = self.table.replace(master);
        self.inferred.clear();
        Some(gone)
    }

    /// A master takes in the table of a slave, if it is newer or this one was lost (`had_table`). Topics that only this table
    /// has stay. Says whether anything was taken.
    pub fn take_back(&mut self, slave: TopicConfigSerializeWrapper, had_table: bool, now_ms: i64) -> bool {
        let own = self.table.data_version.counter;
        if slave.topic_config_table.is_empty() || (had_table && slave.data_version.counter <= own) {
            return false;
        }
        for (name, config) in slave.topic_config_table {
            self.table.put_quietly(&name, config);
        }
        self.table.raise_counter(slave.data_version.counter);
        self.table.next_version(now_ms);
        true
    }

    /// The log has a message of this queue. A topic that is not in the table is put there as far as messages tell of it: its
    /// message came before its configuration, and whoever sent it has been told that it is safe. The version stays, so that
    /// a copy of the real configuration is not taken for an older one. Says whether the table has changed.
    pub fn infer(&mut self, name: &str, queue_id: i32) -> bool {
        let queue_nums = queue_id.saturating_add(1);
        match self.get(name) {
            Some(known) if known.read_queue_nums >= queue_nums || !self.inferred.contains(name) => false,
            Some(known) => {
                let (read_queue_nums, write_queue_nums) = (queue_nums, queue_nums);
                self.table.put_quietly(name, TopicConfig { read_queue_nums, write_queue_nums, ..known.clone() });
                true
            }
            None => {
                self.table.put_quietly(name, TopicConfig::new(name, queue_nums, PERM_READ | PERM_WRITE));
                self.inferred.insert(name.to_owned());
                true
            }
        }
    }

    /// Takes in the topics that the table lacks although there are messages of them: as an older copy of the table has them, or
    /// as far as messages tell. In a table that may be older than the messages a topic's queues that have some can be read.
    pub fn find_missing(&mut self, queues: &[QueueFound]) -> FoundMissing {
        let spare = std::mem::take(&mut self.spare);
        let mut found = FoundMissing::default();
        for of_topic in queues.chunk_by(|one, next| one.topic == next.topic) {
            let name = &of_topic[0].topic;
            let Some(last) = of_topic.iter().filter(|queue| queue.has_messages).map(|queue| queue.queue_id).max()
            else {
                continue;
            };
            if self.get(name).is_none() {
                match spare.get(name) {
                    Some(config) => {
                        self.table.put_quietly(name, config.clone());
                        found.known_before.push(name.clone());
                    }
                    None => {
                        let queues = of_topic.iter().map(|queue| queue.queue_id).max();
                        self.infer(name, queues.unwrap_or(last));
                        found.inferred.push(name.clone());
                        continue;
                    }
                }
            } else if !self.is_older {
                continue;
            }
            if let Some(known) = self.get(name).filter(|known| known.read_queue_nums <= last) {
                let widened = TopicConfig { read_queue_nums: last.saturating_add(1), ..known.clone() };
                self.table.put_quietly(name, widened);
                found.widened.push(name.clone());
            }
        }
        found
    }

    /// What was inferred, or found by [`Topics::find_missing`], is from now on this broker's own.
    pub fn keep_inferred(&mut self, now_ms: i64) {
        self.inferred.clear();
        self.table.next_version(now_ms);
    }

    /// What the name servers are told: topics with no more permissions than the broker itself has.
    #[must_use]
    pub fn registered(&self, broker_permission: i32) -> TopicConfigSerializeWrapper {
        let mut table = self.table().clone();
        for config in table.topic_config_table.values_mut() {
            config.perm = registered_perm(config.perm, broker_permission);
        }
        table
    }

    /// What a name server lacks that has been told everything up to change `told`: topics as they are registered, and whether any
    /// have gone. `None` if it has to be told everything.
    #[must_use]
    pub fn to_register(&self, told: ChangeNumber, broker_permission: i32) -> Option<ToRegister> {
        if told < self.told_differently {
            return None;
        }
        let changed = self.table.since(told)?;
        let are_gone = changed.values().any(Option::is_none);
        let topics = changed
            .into_values()
            .flatten()
            .map(|config| TopicConfig { perm: registered_perm(config.perm, broker_permission), ..config });
        Some(ToRegister { topics: topics.collect(), are_gone })
    }
}

/// What a name server lacks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToRegister {
    /// New and changed topics.
    pub topics: Vec<TopicConfig>,
    /// Whether topics were deleted.
    pub are_gone: bool,
}

fn registered_perm(perm: i32, broker_permission: i32) -> i32 {
    let is_whole = perm::is_readable(broker_permission) && perm::is_writable(broker_permission);
    if is_whole { perm } else { perm & (broker_permission | PERM_INHERIT) }
}

/// The topics that every broker has.
fn system_topics(config: &BrokerConfig) -> Vec<TopicConfig> {
    let both = PERM_READ | PERM_WRITE;
    let inherit = |enable: bool| if enable { PERM_INHERIT | both } else { PERM_INHERIT };
    let mut topics = vec![
        TopicConfig::new(topic::SELF_TEST_TOPIC, 1, both),
        TopicConfig::new(topic::BENCHMARK_TOPIC, BENCHMARK_QUEUE_NUMS, both),
        TopicConfig::new(&config.broker_cluster_name, CLUSTER_TOPIC_QUEUE_NUMS, inherit(config.cluster_topic_enable)),
        TopicConfig::new(&config.broker_name, 1, inherit(config.broker_topic_enable)),
        TopicConfig::new(topic::OFFSET_MOVED_EVENT, 1, both),
        TopicConfig::new(topic::SCHEDULE_TOPIC, config.message_delay_level.max_level(), both),
        TopicConfig::new(reply_topic(&config.broker_cluster_name), 1, both),
    ];
    if config.auto_create_topic_enable {
        topics.push(TopicConfig::new(
            topic::AUTO_CREATE_TOPIC_KEY,
            config.default_topic_queue_nums,
            PERM_INHERIT | both,
        ));
    }
    if config.trace_topic_enable {
        topics.push(TopicConfig::new(topic::TRACE_TOPIC, 1, both));
    }
    topics
}

/// The topic of a cluster's replies to request-reply messages (`MixAll.getReplyTopic`).
fn reply_topic(cluster_name: &str) -> String {
    format!("{cluster_name}_REPLY_TOPIC")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        loaded(None, None)
    }

    fn loaded(table: Option<TopicConfigSerializeWrapper>, is_older: Option<String>) -> Topics {
        let stored = LoadedTable { table, spare: BTreeMap::new(), is_older, is_written: false };
        Topics::new(stored, &BrokerConfig::new("broker-a", "s"), 1)
    }

    fn queue(topic: &str, queue_id: i32, has_messages: bool) -> QueueFound {
        QueueFound { topic: topic.to_owned(), queue_id, has_messages }
    }

    #[test]
    fn topics_that_have_messages_are_taken_in_and_others_are_not() {
        let mut topics = topics();
        topics.put(TopicConfig::new("Known", 2, 6), 2).expect("there is room");
        topics.spare.insert("Before".to_owned(), TopicConfig::new("Before", 4, 4));
        topics.spare.insert("Deleted".to_owned(), TopicConfig::new("Deleted", 4, 4));
        let counter = topics.table().data_version.counter;
        let queues = [
            queue("%DLQ%g", 0, true),
            queue("Before", 1, true),
            queue("Deleted", 1, false),
            queue("Known", 3, true),
            queue("Unknown", 0, false),
            queue("Unknown", 2, true),
            queue("Unknown", 5, false),
        ];
        let found = topics.find_missing(&queues);
        assert_eq!(found.known_before, ["Before"]);
        assert_eq!(found.inferred, ["%DLQ%g", "Unknown"]);
        assert!(found.widened.is_empty(), "the operator has taken queues away");
        assert_eq!(topics.get("Before").map(|config| (config.read_queue_nums, config.perm)), Some((4, 4)));
        assert_eq!(topics.get("Unknown").map(|config| config.write_queue_nums), Some(6));
        assert_eq!(topics.get("%DLQ%g").map(|config| config.perm), Some(PERM_READ | PERM_WRITE));
        assert!(topics.get("Deleted").is_none());
        topics.keep_inferred(3);
        assert_eq!(topics.table().data_version.counter, counter + 1);
        assert!(!topics.find_missing(&queues).is_any());
    }

    #[test]
    fn in_a_table_that_may_be_older_all_queues_with_messages_can_be_read() {
        let mut table = TopicConfigSerializeWrapper::default();
        table.topic_config_table.insert("Known".to_owned(), TopicConfig::new("Known", 2, 6));
        let mut topics = loaded(Some(table), Some("its backup stands in".to_owned()));
        let found = topics.find_missing(&[queue("Known", 3, true), queue("Known", 7, false)]);
        assert_eq!(found.widened, ["Known"]);
        let known = topics.get("Known").unwrap();
        assert_eq!((known.read_queue_nums, known.write_queue_nums), (4, 2));
    }

    #[test]
    fn a_name_server_is_told_what_it_lacks() {
        let mut topics = topics();
        let told = topics.tracked().last_change();
        topics.put(TopicConfig::new("TopicA", 4, 6), 2).expect("there is room");
        topics.put(TopicConfig::new("TopicB", 4, 6), 3).expect("there is room");
        topics.remove("TopicA", 4);
        let lacks = topics.to_register(told, PERM_READ).unwrap();
        assert_eq!((lacks.topics.len(), lacks.topics[0].perm, lacks.are_gone), (1, PERM_READ, true));
        topics.told_differently(5);
        assert_eq!(topics.to_register(told, PERM_READ), None);
        let told = topics.tracked().last_change();
        assert_eq!(topics.to_register(told, PERM_READ), Some(ToRegister::default()));
    }

    #[test]
    fn a_fresh_broker_has_the_system_topics_that_apache_registers() {
        let topics = topics();
        for (name, queues, perm) in [
            ("TBW102", 8, 7),
            ("SELF_TEST_TOPIC", 1, 6),
            ("BenchmarkTest", 1024, 6),
            ("DefaultCluster", 16, 7),
            ("broker-a", 1, 7),
            ("OFFSET_MOVED_EVENT", 1, 6),
            ("SCHEDULE_TOPIC_XXXX", 18, 6),
            ("DefaultCluster_REPLY_TOPIC", 1, 6),
        ] {
            let config = topics.get(name).unwrap();
            assert_eq!(
                (config.read_queue_nums, config.write_queue_nums, config.perm),
                (queues, queues, perm),
                "{name}"
            );
        }
        assert_eq!(topics.table().data_version.counter, 1);
    }

    #[test]
    fn a_new_topic_takes_after_its_parent() {
        let topics = topics();
        let config = topics.inherited("TopicA", "TBW102", 4, true).unwrap();
        assert_eq!((config.read_queue_nums, config.write_queue_nums, config.perm), (4, 4, 6));
        assert_eq!(topics.inherited("TopicA", "TBW102", 64, true).unwrap().write_queue_nums, 8);
        assert_eq!(topics.inherited("TopicA", "TBW102", 0, true).unwrap().read_queue_nums, 1);
        assert!(topics.inherited("TopicA", "TBW102", 4, false).is_none());
        assert!(topics.inherited("TopicA", "SELF_TEST_TOPIC", 4, true).is_none());
        assert!(topics.inherited("TopicA", "nothing", 4, true).is_none());
    }

    #[test]
    fn a_slave_copies_its_master_and_a_master_that_lost_its_table_takes_it_back() {
        let mut master = topics();
        let mut slave = topics();
        master.put(TopicConfig::new("TopicA", 4, 6), 5).expect("there is room");
        assert_eq!(slave.copy(master.table().clone(), false), Some(vec![]));
        assert_eq!(slave.copy(master.table().clone(), false), None, "it is the same already");
        let mut wiped = topics();
        assert_eq!(slave.copy(wiped.table().clone(), false), None);
        assert!(slave.get("TopicA").is_some());
        assert!(wiped.take_back(slave.table().clone(), false, 9));
        assert!(wiped.get("TopicA").is_some());
        assert_eq!(slave.copy(wiped.table().clone(), false), Some(vec![]));
        assert!(!wiped.take_back(slave.table().clone(), true, 9), "nothing newer is there");
        wiped.remove("TopicA", 10);
        assert!(!wiped.take_back(slave.table().clone(), true, 11), "what was deleted stays deleted");
        assert_eq!(slave.copy(wiped.table().clone(), false), Some(vec!["TopicA".to_owned()]));
        // Apache's slave replaces whatever it has.
        master.put(TopicConfig::new("TopicB", 4, 6), 5).expect("there is room");
        master.put(TopicConfig::new("TopicC", 4, 6), 5).expect("there is room");
        let mut apache = topics();
        apache.copy(master.table().clone(), true);
        assert_eq!(apache.copy(topics().table().clone(), true).map(|gone| gone.len()), Some(3));
    }

    #[test]
    fn a_topic_is_known_from_its_messages_until_its_configuration_comes() {
        let mut slave = topics();
        let version = slave.table().data_version.clone();
        assert!(slave.infer("TopicA", 1));
        assert!(!slave.infer("TopicA", 0));
        assert!(slave.infer("TopicA", 2));
        assert_eq!(slave.get("TopicA").unwrap().read_queue_nums, 3);
        assert!(!slave.infer("SELF_TEST_TOPIC", 9), "a configured topic stays as it is");
        assert_eq!(slave.table().data_version, version);
        let mut master = topics();
        master.put(TopicConfig::new("TopicA", 8, 6), 5).expect("there is room");
        slave.copy(master.table().clone(), false);
        assert_eq!(slave.get("TopicA").unwrap().read_queue_nums, 8);
        slave.infer("TopicB", 0);
        slave.keep_inferred(6);
        assert!(slave.table().data_version.counter > master.table().data_version.counter);
    }

    #[test]
    fn a_broker_that_may_not_be_written_registers_topics_that_may_not_either() {
        let read_only = topics().registered(PERM_READ);
        assert_eq!(read_only.topic_config_table["SELF_TEST_TOPIC"].perm, PERM_READ);
        assert_eq!(topics().registered(PERM_READ | PERM_WRITE), *topics().table());
    }
}

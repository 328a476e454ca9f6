//! A broker's topics and subscription groups: `topics.json`, `subscriptionGroup.json`, and the bodies that carry them.
//!
//! Members that only 5.x knows are optional and kept, so that a store directory of 5.x does not lose them here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json_body;
use crate::newtypes::BrokerId;
use crate::perm::{PERM_READ, PERM_WRITE};

/// The version of a table (`DataVersion`): whoever has the same one has the same table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// How often the table changed.
    pub counter: i64,
    /// 5.x: the epoch of the master that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_version: Option<i64>,
    /// Wall clock at the last change, in ms.
    pub timestamp: i64,
}

impl DataVersion {
    /// Notes a change at `now_ms`.
    pub const fn next_version(&mut self, now_ms: i64) {
        self.timestamp = now_ms;
        self.counter += 1;
    }
}

/// A topic as a broker holds it (`TopicConfig`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// 5.x: attributes such as the message type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<String, String>>,
    /// Whether it is globally ordered.
    pub order: bool,
    /// [`perm`](crate::perm) bits.
    pub perm: i32,
    /// How many queues can be read.
    pub read_queue_nums: i32,
    /// How tags are meant.
    pub topic_filter_type: TopicFilterType,
    /// The name.
    pub topic_name: String,
    /// [`sysflag::topic`](crate::sysflag::topic) bits.
    pub topic_sys_flag: i32,
    /// How many queues can be written.
    pub write_queue_nums: i32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            attributes: None,
            order: false,
            perm: PERM_READ | PERM_WRITE,
            read_queue_nums: 16,
            topic_filter_type: TopicFilterType::SingleTag,
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

impl TopicConfig {
    /// A topic with the same number of queues to read and to write.
    #[must_use]
    pub fn new(topic_name: impl Into<String>, queue_nums: i32, perm: i32) -> Self {
        Self {
            topic_name: topic_name.into(),
            read_queue_nums: queue_nums,
            write_queue_nums: queue_nums,
            perm,
            ..Self::default()
        }
    }
}

/// How a topic's tags are meant (`TopicFilterType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TopicFilterType {
    /// One tag per message.
    #[default]
    SingleTag,
    /// Several tags per message; never made to work.
    MultiTag,
}

impl TopicFilterType {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SingleTag => "SINGLE_TAG",
            Self::MultiTag => "MULTI_TAG",
        }
    }

    /// The type of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::SingleTag, Self::MultiTag].into_iter().find(|known| known.name() == name)
    }
}

/// All topics of a broker (`TopicConfigSerializeWrapper`): `topics.json`, and the response to GET_ALL_TOPIC_CONFIG.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigSerializeWrapper {
    /// Their version.
    pub data_version: DataVersion,
    /// By name.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
}

/// A consumer group as a broker holds it (`SubscriptionGroupConfig`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupConfig {
    /// 5.x: attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<String, String>>,
    /// The broker to read from.
    pub broker_id: BrokerId,
    /// Whether it may consume by broadcasting.
    pub consume_broadcast_enable: bool,
    /// Whether it may consume at all.
    pub consume_enable: bool,
    /// Whether a new group may begin at a queue's first message.
    pub consume_from_min_enable: bool,
    /// 5.x: whether it consumes in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consume_message_orderly: Option<bool>,
    /// 5.x: how long one message may take, in minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consume_timeout_minute: Option<i32>,
    /// The name.
    pub group_name: String,
    /// 5.x: when a failed message comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_retry_policy: Option<Value>,
    /// 5.x: flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_sys_flag: Option<i32>,
    /// Whether its members are told when one joins or leaves.
    pub notify_consumer_ids_changed_enable: bool,
    /// After how many vain attempts a message goes to the dead letter queue.
    pub retry_max_times: i32,
    /// How many queues the retry topic has.
    pub retry_queue_nums: i32,
    /// 5.x: what it may subscribe to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<Value>,
    /// The broker to read from when it lags far behind.
    pub which_broker_when_consume_slowly: BrokerId,
}

impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        Self {
            attributes: None,
            broker_id: BrokerId::MASTER,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: None,
            consume_timeout_minute: None,
            group_name: String::new(),
            group_retry_policy: None,
            group_sys_flag: None,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: BrokerId(1),
        }
    }
}

impl SubscriptionGroupConfig {
    /// A group with the defaults.
    #[must_use]
    pub fn new(group_name: impl Into<String>) -> Self {
        Self { group_name: group_name.into(), ..Self::default() }
    }
}

/// All groups of a broker (`SubscriptionGroupWrapper`): `subscriptionGroup.json`, and the response to
/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupWrapper {
    /// Their version.
    pub data_version: DataVersion,
    /// 5.x: which topics a group may not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forbidden_table: Option<BTreeMap<String, BTreeMap<String, i32>>>,
    /// By name.
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
}

/// The body of UPDATE_AND_CREATE_TOPIC_LIST (5.x, `CreateTopicListRequestBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateTopicListRequestBody {
    /// The topics.
    pub topic_config_list: Vec<TopicConfig>,
}

/// The body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (5.x, `SubscriptionGroupList`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupList {
    /// The groups.
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}

json_body!(DataVersion, TopicConfig, TopicConfigSerializeWrapper, SubscriptionGroupConfig, SubscriptionGroupWrapper);
json_body!(CreateTopicListRequestBody, SubscriptionGroupList);

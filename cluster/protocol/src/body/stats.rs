//! Figures of topics and groups, for `mqadmin`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heartbeat::SubscriptionData;
use super::json_body;
use super::message_queue::{MessageQueue, keyed};
use crate::newtypes::QueueOffset;

/// What a topic's queues hold (`TopicStatsTable`): the response to GET_TOPIC_STATS_INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatsTable {
    /// By queue.
    #[serde(with = "keyed")]
    pub offset_table: BTreeMap<MessageQueue, TopicOffset>,
}

/// What one queue holds (`TopicOffset`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    /// Store time of its last message, in ms; 0 if it has none.
    pub last_update_timestamp: i64,
    /// One past its last message.
    pub max_offset: QueueOffset,
    /// Its first message.
    pub min_offset: QueueOffset,
}

/// How far a group lags (`ConsumeStats`): the response to GET_CONSUME_STATS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    /// Messages per second.
    pub consume_tps: f64,
    /// By queue.
    #[serde(with = "keyed")]
    pub offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
}

/// How far a group lags in one queue (`OffsetWrapper`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    /// One past the queue's last message.
    pub broker_offset: QueueOffset,
    /// What the group has consumed.
    pub consumer_offset: QueueOffset,
    /// Store time of the last message consumed, in ms; 0 if there is none.
    pub last_timestamp: i64,
}

/// How old a group's backlog is: the response to QUERY_CONSUME_TIME_SPAN (`QueryConsumeTimeSpanBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeTimeSpanBody {
    /// One for each queue.
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// The times of one queue (`QueueTimeSpan`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueTimeSpan {
    /// Store time of the last message consumed, in ms.
    pub consume_time_stamp: i64,
    /// How far the group lags, in ms.
    pub delay_time: i64,
    /// Store time of the last message, in ms.
    pub max_time_stamp: i64,
    /// The queue.
    pub message_queue: MessageQueue,
    /// Store time of the first message, in ms.
    pub min_time_stamp: i64,
}

/// A figure over three windows (`BrokerStatsData`): the response to VIEW_BROKER_STATS_DATA.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsData {
    /// The last day.
    pub stats_day: BrokerStatsItem,
    /// The last hour.
    pub stats_hour: BrokerStatsItem,
    /// The last minute.
    pub stats_minute: BrokerStatsItem,
}

/// A figure over one window (`BrokerStatsItem`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerStatsItem {
    /// The average per event.
    pub avgpt: f64,
    /// The sum.
    pub sum: i64,
    /// Events per second.
    pub tps: f64,
}

/// How far all groups of a broker lag: the response to GET_BROKER_CONSUME_STATS (`ConsumeStatsList`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStatsList {
    /// The broker's address.
    pub broker_addr: String,
    /// One map for each group, with one of its topics' figures after the other.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// How many messages all of them lag.
    pub total_diff: i64,
}

/// Units of a ConsumeQueue: the response to QUERY_CONSUME_QUEUE (`QueryConsumeQueueResponseBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeQueueResponseBody {
    /// What is to be said of the group's filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_data: Option<String>,
    /// One past the queue's last unit.
    pub max_queue_index: i64,
    /// The queue's first unit.
    pub min_queue_index: i64,
    /// The units.
    pub queue_data: Vec<ConsumeQueueData>,
    /// What the group subscribes to, if it was named and is online.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
}

/// A unit of a ConsumeQueue (`ConsumeQueueData`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueData {
    /// Whether the group's filter takes it; only asked of units with a filter's bits, which there are none of here.
    pub eval: bool,
    /// Where the message is in the CommitLog.
    pub physic_offset: i64,
    /// The size of its record.
    pub physic_size: i32,
    /// The hash of its tag.
    pub tags_code: i64,
}

json_body!(QueryConsumeTimeSpanBody, BrokerStatsData, QueryConsumeQueueResponseBody);
json_body!(object_keys: TopicStatsTable, ConsumeStats, ConsumeStatsList);

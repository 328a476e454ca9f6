//! Figures of topics and groups, for `mqadmin`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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

json_body!(QueryConsumeTimeSpanBody, BrokerStatsData);
json_body!(object_keys: TopicStatsTable, ConsumeStats);

//! Tables of offsets: what groups have consumed, how far delayed messages are, where consumers are to go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::DataVersion;
use super::message_queue::{MessageQueue, keyed};
use super::{JsonBody, json_body};
use crate::newtypes::QueueOffset;

/// Between topic and group in a key of [`ConsumerOffsetSerializeWrapper`].
pub const TOPIC_GROUP_SEPARATOR: char = '@';

/// What every group has consumed (`ConsumerOffsetSerializeWrapper`): `consumerOffset.json`, and the response to
/// GET_ALL_CONSUMER_OFFSET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerOffsetSerializeWrapper {
    /// 5.x: its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// By `topic@group`, then by queue.
    pub offset_table: BTreeMap<String, BTreeMap<i32, QueueOffset>>,
    /// Ours: the generation of each offset that was lowered on purpose. Apache's brokers read past it, and past the next two.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lowered_table: BTreeMap<String, BTreeMap<i32, i64>>,
    /// Ours: the generation of each topic that was removed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub removed_topics: BTreeMap<String, i64>,
    /// Ours: the generation of each group that was removed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub removed_groups: BTreeMap<String, i64>,
}

/// How far the delivery of delayed messages is (`DelayOffsetSerializeWrapper`): `delayOffset.json`, and the response to
/// GET_ALL_DELAY_OFFSET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelayOffsetSerializeWrapper {
    /// 5.x: its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
    /// The next message's offset by delay level.
    pub offset_table: BTreeMap<i32, QueueOffset>,
}

/// Where the queues are to be reset to (`ResetOffsetBody`): the body of RESET_CONSUMER_CLIENT_OFFSET, and the response to
/// INVOKE_BROKER_TO_RESET_OFFSET.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetBody {
    /// By queue.
    #[serde(with = "keyed")]
    pub offset_table: BTreeMap<MessageQueue, QueueOffset>,
}

/// What a consumer, or all of a group, has consumed (`GetConsumerStatusBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerStatusBody {
    /// By client id, then by queue.
    pub consumer_table: BTreeMap<String, QueueOffsets>,
    /// By queue.
    #[serde(with = "keyed")]
    pub message_queue_table: BTreeMap<MessageQueue, QueueOffset>,
}

/// Offsets by queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueueOffsets(#[serde(with = "keyed")] pub BTreeMap<MessageQueue, QueueOffset>);

/// The least that any group has consumed of each queue: the response to QUERY_CORRECTION_OFFSET
/// (`QueryCorrectionOffsetBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryCorrectionOffsetBody {
    /// By queue.
    pub correction_offsets: BTreeMap<i32, i64>,
}

json_body!(ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, QueryCorrectionOffsetBody);
json_body!(object_keys: ResetOffsetBody, GetConsumerStatusBody);

/// Where a broadcasting consumer has got to (`OffsetSerializeWrapper`): its file `offsets.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetSerializeWrapper {
    /// By queue.
    #[serde(with = "keyed")]
    pub offset_table: BTreeMap<MessageQueue, QueueOffset>,
}

impl JsonBody for OffsetSerializeWrapper {
    const NAME: &'static str = "OffsetSerializeWrapper";
    const OBJECT_KEYS: bool = true;
}

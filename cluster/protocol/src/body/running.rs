//! What a consumer tells of its inside when a broker asks for `mqadmin`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heartbeat::SubscriptionData;
use super::json_body;
use super::message_queue::{MessageQueue, keyed};
use crate::newtypes::QueueOffset;

/// The response to GET_CONSUMER_RUNNING_INFO (`ConsumerRunningInfo`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerRunningInfo {
    /// The stacks of its threads, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jstack: Option<String>,
    /// The queues it has, with what it has cached of them.
    #[serde(with = "keyed")]
    pub mq_table: BTreeMap<MessageQueue, ProcessQueueInfo>,
    /// Its settings: see the `PROP_*` constants.
    pub properties: BTreeMap<String, String>,
    /// Its figures by topic.
    pub status_table: BTreeMap<String, ConsumeStatus>,
    /// What it subscribes to.
    pub subscription_set: Vec<SubscriptionData>,
}

impl ConsumerRunningInfo {
    /// Property: the name servers.
    pub const PROP_NAMESERVER_ADDR: &'static str = "PROP_NAMESERVER_ADDR";
    /// Property: threads that consume.
    pub const PROP_THREADPOOL_CORE_SIZE: &'static str = "PROP_THREADPOOL_CORE_SIZE";
    /// Property: whether it consumes in order.
    pub const PROP_CONSUME_ORDERLY: &'static str = "PROP_CONSUMEORDERLY";
    /// Property: pull or push.
    pub const PROP_CONSUME_TYPE: &'static str = "PROP_CONSUME_TYPE";
    /// Property: its version.
    pub const PROP_CLIENT_VERSION: &'static str = "PROP_CLIENT_VERSION";
    /// Property: when it started, in ms.
    pub const PROP_CONSUMER_START_TIMESTAMP: &'static str = "PROP_CONSUMER_START_TIMESTAMP";
}

/// What a consumer has cached of one queue (`ProcessQueueInfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessQueueInfo {
    /// Messages cached.
    pub cached_msg_count: i32,
    /// The last one's offset.
    pub cached_msg_max_offset: QueueOffset,
    /// The first one's offset.
    pub cached_msg_min_offset: QueueOffset,
    /// Their size in MiB.
    #[serde(rename = "cachedMsgSizeInMiB")]
    pub cached_msg_size_in_mib: i32,
    /// What is consumed.
    pub commit_offset: QueueOffset,
    /// Whether the queue has gone to another member; the spelling is RocketMQ's.
    pub droped: bool,
    /// When it last consumed, in ms.
    pub last_consume_timestamp: i64,
    /// When it last locked the queue, in ms.
    pub last_lock_timestamp: i64,
    /// When it last pulled, in ms.
    pub last_pull_timestamp: i64,
    /// Whether it holds the lock.
    pub locked: bool,
    /// Messages being consumed in order.
    pub transaction_msg_count: i32,
    /// The last one's offset.
    pub transaction_msg_max_offset: QueueOffset,
    /// The first one's offset.
    pub transaction_msg_min_offset: QueueOffset,
    /// How often it tried to give the lock back.
    pub try_unlock_times: i64,
}

/// A consumer's figures of one topic (`ConsumeStatus`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumeStatus {
    /// Messages that failed within the last hour.
    #[serde(rename = "consumeFailedMsgs")]
    pub consume_failed_msgs: i64,
    /// Failures per second.
    #[serde(rename = "consumeFailedTPS")]
    pub consume_failed_tps: f64,
    /// Successes per second.
    #[serde(rename = "consumeOKTPS")]
    pub consume_ok_tps: f64,
    /// Average time of consuming, in ms.
    #[serde(rename = "consumeRT")]
    pub consume_rt: f64,
    /// Average time of a pull, in ms.
    #[serde(rename = "pullRT")]
    pub pull_rt: f64,
    /// Messages pulled per second.
    #[serde(rename = "pullTPS")]
    pub pull_tps: f64,
}

/// The response to CONSUME_MESSAGE_DIRECTLY (`ConsumeMessageDirectlyResult`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeMessageDirectlyResult {
    /// Whether an ordered consumer commits by itself; it does unless it says otherwise.
    #[serde(default = "yes")]
    pub auto_commit: bool,
    /// How it went (`CMResult`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consume_result: Option<ConsumeResult>,
    /// Whether it consumes in order.
    pub order: bool,
    /// What was thrown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// How long it took, in ms.
    pub spent_time_mills: i64,
}

const fn yes() -> bool {
    true
}

/// How consuming one message went (`CMResult`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are RocketMQ's and say it")]
pub enum ConsumeResult {
    #[serde(rename = "CR_SUCCESS")]
    Success,
    #[serde(rename = "CR_LATER")]
    Later,
    #[serde(rename = "CR_ROLLBACK")]
    Rollback,
    #[serde(rename = "CR_COMMIT")]
    Commit,
    #[serde(rename = "CR_THROW_EXCEPTION")]
    ThrowException,
    #[serde(rename = "CR_RETURN_NULL")]
    ReturnNull,
}

json_body!(ConsumeMessageDirectlyResult);
json_body!(object_keys: ConsumerRunningInfo);

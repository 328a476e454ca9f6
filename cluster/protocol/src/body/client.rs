//! Members of consumer groups, and the queues they lock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::json_body;
use super::message_queue::MessageQueue;

/// The response to GET_CONSUMER_LIST_BY_GROUP (`GetConsumerListByGroupResponseBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerIdList {
    /// The ids of the group's members.
    pub consumer_id_list: Vec<String>,
}

/// The response to QUERY_TOPIC_CONSUME_BY_WHO (`GroupList`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupList {
    /// The groups.
    pub group_list: BTreeSet<String>,
}

/// The body of LOCK_BATCH_MQ and UNLOCK_BATCH_MQ (`LockBatchRequestBody`, `UnlockBatchRequestBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchRequestBody {
    /// Who asks.
    pub client_id: String,
    /// The consumer group.
    pub consumer_group: String,
    /// The queues.
    pub mq_set: BTreeSet<MessageQueue>,
    /// 5.x: whether the other replicas are not to be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_this_broker: Option<bool>,
}

/// The response to LOCK_BATCH_MQ (`LockBatchResponseBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResponseBody {
    /// The queues that are now locked for the one who asked.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: BTreeSet<MessageQueue>,
}

json_body!(ConsumerIdList, GroupList, LockBatchRequestBody, LockBatchResponseBody);

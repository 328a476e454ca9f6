//! Who is connected to a broker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::heartbeat::{ConsumeFromWhere, ConsumeType, MessageModel, SubscriptionData};
use super::json_body;
use crate::command::Language;

/// One client (`Connection`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    /// Its address, `ip:port`.
    pub client_addr: String,
    /// Its id.
    pub client_id: String,
    /// Its language.
    pub language: Language,
    /// Its [`version`](crate::version).
    pub version: i32,
}

/// The response to GET_CONSUMER_CONNECTION_LIST (`ConsumerConnection`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    /// The group's members.
    pub connection_set: Vec<Connection>,
    /// Where the group began.
    pub consume_from_where: ConsumeFromWhere,
    /// Pull or push.
    pub consume_type: ConsumeType,
    /// Who gets a message.
    pub message_model: MessageModel,
    /// What the group subscribes to, by topic.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// The response to GET_PRODUCER_CONNECTION_LIST (`ProducerConnection`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerConnection {
    /// The group's members.
    pub connection_set: Vec<Connection>,
}

/// All producers of a broker: the response to GET_ALL_PRODUCER_INFO (`ProducerTableInfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerTableInfo {
    /// By group.
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// One member of a producer group (`ProducerInfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerInfo {
    /// Its id.
    pub client_id: String,
    /// Its language.
    pub language: Language,
    /// When it last sent a heartbeat, wall clock in ms.
    pub last_update_timestamp: i64,
    /// Its address, `ip:port`.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    /// Its [`version`](crate::version).
    pub version: i32,
}

/// What a group subscribes to of a topic: the response to QUERY_SUBSCRIPTION_BY_CONSUMER (`QuerySubscriptionResponseBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QuerySubscriptionResponseBody {
    /// The group.
    pub group: String,
    /// The subscription, if the group is online and has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// The topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

json_body!(ConsumerConnection, ProducerConnection, ProducerTableInfo, QuerySubscriptionResponseBody);

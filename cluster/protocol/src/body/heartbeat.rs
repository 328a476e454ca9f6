//! What a client tells every broker of itself: the body of HEART_BEAT, and the subscriptions in it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::json_body;
use crate::tags::java_hash_code;

/// The expression that takes every message.
pub const SUB_ALL: &str = "*";
/// The expression type for tags.
pub const EXPRESSION_TYPE_TAG: &str = "TAG";
/// The expression type for SQL over properties.
pub const EXPRESSION_TYPE_SQL92: &str = "SQL92";

/// The body of HEART_BEAT (`HeartbeatData`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    /// The client's id, `ip@instance`.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// The consumer groups it has members of.
    pub consumer_data_set: Vec<ConsumerData>,
    /// The producer groups it has members of.
    pub producer_data_set: Vec<ProducerData>,
}

/// A producer group (`ProducerData`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// The group.
    pub group_name: String,
}

/// A consumer group, as one member sees it (`ConsumerData`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// Where a new group begins.
    pub consume_from_where: ConsumeFromWhere,
    /// Pull or push.
    pub consume_type: ConsumeType,
    /// The group.
    pub group_name: String,
    /// Who gets a message.
    pub message_model: MessageModel,
    /// What it subscribes to.
    pub subscription_data_set: Vec<SubscriptionData>,
    /// Unit mode.
    pub unit_mode: bool,
}

/// A subscription to one topic (`SubscriptionData`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    /// Whether a filter class is meant; none exist any more.
    pub class_filter_mode: bool,
    /// The hashes of the tags.
    pub code_set: BTreeSet<i32>,
    /// [`EXPRESSION_TYPE_TAG`] or [`EXPRESSION_TYPE_SQL92`].
    pub expression_type: String,
    /// The expression.
    pub sub_string: String,
    /// When it was made, in ms: the broker keeps the newest.
    pub sub_version: i64,
    /// The tags.
    pub tags_set: BTreeSet<String>,
    /// The topic.
    pub topic: String,
}

impl Default for SubscriptionData {
    fn default() -> Self {
        Self {
            class_filter_mode: false,
            code_set: BTreeSet::new(),
            expression_type: EXPRESSION_TYPE_TAG.to_owned(),
            sub_string: String::new(),
            sub_version: 0,
            tags_set: BTreeSet::new(),
            topic: String::new(),
        }
    }
}

impl SubscriptionData {
    /// A subscription by tags, `a || b`; an empty expression is `*` (`FilterAPI.buildSubscriptionData`).
    #[must_use]
    pub fn by_tags(topic: impl Into<String>, expression: &str, sub_version: i64) -> Self {
        let mut data = Self { topic: topic.into(), sub_version, ..Self::default() };
        if expression.is_empty() || expression == SUB_ALL {
            data.sub_string = SUB_ALL.to_owned();
            return data;
        }
        data.sub_string = expression.to_owned();
        for tag in expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()) {
            data.tags_set.insert(tag.to_owned());
            data.code_set.insert(java_hash_code(tag));
        }
        data
    }

    /// Whether messages are taken whatever their tags.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.sub_string == SUB_ALL || self.code_set.is_empty()
    }

    /// Whether a ConsumeQueue unit's `tagsCode` may be of a message that is wanted. Hashes collide: the consumer
    /// compares the tag itself.
    #[must_use]
    pub fn may_match(&self, tags_code: i64) -> bool {
        self.takes_all() || i32::try_from(tags_code).is_ok_and(|code| self.code_set.contains(&code))
    }
}

/// Where a new group begins (`ConsumeFromWhere`), in Java's order; three are old names that mean the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are RocketMQ's and say it")]
pub enum ConsumeFromWhere {
    #[default]
    #[serde(rename = "CONSUME_FROM_LAST_OFFSET")]
    LastOffset,
    #[serde(rename = "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST")]
    LastOffsetAndFromMinWhenBootFirst,
    #[serde(rename = "CONSUME_FROM_MIN_OFFSET")]
    MinOffset,
    #[serde(rename = "CONSUME_FROM_MAX_OFFSET")]
    MaxOffset,
    #[serde(rename = "CONSUME_FROM_FIRST_OFFSET")]
    FirstOffset,
    #[serde(rename = "CONSUME_FROM_TIMESTAMP")]
    Timestamp,
}

/// How a consumer consumes (`ConsumeType`), in Java's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsumeType {
    /// A pull consumer.
    #[serde(rename = "CONSUME_ACTIVELY")]
    Actively,
    /// A push consumer.
    #[default]
    #[serde(rename = "CONSUME_PASSIVELY")]
    Passively,
    /// 5.x: a push consumer whose broker keeps the offsets.
    #[serde(rename = "CONSUME_POP")]
    Pop,
}

/// Who gets a message (`MessageModel`), in Java's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageModel {
    /// Every member.
    Broadcasting,
    /// One member.
    #[default]
    Clustering,
}

/// The body of CHECK_CLIENT_CONFIG (`CheckClientRequestBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientRequestBody {
    /// The client's id.
    pub client_id: String,
    /// The consumer group.
    pub group: String,
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The subscription to check.
    pub subscription_data: SubscriptionData,
}

json_body!(HeartbeatData, CheckClientRequestBody, SubscriptionData);

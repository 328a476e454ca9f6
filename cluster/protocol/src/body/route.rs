//! What a name server says of topics, brokers and clusters.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::json_body;
use crate::newtypes::BrokerId;

/// Where a topic is: the response to GET_ROUTEINFO_BY_TOPIC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRouteData {
    /// The brokers that have it.
    pub broker_datas: Vec<BrokerData>,
    /// Filter servers by broker address; none exist any more.
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// `broker:queues;…` of a globally ordered topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// Its queues on each broker name.
    pub queue_datas: Vec<QueueData>,
}

/// A broker name with the addresses of its master and slaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    /// `ip:port` by broker id.
    pub broker_addrs: BTreeMap<BrokerId, String>,
    /// The broker name.
    pub broker_name: String,
    /// The cluster.
    pub cluster: String,
    /// 5.x: whether a slave may stand in for a master that is gone. Some clients cannot read a route that does not say it.
    pub enable_acting_master: bool,
}

impl BrokerData {
    /// The master's address, or else that of the lowest slave.
    #[must_use]
    pub fn master_or_any_addr(&self) -> Option<&str> {
        self.broker_addrs.values().next().map(String::as_str)
    }
}

/// The queues of a topic on one broker name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    /// The broker name.
    pub broker_name: String,
    /// [`perm`](crate::perm) bits.
    pub perm: i32,
    /// How many queues can be read.
    pub read_queue_nums: i32,
    /// [`sysflag::topic`](crate::sysflag::topic) bits.
    pub topic_sys_flag: i32,
    /// How many queues can be written.
    pub write_queue_nums: i32,
}

/// All brokers of all clusters: the response to GET_BROKER_CLUSTER_INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// By broker name.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// The broker names of each cluster.
    pub cluster_addr_table: BTreeMap<String, BTreeSet<String>>,
}

/// Names of topics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicList {
    /// The broker that was asked; only GET_SYSTEM_TOPIC_LIST_FROM_BROKER says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
    /// The names.
    pub topic_list: BTreeSet<String>,
}

/// Names and values (`KVTable`): a KV namespace, or a broker's runtime figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KvTable {
    /// The pairs.
    pub table: BTreeMap<String, String>,
}

json_body!(TopicRouteData, ClusterInfo, TopicList, KvTable);

//! What can be asked of the route table.

use std::collections::{BTreeMap, BTreeSet};

use protocol::body::{BrokerData, ClusterInfo, DataVersion, TopicList, TopicRouteData};
use protocol::perm::is_writable;
use protocol::{BrokerId, sysflag};

use crate::route_table::{Group, RouteTable};

impl RouteTable {
    /// Where a topic is; `None` if no broker has it.
    ///
    /// With `acting_master`, the lowest slave of a broker name without master is told as its master, if its topics are
    /// read only and it agreed to it.
    #[must_use]
    pub fn route(&self, topic: &str, acting_master: bool) -> Option<TopicRouteData> {
        let queues = self.topics.get(topic)?;
        let mut broker_datas: Vec<_> = queues.keys().filter_map(|name| self.broker_data(name)).collect();
        if acting_master {
            for broker in &mut broker_datas {
                let read_only = queues.get(&broker.broker_name).is_some_and(|queues| !is_writable(queues.perm));
                let agreed = self.groups.get(&broker.broker_name).is_some_and(|group| group.enable_acting_master);
                if read_only
                    && agreed
                    && !broker.broker_addrs.contains_key(&BrokerId::MASTER)
                    && let Some((_, addr)) = broker.broker_addrs.pop_first()
                {
                    broker.broker_addrs.insert(BrokerId::MASTER, addr);
                }
            }
        }
        Some(TopicRouteData {
            broker_datas,
            filter_server_table: BTreeMap::new(),
            order_topic_conf: None,
            queue_datas: queues.values().cloned().collect(),
        })
    }

    /// The addresses of a broker name.
    #[must_use]
    pub fn broker_data(&self, broker_name: &str) -> Option<BrokerData> {
        self.groups.get(broker_name).map(|group| group.data(broker_name))
    }

    /// All brokers, and which cluster they are in.
    #[must_use]
    pub fn cluster_info(&self) -> ClusterInfo {
        let mut info = ClusterInfo::default();
        for (name, group) in &self.groups {
            info.broker_addr_table.insert(name.clone(), group.data(name));
            info.cluster_addr_table.entry(group.cluster_name.clone()).or_default().insert(name.clone());
        }
        info
    }

    /// The version of the topics that this broker last registered.
    #[must_use]
    pub fn data_version(&self, broker_addr: &str) -> Option<&DataVersion> {
        self.alive.get(broker_addr).map(|alive| &alive.data_version)
    }

    /// Whether a broker with topics of this version has to register: it is not known, or with another version.
    #[must_use]
    pub fn is_changed(&self, broker_addr: &str, data_version: &DataVersion) -> bool {
        self.data_version(broker_addr).is_none_or(|known| !same_version(known, data_version))
    }

    /// All topics.
    #[must_use]
    pub fn all_topics(&self) -> BTreeSet<String> {
        self.topics.keys().cloned().collect()
    }

    /// The topics of a cluster.
    #[must_use]
    pub fn topics_of_cluster(&self, cluster_name: &str) -> BTreeSet<String> {
        let in_cluster = |name: &String| self.groups.get(name).is_some_and(|group| group.cluster_name == cluster_name);
        let topics = self.topics.iter().filter(|(_, queues)| queues.keys().any(in_cluster));
        topics.map(|(topic, _)| topic.clone()).collect()
    }

    /// The topics that stand for the system itself: RocketMQ has always had one per cluster and one per broker name. The
    /// address is that of some broker, which knows more of them.
    #[must_use]
    pub fn system_topics(&self) -> TopicList {
        let clusters = self.groups.values().map(|group| group.cluster_name.clone());
        TopicList {
            broker_addr: self.groups.values().find_map(|group| group.addrs.values().next()).cloned(),
            topic_list: clusters.chain(self.groups.keys().cloned()).collect(),
        }
    }

    /// The topics whose flags, `unit` and `unit_sub`, are wanted; the flags of its first broker count.
    #[must_use]
    pub fn topics_by_flags(&self, wanted: impl Fn(bool, bool) -> bool) -> BTreeSet<String> {
        let topics = self.topics.iter().filter(|(_, queues)| {
            let flags = queues.values().next().map_or(0, |queues| queues.topic_sys_flag);
            wanted(flags & sysflag::topic::UNIT != 0, flags & sysflag::topic::UNIT_SUB != 0)
        });
        topics.map(|(topic, _)| topic.clone()).collect()
    }
}

impl Group {
    fn data(&self, broker_name: &str) -> BrokerData {
        BrokerData {
            broker_addrs: self.addrs.clone(),
            broker_name: broker_name.to_owned(),
            cluster: self.cluster_name.clone(),
            enable_acting_master: self.enable_acting_master,
        }
    }
}

/// Brokers of 4.9 do not say the state version, which is 0 then.
fn same_version(one: &DataVersion, other: &DataVersion) -> bool {
    one.counter == other.counter
        && one.timestamp == other.timestamp
        && one.state_version.unwrap_or(0) == other.state_version.unwrap_or(0)
}

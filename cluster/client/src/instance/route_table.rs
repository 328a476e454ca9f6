//! What a client knows of topics and brokers (`MQClientInstance.topicRouteTable`, `brokerAddrTable`): a pure table that
//! the name servers' answers are put into.
//!
//! A route stays when the name servers are away, or no longer know the topic: an old route is better than none. A
//! broker's address goes when no route names it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::body::{MessageQueue, TopicRouteData};
use protocol::{BrokerId, perm};

/// What an answer of the name servers brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Whether the route is another one than before.
    pub changed: bool,
    /// The brokers that no route named before.
    pub new_addrs: Vec<String>,
}

/// A topic's route with what consumers need of it.
#[derive(Debug)]
struct Route {
    data: Arc<TopicRouteData>,
    /// The readable queues, sorted.
    subscribe_queues: Arc<Vec<MessageQueue>>,
}

/// Routes by topic, addresses by broker name.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: BTreeMap<String, Route>,
    brokers: BTreeMap<String, BTreeMap<BrokerId, String>>,
}

impl RouteTable {
    /// Takes a name server's answer, and tells what is new in it.
    pub fn update(&mut self, topic: &str, mut data: TopicRouteData) -> Update {
        data.queue_datas.sort();
        data.broker_datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
        let mut new_addrs = Vec::new();
        for broker in &data.broker_datas {
            let named = broker.broker_addrs.values();
            new_addrs.extend(named.filter(|addr| self.broker_name_of(addr).is_none()).cloned());
            self.brokers.insert(broker.broker_name.clone(), broker.broker_addrs.clone());
        }
        if self.routes.get(topic).is_some_and(|known| *known.data == data) {
            return Update { changed: false, new_addrs };
        }
        let subscribe_queues = Arc::new(readable_queues(topic, &data));
        self.routes.insert(topic.to_owned(), Route { data: Arc::new(data), subscribe_queues });
        Update { changed: true, new_addrs }
    }

    /// The route of a topic.
    #[must_use]
    pub fn route(&self, topic: &str) -> Option<Arc<TopicRouteData>> {
        self.routes.get(topic).map(|route| Arc::clone(&route.data))
    }

    /// The queues of a topic that consumers may read, sorted (`topicRouteData2TopicSubscribeInfo`).
    #[must_use]
    pub fn subscribe_queues(&self, topic: &str) -> Option<Arc<Vec<MessageQueue>>> {
        self.routes.get(topic).map(|route| Arc::clone(&route.subscribe_queues))
    }

    /// The master of a broker name (`findBrokerAddressInPublish`).
    #[must_use]
    pub fn master_addr(&self, broker_name: &str) -> Option<&str> {
        self.brokers.get(broker_name)?.get(&BrokerId::MASTER).map(String::as_str)
    }

    /// Whom to ask for messages (`findBrokerAddressInSubscribe`), the best first: the broker with this id, else the next
    /// slave, else the others in the order of their ids, the master first. Each with its id.
    pub fn replicas(&self, broker_name: &str, wanted: BrokerId) -> impl Iterator<Item = (&str, BrokerId)> {
        let addrs = self.brokers.get(broker_name);
        let next = (!wanted.is_master()).then_some(BrokerId(wanted.0 + 1));
        let preferred = move |id: &BrokerId| *id == wanted || Some(*id) == next;
        let first = std::iter::once(wanted).chain(next);
        let first = first.filter_map(move |id| addrs?.get_key_value(&id));
        let others = addrs.into_iter().flatten().filter(move |(id, _)| !preferred(id));
        first.chain(others).map(|(id, addr)| (addr.as_str(), *id))
    }

    /// The brokers of a topic, for questions that any of them can answer (`findBrokerAddrByTopic`): one address of each
    /// broker name, the master's if there is one; and then the slaves besides.
    #[must_use]
    pub fn topic_addrs(&self, topic: &str) -> (Vec<String>, Vec<String>) {
        let (mut firsts, mut others) = (Vec::new(), Vec::new());
        let brokers = self.routes.get(topic).map(|route| route.data.broker_datas.as_slice()).unwrap_or_default();
        for broker in brokers {
            let mut addrs = broker.broker_addrs.values().cloned();
            firsts.extend(addrs.next());
            others.extend(addrs);
        }
        (firsts, others)
    }

    /// The broker name that has this address.
    #[must_use]
    pub fn broker_name_of(&self, addr: &str) -> Option<&str> {
        let has = |addrs: &BTreeMap<BrokerId, String>| addrs.values().any(|known| known == addr);
        self.brokers.iter().find(|(_, addrs)| has(addrs)).map(|(name, _)| name.as_str())
    }

    /// Every known broker: name, id and address.
    pub fn brokers(&self) -> impl Iterator<Item = (&str, BrokerId, &str)> {
        self.brokers
            .iter()
            .flat_map(|(name, addrs)| addrs.iter().map(move |(id, addr)| (name.as_str(), *id, addr.as_str())))
    }

    /// Forgets the addresses that no route names any more (`cleanOfflineBroker`).
    pub fn clean_offline_brokers(&mut self) {
        let named: BTreeSet<&str> = self
            .routes
            .values()
            .flat_map(|route| &route.data.broker_datas)
            .flat_map(|broker| broker.broker_addrs.values().map(String::as_str))
            .collect();
        self.brokers.retain(|_, addrs| {
            addrs.retain(|_, addr| named.contains(addr.as_str()));
            !addrs.is_empty()
        });
    }
}

fn readable_queues(topic: &str, data: &TopicRouteData) -> Vec<MessageQueue> {
    let readable = data.queue_datas.iter().filter(|queues| perm::is_readable(queues.perm));
    let queues = |data: &protocol::body::QueueData| {
        let broker_name = data.broker_name.clone();
        (0..data.read_queue_nums).map(move |id| MessageQueue::new(topic, &broker_name, id))
    };
    let mut queues: Vec<_> = readable.flat_map(queues).collect();
    queues.sort();
    queues.dedup();
    queues
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::body::{BrokerData, QueueData};

    fn broker(name: &str, addrs: &[(i64, &str)]) -> BrokerData {
        let broker_addrs = addrs.iter().map(|(id, addr)| (BrokerId(*id), (*addr).to_owned())).collect();
        BrokerData { broker_name: name.into(), broker_addrs, ..Default::default() }
    }

    fn queues(name: &str, read_queue_nums: i32, perm: i32) -> QueueData {
        QueueData { broker_name: name.into(), read_queue_nums, perm, ..Default::default() }
    }

    #[test]
    fn notes_changes_and_ignores_order() {
        let mut table = RouteTable::default();
        let mut data = TopicRouteData {
            broker_datas: vec![broker("b", &[(0, "b0")]), broker("a", &[(0, "a0"), (1, "a1")])],
            queue_datas: vec![queues("b", 1, perm::PERM_READ), queues("a", 2, perm::PERM_READ), queues("c", 9, 2)],
            ..Default::default()
        };
        let new_addrs = || ["a0", "a1", "b0"].map(str::to_owned).to_vec();
        assert_eq!(table.update("T", data.clone()), Update { changed: true, new_addrs: new_addrs() });
        data.broker_datas.reverse();
        data.queue_datas.reverse();
        assert_eq!(table.update("T", data.clone()), Update::default());
        let names: Vec<_> = table.subscribe_queues("T").expect("known").iter().map(ToString::to_string).collect();
        assert_eq!(names, ["T@a/0", "T@a/1", "T@b/0"]);
        assert_eq!(table.topic_addrs("T"), (vec!["a0".into(), "b0".into()], vec!["a1".into()]));
        data.queue_datas[0].read_queue_nums = 5;
        assert_eq!(table.update("T", data), Update { changed: true, new_addrs: Vec::new() });
        assert_eq!(table.subscribe_queues("X"), None);
    }

    #[test]
    fn reads_from_slaves_when_the_master_is_away() {
        let mut table = RouteTable::default();
        let data =
            |addrs: &[(i64, &str)]| TopicRouteData { broker_datas: vec![broker("a", addrs)], ..Default::default() };
        let ids = |table: &RouteTable, wanted| -> Vec<i64> {
            table.replicas("a", BrokerId(wanted)).map(|(_, id)| id.0).collect()
        };
        table.update("T", data(&[(0, "a0"), (1, "a1"), (2, "a2")]));
        assert_eq!(ids(&table, 0), [0, 1, 2]);
        assert_eq!(ids(&table, 1), [1, 2, 0]);
        assert_eq!(ids(&table, 2), [2, 0, 1]);
        table.update("T", data(&[(2, "a2")]));
        assert_eq!(table.master_addr("a"), None);
        assert_eq!(ids(&table, 0), [2]);
        assert_eq!(ids(&table, 1), [2]);
        assert_eq!(table.replicas("x", BrokerId(0)).count(), 0);
        assert_eq!(table.broker_name_of("a2"), Some("a"));
    }

    #[test]
    fn forgets_brokers_that_no_route_names() {
        let mut table = RouteTable::default();
        let data = |name: &str| TopicRouteData { broker_datas: vec![broker(name, &[(0, name)])], ..Default::default() };
        table.update("T", data("a"));
        table.update("U", data("a"));
        table.update("T", data("b"));
        table.clean_offline_brokers();
        assert_eq!(table.brokers().count(), 2);
        table.update("U", data("b"));
        table.clean_offline_brokers();
        assert_eq!(table.brokers().collect::<Vec<_>>(), [("b", BrokerId(0), "b")]);
    }
}

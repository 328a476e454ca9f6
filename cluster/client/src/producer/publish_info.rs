//! The queues that a producer may send to, and which one is next (`TopicPublishInfo`, `MQFaultStrategy`).

use std::sync::atomic::{AtomicUsize, Ordering};

use protocol::body::{MessageQueue, TopicRouteData};
use protocol::{BrokerId, perm};

use super::latency::LatencyFaultTolerance;

/// The writable queues of one topic, with the turn of the round-robin.
#[derive(Debug)]
pub struct TopicPublishInfo {
    queues: Vec<MessageQueue>,
    next: AtomicUsize,
}

impl TopicPublishInfo {
    /// These queues; the round-robin begins at `start`.
    #[must_use]
    pub fn new(queues: Vec<MessageQueue>, start: usize) -> Self {
        Self { queues, next: AtomicUsize::new(start) }
    }

    /// The queues that a route offers to producers (`topicRouteData2TopicPublishInfo`): every write queue of every broker
    /// that may be written and has a master; for an ordered topic those that its configuration lists.
    #[must_use]
    pub fn queues_of(topic: &str, route: &TopicRouteData) -> Vec<MessageQueue> {
        let ordered = route.order_topic_conf.as_deref().unwrap_or_default();
        if !ordered.is_empty() {
            return ordered_queues(topic, ordered);
        }
        let mut datas: Vec<_> = route.queue_datas.iter().filter(|data| perm::is_writable(data.perm)).collect();
        datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
        let has_master = |name: &str| {
            let broker = route.broker_datas.iter().find(|broker| broker.broker_name == name);
            broker.is_some_and(|broker| broker.broker_addrs.contains_key(&BrokerId::MASTER))
        };
        datas.retain(|data| has_master(&data.broker_name));
        let queues = |data: &&protocol::body::QueueData| {
            let broker_name = data.broker_name.clone();
            (0..data.write_queue_nums).map(move |id| MessageQueue::new(topic, &broker_name, id))
        };
        datas.iter().flat_map(queues).collect()
    }

    /// All queues, sorted by broker and number.
    #[must_use]
    pub fn queues(&self) -> &[MessageQueue] {
        &self.queues
    }

    /// The turn, to be carried over to a newer route.
    pub(crate) fn turn(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    fn take_turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The next queue; of another broker than `last_broker` if there is one.
    #[must_use]
    pub fn select_one(&self, last_broker: Option<&str>) -> Option<&MessageQueue> {
        if self.queues.is_empty() {
            return None;
        }
        if let Some(last) = last_broker {
            for _ in 0..self.queues.len() {
                let queue = &self.queues[self.take_turn() % self.queues.len()];
                if queue.broker_name != last {
                    return Some(queue);
                }
            }
        }
        self.queues.get(self.take_turn() % self.queues.len())
    }

    /// The next queue whose broker is available, of another one than `last_broker` if there is one (as 5.x does); else one of
    /// the better brokers; else any.
    #[must_use]
    pub fn select_tolerant(
        &self,
        tolerance: &mut LatencyFaultTolerance,
        last_broker: Option<&str>,
        now_ms: u64,
    ) -> Option<MessageQueue> {
        if self.queues.is_empty() {
            return None;
        }
        let turn = self.take_turn();
        let in_turn = |step| &self.queues[turn.wrapping_add(step) % self.queues.len()];
        let available = |queue: &&MessageQueue| tolerance.is_available(&queue.broker_name, now_ms);
        let mut in_order = (0..self.queues.len()).map(in_turn).filter(available);
        let first = in_order.next();
        let is_other = |queue: &&MessageQueue| last_broker != Some(queue.broker_name.as_str());
        if let Some(queue) = first.into_iter().chain(in_order).find(is_other).or(first) {
            return Some(queue.clone());
        }
        if let Some(broker_name) = tolerance.pick_one_at_least(now_ms) {
            let of_broker: Vec<_> = self.queues.iter().filter(|queue| queue.broker_name == broker_name).collect();
            match of_broker.len() {
                0 => tolerance.remove(&broker_name),
                count => return Some(of_broker[turn % count].clone()),
            }
        }
        self.select_one(None).cloned()
    }
}

/// The queues of an ordered topic's configuration, `broker-a:4;broker-b:4`. What does not read like that is passed over.
fn ordered_queues(topic: &str, configuration: &str) -> Vec<MessageQueue> {
    let parts = configuration.split(';').filter_map(|part| part.split_once(':'));
    let queues = |(broker, count): (&str, &str)| {
        let (broker, count) = (broker.to_owned(), count.parse().unwrap_or(0));
        (0..count).map(move |id| MessageQueue::new(topic, &broker, id))
    };
    parts.flat_map(queues).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::body::{BrokerData, QueueData};

    fn two_brokers(each: i32) -> Vec<MessageQueue> {
        let queues = |broker| (0..each).map(move |id| MessageQueue::new("T", broker, id));
        queues("a").chain(queues("b")).collect()
    }

    fn queue_data(broker_name: &str, write_queue_nums: i32, perm: i32) -> QueueData {
        QueueData { broker_name: broker_name.into(), read_queue_nums: 8, write_queue_nums, perm, ..Default::default() }
    }

    fn broker_data(broker_name: &str, id: i64) -> BrokerData {
        let broker_addrs = [(BrokerId(id), "192.0.2.1:10911".to_owned())].into();
        BrokerData { broker_name: broker_name.into(), broker_addrs, ..Default::default() }
    }

    #[test]
    fn only_writable_queues_of_masters() {
        let mut route = TopicRouteData {
            queue_datas: vec![
                queue_data("d", 1, perm::PERM_READ | perm::PERM_WRITE),
                queue_data("c", 4, perm::PERM_READ),
                queue_data("b", 2, perm::PERM_READ | perm::PERM_WRITE),
                queue_data("a", 2, perm::PERM_WRITE),
            ],
            broker_datas: vec![broker_data("a", 0), broker_data("b", 1), broker_data("c", 0), broker_data("d", 0)],
            ..Default::default()
        };
        let names = |route: &TopicRouteData| -> Vec<_> {
            let queues = TopicPublishInfo::queues_of("T", route);
            queues.into_iter().map(|queue| format!("{}{}", queue.broker_name, queue.queue_id)).collect()
        };
        assert_eq!(names(&route), ["a0", "a1", "d0"]);
        route.order_topic_conf = Some("x:2;nonsense;y:1".into());
        assert_eq!(names(&route), ["x0", "x1", "y0"]);
    }

    #[test]
    fn goes_round_and_avoids_the_last_broker() {
        let info = TopicPublishInfo::new(two_brokers(2), 3);
        let turns: Vec<_> =
            (0..5).filter_map(|_| info.select_one(None)).map(|q| (&*q.broker_name, q.queue_id)).collect();
        assert_eq!(turns, [("b", 1), ("a", 0), ("a", 1), ("b", 0), ("b", 1)]);
        for _ in 0..10 {
            assert_eq!(info.select_one(Some("a")).map(|queue| &*queue.broker_name), Some("b"));
        }
        let one = TopicPublishInfo::new(vec![MessageQueue::new("T", "a", 0)], 0);
        assert_eq!(one.select_one(Some("a")).map(|queue| &*queue.broker_name), Some("a"));
        assert_eq!(TopicPublishInfo::new(Vec::new(), 0).select_one(None), None);
    }

    #[test]
    fn tolerant_choice_avoids_failed_brokers_while_it_can() {
        let info = TopicPublishInfo::new(two_brokers(2), 0);
        let mut tolerance = LatencyFaultTolerance::new();
        tolerance.update("a", 5, true, 0);
        for _ in 0..8 {
            assert_eq!(
                info.select_tolerant(&mut tolerance, None, 1_000).map(|queue| queue.broker_name),
                Some("b".into())
            );
        }
        // The one that has just not stored a message well enough is asked again only if there is no other.
        assert_eq!(
            info.select_tolerant(&mut tolerance, Some("b"), 1_000).map(|queue| queue.broker_name),
            Some("b".into())
        );
        let mut healthy = LatencyFaultTolerance::new();
        for _ in 0..8 {
            let queue = info.select_tolerant(&mut healthy, Some("b"), 1_000);
            assert_eq!(queue.map(|queue| queue.broker_name), Some("a".into()));
        }
        tolerance.update("b", 5, true, 0);
        assert!(info.select_tolerant(&mut tolerance, None, 1_000).is_some());
        tolerance.update("gone", 0, true, 0);
        let lone = TopicPublishInfo::new(vec![MessageQueue::new("T", "a", 0)], 0);
        for _ in 0..4 {
            assert_eq!(
                lone.select_tolerant(&mut tolerance, None, 1_000).map(|queue| queue.broker_name),
                Some("a".into())
            );
        }
    }
}

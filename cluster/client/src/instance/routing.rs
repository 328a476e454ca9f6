//! Asking name servers for routes, and choosing from them whom to ask for a queue (`MQClientInstance`).
//!
//! Routes come every 30 s. When a broker does not answer, its route is asked for at once, and those who wait for the broker
//! are woken when it has changed; a broker that is new in a route hears of this client at once. Java's clients wait for the
//! next round in each of these cases.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use protocol::BrokerId;
use protocol::body::{MessageQueue, TopicRouteData};
use protocol::topic::AUTO_CREATE_TOPIC_KEY;
use remoting::{CloseReason, RemotingError};
use sim::time::Instant;

use super::ClientInstance;
use crate::error::ClientError;

/// A route that was asked for out of turn within this time is not asked for out of turn again.
const REFRESH_MIN: Duration = Duration::from_secs(1);
/// How long asking for a route out of turn may take.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

impl ClientInstance {
    /// Asks for the route of a topic. Whether a name server knows one.
    ///
    /// The chosen name server has the word, as in Java. Only for a topic without a known route are the others asked, too: the
    /// chosen one may have been restarted, and know nothing until the brokers register again. Those that do not answer are left
    /// out for a while: a topic that is to be made by its first message is known to nobody.
    pub(crate) async fn update_topic_route(&self, topic: &str, timeout: Duration) -> Result<bool, ClientError> {
        let mut route = self.api.topic_route(topic, timeout).await?;
        if route.is_none() && self.route(topic).is_none() {
            let name_servers = self.api.remoting().name_servers();
            let reachable = name_servers.into_iter().filter(|addr| self.is_reachable(addr)).collect();
            let (known, silent) = self.api.topic_route_of_any(topic, reachable, timeout).await;
            for addr in silent {
                self.reachability.lock().failed(&addr, self.now_ms());
            }
            route = known;
        }
        let Some(route) = route else { return Ok(false) };
        self.take_route(topic, route);
        Ok(true)
    }

    /// Assumes for a topic without a route that it will be created where `TBW102` is, with at most `queue_nums` queues.
    /// Whether there is such a place.
    pub(crate) async fn assume_default_route(
        &self,
        topic: &str,
        queue_nums: i32,
        timeout: Duration,
    ) -> Result<bool, ClientError> {
        let Some(mut route) = self.api.topic_route(AUTO_CREATE_TOPIC_KEY, timeout).await? else { return Ok(false) };
        for data in &mut route.queue_datas {
            data.read_queue_nums = data.read_queue_nums.min(queue_nums);
            data.write_queue_nums = data.read_queue_nums;
        }
        self.take_route(topic, route);
        Ok(true)
    }

    /// Asks for a route out of turn, because a broker in it does not answer; not more often than once a second.
    pub(crate) async fn refresh_route(&self, topic: &str) {
        let now = Instant::now();
        {
            let mut refreshed = self.refreshed.lock();
            refreshed.retain(|_, at| now.saturating_duration_since(*at) < REFRESH_MIN);
            if refreshed.insert(topic.to_owned(), now).is_some() {
                return;
            }
        }
        if let Err(error) = self.update_topic_route(topic, REFRESH_TIMEOUT).await {
            tracing::debug!(client = %self.client_id, topic, %error, "the route was not refreshed");
        }
    }

    /// As [`ClientInstance::refresh_route`], in a task of its own.
    pub(crate) fn refresh_route_later(&self, topic: &str) {
        let (instance, topic) = (self.this.clone(), topic.to_owned());
        sim::task::spawn(async move {
            if let Some(instance) = instance.upgrade() {
                instance.refresh_route(&topic).await;
            }
        });
    }

    fn take_route(&self, topic: &str, route: TopicRouteData) {
        let (update, new) = {
            let mut routes = self.routes.lock();
            let update = routes.update(topic, route);
            (update, routes.route(topic))
        };
        self.greet(update.new_addrs);
        let Some(route) = new.filter(|_| update.changed) else { return };
        tracing::debug!(client = %self.client_id, topic, "route changed");
        let (producers, consumers) = self.members();
        for producer in producers.iter().chain([&self.inner_producer]) {
            producer.route_changed(topic, &route);
        }
        self.route_changed.notify_waiters();
        if consumers.iter().any(|consumer| consumer.subscribed_topics().iter().any(|subscribed| subscribed == topic)) {
            self.rebalance_immediately();
        }
    }

    /// Waits for at most so long for a changed route.
    pub(crate) async fn route_change(&self, at_most: Duration) {
        // An error means that no route has changed in that time.
        let _ = sim::time::timeout(at_most, self.route_changed.notified()).await;
    }

    /// The known route of a topic.
    pub(crate) fn route(&self, topic: &str) -> Option<Arc<TopicRouteData>> {
        self.routes.lock().route(topic)
    }

    /// The queues of a topic that consumers may read, sorted.
    pub(crate) fn subscribe_queues(&self, topic: &str) -> Option<Arc<Vec<MessageQueue>>> {
        self.routes.lock().subscribe_queues(topic)
    }

    /// The address of a broker name's master.
    pub(crate) fn master_addr(&self, broker_name: &str) -> Option<String> {
        self.routes.lock().master_addr(broker_name).map(str::to_owned)
    }

    /// Whom to ask for a queue, the broker with this id if possible; asks the name server first if nobody is known.
    pub(crate) async fn subscribe_addr(
        &self,
        queue: &MessageQueue,
        wanted: BrokerId,
    ) -> Result<(String, BrokerId), ClientError> {
        let replicas = self.replicas(queue, wanted).await?;
        replicas.into_iter().next().ok_or_else(|| no_broker(queue))
    }

    /// As [`ClientInstance::subscribe_addr`], of what is known.
    pub(crate) fn next_subscribe_addr(&self, broker_name: &str, wanted: BrokerId) -> Option<String> {
        self.known_replicas(broker_name, wanted).into_iter().next().map(|(addr, _)| addr)
    }

    /// The brokers of a queue, the best to ask first: those that do not answer at present come last. At least one.
    async fn replicas(&self, queue: &MessageQueue, wanted: BrokerId) -> Result<Vec<(String, BrokerId)>, ClientError> {
        let mut known = self.known_replicas(&queue.broker_name, wanted);
        if known.is_empty() {
            self.update_topic_route(&queue.topic, self.config.mq_client_api_timeout).await?;
            known = self.known_replicas(&queue.broker_name, wanted);
        }
        if known.is_empty() { Err(no_broker(queue)) } else { Ok(known) }
    }

    fn known_replicas(&self, broker_name: &str, wanted: BrokerId) -> Vec<(String, BrokerId)> {
        let routes = self.routes.lock();
        let mut replicas: Vec<_> =
            routes.replicas(broker_name, wanted).map(|(addr, id)| (addr.to_owned(), id)).collect();
        drop(routes);
        if replicas.len() > 1 {
            self.reachable_first(&mut replicas, |(addr, _)| addr);
        }
        replicas
    }

    /// Asks the master of a queue; if it is not there or does not answer, its slaves. Also gives who has answered.
    pub(crate) async fn ask_replicas<'a, T>(
        &self,
        queue: &MessageQueue,
        ask: impl Fn(String) -> BoxFuture<'a, Result<T, ClientError>>,
    ) -> Result<(T, BrokerId), ClientError> {
        let mut last = no_broker(queue);
        for (addr, id) in self.replicas(queue, BrokerId::MASTER).await? {
            let asked = ask(addr.clone());
            match asked.await {
                Ok(answer) => return Ok((answer, id)),
                Err(error @ ClientError::Remoting(_)) => {
                    self.broker_failed(&addr, &error);
                    last = error;
                }
                Err(error) => return Err(error),
            }
        }
        self.refresh_route_later(&queue.topic);
        Err(last)
    }

    /// Notes that a broker did not answer, if it is that what the error says.
    pub(crate) fn broker_failed(&self, addr: &str, error: &ClientError) {
        // A connection that the peer ended can perhaps be made again at once; the next one to try will know.
        let ClientError::Remoting(error) = error else { return };
        let is_silent = matches!(
            error,
            RemotingError::Connect { .. }
                | RemotingError::Timeout { .. }
                | RemotingError::Closed { reason: CloseReason::Silent, .. }
        );
        if is_silent {
            self.reachability.lock().failed(addr, self.now_ms());
        }
    }

    /// Notes that a broker has answered.
    pub(crate) fn broker_answered(&self, addr: &str) {
        self.reachability.lock().answered(addr);
    }

    /// Whether there is no reason to believe that a broker does not answer.
    pub(crate) fn is_reachable(&self, addr: &str) -> bool {
        self.reachability.lock().is_reachable(addr, self.now_ms())
    }

    fn reachable_first<T>(&self, brokers: &mut [T], addr: impl Fn(&T) -> &String) {
        let (reachability, now_ms) = (self.reachability.lock(), self.now_ms());
        brokers.sort_by_key(|broker| !reachability.is_reachable(addr(broker), now_ms));
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.created_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The brokers of a topic for questions that all of them answer alike, the first one picked at random. At least one.
    async fn addrs_of(&self, topic: &str) -> Result<Vec<String>, ClientError> {
        let (mut firsts, mut others) = self.routes.lock().topic_addrs(topic);
        if firsts.is_empty() {
            self.update_topic_route(topic, self.config.mq_client_api_timeout).await?;
            (firsts, others) = self.routes.lock().topic_addrs(topic);
        }
        if firsts.is_empty() {
            return Err(ClientError::NoRoute { topic: topic.to_owned() });
        }
        let pick = sim::rng::below("client: any broker of a topic", firsts.len() as u64) as usize;
        firsts.rotate_left(pick);
        firsts.append(&mut others);
        self.reachable_first(&mut firsts, |addr| addr);
        Ok(firsts)
    }

    /// The ids of a consumer group's members, sorted; from any broker of the topic, master or slave, that can be asked.
    pub(crate) async fn consumer_ids(&self, topic: &str, group: &str) -> Result<Vec<String>, ClientError> {
        let mut last = ClientError::NoRoute { topic: topic.to_owned() };
        for addr in self.addrs_of(topic).await? {
            match self.consumer_ids_at(&addr, group).await {
                Err(error @ ClientError::Remoting(_)) => {
                    self.broker_failed(&addr, &error);
                    last = error;
                }
                answered => return answered,
            }
        }
        Err(last)
    }

    /// A broker that does not know us as a member hears of us at once and is asked again: to Java's clients it looks for up
    /// to 30 s as if their queues belonged to the others.
    async fn consumer_ids_at(&self, addr: &str, group: &str) -> Result<Vec<String>, ClientError> {
        match self.api.consumer_ids(addr, group).await {
            Ok(ids) if ids.contains(&self.client_id) => return Ok(sorted(ids)),
            Ok(_) | Err(ClientError::Response { .. }) => {}
            Err(error) => return Err(error),
        }
        self.heartbeat_soon(addr).await;
        self.api.consumer_ids(addr, group).await.map(sorted)
    }
}

fn no_broker(queue: &MessageQueue) -> ClientError {
    ClientError::NoBroker { broker_name: queue.broker_name.clone() }
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids.dedup();
    ids
}

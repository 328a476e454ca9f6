//! The part that all producers and consumers with one client id share (`MQClientInstance`): connections, routes,
//! heartbeats, and the clocks that drive them.
//!
//! | room | is |
//! |---|---|
//! | [`factory`] | which client id has which instance |
//! | [`members`] | the producers and consumers of an instance |
//! | [`api`] | typed questions to name servers and brokers |
//! | [`route_table`] | routes and broker addresses, as plain data |
//! | [`heartbeat`] | telling brokers who is there, and who leaves |
//! | [`background`] | what happens every so often |
//! | [`requests`] | what brokers ask |
//!
//! An instance owns its tasks but is not owned by them, and knows its members but does not own them: when all handles
//! are dropped everything goes, even if nothing was shut down in good order.

pub(crate) mod api;
mod background;
pub(crate) mod factory;
mod heartbeat;
pub(crate) mod members;
mod requests;
pub(crate) mod route_table;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use protocol::BrokerId;
use protocol::body::{MessageQueue, TopicRouteData};
use protocol::topic::AUTO_CREATE_TOPIC_KEY;
use remoting::RemotingClient;
use sim::task::JoinHandle;
use sim::time::Instant;
use tokio::sync::Notify;

use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::lock::Lock;
use crate::producer::{ProducerConfig, ProducerCore};
use crate::state::{Lifecycle, ServiceState};
use crate::unique_key::UniqueKeys;
use crate::validators::CLIENT_INNER_PRODUCER_GROUP;
use api::Api;
use members::Members;
use requests::ServerRequests;
use route_table::RouteTable;

/// See the module's head.
pub(crate) struct ClientInstance {
    this: Weak<Self>,
    client_id: String,
    config: ClientConfig,
    api: Api,
    unique_keys: UniqueKeys,
    lifecycle: Lifecycle,
    routes: Lock<RouteTable>,
    members: Lock<Members>,
    /// Sends what a consumer could not hand back to its broker.
    inner_producer: Arc<ProducerCore>,
    /// When each broker last heard of us, by address.
    heartbeats: Lock<BTreeMap<String, Instant>>,
    rebalance_wakeup: Arc<Notify>,
    tasks: Lock<Vec<JoinHandle<()>>>,
}

impl ClientInstance {
    fn new(client_id: String, config: ClientConfig) -> Arc<Self> {
        let ip = config.client_ip.unwrap_or_else(sim::net::local_ip);
        Arc::new_cyclic(|this: &Weak<Self>| {
            let handler = Arc::new(ServerRequests::new(this.clone()));
            let remoting = RemotingClient::with_handler(remoting::ClientConfig::default(), handler);
            let inner = ProducerConfig::default();
            Self {
                this: this.clone(),
                client_id,
                api: Api::new(remoting, config.mq_client_api_timeout, config.vip_channel_enabled),
                config,
                unique_keys: UniqueKeys::new(ip),
                lifecycle: Lifecycle::new(),
                routes: Lock::default(),
                members: Lock::default(),
                inner_producer: Arc::new(ProducerCore::new(CLIENT_INNER_PRODUCER_GROUP.to_owned(), inner)),
                heartbeats: Lock::default(),
                rebalance_wakeup: Arc::new(Notify::new()),
                tasks: Lock::default(),
            }
        })
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    pub(crate) fn unique_keys(&self) -> &UniqueKeys {
        &self.unique_keys
    }

    pub(crate) fn inner_producer(&self) -> &Arc<ProducerCore> {
        &self.inner_producer
    }

    /// Starts the tasks, once.
    pub(crate) fn start(&self) {
        if self.lifecycle.get() == ServiceState::CreateJust {
            self.lifecycle.set(ServiceState::Running);
            self.inner_producer.set_running();
            self.api.remoting().update_name_servers(self.config.namesrv_addr.clone());
            *self.tasks.lock() = background::spawn(&self.this, &self.config, &self.rebalance_wakeup);
        }
    }

    /// Whether the instance can take another member.
    fn is_usable(&self) -> bool {
        matches!(self.lifecycle.get(), ServiceState::CreateJust | ServiceState::Running)
    }

    /// Ends the tasks and connections if nobody uses the instance any more.
    fn shut_down_if_unused(&self) {
        if self.members.lock().is_empty() && self.lifecycle.shut_down() {
            for task in std::mem::take(&mut *self.tasks.lock()) {
                task.abort();
            }
            self.api.remoting().shutdown();
        }
    }

    /// Has every consumer look again which queues are its own, soon.
    pub(crate) fn rebalance_immediately(&self) {
        self.rebalance_wakeup.notify_one();
    }

    /// Asks for the route of a topic. Whether the name server knows one.
    pub(crate) async fn update_topic_route(&self, topic: &str, timeout: Duration) -> Result<bool, ClientError> {
        let Some(route) = self.api.topic_route(topic, timeout).await? else { return Ok(false) };
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

    fn take_route(&self, topic: &str, route: TopicRouteData) {
        let new = {
            let mut routes = self.routes.lock();
            if !routes.update(topic, route) {
                return;
            }
            routes.route(topic)
        };
        let Some(route) = new else { return };
        tracing::debug!(client = %self.client_id, topic, "route changed");
        let (producers, consumers) = self.members();
        for producer in producers.iter().chain([&self.inner_producer]) {
            producer.route_changed(topic, &route);
        }
        if consumers.iter().any(|consumer| consumer.subscribed_topics().iter().any(|subscribed| subscribed == topic)) {
            self.rebalance_immediately();
        }
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
        let known = || {
            let routes = self.routes.lock();
            routes.subscribe_addr(&queue.broker_name, wanted).map(|(addr, id)| (addr.to_owned(), id))
        };
        if let Some(found) = known() {
            return Ok(found);
        }
        self.update_topic_route(&queue.topic, self.config.mq_client_api_timeout).await?;
        known().ok_or_else(|| ClientError::NoBroker { broker_name: queue.broker_name.clone() })
    }

    /// Some broker of a topic, any, for questions that all of them answer alike.
    async fn any_addr_of(&self, topic: &str) -> Result<String, ClientError> {
        let mut addrs = self.routes.lock().topic_addrs(topic);
        if addrs.is_empty() {
            self.update_topic_route(topic, self.config.mq_client_api_timeout).await?;
            addrs = self.routes.lock().topic_addrs(topic);
        }
        let pick = sim::rng::below("client: any broker of a topic", addrs.len() as u64) as usize;
        addrs.get(pick).cloned().ok_or_else(|| ClientError::NoRoute { topic: topic.to_owned() })
    }

    /// The ids of a consumer group's members, sorted. A broker that does not know us as one hears of us at once and is
    /// asked again: to Java's clients it looks for up to 30 s as if their queues belonged to the others.
    pub(crate) async fn consumer_ids(&self, topic: &str, group: &str) -> Result<Vec<String>, ClientError> {
        let addr = self.any_addr_of(topic).await?;
        match self.api.consumer_ids(&addr, group).await {
            Ok(ids) if ids.contains(&self.client_id) => return Ok(sorted(ids)),
            Ok(_) | Err(ClientError::Response { .. }) => {}
            Err(error) => return Err(error),
        }
        self.heartbeat_soon(&addr).await;
        self.api.consumer_ids(&addr, group).await.map(sorted)
    }
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids.dedup();
    ids
}

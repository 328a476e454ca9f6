//! The part that all producers and consumers with one client id share (`MQClientInstance`): connections, routes,
//! heartbeats, and the clocks that drive them.
//!
//! | room | is |
//! |---|---|
//! | [`factory`] | which client id has which instance |
//! | [`members`] | the producers and consumers of an instance |
//! | [`api`] | typed questions to name servers and brokers |
//! | [`route_table`] | routes and broker addresses, as plain data |
//! | [`reachability`] | which brokers do not answer at present, as plain data |
//! | [`routing`] | asking for routes, and choosing whom to ask for a queue |
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
mod reachability;
mod requests;
pub(crate) mod route_table;
mod routing;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use remoting::RemotingClient;
use sim::task::JoinHandle;
use sim::time::Instant;
use tokio::sync::Notify;

use crate::config::ClientConfig;
use crate::lock::Lock;
use crate::producer::{ProducerConfig, ProducerCore};
use crate::state::{Lifecycle, ServiceState};
use crate::unique_key::UniqueKeys;
use crate::validators::CLIENT_INNER_PRODUCER_GROUP;
use api::Api;
use members::Members;
use reachability::Reachability;
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
    reachability: Lock<Reachability>,
    /// The reachability counts time from here.
    created_at: Instant,
    /// When each topic's route was last asked for out of turn.
    refreshed: Lock<BTreeMap<String, Instant>>,
    /// Told when a route has changed.
    route_changed: Notify,
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
                reachability: Lock::default(),
                created_at: Instant::now(),
                refreshed: Lock::default(),
                route_changed: Notify::new(),
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
}

//! What an instance does every so often (`startScheduledTask`, `RebalanceService`): routes, heartbeats, offsets,
//! rebalance. One task each, so that a name server which is away does not hold the heartbeats up, as it does in Java.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sim::task::{self, JoinHandle};
use sim::time;
use tokio::sync::Notify;

use super::ClientInstance;
use crate::config::ClientConfig;
use crate::error::ClientError;

/// How often queues are shared out anew (`rocketmq.client.rebalance.waitInterval`).
const REBALANCE_INTERVAL: Duration = Duration::from_secs(20);
/// When the first heartbeat and the first storing of offsets come (`startScheduledTask`).
const HEARTBEAT_DELAY: Duration = Duration::from_secs(1);

/// When a route that was not there is asked for again, at first.
const MISSING_ROUTE_DELAY: Duration = Duration::from_secs(1);

/// Starts the tasks. They end when the instance is dropped.
pub(super) fn spawn(
    instance: &Weak<ClientInstance>,
    config: &ClientConfig,
    rebalance_wakeup: &Arc<Notify>,
) -> Vec<JoinHandle<()>> {
    let (poll, heartbeat, persist) =
        (config.poll_name_server_interval, config.heartbeat_broker_interval, config.persist_consumer_offset_interval);
    let routes = task::spawn(update_routes(instance.clone(), poll));
    let heartbeats = instance.clone();
    let heartbeats = task::spawn(async move {
        let mut pause = HEARTBEAT_DELAY.min(heartbeat);
        loop {
            time::sleep(pause).await;
            pause = heartbeat;
            let Some(instance) = heartbeats.upgrade() else { return };
            instance.clean_offline_brokers();
            if sim::fault_point!("client.heartbeat.round-lost") {
                continue;
            }
            instance.heartbeat_all().await;
        }
    });
    let offsets = instance.clone();
    let offsets = task::spawn(async move {
        loop {
            time::sleep(persist).await;
            let Some(instance) = offsets.upgrade() else { return };
            if sim::fault_point!("client.offsets.not-stored") {
                continue;
            }
            instance.persist_all_offsets().await;
        }
    });
    let (rebalance, wakeup) = (instance.clone(), Arc::clone(rebalance_wakeup));
    let rebalance = task::spawn(async move {
        loop {
            // An error means that nobody asked for a rebalance within the interval: then it is time for one.
            let is_early = sim::fault_point!("client.rebalance.early");
            let interval = if is_early { REBALANCE_INTERVAL / 40 } else { REBALANCE_INTERVAL };
            let _ = time::timeout(interval, wakeup.notified()).await;
            let Some(instance) = rebalance.upgrade() else { return };
            instance.rebalance_all().await;
        }
    });
    vec![routes, heartbeats, offsets, rebalance]
}

/// Asks for all routes at each interval; in between, at growing distances, for those of topics that have none yet: a
/// consumer need not wait half a minute for a topic that was created a second after it started, or for its own retry topic.
async fn update_routes(instance: Weak<ClientInstance>, poll: Duration) {
    let (mut until_all, mut until_missing) = (poll, Some(MISSING_ROUTE_DELAY));
    let mut distance = MISSING_ROUTE_DELAY;
    loop {
        let pause = until_missing.unwrap_or(until_all).min(until_all);
        time::sleep(pause).await;
        let Some(instance) = instance.upgrade() else { return };
        until_all -= pause;
        if until_all.is_zero() {
            until_all = poll;
            if sim::fault_point!("client.route.round-skipped") {
                continue;
            }
            instance.update_topics(instance.used_topics()).await;
        } else {
            instance.update_topics(instance.topics_without_route()).await;
        }
        let missing = !instance.topics_without_route().is_empty();
        distance = if missing { (distance * 2).min(poll) } else { MISSING_ROUTE_DELAY };
        until_missing = missing.then_some(distance);
    }
}

impl ClientInstance {
    /// The topics that members use, sorted.
    fn used_topics(&self) -> Vec<String> {
        let (producers, consumers) = self.members();
        let mut topics: Vec<String> = consumers.iter().flat_map(|consumer| consumer.subscribed_topics()).collect();
        topics.extend(producers.iter().chain([&self.inner_producer]).flat_map(|producer| producer.publish_topics()));
        topics.sort();
        topics.dedup();
        topics
    }

    fn topics_without_route(&self) -> Vec<String> {
        let mut topics = self.used_topics();
        topics.retain(|topic| self.route(topic).is_none());
        topics
    }

    /// Asks for the routes of these topics. Stops when the name servers do not answer.
    async fn update_topics(&self, topics: Vec<String>) {
        for topic in topics {
            match self.update_topic_route(&topic, self.config.mq_client_api_timeout).await {
                Ok(_) => {}
                Err(error @ ClientError::Remoting(_)) => {
                    tracing::warn!(client = %self.client_id, %error, "no name server answers, the known routes stay");
                    return;
                }
                Err(error) => tracing::warn!(client = %self.client_id, topic, %error, "the route was not updated"),
            }
        }
    }

    async fn persist_all_offsets(&self) {
        for consumer in self.members().1 {
            consumer.persist_offsets().await;
        }
    }

    async fn rebalance_all(&self) {
        for consumer in self.members().1 {
            consumer.rebalance().await;
        }
    }
}

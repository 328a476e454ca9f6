//! A producer's settings, and what it knows of the topics it sends to (`DefaultMQProducerImpl`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::body::{MessageQueue, TopicRouteData};
use sim::time::Instant;

use super::compression::Compressor;
use super::latency::LatencyFaultTolerance;
use super::publish_info::TopicPublishInfo;
use crate::error::ClientError;
use crate::instance::ClientInstance;
use crate::lock::Lock;
use crate::message::Message;
use crate::state::{Lifecycle, ServiceState};
use crate::validators::MAX_MESSAGE_BYTES;

/// How a producer sends (`DefaultMQProducer`, with its defaults).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerConfig {
    /// The time for one send, all attempts together. 3 s.
    pub send_msg_timeout: Duration,
    /// The time for one attempt (`sendMsgMaxTimeoutPerRequest` of 5.x): with less than `send_msg_timeout`, a broker that went
    /// without a word leaves time to try another one. None: an attempt may take all the time that is left, as in 4.9.
    pub send_msg_max_timeout_per_request: Option<Duration>,
    /// How often a send is tried again on another broker. 2.
    pub retry_times_when_send_failed: usize,
    /// The same for sends in a task of their own. 2.
    pub retry_times_when_send_async_failed: usize,
    /// Whether a message is sent again that was stored, but not flushed or replicated in time. Makes duplicates. No.
    pub retry_another_broker_when_not_store_ok: bool,
    /// Bodies of at least so many bytes are compressed with zlib; `None` compresses nothing. 4,096.
    pub compress_msg_body_over_howmuch_bytes: Option<usize>,
    /// zlib's level, 0 to 9. 5.
    pub compress_level: u32,
    /// The largest body. 4 MiB.
    pub max_message_bytes: usize,
    /// How many queues a topic gets that is created by being sent to. 4; the broker may allow fewer.
    pub default_topic_queue_nums: i32,
    /// Whether slow and failed brokers are left alone for a while. No.
    pub send_latency_fault_enable: bool,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            send_msg_timeout: Duration::from_secs(3),
            send_msg_max_timeout_per_request: None,
            retry_times_when_send_failed: 2,
            retry_times_when_send_async_failed: 2,
            retry_another_broker_when_not_store_ok: false,
            compress_msg_body_over_howmuch_bytes: Some(4096),
            compress_level: 5,
            max_message_bytes: MAX_MESSAGE_BYTES,
            default_topic_queue_nums: 4,
            send_latency_fault_enable: false,
        }
    }
}

impl ProducerConfig {
    pub(super) fn check(&self) -> Result<(), ClientError> {
        if self.send_msg_timeout.is_zero() {
            return Err(ClientError::setting("send_msg_timeout", "0", "more than 0"));
        }
        if self.send_msg_max_timeout_per_request.is_some_and(|timeout| timeout.is_zero()) {
            return Err(ClientError::setting("send_msg_max_timeout_per_request", "0", "more than 0, or none"));
        }
        if self.compress_level > 9 {
            return Err(ClientError::setting("compress_level", self.compress_level, "from 0 to 9"));
        }
        if self.default_topic_queue_nums < 1 {
            return Err(ClientError::setting("default_topic_queue_nums", self.default_topic_queue_nums, "at least 1"));
        }
        Ok(())
    }
}

/// A producer without its connections, which are the instance's.
pub(crate) struct ProducerCore {
    group: String,
    config: ProducerConfig,
    compressor: Compressor,
    lifecycle: Lifecycle,
    /// `None` for a topic that is wanted, but has no route yet.
    topics: Lock<BTreeMap<String, Option<Arc<TopicPublishInfo>>>>,
    tolerance: Lock<LatencyFaultTolerance>,
    /// The tolerance counts time from here.
    created_at: Instant,
}

impl ProducerCore {
    pub(crate) fn new(group: String, config: ProducerConfig) -> Self {
        Self {
            group,
            compressor: Compressor::new(config.compress_level),
            config,
            lifecycle: Lifecycle::new(),
            topics: Lock::default(),
            tolerance: Lock::default(),
            created_at: Instant::now(),
        }
    }

    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    pub(crate) fn config(&self) -> &ProducerConfig {
        &self.config
    }

    pub(super) fn compressor(&self) -> &Compressor {
        &self.compressor
    }

    pub(super) fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    pub(crate) fn set_running(&self) {
        self.lifecycle.set(ServiceState::Running);
    }

    pub(super) fn service(&self) -> String {
        format!("producer of group \"{}\"", self.group)
    }

    pub(super) fn check_running(&self) -> Result<(), ClientError> {
        self.lifecycle.check_running(|| self.service())
    }

    /// The topics that it sends to.
    pub(crate) fn publish_topics(&self) -> Vec<String> {
        self.topics.lock().keys().cloned().collect()
    }

    /// A topic has another route.
    pub(crate) fn route_changed(&self, topic: &str, route: &TopicRouteData) {
        let mut topics = self.topics.lock();
        if let Some(info) = topics.get_mut(topic) {
            let turn = match info {
                Some(info) => info.turn(),
                // Producers that start together must not all begin with the same queue.
                None => sim::rng::u64("client: first queue") as usize,
            };
            let queues = TopicPublishInfo::queues_of(topic, route);
            *info = Some(Arc::new(TopicPublishInfo::new(queues, turn)));
        }
    }

    /// The queues of a topic; asks for its route if need be, and then for that of `TBW102`
    /// (`tryToFindTopicPublishInfo`).
    pub(super) async fn publish_info(
        &self,
        instance: &ClientInstance,
        topic: &str,
        timeout: Duration,
    ) -> Result<Arc<TopicPublishInfo>, ClientError> {
        if let Some(info) = self.known(topic) {
            return Ok(info);
        }
        self.topics.lock().entry(topic.to_owned()).or_insert(None);
        if let Some(route) = instance.route(topic) {
            self.route_changed(topic, &route);
        } else if !instance.update_topic_route(topic, timeout).await? {
            instance.assume_default_route(topic, self.config.default_topic_queue_nums, timeout).await?;
        }
        if self.known(topic).is_none() && instance.route(topic).is_some() {
            // All its queues are read-only, or have lost their masters: that may be over by now.
            instance.refresh_route(topic).await;
        }
        // Another producer of the instance may have brought the route, which then is no news.
        if self.known(topic).is_none()
            && let Some(route) = instance.route(topic)
        {
            self.route_changed(topic, &route);
        }
        if let Some(info) = self.known(topic) {
            return Ok(info);
        }
        match instance.route(topic) {
            Some(_) => Err(ClientError::NoQueue { topic: topic.to_owned(), purpose: "send to" }),
            None => {
                // A topic that does not exist is not asked for every 30 s for ever.
                self.topics.lock().remove(topic);
                Err(ClientError::NoRoute { topic: topic.to_owned() })
            }
        }
    }

    fn known(&self, topic: &str) -> Option<Arc<TopicPublishInfo>> {
        self.topics.lock().get(topic)?.clone().filter(|info| !info.queues().is_empty())
    }

    /// See `Producer::fetch_publish_message_queues`; never assumes a topic that does not exist.
    pub(super) async fn fetch_publish_queues(
        &self,
        instance: &ClientInstance,
        topic: &str,
    ) -> Result<Vec<MessageQueue>, ClientError> {
        if !instance.update_topic_route(topic, instance.config().mq_client_api_timeout).await? {
            return Err(ClientError::NoRoute { topic: topic.to_owned() });
        }
        let route = instance.route(topic).ok_or_else(|| ClientError::NoRoute { topic: topic.to_owned() })?;
        Ok(TopicPublishInfo::queues_of(topic, &route))
    }

    /// Lets the user choose a queue for a message.
    pub(super) async fn select_queue<F>(
        &self,
        instance: &ClientInstance,
        message: &Message,
        select: F,
        timeout: Duration,
    ) -> Result<MessageQueue, ClientError>
    where
        F: FnOnce(&[MessageQueue], &Message) -> Option<MessageQueue> + Send,
    {
        self.check_running()?;
        let info = self.publish_info(instance, &message.topic, timeout).await?;
        let no_queue = || ClientError::NoQueue { topic: message.topic.clone(), purpose: "send to: none was selected" };
        select(info.queues(), message).ok_or_else(no_queue)
    }

    /// The next queue (`MQFaultStrategy.selectOneMessageQueue`).
    pub(super) fn next_queue(&self, info: &TopicPublishInfo, last_broker: Option<&str>) -> Option<MessageQueue> {
        if self.config.send_latency_fault_enable {
            info.select_tolerant(&mut self.tolerance.lock(), last_broker, self.now_ms())
        } else {
            info.select_one(last_broker).cloned()
        }
    }

    /// Notes how a send went (`updateFaultItem`).
    pub(super) fn update_fault_item(&self, broker_name: &str, latency: Duration, failed: bool) {
        if self.config.send_latency_fault_enable {
            let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
            self.tolerance.lock().update(broker_name, latency_ms, failed, self.now_ms());
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.created_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

//! The pull consumer (`DefaultMQPullConsumer`): its user says which queue, from where, and when.
//!
//! It is a member of its group as far as brokers are concerned, but shares no queues out and calls nobody. Offsets that it
//! is given with [`PullConsumer::update_consume_offset`] are stored every few seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::QueueOffset;
use protocol::body::{
    ConsumeFromWhere, ConsumeType, ConsumerData, ConsumerRunningInfo, MessageModel, MessageQueue, SUB_ALL,
    SubscriptionData,
};

use super::offset_store::OffsetStore;
pub use super::puller::PullResult;
use super::puller::{Answer, PullFailure, PullRequest, Puller};
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::instance::ClientInstance;
use crate::instance::factory::ClientFactory;
use crate::instance::members::ConsumerInner;
use crate::lock::Lock;
use crate::state::{Lifecycle, ServiceState};
use crate::validators;

/// How a pull consumer pulls (`DefaultMQPullConsumer`, with its defaults).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullConfig {
    /// How long a pull may take that does not wait for messages. 10 s.
    pub consumer_pull_timeout: Duration,
    /// How long the broker may hold a pull that waits for messages. 20 s.
    pub broker_suspend_max: Duration,
    /// How long such a pull may take in all. 30 s.
    pub consumer_timeout_when_suspend: Duration,
    /// Whether offsets are kept at the brokers or in a file.
    pub message_model: MessageModel,
}

impl Default for PullConfig {
    fn default() -> Self {
        Self {
            consumer_pull_timeout: Duration::from_secs(10),
            broker_suspend_max: Duration::from_secs(20),
            consumer_timeout_when_suspend: Duration::from_secs(30),
            message_model: MessageModel::Clustering,
        }
    }
}

/// Collects what a pull consumer is to be.
#[derive(Clone)]
pub struct PullConsumerBuilder {
    group: String,
    client: ClientConfig,
    pull: PullConfig,
    factory: Option<ClientFactory>,
}

impl PullConsumerBuilder {
    /// The cluster and the client itself.
    #[must_use]
    pub fn client_config(mut self, config: ClientConfig) -> Self {
        self.client = config;
        self
    }

    /// How it pulls.
    #[must_use]
    pub fn config(mut self, config: PullConfig) -> Self {
        self.pull = config;
        self
    }

    /// Where it finds others to share an instance with.
    #[must_use]
    pub fn client_factory(mut self, factory: &ClientFactory) -> Self {
        self.factory = Some(factory.clone());
        self
    }

    /// The consumer, not yet started (CREATE_JUST).
    ///
    /// # Errors
    /// The group's name or a setting is refused.
    pub fn build(self) -> Result<PullConsumer, ClientError> {
        validators::check_consumer_group(&self.group)?;
        self.client.check()?;
        if self.pull.consumer_timeout_when_suspend <= self.pull.broker_suspend_max {
            let value = format!("{} ms", self.pull.consumer_timeout_when_suspend.as_millis());
            return Err(ClientError::setting("consumer_timeout_when_suspend", value, "more than broker_suspend_max"));
        }
        let mut client = self.client;
        let clustering = self.pull.message_model == MessageModel::Clustering;
        if clustering {
            client.change_instance_name_to_pid();
        }
        let instance = self.factory.unwrap_or_default().get_or_create(&client);
        let offsets = match clustering {
            true => OffsetStore::remote(Arc::clone(&instance), &self.group),
            false => OffsetStore::local(&instance, &self.group),
        };
        let puller = Puller::new(Arc::clone(&instance), &self.group);
        let core = PullCore {
            group: self.group,
            config: self.pull,
            instance,
            lifecycle: Lifecycle::new(),
            topics: Lock::default(),
            queues: Lock::default(),
            offsets,
            puller,
        };
        Ok(PullConsumer { core: Arc::new(core) })
    }

    /// The consumer, running.
    ///
    /// # Errors
    /// As [`PullConsumerBuilder::build`] and [`PullConsumer::start`].
    pub async fn start(self) -> Result<PullConsumer, ClientError> {
        let consumer = self.build()?;
        consumer.start().await?;
        Ok(consumer)
    }
}

struct PullCore {
    group: String,
    config: PullConfig,
    instance: Arc<ClientInstance>,
    lifecycle: Lifecycle,
    /// What was pulled from, which brokers are told.
    topics: Lock<BTreeSet<String>>,
    /// Whose offsets are to be stored.
    queues: Lock<BTreeSet<MessageQueue>>,
    offsets: OffsetStore,
    puller: Puller,
}

/// Pulls messages. Clones are the same consumer.
#[derive(Clone)]
pub struct PullConsumer {
    core: Arc<PullCore>,
}

impl PullConsumer {
    /// Begins a consumer of this group.
    pub fn builder(group: impl Into<String>) -> PullConsumerBuilder {
        PullConsumerBuilder {
            group: group.into(),
            client: ClientConfig::default(),
            pull: PullConfig::default(),
            factory: None,
        }
    }

    /// Starts it: from CREATE_JUST to RUNNING, or to START_FAILED.
    ///
    /// # Errors
    /// It was started before, the instance has a consumer of this group already, or the offsets of a broadcasting
    /// consumer cannot be read.
    pub async fn start(&self) -> Result<(), ClientError> {
        let core = &self.core;
        core.lifecycle.check_new(|| core.service())?;
        let registered = match core.offsets.load().await {
            Ok(()) => {
                let consumer = Arc::downgrade(core);
                let consumer: std::sync::Weak<dyn ConsumerInner> = consumer;
                core.instance.register_consumer(&core.group, consumer)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = registered {
            core.lifecycle.set(ServiceState::StartFailed);
            return Err(error);
        }
        core.instance.start();
        core.lifecycle.set(ServiceState::Running);
        Ok(())
    }

    /// Stores the offsets and leaves the group.
    pub async fn shutdown(&self) {
        if self.core.lifecycle.shut_down() {
            self.core.persist().await;
            self.core.instance.unregister_consumer(&self.core.group).await;
        }
    }

    /// The state of its life.
    #[must_use]
    pub fn state(&self) -> ServiceState {
        self.core.lifecycle.get()
    }

    /// The client id, `ip@instance[@unit]`.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.core.instance.client_id()
    }

    /// The queues of a topic that can be read, sorted.
    ///
    /// # Errors
    /// The consumer is not running, or the topic has no route.
    pub async fn fetch_subscribe_message_queues(&self, topic: &str) -> Result<Vec<MessageQueue>, ClientError> {
        let instance = &self.core.running()?.instance;
        instance.update_topic_route(topic, instance.config().mq_client_api_timeout).await?;
        match instance.subscribe_queues(topic) {
            Some(queues) => Ok(queues.to_vec()),
            None => Err(ClientError::NoRoute { topic: topic.to_owned() }),
        }
    }

    /// Pulls at most `max_nums` messages from `offset` on; an answer comes at once, whether there are any or not.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pull(
        &self,
        queue: &MessageQueue,
        expression: &str,
        offset: QueueOffset,
        max_nums: i32,
    ) -> Result<PullResult, ClientError> {
        self.core.pull(queue, expression, offset, max_nums, None, self.core.config.consumer_pull_timeout).await
    }

    /// As [`PullConsumer::pull`], but if there are none the broker waits for some, for
    /// [`PullConfig::broker_suspend_max`].
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pull_block_if_not_found(
        &self,
        queue: &MessageQueue,
        expression: &str,
        offset: QueueOffset,
        max_nums: i32,
    ) -> Result<PullResult, ClientError> {
        let config = &self.core.config;
        let suspend = Some(config.broker_suspend_max);
        self.core.pull(queue, expression, offset, max_nums, suspend, config.consumer_timeout_when_suspend).await
    }

    /// Notes what is consumed: the next message to get. It is stored within a few seconds, and by `shutdown`.
    ///
    /// # Errors
    /// The consumer is not running.
    pub fn update_consume_offset(&self, queue: &MessageQueue, offset: QueueOffset) -> Result<(), ClientError> {
        let core = self.core.running()?;
        core.offsets.update(queue, offset, false);
        core.queues.lock().insert(queue.clone());
        Ok(())
    }

    /// What is consumed: as this consumer knows, or, with `from_store`, as is stored. `None` if nothing is.
    ///
    /// # Errors
    /// The consumer is not running, or the broker cannot be asked.
    pub async fn fetch_consume_offset(
        &self,
        queue: &MessageQueue,
        from_store: bool,
    ) -> Result<Option<QueueOffset>, ClientError> {
        let core = self.core.running()?;
        match core.offsets.read_memory(queue) {
            Some(offset) if !from_store => Ok(Some(offset)),
            _ => Ok(core.offsets.read_store(queue).await?.offset),
        }
    }

    /// Stores the noted offsets now.
    pub async fn persist_consume_offsets(&self) {
        self.core.persist().await;
    }

    /// The first message stored at or after a time, wall clock in ms.
    ///
    /// # Errors
    /// The consumer is not running, or the broker cannot be asked.
    pub async fn search_offset(&self, queue: &MessageQueue, timestamp_ms: i64) -> Result<QueueOffset, ClientError> {
        let instance = &self.core.running()?.instance;
        let ask = |addr: String| async move { instance.api().search_offset(&addr, queue, timestamp_ms).await }.boxed();
        Ok(instance.ask_replicas(queue, ask).await?.0)
    }

    /// One past the queue's last message.
    ///
    /// # Errors
    /// As [`PullConsumer::search_offset`].
    pub async fn max_offset(&self, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        let instance = &self.core.running()?.instance;
        let ask = |addr: String| async move { instance.api().max_offset(&addr, queue).await }.boxed();
        Ok(instance.ask_replicas(queue, ask).await?.0)
    }

    /// The queue's first message.
    ///
    /// # Errors
    /// As [`PullConsumer::search_offset`].
    pub async fn min_offset(&self, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        let instance = &self.core.running()?.instance;
        let ask = |addr: String| async move { instance.api().min_offset(&addr, queue).await }.boxed();
        Ok(instance.ask_replicas(queue, ask).await?.0)
    }
}

impl PullCore {
    fn service(&self) -> String {
        format!("pull consumer of group \"{}\"", self.group)
    }

    fn running(&self) -> Result<&Self, ClientError> {
        self.lifecycle.check_running(|| self.service()).map(|()| self)
    }

    async fn pull(
        &self,
        queue: &MessageQueue,
        expression: &str,
        offset: QueueOffset,
        max_nums: i32,
        suspend: Option<Duration>,
        timeout: Duration,
    ) -> Result<PullResult, ClientError> {
        self.running()?;
        if max_nums < 1 {
            return Err(ClientError::setting("max_nums", max_nums, "at least 1"));
        }
        if !self.topics.lock().contains(&queue.topic) {
            self.topics.lock().insert(queue.topic.clone());
        }
        // The expression travels with each pull, so its version does not matter to the broker.
        let subscription = SubscriptionData::by_tags(queue.topic.as_str(), expression, 0);
        let request = PullRequest {
            queue,
            subscription: &subscription,
            with_expression: true,
            offset,
            max_nums,
            commit_offset: None,
            suspend,
            timeout,
        };
        match self.puller.pull(&request).await {
            Ok(Answer { result, .. }) => Ok(result),
            Err(PullFailure { error, .. }) => {
                if let ClientError::Remoting(_) = error {
                    self.instance.refresh_route_later(&queue.topic);
                }
                Err(error)
            }
        }
    }

    async fn persist(&self) {
        let queues: Vec<_> = self.queues.lock().iter().cloned().collect();
        self.offsets.persist_all(&queues).await;
    }

    fn subscription_set(&self) -> Vec<SubscriptionData> {
        let topics = self.topics.lock();
        topics.iter().map(|topic| SubscriptionData::by_tags(topic.as_str(), SUB_ALL, 0)).collect()
    }
}

impl ConsumerInner for PullCore {
    fn consumer_data(&self) -> ConsumerData {
        ConsumerData {
            consume_from_where: ConsumeFromWhere::LastOffset,
            consume_type: ConsumeType::Actively,
            group_name: self.group.clone(),
            message_model: self.config.message_model,
            subscription_data_set: self.subscription_set(),
            unit_mode: false,
        }
    }

    fn subscribed_topics(&self) -> Vec<String> {
        self.topics.lock().iter().cloned().collect()
    }

    fn rebalance(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn persist_offsets(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.persist().await })
    }

    fn running_info(&self) -> ConsumerRunningInfo {
        ConsumerRunningInfo { subscription_set: self.subscription_set(), ..ConsumerRunningInfo::default() }
    }

    fn reset_offsets(self: Arc<Self>, offsets: BTreeMap<MessageQueue, QueueOffset>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            for (queue, offset) in offsets {
                self.offsets.update(&queue, offset, false);
                self.queues.lock().insert(queue);
            }
            self.persist().await;
        })
    }

    fn consumer_status(&self, topic: &str) -> BTreeMap<MessageQueue, QueueOffset> {
        self.offsets.clone_table(topic)
    }
}

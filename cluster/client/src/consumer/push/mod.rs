//! The push consumer (`DefaultMQPushConsumer`): shares the queues of its topics with the other members of its group, pulls
//! from its own, and gives each message to a listener.
//!
//! | room | is |
//! |---|---|
//! | [`config`] | settings |
//! | [`core`](self::core) | what the tasks of one consumer share |
//! | [`assigned`] | one queue that is ours at present |
//! | [`rebalance`] | which queues are ours, and where to begin |
//! | [`pulling`] | the loop that pulls from one queue |
//! | [`consuming`] | the listener's calls, and what follows from their result |
//! | [`inner`] | what the instance, and through it `mqadmin`, asks |
//!
//! A message is given to listeners at least once; a member that dies, or loses a queue, leaves messages to be given again.

mod assigned;
mod config;
mod consuming;
mod core;
mod inner;
mod pulling;
mod rebalance;

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use protocol::body::MessageQueue;
use protocol::message::MessageExt;

pub use self::config::PushConfig;
use self::core::PushCore;
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::instance::factory::ClientFactory;
use crate::state::ServiceState;
use crate::validators;

/// What a listener makes of messages (`ConsumeConcurrentlyStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConsumeStatus {
    /// Done with them.
    ConsumeSuccess,
    /// Give them again later: to some member of the group, after a while that grows from one attempt to the next. When
    /// broadcasting they are not given again.
    ReconsumeLater,
}

/// What a listener is told besides the messages (`ConsumeConcurrentlyContext`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumeContext {
    /// The queue that they come from; of a retried message the retry topic's.
    pub message_queue: Arc<MessageQueue>,
}

/// The listener as it is kept.
type Listener = Box<dyn Fn(Vec<Arc<MessageExt>>, ConsumeContext) -> BoxFuture<'static, ConsumeStatus> + Send + Sync>;

/// Collects what a push consumer is to be.
pub struct PushConsumerBuilder {
    group: String,
    client: ClientConfig,
    push: PushConfig,
    factory: Option<ClientFactory>,
    subscriptions: Vec<(String, String)>,
    listener: Option<Listener>,
}

impl PushConsumerBuilder {
    /// The cluster and the client itself.
    #[must_use]
    pub fn client_config(mut self, config: ClientConfig) -> Self {
        self.client = config;
        self
    }

    /// How it consumes.
    #[must_use]
    pub fn config(mut self, config: PushConfig) -> Self {
        self.push = config;
        self
    }

    /// Where it finds others to share an instance with.
    #[must_use]
    pub fn client_factory(mut self, factory: &ClientFactory) -> Self {
        self.factory = Some(factory.clone());
        self
    }

    /// Subscribes to the messages of a topic whose tag the expression names: `tagA || tagB`, or `*` for all. Every member
    /// of a group must subscribe alike.
    #[must_use]
    pub fn subscribe(mut self, topic: impl Into<String>, expression: impl Into<String>) -> Self {
        self.subscriptions.push((topic.into(), expression.into()));
        self
    }

    /// Calls `listener` for every message (or as many at a time as [`PushConfig::consume_message_batch_max_size`] says).
    ///
    /// A listener should not block: what blocks belongs on [`sim::task::blocking`].
    #[must_use]
    pub fn listener<F, Fut>(self, listener: F) -> Self
    where
        F: Fn(Vec<Arc<MessageExt>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ConsumeStatus> + Send + 'static,
    {
        self.listener_with_context(move |messages, _| listener(messages))
    }

    /// As [`PushConsumerBuilder::listener`], telling also which queue the messages come from.
    #[must_use]
    pub fn listener_with_context<F, Fut>(mut self, listener: F) -> Self
    where
        F: Fn(Vec<Arc<MessageExt>>, ConsumeContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ConsumeStatus> + Send + 'static,
    {
        self.listener = Some(Box::new(move |messages, context| Box::pin(listener(messages, context))));
        self
    }

    /// The consumer, not yet started (CREATE_JUST).
    ///
    /// # Errors
    /// The group's name, a subscription or a setting is refused, or there is no listener.
    pub fn build(self) -> Result<PushConsumer, ClientError> {
        validators::check_consumer_group(&self.group)?;
        self.client.check()?;
        self.push.check()?;
        let listener = self.listener.ok_or_else(|| ClientError::setting("listener", "none", "a function"))?;
        let mut client = self.client;
        if self.push.is_clustering() {
            client.change_instance_name_to_pid();
        }
        let instance = self.factory.unwrap_or_default().get_or_create(&client);
        let core = PushCore::new(self.group, self.push, instance, listener);
        for (topic, expression) in &self.subscriptions {
            core.add_subscription(topic, expression)?;
        }
        Ok(PushConsumer { core })
    }

    /// The consumer, running.
    ///
    /// # Errors
    /// As [`PushConsumerBuilder::build`] and [`PushConsumer::start`].
    pub async fn start(self) -> Result<PushConsumer, ClientError> {
        let consumer = self.build()?;
        consumer.start().await?;
        Ok(consumer)
    }
}

/// Gets messages as they come. When it is dropped without [`PushConsumer::shutdown`] it stops, without storing offsets.
///
/// ```no_run
/// use client::{ClientConfig, ConsumeStatus, PushConsumer};
///
/// # async fn example() -> Result<(), client::ClientError> {
/// let consumer = PushConsumer::builder("billing")
///     .client_config(ClientConfig::new(["10.0.0.1:9876"]))
///     .subscribe("TopicA", "tagA || tagB")
///     .listener(|messages| async move {
///         for message in &messages {
///             println!("{} {:?}", message.msg_id, message.body);
///         }
///         ConsumeStatus::ConsumeSuccess
///     })
///     .start()
///     .await?;
/// consumer.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct PushConsumer {
    core: Arc<PushCore>,
}

impl PushConsumer {
    /// Begins a consumer of this group.
    pub fn builder(group: impl Into<String>) -> PushConsumerBuilder {
        PushConsumerBuilder {
            group: group.into(),
            client: ClientConfig::default(),
            push: PushConfig::default(),
            factory: None,
            subscriptions: Vec::new(),
            listener: None,
        }
    }

    /// Starts it: from CREATE_JUST to RUNNING, or to START_FAILED. No name server or broker need be there yet.
    ///
    /// # Errors
    /// It was started before, the instance has a consumer of this group already, or the offsets of a broadcasting
    /// consumer cannot be read.
    pub async fn start(&self) -> Result<(), ClientError> {
        self.core.start().await
    }

    /// Stops pulling, stores what is consumed, and leaves the group. What the listener is busy with is not waited for:
    /// it will be given again.
    pub async fn shutdown(&self) {
        self.core.shutdown().await;
    }

    /// Subscribes to another topic, or to other tags of one.
    ///
    /// # Errors
    /// The topic's name or the expression is refused.
    pub async fn subscribe(&self, topic: &str, expression: &str) -> Result<(), ClientError> {
        self.core.add_subscription(topic, expression)?;
        self.core.subscriptions_changed().await;
        Ok(())
    }

    /// Wants no more messages of a topic.
    pub async fn unsubscribe(&self, topic: &str) {
        self.core.remove_subscription(topic);
        self.core.subscriptions_changed().await;
    }

    /// Pulls no more until [`PushConsumer::resume`]. What is pulled already is still consumed.
    pub fn suspend(&self) {
        self.core.set_paused(true);
    }

    /// Pulls again.
    pub fn resume(&self) {
        self.core.set_paused(false);
    }

    /// The queues that are this consumer's at present.
    #[must_use]
    pub fn assigned_queues(&self) -> Vec<MessageQueue> {
        self.core.assigned_queues()
    }

    /// The state of its life.
    #[must_use]
    pub fn state(&self) -> ServiceState {
        self.core.state()
    }

    /// The client id, `ip@instance[@unit]`.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.core.client_id()
    }
}

impl Drop for PushConsumer {
    fn drop(&mut self) {
        self.core.abandon();
    }
}

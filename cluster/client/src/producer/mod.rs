//! The producer (`DefaultMQProducer`): sends messages to a topic's queues.
//!
//! | room | is |
//! |---|---|
//! | [`core`](self::core) | a producer's settings and what it knows of its topics |
//! | [`publish_info`] | the queues of a topic, and which is next |
//! | [`latency`] | which brokers to leave alone for a while |
//! | [`send`] | one message to one queue, with retries on others |
//! | [`batch`] | several messages in one request |
//! | [`compression`] | zlib for large bodies |
//!
//! Left out on purpose: transactions, request-reply, traces, recall.

mod batch;
mod compression;
mod core;
pub mod latency;
pub mod publish_info;
mod send;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use protocol::QueueOffset;
use protocol::SendStatus;
use protocol::body::MessageQueue;

pub use self::core::ProducerConfig;
pub(crate) use self::core::ProducerCore;

pub(crate) use self::send::{Mode, Target};
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::instance::ClientInstance;
use crate::instance::factory::ClientFactory;
use crate::message::Message;
use crate::state::ServiceState;
use crate::validators;

/// What became of a message that was sent (`SendResult`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendResult {
    /// What the broker promises: only [`SendStatus::SendOk`] is all that its mode asks for.
    pub send_status: SendStatus,
    /// The message's unique key, its id for users; of a batch all of them, joined by commas.
    pub msg_id: String,
    /// Where it is stored: see [`protocol::message_id`]; of a batch all of them, joined by commas.
    pub offset_msg_id: String,
    /// The queue that it went to.
    pub message_queue: MessageQueue,
    /// Its place there; of a batch the first one's.
    pub queue_offset: QueueOffset,
}

/// Collects what a producer is to be.
#[derive(Clone)]
pub struct ProducerBuilder {
    group: String,
    client: ClientConfig,
    producer: ProducerConfig,
    factory: Option<ClientFactory>,
}

impl ProducerBuilder {
    /// The cluster and the client itself.
    #[must_use]
    pub fn client_config(mut self, config: ClientConfig) -> Self {
        self.client = config;
        self
    }

    /// How it sends.
    #[must_use]
    pub fn config(mut self, config: ProducerConfig) -> Self {
        self.producer = config;
        self
    }

    /// Where it finds others to share an instance with.
    #[must_use]
    pub fn client_factory(mut self, factory: &ClientFactory) -> Self {
        self.factory = Some(factory.clone());
        self
    }

    /// The producer, not yet started (CREATE_JUST).
    ///
    /// # Errors
    /// The group's name or a setting is refused.
    pub fn build(self) -> Result<Producer, ClientError> {
        validators::check_producer_group(&self.group)?;
        self.client.check()?;
        self.producer.check()?;
        let mut client = self.client;
        client.change_instance_name_to_pid();
        let instance = self.factory.unwrap_or_default().get_or_create(&client);
        let core = Arc::new(ProducerCore::new(self.group, self.producer));
        Ok(Producer { shared: Arc::new(Shared { core, instance }) })
    }

    /// The producer, running.
    ///
    /// # Errors
    /// As [`ProducerBuilder::build`] and [`Producer::start`].
    pub async fn start(self) -> Result<Producer, ClientError> {
        let producer = self.build()?;
        producer.start().await?;
        Ok(producer)
    }
}

/// Sends messages. Clones are the same producer; it may be used from many tasks at a time.
///
/// ```no_run
/// use client::{ClientConfig, Message, Producer};
///
/// # async fn example() -> Result<(), client::ClientError> {
/// let producer = Producer::builder("orders").client_config(ClientConfig::new(["10.0.0.1:9876"])).start().await?;
/// let sent = producer.send(Message::new("TopicA", "hello")).await?;
/// println!("{} went to {}", sent.msg_id, sent.message_queue);
/// producer.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<ProducerCore>,
    instance: Arc<ClientInstance>,
}

impl Producer {
    /// Begins a producer of this group.
    pub fn builder(group: impl Into<String>) -> ProducerBuilder {
        ProducerBuilder {
            group: group.into(),
            client: ClientConfig::default(),
            producer: ProducerConfig::default(),
            factory: None,
        }
    }

    /// Starts it: from CREATE_JUST to RUNNING, or to START_FAILED. No name server or broker need be there yet.
    ///
    /// # Errors
    /// It was started before, or the instance has a producer of this group already.
    #[allow(clippy::unused_async, reason = "starting may come to ask a server, and callers must not notice")]
    pub async fn start(&self) -> Result<(), ClientError> {
        let Shared { core, instance } = &*self.shared;
        core.lifecycle().check_new(|| core.service())?;
        if let Err(error) = instance.register_producer(core) {
            core.lifecycle().set(ServiceState::StartFailed);
            return Err(error);
        }
        instance.start();
        core.set_running();
        Ok(())
    }

    /// Leaves the group and stops. What is being sent meanwhile may fail.
    pub async fn shutdown(&self) {
        let Shared { core, instance } = &*self.shared;
        if core.lifecycle().shut_down() {
            instance.unregister_producer(core.group()).await;
        }
    }

    /// The state of its life.
    #[must_use]
    pub fn state(&self) -> ServiceState {
        self.shared.core.lifecycle().get()
    }

    /// The producer group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.shared.core.group()
    }

    /// The client id, `ip@instance[@unit]`.
    #[must_use]
    pub fn client_id(&self) -> &str {
        self.shared.instance.client_id()
    }

    /// The queues of a topic that can be written (`fetchPublishMessageQueues`).
    ///
    /// # Errors
    /// The producer is not running, or the topic has no route.
    pub async fn fetch_publish_message_queues(&self, topic: &str) -> Result<Vec<MessageQueue>, ClientError> {
        let Shared { core, instance } = &*self.shared;
        core.check_running()?;
        core.fetch_publish_queues(instance, topic).await
    }

    /// Sends to the next queue, and to one of another broker if that fails, within [`ProducerConfig::send_msg_timeout`]
    /// for all attempts together.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::outcome`] says whether the message may have been stored.
    pub async fn send(&self, message: Message) -> Result<SendResult, ClientError> {
        self.send_within(message, self.shared.core.config().send_msg_timeout).await
    }

    /// As [`Producer::send`], with another time for all attempts together.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn send_within(&self, message: Message, timeout: Duration) -> Result<SendResult, ClientError> {
        let Shared { core, instance } = &*self.shared;
        core.send(instance, message, Target::Any, Mode::Sync, timeout).await
    }

    /// Sends to this queue, in one attempt.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn send_to_queue(&self, message: Message, queue: &MessageQueue) -> Result<SendResult, ClientError> {
        let Shared { core, instance } = &*self.shared;
        let timeout = core.config().send_msg_timeout;
        core.send(instance, message, Target::Queue(queue.clone()), Mode::Sync, timeout).await
    }

    /// Sends to the queue that `select` chooses among the topic's, in one attempt. Messages with the same choice keep
    /// their order as long as the route does not change.
    ///
    /// # Errors
    /// As [`Producer::send`]; [`ClientError::NoQueue`] when `select` chooses none.
    pub async fn send_with_selector<F>(&self, message: Message, select: F) -> Result<SendResult, ClientError>
    where
        F: FnOnce(&[MessageQueue], &Message) -> Option<MessageQueue> + Send,
    {
        let Shared { core, instance } = &*self.shared;
        let timeout = core.config().send_msg_timeout;
        let queue = core.select_queue(instance, &message, select, timeout).await?;
        core.send(instance, message, Target::Queue(queue), Mode::Sync, timeout).await
    }

    /// Sends to the next queue and waits for no answer: success means that the message was handed to the connection.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn send_oneway(&self, message: Message) -> Result<(), ClientError> {
        let Shared { core, instance } = &*self.shared;
        core.send_oneway(instance, message, Target::Any).await
    }

    /// As [`Producer::send_oneway`], to this queue.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub async fn send_oneway_to_queue(&self, message: Message, queue: &MessageQueue) -> Result<(), ClientError> {
        let Shared { core, instance } = &*self.shared;
        core.send_oneway(instance, message, Target::Queue(queue.clone())).await
    }

    /// Sends at once in a task of its own; the future tells the result, and may be dropped.
    pub fn send_async(
        &self,
        message: Message,
    ) -> impl Future<Output = Result<SendResult, ClientError>> + Send + 'static + use<> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.send_with_callback(message, move |result| {
            // An error means that the caller does not want to know.
            drop(sender.send(result));
        });
        let group = self.group().to_owned();
        async move {
            receiver.await.unwrap_or_else(|_| {
                let service = format!("producer of group \"{group}\"");
                Err(ClientError::NotRunning { service, state: ServiceState::ShutdownAlready })
            })
        }
    }

    /// Sends at once in a task of its own, which calls `callback` with the result.
    pub fn send_with_callback(
        &self,
        message: Message,
        callback: impl FnOnce(Result<SendResult, ClientError>) + Send + 'static,
    ) {
        let producer = self.clone();
        sim::task::spawn(async move {
            let Shared { core, instance } = &*producer.shared;
            let timeout = core.config().send_msg_timeout;
            callback(core.send(instance, message, Target::Any, Mode::Async, timeout).await);
        });
    }

    /// Sends several messages of one topic in one request: all are stored, one behind the other in one queue, or none.
    ///
    /// # Errors
    /// As [`Producer::send`]; [`ClientError::Message`] when the messages cannot go together.
    pub async fn send_batch(&self, messages: Vec<Message>) -> Result<SendResult, ClientError> {
        let Shared { core, instance } = &*self.shared;
        core.send_batch(instance, messages, Target::Any).await
    }

    /// As [`Producer::send_batch`], to this queue.
    ///
    /// # Errors
    /// As [`Producer::send_batch`].
    pub async fn send_batch_to_queue(
        &self,
        messages: Vec<Message>,
        queue: &MessageQueue,
    ) -> Result<SendResult, ClientError> {
        let Shared { core, instance } = &*self.shared;
        core.send_batch(instance, messages, Target::Queue(queue.clone())).await
    }
}

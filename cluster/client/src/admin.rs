//! The few administrative questions that clients ask themselves (`MQAdminImpl`); `mqadmin` asks many more.

use std::sync::Arc;

use protocol::body::{ClusterInfo, MessageQueue, SubscriptionGroupConfig, TopicConfig, TopicRouteData};
use protocol::message::MessageExt;
use protocol::message_id::decode_offset_message_id;
use protocol::topic::{AUTO_CREATE_TOPIC_KEY, validate_topic};
use protocol::{BrokerId, QueueOffset};

use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::instance::ClientInstance;
use crate::instance::factory::ClientFactory;
use crate::lock::Lock;

/// Asks name servers and brokers. It belongs to no group.
pub struct Admin {
    instance: Arc<ClientInstance>,
    running: Lock<bool>,
}

impl Admin {
    /// An admin client with an instance of its own.
    ///
    /// # Errors
    /// A setting is refused.
    pub fn start(config: ClientConfig) -> Result<Self, ClientError> {
        Self::start_with(config, &ClientFactory::new())
    }

    /// An admin client that shares an instance with others of the factory, if they have the same client id.
    ///
    /// # Errors
    /// A setting is refused.
    pub fn start_with(mut config: ClientConfig, factory: &ClientFactory) -> Result<Self, ClientError> {
        config.check()?;
        config.change_instance_name_to_pid();
        let instance = factory.get_or_create(&config);
        instance.register_admin();
        instance.start();
        Ok(Self { instance, running: Lock::new(true) })
    }

    /// Closes its connections, unless others share them.
    pub fn shutdown(&self) {
        if std::mem::replace(&mut *self.running.lock(), false) {
            self.instance.unregister_admin();
        }
    }

    /// Creates a topic on the broker at `broker_addr`, or changes it there.
    ///
    /// # Errors
    /// The name is refused, or the broker does.
    pub async fn create_topic(&self, broker_addr: &str, config: &TopicConfig) -> Result<(), ClientError> {
        validate_topic(&config.topic_name)?;
        self.instance.api().create_topic(broker_addr, AUTO_CREATE_TOPIC_KEY, config).await
    }

    /// Creates a consumer group on the broker at `broker_addr`, or changes it there.
    ///
    /// # Errors
    /// The broker refuses.
    pub async fn create_subscription_group(
        &self,
        broker_addr: &str,
        config: &SubscriptionGroupConfig,
    ) -> Result<(), ClientError> {
        self.instance.api().create_subscription_group(broker_addr, config).await
    }

    /// The route of a topic, as a name server knows it now.
    ///
    /// # Errors
    /// [`ClientError::NoRoute`] if it knows none; others if it cannot be asked.
    pub async fn examine_topic_route(&self, topic: &str) -> Result<TopicRouteData, ClientError> {
        let route = self.instance.api().topic_route(topic, self.instance.config().mq_client_api_timeout).await?;
        route.ok_or_else(|| ClientError::NoRoute { topic: topic.to_owned() })
    }

    /// The brokers that a name server knows.
    ///
    /// # Errors
    /// No name server can be asked.
    pub async fn examine_cluster_info(&self) -> Result<ClusterInfo, ClientError> {
        self.instance.api().cluster_info().await
    }

    /// The first message of a queue stored at or after a time, wall clock in ms.
    ///
    /// # Errors
    /// The broker is not known or cannot be asked.
    pub async fn search_offset(&self, queue: &MessageQueue, timestamp_ms: i64) -> Result<QueueOffset, ClientError> {
        self.instance.api().search_offset(&self.master(queue).await?, queue, timestamp_ms).await
    }

    /// One past the last message of a queue.
    ///
    /// # Errors
    /// As [`Admin::search_offset`].
    pub async fn max_offset(&self, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        self.instance.api().max_offset(&self.master(queue).await?, queue).await
    }

    /// The first message of a queue.
    ///
    /// # Errors
    /// As [`Admin::search_offset`].
    pub async fn min_offset(&self, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        self.instance.api().min_offset(&self.master(queue).await?, queue).await
    }

    /// What a group has consumed of a queue, as its broker has stored it; `None` if nothing.
    ///
    /// # Errors
    /// As [`Admin::search_offset`].
    pub async fn consumer_offset(&self, group: &str, queue: &MessageQueue) -> Result<Option<QueueOffset>, ClientError> {
        self.instance.api().query_consumer_offset(&self.master(queue).await?, group, queue).await
    }

    /// The message that an offset message id names.
    ///
    /// # Errors
    /// The id is none, or the broker that it names cannot be asked, or does not have the message.
    pub async fn view_message(&self, offset_msg_id: &str) -> Result<MessageExt, ClientError> {
        let (broker, offset) = decode_offset_message_id(offset_msg_id)
            .map_err(|_| ClientError::setting("offset_msg_id", offset_msg_id, "32 or 56 hexadecimal digits"))?;
        self.instance.api().view_message(&broker.to_string(), offset).await
    }

    async fn master(&self, queue: &MessageQueue) -> Result<String, ClientError> {
        Ok(self.instance.subscribe_addr(queue, BrokerId::MASTER).await?.0)
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.shutdown();
    }
}

//! What clients and operators ask name servers and brokers, and tell them to do (`MQAdminImpl`, `DefaultMQAdminExtImpl`);
//! `mqadmin` asks many more.
//!
//! Questions about a queue go to its master, or to a slave while the master is away. Those that end in `_at` and `_from` go
//! to the broker that is named, so that replicas can be compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use protocol::body::{
    ClusterInfo, MessageQueue, ReplicaGroupView, SUB_ALL, SubscriptionData, SubscriptionGroupConfig, TopicConfig,
    TopicRouteData,
};
use protocol::message::MessageExt;
use protocol::message_id::decode_offset_message_id;
use protocol::topic::{AUTO_CREATE_TOPIC_KEY, validate_topic};
use protocol::{BrokerId, QueueOffset};

use crate::config::ClientConfig;
use crate::consumer::puller::{PullRequest, PullResult, Puller};
use crate::error::ClientError;
use crate::instance::ClientInstance;
use crate::instance::factory::ClientFactory;
use crate::lock::Lock;

/// The group in whose name operators pull (`MixAll.TOOLS_CONSUMER_GROUP`): brokers ask no subscription of it.
const TOOLS_CONSUMER_GROUP: &str = "TOOLS_CONSUMER";

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

    /// Creates a topic on every master of a cluster that the name server knows, or changes it there (`updateTopic -c`). Gives
    /// the masters' addresses; none if the cluster is not known. Those that come later do not have the topic.
    ///
    /// # Errors
    /// As [`Admin::create_topic`]: of the first master that fails; those before it have the topic then.
    pub async fn create_topic_in_cluster(
        &self,
        cluster_name: &str,
        config: &TopicConfig,
    ) -> Result<Vec<String>, ClientError> {
        let masters = self.master_addrs(cluster_name).await?;
        for addr in &masters {
            self.create_topic(addr, config).await?;
        }
        Ok(masters)
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

    /// The addresses of a cluster's masters, in the order of their names (`fetchMasterAddrByClusterName`).
    ///
    /// # Errors
    /// No name server can be asked.
    pub async fn master_addrs(&self, cluster_name: &str) -> Result<Vec<String>, ClientError> {
        let info = self.examine_cluster_info().await?;
        let names = info.cluster_addr_table.get(cluster_name).into_iter().flatten();
        let brokers = names.filter_map(|name| info.broker_addr_table.get(name));
        Ok(brokers.filter_map(|broker| broker.broker_addrs.get(&BrokerId::MASTER)).cloned().collect())
    }

    /// The address of one broker, by name and id; `None` if the name server does not know it.
    ///
    /// # Errors
    /// No name server can be asked.
    pub async fn broker_addr(&self, broker_name: &str, id: BrokerId) -> Result<Option<String>, ClientError> {
        let info = self.examine_cluster_info().await?;
        Ok(info.broker_addr_table.get(broker_name).and_then(|broker| broker.broker_addrs.get(&id)).cloned())
    }

    /// What a broker tells of itself: its version, its figures, its state.
    ///
    /// # Errors
    /// The broker cannot be asked.
    pub async fn broker_runtime_stats(&self, broker_addr: &str) -> Result<BTreeMap<String, String>, ClientError> {
        Ok(self.instance.api().broker_runtime_info(broker_addr).await?.table)
    }

    /// Takes the write permission from all topics of a broker name at every name server, so that producers leave it before
    /// it is stopped. Gives each name server's answer: of how many topics.
    ///
    /// It is gone again when the broker registers topics that have changed, or comes back after it was away: name servers keep
    /// it in memory only, and the broker does not know of it.
    pub async fn wipe_write_perm_of_broker(&self, broker_name: &str) -> Vec<(String, Result<usize, ClientError>)> {
        let name_servers = &self.instance.config().namesrv_addr;
        let api = self.instance.api();
        let asked = name_servers.iter().map(async |addr| (addr.clone(), api.wipe_write_perm(addr, broker_name).await));
        join_all(asked).await
    }

    /// Gives the write permission back, see [`Admin::wipe_write_perm_of_broker`].
    pub async fn add_write_perm_of_broker(&self, broker_name: &str) -> Vec<(String, Result<usize, ClientError>)> {
        let name_servers = &self.instance.config().namesrv_addr;
        let api = self.instance.api();
        let asked = name_servers.iter().map(async |addr| (addr.clone(), api.add_write_perm(addr, broker_name).await));
        join_all(asked).await
    }

    /// The replica group of a broker, as that sees it.
    ///
    /// # Errors
    /// The broker cannot be asked, or is Apache's.
    pub async fn replica_group(&self, broker_addr: &str) -> Result<ReplicaGroupView, ClientError> {
        self.instance.api().replica_group(broker_addr).await
    }

    /// Takes a slave that is gone for good out of the replica group of the master at `broker_addr`.
    ///
    /// # Errors
    /// The broker cannot be asked, is Apache's, or refuses: the slave is connected, or may have what the master lacks.
    pub async fn remove_replica(&self, broker_addr: &str, broker_id: BrokerId) -> Result<(), ClientError> {
        self.instance.api().remove_replica(broker_addr, broker_id).await
    }

    /// The first message of a queue stored at or after a time, wall clock in ms.
    ///
    /// # Errors
    /// The broker is not known, or neither it nor a slave of it can be asked.
    pub async fn search_offset(&self, queue: &MessageQueue, timestamp_ms: i64) -> Result<QueueOffset, ClientError> {
        let api = self.instance.api();
        let ask = |addr: String| async move { api.search_offset(&addr, queue, timestamp_ms).await }.boxed();
        Ok(self.instance.ask_replicas(queue, ask).await?.0)
    }

    /// One past the last message of a queue; of a slave if the master is away, which may not have all.
    ///
    /// # Errors
    /// As [`Admin::search_offset`].
    pub async fn max_offset(&self, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        let ask = |addr: String| async move { self.max_offset_at(&addr, queue).await }.boxed();
        Ok(self.instance.ask_replicas(queue, ask).await?.0)
    }

    /// The first message of a queue.
    ///
    /// # Errors
    /// As [`Admin::search_offset`].
    pub async fn min_offset(&self, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        let ask = |addr: String| async move { self.min_offset_at(&addr, queue).await }.boxed();
        Ok(self.instance.ask_replicas(queue, ask).await?.0)
    }

    /// What a group has consumed of a queue, as its broker has stored it; `None` if nothing.
    ///
    /// # Errors
    /// As [`Admin::search_offset`].
    pub async fn consumer_offset(&self, group: &str, queue: &MessageQueue) -> Result<Option<QueueOffset>, ClientError> {
        let ask = |addr: String| async move { self.consumer_offset_at(&addr, group, queue).await }.boxed();
        Ok(self.instance.ask_replicas(queue, ask).await?.0)
    }

    /// One past the last message of a queue on this broker, master or slave.
    ///
    /// # Errors
    /// The broker cannot be asked.
    pub async fn max_offset_at(&self, broker_addr: &str, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        self.instance.api().max_offset(broker_addr, queue).await
    }

    /// The first message of a queue on this broker, master or slave.
    ///
    /// # Errors
    /// The broker cannot be asked.
    pub async fn min_offset_at(&self, broker_addr: &str, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        self.instance.api().min_offset(broker_addr, queue).await
    }

    /// What a group has consumed of a queue, as this broker, master or slave, has stored it; `None` if nothing.
    ///
    /// # Errors
    /// The broker cannot be asked.
    pub async fn consumer_offset_at(
        &self,
        broker_addr: &str,
        group: &str,
        queue: &MessageQueue,
    ) -> Result<Option<QueueOffset>, ClientError> {
        self.instance.api().query_consumer_offset(broker_addr, group, queue).await
    }

    /// Pulls at most `max_nums` messages of a queue from this broker, master or slave, as `mqadmin` does: as the group
    /// `TOOLS_CONSUMER`, without committing anything, and with an answer at once.
    ///
    /// ```no_run
    /// # use client::{Admin, ClientError, MessageQueue, PullStatus, QueueOffset};
    /// # async fn example(admin: &Admin, slave: &str, queue: &MessageQueue) -> Result<(), ClientError> {
    /// let (mut next, end) = (admin.min_offset_at(slave, queue).await?, admin.max_offset_at(slave, queue).await?);
    /// while next < end {
    ///     let pulled = admin.pull_from(slave, queue, next, 32).await?;
    ///     for message in &pulled.msg_found_list {
    ///         println!("{} {}", message.queue_offset, message.msg_id);
    ///     }
    ///     if pulled.next_begin_offset <= next {
    ///         break;
    ///     }
    ///     next = pulled.next_begin_offset;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The broker cannot be asked, or refuses.
    pub async fn pull_from(
        &self,
        broker_addr: &str,
        queue: &MessageQueue,
        offset: QueueOffset,
        max_nums: i32,
    ) -> Result<PullResult, ClientError> {
        if max_nums < 1 {
            return Err(ClientError::setting("max_nums", max_nums, "at least 1"));
        }
        let subscription = SubscriptionData::by_tags(queue.topic.as_str(), SUB_ALL, 0);
        let request = PullRequest {
            queue,
            subscription: &subscription,
            with_expression: true,
            offset,
            max_nums,
            commit_offset: None,
            suspend: None,
            timeout: self.instance.config().mq_client_api_timeout,
        };
        let puller = Puller::new(Arc::clone(&self.instance), TOOLS_CONSUMER_GROUP);
        // Nothing is committed, so the id of the broker does not matter.
        Ok(puller.pull_from(broker_addr, BrokerId::MASTER, &request).await?.0)
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
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.shutdown();
    }
}

//! The producers and consumers of an instance (`producerTable`, `consumerTable`), and what it asks of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use protocol::QueueOffset;
use protocol::body::{ConsumerData, ConsumerRunningInfo, MessageQueue};

use super::ClientInstance;
use crate::error::ClientError;
use crate::producer::ProducerCore;

/// A consumer as its instance sees it (`MQConsumerInner`).
pub(crate) trait ConsumerInner: Send + Sync {
    /// What brokers are told of it.
    fn consumer_data(&self) -> ConsumerData;

    /// The topics it subscribes to.
    fn subscribed_topics(&self) -> Vec<String>;

    /// Looks which queues are its own now.
    fn rebalance(self: Arc<Self>) -> BoxFuture<'static, ()>;

    /// Stores what it has consumed.
    fn persist_offsets(self: Arc<Self>) -> BoxFuture<'static, ()>;

    /// What `mqadmin` sees of it.
    fn running_info(&self) -> ConsumerRunningInfo;

    /// Moves queues to other offsets.
    fn reset_offsets(self: Arc<Self>, offsets: BTreeMap<MessageQueue, QueueOffset>) -> BoxFuture<'static, ()>;

    /// What it has consumed of a topic.
    fn consumer_status(&self, topic: &str) -> BTreeMap<MessageQueue, QueueOffset>;
}

/// Who uses an instance, by group.
#[derive(Default)]
pub(crate) struct Members {
    producers: BTreeMap<String, Weak<ProducerCore>>,
    consumers: BTreeMap<String, Weak<dyn ConsumerInner>>,
    /// Admin clients have no group.
    admins: usize,
}

impl Members {
    /// Whether nobody is left. Who was dropped without a shutdown is gone, too.
    pub(crate) fn is_empty(&self) -> bool {
        self.admins == 0
            && !self.producers.values().any(|member| member.strong_count() > 0)
            && !self.consumers.values().any(|member| member.strong_count() > 0)
    }
}

impl ClientInstance {
    /// Adds a producer (`registerProducer`).
    pub(crate) fn register_producer(&self, producer: &Arc<ProducerCore>) -> Result<(), ClientError> {
        let mut members = self.members.lock();
        let taken = members.producers.get(producer.group()).is_some_and(|known| known.strong_count() > 0);
        if taken {
            return Err(self.group_exists("producer", producer.group()));
        }
        members.producers.insert(producer.group().to_owned(), Arc::downgrade(producer));
        Ok(())
    }

    /// Adds a consumer (`registerConsumer`).
    pub(crate) fn register_consumer(&self, group: &str, consumer: Weak<dyn ConsumerInner>) -> Result<(), ClientError> {
        let mut members = self.members.lock();
        if members.consumers.get(group).is_some_and(|known| known.strong_count() > 0) {
            return Err(self.group_exists("consumer", group));
        }
        members.consumers.insert(group.to_owned(), consumer);
        Ok(())
    }

    fn group_exists(&self, kind: &'static str, group: &str) -> ClientError {
        ClientError::GroupExists { kind, group: group.to_owned(), client_id: self.client_id.clone() }
    }

    /// Removes a producer and says so to the brokers.
    pub(crate) async fn unregister_producer(&self, group: &str) {
        self.members.lock().producers.remove(group);
        self.unregister_client(Some(group), None).await;
        self.shut_down_if_unused();
    }

    /// Removes a consumer and says so to the brokers.
    pub(crate) async fn unregister_consumer(&self, group: &str) {
        self.members.lock().consumers.remove(group);
        self.unregister_client(None, Some(group)).await;
        self.shut_down_if_unused();
    }

    pub(crate) fn register_admin(&self) {
        self.members.lock().admins += 1;
    }

    pub(crate) fn unregister_admin(&self) {
        {
            let mut members = self.members.lock();
            members.admins = members.admins.saturating_sub(1);
        }
        self.shut_down_if_unused();
    }

    /// All members.
    pub(super) fn members(&self) -> (Vec<Arc<ProducerCore>>, Vec<Arc<dyn ConsumerInner>>) {
        let members = self.members.lock();
        let producers = members.producers.values().filter_map(Weak::upgrade).collect();
        let consumers = members.consumers.values().filter_map(Weak::upgrade).collect();
        (producers, consumers)
    }

    /// The consumer of a group.
    pub(super) fn consumer(&self, group: &str) -> Option<Arc<dyn ConsumerInner>> {
        self.members.lock().consumers.get(group).and_then(Weak::upgrade)
    }
}

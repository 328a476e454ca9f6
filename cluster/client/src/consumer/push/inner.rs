//! What the client instance, and through it brokers and `mqadmin`, asks of a push consumer (`MQConsumerInner`).
//!
//! Left out on purpose: the rates in the running info, which stay 0.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use protocol::QueueOffset;
use protocol::body::{ConsumeStatus, ConsumeType, ConsumerData, ConsumerRunningInfo, MessageQueue, SubscriptionData};

use super::core::PushCore;
use crate::instance::members::ConsumerInner;

impl PushCore {
    fn subscription_set(&self) -> Vec<SubscriptionData> {
        self.subscriptions.lock().values().map(|data| SubscriptionData::clone(data)).collect()
    }
}

impl ConsumerInner for PushCore {
    fn consumer_data(&self) -> ConsumerData {
        ConsumerData {
            consume_from_where: self.config.consume_from_where,
            consume_type: ConsumeType::Passively,
            group_name: self.group.clone(),
            message_model: self.config.message_model,
            subscription_data_set: self.subscription_set(),
            unit_mode: false,
        }
    }

    fn subscribed_topics(&self) -> Vec<String> {
        self.subscriptions.lock().keys().cloned().collect()
    }

    fn rebalance(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.rebalance_queues().await })
    }

    fn persist_offsets(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.persist().await })
    }

    fn running_info(&self) -> ConsumerRunningInfo {
        let setting = |name: &str, value: String| (name.to_owned(), value);
        let properties = BTreeMap::from([
            setting(ConsumerRunningInfo::PROP_NAMESERVER_ADDR, self.instance.config().namesrv_addr.join(";")),
            setting(ConsumerRunningInfo::PROP_THREADPOOL_CORE_SIZE, self.config.consume_thread_max.to_string()),
            setting(ConsumerRunningInfo::PROP_CONSUME_ORDERLY, "false".to_owned()),
            setting(ConsumerRunningInfo::PROP_CONSUME_TYPE, "CONSUME_PASSIVELY".to_owned()),
            setting(ConsumerRunningInfo::PROP_CLIENT_VERSION, "V4_9_8".to_owned()),
            setting(
                ConsumerRunningInfo::PROP_CONSUMER_START_TIMESTAMP,
                self.started_wall_ms.load(Ordering::Relaxed).to_string(),
            ),
        ]);
        let assigned: Vec<_> = self.assigned.lock().values().cloned().collect();
        let info = |queue: &MessageQueue| self.offsets.read_memory(queue).unwrap_or_default();
        let mq_table = assigned.iter().map(|assigned| {
            let queue = MessageQueue::clone(&assigned.queue);
            let info = assigned.info(info(&queue));
            (queue, info)
        });
        let status_table = self.subscribed_topics().into_iter().map(|topic| (topic, ConsumeStatus::default()));
        ConsumerRunningInfo {
            jstack: None,
            mq_table: mq_table.collect(),
            properties,
            status_table: status_table.collect(),
            subscription_set: self.subscription_set(),
        }
    }

    fn reset_offsets(self: Arc<Self>, offsets: BTreeMap<MessageQueue, QueueOffset>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.move_offsets(offsets).await })
    }

    fn consumer_status(&self, topic: &str) -> BTreeMap<MessageQueue, QueueOffset> {
        self.offsets.clone_table(topic)
    }
}

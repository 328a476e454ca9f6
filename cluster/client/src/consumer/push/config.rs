//! The settings of a push consumer.

use std::time::Duration;

use protocol::body::{ConsumeFromWhere, MessageModel};

use crate::consumer::allocate::AllocateMessageQueueStrategy;
use crate::error::ClientError;

/// How a push consumer consumes (`DefaultMQPushConsumer`, with its defaults).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushConfig {
    /// Whether each message goes to one member of the group, or to all.
    pub message_model: MessageModel,
    /// Where a group begins in a queue of which it has consumed nothing yet.
    pub consume_from_where: ConsumeFromWhere,
    /// For [`ConsumeFromWhere::Timestamp`]: the store time to begin at, wall clock in ms; `None` is half an hour before
    /// the queue is assigned.
    pub consume_timestamp_ms: Option<i64>,
    /// How the group shares its queues.
    pub allocate_message_queue_strategy: AllocateMessageQueueStrategy,
    /// How many calls of the listener may be under way at a time. 20.
    pub consume_thread_max: usize,
    /// How many messages one call gets at most. 1.
    pub consume_message_batch_max_size: usize,
    /// How many messages one pull asks for. 32.
    pub pull_batch_size: i32,
    /// Of one queue no more is pulled while so many messages are held. 1,000.
    pub pull_threshold_for_queue: usize,
    /// The same in bytes of bodies. 100 MiB.
    pub pull_threshold_size_for_queue_bytes: usize,
    /// The same for the distance from the first to the last offset held. 2,000.
    pub consume_concurrently_max_span: i64,
    /// How long the broker may hold a pull for which there is nothing. 15 s.
    pub broker_suspend_max: Duration,
    /// How long a pull may take in all. 30 s.
    pub consumer_timeout_when_suspend: Duration,
    /// The wait after a pull that failed. 3 s.
    pub pull_delay_when_exception: Duration,
    /// How often a message is given again before it goes to the dead letter queue. 16.
    pub max_reconsume_times: i32,
    /// How long a call of the listener may take before its messages are given to another member. 15 min.
    pub consume_timeout: Duration,
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            message_model: MessageModel::Clustering,
            consume_from_where: ConsumeFromWhere::LastOffset,
            consume_timestamp_ms: None,
            allocate_message_queue_strategy: AllocateMessageQueueStrategy::Averagely,
            consume_thread_max: 20,
            consume_message_batch_max_size: 1,
            pull_batch_size: 32,
            pull_threshold_for_queue: 1000,
            pull_threshold_size_for_queue_bytes: 100 * 1024 * 1024,
            consume_concurrently_max_span: 2000,
            broker_suspend_max: Duration::from_secs(15),
            consumer_timeout_when_suspend: Duration::from_secs(30),
            pull_delay_when_exception: Duration::from_secs(3),
            max_reconsume_times: 16,
            consume_timeout: Duration::from_secs(15 * 60),
        }
    }
}

impl PushConfig {
    pub(super) fn is_clustering(&self) -> bool {
        self.message_model == MessageModel::Clustering
    }

    /// Refuses what cannot work (`DefaultMQPushConsumerImpl.checkConfig`, with its ranges).
    pub(super) fn check(&self) -> Result<(), ClientError> {
        fn within<T: PartialOrd + ToString>(
            name: &'static str,
            value: T,
            (min, max): (T, T),
            allowed: &'static str,
        ) -> Result<(), ClientError> {
            if value < min || value > max { Err(ClientError::setting(name, value, allowed)) } else { Ok(()) }
        }
        within("consume_thread_max", self.consume_thread_max, (1, 1000), "from 1 to 1000")?;
        let batch = self.consume_message_batch_max_size;
        within("consume_message_batch_max_size", batch, (1, 1024), "from 1 to 1024")?;
        within("pull_batch_size", self.pull_batch_size, (1, 1024), "from 1 to 1024")?;
        let threshold = self.pull_threshold_for_queue;
        within("pull_threshold_for_queue", threshold, (1, 65535), "from 1 to 65535")?;
        let span = self.consume_concurrently_max_span;
        within("consume_concurrently_max_span", span, (1, 65535), "from 1 to 65535")?;
        if self.pull_threshold_size_for_queue_bytes == 0 {
            return Err(ClientError::setting("pull_threshold_size_for_queue_bytes", 0, "more than 0"));
        }
        if self.consumer_timeout_when_suspend <= self.broker_suspend_max {
            let value = format!("{} ms", self.consumer_timeout_when_suspend.as_millis());
            return Err(ClientError::setting("consumer_timeout_when_suspend", value, "more than broker_suspend_max"));
        }
        if self.pull_delay_when_exception.is_zero() || self.consume_timeout.is_zero() {
            return Err(ClientError::setting("pull_delay_when_exception or consume_timeout", 0, "more than 0"));
        }
        Ok(())
    }
}

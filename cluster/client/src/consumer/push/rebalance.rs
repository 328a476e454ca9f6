//! Which queues are this consumer's, and where it begins in a new one (`RebalanceImpl`, `RebalancePushImpl`).
//!
//! Left out on purpose: dropping a queue of which nothing was pulled for 120 s, which in Java mends pull requests that got
//! lost between threads; a task cannot get lost.

use std::sync::Arc;

use futures_util::future::join_all;
use protocol::QueueOffset;
use protocol::body::{ConsumeFromWhere, MessageQueue};
use protocol::topic::is_retry_topic;

use super::assigned::Assigned;
use super::core::PushCore;
use crate::error::ClientError;

/// How far back a consumer without a timestamp begins (`DefaultMQPushConsumer.consumeTimestamp`): half an hour.
const CONSUME_TIMESTAMP_BACK_MS: i64 = 30 * 60 * 1000;

impl PushCore {
    /// Takes the queues that are ours now and lets go of the others.
    pub(super) async fn rebalance_queues(self: &Arc<Self>) {
        let _turn = self.rebalance_turn.lock().await;
        if !self.lifecycle.is_running() || self.is_paused() {
            return;
        }
        let topics: Vec<String> = self.subscriptions.lock().keys().cloned().collect();
        self.release(|queue| topics.binary_search(&queue.topic).is_err()).await;
        for topic in topics {
            if let Some(wanted) = self.share_of(&topic).await {
                self.release(|queue| queue.topic == topic && wanted.binary_search(queue).is_err()).await;
                self.acquire(wanted).await;
            }
        }
    }

    /// Our share of a topic, sorted; `None` if it cannot be told, and all stays as it is.
    async fn share_of(&self, topic: &str) -> Option<Vec<MessageQueue>> {
        let queues = self.instance.subscribe_queues(topic)?;
        if !self.config.is_clustering() {
            return Some(queues.to_vec());
        }
        match self.instance.consumer_ids(topic, &self.group).await {
            Ok(ids) => {
                let strategy = self.config.allocate_message_queue_strategy;
                Some(strategy.allocate(self.instance.client_id(), &queues, &ids))
            }
            Err(error) => {
                tracing::debug!(group = self.group, topic, %error, "the group's members are not known");
                None
            }
        }
    }

    /// Ends the assignments of these queues and stores what was consumed of them.
    async fn release(&self, mut which: impl FnMut(&MessageQueue) -> bool) {
        let released: Vec<_> = self.assigned.lock().extract_if(.., |queue, _| which(queue)).collect();
        for (_, assigned) in &released {
            assigned.drop_queue();
            assigned.stop_pulling();
        }
        join_all(released.iter().map(|(queue, _)| self.offsets.persist(queue))).await;
        for (queue, _) in released {
            self.offsets.remove(&queue);
            tracing::info!(group = self.group, %queue, client = self.client_id(), "released");
        }
    }

    /// Begins to pull from those that are not assigned yet. All are asked for at once, so that a broker which is away does
    /// not hold up the queues of the others.
    async fn acquire(self: &Arc<Self>, mut wanted: Vec<MessageQueue>) {
        {
            let assigned = self.assigned.lock();
            wanted.retain(|queue| !assigned.contains_key(queue));
        }
        for queue in &wanted {
            // What is in memory of it is from before it was somebody else's.
            self.offsets.remove(queue);
        }
        let begin = async |queue| match self.compute_pull_from_where(&queue).await {
            Ok(offset) => self.assign(queue, offset),
            Err(error) => {
                tracing::warn!(group = self.group, %queue, %error, "not assigned: where to begin is not known");
            }
        };
        join_all(wanted.into_iter().map(begin)).await;
    }

    fn assign(self: &Arc<Self>, queue: MessageQueue, offset: QueueOffset) {
        tracing::info!(group = self.group, %queue, %offset, client = self.client_id(), "assigned");
        let assigned = Arc::new(Assigned::new(queue.clone()));
        self.assigned.lock().insert(queue, Arc::clone(&assigned));
        assigned.set_pulling(self.spawn_pulling(&assigned, offset));
    }

    /// Where to begin in a queue (`computePullFromWhere`).
    async fn compute_pull_from_where(&self, queue: &MessageQueue) -> Result<QueueOffset, ClientError> {
        let stored = self.offsets.read_store(queue).await?;
        if let Some(offset) = stored.offset {
            return Ok(offset);
        }
        let retry = is_retry_topic(&queue.topic);
        let api = self.instance.api();
        // Only the master knows that the group has never consumed. A slave may not have heard of it yet, and to begin at its
        // end would be to skip messages.
        let master = || match self.instance.master_addr(&queue.broker_name) {
            Some(addr) if stored.by.is_master() => Ok(addr),
            _ => Err(ClientError::MasterAway { broker_name: queue.broker_name.clone() }),
        };
        match self.config.consume_from_where {
            ConsumeFromWhere::FirstOffset | ConsumeFromWhere::MinOffset => Ok(QueueOffset::ZERO),
            ConsumeFromWhere::Timestamp if !retry => {
                let default_ms = || sim::time::wall_clock_ms() - CONSUME_TIMESTAMP_BACK_MS;
                let timestamp_ms = self.config.consume_timestamp_ms.unwrap_or_else(default_ms);
                api.search_offset(&master()?, queue, timestamp_ms).await
            }
            ConsumeFromWhere::Timestamp => api.max_offset(&master()?, queue).await,
            // A group's first retried message must not be missed because it came before the queue was assigned.
            _ if retry => Ok(QueueOffset::ZERO),
            _ => api.max_offset(&master()?, queue).await,
        }
    }

    /// Lets go of an assignment that ended by itself, unless another one has taken its place.
    pub(super) fn forget(&self, ended: &Arc<Assigned>) {
        let mut assigned = self.assigned.lock();
        if assigned.get(&*ended.queue).is_some_and(|current| Arc::ptr_eq(current, ended)) {
            assigned.remove(&*ended.queue);
        }
    }

    /// Moves queues to other offsets (`resetOffset`): their assignments end and new ones begin there.
    pub(super) async fn move_offsets(&self, offsets: std::collections::BTreeMap<MessageQueue, QueueOffset>) {
        let turn = self.rebalance_turn.lock().await;
        for (queue, offset) in offsets {
            let Some(assigned) = self.assigned.lock().remove(&queue) else { continue };
            assigned.drop_queue();
            assigned.stop_pulling();
            self.offsets.update(&queue, offset, false);
            self.offsets.persist(&queue).await;
        }
        drop(turn);
        self.instance.rebalance_immediately();
    }
}

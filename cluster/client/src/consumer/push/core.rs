//! What the tasks of one push consumer share, and its life from start to shutdown (`DefaultMQPushConsumerImpl`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use protocol::body::{MessageQueue, SUB_ALL, SubscriptionData};
use protocol::topic::{retry_topic, validate_topic};
use sim::task::JoinHandle;
use sim::time::Instant;
use tokio::sync::Notify;

use super::assigned::Assigned;
use super::consuming::Executor;
use super::{Listener, PushConfig};
use crate::consumer::offset_store::OffsetStore;
use crate::consumer::puller::Puller;
use crate::error::ClientError;
use crate::instance::ClientInstance;
use crate::instance::members::ConsumerInner;
use crate::lock::Lock;
use crate::state::{Lifecycle, ServiceState};

/// See the module's head.
pub(super) struct PushCore {
    pub(super) group: String,
    pub(super) config: PushConfig,
    pub(super) instance: Arc<ClientInstance>,
    pub(super) listener: Listener,
    pub(super) lifecycle: Lifecycle,
    /// By topic.
    pub(super) subscriptions: Lock<BTreeMap<String, Arc<SubscriptionData>>>,
    /// The queues that are ours (`processQueueTable`).
    pub(super) assigned: Lock<BTreeMap<MessageQueue, Arc<Assigned>>>,
    pub(super) offsets: OffsetStore,
    pub(super) puller: Puller,
    pub(super) executor: Lock<Executor>,
    /// Held by whoever changes the assignment.
    pub(super) rebalance_turn: tokio::sync::Mutex<()>,
    paused: AtomicBool,
    resumed: Notify,
    cleaning: Lock<Option<JoinHandle<()>>>,
    created_at: Instant,
    pub(super) started_wall_ms: AtomicI64,
}

impl PushCore {
    pub(super) fn new(
        group: String,
        config: PushConfig,
        instance: Arc<ClientInstance>,
        listener: Listener,
    ) -> Arc<Self> {
        let offsets = match config.is_clustering() {
            true => OffsetStore::remote(Arc::clone(&instance), &group),
            false => OffsetStore::local(&instance, &group),
        };
        let puller = Puller::new(Arc::clone(&instance), &group);
        Arc::new(Self {
            group,
            config,
            instance,
            listener,
            lifecycle: Lifecycle::new(),
            subscriptions: Lock::default(),
            assigned: Lock::default(),
            offsets,
            puller,
            executor: Lock::default(),
            rebalance_turn: tokio::sync::Mutex::default(),
            paused: AtomicBool::new(false),
            resumed: Notify::new(),
            cleaning: Lock::default(),
            created_at: Instant::now(),
            started_wall_ms: AtomicI64::new(0),
        })
    }

    pub(super) fn state(&self) -> ServiceState {
        self.lifecycle.get()
    }

    pub(super) fn client_id(&self) -> &str {
        self.instance.client_id()
    }

    /// Milliseconds on a monotonic clock.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.created_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) async fn start(self: &Arc<Self>) -> Result<(), ClientError> {
        self.lifecycle.check_new(|| format!("push consumer of group \"{}\"", self.group))?;
        if let Err(error) = self.register().await {
            self.lifecycle.set(ServiceState::StartFailed);
            return Err(error);
        }
        self.instance.start();
        self.lifecycle.set(ServiceState::Running);
        self.started_wall_ms.store(sim::time::wall_clock_ms(), Ordering::Relaxed);
        if self.config.is_clustering() {
            *self.cleaning.lock() = Some(self.spawn_cleaning());
        }
        self.subscriptions_changed().await;
        Ok(())
    }

    async fn register(self: &Arc<Self>) -> Result<(), ClientError> {
        if self.config.is_clustering() {
            self.add_subscription(&retry_topic(&self.group), SUB_ALL)?;
        }
        self.offsets.load().await?;
        let consumer = Arc::downgrade(self);
        let consumer: std::sync::Weak<dyn ConsumerInner> = consumer;
        self.instance.register_consumer(&self.group, consumer)
    }

    pub(super) async fn shutdown(&self) {
        if !self.lifecycle.shut_down() {
            return;
        }
        {
            let _turn = self.rebalance_turn.lock().await;
            self.stop();
            self.persist().await;
        }
        self.instance.unregister_consumer(&self.group).await;
        self.assigned.lock().clear();
    }

    /// Stops without a word to anybody.
    pub(super) fn abandon(&self) {
        if self.lifecycle.shut_down() {
            self.stop();
            self.assigned.lock().clear();
        }
    }

    /// Ends the tasks and all assignments, whose queues stay known so that their offsets can be stored.
    fn stop(&self) {
        if let Some(cleaning) = self.cleaning.lock().take() {
            cleaning.abort();
        }
        for assigned in self.assigned.lock().values() {
            assigned.drop_queue();
            assigned.stop_pulling();
        }
        self.executor.lock().clear();
    }

    /// Stores what is consumed of the assigned queues.
    pub(super) async fn persist(&self) {
        self.offsets.persist_all(&self.assigned_queues()).await;
    }

    pub(super) fn assigned_queues(&self) -> Vec<MessageQueue> {
        self.assigned.lock().keys().cloned().collect()
    }

    pub(super) fn subscription(&self, topic: &str) -> Option<Arc<SubscriptionData>> {
        self.subscriptions.lock().get(topic).cloned()
    }

    pub(super) fn add_subscription(&self, topic: &str, expression: &str) -> Result<(), ClientError> {
        // A retry topic is longer than the group that it belongs to was allowed to be: brokers create it all the same.
        if topic != retry_topic(&self.group) {
            validate_topic(topic)?;
        }
        let data = SubscriptionData::by_tags(topic, expression, sim::time::wall_clock_ms());
        if data.sub_string != SUB_ALL && data.tags_set.is_empty() {
            let (topic, expression) = (topic.to_owned(), expression.to_owned());
            return Err(ClientError::Subscription {
                topic,
                expression,
                reason: "names no tag: write tagA || tagB, or *",
            });
        }
        self.subscriptions.lock().insert(topic.to_owned(), Arc::new(data));
        Ok(())
    }

    pub(super) fn remove_subscription(&self, topic: &str) {
        self.subscriptions.lock().remove(topic);
    }

    /// Asks for the routes of the topics, tells the brokers, and shares out anew. Whoever is away hears of it later.
    pub(super) async fn subscriptions_changed(&self) {
        if !self.lifecycle.is_running() {
            return;
        }
        let topics: Vec<String> = self.subscriptions.lock().keys().cloned().collect();
        for topic in topics {
            let timeout = self.instance.config().mq_client_api_timeout;
            if let Err(error) = self.instance.update_topic_route(&topic, timeout).await {
                tracing::warn!(group = self.group, topic, %error, "no route yet");
                if matches!(error, ClientError::Remoting(_)) {
                    break;
                }
            }
        }
        self.instance.heartbeat_all().await;
        self.instance.rebalance_immediately();
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        if !paused {
            self.resumed.notify_waiters();
            self.instance.rebalance_immediately();
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Waits while the consumer is suspended.
    pub(super) async fn unless_paused(&self) {
        while self.is_paused() {
            let mut resumed = std::pin::pin!(self.resumed.notified());
            // Listen before looking, or a resume that comes in between would be missed.
            resumed.as_mut().enable();
            if self.is_paused() {
                resumed.await;
            }
        }
    }
}

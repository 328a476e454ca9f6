//! From the log to the queues (Apache's `ReputMessageService`).
//!
//! What was written waits here until it may be seen, then its unit goes to its ConsumeQueue and the listeners are told.
//! Records may be seen below the confirm offset: under ASYNC_FLUSH what is written, under SYNC_FLUSH what is flushed, so that
//! no consumer ever sees what a power loss can take back (apache/rocketmq#8239).
//!
//! The appender hands over what it has just encoded: the log is not read again.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use protocol::{
    PhysicalOffset, QueueOffset,
    message::RecordView,
    properties::{find_property, property},
    sysflag::message::{TRANSACTION_PREPARED, TRANSACTION_ROLLBACK, transaction_value},
    tags::tags_code,
    topic::SCHEDULE_TOPIC,
};
use tokio::sync::Notify;

use crate::{
    consume_queue::{ConsumeQueue, ConsumeQueueUnit},
    error::lock,
};

/// A message that has become visible (`DispatchRequest`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchRequest {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its queue.
    pub queue_id: i32,
    /// Its place in the queue.
    pub queue_offset: QueueOffset,
    /// Where its record is.
    pub physical_offset: PhysicalOffset,
    /// How long its record is.
    pub size_bytes: i32,
    /// What its ConsumeQueue unit says.
    pub tags_code: i64,
    /// When it was stored, milliseconds.
    pub store_timestamp_ms: i64,
    /// The bits of `protocol::sysflag::message`.
    pub sys_flag: i32,
}

/// Is called after a message has become visible, in order. It must be quick and must not wait.
pub type MessageArrivingListener = Arc<dyn Fn(&DispatchRequest) + Send + Sync>;

/// Tells when a delayed message is to be delivered: (delay level, store timestamp in ms) → ms
/// (`ScheduleMessageService.computeDeliverTimestamp`).
pub type DeliverTimestamp = Arc<dyn Fn(i32, i64) -> i64 + Send + Sync>;

/// Whether a record with these flags has a place in its queue: half and rolled-back messages have none.
pub(crate) fn has_queue_offset(sys_flag: i32) -> bool {
    !matches!(transaction_value(sys_flag), TRANSACTION_PREPARED | TRANSACTION_ROLLBACK)
}

/// The tagsCode of a record (`CommitLog.checkMessageAndReturnSize`).
pub(crate) fn record_tags_code(
    topic: &str,
    properties: &[u8],
    store_timestamp_ms: i64,
    deliver_timestamp: &DeliverTimestamp,
) -> i64 {
    if topic == SCHEDULE_TOPIC
        && let Some(level) = find_property(properties, property::DELAY)
        // Java's Integer.parseInt would fail here and the record count as damaged.
        && let Ok(level) = level.parse::<i32>()
        && level > 0
    {
        return deliver_timestamp(level, store_timestamp_ms);
    }
    tags_code(find_property(properties, property::TAGS))
}

/// The unit of a record that lies in the log.
pub(crate) fn unit_of(record: &RecordView<'_>, deliver_timestamp: &DeliverTimestamp) -> ConsumeQueueUnit {
    ConsumeQueueUnit {
        physical_offset: record.physical_offset,
        // A record's length was an i32 when it was read.
        size_bytes: record.total_bytes as i32,
        tags_code: record_tags_code(record.topic, record.properties, record.store_timestamp_ms, deliver_timestamp),
    }
}

/// A written message that is not visible yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub request: DispatchRequest,
    pub queue: Arc<ConsumeQueue>,
    /// The record came from another replica, which gave it its place in the queue.
    pub is_copy: bool,
}

pub(crate) struct Dispatcher {
    pending: Mutex<VecDeque<Pending>>,
    listeners: RwLock<Vec<MessageArrivingListener>>,
    /// How far this store itself allows: written or flushed.
    local: AtomicI64,
    /// How far the replicas allow.
    replicated: AtomicI64,
    /// Whether the replicas are asked.
    holds_back: AtomicBool,
    /// The end of what was released.
    confirmed: AtomicI64,
    /// STORETIMESTAMP of the last message that was dispatched.
    dispatched_timestamp_ms: AtomicI64,
    /// When this is shown, [`Dispatcher::shown`] is told.
    wake_when_shown: AtomicI64,
    /// The log is shown as far as somebody wanted to know.
    pub shown: Notify,
    /// Messages have become visible since the queues were flushed…
    pub to_queue_flush: Notify,
    /// …and since the index was built.
    pub to_index: Notify,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dispatcher").field("confirmed", &self.confirmed).finish_non_exhaustive()
    }
}

impl Dispatcher {
    pub(crate) fn new(confirmed: PhysicalOffset, dispatched_timestamp_ms: i64) -> Dispatcher {
        Dispatcher {
            pending: Mutex::default(),
            listeners: RwLock::default(),
            local: AtomicI64::new(confirmed.0),
            replicated: AtomicI64::new(0),
            holds_back: AtomicBool::new(false),
            confirmed: AtomicI64::new(confirmed.0),
            dispatched_timestamp_ms: AtomicI64::new(dispatched_timestamp_ms),
            wake_when_shown: AtomicI64::new(i64::MAX),
            shown: Notify::new(),
            to_queue_flush: Notify::new(),
            to_index: Notify::new(),
        }
    }

    pub(crate) fn add_listener(&self, listener: MessageArrivingListener) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// The end of what consumers may see.
    pub(crate) fn confirm_offset(&self) -> PhysicalOffset {
        PhysicalOffset(self.confirmed.load(Ordering::Acquire))
    }

    pub(crate) fn dispatched_timestamp_ms(&self) -> i64 {
        self.dispatched_timestamp_ms.load(Ordering::Acquire)
    }

    /// Tells [`Dispatcher::shown`], once, when the log is shown up to here.
    pub(crate) fn wake_when_shown(&self, offset: PhysicalOffset) {
        // Under the lock nothing is shown between the two.
        let _pending = lock(&self.pending);
        self.wake_when_shown.store(offset.0, Ordering::Release);
        self.wake_if_shown(self.confirm_offset());
    }

    fn wake_if_shown(&self, confirm_offset: PhysicalOffset) {
        if confirm_offset.0 >= self.wake_when_shown.load(Ordering::Acquire) {
            self.wake_when_shown.store(i64::MAX, Ordering::Release);
            self.shown.notify_one();
        }
    }

    /// Takes in messages in the order of the log.
    pub(crate) fn enqueue(&self, messages: impl Iterator<Item = Pending>) {
        lock(&self.pending).extend(messages);
    }

    /// An empty log begins somewhere else.
    pub(crate) fn begin_at(&self, offset: PhysicalOffset) {
        self.local.store(offset.0, Ordering::Release);
        self.confirmed.store(offset.0, Ordering::Release);
    }

    /// This store allows to be seen what lies below.
    pub(crate) fn release_local(&self, offset: PhysicalOffset) {
        self.local.fetch_max(offset.0, Ordering::AcqRel);
        self.release();
    }

    /// The replicas allow to be seen what lies below.
    pub(crate) fn release_replicated(&self, offset: PhysicalOffset) {
        self.replicated.fetch_max(offset.0, Ordering::AcqRel);
        self.release();
    }

    /// Whether the replicas are asked.
    pub(crate) fn set_holds_back(&self, holds_back: bool) {
        self.holds_back.store(holds_back, Ordering::Release);
        self.release();
    }

    /// Makes visible what everyone allows. Whoever moves a bound and then calls this finds what it moved visible afterwards,
    /// as far as the other bounds allow: they are read under the lock.
    fn release(&self) {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        // Held to the end: listeners are called in the order of the log.
        let mut pending = lock(&self.pending);
        let local = self.local.load(Ordering::Acquire);
        let confirm_offset = PhysicalOffset(match self.holds_back.load(Ordering::Acquire) {
            true => local.min(self.replicated.load(Ordering::Acquire)),
            false => local,
        });
        let before = pending.len();
        while let Some(first) = pending.front()
            && first.request.physical_offset + i64::from(first.request.size_bytes) <= confirm_offset
        {
            let Some(Pending { request, queue, is_copy }) = pending.pop_front() else { break };
            let unit = ConsumeQueueUnit {
                physical_offset: request.physical_offset,
                size_bytes: request.size_bytes,
                tags_code: request.tags_code,
            };
            if is_copy {
                queue.append_copy(request.queue_offset, unit, request.store_timestamp_ms);
            } else {
                queue.append(request.queue_offset, unit, request.store_timestamp_ms);
            }
            self.dispatched_timestamp_ms.fetch_max(request.store_timestamp_ms, Ordering::AcqRel);
            for listener in listeners.iter() {
                listener(&request);
            }
        }
        self.confirmed.fetch_max(confirm_offset.0, Ordering::AcqRel);
        self.wake_if_shown(confirm_offset);
        if pending.len() < before {
            self.to_queue_flush.notify_one();
            self.to_index.notify_one();
        }
    }
}

//! One queue that is a consumer's at present: what it holds of it, and the task that pulls from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use protocol::QueueOffset;
use protocol::body::{MessageQueue, ProcessQueueInfo};
use protocol::message::MessageExt;
use sim::task::JoinHandle;
use tokio::sync::Notify;

use super::PushConfig;
use crate::consumer::offset_store::OffsetStore;
use crate::consumer::process_queue::ProcessQueue;
use crate::lock::Lock;

/// An assignment ends for good when it is dropped: a queue that comes back gets a new one.
pub(super) struct Assigned {
    pub(super) queue: Arc<MessageQueue>,
    process_queue: Lock<ProcessQueue>,
    /// Told when messages have left the process queue.
    room: Notify,
    pulling: Lock<Option<JoinHandle<()>>>,
    last_pull_ms: AtomicI64,
    last_consume_ms: AtomicI64,
}

impl Assigned {
    pub(super) fn new(queue: MessageQueue) -> Self {
        let now_ms = sim::time::wall_clock_ms();
        Self {
            queue: Arc::new(queue),
            process_queue: Lock::default(),
            room: Notify::new(),
            pulling: Lock::default(),
            last_pull_ms: AtomicI64::new(now_ms),
            last_consume_ms: AtomicI64::new(now_ms),
        }
    }

    /// Keeps the task that pulls; ends it at once if the assignment was dropped meanwhile.
    pub(super) fn set_pulling(&self, task: JoinHandle<()>) {
        if self.is_dropped() {
            task.abort();
        } else {
            *self.pulling.lock() = Some(task);
        }
    }

    /// Ends the assignment: nothing is taken, started or committed any more.
    pub(super) fn drop_queue(&self) {
        self.process_queue.lock().drop_queue();
    }

    /// Ends the task that pulls. Not to be called by that task, which returns instead.
    pub(super) fn stop_pulling(&self) {
        if let Some(task) = self.pulling.lock().take() {
            task.abort();
        }
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.process_queue.lock().is_dropped()
    }

    /// Takes pulled messages; false if the assignment has ended.
    pub(super) fn put(&self, messages: &[Arc<MessageExt>]) -> bool {
        self.process_queue.lock().put(messages)
    }

    /// Notes that the listener gets these now; false if the assignment has ended.
    pub(super) fn start(&self, messages: &[Arc<MessageExt>], now_ms: u64) -> bool {
        self.last_consume_ms.store(sim::time::wall_clock_ms(), Ordering::Relaxed);
        self.process_queue.lock().start(messages, now_ms)
    }

    /// Lets go of messages and notes what is consumed then. Both happen under one lock, so that nothing of an assignment
    /// that has ended can be noted over what came after it.
    pub(super) fn remove(&self, offsets: impl IntoIterator<Item = QueueOffset>, store: &OffsetStore) {
        let mut process_queue = self.process_queue.lock();
        if let Some(offset) = process_queue.remove(offsets) {
            store.update(&self.queue, offset, true);
        }
        drop(process_queue);
        self.room.notify_one();
    }

    /// Notes that everything below `next` is done with, if nothing is held: what was skipped need not be asked for again
    /// (`correctTagsOffset`).
    pub(super) fn correct_tags_offset(&self, next: QueueOffset, store: &OffsetStore) {
        let process_queue = self.process_queue.lock();
        if process_queue.is_empty() && !process_queue.is_dropped() {
            store.update(&self.queue, next, true);
        }
    }

    pub(super) fn holds(&self, offset: QueueOffset) -> bool {
        self.process_queue.lock().holds(offset)
    }

    pub(super) fn expired(&self, now_ms: u64, timeout_ms: u64, max: usize) -> Vec<Arc<MessageExt>> {
        self.process_queue.lock().expired(now_ms, timeout_ms, max)
    }

    /// Waits until little enough is held to pull more (the flow control of `pullMessage`, which polls every 50 ms there).
    pub(super) async fn room(&self, config: &PushConfig) {
        loop {
            {
                let process_queue = self.process_queue.lock();
                if process_queue.len() <= config.pull_threshold_for_queue
                    && process_queue.bytes() <= config.pull_threshold_size_for_queue_bytes
                    && process_queue.span() <= config.consume_concurrently_max_span
                {
                    return;
                }
            }
            self.room.notified().await;
        }
    }

    pub(super) fn pulls_now(&self) {
        self.last_pull_ms.store(sim::time::wall_clock_ms(), Ordering::Relaxed);
    }

    /// What `mqadmin` sees of it.
    pub(super) fn info(&self, commit_offset: QueueOffset) -> ProcessQueueInfo {
        let process_queue = self.process_queue.lock();
        let (min, max) = process_queue.offsets();
        ProcessQueueInfo {
            cached_msg_count: i32::try_from(process_queue.len()).unwrap_or(i32::MAX),
            cached_msg_min_offset: min,
            cached_msg_max_offset: max,
            cached_msg_size_in_mib: i32::try_from(process_queue.bytes() / (1024 * 1024)).unwrap_or(i32::MAX),
            commit_offset,
            droped: process_queue.is_dropped(),
            last_consume_timestamp: self.last_consume_ms.load(Ordering::Relaxed),
            last_pull_timestamp: self.last_pull_ms.load(Ordering::Relaxed),
            ..ProcessQueueInfo::default()
        }
    }
}

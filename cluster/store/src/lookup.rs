//! Questions about single messages, queues and the whole store: offsets, times, places, names.

use std::sync::Arc;

use bytes::Bytes;
use protocol::{PhysicalOffset, QueueOffset};

use crate::{
    consume_queue::{ConsumeQueueUnit, Cut, Depth},
    error::StoreError,
    store::MessageStore,
    timeline::StoreTime,
};

/// When a record was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// STORETIMESTAMP: by the wall clock of then, milliseconds.
    pub timestamp_ms: i64,
    /// By the store's own clock.
    pub at: StoreTime,
}

/// Which offset is meant when a time lies between two messages or several have it (5.x `BoundaryType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundaryType {
    /// The first message stored at the time or later; the queue's end if there is none.
    Lower,
    /// The last message stored at the time or earlier; the queue's beginning if there is none.
    Upper,
}

/// A queue and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueBounds {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its id.
    pub queue_id: i32,
    /// Its first offset.
    pub min_offset: QueueOffset,
    /// The offset after its last message.
    pub max_offset: QueueOffset,
}

impl MessageStore {
    /// The offset after the last message that consumers may see; 0 for a queue that does not exist.
    pub fn max_offset_in_queue(&self, topic: &str, queue_id: i32) -> QueueOffset {
        self.shared().queues.find(topic, queue_id).map_or(QueueOffset::ZERO, |queue| queue.max_offset())
    }

    /// The offset that the next message put into the queue will get.
    pub fn next_offset_in_queue(&self, topic: &str, queue_id: i32) -> QueueOffset {
        self.shared().queues.find(topic, queue_id).map_or(QueueOffset::ZERO, |queue| queue.next_offset())
    }

    /// The offset of the first message that is still there; 0 for a queue that does not exist.
    pub fn min_offset_in_queue(&self, topic: &str, queue_id: i32) -> QueueOffset {
        self.shared().queues.find(topic, queue_id).map_or(QueueOffset::ZERO, |queue| queue.min_offset())
    }

    /// The place of one message in the CommitLog, which has confirmed it.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the drive cannot be read; so in all lookups.
    pub async fn unit_in_queue(
        &self,
        topic: &str,
        queue_id: i32,
        offset: QueueOffset,
    ) -> Result<Option<ConsumeQueueUnit>, StoreError> {
        let Some(queue) = self.shared().queues.find(topic, queue_id) else { return Ok(None) };
        if let Some(own) = queue.own_unit(offset) {
            return Ok(Some(own));
        }
        Ok(self.shared().mender().unit(&queue, offset, Depth::Whole).await?.map(|found| found.unit))
    }

    /// What moment it is by the store's own clock, which goes on whatever happens to the wall clock.
    pub fn now(&self) -> StoreTime {
        self.shared().clock.now()
    }

    /// When the record at a physical offset was stored; `None` if none begins there (any more).
    ///
    /// # Errors
    /// See [`MessageStore::unit_in_queue`].
    pub async fn stored(&self, offset: PhysicalOffset) -> Result<Option<Stored>, StoreError> {
        let timestamp_ms = self.shared().log.store_timestamp_ms(offset).await?;
        let at = |timestamp_ms| self.shared().clock.stored_at(offset, timestamp_ms);
        Ok(timestamp_ms.map(|timestamp_ms| Stored { timestamp_ms, at: at(timestamp_ms) }))
    }

    /// The offset that belongs to a time in milliseconds (`getOffsetInQueueByTime`).
    ///
    /// # Errors
    /// See [`MessageStore::unit_in_queue`].
    pub async fn offset_in_queue_by_time(
        &self,
        topic: &str,
        queue_id: i32,
        timestamp_ms: i64,
        boundary: BoundaryType,
    ) -> Result<QueueOffset, StoreError> {
        let Some(queue) = self.shared().queues.find(topic, queue_id) else { return Ok(QueueOffset::ZERO) };
        let cut = match boundary {
            BoundaryType::Lower => Cut::AtTime(timestamp_ms),
            BoundaryType::Upper => Cut::AfterTime(timestamp_ms),
        };
        let after = self.shared().mender().partition_point(&queue, cut).await?;
        Ok(match boundary {
            BoundaryType::Lower => after,
            BoundaryType::Upper => (after - 1).max(queue.min_offset()),
        })
    }

    /// When the message at an offset of a queue was stored, in milliseconds.
    ///
    /// # Errors
    /// See [`MessageStore::unit_in_queue`].
    pub async fn message_store_timestamp_ms(
        &self,
        topic: &str,
        queue_id: i32,
        offset: QueueOffset,
    ) -> Result<Option<i64>, StoreError> {
        match self.unit_in_queue(topic, queue_id, offset).await? {
            Some(unit) => self.shared().log.store_timestamp_ms(unit.physical_offset).await,
            None => Ok(None),
        }
    }

    /// When the oldest message of a queue that is still there was stored, in milliseconds (`getEarliestMessageTime`).
    ///
    /// # Errors
    /// See [`MessageStore::unit_in_queue`].
    pub async fn earliest_message_time_ms(&self, topic: &str, queue_id: i32) -> Result<Option<i64>, StoreError> {
        let min_offset = self.min_offset_in_queue(topic, queue_id);
        self.message_store_timestamp_ms(topic, queue_id, min_offset).await
    }

    /// When the oldest record of the whole store was stored, in milliseconds.
    ///
    /// # Errors
    /// See [`MessageStore::unit_in_queue`].
    pub async fn earliest_store_time_ms(&self) -> Result<Option<i64>, StoreError> {
        let log = &self.shared().log;
        log.store_timestamp_ms(log.min_offset()).await
    }

    /// The record at a physical offset, verified; `None` if no visible record begins there (`lookMessageByOffset`).
    ///
    /// # Errors
    /// See [`MessageStore::unit_in_queue`].
    pub async fn look_message_by_offset(&self, offset: PhysicalOffset) -> Result<Option<Bytes>, StoreError> {
        if offset < self.shared().log.min_offset() || offset >= self.confirm_offset() {
            return Ok(None);
        }
        match self.shared().log.record_at(offset).await? {
            // Also those from memory: an offset that somebody made up may lie within a record.
            Some(record) if self.shared().log.verify(&record, offset).is_ok() => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    /// The offset of the first byte of the log that is still there.
    pub fn min_physical_offset(&self) -> PhysicalOffset {
        self.shared().log.min_offset()
    }

    /// The end of the log.
    pub fn max_physical_offset(&self) -> PhysicalOffset {
        self.shared().log.written_offset()
    }

    /// What lies below is on the drive.
    pub fn flushed_offset(&self) -> PhysicalOffset {
        self.shared().log.flushed.get()
    }

    /// Consumers see what lies below.
    pub fn confirm_offset(&self) -> PhysicalOffset {
        self.shared().dispatcher.confirm_offset()
    }

    /// How many bytes of the log consumers do not see yet.
    pub fn dispatch_behind_bytes(&self) -> i64 {
        self.max_physical_offset() - self.confirm_offset()
    }

    /// All queues with their bounds, by topic and id.
    pub fn queues(&self) -> Vec<QueueBounds> {
        let bounds = self.shared().queues.all().into_iter().map(|queue| QueueBounds {
            topic: Arc::clone(queue.topic()),
            queue_id: queue.queue_id(),
            min_offset: queue.min_offset(),
            max_offset: queue.max_offset(),
        });
        bounds.collect()
    }

    /// The ids of a topic's queues that have been written to.
    pub fn queue_ids(&self, topic: &str) -> Vec<i32> {
        self.shared().queues.of_topic(topic).iter().map(|queue| queue.queue_id()).collect()
    }
}

//! Reading a queue from an offset on, with RocketMQ's statuses (`DefaultMessageStore.getMessage`).
//!
//! Consumers see dispatched messages only. A unit that was read from a file is held against the record that it names, and its
//! file is mended if it is wrong. A record that is damaged on the drive is skipped, logged and counted, and never given out. Left to the broker: role (a slave's offset corrections), long polling, expression filters.

use bytes::Bytes;
use protocol::{PhysicalOffset, QueueOffset};

use crate::{
    config::StoreConfig,
    consume_queue::{ConsumeQueueUnit, UNIT_BYTES, Units},
    error::StoreError,
    mending::Confirmed,
    store::MessageStore,
};

/// What a read found (`GetMessageStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetMessageStatus {
    /// Messages.
    Found,
    /// Messages, none of which the filter wants.
    NoMatchedMessage,
    /// The messages there are being deleted.
    MessageWasRemoving,
    /// The offset is in the queue, but nothing is there.
    OffsetFoundNull,
    /// The offset is beyond the queue's end by more than one.
    OffsetOverflowBadly,
    /// The offset is the queue's end: wait for the next message.
    OffsetOverflowOne,
    /// The offset's message has been deleted.
    OffsetTooSmall,
    /// There is no such queue.
    NoMatchedLogicQueue,
    /// The queue has no message yet.
    NoMessageInQueue,
    /// The queue's file is damaged and is being mended: the message can be read later.
    BeingMended,
}

/// What a read gives (`GetMessageResult`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetMessageResult {
    /// What was found.
    pub status: GetMessageStatus,
    /// The records, as they are in the CommitLog.
    pub messages: Vec<Bytes>,
    /// Their bytes.
    pub messages_bytes: usize,
    /// Where to read next.
    pub next_begin_offset: QueueOffset,
    /// The queue's first offset.
    pub min_offset: QueueOffset,
    /// The offset after the queue's last message.
    pub max_offset: QueueOffset,
    /// The consumer is so far behind that a slave should serve it.
    pub suggest_pulling_from_slave: bool,
    /// Records that should be there and are not, or are damaged.
    pub missing: usize,
}

/// How much one read may give.
#[derive(Clone, Copy, Debug)]
struct Room {
    max_messages: usize,
    max_bytes: usize,
}

impl Room {
    /// Whether a message of this size is one too many (`isTheBatchFull`).
    fn is_full(&self, config: &StoreConfig, result: &GetMessageResult, size_bytes: usize, is_old: bool) -> bool {
        let count = result.messages.len();
        if count == 0 {
            return false;
        }
        let (bytes_max, count_max) = if is_old {
            (config.max_transfer_bytes_on_message_in_disk, config.max_transfer_count_on_message_in_disk)
        } else {
            (config.max_transfer_bytes_on_message_in_memory, config.max_transfer_count_on_message_in_memory)
        };
        count >= self.max_messages.min(count_max) || result.messages_bytes + size_bytes > self.max_bytes.min(bytes_max)
    }
}

/// How many bytes of units one read looks through at least, when a filter refuses many.
const FILTER_SCAN_BYTES: usize = 16_000;
/// Units taken out of the queue at once.
const UNITS_AT_ONCE: usize = 64;

impl MessageStore {
    /// Reads up to `max_msg_nums` messages (and `max_bytes` of records, but always one message) of a queue from
    /// `queue_offset` on; `filter` is asked with the tagsCode of each.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the drive cannot be read.
    pub async fn get_message(
        &self,
        topic: &str,
        queue_id: i32,
        queue_offset: QueueOffset,
        max_msg_nums: usize,
        max_bytes: usize,
        filter: impl Fn(i64) -> bool + Send,
    ) -> Result<GetMessageResult, StoreError> {
        let shared = self.shared();
        let mut result = GetMessageResult {
            status: GetMessageStatus::NoMatchedLogicQueue,
            messages: Vec::new(),
            messages_bytes: 0,
            next_begin_offset: QueueOffset::ZERO,
            min_offset: QueueOffset::ZERO,
            max_offset: QueueOffset::ZERO,
            suggest_pulling_from_slave: false,
            missing: 0,
        };
        let Some(queue) = shared.queues.find(topic, queue_id) else { return Ok(result) };
        let (min, max) = (queue.min_offset(), queue.max_offset());
        (result.min_offset, result.max_offset) = (min, max);
        let corrected = if max == QueueOffset::ZERO {
            Some((GetMessageStatus::NoMessageInQueue, QueueOffset::ZERO))
        } else if queue_offset < min {
            Some((GetMessageStatus::OffsetTooSmall, min))
        } else if queue_offset == max {
            Some((GetMessageStatus::OffsetOverflowOne, queue_offset))
        } else if queue_offset > max {
            // 4.9 answers `min` when min is 0, and so makes the group consume everything again (apache/rocketmq#2181).
            Some((GetMessageStatus::OffsetOverflowBadly, max))
        } else {
            None
        };
        if let Some((status, next_begin_offset)) = corrected {
            (result.status, result.next_begin_offset) = (status, next_begin_offset);
            return Ok(result);
        }

        result.status = GetMessageStatus::NoMatchedMessage;
        let max_msg_nums = if sim::fault_point!("store.get.one-message") { 1 } else { max_msg_nums };
        let room = Room { max_messages: max_msg_nums, max_bytes };
        let scan_units = (FILTER_SCAN_BYTES.max(max_msg_nums.saturating_mul(UNIT_BYTES))).div_ceil(UNIT_BYTES);
        let log_end = shared.log.written_offset();
        let mut removed_below = PhysicalOffset(i64::MIN);
        let mut last_pulled = None;
        let mut next = queue_offset;
        let scan_end = QueueOffset(max.0.min(queue_offset.0.saturating_add(scan_units as i64)));
        'scan: while next < scan_end {
            let count = ((scan_end - next) as usize).min(UNITS_AT_ONCE);
            let (units, are_own) = match queue.read(next, count).await {
                Ok(Units { units, are_own }) => (units, are_own),
                // As if each were wrong.
                Err(_) if queue.suspect(next) => (vec![ConsumeQueueUnit::ZERO], false),
                Err(error) => return Err(error),
            };
            if units.is_empty() {
                break;
            }
            for unit in units {
                if unit.physical_offset < removed_below {
                    last_pulled = Some(unit);
                    next += 1;
                    continue;
                }
                let is_old = unit.bytes_before(log_end) > shared.in_memory_bytes();
                if room.is_full(&shared.config, &result, unit.length(), is_old) {
                    break 'scan;
                }
                if !filter(unit.tags_code) && (are_own || queue.knows_tags_code(unit.tags_code)) {
                    last_pulled = Some(unit);
                    next += 1;
                    continue;
                }
                match shared.confirmed_record(&queue, next, unit, are_own).await? {
                    Confirmed::Record(unit, record) => {
                        last_pulled = Some(unit);
                        if filter(unit.tags_code) {
                            result.messages_bytes += record.len();
                            result.messages.push(record);
                            result.status = GetMessageStatus::Found;
                        }
                    }
                    Confirmed::Missing => {
                        last_pulled = Some(unit);
                        result.missing += 1;
                        if result.messages.is_empty() {
                            result.status = GetMessageStatus::MessageWasRemoving;
                        }
                        if unit.physical_offset < shared.log.min_offset() && next < queue.min_offset() {
                            removed_below = shared.log.next_segment_start(unit.physical_offset);
                        }
                    }
                    Confirmed::Later => {
                        if result.messages.is_empty() {
                            (result.status, result.next_begin_offset) = (GetMessageStatus::BeingMended, next);
                            return Ok(result);
                        }
                        break 'scan;
                    }
                }
                next += 1;
            }
        }
        if next == queue_offset && result.messages.is_empty() {
            // Its file went while we looked.
            result.status = GetMessageStatus::OffsetFoundNull;
            next = queue.min_offset().max(queue_offset);
        }
        result.next_begin_offset = next;
        result.suggest_pulling_from_slave = last_pulled.is_some_and(|pulled: ConsumeQueueUnit| {
            pulled.bytes_before(log_end) > shared.in_memory_bytes()
                || sim::fault_point!("store.get.reader-far-behind", 0.05)
        });
        Ok(result)
    }
}

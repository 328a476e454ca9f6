//! Whether a unit is right: the log record that it names is the one of that queue with that queue offset.
//!
//! A unit that was read from a file may be damaged, or of another queue (files that changed places, a read that the drive
//! answered from elsewhere). The log is the truth: its records say themselves whose they are. What this process has dispatched
//! and still has in memory is not asked for.

use protocol::{
    QueueOffset,
    message::{RecordView, parse_record},
    topic::SCHEDULE_TOPIC,
};

use super::{ConsumeQueue, ConsumeQueueUnit};
use crate::{
    commit_log::CommitLog,
    dispatch::{DeliverTimestamp, has_queue_offset, record_tags_code},
    error::StoreError,
};

/// What the log says of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It names the record of this message, which was stored then.
    Right { store_timestamp_ms: i64 },
    /// What it names is not in the log any more.
    Expired,
    /// It does not.
    Wrong,
}

impl Verdict {
    pub(crate) fn is_right(self) -> bool {
        matches!(self, Verdict::Right { .. })
    }
}

impl ConsumeQueue {
    /// What the log says of the place that a unit names. The record need not be sound: its head and its topic tell whose it is.
    pub(crate) async fn confirm_place(
        &self,
        offset: QueueOffset,
        unit: &ConsumeQueueUnit,
        log: &CommitLog,
    ) -> Result<Verdict, StoreError> {
        if unit.physical_offset.0 < 0 || unit.size_bytes <= 0 || unit.is_blank() {
            return Ok(Verdict::Wrong);
        }
        if unit.physical_offset < log.min_offset() {
            return Ok(Verdict::Expired);
        }
        let Some((owner, topic)) = log.owner_at(unit.physical_offset).await? else { return Ok(Verdict::Wrong) };
        let is_of_this = owner.physical_offset == unit.physical_offset
            && i32::try_from(owner.total_bytes) == Ok(unit.size_bytes)
            && (owner.queue_id, owner.queue_offset) == (self.queue_id, offset)
            && has_queue_offset(owner.sys_flag)
            && topic == *self.topic;
        Ok(match is_of_this {
            true => Verdict::Right { store_timestamp_ms: owner.store_timestamp_ms },
            false => Verdict::Wrong,
        })
    }

    /// What the log says of all of a unit, its tags code too, as far as the record can be read.
    pub(crate) async fn confirm(
        &self,
        offset: QueueOffset,
        unit: &ConsumeQueueUnit,
        log: &CommitLog,
        deliver_timestamp: &DeliverTimestamp,
    ) -> Result<Verdict, StoreError> {
        let verdict = self.confirm_place(offset, unit, log).await?;
        if !verdict.is_right() {
            return Ok(verdict);
        }
        // A record that is damaged says nothing about tags.
        let Some(Ok(record)) = log.read_record(unit.physical_offset, unit.length()).await? else {
            return Ok(verdict);
        };
        let agrees =
            parse_record(&record).is_ok_and(|record| self.is_unit_of(&record, offset, unit, deliver_timestamp));
        Ok(if agrees { verdict } else { Verdict::Wrong })
    }

    /// Whether a unit is what dispatching this record makes of it at this place of the queue.
    pub(crate) fn is_unit_of(
        &self,
        record: &RecordView<'_>,
        offset: QueueOffset,
        unit: &ConsumeQueueUnit,
        deliver_timestamp: &DeliverTimestamp,
    ) -> bool {
        self.is_record_at(record, offset)
            && record.physical_offset == unit.physical_offset
            && i32::try_from(record.total_bytes) == Ok(unit.size_bytes)
            && self.is_tags_code_of(record, unit.tags_code, deliver_timestamp)
    }

    /// Whether a record is the message at this place of the queue.
    pub(crate) fn is_record_at(&self, record: &RecordView<'_>, offset: QueueOffset) -> bool {
        record.topic == &*self.topic
            && (record.queue_id, record.queue_offset) == (self.queue_id, offset)
            && has_queue_offset(record.sys_flag)
    }

    fn is_tags_code_of(&self, record: &RecordView<'_>, tags_code: i64, deliver_timestamp: &DeliverTimestamp) -> bool {
        let stored_ms = record.store_timestamp_ms;
        let code = record_tags_code(record.topic, record.properties, stored_ms, deliver_timestamp);
        if code == tags_code || &*self.topic != SCHEDULE_TOPIC {
            return code == tags_code;
        }
        // A time of delivery: the level's delay may have been another when the message was dispatched. It is always one of whole
        // seconds, and no flipped bit changes a time by whole seconds.
        let delay_ms = tags_code.saturating_sub(stored_ms);
        (0..=DELAY_MS_MAX).contains(&delay_ms) && delay_ms % 1000 == 0
    }
}

/// The longest delay that a level may have been given: a year.
const DELAY_MS_MAX: i64 = 366 * 24 * 3_600_000;

//! Where recovery begins: with the ConsumeQueues loaded up to there, at the last record that they know after a good stop, at the
//! last file that is older than the checkpoint's claims after a crash, and earlier where a queue has lost what it had.

use protocol::{PhysicalOffset, QueueOffset, message::parse_record};

use super::Recovery;
use crate::{
    at_once,
    checkpoint::{Checkpoint, QueueClaim},
    consume_queue::found_on_disk,
    error::{StoreError, lock},
    history::{self, EpochEntry},
    segment::Segment,
};

/// How far before the checkpoint's times recovery begins (`StoreCheckpoint.getMinTimestamp`: 3 s).
const CHECKPOINT_MARGIN_MS: i64 = 3_000;

/// How to begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// The queues were loaded up to the records that end here.
    pub(super) load_below: u64,
    /// Where to begin to walk.
    pub(super) from: u64,
}

impl Recovery<'_> {
    /// Loads the queues up to the records that end at `limit`. From where on they may lack records below it, if so.
    pub(super) async fn load_queues(&self, limit: u64) -> Result<Option<u64>, StoreError> {
        self.queues.clear();
        let mut doubtful_from: Option<u64> = None;
        let found = lock(&self.found).take();
        let found = match found {
            Some(found) => found,
            // It may have changed since.
            None => found_on_disk(self.config).await?,
        };
        let loading = found.into_iter().map(|found| async move {
            let queue = self.queues.find_or_create(&found.topic, found.queue_id);
            let limit = PhysicalOffset(i64::try_from(limit).unwrap_or(i64::MAX));
            let doubtful = queue.load(&found.files, limit, self.abnormal, &self.log).await?;
            Ok((found, queue, doubtful))
        });
        for (found, queue, doubtful) in at_once::all(loading).await? {
            if self.deleted.covers(&found.topic, queue.known_below() - 1) {
                // Its deletion was cut short.
                queue.restart_at(QueueOffset::ZERO);
            } else if let Some(doubtful) = doubtful {
                tracing::warn!(topic = %found.topic, queue_id = found.queue_id, from = doubtful.0, "the end of a ConsumeQueue is damaged: it is dispatched again");
                let doubtful = doubtful.0.max(0).cast_unsigned();
                doubtful_from = Some(doubtful_from.map_or(doubtful, |from| from.min(doubtful)));
            }
        }
        for claimed in self.lacking(limit) {
            doubtful_from = Some(doubtful_from.map_or(claimed, |from| from.min(claimed)));
        }
        Ok(doubtful_from)
    }

    /// From where on queues lack units that the checkpoint claims. Those that lack only their beginning are told to mend it.
    fn lacking(&self, limit: u64) -> Vec<u64> {
        let claims = &self.checkpoint.queues;
        let log_min = self.segments.first().map_or(0, |first| first.start()).cast_signed();
        if !self.abnormal && !claims.queues.is_empty() && claims.log_min.0 < log_min {
            tracing::error!(
                was = claims.log_min.0,
                is = log_min,
                "files at the log's beginning are gone that were there when the store was closed: their messages are lost"
            );
        }
        let mut lacking = Vec::new();
        for QueueClaim { topic, queue_id, min, max, last } in &*claims.queues {
            if last.0.cast_unsigned() >= limit || self.deleted.covers(topic, *last) || last.0 < log_min {
                continue;
            }
            let queue = self.queues.find(topic, *queue_id);
            let known_below = queue.as_ref().map_or(PhysicalOffset::ZERO, |queue| queue.known_below());
            if known_below <= *last {
                tracing::warn!(%topic, queue_id, claimed = max, from = known_below.0, "a ConsumeQueue has lost its end: it is dispatched again");
                lacking.push(known_below.0.max(0).cast_unsigned());
            } else if let Some(queue) = queue
                && log_min == claims.log_min.0
            {
                queue.begin_at_claimed(*min);
            }
        }
        lacking
    }

    /// Begins with the last record that the queues know: they were flushed.
    pub(super) async fn start_after_shutdown(&self) -> Result<Start, StoreError> {
        let log_min = self.segments.first().map_or(0, |first| first.start());
        let load_below = self.segments.last().map_or(0, |last| last.end()).min(self.limit);
        let doubtful_from = self.load_queues(load_below).await?;
        let last = self.queues.all().iter().map(|queue| queue.last_synced()).max();
        let from = match last {
            // Loading has confirmed the last unit of every queue in the log, unless its record is expired.
            Some(last) if last.0 >= log_min.cast_signed() => match self.may_be_foreign(last).await? {
                Some(epoch) => epoch.start.0.cast_unsigned(),
                None => last.0.cast_unsigned(),
            },
            _ => log_min,
        };
        Ok(Start { load_below, from: doubtful_from.map_or(from, |doubtful| doubtful.min(from)).max(log_min) })
    }

    /// The epoch of a record that has no checksum although all of its epoch should: since where others have written there, if they
    /// have, the walk will tell.
    async fn may_be_foreign(&self, offset: PhysicalOffset) -> Result<Option<EpochEntry>, StoreError> {
        let epoch = history::epoch_at(self.checked_epochs(), offset).filter(EpochEntry::has_checksums);
        if epoch.is_none() {
            return Ok(None);
        }
        let record = self.log.record_at(offset).await?;
        let has_checksum = record.is_some_and(|record| parse_record(&record).is_ok_and(|record| record.has_checksum()));
        Ok(epoch.filter(|_| !has_checksum))
    }

    /// Begins with the last file whose first record is older than the checkpoint's claims for the log and for the queues.
    pub(super) async fn start_after_crash(&self) -> Result<Start, StoreError> {
        let Checkpoint { physic_msg_timestamp_ms, logics_msg_timestamp_ms, .. } = self.checkpoint.clone();
        let claimed_ms = physic_msg_timestamp_ms.min(logics_msg_timestamp_ms) - CHECKPOINT_MARGIN_MS;
        let log_min = self.segments.first().map_or(0, |first| first.start());
        let mut from = log_min;
        for segment in self.segments.iter().rev().filter(|segment| segment.start() < self.limit) {
            let stored_ms = self.first_store_timestamp_ms(segment).await?;
            if stored_ms.is_some_and(|stored_ms| stored_ms <= claimed_ms) {
                from = segment.start();
                break;
            }
        }
        if let Some(marked) = self.recover_from().await? {
            from = from.max(marked);
        }
        let load_below = from;
        let doubtful_from = self.load_queues(load_below).await?;
        let has_units = self.queues.all().iter().any(|queue| queue.max_offset().0 > 0);
        if !has_units {
            // No queue at all: they were removed to have them rebuilt.
            from = log_min;
        }
        Ok(Start { load_below, from: doubtful_from.map_or(from, |doubtful| doubtful.min(from)).max(log_min) })
    }

    /// Where the checkpoint says that recovery can begin, if a record or a file begins there.
    async fn recover_from(&self) -> Result<Option<u64>, StoreError> {
        let from = self.checkpoint.queues.recover_from;
        if from.0 <= 0 || from.0.cast_unsigned() >= self.limit || self.log.record_at(from).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(from.0.cast_unsigned()))
    }

    async fn first_store_timestamp_ms(&self, segment: &Segment) -> Result<Option<i64>, StoreError> {
        let start = PhysicalOffset(segment.start().cast_signed());
        let Some(record) = self.log.record_at(start).await? else { return Ok(None) };
        Ok(parse_record(&record).ok().map(|record| record.store_timestamp_ms))
    }
}

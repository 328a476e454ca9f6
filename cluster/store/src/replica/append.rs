//! The appender's part of replication: epochs, and records that another replica has written.

use bytes::Bytes;
use protocol::PhysicalOffset;
use quirks::Quirk;
use sim::rng;

use super::ReplicaRecords;
use crate::{
    appender::Appender,
    commit_log::Written,
    dispatch::Pending,
    error::StoreError,
    history::{self, EpochEntry},
    recovery::tail_at_risk,
};

/// A master of ours or of Apache's sends what it has at once, up to so much (`haTransferBatchSize`): less is all that it had.
const BATCH_BYTES: usize = 32 << 10;
/// So much comes at once only to a replica that is far behind.
const FAR_BEHIND_BYTES: usize = 128 << 10;

impl Appender {
    fn refuse_if_failed(&self) -> Result<(), StoreError> {
        match self.shared.state.failure() {
            Some(why) => Err(StoreError::Refused { why }),
            None => Ok(()),
        }
    }

    /// Begins this life's epoch at the log's end, unless that was done. `lost_bytes_max` is what its owner knows of a loss,
    /// beside what recovery has found.
    pub(crate) async fn begin_epoch(&mut self, lost_bytes_max: Option<u64>) -> Result<EpochEntry, StoreError> {
        if let Some(epoch) = self.epoch {
            return Ok(epoch);
        }
        self.refuse_if_failed()?;
        let start = self.written.offset;
        let epoch = if self.shared.config.quirks.has(Quirk::DivergenceUnchecked) {
            // Apache's broker knows no epochs, and writes none down.
            EpochEntry { id: EpochEntry::UNKNOWN_ID, start }
        } else {
            let lost_bytes_max = lost_bytes_max.max(self.shared.shown.and_then(|shown| shown.beyond(start)));
            let random = rng::u64("store-epoch");
            let epoch = EpochEntry::new(random, self.shared.has_checksums(), lost_bytes_max, start);
            self.store_epoch(epoch).await?;
            epoch
        };
        // Whatever this log has lost is lost now.
        tail_at_risk::clear(&self.shared.config).await?;
        self.epoch = Some(epoch);
        Ok(epoch)
    }

    pub(crate) async fn adopt_epoch(&mut self, epoch: EpochEntry) -> Result<(), StoreError> {
        let at = self.written.offset;
        let refuse = |why: String| Err(StoreError::NotAppendable { at, why });
        self.refuse_if_failed()?;
        if self.shared.epochs.get().last() == Some(&epoch) {
            return Ok(());
        }
        if self.epoch.is_some() {
            return refuse("this store is a master whose epoch has begun".to_owned());
        }
        if epoch.start.0 < 0 || (epoch.start != at && !self.is_empty()) {
            return refuse(format!("the other replica's epoch {} begins at {}", epoch.id, epoch.start));
        }
        self.store_epoch(epoch).await
    }

    fn is_empty(&self) -> bool {
        self.written.offset == self.shared.log.min_offset()
    }

    async fn store_epoch(&self, epoch: EpochEntry) -> Result<(), StoreError> {
        let shared = &self.shared;
        let mut epochs = shared.epochs.get().to_vec();
        // Only in an empty log can there be one that begins later.
        epochs.retain(|earlier| earlier.start <= epoch.start);
        epochs.push(epoch);
        let end = self.written.offset.max(epoch.start);
        shared.epochs.store(&shared.config, history::fit(&epochs, shared.log.min_offset(), end)).await
    }

    /// Writes records that another replica has written.
    pub(crate) async fn append_copy(&mut self, records: ReplicaRecords) -> Result<PhysicalOffset, StoreError> {
        let ReplicaRecords { at, bytes, messages, store_timestamp_ms } = records;
        let refuse = |why: String| Err(StoreError::NotAppendable { at, why });
        self.refuse_if_failed()?;
        if self.epoch.is_some() {
            return refuse("this store is a master whose epoch has begun".to_owned());
        }
        let start = at.0.cast_unsigned();
        if at != self.written.offset {
            if !self.is_empty() {
                return refuse(format!("the log ends at {}", self.written.offset));
            }
            if !start.is_multiple_of(self.shared.log.segment_bytes()) {
                return refuse("the log is empty, and no file begins there".to_owned());
            }
        }
        match self.shared.epochs.get().last() {
            Some(last) if last.start <= at => {}
            Some(last) => return refuse(format!("the last epoch begins at {}", last.start)),
            None => {
                self.shared
                    .epochs
                    .store(&self.shared.config, vec![EpochEntry { id: EpochEntry::UNKNOWN_ID, start: at }])
                    .await?
            }
        }
        if at != self.written.offset {
            self.begin_at(at).await?;
        }
        let segment = match &self.segment {
            Some(segment) if start < segment.end() => segment.clone(),
            _ => {
                self.open_segment(start).await?;
                self.segment.clone().expect("it was just opened")
            }
        };
        let room = self.reserve(start + bytes.len() as u64).await;
        self.note_room(room.as_ref().err());
        room?;
        if let Err(error) = segment.write(&bytes, start - segment.start()).await {
            if !self.erase_unwritten(at, bytes.len(), &error).await {
                self.shared.fail(&error);
            }
            return Err(error);
        }
        if store_timestamp_ms > 0 {
            self.note_copy(at, bytes.len(), store_timestamp_ms);
        }
        self.written.store_timestamp_ms = self.written.store_timestamp_ms.max(store_timestamp_ms);
        let queues = &self.shared.queues;
        let pending: Vec<_> = messages
            .into_iter()
            .map(|request| {
                let queue = queues.find_or_create(&request.topic, request.queue_id);
                queue.follow(request.queue_offset);
                Pending { request, queue, is_copy: true }
            })
            .collect();
        // Nobody who reads at the log's tail reads what comes in such pieces: this replica is far behind. Not kept, the
        // memory is that of the next piece, and still in the processor's cache.
        let kept = if bytes.len() < FAR_BEHIND_BYTES { bytes.clone() } else { Bytes::new() };
        self.publish(at, bytes.len(), kept, pending.into_iter());
        self.prepare();
        Ok(self.written.offset)
    }

    /// Records of another replica have come: they were stored when their timestamps say, by a clock that may not be ours, but not
    /// later than now; and just now if they are all that there was.
    fn note_copy(&mut self, at: PhysicalOffset, bytes: usize, timestamp_ms: i64) {
        let clock = &self.shared.clock;
        let now = clock.now();
        let ends_file = (at + bytes as i64).0.cast_unsigned().is_multiple_of(self.shared.log.segment_bytes());
        let fresh = bytes < BATCH_BYTES && !ends_file && clock.is_following(now);
        if let Some(moment) = self.anchor.correction_of_copy(timestamp_ms, now, fresh) {
            self.set_anchor(at, timestamp_ms, moment);
        }
    }

    /// An empty log begins at `at`.
    async fn begin_at(&mut self, at: PhysicalOffset) -> Result<(), StoreError> {
        let shared = &self.shared;
        let _flushing = shared.flushing.lock().await;
        self.segment = None;
        self.written = Written { offset: at, ..self.written };
        let forgotten = shared.log.begin_at(self.written);
        shared.dispatcher.begin_at(at);
        for segment in forgotten {
            segment.remove().await?;
        }
        shared.log.publish(at, Bytes::new(), self.written);
        Ok(())
    }
}

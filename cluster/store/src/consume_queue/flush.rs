//! Bringing a queue's new units to the drive, and removing its old files.

use std::sync::Arc;

use protocol::PhysicalOffset;

use super::{ConsumeQueue, UNIT_BYTES};
use crate::{
    checkpoint::QueueClaim,
    error::{StoreError, lock},
    segment::Segment,
};

impl ConsumeQueue {
    /// STORETIMESTAMP of the first message whose unit is not on the drive.
    pub(crate) fn dirty_since_ms(&self) -> Option<i64> {
        let state = lock(&self.state);
        state.flushing_since_ms.or(state.dirty_since_ms)
    }

    /// Where the record is of the first unit that is not on the drive.
    pub(crate) fn first_unflushed(&self) -> Option<PhysicalOffset> {
        let state = lock(&self.state);
        let first = usize::try_from(state.synced - state.tail_start).ok()?;
        // The blank units before a queue's first message lead nowhere.
        state.tail.range(first..).find(|unit| !unit.is_blank()).map(|unit| unit.physical_offset)
    }

    /// What the queue has on the drive, if it has anything.
    pub(crate) fn claim(&self) -> Option<QueueClaim> {
        let state = lock(&self.state);
        let is_whole = state.repair.is_none() && state.last_synced.0 >= 0 && state.synced > state.min;
        is_whole.then(|| QueueClaim {
            topic: Arc::clone(&self.topic),
            queue_id: self.queue_id,
            min: state.min,
            max: state.synced,
            last: state.last_synced,
        })
    }

    /// Keeps others from writing and removing the queue's files.
    pub(super) async fn hold_files(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.flushing).lock_owned().await
    }

    /// Whether the queue has a directory that a power loss leaves there.
    pub(super) fn has_durable_names(&self) -> bool {
        let state = lock(&self.state);
        state.has_durable_names && !state.segments.is_empty()
    }

    pub(super) fn is_deleted(&self) -> bool {
        lock(&self.state).deleted
    }

    /// Writes and syncs the units that are not on the drive. After an error they stay in memory and are written anew by
    /// the next flush: a sync that failed once may have thrown the pages away. The caller has [`ConsumeQueue::hold_files`], and
    /// has made the queue's directory.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        self.repair().await?;
        let (from, bytes, last) = {
            let mut state = lock(&self.state);
            if state.synced == state.max || state.deleted {
                return Ok(());
            }
            let first = (state.synced - state.tail_start) as usize;
            let mut bytes = Vec::with_capacity((state.tail.len() - first) * UNIT_BYTES);
            for unit in state.tail.range(first..) {
                bytes.extend_from_slice(&unit.encode());
            }
            state.flushing_since_ms = state.flushing_since_ms.or(state.dirty_since_ms);
            state.dirty_since_ms = None;
            let last = state.tail.back().filter(|unit| !unit.is_blank()).map(|unit| unit.physical_offset);
            (state.synced, bytes, last.unwrap_or(PhysicalOffset(-1)))
        };
        self.write(from, &bytes).await?;
        let mut state = lock(&self.state);
        state.synced = from + (bytes.len() / UNIT_BYTES) as i64;
        state.last_synced = last;
        state.flushing_since_ms = None;
        self.list(&mut state);
        let synced_in_tail = (state.synced - state.tail_start) as usize;
        let kept = self.common.tail_units();
        if synced_in_tail > 2 * kept {
            let surplus = synced_in_tail - kept;
            state.tail.drain(..surplus);
            state.tail_start += surplus as i64;
            // What a burst has taken is given back.
            let left = state.tail.len();
            if state.tail.capacity() > 8 * left {
                state.tail.shrink_to(2 * left);
            }
        }
        Ok(())
    }

    async fn write(&self, from: i64, bytes: &[u8]) -> Result<(), StoreError> {
        let has_durable_names = lock(&self.state).has_durable_names;
        let mut position = from.cast_unsigned() * UNIT_BYTES as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let existing =
                lock(&self.state).segment_of((position / UNIT_BYTES as u64).cast_signed(), self.units_per_segment());
            let segment = match &existing {
                Some(segment) => Arc::clone(segment),
                None => Arc::new(
                    Segment::create_unsynced(&self.series, position - position % self.series.size_bytes).await?,
                ),
            };
            let room = usize::try_from(segment.end() - position).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(room));
            segment.write(now, position - segment.start()).await?;
            if existing.is_some() && has_durable_names {
                segment.sync_data().await?;
            } else {
                segment.sync_creation().await?;
            }
            if existing.is_none() {
                // Until all of it is durable, the next flush makes it anew.
                lock(&self.state).segments.push(Arc::clone(&segment));
            }
            position += now.len() as u64;
            rest = later;
        }
        lock(&self.state).has_durable_names = true;
        Ok(())
    }

    /// Removes the files that lie before the queue's beginning, except the last file, which keeps the queue's end.
    pub(crate) async fn delete_expired(&self) -> Result<usize, StoreError> {
        let _flushing = self.flushing.lock().await;
        let mut removed = 0;
        loop {
            let first = {
                let mut state = lock(&self.state);
                let begins = state.min.cast_unsigned() * UNIT_BYTES as u64;
                match state.segments.as_slice() {
                    [first, _, ..] if first.end() <= begins => state.segments.remove(0),
                    _ => return Ok(removed),
                }
            };
            first.remove().await?;
            removed += 1;
        }
    }

    /// The queue is to be removed: units that are still on their way go nowhere, and nothing is written to its files any more.
    pub(crate) async fn forget(&self) {
        let _flushing = self.flushing.lock().await;
        let mut state = lock(&self.state);
        state.deleted = true;
        state.segments.clear();
        self.list(&mut state);
    }
}

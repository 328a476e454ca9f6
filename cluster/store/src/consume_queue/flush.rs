//! Bringing a queue's new units to the drive, and removing its old files.

use std::sync::Arc;

use protocol::PhysicalOffset;
use sim::disk;

use super::{ConsumeQueue, ConsumeQueueUnit, UNIT_BYTES, units};
use crate::{
    durable,
    error::{StoreError, io_error, lock},
    segment::Segment,
};

impl ConsumeQueue {
    /// STORETIMESTAMP of the first message whose unit is not on the drive.
    pub(crate) fn dirty_since_ms(&self) -> Option<i64> {
        let state = lock(&self.state);
        state.flushing_since_ms.or(state.dirty_since_ms)
    }

    /// Writes and syncs the units that are not on the drive. After an error they stay in memory and are written anew by
    /// the next flush: a sync that failed once may have thrown the pages away.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let _flushing = self.flushing.lock().await;
        self.repair().await?;
        let (from, bytes) = {
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
            (state.synced, bytes)
        };
        self.write(from, &bytes).await?;
        let mut state = lock(&self.state);
        state.synced = from + (bytes.len() / UNIT_BYTES) as i64;
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
        let mut position = from.cast_unsigned() * UNIT_BYTES as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let segment = self.segment_for_writing(position).await?;
            let room = usize::try_from(segment.end() - position).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(room));
            segment.write(now, position - segment.start()).await?;
            segment.sync_data().await?;
            position += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    async fn segment_for_writing(&self, position: u64) -> Result<Arc<Segment>, StoreError> {
        let offset = (position / UNIT_BYTES as u64).cast_signed();
        let existing = lock(&self.state).segment_of(offset, self.units_per_segment());
        if let Some(segment) = existing {
            return Ok(segment);
        }
        durable::create_dir(&self.series.directory).await?;
        let start = position - position % self.series.size_bytes;
        let segment = Arc::new(Segment::create(&self.series, start).await?);
        lock(&self.state).segments.push(Arc::clone(&segment));
        Ok(segment)
    }

    /// Removes the files all of whose messages are below `log_min` except the last file, which keeps the queue's end, and
    /// moves the queue's beginning.
    pub(crate) async fn delete_expired(&self, log_min: PhysicalOffset) -> Result<usize, StoreError> {
        let _flushing = self.flushing.lock().await;
        let mut removed = 0;
        loop {
            let first = {
                let state = lock(&self.state);
                match state.segments.as_slice() {
                    [first, _, ..] => Arc::clone(first),
                    _ => break,
                }
            };
            let last_unit = first.read(self.series.size_bytes - UNIT_BYTES as u64, UNIT_BYTES).await?;
            let expired = units(&last_unit).all(|unit: ConsumeQueueUnit| unit.physical_offset < log_min);
            if !expired {
                break;
            }
            {
                let mut state = lock(&self.state);
                state.segments.remove(0);
                let begins = (first.end() / UNIT_BYTES as u64).cast_signed();
                state.min = state.min.max(begins);
            }
            first.remove().await?;
            removed += 1;
        }
        self.correct_min_offset(log_min).await?;
        Ok(removed)
    }

    /// Removes the queue's directory; units that are still on their way go nowhere.
    pub(crate) async fn destroy(&self) -> Result<(), StoreError> {
        let _flushing = self.flushing.lock().await;
        {
            let mut state = lock(&self.state);
            state.deleted = true;
            state.segments.clear();
            self.list(&mut state);
        }
        let directory = &*self.series.directory;
        if disk::exists(directory).await.map_err(io_error("look for", directory))? {
            disk::remove_dir_all(directory).await.map_err(io_error("remove", directory))?;
            durable::sync_dir(durable::parent_of(directory)).await?;
        }
        Ok(())
    }
}

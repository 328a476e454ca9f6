//! Opening a queue's files, as far as they can be believed.
//!
//! The units of records below `limit` are known to be on the drive (recovery says how). What follows them may be whole,
//! torn, or missing in parts: it is cut off here, in memory, and dispatched again from the log. On disk it is erased later,
//! when it is certain that the store opens.

use std::sync::Arc;

use protocol::{PhysicalOffset, message::parse_record};
use quirks::Quirk;

use super::{ConsumeQueue, ConsumeQueueUnit, UNIT_BYTES, units};
use crate::{
    commit_log::CommitLog,
    durable,
    error::{StoreError, lock},
    segment::{SCAN_CHUNK_BYTES, Segment, segment_name},
    segment_dir::SegmentListing,
};

/// What is to be done on disk before the queue is written.
#[derive(Debug, Default)]
pub(super) struct Repair {
    /// Files without a unit that counts, in order.
    pub remove: Vec<Arc<Segment>>,
    /// A file whose creation a crash cut short.
    pub remove_unfinished: Option<u64>,
    /// The byte of the last file from which on nothing counts.
    pub erase_from: Option<u64>,
}

impl ConsumeQueue {
    /// Takes up the queue's files: the units of records below `limit`, in order. What follows them in the last file is to be
    /// erased; with `erase` it is looked for even behind zeros. `log` confirms the last unit.
    pub(crate) async fn load(
        &self,
        listing: &SegmentListing,
        limit: PhysicalOffset,
        erase: bool,
        log: &CommitLog,
    ) -> Result<(), StoreError> {
        let mut segments = Vec::with_capacity(listing.starts.len());
        for start in &listing.starts {
            segments.push(Arc::new(Segment::existing(&self.series, *start)));
        }
        let mut repair = Repair { remove_unfinished: listing.unfinished, ..Repair::default() };
        // A file begins with a unit that counts, or nothing in it counts.
        while let Some(last) = segments.last() {
            let first_unit = last.read(0, UNIT_BYTES).await?;
            if units(&first_unit).any(|unit| counts(&unit, None, limit)) {
                break;
            }
            repair.remove.extend(segments.pop());
        }
        repair.remove.reverse();
        let mut max = 0;
        if let Some(last) = segments.last() {
            let (mut count, is_cut) = count_units(last, limit).await?;
            let counted = count;
            let start = last.start() / UNIT_BYTES as u64;
            // A unit torn in two may point too low and so seem to count; the units after it do not. The log knows.
            while count > 0 && !self.is_confirmed(last, count - 1, log).await? {
                count -= 1;
            }
            max = (start + count).cast_signed();
            let end = count * UNIT_BYTES as u64;
            if (erase || is_cut || count < counted) && end < self.series.size_bytes {
                repair.erase_from = Some(end);
            }
            if count == 0 && segments.len() == 1 {
                repair.erase_from = None;
                repair.remove.splice(..0, segments.drain(..));
                max = 0;
            }
        }
        let mut state = lock(&self.state);
        let min = segments.first().map_or(0, |first| (first.start() / UNIT_BYTES as u64).cast_signed());
        (state.min, state.max, state.next) = (min, max, max);
        (state.tail_start, state.synced) = (max, max);
        state.tail.clear();
        (state.dirty_since_ms, state.flushing_since_ms) = (None, None);
        state.segments = segments;
        self.list(&mut state);
        let is_needed = repair.erase_from.is_some() || repair.remove_unfinished.is_some() || !repair.remove.is_empty();
        state.repair = is_needed.then_some(repair);
        Ok(())
    }

    /// Whether unit `number` of a file leads to the record of exactly that message, or below what the log still has.
    async fn is_confirmed(&self, segment: &Segment, number: u64, log: &CommitLog) -> Result<bool, StoreError> {
        if self.quirks.has(Quirk::CheckpointBeforeQueues) {
            return Ok(true);
        }
        let bytes = segment.read(number * UNIT_BYTES as u64, UNIT_BYTES).await?;
        let Some(unit) = units(&bytes).next() else { return Ok(false) };
        if unit.is_blank() || unit.physical_offset < log.min_offset() {
            return Ok(true);
        }
        let Ok(size) = usize::try_from(unit.size_bytes) else { return Ok(false) };
        let Some(record) = log.record(unit.physical_offset, size).await? else { return Ok(false) };
        let offset = (segment.start() / UNIT_BYTES as u64 + number).cast_signed();
        Ok(parse_record(&record).is_ok_and(|record| {
            record.topic == &*self.topic && record.queue_id == self.queue_id && record.queue_offset.0 == offset
        }))
    }

    /// Removes and erases what [`ConsumeQueue::load`] found not to count, durably.
    pub(super) async fn repair(&self) -> Result<(), StoreError> {
        let Some(repair) = lock(&self.state).repair.take() else { return Ok(()) };
        if let Some(start) = repair.remove_unfinished {
            durable::remove_file(&self.series.directory.join(segment_name(start))).await?;
        }
        // The last one first: a crash on the way leaves no gap.
        for segment in repair.remove.iter().rev() {
            segment.remove().await?;
        }
        let last = lock(&self.state).segments.last().cloned();
        if let (Some(from), Some(last)) = (repair.erase_from, last)
            && last.erase_from(from).await?
        {
            last.sync_data().await?;
        }
        Ok(())
    }

    /// [`ConsumeQueue::repair`], when no flush is due.
    pub(crate) async fn finish_repair(&self) -> Result<(), StoreError> {
        let _flushing = self.flushing.lock().await;
        self.repair().await
    }
}

/// Whether a unit leads to a record below `limit` that lies after the previous unit's.
fn counts(unit: &ConsumeQueueUnit, previous: Option<&ConsumeQueueUnit>, limit: PhysicalOffset) -> bool {
    if unit.is_blank() {
        return previous.is_none_or(ConsumeQueueUnit::is_blank);
    }
    let follows = previous.is_none_or(|previous| previous.is_blank() || unit.physical_offset >= previous.record_end());
    unit.size_bytes > 0 && unit.physical_offset.0 >= 0 && unit.record_end() <= limit && follows
}

/// How many units of the file count, and whether the next one is there but does not.
async fn count_units(segment: &Segment, limit: PhysicalOffset) -> Result<(u64, bool), StoreError> {
    let mut buffer = vec![0; (SCAN_CHUNK_BYTES / 4).next_multiple_of(UNIT_BYTES)];
    let mut previous: Option<ConsumeQueueUnit> = None;
    let mut count = 0;
    loop {
        let length = segment.read_into(&mut buffer, count * UNIT_BYTES as u64).await?;
        if length == 0 {
            return Ok((count, false));
        }
        for unit in units(&buffer[..length]) {
            if !counts(&unit, previous.as_ref(), limit) {
                return Ok((count, unit.size_bytes != 0 || unit.physical_offset.0 != 0));
            }
            previous = Some(unit);
            count += 1;
        }
    }
}

//! Opening a queue's files, as far as they can be believed.
//!
//! The queue ends with the last unit that the log confirms and whose record ends below `limit` (recovery says how that is
//! found); it is looked for from the back, so that damage before it hides nothing. What follows it is cut off here, in memory,
//! and dispatched again from the log, mostly to what is there. What the files have beyond that is erased later, when it is certain
//! that the store opens. Units before it are confirmed when they are read. Files that are missing or have a wrong length are made anew, empty, and filled from the log.

use std::sync::Arc;

use protocol::{PhysicalOffset, QueueOffset};
use quirks::Quirk;

use super::{ConsumeQueue, ConsumeQueueUnit, UNIT_BYTES, confirm::Verdict, units};
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
    /// Files whose creation a crash cut short, or that are damaged as a whole.
    pub remove_unusable: Vec<u64>,
    /// Files to be made between others, empty.
    pub create: Vec<u64>,
    /// The files have nothing but zeros from this offset of the queue on. What lies between the queue's end and here is to be
    /// erased.
    pub content_end: i64,
}

impl Repair {
    fn is_needed(&self, max: i64) -> bool {
        let Repair { remove, remove_unusable, create, content_end } = self;
        !remove.is_empty() || !remove_unusable.is_empty() || !create.is_empty() || *content_end > max
    }
}

/// Where the units of a file end that count.
#[derive(Debug, Default)]
struct End {
    /// So many units count.
    count: u64,
    /// The last of them.
    last: Option<ConsumeQueueUnit>,
    /// What follows this unit is only zeros.
    content: u64,
    /// Some of that cannot be explained.
    is_doubtful: bool,
    beyond: Option<(u64, PhysicalOffset)>,
}

impl ConsumeQueue {
    /// Takes up the queue's files: the units of records below `limit`. What follows them is to be erased, but for what is
    /// dispatched again. After a crash of the process alone names and sizes of files may be in memory only. Returns from where on the queue may lack records, if there are units that can
    /// be no queue's end and say nothing.
    pub(crate) async fn load(
        &self,
        listing: &SegmentListing,
        limit: PhysicalOffset,
        is_after_crash: bool,
        log: &CommitLog,
    ) -> Result<Option<PhysicalOffset>, StoreError> {
        let mut segments = Vec::with_capacity(listing.starts.len());
        for start in &listing.starts {
            segments.push(Arc::new(Segment::existing(&self.series, *start)));
        }
        let remove_unusable = listing.unfinished.iter().chain(&listing.damaged).copied().collect();
        let mut repair = Repair { remove_unusable, ..Repair::default() };
        let is_end_damaged =
            listing.damaged.last().is_some_and(|start| listing.starts.last().is_none_or(|last| start > last));
        let mut left_out = None;
        let mut is_doubtful = is_end_damaged;
        let mut max = 0;
        let mut last_unit = None;
        // So many files have units that count.
        let mut counting = segments.len();
        while let Some(segment) = counting.checked_sub(1).map(|last| &segments[last]) {
            let end = self.find_end(segment, limit, log).await?;
            let first = segment.start() / UNIT_BYTES as u64;
            if let Some((number, place)) = end.beyond {
                // What comes after it is beyond too.
                is_doubtful = false;
                left_out = Some((QueueOffset((first + number).cast_signed()), place));
            }
            is_doubtful |= end.is_doubtful;
            repair.content_end = repair.content_end.max((first + end.content).cast_signed());
            if end.count > 0 {
                max = (first + end.count).cast_signed();
                last_unit = end.last;
                break;
            }
            counting -= 1;
        }
        // What is dispatched again goes to the files that follow, if they do.
        let surplus = segments.split_off(counting);
        let kept = segments.len();
        for segment in surplus {
            if segment.start() == segments.last().map_or(0, |last| last.end()) {
                segments.push(segment);
            } else {
                repair.remove.push(segment);
            }
        }
        let last_unit = last_unit.filter(|unit| !unit.is_blank());
        let known_below = last_unit.map_or(PhysicalOffset::ZERO, |unit| unit.record_end());
        if let (Some(first), Some(last)) = (segments.first(), segments[..kept].last()) {
            // What is missing between others was there, and so was a file of a wrong length.
            let first = first.start().min(listing.damaged.first().copied().unwrap_or(u64::MAX));
            let is_missing = |start: &u64| segments.iter().all(|segment| segment.start() != *start);
            repair.create = (first..last.start()).step_by(self.series.size_bytes as usize).filter(is_missing).collect();
        }
        let min = match (segments.first(), repair.create.first()) {
            (Some(first), Some(create)) if *create < first.start() => (create / UNIT_BYTES as u64).cast_signed(),
            (Some(first), _) => (first.start() / UNIT_BYTES as u64 + blanks(first).await?).cast_signed().min(max),
            (None, _) => 0,
        };
        let mut state = lock(&self.state);
        (state.min, state.max, state.next) = (min, max, max);
        (state.tail_start, state.synced) = (max, max);
        state.tail.clear();
        (state.dirty_since_ms, state.flushing_since_ms) = (None, None);
        state.segments = segments;
        self.list(&mut state);
        state.suspects.clear();
        state.suspects.extend(repair.create.iter().map(|start| (start / UNIT_BYTES as u64).cast_signed()));
        state.repair = repair.is_needed(max).then_some(repair);
        state.has_durable_names = !is_after_crash;
        state.last_synced = last_unit.map_or(PhysicalOffset(-1), |unit| unit.physical_offset);
        (state.known_below, state.left_out) = (known_below, left_out);
        Ok(is_doubtful.then_some(known_below))
    }

    /// Where the units of a file end that count, looked for from the back.
    async fn find_end(&self, segment: &Segment, limit: PhysicalOffset, log: &CommitLog) -> Result<End, StoreError> {
        let content = segment.content_end(0).await?.div_ceil(UNIT_BYTES as u64);
        let first = segment.start() / UNIT_BYTES as u64;
        let at_once = (SCAN_CHUNK_BYTES / 4 / UNIT_BYTES) as u64;
        let mut end = End { count: content, content, ..End::default() };
        while end.count > 0 {
            let from = end.count.saturating_sub(at_once);
            let bytes = segment.read(from * UNIT_BYTES as u64, (end.count - from) as usize * UNIT_BYTES).await?;
            let units: Vec<_> = units(&bytes).collect();
            for at in (0..units.len()).rev() {
                let (unit, number) = (units[at], from + at as u64);
                end.count = number + 1;
                end.last = Some(unit);
                let is_of_the_log = is_below(&unit, log.written_offset());
                if unit.is_blank() || self.quirks.has(Quirk::CheckpointBeforeQueues) && is_below(&unit, limit) {
                    return Ok(end);
                }
                if is_of_the_log && !is_below(&unit, limit) {
                    end.beyond = Some((number, unit.physical_offset));
                    // What comes after it is beyond too.
                    end.is_doubtful = false;
                    continue;
                }
                let offset = QueueOffset((first + number).cast_signed());
                let before = at.checked_sub(1).map(|before| units[before]);
                let is_in_order =
                    before.is_none_or(|before| before.is_blank() || before.record_end() <= unit.physical_offset);
                match self.confirm_place(offset, &unit, log).await? {
                    Verdict::Right { .. } => return Ok(end),
                    Verdict::Expired if is_in_order => return Ok(end),
                    Verdict::Expired | Verdict::Wrong => end.is_doubtful = true,
                }
            }
            end.count = from;
        }
        Ok(End { last: None, ..end })
    }

    /// Removes, makes and erases what [`ConsumeQueue::load`] found to be necessary, durably.
    pub(super) async fn repair(&self) -> Result<(), StoreError> {
        let Some(repair) = lock(&self.state).repair.take() else { return Ok(()) };
        for start in repair.remove_unusable {
            durable::remove_file(&self.series.directory.join(segment_name(start))).await?;
        }
        // The last one first: a crash on the way leaves no gap.
        for segment in repair.remove.iter().rev() {
            segment.remove().await?;
        }
        for start in repair.create {
            let segment = Arc::new(Segment::create(&self.series, start).await?);
            let segments = &mut lock(&self.state).segments;
            let at = segments.partition_point(|other| other.start() < start);
            segments.insert(at, segment);
        }
        let (end, last, surplus) = {
            let mut state = lock(&self.state);
            if repair.content_end <= state.max {
                return Ok(());
            }
            let end = state.max.cast_unsigned() * UNIT_BYTES as u64;
            let kept = state.segments.partition_point(|segment| segment.start() < end);
            let surplus = state.segments.split_off(kept);
            (end, state.segments.last().cloned(), surplus)
        };
        for segment in surplus.iter().rev() {
            segment.remove().await?;
        }
        if let Some(last) = last
            && end < last.end()
            && last.erase_from(end - last.start()).await?
        {
            last.sync_data().await?;
        }
        Ok(())
    }

    /// Whether units are to be erased that were on the drive.
    pub(crate) fn loses_units(&self) -> bool {
        let state = lock(&self.state);
        state.repair.as_ref().is_some_and(|repair| repair.content_end > state.max || !repair.remove.is_empty())
    }

    /// The queue had units from `min` on, and files are missing before those that were found: they are to be made, and mended.
    pub(crate) fn begin_at_claimed(&self, min: i64) {
        let per_segment = self.units_per_segment();
        let mut state = lock(&self.state);
        let Some(first) = state.segments.first().map(|first| first.start().cast_signed() / UNIT_BYTES as i64) else {
            return;
        };
        let missing: Vec<i64> = ((min - min % per_segment)..first).step_by(per_segment as usize).collect();
        if missing.is_empty() {
            return;
        }
        tracing::warn!(topic = %self.topic, queue_id = self.queue_id, files = missing.len(), "files of a ConsumeQueue are missing: they are made anew");
        let repair = state.repair.get_or_insert_default();
        for file in &missing {
            let start = file.cast_unsigned() * UNIT_BYTES as u64;
            if !repair.create.contains(&start) {
                repair.create.push(start);
            }
        }
        state.suspects.extend(missing);
        state.min = min;
    }

    /// [`ConsumeQueue::repair`], when no flush is due.
    pub(crate) async fn finish_repair(&self) -> Result<(), StoreError> {
        let _flushing = self.flushing.lock().await;
        self.repair().await
    }
}

/// How many blank units a file begins with.
async fn blanks(segment: &Segment) -> Result<u64, StoreError> {
    let mut buffer = vec![0; (SCAN_CHUNK_BYTES / 4).next_multiple_of(UNIT_BYTES)];
    let mut count = 0;
    loop {
        // Mostly there is none.
        let wanted = if count == 0 { UNIT_BYTES } else { buffer.len() };
        let length = segment.read_into(&mut buffer[..wanted], count * UNIT_BYTES as u64).await?;
        let blank = units(&buffer[..length]).take_while(ConsumeQueueUnit::is_blank).count();
        count += blank as u64;
        if blank * UNIT_BYTES < length || length == 0 {
            return Ok(count);
        }
    }
}

/// Whether a unit may lead to a record below `limit`.
fn is_below(unit: &ConsumeQueueUnit, limit: PhysicalOffset) -> bool {
    unit.size_bytes > 0 && unit.physical_offset.0 >= 0 && unit.record_end() <= limit
}

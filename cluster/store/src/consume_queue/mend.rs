//! Mending a queue's file that disagrees with the log.
//!
//! Whoever finds a unit that the log does not confirm names its file a suspect. Every unit of it is then held against the log;
//! for those that are wrong the records between their nearest neighbours that are right are looked through, and the units are
//! made as dispatching makes them. Whole pages are written, so that nothing of a page that was read wrongly goes back to the
//! drive with them. Of a file that is missing, or of another queue, every unit is wrong, and all its part of the log is read.
//!
//! Units of records that the log does not have any more, because they are damaged there, are remembered as lost.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use protocol::{PhysicalOffset, QueueOffset};
use sim::task;

use super::{ConsumeQueue, ConsumeQueueUnit, UNIT_BYTES, confirm::Verdict, units};
use crate::{
    commit_log::{CommitLog, walk::LogWalk},
    config::StoreConfig,
    deleted_topics::DeletedTopics,
    dispatch::{DeliverTimestamp, has_queue_offset, unit_of},
    error::{StoreError, lock},
    segment::{PAGE_BYTES, SCAN_CHUNK_BYTES, Segment},
};

/// After so many units others are let work.
const UNITS_AT_ONCE: usize = 256;

/// What mending needs to know of the store.
#[derive(Clone, Copy)]
pub(crate) struct Mender<'a> {
    pub log: &'a CommitLog,
    pub deliver_timestamp: &'a DeliverTimestamp,
    pub config: &'a StoreConfig,
    /// The end of what queues may have.
    pub until: PhysicalOffset,
    /// The store is being opened: queues may begin with units of records that are gone.
    pub is_starting: bool,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mended {
    /// Units that were made anew.
    pub units: usize,
    /// Units whose record is not in the log.
    pub lost: usize,
}

/// A file under examination.
struct Examined {
    segment: Arc<Segment>,
    /// The queue offset of the first unit that is looked at.
    first: i64,
    units: Vec<ConsumeQueueUnit>,
    /// Which beginning of the queue this is.
    generation: u64,
}

impl Examined {
    fn end(&self) -> i64 {
        self.first + self.units.len() as i64
    }
}

impl Mender<'_> {
    /// Holds a file of a queue, the one that begins with the unit `file`, against the log, and mends it.
    pub(crate) async fn mend(&self, queue: &ConsumeQueue, file: i64) -> Result<Mended, StoreError> {
        let _mending = queue.mending.lock().await;
        let Some(mut examined) = self.examine(queue, file).await? else {
            queue.trust(file);
            return Ok(Mended::default());
        };
        let wrong = self.wrong_units(queue, &examined).await?;
        let deleted = DeletedTopics::load(self.config).await?;
        let mut mended = Mended::default();
        let mut changed = Vec::new();
        // What the queue would begin with and the log does not have is expired, if anything is.
        let mut begins = examined.first;
        for range in wrong {
            let made = self.made_anew(queue, &examined, range.clone(), &deleted).await?;
            for number in range {
                let offset = examined.first + number as i64;
                match made.get(&offset) {
                    Some(unit) => {
                        examined.units[number] = *unit;
                        mended.units += 1;
                        changed.push(number);
                    }
                    None if offset == begins && offset <= queue.min_offset().0 && self.log.min_offset().0 > 0 => {
                        begins += 1;
                        queue.raise_min_offset(QueueOffset(begins));
                    }
                    // Expired meanwhile.
                    None if offset < queue.min_offset().0 => {}
                    None => {
                        queue.note_lost(offset);
                        mended.lost += 1;
                    }
                }
            }
        }
        if !changed.is_empty() {
            queue.write_mended(&examined, &changed).await?;
        }
        let Mended { units, lost } = mended;
        let (topic, queue_id) = (queue.topic(), queue.queue_id());
        let path = examined.segment.path().display().to_string();
        if units > 0 {
            tracing::warn!(%topic, queue_id, file = path, units, "a ConsumeQueue disagreed with the log: units are made anew");
        }
        if lost > 0 {
            tracing::error!(%topic, queue_id, file = path, lost, "a ConsumeQueue lacks messages: their records in the log are damaged");
        }
        queue.trust(file);
        Ok(mended)
    }

    /// Reads the units of a file that are on the drive and not expired; `None` if there are none any more.
    async fn examine(&self, queue: &ConsumeQueue, file: i64) -> Result<Option<Examined>, StoreError> {
        let per_segment = queue.units_per_segment();
        let (segment, first, end, generation) = {
            let state = lock(&queue.state);
            let Some(segment) = state.segment_of(file, per_segment) else { return Ok(None) };
            (segment, file.max(state.min), (file + per_segment).min(state.synced), state.generation)
        };
        let mut found = Vec::new();
        let mut at = first;
        while at < end {
            let count = (end - at).min((SCAN_CHUNK_BYTES / UNIT_BYTES) as i64);
            let position = ((at - file) * UNIT_BYTES as i64).cast_unsigned();
            match segment.read(position, count as usize * UNIT_BYTES).await {
                Ok(bytes) => found.extend(units(&bytes)),
                Err(error) => {
                    tracing::warn!(%error, "a part of a ConsumeQueue cannot be read: it is made anew");
                    found.extend(std::iter::repeat_n(ConsumeQueueUnit::ZERO, count as usize));
                }
            }
            at += count;
        }
        Ok((!found.is_empty()).then_some(Examined { segment, first, units: found, generation }))
    }

    /// Which units the log does not confirm, in runs.
    async fn wrong_units(&self, queue: &ConsumeQueue, examined: &Examined) -> Result<Vec<Range<usize>>, StoreError> {
        let mut wrong: Vec<Range<usize>> = Vec::new();
        for (number, unit) in examined.units.iter().enumerate() {
            if number % UNITS_AT_ONCE == 0 {
                task::yield_now().await;
            }
            let offset = QueueOffset(examined.first + number as i64);
            if queue.confirm(offset, unit, self.log, self.deliver_timestamp).await?.is_right() {
                continue;
            }
            match wrong.last_mut() {
                Some(last) if last.end == number => last.end += 1,
                _ => wrong.push(number..number + 1),
            }
        }
        Ok(wrong)
    }

    /// The units of a run, from the records of the log.
    async fn made_anew(
        &self,
        queue: &ConsumeQueue,
        examined: &Examined,
        run: Range<usize>,
        deleted: &DeletedTopics,
    ) -> Result<BTreeMap<i64, ConsumeQueueUnit>, StoreError> {
        let offsets = examined.first + run.start as i64..examined.first + run.end as i64;
        let from = match run.start.checked_sub(1) {
            Some(before) => examined.units[before].record_end(),
            None => self.place_before(queue, offsets.start).await?,
        };
        let until = match examined.units.get(run.end) {
            Some(after) => after.physical_offset,
            None => self.place_after(queue, examined.end()).await?,
        };
        let mut made = BTreeMap::new();
        let mut walk = LogWalk::new(self.log, from, until);
        let mut visit = |record: &protocol::message::RecordView<'_>| {
            if record.queue_id == queue.queue_id
                && record.topic == &*queue.topic
                && has_queue_offset(record.sys_flag)
                && offsets.contains(&record.queue_offset.0)
                && !deleted.covers(record.topic, record.physical_offset)
            {
                // Of two the first counts, as when they are dispatched.
                made.entry(record.queue_offset.0).or_insert_with(|| unit_of(record, self.deliver_timestamp));
            }
        };
        while walk.next_stretch(&mut visit).await? {
            task::yield_now().await;
        }
        Ok(made)
    }

    /// Where the record ends that is the nearest before `offset` of which the queue is right; else where the log begins.
    async fn place_before(&self, queue: &ConsumeQueue, offset: i64) -> Result<PhysicalOffset, StoreError> {
        let min = queue.min_offset().0;
        let mut step = 1;
        while offset - step >= min {
            if let Some(unit) = self.right_unit(queue, offset - step).await? {
                return Ok(unit.record_end());
            }
            step *= 2;
        }
        Ok(self.log.min_offset())
    }

    /// Where the record begins that is the nearest from `offset` on of which the queue is right; else the end of what it may have.
    async fn place_after(&self, queue: &ConsumeQueue, offset: i64) -> Result<PhysicalOffset, StoreError> {
        let max = queue.max_offset().0;
        let mut step = 0;
        while offset + step < max {
            if let Some(unit) = self.right_unit(queue, offset + step).await? {
                return Ok(unit.physical_offset);
            }
            step = 2 * step + 1;
        }
        Ok(self.until)
    }

    async fn right_unit(&self, queue: &ConsumeQueue, offset: i64) -> Result<Option<ConsumeQueueUnit>, StoreError> {
        let Ok(read) = queue.read(QueueOffset(offset), 1).await else { return Ok(None) };
        let Some(unit) = read.units.first().copied() else { return Ok(None) };
        let is_right = read.are_own
            || matches!(queue.confirm_place(QueueOffset(offset), &unit, self.log).await?, Verdict::Right { .. });
        Ok(is_right.then_some(unit))
    }
}

impl ConsumeQueue {
    /// Says that a unit at `offset`, which was read from a file, is wrong: its file is to be mended. Returns whether there is
    /// such a file.
    pub(crate) fn suspect(&self, offset: QueueOffset) -> bool {
        let file = self.file_of(offset);
        let mut state = lock(&self.state);
        if offset.0 < state.min || offset.0 >= state.synced {
            return false;
        }
        state.suspects.insert(file);
        true
    }

    /// The first offset of the file with this offset.
    pub(super) fn file_of(&self, offset: QueueOffset) -> i64 {
        offset.0 - offset.0 % self.units_per_segment()
    }

    /// A file that is to be mended.
    pub(crate) fn next_suspect(&self) -> Option<i64> {
        lock(&self.state).suspects.first().copied()
    }

    /// Whether the file with this offset is to be mended.
    pub(crate) fn is_suspect(&self, offset: QueueOffset) -> bool {
        lock(&self.state).suspects.contains(&self.file_of(offset))
    }

    fn trust(&self, file: i64) {
        lock(&self.state).suspects.remove(&file);
    }

    /// Whether the log does not have the record of this offset any more.
    pub(crate) fn is_lost(&self, offset: QueueOffset) -> bool {
        lock(&self.state).lost.contains(&offset.0)
    }

    fn note_lost(&self, offset: i64) {
        lock(&self.state).lost.insert(offset);
    }

    /// Writes the pages that have changed units, and syncs them. Until they are on the drive, and if they cannot be written, the
    /// units are given from memory.
    async fn write_mended(&self, examined: &Examined, changed: &[usize]) -> Result<(), StoreError> {
        let _flushing = self.flushing.lock().await;
        {
            let mut state = lock(&self.state);
            if state.generation != examined.generation || state.deleted {
                return Ok(());
            }
            for number in changed {
                state.mended.insert(examined.first + *number as i64, examined.units[*number]);
            }
        }
        let segment = &examined.segment;
        let first_byte = examined.first.cast_unsigned() * UNIT_BYTES as u64 - segment.start();
        let bytes: Vec<u8> = examined.units.iter().flat_map(ConsumeQueueUnit::encode).collect();
        let result = async {
            let end_byte = first_byte + bytes.len() as u64;
            let mut written_to = first_byte;
            for number in changed {
                let byte = first_byte + (*number * UNIT_BYTES) as u64;
                let from = (byte - byte % PAGE_BYTES).max(written_to);
                let until = (byte + UNIT_BYTES as u64).next_multiple_of(PAGE_BYTES).min(end_byte);
                if from < until {
                    segment.write(&bytes[(from - first_byte) as usize..(until - first_byte) as usize], from).await?;
                    written_to = until;
                }
            }
            segment.sync_data().await
        };
        match result.await {
            Ok(()) => {
                let mut state = lock(&self.state);
                for number in changed {
                    state.mended.remove(&(examined.first + *number as i64));
                }
            }
            Err(error) => {
                tracing::error!(%error, "mended units of a ConsumeQueue are in memory only: the next start mends them again");
            }
        }
        Ok(())
    }
}

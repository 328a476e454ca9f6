//! One ConsumeQueue: the messages of one queue of one topic, as an array of places in the CommitLog.
//!
//! It can always be rebuilt from the log, so it is never part of an acknowledgement: new units live in memory, where pulls
//! at the tail find them, and are written and synced in batches by the flush timer (see [`crate::flush`]). A process kill
//! loses what Apache's memory-mapped queue would keep; recovery dispatches that part of the log again.

mod common;
mod confirm;
mod flush;
mod load;
mod mend;
mod search;
mod table;
mod unit;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, Weak},
};

use protocol::{PhysicalOffset, QueueOffset};
use quirks::QuirkSet;

use crate::{
    config::StoreConfig,
    error::{StoreError, lock},
    segment::{Segment, Series},
};
pub(crate) use common::Common;
use common::Lists;
pub(crate) use confirm::Verdict;
use load::Repair;
pub(crate) use mend::Mender;
pub(crate) use search::{Cut, Depth};
pub(crate) use table::{ConsumeQueueTable, FoundQueue, found_on_disk};
pub use unit::ConsumeQueueUnit;
pub(crate) use unit::{UNIT_BYTES, units};

/// So many different tags codes of a queue are remembered as right.
const TAGS_CODES_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct ConsumeQueue {
    topic: Arc<str>,
    queue_id: i32,
    series: Series,
    common: Arc<Common>,
    /// Itself, for the lists of [`Common`].
    me: Weak<ConsumeQueue>,
    quirks: QuirkSet,
    state: Mutex<State>,
    /// Held while units are written, or files removed.
    flushing: Arc<tokio::sync::Mutex<()>>,
    /// Held while a file is held against the log.
    mending: tokio::sync::Mutex<()>,
}

/// Units of a queue.
#[derive(Debug, Default)]
pub(crate) struct Units {
    /// In order.
    pub units: Vec<ConsumeQueueUnit>,
    /// They are in this process's memory since it has dispatched them. Units from a file have to be confirmed by the log.
    pub are_own: bool,
}

#[derive(Debug, Default)]
struct State {
    /// The queue offset that the next message gets; runs ahead of `max` by what is not dispatched yet.
    next: i64,
    /// The first offset whose record is still in the log.
    min: i64,
    /// The offset after the last dispatched message.
    max: i64,
    /// In order, without gaps.
    segments: Vec<Arc<Segment>>,
    /// The units `tail_start..max`.
    tail: VecDeque<ConsumeQueueUnit>,
    tail_start: i64,
    /// The units below are on the drive.
    synced: i64,
    /// Where the record of the last of them is; negative if there is none.
    last_synced: PhysicalOffset,
    /// STORETIMESTAMP of the first unit that no flush has taken up yet.
    dirty_since_ms: Option<i64>,
    /// STORETIMESTAMP of the first unit that the running flush writes.
    flushing_since_ms: Option<i64>,
    /// A power loss leaves the names and sizes of the files as they are.
    has_durable_names: bool,
    /// What recovery found to be repaired on disk before anything is written.
    repair: Option<Repair>,
    /// Files, by their first offset, that do not agree with the log and are to be mended.
    suspects: BTreeSet<i64>,
    /// Units that are right and could not be written to their file.
    mended: BTreeMap<i64, ConsumeQueueUnit>,
    /// Offsets whose record the log does not have any more.
    lost: BTreeSet<i64>,
    /// Tags codes that records of the queue have.
    tags_codes: BTreeSet<i64>,
    /// Recovery has found the units of all records below.
    known_below: PhysicalOffset,
    /// The first unit that recovery has left out, and the record to which it leads.
    left_out: Option<(QueueOffset, PhysicalOffset)>,
    /// How often the queue has begun anew.
    generation: u64,
    /// The topic was deleted: nothing may be written any more.
    deleted: bool,
    /// The lists on which it is.
    lists: Lists,
}

/// What became of a unit that recovery found in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redispatched {
    Appended,
    /// Recovery has found it in the queue's files.
    There,
    /// The queue has that offset already.
    Known,
    /// Units between the queue's end and this one are missing.
    Gap,
}

impl ConsumeQueue {
    pub(crate) fn new(config: &StoreConfig, common: &Arc<Common>, topic: Arc<str>, queue_id: i32) -> Arc<ConsumeQueue> {
        let series = Series {
            directory: table::queue_dir(config, &topic, queue_id).into(),
            size_bytes: config.mapped_file_size_consume_queue_bytes,
            open_files: Arc::clone(&common.open_files),
        };
        Arc::new_cyclic(|me| ConsumeQueue {
            series,
            common: Arc::clone(common),
            me: Weak::clone(me),
            quirks: config.quirks,
            topic,
            queue_id,
            state: Mutex::default(),
            flushing: Arc::default(),
            mending: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub(crate) fn queue_id(&self) -> i32 {
        self.queue_id
    }

    /// Takes `count` queue offsets for messages that are about to be written; returns the first. Only the appender calls it.
    pub(crate) fn assign(&self, count: i64) -> QueueOffset {
        let mut state = lock(&self.state);
        let first = state.next;
        state.next += count;
        QueueOffset(first)
    }

    /// The messages that were to have this offset and those after it were not written.
    pub(crate) fn take_back(&self, first: QueueOffset) {
        let mut state = lock(&self.state);
        state.next = state.next.min(first.0);
    }

    /// The queue offset that the next message will get.
    pub(crate) fn next_offset(&self) -> QueueOffset {
        QueueOffset(lock(&self.state).next)
    }

    pub(crate) fn min_offset(&self) -> QueueOffset {
        QueueOffset(lock(&self.state).min)
    }

    /// The offset after the last message that consumers may see.
    pub(crate) fn max_offset(&self) -> QueueOffset {
        QueueOffset(lock(&self.state).max)
    }

    /// Appends the unit of a message that has become visible.
    ///
    /// # Panics
    /// When `offset` is not the queue's end: messages become visible in the order in which they were written.
    pub(crate) fn append(&self, offset: QueueOffset, unit: ConsumeQueueUnit, store_timestamp_ms: i64) {
        let mut state = lock(&self.state);
        assert_eq!(offset.0, state.max, "queue {}/{} is dispatched in order", self.topic, self.queue_id);
        self.push(&mut state, unit, store_timestamp_ms);
    }

    /// Takes the place that another replica has given to a message; the next message of this queue comes after it.
    pub(crate) fn follow(&self, offset: QueueOffset) {
        let mut state = lock(&self.state);
        // At 0 the topic was deleted and made anew.
        if offset.0 >= state.next || offset.0 == 0 {
            state.next = offset.0 + 1;
        }
    }

    /// Appends the unit of a message of another replica's log that has become visible. What does not follow is no reason to
    /// stop: the log is the other replica's, and this queue is what recovery would make of it.
    pub(crate) fn append_copy(&self, offset: QueueOffset, unit: ConsumeQueueUnit, store_timestamp_ms: i64) {
        let next = {
            let mut state = lock(&self.state);
            if offset.0 == state.max {
                self.push(&mut state, unit, store_timestamp_ms);
                return;
            }
            state.next
        };
        let (topic, queue_id, place) = (&self.topic, self.queue_id, unit.physical_offset.0);
        match self.redispatch(offset, unit, store_timestamp_ms) {
            Redispatched::Appended | Redispatched::There => {}
            Redispatched::Known => tracing::warn!(
                %topic,
                queue_id,
                queue_offset = offset.0,
                physical_offset = place,
                "a second record with a queue offset that is taken: left out of the queue"
            ),
            Redispatched::Gap => {
                tracing::warn!(
                    %topic,
                    queue_id,
                    queue_offset = offset.0,
                    physical_offset = place,
                    "a record that does not follow in its queue: the queue begins anew with it"
                );
                self.restart_at(offset);
                self.redispatch(offset, unit, store_timestamp_ms);
            }
        }
        // What is written already, but not visible, has its place too.
        lock(&self.state).next = next;
    }

    /// Appends a unit that recovery has found in the log, unless it is known or does not follow.
    pub(crate) fn redispatch(
        &self,
        offset: QueueOffset,
        unit: ConsumeQueueUnit,
        store_timestamp_ms: i64,
    ) -> Redispatched {
        let mut state = lock(&self.state);
        let is_empty = state.max == 0;
        if unit.physical_offset < state.known_below {
            return Redispatched::There;
        } else if offset.0 == state.max {
            self.push(&mut state, unit, store_timestamp_ms);
        } else if offset.0 == 0 {
            // The topic was deleted and made anew: what the log has of the old one is no part of the queue any more.
            self.begin_at(&mut state, 0);
            self.push(&mut state, unit, store_timestamp_ms);
        } else if offset.0 < state.max {
            return Redispatched::Known;
        } else if is_empty {
            // The queue's beginning is not in the log any more, or was deleted.
            self.begin_at(&mut state, offset.0);
            self.push(&mut state, unit, store_timestamp_ms);
        } else {
            return Redispatched::Gap;
        }
        state.next = state.max;
        Redispatched::Appended
    }

    /// Appends a unit wherever the queue ends (`ConsumeQueue.putMessagePositionInfo`, which only logs that the place is wrong).
    pub(crate) fn append_out_of_place(&self, unit: ConsumeQueueUnit, store_timestamp_ms: i64) {
        let mut state = lock(&self.state);
        self.push(&mut state, unit, store_timestamp_ms);
        state.next = state.max;
    }

    /// Begins the queue anew at an offset: what it had before leads to nothing that is still in the log.
    pub(crate) fn restart_at(&self, offset: QueueOffset) {
        self.begin_at(&mut lock(&self.state), offset.0);
    }

    fn push(&self, state: &mut State, unit: ConsumeQueueUnit, store_timestamp_ms: i64) {
        state.tail.push_back(unit);
        state.max += 1;
        state.dirty_since_ms.get_or_insert(store_timestamp_ms);
        self.common.note_appended();
        self.list(state);
    }

    /// Puts the queue on the lists on which it belongs.
    fn list(&self, state: &mut State) {
        let units = if state.deleted { 0 } else { state.max - state.synced };
        let lists = self.common.lists_of(units);
        if lists != state.lists
            && let Some(me) = self.me.upgrade()
        {
            state.lists = lists;
            self.common.put_on(lists, &me);
        }
    }

    fn begin_at(&self, state: &mut State, offset: i64) {
        let dropped = std::mem::take(&mut state.segments);
        let repair = state.repair.get_or_insert_default();
        repair.content_end = 0;
        repair.remove.splice(..0, dropped);
        // The file's units before the first are blank, as fillPreBlank leaves them.
        let units_per_segment = self.units_per_segment();
        let file_start = offset - offset % units_per_segment;
        state.tail.clear();
        state.tail.extend(std::iter::repeat_n(ConsumeQueueUnit::BLANK, (offset - file_start) as usize));
        state.tail_start = file_start;
        state.synced = file_start;
        state.last_synced = PhysicalOffset(-1);
        state.suspects.clear();
        state.mended.clear();
        state.lost.clear();
        state.generation += 1;
        (state.known_below, state.left_out) = (PhysicalOffset::ZERO, None);
        (state.min, state.max, state.next) = (offset, offset, offset);
        (state.dirty_since_ms, state.flushing_since_ms) = (None, None);
    }

    fn forget_units(&self) {
        let mut state = lock(&self.state);
        state.tail.clear();
        (state.tail_start, state.synced) = (state.max, state.max);
        self.list(&mut state);
    }

    fn units_per_segment(&self) -> i64 {
        self.series.size_bytes.cast_signed() / UNIT_BYTES as i64
    }

    /// Up to `count` units from `offset` on, as they are; fewer at the end of a file or of the queue.
    pub(crate) async fn read(&self, offset: QueueOffset, count: usize) -> Result<Units, StoreError> {
        let (segment, until) = {
            let state = lock(&self.state);
            let until = state.max.min(offset.0.saturating_add(i64::try_from(count).unwrap_or(i64::MAX)));
            if offset.0 < 0 || offset.0 >= until {
                return Ok(Units::default());
            }
            if offset.0 >= state.tail_start {
                let range = (offset.0 - state.tail_start) as usize..(until - state.tail_start) as usize;
                return Ok(Units { units: state.tail.range(range).copied().collect(), are_own: true });
            }
            let Some(segment) = state.segment_of(offset.0, self.units_per_segment()) else {
                return Ok(Units::default());
            };
            (segment, until.min(state.tail_start))
        };
        let start = segment.start().cast_signed() / UNIT_BYTES as i64;
        let until = until.min(start + self.units_per_segment());
        let bytes = segment
            .read(((offset.0 - start) * UNIT_BYTES as i64) as u64, ((until - offset.0) * UNIT_BYTES as i64) as usize)
            .await?;
        let mut units: Vec<_> = units(&bytes).collect();
        for (mended, unit) in lock(&self.state).mended.range(offset.0..until) {
            units[(mended - offset.0) as usize] = *unit;
        }
        Ok(Units { units, are_own: false })
    }

    /// The unit at `offset`, if this process has dispatched it and still has it in memory.
    pub(crate) fn own_unit(&self, offset: QueueOffset) -> Option<ConsumeQueueUnit> {
        let state = lock(&self.state);
        let at = usize::try_from(offset.0.checked_sub(state.tail_start)?).ok()?;
        state.tail.get(at).copied().filter(|unit| !unit.is_blank())
    }

    /// Recovery has found the units of all records of the queue below.
    pub(crate) fn known_below(&self) -> PhysicalOffset {
        lock(&self.state).known_below
    }

    /// Where the record of the last unit is that is on the drive; negative if there is none.
    pub(crate) fn last_synced(&self) -> PhysicalOffset {
        lock(&self.state).last_synced
    }

    /// The first unit that recovery has left out because its record lies beyond what it loads, and where that is.
    pub(crate) fn left_out(&self) -> Option<(QueueOffset, PhysicalOffset)> {
        lock(&self.state).left_out
    }

    /// Whether a record of the queue is known to have this tags code.
    pub(crate) fn knows_tags_code(&self, tags_code: i64) -> bool {
        lock(&self.state).tags_codes.contains(&tags_code)
    }

    /// Takes down that a record of the queue has this tags code.
    pub(crate) fn note_tags_code(&self, tags_code: i64) {
        let codes = &mut lock(&self.state).tags_codes;
        if codes.len() < TAGS_CODES_MAX {
            codes.insert(tags_code);
        }
    }
}

impl State {
    fn segment_of(&self, offset: i64, units_per_segment: i64) -> Option<Arc<Segment>> {
        let first = self.segments.first()?.start().cast_signed() / UNIT_BYTES as i64;
        let number = usize::try_from((offset - first).checked_div(units_per_segment)?).ok()?;
        (offset >= first).then(|| self.segments.get(number).cloned()).flatten()
    }
}

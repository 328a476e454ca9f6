//! One ConsumeQueue: the messages of one queue of one topic, as an array of places in the CommitLog.
//!
//! It can always be rebuilt from the log, so it is never part of an acknowledgement: new units live in memory, where pulls
//! at the tail find them, and are written and synced in batches by the flush timer (see [`crate::flush`]). A process kill
//! loses what Apache's memory-mapped queue would keep; recovery dispatches that part of the log again.

mod common;
mod flush;
mod load;
mod table;
mod unit;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, Weak},
};

use protocol::{PhysicalOffset, QueueOffset};
use quirks::QuirkSet;

use crate::{
    commit_log::CommitLog,
    config::StoreConfig,
    error::{StoreError, lock},
    segment::{Segment, Series},
};
pub(crate) use common::Common;
use common::Lists;
use load::Repair;
pub(crate) use table::{ConsumeQueueTable, found_on_disk};
pub use unit::ConsumeQueueUnit;
pub(crate) use unit::{UNIT_BYTES, units};

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
    flushing: tokio::sync::Mutex<()>,
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
    /// STORETIMESTAMP of the first unit that no flush has taken up yet.
    dirty_since_ms: Option<i64>,
    /// STORETIMESTAMP of the first unit that the running flush writes.
    flushing_since_ms: Option<i64>,
    /// What recovery found to be repaired on disk before anything is written.
    repair: Option<Repair>,
    /// The topic was deleted: nothing may be written any more.
    deleted: bool,
    /// The lists on which it is.
    lists: Lists,
}

/// What became of a unit that recovery found in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redispatched {
    Appended,
    /// The queue has that offset already.
    Known,
    /// Units between the queue's end and this one are missing.
    Gap,
}

/// Where a queue is divided into the messages before and those behind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut<'a> {
    /// Records from this place on are behind.
    AtPlace(PhysicalOffset),
    /// Messages stored at this time (milliseconds) or later are behind.
    AtTime(i64, &'a CommitLog),
    /// Messages stored later than this are behind.
    AfterTime(i64, &'a CommitLog),
}

impl Cut<'_> {
    /// Whether the record at `place` is behind the cut.
    async fn is_before(&self, place: PhysicalOffset) -> Result<bool, StoreError> {
        // A record that is gone is older than every other.
        match *self {
            Cut::AtPlace(cut) => Ok(place >= cut),
            Cut::AtTime(cut_ms, log) => Ok(log.store_timestamp_ms(place).await?.is_some_and(|at_ms| at_ms >= cut_ms)),
            Cut::AfterTime(cut_ms, log) => Ok(log.store_timestamp_ms(place).await?.is_some_and(|at_ms| at_ms > cut_ms)),
        }
    }
}

impl ConsumeQueue {
    pub(crate) fn new(config: &StoreConfig, common: &Arc<Common>, topic: Arc<str>, queue_id: i32) -> Arc<ConsumeQueue> {
        let series = Series {
            directory: config.consume_queue_dir().join(&*topic).join(queue_id.to_string()).into(),
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
            flushing: tokio::sync::Mutex::default(),
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
            Redispatched::Appended => {}
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
        let is_empty = state.max == 0 && state.segments.is_empty();
        if offset.0 == state.max {
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
        repair.erase_from = None;
        repair.remove.splice(..0, dropped);
        // The file's units before the first are blank, as fillPreBlank leaves them.
        let units_per_segment = self.units_per_segment();
        let file_start = offset - offset % units_per_segment;
        state.tail.clear();
        state.tail.extend(std::iter::repeat_n(ConsumeQueueUnit::BLANK, (offset - file_start) as usize));
        state.tail_start = file_start;
        state.synced = file_start;
        (state.min, state.max, state.next) = (offset, offset, offset);
        (state.dirty_since_ms, state.flushing_since_ms) = (None, None);
    }

    fn units_per_segment(&self) -> i64 {
        self.series.size_bytes.cast_signed() / UNIT_BYTES as i64
    }

    /// Up to `count` units from `offset` on; fewer at the end of a file or of the queue.
    pub(crate) async fn read(&self, offset: QueueOffset, count: usize) -> Result<Vec<ConsumeQueueUnit>, StoreError> {
        let (segment, until) = {
            let state = lock(&self.state);
            let until = state.max.min(offset.0.saturating_add(i64::try_from(count).unwrap_or(i64::MAX)));
            if offset.0 < 0 || offset.0 >= until {
                return Ok(Vec::new());
            }
            if offset.0 >= state.tail_start {
                let range = (offset.0 - state.tail_start) as usize..(until - state.tail_start) as usize;
                return Ok(state.tail.range(range).copied().collect());
            }
            let Some(segment) = state.segment_of(offset.0, self.units_per_segment()) else { return Ok(Vec::new()) };
            (segment, until.min(state.tail_start))
        };
        let start = segment.start().cast_signed() / UNIT_BYTES as i64;
        let until = until.min(start + self.units_per_segment());
        let bytes = segment
            .read(((offset.0 - start) * UNIT_BYTES as i64) as u64, ((until - offset.0) * UNIT_BYTES as i64) as usize)
            .await?;
        Ok(units(&bytes).collect())
    }

    /// The unit at `offset`, if there is one.
    pub(crate) async fn unit(&self, offset: QueueOffset) -> Result<Option<ConsumeQueueUnit>, StoreError> {
        Ok(self.read(offset, 1).await?.pop())
    }

    /// The first offset in `min..max` whose message lies behind the cut, or `max`.
    pub(crate) async fn partition_point(&self, cut: Cut<'_>) -> Result<QueueOffset, StoreError> {
        let (mut low, mut high) = {
            let state = lock(&self.state);
            (state.min, state.max)
        };
        while low < high {
            let middle = low + (high - low) / 2;
            // A unit can only be absent when its file was removed meanwhile, as the files before it were.
            let is_behind = match self.unit(QueueOffset(middle)).await? {
                Some(unit) if !unit.is_blank() => cut.is_before(unit.physical_offset).await?,
                _ => false,
            };
            if is_behind { high = middle } else { low = middle + 1 }
        }
        Ok(QueueOffset(low))
    }

    /// Moves the queue's beginning to the first message whose record is not below `log_min` (`correctMinOffset`).
    pub(crate) async fn correct_min_offset(&self, log_min: PhysicalOffset) -> Result<(), StoreError> {
        let min = self.partition_point(Cut::AtPlace(log_min)).await?;
        let mut state = lock(&self.state);
        state.min = state.min.max(min.0);
        Ok(())
    }
}

impl State {
    fn segment_of(&self, offset: i64, units_per_segment: i64) -> Option<Arc<Segment>> {
        let first = self.segments.first()?.start().cast_signed() / UNIT_BYTES as i64;
        let number = usize::try_from((offset - first).checked_div(units_per_segment)?).ok()?;
        (offset >= first).then(|| self.segments.get(number).cloned()).flatten()
    }
}

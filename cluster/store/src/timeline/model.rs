//! The timeline as data: which records were stored when, and how a store that is opened again goes on from what was noted.
//!
//! Estimates lie on the late side, by at most [`SPACING_MS`] and a thousandth of what has passed since: a delay is never cut
//! short, and a file never taken for older than it is.

use protocol::PhysicalOffset;

/// Two clocks are cut to milliseconds, and compared.
const ROUNDING_MS: i64 = 2;
/// How far an estimate may lie behind what was true, and so how often an anchor is set while timestamps stand still.
const SPACING_MS: i64 = 20;
/// The same of records that come from another replica: a network lies between.
const SPACING_OF_COPIES_MS: i64 = 200;
/// Where so many anchors are kept, those that lie far back are joined: as many a second as then matter.
const ANCHORS_MAX: usize = 16 << 10;
/// Anchors are joined over so small a part of the time that has passed since.
const JOINED_PART: i64 = 1000;

/// A moment on a store's own clock, which nobody sets: see [the module](super). Only differences mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreTime(i64);

impl StoreTime {
    pub(super) const fn from_ms(ms: i64) -> StoreTime {
        StoreTime(ms)
    }

    pub(super) const fn ms(self) -> i64 {
        self.0
    }

    /// How many milliseconds have passed since `earlier`; 0 if it is later.
    #[must_use]
    pub const fn ms_since(self, earlier: StoreTime) -> i64 {
        let passed_ms = self.0.saturating_sub(earlier.0);
        if passed_ms > 0 { passed_ms } else { 0 }
    }

    /// The moment so many milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> StoreTime {
        StoreTime(self.0.saturating_add(ms))
    }
}

/// The record at `offset`, or the first after it, has this STORETIMESTAMP and was stored at this moment, or earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub offset: PhysicalOffset,
    pub timestamp_ms: i64,
    pub at: StoreTime,
    /// How much of the store's time up to here nobody was there to see, so that only the wall clock tells of it.
    pub unseen_ms: i64,
    /// What the wall clock showed at this moment.
    pub wall_ms: i64,
}

impl Anchor {
    /// When a record with this timestamp was stored, if timestamps have gone with the time since.
    fn predict(&self, timestamp_ms: i64) -> StoreTime {
        self.at.plus_ms(timestamp_ms.saturating_sub(self.timestamp_ms))
    }

    /// The moment to set for a record that is being put now, unless this anchor predicts it.
    pub(crate) fn correction(&self, timestamp_ms: i64, now: StoreTime) -> Option<StoreTime> {
        let behind_ms = now.ms().saturating_sub(self.predict(timestamp_ms).ms());
        match behind_ms {
            1.. => Some(now.plus_ms(SPACING_MS)),
            _ if behind_ms < -2 * SPACING_MS => Some(now.plus_ms(ROUNDING_MS)),
            _ => None,
        }
    }

    /// The same for a record of another replica, whose clock may differ from ours. It was not stored later than now. That it was
    /// stored now is known only of one that is `fresh`; another may have waited to be copied.
    pub(crate) fn correction_of_copy(&self, timestamp_ms: i64, now: StoreTime, fresh: bool) -> Option<StoreTime> {
        let behind_ms = now.ms().saturating_sub(self.predict(timestamp_ms).ms());
        match behind_ms {
            SPACING_OF_COPIES_MS.. if fresh => Some(now.plus_ms(SPACING_OF_COPIES_MS)),
            _ if behind_ms < -2 * SPACING_OF_COPIES_MS => Some(now.plus_ms(ROUNDING_MS)),
            _ => None,
        }
    }
}

/// What was noted when a store was opened or closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub boot_id: String,
    /// The clock since boot.
    pub since_boot_ms: i64,
    pub at: StoreTime,
    pub wall_ms: i64,
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub sighting: Option<Sighting>,
    pub anchors: Vec<Anchor>,
}

/// The clocks of the machine, read at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    pub boot_id: String,
    pub since_boot_ms: i64,
    pub wall_ms: i64,
}

/// When the records of a log were stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    /// In the order of their offsets and of their times, at least one.
    anchors: Vec<Anchor>,
    /// Joining is tried again when there are so many.
    join_at: usize,
}

impl Timeline {
    /// Goes on from what was noted, with a log that ends at `end`, after a record with the timestamp `last_timestamp_ms` if it has
    /// any. Also: what moment it is now.
    ///
    /// In the same boot of the machine the clock since boot tells what has passed. Otherwise the wall clock does, from the last
    /// moment that is known; if it says that nothing has passed, or less, nothing has.
    pub(crate) fn resume(
        noted: Noted,
        end: PhysicalOffset,
        last_timestamp_ms: Option<i64>,
        clocks: &Clocks,
    ) -> (Timeline, StoreTime) {
        let Noted { sighting, anchors: noted } = noted;
        let mut anchors: Vec<Anchor> = Vec::with_capacity(noted.len() + 1);
        for anchor in noted.into_iter().filter(|anchor| anchor.offset < end) {
            // Of one place the last one noted counts.
            while anchors.last().is_some_and(|last| last.offset >= anchor.offset) {
                anchors.pop();
            }
            let at = anchors.last().map_or(anchor.at, |last| anchor.at.max(last.at));
            anchors.push(Anchor { at, ..anchor });
        }
        let last = anchors.last().copied();
        let last_record = last_timestamp_ms.map(|timestamp_ms| match &last {
            Some(anchor) => (anchor.predict(timestamp_ms).max(anchor.at), anchor.wall_ms),
            None => (StoreTime(timestamp_ms), timestamp_ms),
        });
        let in_this_boot = sighting
            .as_ref()
            .filter(|seen| seen.boot_id == clocks.boot_id && seen.since_boot_ms <= clocks.since_boot_ms)
            .map(|seen| seen.at.plus_ms(clocks.since_boot_ms - seen.since_boot_ms));
        let known_ms = last.map_or(0, |anchor| anchor.unseen_ms);
        let (now, unseen_ms) = match in_this_boot {
            Some(now) => (now, known_ms),
            None => {
                // Each with what the wall clock showed then: of a record, what it showed at its anchor and the time since.
                let of_record = last_record.map(|(at, wall_ms)| {
                    let since_ms = last.map_or(0, |anchor| at.ms_since(anchor.at));
                    (at, wall_ms.saturating_add(since_ms))
                });
                let of_anchor = last.map(|anchor| (anchor.at, anchor.wall_ms));
                let of_sighting = sighting.map(|seen| (seen.at, seen.wall_ms));
                match [of_anchor, of_record, of_sighting].into_iter().flatten().max_by_key(|(at, _)| *at) {
                    Some((at, wall_ms)) => {
                        let passed_ms = clocks.wall_ms.saturating_sub(wall_ms).max(0);
                        (at.plus_ms(passed_ms), known_ms.saturating_add(passed_ms))
                    }
                    None => (StoreTime(clocks.wall_ms), 0),
                }
            }
        };
        let timestamp_ms = last_timestamp_ms.map_or(clocks.wall_ms, |last_ms| last_ms.max(clocks.wall_ms));
        let at = last.map_or(now, |anchor| now.max(anchor.at)).plus_ms(ROUNDING_MS);
        let wall_ms = clocks.wall_ms.saturating_add(at.ms_since(now));
        anchors.push(Anchor { offset: end, timestamp_ms, at, unseen_ms, wall_ms });
        (Timeline { anchors, join_at: ANCHORS_MAX }, now)
    }

    /// All of it.
    pub(crate) fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// The anchor of what comes next.
    pub(crate) fn last(&self) -> Anchor {
        *self.anchors.last().expect("a timeline has an anchor from the beginning, and the last one always stays")
    }

    /// From the record at `offset` on, another anchor counts. Returns it, and whether earlier ones were joined or dropped (those of
    /// records before `log_min`).
    pub(crate) fn set(
        &mut self,
        offset: PhysicalOffset,
        timestamp_ms: i64,
        at: StoreTime,
        wall_ms: i64,
        log_min: PhysicalOffset,
    ) -> (Anchor, bool) {
        let last = self.last();
        let anchor = Anchor { offset, timestamp_ms, at: at.max(last.at), wall_ms, ..last };
        if last.offset >= offset {
            self.anchors.pop();
        }
        self.anchors.push(anchor);
        let joins = self.anchors.len() >= self.join_at;
        if joins {
            self.join(log_min);
            self.join_at = ANCHORS_MAX.max(self.anchors.len() * 2);
        }
        (anchor, joins)
    }

    fn join(&mut self, log_min: PhysicalOffset) {
        let expired = self.anchors.partition_point(|anchor| anchor.offset <= log_min).saturating_sub(1);
        let now = self.last().at;
        let mut kept: Vec<Anchor> = Vec::with_capacity(self.anchors.len() / 2);
        let mut span_start = StoreTime(i64::MIN);
        for anchor in self.anchors.drain(expired..) {
            match kept.last_mut() {
                Some(last)
                    if last.unseen_ms == anchor.unseen_ms
                        && anchor.at.ms_since(span_start) <= now.ms_since(anchor.at) / JOINED_PART =>
                {
                    // The later moment for both.
                    *last = Anchor { offset: last.offset, timestamp_ms: last.timestamp_ms, ..anchor };
                }
                _ => {
                    span_start = anchor.at;
                    kept.push(anchor);
                }
            }
        }
        self.anchors = kept;
    }

    fn anchor_of(&self, offset: PhysicalOffset) -> Option<usize> {
        self.anchors.partition_point(|anchor| anchor.offset <= offset).checked_sub(1)
    }

    /// When the record at `offset` with this timestamp was stored; not later than `now`.
    pub(crate) fn stored_at(&self, offset: PhysicalOffset, timestamp_ms: i64, now: StoreTime) -> StoreTime {
        match self.anchor_of(offset) {
            Some(index) => {
                // What a replica has sent late may have been stored before the anchor.
                let start = index.checked_sub(1).map_or(StoreTime(i64::MIN), |before| self.anchors[before].at);
                let end = self.anchors.get(index + 1).map_or(now, |next| next.at.min(now));
                self.anchors[index].predict(timestamp_ms).max(start).min(end)
            }
            // Of a time of which nothing was noted the timestamps are all there is.
            None => {
                let first = &self.anchors[0];
                first.predict(timestamp_ms).min(first.at).min(now)
            }
        }
    }

    /// How long ago that was for certain: of what nobody was there to see, nothing counts.
    pub(crate) fn seen_age_ms(&self, offset: PhysicalOffset, timestamp_ms: i64, now: StoreTime) -> i64 {
        let unseen_before_ms = self.anchor_of(offset).map_or(0, |index| self.anchors[index].unseen_ms);
        let unseen_ms = self.last().unseen_ms - unseen_before_ms;
        now.ms_since(self.stored_at(offset, timestamp_ms, now)).saturating_sub(unseen_ms).max(0)
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;

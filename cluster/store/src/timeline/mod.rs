//! When the records of the log were stored, in time that has really passed.
//!
//! A STORETIMESTAMP is what the wall clock showed, but never less than an earlier one. The wall clock can be wrong, be set, and
//! stand still; after it was a day ahead, a day's records have one and the same timestamp. What is kept for a time (a delayed
//! message, a file) must not depend on that. So a store has a clock of its own, *store time*: it runs with the machine's clock since
//! boot, which nobody sets, goes on from one process to the next, and over a boot of the machine by what the wall clock says has
//! passed. *Anchors* say at which moment of it a record was stored. Between anchors timestamps tell: while the wall clock is
//! right one anchor is set when the store is opened, and none after it.
//!
//! A slave has a timeline of its own, of when it was given the records: it can be right where its master's clock was wrong.
//!
//! ```text
//! appender ─► Anchor::correction ─► StoreClock::set ─► the file `timeline` (a task of its own; a crash takes what was not written)
//! retention, delayed messages, queries by time ─► StoreClock::stored_at, seen_age_ms
//! ```
//!
//! Left out: other machines' clocks. A machine that boots with a wrong clock is believed as to what has passed meanwhile, but
//! not where something would be deleted.

mod file;
mod model;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use protocol::PhysicalOffset;
use sim::{
    process,
    time::{Instant, since_boot, sleep, wall_clock_ms},
};
use tokio::sync::Notify;

pub(crate) use model::Anchor;
pub use model::StoreTime;

use crate::{
    config::StoreConfig,
    error::{StoreError, lock},
    store::Shared,
};
use model::{Clocks, Noted, Sighting, Timeline};

/// How often what was appended to the file is synced, while something is.
const SYNC_INTERVAL: Duration = Duration::from_secs(10);
/// For so long after it has connected a replica may be sending what had to wait.
const CATCHING_UP_MS: i64 = 5_000;
/// A clock that differs by more was set; by less it may drift.
const SET_MS: u64 = 1_000;
/// How long the file rests after it could not be written.
const RETRY: Duration = Duration::from_secs(10);

/// A store's own clock, and when the records of its log were stored.
#[derive(Debug)]
pub(crate) struct StoreClock {
    /// Store time is this and the clock since boot.
    base_ms: i64,
    timeline: Mutex<Timeline>,
    /// Since when a replica sends what this log lacks.
    following_since_ms: AtomicI64,
    unwritten: Mutex<Unwritten>,
    /// Something is unwritten.
    wanted: Notify,
    file: tokio::sync::Mutex<TimelineFile>,
}

/// What is to be written to the file.
#[derive(Debug, Default)]
struct Unwritten {
    anchors: Vec<Anchor>,
    /// All of it anew.
    whole: bool,
}

#[derive(Debug)]
struct TimelineFile {
    end: u64,
    synced_at: Instant,
    /// Something was appended since.
    unsynced: bool,
}

fn since_boot_ms() -> i64 {
    i64::try_from(since_boot().as_millis()).unwrap_or(i64::MAX)
}

fn clocks() -> Clocks {
    Clocks { boot_id: process::boot_id(), since_boot_ms: since_boot_ms(), wall_ms: wall_clock_ms() }
}

impl StoreClock {
    /// Of a store whose log ends at `end`, after a record with the timestamp `last_timestamp_ms` if it has any. A file that cannot
    /// be read or written does not keep a store from opening: a drive without room, say.
    pub(crate) async fn open(config: &StoreConfig, end: PhysicalOffset, last_timestamp_ms: Option<i64>) -> StoreClock {
        let path = file::path(config);
        let noted = file::load(&path).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "when records were stored is known by their timestamps only");
            Noted::default()
        });
        let clocks = clocks();
        let (timeline, now) = Timeline::resume(noted, end, last_timestamp_ms, &clocks);
        let clock = StoreClock {
            base_ms: now.ms() - clocks.since_boot_ms,
            timeline: Mutex::new(timeline),
            following_since_ms: AtomicI64::new(now.ms()),
            unwritten: Mutex::default(),
            wanted: Notify::new(),
            file: tokio::sync::Mutex::new(TimelineFile { end: 0, synced_at: Instant::now(), unsynced: false }),
        };
        clock.write_or_log(config, true, true).await;
        clock
    }

    /// What moment it is.
    pub(crate) fn now(&self) -> StoreTime {
        StoreTime::from_ms(self.base_ms + since_boot_ms())
    }

    /// The anchor of what comes next.
    pub(crate) fn last_anchor(&self) -> Anchor {
        lock(&self.timeline).last()
    }

    /// The record at `offset` was not stored when the last anchor would have it, but at this moment. The new anchor.
    pub(crate) fn set(
        &self,
        offset: PhysicalOffset,
        timestamp_ms: i64,
        at: StoreTime,
        log_min: PhysicalOffset,
    ) -> Anchor {
        // The moment may lie a little ahead.
        let wall_ms = wall_clock_ms().saturating_add(at.ms_since(self.now()));
        let (anchor, joined) = lock(&self.timeline).set(offset, timestamp_ms, at, wall_ms, log_min);
        {
            let mut unwritten = lock(&self.unwritten);
            unwritten.whole |= joined;
            unwritten.anchors.push(anchor);
        }
        self.wanted.notify_one();
        anchor
    }

    /// When the record at `offset` with this timestamp was stored.
    pub(crate) fn stored_at(&self, offset: PhysicalOffset, timestamp_ms: i64) -> StoreTime {
        let now = self.now();
        lock(&self.timeline).stored_at(offset, timestamp_ms, now)
    }

    /// What the wall clock would have shown then, if it had been right by what it shows now: the timestamp, unless the clock was
    /// set since.
    pub(crate) fn shown_ms(&self, offset: PhysicalOffset, timestamp_ms: i64) -> i64 {
        let now = self.now();
        let passed_ms = now.ms_since(lock(&self.timeline).stored_at(offset, timestamp_ms, now));
        let shown_ms = wall_clock_ms().saturating_sub(passed_ms);
        if shown_ms.abs_diff(timestamp_ms) > SET_MS { shown_ms } else { timestamp_ms }
    }

    /// A replica begins to send what this log lacks.
    pub(crate) fn begin_following(&self) {
        self.following_since_ms.store(self.now().ms(), Ordering::Relaxed);
    }

    /// Whether a replica has sent long enough for what comes to be what it has just got, unless much of it comes at once.
    pub(crate) fn is_following(&self, now: StoreTime) -> bool {
        now.ms_since(StoreTime::from_ms(self.following_since_ms.load(Ordering::Relaxed))) > CATCHING_UP_MS
    }

    /// How long ago that was for certain, whatever the wall clock says.
    pub(crate) fn seen_age_ms(&self, offset: PhysicalOffset, timestamp_ms: i64) -> i64 {
        let now = self.now();
        lock(&self.timeline).seen_age_ms(offset, timestamp_ms, now)
    }

    fn sighting(&self) -> Sighting {
        let Clocks { boot_id, since_boot_ms, wall_ms } = clocks();
        Sighting { boot_id, since_boot_ms, at: StoreTime::from_ms(self.base_ms + since_boot_ms), wall_ms }
    }

    /// Writes what is unwritten; all of it anew if `whole`.
    async fn write(&self, config: &StoreConfig, whole: bool, sync: bool) -> Result<(), StoreError> {
        let mut file = self.file.lock().await;
        let unwritten = std::mem::take(&mut *lock(&self.unwritten));
        let whole = whole || unwritten.whole;
        let sync = whole || sync || file.synced_at.elapsed() >= SYNC_INTERVAL;
        let path = file::path(config);
        let sighting = sync.then(|| self.sighting());
        let written = if whole {
            let anchors = lock(&self.timeline).anchors().to_vec();
            file::store(&path, &Noted { sighting, anchors }).await
        } else {
            file::append(&path, file.end, &Noted { sighting, anchors: unwritten.anchors }, sync).await
        };
        match written {
            Ok(end) => {
                (file.end, file.unsynced) = (end, !sync);
                if sync {
                    file.synced_at = Instant::now();
                }
                Ok(())
            }
            Err(error) => {
                // What the file has now is not known.
                lock(&self.unwritten).whole = true;
                Err(error)
            }
        }
    }

    async fn write_or_log(&self, config: &StoreConfig, whole: bool, sync: bool) -> bool {
        let written = self.write(config, whole, sync).await;
        if let Err(error) = &written {
            tracing::warn!(%error, "after a restart, when some records were stored will be known by their timestamps only");
        }
        written.is_ok()
    }

    /// Notes until when the store was there.
    pub(crate) async fn close(&self, config: &StoreConfig) {
        if let Err(error) = self.write(config, false, true).await {
            tracing::warn!(%error, "it was not noted until when the store was open");
        }
    }
}

impl Shared {
    /// The task that writes the timeline, when there is something to write.
    pub(crate) async fn run_timeline(self: Arc<Self>) {
        loop {
            let unsynced = self.clock.file.lock().await.unsynced;
            let wanted = self.clock.wanted.notified();
            let sync = match unsynced {
                true => sim::time::timeout(SYNC_INTERVAL, wanted).await.is_err(),
                false => {
                    wanted.await;
                    false
                }
            };
            if !self.clock.write_or_log(&self.config, false, sync).await {
                sleep(RETRY).await;
                self.clock.wanted.notify_one();
            }
        }
    }
}

//! Whether the store takes writes, and if not, why.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sim::time::Instant;

use crate::error::lock;

/// When the log has had no room, nobody asks the drive again for so long.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct StoreState {
    closing: AtomicBool,
    disk_full: AtomicBool,
    /// Whether `no_room` says something.
    has_no_room: AtomicBool,
    /// Why the log had no room, and when.
    no_room: Mutex<Option<(Instant, Arc<str>)>>,
    failed: OnceLock<Arc<str>>,
    /// Whether `refused` says something: puts look at this first.
    is_refusing_puts: AtomicBool,
    refused: Mutex<Option<Arc<str>>>,
}

impl StoreState {
    /// Why no write is taken now.
    pub(crate) fn refusal(&self) -> Option<Arc<str>> {
        if let Some(why) = self.failed.get() {
            return Some(Arc::clone(why));
        }
        if self.closing.load(Ordering::Acquire) {
            return Some("the store is shutting down".into());
        }
        if self.disk_full.load(Ordering::Acquire) {
            return Some("the disk is full beyond diskSpaceWarningLevelRatio: free some room".into());
        }
        if self.has_no_room.load(Ordering::Acquire) {
            let no_room = lock(&self.no_room);
            return no_room.as_ref().filter(|(at, _)| at.elapsed() < NO_ROOM_PAUSE).map(|(_, why)| Arc::clone(why));
        }
        None
    }

    /// The log has no room. Puts are refused for a moment; then one tries again.
    pub(crate) fn note_no_room(&self, why: Arc<str>) {
        if !self.has_no_room.swap(true, Ordering::AcqRel) {
            tracing::warn!(%why, "the disk is full: no message is taken until there is room");
        }
        *lock(&self.no_room) = Some((Instant::now(), why));
    }

    /// The log has room.
    pub(crate) fn note_room(&self) {
        if self.has_no_room.load(Ordering::Acquire) && self.has_no_room.swap(false, Ordering::AcqRel) {
            tracing::info!("there is room again");
        }
    }

    /// Why no put is taken now: as [`StoreState::refusal`], or because of the broker's role.
    pub(crate) fn put_refusal(&self) -> Option<Arc<str>> {
        if let Some(why) = self.refusal() {
            return Some(why);
        }
        if self.is_refusing_puts.load(Ordering::Acquire) { lock(&self.refused).clone() } else { None }
    }

    /// Refuses puts for a reason of the broker's role, or takes them again.
    pub(crate) fn refuse_puts(&self, why: Option<Arc<str>>) {
        let mut refused = lock(&self.refused);
        self.is_refusing_puts.store(why.is_some(), Ordering::Release);
        *refused = why;
    }

    /// Why the store takes no writes until it is opened again: a drive that failed once cannot be believed.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.failed.get().cloned()
    }

    /// From now on no write is taken and nothing is acknowledged.
    pub(crate) fn fail(&self, why: Arc<str>) {
        tracing::error!(%why, "the store stops taking writes");
        // The first reason is the one that counts.
        let _ = self.failed.set(why);
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(crate) fn set_disk_full(&self, full: bool) {
        if self.disk_full.swap(full, Ordering::AcqRel) != full {
            tracing::warn!(full, "disk space");
        }
    }
}

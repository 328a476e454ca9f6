//! Whether the store takes writes, and if not, why.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crate::error::lock;

#[derive(Debug, Default)]
pub(crate) struct StoreState {
    closing: AtomicBool,
    disk_full: AtomicBool,
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
        None
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

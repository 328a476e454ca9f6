//! Whether the store takes writes, and if not, why.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

#[derive(Debug, Default)]
pub(crate) struct StoreState {
    closing: AtomicBool,
    disk_full: AtomicBool,
    failed: OnceLock<Arc<str>>,
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

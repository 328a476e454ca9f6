//! The index: messages by key (`IndexService`), in a series of hash files under `index/`.
//!
//! ```text
//! log ─► build ─► table (memory) ─► file      at most every 100 ms, or when a query wants it; written every 10 s or 64 Ki entries
//!                    │                │
//!                    └──► query ◄─────┘       chains from new to old; every hit is read in the log and compared
//! ```
//!
//! A task of its own follows the log behind what consumers may see; puts and pulls know nothing of it. The index can always
//! be rebuilt from the log, so nothing waits for it: a kill loses what is in memory, and the next start indexes that part of
//! the log again. What a crash, a cut of the log, or another version's broker has left is checked when the store is opened
//! (`load`), cut where it cannot be believed, and continued from there. Entries are hints, never answers: a wrong one
//! costs a read.
//!
//! Left out: 5.x's index in RocksDB.

mod build;
mod file;
pub(crate) mod format;
mod key;
mod load;
mod name;
mod query;
pub(crate) mod table;

use std::{
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use protocol::PhysicalOffset;
use tokio::sync::{Notify, watch};

use crate::{config::StoreConfig, error::StoreError};
use build::Progress;
use file::IndexFile;
use format::Geometry;
pub(crate) use key::{key_hash, keys_of};
pub(crate) use load::Opened;
pub(crate) use name::is_name;
pub use query::QueryMessageResult;

/// The index of an open store.
#[derive(Debug)]
pub(crate) struct Index {
    is_enabled: bool,
    directory: PathBuf,
    geometry: Geometry,
    /// In order; only the last may be filled.
    files: RwLock<Vec<Arc<IndexFile>>>,
    /// Held by who fills, writes or removes files.
    building: tokio::sync::Mutex<Progress>,
    /// What lies below is indexed.
    reached: watch::Sender<i64>,
    /// Somebody waits for the index to go on.
    wanted: Notify,
    /// STORETIMESTAMP of the last message of the last full file that is on the drive.
    sealed_timestamp_ms: AtomicI64,
}

impl StoreConfig {
    /// The directory of the index files.
    pub fn index_dir(&self) -> PathBuf {
        self.store_path_root_dir.join("index")
    }

    pub(crate) fn index_geometry(&self) -> Geometry {
        Geometry {
            slots: i32::try_from(self.max_hash_slot_num).unwrap_or(i32::MAX),
            entries: i32::try_from(self.max_index_num).unwrap_or(i32::MAX),
        }
    }
}

impl Index {
    fn files(&self) -> Vec<Arc<IndexFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn last_file(&self) -> Option<Arc<IndexFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    /// What the checkpoint may claim: every message up to this time is in files that are full and on the drive.
    pub(crate) fn sealed_timestamp_ms(&self) -> i64 {
        self.sealed_timestamp_ms.load(Ordering::Acquire)
    }

    /// Removes the files all of whose messages are below `log_min`, except the last (`IndexService.deleteExpiredFile`).
    pub(crate) async fn delete_expired(&self, log_min: PhysicalOffset) -> Result<usize, StoreError> {
        let _building = self.building.lock().await;
        let mut removed = 0;
        loop {
            let expired = {
                let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
                match files.as_slice() {
                    [first, _, ..] if first.header().end_offset < log_min => files.remove(0),
                    _ => return Ok(removed),
                }
            };
            expired.remove().await?;
            tracing::info!(file = %expired.path().display(), "deleted an expired index file");
            removed += 1;
        }
    }
}

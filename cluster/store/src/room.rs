//! Room on the drive: what is reserved for the log, when, and what is left for everything else.
//!
//! A CommitLog file has its full size from the beginning and is a hole. Room is reserved for it in steps of 32 MiB, the next one
//! when less than half of a step is left before the writer, so that no write of the log ever finds the drive full; the next file
//! is made when the present one is in its last step. ConsumeQueue and index files are never reserved: what they lack on a full
//! drive stays in memory, and the log has it.
//!
//! A step is taken only if [`kept_bytes`] remain on the drive: for the units and keys of what is reserved, for `config/`, the
//! checkpoint, a stop and a start. If they do not, puts are refused until there is room again, and nothing else happens: a
//! reservation that fails is given back, because ext4 keeps what it could take of one.
//!
//! Others may fill the drive as well. For that there is the file `reserve`, see [`give_up_reserve`].

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use protocol::PhysicalOffset;
use sim::{
    disk::{self, DiskUsage, OpenOptions},
    task::{self, JoinHandle},
};

use crate::{
    error::{StoreError, io_error},
    segment::Segment,
};

/// How much is reserved at once.
const STEP_BYTES: u64 = 32 << 20;
/// With less than this the next step is due.
const AHEAD_BYTES: u64 = STEP_BYTES / 2;
/// A new file that cannot have so much is not begun.
const FIRST_BYTES_MIN: u64 = 1 << 20;
/// The most that is kept for everything but the log…
const KEPT_BYTES_MAX: u64 = 32 << 20;
/// …which is such a part of a small drive.
const KEPT_PART: u64 = 64;
/// The size of the file `reserve`…
const RESERVE_BYTES_MAX: u64 = 8 << 20;
/// …which is such a part of a small drive.
const RESERVE_PART: u64 = 64;
/// How much a stop takes of it at once.
const STOP_BYTES: u64 = 1 << 20;
/// What is smaller is of no use; so much is given up at once, or what is needed.
const RESERVE_BYTES_MIN: u64 = 64 << 10;

/// What the log leaves of a drive to the rest of the store.
pub(crate) fn kept_bytes(usage: &DiskUsage) -> u64 {
    KEPT_BYTES_MAX.min(usage.total_bytes / KEPT_PART)
}

/// Where the next step is due, and where a file is in its last one.
pub(crate) fn is_near(position: u64, end: u64) -> bool {
    end.saturating_sub(position) < AHEAD_BYTES
}

/// Reserves the next step of a file from `from` on, at least up to `until`; up to where.
///
/// # Errors
/// [`StoreError::NoRoom`]; nothing is taken then. Or the drive fails.
pub(crate) async fn reserve_step(segment: &Segment, from: u64, until: u64) -> Result<u64, StoreError> {
    let directory = segment.directory();
    let usage = disk::usage(directory).await.map_err(io_error("look at the room of", directory))?;
    let room_bytes = usage.available_bytes.saturating_sub(kept_bytes(&usage));
    // A step ends where one would end in a file that was reserved from its beginning on.
    let step_end = (from + AHEAD_BYTES).next_multiple_of(STEP_BYTES).max(until).min(segment.size_bytes());
    let to = step_end.min(from + room_bytes);
    if to < until {
        return Err(StoreError::NoRoom {
            path: segment.path(),
            needed_bytes: until - from,
            available_bytes: usage.available_bytes,
            kept_bytes: kept_bytes(&usage),
        });
    }
    segment.reserve(from..to).await?;
    Ok(to)
}

/// Reserves the first step of a new file; up to where.
///
/// # Errors
/// As [`reserve_step`].
pub(crate) async fn reserve_first_step(segment: &Segment) -> Result<u64, StoreError> {
    reserve_step(segment, 0, FIRST_BYTES_MIN.min(segment.size_bytes())).await
}

/// How far room is reserved in the file that is being filled.
#[derive(Debug)]
pub(crate) struct LogRoom {
    /// An offset of the log.
    reserved: u64,
    /// The next step, being reserved.
    next: Option<JoinHandle<Result<u64, StoreError>>>,
}

impl Drop for LogRoom {
    fn drop(&mut self) {
        self.next.iter().for_each(JoinHandle::abort);
    }
}

impl LogRoom {
    /// What is reserved beyond `offset`, if anything, is not known.
    pub(crate) fn known_up_to(offset: PhysicalOffset) -> LogRoom {
        LogRoom { reserved: offset.0.cast_unsigned(), next: None }
    }

    /// Waits until room is reserved up to `until`, or to the end of the file.
    pub(crate) async fn reserve(&mut self, segment: &Arc<Segment>, until: u64) -> Result<(), StoreError> {
        let until = until.min(segment.end());
        while self.reserved < until {
            if let Some(next) = self.next.take() {
                match next.await {
                    Ok(Ok(reserved)) => self.reserved = segment.start() + reserved,
                    // It was tried ahead of time; there may be room by now.
                    Ok(Err(error)) => tracing::warn!(%error, "reserving room for the log again"),
                    // It was cancelled: only by this process's end.
                    Err(_) => {}
                }
                continue;
            }
            let from = self.reserved - segment.start();
            segment.keep_open(true).await?;
            self.reserved = segment.start() + reserve_step(segment, from, until - segment.start()).await?;
        }
        Ok(())
    }

    /// Begins to reserve the next step, if that is due.
    pub(crate) fn reserve_ahead(&mut self, segment: &Arc<Segment>, written: u64) {
        if self.next.is_none() && self.reserved < segment.end() && is_near(written, self.reserved) {
            let (segment, from) = (Arc::clone(segment), self.reserved - segment.start());
            self.next = Some(task::spawn(async move { reserve_step(&segment, from, from + 1).await }));
        }
    }
}

/// The file whose room is given up when the drive is full.
pub(crate) fn reserve_path(root: &Path) -> PathBuf {
    root.join("reserve")
}

/// Fills the file `reserve` of a store, if there is room for it and for what is kept.
///
/// # Errors
/// The drive fails.
pub(crate) async fn keep_reserve(root: &Path) -> Result<(), StoreError> {
    let path = reserve_path(root);
    let has_bytes = match disk::metadata(&path).await {
        Ok(metadata) => metadata.len,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(io_error("look at", &path)(error)),
    };
    let usage = disk::usage(root).await.map_err(io_error("look at the room of", root))?;
    let wanted_bytes = RESERVE_BYTES_MAX.min(usage.total_bytes / RESERVE_PART);
    let has_room = usage.available_bytes >= wanted_bytes.saturating_add(2 * kept_bytes(&usage));
    if wanted_bytes < RESERVE_BYTES_MIN || has_bytes >= wanted_bytes || !has_room {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).open(&path).await.map_err(io_error("create", &path))?;
    if let Err(error) = file.preallocate(wanted_bytes).await {
        file.set_len(0).await.map_err(io_error("empty", &path))?;
        return Err(io_error("reserve room for", &path)(error));
    }
    file.sync_all().await.map_err(io_error("sync", &path))
}

/// Gives up some of the room of a store's file `reserve`: the drive is full, and so many bytes have to be written that the store
/// cannot do without. Returns whether there was any. The rest stays for the next time: who has filled the drive may take what is
/// free at once.
pub(crate) async fn give_up_reserve(root: &Path, bytes: u64) -> bool {
    give_up(root, bytes, 0).await
}

/// As [`give_up_reserve`], for a stop: the last of it is for the next start.
pub(crate) async fn give_up_reserve_for_stop(root: &Path) -> bool {
    give_up(root, STOP_BYTES, RESERVE_BYTES_MIN).await
}

async fn give_up(root: &Path, bytes: u64, kept_bytes: u64) -> bool {
    let path = reserve_path(root);
    let Ok(file) = OpenOptions::new().write(true).open(&path).await else { return false };
    let Some(has_bytes) = file.len().await.ok().filter(|bytes| *bytes > kept_bytes) else { return false };
    let left_bytes = has_bytes.saturating_sub(bytes.max(RESERVE_BYTES_MIN)).max(kept_bytes);
    let is_given_up = file.set_len(left_bytes).await.is_ok();
    if is_given_up {
        tracing::warn!(file = %path.display(), left_bytes, "the drive is full: room that was kept for this is given up");
    }
    is_given_up
}

//! The file `sync_failed`: in this boot of the machine a sync of the log has failed, and these bytes of the page cache may
//! differ from the drive.
//!
//! When a sync fails, Linux marks the pages clean that it could not write: they can be read, a second sync succeeds, and
//! the drive does not have them (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020). A broker that is
//! killed and started again would read them, believe them, and append behind them what the next power loss cuts off with
//! them. So the next recovery copies the files that have these bytes. To write them once more where they are is not enough: on
//! ext4 a block of a preallocated file that was new when its write was refused stays "unwritten" for as long as its page is in
//! memory, so that a later sync succeeds and a power loss leaves zeros. A page cache ends with the boot of its machine, and so
//! does what the file says: it is not synced. Apache's brokers do not know it.

use std::{ops::Range, path::PathBuf};

use sim::{
    disk::{self, OpenOptions},
    process,
};

use crate::{
    config::StoreConfig,
    error::{StoreError, io_error},
    sealed::{open_text, seal_text},
};

fn path(config: &StoreConfig) -> PathBuf {
    config.store_path_root_dir.join("sync_failed")
}

/// Writes down which offsets of the log are suspect. What made them so is the error to tell of; one of this file is logged.
pub(crate) async fn note_or_log(config: &StoreConfig, suspect: Range<u64>) {
    if let Err(error) = note(config, suspect).await {
        tracing::error!(%error, "a start in this boot will take what was not synced for the drive's");
    }
}

/// Those of an earlier failure in the same boot stay suspect.
async fn note(config: &StoreConfig, suspect: Range<u64>) -> Result<(), StoreError> {
    let suspect = match load(config).await? {
        Some(earlier) => earlier.start.min(suspect.start)..earlier.end.max(suspect.end),
        None => suspect,
    };
    let path = path(config);
    let text = seal_text(&format!("{}\n{}\n{}\n", process::boot_id(), suspect.start, suspect.end));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let file = options.open(&path).await.map_err(io_error("create", &path))?;
    file.write_all_at(text.as_bytes(), 0).await.map_err(io_error("write", &path))
}

/// What an earlier broker has noted in this boot.
pub(super) async fn load(config: &StoreConfig) -> Result<Option<Range<u64>>, StoreError> {
    let path = path(config);
    if !disk::exists(&path).await.map_err(io_error("look for", &path))? {
        return Ok(None);
    }
    let text = disk::read(&path).await.map_err(io_error("read", &path))?;
    let (text, seal) = open_text(&text);
    if let Some(why) = seal.objection() {
        tracing::warn!(path = %path.display(), why, "any part of the log may not be on the drive");
        return Ok(Some(0..u64::MAX));
    }
    let mut lines = text.lines();
    if lines.next() != Some(&process::boot_id()) {
        return Ok(None);
    }
    let mut offset = || lines.next().and_then(|line| line.parse().ok());
    // A file that was cut short says that something is suspect, and not what.
    Ok(Some(offset().unwrap_or(0)..offset().unwrap_or(u64::MAX)))
}

/// The suspect bytes are on the drive.
pub(super) async fn clear(config: &StoreConfig) -> Result<(), StoreError> {
    let path = path(config);
    if disk::exists(&path).await.map_err(io_error("look for", &path))? {
        disk::remove_file(&path).await.map_err(io_error("remove", &path))?;
    }
    Ok(())
}

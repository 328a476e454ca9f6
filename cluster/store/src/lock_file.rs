//! The `lock` and `abort` files of a store directory.
//!
//! `lock` is held by the broker that has the store open. `abort` exists while it is open: whoever finds it at start knows
//! that the last broker did not close it (`DefaultMessageStore.createTempFile`).

use std::{io::ErrorKind, path::Path};

use sim::disk::{self, File, OpenOptions};

use crate::{
    durable,
    error::{StoreError, io_error},
};

/// Takes the lock; `None` when there is no lock file and it is not to be made.
pub(crate) async fn acquire(path: &Path, create: bool) -> Result<Option<File>, StoreError> {
    let mut options = OpenOptions::new();
    let file = match options.read(true).write(true).create(create).open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && !create => return Ok(None),
        Err(error) => return Err(io_error("open", path)(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(StoreError::Locked { path: path.to_path_buf() }),
        Err(error) => Err(io_error("lock", path)(error)),
    }
}

/// Makes the abort file, durably: before anything else in the store is changed.
pub(crate) async fn create_abort(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).open(path).await.map_err(io_error("create", path))?;
    file.sync_all().await.map_err(io_error("sync", path))?;
    durable::sync_dir(durable::parent_of(path)).await
}

/// Whether the last broker did not close the store.
pub(crate) async fn abort_exists(path: &Path) -> Result<bool, StoreError> {
    disk::exists(path).await.map_err(io_error("look for", path))
}

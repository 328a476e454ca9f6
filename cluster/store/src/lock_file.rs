//! The `lock` and `abort` files of a store directory.
//!
//! `lock` is held by the broker that has the store open. `abort` exists while it is open: whoever finds it at start knows
//! that the last broker did not close it (`DefaultMessageStore.createTempFile`), and whether the machine went down with it.

use std::{io::ErrorKind, path::Path};

use sim::{
    disk::{self, File, OpenOptions},
    process,
};

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

/// Makes the abort file, durably: before anything else in the store is changed. It says in which boot of the machine the
/// store is open; Apache's brokers only look whether it is there.
pub(crate) async fn create_abort(path: &Path) -> Result<(), StoreError> {
    let created = replace_abort(path).await;
    match created {
        Err(error) if error.is_no_room() => {
            tracing::warn!(%error, "the drive is full: the abort file does not say in which boot the store is open");
            let mut options = OpenOptions::new();
            let file =
                options.write(true).create(true).truncate(true).open(path).await.map_err(io_error("create", path))?;
            file.sync_all().await.map_err(io_error("sync", path))?;
            durable::sync_dir(durable::parent_of(path)).await
        }
        created => created,
    }
}

async fn replace_abort(path: &Path) -> Result<(), StoreError> {
    durable::replace_file(Some(durable::parent_of(path)), path, process::boot_id().as_bytes(), None).await
}

/// How the last broker left the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOpen {
    /// It closed it.
    No,
    /// It died; the machine did not.
    InThisBoot,
    /// It died with the machine.
    InAnotherBoot,
    /// It was Apache's, and does not tell.
    ByApache,
}

impl LeftOpen {
    /// Whether the machine went down, or may have.
    pub(crate) fn machine_went_down(self) -> bool {
        matches!(self, LeftOpen::InAnotherBoot | LeftOpen::ByApache)
    }
}

/// Apache's broker leaves its abort file empty; since 5.x its process id is there.
fn is_apaches(content: &[u8]) -> bool {
    content.len() <= 10 && content.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_whitespace())
}

/// How the last broker left the store.
pub(crate) async fn left_open(path: &Path) -> Result<LeftOpen, StoreError> {
    if !disk::exists(path).await.map_err(io_error("look for", path))? {
        return Ok(LeftOpen::No);
    }
    let boot_id = disk::read(path).await.map_err(io_error("read", path))?;
    Ok(if boot_id == process::boot_id().as_bytes() {
        LeftOpen::InThisBoot
    } else if is_apaches(&boot_id) {
        LeftOpen::ByApache
    } else {
        LeftOpen::InAnotherBoot
    })
}

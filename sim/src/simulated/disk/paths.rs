//! Calls on paths. They act at once on what programs see; only [`sync_dir`] and [`read`] take time.

use super::{
    File, OpenOptions,
    file::{call, check_may_open, make},
    model::Request,
};
pub use crate::file_types::{DirEntry, DiskUsage, Metadata};
use crate::simulated::kernel;
use std::{io, path::Path};

/// Creates a directory and its missing parents.
///
/// # Errors
/// `AlreadyExists` and `NotADirectory` when a file is in the way.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let process = kernel::current_process();
    make(process, |disk, core, wall_ms| disk.create_dir_all(core, process.host, path.as_ref(), wall_ms)).await
}

/// The entries of a directory, sorted by name.
///
/// # Errors
/// `NotFound`, `NotADirectory`.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<Vec<DirEntry>> {
    let process = kernel::current_process();
    check_may_open(process)?;
    make(process, |disk, _, _| disk.read_dir(path.as_ref())).await
}

/// Removes a file.
///
/// # Errors
/// `NotFound`, `IsADirectory`.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let process = kernel::current_process();
    make(process, |disk, core, wall_ms| disk.remove_file(core, process.host, path.as_ref(), wall_ms)).await
}

/// Removes a directory with all that is in it.
///
/// # Errors
/// `NotFound`, `NotADirectory`.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let process = kernel::current_process();
    make(process, |disk, core, wall_ms| disk.remove_dir_all(core, process.host, path.as_ref(), wall_ms)).await
}

/// Renames a file or directory, replacing what had the new name.
///
/// # Errors
/// As `rename(2)`.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let process = kernel::current_process();
    make(process, |disk, core, wall_ms| disk.rename(core, process.host, from.as_ref(), to.as_ref(), wall_ms)).await
}

/// What is known of a path.
///
/// # Errors
/// `NotFound` when there is nothing.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    make(kernel::current_process(), |disk, _, _| disk.metadata(path.as_ref())).await
}

/// Whether there is something at a path.
///
/// # Errors
/// When that cannot be found out.
pub async fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the entries of a directory durable: what was created, renamed and removed in it.
///
/// # Errors
/// `NotFound`; `NotADirectory` when a file is in the way.
pub async fn sync_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    if !metadata(&path).await?.is_dir {
        // open(2) and fsync(2) do not ask what it is.
        return OpenOptions::new().read(true).open(path).await?.sync_all().await;
    }
    let process = kernel::current_process();
    check_may_open(process)?;
    call(process, |_| Request::SyncDir { path }).await.map(|_| ())
}

/// The whole content of a file.
///
/// # Errors
/// As [`OpenOptions::open`] and [`File::read_at`].
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file: File = OpenOptions::new().read(true).open(path).await?;
    let len = file.len().await?;
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64).await? {
            // The file was cut meanwhile.
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The room on the file system that holds `path`.
///
/// # Errors
/// `NotFound` when there is nothing at the path.
pub async fn usage(path: impl AsRef<Path>) -> io::Result<DiskUsage> {
    make(kernel::current_process(), |disk, _, _| {
        disk.metadata(path.as_ref())?;
        Ok(disk.usage())
    })
    .await
}

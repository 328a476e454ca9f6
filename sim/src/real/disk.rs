//! The file system of the operating system.
//!
//! Reads and writes go to the page cache and are done in place; what waits for the drive (`sync_*`, opening, directory
//! operations) runs on the blocking pool.

pub use crate::file_types::{DirEntry, DiskUsage, Metadata, OpenOptions};

use super::task::blocking;
use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

/// An open file. Clones share it.
#[derive(Clone, Debug)]
pub struct File(Arc<fs::File>);

impl OpenOptions {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// As [`std::fs::OpenOptions::open`].
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = fs::OpenOptions::new();
        options
            .read(self.read)
            .write(self.write)
            .create(self.create)
            .create_new(self.create_new)
            .truncate(self.truncate);
        on_path(path, move |path| options.open(path).map(|file| File(Arc::new(file)))).await
    }
}

impl File {
    /// Reads at `offset`; returns how many bytes were read, 0 at the end of the file.
    ///
    /// # Errors
    /// As the operating system gives them.
    pub async fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before.
    pub async fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    /// Writes all of `bytes` at `offset`, into the page cache.
    ///
    /// # Errors
    /// As the operating system gives them; a part may have been written.
    pub async fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    /// The size in bytes.
    ///
    /// # Errors
    /// As the operating system gives them.
    pub async fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    /// Cuts or extends the file to this size; new bytes are zero.
    ///
    /// # Errors
    /// As the operating system gives them.
    pub async fn set_len(&self, bytes: u64) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        blocking(move || file.set_len(bytes)).await
    }

    /// Reserves room for the first `bytes` of the file and makes it at least that long, zero-filled.
    ///
    /// # Errors
    /// `StorageFull` when there is no room.
    pub async fn preallocate(&self, bytes: u64) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        blocking(move || {
            let reserved = rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, bytes);
            match reserved {
                Ok(()) => Ok(()),
                // A file system without fallocate (NFS, some overlays): the size alone, as RocketMQ's mapped files do.
                Err(rustix::io::Errno::OPNOTSUPP) if file.metadata()?.len() < bytes => file.set_len(bytes),
                Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Makes the content and the size durable (`fdatasync`).
    ///
    /// # Errors
    /// As the operating system gives them. After an error nothing is known of what had been written since the last success.
    pub async fn sync_data(&self) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        blocking(move || file.sync_data()).await
    }

    /// Makes the content and all metadata of the file durable (`fsync`); not its directory entry, see [`sync_dir`].
    ///
    /// # Errors
    /// As [`File::sync_data`].
    pub async fn sync_all(&self) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        blocking(move || file.sync_all()).await
    }

    /// Takes the exclusive advisory lock of the file; it is held until the process ends or the file is closed.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it.
    pub fn try_lock(&self) -> io::Result<()> {
        self.0.try_lock().map_err(|error| match error {
            fs::TryLockError::Error(error) => error,
            fs::TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        })
    }
}

/// Creates a directory and its missing parents.
///
/// # Errors
/// As the operating system gives them.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    on_path(path, fs::create_dir_all).await
}

/// The entries of a directory, sorted by name. Names that are not UTF-8 are given with replacement characters.
///
/// # Errors
/// As the operating system gives them.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<Vec<DirEntry>> {
    on_path(path, |path| {
        let mut entries = fs::read_dir(path)?
            .map(|entry| {
                let entry = entry?;
                Ok(DirEntry {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    is_dir: entry.file_type()?.is_dir(),
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        Ok(entries)
    })
    .await
}

/// Removes a file.
///
/// # Errors
/// As the operating system gives them.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    on_path(path, fs::remove_file).await
}

/// Removes a directory with all that is in it.
///
/// # Errors
/// As the operating system gives them.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    on_path(path, fs::remove_dir_all).await
}

/// Renames a file, replacing what had the new name.
///
/// # Errors
/// As the operating system gives them.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let to = to.as_ref().to_path_buf();
    on_path(from, move |from| fs::rename(from, to)).await
}

/// What is known of a path.
///
/// # Errors
/// `NotFound` when there is nothing.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    on_path(path, |path| {
        let metadata = fs::metadata(path)?;
        let modified_ms = metadata
            .modified()?
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Ok(Metadata { len: metadata.len(), is_dir: metadata.is_dir(), modified_ms })
    })
    .await
}

/// Whether there is something at a path.
///
/// # Errors
/// When that cannot be found out.
pub async fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    on_path(path, fs::exists).await
}

/// Makes the entries of a directory durable: what was created, renamed and removed in it.
///
/// # Errors
/// As [`File::sync_data`].
pub async fn sync_dir(path: impl AsRef<Path>) -> io::Result<()> {
    on_path(path, |path| fs::File::open(path)?.sync_all()).await
}

/// The whole content of a file.
///
/// # Errors
/// As the operating system gives them.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    on_path(path, fs::read).await
}

/// The room on the file system that holds `path`.
///
/// # Errors
/// As the operating system gives them.
pub async fn usage(path: impl AsRef<Path>) -> io::Result<DiskUsage> {
    on_path(path, |path| {
        let stat = rustix::fs::statvfs(&path)?;
        Ok(DiskUsage { total_bytes: stat.f_blocks * stat.f_frsize, available_bytes: stat.f_bavail * stat.f_frsize })
    })
    .await
}

async fn on_path<T: Send + 'static>(
    path: impl AsRef<Path>,
    work: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.as_ref().to_path_buf();
    blocking(move || work(path)).await
}

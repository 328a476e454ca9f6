//! The file system of the operating system.
//!
//! Writes go to the page cache, and reads come from it, in place; what waits for the drive (reads of what is not in the page
//! cache, `sync_*`, opening, directory operations) runs on the blocking pool: one reader of old messages holds up nobody else.

pub use crate::file_types::{DirEntry, DiskUsage, Metadata, OpenOptions};

use super::task::blocking;
use rustix::{
    fs::{FallocateFlags, OFlags, SeekFrom, fallocate, fcntl_getfl, seek},
    io::{Errno, ReadWriteFlags, preadv2},
};
use std::{
    fs,
    io::{self, IoSliceMut},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

/// What room is given back in.
const PAGE_BYTES: u64 = 4096;

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
        // What is no offset is refused by the kernel; preadv2(2) would take one of them for the file's own position. A read of
        // nothing only asks whether this handle may read.
        if i64::try_from(offset).is_err() || buffer.is_empty() {
            return self.0.read_at(buffer, offset);
        }
        let mut filled = 0;
        while filled < buffer.len() {
            let (rest, at) = (&mut buffer[filled..], offset + filled as u64);
            let cached = preadv2(&*self.0, &mut [IoSliceMut::new(rest)], at, ReadWriteFlags::NOWAIT);
            filled += match cached {
                Ok(0) => break,
                Ok(read) => read,
                Err(Errno::AGAIN) => match self.read_from_drive(rest, at).await {
                    Ok(0) => break,
                    Ok(read) => read,
                    // It is told again to who asks for the rest.
                    Err(_) if filled > 0 => break,
                    Err(error) => return Err(error),
                },
                // A file system that cannot tell.
                Err(Errno::OPNOTSUPP | Errno::NOSYS) if filled == 0 => return self.0.read_at(rest, at),
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error.into()),
            };
        }
        Ok(filled)
    }

    async fn read_from_drive(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (file, length) = (Arc::clone(&self.0), buffer.len());
        let bytes = blocking(move || {
            let mut bytes = vec![0; length];
            let read = file.read_at(&mut bytes, offset)?;
            bytes.truncate(read);
            io::Result::Ok(bytes)
        })
        .await?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before; as [`File::read_at`].
    pub async fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64).await {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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
            let reserved = fallocate(&*file, FallocateFlags::empty(), 0, bytes);
            match reserved {
                Ok(()) => Ok(()),
                // A file system without fallocate (NFS, some overlays): the size alone, as RocketMQ's mapped files do.
                Err(Errno::OPNOTSUPP) if file.metadata()?.len() < bytes => file.set_len(bytes),
                Err(Errno::OPNOTSUPP) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Reserves room for a part of the file, which keeps its size: what is written there later has room. A file system without
    /// fallocate (NFS, some overlays) promises nothing.
    ///
    /// # Errors
    /// `StorageFull` when there is no room: give back what may have been reserved all the same with [`File::unreserve`].
    /// `InvalidInput` when the part is empty or not within the file.
    pub async fn reserve(&self, part: Range<u64>) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        blocking(move || {
            check_writable(&file)?;
            if part.is_empty() || part.end > file.metadata()?.len() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            match fallocate(&*file, FallocateFlags::KEEP_SIZE, part.start, part.end - part.start) {
                Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Gives back what room is reserved from `from` on, rounded up to whole pages, and behind all that was ever written.
    ///
    /// # Errors
    /// As the operating system gives them.
    pub async fn unreserve(&self, from: u64) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        blocking(move || {
            check_writable(&file)?;
            let len = file.metadata()?.len();
            let mut from = from.checked_next_multiple_of(PAGE_BYTES).unwrap_or(u64::MAX);
            while from < len {
                // What is reserved and was not written counts as a hole.
                match seek(&*file, SeekFrom::Data(from)) {
                    Ok(data) => from = seek(&*file, SeekFrom::Hole(data))?,
                    Err(Errno::NXIO) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            if from >= len {
                return Ok(());
            }
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(&*file, flags, from, len - from) {
                Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// The next stretch from `offset` on in which there may be something other than zeros; `None` if there is none up to the end.
    /// What was reserved and never written is no such stretch, but on a file system that cannot tell.
    ///
    /// # Errors
    /// As the operating system gives them.
    pub async fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let file = Arc::clone(&self.0);
        blocking(move || {
            let len = file.metadata()?.len();
            let start = match seek(&*file, SeekFrom::Data(offset)) {
                Ok(start) => start,
                Err(Errno::NXIO) => return Ok(None),
                Err(Errno::INVAL | Errno::OPNOTSUPP) if offset < len => return Ok(Some(offset..len)),
                Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            match seek(&*file, SeekFrom::Hole(start)) {
                Ok(end) => Ok(Some(start..end)),
                // It was cut meanwhile.
                Err(Errno::NXIO) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Makes a range of the file zero, as far as the file reaches, without writing zeros. Room that was reserved stays so.
    ///
    /// # Errors
    /// `Unsupported` on a file system that cannot do it; nothing has been changed then. As the operating system gives them.
    pub async fn zero_range(&self, range: Range<u64>) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        blocking(move || {
            check_writable(&file)?;
            let end = range.end.min(file.metadata()?.len());
            let Some(length) = end.checked_sub(range.start).filter(|length| *length > 0) else { return Ok(()) };
            let zero = |flags| fallocate(&*file, flags, range.start, length);
            match zero(FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE) {
                // tmpfs has holes only.
                Err(Errno::OPNOTSUPP) => {
                    zero(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE)?;
                    Ok(zero(FallocateFlags::KEEP_SIZE)?)
                }
                zeroed => Ok(zeroed?),
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

fn check_writable(file: &fs::File) -> io::Result<()> {
    let access = fcntl_getfl(file)? & OFlags::RWMODE;
    if access == OFlags::RDONLY { Err(Errno::BADF.into()) } else { Ok(()) }
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
        // What is reserved for root counts neither as used nor as room, as in the Use% of df(1) and in Apache's
        // `UtilAll.getDiskPartitionSpaceUsedPercent`.
        let total_blocks = stat.f_blocks - stat.f_bfree + stat.f_bavail;
        Ok(DiskUsage { total_bytes: total_blocks * stat.f_frsize, available_bytes: stat.f_bavail * stat.f_frsize })
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Advice, fadvise};

    const BYTES: usize = 1 << 20;

    /// Beside the executable: a directory for temporary files may be in memory, where nothing is ever cold.
    #[test]
    fn what_is_not_in_the_page_cache_is_read_from_the_drive() {
        let executable = std::env::current_exe().expect("it runs");
        let directory =
            tempfile::tempdir_in(executable.parent().expect("it is a file")).expect("a temporary directory");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let path = directory.path().join("f");
            let content: Vec<u8> = (0..BYTES).map(|at| (at / 7) as u8).collect();
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).await.expect("created");
            file.write_all_at(&content, 0).await.expect("written");
            file.sync_data().await.expect("on the drive");
            fadvise(&*file.0, 0, None, Advice::DontNeed).expect("Linux has it");
            let mut read = vec![0; BYTES];
            let cold = preadv2(&*file.0, &mut [IoSliceMut::new(&mut read)], 0, ReadWriteFlags::NOWAIT);
            if !matches!(cold, Err(Errno::AGAIN)) {
                eprintln!("not cold on this file system: {cold:?}");
            }
            file.read_exact_at(&mut read, 0).await.expect("it is all there");
            assert!(read == content);
            assert_eq!(file.read_at(&mut read, BYTES as u64 - 3).await.expect("read"), 3);
            assert_eq!(file.read_at(&mut read, BYTES as u64).await.expect("read"), 0);
        });
    }
}

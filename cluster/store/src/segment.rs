//! One file of a series: a CommitLog file or a ConsumeQueue file (Apache's `MappedFile`).
//!
//! It has its full size from the beginning, zero-filled, and is durable, with its name, before anything is put in it: a
//! later `fdatasync` then has only content to write. Apache maps these files; here they are written and read with offsets.

mod content;

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use sim::disk::{self, File, OpenOptions};

pub(crate) use content::last_non_zero;

use crate::{
    durable,
    error::{StoreError, io_error},
};

/// What a drive is given at once (`MappedFile.OS_PAGE_SIZE`).
pub(crate) const PAGE_BYTES: u64 = 4096;
/// How much is read at once when a file is looked through.
pub(crate) const SCAN_CHUNK_BYTES: usize = 256 << 10;

/// The end of the name of a file that takes the place of another when it is complete.
const COPY_SUFFIX: &str = ".copy";

/// Whether a file of this name is a copy that a crash has cut short.
pub(crate) fn is_unfinished_copy(name: &str) -> bool {
    let of = name.strip_suffix(COPY_SUFFIX);
    of.is_some_and(|of| of.len() == 20 && of.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The name of the file that begins at this offset of its series.
pub(crate) fn segment_name(start: u64) -> String {
    format!("{start:020}")
}

/// One file of a series.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    file: File,
    /// The offset of its first byte in the series.
    start: u64,
    size_bytes: u64,
}

impl Segment {
    /// Creates the file with its full size, durably. The directory must exist durably.
    pub(crate) async fn create(directory: &Path, start: u64, size_bytes: u64) -> Result<Segment, StoreError> {
        let path = directory.join(segment_name(start));
        let mut options = OpenOptions::new();
        // What a failed creation may have left is no content.
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).await.map_err(io_error("create", &path))?;
        file.preallocate(size_bytes).await.map_err(io_error("preallocate", &path))?;
        file.sync_all().await.map_err(io_error("sync", &path))?;
        durable::sync_dir(directory).await?;
        Ok(Segment { path, file, start, size_bytes })
    }

    /// Opens an existing file whose size has been checked.
    pub(crate) async fn open(directory: &Path, start: u64, size_bytes: u64) -> Result<Segment, StoreError> {
        let path = directory.join(segment_name(start));
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = options.open(&path).await.map_err(io_error("open", &path))?;
        Ok(Segment { path, file, start, size_bytes })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The offset in the series just after its last byte.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.size_bytes
    }

    /// Reads `length` bytes at `position` of the file.
    pub(crate) async fn read(&self, position: u64, length: usize) -> Result<Bytes, StoreError> {
        let mut buffer = BytesMut::zeroed(length);
        self.file.read_exact_at(&mut buffer, position).await.map_err(io_error("read", &self.path))?;
        Ok(buffer.freeze())
    }

    /// Reads as much of `buffer` as the file still has at `position`; returns how much that is.
    pub(crate) async fn read_into(&self, buffer: &mut [u8], position: u64) -> Result<usize, StoreError> {
        let length = usize::try_from(self.size_bytes.saturating_sub(position)).unwrap_or(usize::MAX).min(buffer.len());
        let filled = &mut buffer[..length];
        self.file.read_exact_at(filled, position).await.map_err(io_error("read", &self.path))?;
        Ok(length)
    }

    pub(crate) async fn write(&self, bytes: &[u8], position: u64) -> Result<(), StoreError> {
        debug_assert!(position + bytes.len() as u64 <= self.size_bytes, "a write stays within its file");
        self.file.write_all_at(bytes, position).await.map_err(io_error("write", &self.path))
    }

    pub(crate) async fn sync_data(&self) -> Result<(), StoreError> {
        self.file.sync_data().await.map_err(io_error("sync", &self.path))
    }

    /// Content, size and metadata.
    pub(crate) async fn sync_all(&self) -> Result<(), StoreError> {
        self.file.sync_all().await.map_err(io_error("sync", &self.path))
    }

    /// A new file with what can be read of this one, durably in its place.
    pub(crate) async fn replaced_by_copy(&self) -> Result<Segment, StoreError> {
        let directory = durable::parent_of(&self.path);
        let path = durable::with_suffix(&self.path, COPY_SUFFIX);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).await.map_err(io_error("create", &path))?;
        file.preallocate(self.size_bytes).await.map_err(io_error("preallocate", &path))?;
        let copy = Segment { path, file, start: self.start, size_bytes: self.size_bytes };
        self.copy_content_to(&copy).await?;
        copy.sync_all().await?;
        disk::rename(&copy.path, &self.path).await.map_err(io_error("rename", &copy.path))?;
        durable::sync_dir(directory).await?;
        Ok(Segment { path: self.path.clone(), ..copy })
    }

    /// The last modification by the file system's clock, in milliseconds since 1970.
    pub(crate) async fn modified_ms(&self) -> Result<i64, StoreError> {
        Ok(disk::metadata(&self.path).await.map_err(io_error("look at", &self.path))?.modified_ms)
    }

    /// Removes the file, durably. Readers that hold it can go on reading.
    pub(crate) async fn remove(&self) -> Result<(), StoreError> {
        durable::remove_file(&self.path).await
    }
}

//! One file of a series: a CommitLog file or a ConsumeQueue file (Apache's `MappedFile`).
//!
//! It has its full size from the beginning, and of the log it is durable, with its name, before anything is put in it: a later
//! `fdatasync` then has only content to write. A queue's file is made durable together with its first units. It is a hole: it takes room on the drive where something was written, or where room was reserved
//! ahead of that ([`Segment::reserve`]). Apache maps these files; here they are written and read with offsets, and are open while
//! that happens (see [`crate::open_files`]).

mod content;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use sim::disk::{self, File, OpenOptions};

pub(crate) use content::last_non_zero;

use crate::{
    durable,
    error::{StoreError, io_error},
    open_files::{CachedFile, OpenFiles},
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

/// A directory of files of one size that follow one another, of which few are open at a time.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) directory: Arc<Path>,
    /// Of each file.
    pub(crate) size_bytes: u64,
    pub(crate) open_files: Arc<OpenFiles>,
}

/// One file of a series.
#[derive(Debug)]
pub(crate) struct Segment {
    series: Series,
    file: Arc<CachedFile>,
    /// The offset of its first byte in the series.
    start: u64,
}

impl Segment {
    /// Creates the file with its full size, durably. The directory must exist durably.
    pub(crate) async fn create(series: &Series, start: u64) -> Result<Segment, StoreError> {
        let segment = Segment::create_unsynced(series, start).await?;
        segment.sync_creation().await?;
        Ok(segment)
    }

    /// Creates the file with its full size, not durably yet: until [`Segment::sync_creation`] a power loss may leave it shorter,
    /// or without its name, whatever was put in it.
    pub(crate) async fn create_unsynced(series: &Series, start: u64) -> Result<Segment, StoreError> {
        let path = series.directory.join(segment_name(start));
        // What a failed creation may have left is no content.
        let file = create_file(&path).await?;
        file.set_len(series.size_bytes).await.map_err(io_error("size", &path))?;
        Ok(Segment { series: series.clone(), file: series.open_files.adopt(file), start })
    }

    /// Makes the file durable, with its name and what it has by now.
    pub(crate) async fn sync_creation(&self) -> Result<(), StoreError> {
        self.sync_all().await?;
        durable::sync_dir(&self.series.directory).await
    }

    /// A file that is there, whose size has been checked.
    pub(crate) fn existing(series: &Series, start: u64) -> Segment {
        Segment { series: series.clone(), file: Arc::default(), start }
    }

    async fn file(&self) -> Result<File, StoreError> {
        let Segment { series, file, .. } = self;
        series.open_files.file(file, || self.path()).await.map_err(self.error("open"))
    }

    async fn file_to_write(&self) -> Result<File, StoreError> {
        let Segment { series, file, .. } = self;
        series.open_files.file_to_write(file, || self.path()).await.map_err(self.error("open"))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.series.directory.join(segment_name(self.start))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.series.directory
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.series.size_bytes
    }

    /// The offset in the series just after its last byte.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.series.size_bytes
    }

    /// Reads `length` bytes at `position` of the file.
    pub(crate) async fn read(&self, position: u64, length: usize) -> Result<Bytes, StoreError> {
        let mut buffer = BytesMut::zeroed(length);
        let file = self.file().await?;
        file.read_exact_at(&mut buffer, position).await.map_err(self.error("read"))?;
        Ok(buffer.freeze())
    }

    /// Reads as much of `buffer` as the file still has at `position`; returns how much that is.
    pub(crate) async fn read_into(&self, buffer: &mut [u8], position: u64) -> Result<usize, StoreError> {
        let left = self.series.size_bytes.saturating_sub(position);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let filled = &mut buffer[..length];
        self.file().await?.read_exact_at(filled, position).await.map_err(self.error("read"))?;
        Ok(length)
    }

    pub(crate) async fn write(&self, bytes: &[u8], position: u64) -> Result<(), StoreError> {
        debug_assert!(position + bytes.len() as u64 <= self.series.size_bytes, "a write stays within its file");
        self.file_to_write().await?.write_all_at(bytes, position).await.map_err(self.error("write"))
    }

    pub(crate) async fn sync_data(&self) -> Result<(), StoreError> {
        let file = self.file().await?;
        let writes = self.file.writes();
        file.sync_data().await.map_err(self.error("sync"))?;
        self.file.note_synced(writes);
        Ok(())
    }

    /// Content, size and metadata.
    pub(crate) async fn sync_all(&self) -> Result<(), StoreError> {
        let file = self.file().await?;
        let writes = self.file.writes();
        file.sync_all().await.map_err(self.error("sync"))?;
        self.file.note_synced(writes);
        Ok(())
    }

    /// Keeps the file open from now on, or lets it be closed again when others are used more.
    pub(crate) async fn keep_open(&self, keep: bool) -> Result<(), StoreError> {
        // Held over the change: it is not closed before it is kept.
        let _file = if keep { Some(self.file().await?) } else { None };
        self.file.keep_open(keep);
        Ok(())
    }

    /// Reserves room for a part of the file. If there is none, what may have been taken all the same is given back.
    pub(crate) async fn reserve(&self, part: Range<u64>) -> Result<(), StoreError> {
        let file = self.file().await?;
        let from = part.start;
        let Err(error) = file.reserve(part).await else { return Ok(()) };
        if let Err(error) = file.unreserve(from).await {
            tracing::error!(file = %self.path().display(), %error, "what was reserved in vain cannot be given back");
        }
        Err(self.error("reserve room for")(error))
    }

    fn error(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> StoreError {
        move |source| StoreError::Io { action, path: self.path(), source }
    }

    /// Erases what has reached the file of a write that found the drive full, durably: a beginning of it.
    pub(crate) async fn erase_what_is_there(&self, position: u64, bytes: usize) -> Result<(), StoreError> {
        let zeros = vec![0; bytes];
        let mut done = 0;
        while done < bytes {
            // Page by page: the first that has no room was not written, nor was what follows it.
            let page_end = (position + done as u64 + 1).next_multiple_of(PAGE_BYTES) - position;
            let until = usize::try_from(page_end).unwrap_or(usize::MAX).min(bytes);
            match self.write(&zeros[done..until], position + done as u64).await {
                Err(error) if error.is_no_room() => break,
                written => written?,
            }
            done = until;
        }
        self.sync_data().await
    }

    /// A new file with what can be read of this one, durably in its place.
    pub(crate) async fn replaced_by_copy(&self) -> Result<Segment, StoreError> {
        let Segment { series, start, .. } = self;
        let path = durable::with_suffix(&self.path(), COPY_SUFFIX);
        let copy = create_file(&path).await?;
        copy.set_len(series.size_bytes).await.map_err(io_error("size", &path))?;
        self.copy_content_to(&copy, &path).await?;
        copy.sync_all().await.map_err(io_error("sync", &path))?;
        disk::rename(&path, self.path()).await.map_err(io_error("rename", &path))?;
        durable::sync_dir(&series.directory).await?;
        Ok(Segment { series: series.clone(), file: series.open_files.adopt(copy), start: *start })
    }

    /// The last modification by the file system's clock, in milliseconds since 1970.
    pub(crate) async fn modified_ms(&self) -> Result<i64, StoreError> {
        Ok(disk::metadata(self.path()).await.map_err(self.error("look at"))?.modified_ms)
    }

    /// Removes the file, durably. Readers that hold it can go on reading.
    pub(crate) async fn remove(&self) -> Result<(), StoreError> {
        // If it cannot be opened now, those who read it later get an error too.
        let _ = self.keep_open(true).await;
        durable::remove_file(&self.path()).await
    }
}

async fn create_file(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    options.open(path).await.map_err(io_error("create", path))
}

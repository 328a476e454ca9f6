//! What lies in a directory of segments, checked before anything is touched (Apache's `MappedFileQueue.load`).
//!
//! The files of a series are named `%020d` after their first offset, have one size, and follow one another without a gap.
//! Only a crash of ours may leave exceptions: the last file shorter than it should be and without content, because a file is
//! made, sized and synced before it is written; and a copy that has not taken a file's place yet. Everything else is
//! somebody's mistake, and is reported; of a series that can be made anew, only what does not look like one of its files.

use std::path::Path;

use sim::disk::{self, DirEntry, OpenOptions};

use crate::{
    error::{StoreError, io_error},
    segment::{SCAN_CHUNK_BYTES, is_unfinished_copy, segment_name},
};

/// The files found, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentListing {
    /// The first offsets of the complete files.
    pub starts: Vec<u64>,
    /// The first offset of a last file whose creation was cut short by a crash.
    pub unfinished: Option<u64>,
    /// The names of copies that a crash has cut short.
    pub copies: Vec<String>,
    /// Files of a wrong length, of a series that can be made anew.
    pub damaged: Vec<u64>,
}

/// Whether a directory of this name is there because a file system is mounted where it lies.
pub(crate) fn is_the_file_systems(name: &str) -> bool {
    name == "lost+found"
}

/// What a series is to its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing else has what it has.
    Original,
    /// It can be made anew: a file that is missing or has a wrong length is no reason to stop.
    Derived,
}

/// Lists the files of a series. `setting` is the name of the setting that gives `size_bytes`.
pub(crate) async fn list(
    directory: &Path,
    size_bytes: u64,
    setting: &'static str,
    content: Content,
) -> Result<SegmentListing, StoreError> {
    let mut listing = SegmentListing::default();
    let mut entries = match disk::read_dir(directory).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(listing),
        listed => listed.map_err(io_error("list", directory))?,
    };
    entries.retain(|entry| !is_the_file_systems(&entry.name));
    let is_copy = |entry: &mut DirEntry| !entry.is_dir && is_unfinished_copy(&entry.name);
    listing.copies = entries.extract_if(.., is_copy).map(|entry| entry.name).collect();
    let count = entries.len();
    for (number, entry) in entries.into_iter().enumerate() {
        let path = directory.join(&entry.name);
        let foreign = |why| StoreError::ForeignFile { path: path.clone(), why };
        if entry.is_dir {
            return Err(foreign("a directory among the files of a log"));
        }
        let start = match entry.name.parse::<u64>() {
            Ok(start) if entry.name.len() == 20 && entry.name.bytes().all(|byte| byte.is_ascii_digit()) => start,
            _ => return Err(foreign("its name is not the 20 digits of an offset")),
        };
        if start % size_bytes != 0 || i64::try_from(start).is_err() {
            return Err(foreign("its name is not a multiple of the configured file size"));
        }
        if let Some(previous) = listing.starts.last()
            && previous + size_bytes != start
            && content == Content::Original
        {
            return Err(StoreError::MissingFile { path: directory.join(segment_name(previous + size_bytes)) });
        }
        let length_bytes = disk::metadata(&path).await.map_err(io_error("look at", &path))?.len;
        if length_bytes == size_bytes {
            listing.starts.push(start);
        } else if content == Content::Derived {
            listing.damaged.push(start);
        } else if number + 1 == count && length_bytes < size_bytes && is_zero(&path, length_bytes).await? {
            listing.unfinished = Some(start);
        } else {
            return Err(StoreError::WrongLength { path, length_bytes, expected_bytes: size_bytes, setting });
        }
    }
    Ok(listing)
}

async fn is_zero(path: &Path, length_bytes: u64) -> Result<bool, StoreError> {
    let mut options = OpenOptions::new();
    let file = options.read(true).open(path).await.map_err(io_error("open", path))?;
    let mut buffer = vec![0; SCAN_CHUNK_BYTES];
    let mut at = 0;
    while at < length_bytes {
        let length = usize::try_from(length_bytes - at).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact_at(&mut buffer[..length], at).await.map_err(io_error("read", path))?;
        if buffer[..length].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += length as u64;
    }
    Ok(true)
}

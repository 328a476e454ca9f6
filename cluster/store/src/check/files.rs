//! Reading the files of a store without changing them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sim::disk::{self, File, OpenOptions};

use crate::{
    error::{StoreError, io_error},
    segment::SCAN_CHUNK_BYTES,
    segment_dir::is_the_file_systems,
};

/// A file that is only read.
#[derive(Debug)]
pub(super) struct Reading {
    pub path: PathBuf,
    file: File,
    pub length_bytes: u64,
}

impl Reading {
    /// `None` if it is gone: the broker that has the store open may have deleted it.
    pub(super) async fn open(path: PathBuf) -> Result<Option<Reading>, StoreError> {
        let mut options = OpenOptions::new();
        let file = match options.read(true).open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let length_bytes = file.len().await.map_err(io_error("look at", &path))?;
        Ok(Some(Reading { path, file, length_bytes }))
    }

    /// Up to `length` bytes at `position`; fewer at the end of the file.
    pub(super) async fn read(&self, position: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let there = usize::try_from(self.length_bytes.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(there)];
        self.file.read_exact_at(&mut bytes, position).await.map_err(io_error("read", &self.path))?;
        Ok(bytes)
    }

    /// Whether nothing was ever put in the file.
    pub(super) async fn is_zero(&self) -> Result<bool, StoreError> {
        let mut at = 0;
        while at < self.length_bytes {
            let bytes = self.read(at, SCAN_CHUNK_BYTES).await?;
            if bytes.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += bytes.len() as u64;
        }
        Ok(true)
    }
}

/// The entries of a directory, in the order of their names, with whether they are directories; none if it does not exist.
pub(super) async fn list(directory: &Path) -> Result<Vec<(String, bool)>, StoreError> {
    if !disk::exists(directory).await.map_err(io_error("look for", directory))? {
        return Ok(Vec::new());
    }
    let entries = disk::read_dir(directory).await.map_err(io_error("list", directory))?;
    let mut entries: Vec<_> = entries.into_iter().map(|entry| (entry.name, entry.is_dir)).collect();
    entries.retain(|(name, _)| !is_the_file_systems(name));
    entries.sort();
    Ok(entries)
}

/// The files of a series by their first offsets, and what is wrong with their names.
pub(super) async fn series(
    directory: &Path,
) -> Result<(Vec<(u64, Reading)>, Vec<(PathBuf, &'static str)>), StoreError> {
    let (mut files, mut foreign) = (Vec::new(), Vec::new());
    for (name, is_dir) in list(directory).await? {
        let path = directory.join(&name);
        match name.parse::<u64>() {
            Ok(start) if !is_dir && name.len() == 20 && i64::try_from(start).is_ok() => {
                if let Some(file) = Reading::open(path).await? {
                    files.push((start, file));
                }
            }
            _ if is_dir => foreign.push((path, "a directory among the files of a log")),
            _ => foreign.push((path, "its name is not the 20 digits of an offset")),
        }
    }
    Ok((files, foreign))
}

/// The length that most files of a series have; of several the largest.
pub(super) fn usual_length(files: &[(u64, Reading)]) -> u64 {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, file) in files {
        *counts.entry(file.length_bytes).or_default() += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(length_bytes, count)| (*count, *length_bytes))
        .map_or(0, |(length_bytes, _)| length_bytes)
}

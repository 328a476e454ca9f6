//! The journal beside a table's file: what has changed since the file was written, one line for each group of changes.
//!
//! ```text
//! CRC32 (8 hex digits), a space, JSON, a line feed
//! first line   {"crc32":…,"bytes":…}                              of the file's content that the lines go on from
//! others       {"dataVersion":{…},"rows":{"TopicA":{…},"TopicB":null}}     null: the row was removed
//! ```
//!
//! The checksum of a change begins with that of the file's content: a line that is left over of an earlier journal is none.
//! A line that is cut off at the end was never confirmed; one in the middle is damaged, and those after it still count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use protocol::body::DataVersion;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sim::disk::{self, File, OpenOptions};

use crate::{
    durable,
    error::{StoreError, io_error},
};

/// Changes of a table that are written together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableChange<R> {
    /// The table's version after them.
    pub data_version: DataVersion,
    /// The rows that were set, and the names of those that were removed.
    pub rows: BTreeMap<String, Option<R>>,
}

/// The content of a table's file, as a journal names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    crc32: u32,
    bytes: u64,
}

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Content {
        Content { crc32: crc32fast::hash(bytes), bytes: bytes.len() as u64 }
    }

    pub(super) const fn bytes(self) -> u64 {
        self.bytes
    }

    fn checksum(self, json: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.crc32);
        hasher.update(json);
        hasher.finalize()
    }
}

/// What a journal says.
#[derive(Debug)]
pub(super) struct Noted<R> {
    pub base: Content,
    pub changes: Vec<TableChange<R>>,
    /// Where the first line ends, and the last one that counts.
    pub begins: u64,
    pub end: u64,
    /// Nothing stands after that, and no line before it is damaged.
    pub is_whole: bool,
    /// Lines before that which cannot be read.
    pub damaged: usize,
}

/// Where a whole journal can be added to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    base: Content,
    begins: u64,
    end: u64,
}

impl<R> Noted<R> {
    /// Where it can be added to, if it is whole.
    pub(super) fn place(&self) -> Option<Place> {
        self.is_whole.then_some(Place { base: self.base, begins: self.begins, end: self.end })
    }
}

/// Reads the journal at `path`; `None` if there is none, or its first line cannot be read.
pub(super) async fn read<R: DeserializeOwned>(path: &Path) -> Result<Option<Noted<R>>, StoreError> {
    if !disk::exists(path).await.map_err(io_error("look for", path))? {
        return Ok(None);
    }
    let bytes = disk::read(path).await.map_err(io_error("read", path))?;
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let base = parse(first, crc32fast::hash).and_then(|json| serde_json::from_slice::<Content>(json).ok());
    let Some(base) = base else { return Ok(None) };
    let begins = first.len() as u64;
    let mut noted = Noted { base, changes: Vec::new(), begins, end: begins, is_whole: true, damaged: 0 };
    let (mut at, mut unread) = (begins, 0);
    for line in lines {
        at += line.len() as u64;
        let change = parse(line, |json| base.checksum(json)).and_then(|json| serde_json::from_slice(json).ok());
        match change {
            Some(change) => {
                noted.changes.push(change);
                noted.end = at;
                noted.damaged += std::mem::take(&mut unread);
            }
            None => unread += 1,
        }
    }
    noted.is_whole = noted.damaged == 0 && unread == 0;
    Ok(Some(noted))
}

/// The JSON of a line whose checksum is right.
fn parse(line: &[u8], checksum: impl Fn(&[u8]) -> u32) -> Option<&[u8]> {
    let (digits, rest) = line.strip_suffix(b"\n")?.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    let said = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (said == checksum(json)).then_some(json)
}

fn line(json: &[u8], checksum: u32) -> Vec<u8> {
    let mut line = format!("{checksum:08x} ").into_bytes();
    line.extend_from_slice(json);
    line.push(b'\n');
    line
}

/// A journal that is open for more.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    base: Content,
    /// Where the first line ends.
    begins: u64,
    end: u64,
}

impl Journal {
    /// Goes on with a journal that is whole.
    pub(super) async fn open(path: &Path, place: Place) -> Result<Journal, StoreError> {
        let file = OpenOptions::new().write(true).open(path).await.map_err(io_error("open", path))?;
        let Place { base, begins, end } = place;
        Ok(Journal { path: path.to_path_buf(), file, base, begins, end })
    }

    /// Opens the file at `path`, new or as it is, to be begun.
    pub(super) async fn create(path: &Path) -> Result<Journal, StoreError> {
        let file = OpenOptions::new().write(true).create(true).open(path).await.map_err(io_error("create", path))?;
        durable::sync_dir(durable::parent_of(path)).await?;
        Ok(Journal { path: path.to_path_buf(), file, base: Content::of(&[]), begins: 0, end: 0 })
    }

    /// Forgets what it has and begins anew, durably, on top of this content. It is reset in place: for that no file descriptor
    /// need be free.
    pub(super) async fn begin(&mut self, base: Content) -> Result<(), StoreError> {
        let json = serde_json::to_vec(&base).expect("two numbers are what JSON can say");
        let line = line(&json, crc32fast::hash(&json));
        self.file.set_len(0).await.map_err(io_error("empty", &self.path))?;
        self.file.write_all_at(&line, 0).await.map_err(io_error("write", &self.path))?;
        self.file.sync_all().await.map_err(io_error("sync", &self.path))?;
        (self.base, self.begins, self.end) = (base, line.len() as u64, line.len() as u64);
        Ok(())
    }

    /// Adds a line, durably.
    pub(super) async fn append(&mut self, change: &TableChange<impl Serialize>) -> Result<(), StoreError> {
        let json = serde_json::to_vec(change)
            .map_err(|error| StoreError::ConfigFile { path: self.path.clone(), why: error.to_string() })?;
        let line = line(&json, self.base.checksum(&json));
        self.file.write_all_at(&line, self.end).await.map_err(io_error("write", &self.path))?;
        self.file.sync_data().await.map_err(io_error("sync", &self.path))?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// How long the content is that it goes on from.
    pub(super) fn base_bytes(&self) -> u64 {
        self.base.bytes()
    }

    /// Whether a change stands in it.
    pub(super) fn has_changes(&self) -> bool {
        self.end > self.begins
    }
}

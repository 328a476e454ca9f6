//! One index file on the drive (`IndexFile`), full or being filled.
//!
//! Apache maps the file; here entries and slots are gathered in memory and written in larger pieces, entries and slots
//! before the header, with a sync between: what the header claims is on the drive. The file has its full size from the
//! beginning, but takes room only where something was written.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use sim::disk::{File, OpenOptions};

use super::{
    format::{ENTRY_BYTES, Geometry, HEADER_BYTES, IndexEntry, IndexHeader, NO_ENTRY, SLOT_BYTES, entries},
    table::IndexTable,
};
use crate::{
    durable,
    error::{StoreError, io_error, lock},
};

#[derive(Debug)]
pub(crate) struct IndexFile {
    name: String,
    path: PathBuf,
    file: File,
    geometry: Geometry,
    contents: Mutex<Contents>,
}

#[derive(Debug)]
enum Contents {
    /// Nothing changes any more: all is in the file.
    Sealed(IndexHeader),
    /// It is being filled.
    Active(IndexTable),
}

impl IndexFile {
    /// Creates an empty file, durably. The directory must exist durably.
    pub(crate) async fn create(
        directory: &Path,
        name: String,
        geometry: Geometry,
        previous: Option<&IndexHeader>,
    ) -> Result<IndexFile, StoreError> {
        let path = directory.join(&name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).await.map_err(io_error("create", &path))?;
        file.set_len(geometry.file_bytes()).await.map_err(io_error("size", &path))?;
        file.sync_all().await.map_err(io_error("sync", &path))?;
        durable::sync_dir(directory).await?;
        let contents = Mutex::new(Contents::Active(IndexTable::new(geometry, previous)));
        Ok(IndexFile { name, path, file, geometry, contents })
    }

    /// Opens a file of the right size.
    pub(crate) async fn open(directory: &Path, name: String, geometry: Geometry) -> Result<IndexFile, StoreError> {
        let path = directory.join(&name);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).open(&path).await.map_err(io_error("open", &path))?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).await.map_err(io_error("read", &path))?;
        let contents = Mutex::new(Contents::Sealed(IndexHeader::decode(&header)));
        Ok(IndexFile { name, path, file, geometry, contents })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn header(&self) -> IndexHeader {
        match &*lock(&self.contents) {
            Contents::Sealed(header) => *header,
            Contents::Active(table) => *table.header(),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.header().index_count >= self.geometry.entries
    }

    /// Begins to fill the file from what `table` says of it.
    pub(crate) fn activate(&self, table: IndexTable) {
        *lock(&self.contents) = Contents::Active(table);
    }

    /// Says that the file is full and written.
    pub(crate) fn seal(&self) {
        let header = self.header();
        *lock(&self.contents) = Contents::Sealed(header);
    }

    /// Changes the file that is being filled; `None` if this is not it.
    pub(crate) fn with_table<R>(&self, change: impl FnOnce(&mut IndexTable) -> R) -> Option<R> {
        match &mut *lock(&self.contents) {
            Contents::Active(table) => Some(change(table)),
            Contents::Sealed(_) => None,
        }
    }

    /// The newest entry of a hash's slot, or [`NO_ENTRY`].
    pub(crate) async fn newest(&self, key_hash: i32) -> Result<i32, StoreError> {
        if let Some(number) = self.with_table(|table| table.newest(key_hash)) {
            return Ok(number);
        }
        let mut bytes = [0; SLOT_BYTES];
        let position = self.geometry.slot_position(self.geometry.slot_of(key_hash));
        self.file.read_exact_at(&mut bytes, position).await.map_err(io_error("read", &self.path))?;
        Ok(i32::from_be_bytes(bytes))
    }

    /// An entry; `None` if there is none of that number.
    pub(crate) async fn entry(&self, number: i32) -> Result<Option<IndexEntry>, StoreError> {
        if number <= NO_ENTRY || number >= self.header().index_count.min(self.geometry.entries) {
            return Ok(None);
        }
        if let Some(Some(entry)) = self.with_table(|table| table.unwritten_entry(number)) {
            return Ok(Some(entry));
        }
        Ok(entries(&self.read_entries(number, 1).await?).next())
    }

    /// The bytes of entries as they are in the file.
    pub(crate) async fn read_entries(&self, first: i32, count: i32) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * ENTRY_BYTES];
        let position = self.geometry.entry_position(first);
        self.file.read_exact_at(&mut bytes, position).await.map_err(io_error("read", &self.path))?;
        Ok(bytes)
    }

    /// The slots `first..first + count` as they are in the file.
    pub(crate) async fn read_slots(&self, first: i32, count: i32) -> Result<Vec<i32>, StoreError> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * SLOT_BYTES];
        let position = self.geometry.slot_position(first);
        self.file.read_exact_at(&mut bytes, position).await.map_err(io_error("read", &self.path))?;
        Ok(bytes.as_chunks().0.iter().map(|slot| i32::from_be_bytes(*slot)).collect())
    }

    /// Writes what the file lacks and syncs it; with `sync_header` also the claim that it is there. Nothing may be put
    /// meanwhile. After an error everything stays in memory and is written anew by the next flush.
    pub(crate) async fn flush(&self, sync_header: bool) -> Result<(), StoreError> {
        let Some(Some((pieces, header))) =
            self.with_table(|table| table.is_dirty().then(|| (table.pieces(), *table.header())))
        else {
            return Ok(());
        };
        for piece in pieces {
            self.file.write_all_at(&piece.bytes, piece.position).await.map_err(io_error("write", &self.path))?;
        }
        self.file.sync_data().await.map_err(io_error("sync", &self.path))?;
        self.write_header(&header, sync_header).await?;
        self.with_table(IndexTable::written);
        Ok(())
    }

    /// Writes the header alone, before anything that is cut off is overwritten.
    pub(crate) async fn write_header(&self, header: &IndexHeader, sync: bool) -> Result<(), StoreError> {
        self.file.write_all_at(&header.encode(), 0).await.map_err(io_error("write", &self.path))?;
        if sync {
            self.file.sync_data().await.map_err(io_error("sync", &self.path))?;
        }
        Ok(())
    }

    /// Removes the file, durably. Readers that hold it can go on reading.
    pub(crate) async fn remove(&self) -> Result<(), StoreError> {
        durable::remove_file(&self.path).await
    }
}

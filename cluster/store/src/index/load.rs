//! Opening the index: how far what lies there can be believed, and where the log is to be indexed from.
//!
//! A full file that the checkpoint vouches for is taken as it is. Of the others every entry is looked at after a crash: it
//! must continue the chain of its slot, and lie behind the one before it. The last entries must be the keys of the
//! record they lead to: a log that was cut, and perhaps continued, shows there. From the first thing that is wrong the index
//! is cut, durably, before anything is served, and indexed again from the log. All of it is derived: nothing that is wrong
//! with it keeps a store from opening.

use std::sync::{Arc, RwLock, atomic::AtomicI64};

use protocol::{PhysicalOffset, message::parse_record};
use quirks::Quirk;
use sim::disk;
use tokio::sync::{Notify, watch};

use super::{
    Index,
    build::Progress,
    file::IndexFile,
    format::{ENTRY_BYTES, Geometry, SLOT_BYTES, entries},
    is_name, key_hash, keys_of,
    table::IndexTable,
};
use crate::{
    commit_log::CommitLog,
    config::StoreConfig,
    durable,
    error::{StoreError, io_error},
    segment::SCAN_CHUNK_BYTES,
};

/// What recovery knows of the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// The last broker did not close the store.
    pub abnormal: bool,
    /// The checkpoint vouches for full files up to this STORETIMESTAMP.
    pub index_msg_timestamp_ms: i64,
    /// Where recovery began to dispatch the log again.
    pub scanned_from: PhysicalOffset,
}

/// How the last entries of a file and the record that they lead to agree.
#[derive(Debug)]
enum End {
    /// The record is expired.
    Expired,
    /// All its keys are there; the next record is here.
    After(u64),
    /// So many of its keys are there.
    Within(usize),
    /// The record is another, or there is none.
    Wrong,
}

impl Index {
    /// Opens the index of a log that has been recovered.
    pub(crate) async fn load(config: &StoreConfig, log: &CommitLog, opened: Opened) -> Result<Index, StoreError> {
        let log_min = log.min_offset().0.cast_unsigned();
        let is_enabled = config.message_index_enable;
        let mut loading = Loading { config, log, opened, geometry: config.index_geometry(), files: Vec::new() };
        let mut progress = Progress { next: log_min, keys_done: 0 };
        if is_enabled {
            let is_quirky = opened.abnormal && config.quirks.has(Quirk::IndexDeletedOnRecovery);
            loading.find(is_quirky).await?;
            progress = loading.agree().await?.unwrap_or(progress);
            if is_quirky {
                progress.next = progress.next.max(opened.scanned_from.0.cast_unsigned());
            }
        }
        // A claim for files that are gone would keep the next start from looking at those that replace them.
        let sealed =
            loading.files.iter().filter(|file| file.is_full()).map(|file| file.header().end_timestamp_ms).max();
        let sealed_ms = if is_enabled { sealed.unwrap_or(0).min(opened.index_msg_timestamp_ms) } else { 0 };
        Ok(Index {
            is_enabled,
            directory: config.index_dir(),
            geometry: loading.geometry,
            files: RwLock::new(loading.files),
            building: tokio::sync::Mutex::new(progress),
            reached: watch::Sender::new(progress.next.cast_signed()),
            wanted: Notify::new(),
            sealed_timestamp_ms: AtomicI64::new(sealed_ms),
        })
    }
}

struct Loading<'a> {
    config: &'a StoreConfig,
    log: &'a CommitLog,
    opened: Opened,
    geometry: Geometry,
    files: Vec<Arc<IndexFile>>,
}

impl Loading<'_> {
    /// Opens the files that can be believed, the last one to be filled further, and removes the others.
    async fn find(&mut self, is_quirky: bool) -> Result<(), StoreError> {
        let directory = self.config.index_dir();
        if !disk::exists(&directory).await.map_err(io_error("look for", &directory))? {
            return Ok(());
        }
        let mut names = Vec::new();
        for entry in disk::read_dir(&directory).await.map_err(io_error("list", &directory))? {
            if entry.is_dir || !is_name(&entry.name) {
                tracing::warn!(directory = %directory.display(), name = entry.name, "not an index file: left alone");
            } else {
                names.push(entry.name);
            }
        }
        names.sort();
        let mut names = names.into_iter().peekable();
        while let Some(name) = names.next() {
            let path = directory.join(&name);
            let is_last = names.peek().is_none();
            let length_bytes = disk::metadata(&path).await.map_err(io_error("look at", &path))?.len;
            let why = if length_bytes == self.geometry.file_bytes() {
                let file = IndexFile::open(&directory, name, self.geometry).await?;
                if is_quirky && file.header().end_timestamp_ms > self.opened.index_msg_timestamp_ms {
                    file.remove().await?;
                    continue;
                }
                match self.take(file, is_last).await? {
                    None => continue,
                    Some(why) => why,
                }
            } else if is_quirky {
                durable::remove_file(&path).await?;
                continue;
            } else {
                format!("it has {length_bytes} bytes instead of {}", self.geometry.file_bytes())
            };
            tracing::warn!(file = %path.display(), %why, "index file: what follows is indexed again from the log");
            if self
                .files
                .last()
                .is_none_or(|last| last.name() < &*path.file_name().unwrap_or_default().to_string_lossy())
            {
                durable::remove_file(&path).await?;
            }
            for name in names.by_ref() {
                durable::remove_file(&directory.join(name)).await?;
            }
        }
        Ok(())
    }

    /// Takes up a file; why nothing after it can be believed, if so.
    async fn take(&mut self, file: IndexFile, is_last: bool) -> Result<Option<String>, StoreError> {
        let header = file.header();
        let previous_end = self.files.last().map_or(PhysicalOffset::ZERO, |previous| previous.header().end_offset);
        if header.index_count > self.geometry.entries || header.begin_offset < previous_end {
            return Ok(Some("its header is damaged".to_owned()));
        }
        if header.index_count <= 1 && !is_last {
            return Ok(Some("it is empty, but not the last".to_owned()));
        }
        let is_vouched_for = file.is_full()
            && header.end_timestamp_ms <= self.opened.index_msg_timestamp_ms
            && header.begin_timestamp_ms <= header.end_timestamp_ms;
        if !is_last && file.is_full() && (is_vouched_for || !self.opened.abnormal) {
            self.files.push(Arc::new(file));
            return Ok(None);
        }
        let entries_bytes = i64::from(header.index_count) * ENTRY_BYTES as i64;
        let slots_bytes = i64::from(self.geometry.slots) * SLOT_BYTES as i64;
        if is_last && !self.opened.abnormal && slots_bytes < entries_bytes {
            let table = self.load_slots(&file).await?;
            file.activate(table);
            self.files.push(Arc::new(file));
            return Ok(None);
        }
        let (mut table, why) = self.replay(&file, header.index_count).await?;
        if why.is_none() && !header.describes(table.header()) {
            return Ok(Some("its header does not fit its entries".to_owned()));
        }
        if why.is_none() {
            table.has_header(header);
            if self.opened.abnormal {
                self.compare_slots(&file, &mut table).await?;
            }
            let is_full = file.is_full();
            file.activate(table);
            if !is_last && is_full {
                file.flush(true).await?;
                file.seal();
            }
            self.files.push(Arc::new(file));
            return Ok((!is_last && !is_full).then(|| "it is not full, but not the last".to_owned()));
        }
        let good = table.header().index_count;
        let why = format!("entry {good} of {}: {}", header.index_count, why.unwrap_or("there is none"));
        if good > 1 {
            let file = Arc::new(file);
            self.files.push(Arc::clone(&file));
            self.keep(&file, table).await?;
        }
        Ok(Some(why))
    }

    /// The slots of a file as they are.
    async fn load_slots(&self, file: &IndexFile) -> Result<IndexTable, StoreError> {
        let mut table = IndexTable::of_file(self.geometry, file.header());
        let at_once = (SCAN_CHUNK_BYTES / SLOT_BYTES) as i32;
        let mut first = 0;
        while first < self.geometry.slots {
            let count = at_once.min(self.geometry.slots - first);
            for (number, slot) in file.read_slots(first, count).await?.into_iter().zip(first..) {
                table.load_slot(slot, number);
            }
            first += count;
        }
        Ok(table)
    }

    /// Finds the slots of a file that are torn: the next flush writes them as the entries say.
    async fn compare_slots(&self, file: &IndexFile, table: &mut IndexTable) -> Result<(), StoreError> {
        let at_once = (SCAN_CHUNK_BYTES / SLOT_BYTES) as i32;
        let mut first = 0;
        while first < self.geometry.slots {
            let count = at_once.min(self.geometry.slots - first);
            for (number, slot) in file.read_slots(first, count).await?.into_iter().zip(first..) {
                table.compare_slot(slot, number);
            }
            first += count;
        }
        Ok(())
    }

    /// Takes up the entries below `until` one by one, up to the first that cannot be one.
    async fn replay(&self, file: &IndexFile, until: i32) -> Result<(IndexTable, Option<&'static str>), StoreError> {
        let mut table = IndexTable::replaying(self.geometry, file.header().begin_timestamp_ms);
        let at_once = (SCAN_CHUNK_BYTES / ENTRY_BYTES) as i32;
        let mut first = 1;
        while first < until {
            let count = at_once.min(until - first);
            for entry in entries(&file.read_entries(first, count).await?) {
                if let Err(why) = table.replay(entry) {
                    return Ok((table, Some(why)));
                }
            }
            first += count;
        }
        Ok((table, None))
    }

    /// Goes on with a file that is cut to what `table` has: first its header, so that nothing beyond is believed any more.
    async fn keep(&self, file: &IndexFile, mut table: IndexTable) -> Result<(), StoreError> {
        let end = *table.header();
        let stored_ms = self.log.store_timestamp_ms(end.end_offset).await?;
        let is_exact = |stored_ms: &i64| *stored_ms >= end.end_timestamp_ms;
        table.rewrite_header(stored_ms.filter(is_exact).unwrap_or(end.end_timestamp_ms));
        self.compare_slots(file, &mut table).await?;
        file.write_header(table.header(), true).await?;
        file.activate(table);
        file.flush(true).await
    }

    /// Cuts off what the log does not confirm; where to go on. `None`: from the log's beginning.
    async fn agree(&mut self) -> Result<Option<Progress>, StoreError> {
        while let Some(last) = self.files.last().cloned() {
            let count = last.header().index_count;
            let good = match self.end_of(count).await? {
                End::Expired => return Ok(None),
                End::After(next) => return Ok(Some(Progress { next, keys_done: 0 })),
                End::Within(keys_done) => {
                    let next = last.header().end_offset.0.cast_unsigned();
                    return Ok(Some(Progress { next, keys_done }));
                }
                End::Wrong => self.first_wrong(&last, count).await?,
            };
            tracing::warn!(
                file = %last.path().display(),
                entries = count,
                kept = good,
                "the index leads to what the log does not have: cut, and indexed again from there"
            );
            if good <= 1 {
                last.remove().await?;
                self.files.pop();
                let Some(previous) = self.files.last() else { break };
                // It becomes the one that is filled, if it has to be cut too.
                let header = previous.header();
                let (mut table, _) = self.replay(previous, header.index_count).await?;
                if table.header().index_count == header.index_count {
                    table.has_header(header);
                    previous.activate(table);
                } else {
                    self.keep(previous, table).await?;
                }
            } else {
                let (table, _) = self.replay(&last, good).await?;
                self.keep(&last, table).await?;
            }
        }
        Ok(None)
    }

    /// Whether the last entries of the last file, up to `count`, are those of the record that they lead to.
    async fn end_of(&self, count: i32) -> Result<End, StoreError> {
        let Some(last) = self.files.last() else { return Ok(End::Wrong) };
        if count <= 1 {
            return Ok(End::Wrong);
        }
        let offset = last.header().end_offset;
        if offset < self.log.min_offset() {
            return Ok(End::Expired);
        }
        let Some(hashes) = self.hashes_of(offset).await? else { return Ok(End::Wrong) };
        // From the last entry back, into the file before if need be.
        let mut found = Vec::new();
        'files: for file in self.files.iter().rev() {
            let mut number = file.header().index_count - 1;
            while number >= 1 {
                match file.entry(number).await? {
                    Some(entry) if entry.physical_offset == offset && found.len() < hashes.keys.len() => {
                        found.push(entry.key_hash);
                    }
                    _ => break 'files,
                }
                number -= 1;
            }
        }
        found.reverse();
        Ok(if found.is_empty() || !hashes.keys.starts_with(&found) {
            End::Wrong
        } else if found.len() == hashes.keys.len() {
            End::After(hashes.record_end)
        } else {
            End::Within(found.len())
        })
    }

    /// The first entry below `count` that the log does not confirm, given that all after it are wrong too.
    async fn first_wrong(&self, file: &IndexFile, count: i32) -> Result<i32, StoreError> {
        let (mut low, mut high) = (1, count);
        while low < high {
            let middle = low + (high - low) / 2;
            let is_right = match file.entry(middle).await? {
                Some(entry) if entry.physical_offset < self.log.min_offset() => true,
                Some(entry) => {
                    let hashes = self.hashes_of(entry.physical_offset).await?;
                    hashes.is_some_and(|hashes| hashes.keys.contains(&entry.key_hash))
                }
                None => false,
            };
            if is_right { low = middle + 1 } else { high = middle }
        }
        // At least one goes, or the last one would be asked again and again.
        Ok(low.min(count - 1))
    }

    /// The hashes of the keys of the record at `offset`.
    async fn hashes_of(&self, offset: PhysicalOffset) -> Result<Option<Hashes>, StoreError> {
        if offset >= self.log.written_offset() {
            return Ok(None);
        }
        let Some(record) = self.log.record_at(offset).await? else { return Ok(None) };
        let Ok(view) = parse_record(&record) else { return Ok(None) };
        let keys = keys_of(&view).map(|key| key_hash(view.topic, key)).collect();
        Ok(Some(Hashes { keys, record_end: (offset + record.len() as i64).0.cast_unsigned() }))
    }
}

struct Hashes {
    keys: Vec<i32>,
    record_end: u64,
}

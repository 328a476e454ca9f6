//! The index files: each by itself (header, chains, slots), and all of them against the keys of the log, in order.

use std::path::PathBuf;

use super::{
    Check,
    files::{Reading, list},
    log::{Facts, Log},
};
use crate::{
    error::StoreError,
    index::{
        format::{ENTRY_BYTES, Geometry, HEADER_BYTES, IndexEntry, IndexHeader, NO_ENTRY, SLOT_BYTES, entries},
        is_name,
        table::IndexTable,
    },
};

/// RocketMQ's `maxHashSlotNum`.
const DEFAULT_SLOTS: i32 = 5_000_000;
/// RocketMQ's `maxIndexNum`.
const DEFAULT_ENTRIES: i32 = 20_000_000;
/// The shape of a larger file is not found out.
const FOUND_OUT_MAX_BYTES: u64 = 16 << 20;
/// How many entries or slots are read at once.
const AT_ONCE: i32 = 16 << 10;

/// The entries of all files, to be compared with the log in order.
#[derive(Debug, Default)]
pub(super) struct IndexEntries {
    files: Vec<(Reading, Geometry, IndexHeader)>,
    /// The file and the number of the entry that comes next.
    at: (usize, i32),
    window: (i32, Vec<IndexEntry>),
    /// Whether the index is to be compared: there is one, and its shape is known.
    is_compared: bool,
    /// The log is indexed from here on.
    begins: u64,
    /// Keys of the log that no entry has, since the last that had one.
    missing: u64,
    first_missing: Option<(u64, i64)>,
}

impl IndexEntries {
    fn path(&self) -> PathBuf {
        let file = self.files.get(self.at.0).or(self.files.last());
        file.map(|(file, ..)| file.path.clone()).unwrap_or_default()
    }

    fn byte(&self) -> u64 {
        self.files.get(self.at.0).map_or(0, |(_, geometry, _)| geometry.entry_position(self.at.1))
    }

    async fn peek(&mut self) -> Result<Option<IndexEntry>, StoreError> {
        while let Some((file, geometry, header)) = self.files.get(self.at.0) {
            let number = self.at.1;
            if number >= header.index_count {
                self.at = (self.at.0 + 1, 1);
                self.window = (0, Vec::new());
                continue;
            }
            let (from, window) = &self.window;
            if let Some(entry) = number.checked_sub(*from).and_then(|at| window.get(usize::try_from(at).ok()?)) {
                return Ok(Some(*entry));
            }
            let count = AT_ONCE.min(header.index_count - number);
            let bytes = file.read(geometry.entry_position(number), count as usize * ENTRY_BYTES).await?;
            self.window = (number, entries(&bytes).collect());
            if self.window.1.is_empty() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn pass(&mut self) {
        self.at.1 += 1;
    }
}

impl Check {
    /// Looks at each index file by itself.
    pub(super) async fn open_index(&mut self, log: &Log) -> Result<IndexEntries, StoreError> {
        let directory = self.root.join("index");
        let mut index = IndexEntries { at: (0, 1), is_compared: true, begins: log.min(), ..IndexEntries::default() };
        let mut names = Vec::new();
        for (name, is_dir) in list(&directory).await? {
            if is_dir || !is_name(&name) {
                self.note(&directory.join(name), None, "not an index file");
            } else {
                names.push(name);
            }
        }
        let count = names.len();
        for (name, number) in names.into_iter().zip(1..) {
            let Some(file) = Reading::open(directory.join(name)).await? else { continue };
            self.report.index_files += 1;
            let Some((geometry, header)) = self.shape_of(&file).await? else {
                if !self.is_open {
                    let what = "neither its size nor its header is that of an index file: give --maxHashSlotNum if it was \
                                not RocketMQ's";
                    self.tell_index(&file.path, None, what.to_owned(), i64::MAX);
                }
                index.is_compared = false;
                continue;
            };
            let is_last = number == count;
            if !is_last && header.index_count < geometry.entries && !self.is_open {
                let what =
                    format!("it has {} entries of {}, but is not the last", header.index_count, geometry.entries);
                self.tell_index(&file.path, Some(36), what, header.end_timestamp_ms);
            }
            if !is_last || !self.is_open {
                self.check_chains(&file, geometry, &header).await?;
                index.files.push((file, geometry, header));
            }
        }
        index.is_compared &= !index.files.is_empty();
        Ok(index)
    }

    /// A finding about the index: after a crash the next start mends what the checkpoint does not vouch for.
    fn tell_index(&mut self, path: &std::path::Path, offset: Option<u64>, what: String, stored_ms: i64) {
        if !self.is_open && !self.is_abnormal || stored_ms < self.checkpoint.index_msg_timestamp_ms {
            self.damage(path, offset, what);
        } else {
            self.note(path, offset, format!("{what}; the next start mends it"));
        }
    }

    /// The number of slots and entries, which no file says: as given, RocketMQ's, or found out from what the entries must be.
    async fn shape_of(&self, file: &Reading) -> Result<Option<(Geometry, IndexHeader)>, StoreError> {
        let bytes = file.read(0, HEADER_BYTES).await?;
        let Some(header) = bytes.first_chunk().map(IndexHeader::decode) else { return Ok(None) };
        let entries_of = |slots: i32| {
            let room = file.length_bytes.checked_sub(HEADER_BYTES as u64 + u64::from(slots.unsigned_abs()) * 4)?;
            let entries = i32::try_from(room / ENTRY_BYTES as u64).ok()?;
            let fits = room.is_multiple_of(ENTRY_BYTES as u64) && entries >= header.index_count.max(2);
            fits.then_some(Geometry { slots, entries })
        };
        if let Some(slots) = self.options.max_hash_slot_num {
            return Ok(i32::try_from(slots).ok().and_then(entries_of).map(|geometry| (geometry, header)));
        }
        if let Some(geometry) = entries_of(DEFAULT_SLOTS).filter(|geometry| geometry.entries == DEFAULT_ENTRIES) {
            return Ok(Some((geometry, header)));
        }
        if file.length_bytes > FOUND_OUT_MAX_BYTES {
            return Ok(None);
        }
        for slots in 1..=i32::try_from(file.length_bytes / SLOT_BYTES as u64).unwrap_or(i32::MAX) {
            let Some(geometry) = entries_of(slots) else { continue };
            // Entry 0 is never written, entry 1 leads to where the header says.
            let bytes = file.read(geometry.entry_position(0), 2 * ENTRY_BYTES).await?;
            let mut first_two = entries(&bytes);
            let (Some(zeroth), Some(first)) = (first_two.next(), first_two.next()) else { continue };
            let is_unused = zeroth.encode() == [0; ENTRY_BYTES];
            let is_first = header.index_count == 1 && first.encode() == [0; ENTRY_BYTES]
                || first.physical_offset == header.begin_offset && first.previous == NO_ENTRY && first.key_hash > 0;
            if !is_unused || !is_first {
                continue;
            }
            let slot = file.read(geometry.slot_position(geometry.slot_of(first.key_hash)), SLOT_BYTES).await?;
            let newest = slot.first_chunk().map_or(0, |slot| i32::from_be_bytes(*slot));
            if header.index_count == 1 || (1..header.index_count).contains(&newest) {
                return Ok(Some((geometry, header)));
            }
        }
        Ok(None)
    }

    /// Whether the entries continue one another's chains, and whether the slots hold the ends of the chains.
    async fn check_chains(
        &mut self,
        file: &Reading,
        geometry: Geometry,
        header: &IndexHeader,
    ) -> Result<(), StoreError> {
        let mut table = IndexTable::replaying(geometry, header.begin_timestamp_ms);
        let mut first = 1;
        while first < header.index_count {
            let count = AT_ONCE.min(header.index_count - first);
            let bytes = file.read(geometry.entry_position(first), count as usize * ENTRY_BYTES).await?;
            for (entry, number) in entries(&bytes).zip(first..) {
                if let Err(why) = table.replay(entry) {
                    let what = format!("entry {number}: {why}");
                    self.tell_index(&file.path, Some(geometry.entry_position(number)), what, header.end_timestamp_ms);
                    return Ok(());
                }
            }
            first += count;
        }
        if !header.describes(table.header()) {
            let what = format!("the header, {header:?}, does not fit the entries: {:?}", table.header());
            self.tell_index(&file.path, Some(0), what, header.end_timestamp_ms);
        }
        let mut first = 0;
        while first < geometry.slots {
            let count = AT_ONCE.min(geometry.slots - first);
            let bytes = file.read(geometry.slot_position(first), count as usize * SLOT_BYTES).await?;
            for (slot, number) in bytes.as_chunks().0.iter().zip(first..) {
                let (says, is) = (i32::from_be_bytes(*slot), table.newest(number));
                if says != is && self.is_news(&file.path, "slot") {
                    let what = format!("slot {number} leads to entry {says} instead of {is}");
                    self.tell_index(&file.path, Some(geometry.slot_position(number)), what, header.end_timestamp_ms);
                }
            }
            first += count;
        }
        Ok(())
    }

    /// Compares the keys of a record with the entries that come next.
    pub(super) async fn compare_entries(&mut self, index: &mut IndexEntries, record: &Facts) -> Result<(), StoreError> {
        if !index.is_compared || record.key_hashes.is_empty() {
            return Ok(());
        }
        // Those that lead to what the log does not have any more, or to what is no record.
        while let Some(entry) = index.peek().await?
            && entry.physical_offset.0 < record.offset.cast_signed()
        {
            let place = entry.physical_offset.0.cast_unsigned();
            if place >= index.begins && self.is_news(&index.path(), "wrong entry") {
                let what = format!("this entry leads to {place}, where no record has its key");
                let path = index.path();
                self.tell_index(&path, Some(index.byte()), what, record.store_timestamp_ms);
            }
            index.pass();
        }
        for hash in &record.key_hashes {
            match index.peek().await? {
                Some(entry) if entry.physical_offset.0.cast_unsigned() == record.offset && entry.key_hash == *hash => {
                    index.pass();
                    self.report.index_entries += 1;
                    self.tell_missing(index);
                }
                _ => {
                    index.missing += 1;
                    index.first_missing = index.first_missing.or(Some((record.offset, record.store_timestamp_ms)));
                }
            }
        }
        // Apache's broker indexes the last record again when it is dispatched again.
        while let Some(entry) = index.peek().await?
            && entry.physical_offset.0.cast_unsigned() == record.offset
            && record.key_hashes.contains(&entry.key_hash)
        {
            index.pass();
        }
        Ok(())
    }

    fn tell_missing(&mut self, index: &mut IndexEntries) {
        let Some((offset, stored_ms)) = index.first_missing.take() else { return };
        let what = format!("{} keys of records from physical offset {offset} on are not in the index", index.missing);
        index.missing = 0;
        if !self.is_open {
            let path = index.path();
            self.tell_index(&path, None, what, stored_ms);
        }
    }

    /// Tells what is left over.
    pub(super) async fn finish_index(&mut self, mut index: IndexEntries, log: &Log) -> Result<(), StoreError> {
        if !index.is_compared {
            return Ok(());
        }
        self.tell_missing(&mut index);
        let mut extra = 0u64;
        let mut first = None;
        while let Some(entry) = index.peek().await? {
            if entry.physical_offset.0.cast_unsigned() >= log.min() {
                extra += 1;
                first = first.or(Some((index.path(), index.byte(), entry.physical_offset)));
            }
            index.pass();
        }
        if let Some((path, byte, offset)) = first
            && !self.is_open
        {
            let what = format!("{extra} entries lead to {offset} and beyond, where no record has their keys");
            self.tell_index(&path, Some(byte), what, i64::MAX);
        }
        Ok(())
    }
}

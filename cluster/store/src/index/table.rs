//! The index file that is being filled, as plain data: what an entry does to the header, the slots and the chains
//! (`IndexFile.putKey`).
//!
//! Slots are kept in memory, in pages that exist where something is in them; of the entries only those that are not in the
//! file yet. What has to be written is known by pages and entry numbers.

use std::collections::BTreeSet;

use protocol::PhysicalOffset;

use super::format::{ENTRY_BYTES, Geometry, IndexEntry, IndexHeader, NO_ENTRY, SLOT_BYTES};

/// Slots of one page.
const PAGE_SLOTS: usize = 1024;

/// The file has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Bytes and their place in the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub position: u64,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct IndexTable {
    geometry: Geometry,
    header: IndexHeader,
    pages: Vec<Option<Box<[i32; PAGE_SLOTS]>>>,
    dirty_pages: BTreeSet<usize>,
    /// The entries `unwritten_from..header.index_count`.
    unwritten: Vec<IndexEntry>,
    unwritten_from: i32,
    is_header_dirty: bool,
}

impl IndexTable {
    /// An empty file that follows `previous`.
    pub(crate) fn new(geometry: Geometry, previous: Option<&IndexHeader>) -> IndexTable {
        let pages = usize::try_from(geometry.slots).unwrap_or(0).div_ceil(PAGE_SLOTS);
        IndexTable {
            geometry,
            header: IndexHeader::following(previous),
            pages: vec![None; pages],
            dirty_pages: BTreeSet::new(),
            unwritten: Vec::new(),
            unwritten_from: 1,
            is_header_dirty: false,
        }
    }

    /// A file that was closed in good order; its slots are to be taken over with [`IndexTable::load_slot`].
    pub(crate) fn of_file(geometry: Geometry, header: IndexHeader) -> IndexTable {
        IndexTable { header, unwritten_from: header.index_count, ..IndexTable::new(geometry, None) }
    }

    /// Takes over a slot of the file.
    pub(crate) fn load_slot(&mut self, slot: i32, number: i32) {
        if number > NO_ENTRY && number < self.header.index_count {
            *self.slot_mut(slot) = number;
        }
    }

    /// A file whose entries are to be taken up one by one with [`IndexTable::replay`].
    pub(crate) fn replaying(geometry: Geometry, begin_timestamp_ms: i64) -> IndexTable {
        let mut table = IndexTable::new(geometry, None);
        table.header.begin_timestamp_ms = begin_timestamp_ms;
        table
    }

    pub(crate) fn header(&self) -> &IndexHeader {
        &self.header
    }

    pub(crate) fn is_full(&self) -> bool {
        self.header.index_count >= self.geometry.entries
    }

    /// How many entries are not in the file yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.unwritten.len()
    }

    fn slot_place(slot: i32) -> (usize, usize) {
        let slot = usize::try_from(slot).unwrap_or(0);
        (slot / PAGE_SLOTS, slot % PAGE_SLOTS)
    }

    fn slot_mut(&mut self, slot: i32) -> &mut i32 {
        let (page, place) = IndexTable::slot_place(slot);
        &mut self.pages[page].get_or_insert_with(|| Box::new([NO_ENTRY; PAGE_SLOTS]))[place]
    }

    /// The newest entry of a hash's slot.
    pub(crate) fn newest(&self, key_hash: i32) -> i32 {
        let (page, place) = IndexTable::slot_place(self.geometry.slot_of(key_hash));
        self.pages[page].as_ref().map_or(NO_ENTRY, |page| page[place])
    }

    /// An entry that is not in the file yet.
    pub(crate) fn unwritten_entry(&self, number: i32) -> Option<IndexEntry> {
        let at = number.checked_sub(self.unwritten_from)?;
        self.unwritten.get(usize::try_from(at).ok()?).copied()
    }

    /// Appends an entry.
    pub(crate) fn put(&mut self, key_hash: i32, offset: PhysicalOffset, store_timestamp_ms: i64) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full);
        }
        // The first entry of a file that follows another counts from that one's end, as in Apache's.
        let begin_ms = self.header.begin_timestamp_ms;
        let time_diff_s = if begin_ms <= 0 { 0 } else { (store_timestamp_ms - begin_ms) / 1000 };
        let time_diff_s = i32::try_from(time_diff_s.max(0)).unwrap_or(i32::MAX);
        let previous = self.newest(key_hash);
        self.append(IndexEntry { key_hash, physical_offset: offset, time_diff_s, previous }, store_timestamp_ms);
        Ok(())
    }

    fn append(&mut self, entry: IndexEntry, store_timestamp_ms: i64) {
        let number = self.header.index_count;
        let slot = self.geometry.slot_of(entry.key_hash);
        *self.slot_mut(slot) = number;
        self.dirty_pages.insert(IndexTable::slot_place(slot).0);
        self.unwritten.push(entry);
        if number <= 1 {
            self.header.begin_offset = entry.physical_offset;
            self.header.begin_timestamp_ms = store_timestamp_ms;
        }
        if entry.previous == NO_ENTRY {
            self.header.hash_slot_count += 1;
        }
        self.header.index_count += 1;
        self.header.end_offset = entry.physical_offset;
        self.header.end_timestamp_ms = store_timestamp_ms;
        self.is_header_dirty = true;
    }

    /// Takes up the next entry of the file, if it can be that: what a crash has torn, or never written, cannot. The time of
    /// the end is then as exact as the entries are.
    pub(crate) fn replay(&mut self, entry: IndexEntry) -> Result<(), &'static str> {
        let number = self.header.index_count;
        if self.is_full() {
            return Err("there is no room for it");
        }
        if entry.encode() == [0; ENTRY_BYTES] {
            return Err("nothing was written there");
        }
        if entry.key_hash < 0 || entry.time_diff_s < 0 || entry.physical_offset.0 < 0 {
            return Err("a number in it is negative");
        }
        if number > 1 && entry.physical_offset < self.header.end_offset {
            return Err("its message lies before that of the entry before it");
        }
        if entry.previous != self.newest(entry.key_hash) {
            return Err("it does not continue the chain of its slot");
        }
        let begin_ms = self.header.begin_timestamp_ms;
        let time_ms = if number <= 1 { begin_ms } else { self.header.time_of(&entry) };
        self.append(entry, time_ms);
        // It is in the file; what is in the slots has to be compared.
        self.written();
        Ok(())
    }

    /// Takes the header of the file, whose entries have all been replayed.
    pub(crate) fn has_header(&mut self, header: IndexHeader) {
        self.header = header;
    }

    /// Says when the last message was stored, and that the file's header does not say so.
    pub(crate) fn rewrite_header(&mut self, end_timestamp_ms: i64) {
        self.header.end_timestamp_ms = end_timestamp_ms;
        self.is_header_dirty = true;
    }

    /// Says what a slot is in the file: it is written anew if it should be something else.
    pub(crate) fn compare_slot(&mut self, slot: i32, number: i32) {
        let (page, place) = IndexTable::slot_place(slot);
        if self.pages[page].as_ref().map_or(NO_ENTRY, |page| page[place]) != number {
            self.dirty_pages.insert(page);
        }
    }

    /// Whether the file lacks something.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_header_dirty || !self.unwritten.is_empty() || !self.dirty_pages.is_empty()
    }

    /// What the file lacks but for its header: entries, and slots in runs of pages.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if !self.unwritten.is_empty() {
            let mut bytes = Vec::with_capacity(self.unwritten.len() * ENTRY_BYTES);
            for entry in &self.unwritten {
                bytes.extend_from_slice(&entry.encode());
            }
            pieces.push(Piece { position: self.geometry.entry_position(self.unwritten_from), bytes });
        }
        let slots = usize::try_from(self.geometry.slots).unwrap_or(0);
        let mut after_last = None;
        for page in &self.dirty_pages {
            let first = page * PAGE_SLOTS;
            let count = PAGE_SLOTS.min(slots - first);
            if after_last != Some(*page) {
                let position = self.geometry.slot_position(i32::try_from(first).unwrap_or(i32::MAX));
                pieces.push(Piece { position, bytes: Vec::new() });
            }
            after_last = Some(page + 1);
            let Some(Piece { bytes, .. }) = pieces.last_mut() else { continue };
            match &self.pages[*page] {
                Some(page) => bytes.extend(page[..count].iter().flat_map(|number| number.to_be_bytes())),
                None => bytes.resize(bytes.len() + count * SLOT_BYTES, 0),
            }
        }
        pieces
    }

    /// Says that the pieces and the header are in the file.
    pub(crate) fn written(&mut self) {
        self.unwritten.clear();
        self.unwritten_from = self.header.index_count;
        self.dirty_pages.clear();
        self.is_header_dirty = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::format::{HEADER_BYTES, entries};

    const GOLDEN: &[u8] = include_bytes!("../../tests/golden/index_20261122164715519");
    const GEOMETRY: Geometry = Geometry { slots: 500, entries: 2000 };

    fn file_of(table: &IndexTable) -> Vec<u8> {
        let mut file = vec![0; table.geometry.file_bytes() as usize];
        for Piece { position, bytes } in table.pieces() {
            file[position as usize..position as usize + bytes.len()].copy_from_slice(&bytes);
        }
        file[..HEADER_BYTES].copy_from_slice(&table.header().encode());
        file
    }

    fn golden_header() -> IndexHeader {
        IndexHeader::decode(GOLDEN.first_chunk().unwrap())
    }

    fn golden_entries() -> Vec<IndexEntry> {
        let from = GEOMETRY.entry_position(1) as usize;
        entries(&GOLDEN[from..]).take(golden_header().index_count as usize - 1).collect()
    }

    #[test]
    fn the_same_entries_make_the_same_file_as_apaches() {
        let header = golden_header();
        let mut table = IndexTable::new(GEOMETRY, None);
        let golden = golden_entries();
        for (entry, number) in golden.iter().zip(1..) {
            let is_last = number == golden.len();
            let stored_ms = if is_last { header.end_timestamp_ms } else { header.time_of(entry) };
            table.put(entry.key_hash, entry.physical_offset, stored_ms).unwrap();
        }
        assert_eq!(table.header(), &header);
        assert!(file_of(&table) == GOLDEN);
    }

    #[test]
    fn apaches_entries_are_replayed_and_a_change_of_one_is_noticed() {
        let golden = golden_entries();
        let replay = |entries: &[IndexEntry]| {
            let mut table = IndexTable::replaying(GEOMETRY, golden_header().begin_timestamp_ms);
            entries.iter().position(|entry| table.replay(*entry).is_err())
        };
        assert_eq!(replay(&golden), None);
        let mut torn = golden.clone();
        torn[40] = IndexEntry { key_hash: 0, physical_offset: PhysicalOffset(0), time_diff_s: 0, previous: 0 };
        assert_eq!(replay(&torn), Some(40));
        let mut torn = golden.clone();
        torn[36].previous = 0;
        assert_eq!(replay(&torn), Some(36));
    }

    #[test]
    fn a_full_file_takes_nothing_and_the_next_inherits_its_end() {
        let geometry = Geometry { slots: 3, entries: 4 };
        let mut table = IndexTable::new(geometry, None);
        for number in 0..3 {
            table.put(number, PhysicalOffset(i64::from(number) * 100), 5000 + i64::from(number) * 1000).unwrap();
        }
        assert!(table.is_full());
        assert_eq!(table.put(9, PhysicalOffset(900), 9000), Err(Full));
        let mut next = IndexTable::new(geometry, Some(table.header()));
        assert_eq!((next.header().begin_offset, next.header().begin_timestamp_ms), (PhysicalOffset(200), 7000));
        next.put(9, PhysicalOffset(900), 9000).unwrap();
        assert_eq!(next.unwritten_entry(1).unwrap().time_diff_s, 2, "it counts from the inherited time");
        assert_eq!((next.header().begin_offset, next.header().begin_timestamp_ms), (PhysicalOffset(900), 9000));
    }

    proptest! {
        /// Chains lead to every entry of a hash, newest first, whenever the file is written in between.
        #[test]
        fn chains_lead_to_all_entries(
            hashes in prop::collection::vec(0..40i32, 1..200),
            write_every in 1..20usize,
        ) {
            let geometry = Geometry { slots: 7, entries: 500 };
            let mut table = IndexTable::new(geometry, None);
            let mut file = vec![0; geometry.file_bytes() as usize];
            for (hash, number) in hashes.iter().zip(1i64..) {
                table.put(*hash, PhysicalOffset(number * 10), 1_000_000 + number * 700).unwrap();
                if (number as usize).is_multiple_of(write_every) {
                    for Piece { position, bytes } in table.pieces() {
                        file[position as usize..position as usize + bytes.len()].copy_from_slice(&bytes);
                    }
                    table.written();
                }
            }
            for Piece { position, bytes } in table.pieces() {
                file[position as usize..position as usize + bytes.len()].copy_from_slice(&bytes);
            }
            for wanted in 0..40 {
                let mut found = Vec::new();
                let mut number = table.newest(wanted);
                while number != NO_ENTRY {
                    let at = geometry.entry_position(number) as usize;
                    let entry = entries(&file[at..at + ENTRY_BYTES]).next().unwrap();
                    prop_assert!(table.unwritten_entry(number).is_none_or(|unwritten| unwritten == entry));
                    if entry.key_hash == wanted {
                        found.push(entry.physical_offset.0 / 10);
                    }
                    prop_assert!(entry.previous < number);
                    number = entry.previous;
                }
                let mut expected: Vec<i64> =
                    (1..).zip(&hashes).filter(|(_, hash)| **hash == wanted).map(|(number, _)| number).collect();
                expected.reverse();
                prop_assert_eq!(found, expected);
            }
        }
    }
}

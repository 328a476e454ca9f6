//! The bytes of an index file (`IndexHeader`, `IndexFile`), big-endian:
//!
//! ```text
//! 40            header: beginTimestamp8 endTimestamp8 beginPhyOffset8 endPhyOffset8 hashSlotCount4 indexCount4
//! slots × 4     the number of the newest entry of each hash slot, 0 for none
//! entries × 20  keyHash4 phyOffset8 timeDiffSeconds4 previousEntry4; entry 0 is not used
//! ```
//!
//! Entries are appended; each names the entry that its slot had before, so that a slot is a chain from new to old.

use protocol::PhysicalOffset;

/// `IndexHeader.INDEX_HEADER_SIZE`.
pub(crate) const HEADER_BYTES: usize = 40;
/// `IndexFile.hashSlotSize`.
pub(crate) const SLOT_BYTES: usize = 4;
/// `IndexFile.indexSize`.
pub(crate) const ENTRY_BYTES: usize = 20;
/// The number of no entry (`IndexFile.invalidIndex`).
pub(crate) const NO_ENTRY: i32 = 0;

/// How many slots and entries a file has: `maxHashSlotNum` and `maxIndexNum`. Neither is written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Hash slots.
    pub slots: i32,
    /// Entries, with the unused entry 0.
    pub entries: i32,
}

impl Geometry {
    pub(crate) fn file_bytes(self) -> u64 {
        self.entry_position(self.entries)
    }

    pub(crate) fn slot_of(self, key_hash: i32) -> i32 {
        key_hash % self.slots
    }

    pub(crate) fn slot_position(self, slot: i32) -> u64 {
        HEADER_BYTES as u64 + u64::from(slot.unsigned_abs()) * SLOT_BYTES as u64
    }

    pub(crate) fn entry_position(self, number: i32) -> u64 {
        self.slot_position(self.slots) + u64::from(number.unsigned_abs()) * ENTRY_BYTES as u64
    }
}

/// What a file says of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexHeader {
    /// STORETIMESTAMP of the first message.
    pub begin_timestamp_ms: i64,
    /// STORETIMESTAMP of the last message.
    pub end_timestamp_ms: i64,
    /// Where the first message is.
    pub begin_offset: PhysicalOffset,
    /// Where the last message is.
    pub end_offset: PhysicalOffset,
    /// How many slots have entries.
    pub hash_slot_count: i32,
    /// The number that the next entry gets; 1 in an empty file.
    pub index_count: i32,
}

impl IndexHeader {
    /// The header of a file that follows `previous`, whose end it inherits.
    pub(crate) fn following(previous: Option<&IndexHeader>) -> IndexHeader {
        let timestamp_ms = previous.map_or(0, |previous| previous.end_timestamp_ms);
        let offset = previous.map_or(PhysicalOffset::ZERO, |previous| previous.end_offset);
        IndexHeader {
            begin_timestamp_ms: timestamp_ms,
            end_timestamp_ms: timestamp_ms,
            begin_offset: offset,
            end_offset: offset,
            hash_slot_count: 0,
            index_count: 1,
        }
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> IndexHeader {
        let long = |at: usize| i64::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        let int = |at: usize| i32::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        IndexHeader {
            begin_timestamp_ms: long(0),
            end_timestamp_ms: long(8),
            begin_offset: PhysicalOffset(long(16)),
            end_offset: PhysicalOffset(long(24)),
            hash_slot_count: int(32),
            // A file that was made and never written has zeros.
            index_count: int(36).max(1),
        }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let longs = [self.begin_timestamp_ms, self.end_timestamp_ms, self.begin_offset.0, self.end_offset.0];
        for (long, place) in longs.iter().zip(bytes[..32].chunks_exact_mut(8)) {
            place.copy_from_slice(&long.to_be_bytes());
        }
        bytes[32..36].copy_from_slice(&self.hash_slot_count.to_be_bytes());
        bytes[36..].copy_from_slice(&self.index_count.to_be_bytes());
        bytes
    }

    /// Whether this can be the header of the entries from which `replayed` was made, which knows the end's time to a second.
    pub(crate) fn describes(&self, replayed: &IndexHeader) -> bool {
        let late_ms = self.end_timestamp_ms.saturating_sub(replayed.end_timestamp_ms);
        let is_in_time = match self.index_count {
            ..=1 => true,
            // The time of the first entry counts from the file before.
            2 => self.begin_timestamp_ms == self.end_timestamp_ms,
            _ => (0..1000).contains(&late_ms),
        };
        let is_in_place = self.index_count <= 1
            || (self.begin_offset, self.end_offset) == (replayed.begin_offset, replayed.end_offset);
        self.index_count == replayed.index_count && is_in_time && is_in_place
    }

    /// The time of an entry, cut to whole seconds after the file's begin.
    pub(crate) fn time_of(&self, entry: &IndexEntry) -> i64 {
        self.begin_timestamp_ms.saturating_add(i64::from(entry.time_diff_s) * 1000)
    }
}

/// One key of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// See [`super::key_hash`].
    pub key_hash: i32,
    /// Where the message is.
    pub physical_offset: PhysicalOffset,
    /// How many seconds after the file's first message it was stored.
    pub time_diff_s: i32,
    /// The entry that its slot had before.
    pub previous: i32,
}

impl IndexEntry {
    pub(crate) fn decode(bytes: &[u8; ENTRY_BYTES]) -> IndexEntry {
        let int = |at: usize| i32::from_be_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        let long = i64::from_be_bytes(std::array::from_fn(|byte| bytes[4 + byte]));
        IndexEntry { key_hash: int(0), physical_offset: PhysicalOffset(long), time_diff_s: int(12), previous: int(16) }
    }

    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.key_hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.physical_offset.0.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.time_diff_s.to_be_bytes());
        bytes[16..].copy_from_slice(&self.previous.to_be_bytes());
        bytes
    }
}

/// The entries in these bytes; a rest of less than an entry is left out.
pub(crate) fn entries(bytes: &[u8]) -> impl Iterator<Item = IndexEntry> {
    bytes.as_chunks::<ENTRY_BYTES>().0.iter().map(IndexEntry::decode)
}

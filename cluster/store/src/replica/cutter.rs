//! From a stream of bytes to whole records: what a replica receives comes in pieces that end anywhere.
//!
//! The cutter looks at heads only: length, magic and physical offset, so that nonsense is refused before it is gathered.
//! Whether a record is sound throughout is looked at when it is appended. A chunk that comes when nothing is held is not
//! copied: who sends whole records in large chunks has them written from the memory into which they were read.

use bytes::{Bytes, BytesMut};
use protocol::{
    PhysicalOffset,
    message::{BLANK_MAGIC, BLANK_RECORD_BYTES, MAGIC_V1, MAGIC_V2, PHYSICAL_OFFSET_POSITION, RECORD_BYTES_MIN},
};

/// Room made when chunks have to be joined.
const JOINED_BYTES: usize = 16 << 10;

/// A record's bytes up to and with PHYSICALOFFSET.
const HEAD_BYTES: usize = PHYSICAL_OFFSET_POSITION + 8;

/// Why a stream is not that of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// No record begins like this.
    #[error(
        "at physical offset {at} comes no record (length {length}, magic {magic:#010x}): the logs do not have their records \
         at the same places"
    )]
    NoRecord {
        /// Where a record should begin.
        at: PhysicalOffset,
        /// The length it would have.
        length: i32,
        /// The magic it would have.
        magic: u32,
    },
    /// A record says that it belongs elsewhere.
    #[error("at physical offset {at} comes a record that belongs at {says}")]
    Misplaced {
        /// Where it came.
        at: PhysicalOffset,
        /// Where it belongs.
        says: PhysicalOffset,
    },
    /// A record or blank does not fit into its file.
    #[error(
        "at physical offset {at} comes a record of {length} bytes, where {left_bytes} are left of the file: \
         mappedFileSizeCommitLog must be the same as the sender's"
    )]
    DoesNotFit {
        /// Where it begins.
        at: PhysicalOffset,
        /// Its length.
        length: usize,
        /// The bytes from there to the file's end.
        left_bytes: u64,
    },
    /// A record is longer than this store takes.
    #[error("at physical offset {at} comes a record of {length} bytes: maxMessageSize is smaller than the sender's")]
    TooLong {
        /// Where it begins.
        at: PhysicalOffset,
        /// Its length.
        length: usize,
    },
}

/// Takes a log's bytes as they come and gives them back as whole records.
#[derive(Debug)]
pub struct RecordCutter {
    segment_bytes: u64,
    record_bytes_max: usize,
    /// Where the held bytes begin in the log.
    at: PhysicalOffset,
    held: Held,
    /// So many of the held bytes are whole records.
    whole: usize,
}

/// What has come and was not taken.
#[derive(Debug)]
enum Held {
    /// One chunk, as it came.
    Chunk(Bytes),
    /// Several, one behind the other.
    Joined(BytesMut),
}

impl Held {
    fn bytes(&self) -> &[u8] {
        match self {
            Held::Chunk(chunk) => chunk,
            Held::Joined(joined) => joined,
        }
    }

    fn push(&mut self, chunk: Bytes) {
        match self {
            held if held.bytes().is_empty() => *held = Held::Chunk(chunk),
            Held::Chunk(first) => {
                let mut joined = BytesMut::with_capacity((first.len() + chunk.len()).max(JOINED_BYTES));
                joined.extend_from_slice(first);
                joined.extend_from_slice(&chunk);
                *self = Held::Joined(joined);
            }
            Held::Joined(joined) => joined.extend_from_slice(&chunk),
        }
    }

    fn split_to(&mut self, length: usize) -> Bytes {
        match self {
            Held::Chunk(chunk) => chunk.split_to(length),
            Held::Joined(joined) => joined.split_to(length).freeze(),
        }
    }
}

impl RecordCutter {
    /// A cutter for the bytes from `at` on, where a record begins. `segment_bytes` is the size of a CommitLog file, and no
    /// record is longer than `record_bytes_max`. [`crate::MessageStore::record_cutter`] knows both.
    #[must_use]
    pub fn new(at: PhysicalOffset, segment_bytes: u64, record_bytes_max: usize) -> RecordCutter {
        RecordCutter { segment_bytes, record_bytes_max, at, held: Held::Chunk(Bytes::new()), whole: 0 }
    }

    /// Where the next bytes that are [taken](RecordCutter::take) begin.
    #[must_use]
    pub fn offset(&self) -> PhysicalOffset {
        self.at
    }

    /// Where the next chunk must begin.
    #[must_use]
    pub fn expected(&self) -> PhysicalOffset {
        self.at + self.held.bytes().len() as i64
    }

    /// How much has come and was not taken.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.bytes().len()
    }

    /// Takes in the next bytes of the log.
    pub fn feed(&mut self, chunk: Bytes) {
        self.held.push(chunk);
    }

    /// The whole records (or the blank) that have come, all of one file, with the offset of the first; `None` until there is
    /// one.
    ///
    /// # Errors
    /// What comes is no log; nothing more can be taken then.
    pub fn take(&mut self) -> Result<Option<(PhysicalOffset, Bytes)>, CutError> {
        let file_end = self.at.0.cast_unsigned() - self.at.0.cast_unsigned() % self.segment_bytes + self.segment_bytes;
        loop {
            let at = self.at + self.whole as i64;
            if at.0.cast_unsigned() == file_end {
                break;
            }
            match self.length_at(at, file_end)? {
                Some(length) if self.whole + length <= self.held.bytes().len() => self.whole += length,
                _ => break,
            }
        }
        if self.whole == 0 {
            return Ok(None);
        }
        let records = self.held.split_to(std::mem::take(&mut self.whole));
        let at = self.at;
        self.at += records.len() as i64;
        Ok(Some((at, records)))
    }

    /// The length of the record at `at`, which begins behind what is whole; `None` when too little of it has come.
    fn length_at(&self, at: PhysicalOffset, file_end: u64) -> Result<Option<usize>, CutError> {
        let rest = &self.held.bytes()[self.whole..];
        let Some((length, magic)) = i32_at(rest, 0).zip(i32_at(rest, 4)) else { return Ok(None) };
        let magic = magic.cast_unsigned();
        let left_bytes = file_end - at.0.cast_unsigned();
        let least = if magic == BLANK_MAGIC { BLANK_RECORD_BYTES } else { RECORD_BYTES_MIN };
        let no_record = CutError::NoRecord { at, length, magic };
        let length = usize::try_from(length).ok().filter(|length| *length >= least).ok_or(no_record)?;
        match magic {
            // A blank reaches to the file's end, whatever it follows.
            BLANK_MAGIC if length as u64 != left_bytes => Err(CutError::DoesNotFit { at, length, left_bytes }),
            BLANK_MAGIC if length > self.record_bytes_max + BLANK_RECORD_BYTES => Err(CutError::TooLong { at, length }),
            BLANK_MAGIC => Ok(Some(length)),
            MAGIC_V1 | MAGIC_V2 if length as u64 > left_bytes => Err(CutError::DoesNotFit { at, length, left_bytes }),
            MAGIC_V1 | MAGIC_V2 if length > self.record_bytes_max => Err(CutError::TooLong { at, length }),
            MAGIC_V1 | MAGIC_V2 => {
                let Some(says) = rest.get(PHYSICAL_OFFSET_POSITION..HEAD_BYTES) else { return Ok(None) };
                let says = PhysicalOffset(i64::from_be_bytes(says.try_into().expect("eight bytes")));
                if says == at { Ok(Some(length)) } else { Err(CutError::Misplaced { at, says }) }
            }
            _ => Err(no_record),
        }
    }
}

fn i32_at(bytes: &[u8], position: usize) -> Option<i32> {
    bytes.get(position..position + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes)
}

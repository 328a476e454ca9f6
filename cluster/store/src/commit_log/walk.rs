//! Walking through records of an open log, whatever is damaged on the way.

use bytes::Bytes;
use protocol::{
    PhysicalOffset,
    message::{MAGIC_V1, MAGIC_V2, PHYSICAL_OFFSET_POSITION, RecordError, RecordView, parse_record},
};

use super::CommitLog;
use crate::{error::StoreError, segment::SCAN_CHUNK_BYTES};

/// What lies at a place of the log.
pub(crate) enum At<'a> {
    Record(RecordView<'a>),
    NextFile,
    NeedMore(usize),
    Damaged(String),
}

/// A walk over a stretch of the log. What is no record is passed over.
#[derive(Debug)]
pub(crate) struct LogWalk<'a> {
    log: &'a CommitLog,
    at: u64,
    until: u64,
    /// How long the next record is, as far as it is known.
    need: usize,
}

impl<'a> LogWalk<'a> {
    /// From where a record begins to where one ends, or to the log's end.
    pub(crate) fn new(log: &'a CommitLog, from: PhysicalOffset, until: PhysicalOffset) -> LogWalk<'a> {
        let until = until.min(log.written_offset()).0.max(0).cast_unsigned();
        LogWalk { log, at: from.max(log.min_offset()).0.cast_unsigned(), until, need: 0 }
    }

    /// Visits the records of the next stretch whose checksums are right; whether there may be more.
    pub(crate) async fn next_stretch(&mut self, visit: &mut impl FnMut(&RecordView<'_>)) -> Result<bool, StoreError> {
        if self.at >= self.until {
            return Ok(false);
        }
        let need = std::mem::take(&mut self.need);
        let Some((chunk, in_file)) = read_chunk(self.log, self.at, self.until, need).await? else {
            // Its file went while we looked.
            self.at = self.log.min_offset().0.cast_unsigned().max(self.at + 1);
            return Ok(self.at < self.until);
        };
        let mut within = 0;
        while within < chunk.len() {
            match look(&chunk[within..], in_file - within, self.at) {
                At::Record(record) => {
                    if self.log.verify(record.bytes, record.physical_offset).is_ok() {
                        visit(&record);
                    }
                    within += record.total_bytes;
                    self.at += record.total_bytes as u64;
                }
                At::NextFile => {
                    let next = self.log.next_segment_start(PhysicalOffset(self.at.cast_signed()));
                    self.at = next.0.cast_unsigned();
                    break;
                }
                At::NeedMore(bytes) if within > 0 || (bytes > chunk.len() && self.at + bytes as u64 <= self.until) => {
                    self.need = bytes;
                    break;
                }
                // What is there is damaged, or ends beyond.
                At::NeedMore(_) | At::Damaged(_) => {
                    let is_last = chunk.len() - within < SCAN_CHUNK_BYTES;
                    let skipped = skip(&chunk[within..], self.at, is_last);
                    within += skipped;
                    self.at += skipped as u64;
                }
            }
        }
        Ok(self.at < self.until)
    }
}

/// Bytes of the log from `from` on, not beyond its file or `until`, and how many its file has from there on.
pub(crate) async fn read_chunk(
    log: &CommitLog,
    from: u64,
    until: u64,
    need: usize,
) -> Result<Option<(Bytes, usize)>, StoreError> {
    let Some(segment) = log.segment_at(PhysicalOffset(from.cast_signed())) else { return Ok(None) };
    let in_file = usize::try_from(segment.end() - from).unwrap_or(usize::MAX);
    let visible = usize::try_from(until - from).unwrap_or(usize::MAX);
    let length = SCAN_CHUNK_BYTES.max(need).min(in_file).min(visible);
    Ok(Some((segment.read(from - segment.start(), length).await?, in_file)))
}

/// What is at the start of `rest`, which lies at `offset` and has `in_file` bytes to the end of its file.
pub(crate) fn look(rest: &[u8], in_file: usize, offset: u64) -> At<'_> {
    match parse_record(rest) {
        Ok(record) if record.physical_offset.0.cast_unsigned() == offset => At::Record(record),
        Ok(record) => At::Damaged(format!("a record that belongs at physical offset {}", record.physical_offset)),
        Err(RecordError::Blank { .. }) => At::NextFile,
        Err(RecordError::Truncated { need_bytes, .. }) if need_bytes <= in_file => At::NeedMore(need_bytes),
        // The last bytes of a file that cannot hold a blank record.
        Err(RecordError::Zeros) if in_file < 8 => At::NextFile,
        Err(RecordError::Zeros) if rest.len() < 8 => At::NeedMore(8),
        Err(error) => At::Damaged(error.to_string()),
    }
}

/// How far the next place is where a record may begin that says that it belongs there. If there is none: all of `chunk`, or,
/// unless it `is_last`, so much that a record which begins in its last bytes is found with what follows.
pub(crate) fn skip(chunk: &[u8], offset: u64, is_last: bool) -> usize {
    let begins = |at: &usize| {
        let head = &chunk[*at..];
        let magic = head.get(4..8).map(|magic| u32::from_be_bytes(std::array::from_fn(|byte| magic[byte])));
        let place = head.get(PHYSICAL_OFFSET_POSITION..PHYSICAL_OFFSET_POSITION + 8);
        matches!(magic, Some(MAGIC_V1 | MAGIC_V2)) && place == Some(&(offset + *at as u64).to_be_bytes()[..])
    };
    let overlap = if is_last { 0 } else { PHYSICAL_OFFSET_POSITION + 7 };
    (1..chunk.len()).find(begins).unwrap_or(chunk.len() - overlap)
}

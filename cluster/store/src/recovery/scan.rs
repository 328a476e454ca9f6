//! Walking through the records of the log, and telling where they end and why.
//!
//! A record counts when its lengths fit, its PHYSICALOFFSET is the place where it lies, its body has its CRC, and all of it its
//! checksum, which it must have if its epoch has them. Apache does not look at the PHYSICALOFFSET, and so takes up a record
//! that the drive put elsewhere.

use std::sync::Arc;

use protocol::{
    PhysicalOffset,
    message::{RecordError, RecordView, parse_record},
};

use quirks::Quirk;

use crate::{
    config::StoreConfig,
    error::StoreError,
    history::{self, EpochEntry},
    segment::{SCAN_CHUNK_BYTES, Segment},
};

/// Why the walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// After the last file.
    Files,
    /// Nothing was ever written here.
    Zeros,
    /// The log is to end here.
    Limit,
    /// What is here is no whole record.
    Bad(String),
}

/// A walk through the log.
pub(super) struct LogScanner<'a> {
    segments: &'a [Arc<Segment>],
    number: usize,
    /// The bytes of the file from `buffer_at` on.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// The byte of the file where the next record begins.
    position: u64,
    checks: Checks,
    epochs: &'a [EpochEntry],
    pub stop: Option<Stop>,
    /// Where brokers that keep no epochs, Apache's, have written within an epoch whose records have checksums.
    pub foreign: Vec<PhysicalOffset>,
    /// STORETIMESTAMP of the last record.
    pub last_store_timestamp_ms: Option<i64>,
}

/// What is asked of a record.
#[derive(Clone, Copy)]
struct Checks {
    /// It must end here at most.
    limit: u64,
    body_crc: bool,
    /// What lies from here on is not known to have been flushed: its checksums are looked at whatever the settings say.
    unflushed_from: u64,
    physical_offset: bool,
    needs_checksum: bool,
}

/// What is at a place of the file.
enum At {
    Record(usize),
    NextFile,
    NeedMore(usize),
    Stop(Stop),
}

impl<'a> LogScanner<'a> {
    /// A walk from `from` on, which must be where a record begins, to `limit` at most. Below `unflushed_from` the log was flushed.
    pub(super) fn new(
        segments: &'a [Arc<Segment>],
        from: u64,
        limit: u64,
        unflushed_from: u64,
        config: &StoreConfig,
        epochs: &'a [EpochEntry],
    ) -> LogScanner<'a> {
        let checks = Checks {
            limit,
            body_crc: config.check_crc_on_recover,
            unflushed_from,
            physical_offset: !config.quirks.has(Quirk::RecordOffsetUnchecked),
            needs_checksum: false,
        };
        let number = segments.iter().position(|segment| from < segment.end()).unwrap_or(segments.len());
        let position = segments.get(number).map_or(0, |segment| from.saturating_sub(segment.start()));
        LogScanner {
            segments,
            number,
            buffer: Vec::new(),
            buffer_at: position,
            position,
            checks,
            epochs,
            foreign: Vec::new(),
            stop: if limit <= from { Some(Stop::Limit) } else { (number == segments.len()).then_some(Stop::Files) },
            last_store_timestamp_ms: None,
        }
    }

    /// Where the walk has come to.
    pub(super) fn offset(&self) -> u64 {
        match self.segments.get(self.number) {
            Some(segment) => segment.start() + self.position,
            None => self.segments.last().map_or(0, |last| last.end()),
        }
    }

    /// Visits the records of the next stretch; whether there may be more.
    pub(super) async fn next_stretch(&mut self, visit: &mut impl FnMut(&RecordView<'_>)) -> Result<bool, StoreError> {
        if self.stop.is_some() {
            return Ok(false);
        }
        let mut need = 8;
        loop {
            let segment = &self.segments[self.number];
            let consumed = (self.position - self.buffer_at) as usize;
            self.buffer.drain(..consumed);
            self.buffer_at = self.position;
            let have = self.buffer.len();
            self.buffer.resize(have + SCAN_CHUNK_BYTES.max(need), 0);
            let read = segment.read_into(&mut self.buffer[have..], self.buffer_at + have as u64).await?;
            self.buffer.truncate(have + read);
            match self.visit_buffer(visit) {
                At::NeedMore(more) if need < more => need = more,
                At::NeedMore(_) => return Ok(true),
                At::Record(_) => unreachable!("records are visited until something else comes"),
                At::NextFile => {
                    self.number += 1;
                    (self.position, self.buffer_at) = (0, 0);
                    self.buffer.clear();
                    if self.number == self.segments.len() {
                        self.stop = Some(Stop::Files);
                    }
                    return Ok(self.stop.is_none());
                }
                At::Stop(stop) => {
                    self.stop = Some(stop);
                    return Ok(false);
                }
            }
        }
    }

    /// Visits the whole records in the buffer.
    fn visit_buffer(&mut self, visit: &mut impl FnMut(&RecordView<'_>)) -> At {
        let segment = &self.segments[self.number];
        let in_file = (segment.end() - segment.start() - self.buffer_at) as usize;
        loop {
            let consumed = (self.position - self.buffer_at) as usize;
            let rest = &self.buffer[consumed..];
            let offset = segment.start() + self.position;
            let needs_checksum = needs_checksum(self.epochs, &self.foreign, offset);
            let checks = Checks { needs_checksum, ..self.checks };
            let at = look(rest, in_file - consumed, offset, checks, |record, is_foreign| {
                if is_foreign {
                    self.foreign.push(record.physical_offset);
                }
                self.last_store_timestamp_ms = Some(record.store_timestamp_ms);
                visit(record);
            });
            match at {
                At::Record(length) => self.position += length as u64,
                other => return other,
            }
        }
    }
}

/// What is at the start of `rest`, which lies at `offset` and has `in_file` bytes to the end of its file.
fn look(rest: &[u8], in_file: usize, offset: u64, checks: Checks, visit: impl FnOnce(&RecordView<'_>, bool)) -> At {
    if offset >= checks.limit {
        return At::Stop(Stop::Limit);
    }
    if in_file == 0 {
        return At::NextFile;
    }
    let bad = |why: String| At::Stop(Stop::Bad(why));
    if rest.len() < 8 && rest.len() < in_file {
        return At::NeedMore(8);
    }
    match parse_record(rest) {
        Ok(record) if offset + record.total_bytes as u64 > checks.limit => At::Stop(Stop::Limit),
        Ok(record) if checks.physical_offset && record.physical_offset.0.cast_unsigned() != offset => {
            bad(format!("a record that belongs at physical offset {}", record.physical_offset))
        }
        Ok(record) if record.queue_id < 0 || record.queue_offset.0 < 0 => {
            bad(format!("a record of queue {}, offset {}", record.queue_id, record.queue_offset))
        }
        Ok(record) => {
            let length = record.total_bytes;
            let checks_crc = checks.body_crc || offset >= checks.unflushed_from;
            if checks_crc && let Err(error) = record.check_crc() {
                return bad(error.to_string());
            }
            let lacks_checksum = checks_crc && checks.needs_checksum && !record.has_checksum();
            match lacks_checksum.then(|| follower(&rest[length..], in_file - length)) {
                Some(Follower::Unknown(bytes)) => At::NeedMore(length + bytes),
                Some(Follower::Ours) => bad(history::NO_CHECKSUM.to_owned()),
                other => {
                    visit(&record, other.is_some());
                    At::Record(length)
                }
            }
        }
        Err(RecordError::Zeros) => At::Stop(Stop::Zeros),
        Err(RecordError::Blank { blank_bytes }) if offset.saturating_add(blank_bytes as u64) > checks.limit => {
            At::Stop(Stop::Limit)
        }
        Err(RecordError::Blank { blank_bytes }) if blank_bytes == in_file => At::NextFile,
        Err(RecordError::Blank { blank_bytes }) => {
            bad(format!("a blank of {blank_bytes} bytes where {in_file} are left"))
        }
        Err(RecordError::Truncated { need_bytes, .. }) if need_bytes <= in_file => At::NeedMore(need_bytes),
        Err(RecordError::Truncated { need_bytes, .. }) => {
            bad(format!("a record of {need_bytes} bytes where {in_file} are left"))
        }
        Err(error) => bad(error.to_string()),
    }
}

fn needs_checksum(epochs: &[EpochEntry], foreign: &[PhysicalOffset], offset: u64) -> bool {
    let epoch = history::epoch_at(epochs, PhysicalOffset(offset.cast_signed()));
    epoch.is_some_and(|epoch| epoch.has_checksums() && foreign.last().is_none_or(|last| *last < epoch.start))
}

/// What follows a record that should have a checksum and has none.
enum Follower {
    /// So many bytes tell.
    Unknown(usize),
    /// A record with a checksum, or nothing that anybody wrote: the one before it is ours, and damaged.
    Ours,
    /// Another record without one, or the log's end: a broker that writes none has been here.
    Foreign,
}

fn follower(rest: &[u8], in_file: usize) -> Follower {
    const HEAD_BYTES: usize = 8;
    if in_file < HEAD_BYTES {
        return Follower::Foreign;
    }
    if rest.len() < HEAD_BYTES {
        return Follower::Unknown(HEAD_BYTES);
    }
    match parse_record(rest) {
        Ok(record) if record.has_checksum() || record.check_crc().is_err() => Follower::Ours,
        Ok(_) | Err(RecordError::Zeros) => Follower::Foreign,
        Err(RecordError::Blank { blank_bytes }) if blank_bytes == in_file => Follower::Foreign,
        Err(RecordError::Truncated { need_bytes, .. }) if need_bytes <= in_file => Follower::Unknown(need_bytes),
        Err(_) => Follower::Ours,
    }
}

//! The CommitLog, record by record.

use std::{fmt, path::PathBuf};

use protocol::{
    PhysicalOffset, QueueOffset,
    message::{MAGIC_V1, MAGIC_V2, PHYSICAL_OFFSET_POSITION, RecordError, RecordView, parse_record},
    properties::property,
    tags::tags_code,
    topic::SCHEDULE_TOPIC,
};

use super::{
    Check,
    files::{Reading, series, usual_length},
};
use crate::{
    dispatch::has_queue_offset,
    error::StoreError,
    history::{self, EpochEntry},
    index::{key_hash, keys_of},
};

const CHUNK_BYTES: usize = 256 << 10;

/// The files of the log and how far they were read.
#[derive(Debug)]
pub(super) struct Log {
    pub directory: PathBuf,
    files: Vec<(u64, Reading)>,
    file_bytes: u64,
    /// Where the next record is.
    next: u64,
    is_at_end: bool,
    pub epochs: Vec<EpochEntry>,
    /// STORETIMESTAMP of the last record.
    pub last_timestamp_ms: Option<i64>,
}

/// What the queues and the index must say of a record.
#[derive(Debug)]
pub(super) struct Facts {
    pub offset: u64,
    pub size_bytes: i32,
    pub topic: String,
    pub queue_id: i32,
    pub queue_offset: QueueOffset,
    /// `None`: it has no place in a queue.
    pub tags: Option<Tags>,
    pub store_timestamp_ms: i64,
    pub key_hashes: Vec<i32>,
}

/// What a unit says beside its place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tags {
    Code(i64),
    /// A time of delivery, which depends on the broker's delay levels.
    NotBefore(i64),
}

impl fmt::Display for Tags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tags::Code(code) => write!(formatter, "tags code {code}"),
            Tags::NotBefore(ms) => write!(formatter, "a time of delivery from {ms} on"),
        }
    }
}

impl Facts {
    fn of(record: &RecordView<'_>) -> Facts {
        let is_delayed = record.topic == SCHEDULE_TOPIC && record.property(property::DELAY).is_some();
        let tags = if is_delayed {
            Tags::NotBefore(record.store_timestamp_ms)
        } else {
            Tags::Code(tags_code(record.property(property::TAGS)))
        };
        Facts {
            offset: record.physical_offset.0.cast_unsigned(),
            size_bytes: record.total_bytes as i32,
            topic: record.topic.to_owned(),
            queue_id: record.queue_id,
            queue_offset: record.queue_offset,
            tags: has_queue_offset(record.sys_flag).then_some(tags),
            store_timestamp_ms: record.store_timestamp_ms,
            key_hashes: keys_of(record).map(|key| key_hash(record.topic, key)).collect(),
        }
    }
}

impl Log {
    pub(super) fn min(&self) -> u64 {
        self.files.first().map_or(0, |(start, _)| *start)
    }

    /// Where the reading has come to; the log's end when all is read.
    pub(super) fn reached(&self) -> u64 {
        self.next
    }

    fn file_at(&self, offset: u64) -> Option<&(u64, Reading)> {
        let after = self.files.partition_point(|(start, _)| *start <= offset);
        self.files.get(after.checked_sub(1)?).filter(|(start, file)| offset < start + file.length_bytes)
    }

    /// The file and its byte at an offset of the log, for people.
    pub(super) fn place(&self, offset: u64) -> (PathBuf, u64) {
        match self.file_at(offset) {
            Some((start, file)) => (file.path.clone(), offset - start),
            None => (self.directory.clone(), offset),
        }
    }

    /// The whole record at an offset, if one is there.
    pub(super) async fn facts_at(&self, offset: u64) -> Result<Option<Facts>, StoreError> {
        let Some((start, file)) = self.file_at(offset) else { return Ok(None) };
        let head = file.read(offset - start, 4).await?;
        let length = head.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        if u64::from(length) > file.length_bytes {
            return Ok(None);
        }
        let bytes = file.read(offset - start, length as usize).await?;
        Ok(parse_record(&bytes).ok().filter(|record| self.is_whole(record, offset)).map(|record| Facts::of(&record)))
    }

    fn is_whole(&self, record: &RecordView<'_>, offset: u64) -> bool {
        let offset = PhysicalOffset(offset.cast_signed());
        record.physical_offset == offset && history::check_record(record, offset, &self.epochs).is_ok()
    }

    /// The next whole record after `from`, found by its magic and its own place.
    async fn next_whole(&self, from: u64) -> Result<Option<Facts>, StoreError> {
        for (start, file) in self.files.iter().filter(|(start, file)| from < start + file.length_bytes) {
            let mut at = (from + 1).saturating_sub(*start);
            while at < file.length_bytes {
                let chunk = file.read(at, CHUNK_BYTES).await?;
                for begin in 0..chunk.len().saturating_sub(PHYSICAL_OFFSET_POSITION + 7) {
                    let head = &chunk[begin..];
                    let magic = u32::from_be_bytes(std::array::from_fn(|byte| head[4 + byte]));
                    let place = u64::from_be_bytes(std::array::from_fn(|byte| head[PHYSICAL_OFFSET_POSITION + byte]));
                    let offset = start + at + begin as u64;
                    if matches!(magic, MAGIC_V1 | MAGIC_V2)
                        && place == offset
                        && let Some(facts) = self.facts_at(offset).await?
                    {
                        return Ok(Some(facts));
                    }
                }
                at += (chunk.len() as u64).saturating_sub(PHYSICAL_OFFSET_POSITION as u64 + 8).max(1);
            }
        }
        Ok(None)
    }

    /// Where the first byte from `from` on is that is not zero.
    async fn next_content(&self, from: u64) -> Result<Option<u64>, StoreError> {
        for (start, file) in self.files.iter().filter(|(start, file)| from < start + file.length_bytes) {
            let mut at = from.saturating_sub(*start);
            while at < file.length_bytes {
                let chunk = file.read(at, CHUNK_BYTES).await?;
                if let Some(found) = chunk.iter().position(|byte| *byte != 0) {
                    return Ok(Some(start + at + found as u64));
                }
                at += chunk.len() as u64;
            }
        }
        Ok(None)
    }
}

/// Why the reading stops at a place.
enum Stop {
    NextFile,
    NeedMore(usize),
    Zeros,
    Bad(String),
}

impl Check {
    /// Lists the files of the log and looks at their names and sizes.
    pub(super) async fn open_log(&mut self) -> Result<Log, StoreError> {
        let directory = self.root.join("commitlog");
        let (mut files, foreign) = series(&directory).await?;
        for (path, why) in foreign {
            self.damage(&path, None, why);
        }
        let given = self.options.mapped_file_size_commit_log_bytes;
        let file_bytes = given.unwrap_or_else(|| usual_length(&files)).max(1);
        for at in 0..files.len() {
            let (start, file) = &files[at];
            let (path, length_bytes, start) = (file.path.clone(), file.length_bytes, *start);
            if start % file_bytes != 0 {
                self.damage(&path, None, format!("its name is not a multiple of the file size, {file_bytes}"));
            }
            if at > 0 && files[at - 1].0 + file_bytes != start {
                let missing = format!("{:020}", files[at - 1].0 + file_bytes);
                self.damage(&directory.join(missing), None, "this file is missing between others");
            }
            if length_bytes != file_bytes {
                let is_unfinished =
                    at + 1 == files.len() && (at > 0 || self.outlook.is_some()) && length_bytes < file_bytes;
                let what = format!("it has {length_bytes} bytes instead of {file_bytes}");
                // One with content no start would take for that.
                if is_unfinished && (self.outlook.is_some() || self.is_abnormal || self.is_open) {
                    self.note(&path, None, format!("{what}: its creation was cut short"));
                } else {
                    self.damage(&path, None, what);
                }
            }
        }
        files.retain(|(_, file)| file.length_bytes > 0);
        let next = files.first().map_or(0, |(start, _)| *start);
        self.report.log_files = files.len();
        (self.report.log_min_offset, self.report.log_max_offset) = (next, next);
        let is_at_end = files.is_empty();
        let epochs = self.load_epochs().await?;
        Ok(Log { directory, files, file_bytes, next, is_at_end, epochs, last_timestamp_ms: None })
    }

    /// The records of the next stretch; `None` at the end of the log.
    pub(super) async fn next_records(&mut self, log: &mut Log) -> Result<Option<Vec<Facts>>, StoreError> {
        if log.is_at_end {
            return Ok(None);
        }
        let mut records = Vec::new();
        let mut need = CHUNK_BYTES;
        let stop = loop {
            let Some((start, file)) = log.file_at(log.next) else {
                log.is_at_end = true;
                return Ok(Some(records));
            };
            let (start, path) = (*start, file.path.clone());
            let in_file = usize::try_from(start + log.file_bytes - log.next).unwrap_or(usize::MAX);
            let chunk = file.read(log.next - start, need).await?;
            let stop = self.look_through(log, &chunk, in_file, &path, start, &mut records);
            match stop {
                // As it is longer than what was read of it, and the file has more.
                Stop::NeedMore(bytes) if records.is_empty() && bytes > chunk.len() && chunk.len() == need => {
                    need = bytes
                }
                Stop::NeedMore(_) if !records.is_empty() => return Ok(Some(records)),
                Stop::NeedMore(bytes) => break Stop::Bad(format!("the file ends within a record of {bytes} bytes")),
                other => break other,
            }
        };
        match stop {
            Stop::NextFile => {
                log.next += log.file_bytes - log.next % log.file_bytes;
                self.reach(log);
            }
            Stop::Zeros | Stop::NeedMore(_) => self.pass_over(log, None).await?,
            Stop::Bad(why) => self.pass_over(log, Some(why)).await?,
        }
        Ok(Some(records))
    }

    fn reach(&mut self, log: &mut Log) {
        if log.file_at(log.next).is_none() {
            // Nothing more, or a gap that has been told.
            match log.files.iter().find(|(start, _)| *start > log.next) {
                Some((start, _)) => log.next = *start,
                None => log.is_at_end = true,
            }
        }
        self.report.log_max_offset = log.next;
    }

    /// Takes up the whole records of a chunk that begins at the log's next record.
    fn look_through(
        &mut self,
        log: &mut Log,
        chunk: &[u8],
        in_file: usize,
        path: &std::path::Path,
        start: u64,
        records: &mut Vec<Facts>,
    ) -> Stop {
        let mut at = 0;
        loop {
            let left = in_file - at;
            let byte = Some(log.next - start);
            let record = match parse_record(&chunk[at..]) {
                _ if left == 0 => return Stop::NextFile,
                Ok(record) if record.physical_offset.0.cast_unsigned() != log.next => {
                    return Stop::Bad(format!("a record that belongs at physical offset {}", record.physical_offset));
                }
                Ok(record) => record,
                Err(RecordError::Blank { blank_bytes }) if blank_bytes == left => return Stop::NextFile,
                Err(RecordError::Blank { blank_bytes }) => {
                    return Stop::Bad(format!("a blank of {blank_bytes} bytes where {left} are left"));
                }
                Err(RecordError::Zeros) if chunk.len() - at >= 8 => return Stop::Zeros,
                Err(RecordError::Zeros) => return Stop::NeedMore(8),
                Err(RecordError::Truncated { need_bytes, .. }) if need_bytes <= left => {
                    return Stop::NeedMore(need_bytes);
                }
                Err(error) => return Stop::Bad(error.to_string()),
            };
            // The lengths fit, so the next record can be found; this one is no message any more.
            let is_sound = match history::check_record(&record, record.physical_offset, &log.epochs) {
                Err(why) if !self.is_certain_log(log.next, record.store_timestamp_ms) => return Stop::Bad(why),
                Err(why) => {
                    if self.is_news(path, "CRC") {
                        let unless = ", unless a broker that keeps no epochs (Apache's) has written it: the next start will tell";
                        let unless = if why == history::NO_CHECKSUM { unless } else { "" };
                        self.damage(path, byte, format!("{why}{unless}"));
                    }
                    false
                }
                Ok(()) => true,
            };
            if (record.queue_id < 0 || record.queue_offset.0 < 0) && self.is_news(path, "negative number") {
                let what = format!("a record of queue {}, offset {}", record.queue_id, record.queue_offset);
                self.damage(path, byte, what);
            } else if is_sound {
                if log.last_timestamp_ms.is_some_and(|last_ms| record.store_timestamp_ms < last_ms)
                    && self.is_news(path, "time")
                {
                    let what = "it was stored before the record before it: the clock ran backwards";
                    self.note(path, byte, what);
                }
                log.last_timestamp_ms = log.last_timestamp_ms.max(Some(record.store_timestamp_ms));
                records.push(Facts::of(&record));
                self.report.records += 1;
            }
            log.next += record.total_bytes as u64;
            self.report.log_max_offset = log.next;
            at += record.total_bytes;
        }
    }

    /// Whether a place of the log must be whole: it was flushed, or the store was closed.
    fn is_certain_log(&self, offset: u64, stored_ms: i64) -> bool {
        if let Some(outlook) = self.outlook {
            return offset < outlook.end;
        }
        !self.is_open && !self.is_abnormal
            || offset < self.checkpoint.master_flushed_offset.cast_unsigned()
            || stored_ms < self.checkpoint.physic_msg_timestamp_ms
    }

    /// Judges what is no record, and goes on with the next whole one, if there is one that counts.
    async fn pass_over(&mut self, log: &mut Log, why: Option<String>) -> Result<(), StoreError> {
        let (path, byte) = log.place(log.next);
        let next = log.next_whole(log.next).await?;
        if let Some(next) = next
            && self.is_certain_log(next.offset, next.store_timestamp_ms)
        {
            let why = why.unwrap_or_else(|| "nothing is there".to_owned());
            let what = format!("{why}, and the next whole record is at physical offset {}", next.offset);
            self.damage(&path, Some(byte), what);
            log.next = next.offset;
            return Ok(());
        }
        log.is_at_end = true;
        let content = log.next_content(log.next).await?;
        match (why, content) {
            // What a broker is writing just now.
            _ if self.is_open => {}
            (_, None) => {}
            (why, Some(content)) => {
                let (content_path, content_byte) = log.place(content);
                let what = match why {
                    Some(why) => format!("after the log's end, {}: {why}", log.next),
                    None => format!("bytes after the log's end, {}", log.next),
                };
                if self.is_abnormal {
                    let what = format!("{what}: a torn tail, which the next start erases");
                    self.note(&content_path, Some(content_byte), what);
                } else {
                    self.damage(&content_path, Some(content_byte), what);
                }
            }
        }
        Ok(())
    }
}

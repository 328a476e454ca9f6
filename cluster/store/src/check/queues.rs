//! The ConsumeQueues against the log, both ways: every record has its unit, every unit its record.
//!
//! The log is read once; each record is looked up in its queue. Units that no record has claimed are then looked up in the
//! log. A topic that was deleted, and perhaps made anew, has records without units: those of the last life count.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    Check, Severity,
    files::{Reading, list, series, usual_length},
    log::{Facts, Log, Tags},
};
use crate::{
    consume_queue::{ConsumeQueueUnit, UNIT_BYTES, units},
    error::StoreError,
};

/// How many units are read at once.
const WINDOW_UNITS: u64 = 4096;

type Key = (String, i32);

/// All queues.
#[derive(Debug, Default)]
pub(super) struct Queues {
    by_name: BTreeMap<Key, Queue>,
}

/// One queue and what the records said of it.
#[derive(Debug, Default)]
struct Queue {
    directory: PathBuf,
    /// Empty for a queue that only the log knows.
    files: Vec<(u64, Reading)>,
    file_bytes: u64,
    /// Its units begin and end here.
    units: Range<u64>,
    /// The units that were read last, from this one on.
    window: (u64, Vec<ConsumeQueueUnit>),
    /// The queue offset that the next record should have.
    next: u64,
    /// Offsets of records that have no unit, or another one.
    wanting: Vec<(u64, String, Severity)>,
    wanting_left_out: u64,
    /// Units that a record has claimed.
    claimed: u64,
}

impl Queue {
    fn place(&self, offset: u64) -> (PathBuf, u64) {
        let byte = offset * UNIT_BYTES as u64;
        match self.files.iter().rev().find(|(start, _)| *start <= byte) {
            Some((start, file)) => (file.path.clone(), byte - start),
            None => (self.directory.clone(), byte),
        }
    }

    /// The unit at a queue offset, as it is on the drive.
    async fn unit(&mut self, offset: u64) -> Result<Option<ConsumeQueueUnit>, StoreError> {
        if !self.units.contains(&offset) {
            return Ok(None);
        }
        let (from, window) = &self.window;
        if offset < *from || offset >= from + window.len() as u64 {
            let byte = offset * UNIT_BYTES as u64;
            let Some((start, file)) = self.files.iter().rev().find(|(start, _)| *start <= byte) else {
                return Ok(None);
            };
            // None in the place of a file that is missing.
            let left = (start + self.file_bytes.min(file.length_bytes)).saturating_sub(byte);
            let count = WINDOW_UNITS.min(left / UNIT_BYTES as u64) as usize;
            if count == 0 {
                return Ok(None);
            }
            let bytes = file.read(byte - start, count * UNIT_BYTES).await?;
            self.window = (offset, units(&bytes).collect());
        }
        let (from, window) = &self.window;
        Ok(window.get((offset - from) as usize).copied().filter(|unit| unit.size_bytes != 0))
    }
}

/// Whether a unit says what it must of a record.
fn is_of(unit: &ConsumeQueueUnit, record: &Facts) -> bool {
    let tags = match record.tags {
        Some(Tags::Code(code)) => unit.tags_code == code,
        Some(Tags::NotBefore(time_ms)) => unit.tags_code >= time_ms,
        None => false,
    };
    unit.physical_offset.0.cast_unsigned() == record.offset && unit.size_bytes == record.size_bytes && tags
}

impl Check {
    /// Lists the queues and looks at names, sizes, order, and where each ends.
    pub(super) async fn open_queues(&mut self) -> Result<Queues, StoreError> {
        let mut queues = Queues::default();
        let root = self.root.join("consumequeue");
        for (topic, is_dir) in list(&root).await? {
            let topic_dir = root.join(&topic);
            if !is_dir {
                self.damage(&topic_dir, None, "a file among the directories of topics");
                continue;
            }
            for (name, is_dir) in list(&topic_dir).await? {
                let directory = topic_dir.join(&name);
                match name.parse::<i32>() {
                    Ok(id) if is_dir && id >= 0 && id.to_string() == name => {
                        let queue = self.open_queue(directory).await?;
                        queues.by_name.insert((topic.clone(), id), queue);
                    }
                    _ => self.damage(&directory, None, "neither a queue's directory nor named by a queue id"),
                }
            }
        }
        self.report.queues = queues.by_name.len();
        Ok(queues)
    }

    async fn open_queue(&mut self, directory: PathBuf) -> Result<Queue, StoreError> {
        let (files, foreign) = series(&directory).await?;
        for (path, why) in foreign {
            self.damage(&path, None, why);
        }
        let given = self.options.mapped_file_size_consume_queue_bytes;
        let file_bytes = given.unwrap_or_else(|| usual_length(&files)).max(UNIT_BYTES as u64);
        for (at, (start, file)) in files.iter().enumerate() {
            if !start.is_multiple_of(file_bytes) {
                self.damage(&file.path, None, format!("its name is not a multiple of the file size, {file_bytes}"));
            }
            if at > 0 && files[at - 1].0 + file_bytes != *start {
                let missing = format!("{:020}", files[at - 1].0 + file_bytes);
                self.damage(&directory.join(missing), None, "this file is missing between others");
            }
            if file.length_bytes != file_bytes {
                let what = format!("it has {} bytes instead of {file_bytes}", file.length_bytes);
                let is_unfinished = at + 1 == files.len() && file.length_bytes < file_bytes && file.is_zero().await?;
                if self.is_abnormal || self.is_open || is_unfinished {
                    self.note(&file.path, None, format!("{what}: its creation was cut short"));
                } else {
                    self.damage(&file.path, None, what);
                }
            }
        }
        let mut queue = Queue { directory, files, file_bytes, ..Queue::default() };
        queue.units = self.find_units(&queue).await?;
        Ok(queue)
    }

    /// From the first unit that is no blank to the last before only zeros.
    async fn find_units(&mut self, queue: &Queue) -> Result<Range<u64>, StoreError> {
        let Some((first, _)) = queue.files.first() else { return Ok(0..0) };
        let mut range = first / UNIT_BYTES as u64..first / UNIT_BYTES as u64;
        let mut begins = None;
        let mut last: Option<ConsumeQueueUnit> = None;
        let mut zeros_from = None;
        for (start, file) in &queue.files {
            let mut byte = 0;
            while byte < file.length_bytes {
                let bytes = file.read(byte, WINDOW_UNITS as usize * UNIT_BYTES).await?;
                if bytes.is_empty() {
                    break;
                }
                for (unit, number) in units(&bytes).zip(0..) {
                    let at = (start + byte) / UNIT_BYTES as u64 + number;
                    let unit_byte = byte + number * UNIT_BYTES as u64;
                    if unit.size_bytes == 0 && unit.physical_offset.0 == 0 {
                        zeros_from = zeros_from.or(Some((at, file.path.clone(), unit_byte)));
                        continue;
                    }
                    if unit.is_blank() && begins.is_none() {
                        range.start = at + 1;
                        continue;
                    }
                    begins = begins.or(Some(at));
                    if let Some((_, path, zeros_byte)) = zeros_from.take()
                        && self.is_certain(i64::MAX, 0)
                        && self.is_news(&path, "hole")
                    {
                        self.damage(&path, Some(zeros_byte), "units of zeros before others");
                    }
                    if last.is_some_and(|last| unit.physical_offset < last.record_end())
                        && self.is_certain(i64::MAX, 0)
                        && self.is_news(&file.path, "order")
                    {
                        let what = "this unit leads to a record that is not behind that of the unit before it";
                        self.damage(&file.path, Some(unit_byte), what);
                    }
                    last = Some(unit);
                    range.end = at + 1;
                }
                byte += bytes.len() as u64;
            }
        }
        range.end = range.end.max(range.start);
        Ok(range)
    }

    /// Looks a record up in its queue.
    pub(super) async fn compare_unit(
        &mut self,
        queues: &mut Queues,
        log: &Log,
        record: &Facts,
    ) -> Result<(), StoreError> {
        if record.tags.is_none() {
            return Ok(());
        }
        let queue_offset = record.queue_offset.0.cast_unsigned();
        let key = (record.topic.clone(), record.queue_id);
        let directory = || self.root.join("consumequeue").join(&record.topic).join(record.queue_id.to_string());
        let queue = queues.by_name.entry(key).or_insert_with(|| Queue { directory: directory(), ..Queue::default() });
        if queue_offset == 0 && queue.next > 0 {
            // The topic was deleted and made anew: what came before has no units any more.
            queue.wanting.clear();
            queue.wanting_left_out = 0;
        }
        queue.next = queue_offset + 1;
        let unit = queue.unit(queue_offset).await?;
        let what = match unit {
            Some(unit) if is_of(&unit, record) => {
                queue.claimed += 1;
                self.report.units += 1;
                return Ok(());
            }
            Some(unit) => {
                let place = unit.physical_offset.0.cast_unsigned();
                let other = if place == record.offset { None } else { log.facts_at(place).await? };
                if other.is_some_and(|other| {
                    (other.topic == record.topic, other.queue_id, other.queue_offset)
                        == (true, record.queue_id, record.queue_offset)
                }) {
                    // Two records say that they are there, and the unit has chosen.
                    return Ok(());
                }
                format!(
                    "the unit says offset {}, size {}, tags code {}; the record is at {}, with {} bytes and {}",
                    unit.physical_offset.0,
                    unit.size_bytes,
                    unit.tags_code,
                    record.offset,
                    record.size_bytes,
                    record.tags.map_or_else(|| "no tags code".to_owned(), |tags| tags.to_string())
                )
            }
            None => format!("the record at physical offset {} has no unit", record.offset),
        };
        let is_certain = match self.outlook {
            Some(outlook) if self.is_abnormal => record.offset < outlook.dispatched_from,
            _ => {
                !self.is_open && !self.is_abnormal
                    || record.store_timestamp_ms < self.checkpoint.logics_msg_timestamp_ms
            }
        };
        let severity = if is_certain { Severity::Damage } else { Severity::Note };
        if queue.wanting.len() < super::FINDINGS_PER_KIND_MAX {
            queue.wanting.push((queue_offset, what, severity));
        } else {
            queue.wanting_left_out += 1;
        }
        Ok(())
    }

    /// Tells what the records missed, and looks for units that no record has claimed.
    pub(super) async fn finish_queues(
        &mut self,
        queues: Queues,
        log: &Log,
        topics: Option<&BTreeSet<String>>,
    ) -> Result<(), StoreError> {
        for ((topic, _), mut queue) in queues.by_name {
            let is_deleted = queue.files.is_empty() && topics.is_some_and(|topics| !topics.contains(&topic));
            if is_deleted {
                let what = format!("the log has records of topic {topic}, which was deleted");
                self.note(&queue.directory, None, what);
                continue;
            }
            for (offset, what, severity) in std::mem::take(&mut queue.wanting) {
                let (path, byte) = queue.place(offset);
                let what = format!("queue offset {offset}: {what}");
                match severity {
                    Severity::Damage => self.damage(&path, Some(byte), what),
                    Severity::Note if self.is_open => {}
                    Severity::Note => self.note(&path, Some(byte), format!("{what}; the next start mends it")),
                }
            }
            if queue.wanting_left_out > 0 && !self.is_open {
                let what = format!("{} more records of this queue have no unit or another", queue.wanting_left_out);
                self.note(&queue.directory.clone(), None, what);
            }
            self.find_unclaimed(&mut queue, log, &topic).await?;
        }
        Ok(())
    }

    async fn find_unclaimed(&mut self, queue: &mut Queue, log: &Log, topic: &str) -> Result<(), StoreError> {
        let mut units = 0;
        let (log_min, log_end) = (log.min(), log.reached());
        let units_range = queue.units.clone();
        let mut seen = Vec::new();
        for offset in units_range {
            let Some(unit) = queue.unit(offset).await? else { continue };
            let place = unit.physical_offset.0.cast_unsigned();
            if unit.is_blank() || unit.physical_offset.0 >= 0 && place < log_min {
                continue;
            }
            units += 1;
            if units > queue.claimed || unit.record_end().0.cast_unsigned() > log_end {
                seen.push(offset);
            }
        }
        if units <= queue.claimed && seen.is_empty() {
            return Ok(());
        }
        // Some are extra: which ones is known by asking the log for each.
        let units_range = queue.units.clone();
        for offset in units_range {
            let Some(unit) = queue.unit(offset).await? else { continue };
            let place = unit.physical_offset.0.cast_unsigned();
            if unit.is_blank() || unit.physical_offset.0 >= 0 && place < log_min {
                continue;
            }
            let record = log.facts_at(place).await?;
            let is_right = record.is_some_and(|record| {
                record.topic == topic && record.queue_offset.0.cast_unsigned() == offset && place < log_end
            });
            let (path, byte) = queue.place(offset);
            if is_right {
                continue;
            }
            self.tell_extra(&path, byte, offset, place, log_end);
        }
        Ok(())
    }

    fn tell_extra(&mut self, path: &Path, byte: u64, offset: u64, place: u64, log_end: u64) {
        if self.is_open || !self.is_news(path, "extra unit") {
            return;
        }
        let what = format!("queue offset {offset}: this unit leads to {place}, where no such record is");
        if self.is_abnormal && place >= log_end {
            self.note(path, Some(byte), format!("{what}: the next start cuts it"));
        } else {
            self.damage(path, Some(byte), what);
        }
    }
}

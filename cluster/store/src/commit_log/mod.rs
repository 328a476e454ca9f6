//! The CommitLog: one endless file of all topics' records, cut into files of one size (Apache's `CommitLog`).
//!
//! This is the part that readers and flushers share: the files, the recent records in memory, and how far the log is
//! written and flushed. Only the [appender](crate::appender) writes. A file holds whole records and ends with a blank.

mod tail;
pub(crate) mod walk;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use protocol::{
    PhysicalOffset,
    frame::FRAME_BYTES_MAX,
    message::{RECORD_BYTES_MIN, RecordOwner, parse_record, parse_record_head, store_timestamp_position},
};

use sim::task;
use tokio::sync::{Semaphore, watch};

use crate::{
    config::StoreConfig,
    error::{StoreError, lock},
    history::{self, EpochEntry, Epochs},
    open_files::OpenFiles,
    put::record_bytes_max,
    segment::{Segment, Series},
    watermark::Watermark,
};
use tail::TailCache;

/// Longer records are read from a file and verified aside: that takes as long as hundreds of small ones.
const LONG_RECORD_BYTES: usize = 256 << 10;
/// How many of those are read at a time.
const LONG_READS_MAX: usize = 4;

/// The bytes of a record up to and with STORETIMESTAMP after an IPv6 address.
const STORE_TIMESTAMP_END_MAX: usize = 76;

#[derive(Debug)]
pub(crate) struct CommitLog {
    series: Series,
    /// No record is read that claims to be longer. These settings may allow less than those under which it was written; but
    /// what does not fit into a frame was never sent, and could be sent to nobody.
    record_bytes_max: usize,
    /// In order, without gaps.
    segments: RwLock<Vec<Arc<Segment>>>,
    epochs: Arc<Epochs>,
    /// Those who read a long record.
    long_reads: Semaphore,
    tail: Mutex<TailCache>,
    written: Mutex<Written>,
    /// A copy of the position in `written`, to be read without the lock.
    written_offset: AtomicI64,
    pub(crate) flushed: Watermark,
    /// The position in `written` again, for those who wait for more to copy.
    written_watch: watch::Sender<PhysicalOffset>,
    /// The same of `flushed`.
    flushed_watch: watch::Sender<PhysicalOffset>,
    /// STORETIMESTAMP of the last flushed record.
    flushed_timestamp_ms: AtomicI64,
    /// Where the log was flushed to, at a distance from one another.
    flushed_marks: Mutex<VecDeque<PhysicalOffset>>,
}

/// How far before what the checkpoint claims recovery looks at the log again: a drive may have lied.
pub(crate) const RECOVERY_MARGIN_BYTES: i64 = 16 << 20;
/// How far apart the places are from which recovery can begin.
const MARK_DISTANCE_BYTES: i64 = 4 << 20;

/// How much is read to learn whose a record is: the heads and topics of most records.
const OWNER_BYTES: usize = 1024;

/// How far the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The end of the last record (or blank).
    pub offset: PhysicalOffset,
    /// STORETIMESTAMP of the last record.
    pub store_timestamp_ms: i64,
}

/// Bytes of the log: from this process's memory, or from a file into the reader's buffer.
#[derive(Debug)]
pub enum RawLog<'a> {
    /// In memory.
    Shared(Bytes),
    /// In the buffer.
    Copied(&'a [u8]),
}

impl std::ops::Deref for RawLog<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            RawLog::Shared(bytes) => bytes,
            RawLog::Copied(bytes) => bytes,
        }
    }
}

impl CommitLog {
    /// A log of these files, all written and flushed up to `written`.
    pub(crate) fn new(
        config: &StoreConfig,
        series: Series,
        segments: Vec<Arc<Segment>>,
        written: Written,
        epochs: Arc<Epochs>,
    ) -> CommitLog {
        CommitLog {
            series,
            record_bytes_max: record_bytes_max(config).max(FRAME_BYTES_MAX),
            segments: RwLock::new(segments),
            epochs,
            long_reads: Semaphore::new(LONG_READS_MAX),
            tail: Mutex::new(TailCache::new(config.tail_cache_max_bytes)),
            written: Mutex::new(written),
            written_offset: AtomicI64::new(written.offset.0),
            flushed: Watermark::new(written.offset),
            written_watch: watch::Sender::new(written.offset),
            flushed_watch: watch::Sender::new(written.offset),
            flushed_timestamp_ms: AtomicI64::new(written.store_timestamp_ms),
            flushed_marks: Mutex::new(VecDeque::from([written.offset])),
        }
    }

    /// The files of the log of a store.
    pub(crate) fn series_of(config: &StoreConfig) -> Series {
        Series {
            directory: config.commit_log_dir().into(),
            size_bytes: config.mapped_file_size_commit_log_bytes,
            open_files: OpenFiles::for_this_process(),
        }
    }

    pub(crate) fn series(&self) -> &Series {
        &self.series
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.series.size_bytes
    }

    fn with_segments<R>(&self, read: impl FnOnce(&[Arc<Segment>]) -> R) -> R {
        read(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The files, in order.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.with_segments(<[Arc<Segment>]>::to_vec)
    }

    pub(crate) fn push_segment(&self, segment: Arc<Segment>) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(segment);
    }

    /// An empty log begins at the start of another file: forgets its file and all positions. The files that it had.
    pub(crate) fn begin_at(&self, written: Written) -> Vec<Arc<Segment>> {
        let forgotten = std::mem::take(&mut *self.segments.write().unwrap_or_else(PoisonError::into_inner));
        self.flushed.begin_at(written.offset);
        *lock(&self.flushed_marks) = VecDeque::from([written.offset]);
        *lock(&self.written) = written;
        self.written_offset.store(written.offset.0, Ordering::Release);
        forgotten
    }

    /// Forgets the first file; it must not be the last.
    pub(crate) fn forget_first_segment(&self) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(0);
    }

    pub(crate) fn segment_at(&self, offset: PhysicalOffset) -> Option<Arc<Segment>> {
        self.with_segments(|segments| find_segment(segments, offset).cloned())
    }

    /// The offset of the first byte that is still there.
    pub(crate) fn min_offset(&self) -> PhysicalOffset {
        self.with_segments(|segments| PhysicalOffset(segments.first().map_or(0, |first| first.start().cast_signed())))
    }

    /// The offset where the file after the one of `offset` begins (`rollNextFile`).
    pub(crate) fn next_segment_start(&self, offset: PhysicalOffset) -> PhysicalOffset {
        let segment_bytes = self.segment_bytes().cast_signed();
        PhysicalOffset(offset.0 + segment_bytes - offset.0 % segment_bytes)
    }

    pub(crate) fn written(&self) -> Written {
        *lock(&self.written)
    }

    pub(crate) fn written_offset(&self) -> PhysicalOffset {
        PhysicalOffset(self.written_offset.load(Ordering::Acquire))
    }

    /// Publishes what the appender has written: `block`, which begins at `start`, and the new end.
    pub(crate) fn publish(&self, start: PhysicalOffset, block: Bytes, written: Written) {
        if !block.is_empty() {
            lock(&self.tail).push(start.0, block);
        }
        *lock(&self.written) = written;
        self.written_offset.store(written.offset.0, Ordering::Release);
        self.written_watch.send_replace(written.offset);
    }

    /// Tells everyone who waits that the log is flushed up to here.
    pub(crate) fn note_flushed(&self, offset: PhysicalOffset) {
        {
            let mut marks = lock(&self.flushed_marks);
            if marks.back().is_none_or(|last| offset.0 - last.0 >= MARK_DISTANCE_BYTES) {
                marks.push_back(offset);
            }
        }
        self.flushed.advance(offset);
        self.flushed_watch.send_replace(offset);
    }

    /// A place where a record begins, [`RECOVERY_MARGIN_BYTES`] or more before `offset`, and flushed; 0 if none is known. Those
    /// before it are forgotten.
    pub(crate) fn flushed_mark_before(&self, offset: PhysicalOffset) -> PhysicalOffset {
        let mut marks = lock(&self.flushed_marks);
        let before = marks.partition_point(|mark| mark.0 + RECOVERY_MARGIN_BYTES <= offset.0);
        marks.drain(..before.saturating_sub(1));
        if before == 0 { PhysicalOffset::ZERO } else { marks[0] }
    }

    pub(crate) fn subscribe_written(&self) -> watch::Receiver<PhysicalOffset> {
        self.written_watch.subscribe()
    }

    pub(crate) fn subscribe_flushed(&self) -> watch::Receiver<PhysicalOffset> {
        self.flushed_watch.subscribe()
    }

    pub(crate) fn flushed_timestamp_ms(&self) -> i64 {
        self.flushed_timestamp_ms.load(Ordering::Acquire)
    }

    pub(crate) fn note_flushed_timestamp(&self, store_timestamp_ms: i64) {
        self.flushed_timestamp_ms.fetch_max(store_timestamp_ms, Ordering::AcqRel);
    }

    /// The record of `length` bytes at `offset`, from memory, or from the file and then verified.
    ///
    /// `None` when it is not there any more, or is damaged: damage is logged and never given out.
    pub(crate) async fn record(&self, offset: PhysicalOffset, length: usize) -> Result<Option<Bytes>, StoreError> {
        let found = self.read_record(offset, length).await?;
        if let Some(Err(why)) = &found {
            self.tell_damage(offset, why);
        }
        Ok(found.and_then(Result::ok))
    }

    /// Logs that the record at `offset` is damaged.
    pub(crate) fn tell_damage(&self, offset: PhysicalOffset, why: &str) {
        let file = self.segment_at(offset).map(|segment| segment.path().display().to_string()).unwrap_or_default();
        let position = offset.0 % self.segment_bytes().cast_signed();
        tracing::error!(file, position, why, "damaged record in the CommitLog is not served");
    }

    /// As [`CommitLog::record`]; an error says why what is there is not that record. Nothing is logged.
    pub(crate) async fn read_record(
        &self,
        offset: PhysicalOffset,
        length: usize,
    ) -> Result<Option<Result<Bytes, String>>, StoreError> {
        if !sim::fault_point!("store.log.not-in-memory")
            && let Some(record) = lock(&self.tail).get(offset.0, length)
        {
            return Ok(Some(Ok(record)));
        }
        let Some(segment) = self.segment_at(offset) else { return Ok(None) };
        let position = offset.0.cast_unsigned() - segment.start();
        let is_possible = (RECORD_BYTES_MIN..=self.record_bytes_max).contains(&length);
        if !is_possible || offset.0.cast_unsigned() + length as u64 > segment.end() {
            return Ok(None);
        }
        let epochs = self.epochs.for_checks();
        let read = async move {
            let bytes = segment.read(position, length).await?;
            Ok(Some(verify(&bytes, offset, &epochs).map(|()| bytes)))
        };
        if length <= LONG_RECORD_BYTES {
            return read.await;
        }
        // A few at a time: nobody's requests have much memory in hand because places within bodies were made to look like records.
        let _turn = self.long_reads.acquire().await;
        task::aside(read).await
    }

    /// Whose the record at `offset` says it is, and its topic, whether or not it is sound; `None` if no record begins there.
    pub(crate) async fn owner_at(&self, offset: PhysicalOffset) -> Result<Option<(RecordOwner, String)>, StoreError> {
        let Some((segment, left)) = self.extent(offset) else { return Ok(None) };
        let position = offset.0.cast_unsigned() - segment.start();
        let length = left.min(OWNER_BYTES);
        let cached = lock(&self.tail).get(offset.0, length);
        let bytes = match cached {
            Some(bytes) => bytes,
            None => segment.read(position, length).await?,
        };
        let Some(owner) = RecordOwner::parse(&bytes) else { return Ok(None) };
        if owner.total_bytes > left {
            return Ok(None);
        }
        let topic_end_max = (owner.topic_length_position + 2 + usize::from(u8::MAX)).min(owner.total_bytes);
        let topic = match bytes.get(owner.topic_length_position..topic_end_max) {
            Some(bytes) => owner.topic(bytes).map(str::to_owned),
            None => {
                let length = topic_end_max - owner.topic_length_position;
                let bytes = segment.read(position + owner.topic_length_position as u64, length).await?;
                owner.topic(&bytes).map(str::to_owned)
            }
        };
        Ok(topic.map(|topic| (owner, topic)))
    }

    /// The file of `offset`, and how many bytes of the log it has from there on.
    fn extent(&self, offset: PhysicalOffset) -> Option<(Arc<Segment>, usize)> {
        let segment = self.segment_at(offset)?;
        let end = segment.end().min(self.written_offset().0.cast_unsigned());
        let left = end.checked_sub(offset.0.cast_unsigned())?;
        Some((segment, usize::try_from(left).unwrap_or(usize::MAX)))
    }

    /// Whether these bytes are the record that was written at `offset`.
    pub(crate) fn verify(&self, bytes: &[u8], offset: PhysicalOffset) -> Result<(), String> {
        verify(bytes, offset, &self.epochs.for_checks())
    }

    /// The record at `offset`, whose length is read from it. The offset may be one that somebody made up, and what lies there
    /// may have been written to be taken for a long record: nothing but a head is read before a record can begin there.
    pub(crate) async fn record_at(&self, offset: PhysicalOffset) -> Result<Option<Bytes>, StoreError> {
        let Some(head) = self.head(offset, RECORD_BYTES_MIN).await? else { return Ok(None) };
        match parse_record_head(&head) {
            Some(head) if head.physical_offset == offset => {
                // No word of damage: who asks for a place within a body may find what was put there to look like a record.
                Ok(self.read_record(offset, head.total_bytes).await?.and_then(Result::ok))
            }
            _ => Ok(None),
        }
    }

    /// STORETIMESTAMP of the record at `offset`; `None` when it is not there any more.
    pub(crate) async fn store_timestamp_ms(&self, offset: PhysicalOffset) -> Result<Option<i64>, StoreError> {
        let Some(head) = self.head(offset, STORE_TIMESTAMP_END_MAX).await? else { return Ok(None) };
        let at = store_timestamp_position(&head);
        Ok(head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes))
    }

    /// The bytes of the log from `offset` on, as they are: at most `max_bytes`, to the end of a file, or of the log.
    pub(crate) async fn read_raw(&self, offset: PhysicalOffset, max_bytes: usize) -> Result<Bytes, StoreError> {
        let Some((segment, length)) = self.raw_extent(offset, max_bytes)? else { return Ok(Bytes::new()) };
        if let Some(bytes) = lock(&self.tail).get_up_to(offset.0, length) {
            return Ok(bytes);
        }
        segment.read(offset.0.cast_unsigned() - segment.start(), length).await
    }

    /// As [`CommitLog::read_raw`], for one who reads much: what is not in memory goes into `buffer`, as much as there is room
    /// for, and nothing is allocated.
    pub(crate) async fn read_raw_with<'a>(
        &self,
        offset: PhysicalOffset,
        max_bytes: usize,
        buffer: &'a mut [u8],
    ) -> Result<RawLog<'a>, StoreError> {
        let Some((segment, length)) = self.raw_extent(offset, max_bytes)? else {
            return Ok(RawLog::Shared(Bytes::new()));
        };
        if let Some(bytes) = lock(&self.tail).get_up_to(offset.0, length) {
            return Ok(RawLog::Shared(bytes));
        }
        let length = length.min(buffer.len());
        let read = segment.read_into(&mut buffer[..length], offset.0.cast_unsigned() - segment.start()).await?;
        Ok(RawLog::Copied(&buffer[..read]))
    }

    /// The file of `offset`, and how many bytes can be read there at once; `None` at the log's end.
    fn raw_extent(
        &self,
        offset: PhysicalOffset,
        max_bytes: usize,
    ) -> Result<Option<(Arc<Segment>, usize)>, StoreError> {
        let written = self.written_offset();
        if offset == written {
            return Ok(None);
        }
        let (min, max) = (self.min_offset(), written);
        let outside = || StoreError::NotInLog { offset, min, max };
        if offset < min || offset > written {
            return Err(outside());
        }
        let segment = self.segment_at(offset).ok_or_else(outside)?;
        let end = segment.end().min(written.0.cast_unsigned());
        let length = usize::try_from(end - offset.0.cast_unsigned()).unwrap_or(usize::MAX).min(max_bytes);
        Ok(Some((segment, length)))
    }

    /// The first bytes of the record at `offset`.
    async fn head(&self, offset: PhysicalOffset, length: usize) -> Result<Option<Bytes>, StoreError> {
        if offset < self.min_offset() || offset + length as i64 > self.written_offset() {
            return Ok(None);
        }
        if let Some(head) = lock(&self.tail).get(offset.0, length) {
            return Ok(Some(head));
        }
        let Some(segment) = self.segment_at(offset) else { return Ok(None) };
        if offset.0.cast_unsigned() + length as u64 > segment.end() {
            return Ok(None);
        }
        segment.read(offset.0.cast_unsigned() - segment.start(), length).await.map(Some)
    }
}

/// The file of a series without gaps that holds `offset`.
pub(crate) fn find_segment(segments: &[Arc<Segment>], offset: PhysicalOffset) -> Option<&Arc<Segment>> {
    let offset = u64::try_from(offset.0).ok()?;
    let after = segments.partition_point(|segment| segment.start() <= offset);
    segments.get(after.checked_sub(1)?).filter(|segment| offset < segment.end())
}

/// Whether these bytes are the record that was written at `offset` of a log with these epochs.
pub(crate) fn verify(bytes: &[u8], offset: PhysicalOffset, epochs: &[EpochEntry]) -> Result<(), String> {
    let record = parse_record(bytes).map_err(|error| error.to_string())?;
    if record.total_bytes != bytes.len() {
        return Err(format!("its length is {} instead of {}", record.total_bytes, bytes.len()));
    }
    if record.physical_offset != offset {
        return Err(format!("it says that its physical offset is {}", record.physical_offset));
    }
    history::check_record(&record, offset, epochs)
}

//! The one writer of the CommitLog.
//!
//! Puts are queued; the appender takes all that are pending, gives each its queue offset, physical offset and store
//! timestamp, encodes them into one buffer and writes that with one write: whoever waits while a write is under way is
//! written by the next. The buffer then serves the pulls at the tail. A put is never split over two files: a file's rest that
//! cannot hold it is left blank. The next file is made while the present one is being filled.
//!
//! No byte is written for which no room is reserved (see [`crate::room`]): a full drive refuses puts, and nothing else. A write
//! that fails leaves unknown bytes at the log's end, so the store takes no more writes after it, unless the drive was only full
//! and they could be erased; recovery at the next start finds out what is there.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use protocol::{
    PhysicalOffset,
    message::{BLANK_RECORD_BYTES, MessageToStore, blank_record, write_checksum},
};
use quirks::Quirk;
use sim::{
    task::{self, JoinHandle},
    time::{Instant, sleep, wall_clock_ms},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    commit_log::Written,
    config::FlushDiskType,
    consume_queue::ConsumeQueue,
    deleted_topics::DeletedTopics,
    dispatch::{DispatchRequest, Pending, has_queue_offset, record_tags_code},
    error::StoreError,
    history::EpochEntry,
    put::{Place, PutAnswer, PutMessageStatus, PutReply, PutRequest, Replicated},
    replica::ReplicaRecords,
    room::{self, LogRoom},
    segment::{Segment, Series},
    store::Shared,
    timeline::{Anchor, StoreTime},
};

/// Where one write ends and the next begins, if so much is pending.
const GROUP_MAX_BYTES: usize = 1 << 20;
/// How much the buffer has room for when it is made anew.
const BUFFER_BYTES: usize = 64 << 10;
/// The most puts taken up at once.
const GROUP_MAX_PUTS: usize = 1024;
/// How long a dispatch takes that lags.
const DISPATCH_LAG: Duration = Duration::from_millis(20);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What changes the log, in the order in which it was asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// A message, or several.
    Put(PutRequest),
    /// Records of another replica's log.
    Replica { records: ReplicaRecords, reply: Reply<PhysicalOffset> },
    /// This life's epoch begins.
    BeginEpoch { lost_bytes_max: Option<u64>, reply: Reply<EpochEntry> },
    /// These topics are deleted: with all their records that were written before.
    RemoveTopics { topics: Vec<Arc<str>>, reply: Reply<Vec<Arc<ConsumeQueue>>> },
    /// What comes next belongs to this epoch of another replica's log.
    AdoptEpoch { epoch: EpochEntry, reply: Reply<()> },
}

pub(crate) struct Appender {
    pub(crate) shared: Arc<Shared>,
    requests: mpsc::UnboundedReceiver<Request>,
    /// The file being filled; absent in an empty store.
    pub(crate) segment: Option<Arc<Segment>>,
    /// The room that it has.
    pub(crate) room: LogRoom,
    /// The file after it, being made.
    next_segment: Option<NextSegment>,
    pub(crate) written: Written,
    group: Group,
    /// By it a record's timestamp tells when it is stored.
    pub(crate) anchor: Anchor,
    /// This life's epoch, once it has begun: from then on the log is this store's own.
    pub(crate) epoch: Option<EpochEntry>,
}

/// What is encoded and not yet written.
struct Group {
    /// Blocks are cut off its front, so that one allocation serves for many writes.
    buffer: BytesMut,
    pending: Vec<Pending>,
    /// Who is to be answered, where its records are, and whether the answer waits for flush and replicas.
    answers: Vec<(PutAnswer, bool)>,
}

impl Default for Group {
    fn default() -> Group {
        Group { buffer: BytesMut::with_capacity(BUFFER_BYTES), pending: Vec::new(), answers: Vec::new() }
    }
}

struct NextSegment {
    start: u64,
    task: JoinHandle<Result<(Segment, u64), StoreError>>,
}

impl Drop for NextSegment {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Appender {
    pub(crate) fn new(shared: Arc<Shared>, requests: mpsc::UnboundedReceiver<Request>) -> Appender {
        let written = shared.log.written();
        let segment = shared.log.segments().pop();
        let anchor = shared.clock.last_anchor();
        Appender {
            shared,
            requests,
            segment,
            room: LogRoom::known_up_to(written.offset),
            next_segment: None,
            written,
            group: Group::default(),
            anchor,
            epoch: None,
        }
    }

    /// Serves puts until the store is closed and all that came before are answered.
    pub(crate) async fn run(mut self) {
        let mut requests = Vec::new();
        while self.requests.recv_many(&mut requests, GROUP_MAX_PUTS).await > 0 {
            for request in requests.drain(..) {
                match request {
                    Request::Put(request) => {
                        self.take(request).await;
                        if sim::fault_point!("store.append.group-of-one") {
                            self.write_group().await;
                        }
                    }
                    other => {
                        self.write_group().await;
                        self.serve(other).await;
                    }
                }
            }
            self.write_group().await;
        }
    }

    /// Serves what is no put; nothing is waiting to be written.
    async fn serve(&mut self, request: Request) {
        // An error of a reply means that nobody waits for it any more.
        match request {
            Request::Put(request) => self.take(request).await,
            Request::Replica { records, reply } => {
                let _ = reply.send(self.append_copy(records).await);
            }
            Request::BeginEpoch { lost_bytes_max, reply } => {
                let _ = reply.send(self.begin_epoch(lost_bytes_max).await);
            }
            Request::RemoveTopics { topics, reply } => {
                let _ = reply.send(self.remove_topics(topics).await);
            }
            Request::AdoptEpoch { epoch, reply } => {
                let _ = reply.send(self.adopt_epoch(epoch).await);
            }
        }
    }

    /// Forgets topics; returns their queues. Done here, no record that is still on its way goes to a queue that has gone.
    async fn remove_topics(&mut self, topics: Vec<Arc<str>>) -> Result<Vec<Arc<ConsumeQueue>>, StoreError> {
        let Shared { config, log, queues, .. } = &*self.shared;
        let mut deleted = DeletedTopics::load(config).await?.fit(log.min_offset(), self.written.offset);
        for topic in &topics {
            deleted.insert(Arc::clone(topic), self.written.offset);
        }
        deleted.store(config).await?;
        Ok(topics.iter().flat_map(|topic| queues.remove_topic(topic)).collect())
    }

    async fn take(&mut self, request: PutRequest) {
        if let Some(why) = self.shared.state.failure() {
            // An error means that nobody waits for the answer any more; so in all replies.
            let _ = request.reply.send(PutReply::Refused(PutMessageStatus::ServiceNotAvailable, why));
            return;
        }
        if self.epoch.is_none()
            && let Err(error) = self.begin_epoch(None).await
        {
            tracing::error!(%error, "the epoch of this life cannot be written");
            let refused = PutReply::Refused(PutMessageStatus::ServiceNotAvailable, error.to_string().into());
            let _ = request.reply.send(refused);
            return;
        }
        if !self.group.buffer.is_empty() && self.group.buffer.len() + request.bytes > GROUP_MAX_BYTES {
            self.write_group().await;
        }
        if let Err(error) = self.make_room(request.bytes).await {
            let status = match error.is_no_room() {
                true => PutMessageStatus::ServiceNotAvailable,
                false => PutMessageStatus::CreateMappedFileFailed,
            };
            let _ = request.reply.send(PutReply::Refused(status, error.to_string().into()));
            return;
        }
        self.encode(request);
    }

    /// Sees to it that there is a file with room for a put of so many bytes.
    async fn make_room(&mut self, bytes: usize) -> Result<(), StoreError> {
        let made = async {
            if !self.fits(bytes) || self.ends_file_early() {
                self.roll_over().await?;
            }
            let until = self.position().0.cast_unsigned() + (bytes + BLANK_RECORD_BYTES) as u64;
            self.reserve(until).await
        };
        let made = made.await;
        self.note_room(made.as_ref().err());
        made
    }

    /// Takes down whether the drive has room for the log.
    pub(crate) fn note_room(&self, error: Option<&StoreError>) {
        match error {
            Some(error) if error.is_no_room() => self.shared.state.note_no_room(error.to_string().into()),
            Some(error) => tracing::error!(%error, "the CommitLog cannot go on"),
            None => self.shared.state.note_room(),
        }
    }

    /// Where the next record goes.
    fn position(&self) -> PhysicalOffset {
        self.written.offset + self.group.buffer.len() as i64
    }

    fn fits(&self, bytes: usize) -> bool {
        let end = self.position().0.cast_unsigned() + (bytes + BLANK_RECORD_BYTES) as u64;
        self.segment.as_ref().is_some_and(|segment| end <= segment.end())
    }

    /// Whether the rest of a file that has records is left blank, as before a message for which it is too short.
    fn ends_file_early(&self) -> bool {
        let position = self.position().0.cast_unsigned();
        let has_records = |segment: &Arc<Segment>| {
            segment.start() < position && position + (BLANK_RECORD_BYTES as u64) < segment.end()
        };
        self.segment.as_ref().is_some_and(has_records) && sim::fault_point!("store.append.file-ended-early", 0.01)
    }

    fn encode(&mut self, request: PutRequest) {
        let messages = request.messages.as_slice();
        let Some(first) = messages.first() else { return };
        // Store timestamps never run backwards in the log, whatever the wall clock does: lookups by time rely on it.
        let store_timestamp_ms = self.written.store_timestamp_ms.max(wall_clock_ms());
        let in_queue = has_queue_offset(first.sys_flag);
        let queue = self.shared.queues.find_or_create(&first.topic, first.queue_id);
        let queue_offset = if in_queue { queue.assign(messages.len() as i64) } else { 0.into() };
        let physical_offset = self.position();
        if let Some(at) = self.anchor.correction(store_timestamp_ms, self.shared.clock.now()) {
            self.set_anchor(physical_offset, store_timestamp_ms, at);
        }
        self.group.buffer.reserve(request.bytes);
        let mut lengths = Vec::new();
        let has_checksums = self.shared.has_checksums();
        for (message, number) in messages.iter().zip(0..) {
            let at = self.position();
            let own_queue_offset = if in_queue { queue_offset + number } else { queue_offset };
            let length = message
                .encode_into(&mut self.group.buffer, own_queue_offset, at, store_timestamp_ms)
                .expect("the message was checked before it was queued");
            if has_checksums {
                let start = self.group.buffer.len() - length;
                write_checksum(&mut self.group.buffer[start..]);
            }
            if messages.len() > 1 {
                lengths.push(length as u32);
            }
            if in_queue {
                self.group.pending.push(Pending {
                    request: DispatchRequest {
                        topic: Arc::clone(queue.topic()),
                        queue_id: message.queue_id,
                        queue_offset: own_queue_offset,
                        physical_offset: at,
                        size_bytes: length as i32,
                        tags_code: self.tags_code(message, store_timestamp_ms),
                        store_timestamp_ms,
                        sys_flag: message.sys_flag,
                    },
                    queue: Arc::clone(&queue),
                    is_copy: false,
                });
            }
        }
        self.written.store_timestamp_ms = store_timestamp_ms;
        let store_host = first.store_host;
        let place =
            Place { physical_offset, queue_offset, store_timestamp_ms, lengths, bytes: request.bytes, store_host };
        self.group.answers.push((PutAnswer { reply: request.reply, place }, request.wait));
    }

    /// The record at `offset` is stored at this moment, not when its timestamp has it.
    pub(crate) fn set_anchor(&mut self, offset: PhysicalOffset, timestamp_ms: i64, at: StoreTime) {
        let shared = &self.shared;
        self.anchor = shared.clock.set(offset, timestamp_ms, at, shared.log.min_offset());
    }

    fn tags_code(&self, message: &MessageToStore, store_timestamp_ms: i64) -> i64 {
        let properties = message.properties.as_bytes();
        record_tags_code(&message.topic, properties, store_timestamp_ms, &self.shared.deliver_timestamp)
    }

    /// Writes what is encoded, makes it readable, and answers. Returns whether it is written.
    async fn write_group(&mut self) -> bool {
        if self.group.buffer.is_empty() {
            return true;
        }
        let block = self.group.buffer.split().freeze();
        let mut pending = std::mem::take(&mut self.group.pending);
        let mut answers = std::mem::take(&mut self.group.answers);
        let start = self.written.offset;
        let segment = self.segment.as_ref().expect("records are encoded for a file");
        let result = segment.write(&block, start.0.cast_unsigned() - segment.start()).await;
        if let Err(error) = result {
            let is_erased = self.erase_unwritten(start, block.len(), &error).await;
            if is_erased {
                pending.iter().rev().for_each(|written| written.queue.take_back(written.request.queue_offset));
            } else {
                self.shared.fail(&error);
            }
            let status = match is_erased {
                true => PutMessageStatus::ServiceNotAvailable,
                false => PutMessageStatus::UnknownError,
            };
            let why: Arc<str> = error.to_string().into();
            for (PutAnswer { reply, .. }, _) in answers {
                let _ = reply.send(PutReply::Refused(status, Arc::clone(&why)));
            }
            return false;
        }
        self.publish(start, block.len(), block, pending.drain(..));
        self.answer(&mut answers);
        // Both keep their memory for the next group.
        (self.group.pending, self.group.answers) = (pending, answers);
        self.prepare();
        true
    }

    /// Answers the puts whose records were written, or says what they are to wait for.
    fn answer(&self, answers: &mut Vec<(PutAnswer, bool)>) {
        let replication = &self.shared.replication;
        let is_sync_flush = self.shared.config.flush_disk_type == FlushDiskType::SyncFlush;
        let slave_timeout = replication.slave_timeout();
        let has_enough = replication.has_enough();
        let end = |place: &Place| place.physical_offset + place.bytes as i64;
        if !is_sync_flush
            && has_enough
            && let Some(slave_timeout) = slave_timeout
        {
            let waiting = answers.extract_if(.., |(_, wait)| *wait).map(|(answer, _)| (end(&answer.place), answer));
            replication.replicated.answer_at(waiting, Instant::now() + slave_timeout);
        }
        for (answer, wait) in answers.drain(..) {
            let replicated = match slave_timeout.filter(|_| wait) {
                None => Replicated::NotAsked,
                Some(_) if !has_enough => Replicated::NotAvailable,
                Some(slave_timeout) => {
                    let reached = replication.replicated.wait_for(end(&answer.place));
                    Replicated::Wait { reached, slave_timeout }
                }
            };
            if is_sync_flush && wait {
                let PutAnswer { reply, place } = answer;
                let flushed = self.shared.log.flushed.wait_for(end(&place));
                let _ = reply.send(PutReply::Unflushed { place, flushed, replicated });
            } else {
                let is_available = !matches!(replicated, Replicated::NotAvailable);
                let status = if is_available { PutMessageStatus::PutOk } else { PutMessageStatus::SlaveNotAvailable };
                answer.done(status, None);
            }
        }
    }

    /// Tells everyone of `bytes` that were written at `start`, and keeps `block` of them in memory: all or nothing.
    pub(crate) fn publish(
        &mut self,
        start: PhysicalOffset,
        bytes: usize,
        block: Bytes,
        pending: impl Iterator<Item = Pending>,
    ) {
        self.written.offset += bytes as i64;
        self.shared.dispatcher.enqueue(pending);
        self.shared.log.publish(start, block, self.written);
        self.release_written();
        self.shared.flush_wanted.notify_one();
    }

    /// What is written may be seen, unless it has to be flushed first.
    fn release_written(&self) {
        let config = &self.shared.config;
        if config.flush_disk_type == FlushDiskType::AsyncFlush || config.quirks.has(Quirk::UnflushedVisible) {
            if sim::fault_point!("store.dispatch.lags", 0.1) {
                let (shared, written) = (Arc::clone(&self.shared), self.written.offset);
                task::spawn(async move {
                    sleep(DISPATCH_LAG).await;
                    shared.dispatcher.release_local(written);
                });
            } else {
                self.shared.dispatcher.release_local(self.written.offset);
            }
        }
    }

    /// Leaves the rest of the present file blank and goes on in the next.
    async fn roll_over(&mut self) -> Result<(), StoreError> {
        let start = match &self.segment {
            Some(segment) => {
                let end = segment.end();
                let blank_bytes = end - self.position().0.cast_unsigned();
                if blank_bytes > 0 {
                    self.reserve(self.position().0.cast_unsigned() + BLANK_RECORD_BYTES as u64).await?;
                    let blank = usize::try_from(blank_bytes).expect("a file is smaller than 2 GiB");
                    self.group.buffer.extend_from_slice(&blank_record(blank));
                    if !self.write_group().await {
                        let why = self.shared.state.refusal();
                        return Err(StoreError::Refused { why: why.unwrap_or_else(|| "a write failed".into()) });
                    }
                    self.written.offset = PhysicalOffset(end.cast_signed());
                    self.shared.log.publish(self.written.offset, Bytes::new(), self.written);
                    self.release_written();
                }
                end
            }
            None => self.shared.log.min_offset().0.cast_unsigned(),
        };
        self.open_segment(start).await
    }

    /// Goes on in the file that begins at `start`, the end of the log.
    pub(crate) async fn open_segment(&mut self, start: u64) -> Result<(), StoreError> {
        let made = match self.next_segment.take() {
            Some(mut next) if next.start == start => (&mut next.task).await.ok(),
            _ => None,
        };
        let (segment, reserved) = match made {
            Some(Ok(made)) => made,
            // It was made ahead of time; there may be room by now.
            Some(Err(error)) => {
                tracing::warn!(%error, "making the next CommitLog file again");
                create_segment(self.shared.log.series().clone(), start).await?
            }
            // Nobody has begun to, or the task was cancelled: only by this process's end.
            None => create_segment(self.shared.log.series().clone(), start).await?,
        };
        let segment = Arc::new(segment);
        segment.keep_open(true).await?;
        if let Some(last) = &self.segment {
            last.keep_open(false).await?;
        }
        self.shared.log.push_segment(Arc::clone(&segment));
        self.room = LogRoom::known_up_to(PhysicalOffset((start + reserved).cast_signed()));
        self.segment = Some(segment);
        Ok(())
    }

    /// Waits until room is reserved up to `until`, or to the end of the present file.
    pub(crate) async fn reserve(&mut self, until: u64) -> Result<(), StoreError> {
        let Some(segment) = &self.segment else { return Ok(()) };
        self.room.reserve(segment, until).await
    }

    /// Begins to do what will be needed soon: more room in the present file, or the next file (`AllocateMappedFileService`).
    pub(crate) fn prepare(&mut self) {
        let Some(segment) = &self.segment else { return };
        let (written, start) = (self.written.offset.0.cast_unsigned(), segment.end());
        self.room.reserve_ahead(segment, written);
        if !room::is_near(written, start) || sim::fault_point!("store.append.next-file-late", 0.9) {
            return;
        }
        if self.next_segment.as_ref().is_some_and(|next| next.start == start) {
            return;
        }
        let series = self.shared.log.series().clone();
        self.next_segment = Some(NextSegment { start, task: task::spawn(create_segment(series, start)) });
    }

    /// After a write that failed: if the drive was only full, as one can be on which no room can be reserved, what of it has
    /// reached the file is erased, so that it can never be taken for records. Returns whether the log ends as before.
    pub(crate) async fn erase_unwritten(&mut self, start: PhysicalOffset, bytes: usize, error: &StoreError) -> bool {
        let Some(segment) = self.segment.clone().filter(|_| error.is_no_room()) else { return false };
        self.note_room(Some(error));
        let position = start.0.cast_unsigned() - segment.start();
        match segment.erase_what_is_there(position, bytes).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "what was written in part cannot be erased");
                false
            }
        }
    }
}

/// Makes a file, with room for its beginning; how much.
async fn create_segment(series: Series, start: u64) -> Result<(Segment, u64), StoreError> {
    let segment = Segment::create(&series, start).await?;
    match room::reserve_first_step(&segment).await {
        Ok(reserved) => Ok((segment, reserved)),
        Err(error) => {
            // It would be there with nothing in it. If it stays, the next attempt overwrites it.
            let _ = segment.remove().await;
            Err(error)
        }
    }
}

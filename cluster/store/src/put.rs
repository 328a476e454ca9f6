//! What a put asks for and what it is answered.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use protocol::{
    FRAME_BYTES_MAX, PhysicalOffset, QueueOffset,
    message::{BLANK_RECORD_BYTES, MessageIllegal, MessageToStore},
    message_id::offset_message_id,
};
use sim::time::{Instant, timeout};
use tokio::sync::oneshot;

use crate::{config::StoreConfig, watermark::Reached};

/// How a put ended (`PutMessageStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMessageStatus {
    /// The message is stored as safely as the mode promises.
    PutOk,
    /// It is stored, but was not flushed in time.
    FlushDiskTimeout,
    /// It is stored, but no slave confirmed it in time.
    FlushSlaveTimeout,
    /// It is stored, but there is no slave to confirm it.
    SlaveNotAvailable,
    /// It was not stored: fewer replicas are there than `minInSyncReplicas` (5.x).
    InSyncReplicasNotEnough,
    /// The store takes no writes at the moment: it is shutting down, or the disk is full, or has failed.
    ServiceNotAvailable,
    /// The next CommitLog file could not be made.
    CreateMappedFileFailed,
    /// The message can be stored nowhere: it is too long, or its topic is no name.
    MessageIllegal,
    /// Its properties are longer than 32,767 bytes.
    PropertiesSizeExceeded,
    /// The drive failed while the message was being stored: it may be there or not.
    UnknownError,
}

/// Where and when a put has stored its message or messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Where the first record begins in the CommitLog.
    pub physical_offset: PhysicalOffset,
    /// The place of the first message in its queue; those of a batch follow one by one.
    pub queue_offset: QueueOffset,
    /// STORETIMESTAMP: wall clock milliseconds, never less than an earlier record's.
    pub store_timestamp_ms: i64,
    /// Where the last record ends.
    pub end_offset: PhysicalOffset,
    /// The offset message id; for a batch all of them, separated by commas.
    pub message_id: String,
    /// How many messages.
    pub message_count: usize,
}

/// The answer to a put (`PutMessageResult`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutMessageResult {
    /// How it ended.
    pub status: PutMessageStatus,
    /// Where it is stored, if it is.
    pub appended: Option<Appended>,
    /// Why it is not stored, for people.
    pub remark: Option<Arc<str>>,
}

impl PutMessageResult {
    pub(crate) fn refused(status: PutMessageStatus, remark: impl Into<Arc<str>>) -> PutMessageResult {
        PutMessageResult { status, appended: None, remark: Some(remark.into()) }
    }

    /// Whether the message is as safe as the mode promises.
    pub fn is_ok(&self) -> bool {
        self.status == PutMessageStatus::PutOk
    }
}

/// Waits for the flush, and for what else a put was told to wait for; how it ended. Flush and replication go on side by
/// side, each with its own time. As in Apache's, what the replicas say counts for more than a flush that takes too long; an
/// error of the drive counts most.
pub(crate) async fn outcome(
    flushed: oneshot::Receiver<Reached>,
    sync_flush_timeout: Duration,
    replicated: Replicated,
) -> (PutMessageStatus, Option<Arc<str>>) {
    let begun = Instant::now();
    let sync_flush_timeout = early_if(sim::fault_point!("store.put.flush-timeout", 0.05), sync_flush_timeout);
    let flush_status = match timeout(sync_flush_timeout, flushed).await {
        Ok(Ok(Ok(()))) => PutMessageStatus::PutOk,
        Ok(Ok(Err(why))) => return (PutMessageStatus::UnknownError, Some(why)),
        Ok(Err(_)) => {
            return (PutMessageStatus::UnknownError, Some("the store was closed before the flush".into()));
        }
        Err(_) => PutMessageStatus::FlushDiskTimeout,
    };
    match replicated {
        Replicated::NotAsked => (flush_status, None),
        Replicated::NotAvailable => (PutMessageStatus::SlaveNotAvailable, None),
        Replicated::Wait { reached, slave_timeout } => {
            let slave_timeout = early_if(sim::fault_point!("store.put.slave-timeout", 0.05), slave_timeout);
            match timeout(slave_timeout.saturating_sub(begun.elapsed()), reached).await {
                Ok(Ok(Ok(()))) => (flush_status, None),
                Ok(Ok(Err(why))) => (PutMessageStatus::FlushSlaveTimeout, Some(why)),
                Ok(Err(_)) => {
                    (PutMessageStatus::FlushSlaveTimeout, Some("the store was closed before a slave had it".into()))
                }
                Err(_) => (PutMessageStatus::FlushSlaveTimeout, None),
            }
        }
    }
}

/// The time-out, or one that is over almost at once.
fn early_if(is_early: bool, timeout: Duration) -> Duration {
    if is_early { timeout.min(Duration::from_micros(200)) } else { timeout }
}

/// A put on its way to the appender.
#[derive(Debug)]
pub(crate) struct PutRequest {
    pub messages: Messages,
    /// The bytes of all its records.
    pub bytes: usize,
    /// Whether the answer waits for the flush (under SYNC_FLUSH).
    pub wait: bool,
    pub reply: oneshot::Sender<PutReply>,
}

/// One message, or a batch for one queue.
#[derive(Debug)]
pub(crate) enum Messages {
    One(Box<MessageToStore>),
    Batch(Vec<MessageToStore>),
}

impl Messages {
    pub(crate) fn as_slice(&self) -> &[MessageToStore] {
        match self {
            Messages::One(message) => std::slice::from_ref(message),
            Messages::Batch(messages) => messages,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [MessageToStore] {
        match self {
            Messages::One(message) => std::slice::from_mut(message),
            Messages::Batch(messages) => messages,
        }
    }
}

/// What is answered to a put.
#[derive(Debug)]
pub(crate) enum PutReply {
    Refused(PutMessageStatus, Arc<str>),
    /// The records are written, and there is nothing more to wait for.
    Done {
        place: Place,
        status: PutMessageStatus,
        remark: Option<Arc<str>>,
    },
    /// The records are written, and are to be flushed.
    Unflushed {
        place: Place,
        /// Resolves when they are.
        flushed: oneshot::Receiver<Reached>,
        /// What the replicas say.
        replicated: Replicated,
    },
}

/// The answer to a put whose records are written, once it is known what the replicas say.
#[derive(Debug)]
pub(crate) struct PutAnswer {
    pub reply: oneshot::Sender<PutReply>,
    pub place: Place,
}

impl PutAnswer {
    /// There is nothing more to wait for.
    pub(crate) fn done(self, status: PutMessageStatus, remark: Option<Arc<str>>) {
        // An error means that nobody waits for the answer any more.
        let _ = self.reply.send(PutReply::Done { place: self.place, status, remark });
    }

    /// Enough replicas have the records.
    pub(crate) fn replicated_enough(self) {
        self.done(PutMessageStatus::PutOk, None);
    }

    /// They have not: not in time, or never, for this reason.
    pub(crate) fn not_replicated(self, why: Option<Arc<str>>) {
        self.done(PutMessageStatus::FlushSlaveTimeout, why);
    }
}

/// What a put waits for from the replicas.
#[derive(Debug)]
pub(crate) enum Replicated {
    /// Nothing.
    NotAsked,
    /// There are none to wait for.
    NotAvailable,
    /// That they have the records.
    Wait {
        /// Resolves when they have.
        reached: oneshot::Receiver<Reached>,
        /// How long to wait.
        slave_timeout: Duration,
    },
}

/// Where the records of one put are.
#[derive(Debug)]
pub(crate) struct Place {
    pub physical_offset: PhysicalOffset,
    pub queue_offset: QueueOffset,
    pub store_timestamp_ms: i64,
    /// The lengths of the records, if there is more than one.
    pub lengths: Vec<u32>,
    pub bytes: usize,
    pub store_host: SocketAddr,
}

impl Place {
    pub(crate) fn into_appended(self) -> Appended {
        let mut message_id = offset_message_id(self.store_host, self.physical_offset);
        if let Some((_, but_last)) = self.lengths.split_last() {
            let mut offset = self.physical_offset;
            for length in but_last {
                offset += i64::from(*length);
                message_id.push(',');
                message_id.push_str(&offset_message_id(self.store_host, offset));
            }
        }
        Appended {
            physical_offset: self.physical_offset,
            queue_offset: self.queue_offset,
            store_timestamp_ms: self.store_timestamp_ms,
            end_offset: self.physical_offset + self.bytes as i64,
            message_id,
            message_count: self.lengths.len().max(1),
        }
    }
}

/// What the topic and properties of a message may add to `maxMessageSize` (`MessageExtEncoder`: 64 KiB).
const HEAD_ALLOWANCE_BYTES: usize = 64 << 10;

/// Refuses what cannot be stored; the bytes that the records take.
pub(crate) fn check(config: &StoreConfig, messages: &[MessageToStore]) -> Result<usize, PutMessageResult> {
    let illegal = |why: String| PutMessageResult::refused(PutMessageStatus::MessageIllegal, why);
    let Some(first) = messages.first() else { return Err(illegal("the batch is empty".to_owned())) };
    let mut bytes = 0;
    for message in messages {
        match message.check() {
            Ok(()) => {}
            Err(error @ MessageIllegal::PropertiesTooLong { .. }) => {
                return Err(PutMessageResult::refused(PutMessageStatus::PropertiesSizeExceeded, error.to_string()));
            }
            Err(error) => return Err(illegal(error.to_string())),
        }
        if message.topic.len() > usize::from(u8::MAX) {
            return Err(illegal(format!("the topic has {} bytes, at most 255 are stored", message.topic.len())));
        }
        if !is_queue_name(&message.topic, message.queue_id) {
            return Err(illegal(format!("\"{}\" queue {} names no queue", message.topic, message.queue_id)));
        }
        if (&message.topic, message.queue_id) != (&first.topic, first.queue_id) {
            return Err(illegal("a batch is for one queue".to_owned()));
        }
        if message.body.len() > config.max_message_size_bytes {
            let (size, max) = (message.body.len(), config.max_message_size_bytes);
            return Err(illegal(format!("the body has {size} bytes, maxMessageSize is {max}")));
        }
        bytes += message.encoded_len();
    }
    let max = record_bytes_max(config);
    if bytes > max {
        return Err(illegal(format!("the records have {bytes} bytes, maxMessageSize allows {max}")));
    }
    let file_bytes = config.mapped_file_size_commit_log_bytes;
    if (bytes + BLANK_RECORD_BYTES) as u64 > file_bytes {
        return Err(illegal(format!(
            "the records have {bytes} bytes, a CommitLog file of {file_bytes} cannot hold them"
        )));
    }
    Ok(bytes)
}

/// The longest record that these settings allow, and the longest blank before one.
pub(crate) fn record_bytes_max(config: &StoreConfig) -> usize {
    config.max_message_size_bytes + HEAD_ALLOWANCE_BYTES
}

/// The longest that any broker's settings allow: its master's may not be a slave's, and change. A message comes in one frame.
pub(crate) fn record_bytes_max_anywhere(config: &StoreConfig) -> usize {
    record_bytes_max(config).max(FRAME_BYTES_MAX + HEAD_ALLOWANCE_BYTES)
}

/// Whether there can be such a queue. Topic and id are names of directories too: they must not lead out of the store.
pub(crate) fn is_queue_name(topic: &str, queue_id: i32) -> bool {
    queue_id >= 0 && !topic.is_empty() && topic != "." && topic != ".." && !topic.contains(['/', '\\', '\0'])
}

//! What a put asks for and what it is answered.

use std::{net::SocketAddr, sync::Arc};

use protocol::{
    PhysicalOffset, QueueOffset,
    message::{BLANK_RECORD_BYTES, MessageIllegal, MessageToStore},
    message_id::offset_message_id,
};
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
}

/// What the appender answers.
#[derive(Debug)]
pub(crate) enum PutReply {
    Refused(PutMessageStatus, Arc<str>),
    Appended {
        place: Place,
        /// Resolves when the records are flushed, if that was asked for.
        flushed: Option<oneshot::Receiver<Reached>>,
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
        if !is_directory_name(&message.topic) || message.queue_id < 0 {
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
    let max = config.max_message_size_bytes + HEAD_ALLOWANCE_BYTES;
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

/// A topic is also the name of a directory: it must not lead out of the store.
fn is_directory_name(topic: &str) -> bool {
    !topic.is_empty() && topic != "." && topic != ".." && !topic.contains(['/', '\\', '\0'])
}

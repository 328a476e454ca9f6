//! A message as a consumer gets it: decoded from the records that a pull answers with (`MessageExt`,
//! `MessageDecoder.decodes`).

use std::net::SocketAddr;

use bytes::{Buf, Bytes};

use super::record::{RecordError, RecordView, parse_record};
use crate::inflate::inflate;
use crate::message_id::offset_message_id;
use crate::newtypes::{PhysicalOffset, QueueOffset};
use crate::properties::{Properties, property};
use crate::sysflag;

/// A stored message, its body expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageExt {
    /// The topic.
    pub topic: String,
    /// The user's flag.
    pub flag: i32,
    /// The properties.
    pub properties: Properties,
    /// The body, expanded if it was compressed; otherwise it shares the memory of the response.
    pub body: Bytes,
    /// UNIQ_KEY if the producer gave one, else the offset message id.
    pub msg_id: String,
    /// The queue.
    pub queue_id: i32,
    /// The place in the queue.
    pub queue_offset: QueueOffset,
    /// The place in the broker's CommitLog.
    pub commit_log_offset: PhysicalOffset,
    /// How many bytes the record takes.
    pub store_size: usize,
    /// BODYCRC of the body as stored.
    pub body_crc: u32,
    /// [`sysflag::message`] bits.
    pub sys_flag: i32,
    /// The producer's wall clock, in ms.
    pub born_timestamp_ms: i64,
    /// The producer.
    pub born_host: SocketAddr,
    /// The broker's wall clock, in ms.
    pub store_timestamp_ms: i64,
    /// The broker.
    pub store_host: SocketAddr,
    /// How often it was consumed in vain.
    pub reconsume_times: i32,
    /// The half message of a committed one.
    pub prepared_transaction_offset: PhysicalOffset,
}

impl MessageExt {
    /// The message of a record within `source`.
    ///
    /// # Errors
    /// The body is damaged, or compressed in a way that cannot be expanded.
    ///
    /// # Panics
    /// The record is not from `source`.
    pub fn from_record(record: &RecordView<'_>, source: &Bytes) -> Result<Self, RecordError> {
        record.check_crc()?;
        let body = if sysflag::message::is_compressed(record.sys_flag) {
            inflate_body(record.body, record.sys_flag)?
        } else if record.body.is_empty() {
            Bytes::new()
        } else {
            source.slice_ref(record.body)
        };
        let properties = Properties::decode(record.properties);
        let msg_id = match properties.get(property::UNIQ_KEY) {
            Some(key) => key.to_owned(),
            None => offset_message_id(record.store_host, record.physical_offset),
        };
        Ok(Self {
            topic: record.topic.to_owned(),
            flag: record.flag,
            properties,
            body,
            msg_id,
            queue_id: record.queue_id,
            queue_offset: record.queue_offset,
            commit_log_offset: record.physical_offset,
            store_size: record.total_bytes,
            body_crc: record.body_crc,
            sys_flag: record.sys_flag,
            born_timestamp_ms: record.born_timestamp_ms,
            born_host: record.born_host,
            store_timestamp_ms: record.store_timestamp_ms,
            store_host: record.store_host,
            reconsume_times: record.reconsume_times,
            prepared_transaction_offset: record.prepared_transaction_offset,
        })
    }

    /// The id that names the place where it is stored.
    #[must_use]
    pub fn offset_msg_id(&self) -> String {
        offset_message_id(self.store_host, self.commit_log_offset)
    }

    /// The `TAGS` property.
    #[must_use]
    pub fn tags(&self) -> Option<&str> {
        self.properties.get(property::TAGS)
    }

    /// The `KEYS` property.
    #[must_use]
    pub fn keys(&self) -> Option<&str> {
        self.properties.get(property::KEYS)
    }
}

/// The messages of records that follow one another. Each body's CRC is checked: a damaged message is an error, after which
/// nothing follows, because where the next one begins is as doubtful.
#[must_use]
pub fn decode_messages(records: Bytes) -> MessageIter {
    MessageIter { rest: records }
}

/// See [`decode_messages`].
#[derive(Clone, Debug)]
pub struct MessageIter {
    rest: Bytes,
}

impl Iterator for MessageIter {
    type Item = Result<MessageExt, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let decoded = parse_record(&self.rest).and_then(|record| {
            let message = MessageExt::from_record(&record, &self.rest)?;
            Ok((record.total_bytes, message))
        });
        match decoded {
            Ok((bytes, message)) => {
                self.rest.advance(bytes);
                Some(Ok(message))
            }
            Err(error) => {
                self.rest.clear();
                Some(Err(error))
            }
        }
    }
}

/// Expands a compressed body, at most to the size of a frame.
///
/// # Errors
/// It is compressed with LZ4 or ZSTD, is damaged, or expands beyond the limit.
pub fn inflate_body(body: &[u8], sys_flag: i32) -> Result<Bytes, RecordError> {
    match sys_flag & sysflag::message::COMPRESSION_MASK {
        0 | sysflag::message::COMPRESSION_ZLIB => {}
        _ => return Err(RecordError::BadCompression { reason: "only zlib is understood, not LZ4 or ZSTD" }),
    }
    inflate(body).map(Bytes::from).map_err(|reason| RecordError::BadCompression { reason })
}

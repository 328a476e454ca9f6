//! The body of SEND_BATCH_MESSAGE (`MessageDecoder.encodeMessages`): short forms of messages, one after another.
//!
//! ```text
//! 4 total   4 magic (0)   4 body CRC (0)   4 flag   4 length, body   2 length, properties
//! ```
//! Magic and CRC are left 0 by the senders and not looked at. The broker makes an ordinary record of each.

use bytes::{Buf, BufMut, Bytes};

use super::to_store::MessageIllegal;
use crate::properties::PROPERTIES_BYTES_MAX;

/// All but body and properties.
const FIXED_BYTES: usize = 22;

/// One message of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchMessage {
    /// The user's flag.
    pub flag: i32,
    /// The body; it shares the memory of the batch.
    pub body: Bytes,
    /// The properties in their text form.
    pub properties: Bytes,
}

/// Why a batch cannot be read; a broker answers MESSAGE_ILLEGAL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The lengths contradict one another.
    #[error("message {index} of the batch is malformed: {field} does not fit")]
    BadLength {
        /// Which message, from 0.
        index: usize,
        /// The field that does not fit.
        field: &'static str,
    },
}

/// How many bytes a message takes in a batch.
#[must_use]
pub const fn batch_message_len(body_bytes: usize, properties_bytes: usize) -> usize {
    FIXED_BYTES + body_bytes + properties_bytes
}

/// Appends one message to a batch.
///
/// # Errors
/// Body or properties are longer than can be said; nothing is appended then.
pub fn encode_batch_message(
    out: &mut impl BufMut,
    flag: i32,
    body: &[u8],
    properties: &str,
) -> Result<(), MessageIllegal> {
    if properties.len() > PROPERTIES_BYTES_MAX {
        return Err(MessageIllegal::PropertiesTooLong { bytes: properties.len() });
    }
    let total = i32::try_from(batch_message_len(body.len(), properties.len()))
        .map_err(|_| MessageIllegal::BodyTooLong { bytes: body.len() })?;
    out.put_i32(total);
    out.put_i32(0);
    out.put_i32(0);
    out.put_i32(flag);
    // Both are parts of a total that fits.
    out.put_u32(body.len() as u32);
    out.put_slice(body);
    out.put_u16(properties.len() as u16);
    out.put_slice(properties.as_bytes());
    Ok(())
}

/// The messages of a batch, one by one; nothing follows an error.
///
/// ```
/// use protocol::message::{BatchMessage, decode_batch, encode_batch_message};
/// let mut batch = Vec::new();
/// encode_batch_message(&mut batch, 0, b"body", "TAGS\x01tagX\x02")?;
/// let messages: Vec<BatchMessage> = decode_batch(batch.into()).collect::<Result<_, _>>()?;
/// assert_eq!(messages[0].body, "body");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn decode_batch(batch: Bytes) -> BatchIter {
    BatchIter { rest: batch, index: 0 }
}

/// See [`decode_batch`].
#[derive(Clone, Debug)]
pub struct BatchIter {
    rest: Bytes,
    index: usize,
}

impl BatchIter {
    fn take_message(&mut self) -> Result<BatchMessage, BatchError> {
        let wrong = |field| BatchError::BadLength { index: self.index, field };
        let total = self.rest.first_chunk().map(|word| i32::from_be_bytes(*word)).ok_or(wrong("the total"))?;
        let total_bytes = usize::try_from(total)
            .ok()
            .filter(|bytes| (FIXED_BYTES..=self.rest.len()).contains(bytes))
            .ok_or(wrong("the total"))?;
        let mut message = self.rest.split_to(total_bytes);
        message.advance(12);
        let flag = message.get_i32();
        let body_bytes = usize::try_from(message.get_i32())
            .ok()
            .filter(|bytes| bytes + 2 <= message.len())
            .ok_or(wrong("the body"))?;
        let body = message.split_to(body_bytes);
        let properties_bytes = message.get_i16();
        if usize::try_from(properties_bytes) != Ok(message.len()) {
            return Err(wrong("the properties"));
        }
        Ok(BatchMessage { flag, body, properties: message })
    }
}

impl Iterator for BatchIter {
    type Item = Result<BatchMessage, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = self.take_message();
        self.index += 1;
        if message.is_err() {
            self.rest.clear();
        }
        Some(message)
    }
}

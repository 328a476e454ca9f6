//! The messages of the workload: who they are, what is in them.
//!
//! A body carries its identity in clear text, then bytes drawn by key from that identity, so that any two messages differ
//! and a damaged or swapped body is noticed: `p1-000042 ` and so many bytes.

use sim::world::Key;
use std::{fmt, str::FromStr};

/// The identity of a message: its producer, and its number among that producer's messages, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    pub producer: u16,
    pub sequence: u32,
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "p{}-{:06}", self.producer, self.sequence)
    }
}

/// A text that is not a message identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a message identity such as p1-000042")]
pub struct NotAMessageId(pub String);

impl FromStr for MessageId {
    type Err = NotAMessageId;

    fn from_str(text: &str) -> Result<MessageId, NotAMessageId> {
        let parse = || {
            let (producer, sequence) = text.strip_prefix('p')?.split_once('-')?;
            Some(MessageId { producer: producer.parse().ok()?, sequence: sequence.parse().ok()? })
        };
        parse().ok_or_else(|| NotAMessageId(text.to_owned()))
    }
}

impl serde::Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<MessageId, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The body of a message, of one of the given sizes; a function of the workload's key and the identity.
pub fn body(key: Key, id: MessageId, sizes: &[u32]) -> Vec<u8> {
    let mut stream = key.index(u64::from(id.producer) << 32 | u64::from(id.sequence)).stream();
    let size = sizes[stream.below(sizes.len() as u64) as usize] as usize;
    let mut body = format!("{id} ").into_bytes();
    let header = body.len();
    body.resize(size.max(header), 0);
    stream.fill(&mut body[header..]);
    body
}

/// The identity that a body carries, if it carries one.
pub fn identify(body: &[u8]) -> Option<MessageId> {
    let end = body.iter().take(24).position(|byte| *byte == b' ')?;
    std::str::from_utf8(&body[..end]).ok()?.parse().ok()
}

/// The checksum by which histories compare bodies: CRC-32.
pub fn checksum(body: &[u8]) -> u32 {
    crc32fast::hash(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_tells_who_it_is() {
        let key = Key::root(1);
        for sequence in [1, 42, 4_000_000] {
            let id = MessageId { producer: 7, sequence };
            let bytes = body(key, id, &[32, 100]);
            assert!(bytes.len() == 32 || bytes.len() == 100);
            assert_eq!(identify(&bytes), Some(id));
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(bytes, body(key, id, &[32, 100]));
        }
        assert_eq!(identify(b""), None);
        assert_eq!(identify(b"hello world"), None);
    }
}

//! The messages of the workload: who they are, what is in them.
//!
//! A body carries its identity in clear text, then bytes drawn from the run's seed and that identity, so that any two messages differ
//! and a damaged or swapped body is noticed: `p1-000042 ` and so many bytes.

use std::{fmt, str::FromStr};

/// The identity of a message: its producer, and its number among that producer's messages, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    pub producer: u16,
    pub sequence: u32,
}

/// Room for the longest text of an identity: `p65535-4294967295`.
const TEXT_BYTES_MAX: usize = 17;

impl MessageId {
    /// Its text, without the machinery of formatting: histories are full of them.
    fn with_text<R>(self, read: impl FnOnce(&str) -> R) -> R {
        let mut text = [0; TEXT_BYTES_MAX];
        let mut at = TEXT_BYTES_MAX;
        let mut put = |byte: u8| {
            at -= 1;
            text[at] = byte;
        };
        let (mut rest, mut digits) = (self.sequence, 0);
        while rest > 0 || digits < 6 {
            put(b'0' + (rest % 10) as u8);
            (rest, digits) = (rest / 10, digits + 1);
        }
        put(b'-');
        let mut rest = self.producer;
        loop {
            put(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        put(b'p');
        read(std::str::from_utf8(&text[at..]).expect("digits, a letter and a hyphen"))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| formatter.write_str(text))
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
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> serde::Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<MessageId, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The body of a message, of one of the given sizes; a function of the workload's seed and the identity.
pub fn body(seed: u64, id: MessageId, sizes: &[u32]) -> Vec<u8> {
    let mut state = u64::from(id.producer) << 32 | u64::from(id.sequence);
    state = seed ^ split_mix(&mut state);
    let size = sizes[((u128::from(split_mix(&mut state)) * sizes.len() as u128) >> 64) as usize] as usize;
    let mut body = Vec::with_capacity(size.max(TEXT_BYTES_MAX + 1));
    id.with_text(|text| body.extend_from_slice(text.as_bytes()));
    body.push(b' ');
    let from = body.len();
    body.resize(size.max(from), 0);
    // A Weyl sequence: different bytes are all that bodies need, and this is the cheapest way to have them.
    let (mut word, step) = (split_mix(&mut state), split_mix(&mut state) | 1);
    let (words, rest) = body[from..].as_chunks_mut::<8>();
    for eight in words {
        word = word.wrapping_add(step);
        *eight = word.to_le_bytes();
    }
    rest.copy_from_slice(&word.wrapping_add(step).to_le_bytes()[..rest.len()]);
    body
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
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
        let seed = 1;
        for (producer, sequence) in [(0, 0), (7, 42), (10, 4_000_000), (u16::MAX, u32::MAX)] {
            let id = MessageId { producer, sequence };
            let bytes = body(seed, id, &[32, 100]);
            assert!(bytes.len() == 32 || bytes.len() == 100);
            assert_eq!(identify(&bytes), Some(id));
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string(), format!("p{}-{:06}", id.producer, id.sequence));
            assert_eq!(bytes, body(seed, id, &[32, 100]));
        }
        assert_eq!(identify(b""), None);
        assert_eq!(identify(b"hello world"), None);
    }
}

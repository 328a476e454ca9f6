//! What a slave and a master of ours say before the log flows, or instead.
//!
//! The slave opens with [`EXTENDED_MAGIC`], which no slave of Apache's sends, and its [`Hello`]. The master answers, maybe
//! several times; each [`Answer`] but the last asks for a reply. All of it is an `i32` length and JSON of that length:
//! people can read it in a packet capture, and later versions can add fields.
//!
//! ```text
//! slave                              master
//!   magic, hello          ──►
//!                         ◄──        wait         (again at each heartbeat interval)
//!   {"waiting":true}      ──►
//!                         ◄──        check        of the last bytes that both should have
//!   {"crc":…}             ──►
//!                         ◄──        sendTail     the master takes back what it has lost
//!   frames                ──►
//!                         ◄──        stream | truncate | refuse
//! ```

use std::time::Duration;

use group::Membership;
use protocol::{BrokerId, PhysicalOffset};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use store::{EpochEntry, LogHistory};

use crate::{Identity, error::HaError, incoming::Incoming};

/// The first 8 bytes of a slave of ours. As an offset it is negative, and it begins with a byte that no UTF-8 text has.
pub(crate) const EXTENDED_MAGIC: i64 = i64::from_be_bytes([0xF5, b'S', b'F', b'H', b'A', b'/', b'1', b'\n']);

/// The longest handshake message. A hello with the most epochs that a store keeps (4096) has about 200 KiB.
const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// Who the slave is, and what its log holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hello {
    /// [`PROTOCOL_EXTENDED`](crate::PROTOCOL_EXTENDED).
    pub protocol: u32,
    pub cluster_name: String,
    pub broker_name: String,
    pub broker_id: BrokerId,
    pub broker_addr: String,
    /// `mappedFileSizeCommitLog`: files can be copied byte for byte only if they are of one size.
    pub commit_log_file_size: u64,
    pub min_offset: PhysicalOffset,
    pub max_offset: PhysicalOffset,
    pub epochs: Vec<EpochEntry>,
    /// The group as the slave knows it; older slaves do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub membership: Option<Membership>,
    /// As which broker its store was last a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_id: Option<BrokerId>,
}

impl Hello {
    pub(crate) fn new(
        identity: &Identity,
        commit_log_file_size: u64,
        history: &LogHistory,
        membership: Option<Membership>,
    ) -> Hello {
        Hello {
            protocol: crate::PROTOCOL_EXTENDED,
            cluster_name: identity.cluster_name.clone(),
            broker_name: identity.broker_name.clone(),
            broker_id: identity.broker_id,
            broker_addr: identity.broker_addr.clone(),
            commit_log_file_size,
            min_offset: history.min,
            max_offset: history.max,
            epochs: history.epochs.clone(),
            membership,
            last_id: None,
        }
    }

    /// The log's history.
    ///
    /// # Errors
    /// Offsets and epochs that no log can have.
    pub(crate) fn history(&self) -> Result<LogHistory, HaError> {
        let history = LogHistory { epochs: self.epochs.clone(), min: self.min_offset, max: self.max_offset };
        if history.is_sound() {
            return Ok(history);
        }
        let (min, max) = (self.min_offset, self.max_offset);
        Err(HaError::Nonsense(format!("a log of {min}..{max} cannot have the epochs that its hello names")))
    }
}

/// What the master says to a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase")]
pub(crate) enum Answer {
    /// Another answer will follow: the master has not begun its epoch yet. Reply: [`Reply::Waiting`].
    Wait { why: String },
    /// The master does not want this slave, and closes.
    Refuse { why: String },
    /// The CRC of these bytes of the log, please. Reply: [`Reply::Crc`].
    Check { from: PhysicalOffset, to: PhysicalOffset },
    /// The log from here to its end, please. Reply: frames.
    SendTail { from: PhysicalOffset },
    /// The logs part here: the slave must cut its own, and connect anew.
    Truncate { to: PhysicalOffset },
    /// Frames follow, from here.
    Stream {
        from: PhysicalOffset,
        /// Where the master's log ends now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<PhysicalOffset>,
        /// The group, for the slave to keep.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        membership: Option<Membership>,
    },
}

/// What the slave replies to an [`Answer`] that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Reply {
    Waiting(bool),
    Crc(u32),
}

/// A message as it goes over the wire.
pub(crate) fn encode_message(message: &impl Serialize) -> Result<Vec<u8>, HaError> {
    let json = serde_json::to_vec(message).map_err(|error| HaError::Nonsense(error.to_string()))?;
    let length = i32::try_from(json.len()).ok().filter(|_| json.len() <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| HaError::Nonsense(format!("a message of {} bytes", json.len())))?;
    let mut bytes = Vec::with_capacity(json.len() + 4);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// Reads a message.
///
/// # Errors
/// [`HaError::Nonsense`], or as [`Incoming::exactly`].
pub(crate) async fn read_message<T: DeserializeOwned>(
    incoming: &mut Incoming,
    silence: Duration,
) -> Result<T, HaError> {
    let length = incoming.exactly(4, silence).await?;
    let length = length.first_chunk().map_or(-1, |bytes| i32::from_be_bytes(*bytes));
    let bytes = usize::try_from(length).ok().filter(|bytes| *bytes <= MESSAGE_BYTES_MAX).ok_or_else(|| {
        HaError::Nonsense(format!("a message of {length} bytes; at most {MESSAGE_BYTES_MAX} are taken"))
    })?;
    let json = incoming.exactly(bytes, silence).await?;
    serde_json::from_slice(&json).map_err(|error| HaError::Nonsense(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_is_readable_json() {
        let text = |answer: &Answer| serde_json::to_string(answer).expect("it can be written");
        let stream = |membership| Answer::Stream { from: PhysicalOffset(7), end: None, membership };
        assert_eq!(text(&stream(None)), r#"{"answer":"stream","from":7}"#);
        let mut membership = Membership::default();
        membership.join(BrokerId(1), "a:1");
        let with = stream(Some(membership));
        assert_eq!(serde_json::from_str::<Answer>(&text(&with)).expect("it is read back"), with);
        assert_eq!(text(&Answer::Wait { why: "w".into() }), r#"{"answer":"wait","why":"w"}"#);
        let check = Answer::Check { from: PhysicalOffset(1), to: PhysicalOffset(2) };
        assert_eq!(text(&check), r#"{"answer":"check","from":1,"to":2}"#);
        assert_eq!(serde_json::from_str::<Answer>(&text(&check)).expect("it is read back"), check);
        assert_eq!(serde_json::to_string(&Reply::Crc(9)).expect("it can be written"), r#"{"crc":9}"#);
    }

    #[test]
    fn the_magic_is_no_offset() {
        const { assert!(EXTENDED_MAGIC < 0) }
        assert!(std::str::from_utf8(&EXTENDED_MAGIC.to_be_bytes()).is_err());
    }

    #[test]
    fn the_longest_hello_fits() {
        let epochs = vec![EpochEntry { id: i64::MAX as u64, start: PhysicalOffset(1 << 50) }; 4096];
        let identity = Identity {
            cluster_name: "c".repeat(255),
            broker_name: "b".repeat(255),
            broker_id: BrokerId(i64::MAX),
            broker_addr: "a".repeat(255),
        };
        let history = LogHistory { epochs: Vec::new(), min: PhysicalOffset(0), max: PhysicalOffset(1 << 50) };
        let hello = Hello { epochs, ..Hello::new(&identity, 1 << 30, &history, None) };
        encode_message(&hello).expect("it is not too long");
    }
}

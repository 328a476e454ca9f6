//! A message on its way into the CommitLog, and the record it becomes (`MessageExtBrokerInner`, `MessageExtEncoder`).

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes};

use super::record::{MAGIC_V1, MAGIC_V2, RECORD_BYTES_MIN, body_crc, host_bytes};
use crate::newtypes::{PhysicalOffset, QueueOffset};
use crate::properties::PROPERTIES_BYTES_MAX;
use crate::sysflag;

/// The longest topic that a record of version 1 holds in bytes; a longer one makes it version 2.
const TOPIC_V1_BYTES_MAX: usize = i8::MAX as usize;
/// The longest topic that any record holds in bytes.
const TOPIC_V2_BYTES_MAX: usize = i16::MAX as usize;
/// IPv4 addresses are counted in `RECORD_BYTES_MIN`, twice.
const HOSTS_V4_BYTES: usize = 16;

/// Why no record can be made of a message; a broker answers MESSAGE_ILLEGAL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageIllegal {
    /// The topic is longer than a record can say.
    #[error("the topic has {bytes} bytes, a record holds at most {TOPIC_V2_BYTES_MAX}")]
    TopicTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The properties are longer than a record can say.
    #[error(
        "the properties have {bytes} bytes, a record holds at most {PROPERTIES_BYTES_MAX}: send fewer or shorter ones"
    )]
    PropertiesTooLong {
        /// Their length.
        bytes: usize,
    },
    /// The whole is longer than a record can say.
    #[error("the body has {bytes} bytes: no record can hold it")]
    BodyTooLong {
        /// Its length.
        bytes: usize,
    },
}

/// A message that a broker is about to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageToStore {
    /// The topic it is stored under.
    pub topic: String,
    /// The queue.
    pub queue_id: i32,
    /// The user's flag.
    pub flag: i32,
    /// [`sysflag::message`] bits. The two bits for IPv6 addresses are set by the encoding as the addresses need it.
    pub sys_flag: i32,
    /// The producer's wall clock when it sent, in ms.
    pub born_timestamp_ms: i64,
    /// The producer.
    pub born_host: SocketAddr,
    /// This broker.
    pub store_host: SocketAddr,
    /// How often it was consumed in vain.
    pub reconsume_times: i32,
    /// The half message of a committed one, else 0.
    pub prepared_transaction_offset: PhysicalOffset,
    /// The body, stored as it is: already compressed if the flag says so.
    pub body: Bytes,
    /// The properties in their text form.
    pub properties: String,
}

impl MessageToStore {
    /// How many bytes the record takes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let hosts = host_bytes(canonical(self.born_host)) + host_bytes(canonical(self.store_host));
        let topic_length_bytes = if self.topic.len() > TOPIC_V1_BYTES_MAX { 2 } else { 1 };
        RECORD_BYTES_MIN - HOSTS_V4_BYTES - 1
            + hosts
            + topic_length_bytes
            + self.body.len()
            + self.topic.len()
            + self.properties.len()
    }

    /// Whether a record can be made of it.
    ///
    /// # Errors
    /// Something is longer than a record can say.
    pub fn check(&self) -> Result<(), MessageIllegal> {
        if self.topic.len() > TOPIC_V2_BYTES_MAX {
            return Err(MessageIllegal::TopicTooLong { bytes: self.topic.len() });
        }
        if self.properties.len() > PROPERTIES_BYTES_MAX {
            return Err(MessageIllegal::PropertiesTooLong { bytes: self.properties.len() });
        }
        if i32::try_from(self.encoded_len()).is_err() {
            return Err(MessageIllegal::BodyTooLong { bytes: self.body.len() });
        }
        Ok(())
    }

    /// Appends the record to `out` and gives its length in bytes.
    ///
    /// What is only known under the append lock can also be written later:
    /// [`patch_queue_offset`](super::patch_queue_offset), [`patch_physical_offset`](super::patch_physical_offset),
    /// [`patch_store_timestamp`](super::patch_store_timestamp).
    ///
    /// # Errors
    /// As [`check`](Self::check); nothing is appended then.
    pub fn encode_into(
        &self,
        out: &mut impl BufMut,
        queue_offset: QueueOffset,
        physical_offset: PhysicalOffset,
        store_timestamp_ms: i64,
    ) -> Result<usize, MessageIllegal> {
        self.check()?;
        let total_bytes = self.encoded_len();
        let born_host = canonical(self.born_host);
        let store_host = canonical(self.store_host);
        let long_topic = self.topic.len() > TOPIC_V1_BYTES_MAX;
        let mut sys_flag = self.sys_flag & !(sysflag::message::BORN_HOST_V6 | sysflag::message::STORE_HOST_V6);
        if born_host.is_ipv6() {
            sys_flag |= sysflag::message::BORN_HOST_V6;
        }
        if store_host.is_ipv6() {
            sys_flag |= sysflag::message::STORE_HOST_V6;
        }
        // check() has seen that every length fits its field.
        out.put_u32(total_bytes as u32);
        out.put_u32(if long_topic { MAGIC_V2 } else { MAGIC_V1 });
        out.put_u32(body_crc(&self.body));
        out.put_i32(self.queue_id);
        out.put_i32(self.flag);
        out.put_i64(queue_offset.0);
        out.put_i64(physical_offset.0);
        out.put_i32(sys_flag);
        out.put_i64(self.born_timestamp_ms);
        put_host(out, born_host);
        out.put_i64(store_timestamp_ms);
        put_host(out, store_host);
        out.put_i32(self.reconsume_times);
        out.put_i64(self.prepared_transaction_offset.0);
        out.put_u32(self.body.len() as u32);
        out.put_slice(&self.body);
        if long_topic {
            out.put_u16(self.topic.len() as u16);
        } else {
            out.put_u8(self.topic.len() as u8);
        }
        out.put_slice(self.topic.as_bytes());
        out.put_u16(self.properties.len() as u16);
        out.put_slice(self.properties.as_bytes());
        Ok(total_bytes)
    }
}

/// An IPv4 address that came in IPv6 clothes, from a socket that listens to both, is stored as IPv4.
fn canonical(host: SocketAddr) -> SocketAddr {
    SocketAddr::new(host.ip().to_canonical(), host.port())
}

fn put_host(out: &mut impl BufMut, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => out.put_slice(&ip.octets()),
        IpAddr::V6(ip) => out.put_slice(&ip.octets()),
    }
    out.put_u32(u32::from(host.port()));
}

//! The beginning of a record, and its topic, without its body: what it takes to tell whose record it is.

use super::record::{MAGIC_V1, MAGIC_V2, RECORD_BYTES_MIN};
use crate::{
    newtypes::{PhysicalOffset, QueueOffset},
    sysflag::message::{BORN_HOST_V6, STORE_HOST_V6},
};

/// The bytes of a record before its body, at most.
pub const RECORD_OWNER_BYTES_MAX: usize = 112;

/// What a record says of itself before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordOwner {
    /// TOTALSIZE.
    pub total_bytes: usize,
    /// QUEUEID.
    pub queue_id: i32,
    /// QUEUEOFFSET.
    pub queue_offset: QueueOffset,
    /// PHYSICALOFFSET.
    pub physical_offset: PhysicalOffset,
    /// SYSFLAG.
    pub sys_flag: i32,
    /// STORETIMESTAMP.
    pub store_timestamp_ms: i64,
    /// Where TOPICLENGTH is in the record.
    pub topic_length_position: usize,
    /// How many bytes TOPICLENGTH has.
    pub topic_length_bytes: usize,
}

impl RecordOwner {
    /// Reads the beginning of a record; `None` if no record begins like that. Nothing is known of its checksum.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<RecordOwner> {
        let int = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(i32::from_be_bytes);
        let long = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(i64::from_be_bytes);
        let host_bytes = |is_v6: bool| if is_v6 { 20 } else { 8 };
        let topic_length_bytes = match int(4)?.cast_unsigned() {
            MAGIC_V1 => 1,
            MAGIC_V2 => 2,
            _ => return None,
        };
        let total_bytes = usize::try_from(int(0)?).ok().filter(|bytes| *bytes >= RECORD_BYTES_MIN)?;
        let sys_flag = int(36)?;
        let store_timestamp_position = 48 + host_bytes(sys_flag & BORN_HOST_V6 != 0);
        let body_length_position = store_timestamp_position + 8 + host_bytes(sys_flag & STORE_HOST_V6 != 0) + 4 + 8;
        let body_bytes = usize::try_from(int(body_length_position)?).ok()?;
        let topic_length_position = (body_length_position + 4).checked_add(body_bytes)?;
        (topic_length_position + topic_length_bytes + 2 <= total_bytes).then_some(RecordOwner {
            total_bytes,
            queue_id: int(12)?,
            queue_offset: QueueOffset(long(20)?),
            physical_offset: PhysicalOffset(long(28)?),
            sys_flag,
            store_timestamp_ms: long(store_timestamp_position)?,
            topic_length_position,
            topic_length_bytes,
        })
    }

    /// The topic in the bytes from [`RecordOwner::topic_length_position`] on.
    #[must_use]
    pub fn topic(self, bytes: &[u8]) -> Option<&str> {
        let (length, rest) = bytes.split_at_checked(self.topic_length_bytes)?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        std::str::from_utf8(rest.get(..length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::BytesMut;

    use super::*;
    use crate::message::{MessageToStore, parse_record};

    #[test]
    fn it_says_what_the_record_says() {
        let hosts =
            [SocketAddr::from(([127, 0, 0, 1], 10_911)), SocketAddr::from(([0_u16, 0, 0, 0, 0, 0, 0, 1], 10_911))];
        for (born_host, store_host) in [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(born, store)| (hosts[born], hosts[store]))
        {
            for topic in ["T".to_owned(), "t".repeat(127), "t".repeat(200)] {
                let message = MessageToStore {
                    topic: topic.clone(),
                    queue_id: 7,
                    flag: 1,
                    sys_flag: 0,
                    born_timestamp_ms: 5,
                    born_host,
                    store_host,
                    reconsume_times: 2,
                    prepared_transaction_offset: PhysicalOffset(9),
                    body: vec![3; 1000].into(),
                    properties: "K\u{1}V".to_owned(),
                };
                let mut bytes = BytesMut::new();
                message
                    .encode_into(&mut bytes, QueueOffset(11), PhysicalOffset(1 << 40), 17)
                    .expect("it can be stored");
                let record = parse_record(&bytes).expect("a record");
                let owner = RecordOwner::parse(&bytes[..RECORD_OWNER_BYTES_MAX]).expect("a record");
                assert_eq!(owner.total_bytes, record.total_bytes);
                assert_eq!((owner.queue_id, owner.queue_offset), (7, QueueOffset(11)));
                assert_eq!((owner.physical_offset, owner.store_timestamp_ms), (PhysicalOffset(1 << 40), 17));
                assert_eq!(owner.sys_flag, record.sys_flag);
                assert_eq!(owner.topic(&bytes[owner.topic_length_position..]), Some(&*topic));
                assert_eq!(RecordOwner::parse(&bytes[1..]), None);
            }
        }
    }
}

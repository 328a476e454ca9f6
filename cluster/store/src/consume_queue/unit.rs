//! The 20-byte unit of a ConsumeQueue: `int64 commitLogOffset | int32 size | int64 tagsCode`, big-endian.

use protocol::PhysicalOffset;

/// The bytes of a unit (`ConsumeQueue.CQ_STORE_UNIT_SIZE`).
pub(crate) const UNIT_BYTES: usize = 20;

/// Where one message of a queue is in the CommitLog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumeQueueUnit {
    /// Where its record begins.
    pub physical_offset: PhysicalOffset,
    /// How long its record is.
    pub size_bytes: i32,
    /// The hash of its tags, or, under SCHEDULE_TOPIC_XXXX, when it is to be delivered (milliseconds).
    pub tags_code: i64,
}

impl ConsumeQueueUnit {
    /// What fills the part of a file before a queue's first message (`fillPreBlank`).
    pub(crate) const BLANK: ConsumeQueueUnit =
        ConsumeQueueUnit { physical_offset: PhysicalOffset::ZERO, size_bytes: i32::MAX, tags_code: 0 };

    /// What is where nothing was written.
    pub(crate) const ZERO: ConsumeQueueUnit =
        ConsumeQueueUnit { physical_offset: PhysicalOffset::ZERO, size_bytes: 0, tags_code: 0 };

    pub(crate) fn encode(&self) -> [u8; UNIT_BYTES] {
        let mut bytes = [0; UNIT_BYTES];
        bytes[..8].copy_from_slice(&self.physical_offset.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size_bytes.to_be_bytes());
        bytes[12..].copy_from_slice(&self.tags_code.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; UNIT_BYTES]) -> ConsumeQueueUnit {
        let [o0, o1, o2, o3, o4, o5, o6, o7, s0, s1, s2, s3, t0, t1, t2, t3, t4, t5, t6, t7] = *bytes;
        ConsumeQueueUnit {
            physical_offset: PhysicalOffset(i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7])),
            size_bytes: i32::from_be_bytes([s0, s1, s2, s3]),
            tags_code: i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
        }
    }

    /// The end of the record that it points at. A unit may be damaged, and say anything.
    pub(crate) fn record_end(&self) -> PhysicalOffset {
        PhysicalOffset(self.physical_offset.0.saturating_add(i64::from(self.size_bytes)))
    }

    /// How far before `end` that record begins.
    pub(crate) fn bytes_before(&self, end: PhysicalOffset) -> i64 {
        end.0.saturating_sub(self.physical_offset.0)
    }

    /// How long the record is that it points at; 0 for a number that is no length.
    pub(crate) fn length(&self) -> usize {
        usize::try_from(self.size_bytes).unwrap_or(0)
    }

    pub(crate) fn is_blank(&self) -> bool {
        *self == ConsumeQueueUnit::BLANK
    }
}

/// The units in these bytes; a rest of less than a unit is left out.
pub(crate) fn units(bytes: &[u8]) -> impl Iterator<Item = ConsumeQueueUnit> {
    bytes.as_chunks::<UNIT_BYTES>().0.iter().map(ConsumeQueueUnit::decode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_what_apache_wrote() {
        // Unit 1 of TopicA/0, written by a 4.9.8 broker.
        let bytes = [0, 0, 0, 0, 0, 0, 3, 0x88, 0, 0, 0, 0xd7, 0, 0, 0, 0, 0, 0x36, 0x33, 0xfe];
        let unit = ConsumeQueueUnit { physical_offset: PhysicalOffset(0x388), size_bytes: 0xd7, tags_code: 0x36_33fe };
        assert_eq!(ConsumeQueueUnit::decode(&bytes), unit);
        assert_eq!(unit.encode(), bytes);
    }
}

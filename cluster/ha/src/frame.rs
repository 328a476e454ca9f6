//! The frames in which the log travels, and the reports that come back.
//!
//! ```text
//! Apache's (HAConnection)   i64 offset | i32 bodySize |                            body
//! extended                  i64 offset | i32 bodySize | u64 epoch | i64 epochStart | body
//! report                    i64 offset
//! ```
//! Big-endian. A body is bytes of the log as they are, at `offset`; it never spans two files or two epochs, and need not begin
//! or end at a record. `bodySize` 0 is a heartbeat. A report says up to where the sender vouches for its log.
//!
//! Everything here is pure: bytes to frames and back.

use bytes::{Buf, Bytes, BytesMut};
use protocol::PhysicalOffset;
use store::EpochEntry;

/// The longest body that is taken: what fits into the read buffer of Apache's slave (`HAClient.READ_MAX_BUFFER_SIZE`) beside
/// the header.
pub(crate) const FRAME_BODY_BYTES_MAX: usize = (4 << 20) - Wire::Extended.header_bytes();

/// The bytes of a report.
pub(crate) const REPORT_BYTES: usize = 8;

/// Which frames a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Apache's.
    V1,
    /// Ours, with the epoch.
    Extended,
}

impl Wire {
    /// The bytes before the body.
    pub(crate) const fn header_bytes(self) -> usize {
        match self {
            Wire::V1 => 12,
            Wire::Extended => 28,
        }
    }
}

/// What comes before a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Where the body belongs; of a heartbeat: where the next one will.
    pub offset: PhysicalOffset,
    /// How long the body is.
    pub body_bytes: usize,
    /// The epoch that the body is of; not in Apache's frames.
    pub epoch: Option<EpochEntry>,
}

impl FrameHeader {
    /// The bytes on the wire. With an epoch they are an extended frame's.
    pub(crate) fn encode(&self) -> Bytes {
        let body_bytes = i32::try_from(self.body_bytes).expect("a body is no longer than a batch");
        let mut bytes = Vec::with_capacity(Wire::Extended.header_bytes());
        bytes.extend_from_slice(&self.offset.0.to_be_bytes());
        bytes.extend_from_slice(&body_bytes.to_be_bytes());
        if let Some(epoch) = &self.epoch {
            bytes.extend_from_slice(&epoch.id.to_be_bytes());
            bytes.extend_from_slice(&epoch.start.0.to_be_bytes());
        }
        bytes.into()
    }
}

/// A frame that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub header: FrameHeader,
    pub body: Bytes,
}

/// Bytes that are no frame or no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a body of {0} bytes; at most {FRAME_BODY_BYTES_MAX} are taken")]
    BodySize(i32),
    #[error("a body at offset {0}")]
    Offset(i64),
    #[error("an epoch that begins at {start}, after its frame's offset {offset}")]
    Epoch { start: i64, offset: i64 },
    #[error("a report of offset {0}")]
    Report(i64),
}

/// Takes the next frame off `buffer`, if it has arrived as a whole. Otherwise: how many bytes must be there first.
pub(crate) fn decode_frame(buffer: &mut BytesMut, wire: Wire) -> Result<Result<Frame, usize>, FrameError> {
    let header_bytes = wire.header_bytes();
    let Some(mut head) = buffer.get(..header_bytes) else { return Ok(Err(header_bytes)) };
    let offset = head.get_i64();
    let body_size = head.get_i32();
    let body_bytes = usize::try_from(body_size)
        .ok()
        .filter(|bytes| *bytes <= FRAME_BODY_BYTES_MAX)
        .ok_or(FrameError::BodySize(body_size))?;
    if offset < 0 || offset.checked_add(body_bytes as i64).is_none() {
        return Err(FrameError::Offset(offset));
    }
    let epoch = match wire {
        Wire::V1 => None,
        Wire::Extended => {
            let (id, start) = (head.get_u64(), head.get_i64());
            if start < 0 || start > offset {
                return Err(FrameError::Epoch { start, offset });
            }
            Some(EpochEntry { id, start: PhysicalOffset(start) })
        }
    };
    if buffer.len() < header_bytes + body_bytes {
        return Ok(Err(header_bytes + body_bytes));
    }
    buffer.advance(header_bytes);
    let body = buffer.split_to(body_bytes).freeze();
    Ok(Ok(Frame { header: FrameHeader { offset: PhysicalOffset(offset), body_bytes, epoch }, body }))
}

/// Takes all reports off `buffer` that have arrived, oldest first.
pub(crate) fn decode_report(buffer: &mut BytesMut) -> Result<Option<PhysicalOffset>, FrameError> {
    if buffer.len() < REPORT_BYTES {
        return Ok(None);
    }
    match buffer.get_i64() {
        offset if offset < 0 => Err(FrameError::Report(offset)),
        offset => Ok(Some(PhysicalOffset(offset))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(wire: Wire, offset: i64, id: u64, start: i64, body: &[u8]) -> Frame {
        let epoch = (wire == Wire::Extended).then_some(EpochEntry { id, start: PhysicalOffset(start) });
        Frame {
            header: FrameHeader { offset: PhysicalOffset(offset), body_bytes: body.len(), epoch },
            body: Bytes::copy_from_slice(body),
        }
    }

    #[test]
    fn apaches_header_has_twelve_bytes() {
        let header = FrameHeader { offset: PhysicalOffset(0x0102), body_bytes: 0x0304, epoch: None };
        assert_eq!(&header.encode()[..], [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4]);
        let epoch = Some(EpochEntry { id: 5, start: PhysicalOffset(6) });
        let header = FrameHeader { offset: PhysicalOffset(7), body_bytes: 0, epoch };
        let expected = [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6];
        assert_eq!(&header.encode()[..], expected);
    }

    #[test]
    fn nonsense_is_told_before_its_body_is_waited_for() {
        for (offset, body_size) in [(0, -1), (0, i32::MAX), (-1, 4), (i64::MAX, 4)] {
            let mut buffer = BytesMut::new();
            buffer.extend_from_slice(&i64::to_be_bytes(offset));
            buffer.extend_from_slice(&i32::to_be_bytes(body_size));
            decode_frame(&mut buffer, Wire::V1).expect_err("no frame");
        }
        let mut buffer = BytesMut::from(&(-1_i64).to_be_bytes()[..]);
        decode_report(&mut buffer).expect_err("no report");
    }

    proptest! {
        #[test]
        fn frames_are_read_back_however_they_are_cut(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..8),
            cut in 1_usize..50,
            extended: bool,
            start in 0_i64..100,
        ) {
            let wire = if extended { Wire::Extended } else { Wire::V1 };
            let frames: Vec<_> =
                bodies.iter().zip(100..).map(|(body, offset)| frame(wire, offset, 9, start, body)).collect();
            let mut bytes = Vec::new();
            for frame in &frames {
                bytes.extend_from_slice(&frame.header.encode());
                bytes.extend_from_slice(&frame.body);
            }
            let mut buffer = BytesMut::new();
            let mut read = Vec::new();
            for piece in bytes.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Ok(frame) = decode_frame(&mut buffer, wire).expect("frames") {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn nothing_panics_on_nonsense(bytes in proptest::collection::vec(any::<u8>(), 0..200), extended: bool) {
            let wire = if extended { Wire::Extended } else { Wire::V1 };
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Ok(_)) = decode_frame(&mut buffer, wire) {}
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode_report(&mut buffer) {}
        }
    }
}

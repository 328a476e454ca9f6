//! Segments: what travels between two TCP endpoints.
//!
//! Sequence numbers are 64 bits wide, count from 1 in both directions (0 is the SYN) and never wrap. A segment carries the
//! identity of the endpoint that sent it and of the one it is meant for; a host that does not know the latter (any
//! more) answers with a reset, which is what a rebooted kernel does with a 4-tuple it never heard of.

use super::{
    super::core::HostId,
    config::{FRAME_OVERHEAD_BYTES, MSS_BYTES},
    reassembly::SackBlocks,
};
use bytes::{Bytes, BytesMut};
use std::{borrow::Cow, net::SocketAddrV4};

/// One end of one connection. The serial number tells a slot's tenants apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointId {
    pub(super) slot: u32,
    pub(super) serial: u32,
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId {
    pub(super) slot: u32,
    pub(super) serial: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Syn,
    SynAck,
    Ack,
    /// Payload, or a FIN, or both.
    Data,
    /// Carries nothing; asks a receiver whose window is shut for an acknowledgement.
    Probe,
    Reset,
}

impl Kind {
    /// The name of its arrival in the trace.
    pub fn step(self, fin: bool) -> &'static str {
        match self {
            Kind::Syn => "net.syn",
            Kind::SynAck => "net.syn-ack",
            Kind::Ack => "net.ack",
            Kind::Data if fin => "net.fin",
            Kind::Data => "net.data",
            Kind::Probe => "net.probe",
            Kind::Reset => "net.rst",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub kind: Kind,
    /// No data will follow this segment's payload. Only with [`Kind::Data`].
    pub fin: bool,
    pub from: HostId,
    /// `None` when no host has the address.
    pub to: Option<HostId>,
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
    pub sender: EndpointId,
    /// `None` in a SYN.
    pub receiver: Option<EndpointId>,
    /// The ordinal of the connection between its two hosts.
    pub connection: u64,
    pub sequence: u64,
    pub acknowledged: u64,
    pub window_bytes: u64,
    /// What has arrived beyond a gap.
    pub sack: Option<Box<SackBlocks>>,
    pub payload: Payload,
}

impl Segment {
    /// What it costs on the wire, in frames of Ethernet.
    pub fn wire_bytes(&self) -> u64 {
        let frames = self.payload.len().div_ceil(MSS_BYTES).max(1) as u64;
        self.payload.len() as u64 + frames * FRAME_OVERHEAD_BYTES
    }
}

/// The bytes of a segment: parts of what was written, shared with the sender's buffer. One part as a rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Payload {
    first: Bytes,
    rest: Vec<Bytes>,
    len: usize,
}

impl Payload {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, part: Bytes) {
        self.len += part.len();
        if self.first.is_empty() {
            self.first = part;
        } else {
            self.rest.push(part);
        }
    }

    /// Flips one bit; `number` chooses which. False when there is none.
    pub fn flip_bit(&mut self, number: u64) -> bool {
        let Some(bit) = number.checked_rem(self.len as u64 * 8) else {
            return false;
        };
        let mut at = (bit / 8) as usize;
        for part in std::iter::once(&mut self.first).chain(&mut self.rest) {
            if at < part.len() {
                // The sender's buffer, which shares these bytes, keeps the right ones.
                let mut damaged = BytesMut::from(&part[..]);
                damaged[at] ^= 1 << (bit % 8);
                *part = damaged.freeze();
                return true;
            }
            at -= part.len();
        }
        false
    }

    /// All bytes in one piece.
    pub fn contiguous(&self) -> Cow<'_, [u8]> {
        if self.rest.is_empty() {
            return Cow::Borrowed(&self.first);
        }
        Cow::Owned(std::iter::once(&self.first).chain(&self.rest).flatten().copied().collect())
    }

    pub fn into_parts(self) -> impl Iterator<Item = Bytes> {
        std::iter::once(self.first).chain(self.rest)
    }
}

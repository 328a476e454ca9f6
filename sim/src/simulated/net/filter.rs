//! Filters: middleboxes that read what passes and act on it, so that a fault can be aimed at one kind of message.
//!
//! A filter sees the payload of every packet that has come as far as its receiver. It knows TCP's segments and not the
//! messages in them: a message begins where a segment does unless the sender had to wait for window or for
//! acknowledgements. What it drops TCP sends again, so that to drop a message for good means to stall its connection.

use super::segment::Payload;
use std::{borrow::Cow, net::SocketAddrV4, sync::Arc};

/// A packet with payload, as a middlebox sees it.
pub struct Passing<'a> {
    /// Who sent it.
    pub source: SocketAddrV4,
    /// Who shall get it.
    pub destination: SocketAddrV4,
    pub(super) payload: &'a Payload,
}

impl Passing<'_> {
    /// What it carries: at least one byte.
    pub fn payload(&self) -> Cow<'_, [u8]> {
        self.payload.contiguous()
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// It vanishes.
    Drop,
    /// It passes later; others may overtake it.
    Delay {
        /// So much later, nanoseconds.
        ns: u64,
    },
    /// Both ends of its connection are reset.
    Reset,
}

/// Judges packets. The same packets must get the same verdicts, or a run cannot be repeated.
pub type LinkFilter = Arc<dyn Fn(&Passing<'_>) -> Verdict + Send + Sync>;

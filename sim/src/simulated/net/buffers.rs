//! The buffers of one endpoint: what it has written and its peer has not acknowledged, what has arrived and was not read.
//!
//! Both are bounded, which makes the back-pressure: a full receive buffer shuts the window, a shut window fills the sender's
//! buffer, and a full send buffer blocks the writer. Bytes are copied when written and when read, never in between.

use super::{
    config::MSS_BYTES,
    reassembly::{Reassembly, SackBlocks},
    segment::Payload,
};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use tokio::io::ReadBuf;

/// The sending half. Sequence numbers: `acknowledged <= next <= end (+ 1 with the FIN)`.
pub(super) struct SendBuffer {
    chunks: VecDeque<Bytes>,
    capacity: usize,
    /// The first byte that the peer has not acknowledged; the front of `chunks`.
    acknowledged: u64,
    /// The next byte to send for the first time; `cursor` is its chunk and the offset in it.
    next: u64,
    cursor: (usize, usize),
    /// One past the last byte written; the sequence number of the FIN.
    end: u64,
    fin: bool,
    /// The peer takes nothing from here on.
    edge: u64,
}

impl SendBuffer {
    pub fn new(capacity: usize) -> SendBuffer {
        SendBuffer {
            chunks: VecDeque::new(),
            capacity,
            acknowledged: 1,
            next: 1,
            cursor: (0, 0),
            end: 1,
            fin: false,
            edge: 1,
        }
    }

    /// How much was written and is not yet acknowledged.
    pub fn buffered(&self) -> usize {
        (self.end - self.acknowledged.min(self.end)) as usize
    }

    pub fn free(&self) -> usize {
        self.capacity - self.buffered()
    }

    /// Whether a blocked writer is worth waking: a third is free, as in Linux's `sk_stream_is_writeable`.
    pub fn is_writable(&self) -> bool {
        self.free() * 3 >= self.capacity
    }

    /// Adds at most [`SendBuffer::free`] bytes.
    pub fn push(&mut self, bytes: Bytes) {
        debug_assert!(!self.fin && bytes.len() <= self.free());
        self.end += bytes.len() as u64;
        self.chunks.push_back(bytes);
    }

    /// Nothing will be written after what was written so far.
    pub fn finish(&mut self) {
        self.fin = true;
    }

    pub fn is_finished(&self) -> bool {
        self.fin
    }

    pub fn fin_acknowledged(&self) -> bool {
        self.fin && self.acknowledged > self.end
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether something was sent that is not acknowledged.
    pub fn in_flight(&self) -> bool {
        self.next > self.acknowledged
    }

    /// Whether something was written that was never sent. With nothing in flight, the window is shut then.
    pub fn has_unsent(&self) -> bool {
        self.next < self.end
    }

    /// The peer takes everything below `edge`. True when it moved.
    pub fn open_window(&mut self, edge: u64) -> bool {
        let moved = edge > self.edge;
        self.edge = self.edge.max(edge);
        moved
    }

    /// The next segment of at most `bytes_max` that may be sent now, with `room_bytes` left in the congestion window: its sequence
    /// number, payload and FIN. A small segment waits while others are in flight, unless it is the last one and `nodelay`
    /// (RFC 896, and RFC 1122 section 4.2.3.4).
    pub fn take_segment(&mut self, nodelay: bool, bytes_max: usize, room_bytes: u64) -> Option<(u64, Payload, bool)> {
        let unsent = self.end.saturating_sub(self.next) as usize;
        let usable = self.edge.saturating_sub(self.next).min(room_bytes) as usize;
        let len = unsent.min(usable).min(bytes_max);
        let fin = self.fin && self.next + len as u64 == self.end;
        if len == 0 && !fin {
            return None;
        }
        if len < MSS_BYTES && !fin && self.next > self.acknowledged && !(nodelay && len == unsent) {
            return None;
        }
        let sequence = self.next;
        let mut payload = Payload::default();
        while payload.len() < len {
            let (index, offset) = self.cursor;
            let chunk = &self.chunks[index];
            let take = (chunk.len() - offset).min(len - payload.len());
            payload.push(chunk.slice(offset..offset + take));
            self.cursor = if offset + take == chunk.len() { (index + 1, 0) } else { (index, offset + take) };
        }
        self.next += len as u64 + u64::from(fin);
        Some((sequence, payload, fin))
    }

    /// What was sent from `start` on, up to `end` and at most `bytes_max`, to be sent again: payload and FIN.
    pub fn sent_again(&self, start: u64, end: u64, bytes_max: usize) -> (Payload, bool) {
        debug_assert!(self.acknowledged <= start && start < end && end <= self.next);
        let len = ((end.min(self.end) - start) as usize).min(bytes_max);
        let fin = end > self.end && start + len as u64 == self.end;
        let (mut skip, mut payload) = ((start - self.acknowledged) as usize, Payload::default());
        for chunk in &self.chunks {
            let take = chunk.len().saturating_sub(skip).min(len - payload.len());
            if take > 0 {
                payload.push(chunk.slice(skip..skip + take));
            }
            skip = skip.saturating_sub(chunk.len());
        }
        (payload, fin)
    }

    /// Forgets what lies below `sequence`. True when that is news.
    pub fn acknowledge(&mut self, sequence: u64) -> bool {
        if sequence <= self.acknowledged || sequence > self.next {
            return false;
        }
        let mut bytes = (sequence.min(self.end) - self.acknowledged) as usize;
        self.acknowledged = sequence;
        while bytes > 0 {
            let front = self.chunks.front_mut().expect("acknowledged bytes are still in the buffer");
            if front.len() <= bytes {
                bytes -= front.len();
                self.chunks.pop_front();
                self.cursor = (self.cursor.0.saturating_sub(1), self.cursor.1);
            } else {
                front.advance(bytes);
                if self.cursor.0 == 0 {
                    self.cursor.1 = self.cursor.1.saturating_sub(bytes);
                }
                bytes = 0;
            }
        }
        true
    }

    /// Gives the memory back; nothing can be sent any more.
    pub fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.end = self.acknowledged.min(self.end);
        self.next = self.acknowledged;
        self.cursor = (0, 0);
    }
}

/// What arrived in a data segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// New bytes, or the FIN, or both.
    News,
    /// Known already, beyond a gap (where it is kept), or beyond the window.
    Nothing,
}

/// The receiving half.
pub(super) struct ReceiveBuffer {
    chunks: VecDeque<Bytes>,
    capacity: usize,
    buffered: usize,
    /// The next sequence number that is expected.
    next: u64,
    /// What was promised to the peer: it may send up to here. Never moves back (RFC 9293, section 3.8.6).
    edge: u64,
    fin: bool,
    /// What has arrived beyond a gap.
    early: Reassembly,
}

impl ReceiveBuffer {
    pub fn new(capacity: usize) -> ReceiveBuffer {
        ReceiveBuffer {
            chunks: VecDeque::new(),
            capacity,
            buffered: 0,
            next: 1,
            edge: 1 + capacity as u64,
            fin: false,
            early: Reassembly::default(),
        }
    }

    pub fn buffered(&self) -> usize {
        self.buffered
    }

    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether the peer has said that nothing follows, and everything before that has arrived.
    pub fn is_finished(&self) -> bool {
        self.fin
    }

    fn remaining(&self) -> u64 {
        self.edge.saturating_sub(self.next)
    }

    /// The window to advertise: what is free, unless that is a sliver (RFC 9293, section 3.8.6.2.2).
    pub fn window(&mut self) -> u64 {
        let free = self.capacity - self.buffered;
        if free >= self.capacity.div_ceil(16) {
            self.edge = self.edge.max(self.next + free as u64);
        }
        self.remaining()
    }

    /// Whether a read has freed enough to tell the peer at once: Linux's `tcp_cleanup_rbuf`.
    pub fn wants_update(&self) -> bool {
        let (free, remaining) = (self.capacity - self.buffered, self.remaining());
        free >= self.capacity.div_ceil(16) && remaining * 2 <= self.capacity as u64 && free as u64 >= remaining * 2
    }

    /// Whether a segment carries bytes that have not arrived yet.
    pub fn is_news(&self, sequence: u64, payload: &Payload) -> bool {
        sequence + payload.len() as u64 > self.next
    }

    /// Whether something waits beyond a gap.
    pub fn has_gap(&self) -> bool {
        !self.early.is_empty()
    }

    /// The selective acknowledgement, if something waits beyond a gap.
    pub fn sack(&self) -> Option<Box<SackBlocks>> {
        self.early.blocks()
    }

    /// Takes what is next in order and fits, and keeps what lies beyond a gap and within the window.
    pub fn accept(&mut self, sequence: u64, payload: Payload, fin: bool) -> Arrival {
        if self.fin {
            return Arrival::Nothing;
        }
        if sequence > self.next {
            if sequence + payload.len() as u64 <= self.edge {
                self.early.insert(sequence, payload, fin);
            }
            return Arrival::Nothing;
        }
        let arrival = self.append(sequence, payload, fin);
        while let Some((sequence, payload, fin)) = self.early.take_ready(self.next) {
            self.append(sequence, payload, fin);
        }
        arrival
    }

    fn append(&mut self, sequence: u64, payload: Payload, fin: bool) -> Arrival {
        let mut known = (self.next - sequence) as usize;
        let news = payload.len().saturating_sub(known);
        if known > payload.len() || (news == 0 && !fin) {
            return Arrival::Nothing;
        }
        let fits = news.min(self.capacity - self.buffered);
        let mut room = fits;
        for mut part in payload.into_parts() {
            let skipped = known.min(part.len());
            known -= skipped;
            part.advance(skipped);
            part.truncate(room);
            room -= part.len();
            if !part.is_empty() {
                self.chunks.push_back(part);
            }
        }
        self.buffered += fits;
        self.fin = fin && fits == news;
        self.next += fits as u64 + u64::from(self.fin);
        if fits == 0 && !self.fin { Arrival::Nothing } else { Arrival::News }
    }

    /// Moves bytes into `buffer` until it is full or nothing is left.
    pub fn read(&mut self, buffer: &mut ReadBuf<'_>) {
        while buffer.remaining() > 0
            && let Some(front) = self.chunks.front_mut()
        {
            let take = front.len().min(buffer.remaining());
            buffer.put_slice(&front[..take]);
            self.buffered -= take;
            if take == front.len() {
                self.chunks.pop_front();
            } else {
                front.advance(take);
            }
        }
    }

    /// Gives the memory back.
    pub fn clear(&mut self) {
        self.chunks = VecDeque::new();
        self.buffered = 0;
        self.early.clear();
    }
}

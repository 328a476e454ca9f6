//! What has arrived beyond a gap: Linux's out-of-order queue, and the selective acknowledgements made from it (RFC 2018).
//!
//! Bounded by the window: its owner takes nothing from beyond what it has promised the sender. Left out: reneging (Linux may
//! drop this queue when it is short of memory, `tcp_prune_ofo_queue`), and the report of duplicates (RFC 2883), by which
//! Linux takes needless reductions of its congestion window back.

use super::segment::Payload;
use std::collections::VecDeque;

/// How many blocks fit beside time stamps: RFC 2018, section 3.
pub(super) const BLOCKS_MAX: usize = 3;

/// Ranges of sequence numbers that have arrived, the one that grew last first; empty ranges stand for none.
pub(super) type SackBlocks = [(u64, u64); BLOCKS_MAX];

struct Early {
    sequence: u64,
    payload: Payload,
    fin: bool,
}

impl Early {
    fn end(&self) -> u64 {
        self.sequence + self.payload.len() as u64 + u64::from(self.fin)
    }
}

/// Segments that wait for earlier ones.
#[derive(Default)]
pub(super) struct Reassembly {
    /// By sequence number; they may overlap.
    segments: VecDeque<Early>,
    /// Where the segment begins that came last.
    latest: u64,
}

impl Reassembly {
    pub fn insert(&mut self, sequence: u64, payload: Payload, fin: bool) {
        let early = Early { sequence, payload, fin };
        let at = self.segments.partition_point(|known| known.sequence < sequence);
        self.latest = sequence;
        match self.segments.get(at) {
            Some(known) if known.sequence == sequence && known.end() >= early.end() => {}
            Some(known) if known.sequence == sequence => self.segments[at] = early,
            _ => self.segments.insert(at, early),
        }
    }

    /// The first segment, if it begins at or before `next`.
    pub fn take_ready(&mut self, next: u64) -> Option<(u64, Payload, bool)> {
        if self.segments.front()?.sequence > next {
            return None;
        }
        self.segments.pop_front().map(|early| (early.sequence, early.payload, early.fin))
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// What to tell the sender; `None` when nothing waits.
    pub fn blocks(&self) -> Option<Box<SackBlocks>> {
        let first = self.segments.front()?;
        let mut ranges: Vec<(u64, u64)> = vec![(first.sequence, first.end())];
        for early in self.segments.iter().skip(1) {
            match ranges.last_mut() {
                Some(range) if early.sequence <= range.1 => range.1 = range.1.max(early.end()),
                _ => ranges.push((early.sequence, early.end())),
            }
        }
        // The one that grew last, then from the highest down: the most recent ones as a rule.
        let mut blocks = SackBlocks::default();
        let newest = ranges.iter().position(|range| (range.0..range.1).contains(&self.latest));
        let newest = newest.map(|at| ranges.remove(at));
        for (block, range) in blocks.iter_mut().zip(newest.into_iter().chain(ranges.into_iter().rev())) {
            *block = range;
        }
        Some(Box::new(blocks))
    }

    /// Gives the memory back.
    pub fn clear(&mut self) {
        self.segments = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn payload(len: usize) -> Payload {
        let mut payload = Payload::default();
        payload.push(Bytes::from(vec![0; len]));
        payload
    }

    #[test]
    fn blocks_are_merged_and_the_newest_comes_first() {
        let mut early = Reassembly::default();
        assert!(early.blocks().is_none());
        for start in [100, 300, 500, 700, 310, 110] {
            early.insert(start, payload(10), false);
        }
        assert_eq!(early.blocks().as_deref(), Some(&[(100, 120), (700, 710), (500, 510)]));
        early.insert(710, payload(0), true);
        assert_eq!(early.blocks().map(|blocks| blocks[0]), Some((700, 711)));
    }

    #[test]
    fn segments_come_out_in_order_when_the_gap_is_filled() {
        let mut early = Reassembly::default();
        for (start, len) in [(20, 5), (10, 10), (10, 5), (22, 3)] {
            early.insert(start, payload(len), false);
        }
        assert!(early.take_ready(9).is_none());
        let taken: Vec<_> =
            std::iter::from_fn(|| early.take_ready(25)).map(|(start, it, _)| (start, it.len())).collect();
        assert_eq!(taken, [(10, 10), (20, 5), (22, 3)]);
    }
}

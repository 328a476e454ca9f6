//! What a sender knows about its own segments beyond the first that is missing, and what it sends again because of that.
//!
//! Selective acknowledgements (RFC 2018, RFC 6675) with Linux's recent acknowledgement (RACK, RFC 8985, `tcp_recovery.c`): a
//! segment is lost when one that was sent after it has arrived, and either three have, or a reordering window of a quarter of
//! the shortest round trip has passed. A segment that was sent again is lost again when a later one has arrived. Once a
//! connection has seen reordering, three are no proof any more, and the window is a whole round trip. A time-out declares
//! lost whatever has not been acknowledged.
//!
//! Where the last segments of a burst are lost nothing later can prove it; then a probe does (`Tail`), or the time-out. How
//! much of what is lost is sent again at once is for `congestion` to say.

/// Later segments that prove a loss: `tcp_reordering`.
const HINTS: u32 = 3;

#[derive(Clone, Copy, Debug)]
struct Repair {
    start: u64,
    end: u64,
    /// One past the highest sequence number sent by then.
    sent: u64,
}

/// See the module's text. Costs nothing while everything arrives in order.
#[derive(Debug, Default)]
pub(super) struct Scoreboard {
    /// What the peer has beyond the gap: sorted, disjoint.
    sacked: Vec<(u64, u64)>,
    /// Acknowledgements that told of later segments since the gap last moved.
    hints: u32,
    /// A gap was once filled by a segment that was merely late.
    saw_reordering: bool,
    /// Repairs are under way until this has been acknowledged.
    recover: Option<u64>,
    /// A time-out has declared everything below this lost.
    lost_below: u64,
    /// What was sent again and is not known to have arrived, in the order of sending.
    repairs: Vec<Repair>,
}

impl Scoreboard {
    /// Nothing is missing as far as is known.
    pub fn is_idle(&self) -> bool {
        self.sacked.is_empty() && self.recover.is_none()
    }

    /// Something is missing, and whether it is lost or late shall be seen when the reordering window has passed.
    pub fn waits(&self) -> bool {
        !self.sacked.is_empty() && self.recover.is_none()
    }

    pub fn saw_reordering(&self) -> bool {
        self.saw_reordering
    }

    /// Everything below `acknowledged` has arrived, which is news.
    pub fn on_progress(&mut self, acknowledged: u64) {
        if self.waits() {
            // Nothing was sent again, so it was late.
            self.saw_reordering = true;
        }
        self.hints = 0;
        self.sacked.retain(|range| range.1 > acknowledged);
        self.repairs.retain(|repair| repair.end > acknowledged);
        if self.recover.is_some_and(|recover| recover <= acknowledged) {
            (self.recover, self.lost_below) = (None, 0);
            self.repairs.clear();
        }
    }

    /// Takes selective acknowledgements. True when they are news.
    pub fn merge(&mut self, blocks: &[(u64, u64)], acknowledged: u64) -> bool {
        let mut news = false;
        for &(start, end) in blocks {
            let start = start.max(acknowledged);
            if end > start && !self.has(start, end) {
                news = true;
                self.sacked.push((start, end));
                self.sacked = merged(std::mem::take(&mut self.sacked));
            }
        }
        self.hints += u32::from(news);
        news
    }

    fn has(&self, start: u64, end: u64) -> bool {
        self.sacked.iter().any(|range| range.0 <= start && end <= range.1)
    }

    /// Whether it is time to send again.
    pub fn proves_loss(&self) -> bool {
        self.recover.is_some() || (self.hints >= HINTS && !self.saw_reordering)
    }

    /// Repairs begin, up to all that was sent. False when they are under way.
    pub fn begin(&mut self, sent: u64) -> bool {
        let begins = self.recover.is_none();
        self.recover.get_or_insert(sent);
        begins
    }

    /// Repairs are under way.
    pub fn recovers(&self) -> bool {
        self.recover.is_some()
    }

    /// How much the peer has beyond the gap.
    pub fn sacked_bytes(&self) -> u64 {
        self.sacked.iter().map(|(start, end)| end - start).sum()
    }

    /// A time-out: all that was sent and not acknowledged is lost, repairs included.
    pub fn on_timeout(&mut self, sent: u64) {
        (self.recover, self.lost_below) = (Some(sent), sent);
        self.repairs.clear();
    }

    /// What is lost and not on its way again: disjoint ranges, lowest first.
    pub fn holes(&mut self, acknowledged: u64) -> Vec<(u64, u64)> {
        let highest = self.sacked.last().map_or(0, |range| range.1);
        let sacked = std::mem::take(&mut self.sacked);
        let arrived = |repair: &Repair| sacked.iter().any(|range| range.0 <= repair.start && repair.end <= range.1);
        let last_arrived = self.repairs.iter().rposition(arrived).unwrap_or(0);
        let mut at = 0;
        self.repairs.retain(|repair| {
            at += 1;
            !arrived(repair) && at > last_arrived && highest <= repair.sent
        });
        let known = sacked.iter().copied().chain(self.repairs.iter().map(|repair| (repair.start, repair.end)));
        let known = merged(known.collect());
        self.sacked = sacked;
        let (mut holes, mut next) = (Vec::new(), acknowledged);
        let limit = highest.max(self.lost_below);
        for (start, end) in known.into_iter().chain([(limit, limit)]) {
            if next < start.min(limit) {
                holes.push((next, start.min(limit)));
            }
            next = next.max(end);
        }
        holes
    }

    /// This was sent again just now.
    pub fn repaired(&mut self, start: u64, end: u64, sent: u64) {
        self.repairs.push(Repair { start, end, sent });
    }
}

/// Sorts ranges and joins those that touch.
fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let touches = later.0 <= earlier.1;
        if touches {
            earlier.1 = earlier.1.max(later.1);
        }
        touches
    });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(sacks: &[(u64, u64)]) -> Scoreboard {
        let mut board = Scoreboard::default();
        for &sack in sacks {
            assert!(board.merge(&[sack], 1));
            assert!(!board.merge(&[sack], 1), "told already");
        }
        board
    }

    #[test]
    fn three_later_segments_prove_a_loss_unless_reordering_was_seen() {
        let mut late = board(&[(10, 20), (20, 30)]);
        assert!(!late.proves_loss() && late.waits());
        late.on_progress(30);
        assert!(late.is_idle() && late.saw_reordering());
        for sack in [(40, 50), (50, 60), (60, 70)] {
            late.merge(&[sack], 30);
        }
        assert!(!late.proves_loss());
        assert!(board(&[(10, 20), (20, 30), (30, 40)]).proves_loss());
    }

    #[test]
    fn holes_are_sent_once_until_something_later_has_arrived() {
        let mut board = board(&[(10, 20), (30, 40), (40, 50)]);
        board.begin(60);
        assert_eq!(board.holes(1), [(1, 10), (20, 30)]);
        board.repaired(1, 10, 60);
        board.repaired(20, 30, 60);
        assert_eq!(board.holes(1), []);
        board.merge(&[(20, 50)], 1);
        assert_eq!(board.holes(1), [(1, 10)], "the second repair overtook the first");
        board.repaired(1, 10, 60);
        board.merge(&[(60, 70)], 1);
        assert_eq!(board.holes(1), [(1, 10), (50, 60)], "what was sent after it has arrived");
        board.on_progress(60);
        assert!(board.waits(), "repairs ended, and 60 to 70 has not been acknowledged");
    }

    #[test]
    fn a_time_out_declares_everything_lost_but_what_is_known_to_be_there() {
        let mut board = board(&[(10, 20)]);
        board.on_timeout(40);
        assert_eq!(board.holes(1), [(1, 10), (20, 40)]);
        board.repaired(1, 10, 40);
        assert_eq!(board.holes(1), [(20, 40)]);
        board.on_progress(40);
        assert!(board.is_idle());
        assert_eq!(board.holes(40), []);
    }
}

//! Finding a place in a queue: by where its records are in the log, or by when they were stored.
//!
//! Every unit that is looked at on the way is confirmed by the log, so that one that is wrong leads nowhere.

use protocol::{PhysicalOffset, QueueOffset};

use super::{ConsumeQueue, ConsumeQueueUnit, Mender, Units, Verdict};
use crate::error::{StoreError, lock};

/// Where a queue is divided into the messages before and those behind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Records from this place on are behind.
    AtPlace(PhysicalOffset),
    /// Messages stored at this time (milliseconds) or later are behind.
    AtTime(i64),
    /// Messages stored later than this are behind.
    AfterTime(i64),
}

/// A unit that the log confirms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirmed {
    pub unit: ConsumeQueueUnit,
    /// When its record was stored; `None` if that is expired.
    pub store_timestamp_ms: Option<i64>,
}

impl Cut {
    fn is_before(self, confirmed: &Confirmed) -> bool {
        // A record that is gone is older than every other.
        match (self, confirmed.store_timestamp_ms) {
            (Cut::AtPlace(cut), _) => confirmed.unit.physical_offset >= cut,
            (Cut::AtTime(cut_ms), Some(at_ms)) => at_ms >= cut_ms,
            (Cut::AfterTime(cut_ms), Some(at_ms)) => at_ms > cut_ms,
            (Cut::AtTime(_) | Cut::AfterTime(_), None) => false,
        }
    }
}

/// How much of a unit has to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Where its record is.
    Place,
    /// All of it.
    Whole,
}

impl Mender<'_> {
    /// The unit at an offset of a queue, confirmed by the log, mended if need be; `None` if the queue has none there, or the log
    /// has no such record any more.
    pub(crate) async fn unit(
        &self,
        queue: &ConsumeQueue,
        offset: QueueOffset,
        depth: Depth,
    ) -> Result<Option<Confirmed>, StoreError> {
        for _ in 0..2 {
            let read = match queue.read(offset, 1).await {
                Ok(read) => read,
                // What cannot be read is made anew, and then read again.
                Err(_) if queue.suspect(offset) => Units::default(),
                Err(error) => return Err(error),
            };
            if let Some(unit) = read.units.first() {
                let verdict = match depth {
                    Depth::Place => queue.confirm_place(offset, unit, self.log).await?,
                    Depth::Whole => queue.confirm(offset, unit, self.log, self.deliver_timestamp).await?,
                };
                match verdict {
                    Verdict::Right { store_timestamp_ms } => {
                        return Ok(Some(Confirmed { unit: *unit, store_timestamp_ms: Some(store_timestamp_ms) }));
                    }
                    Verdict::Expired if read.are_own || self.is_starting || offset < queue.min_offset() => {
                        return Ok(Some(Confirmed { unit: *unit, store_timestamp_ms: None }));
                    }
                    Verdict::Wrong if read.are_own => return Ok(None),
                    Verdict::Wrong | Verdict::Expired => {}
                }
            }
            if queue.is_lost(offset) || !queue.suspect(offset) {
                return Ok(None);
            }
            self.mend(queue, queue.file_of(offset)).await?;
        }
        Ok(None)
    }

    /// The first offset of a queue whose message lies behind the cut, or the queue's end.
    pub(crate) async fn partition_point(&self, queue: &ConsumeQueue, cut: Cut) -> Result<QueueOffset, StoreError> {
        let (mut low, mut high) = (queue.min_offset().0, queue.max_offset().0);
        // Mostly a queue begins where it began.
        if let Cut::AtPlace(_) = cut
            && low < high
            && let Some(first) = self.unit(queue, QueueOffset(low), Depth::Place).await?
            && cut.is_before(&first)
        {
            return Ok(QueueOffset(low));
        }
        while low < high {
            let middle = low + (high - low) / 2;
            // One that is lost tells nothing: the next that is not does.
            let mut probe = middle;
            let mut confirmed = None;
            while probe < high && confirmed.is_none() {
                confirmed = self.unit(queue, QueueOffset(probe), Depth::Place).await?;
                probe += 1;
            }
            match confirmed {
                Some(confirmed) if !cut.is_before(&confirmed) => low = probe,
                _ => high = middle,
            }
        }
        Ok(QueueOffset(low))
    }
}

impl ConsumeQueue {
    /// Moves the queue's beginning.
    pub(crate) fn raise_min_offset(&self, min: QueueOffset) {
        let mut state = lock(&self.state);
        state.min = state.min.max(min.0);
        let min = state.min;
        state.lost = state.lost.split_off(&min);
        state.mended = state.mended.split_off(&min);
    }
}

//! Which earlier lives of the log a reader may still be of.
//!
//! A reader that stands beyond the end of the log after a recovery is easily told. But if the log has grown beyond that
//! place when the broker fails again, the reader stands within a log whose messages there are others than those that it has
//! seen. So what was written by lives that began not long ago counts as not seen: who stands there without having been led
//! there in the present life goes back to what the group has committed, which every life lowers to its own beginning.
//!
//! Epochs say where each life began in the log, and the first record of an epoch says when.

use protocol::message::store_timestamp_position;
use protocol::{PhysicalOffset, QueueOffset};
use sim::time::wall_clock_ms;
use store::{EpochEntry, MessageStore, StoreError};

/// A reader that has not asked for so long has no place of its own any more: consumers ask at least every 30 s.
pub(crate) const RECENT_MS: i64 = 10 * 60_000;

/// Where the oldest life began that is recent and had another one before it, of `epochs` with the time of each one's first
/// record. A life without a record, or whose record is not found, is as recent as the one before it.
fn oldest_recent(epochs: &[(EpochEntry, Option<i64>)], now_ms: i64) -> Option<PhysicalOffset> {
    let mut oldest = None;
    // The first epoch has none before it, of which a reader could be.
    for (epoch, began_ms) in epochs.iter().skip(1).rev() {
        if began_ms.is_some_and(|began_ms| now_ms.saturating_sub(began_ms) >= RECENT_MS) {
            break;
        }
        oldest = Some(epoch.start);
    }
    oldest
}

/// The queues that have messages of recent lives, each with the first of them. Under a slave the last epoch always counts:
/// it is the present life of its master.
pub(crate) async fn floors(store: &MessageStore, is_slave: bool) -> Result<Vec<(String, i32, i64)>, StoreError> {
    let mut epochs = Vec::new();
    for epoch in store.epochs().iter() {
        let record = store.look_message_by_offset(epoch.start).await?;
        let began_ms = record.and_then(|record| {
            let at = store_timestamp_position(&record);
            record.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(i64::from_be_bytes)
        });
        epochs.push((*epoch, began_ms));
    }
    let present = epochs.last().map(|(epoch, _)| *epoch).filter(|epoch| is_slave && epoch.id != EpochEntry::UNKNOWN_ID);
    let recent = oldest_recent(&epochs, wall_clock_ms());
    match recent.or(present.map(|epoch| epoch.start)) {
        Some(start) => first_messages(store, start).await,
        None => Ok(Vec::new()),
    }
}

/// The queues that have messages at or beyond a place of the log, each with the first of them.
async fn first_messages(store: &MessageStore, start: PhysicalOffset) -> Result<Vec<(String, i32, i64)>, StoreError> {
    let mut first = Vec::new();
    for queue in store.queues() {
        let (mut low, mut high) = (queue.min_offset.0, queue.max_offset.0);
        let end = high;
        // Units of a queue are in the order of the log.
        while low < high {
            let middle = low + (high - low) / 2;
            let unit = store.unit_in_queue(&queue.topic, queue.queue_id, QueueOffset(middle)).await?;
            if unit.is_some_and(|unit| unit.physical_offset >= start) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        if low < end {
            first.push((queue.topic.to_string(), queue.queue_id, low));
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_000_000_000;

    fn oldest(epochs: &[(i64, Option<i64>)]) -> Option<i64> {
        let epochs: Vec<_> = epochs
            .iter()
            .zip(1..)
            .map(|(&(start, ago_ms), id)| {
                (EpochEntry { id, start: PhysicalOffset(start) }, ago_ms.map(|ago_ms| NOW_MS - ago_ms))
            })
            .collect();
        oldest_recent(&epochs, NOW_MS).map(|start| start.0)
    }

    #[test]
    fn nothing_was_before_the_first_life() {
        assert_eq!(oldest(&[]), None);
        assert_eq!(oldest(&[(0, Some(1_000))]), None);
    }

    #[test]
    fn recent_lives_count_back_to_the_first_old_one() {
        assert_eq!(oldest(&[(0, Some(900_000)), (100, Some(20_000))]), Some(100));
        assert_eq!(oldest(&[(0, Some(900_000)), (100, Some(20_000)), (200, Some(1_000))]), Some(100));
        assert_eq!(oldest(&[(0, Some(900_000)), (100, Some(700_000)), (200, Some(1_000))]), Some(200));
        assert_eq!(oldest(&[(0, Some(900_000)), (100, Some(700_000)), (200, Some(650_000))]), None);
    }

    #[test]
    fn a_life_without_a_record_counts_as_recent() {
        assert_eq!(oldest(&[(0, Some(900_000)), (100, Some(20_000)), (200, None)]), Some(100));
        assert_eq!(oldest(&[(0, Some(900_000)), (100, None), (200, Some(1_000))]), Some(100));
    }

    #[test]
    fn a_clock_that_ran_ahead_makes_no_life_old() {
        assert_eq!(oldest(&[(0, Some(900_000)), (100, Some(-5_000_000))]), Some(100));
    }
}

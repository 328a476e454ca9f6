//! Which earlier lives of the log a reader may still be of.
//!
//! A reader that stands beyond the end of the log after a recovery is easily told. But if the log has grown beyond that
//! place when the broker fails again, the reader stands within a log whose messages there are others than those that it has
//! seen. So what was written by lives that began not long ago counts as not seen: who stands there without having been led
//! there in the present life goes back to what the group has committed, which every life lowers to its own beginning.
//!
//! Epochs say where each life began in the log, and the first record of an epoch says when.

use protocol::message::parse_record;
use protocol::{PhysicalOffset, QueueOffset};
use quirks::Quirk;
use remoting::ChannelId;
use sim::time::wall_clock_ms;
use store::{EpochEntry, MessageStore, StoreError};

use crate::config::BrokerConfig;
use crate::state::read_horizon::ReadHorizon;

/// A reader that has not asked for so long has no place of its own any more: consumers ask at least every 30 s.
pub(crate) const RECENT_MS: i64 = 10 * 60_000;

/// What readers may stand at when this broker's life begins. On a master each queue's end, or the first message of recent
/// lives; on a slave the first message of its master's present life.
pub(crate) async fn horizon(store: &MessageStore, config: &BrokerConfig) -> Result<ReadHorizon<ChannelId>, StoreError> {
    if config.quirks.has(Quirk::LeftOverOffsets) {
        return Ok(ReadHorizon::unbounded());
    }
    let floors = floors(store, config.is_slave()).await?;
    if config.is_slave() {
        return Ok(ReadHorizon::of_slave(floors.iter().map(|(topic, queue_id, floor)| (&**topic, *queue_id, *floor))));
    }
    let queues = store.queues();
    let mut horizon = ReadHorizon::new(queues.iter().map(|queue| (&*queue.topic, queue.queue_id, queue.max_offset.0)));
    for (topic, queue_id, floor) in floors {
        horizon.lower(&topic, queue_id, floor);
    }
    Ok(horizon)
}

/// Lives, looked at from the last one back to the first that is not recent.
#[derive(Default)]
struct Recent {
    /// Where the oldest one began that is recent.
    oldest: Option<PhysicalOffset>,
}

impl Recent {
    /// Takes in the next older life, with the time of its first record; whether the one before it is to be looked at too. A
    /// life without a record, or whose record is not found, is as recent as the one after it.
    fn look_at(&mut self, life: EpochEntry, began_ms: Option<i64>, now_ms: i64) -> bool {
        let is_old = began_ms.is_some_and(|began_ms| now_ms.saturating_sub(began_ms) >= RECENT_MS);
        if !is_old {
            self.oldest = Some(life.start);
        }
        !is_old
    }
}

/// The lives of which the oldest recent one is sought, the last one first. The first epoch is none of them: it has none
/// before it, of which a reader could be.
fn lives(epochs: &[EpochEntry]) -> impl Iterator<Item = EpochEntry> + '_ {
    epochs.iter().skip(1).rev().copied()
}

/// The queues that have messages of recent lives, each with the first of them. Under a slave the last epoch always counts:
/// it is the present life of its master.
async fn floors(store: &MessageStore, is_slave: bool) -> Result<Vec<(String, i32, i64)>, StoreError> {
    let epochs = store.epochs();
    let (mut recent, now_ms) = (Recent::default(), wall_clock_ms());
    for life in lives(&epochs) {
        let record = store.look_message_by_offset(life.start).await?;
        let began_ms = record.and_then(|record| Some(parse_record(&record).ok()?.store_timestamp_ms));
        if !recent.look_at(life, began_ms, now_ms) {
            break;
        }
    }
    let present = epochs.last().filter(|epoch| is_slave && epoch.id != EpochEntry::UNKNOWN_ID);
    match recent.oldest.or(present.map(|epoch| epoch.start)) {
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
        let entry = |(&(start, _), id): (&(i64, _), u64)| EpochEntry { id, start: PhysicalOffset(start) };
        let entries: Vec<_> = epochs.iter().zip(1..).map(entry).collect();
        let mut recent = Recent::default();
        for life in lives(&entries) {
            let (_, ago_ms) = epochs.iter().find(|(start, _)| *start == life.start.0).expect("it is one of them");
            if !recent.look_at(life, ago_ms.map(|ago_ms| NOW_MS - ago_ms), NOW_MS) {
                break;
            }
        }
        recent.oldest.map(|start| start.0)
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

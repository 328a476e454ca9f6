//! What the log has lost not long ago: offsets that are left over from before may still turn up.
//!
//! An epoch says where a life began in the log and how much readers may have been shown beyond that before; its first record
//! says when. A slave that has cut its log, or lost its end, also counts what it had itself.

use protocol::{PhysicalOffset, QueueOffset, message::parse_record};
use quirks::Quirk;
use remoting::ChannelId;
use sim::time::wall_clock_ms;
use store::{EpochEntry, MessageStore, StoreError};

use crate::config::BrokerConfig;
use crate::state::left_overs::{LEFT_OVERS_MS, LeftOvers, Loss, Unlisted};

/// The losses that a store tells of when it has been opened, at `now_ms` by the broker's clock.
pub(crate) async fn left_overs(
    store: &MessageStore,
    config: &BrokerConfig,
    now_ms: i64,
) -> Result<LeftOvers<ChannelId>, StoreError> {
    if config.quirks.has(Quirk::LeftOverOffsets) {
        return Ok(LeftOvers::default());
    }
    let (epochs, wall_ms) = (store.epochs(), wall_clock_ms());
    let (mut losses, mut age_ms) = (Vec::new(), 0);
    for life in epochs.iter().rev() {
        // A life without a record is as old as the one after it.
        if let Some(began_ms) = began_ms(store, life).await? {
            age_ms = age_of(began_ms, wall_ms);
        }
        if age_ms >= LEFT_OVERS_MS {
            break;
        }
        if let Some(lost_bytes_max) = lost_bytes_max(store, life, config.is_slave()) {
            let ends_at_ms = now_ms + LEFT_OVERS_MS - age_ms;
            losses.push(loss_at(store, life.start, lost_bytes_max, config.is_slave(), ends_at_ms).await?);
        }
    }
    Ok(LeftOvers::after(losses))
}

/// How much the log may have lost before this life began; `None` if there are no left-overs to expect.
pub(crate) fn lost_bytes_max(store: &MessageStore, life: &EpochEntry, is_slave: bool) -> Option<u64> {
    let of_life = life.lost_bytes_max();
    if !is_slave {
        return of_life;
    }
    let own = store.recovery_report().shown.and_then(|shown| shown.beyond(life.start));
    // What a slave has shown and lost it gets again from its master, unless that has lost it too.
    of_life.max(own).filter(|bytes| *bytes > 0)
}

async fn began_ms(store: &MessageStore, life: &EpochEntry) -> Result<Option<i64>, StoreError> {
    let record = store.look_message_by_offset(life.start).await?;
    Ok(record.and_then(|record| Some(parse_record(&record).ok()?.store_timestamp_ms)))
}

/// A life that began in the future, by a clock that ran ahead, has just begun.
pub(crate) fn age_of(began_ms: i64, wall_ms: i64) -> i64 {
    wall_ms.saturating_sub(began_ms).max(0)
}

/// A loss after which the log went on at `start`.
pub(crate) async fn loss_at(
    store: &MessageStore,
    start: PhysicalOffset,
    lost_bytes_max: u64,
    is_slave: bool,
    ends_at_ms: i64,
) -> Result<Loss, StoreError> {
    let mut floors = Vec::new();
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
        // A slave may have none of a queue yet although its master has.
        if !is_slave || end > 0 {
            floors.push((queue.topic, queue.queue_id, low));
        }
    }
    let unlisted = if is_slave { Unlisted::Unseen } else { Unlisted::Empty };
    let floors = floors.iter().map(|(topic, queue_id, floor)| (&**topic, *queue_id, *floor));
    Ok(Loss::new(floors, unlisted, lost_bytes_max, ends_at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_ran_ahead_makes_no_life_old() {
        assert_eq!(age_of(1_000, 61_000), 60_000);
        assert_eq!(age_of(61_000, 1_000), 0);
        assert_eq!(age_of(i64::MIN, i64::MAX), i64::MAX);
    }
}

//! Delayed messages (`ScheduleMessageService`): each level is a queue of SCHEDULE_TOPIC_XXXX, whose messages are stored
//! again under their real topic when they are due.
//!
//! The queues are in the order of their due times, so that only the first of each matters: the task sleeps until the
//! earliest of them is due or a delayed message arrives. Nothing is polled.
//!
//! A message is due when its delay has passed since it was stored, by the store's own clock ([`StoreTime`]): whatever happens to
//! the wall clock meanwhile, over restarts, and on a slave that has become the master. Apache goes by the wall clock, and takes a
//! message that seems due too far ahead for due now: after the clock was set back, all that is stored comes at once.
//!
//! Apache stores the due message with `WAIT=false` and writes delayOffset.json without regard to what has been flushed; a
//! power loss can then take the message and keep the offset that says it was delivered (`Quirk::InternalPutsUnwaited`). Here a
//! delivery counts when the store has answered as it would answer a producer, and what was delivered is flushed before the
//! offsets are written. One that is stored but not acknowledged in time, by drive or slave, counts too: neither this broker's
//! file nor a slave's copy of it says so before the message is there. A crash delivers some messages twice, as with Apache's.
//!
//! Only a master delivers, and only once it accepts messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use protocol::message::{MessageToStore, parse_record};
use protocol::properties::property;
use protocol::{PhysicalOffset, QueueOffset, topic};
use quirks::Quirk;
use sim::time::sleep;
use store::{ConsumeQueueUnit, GetMessageStatus, PutMessageStatus, StoreError, StoreTime};

use crate::core::{Core, lock};
use crate::state::delay_level::DelayLevels;

/// How long a level rests after the store has refused a message.
const RETRY: Duration = Duration::from_secs(1);
/// The longest sleep: the machine may be suspended meanwhile, which sleepers do not notice and store time does.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// How many due messages of a level are stored at once.
const AT_ONCE: usize = 32;

/// Delivers until the broker stops; a delivery that has begun is seen through, so that it does not come twice.
pub(crate) async fn deliver(core: Arc<Core>) {
    let mut serving = core.serving.subscribe();
    while !core.stopping.load(Ordering::Acquire) && !*serving.borrow_and_update() {
        tokio::select! {
            biased;
            () = core.delay_wanted.notified() => {}
            _ = serving.changed() => {}
        }
    }
    correct_offsets(&core);
    let mut heads = BTreeMap::new();
    while !core.stopping.load(Ordering::Acquire) {
        let mut next: Option<StoreTime> = None;
        for level in levels(&core) {
            let wake = match deliver_level(&core, level, &mut heads).await {
                Ok(wake) => wake,
                Err(error) => {
                    tracing::error!(level, %error, "delayed messages cannot be read: it is tried again");
                    Some(retry_at(&core))
                }
            };
            next = [next, wake].into_iter().flatten().min();
        }
        match next {
            None => core.delay_wanted.notified().await,
            Some(next) => {
                let wait_ms = next.ms_since(core.store.now());
                let wait = Duration::from_millis(wait_ms.unsigned_abs()).min(SLEEP_MAX);
                tokio::select! {
                    biased;
                    () = core.delay_wanted.notified() => {}
                    () = sleep(wait) => {}
                }
            }
        }
    }
}

fn retry_at(core: &Core) -> StoreTime {
    core.store.now().plus_ms(i64::try_from(RETRY.as_millis()).unwrap_or(i64::MAX))
}

/// The levels that may have messages: also those of a longer `messageDelayLevel` than today's.
fn levels(core: &Core) -> BTreeSet<i32> {
    let written = core.store.queue_ids(topic::SCHEDULE_TOPIC).into_iter().map(DelayLevels::level_of_queue);
    written.filter(|level| *level > 0).collect()
}

/// After a restart: an offset before the queue's first message or beyond its end is moved there.
fn correct_offsets(core: &Core) {
    for (level, offset) in &mut lock(&core.delay_offsets).offset_table {
        let queue_id = DelayLevels::queue_id(*level);
        let min = core.store.min_offset_in_queue(topic::SCHEDULE_TOPIC, queue_id);
        let max = core.store.max_offset_in_queue(topic::SCHEDULE_TOPIC, queue_id);
        let corrected = (*offset).min(max).max(min);
        if corrected != *offset {
            tracing::warn!(level, from = offset.0, to = corrected.0, "offset of delayed messages corrected");
            *offset = corrected;
        }
    }
}

/// When the message at the head of a level's queue is due.
struct Head {
    offset: QueueOffset,
    due: StoreTime,
}

/// Delivers what is due of a level; says when its next message is, if it has one.
async fn deliver_level(
    core: &Arc<Core>,
    level: i32,
    heads: &mut BTreeMap<i32, Head>,
) -> Result<Option<StoreTime>, StoreError> {
    let queue_id = DelayLevels::queue_id(level);
    while !core.stopping.load(Ordering::Acquire) {
        let stored = lock(&core.delay_offsets).offset_table.get(&level).copied();
        let mut offset = stored.unwrap_or_default();
        let max = core.store.max_offset_in_queue(topic::SCHEDULE_TOPIC, queue_id);
        if offset >= max {
            return Ok(None);
        }
        offset = offset.max(core.store.min_offset_in_queue(topic::SCHEDULE_TOPIC, queue_id));
        let due = match heads.get(&level) {
            Some(head) if head.offset == offset => head.due,
            _ => {
                let due = due_at(core, level, offset).await?;
                heads.insert(level, Head { offset, due });
                due
            }
        };
        let now = core.store.now();
        if due > now {
            return Ok(Some(due));
        }
        let due_end = due_end(core, level, offset + 1, max.min(offset + AT_ONCE as i64), now).await?;
        if !deliver_range(core, level, offset, due_end).await? {
            return Ok(Some(retry_at(core)));
        }
    }
    Ok(None)
}

/// The end of what is due from `from` on, not beyond `to`: messages are due in the order of the queue.
async fn due_end(
    core: &Core,
    level: i32,
    from: QueueOffset,
    to: QueueOffset,
    now: StoreTime,
) -> Result<QueueOffset, StoreError> {
    // After a burst all are due.
    if from == to || due_at(core, level, to - 1).await? <= now {
        return Ok(to);
    }
    let (mut low, mut high) = (from, to - 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if due_at(core, level, middle).await? <= now { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// When the message at an offset of a level's queue is due. One that is not there has nothing to deliver, and is due.
async fn due_at(core: &Core, level: i32, offset: QueueOffset) -> Result<StoreTime, StoreError> {
    let queue_id = DelayLevels::queue_id(level);
    let Some(unit) = core.store.unit_in_queue(topic::SCHEDULE_TOPIC, queue_id, offset).await? else {
        return Ok(core.store.now());
    };
    let Some(stored) = core.store.stored(unit.physical_offset).await? else { return Ok(core.store.now()) };
    let level_ms = core.config().message_delay_level.delay_ms(level);
    Ok(stored.at.plus_ms(delay_ms(&unit, stored.timestamp_ms, level_ms)))
}

/// How long a message waits: as its level said when it was stored, or says now if that is less. The tagsCode of these queues is
/// STORETIMESTAMP and the delay.
fn delay_ms(unit: &ConsumeQueueUnit, stored_ms: i64, level_ms: i64) -> i64 {
    match unit.tags_code.saturating_sub(stored_ms) {
        delay_ms if delay_ms < 0 => level_ms,
        delay_ms => delay_ms.min(level_ms),
    }
}

/// Stores the messages of a range under their real topics, in order; says whether all of them are stored.
async fn deliver_range(core: &Arc<Core>, level: i32, from: QueueOffset, to: QueueOffset) -> Result<bool, StoreError> {
    let queue_id = DelayLevels::queue_id(level);
    let mut offset = from;
    while offset < to {
        let count = usize::try_from(to - offset).unwrap_or(AT_ONCE);
        let read = core.store.get_message(topic::SCHEDULE_TOPIC, queue_id, offset, count, usize::MAX, |_| true).await?;
        if read.status == GetMessageStatus::BeingMended {
            return Ok(false);
        }
        if read.status != GetMessageStatus::Found {
            // Nothing can be read there: what is missing has been reported by the store.
            tracing::error!(level, offset = offset.0, status = ?read.status, "delayed messages are missing: passed over");
            offset = read.next_begin_offset.max(offset + 1).min(to);
            lock(&core.delay_offsets).offset_table.insert(level, offset);
            continue;
        }
        let waits = !core.config().quirks.has(Quirk::InternalPutsUnwaited);
        let puts: Vec<_> = read
            .messages
            .iter()
            .filter_map(|record| {
                let message = due_message(core, record);
                if message.is_none() {
                    tracing::error!(level, "a delayed message has no real topic: passed over");
                }
                message.map(|message| {
                    let (topic, bytes) = (message.topic.clone(), message.body.len());
                    // The put is queued here, in order; the future only waits.
                    let stored = core.store.put_waiting(message, waits);
                    async move { (topic, bytes, stored.await) }
                })
            })
            .collect();
        let results = join_all(puts).await;
        let is_stored = |status| {
            use PutMessageStatus::{FlushDiskTimeout, FlushSlaveTimeout, PutOk, SlaveNotAvailable};
            matches!(status, PutOk | FlushDiskTimeout | FlushSlaveTimeout | SlaveNotAvailable)
        };
        let failed = results.iter().find(|(_, _, result)| !is_stored(result.status));
        if let Some((topic, _, result)) = failed {
            // Some of them may be stored: these will come twice.
            tracing::error!(level, topic, status = ?result.status, remark = ?result.remark, "a due message was not stored");
            return Ok(false);
        }
        let mut stats = lock(&core.stats);
        for (topic, bytes, _) in &results {
            stats.count_put(topic, 1, i64::try_from(*bytes).unwrap_or(i64::MAX));
        }
        drop(stats);
        offset = read.next_begin_offset;
        lock(&core.delay_offsets).offset_table.insert(level, offset);
    }
    Ok(true)
}

/// The message as it was meant (`messageTimeup`); its properties stay as they are, byte for byte.
fn due_message(core: &Core, record: &Bytes) -> Option<MessageToStore> {
    let view = parse_record(record).ok()?;
    let real_topic = view.property(property::REAL_TOPIC)?.to_owned();
    let queue_id: i32 = view.property(property::REAL_QID)?.parse().ok()?;
    // The topic may have been given fewer queues meanwhile: in one of the others nobody would read it.
    let read_queue_nums = lock(&core.topics).get(&real_topic).map_or(0, |known| known.read_queue_nums);
    let queue_id = if read_queue_nums > 0 { queue_id % read_queue_nums } else { queue_id };
    Some(MessageToStore {
        topic: real_topic,
        queue_id,
        flag: view.flag,
        sys_flag: view.sys_flag,
        born_timestamp_ms: view.born_timestamp_ms,
        born_host: view.born_host,
        store_host: core.store_host(),
        reconsume_times: view.reconsume_times,
        prepared_transaction_offset: PhysicalOffset::ZERO,
        body: record.slice_ref(view.body),
        properties: std::str::from_utf8(view.properties).ok()?.to_owned(),
    })
}

/// Writes delayOffset.json when something was delivered, for ever.
pub(crate) async fn persist(core: Arc<Core>) {
    let mut written = lock(&core.delay_offsets).clone();
    loop {
        sleep(Duration::from_millis(core.config().flush_delay_offset_interval_ms)).await;
        let present = lock(&core.delay_offsets).clone();
        if present == written {
            continue;
        }
        match core.persist_delay_offsets().await {
            Ok(()) => written = present,
            Err(error) => tracing::error!(%error, "delayOffset.json was not written: it is tried again"),
        }
    }
}

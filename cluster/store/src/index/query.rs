//! Finding messages by key (`DefaultMessageStore.queryMessage`, `IndexService.queryOffset`).
//!
//! Of Apache's answer it differs where that one is wrong: every hit is compared with its record (topic, key, and the exact
//! time), so that a hash that two keys share costs no answer its place, and a stale entry gives no wrong message.
//!
//! A query takes its time, and no more than its share of it: after some entries others have their turn, and after very many
//! it ends with what it has found, and says that it did. What lies behind is found by a query for an earlier time: entries
//! of later messages are passed over without a look at the log.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use protocol::{PhysicalOffset, message::parse_record};
use sim::{task::yield_now, time::timeout};

use super::{Index, file::IndexFile, format::NO_ENTRY, key_hash, keys_of};
use crate::{error::StoreError, store::MessageStore};

/// How long a query waits for the index to reach what was visible when it came.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1);
/// `maxMsgsNumBatch`: the most messages that one query gives.
const MESSAGES_MAX: usize = 64;
/// What one answer may take of the 16 MiB that a remoting frame has; one message is always given.
const ANSWER_BYTES_MAX: usize = 12 << 20;
/// The most records that a query reads in vain: they have another key of the same hash, or another time.
const READ_IN_VAIN_MAX: usize = 32_768;
/// The most entries that a query follows.
const ENTRIES_MAX: usize = 1 << 20;
/// After so many entries others have their turn.
const ENTRIES_AT_A_TIME: usize = 64;

/// What a query found (`QueryMessageResult`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryMessageResult {
    /// The records, as they are in the CommitLog and in its order.
    pub messages: Vec<Bytes>,
    /// STORETIMESTAMP of the last message in the index, in milliseconds.
    pub index_last_update_timestamp_ms: i64,
    /// Where the last message in the index is.
    pub index_last_update_physical_offset: PhysicalOffset,
    /// Too many messages have keys of the same hash: what is older than those was not looked at. Its STORETIMESTAMP, in
    /// milliseconds and perhaps a second too early: a query up to there goes on.
    pub cut_at_ms: Option<i64>,
}

/// What is looked for.
struct Wanted<'a> {
    topic: &'a str,
    key: &'a str,
    begin_ms: i64,
    end_ms: i64,
    count: usize,
}

#[derive(Default)]
struct Found {
    messages: BTreeMap<PhysicalOffset, Bytes>,
    bytes: usize,
    entries: usize,
    read_in_vain: usize,
    cut_at_ms: Option<i64>,
}

impl MessageStore {
    /// The youngest `max` messages, at most 64, of a topic with a key (their UNIQ_KEY or one of their KEYS) that were stored
    /// from `begin_ms` to `end_ms`, in the order of the log: by their STORETIMESTAMP, or by the wall clock as it is now if it was
    /// another when they were stored. What was visible when it is called is found, unless the index
    /// is more than a second behind; with `messageIndexEnable=false` nothing is.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the drive cannot be read.
    pub async fn query_message(
        &self,
        topic: &str,
        key: &str,
        max: usize,
        begin_ms: i64,
        end_ms: i64,
    ) -> Result<QueryMessageResult, StoreError> {
        let index = &self.shared().index;
        index.wait_for(self.confirm_offset()).await;
        let last = index.last_file().map(|last| last.header());
        let mut found = Found::default();
        let wanted = Wanted { topic, key, begin_ms, end_ms, count: max.min(MESSAGES_MAX) };
        for file in index.files().iter().rev() {
            let header = file.header();
            let begin = self.times(header.begin_offset, header.begin_timestamp_ms);
            let end = self.times(header.end_offset, header.end_timestamp_ms);
            let is_in_time = begin_ms <= end.latest_ms && end_ms >= begin.earliest_ms;
            if is_in_time && !self.search(file, &wanted, &mut found).await? || begin.latest_ms < begin_ms {
                break;
            }
        }
        Ok(QueryMessageResult {
            messages: found.messages.into_values().collect(),
            index_last_update_timestamp_ms: last.map_or(0, |last| last.end_timestamp_ms),
            index_last_update_physical_offset: last.map_or(PhysicalOffset::ZERO, |last| last.end_offset),
            cut_at_ms: found.cut_at_ms,
        })
    }

    /// Follows the chain of one file; whether more is wanted.
    async fn search(&self, file: &IndexFile, wanted: &Wanted<'_>, found: &mut Found) -> Result<bool, StoreError> {
        let hash = key_hash(wanted.topic, wanted.key);
        let header = file.header();
        let mut number = file.newest(hash).await?;
        while number > NO_ENTRY {
            if found.messages.len() >= wanted.count || found.bytes > ANSWER_BYTES_MAX {
                return Ok(false);
            }
            let Some(entry) = file.entry(number).await? else { break };
            // The time of an entry is cut to seconds, and those before it are older.
            let time_ms = header.time_of(&entry);
            let is_exact = number > 1 && entry.time_diff_s < i32::MAX;
            let end_ms = time_ms.saturating_add(1000);
            let may_be_too_old = is_exact && end_ms <= wanted.begin_ms;
            if may_be_too_old && self.times(entry.physical_offset, end_ms).latest_ms <= wanted.begin_ms {
                break;
            }
            if found.read_in_vain >= READ_IN_VAIN_MAX || found.entries >= ENTRIES_MAX {
                found.cut_at_ms = Some(end_ms);
                return Ok(false);
            }
            found.entries += 1;
            if found.entries.is_multiple_of(ENTRIES_AT_A_TIME) {
                yield_now().await;
            }
            let may_be_too_young = is_exact && time_ms > wanted.end_ms;
            let is_too_young =
                || may_be_too_young && self.times(entry.physical_offset, time_ms).earliest_ms > wanted.end_ms;
            let is_one = entry.key_hash == hash && !is_too_young();
            if is_one && !found.messages.contains_key(&entry.physical_offset) {
                match self.look_message_by_offset(entry.physical_offset).await? {
                    Some(record) if self.is_wanted(&record, wanted) => {
                        if !found.messages.is_empty() && found.bytes + record.len() > ANSWER_BYTES_MAX {
                            return Ok(false);
                        }
                        found.bytes += record.len();
                        found.messages.insert(entry.physical_offset, record);
                    }
                    _ => found.read_in_vain += 1,
                }
            }
            // A damaged file may lead in circles; entries only ever lead to older ones.
            number = if entry.previous < number { entry.previous } else { NO_ENTRY };
        }
        Ok(found.messages.len() < wanted.count)
    }

    fn is_wanted(&self, record: &[u8], wanted: &Wanted<'_>) -> bool {
        let Ok(record) = parse_record(record) else { return false };
        let is_in_time = |ms| (wanted.begin_ms..=wanted.end_ms).contains(&ms);
        record.topic == wanted.topic
            && keys_of(&record).any(|key| key == wanted.key)
            && (is_in_time(record.store_timestamp_ms)
                || is_in_time(self.shared().clock.shown_ms(record.physical_offset, record.store_timestamp_ms)))
    }

    /// When the record at `offset` was stored, by the clock of then and by that of now.
    fn times(&self, offset: PhysicalOffset, timestamp_ms: i64) -> Times {
        let shown_ms = self.shared().clock.shown_ms(offset, timestamp_ms);
        Times { earliest_ms: timestamp_ms.min(shown_ms), latest_ms: timestamp_ms.max(shown_ms) }
    }
}

/// When a record was stored, by two clocks.
struct Times {
    earliest_ms: i64,
    latest_ms: i64,
}

impl Index {
    /// Waits until the index has reached `offset`, but not for long.
    async fn wait_for(&self, offset: PhysicalOffset) {
        let mut reached = self.reached.subscribe();
        if !self.is_enabled || *reached.borrow() >= offset.0 {
            return;
        }
        self.wanted.notify_one();
        // Elapsed: the index is being rebuilt, or the drive refuses it. An answer of what there is is better than none.
        let _ = timeout(CATCH_UP_TIMEOUT, reached.wait_for(|reached| *reached >= offset.0)).await;
    }
}

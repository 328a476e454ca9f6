//! The history of a log: which life of a master wrote which part of it, and how far two logs are the same.
//!
//! Every life of a master begins an *epoch*, a random number and the offset where that life's bytes begin; slaves keep the
//! epochs of the bytes that they copy. Two logs that have an epoch in common are the same up to where that epoch ends in the
//! one or the other: only one master ever wrote it. This file is pure; the file of epochs is [`file`].
//!
//! Left out: the comparison of checksums that guards what epochs cannot know (damage, histories that were never recorded). It
//! needs both logs, and belongs to who connects them.

mod common;
pub(crate) mod file;
mod loss;

use protocol::{PhysicalOffset, message::RecordView};
use quirks::Quirk;
use serde::{Deserialize, Serialize};

pub use common::{CommonPoint, common_point};

use std::sync::{Arc, PoisonError, RwLock};

use crate::{config::StoreConfig, error::StoreError};

/// The most epochs that a store remembers.
pub(crate) const EPOCHS_MAX: usize = 4096;

/// One life of a master, in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochEntry {
    /// A random number of 63 bits, whose lowest says whether [every record has a checksum](EpochEntry::has_checksums), and
    /// the eight above it [what may have been lost](EpochEntry::lost_bytes_max) before it began;
    /// [`EpochEntry::UNKNOWN_ID`] where nobody recorded who wrote the bytes.
    pub id: u64,
    /// Where its bytes begin in the log.
    pub start: PhysicalOffset,
}

impl EpochEntry {
    /// The id of the bytes that a broker without epochs has written: Apache's.
    pub const UNKNOWN_ID: u64 = 0;

    /// The life of a master that begins at `start`. Of `random` the lowest ten bits do not count.
    pub(crate) fn new(
        random: u64,
        has_checksums: bool,
        lost_bytes_max: Option<u64>,
        start: PhysicalOffset,
    ) -> EpochEntry {
        let number = (random >> 10).max(1);
        let lost = u64::from(lost_bytes_max.map_or(0, loss::encode));
        EpochEntry { id: number << 9 | lost << 1 | u64::from(has_checksums), start }
    }

    /// How many bytes of the log readers may have been shown before this life that it does not have; `None` if it has all
    /// that earlier lives have shown. `Some(0)`: the machine went down, but nothing that was shown should be missing, if
    /// the drive keeps its word. At most a quarter more than was known when it began; `u64::MAX` if nothing was.
    #[must_use]
    pub fn lost_bytes_max(&self) -> Option<u64> {
        loss::decode((self.id >> 1 & 0xff) as u8)
    }

    /// Whether its master has stored a checksum of the whole with every record (`enabledAppendPropCRC`). Then a record without one is
    /// damaged: what damage has put in the place of a record's end has no checksum either.
    #[must_use]
    pub fn has_checksums(&self) -> bool {
        self.id & 1 == 1
    }
}

/// The epoch of the byte at `offset`; none where nothing tells of it.
pub(crate) fn epoch_at(epochs: &[EpochEntry], offset: PhysicalOffset) -> Option<EpochEntry> {
    epochs[..epochs.partition_point(|epoch| epoch.start <= offset)].last().copied()
}

/// Whether a record that lies at `offset` of a log with these epochs is what was written there.
///
/// # Errors
/// What tells that it is not.
pub(crate) fn check_record(
    record: &RecordView<'_>,
    offset: PhysicalOffset,
    epochs: &[EpochEntry],
) -> Result<(), String> {
    record.check_crc().map_err(|error| error.to_string())?;
    let has_checksums = || epoch_at(epochs, offset).is_some_and(|epoch| epoch.has_checksums());
    if !record.has_checksum() && has_checksums() { Err(NO_CHECKSUM.to_owned()) } else { Ok(()) }
}

pub(crate) const NO_CHECKSUM: &str = "damaged record: it has no checksum, as all of its epoch have";

/// The epochs of a log in which brokers that keep none (Apache's) have written from these offsets on, each up to the epoch that
/// follows: their bytes are of unknown origin.
pub(crate) fn with_foreign(stored: &[EpochEntry], foreign: &[PhysicalOffset]) -> Vec<EpochEntry> {
    let mut epochs = stored.to_vec();
    for &start in foreign {
        let at = epochs.partition_point(|epoch| epoch.start <= start);
        epochs.insert(at, EpochEntry { id: EpochEntry::UNKNOWN_ID, start });
    }
    epochs
}

/// What one replica tells of its log to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHistory {
    /// Its epochs, in the order of the log; the last one ends at the log's end.
    pub epochs: Vec<EpochEntry>,
    /// The first offset that is still there.
    pub min: PhysicalOffset,
    /// The log's end.
    pub max: PhysicalOffset,
}

impl LogHistory {
    /// Whether the log has no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.min >= self.max
    }

    /// Whether this can be the history of a log at all: offsets in order, and every byte in an epoch. What a peer sends is
    /// looked at with this first.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let in_order = self.epochs.is_sorted_by_key(|epoch| epoch.start);
        let within = self.epochs.last().is_none_or(|last| last.start <= self.max);
        let covered = self.is_empty() || self.epochs.first().is_some_and(|first| first.start <= self.min);
        self.min.0 >= 0 && self.min <= self.max && in_order && within && covered && self.epochs.len() <= EPOCHS_MAX
    }

    /// Where the epoch with this number in the list ends.
    fn end_of(&self, number: usize) -> PhysicalOffset {
        self.epochs.get(number + 1).map_or(self.max, |next| next.start)
    }
}

/// The epochs that a log still tells of: what begins after its end is dropped (those bytes are gone), and what ends at or
/// before its beginning; of too many the oldest. Bytes that no entry tells of are of unknown origin.
pub(crate) fn fit(stored: &[EpochEntry], min: PhysicalOffset, max: PhysicalOffset) -> Vec<EpochEntry> {
    let mut epochs: Vec<EpochEntry> = stored.iter().copied().filter(|epoch| epoch.start <= max).collect();
    let is_unknown_before = epochs.first().is_none_or(|first| first.start > min);
    if is_unknown_before && min < max {
        epochs.insert(0, EpochEntry { id: EpochEntry::UNKNOWN_ID, start: min });
    }
    let ended = epochs.windows(2).take_while(|pair| pair[1].start <= min && pair[0].start < min).count();
    epochs.drain(..ended);
    while epochs.len() > EPOCHS_MAX {
        // An epoch without bytes says least.
        let empty = epochs.windows(2).position(|pair| pair[0].start == pair[1].start);
        epochs.remove(empty.unwrap_or(0));
    }
    epochs
}

/// The epochs of an open store. Only the appender changes them.
#[derive(Debug)]
pub(crate) struct Epochs {
    entries: RwLock<Arc<[EpochEntry]>>,
    /// Whether records are checked by them.
    are_checked: bool,
}

impl Epochs {
    pub(crate) fn new(entries: Vec<EpochEntry>, config: &StoreConfig) -> Epochs {
        Epochs { entries: RwLock::new(entries.into()), are_checked: !config.quirks.has(Quirk::BodyCrcOnly) }
    }

    /// Those by which records are [checked](check_record): none for a broker that knows no checksums.
    pub(crate) fn for_checks(&self) -> Arc<[EpochEntry]> {
        if self.are_checked { self.get() } else { Arc::default() }
    }

    pub(crate) fn get(&self) -> Arc<[EpochEntry]> {
        Arc::clone(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces them: on the drive first.
    pub(crate) async fn store(&self, config: &StoreConfig, entries: Vec<EpochEntry>) -> Result<(), StoreError> {
        file::store(&file::path(config), &entries).await?;
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(list: &[(u64, i64)]) -> Vec<EpochEntry> {
        list.iter().map(|(id, start)| EpochEntry { id: *id, start: PhysicalOffset(*start) }).collect()
    }

    fn fitted(list: &[(u64, i64)], min: i64, max: i64) -> Vec<EpochEntry> {
        fit(&epochs(list), PhysicalOffset(min), PhysicalOffset(max))
    }

    #[test]
    fn what_the_log_has_lost_is_forgotten() {
        let all = [(1, 0), (2, 100), (3, 200), (4, 300)];
        assert_eq!(fitted(&all, 0, 400), epochs(&all));
        assert_eq!(fitted(&all, 0, 200), epochs(&[(1, 0), (2, 100), (3, 200)]), "one that begins at the end is kept");
        assert_eq!(fitted(&all, 0, 199), epochs(&[(1, 0), (2, 100)]));
        assert_eq!(fitted(&all, 200, 400), epochs(&[(3, 200), (4, 300)]));
        assert_eq!(fitted(&all, 199, 400), epochs(&[(2, 100), (3, 200), (4, 300)]));
        assert_eq!(fitted(&[(1, 0), (2, 0)], 0, 10), epochs(&[(1, 0), (2, 0)]), "one without bytes is kept");
    }

    #[test]
    fn bytes_of_unknown_origin_are_called_so() {
        assert_eq!(fitted(&[], 4096, 5000), epochs(&[(0, 4096)]));
        assert_eq!(fitted(&[], 4096, 4096), []);
        assert_eq!(fitted(&[(7, 5000)], 4096, 6000), epochs(&[(0, 4096), (7, 5000)]));
        assert_eq!(fitted(&[(7, 5000)], 4096, 4999), epochs(&[(0, 4096)]));
    }

    #[test]
    fn what_others_wrote_within_an_epoch_is_of_unknown_origin() {
        let stored = epochs(&[(1, 0), (2, 100)]);
        let known = |offsets: &[i64]| {
            let offsets: Vec<_> = offsets.iter().copied().map(PhysicalOffset).collect();
            with_foreign(&stored, &offsets)
        };
        assert_eq!(known(&[]), stored);
        assert_eq!(known(&[50, 130]), epochs(&[(1, 0), (0, 50), (2, 100), (0, 130)]));
        assert_eq!(known(&[100]), epochs(&[(1, 0), (2, 100), (0, 100)]), "epoch 2 has no bytes");
        assert_eq!(epoch_at(&known(&[100]), PhysicalOffset(100)).map(|epoch| epoch.id), Some(0));
        assert_eq!(epoch_at(&stored[1..], PhysicalOffset(99)), None);
    }

    #[test]
    fn of_too_many_the_empty_and_the_oldest_go_first() {
        let mut list: Vec<_> = (1..=4097).map(|number| (number, number as i64 * 10)).collect();
        list[50].1 = list[51].1;
        let kept = fitted(&list, 10, 100_000);
        assert_eq!((kept.len(), kept[0].id, kept[50].id), (4096, 1, 52));
        list[50].1 = 510;
        let kept = fitted(&list, 10, 100_000);
        assert_eq!((kept.len(), kept[0].id), (4096, 2));
    }
}

//! The file `shown_limit`: how far readers may have been shown the log.
//!
//! Under ASYNC_FLUSH readers see messages that a power loss can still take, and stand beyond the log's end afterwards. So
//! that the next start knows how far that can be, a limit that lies a little beyond what is shown is kept on the drive. It
//! is raised ahead of time, by four seconds' worth of the present rate, and lowered again when the store has become
//! quiet. Nobody waits for it: when the drive stands still, messages are shown beyond the limit, and a power loss in that
//! moment leaves a limit that is too low.
//!
//! Under SYNC_FLUSH nothing is shown that is not on the drive, and the file says only that. A store without the file was
//! written by another broker: nothing is known of what it has shown.
//!
//! ```text
//! slot 0 @0, slot 1 @4096:   magic "SHOWN/1\n" | u64 number | i64 limit | u32 CRC-32 of the 24 bytes before
//! ```
//! Big-endian; -1 as the limit means "only what was flushed". The slots are overwritten in turn, so that a torn write leaves
//! the one before, and the file never needs room that a full drive does not have.

use std::{path::PathBuf, sync::Arc, time::Duration};

use protocol::PhysicalOffset;
use quirks::Quirk;
use sim::{
    disk::{self, File, OpenOptions},
    time::{Instant, sleep, timeout},
};

use crate::{
    config::{FlushDiskType, StoreConfig},
    durable,
    error::{StoreError, io_error},
    store::Shared,
};

const MAGIC: &[u8; 8] = b"SHOWN/1\n";
const SLOT_BYTES: usize = 28;
/// One slot must not be torn with the other.
const SLOT_DISTANCE: u64 = 4096;
const FLUSHED_ONLY: i64 = -1;

/// The least by which the limit lies beyond what is shown.
const AHEAD_BYTES_MIN: i64 = 4 << 10;
/// The most.
const AHEAD_BYTES_MAX: i64 = 256 << 20;
/// The limit is raised by what is written in this time at the present rate: when half of it is used up, twice as often.
const AHEAD_MS: i64 = 4_000;
/// The rate is not estimated from less than this time.
const SAMPLE_MS_MIN: i64 = 1_000;
/// When nothing has raised the limit for so long, it is lowered to what such a rate needs.
const QUIET: Duration = Duration::from_secs(10);
/// How soon a write that has failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How far readers may have been shown the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShownLimit {
    /// Nothing tells.
    Unknown,
    /// Only what was flushed.
    Flushed,
    /// Nothing at or beyond this offset.
    Below(PhysicalOffset),
}

/// The file, open.
#[derive(Debug)]
pub(crate) struct ShownFile {
    path: PathBuf,
    file: File,
    number: u64,
    limit: PhysicalOffset,
}

fn path(config: &StoreConfig) -> PathBuf {
    config.store_path_root_dir.join("shown_limit")
}

/// What the last broker has left.
pub(crate) async fn load(config: &StoreConfig) -> Result<ShownLimit, StoreError> {
    let path = path(config);
    if !disk::exists(&path).await.map_err(io_error("look for", &path))? {
        return Ok(ShownLimit::Unknown);
    }
    let bytes = disk::read(&path).await.map_err(io_error("read", &path))?;
    Ok(latest(&bytes).map_or(ShownLimit::Unknown, |(_, limit)| match limit {
        FLUSHED_ONLY => ShownLimit::Flushed,
        limit => ShownLimit::Below(PhysicalOffset(limit)),
    }))
}

/// Says durably what this life will show at first: nothing that is not flushed, or what lies a little beyond `end`. The
/// file is given back where its limit has to be raised.
pub(crate) async fn begin(config: &StoreConfig, end: PhysicalOffset) -> Result<Option<ShownFile>, StoreError> {
    if config.quirks.has(Quirk::LeftOverOffsets) {
        return Ok(None);
    }
    let is_raised = config.flush_disk_type == FlushDiskType::AsyncFlush || config.quirks.has(Quirk::UnflushedVisible);
    let limit = if is_raised { end.0.saturating_add(AHEAD_BYTES_MIN) } else { FLUSHED_ONLY };
    let path = path(config);
    let found = if disk::exists(&path).await.map_err(io_error("look for", &path))? {
        latest(&disk::read(&path).await.map_err(io_error("read", &path))?)
    } else {
        None
    };
    if found.is_none() {
        let root = Some(config.store_path_root_dir.as_path());
        match durable::replace_file(root, &path, &image(limit), None).await {
            // Without the file nothing is known of what was shown, as after another broker.
            Err(error) if error.is_no_room() => {
                tracing::warn!(%error, "how far readers are shown the log is not noted: the drive is full");
                return Ok(None);
            }
            replaced => replaced?,
        }
    }
    if !is_raised && found.is_none_or(|(_, found)| found == limit) {
        return Ok(None);
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(&path).await.map_err(io_error("open", &path))?;
    let mut file =
        ShownFile { path, file, number: found.map_or(0, |(number, _)| number), limit: PhysicalOffset(limit) };
    if found.is_some() {
        file.write(limit).await?;
    }
    Ok(is_raised.then_some(file))
}

impl ShownFile {
    async fn write(&mut self, limit: i64) -> Result<(), StoreError> {
        let number = self.number + 1;
        let place = (number % 2) * SLOT_DISTANCE;
        self.file.write_all_at(&slot(number, limit), place).await.map_err(io_error("write", &self.path))?;
        self.file.sync_data().await.map_err(io_error("sync", &self.path))?;
        (self.number, self.limit) = (number, PhysicalOffset(limit));
        Ok(())
    }
}

fn slot(number: u64, limit: i64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&number.to_be_bytes());
    bytes[16..24].copy_from_slice(&limit.to_be_bytes());
    let crc = crc32fast::hash(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// A new file: both slots have blocks of their own, and the first is valid.
fn image(limit: i64) -> Vec<u8> {
    let mut bytes = vec![0; 2 * SLOT_DISTANCE as usize];
    bytes[..SLOT_BYTES].copy_from_slice(&slot(0, limit));
    bytes
}

/// Number and limit of the valid slot that was written last.
fn latest(bytes: &[u8]) -> Option<(u64, i64)> {
    let read = |place: u64| {
        let bytes = bytes.get(place as usize..)?.first_chunk::<SLOT_BYTES>()?;
        let number = u64::from_be_bytes(bytes[8..16].try_into().ok()?);
        let limit = i64::from_be_bytes(bytes[16..24].try_into().ok()?);
        (*bytes == slot(number, limit)).then_some((number, limit))
    };
    read(0).max(read(SLOT_DISTANCE))
}

/// How far ahead the limit is put when `grown_bytes` were written in `elapsed_ms`.
fn ahead_bytes(grown_bytes: i64, elapsed_ms: i64) -> i64 {
    let per_ms = grown_bytes / elapsed_ms.max(SAMPLE_MS_MIN);
    per_ms.saturating_mul(AHEAD_MS).clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX)
}

impl Shared {
    /// The task that keeps the limit ahead of what is shown.
    pub(crate) async fn run_shown_limit(self: Arc<Self>, mut file: ShownFile) {
        let mut ahead = AHEAD_BYTES_MIN;
        let (mut raised_at, mut shown_then) = (Instant::now(), self.dispatcher.confirm_offset());
        loop {
            self.dispatcher.wake_when_shown(file.limit - ahead / 2);
            let is_low = file.limit - shown_then <= AHEAD_BYTES_MIN;
            let wanted = self.dispatcher.shown.notified();
            if is_low {
                wanted.await;
            } else {
                // Elapsed: the store may have become quiet.
                let _ = timeout(QUIET, wanted).await;
            }
            let shown = self.dispatcher.confirm_offset();
            // A burst after a quiet time has passed the limit already: its rate is that of this moment.
            let is_late = shown >= file.limit;
            let elapsed_ms =
                if is_late { 0 } else { i64::try_from(raised_at.elapsed().as_millis()).unwrap_or(i64::MAX) };
            ahead = ahead_bytes(shown - shown_then, elapsed_ms);
            (raised_at, shown_then) = (Instant::now(), shown);
            let limit = shown.0.saturating_add(ahead);
            while let Err(error) = file.write(limit).await {
                tracing::error!(%error, "how far readers are shown the log cannot be noted; it is tried again");
                sleep(RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let mut bytes = image(100);
        assert_eq!(latest(&bytes), Some((0, 100)));
        bytes[4096..4096 + SLOT_BYTES].copy_from_slice(&slot(1, 900));
        assert_eq!(latest(&bytes), Some((1, 900)));
        for at in 4096..4096 + SLOT_BYTES {
            let mut torn = bytes.clone();
            torn[at] ^= 0x10;
            assert_eq!(latest(&torn), Some((0, 100)), "{at}");
        }
        bytes[..SLOT_BYTES].copy_from_slice(&slot(2, 50));
        assert_eq!(latest(&bytes), Some((2, 50)), "the last one counts, not the highest");
        assert_eq!(latest(&bytes[..SLOT_BYTES - 1]), None);
        assert_eq!(latest(&[]), None);
    }

    #[test]
    fn the_limit_follows_the_rate() {
        assert_eq!(ahead_bytes(0, 60_000), AHEAD_BYTES_MIN);
        assert_eq!(ahead_bytes(2_048, 1_000), 8_000, "2 KiB in a second are 8 KiB in four");
        assert_eq!(ahead_bytes(1 << 20, 0), 1_048 * AHEAD_MS, "a burst is not expected to last");
        assert_eq!(ahead_bytes(i64::MAX / 2, 1), AHEAD_BYTES_MAX);
    }
}

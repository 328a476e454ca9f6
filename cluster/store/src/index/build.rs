//! Following the log: which messages are to be indexed, and when the files are written.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use protocol::{PhysicalOffset, message::RecordView};
use sim::time::{Instant, sleep, sleep_until, wall_clock_ms};

use super::{Index, file::IndexFile, key_hash, keys_of, name::next_name, table::Full};
use crate::{
    commit_log::{
        CommitLog,
        walk::{At, look, read_chunk, skip},
    },
    durable,
    error::StoreError,
    segment::SCAN_CHUNK_BYTES,
    store::Shared,
};

/// How often the task looks for new messages, when there are any.
const BUILD_INTERVAL: Duration = Duration::from_millis(100);
/// How long a full drive is left alone.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(1);
/// How often what is in memory is written.
const FLUSH_INTERVAL: Duration = Duration::from_secs(10);
/// So many entries are written at once, whatever the time.
const FLUSH_ENTRIES: usize = 64 << 10;

/// How far the log is indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// The record that comes next.
    pub next: u64,
    /// How many of its keys are indexed already.
    pub keys_done: usize,
}

impl Shared {
    /// The task that builds the index.
    pub(crate) async fn run_index(self: Arc<Self>) {
        let (mut last_round, mut last_flush) = (Instant::now(), Instant::now());
        // What recovery has left to be indexed.
        self.dispatcher.to_index.notify_one();
        loop {
            let is_dirty = self.index.is_dirty();
            self.wait_for_index_work(last_round + BUILD_INTERVAL, is_dirty.then(|| last_flush + FLUSH_INTERVAL)).await;
            last_round = Instant::now();
            if !is_dirty {
                // The flushes that were left out meanwhile would have found nothing.
                let skipped = last_flush.elapsed().as_nanos() / FLUSH_INTERVAL.as_nanos();
                last_flush += FLUSH_INTERVAL.saturating_mul(u32::try_from(skipped).unwrap_or(u32::MAX));
            }
            if sim::fault_point!("store.index.round-skipped", 0.5) {
                self.dispatcher.to_index.notify_one();
                continue;
            }
            if let Err(error) = self.index.catch_up(&self.log, self.dispatcher.confirm_offset()).await {
                tracing::error!(%error, "the index does not go on; trying again");
                self.dispatcher.to_index.notify_one();
                sleep(if error.is_no_room() { NO_ROOM_PAUSE } else { BUILD_INTERVAL }).await;
            } else if last_flush.elapsed() >= FLUSH_INTERVAL || sim::fault_point!("store.index.early-flush", 0.05) {
                last_flush = Instant::now();
                if let Err(error) = self.index.flush().await {
                    tracing::error!(%error, "the index cannot be written; trying again");
                }
            }
        }
    }

    /// Waits for a query that cannot wait; for new messages, but no round before `next_round`; or until a flush is due.
    async fn wait_for_index_work(&self, next_round: Instant, flush: Option<Instant>) {
        let new_messages = async {
            self.dispatcher.to_index.notified().await;
            sleep_until(next_round).await;
        };
        let flush_due = async {
            match flush {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        // Whatever it was: the round that follows indexes all that is visible.
        tokio::select! {
            biased;
            () = self.index.wanted.notified() => {}
            () = new_messages => {}
            () = flush_due => {}
        }
    }

    /// Indexes all that there is and brings it to the drive.
    pub(crate) async fn close_index(&self) -> Result<(), StoreError> {
        self.index.catch_up(&self.log, self.dispatcher.confirm_offset()).await?;
        self.index.flush().await
    }
}

impl Index {
    /// Whether something is in memory that is not in the files.
    fn is_dirty(&self) -> bool {
        self.last_file().is_some_and(|last| last.with_table(|table| table.is_dirty()).unwrap_or(false))
    }

    /// Brings to the drive what is in memory.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        let _building = self.building.lock().await;
        match self.last_file() {
            Some(last) => last.flush(true).await,
            None => Ok(()),
        }
    }

    /// Indexes the log up to `until`, which is the end of a record.
    pub(super) async fn catch_up(&self, log: &CommitLog, until: PhysicalOffset) -> Result<(), StoreError> {
        if !self.is_enabled {
            return Ok(());
        }
        let until = until.0.cast_unsigned();
        let mut progress = self.building.lock().await;
        let mut need = 8;
        loop {
            let log_min = log.min_offset().0.cast_unsigned();
            if progress.next < log_min {
                *progress = Progress { next: log_min, keys_done: 0 };
            }
            if progress.next >= until {
                return Ok(());
            }
            let Some((chunk, in_file)) = read_chunk(log, progress.next, until, need).await? else {
                if log.min_offset().0.cast_unsigned() > progress.next {
                    // Its file went while we looked.
                    continue;
                }
                return Ok(());
            };
            need = 8;
            let mut at = 0;
            loop {
                match look(&chunk[at..], in_file - at, progress.next) {
                    At::Record(record) => {
                        self.put(&record, &mut progress).await?;
                        at += record.total_bytes;
                        *progress = Progress { next: progress.next + record.total_bytes as u64, keys_done: 0 };
                    }
                    At::NextFile => {
                        let next = log.next_segment_start(PhysicalOffset(progress.next.cast_signed()));
                        *progress = Progress { next: next.0.cast_unsigned(), keys_done: 0 };
                        break;
                    }
                    // A record is read from its beginning, as far as its length says.
                    At::NeedMore(bytes) if at > 0 || progress.next + bytes as u64 <= until => {
                        need = bytes;
                        break;
                    }
                    // `until` is within a record: it is not all there yet.
                    At::NeedMore(_) => return Ok(()),
                    At::Damaged(_) if at > 0 => break,
                    At::Damaged(why) => {
                        let skipped = skip(&chunk, progress.next, chunk.len() < SCAN_CHUNK_BYTES);
                        tracing::error!(
                            physical_offset = progress.next,
                            %why,
                            skipped,
                            "damage in the CommitLog: what is there is not indexed"
                        );
                        *progress = Progress { next: progress.next + skipped as u64, keys_done: 0 };
                        break;
                    }
                }
                if at >= chunk.len() {
                    break;
                }
            }
            // Nobody waits for it, if that is an error.
            self.reached.send_replace(progress.next.cast_signed());
        }
    }

    /// Indexes a message under its keys.
    async fn put(&self, record: &RecordView<'_>, progress: &mut Progress) -> Result<(), StoreError> {
        for key in keys_of(record).skip(progress.keys_done) {
            let hash = key_hash(record.topic, key);
            loop {
                let put = self.last_file().and_then(|last| {
                    last.with_table(|table| {
                        table.put(hash, record.physical_offset, record.store_timestamp_ms).map(|()| table.unwritten())
                    })
                });
                match put {
                    Some(Ok(unwritten)) => {
                        progress.keys_done += 1;
                        if unwritten >= FLUSH_ENTRIES
                            && let Some(last) = self.last_file()
                        {
                            last.flush(false).await?;
                        }
                        break;
                    }
                    Some(Err(Full)) | None => self.roll_over().await?,
                }
            }
        }
        Ok(())
    }

    /// Closes the full file, if there is one, and begins the next (`getAndCreateLastIndexFile`).
    async fn roll_over(&self) -> Result<(), StoreError> {
        let last = self.last_file();
        if let Some(last) = &last {
            last.flush(true).await?;
            last.seal();
            self.sealed_timestamp_ms.fetch_max(last.header().end_timestamp_ms, Ordering::AcqRel);
        }
        durable::create_dir(&self.directory).await?;
        let name = next_name(wall_clock_ms(), last.as_ref().map(|last| last.name()));
        let header = last.map(|last| last.header());
        let next = IndexFile::create(&self.directory, name, self.geometry, header.as_ref()).await?;
        self.files.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(next));
        Ok(())
    }
}

//! When written bytes reach the drive: the CommitLog, the ConsumeQueues, the checkpoint.
//!
//! ASYNC_FLUSH follows `FlushRealTimeService`: every 500 ms if at least 4 pages are dirty, everything every 10 s. SYNC_FLUSH
//! follows the waiters (`GroupCommitService`): one `fdatasync` for all that were written before it began. ConsumeQueues
//! are flushed every second if they have 2 dirty pages, all of them every 60 s, and then the checkpoint is written: it
//! claims only what these syncs have made true.
//!
//! The rounds stand on a grid, as Apache's do, but those that would find nothing to do are not woken for: see [`Rounds`].
//!
//! A sync that fails tells nothing of what was lost, and a second try would succeed without the lost pages. So the first
//! failure is the last: nothing is acknowledged any more, no write is taken, and the next start looks at what is there.

use std::{sync::Arc, time::Duration};

use protocol::PhysicalOffset;
use quirks::Quirk;
use sim::time::{Instant, sleep, sleep_until};

use crate::{
    checkpoint::{Checkpoint, QueueClaims},
    config::FlushDiskType,
    error::StoreError,
    recovery::sync_failed,
    segment::PAGE_BYTES,
    store::Shared,
};

/// How long a full drive is left alone.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(5);
/// How long a SYNC_FLUSH that begins late gathers waiters.
const GATHERING: Duration = Duration::from_millis(20);

/// Rounds that come once in an interval, of which those may be left out that nobody needs.
struct Rounds {
    interval: Duration,
    last: Instant,
}

impl Rounds {
    fn new(interval: Duration) -> Rounds {
        Rounds { interval, last: Instant::now() }
    }

    /// Passes over the rounds whose time is over.
    fn skip_past(&mut self) {
        let skipped = self.last.elapsed().as_nanos() / self.interval.as_nanos().max(1);
        self.last += self.interval.saturating_mul(u32::try_from(skipped).unwrap_or(u32::MAX));
    }

    fn next(&self) -> Instant {
        self.last + self.interval
    }

    fn is_due(&self) -> bool {
        self.last.elapsed() >= self.interval
    }
}

impl Shared {
    /// Stops taking writes, for good, and tells everyone who waits for a flush.
    pub(crate) fn fail(&self, error: &StoreError) {
        let why: Arc<str> =
            format!("{error}; the store takes no more writes until it is opened again on a healthy drive").into();
        self.state.fail(Arc::clone(&why));
        self.log.flushed.fail(why);
    }

    /// Brings to the drive all that is written now.
    pub(crate) async fn flush_log(&self) -> Result<(), StoreError> {
        let _flushing = self.flushing.lock().await;
        if self.state.failure().is_some() {
            return Ok(());
        }
        let written = self.log.written();
        loop {
            let flushed = self.log.flushed.get();
            if flushed >= written.offset {
                break;
            }
            let Some(segment) = self.log.segment_at(flushed) else { break };
            if let Err(error) = segment.sync_data().await {
                if !self.config.quirks.has(Quirk::FlushErrorIgnored) {
                    let suspect = flushed.0.cast_unsigned()..self.log.written_offset().0.cast_unsigned();
                    sync_failed::note_or_log(&self.config, suspect).await;
                    self.fail(&error);
                    return Err(error);
                }
                tracing::error!(%error, "the flushed position moves on all the same");
            }
            let end = PhysicalOffset(segment.end().cast_signed());
            let reached = written.offset.min(end);
            if reached == written.offset {
                self.log.note_flushed_timestamp(written.store_timestamp_ms);
            }
            if self.config.flush_disk_type == FlushDiskType::SyncFlush {
                // Visible before acknowledged: a producer that reads its own message finds it.
                self.dispatcher.release_local(reached);
            }
            self.log.note_flushed(reached);
        }
        Ok(())
    }

    /// Whether enough is dirty for a flush (`MappedFile.isAbleToFlush`).
    fn is_able_to_flush(&self, least_pages: u64) -> bool {
        let flushed = self.log.flushed.get().0.cast_unsigned();
        let written = self.log.written_offset().0.cast_unsigned();
        let rolled_over = written / self.log.segment_bytes() > flushed / self.log.segment_bytes();
        written > flushed && (rolled_over || written / PAGE_BYTES - flushed / PAGE_BYTES >= least_pages)
    }

    /// The flush task of the CommitLog.
    pub(crate) async fn run_log_flush(self: Arc<Self>) {
        match self.config.flush_disk_type {
            FlushDiskType::SyncFlush => self.run_sync_flush().await,
            FlushDiskType::AsyncFlush => self.run_async_flush().await,
        }
    }

    async fn run_sync_flush(&self) {
        loop {
            self.flush_wanted.notified().await;
            if sim::fault_point!("store.flush.group-gathers") {
                sleep(GATHERING).await;
            }
            // Without a waiter (WAIT=false) the flush is due all the same: what is not flushed is not visible.
            // The error has been told to everyone by `fail`.
            let _ = self.flush_log().await;
        }
    }

    async fn run_async_flush(&self) {
        let mut rounds = Rounds::new(Duration::from_millis(self.config.flush_interval_commit_log_ms));
        let mut thorough_rounds = Rounds::new(Duration::from_millis(self.config.flush_commit_log_thorough_interval_ms));
        loop {
            let interval = Duration::from_millis(self.config.flush_interval_commit_log_ms);
            rounds.interval = interval;
            thorough_rounds.interval = Duration::from_millis(self.config.flush_commit_log_thorough_interval_ms);
            if self.config.flush_commit_log_timed {
                self.wait_for_dirt(&mut thorough_rounds).await;
                rounds.skip_past();
                let early = sim::fault_point!("store.flush.early-round");
                sleep_until(if early { Instant::now() + interval / 16 } else { rounds.next() }).await;
            } else {
                // Elapsed is the ordinary case.
                let _ = sim::time::timeout(interval, self.flush_wanted.notified()).await;
            }
            let thorough = thorough_rounds.is_due() || sim::fault_point!("store.flush.thorough-round");
            if thorough {
                thorough_rounds.last = Instant::now();
            }
            let least_pages = if thorough { 0 } else { self.config.flush_commit_log_least_pages };
            if self.is_able_to_flush(least_pages) {
                // The error has been told to everyone by `fail`.
                let _ = self.flush_log().await;
            }
        }
    }

    /// Waits until a round may find something to flush: more has been written, or what is left over from the last round is due.
    async fn wait_for_dirt(&self, thorough_rounds: &mut Rounds) {
        if self.is_able_to_flush(0) {
            let left = thorough_rounds.next().saturating_duration_since(Instant::now());
            // Elapsed means that it is due.
            let _ = sim::time::timeout(left, self.flush_wanted.notified()).await;
        } else {
            self.flush_wanted.notified().await;
            thorough_rounds.skip_past();
        }
    }

    /// The flush task of the ConsumeQueues (`FlushConsumeQueueService`).
    pub(crate) async fn run_queue_flush(self: Arc<Self>) {
        let claims_early = self.config.quirks.has(Quirk::CheckpointBeforeQueues);
        let mut rounds = Rounds::new(Duration::from_millis(self.config.flush_interval_consume_queue_ms));
        let mut thorough_rounds =
            Rounds::new(Duration::from_millis(self.config.flush_consume_queue_thorough_interval_ms));
        // Recovery may have left something to do.
        self.dispatcher.to_queue_flush.notify_one();
        loop {
            rounds.interval = Duration::from_millis(self.config.flush_interval_consume_queue_ms);
            thorough_rounds.interval = Duration::from_millis(self.config.flush_consume_queue_thorough_interval_ms);
            if !claims_early {
                let left = thorough_rounds.next().saturating_duration_since(Instant::now());
                // Elapsed: nothing new has become visible, but what is left over and the checkpoint are due.
                let _ = sim::time::timeout(left, self.dispatcher.to_queue_flush.notified()).await;
            }
            rounds.skip_past();
            sleep_until(rounds.next()).await;
            let thorough = thorough_rounds.is_due() || sim::fault_point!("store.queue-flush.thorough-round");
            if claims_early {
                // Apache's index files write the checkpoint whenever one of them is full; here, as often as can be.
                let _ = self.store_checkpoint().await;
            }
            if let Err(error) = self.queues.flush(thorough).await {
                // Nothing is lost: the units stay in memory and the log has them too.
                tracing::error!(%error, "a ConsumeQueue cannot be flushed; trying again");
                if error.is_no_room() {
                    sleep(NO_ROOM_PAUSE).await;
                }
                self.dispatcher.to_queue_flush.notify_one();
            }
            if thorough {
                thorough_rounds.last = Instant::now();
                if !sim::fault_point!("store.checkpoint.not-written")
                    && let Err(error) = self.store_checkpoint().await
                {
                    tracing::error!(%error, "the checkpoint cannot be written; the next recovery will take longer");
                }
            }
        }
    }

    /// What the queues have on the drive. Everything below `dispatched` was dispatched.
    fn queue_claims(&self, dispatched: PhysicalOffset) -> QueueClaims {
        let queues = self.queues.all();
        let unflushed = queues.iter().filter_map(|queue| queue.first_unflushed()).min();
        let known = unflushed.unwrap_or(dispatched).min(dispatched);
        QueueClaims {
            recover_from: self.log.flushed_mark_before(known),
            log_min: self.log.min_offset(),
            queues: queues.iter().filter_map(|queue| queue.claim()).collect(),
        }
    }

    /// Writes the checkpoint, if it has more to claim than the last one.
    pub(crate) async fn store_checkpoint(&self) -> Result<(), StoreError> {
        let mut last = self.checkpoint.lock().await;
        // This order: what is dispatched after the first line shows as dirty in the second.
        let dispatched = self.dispatcher.confirm_offset();
        let dispatched_ms = self.dispatcher.dispatched_timestamp_ms();
        let logics_ms = self.queues.dirty_since_ms().map_or(dispatched_ms, |dirty_ms| dispatched_ms.min(dirty_ms - 1));
        let claims_early = self.config.quirks.has(Quirk::CheckpointBeforeQueues);
        let logics_ms = if claims_early { dispatched_ms } else { logics_ms };
        let flushed_ms = self.log.flushed_timestamp_ms();
        let flushed_offset = self.log.flushed.get();
        let queues = if claims_early { QueueClaims::default() } else { self.queue_claims(dispatched) };
        let checkpoint = Checkpoint {
            queues,
            physic_msg_timestamp_ms: flushed_ms,
            logics_msg_timestamp_ms: logics_ms.max(0),
            index_msg_timestamp_ms: self.index.sealed_timestamp_ms(),
            master_flushed_offset: flushed_offset.0,
            confirm_phy_offset: self.dispatcher.confirm_offset().min(flushed_offset).0,
        };
        if checkpoint != *last {
            checkpoint.store(&self.checkpoint_path(), !claims_early).await?;
            *last = checkpoint;
        }
        Ok(())
    }
}

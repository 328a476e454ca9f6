//! Deleting what is old, and refusing what does not fit (`CleanCommitLogService`, `CleanConsumeQueueService`).
//!
//! Old CommitLog files go in the hours `deleteWhen` (UTC here, the machine's zone in Apache), or at any hour when the disk is
//! fuller than `diskMaxUsedSpaceRatio`. The last file always stays. The ConsumeQueues follow. Beyond the warning ratio, or with
//! less room than [`crate::room`] keeps, no write is taken.
//!
//! *Old* is a file by all evidence: by its time in the file system, and by the store's own clock ([`timeline`](crate::timeline)),
//! for which a jump of the wall clock is no time, nor is what only a wall clock says has passed while the machine was off.
//!
//! Where the disk is full beyond the forcible ratio, young files go too, no more than needed: first those of which every
//! consumer group has consumed all; those that somebody still needs only beyond the warning ratio, where otherwise no message
//! could be stored any more. Files go in the order of the log, so one that is needed keeps those behind it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use protocol::{PhysicalOffset, QueueOffset};
use sim::{
    disk::{self, DiskUsage},
    time::{sleep, wall_clock_ms},
};

use crate::{
    consume_queue::Depth,
    error::{StoreError, io_error},
    room,
    segment::Segment,
    store::Shared,
};

const HOUR_MS: i64 = 3_600_000;

/// Tells of a topic's queues below which offset nobody needs anything any more; of a queue that is not there all is needed.
pub type Consumed = Arc<dyn Fn(&str) -> BTreeMap<i32, QueueOffset> + Send + Sync>;

/// The first record that somebody may still need.
#[derive(Debug)]
struct Needed {
    from: PhysicalOffset,
    /// In this queue.
    queue: Option<(Arc<str>, i32)>,
}

fn used_percent(usage: &DiskUsage) -> u64 {
    let used_bytes = usage.total_bytes.saturating_sub(usage.available_bytes);
    used_bytes.saturating_mul(100).checked_div(usage.total_bytes).unwrap_or(0)
}

impl Shared {
    /// The retention task.
    pub(crate) async fn run_retention(self: Arc<Self>) {
        let interval = Duration::from_millis(self.config.clean_resource_interval_ms);
        loop {
            sleep(interval).await;
            if let Err(error) = self.clean().await {
                tracing::error!(%error, "old files cannot be deleted");
            }
        }
    }

    /// Looks at the disk and deletes what is due; how many CommitLog files went.
    pub(crate) async fn clean(&self) -> Result<usize, StoreError> {
        let used_percent = self.look_at_disk().await?;
        self.keep_reserve().await;
        let (config, ratios) = (&self.config, self.config.disk_ratios());
        let is_wanted = self.takes_manual_round();
        let hour = u32::try_from(wall_clock_ms().div_euclid(HOUR_MS).rem_euclid(24)).unwrap_or(0);
        let mut deleted = 0;
        if config.delete_when.has(hour) || used_percent > ratios.max_used_percent || is_wanted {
            deleted = self.delete_expired().await?;
        }
        if config.clean_file_forcibly_enable && used_percent > ratios.clean_forcibly_percent {
            deleted += self.make_room(deleted).await?;
        }
        if deleted > 0 {
            self.look_at_disk().await?;
            let log_min = self.log.min_offset();
            for queue in self.queues.all() {
                queue.delete_expired().await?;
            }
            self.index.delete_expired(log_min).await?;
        }
        Ok(deleted)
    }

    /// Looks whether the disk is too full for more messages; how much of it is used.
    async fn look_at_disk(&self) -> Result<u64, StoreError> {
        let usage = self.usage().await?;
        let used_percent = used_percent(&usage);
        let is_low = usage.available_bytes < room::kept_bytes(&usage);
        self.state.set_disk_full(used_percent > self.config.disk_ratios().warning_level_percent || is_low);
        Ok(used_percent)
    }

    /// Whether an operator has asked for this round, at whatever hour it is.
    fn takes_manual_round(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.manual_cleaning_rounds.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Fills the file `reserve`, if there is room for it.
    pub(crate) async fn keep_reserve(&self) {
        if let Err(error) = room::keep_reserve(&self.config.store_path_root_dir).await {
            tracing::warn!(%error, "no room is kept for a full drive");
        }
    }

    async fn usage(&self) -> Result<DiskUsage, StoreError> {
        let root = self.config.store_path_root_dir.as_path();
        disk::usage(root).await.map_err(io_error("look at the room of", root))
    }

    /// The first file, unless it is the last, or not flushed as a whole.
    fn first_to_go(&self) -> Option<Arc<Segment>> {
        let segments = self.log.segments();
        let (_, but_last) = segments.split_last()?;
        let is_flushed = |segment: &&Arc<Segment>| segment.end().cast_signed() <= self.log.flushed.get().0;
        but_last.first().filter(is_flushed).cloned()
    }

    /// Deletes the first file. The queues begin behind it before that, while what they say is confirmed by the records. Then it is
    /// forgotten, so that no reader looks for it; each removal is durable before the next, so that a power loss never leaves a gap.
    async fn delete_first(&self, segment: &Segment) -> Result<(), StoreError> {
        let log_min = PhysicalOffset(segment.end().cast_signed());
        self.queues.correct_min_offsets(&self.mender(), log_min).await?;
        self.log.forget_first_segment();
        segment.remove().await
    }

    async fn delete_expired(&self) -> Result<usize, StoreError> {
        let reserved_ms =
            i64::try_from(self.config.file_reserved_time_hours).unwrap_or(i64::MAX).saturating_mul(HOUR_MS);
        let mut deleted = 0;
        while deleted < self.config.delete_file_batch_max
            && let Some(segment) = self.first_to_go()
        {
            let age_ms = self.age_ms(&segment).await?;
            if age_ms < reserved_ms {
                break;
            }
            self.delete_first(&segment).await?;
            tracing::info!(file = %segment.path().display(), hours = age_ms / HOUR_MS, "deleted an expired CommitLog file");
            deleted += 1;
        }
        Ok(deleted)
    }

    /// How long ago the last record of a file was stored, for certain.
    async fn age_ms(&self, segment: &Segment) -> Result<i64, StoreError> {
        // The first record of the next file is no older.
        let end = PhysicalOffset(segment.end().cast_signed());
        let seen_ms = match self.log.store_timestamp_ms(end).await? {
            Some(timestamp_ms) => self.clock.seen_age_ms(end, timestamp_ms),
            None => self.clock.seen_age_ms(end - 1, self.log.written().store_timestamp_ms),
        };
        // A time in the future says nothing.
        let modified_ms = wall_clock_ms().saturating_sub(segment.modified_ms().await?);
        Ok(if modified_ms < 0 { seen_ms } else { seen_ms.min(modified_ms) })
    }

    /// Deletes young files of a full disk, `done` having been deleted in this round; how many went.
    async fn make_room(&self, done: usize) -> Result<usize, StoreError> {
        let ratios = self.config.disk_ratios();
        let mut needed = None;
        let mut deleted = 0;
        while done + deleted < self.config.delete_file_batch_max
            && let Some(segment) = self.first_to_go()
        {
            let used_percent = used_percent(&self.usage().await?);
            if used_percent <= ratios.clean_forcibly_percent {
                break;
            }
            let needed = match &needed {
                Some(needed) => needed,
                None => needed.insert(self.needed().await?),
            };
            let path = segment.path();
            let file = path.display();
            let is_needed = segment.end().cast_signed() > needed.from.0;
            if is_needed && used_percent <= ratios.warning_level_percent {
                tracing::warn!(
                    %file, used_percent, queue = ?needed.queue,
                    "the disk is nearly full, and messages of the oldest CommitLog file are still to be consumed: it stays until \
                     the disk is fuller than diskSpaceWarningLevelRatio; free some room"
                );
                break;
            }
            self.delete_first(&segment).await?;
            if is_needed {
                tracing::warn!(
                    %file, used_percent, queue = ?needed.queue,
                    "deleted a CommitLog file before its time, because the disk is full: of its messages not all had been consumed"
                );
            } else {
                tracing::warn!(
                    %file, used_percent,
                    "deleted a CommitLog file before its time, because the disk is full; no group needed its messages any more"
                );
            }
            deleted += 1;
        }
        Ok(deleted)
    }

    /// From where on somebody may still need the log.
    async fn needed(&self) -> Result<Needed, StoreError> {
        let Some(consumed) = self.consumed.get() else {
            return Ok(Needed { from: PhysicalOffset(i64::MAX), queue: None });
        };
        let mut needed = Needed { from: self.log.written_offset(), queue: None };
        for topic in self.queues.topics() {
            let consumed = consumed(&topic);
            for queue in self.queues.of_topic(&topic) {
                let from = consumed.get(&queue.queue_id()).copied().unwrap_or_default().max(queue.min_offset());
                if from >= queue.max_offset() {
                    continue;
                }
                if let Some(unit) = self.mender().unit(&queue, from, Depth::Place).await?.map(|found| found.unit)
                    && unit.physical_offset < needed.from
                {
                    needed = Needed { from: unit.physical_offset, queue: Some((Arc::clone(&topic), queue.queue_id())) };
                }
            }
        }
        Ok(needed)
    }
}

//! Deleting what is old, and refusing what does not fit (`CleanCommitLogService`, `CleanConsumeQueueService`).
//!
//! Old CommitLog files go in the hours `deleteWhen` (UTC here, the machine's zone in Apache), or at any hour when the disk is
//! fuller than `diskMaxUsedSpaceRatio`; beyond the forcible ratio also young ones go. The last file always stays. The
//! ConsumeQueues follow. Beyond the warning ratio, or with less than what [`crate::room`] keeps, no write is taken.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sim::{
    disk,
    time::{sleep, wall_clock_ms},
};

use crate::{
    error::{StoreError, io_error},
    room,
    store::Shared,
};

const HOUR_MS: i64 = 3_600_000;

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
        let root = self.config.store_path_root_dir.as_path();
        let usage = disk::usage(root).await.map_err(io_error("look at the room of", root))?;
        let used_bytes = usage.total_bytes.saturating_sub(usage.available_bytes);
        let used_percent = used_bytes.saturating_mul(100).checked_div(usage.total_bytes).unwrap_or(0);
        let ratios = self.config.disk_ratios();
        let is_low = usage.available_bytes < room::kept_bytes(&usage);
        self.state.set_disk_full(used_percent > ratios.warning_level_percent || is_low);
        self.keep_reserve().await;
        let now_ms = wall_clock_ms();
        let hour = u32::try_from(now_ms.div_euclid(HOUR_MS).rem_euclid(24)).unwrap_or(0);
        let is_full = used_percent > ratios.max_used_percent;
        let is_wanted = self.takes_manual_round();
        if !self.config.delete_when.has(hour) && !is_full && !is_wanted {
            return Ok(0);
        }
        let forcibly = self.config.clean_file_forcibly_enable && used_percent > ratios.clean_forcibly_percent;
        self.delete_expired(now_ms, forcibly).await
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

    async fn delete_expired(&self, now_ms: i64, forcibly: bool) -> Result<usize, StoreError> {
        let reserved_ms =
            i64::try_from(self.config.file_reserved_time_hours).unwrap_or(i64::MAX).saturating_mul(HOUR_MS);
        let segments = self.log.segments();
        let Some((_, but_last)) = segments.split_last() else { return Ok(0) };
        let mut deleted = 0;
        for segment in but_last.iter().take(self.config.delete_file_batch_max) {
            let is_flushed = segment.end().cast_signed() <= self.log.flushed.get().0;
            let is_old = forcibly || now_ms >= segment.modified_ms().await?.saturating_add(reserved_ms);
            if !is_old || !is_flushed {
                break;
            }
            // Forgotten first, so that no reader looks for it; each removal is durable before the next, so that a power
            // loss never leaves a gap.
            self.log.forget_first_segment();
            segment.remove().await?;
            tracing::info!(file = %segment.path().display(), forcibly, "deleted an expired CommitLog file");
            deleted += 1;
        }
        if deleted > 0 {
            let log_min = self.log.min_offset();
            for queue in self.queues.all() {
                queue.delete_expired(log_min).await?;
            }
            self.index.delete_expired(log_min).await?;
        }
        Ok(deleted)
    }
}

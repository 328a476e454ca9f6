//! The settings of a store: RocketMQ's `MessageStoreConfig` (4.9.8), with its names (units last) and its defaults.
//!
//! Sizes and times are settings so that a simulation may roll over often. Left out: what concerns memory mapping, the
//! transient store pool and DLedger.

use std::{path::PathBuf, time::Duration};

use quirks::QuirkSet;

use crate::{consume_queue::UNIT_BYTES, delete_when::DeleteWhen, error::StoreError};

/// When an acknowledgement may be given (`flushDiskType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushDiskType {
    /// `SYNC_FLUSH`: after the record is on the drive.
    SyncFlush,
    /// `ASYNC_FLUSH`: after the record is in the page cache; it reaches the drive later.
    AsyncFlush,
}

/// How full the drive must be for each measure against its filling up. They rise: old files are deleted at any hour first,
/// then young ones, and sends are refused last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRatios {
    /// Above this old files are deleted at any hour.
    pub max_used_percent: u64,
    /// Above this files are deleted however young they are.
    pub clean_forcibly_percent: u64,
    /// Above this sends are refused.
    pub warning_level_percent: u64,
}

/// The settings of a store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `storePathRootDir`: the store directory.
    pub store_path_root_dir: PathBuf,
    /// `mappedFileSizeCommitLog`: the size of a CommitLog file.
    pub mapped_file_size_commit_log_bytes: u64,
    /// `mappedFileSizeConsumeQueue`: the size of a ConsumeQueue file, a multiple of 20.
    pub mapped_file_size_consume_queue_bytes: u64,
    /// `flushDiskType`.
    pub flush_disk_type: FlushDiskType,
    /// `flushIntervalCommitLog`: how often the CommitLog is flushed under ASYNC_FLUSH.
    pub flush_interval_commit_log_ms: u64,
    /// `flushCommitLogTimed`: sleep for the interval whatever happens; otherwise a put ends the sleep early.
    pub flush_commit_log_timed: bool,
    /// `flushCommitLogLeastPages`: fewer dirty pages than this wait for the thorough flush.
    pub flush_commit_log_least_pages: u64,
    /// `flushCommitLogThoroughInterval`: how often everything is flushed, however little it is.
    pub flush_commit_log_thorough_interval_ms: u64,
    /// `flushIntervalConsumeQueue`.
    pub flush_interval_consume_queue_ms: u64,
    /// `flushConsumeQueueLeastPages`.
    pub flush_consume_queue_least_pages: u64,
    /// `flushConsumeQueueThoroughInterval`.
    pub flush_consume_queue_thorough_interval_ms: u64,
    /// `syncFlushTimeout`: how long a SYNC_FLUSH put waits before it answers FLUSH_DISK_TIMEOUT.
    pub sync_flush_timeout_ms: u64,
    /// `maxMessageSize`: of a body; a record may have 64 KiB more for its topic and properties.
    pub max_message_size_bytes: usize,
    /// `fileReservedTime`: files older than this are deleted.
    pub file_reserved_time_hours: u64,
    /// `deleteWhen`: the hours (UTC) in which old files are deleted.
    pub delete_when: DeleteWhen,
    /// `diskMaxUsedSpaceRatio`: a fuller disk has old files deleted at any hour.
    pub disk_max_used_space_ratio_percent: u64,
    /// `cleanFileForciblyEnable`: whether young files are ever deleted for want of room.
    pub clean_file_forcibly_enable: bool,
    /// `rocketmq.broker.diskSpaceCleanForciblyRatio`: a fuller disk has files deleted however young they are.
    pub disk_space_clean_forcibly_ratio_percent: u64,
    /// `rocketmq.broker.diskSpaceWarningLevelRatio`: a fuller disk refuses writes.
    pub disk_space_warning_level_ratio_percent: u64,
    /// `cleanResourceInterval`: how often the disk is looked at and old files are deleted.
    pub clean_resource_interval_ms: u64,
    /// `deleteFileBatchMax` (a constant in `MappedFileQueue`): the most CommitLog files deleted at once.
    pub delete_file_batch_max: usize,
    /// `maxTransferBytesOnMessageInMemory`: where a pull of young messages is cut.
    pub max_transfer_bytes_on_message_in_memory: usize,
    /// `maxTransferCountOnMessageInMemory`.
    pub max_transfer_count_on_message_in_memory: usize,
    /// `maxTransferBytesOnMessageInDisk`: where a pull of old messages is cut.
    pub max_transfer_bytes_on_message_in_disk: usize,
    /// `maxTransferCountOnMessageInDisk`.
    pub max_transfer_count_on_message_in_disk: usize,
    /// How far behind the end of the log a message counts as "in memory". Apache takes 40 % of the machine's RAM
    /// (`accessMessageInMemoryMaxRatio`); here it is said in bytes.
    pub access_message_in_memory_max_bytes: u64,
    /// The most bytes of recent records kept in this process's memory for pulls at the tail (ours: Apache maps its files).
    pub tail_cache_max_bytes: usize,
    /// `messageIndexEnable`: keep an index of messages by key.
    pub message_index_enable: bool,
    /// `maxHashSlotNum`: the hash slots of an index file, 4 bytes each. Files of another size are built anew.
    pub max_hash_slot_num: u32,
    /// `maxIndexNum`: the entries of an index file, 20 bytes each.
    pub max_index_num: u32,
    /// `enabledAppendPropCRC` (5.x, there off): a checksum of the whole record is stored with each message.
    pub enabled_append_prop_crc: bool,
    /// `checkCRCOnRecover`: recompute the checksums also of what had been flushed when the store is opened; those of what may not
    /// have been are always recomputed.
    pub check_crc_on_recover: bool,
    /// Which defects of Apache's brokers are reproduced: none but in simulations that ask for them.
    pub quirks: QuirkSet,
}

impl StoreConfig {
    /// RocketMQ's defaults for a store in this directory.
    pub fn new(store_path_root_dir: impl Into<PathBuf>) -> StoreConfig {
        StoreConfig {
            store_path_root_dir: store_path_root_dir.into(),
            mapped_file_size_commit_log_bytes: 1 << 30,
            mapped_file_size_consume_queue_bytes: 300_000 * UNIT_BYTES as u64,
            flush_disk_type: FlushDiskType::AsyncFlush,
            flush_interval_commit_log_ms: 500,
            flush_commit_log_timed: true,
            flush_commit_log_least_pages: 4,
            flush_commit_log_thorough_interval_ms: 10_000,
            flush_interval_consume_queue_ms: 1_000,
            flush_consume_queue_least_pages: 2,
            flush_consume_queue_thorough_interval_ms: 60_000,
            sync_flush_timeout_ms: 5_000,
            max_message_size_bytes: 4 << 20,
            file_reserved_time_hours: 72,
            delete_when: DeleteWhen::hour(4),
            disk_max_used_space_ratio_percent: 75,
            clean_file_forcibly_enable: true,
            disk_space_clean_forcibly_ratio_percent: 85,
            disk_space_warning_level_ratio_percent: 90,
            clean_resource_interval_ms: 10_000,
            delete_file_batch_max: 10,
            max_transfer_bytes_on_message_in_memory: 256 << 10,
            max_transfer_count_on_message_in_memory: 32,
            max_transfer_bytes_on_message_in_disk: 64 << 10,
            max_transfer_count_on_message_in_disk: 8,
            access_message_in_memory_max_bytes: 1 << 30,
            tail_cache_max_bytes: 16 << 20,
            message_index_enable: true,
            max_hash_slot_num: 5_000_000,
            max_index_num: 20_000_000,
            enabled_append_prop_crc: true,
            check_crc_on_recover: true,
            quirks: QuirkSet::NONE,
        }
    }

    /// The three ratios as they are applied. Apache's broker brings `diskMaxUsedSpaceRatio` into the range from 10 to 95
    /// (`MessageStoreConfig.getDiskMaxUsedSpaceRatio`) and takes any combination; one that does not rise would skip a
    /// measure, or refuse sends for good before anything is deleted.
    pub fn disk_ratios(&self) -> DiskRatios {
        let warning_level_percent = self.disk_space_warning_level_ratio_percent.clamp(10, 99);
        let max_used_percent = self.disk_max_used_space_ratio_percent.clamp(10, 95).min(warning_level_percent);
        let clean_forcibly_percent =
            self.disk_space_clean_forcibly_ratio_percent.clamp(max_used_percent, warning_level_percent);
        DiskRatios { max_used_percent, clean_forcibly_percent, warning_level_percent }
    }

    /// The directory of the CommitLog.
    pub fn commit_log_dir(&self) -> PathBuf {
        self.store_path_root_dir.join("commitlog")
    }

    /// The directory of the ConsumeQueues.
    pub fn consume_queue_dir(&self) -> PathBuf {
        self.store_path_root_dir.join("consumequeue")
    }

    /// The directory of `topics.json` and its siblings.
    pub fn config_dir(&self) -> PathBuf {
        self.store_path_root_dir.join("config")
    }

    pub(crate) fn sync_flush_timeout(&self) -> Duration {
        Duration::from_millis(self.sync_flush_timeout_ms)
    }

    /// These settings, with those of `other` that may change while a store is open.
    pub(crate) fn with_changes_of(&self, other: &StoreConfig) -> StoreConfig {
        StoreConfig {
            flush_interval_commit_log_ms: other.flush_interval_commit_log_ms,
            flush_commit_log_timed: other.flush_commit_log_timed,
            flush_commit_log_least_pages: other.flush_commit_log_least_pages,
            flush_commit_log_thorough_interval_ms: other.flush_commit_log_thorough_interval_ms,
            flush_interval_consume_queue_ms: other.flush_interval_consume_queue_ms,
            flush_consume_queue_least_pages: other.flush_consume_queue_least_pages,
            flush_consume_queue_thorough_interval_ms: other.flush_consume_queue_thorough_interval_ms,
            sync_flush_timeout_ms: other.sync_flush_timeout_ms,
            max_message_size_bytes: other.max_message_size_bytes,
            file_reserved_time_hours: other.file_reserved_time_hours,
            delete_when: other.delete_when,
            disk_max_used_space_ratio_percent: other.disk_max_used_space_ratio_percent,
            clean_file_forcibly_enable: other.clean_file_forcibly_enable,
            disk_space_clean_forcibly_ratio_percent: other.disk_space_clean_forcibly_ratio_percent,
            disk_space_warning_level_ratio_percent: other.disk_space_warning_level_ratio_percent,
            delete_file_batch_max: other.delete_file_batch_max,
            max_transfer_bytes_on_message_in_memory: other.max_transfer_bytes_on_message_in_memory,
            max_transfer_count_on_message_in_memory: other.max_transfer_count_on_message_in_memory,
            max_transfer_bytes_on_message_in_disk: other.max_transfer_bytes_on_message_in_disk,
            max_transfer_count_on_message_in_disk: other.max_transfer_count_on_message_in_disk,
            access_message_in_memory_max_bytes: other.access_message_in_memory_max_bytes,
            ..self.clone()
        }
    }

    /// The size of a ConsumeQueue file that is asked for in this way: as much as the units have that hold it, as Apache's
    /// (`MessageStoreConfig.getMappedFileSizeConsumeQueue`).
    #[must_use]
    pub const fn consume_queue_file_bytes(asked_bytes: u64) -> u64 {
        asked_bytes.div_ceil(UNIT_BYTES as u64).saturating_mul(UNIT_BYTES as u64)
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let unit_bytes = UNIT_BYTES as u64;
        if self.mapped_file_size_commit_log_bytes < 4096 || self.mapped_file_size_commit_log_bytes > i32::MAX as u64 {
            return Err(StoreError::Setting {
                setting: "mappedFileSizeCommitLog",
                value: self.mapped_file_size_commit_log_bytes,
                why: "a CommitLog file has 4096 to 2147483647 bytes",
            });
        }
        let queue_bytes = self.mapped_file_size_consume_queue_bytes;
        if queue_bytes < unit_bytes || !queue_bytes.is_multiple_of(unit_bytes) || queue_bytes > i32::MAX as u64 {
            return Err(StoreError::Setting {
                setting: "mappedFileSizeConsumeQueue",
                value: queue_bytes,
                why: "a ConsumeQueue file has a multiple of 20 bytes, at most 2147483647",
            });
        }
        for (setting, value) in [("maxHashSlotNum", self.max_hash_slot_num), ("maxIndexNum", self.max_index_num)] {
            if !(2..=100_000_000).contains(&value) {
                let why = "an index file has 2 to 100000000 of them";
                return Err(StoreError::Setting { setting, value: u64::from(value), why });
            }
        }
        for (setting, value) in [
            ("flushIntervalCommitLog", self.flush_interval_commit_log_ms),
            ("flushIntervalConsumeQueue", self.flush_interval_consume_queue_ms),
            ("cleanResourceInterval", self.clean_resource_interval_ms),
        ] {
            if value == 0 {
                return Err(StoreError::Setting { setting, value, why: "an interval is at least 1 ms" });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratios_rise_whatever_is_set() {
        for (set, applied) in [
            ([75, 85, 90], [75, 85, 90]),
            // Above the next one's default.
            ([88, 85, 90], [88, 88, 90]),
            ([95, 85, 90], [90, 90, 90]),
            ([75, 95, 90], [75, 90, 90]),
            ([0, 0, 0], [10, 10, 10]),
            ([100, 100, 100], [95, 99, 99]),
            ([5, 85, 90], [10, 85, 90]),
        ] {
            let mut config = StoreConfig::new("store");
            config.disk_max_used_space_ratio_percent = set[0];
            config.disk_space_clean_forcibly_ratio_percent = set[1];
            config.disk_space_warning_level_ratio_percent = set[2];
            let ratios = config.disk_ratios();
            let rising = [ratios.max_used_percent, ratios.clean_forcibly_percent, ratios.warning_level_percent];
            assert_eq!(rising, applied, "{set:?}");
            assert!(rising.is_sorted());
        }
    }
}

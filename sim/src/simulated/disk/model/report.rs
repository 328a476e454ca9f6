//! Counters: what a disk did, and what a crash took from it, so that a fault can prove that it mattered.

use crate::simulated::core::Crash;

/// What one crash took. Counts are of this crash alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashReport {
    pub crash: Crash,
    /// Write calls that were caught in flight, and of which only some leading pages, or none, took effect.
    pub cut_writes: u64,
    /// Sectors not yet durable that reached the media all the same: by early write-back, or drained by the drive.
    pub kept_sectors: u64,
    /// Sectors whose newest version is gone.
    pub lost_sectors: u64,
    /// Sectors that are part new, part old. They are counted in neither of the two above.
    pub torn_sectors: u64,
    /// Creations, renames and removals that were undone.
    pub lost_entries: u64,
    /// Files whose last changes of size were undone.
    pub undone_sizes: u64,
    /// Paths at which there was a file before and is none now.
    pub lost_files: u64,
}

impl CrashReport {
    pub(super) fn new(crash: Crash) -> CrashReport {
        CrashReport {
            crash,
            cut_writes: 0,
            kept_sectors: 0,
            lost_sectors: 0,
            torn_sectors: 0,
            lost_entries: 0,
            undone_sizes: 0,
            lost_files: 0,
        }
    }

    /// Whether the crash changed anything that a program could have read from the disk just before.
    pub fn lost_anything(&self) -> bool {
        self.lost_sectors + self.torn_sectors + self.lost_entries + self.undone_sizes + self.lost_files != 0
    }
}

/// What a disk did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Bytes that programs wrote.
    pub written_bytes: u64,
    /// Bytes that programs read.
    pub read_bytes: u64,
    /// Reads that had to wait for the drive.
    pub uncached_reads: u64,
    /// Bytes that syncs moved to the drive, in whole pages.
    pub synced_bytes: u64,
    /// Completed syncs of files.
    pub syncs: u64,
    /// Syncs that failed, of files and of directories.
    pub failed_syncs: u64,
    /// Pages that the drive refused, by a sync or by the flusher: they count as clean.
    pub dropped_pages: u64,
    /// Sectors that the drive forgot when a flush of its cache failed.
    pub forgotten_sectors: u64,
    /// Completed syncs of directories.
    pub dir_syncs: u64,
    /// Pages that the kernel's flusher wrote back.
    pub written_back_pages: u64,
    /// Commits of the journal by its timer.
    pub journal_commits: u64,
    /// Drives of the array that were lost; a single drive counts too.
    pub lost_members: u64,
    /// Pages that left the page cache because of its limit, or were dropped.
    pub evicted_pages: u64,
    /// Snapshots that were taken of it.
    pub snapshots_injected: u64,
    /// How often it was set back to one.
    pub set_back_injected: u64,
    /// Writes that had to wait because too much was dirty.
    pub throttled_writes: u64,
    /// Sectors that could not be read and were mended from the mirror.
    pub mended_by_mirror: u64,
    /// Reads that were made to fail.
    pub read_errors_injected: u64,
    /// Commands to write that were made to fail.
    pub write_errors_injected: u64,
    /// Syncs that were made to fail, by their probability or by [`crate::world::World::fail_next_sync`].
    pub sync_errors_injected: u64,
    pub short_reads_injected: u64,
    pub short_writes_injected: u64,
    pub lost_writes_injected: u64,
    pub misdirected_writes_injected: u64,
    pub misdirected_reads_injected: u64,
    pub stale_reads_injected: u64,
    /// Cache flushes that did nothing.
    pub lying_flushes_injected: u64,
    /// Calls that came to their end only when a stall ended.
    pub stalled_calls_injected: u64,
    /// Writes and reservations that a quota or a filled file system refused.
    pub refused_room_injected: u64,
    /// Sectors that were damaged on the media.
    pub damaged_sectors_injected: u64,
    /// Pages whose damage a read met: by EIO, or by wrong bytes.
    pub damaged_reads_injected: u64,
    /// Crashes of any kind.
    pub crashes: u64,
    /// What the last crash took.
    pub last_crash: Option<CrashReport>,
}

//! What a drive and its file system are like: sizes, speeds, and the timers of the kernel.

use super::{Personality, drive::Raid10};
use crate::simulated::key::Stream;

/// The properties of one host's disk. The defaults are a datacentre SATA or entry NVMe SSD without power-loss protection
/// under Linux with ext4.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskSpec {
    /// Room for file content; a write or reservation beyond it fails with `StorageFull`.
    pub capacity_bytes: u64,
    /// Fixed cost of a read that the page cache can answer: a system call and a look-up.
    pub cached_read_ns: u64,
    /// Copying out of the page cache.
    pub cached_read_bytes_per_s: u64,
    /// Fixed cost of a write into the page cache.
    pub cached_write_ns: u64,
    /// Copying into the page cache.
    pub cached_write_bytes_per_s: u64,
    /// Latency of the drive for a read that the page cache cannot answer.
    pub read_latency_ns: u64,
    /// Bandwidth of the drive for reads.
    pub read_bytes_per_s: u64,
    /// Bandwidth of the drive for writes: what a sync has to move takes this long.
    pub write_bytes_per_s: u64,
    /// A cache flush of the drive (FLUSH CACHE) takes at least this…
    pub flush_ns_min: u64,
    /// …and on average this, exponentially distributed above the minimum…
    pub flush_ns_mean: u64,
    /// …and at most this.
    pub flush_ns_max: u64,
    /// The drive moves a page from its cache to the media by itself after at least this…
    pub drain_ns_min: u64,
    /// …and at most this, uniformly distributed.
    pub drain_ns_max: u64,
    /// The kernel's flusher wakes this often (`vm.dirty_writeback_centisecs`)…
    pub writeback_interval_ns: u64,
    /// …and writes back the pages that have been dirty for this long (`vm.dirty_expire_centisecs`).
    pub dirty_expire_ns: u64,
    /// The journal commits this long after the first change of metadata that waits for it (ext4 `commit=`).
    pub journal_commit_ns: u64,
    /// Whether the file system can reserve room (`fallocate`): not so NFS and some overlays.
    pub reserves_room: bool,
    /// What the file system promises of names and sizes.
    pub personality: Personality,
    /// Several such drives as one. `None`: a single drive.
    pub raid10: Option<Raid10>,
}

impl Default for DiskSpec {
    fn default() -> DiskSpec {
        DiskSpec {
            capacity_bytes: 64 << 30,
            cached_read_ns: 1_500,
            cached_read_bytes_per_s: 8_000_000_000,
            cached_write_ns: 2_000,
            cached_write_bytes_per_s: 4_000_000_000,
            read_latency_ns: 80_000,
            read_bytes_per_s: 2_000_000_000,
            write_bytes_per_s: 500_000_000,
            flush_ns_min: 300_000,
            flush_ns_mean: 1_000_000,
            flush_ns_max: 5_000_000,
            drain_ns_min: 2_000_000,
            drain_ns_max: 300_000_000,
            writeback_interval_ns: 5_000_000_000,
            dirty_expire_ns: 30_000_000_000,
            journal_commit_ns: 5_000_000_000,
            reserves_room: true,
            personality: Personality::StrictPosix,
            raid10: None,
        }
    }
}

impl DiskSpec {
    /// Four of the default drives as a RAID10 under md.
    pub fn raid10() -> DiskSpec {
        DiskSpec { raid10: Some(Raid10::default()), ..DiskSpec::default() }
    }

    /// The default drive under ext4 as it is mounted by default.
    pub fn ext4() -> DiskSpec {
        DiskSpec { personality: Personality::Ext4Ordered, ..DiskSpec::default() }
    }

    /// The default drive under XFS: its log is forced every 30 s (`fs.xfs.xfssyncd_centisecs`).
    pub fn xfs() -> DiskSpec {
        DiskSpec { personality: Personality::Xfs, journal_commit_ns: 30_000_000_000, ..DiskSpec::default() }
    }

    /// The time of a read of `bytes` from the page cache.
    pub(super) fn cached_read_ns(&self, bytes: u64) -> u64 {
        self.cached_read_ns + duration_ns(bytes, self.cached_read_bytes_per_s)
    }

    /// The time of a write of `bytes` into the page cache.
    pub(super) fn write_ns(&self, bytes: u64) -> u64 {
        self.cached_write_ns + duration_ns(bytes, self.cached_write_bytes_per_s)
    }

    /// The time of one cache flush of one sound drive.
    pub(super) fn flush_ns(&self, stream: &mut Stream) -> u64 {
        let tail_ns_mean = self.flush_ns_mean.saturating_sub(self.flush_ns_min);
        let tail_ns = stream.exponential(tail_ns_mean as f64) as u64;
        (self.flush_ns_min + tail_ns).min(self.flush_ns_max.max(self.flush_ns_min))
    }

    /// How long a page stays in the device cache when nobody flushes it.
    pub(super) fn drain_ns(&self, stream: &mut Stream) -> u64 {
        stream.range(self.drain_ns_min, self.drain_ns_max)
    }
}

pub(super) fn duration_ns(bytes: u64, bytes_per_s: u64) -> u64 {
    // Dividing 128 bits is slow, and 18 GB at once are rare.
    if let Some(scaled) = bytes.checked_mul(1_000_000_000) {
        return scaled / bytes_per_s.max(1);
    }
    u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_s.max(1))).unwrap_or(u64::MAX)
}

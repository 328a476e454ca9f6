//! Room: the capacity of the drive, what others take of it, and a quota.
//!
//! Room is taken when a page is first written into the page cache, as with delayed allocation in ext4 (`ext4_da_reserve_space`)
//! and XFS (`xfs_bmapi_reserve_delalloc`): a write is refused at once and not when it is written back. A quota is that of a
//! directory tree (a project): ext4 answers EDQUOT, XFS answers ENOSPC (`xfs_trans_dqresv` for project quotas), and both show
//! it in `statvfs`, so that [`Disk::usage`] is the smaller of the two. A quota below what is used already refuses growth only.
//!
//! Left out: the blocks of indirection and of names, XFS's speculative preallocation beyond the end of a file, soft limits
//! with their grace time, and blocks reserved for root.

use super::{Disk, DiskError, DiskUsage, Personality, page::PAGE_BYTES};

/// What limits the room besides the capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RoomLimits {
    /// The most that the files of this host may take.
    pub quota_bytes: Option<u64>,
    /// Taken by something else on the same file system.
    pub foreign_bytes: u64,
}

impl Disk {
    /// Its size and what is left of it.
    pub fn usage(&self) -> DiskUsage {
        let used_bytes = self.used_pages * PAGE_BYTES as u64;
        let capacity_bytes = self.spec.capacity_bytes;
        let available_bytes = capacity_bytes.saturating_sub(used_bytes).saturating_sub(self.limits.foreign_bytes);
        match self.limits.quota_bytes {
            None => DiskUsage { total_bytes: capacity_bytes, available_bytes },
            Some(quota_bytes) => DiskUsage {
                total_bytes: quota_bytes.min(capacity_bytes),
                available_bytes: available_bytes.min(quota_bytes.saturating_sub(used_bytes)),
            },
        }
    }

    pub(super) fn free_pages(&self) -> u64 {
        self.usage().available_bytes / PAGE_BYTES as u64
    }

    /// Limits what the files may take; `None` takes the limit away.
    pub fn set_quota(&mut self, quota_bytes: Option<u64>) {
        self.limits.quota_bytes = quota_bytes;
    }

    /// Something else fills the file system until only this much is left; `None`: it is deleted.
    pub fn fill(&mut self, left_bytes: Option<u64>) {
        self.limits.foreign_bytes = 0;
        if let Some(left_bytes) = left_bytes {
            let free_bytes = self.spec.capacity_bytes.saturating_sub(self.used_pages * PAGE_BYTES as u64);
            self.limits.foreign_bytes = free_bytes.saturating_sub(left_bytes);
        }
    }

    /// The refusal of `needed_bytes`, counted when a limit is the cause.
    pub(super) fn refuse_room(&mut self, needed_bytes: u64) -> DiskError {
        let available_bytes = self.usage().available_bytes;
        if self.limits == RoomLimits::default() {
            return DiskError::Full { needed_bytes, available_bytes };
        }
        self.stats.refused_room_injected += 1;
        let used_bytes = self.used_pages * PAGE_BYTES as u64;
        let is_quota = self.limits.quota_bytes.is_some_and(|quota| quota.saturating_sub(used_bytes) <= available_bytes);
        if is_quota && self.spec.personality != Personality::Xfs {
            DiskError::OverQuota { needed_bytes, available_bytes }
        } else {
            DiskError::Full { needed_bytes, available_bytes }
        }
    }
}

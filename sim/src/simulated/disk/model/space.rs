//! Room: the capacity of the drive, what others take of it, and a quota.
//!
//! Room is taken when a page is first written into the page cache, as with delayed allocation in ext4 (`ext4_da_reserve_space`)
//! and XFS (`xfs_bmapi_reserve_delalloc`): a write is refused at once and not when it is written back. How much of a write that
//! does not fit as a whole is done differs: under POSIX all pages that have room; on ext4 the folios that have, which grow with
//! the write (`fgf_set_order`, since 6.16); on XFS nothing of a run of new blocks (`xfs_buffered_write_iomap_begin`). A reservation
//! that does not fit takes what there is on ext4, and the size grows to that (`ext4_alloc_file_blocks`); what a reservation within
//! a file took can be given back. A quota is that of a directory tree (a project): ext4 answers EDQUOT, XFS answers ENOSPC
//! (`xfs_trans_dqresv` for project quotas), and both show it in `statvfs`, so that [`Disk::usage`] is the smaller of the two. A
//! quota below what is used already refuses growth only.
//!
//! Left out: the blocks of indirection and of names, XFS's speculative preallocation beyond the end of a file, soft limits
//! with their grace time, and blocks reserved for root.

use super::{Disk, DiskError, DiskUsage, Personality, inode::FileNode, page::PAGE_BYTES};

const PAGE: u64 = PAGE_BYTES as u64;

/// What limits the room besides the capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RoomLimits {
    /// The most that the files of this host may take.
    pub quota_bytes: Option<u64>,
    /// Taken by something else on the same file system.
    pub foreign_bytes: u64,
}

/// The largest folio of ext4 (`EXT4_MAX_PAGECACHE_ORDER`), and the longest piece of a write for which XFS looks for room at once.
const EXT4_FOLIO_PAGES_MAX: u64 = 2048;
const XFS_RUN_PAGES_MAX: u64 = 1024;

impl Disk {
    /// How many of so many bytes can be written there with so much room.
    pub(super) fn fitting(&self, file: &FileNode, offset: u64, len: usize, mut free_pages: u64) -> usize {
        let (mut page, end) = (offset / PAGE, (offset + len as u64).div_ceil(PAGE));
        if end - page <= free_pages {
            return len;
        }
        while page < end {
            let takes_room = file.takes_room(page);
            let piece = match self.spec.personality {
                Personality::StrictPosix => 1,
                Personality::Ext4Ordered => {
                    let aligned = 1 << page.trailing_zeros().min(u64::BITS - 1);
                    EXT4_FOLIO_PAGES_MAX.min(aligned).min(1 << (end - page).ilog2())
                }
                Personality::Xfs => {
                    let run = (page..end).take_while(|&page| file.takes_room(page) == takes_room).count() as u64;
                    run.min(XFS_RUN_PAGES_MAX)
                }
            };
            let needed = (page..page + piece).filter(|&page| file.takes_room(page)).count() as u64;
            if needed > free_pages {
                return usize::try_from((page * PAGE).saturating_sub(offset)).unwrap_or(usize::MAX);
            }
            free_pages -= needed;
            page += piece;
        }
        len
    }

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

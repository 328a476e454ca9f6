//! Syncs: one at a time moves a file's dirty pages to the drive and flushes the drive's cache.
//!
//! A sync takes its snapshot when the device gets to it, transfers it at the drive's write bandwidth and flushes the whole
//! device cache (FLUSH CACHE knows no files). Pages written again meanwhile stay dirty. When it ends, what it covers is on
//! the media: the snapshot, the size as it was at the snapshot, for `fsync` also the modification time, for a directory
//! its entries. A crash before the end of the transfer finds some of the snapshot at the drive, one before the end of
//! the flush finds it in the device cache.
//!
//! A sync can be made to fail ([`Disk::fail_next_sync`]). It then does what Linux does on ext4 and XFS (Rebello et al., "Can
//! Applications Recover from fsync Failures?", ATC 2020): the drive gets nothing, the pages count as clean, programs go on
//! reading the new content from the page cache, and a further sync succeeds without having written it. The error is reported
//! once: to the caller or, if that has died meanwhile, to the next sync of the file.

use super::{
    Disk, DiskError, InodeId,
    inode::cut_snapshot,
    operation::{OperationId, Work},
    page::{PAGE_BYTES, PageBytes},
};
use crate::simulated::{
    core::{Core, HostId},
    key::Key,
};
use std::collections::VecDeque;

/// A page on its way to the drive.
pub(super) struct Snapshot {
    pub page: u64,
    pub bytes: PageBytes,
    /// The sectors that were dirty, one bit each.
    pub sectors: u8,
}

/// How a sync will end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncOutcome {
    Succeeds,
    /// The drive refuses the pages.
    Drops,
    /// It moves its pages, but has an earlier failure to report.
    Reports,
}

/// The sync that has the device.
pub(super) struct ActiveSync {
    file: InodeId,
    pub outcome: SyncOutcome,
    pub snapshots: Vec<Snapshot>,
    pub from_ns: u64,
    pub transferred_ns: u64,
    /// What of the metadata it covers: everything up to this place in the order of changes.
    covers: u64,
    modified_ms: i64,
}

pub(super) struct SyncQueue {
    waiting: VecDeque<OperationId>,
    pub active: Option<ActiveSync>,
    key: Key,
    started: u64,
    /// So many syncs that have something to move will fail.
    failing: u32,
}

impl SyncQueue {
    pub fn new(key: Key) -> SyncQueue {
        SyncQueue { waiting: VecDeque::new(), active: None, key, started: 0, failing: 0 }
    }

    /// The machine has died: returns the sync that had the device.
    pub fn clear(&mut self) -> Option<ActiveSync> {
        self.waiting.clear();
        self.active.take()
    }

    /// When the transfer ends that is going on.
    pub fn transfer_due_ns(&self) -> Option<u64> {
        self.active.as_ref().filter(|active| !active.snapshots.is_empty()).map(|active| active.transferred_ns)
    }

    /// A file is cut: what lies beyond is not moved to the drive any more.
    pub fn cut(&mut self, file: InodeId, to: u64) {
        if let Some(active) = self.active.as_mut().filter(|active| active.file == file) {
            active.snapshots.retain_mut(|snapshot| cut_snapshot(snapshot.page, &mut snapshot.bytes, to));
        }
    }
}

impl ActiveSync {
    /// The file it moves, for the pages in transfer.
    pub fn file(&self) -> InodeId {
        self.file
    }
}

impl Disk {
    /// The next sync of a file that has something to move fails.
    pub fn fail_next_sync(&mut self) {
        self.syncs.failing += 1;
    }

    /// No sync fails any more; whether one would have.
    pub fn withdraw_sync_failures(&mut self) -> bool {
        std::mem::take(&mut self.syncs.failing) > 0
    }

    fn outcome(&mut self, file: InodeId, snapshots: &[Snapshot]) -> SyncOutcome {
        if self.syncs.failing > 0 && !snapshots.is_empty() {
            self.syncs.failing -= 1;
            return SyncOutcome::Drops;
        }
        let has_error = self.files.get_mut(&file).is_some_and(|file| std::mem::take(&mut file.has_unreported_error));
        if has_error { SyncOutcome::Reports } else { SyncOutcome::Succeeds }
    }

    pub(super) fn enqueue_sync(&mut self, core: &mut Core, host: HostId, work: Work) -> OperationId {
        let id = self.insert_operation(work, core.now_ns());
        self.syncs.waiting.push_back(id);
        self.start_sync(core, host);
        id
    }

    /// Gives the device to the next sync, if it is free.
    pub(super) fn start_sync(&mut self, core: &mut Core, host: HostId) {
        if self.syncs.active.is_some() {
            return;
        }
        let Some(id) = self.syncs.waiting.pop_front() else { return };
        let now_ns = core.now_ns();
        let (file, modified_ms, snapshots) = match self.operations.get(&id).map(|operation| &operation.work) {
            Some(Work::Sync { file: id, .. }) => {
                // A file that was removed and closed while its sync waited has nothing to move.
                let (id, file) = (*id, self.files.get_mut(id));
                let (modified_ms, snapshots) = file.map_or((0, Vec::new()), |file| {
                    let dirty = file.take_dirty();
                    let snapshots = dirty.into_iter().filter_map(|number| {
                        let (bytes, sectors) = file.page_mut(number)?.begin_transfer();
                        Some(Snapshot { page: number, bytes, sectors })
                    });
                    let snapshots = snapshots.collect();
                    (file.modified_ms, snapshots)
                });
                (id, modified_ms, snapshots)
            }
            Some(Work::SyncDir { dir }) => (*dir, 0, Vec::new()),
            _ => unreachable!("only syncs wait for the device"),
        };
        let outcome = self.outcome(file, &snapshots);
        let bytes = (snapshots.len() * PAGE_BYTES) as u64;
        self.stats.synced_bytes += bytes;
        self.syncs.started += 1;
        let mut stream = self.syncs.key.index(self.syncs.started).stream();
        let transferred_ns = now_ns + self.drive.transfer_ns(&self.spec, now_ns, bytes);
        let flush_ns = self.drive.flush_ns(&self.spec, now_ns, &mut stream);
        self.background.wake_by(transferred_ns);
        self.syncs.active = Some(ActiveSync {
            file,
            outcome,
            snapshots,
            from_ns: now_ns,
            transferred_ns,
            covers: self.last_number,
            modified_ms,
        });
        Disk::schedule_end(core, host, id, transferred_ns + flush_ns);
    }

    /// The snapshot is in the device cache.
    pub(super) fn end_transfer(&mut self) {
        let Some(active) = &mut self.syncs.active else { return };
        let snapshots = std::mem::take(&mut active.snapshots);
        let (id, at_ns) = (active.file, active.transferred_ns);
        if active.outcome == SyncOutcome::Drops {
            self.drop_pages(id, snapshots);
        } else {
            self.move_to_device(id, snapshots, at_ns);
        }
    }

    fn drop_pages(&mut self, id: InodeId, snapshots: Vec<Snapshot>) {
        self.stats.dropped_pages += snapshots.len() as u64;
        let Some(file) = self.files.get_mut(&id) else { return };
        for Snapshot { page, sectors, .. } in snapshots {
            if let Some(page) = file.page_mut(page) {
                page.drop_transfer(sectors);
            }
        }
    }

    pub(super) fn move_to_device(&mut self, id: InodeId, snapshots: Vec<Snapshot>, at_ns: u64) {
        let Some(file) = self.files.get_mut(&id) else { return };
        let mut batch = self.background.batch(at_ns);
        for Snapshot { page: number, bytes, sectors } in snapshots {
            if let Some(page) = file.page_mut(number)
                && page.end_transfer(bytes, sectors)
            {
                batch.drain_later(&self.spec, id, number);
            }
        }
    }

    /// The flush is done, or the sync has failed.
    pub(super) fn end_sync(
        &mut self,
        core: &mut Core,
        host: HostId,
        work: &Work,
        is_abandoned: bool,
    ) -> Result<(), DiskError> {
        let Some(active) = self.syncs.active.take() else { return Ok(()) };
        let outcome = active.outcome;
        // After the pages were refused the kernel does not flush any more.
        if outcome != SyncOutcome::Drops {
            self.flush_device();
        }
        let took_ns = core.now_ns() - active.from_ns;
        match work {
            Work::Sync { file: inode, all } => {
                let file = self.files.get_mut(inode);
                if outcome == SyncOutcome::Succeeds {
                    self.stats.syncs += 1;
                } else {
                    self.stats.failed_syncs += 1;
                    core.trace(host, "disk.sync-failed", inode.0, took_ns);
                }
                if let Some(file) = file {
                    if outcome != SyncOutcome::Drops {
                        file.commit_size(active.covers);
                        if *all {
                            file.durable_modified_ms = active.modified_ms;
                        }
                    }
                    file.has_unreported_error |= outcome != SyncOutcome::Succeeds && is_abandoned;
                }
                if outcome != SyncOutcome::Succeeds {
                    return Err(DiskError::Io);
                }
                core.trace(host, "disk.sync", inode.0, took_ns);
            }
            _ => {
                self.stats.dir_syncs += 1;
                self.namespace.commit_dir(active.file, active.covers);
                self.reap();
                core.trace(host, "disk.sync-dir", active.file.0, took_ns);
            }
        }
        Ok(())
    }
}

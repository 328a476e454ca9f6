//! Syncs: one at a time moves a file's dirty pages to the drive and flushes the drive's cache.
//!
//! A sync takes its snapshot when the device gets to it, transfers it at the drive's write bandwidth and flushes the whole
//! device cache (FLUSH CACHE knows no files). Pages written again meanwhile stay dirty. When it ends, what it covers is on
//! the media: the snapshot, the size as it was at the snapshot, for `fsync` also the modification time, for a directory
//! its entries. A crash before the end of the transfer finds some of the snapshot at the drive, one before the end of
//! the flush finds it in the device cache.

use super::{
    Disk, InodeId,
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

/// The sync that has the device.
pub(super) struct ActiveSync {
    file: InodeId,
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
}

impl SyncQueue {
    pub fn new(key: Key) -> SyncQueue {
        SyncQueue { waiting: VecDeque::new(), active: None, key, started: 0 }
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
        let bytes = (snapshots.len() * PAGE_BYTES) as u64;
        self.stats.synced_bytes += bytes;
        self.syncs.started += 1;
        let mut stream = self.syncs.key.index(self.syncs.started).stream();
        let transferred_ns = now_ns + self.spec.transfer_ns(bytes);
        self.background.wake_by(transferred_ns);
        self.syncs.active = Some(ActiveSync {
            file,
            snapshots,
            from_ns: now_ns,
            transferred_ns,
            covers: self.last_number,
            modified_ms,
        });
        Disk::schedule_end(core, host, id, transferred_ns + self.spec.flush_ns(&mut stream));
    }

    /// The snapshot is in the device cache.
    pub(super) fn end_transfer(&mut self) {
        let Some(active) = &mut self.syncs.active else { return };
        let snapshots = std::mem::take(&mut active.snapshots);
        let (id, at_ns) = (active.file, active.transferred_ns);
        self.move_to_device(id, snapshots, at_ns);
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

    /// The flush is done.
    pub(super) fn end_sync(&mut self, core: &mut Core, host: HostId, work: &Work) {
        self.flush_device();
        let Some(active) = self.syncs.active.take() else { return };
        match work {
            Work::Sync { file: inode, all } => {
                self.stats.syncs += 1;
                if let Some(file) = self.files.get_mut(inode) {
                    file.commit_size(active.covers);
                    if *all {
                        file.durable_modified_ms = active.modified_ms;
                    }
                }
                core.trace(host, "disk.sync", inode.0, core.now_ns() - active.from_ns);
            }
            _ => {
                self.stats.dir_syncs += 1;
                self.namespace.commit_dir(active.file, active.covers);
                self.reap();
                core.trace(host, "disk.sync-dir", active.file.0, core.now_ns() - active.from_ns);
            }
        }
    }
}

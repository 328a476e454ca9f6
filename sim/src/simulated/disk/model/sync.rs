//! Syncs: one at a time moves a file's dirty pages to the drive and flushes the drive's cache.
//!
//! A sync takes its snapshot when the device gets to it, transfers it at the drive's write bandwidth and flushes the whole
//! device cache (FLUSH CACHE knows no files). Pages written again meanwhile stay dirty. When it ends, what it covers is on
//! the media: the snapshot, the size as it was at the snapshot, for `fsync` also the modification time, for a directory
//! its entries. A crash before the end of the transfer finds some of the snapshot at the drive, one before the end of
//! the flush finds it in the device cache.
//!
//! A sync can fail. When the drive refuses the pages, it does what Linux does on ext4 and XFS (Rebello et al., "Can Applications
//! Recover from fsync Failures?", ATC 2020): the pages count as clean, programs go on reading the new content from the page cache,
//! and a further sync succeeds without having written it. After an error neither file system commits or flushes anything
//! (`ext4_sync_file` and `xfs_file_fsync` return when `file_write_and_wait_range` fails). Such errors, and those that the flusher met
//! before, are told once per open file (see `errseq`). On ext4 a block that was new then stays unwritten: the page may be written
//! again and synced with success, and the next boot reads zeros (see `Page::is_misbelieved`). When the drive fails to flush its cache, the sync tells that and nobody
//! else is told; of the cache one sector is gone, and the rest goes to the media at the next flush.

use super::{
    Disk, DiskError, InodeId,
    inode::cut_snapshot,
    operation::{OperationId, Work},
    page::{PAGE_BYTES, SECTORS},
    writing::Snapshot,
};
use crate::simulated::{
    core::{Core, HostId},
    key::Key,
};
use std::collections::VecDeque;

/// How a sync will end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncOutcome {
    Succeeds,
    /// The drive refuses the pages.
    Drops,
    /// The drive fails to flush its cache.
    FlushFails,
}

/// The answer of a drive that does not flush: the time of a command over SATA.
const LYING_FLUSH_NS: u64 = 20_000;

/// The sync that has the device.
#[derive(Clone)]
pub(super) struct ActiveSync {
    file: InodeId,
    pub outcome: SyncOutcome,
    pub snapshots: Vec<Snapshot>,
    pub from_ns: u64,
    pub transferred_ns: u64,
    /// What of the metadata it covers: everything up to this place in the order of changes.
    covers: u64,
    modified_ms: i64,
    /// Of the file, when the snapshot was taken.
    pub size: u64,
    number: u64,
}

#[derive(Clone)]
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

    /// The drive answers again after a stall.
    pub fn delay_by_stall(&mut self, since_ns: u64, now_ns: u64) {
        if let Some(active) = &mut self.active {
            let delay_ns = now_ns - since_ns.max(active.from_ns).min(now_ns);
            active.from_ns += delay_ns;
            active.transferred_ns += delay_ns;
        }
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

    /// How the next sync, of this number, ends as far as the drive is concerned.
    fn outcome(&mut self, number: u64, snapshots: &[Snapshot]) -> SyncOutcome {
        if self.syncs.failing > 0 && !snapshots.is_empty() {
            self.syncs.failing -= 1;
            self.stats.sync_errors_injected += 1;
            return SyncOutcome::Drops;
        }
        match self.injector.strikes(self.injector.faults.sync_error, "sync-error", number, 0) {
            None => SyncOutcome::Succeeds,
            Some(mut stream) => {
                self.stats.sync_errors_injected += 1;
                let refuses = stream.chance(0.5) && !snapshots.is_empty();
                if refuses { SyncOutcome::Drops } else { SyncOutcome::FlushFails }
            }
        }
    }

    pub(super) fn enqueue_sync(&mut self, core: &mut Core, host: HostId, work: Work) -> OperationId {
        let id = self.insert_operation(work, core.now_ns(), true);
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
        let (file, modified_ms, size, snapshots) = match self.operation(id).map(|operation| &operation.work) {
            Some(Work::Sync { file: id, .. }) => {
                // A file that was removed and closed while its sync waited has nothing to move.
                let id = *id;
                // It waits for what others have begun to write (`file_write_and_wait_range`).
                self.end_filling(now_ns, |filling| filling.file == id);
                let (modified_ms, size, snapshots) = self.files.get_mut(&id).map_or((0, 0, Vec::new()), |file| {
                    let dirty = file.take_dirty();
                    let snapshots = dirty.into_iter().filter_map(|number| {
                        let (bytes, sectors) = file.page_mut(number)?.begin_transfer();
                        Some(Snapshot { page: number, bytes, sectors })
                    });
                    let snapshots = snapshots.collect();
                    (file.modified_ms, file.size(), snapshots)
                });
                (id, modified_ms, size, snapshots)
            }
            Some(Work::SyncDir { dir }) => (*dir, 0, 0, Vec::new()),
            _ => unreachable!("only syncs wait for the device"),
        };
        self.syncs.started += 1;
        let outcome = self.outcome(self.syncs.started, &snapshots);
        let bytes = (snapshots.len() * PAGE_BYTES) as u64;
        self.stats.synced_bytes += bytes;
        let mut stream = self.syncs.key.index(self.syncs.started).stream();
        let transferred_ns = now_ns + self.drive.transfer_ns(&self.spec, now_ns, bytes);
        let flush_ns = match self.injector.faults.lying_sync {
            true => LYING_FLUSH_NS,
            false => self.drive.flush_ns(&self.spec, now_ns, &mut stream),
        };
        self.background.wake_by(transferred_ns);
        self.syncs.active = Some(ActiveSync {
            file,
            outcome,
            snapshots,
            from_ns: now_ns,
            transferred_ns,
            covers: self.last_number,
            modified_ms,
            size,
            number: self.syncs.started,
        });
        self.end_at(core, host, id, now_ns, transferred_ns + flush_ns);
    }

    /// The snapshot is in the device cache.
    pub(super) fn end_transfer(&mut self) {
        let Some(active) = &mut self.syncs.active else { return };
        let snapshots = std::mem::take(&mut active.snapshots);
        let (id, at_ns, size, outcome) = (active.file, active.transferred_ns, active.size, active.outcome);
        if outcome == SyncOutcome::Drops {
            self.refuse(id, snapshots, size);
            return;
        }
        self.write_to_drive(id, snapshots, size, at_ns);
        self.end_filling(at_ns, |filling| filling.file == id);
        if self.spec.personality.is_journaled()
            && let Some(active) = &mut self.syncs.active
        {
            // The journal takes its transaction when the content has been written.
            active.covers = self.last_number;
        }
    }

    /// The flush is done, or the sync has failed.
    pub(super) fn end_sync(&mut self, core: &mut Core, host: HostId, work: &Work) -> Result<(), DiskError> {
        let Some(active) = self.syncs.active.take() else { return Ok(()) };
        let (now_ns, took_ns) = (core.now_ns(), core.now_ns() - active.from_ns);
        // The call tells an error though its process is dead, and nobody hears it.
        let is_refused = match work {
            Work::Sync { file, handle, .. } => self.files.get_mut(file).is_some_and(|file| {
                let mut nobody = file.errors.sample();
                let seen = self.handles.get_mut(handle).map_or(&mut nobody, |handle| &mut handle.seen_errors);
                file.errors.check_and_advance(seen)
            }),
            _ => false,
        };
        let is_failed = is_refused || active.outcome == SyncOutcome::FlushFails;
        if !is_failed {
            self.flush_device();
        } else if !is_refused {
            self.fail_flush(active.number);
        }
        let step = match (work, is_failed) {
            (Work::Sync { .. }, true) => "disk.sync-failed",
            (Work::Sync { .. }, false) => "disk.sync",
            (_, true) => "disk.sync-dir-failed",
            (_, false) => "disk.sync-dir",
        };
        core.trace(host, step, active.file.0, took_ns);
        if is_failed {
            self.stats.failed_syncs += 1;
            return Err(DiskError::Io);
        }
        if let Work::Sync { file, all, .. } = work {
            self.stats.syncs += 1;
            self.commit_file(*file, *all, active.covers, active.modified_ms, now_ns);
        } else {
            self.stats.dir_syncs += 1;
            self.commit_directory(active.file, active.covers, now_ns);
        }
        Ok(())
    }

    /// FLUSH CACHE fails: the drive forgets one sector of its cache.
    fn fail_flush(&mut self, number: u64) {
        let mut stream = self.syncs.key.derive("forgotten").index(number).stream();
        let pages = self.background.draining.len() as u64;
        let Some(&(file, page)) = self.background.draining.values().nth(stream.below(pages) as usize) else { return };
        let Some(page) = self.files.get_mut(&file).and_then(|file| file.page_mut(page)) else { return };
        let undrained: Vec<_> = (0..SECTORS).filter(|sector| page.undrained() & 1 << sector != 0).collect();
        if !undrained.is_empty() {
            page.forget_undrained(undrained[stream.below(undrained.len() as u64) as usize]);
            self.stats.forgotten_sectors += 1;
        }
    }
}

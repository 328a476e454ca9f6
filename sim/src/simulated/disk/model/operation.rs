//! Calls that take time: they enter the model, are on their way for a while, and end by an event of the agenda.
//!
//! A write's bytes reach the page cache when it ends; until then a dying process can leave a part of it undone. Writes and
//! changes of size of one file wait for each other, as they do on the inode lock of Linux. A call goes on when the future
//! that made it is dropped, as a system call does.
//!
//! Every call ends in [`Disk::finish`] with a `Result`: the place where an overlay of faults has its say.

use super::{Disk, DiskError, HandleId, InodeId, inode::pages_for, page::PAGE_BYTES};
use crate::simulated::{
    core::{Core, Event, HostId, ProcessId},
    key::Key,
    trace,
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    task::{Poll, Waker},
};

/// An in-flight operation of a disk comes to its end.
#[derive(Debug)]
pub struct DiskEvent(OperationId);

/// A call in flight. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(u64);

/// A call that takes time.
#[derive(Clone, Debug)]
pub enum Request {
    /// Waits until the page cache has a range; [`Disk::read`] then copies it.
    Read { handle: HandleId, offset: u64, len: u64 },
    /// Writes into the page cache.
    Write { handle: HandleId, offset: u64, bytes: Vec<u8>, wall_ms: i64 },
    /// Cuts or extends.
    SetLen { handle: HandleId, len: u64, wall_ms: i64 },
    /// Reserves room for the first `len` bytes and extends to at least that.
    Preallocate { handle: HandleId, len: u64, wall_ms: i64 },
    /// `fdatasync`: content and size; with `all`, `fsync`: the modification time too.
    Sync { handle: HandleId, all: bool },
    /// `fsync` of a directory: its entries.
    SyncDir { path: PathBuf },
}

/// What a call in flight will do when it ends.
#[derive(Debug)]
pub(super) enum Work {
    Read,
    Write { file: InodeId, offset: u64, bytes: Vec<u8>, wall_ms: i64 },
    SetLen { file: InodeId, len: u64, wall_ms: i64 },
    Preallocate { file: InodeId, len: u64, wall_ms: i64 },
    Sync { file: InodeId, all: bool },
    SyncDir { dir: InodeId },
    Ended(Result<(), DiskError>),
}

#[derive(Debug)]
pub(super) struct Operation {
    pub work: Work,
    /// When it began to run; before that it waited for the inode lock.
    pub runs_from_ns: u64,
    waker: Option<Waker>,
    /// Nobody will ask how it ended.
    pub abandoned: bool,
}

impl Disk {
    /// Enters a call into the model.
    ///
    /// # Errors
    /// What can be told at once: a dead process, a missing right, a path that is not there.
    pub fn begin(&mut self, core: &mut Core, process: ProcessId, request: Request) -> Result<OperationId, DiskError> {
        let now_ns = core.now_ns();
        self.advance(now_ns);
        let (work, runs_from_ns, takes_ns) = match request {
            Request::Read { handle, offset, len } => {
                let (opened, file) = self.file_of(handle)?;
                if !opened.read {
                    return Err(DiskError::NotPermitted { right: "read" });
                }
                let missing_pages = file.fault_in(offset, len);
                let len = len.min(file.size().saturating_sub(offset));
                self.stats.uncached_reads += u64::from(missing_pages != 0);
                let device_ns = match missing_pages {
                    0 => 0,
                    _ => self.drive.read_ns(&self.spec, now_ns, missing_pages * PAGE_BYTES as u64),
                };
                (Work::Read, now_ns, self.spec.cached_read_ns(len) + device_ns)
            }
            Request::Write { handle, offset, bytes, wall_ms } => {
                let len = bytes.len() as u64;
                check_range(offset, len)?;
                let takes_ns = self.spec.write_ns(len);
                let (file, runs_from_ns) = self.lock_inode(handle, now_ns, takes_ns)?;
                (Work::Write { file, offset, bytes, wall_ms }, runs_from_ns, takes_ns)
            }
            Request::SetLen { handle, len, wall_ms } => {
                check_range(0, len)?;
                let takes_ns = self.spec.write_ns(0);
                let (file, runs_from_ns) = self.lock_inode(handle, now_ns, takes_ns)?;
                (Work::SetLen { file, len, wall_ms }, runs_from_ns, takes_ns)
            }
            Request::Preallocate { handle, len, wall_ms } => {
                check_range(0, len)?;
                let takes_ns = self.spec.write_ns(0);
                let (file, runs_from_ns) = self.lock_inode(handle, now_ns, takes_ns)?;
                (Work::Preallocate { file, len, wall_ms }, runs_from_ns, takes_ns)
            }
            Request::Sync { handle, all } => {
                let file = self.handle(handle)?.file;
                return Ok(self.enqueue_sync(core, process.host, Work::Sync { file, all }));
            }
            Request::SyncDir { path } => {
                let dir = self.namespace.find_dir(&path)?;
                return Ok(self.enqueue_sync(core, process.host, Work::SyncDir { dir }));
            }
        };
        let id = self.insert_operation(work, runs_from_ns);
        if takes_ns == 0 && runs_from_ns == now_ns {
            self.end(core, process.host, id);
        } else {
            core.schedule(runs_from_ns + takes_ns, Event::Disk(process.host, DiskEvent(id)));
        }
        Ok(id)
    }

    fn lock_inode(&mut self, handle: HandleId, now_ns: u64, takes_ns: u64) -> Result<(InodeId, u64), DiskError> {
        let (opened, file) = self.file_of(handle)?;
        if !opened.write {
            return Err(DiskError::NotPermitted { right: "write" });
        }
        let runs_from_ns = file.busy_until_ns.max(now_ns);
        file.busy_until_ns = runs_from_ns + takes_ns;
        Ok((opened.file, runs_from_ns))
    }

    pub(super) fn insert_operation(&mut self, work: Work, runs_from_ns: u64) -> OperationId {
        let id = OperationId(self.next_number());
        self.operations.insert(id, Operation { work, runs_from_ns, waker: None, abandoned: false });
        id
    }

    pub(super) fn schedule_end(core: &mut Core, host: HostId, id: OperationId, at_ns: u64) {
        core.schedule(at_ns, Event::Disk(host, DiskEvent(id)));
    }

    /// How a call ended, if it did; otherwise the waker is called when it does. After `Ready` the call is forgotten.
    pub fn poll(&mut self, id: OperationId, waker: &Waker) -> Poll<Result<(), DiskError>> {
        let Some(operation) = self.operations.get_mut(&id) else { return Poll::Ready(Err(DiskError::Dead)) };
        if !matches!(operation.work, Work::Ended(_)) {
            match &mut operation.waker {
                Some(known) => known.clone_from(waker),
                None => operation.waker = Some(waker.clone()),
            }
            return Poll::Pending;
        }
        match self.operations.remove(&id).map(|operation| operation.work) {
            Some(Work::Ended(result)) => Poll::Ready(result),
            _ => Poll::Ready(Err(DiskError::Dead)),
        }
    }

    /// Nobody waits for this call any more; it goes on all the same.
    pub fn abandon(&mut self, id: OperationId) {
        if let Some(operation) = self.operations.get_mut(&id) {
            if matches!(operation.work, Work::Ended(_)) {
                self.operations.remove(&id);
            } else {
                operation.abandoned = true;
                operation.waker = None;
            }
        }
    }

    /// An event of the agenda. Events of calls that a crash has ended are ignored.
    pub fn on_event(&mut self, core: &mut Core, host: HostId, event: DiskEvent) {
        self.advance(core.now_ns());
        self.end(core, host, event.0);
    }

    fn end(&mut self, core: &mut Core, host: HostId, id: OperationId) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let now_ns = core.now_ns();
        let is_abandoned = operation.abandoned;
        let work = std::mem::replace(&mut operation.work, Work::Ended(Ok(())));
        let result = match work {
            Work::Read => {
                core.trace(host, "disk.read", id.0, 0);
                Ok(())
            }
            Work::Write { file, offset, bytes, wall_ms } => {
                core.trace(host, "disk.write", trace::digest(&bytes), offset ^ file.0.rotate_left(40));
                self.land_write(file, offset, &bytes, wall_ms, now_ns)
            }
            Work::SetLen { file, len, wall_ms } => {
                core.trace(host, "disk.set-len", file.0, len);
                self.resize(file, len, wall_ms, now_ns);
                Ok(())
            }
            Work::Preallocate { file, len, wall_ms } => {
                core.trace(host, "disk.preallocate", file.0, len);
                self.preallocate(file, len, wall_ms, now_ns)
            }
            Work::Sync { .. } | Work::SyncDir { .. } => {
                let result = self.end_sync(core, host, &work, is_abandoned);
                self.start_sync(core, host);
                result
            }
            Work::Ended(result) => result,
        };
        self.finish(core, id, result);
    }

    /// A call ends.
    fn finish(&mut self, core: &mut Core, id: OperationId, result: Result<(), DiskError>) {
        if let Some(operation) = self.operations.get_mut(&id) {
            if operation.abandoned {
                self.operations.remove(&id);
            } else {
                operation.work = Work::Ended(result);
                core.wake_slot(&mut operation.waker);
            }
        }
    }

    /// The bytes of a write, or of the part of it that was reached, arrive in the page cache.
    pub(super) fn land_write(
        &mut self,
        id: InodeId,
        offset: u64,
        bytes: &[u8],
        wall_ms: i64,
        now_ns: u64,
    ) -> Result<(), DiskError> {
        let mut free_pages = self.free_pages();
        let free_pages_before = free_pages;
        let sequence = self.next_number();
        let Some(file) = self.files.get_mut(&id).filter(|file| file.counted) else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        let (background, spec) = (&mut self.background, &self.spec);
        let written = file.write(offset, bytes, now_ns, &mut free_pages, |page| {
            background.became_dirty(spec, id, page, now_ns);
        });
        if written != 0 {
            file.modified_ms = wall_ms;
            file.resize(file.size().max(offset + written as u64), sequence);
        }
        self.used_pages += free_pages_before - free_pages;
        self.stats.written_bytes += written as u64;
        self.changed_metadata(now_ns);
        if written < bytes.len() {
            return Err(self.full((bytes.len() - written) as u64));
        }
        Ok(())
    }

    fn preallocate(&mut self, id: InodeId, len: u64, wall_ms: i64, now_ns: u64) -> Result<(), DiskError> {
        let free_pages = self.free_pages();
        let Some(file) = self.files.get(&id).filter(|file| file.counted) else { return Ok(()) };
        let needed_pages = file.pages_to_reserve(len);
        if needed_pages > free_pages {
            return Err(self.full(needed_pages * PAGE_BYTES as u64));
        }
        let size = file.size().max(len);
        self.resize(id, size, wall_ms, now_ns);
        if let Some(file) = self.files.get_mut(&id) {
            file.reserve(len);
            self.used_pages += needed_pages;
        }
        Ok(())
    }

    fn full(&self, needed_bytes: u64) -> DiskError {
        DiskError::Full { needed_bytes, available_bytes: self.usage().available_bytes }
    }

    /// What a dying process leaves of its calls: of a running write a keyed number of leading pages, of one that still
    /// waits nothing; syncs go on. Returns how many writes were cut.
    pub(super) fn cut_operations(&mut self, core: &mut Core, key: Key) -> u64 {
        let now_ns = core.now_ns();
        let mut cut = 0;
        let mut going_on = BTreeMap::new();
        for (id, mut operation) in std::mem::take(&mut self.operations) {
            core.wake_slot(&mut operation.waker);
            let runs = operation.runs_from_ns <= now_ns;
            let mut stream = key.index(id.0).stream();
            match operation.work {
                Work::Write { file, offset, bytes, wall_ms } => {
                    cut += 1;
                    let first_page = offset / PAGE_BYTES as u64;
                    let pages = pages_for(offset + bytes.len() as u64) - first_page;
                    let landed_to = (first_page + stream.below(pages + 1)) * PAGE_BYTES as u64;
                    let landed = usize::try_from(landed_to.saturating_sub(offset)).unwrap_or(usize::MAX);
                    if runs && landed != 0 {
                        // A full disk is no news to a process that has died.
                        drop(self.land_write(file, offset, &bytes[..landed.min(bytes.len())], wall_ms, now_ns));
                    }
                }
                Work::SetLen { file, len, wall_ms } if runs && stream.chance(0.5) => {
                    self.resize(file, len, wall_ms, now_ns);
                }
                Work::Preallocate { file, len, wall_ms } if runs && stream.chance(0.5) => {
                    // As above.
                    drop(self.preallocate(file, len, wall_ms, now_ns));
                }
                Work::Sync { .. } | Work::SyncDir { .. } => {
                    operation.abandoned = true;
                    going_on.insert(id, operation);
                }
                Work::Read | Work::SetLen { .. } | Work::Preallocate { .. } | Work::Ended(_) => {}
            }
        }
        self.operations = going_on;
        cut
    }
}

fn check_range(offset: u64, len: u64) -> Result<(), DiskError> {
    /// What a file offset of the kernel can hold (`loff_t`).
    const FILE_BYTES_MAX: u64 = i64::MAX as u64;
    match offset.checked_add(len) {
        Some(end) if end <= FILE_BYTES_MAX => Ok(()),
        _ => Err(DiskError::TooLarge { offset, len }),
    }
}

//! Calls that take time: they enter the model, are on their way for a while, and end by an event of the agenda.
//!
//! A write's bytes reach the page cache when it ends; until then a dying process can leave a part of it undone. Writes and
//! changes of size of one file wait for each other, as they do on the inode lock of Linux. A call goes on when the future
//! that made it is dropped, as a system call does.
//!
//! A call that needs the drive does not end while the drive is stalled.

use super::{Disk, DiskError, HandleId, InodeId, inode::pages_for, page::PAGE_BYTES};
use crate::simulated::{
    core::{Core, Event, HostId, ProcessId},
    key::Key,
    trace,
};
use std::{
    ops::Range,
    path::PathBuf,
    task::{Poll, Waker},
};

/// An in-flight operation of a disk comes to its end.
#[derive(Debug)]
pub struct DiskEvent(OperationId);

/// A call in flight. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OperationId(u64);

impl OperationId {
    pub(super) fn number(self) -> u64 {
        self.0
    }
}

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
    /// Reserves room for a part of the file.
    Reserve { handle: HandleId, from: u64, to: u64, wall_ms: i64 },
    /// Gives back what room is reserved from here on.
    Unreserve { handle: HandleId, from: u64, wall_ms: i64 },
    /// Zeroes a range, as far as the file reaches.
    ZeroRange { handle: HandleId, range: Range<u64>, wall_ms: i64 },
    /// `fdatasync`: content and size; with `all`, `fsync`: the modification time too.
    Sync { handle: HandleId, all: bool },
    /// `fsync` of a directory: its entries.
    SyncDir { path: PathBuf },
}

/// What a call in flight will do when it ends.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Read {
        file: InodeId,
        offset: u64,
        len: u64,
    },
    Write {
        file: InodeId,
        offset: u64,
        bytes: Vec<u8>,
        wall_ms: i64,
    },
    SetLen {
        file: InodeId,
        len: u64,
        wall_ms: i64,
    },
    Preallocate {
        file: InodeId,
        len: u64,
        wall_ms: i64,
    },
    ZeroRange {
        file: InodeId,
        range: Range<u64>,
        wall_ms: i64,
    },
    Reserve {
        file: InodeId,
        from: u64,
        to: u64,
        wall_ms: i64,
    },
    Unreserve {
        file: InodeId,
        from: u64,
        wall_ms: i64,
    },
    Sync {
        file: InodeId,
        handle: HandleId,
        all: bool,
    },
    SyncDir {
        dir: InodeId,
    },
    /// How many bytes were read or written.
    Ended(Result<u64, DiskError>),
}

#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub work: Work,
    /// When it began to run; before that it waited for the inode lock.
    pub runs_from_ns: u64,
    /// A stall puts it off; the event of the agenda that comes before is ignored.
    pub ends_ns: u64,
    pub needs_drive: bool,
    /// It would have ended, but for a stall.
    pub is_held: bool,
    waker: Option<Waker>,
    /// Nobody will ask how it ended.
    pub abandoned: bool,
}

impl Operation {
    /// In a copy of the disk: nobody waits for it there.
    pub fn forget_waker(&mut self) {
        self.waker = None;
    }

    /// The file whose inode lock it has or waits for.
    pub fn locked_file(&self) -> Option<InodeId> {
        match self.work {
            Work::Write { file, .. }
            | Work::SetLen { file, .. }
            | Work::Preallocate { file, .. }
            | Work::ZeroRange { file, .. }
            | Work::Reserve { file, .. }
            | Work::Unreserve { file, .. } => Some(file),
            Work::Read { .. } | Work::Sync { .. } | Work::SyncDir { .. } | Work::Ended(_) => None,
        }
    }

    /// Whether it has an end to come: not so a sync that waits for the device.
    pub fn is_running(&self) -> bool {
        self.ends_ns != u64::MAX && !matches!(self.work, Work::Ended(_))
    }
}

impl Disk {
    /// Enters a call into the model.
    ///
    /// # Errors
    /// What can be told at once: a dead process, a missing right, a path that is not there.
    pub fn begin(&mut self, core: &mut Core, process: ProcessId, request: Request) -> Result<OperationId, DiskError> {
        let now_ns = core.now_ns();
        self.advance(now_ns);
        let mut drive_ns = 0;
        let mut needs_drive = false;
        let (work, runs_from_ns, takes_ns) = match request {
            Request::Read { handle, offset, len } => {
                let (opened, file) = self.file_of(handle)?;
                if !opened.read {
                    return Err(DiskError::NotPermitted { right: "read" });
                }
                check_range(offset, len)?;
                let absent_pages = file.absent(offset, len).len() as u64;
                let available = len.min(file.size().saturating_sub(offset));
                if absent_pages != 0 {
                    needs_drive = true;
                    self.stats.uncached_reads += 1;
                    drive_ns = self.drive.read_ns(&self.spec, now_ns, absent_pages * PAGE_BYTES as u64);
                }
                (Work::Read { file: opened.file, offset, len }, now_ns, self.spec.cached_read_ns(available) + drive_ns)
            }
            Request::Write { handle, offset, bytes, wall_ms } => {
                let len = bytes.len() as u64;
                check_range(offset, len)?;
                self.check_writable(handle)?;
                let edges = self.file_of(handle)?.1.absent_edges(offset, len).len() as u64;
                if edges != 0 {
                    needs_drive = true;
                    self.stats.uncached_reads += 1;
                    drive_ns = self.drive.read_ns(&self.spec, now_ns, edges * PAGE_BYTES as u64);
                }
                if self.cache.is_some() {
                    let throttled_ns = self.throttle(now_ns);
                    needs_drive |= throttled_ns != 0;
                    drive_ns += throttled_ns;
                }
                let takes_ns = self.spec.write_ns(len) + drive_ns;
                let (file, runs_from_ns) = self.lock_inode(handle, now_ns, takes_ns)?;
                (Work::Write { file, offset, bytes, wall_ms }, runs_from_ns, takes_ns)
            }
            Request::SetLen { handle, len, wall_ms } => {
                check_range(0, len)?;
                let takes_ns = self.spec.write_ns(0);
                let locked = self.lock_inode(handle, now_ns, takes_ns);
                // ftruncate(2): EINVAL, where a write says EBADF.
                let (file, runs_from_ns) = locked.map_err(|error| match error {
                    DiskError::NotPermitted { .. } => DiskError::CannotResize,
                    error => error,
                })?;
                (Work::SetLen { file, len, wall_ms }, runs_from_ns, takes_ns)
            }
            Request::Preallocate { handle, len, wall_ms } => {
                check_range(0, len)?;
                if len == 0 {
                    return Err(DiskError::NothingToReserve);
                }
                let takes_ns = self.spec.write_ns(0);
                let (file, runs_from_ns) = self.lock_inode(handle, now_ns, takes_ns)?;
                (Work::Preallocate { file, len, wall_ms }, runs_from_ns, takes_ns)
            }
            Request::Reserve { handle, from, to, wall_ms } => {
                self.check_writable(handle)?;
                if to <= from || to > self.file_of(handle)?.1.size() {
                    return Err(DiskError::NothingToReserve);
                }
                let takes_ns = self.spec.write_ns(0);
                let (file, runs_from_ns) = self.lock_inode(handle, now_ns, takes_ns)?;
                (Work::Reserve { file, from, to, wall_ms }, runs_from_ns, takes_ns)
            }
            Request::Unreserve { handle, from, wall_ms } => {
                let takes_ns = self.spec.write_ns(0);
                let (file, runs_from_ns) = self.lock_inode(handle, now_ns, takes_ns)?;
                (Work::Unreserve { file, from, wall_ms }, runs_from_ns, takes_ns)
            }
            Request::ZeroRange { handle, range, wall_ms } => {
                check_range(range.start, range.end.saturating_sub(range.start))?;
                self.check_writable(handle)?;
                let edges = self.file_of(handle)?.1.absent_edges(range.start, range.end.saturating_sub(range.start));
                if !edges.is_empty() {
                    needs_drive = true;
                    self.stats.uncached_reads += 1;
                    drive_ns = self.drive.read_ns(&self.spec, now_ns, edges.len() as u64 * PAGE_BYTES as u64);
                }
                let takes_ns = self.spec.write_ns(0) + drive_ns;
                let (file, runs_from_ns) = self.lock_inode(handle, now_ns, takes_ns)?;
                (Work::ZeroRange { file, range, wall_ms }, runs_from_ns, takes_ns)
            }
            Request::Sync { handle, all } => {
                let opened = self.handle(handle)?;
                let work = match opened.is_dir {
                    true => Work::SyncDir { dir: opened.file },
                    false => Work::Sync { file: opened.file, handle, all },
                };
                return Ok(self.enqueue_sync(core, process.host, work));
            }
            Request::SyncDir { path } => {
                let dir = self.namespace.find_dir(&path)?;
                return Ok(self.enqueue_sync(core, process.host, Work::SyncDir { dir }));
            }
        };
        let id = self.insert_operation(work, runs_from_ns, needs_drive);
        if takes_ns == 0 && runs_from_ns == now_ns {
            self.end(core, process.host, id);
        } else {
            self.end_at(core, process.host, id, runs_from_ns, runs_from_ns + takes_ns);
        }
        Ok(id)
    }

    fn check_writable(&self, handle: HandleId) -> Result<(), DiskError> {
        match self.handle(handle)?.write {
            true => Ok(()),
            false => Err(DiskError::NotPermitted { right: "write" }),
        }
    }

    fn lock_inode(&mut self, handle: HandleId, now_ns: u64, takes_ns: u64) -> Result<(InodeId, u64), DiskError> {
        self.check_writable(handle)?;
        let (opened, file) = self.file_of(handle)?;
        let runs_from_ns = file.busy_until_ns.max(now_ns);
        file.busy_until_ns = runs_from_ns + takes_ns;
        Ok((opened.file, runs_from_ns))
    }

    pub(super) fn insert_operation(&mut self, work: Work, runs_from_ns: u64, needs_drive: bool) -> OperationId {
        let id = OperationId(self.next_number());
        let operation = Operation {
            work,
            runs_from_ns,
            ends_ns: u64::MAX,
            needs_drive,
            is_held: false,
            waker: None,
            abandoned: false,
        };
        self.operations.push((id, operation));
        id
    }

    /// A call runs from now or later, and ends then unless the drive stalls.
    pub(super) fn end_at(&mut self, core: &mut Core, host: HostId, id: OperationId, runs_from_ns: u64, ends_ns: u64) {
        if let Some(operation) = self.operation_mut(id) {
            (operation.runs_from_ns, operation.ends_ns) = (runs_from_ns, ends_ns);
            Disk::schedule_end(core, host, id, ends_ns);
        }
    }

    pub(super) fn schedule_end(core: &mut Core, host: HostId, id: OperationId, at_ns: u64) {
        core.schedule(at_ns, Event::Disk(host, DiskEvent(id)));
    }

    /// Calls in flight are in the order of their numbers.
    fn position(&self, id: OperationId) -> Option<usize> {
        self.operations.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    pub(super) fn operation(&self, id: OperationId) -> Option<&Operation> {
        self.position(id).map(|position| &self.operations[position].1)
    }

    fn operation_mut(&mut self, id: OperationId) -> Option<&mut Operation> {
        self.position(id).map(|position| &mut self.operations[position].1)
    }

    /// How a call ended, if it did: with the number of bytes that were read or written. Otherwise the waker is called when it
    /// does. After `Ready` the call is forgotten.
    pub fn poll(&mut self, id: OperationId, waker: &Waker) -> Poll<Result<u64, DiskError>> {
        let Some(position) = self.position(id) else { return Poll::Ready(Err(DiskError::Dead)) };
        let operation = &mut self.operations[position].1;
        if !matches!(operation.work, Work::Ended(_)) {
            match &mut operation.waker {
                Some(known) => known.clone_from(waker),
                None => operation.waker = Some(waker.clone()),
            }
            return Poll::Pending;
        }
        match self.operations.remove(position).1.work {
            Work::Ended(result) => Poll::Ready(result),
            _ => Poll::Ready(Err(DiskError::Dead)),
        }
    }

    /// Nobody waits for this call any more; it goes on all the same.
    pub fn abandon(&mut self, id: OperationId) {
        if let Some(position) = self.position(id) {
            let operation = &mut self.operations[position].1;
            if matches!(operation.work, Work::Ended(_)) {
                self.operations.remove(position);
                self.answers.remove(&id);
            } else {
                operation.abandoned = true;
                operation.waker = None;
            }
        }
    }

    /// An event of the agenda. Events of calls that a crash has ended are ignored.
    pub fn on_event(&mut self, core: &mut Core, host: HostId, event: DiskEvent) {
        let (now_ns, is_stalled) = (core.now_ns(), self.is_stalled());
        self.advance(now_ns);
        let Some(operation) = self.operation_mut(event.0) else { return };
        if operation.ends_ns > now_ns {
            Disk::schedule_end(core, host, event.0, operation.ends_ns);
        } else if is_stalled && self.is_blocked(event.0) {
            self.stats.stalled_calls_injected += 1;
            if let Some(operation) = self.operation_mut(event.0) {
                operation.is_held = true;
            }
        } else {
            self.end(core, host, event.0);
        }
    }

    fn end(&mut self, core: &mut Core, host: HostId, id: OperationId) {
        let now_ns = core.now_ns();
        let Some(position) = self.position(id) else { return };
        let work = std::mem::replace(&mut self.operations[position].1.work, Work::Ended(Ok(0)));
        let result = match work {
            Work::Read { file, offset, len } => {
                core.trace(host, "disk.read", id.0, 0);
                self.end_read(id, file, offset, len)
            }
            Work::Write { file, offset, bytes, wall_ms } => {
                core.trace(host, "disk.write", trace::digest(&bytes), offset ^ file.0.rotate_left(40));
                self.end_write(id.0, file, offset, &bytes, wall_ms, now_ns)
            }
            Work::SetLen { file, len, wall_ms } => {
                core.trace(host, "disk.set-len", file.0, len);
                self.set_len(file, len, wall_ms, now_ns);
                Ok(0)
            }
            Work::Preallocate { file, len, wall_ms } => {
                core.trace(host, "disk.preallocate", file.0, len);
                self.preallocate(file, len, wall_ms, now_ns).map(|()| 0)
            }
            Work::Reserve { file, from, to, wall_ms } => {
                core.trace(host, "disk.reserve", file.0, to);
                self.reserve(file, from, to, wall_ms, now_ns).map(|()| 0)
            }
            Work::Unreserve { file, from, wall_ms } => {
                core.trace(host, "disk.unreserve", file.0, from);
                self.unreserve(file, from, wall_ms, now_ns);
                Ok(0)
            }
            Work::ZeroRange { file, range, wall_ms } => {
                core.trace(host, "disk.zero-range", file.0 ^ range.start.rotate_left(40), range.end);
                self.zero_range(id.0, file, range, wall_ms, now_ns).map(|()| 0)
            }
            Work::Sync { .. } | Work::SyncDir { .. } => {
                let result = self.end_sync(core, host, &work);
                self.start_sync(core, host);
                result.map(|()| 0)
            }
            Work::Ended(result) => result,
        };
        self.shrink_cache();
        self.finish(core, id, result);
    }

    /// A call ends.
    fn finish(&mut self, core: &mut Core, id: OperationId, result: Result<u64, DiskError>) {
        if let Some(position) = self.position(id) {
            let operation = &mut self.operations[position].1;
            if operation.abandoned {
                self.operations.remove(position);
                self.answers.remove(&id);
            } else {
                operation.work = Work::Ended(result);
                core.wake_slot(&mut operation.waker);
            }
        }
    }

    /// What a dying process leaves of its calls: of a running write a keyed number of leading pages, of one that still
    /// waits nothing; syncs go on. Returns how many writes were cut.
    pub(super) fn cut_operations(&mut self, core: &mut Core, key: Key) -> u64 {
        let now_ns = core.now_ns();
        self.answers.clear();
        let mut cut = 0;
        let mut going_on = Vec::new();
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
                    self.set_len(file, len, wall_ms, now_ns);
                }
                Work::Preallocate { file, len, wall_ms } if runs && stream.chance(0.5) => {
                    // As above.
                    drop(self.preallocate(file, len, wall_ms, now_ns));
                }
                Work::Reserve { file, from, to, wall_ms } if runs && stream.chance(0.5) => {
                    drop(self.reserve(file, from, to, wall_ms, now_ns));
                }
                Work::Unreserve { file, from, wall_ms } if runs && stream.chance(0.5) => {
                    self.unreserve(file, from, wall_ms, now_ns);
                }
                Work::ZeroRange { file, range, wall_ms } if runs && stream.chance(0.5) => {
                    // A drive that does not read is no news to a process that has died.
                    drop(self.zero_range(id.0, file, range, wall_ms, now_ns));
                }
                Work::Sync { .. } | Work::SyncDir { .. } => {
                    operation.abandoned = true;
                    going_on.push((id, operation));
                }
                Work::Read { .. }
                | Work::SetLen { .. }
                | Work::Preallocate { .. }
                | Work::ZeroRange { .. }
                | Work::Reserve { .. }
                | Work::Unreserve { .. }
                | Work::Ended(_) => {}
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

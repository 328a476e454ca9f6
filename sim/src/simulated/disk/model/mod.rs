//! The model of one host's disk: a file system over a drive, with three tiers: page cache → device cache → media.
//!
//! | a crash of kind | open files, calls in flight | page cache | device cache | media |
//! |---|---|---|---|---|
//! | `Process` | lost; a running write is cut at a page boundary, a sync goes on | kept | kept | kept |
//! | `Os` | lost | lost, but for what early write-back had moved | drains | kept |
//! | `Power` | lost | lost, likewise | any subset of its sectors, a few of them torn | kept |
//! | `Disk` | lost | lost | lost | lost |
//!
//! | what | where |
//! |---|---|
//! | content in its tiers, sizes | [`page`], [`inode`] |
//! | names | [`namespace`], [`entries`] |
//! | calls that take time, and syncs | [`operation`], [`reading`], [`writing`], [`sync`] |
//! | the kernel's timers; what commits make durable | [`background`], [`journal`] |
//! | what file systems promise | [`personality`] |
//! | memory and room | [`cache`], [`space`] |
//! | the speed of the drive, its members | [`drive`] |
//! | what a crash takes | [`crash`] |
//! | what the drive does wrong; damaged media; a drive that is silent | [`faults`], [`overlay`], [`damage`], [`stall`] |
//! | errors of write-back, each told once | [`errseq`] |
//!
//! Everything is plain data: no futures, no executor. Calls that take no time of their own (names, sizes) are methods; the others
//! are [`Request`]s.
//!
//! Timers are evaluated when somebody looks ([`Disk::advance`]), so a disk that nobody uses costs nothing; only calls in
//! flight put events on the agenda. Every random choice is a function of the disk's key and the number of the operation
//! (sync, batch, crash) and, within a crash, of the file, the page and the directory.
//!
//! Not modelled: contention of reads with syncs, seek times, the space that names and the journal take.

mod background;
mod cache;
mod crash;
mod damage;
mod drive;
mod entries;
mod error;
mod errseq;
mod faults;
mod image;
mod inode;
mod journal;
mod namespace;
mod operation;
mod overlay;
mod page;
mod personality;
mod reading;
mod report;
mod space;
mod spec;
mod stall;
mod sync;
#[cfg(test)]
mod tests;
mod walk;
mod writing;

pub use damage::{DamageReport, MediaDamage, MediaDamageKind};
pub use drive::{DiskSlowdown, MemberState, Raid10};
pub use error::DiskError;
pub use faults::DiskFaults;
pub use operation::{DiskEvent, OperationId, Request};
pub use personality::Personality;
pub use report::{CrashReport, DiskStats};
pub use spec::DiskSpec;

use super::{DirEntry, DiskUsage, Metadata, OpenOptions};
use crate::simulated::{
    core::{Core, HostId, ProcessId},
    key::Key,
    trace,
};
use background::Background;
use cache::CacheLimit;
use drive::Drive;
use errseq::SeenErrors;
use faults::Injector;
use inode::{FileNode, pages_for};
use namespace::{Entry, InodeId, Namespace};
use operation::Operation;
use overlay::Overlays;
use space::RoomLimits;
use std::{collections::BTreeMap, ops::Range, path::Path};
use sync::SyncQueue;

/// An open file of one process. Numbers are never reused: a handle of a dead process names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandleId(u64);

#[derive(Clone, Copy, Debug)]
struct Handle {
    file: InodeId,
    is_dir: bool,
    process: ProcessId,
    read: bool,
    write: bool,
    seen_errors: SeenErrors,
}

/// One host's disk.
#[derive(Clone)]
pub struct Disk {
    spec: DiskSpec,
    drive: Drive,
    key: Key,
    stats: DiskStats,
    namespace: Namespace,
    files: BTreeMap<InodeId, FileNode>,
    handles: BTreeMap<HandleId, Handle>,
    /// Who took the advisory lock of a directory last; it holds while that handle is open.
    locked_dirs: BTreeMap<InodeId, HandleId>,
    /// Calls in flight, in the order of their numbers.
    operations: Vec<(OperationId, Operation)>,
    syncs: SyncQueue,
    background: Background,
    /// What reads found at a drive that may answer wrongly: the page may leave memory before it is fetched.
    answers: BTreeMap<OperationId, Vec<u8>>,
    /// Files whose write-back waits for a stall to end.
    held_write_back: Vec<InodeId>,
    injector: Injector,
    overlays: Overlays,
    /// How often media were damaged.
    damages: u64,
    stalled_since_ns: Option<u64>,
    limits: RoomLimits,
    cache: Option<CacheLimit>,
    /// Changes of metadata up to here are in commits, as the kernel knows it…
    committed: u64,
    /// …and up to here they are on the media, whatever the drive said. Personalities with a journal alone have the two.
    durable: u64,
    /// Pages taken by the files that programs can reach or have open.
    used_pages: u64,
    /// Numbers inodes, handles, operations, and the changes of metadata in their order.
    last_number: u64,
}

impl Disk {
    /// An empty disk. `key` is the root of its randomness.
    pub fn new(spec: DiskSpec, key: Key) -> Disk {
        Disk {
            background: Background::new(&spec, key.derive("background")),
            syncs: SyncQueue::new(key.derive("sync")),
            drive: Drive::new(&spec),
            spec,
            key,
            stats: DiskStats::default(),
            namespace: Namespace::new(InodeId(0)),
            files: BTreeMap::new(),
            handles: BTreeMap::new(),
            locked_dirs: BTreeMap::new(),
            operations: Vec::new(),
            answers: BTreeMap::new(),
            held_write_back: Vec::new(),
            injector: Injector::new(key.derive("fault")),
            overlays: Overlays::default(),
            damages: 0,
            stalled_since_ns: None,
            limits: RoomLimits::default(),
            cache: None,
            committed: 0,
            durable: 0,
            used_pages: 0,
            last_number: 0,
        }
    }

    /// Two disks of machines that are off change places. Their numbers go on above both, so that an event that is still on the
    /// agenda of one host names no call of the other's disk.
    pub fn exchange(one: &mut Disk, other: &mut Disk) {
        std::mem::swap(one, other);
        let last_number = one.last_number.max(other.last_number);
        (one.last_number, other.last_number) = (last_number, last_number);
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// What the disk did so far.
    pub fn stats(&self) -> DiskStats {
        self.stats
    }

    /// Opens a file, and creates or cuts it as the options say.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(
        &mut self,
        core: &mut Core,
        process: ProcessId,
        options: &OpenOptions,
        path: &Path,
        wall_ms: i64,
    ) -> Result<HandleId, DiskError> {
        self.advance(core.now_ns());
        let OpenOptions { read, write, create, create_new, truncate } = *options;
        if !write && (!read || create || create_new || truncate) {
            return Err(DiskError::BadOptions);
        }
        let place = match self.namespace.place(path) {
            Err(DiskError::BadPath { path: shown }) => {
                let inode = self.namespace.find_dir(path)?;
                if write {
                    return Err(DiskError::IsADirectory { path: shown });
                }
                return Ok(self.open_dir(core, process, path, inode));
            }
            place => place?,
        };
        let shown = || path.display().to_string();
        let file = match self.namespace.get(&place) {
            Some(_) if create_new => return Err(DiskError::AlreadyExists { path: shown() }),
            Some(Entry { is_dir: true, .. }) if write => return Err(DiskError::IsADirectory { path: shown() }),
            Some(Entry { is_dir: true, inode }) => return Ok(self.open_dir(core, process, path, inode)),
            Some(entry) => entry.inode,
            None if create || create_new => {
                let inode = InodeId(self.next_number());
                let sequence = self.next_number();
                self.files.insert(inode, FileNode::new(wall_ms, sequence));
                self.namespace.set(&place, Some(Entry { inode, is_dir: false }), wall_ms, sequence);
                self.changed_metadata(core.now_ns());
                self.trace_path(core, process.host, "disk.create", path, inode.0);
                inode
            }
            None => return Err(DiskError::NotFound { path: shown() }),
        };
        if truncate {
            self.resize(file, 0, wall_ms, core.now_ns());
        }
        let handle = HandleId(self.next_number());
        let seen_errors = self.files.get(&file).map_or(SeenErrors::default(), |file| file.errors.sample());
        self.handles.insert(handle, Handle { file, is_dir: false, process, read, write, seen_errors });
        self.trace_path(core, process.host, "disk.open", path, file.0);
        Ok(handle)
    }

    /// A directory can be opened for reading, but not read: to sync it.
    fn open_dir(&mut self, core: &mut Core, process: ProcessId, path: &Path, dir: InodeId) -> HandleId {
        let handle = HandleId(self.next_number());
        self.handles.insert(
            handle,
            Handle { file: dir, is_dir: true, process, read: true, write: false, seen_errors: SeenErrors::default() },
        );
        self.trace_path(core, process.host, "disk.open", path, dir.0);
        handle
    }

    /// Closes a file. Does nothing when the handle's process is dead.
    pub fn close(&mut self, core: &mut Core, handle: HandleId) {
        let Some(closed) = self.handles.remove(&handle) else { return };
        self.advance(core.now_ns());
        if let Some(file) = self.files.get_mut(&closed.file) {
            if file.locked_by == Some(handle.0) {
                file.locked_by = None;
            }
            let flushes = std::mem::take(&mut file.flush_on_close);
            if !file.linked {
                self.reap();
            }
            if flushes {
                self.write_back_file(closed.file, core.now_ns());
            }
        }
        core.trace(closed.process.host, "disk.close", closed.file.0, 0);
    }

    /// How many files a process has open.
    pub fn open_files(&self, process: ProcessId) -> u64 {
        self.handles.values().filter(|handle| handle.process == process).count() as u64
    }

    fn handle(&self, handle: HandleId) -> Result<Handle, DiskError> {
        self.handles.get(&handle).copied().ok_or(DiskError::Dead)
    }

    fn file_of(&mut self, handle: HandleId) -> Result<(Handle, &mut FileNode), DiskError> {
        let handle = self.handle(handle)?;
        if handle.is_dir {
            return Err(DiskError::IsADirectory { path: "an open directory".to_owned() });
        }
        Ok((handle, self.files.get_mut(&handle.file).expect("an open file is kept")))
    }

    /// The size of an open file.
    ///
    /// # Errors
    /// When its process is dead.
    pub fn len(&mut self, handle: HandleId) -> Result<u64, DiskError> {
        if self.handle(handle)?.is_dir {
            return Ok(page::PAGE_BYTES as u64);
        }
        Ok(self.file_of(handle)?.1.size())
    }

    /// Where an open file may have something other than zeros, from `offset` on: the next stretch (`SEEK_DATA`, `SEEK_HOLE`).
    ///
    /// # Errors
    /// When its process is dead.
    pub fn next_data(&mut self, handle: HandleId, offset: u64) -> Result<Option<Range<u64>>, DiskError> {
        if self.handle(handle)?.is_dir {
            return Ok(None);
        }
        Ok(self.file_of(handle)?.1.next_data(offset))
    }

    /// Copies what a [`Request::Read`] that has ended found.
    ///
    /// # Errors
    /// When the process is dead, or may not read.
    pub fn read(
        &mut self,
        operation: OperationId,
        handle: HandleId,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<usize, DiskError> {
        let answer = if self.answers.is_empty() { None } else { self.answers.remove(&operation) };
        let (opened, file) = self.file_of(handle)?;
        if !opened.read {
            return Err(DiskError::NotPermitted { right: "read" });
        }
        let len = match answer {
            Some(answer) => {
                let len = answer.len().min(buffer.len());
                buffer[..len].copy_from_slice(&answer[..len]);
                len
            }
            None => file.read(offset, buffer),
        };
        self.stats.read_bytes += len as u64;
        Ok(len)
    }

    /// Takes the exclusive advisory lock of an open file, until it is closed or its process ends.
    ///
    /// # Errors
    /// When another handle holds it.
    pub fn try_lock(&mut self, handle: HandleId) -> Result<(), DiskError> {
        let opened = self.handle(handle)?;
        if opened.is_dir {
            let holder = self.locked_dirs.get(&opened.file).filter(|holder| self.handles.contains_key(holder));
            if holder.is_some_and(|&holder| holder != handle) {
                return Err(DiskError::Locked);
            }
            self.locked_dirs.insert(opened.file, handle);
            return Ok(());
        }
        let (_, file) = self.file_of(handle)?;
        match file.locked_by {
            Some(holder) if holder != handle.0 => Err(DiskError::Locked),
            _ => {
                file.locked_by = Some(handle.0);
                Ok(())
            }
        }
    }

    fn trace_path(&self, core: &mut Core, host: HostId, step: &'static str, path: &Path, number: u64) {
        core.trace(host, step, trace::digest(path.as_os_str().as_encoded_bytes()), number);
    }

    /// Changes the size of a file at once.
    fn resize(&mut self, id: InodeId, to: u64, wall_ms: i64, now_ns: u64) {
        let sequence = self.next_number();
        let Some(file) = self.files.get_mut(&id).filter(|file| file.counted) else { return };
        let used = file.used_pages();
        if to < file.size() {
            self.syncs.cut(id, to);
            self.overlays.cut(id, pages_for(to));
            file.flush_on_close |= self.spec.personality.flushes_cut_files(to);
        }
        let divided = if to < file.size() { file.dirty_divided(to, now_ns) } else { None };
        file.resize(to, sequence);
        if let Some(page) = divided {
            self.background.became_dirty(&self.spec, id, page, now_ns);
        }
        file.touched = sequence;
        file.modified_ms = wall_ms;
        self.used_pages = self.used_pages - used + file.used_pages();
        self.changed_metadata(now_ns);
    }

    /// Forgets the files that nobody can reach any more, in any view, and counts the room anew.
    fn reap(&mut self) {
        let kept = self.namespace.sweep();
        let reachable = self.namespace.reachable();
        let open: std::collections::BTreeSet<_> = self.handles.values().map(|handle| handle.file).collect();
        self.files.retain(|id, _| kept.contains(id) || open.contains(id));
        if !self.overlays.is_empty() {
            let files = &self.files;
            self.overlays.retain(|id| files.contains_key(&id));
        }
        self.used_pages = 0;
        for (id, file) in &mut self.files {
            file.linked = reachable.contains(id);
            file.counted = file.linked || open.contains(id);
            if file.counted {
                self.used_pages += file.used_pages();
            }
        }
    }
}

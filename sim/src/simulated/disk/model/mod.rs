//! The model of one host's disk: a file system over a drive, with three tiers: page cache → device cache → media.
//!
//! | a crash of kind | open files, calls in flight | page cache | device cache | media |
//! |---|---|---|---|---|
//! | `Process` | lost; a running write is cut at a page boundary, a sync goes on | kept | kept | kept |
//! | `Os` | lost | lost, but for what early write-back had moved | drains | kept |
//! | `Power` | lost | lost, likewise | any subset of its sectors, a few of them torn | kept |
//! | `Disk` | lost | lost | lost | lost |
//!
//! Content is in [`page`] and [`inode`], names in [`namespace`], calls that take time in [`operation`] and [`sync`], the
//! kernel's timers in [`background`], the loss in [`crash`], the speed of the drive in [`drive`]. Everything is plain data: no futures, no executor. Calls that
//! take no time of their own (names, sizes) are methods here; the others are [`Request`]s.
//!
//! Timers are evaluated when somebody looks ([`Disk::advance`]), so a disk that nobody uses costs nothing; only calls in
//! flight put events on the agenda. Every random choice is a function of the disk's key and the number of the operation
//! (sync, batch, crash) and, within a crash, of the file, the page and the directory.
//!
//! Not modelled: eviction from the page cache and write-back under memory pressure, contention of reads with syncs, seek
//! times, the space that names and the journal take.

mod background;
mod crash;
mod drive;
mod error;
mod image;
mod inode;
mod namespace;
mod operation;
mod page;
mod report;
mod spec;
mod sync;
#[cfg(test)]
mod tests;

pub use drive::{DiskSlowdown, MemberState, Raid10};
pub use error::DiskError;
pub use operation::{DiskEvent, OperationId, Request};
pub use report::{CrashReport, DiskStats};
pub use spec::DiskSpec;

use super::{DirEntry, DiskUsage, Metadata, OpenOptions};
use crate::simulated::{
    core::{Core, HostId, ProcessId},
    key::Key,
    trace,
};
use background::Background;
use drive::Drive;
use inode::FileNode;
use namespace::{Entry, InodeId, Namespace};
use operation::Operation;
use page::PAGE_BYTES;
use std::{collections::BTreeMap, path::Path};
use sync::SyncQueue;

/// An open file of one process. Numbers are never reused: a handle of a dead process names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandleId(u64);

#[derive(Clone, Copy, Debug)]
struct Handle {
    file: InodeId,
    process: ProcessId,
    read: bool,
    write: bool,
}

/// One host's disk.
pub struct Disk {
    spec: DiskSpec,
    drive: Drive,
    key: Key,
    stats: DiskStats,
    namespace: Namespace,
    files: BTreeMap<InodeId, FileNode>,
    handles: BTreeMap<HandleId, Handle>,
    operations: BTreeMap<OperationId, Operation>,
    syncs: SyncQueue,
    background: Background,
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
            operations: BTreeMap::new(),
            used_pages: 0,
            last_number: 0,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// What the disk did so far.
    pub fn stats(&self) -> DiskStats {
        self.stats
    }

    /// Its size and what is left of it.
    pub fn usage(&self) -> DiskUsage {
        DiskUsage {
            total_bytes: self.spec.capacity_bytes,
            available_bytes: self.spec.capacity_bytes.saturating_sub(self.used_pages * PAGE_BYTES as u64),
        }
    }

    fn free_pages(&self) -> u64 {
        self.usage().available_bytes / PAGE_BYTES as u64
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
            Err(DiskError::BadPath { path: shown }) if self.namespace.find_dir(path).is_ok() => {
                return Err(DiskError::IsADirectory { path: shown });
            }
            place => place?,
        };
        let shown = || path.display().to_string();
        let file = match self.namespace.get(&place) {
            Some(_) if create_new => return Err(DiskError::AlreadyExists { path: shown() }),
            Some(Entry { is_dir: true, .. }) => return Err(DiskError::IsADirectory { path: shown() }),
            Some(entry) => entry.inode,
            None if create || create_new => {
                let inode = InodeId(self.next_number());
                let sequence = self.next_number();
                self.files.insert(inode, FileNode::new(wall_ms));
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
        self.handles.insert(handle, Handle { file, process, read, write });
        self.trace_path(core, process.host, "disk.open", path, file.0);
        Ok(handle)
    }

    /// Closes a file. Does nothing when the handle's process is dead.
    pub fn close(&mut self, core: &mut Core, handle: HandleId) {
        let Some(closed) = self.handles.remove(&handle) else { return };
        self.advance(core.now_ns());
        if let Some(file) = self.files.get_mut(&closed.file) {
            if file.locked_by == Some(handle.0) {
                file.locked_by = None;
            }
            if !file.linked {
                self.reap();
            }
        }
        core.trace(closed.process.host, "disk.close", closed.file.0, 0);
    }

    fn handle(&self, handle: HandleId) -> Result<Handle, DiskError> {
        self.handles.get(&handle).copied().ok_or(DiskError::Dead)
    }

    fn file_of(&mut self, handle: HandleId) -> Result<(Handle, &mut FileNode), DiskError> {
        let handle = self.handle(handle)?;
        Ok((handle, self.files.get_mut(&handle.file).expect("an open file is kept")))
    }

    /// The size of an open file.
    ///
    /// # Errors
    /// When its process is dead.
    pub fn len(&mut self, handle: HandleId) -> Result<u64, DiskError> {
        Ok(self.file_of(handle)?.1.size())
    }

    /// Copies from the page cache, once a [`Request::Read`] has waited for it.
    ///
    /// # Errors
    /// When the process is dead, or may not read.
    pub fn read(&mut self, handle: HandleId, buffer: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let (opened, file) = self.file_of(handle)?;
        if !opened.read {
            return Err(DiskError::NotPermitted { right: "read" });
        }
        let len = file.read(offset, buffer);
        self.stats.read_bytes += len as u64;
        Ok(len)
    }

    /// Takes the exclusive advisory lock of an open file, until it is closed or its process ends.
    ///
    /// # Errors
    /// When another handle holds it.
    pub fn try_lock(&mut self, handle: HandleId) -> Result<(), DiskError> {
        let (_, file) = self.file_of(handle)?;
        match file.locked_by {
            Some(holder) if holder != handle.0 => Err(DiskError::Locked),
            _ => {
                file.locked_by = Some(handle.0);
                Ok(())
            }
        }
    }

    /// Creates a directory and its missing parents.
    ///
    /// # Errors
    /// When a file is in the way.
    pub fn create_dir_all(
        &mut self,
        core: &mut Core,
        host: HostId,
        path: &Path,
        wall_ms: i64,
    ) -> Result<(), DiskError> {
        self.advance(core.now_ns());
        let number_before = self.last_number;
        let number = &mut self.last_number;
        let result = self.namespace.create_dir_all(path, wall_ms, || {
            *number += 2;
            (InodeId(*number - 1), *number)
        });
        if self.last_number != number_before {
            self.changed_metadata(core.now_ns());
            self.trace_path(core, host, "disk.mkdir", path, self.last_number);
        }
        result
    }

    /// The entries of a directory, sorted by name.
    ///
    /// # Errors
    /// When there is no directory at the path.
    pub fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let dir = self.namespace.find_dir(path)?;
        let entries = self.namespace.list(dir);
        Ok(entries.map(|(name, entry)| DirEntry { name: name.to_owned(), is_dir: entry.is_dir }).collect())
    }

    /// What is known of a path.
    ///
    /// # Errors
    /// When there is nothing.
    pub fn metadata(&self, path: &Path) -> Result<Metadata, DiskError> {
        let Entry { inode, is_dir } = self.namespace.find(path)?;
        Ok(match self.files.get(&inode) {
            Some(file) => Metadata { len: file.size(), is_dir, modified_ms: file.modified_ms },
            None => {
                let modified_ms = self.namespace.directory(inode).map_or(0, |dir| dir.modified_ms);
                Metadata { len: PAGE_BYTES as u64, is_dir, modified_ms }
            }
        })
    }

    /// Removes a file from its directory. Its content lives on while it is open.
    ///
    /// # Errors
    /// When there is none, or a directory.
    pub fn remove_file(&mut self, core: &mut Core, host: HostId, path: &Path, wall_ms: i64) -> Result<(), DiskError> {
        self.advance(core.now_ns());
        let place = self.namespace.place(path)?;
        match self.namespace.get(&place) {
            None => return Err(DiskError::NotFound { path: path.display().to_string() }),
            Some(entry) if entry.is_dir => {
                return Err(DiskError::IsADirectory { path: path.display().to_string() });
            }
            Some(_) => {}
        }
        let sequence = self.next_number();
        self.namespace.set(&place, None, wall_ms, sequence);
        self.changed_metadata(core.now_ns());
        self.reap();
        self.trace_path(core, host, "disk.unlink", path, sequence);
        Ok(())
    }

    /// Removes a directory with everything in it, deepest first.
    ///
    /// # Errors
    /// When there is none, or a file.
    pub fn remove_dir_all(
        &mut self,
        core: &mut Core,
        host: HostId,
        path: &Path,
        wall_ms: i64,
    ) -> Result<(), DiskError> {
        self.advance(core.now_ns());
        let dir = self.namespace.find_dir(path)?;
        let place = self.namespace.place(path)?;
        let number = &mut self.last_number;
        let mut next = || {
            *number += 1;
            *number
        };
        self.namespace.clear_dir(dir, wall_ms, &mut next);
        self.namespace.set(&place, None, wall_ms, next());
        self.changed_metadata(core.now_ns());
        self.reap();
        self.trace_path(core, host, "disk.rmdir", path, dir.0);
        Ok(())
    }

    /// Renames, atomically replacing a file (or an empty directory) that has the new name.
    ///
    /// # Errors
    /// As `rename(2)`.
    pub fn rename(
        &mut self,
        core: &mut Core,
        host: HostId,
        from: &Path,
        to: &Path,
        wall_ms: i64,
    ) -> Result<(), DiskError> {
        self.advance(core.now_ns());
        let sequence = self.next_number();
        let replaced = self.namespace.rename(from, to, wall_ms, sequence)?;
        self.changed_metadata(core.now_ns());
        if replaced.is_some() {
            self.reap();
        }
        self.trace_path(core, host, "disk.rename", to, trace::digest(from.as_os_str().as_encoded_bytes()));
        Ok(())
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
        }
        file.resize(to, sequence);
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

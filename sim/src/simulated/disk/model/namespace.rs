//! Directories: the names as programs see them, the names as they are durable, and the entry operations in between.
//!
//! Creations, renames and removals take effect at once in the view of programs, and wait in order until a directory sync or
//! the journal's timer makes them durable. A crash undoes some of them: each survives or not by itself, but of operations
//! that touch the same name or the same inode only a prefix survives, and a rename survives as a whole or not at all.
//!
//! This is stricter than ext4 and XFS, whose journals are ordered across all operations, and in which the fsync of a new file
//! persists its directory entry as well; POSIX promises neither, and a store must not rely on it. See `personality`.
//!
//! Not modelled: links (hard or symbolic), permissions, access times, names that are not UTF-8.

use super::error::DiskError;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// A file or a directory, numbered in the order of creation and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct InodeId(pub u64);

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub inode: InodeId,
    pub is_dir: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    /// As programs see it.
    entries: BTreeMap<String, Entry>,
    /// As it would be if the page cache were lost now and every operation that waits were undone.
    durable: BTreeMap<String, Entry>,
    pub modified_ms: i64,
}

/// One name changes its meaning.
#[derive(Clone, Debug)]
struct Change {
    dir: InodeId,
    name: String,
    before: Option<Entry>,
    after: Option<Entry>,
}

/// An operation on entries that is not yet durable: one change, or the two of a rename.
#[derive(Clone, Debug)]
struct EntryOperation {
    sequence: u64,
    changes: Vec<Change>,
}

/// What operations have in common that may not be reordered.
#[derive(Default)]
struct Touched<'a> {
    names: BTreeSet<(InodeId, &'a str)>,
    inodes: BTreeSet<InodeId>,
}

impl<'a> Touched<'a> {
    fn add(&mut self, operation: &'a EntryOperation) {
        for change in &operation.changes {
            self.names.insert((change.dir, &change.name));
            self.inodes.extend([change.before, change.after].into_iter().flatten().map(|entry| entry.inode));
        }
    }

    fn meets(&self, operation: &EntryOperation) -> bool {
        operation.changes.iter().any(|change| {
            self.names.contains(&(change.dir, change.name.as_str()))
                || [change.before, change.after].into_iter().flatten().any(|entry| self.inodes.contains(&entry.inode))
        })
    }
}

/// The tree of directories.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    root: InodeId,
    dirs: BTreeMap<InodeId, Directory>,
    waiting: Vec<EntryOperation>,
}

/// The place of a name: its directory and the name itself.
pub(super) struct Place<'a> {
    pub dir: InodeId,
    pub name: &'a str,
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

impl Namespace {
    /// An empty tree with this root.
    pub fn new(root: InodeId) -> Namespace {
        Namespace { root, dirs: BTreeMap::from([(root, Directory::default())]), waiting: Vec::new() }
    }

    fn dir(&self, id: InodeId) -> &Directory {
        self.dirs.get(&id).expect("entries name directories that exist")
    }

    fn dir_mut(&mut self, id: InodeId) -> &mut Directory {
        self.dirs.get_mut(&id).expect("entries name directories that exist")
    }

    /// The directory itself, if it still exists.
    pub fn directory(&self, id: InodeId) -> Option<&Directory> {
        self.dirs.get(&id)
    }

    /// The directory above all.
    pub fn root(&self) -> InodeId {
        self.root
    }

    /// A new directory, which no name stands for yet.
    pub fn add_dir(&mut self, inode: InodeId, now_ms: i64) {
        self.dirs.insert(inode, Directory { modified_ms: now_ms, ..Directory::default() });
    }

    /// What a name in a directory stands for.
    pub fn get(&self, place: &Place<'_>) -> Option<Entry> {
        self.dir(place.dir).entries.get(place.name).copied()
    }

    /// The entries of a directory by name.
    pub fn list(&self, dir: InodeId) -> impl Iterator<Item = (&str, Entry)> {
        self.dir(dir).entries.iter().map(|(name, entry)| (name.as_str(), *entry))
    }

    /// Gives a name a new meaning, or removes it.
    pub fn set(&mut self, place: &Place<'_>, after: Option<Entry>, now_ms: i64, sequence: u64) {
        let change = self.change(place, after, now_ms);
        self.waiting.push(EntryOperation { sequence, changes: vec![change] });
    }

    fn change(&mut self, place: &Place<'_>, after: Option<Entry>, now_ms: i64) -> Change {
        let dir = self.dir_mut(place.dir);
        dir.modified_ms = now_ms;
        let before = match after {
            Some(entry) => dir.entries.insert(place.name.to_owned(), entry),
            None => dir.entries.remove(place.name),
        };
        Change { dir: place.dir, name: place.name.to_owned(), before, after }
    }

    /// Removes everything in a directory, deepest first; `next` gives each operation its place in the order.
    pub fn clear_dir(&mut self, dir: InodeId, now_ms: i64, next: &mut impl FnMut() -> u64) {
        let entries: Vec<_> = self.list(dir).map(|(name, entry)| (name.to_owned(), entry)).collect();
        for (name, entry) in entries {
            if entry.is_dir {
                self.clear_dir(entry.inode, now_ms, next);
            }
            self.set(&Place { dir, name: &name }, None, now_ms, next());
        }
    }

    /// Renames, replacing a file or an empty directory at the new path. Returns what was replaced and whether anything
    /// changed.
    pub fn rename(&mut self, from: &Path, to: &Path, now_ms: i64, sequence: u64) -> Result<Option<Entry>, DiskError> {
        let (source, target) = (self.place(from)?, self.place(to)?);
        let moved = self.get(&source).ok_or_else(|| DiskError::NotFound { path: display(from) })?;
        let replaced = self.get(&target);
        if replaced.is_some_and(|replaced| replaced.inode == moved.inode) {
            return Ok(None);
        }
        if moved.is_dir && self.subtree(moved.inode).contains(&target.dir) {
            return Err(DiskError::BadPath { path: display(to) });
        }
        // `do_renameat2` looks for this before it asks what either is.
        if replaced.is_some_and(|replaced| replaced.is_dir && self.subtree(replaced.inode).contains(&source.dir)) {
            return Err(DiskError::NotEmpty { path: display(to) });
        }
        match replaced {
            Some(replaced) if replaced.is_dir && !moved.is_dir => {
                return Err(DiskError::IsADirectory { path: display(to) });
            }
            Some(replaced) if !replaced.is_dir && moved.is_dir => {
                return Err(DiskError::NotADirectory { path: display(to) });
            }
            Some(replaced) if replaced.is_dir && !self.dir(replaced.inode).entries.is_empty() => {
                return Err(DiskError::NotEmpty { path: display(to) });
            }
            _ => {}
        }
        let changes = vec![self.change(&source, None, now_ms), self.change(&target, Some(moved), now_ms)];
        self.waiting.push(EntryOperation { sequence, changes });
        Ok(replaced)
    }

    /// The directories in and below one, as programs see them.
    fn subtree(&self, top: InodeId) -> BTreeSet<InodeId> {
        let mut found = BTreeSet::from([top]);
        let mut open = vec![top];
        while let Some(dir) = open.pop() {
            for (_, entry) in self.list(dir).filter(|(_, entry)| entry.is_dir) {
                found.insert(entry.inode);
                open.push(entry.inode);
            }
        }
        found
    }

    /// Whether operations wait to become durable.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether an operation on this directory waits to become durable.
    pub fn waits_for(&self, dir: InodeId) -> bool {
        self.waiting.iter().any(|operation| operation.changes.iter().any(|change| change.dir == dir))
    }

    /// Makes every operation up to a place in the order durable.
    pub fn commit_up_to(&mut self, up_to: u64) {
        let waiting = self.waiting.split_off(self.waiting.partition_point(|operation| operation.sequence <= up_to));
        for operation in std::mem::replace(&mut self.waiting, waiting) {
            self.make_durable(operation);
        }
    }

    /// Makes the operations on one directory durable, up to a place in the order, and with them what must come before.
    pub fn commit_dir(&mut self, dir: InodeId, up_to: u64) {
        let mut needed = vec![false; self.waiting.len()];
        let mut touched = Touched::default();
        for (operation, needed) in self.waiting.iter().zip(&mut needed).rev() {
            let asked = operation.sequence <= up_to && operation.changes.iter().any(|change| change.dir == dir);
            if asked || touched.meets(operation) {
                *needed = true;
                touched.add(operation);
            }
        }
        for (operation, needed) in std::mem::take(&mut self.waiting).into_iter().zip(needed) {
            if needed {
                self.make_durable(operation);
            } else {
                self.waiting.push(operation);
            }
        }
    }

    fn make_durable(&mut self, operation: EntryOperation) {
        for change in operation.changes {
            let dir = self.dir_mut(change.dir);
            match change.after {
                Some(entry) => dir.durable.insert(change.name, entry),
                None => dir.durable.remove(&change.name),
            };
        }
    }

    /// A crash: `survives` is asked about each waiting operation by the directory of its last name; those that survive
    /// become durable, and programs see what is durable. Returns how many were undone.
    pub fn crash(&mut self, mut survives: impl FnMut(InodeId) -> bool) -> u64 {
        let waiting = std::mem::take(&mut self.waiting);
        let mut undone = Touched::default();
        let mut fates = Vec::with_capacity(waiting.len());
        for operation in &waiting {
            // Ask in any case, so that one operation's fate does not shift the draws of the next.
            let drawn = operation.changes.last().is_some_and(|change| survives(change.dir));
            let fate = drawn && !undone.meets(operation);
            if !fate {
                undone.add(operation);
            }
            fates.push(fate);
        }
        let lost = fates.iter().filter(|&&fate| !fate).count() as u64;
        for (operation, fate) in waiting.into_iter().zip(fates) {
            if fate {
                self.make_durable(operation);
            }
        }
        for dir in self.dirs.values_mut() {
            dir.entries.clone_from(&dir.durable);
        }
        lost
    }

    /// A crash that keeps the operations up to a place in the order, as a journal does. Returns how many were undone.
    pub fn crash_after(&mut self, up_to: u64) -> u64 {
        self.commit_up_to(up_to);
        self.crash(|_| false)
    }

    /// Every inode that programs can reach by a path.
    pub fn reachable(&self) -> BTreeSet<InodeId> {
        self.trace_from(&[self.root], false)
    }

    /// Every inode that programs can reach, or could after a crash; directories that nobody can reach are dropped.
    pub fn sweep(&mut self) -> BTreeSet<InodeId> {
        let mut roots = vec![self.root];
        for change in self.waiting.iter().flat_map(|operation| &operation.changes) {
            roots.push(change.dir);
            roots.extend([change.before, change.after].into_iter().flatten().map(|entry| entry.inode));
        }
        let kept = self.trace_from(&roots, true);
        self.dirs.retain(|id, _| kept.contains(id));
        kept
    }

    fn trace_from(&self, roots: &[InodeId], durable_too: bool) -> BTreeSet<InodeId> {
        let mut found: BTreeSet<_> = roots.iter().copied().collect();
        let mut open = roots.to_vec();
        while let Some(id) = open.pop() {
            let Some(dir) = self.dirs.get(&id) else { continue };
            let durable = dir.durable.values().filter(|_| durable_too);
            for entry in dir.entries.values().chain(durable) {
                if found.insert(entry.inode) {
                    open.push(entry.inode);
                }
            }
        }
        found
    }

    /// All files by path, sorted: as programs see them, or as they are durable.
    pub fn files(&self, durable: bool) -> Vec<(String, InodeId)> {
        let mut found = Vec::new();
        let mut open = vec![(String::new(), self.root)];
        while let Some((path, id)) = open.pop() {
            let Some(dir) = self.dirs.get(&id) else { continue };
            for (name, entry) in if durable { &dir.durable } else { &dir.entries } {
                let path = format!("{path}/{name}");
                if entry.is_dir {
                    open.push((path, entry.inode));
                } else {
                    found.push((path, entry.inode));
                }
            }
        }
        found.sort();
        found
    }
}

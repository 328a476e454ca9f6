//! Calls on names: they act at once on what programs see, and wait to become durable.

use super::{DirEntry, Disk, DiskError, InodeId, Metadata, Personality, namespace::Entry, page::PAGE_BYTES};
use crate::simulated::{
    core::{Core, HostId},
    trace,
};
use std::path::Path;

impl Disk {
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
        if self.spec.personality == Personality::Ext4Ordered
            && self.namespace.find(to).is_ok()
            && let Ok(moved) = self.namespace.find(from)
        {
            // `auto_da_alloc`: the content of what replaces a file is on its way before the new name is.
            self.write_back_file(moved.inode, core.now_ns());
        }
        let sequence = self.next_number();
        let replaced = self.namespace.rename(from, to, wall_ms, sequence)?;
        if let Some(file) = self.namespace.find(to).ok().and_then(|moved| self.files.get_mut(&moved.inode)) {
            file.touched = sequence;
            if self.spec.personality == Personality::Xfs {
                file.data_touched = sequence;
            }
        }
        self.changed_metadata(core.now_ns());
        if replaced.is_some() {
            self.reap();
        }
        self.trace_path(core, host, "disk.rename", to, trace::digest(from.as_os_str().as_encoded_bytes()));
        Ok(())
    }
}

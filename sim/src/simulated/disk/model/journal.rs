//! What becomes durable of names, sizes and times, and when: by a sync or by the journal's timer, as the personality has it, and
//! how a drive that lies about its flushes takes even that back.
//!
//! A commit is written to the drive and then flushed. With an honest flush it is durable at once. With a lying one it is in the
//! volatile cache like everything else: an OS crash leaves it to the drive, which drains it; a power loss keeps the commits up to
//! some point and none after it, because the journal is read in order and ends at the first record that is not whole.

use super::{Disk, InodeId};
use crate::simulated::key::Stream;

/// Metadata that becomes durable together: everything up to a place in the order of changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Commit {
    /// Of one file: its size; with a time, its modification time too.
    File { file: InodeId, up_to: u64, modified_ms: Option<i64> },
    /// The entries of one directory.
    Directory { dir: InodeId, up_to: u64 },
    /// Of the whole file system.
    All { up_to: u64 },
}

/// A commit in the device cache of a drive that lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnflushedCommit {
    pub at_ns: u64,
    commit: Commit,
}

impl Disk {
    /// Commits, as durably as the drive does.
    pub(super) fn commit(&mut self, commit: Commit, now_ns: u64) {
        if self.injector.faults.lying_sync {
            let at_ns = now_ns + self.spec.drain_ns_max;
            self.background.wake_by(at_ns);
            self.background.unflushed.push_back(UnflushedCommit { at_ns, commit });
        } else {
            self.apply(commit);
        }
    }

    fn apply(&mut self, commit: Commit) {
        match commit {
            Commit::File { file, up_to, modified_ms } => {
                if let Some(file) = self.files.get_mut(&file) {
                    file.commit_size(up_to);
                    file.durable_modified_ms = modified_ms.unwrap_or(file.durable_modified_ms);
                }
            }
            Commit::Directory { dir, up_to } => {
                self.namespace.commit_dir(dir, up_to);
                self.reap();
            }
            Commit::All { up_to } => {
                self.durable = self.durable.max(up_to);
                for file in self.files.values_mut() {
                    file.commit_size(up_to);
                    file.durable_modified_ms = file.modified_ms;
                }
                if self.namespace.has_waiting() {
                    self.namespace.commit_up_to(up_to);
                    self.reap();
                }
            }
        }
    }

    /// The commits of a lying drive that have drained by themselves.
    pub(super) fn apply_unflushed_until(&mut self, now_ns: u64) {
        while self.background.unflushed.front().is_some_and(|unflushed| unflushed.at_ns <= now_ns) {
            if let Some(unflushed) = self.background.unflushed.pop_front() {
                self.apply(unflushed.commit);
            }
        }
    }

    /// A power loss: a prefix of the commits in the device cache is whole. Returns whether any was lost.
    pub(super) fn lose_unflushed(&mut self, mut stream: Stream) -> bool {
        let count = self.background.unflushed.len() as u64;
        if count == 0 {
            return false;
        }
        let kept = stream.below(count + 1);
        for _ in 0..kept {
            if let Some(unflushed) = self.background.unflushed.pop_front() {
                self.apply(unflushed.commit);
            }
        }
        self.background.unflushed.clear();
        kept < count
    }

    /// The journal's timer has ended: all metadata becomes durable. The commit record is written with a flush, so the
    /// device cache is drained as well.
    pub(super) fn commit_journal(&mut self, now_ns: u64) {
        self.background.journal_due_ns = None;
        self.stats.journal_commits += 1;
        self.flush_device();
        self.commit_everything(self.last_number, now_ns);
    }

    /// FLUSH CACHE: everything in the device cache goes to the media. A lying drive does nothing.
    pub(super) fn flush_device(&mut self) {
        if self.injector.faults.lying_sync {
            self.stats.lying_flushes_injected += 1;
            return;
        }
        for (file, page) in std::mem::take(&mut self.background.draining).into_values() {
            self.drain(file, page);
        }
        self.apply_unflushed_until(u64::MAX);
    }

    /// What a sync of a file makes durable besides its content; with `all` (`fsync`) its modification time too.
    pub(super) fn commit_file(&mut self, id: InodeId, all: bool, up_to: u64, modified_ms: i64, now_ns: u64) {
        let modified_ms = all.then_some(modified_ms);
        if !self.spec.personality.is_journaled() {
            return self.commit(Commit::File { file: id, up_to, modified_ms }, now_ns);
        }
        let Some(file) = self.files.get(&id) else { return };
        if self.committed < if all { file.touched } else { file.data_touched } {
            self.commit_everything(up_to, now_ns);
        }
    }

    /// What a sync of a directory makes durable.
    pub(super) fn commit_directory(&mut self, dir: InodeId, up_to: u64, now_ns: u64) {
        if !self.spec.personality.is_journaled() {
            self.commit(Commit::Directory { dir, up_to }, now_ns);
        } else if self.namespace.waits_for(dir) {
            self.commit_everything(up_to, now_ns);
        }
    }

    fn commit_everything(&mut self, up_to: u64, now_ns: u64) {
        self.committed = up_to;
        if up_to == self.last_number {
            self.background.journal_due_ns = None;
        }
        self.commit(Commit::All { up_to }, now_ns);
    }

    /// A crash under a journaled personality: up to which place in the order changes of metadata survive. None of what waited in
    /// half of the crashes; otherwise the journal had been committed once more, by some other program's sync, before the last
    /// or at some change.
    pub(super) fn surviving_metadata(&self, mut stream: Stream, is_journal_cut: bool) -> u64 {
        let kept = match stream.below(4) {
            0 | 1 => self.durable,
            2 => self.last_number,
            _ => stream.range(self.durable, self.last_number),
        };
        if is_journal_cut { self.durable } else { kept }
    }
}

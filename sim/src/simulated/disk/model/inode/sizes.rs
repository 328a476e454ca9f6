//! The size of a file as it becomes durable: what a commit would write of it, and what a crash undoes.
//!
//! Every change that is not yet durable is kept in order, and a crash undoes some number of the last ones (the journal is ordered, so
//! what survives is a prefix). Undoing growth cuts the file; undoing a cut brings the old bytes back, because the blocks of a cut
//! are not reused before it is durable. Under delayed allocation growth by write is no change until write-back has reached it, and
//! the blocks that write-back fills for the first time are known to the journal only: without its commit they read as zeros.

use super::{FileNode, PAGE, Page, PageBytes, ReservedPages};
use crate::simulated::disk::model::page::PAGE_BYTES;
use std::collections::BTreeMap;

/// The place in the order of what no commit can have written yet.
const NEVER: u64 = u64::MAX;

/// A change of size that is not yet durable.
#[derive(Clone, Debug)]
pub(in super::super) struct SizeChange {
    /// Place in the order of all changes of metadata of this disk.
    pub sequence: u64,
    pub from: u64,
    pub to: u64,
    reserved_before: ReservedPages,
    /// Of a cut: the pages it removed, as the drive had them. Of the page that it divides this is what the drive has by now: that is
    /// written back in place, its end zeroed or written anew, before the cut is durable or after.
    removed: BTreeMap<u64, PageBytes>,
}

impl FileNode {
    /// Changes the size. A cut removes what lies beyond; growth reads as zeros.
    pub fn resize(&mut self, to: u64, sequence: u64) {
        let reserved_before = self.reserved.clone();
        let removed = if to < self.size { self.cut(to) } else { BTreeMap::new() };
        self.size = to;
        self.log_size(to, reserved_before, removed, sequence);
    }

    /// The drive was given a page: what undoing a cut through it brings back is that.
    pub fn reached_drive(&mut self, number: u64, bytes: &PageBytes) {
        for change in &mut self.size_changes {
            if change.to / PAGE == number
                && !change.to.is_multiple_of(PAGE)
                && let Some(removed) = change.removed.get_mut(&number)
            {
                removed.clone_from(bytes);
            }
        }
    }

    /// The size that a commit up to this place in the order would write.
    fn log_size(
        &mut self,
        to: u64,
        reserved_before: ReservedPages,
        removed: BTreeMap<u64, PageBytes>,
        sequence: u64,
    ) -> bool {
        let from = self.logged_size;
        if to == from {
            return false;
        }
        self.logged_size = to;
        self.size_changes.push(SizeChange { sequence, from, to, reserved_before, removed });
        self.data_touched = sequence;
        self.touched = sequence;
        true
    }

    /// The size grows, and no block is allocated yet: nothing to commit.
    pub fn grow_in_memory(&mut self, to: u64) {
        self.size = self.size.max(to);
    }

    /// Write-back has reached this size.
    pub fn log_growth(&mut self, reached: u64, sequence: u64) -> bool {
        let reached = reached.min(self.size);
        reached > self.logged_size && self.log_size(reached, self.reserved.clone(), BTreeMap::new(), sequence)
    }

    /// Blocks are being filled for the first time: until [`FileNode::end_filling`] no commit can say that they are.
    pub fn begin_filling(&mut self, pages: &[u64]) {
        self.filled.extend(pages.iter().map(|&page| (NEVER, page)));
    }

    /// Write-back has filled these blocks for the first time: a commit has to follow.
    pub fn end_filling(&mut self, pages: &[u64], sequence: u64) {
        let being_filled = |entry: &&mut (u64, u64)| entry.0 == NEVER && pages.contains(&entry.1);
        self.filled.iter_mut().filter(being_filled).for_each(|entry| entry.0 = sequence);
        self.data_touched = sequence;
        self.touched = sequence;
    }

    /// The size as a commit would write it.
    pub fn logged_size(&self) -> u64 {
        self.logged_size
    }

    /// Makes the changes of size up to this place in the order durable.
    pub fn commit_size(&mut self, up_to: u64) {
        let durable = self.size_changes.partition_point(|change| change.sequence <= up_to);
        self.size_changes.drain(..durable);
        self.filled.retain(|(sequence, _)| *sequence > up_to);
    }

    /// How many of the changes of size are at or before a place in the order.
    pub fn size_changes_until(&self, up_to: u64) -> usize {
        self.size_changes.partition_point(|change| change.sequence <= up_to)
    }

    /// How many changes of size are not yet durable.
    pub fn size_changes(&self) -> usize {
        self.size_changes.len()
    }

    /// Undoes all changes of size but the first `kept`, last first, and what no commit would have written. The pages have been
    /// through the crash before. Returns whether the size changed.
    pub fn undo_sizes(&mut self, kept: usize) -> bool {
        let size_before = self.size;
        if self.size > self.logged_size {
            self.cut(self.logged_size);
        }
        self.size = self.logged_size;
        let undone = self.size_changes.split_off(kept);
        let mut restored = Vec::new();
        for change in undone.into_iter().rev() {
            if change.to > change.from {
                self.cut(change.from);
            } else {
                self.cut(change.to);
                let first = change.to / PAGE;
                let at = (change.to % PAGE) as usize;
                for (number, old) in change.removed {
                    restored.push(number);
                    let from = if number == first { at } else { 0 };
                    match self.pages.get_mut(&number) {
                        Some(page) => page.restore_from(from, &old),
                        None => {
                            let mut bytes = old;
                            if from != 0 {
                                std::sync::Arc::make_mut(&mut bytes)[..from].fill(0);
                            }
                            self.pages.insert(number, Page::on_media(bytes));
                        }
                    }
                }
            }
            self.size = change.from;
            self.reserved = change.reserved_before;
        }
        self.size_changes.clear();
        self.logged_size = self.size;
        self.zero_beyond_end();
        self.drop_unfilled(&restored);
        self.recount();
        self.size != size_before
    }

    /// What an undone cut brought back may have been written since, up to a larger size that is undone as well. Nobody ever sees it:
    /// the kernel zeroes the rest of the last block when a file grows over it (seen on ext4 and XFS, Linux 6.18, whose inode had been
    /// given a smaller size than its block had bytes).
    fn zero_beyond_end(&mut self) {
        let at = (self.size % PAGE) as usize;
        if at != 0
            && let Some(page) = self.pages.get_mut(&(self.size / PAGE))
        {
            page.zero_from(at);
        }
    }

    /// Blocks whose first content no commit has written are still unwritten, unless an undone cut brought older content back.
    fn drop_unfilled(&mut self, restored: &[u64]) {
        for (_, page) in std::mem::take(&mut self.filled) {
            if !restored.contains(&page) {
                self.pages.remove(&page);
            }
        }
    }

    /// Blocks filled up to a place in the order are as durable as the commit that says so.
    pub fn keep_filled(&mut self, up_to: u64) {
        self.filled.retain(|(sequence, _)| *sequence > up_to);
    }

    /// The content that is on the media at the durable size: what a power loss leaves when it leaves the least.
    pub fn durable_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.logged_size).expect("simulated files fit into memory")];
        let copy = |number: u64, from: usize, page: &[u8; PAGE_BYTES], bytes: &mut Vec<u8>| {
            let start = usize::try_from(number * PAGE).expect("simulated files fit into memory") + from;
            if start < bytes.len() {
                let len = (PAGE_BYTES - from).min(bytes.len() - start);
                bytes[start..start + len].copy_from_slice(&page[from..from + len]);
            }
        };
        let unfilled: std::collections::BTreeSet<_> = self.filled.iter().map(|(_, page)| *page).collect();
        for (&number, page) in &self.pages {
            if let Some(media) = page.media().filter(|_| !unfilled.contains(&number)) {
                copy(number, 0, media, &mut bytes);
            }
        }
        for change in self.size_changes.iter().rev() {
            let from = usize::try_from(change.from).expect("simulated files fit into memory");
            bytes.truncate(usize::try_from(change.to).expect("simulated files fit into memory"));
            bytes.resize(from, 0);
            for (&number, old) in &change.removed {
                let at = if number == change.to / PAGE { (change.to % PAGE) as usize } else { 0 };
                copy(number, at, old, &mut bytes);
            }
        }
        bytes
    }
}

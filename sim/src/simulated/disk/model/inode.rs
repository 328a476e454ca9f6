//! A file: its pages and its size, as programs see them. How the size becomes durable is in [`sizes`].
//!
//! Space: `preallocate` and `reserve` take room for pages of a file, and every page written elsewhere takes one more. Growing
//! by `set_len` leaves a hole, which takes none.

mod reserved;
mod sizes;

use super::{
    errseq::ErrorSequence,
    page::{PAGE_BYTES, Page, PageBytes, zero_tail},
};
use reserved::ReservedPages;
use sizes::SizeChange;
use std::{collections::BTreeMap, ops::Range};

const PAGE: u64 = PAGE_BYTES as u64;

/// The content and the metadata of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileNode {
    pages: BTreeMap<u64, Page>,
    /// Pages that are not in memory.
    absent_pages: u64,
    /// Pages that became dirty since the last sync; may name a page twice, or one that was written back meanwhile.
    became_dirty: Vec<u64>,
    /// As programs see it.
    size: u64,
    /// As a commit would write it: `i_disksize` of ext4, `i_disk_size` of XFS. It lags behind under delayed allocation.
    logged_size: u64,
    size_changes: Vec<SizeChange>,
    /// Blocks that were filled for the first time, and the place of that in the order of changes of metadata, not yet
    /// committed.
    filled: Vec<(u64, u64)>,
    reserved: ReservedPages,
    /// Pages outside of the reserved ones.
    unreserved_pages: u64,
    pub modified_ms: i64,
    pub durable_modified_ms: i64,
    /// The handle that holds the advisory lock.
    pub locked_by: Option<u64>,
    /// Whether a directory has it, in the view of programs.
    pub linked: bool,
    /// Whether its pages count as taken: it is linked or open. A call that was abandoned can reach a file that is neither,
    /// while its removal waits to become durable; it has no effect then.
    pub counted: bool,
    /// The last change of any metadata of this file: `i_sync_tid` of ext4.
    pub touched: u64,
    /// The last change that `fdatasync` has to make durable: `i_datasync_tid`.
    pub data_touched: u64,
    /// It was cut: what is dirty goes to the drive when it is closed (see `personality`).
    pub flush_on_close: bool,
    /// Pages that could not be written, and who knows.
    pub errors: ErrorSequence,
    /// Until then a write or a change of size is going on, and the next has to wait (the inode lock).
    pub busy_until_ns: u64,
}

/// The pages that `len` bytes fill.
pub(super) fn pages_for(len: u64) -> u64 {
    len.div_ceil(PAGE)
}

/// Splits a range of a file at page boundaries: (page, offset in the page, range in the buffer).
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        (done < len).then(|| {
            let position = offset + done as u64;
            let at = (position % PAGE) as usize;
            let start = done;
            done = len.min(start + PAGE_BYTES - at);
            (position / PAGE, at, start..done)
        })
    })
}

impl FileNode {
    /// An empty file, whose creation has this place in the order of changes.
    pub fn new(now_ms: i64, sequence: u64) -> FileNode {
        FileNode {
            touched: sequence,
            data_touched: sequence,
            modified_ms: now_ms,
            durable_modified_ms: now_ms,
            linked: true,
            counted: true,
            ..FileNode::default()
        }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// The pages of the disk's room that this file takes.
    pub fn used_pages(&self) -> u64 {
        self.reserved.count() + self.unreserved_pages
    }

    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    pub fn page_mut(&mut self, number: u64) -> Option<&mut Page> {
        self.pages.get_mut(&number)
    }

    pub fn page(&self, number: u64) -> Option<&Page> {
        self.pages.get(&number)
    }

    pub fn pages(&self) -> impl Iterator<Item = (u64, &Page)> {
        self.pages.iter().map(|(&number, page)| (number, page))
    }

    /// The pages of a range that were written at some time; the others read as zeros.
    pub fn written_pages(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        self.pages.range(range.start / PAGE..range.end.div_ceil(PAGE)).map(|(&number, _)| number)
    }

    /// The next pages from `offset` on that were written at some time, in one stretch, within the size.
    pub fn next_data(&self, offset: u64) -> Option<Range<u64>> {
        if offset >= self.size {
            return None;
        }
        let mut pages = self.written_pages(offset..self.size);
        let first = pages.next()?;
        let following = (first + 1..).zip(pages).take_while(|(expected, page)| expected == page).count();
        let end = first + 1 + following as u64;
        Some(offset.max(first * PAGE)..self.size.min(end * PAGE))
    }

    /// Copies from the page cache; returns how many bytes there were.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let available = self.size.saturating_sub(offset);
        let len = usize::try_from(available).map_or(buffer.len(), |available| available.min(buffer.len()));
        for (number, at, range) in pieces(offset, len) {
            let part = &mut buffer[range];
            match self.pages.get(&number) {
                Some(page) => part.copy_from_slice(&page.cached()[at..at + part.len()]),
                None => part.fill(0),
            }
        }
        len
    }

    /// The pages of a range that the drive has and the page cache has not, in order.
    pub fn absent(&self, offset: u64, len: u64) -> Vec<u64> {
        let end = offset.saturating_add(len).min(self.size);
        if self.absent_pages == 0 || offset >= end {
            return Vec::new();
        }
        let pages = self.pages.range(offset / PAGE..end.div_ceil(PAGE));
        pages.filter(|(_, page)| !page.resident).map(|(&number, _)| number).collect()
    }

    /// The pages that a write has to read first: those it begins or ends within, and which are not in memory.
    pub fn absent_edges(&self, offset: u64, len: u64) -> Vec<u64> {
        if self.absent_pages == 0 || len == 0 {
            return Vec::new();
        }
        let end = offset + len;
        let mut edges = Vec::new();
        let is_absent = |number: &u64| self.pages.get(number).is_some_and(|page| !page.resident);
        if !offset.is_multiple_of(PAGE) || end < (offset / PAGE + 1) * PAGE {
            edges.push(offset / PAGE);
        }
        if !end.is_multiple_of(PAGE) && !edges.contains(&(end / PAGE)) {
            edges.push(end / PAGE);
        }
        edges.retain(is_absent);
        edges
    }

    /// A page comes into memory, see [`Page::load`].
    pub fn load(&mut self, number: u64, answer: Option<PageBytes>) {
        if let Some(page) = self.pages.get_mut(&number).filter(|page| !page.resident) {
            page.load(answer);
            self.absent_pages -= 1;
        }
    }

    /// A page leaves memory, if it may; whether it did.
    pub fn evict(&mut self, number: u64) -> bool {
        let is_gone = self.pages.get_mut(&number).is_some_and(Page::evict);
        self.absent_pages += u64::from(is_gone);
        is_gone
    }

    /// Writes into the page cache as far as there is room, and returns how many bytes that was. Takes the room from
    /// `free_pages`, and names the pages that became dirty, and whether they came into memory. Does not change the size.
    pub fn write(
        &mut self,
        offset: u64,
        bytes: &[u8],
        now_ns: u64,
        free_pages: &mut u64,
        mut on_dirty: impl FnMut(u64, bool),
    ) -> usize {
        for (number, at, range) in pieces(offset, bytes.len()) {
            let start = range.start;
            let mut came_in = false;
            let page = match self.pages.entry(number) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    if !self.reserved.contains(number) {
                        if *free_pages == 0 {
                            return start;
                        }
                        *free_pages -= 1;
                        self.unreserved_pages += 1;
                    }
                    came_in = true;
                    entry.insert(Page::zeroed())
                }
            };
            if !page.resident {
                page.resident = true;
                came_in = true;
                self.absent_pages -= 1;
            }
            if page.write(at, &bytes[range], now_ns) {
                self.became_dirty.push(number);
                on_dirty(number, came_in);
            }
        }
        bytes.len()
    }

    /// Reserves room for these pages.
    pub fn reserve(&mut self, pages: Range<u64>) {
        self.reserved.insert(pages);
        self.recount();
    }

    /// Gives back the room of the pages from `page` on that lie behind all that were written.
    pub fn unreserve(&mut self, page: u64) {
        let behind_written = self.pages.last_key_value().map_or(0, |(last, _)| last + 1);
        self.reserved.cut(page.max(behind_written));
    }

    /// Whether writing this page takes room.
    pub fn takes_room(&self, page: u64) -> bool {
        !self.reserved.contains(page) && !self.pages.contains_key(&page)
    }

    /// The beginning of `pages` for which there is room if so many pages are free.
    pub fn reservable(&self, pages: Range<u64>, mut free_pages: u64) -> Range<u64> {
        let mut end = pages.start;
        while end < pages.end {
            if self.takes_room(end) {
                if free_pages == 0 {
                    break;
                }
                free_pages -= 1;
            }
            end += 1;
        }
        pages.start..end
    }

    /// How much room reserving these pages takes.
    pub fn pages_to_reserve(&self, pages: Range<u64>) -> u64 {
        let written =
            self.pages.range(pages.clone()).filter(|(page, _)| !self.reserved.contains(**page)).count() as u64;
        let wanted = pages.end.saturating_sub(pages.start);
        wanted - self.reserved.count_in(&pages) - written
    }

    /// The page that a cut at `to` divides becomes dirty, for the kernel zeroes its end in memory. Returns it, if it was clean.
    pub fn dirty_divided(&mut self, to: u64, now_ns: u64) -> Option<u64> {
        let (number, at) = (to / PAGE, (to % PAGE) as usize);
        let page = self.pages.get_mut(&number).filter(|page| at != 0 && page.resident && page.device().is_some())?;
        let became_dirty = page.zero_dirty(at, now_ns);
        if became_dirty {
            self.became_dirty.push(number);
        }
        became_dirty.then_some(number)
    }

    /// Removes all content from `to` on; returns it as the drive had it.
    fn cut(&mut self, to: u64) -> BTreeMap<u64, PageBytes> {
        let mut removed = BTreeMap::new();
        let at = (to % PAGE) as usize;
        if at != 0
            && let Some(page) = self.pages.get_mut(&(to / PAGE))
        {
            if let Some(device) = page.device() {
                removed.insert(to / PAGE, device.clone());
            }
            page.zero_from(at);
        }
        for (number, page) in self.pages.split_off(&pages_for(to)) {
            if let Some(device) = page.device() {
                removed.insert(number, device.clone());
            }
        }
        self.reserved.cut(pages_for(to));
        self.recount();
        removed
    }

    fn recount(&mut self) {
        self.absent_pages = self.pages.values().filter(|page| !page.resident).count() as u64;
        self.unreserved_pages = self.pages.keys().filter(|&&page| !self.reserved.contains(page)).count() as u64;
    }

    /// The pages that are dirty now, in order; asks only about those that became dirty since the last call.
    pub fn take_dirty(&mut self) -> Vec<u64> {
        let mut numbers = std::mem::take(&mut self.became_dirty);
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| self.pages.get(number).is_some_and(Page::is_dirty));
        numbers
    }

    /// Puts every page through a crash, see [`Page::after_crash`].
    pub fn crash_pages(&mut self, mut fate: impl FnMut(u64, Page) -> Option<Page>) {
        let pages = std::mem::take(&mut self.pages);
        self.pages = pages.into_iter().filter_map(|(number, page)| Some((number, fate(number, page)?))).collect();
        self.became_dirty.clear();
        self.locked_by = None;
        self.busy_until_ns = 0;
        self.modified_ms = self.durable_modified_ms;
        self.recount();
    }

    /// The pages whose content the drive was given.
    pub fn device_pages(&self) -> impl Iterator<Item = u64> {
        self.pages.iter().filter(|(_, page)| page.device().is_some()).map(|(&number, _)| number)
    }

    /// The pages in memory.
    pub fn resident_pages(&self) -> impl Iterator<Item = u64> {
        self.pages.iter().filter(|(_, page)| page.resident).map(|(&number, _)| number)
    }

    /// The dirty pages, in order. Looks at all pages: for rare occasions.
    pub fn dirty_pages(&self) -> impl Iterator<Item = u64> {
        self.pages.iter().filter(|(_, page)| page.is_dirty()).map(|(&number, _)| number)
    }

    /// The content as programs see it.
    pub fn cached_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.size).expect("simulated files fit into memory")];
        self.read(0, &mut bytes);
        bytes
    }
}

/// Zeroes a snapshot of page `number` beyond a cut at `to`; `false` when nothing of the page is left.
pub(super) fn cut_snapshot(number: u64, bytes: &mut PageBytes, to: u64) -> bool {
    let start = number * PAGE;
    if start >= to {
        return false;
    }
    if to - start < PAGE {
        zero_tail(bytes, (to - start) as usize);
    }
    true
}

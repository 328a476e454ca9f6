//! Writes: into the page cache, and from there to the drive.
//!
//! What goes to the drive at once is a batch: the dirty pages of a sync, or those that the flusher finds old enough. It is
//! split into commands, each of which lands, is refused, is lost or goes astray (see `faults`). Under a journaled personality
//! the blocks that a batch fills for the first time, and the size that it reaches, are metadata which a commit has to follow.

use super::{
    Disk, DiskError, InodeId, Personality,
    background::{BecameDirty, Filling},
    faults::{WriteFate, commands, zeros},
    inode::{FileNode, pages_for},
    page::{PAGE_BYTES, PageBytes, SECTORS_ALL},
};
use std::{collections::BTreeMap, ops::Range};

const PAGE: u64 = PAGE_BYTES as u64;

/// A page on its way to the drive.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub page: u64,
    pub bytes: PageBytes,
    /// The sectors that were dirty, one bit each.
    pub sectors: u8,
}

/// A place whose pages are overwritten with what was meant for another, if the write goes astray.
type Astray = Option<(InodeId, u64)>;

impl Disk {
    /// A write call comes to its end: its bytes arrive in the page cache. Returns how many.
    pub(super) fn end_write(
        &mut self,
        number: u64,
        id: InodeId,
        offset: u64,
        bytes: &[u8],
        wall_ms: i64,
        now_ns: u64,
    ) -> Result<u64, DiskError> {
        let edges = self.files.get(&id).map_or(Vec::new(), |file| file.absent_edges(offset, bytes.len() as u64));
        let mut written = bytes.len();
        for edge in edges {
            if let Err(page) = self.load(number, id, &[edge]) {
                written = usize::try_from((page * PAGE).saturating_sub(offset)).unwrap_or(usize::MAX).min(written);
                if written == 0 {
                    return Err(DiskError::Unreadable { offset });
                }
                break;
            }
        }
        let boundaries = (offset + written as u64).saturating_sub(1) / PAGE - offset / PAGE;
        if boundaries > 0
            && let Some(mut stream) =
                self.injector.strikes(self.injector.faults.short_write, "short-write", number, offset / PAGE)
        {
            self.stats.short_writes_injected += 1;
            written = ((offset / PAGE + stream.range(1, boundaries)) * PAGE - offset) as usize;
        }
        self.land_write(id, offset, &bytes[..written], wall_ms, now_ns)?;
        Ok(written as u64)
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
        let fitting = self.files.get(&id).map_or(0, |file| self.fitting(file, offset, bytes.len(), free_pages));
        let Some(file) = self.files.get_mut(&id).filter(|file| file.counted) else { return Ok(()) };
        if bytes.is_empty() {
            return Ok(());
        }
        let asked = bytes.len();
        let bytes = &bytes[..fitting];
        // ext4 takes the new size into the inode at once when no block has to be found for it, and orders no data before it
        // (`ext4_da_should_update_i_disksize`): the end of the file may be zeros after a crash.
        let end_page = (offset + bytes.len().max(1) as u64 - 1) / PAGE;
        let ends_in_allocated_block = self.spec.personality == Personality::Ext4Ordered
            && file.page(end_page).is_some_and(|page| page.device().is_some());
        let (background, spec, cache) = (&mut self.background, &self.spec, &mut self.cache);
        let written = file.write(offset, bytes, now_ns, &mut free_pages, |page, came_in| {
            background.became_dirty(spec, id, page, now_ns);
            if came_in && let Some(cache) = cache {
                cache.came_in(id, page);
            }
        });
        if written != 0 {
            file.modified_ms = wall_ms;
            file.touched = sequence;
            let size = file.size().max(offset + written as u64);
            if spec.personality.is_journaled() {
                file.grow_in_memory(size);
                if ends_in_allocated_block && size == offset + written as u64 {
                    file.log_growth(size, sequence);
                }
            } else {
                file.resize(size, sequence);
            }
        }
        self.used_pages += free_pages_before - free_pages;
        self.stats.written_bytes += written as u64;
        self.changed_metadata(now_ns);
        if written < asked {
            return Err(self.refuse_room((asked - written) as u64));
        }
        Ok(())
    }

    /// Cuts or extends a file.
    pub(super) fn set_len(&mut self, id: InodeId, len: u64, wall_ms: i64, now_ns: u64) {
        let needs_write_back = |file: &FileNode| {
            let lags = len > file.logged_size() && file.size() > file.logged_size();
            let zeroes = len > file.size() && !file.size().is_multiple_of(PAGE);
            lags || zeroes
        };
        if self.spec.personality == Personality::Xfs && self.files.get(&id).is_some_and(needs_write_back) {
            // `xfs_setattr_size`: what was written beyond the size on disk, and zeros in the page of the old end, go there
            // before the size covers them.
            self.write_back_file(id, now_ns);
        }
        if self.spec.personality == Personality::Ext4Ordered
            && let Some(file) = self.files.get_mut(&id).filter(|file| file.counted && file.size() == len)
        {
            // `ext4_setattr` leaves a size alone that does not change, even if the one on disk lags behind.
            file.modified_ms = wall_ms;
            return self.changed_metadata(now_ns);
        }
        self.resize(id, len, wall_ms, now_ns);
    }

    /// Reserves room, and extends the file to that.
    pub(super) fn preallocate(&mut self, id: InodeId, len: u64, wall_ms: i64, now_ns: u64) -> Result<(), DiskError> {
        let pages = 0..pages_for(len);
        let Some((needed_pages, reserved)) = self.reservation(id, pages.clone()) else { return Ok(()) };
        if reserved != pages {
            if self.spec.personality == Personality::Ext4Ordered && !reserved.is_empty() {
                self.preallocate(id, reserved.end * PAGE, wall_ms, now_ns)?;
            }
            return Err(self.refuse_room(needed_pages * PAGE));
        }
        if self.files.get(&id).is_some_and(|file| len > file.size()) {
            self.set_len(id, len, wall_ms, now_ns);
        } else {
            self.reserve_within(id, len, wall_ms, now_ns);
        }
        self.take_room(id, reserved);
        Ok(())
    }

    /// Reserves room for a part of a file (`FALLOC_FL_KEEP_SIZE`).
    pub(super) fn reserve(
        &mut self,
        id: InodeId,
        from: u64,
        to: u64,
        wall_ms: i64,
        now_ns: u64,
    ) -> Result<(), DiskError> {
        let pages = from / PAGE..pages_for(to);
        let Some((needed_pages, reserved)) = self.reservation(id, pages.clone()) else { return Ok(()) };
        self.changed_room(id, wall_ms, now_ns);
        if reserved == pages {
            self.take_room(id, pages);
            return Ok(());
        }
        if self.spec.personality == Personality::Ext4Ordered {
            self.take_room(id, reserved);
        }
        Err(self.refuse_room(needed_pages * PAGE))
    }

    /// Gives back what room is reserved from a place on (`FALLOC_FL_PUNCH_HOLE`).
    pub(super) fn unreserve(&mut self, id: InodeId, from: u64, wall_ms: i64, now_ns: u64) {
        let Some(file) = self.files.get_mut(&id).filter(|file| file.counted) else { return };
        let used = file.used_pages();
        file.unreserve(pages_for(from));
        self.used_pages = self.used_pages - used + file.used_pages();
        self.changed_room(id, wall_ms, now_ns);
    }

    /// How many pages of room it takes to reserve these, and which of them can be; `None` for a file that counts no more. A file
    /// system that cannot reserve says that it has.
    ///
    /// XFS asks for room for all of them, even those that have it already (`xfs_alloc_file_space`).
    fn reservation(&self, id: InodeId, pages: Range<u64>) -> Option<(u64, Range<u64>)> {
        let free_pages = self.free_pages();
        let file = self.files.get(&id).filter(|file| file.counted)?;
        if !self.spec.reserves_room {
            return Some((0, pages));
        }
        let is_xfs = self.spec.personality == Personality::Xfs;
        let needed_pages = if is_xfs { pages.end - pages.start } else { file.pages_to_reserve(pages.clone()) };
        let reserved = match needed_pages <= free_pages {
            true => pages,
            false if is_xfs => pages.start..pages.start,
            false => file.reservable(pages, free_pages),
        };
        Some((needed_pages, reserved))
    }

    fn take_room(&mut self, id: InodeId, pages: Range<u64>) {
        if self.spec.reserves_room
            && let Some(file) = self.files.get_mut(&id)
        {
            let used = file.used_pages();
            file.reserve(pages);
            self.used_pages = self.used_pages - used + file.used_pages();
        }
    }

    /// The room of a file has changed, and not its size.
    fn changed_room(&mut self, id: InodeId, wall_ms: i64, now_ns: u64) {
        let sequence = self.next_number();
        let Some(file) = self.files.get_mut(&id) else { return };
        file.modified_ms = wall_ms;
        file.touched = sequence;
        file.data_touched = sequence;
        self.changed_metadata(now_ns);
    }

    /// Zeroes a range, as far as the file reaches: pages that were written, for what was not is zero. A real file system takes the
    /// blocks out of the file (`ext4_zero_range`, `xfs_falloc_zero_range`), and a crash before the commit brings all of them
    /// back; here the zeros are dirty pages, and a crash may bring back any of them, which is more.
    pub(super) fn zero_range(
        &mut self,
        number: u64,
        id: InodeId,
        range: Range<u64>,
        wall_ms: i64,
        now_ns: u64,
    ) -> Result<(), DiskError> {
        let Some(file) = self.files.get(&id).filter(|file| file.counted) else { return Ok(()) };
        let range = range.start..range.end.min(file.size());
        if range.is_empty() {
            return Ok(());
        }
        let edges = file.absent_edges(range.start, range.end - range.start);
        let pages: Vec<u64> = file.written_pages(range.clone()).collect();
        for edge in edges {
            self.load(number, id, &[edge]).map_err(|_| DiskError::Unreadable { offset: range.start })?;
        }
        for page in pages {
            let (from, until) = (range.start.max(page * PAGE), range.end.min((page + 1) * PAGE));
            let zeros = [0; PAGE_BYTES];
            self.land_write(id, from, &zeros[..(until - from) as usize], wall_ms, now_ns)?;
        }
        // `ext4_update_disksize_before_punch`, as Linux 6.18 was seen to do it.
        self.reserve_within(id, range.end, wall_ms, now_ns);
        Ok(())
    }

    /// Room within a file is reserved or zeroed. ext4 takes the end of that into the inode (`ext4_alloc_file_blocks`), even if the
    /// size that programs see waits for write-back and is larger: a crash may leave a size that the file never had.
    fn reserve_within(&mut self, id: InodeId, len: u64, wall_ms: i64, now_ns: u64) {
        let sequence = self.next_number();
        if self.spec.personality == Personality::Ext4Ordered
            && let Some(file) = self.files.get_mut(&id)
        {
            file.log_growth(len, sequence);
        }
        self.changed_room(id, wall_ms, now_ns);
    }

    /// The flusher wakes and hands the pages that have been dirty for long enough to the drive, which drains them in any
    /// order.
    pub(super) fn write_back_expired(&mut self, at_ns: u64) {
        let mut pages = Vec::new();
        while let Some(&oldest) = self.background.dirty.front() {
            if oldest.since_ns + self.spec.dirty_expire_ns > at_ns {
                break;
            }
            self.background.dirty.pop_front();
            if self.is_dirty_since(oldest) {
                pages.push((oldest.file, oldest.page));
            }
        }
        self.write_back(&pages, at_ns);
    }

    /// Hands dirty pages to the drive, file by file.
    pub(super) fn write_back(&mut self, pages: &[(InodeId, u64)], at_ns: u64) {
        let mut by_file: BTreeMap<InodeId, Vec<u64>> = BTreeMap::new();
        for &(file, page) in pages {
            by_file.entry(file).or_default().push(page);
        }
        for (id, mut pages) in by_file {
            pages.sort_unstable();
            pages.dedup();
            let Some(file) = self.files.get_mut(&id) else { continue };
            let mut snapshots = Vec::with_capacity(pages.len());
            for number in pages {
                let Some(page) = file.page_mut(number).filter(|page| page.is_dirty()) else { continue };
                if page.in_transfer {
                    // A sync has an older version under way: a newer one must not overtake it. Next time.
                    page.dirty_since_ns = at_ns;
                    self.background.dirty.push_back(BecameDirty { since_ns: at_ns, file: id, page: number });
                    continue;
                }
                let (bytes, sectors) = page.begin_transfer();
                snapshots.push(Snapshot { page: number, bytes, sectors });
            }
            self.stats.written_back_pages += snapshots.len() as u64;
            let size = file.size();
            self.write_to_drive(id, snapshots, size, at_ns);
        }
    }

    /// Hands everything that is dirty of a file to the drive, as soon as it answers.
    pub(super) fn write_back_file(&mut self, id: InodeId, at_ns: u64) {
        if self.is_stalled() {
            self.held_write_back.push(id);
            return;
        }
        let pages = self.files.get(&id).map_or(Vec::new(), |file| file.dirty_pages().map(|page| (id, page)).collect());
        self.write_back(&pages, at_ns);
    }

    /// A batch reaches the drive. `size` is that of the file when the snapshots were taken.
    pub(super) fn write_to_drive(&mut self, id: InodeId, snapshots: Vec<Snapshot>, size: u64, at_ns: u64) {
        let is_journaled = self.spec.personality.is_journaled();
        if is_journaled || self.injector.touches_writes() || !self.overlays.is_empty() {
            return self.write_commands(id, snapshots, size, at_ns);
        }
        let Some(file) = self.files.get_mut(&id) else { return };
        let mut batch = self.background.batch(at_ns);
        for Snapshot { page: number, bytes, sectors } in snapshots {
            file.reached_drive(number, &bytes);
            if let Some(page) = file.page_mut(number)
                && page.end_transfer(bytes, sectors)
            {
                batch.drain_later(&self.spec, id, number);
            }
        }
    }

    fn write_commands(&mut self, id: InodeId, snapshots: Vec<Snapshot>, size: u64, at_ns: u64) {
        let batch = self.background.next_batch();
        let pages: Vec<_> = snapshots.iter().map(|snapshot| snapshot.page).collect();
        let (mut newly_filled, mut reached) = (Vec::new(), 0);
        let mut to_drain = Vec::new();
        let mut snapshots = snapshots.into_iter();
        for command in commands(&pages) {
            let (first, count) = (pages[command.start], command.len());
            let fate = self.injector.write_fate(batch, first);
            let last = first + count as u64;
            if fate == WriteFate::Refused {
                self.stats.write_errors_injected += 1;
                let refused = snapshots.by_ref().take(count).collect();
                self.refuse(id, refused, size);
                continue;
            }
            let astray = match fate {
                WriteFate::Lost => {
                    self.stats.lost_writes_injected += 1;
                    None
                }
                WriteFate::Misdirected(pick) => {
                    self.stats.misdirected_writes_injected += 1;
                    self.pick_place(pick, (id, first))
                }
                WriteFate::Lands | WriteFate::Refused => None,
            };
            for snapshot in snapshots.by_ref().take(count) {
                let astray = astray.map(|(file, page)| (file, page + snapshot.page - first));
                let page = snapshot.page;
                let is_new =
                    self.files.get(&id).and_then(|file| file.page(page)).is_some_and(|page| page.device().is_none());
                if self.land_on_drive(id, snapshot, fate, astray) {
                    to_drain.push(page);
                }
                if is_new {
                    newly_filled.push(page);
                }
            }
            reached = reached.max(size.min(last * PAGE));
        }
        let mut batch = self.background.batch(at_ns);
        for page in to_drain {
            batch.drain_later(&self.spec, id, page);
        }
        self.log_filled(id, newly_filled, reached, at_ns);
    }

    /// A page reaches the drive, or the drive says so. Returns whether the page had been drained before.
    fn land_on_drive(&mut self, id: InodeId, snapshot: Snapshot, fate: WriteFate, astray: Astray) -> bool {
        let number = snapshot.page;
        let is_lost = fate != WriteFate::Lands;
        let keeps_version = self.injector.faults.stale_read > 0.0;
        let before = (is_lost || keeps_version).then(|| self.readable(id, number).unwrap_or_else(zeros));
        if let Some((file, page)) = astray
            && self.files.get(&file).and_then(|file| file.page(page)).is_some_and(|page| page.device().is_some())
        {
            self.overlays.overwrite(file, page, &snapshot.bytes);
        }
        let Some(file) = self.files.get_mut(&id) else { return false };
        if !is_lost {
            file.reached_drive(number, &snapshot.bytes);
        }
        let Some(page) = file.page_mut(number) else { return false };
        // A damaged page is written as a whole, and what of it is lost with the device cache brings the damage back.
        let is_damaged = !is_lost && self.overlays.wrote(id, number);
        let sectors = if is_damaged { SECTORS_ALL } else { snapshot.sectors };
        let was_drained = page.end_transfer(snapshot.bytes, sectors);
        if let Some(before) = before {
            if is_lost {
                self.overlays.shadow(id, number, SECTORS_ALL, &before);
            }
            if keeps_version {
                self.overlays.keep_version(id, number, before);
            }
        }
        was_drained
    }

    /// The drive refuses pages: they count as clean, and the file has an error to tell.
    pub(super) fn refuse(&mut self, id: InodeId, snapshots: Vec<Snapshot>, size: u64) {
        self.stats.dropped_pages += snapshots.len() as u64;
        let reached = snapshots.last().map_or(0, |snapshot| size.min((snapshot.page + 1) * PAGE));
        let is_ext4 = self.spec.personality == Personality::Ext4Ordered;
        let Some(file) = self.files.get_mut(&id) else { return };
        for Snapshot { page, sectors, .. } in snapshots {
            if let Some(page) = file.page_mut(page) {
                page.refuse_transfer(sectors);
                // `mpage_map_buffers` has taken the mark "unwritten" from the buffer, and nobody puts it back.
                page.is_misbelieved |= is_ext4 && page.device().is_none();
            }
        }
        file.errors.set();
        if is_ext4 {
            // `i_disksize` was raised when the pages were submitted.
            let sequence = self.next_number();
            if let Some(file) = self.files.get_mut(&id) {
                file.log_growth(reached, sequence);
            }
        }
    }

    /// Write-back fills blocks for the first time and reaches this size: commits have to follow. Under POSIX they do not.
    ///
    /// ext4 takes the size into the inode when it submits the write, and converts the extents when that has ended, so that a
    /// commit may come between the two; XFS does both then.
    fn log_filled(&mut self, id: InodeId, pages: Vec<u64>, reached: u64, at_ns: u64) {
        let personality = self.spec.personality;
        if !personality.is_journaled() {
            return;
        }
        let sequence = self.next_number();
        let Some(file) = self.files.get_mut(&id) else { return };
        let grew = file.log_growth(reached, sequence);
        if pages.is_empty() {
            if grew {
                self.changed_metadata(at_ns);
            }
            return;
        }
        file.begin_filling(&pages);
        let is_converted = |page: &u64| file.page(*page).is_none_or(|page| !page.is_misbelieved);
        let pages = pages.into_iter().filter(is_converted).collect();
        let mut filling = Filling { done_ns: at_ns, file: id, pages };
        if personality == Personality::Ext4Ordered {
            let bytes = filling.pages.len() as u64 * PAGE;
            filling.done_ns += self.spec.read_latency_ns + self.drive.transfer_ns(&self.spec, at_ns, bytes);
            if grew {
                self.changed_metadata(at_ns);
            }
            self.background.wake_by(filling.done_ns);
            self.background.filling.push(filling);
        } else {
            self.filled(&filling, sequence, at_ns);
        }
    }

    /// What is being filled and meets the condition is filled.
    pub(super) fn end_filling(&mut self, now_ns: u64, mut is_done: impl FnMut(&Filling) -> bool) {
        let fillings = std::mem::take(&mut self.background.filling);
        for filling in fillings {
            if is_done(&filling) {
                let sequence = self.next_number();
                self.filled(&filling, sequence, now_ns);
            } else {
                self.background.filling.push(filling);
            }
        }
    }

    fn filled(&mut self, filling: &Filling, sequence: u64, now_ns: u64) {
        if let Some(file) = self.files.get_mut(&filling.file) {
            file.end_filling(&filling.pages, sequence);
            self.changed_metadata(now_ns);
        }
    }
}

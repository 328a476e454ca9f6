//! Reads that the page cache cannot answer: what the drive says instead, right or wrong.
//!
//! The kernel reads by pages and stops at the first that the drive does not give: the call returns what came before, or EIO
//! when there was nothing (`filemap_read`). A write that begins or ends within a page that is not in memory reads that page
//! first, and fails with it (`block_write_begin`). What the drive gave stays in the page cache, wrong or not, and is written
//! back with its page when that is written to.
//!
//! Left out: read-ahead beyond the range that was asked for, and the kernel's second try of a single page.

use super::{
    Disk, DiskError, InodeId,
    faults::{commands, zeros},
    operation::OperationId,
    page::{PAGE_BYTES, PageBytes},
};

const PAGE: u64 = PAGE_BYTES as u64;

/// What the bytes of a command come from.
enum Source {
    Itself,
    /// Another place of the drive, from this page on.
    Elsewhere(InodeId, u64),
    /// The same place, before the last write.
    Before,
}

impl Disk {
    /// The drive has answered a read: as many bytes of it as can be read are in the page cache, and returned.
    pub(super) fn end_read(
        &mut self,
        operation: OperationId,
        id: InodeId,
        offset: u64,
        len: u64,
    ) -> Result<u64, DiskError> {
        let number = operation.number();
        let Some(file) = self.files.get(&id) else { return Ok(len) };
        let absent = file.absent(offset, len);
        let is_cold = !absent.is_empty();
        let mut limit = match self.load(number, id, &absent) {
            Ok(()) => len,
            Err(page) => {
                let readable = (page * PAGE).saturating_sub(offset);
                if readable == 0 {
                    return Err(DiskError::Unreadable { offset });
                }
                readable
            }
        };
        // A short read ends at the end of a page, before the last one.
        let boundaries = ((offset + limit).saturating_sub(1) / PAGE).saturating_sub(offset / PAGE);
        if is_cold
            && boundaries > 0
            && let Some(mut stream) =
                self.injector.strikes(self.injector.faults.short_read, "short-read", number, absent[0])
        {
            self.stats.short_reads_injected += 1;
            limit = (offset / PAGE + stream.range(1, boundaries)) * PAGE - offset;
        }
        if is_cold
            && self.may_answer_wrongly()
            && let Some(file) = self.files.get(&id)
        {
            let available = limit.min(file.size().saturating_sub(offset));
            let mut bytes = vec![0; usize::try_from(available).expect("it was read into memory")];
            file.read(offset, &mut bytes);
            self.answers.insert(operation, bytes);
        }
        Ok(limit)
    }

    fn may_answer_wrongly(&self) -> bool {
        self.injector.touches_reads() || !self.overlays.is_empty()
    }

    /// Brings pages of a file into memory, in order, for call `number`; the first that the drive does not give is the error.
    pub(super) fn load(&mut self, number: u64, id: InodeId, pages: &[u64]) -> Result<(), u64> {
        if !self.may_answer_wrongly() {
            if let Some(file) = self.files.get_mut(&id) {
                pages.iter().for_each(|&page| file.load(page, None));
            }
        } else {
            for command in commands(pages) {
                self.load_command(number, id, &pages[command])?;
            }
        }
        self.note_loaded(id, pages);
        Ok(())
    }

    fn load_command(&mut self, number: u64, id: InodeId, pages: &[u64]) -> Result<(), u64> {
        let faults = self.injector.faults;
        let first = pages[0];
        if self.injector.strikes(faults.read_error, "read-error", number, first).is_some() {
            self.stats.read_errors_injected += 1;
            return Err(first);
        }
        let mut source = Source::Itself;
        if let Some(mut stream) = self.injector.strikes(faults.misdirected_read, "misdirected-read", number, first) {
            if let Some((file, page)) = self.pick_place(stream.u64(), (id, first)) {
                self.stats.misdirected_reads_injected += 1;
                source = Source::Elsewhere(file, page);
            }
        } else if self.injector.strikes(faults.stale_read, "stale-read", number, first).is_some() {
            self.stats.stale_reads_injected += 1;
            source = Source::Before;
        }
        for &page in pages {
            let answer = match source {
                Source::Itself => self.answer(number, id, page)?,
                Source::Elsewhere(file, other) => {
                    Some(self.readable(file, other + (page - first)).unwrap_or_else(zeros))
                }
                Source::Before => Some(self.overlays.version(id, page).unwrap_or_else(zeros)),
            };
            if let Some(file) = self.files.get_mut(&id) {
                file.load(page, answer);
            }
        }
        Ok(())
    }

    /// What the drive says about a page; `None` is what it was given. The error is the page.
    fn answer(&mut self, number: u64, id: InodeId, page: u64) -> Result<Option<PageBytes>, u64> {
        let Some(damage) = self.overlays.damage(id, page) else { return Ok(None) };
        // One of two mirrors is damaged. An error is mended from the other; nobody notices wrong bytes, and it is a matter of
        // chance which of the two is asked.
        let is_mirrored = self.drive.is_mirrored(page);
        if damage.is_unreadable {
            if !is_mirrored {
                self.stats.damaged_reads_injected += 1;
                return Err(page);
            }
            self.overlays.mend_unreadable(id, page);
            self.stats.mended_by_mirror += 1;
        }
        if is_mirrored && self.key.derive("mirror").index(number).index(page).stream().chance(0.5) {
            return Ok(None);
        }
        let answer = self.readable(id, page);
        self.stats.damaged_reads_injected += u64::from(damage.is_shadowed);
        Ok(answer.filter(|_| damage.is_shadowed))
    }

    /// The bytes that the drive gives for a page, errors aside; `None` where it was never written.
    pub(super) fn readable(&self, id: InodeId, page: u64) -> Option<PageBytes> {
        let pristine = self.files.get(&id).and_then(|file| file.page(page)).and_then(|page| page.device());
        self.overlays.shadowed(id, page, pristine).or_else(|| pristine.cloned())
    }

    /// A place of the drive that was written, other than this one.
    pub(super) fn pick_place(&self, pick: u64, other_than: (InodeId, u64)) -> Option<(InodeId, u64)> {
        let places = || {
            let files = self.files.iter();
            let pages = files.flat_map(|(&id, file)| file.device_pages().map(move |page| (id, page)));
            pages.filter(|place| *place != other_than)
        };
        let count = places().count() as u64;
        if count == 0 { None } else { places().nth((pick % count) as usize) }
    }
}

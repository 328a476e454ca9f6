//! What is wrong on the media, laid over what the drive was given: errors that stay until the place is written again.
//!
//! The pristine bytes are in [`page`](super::page); here are, by page, the sectors that cannot be read and those that read as
//! something else: rotten bits, the old bytes under a lost write, the strange ones of a misdirected write. Taking the overlays off
//! brings the pristine bytes back. They are asked only when the drive is read, so a page that is in memory hides them.
//!
//! Writing a sector cures it, for the drive puts it elsewhere or renews its checksum: at first in the volatile cache alone, so
//! that a power loss which takes the new version brings the damage back.

use super::{
    InodeId,
    faults::zeros,
    page::{PAGE_BYTES, PageBytes, SECTORS, SECTORS_ALL, sector_range},
};
use std::{collections::BTreeMap, sync::Arc};

type Place = (InodeId, u64);

/// The damage of one page; masks have one bit per sector.
#[derive(Clone, Debug, Default)]
struct Overlay {
    unreadable: u8,
    shadowed: u8,
    /// Written since, into the device cache: the damage does not show.
    covered: u8,
    /// What the shadowed sectors read as.
    shadow: Option<PageBytes>,
}

impl Overlay {
    fn is_clear(&self) -> bool {
        self.unreadable | self.shadowed == 0
    }

    fn cure(&mut self, sectors: u8) {
        self.unreadable &= !sectors;
        self.shadowed &= !sectors;
        self.covered &= !sectors;
    }
}

/// What of a page shows damage now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damage {
    pub is_unreadable: bool,
    pub is_shadowed: bool,
}

/// All damage of a disk, and the earlier versions that a stale read can answer with.
#[derive(Clone, Default)]
pub(super) struct Overlays {
    pages: BTreeMap<Place, Overlay>,
    versions: BTreeMap<Place, PageBytes>,
}

impl Overlays {
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Takes everything off; how many sectors that was.
    pub fn clear(&mut self) -> u64 {
        let pages = std::mem::take(&mut self.pages);
        pages.values().map(|overlay| u64::from((overlay.unreadable | overlay.shadowed).count_ones())).sum()
    }

    /// What shows of the damage to a page, if anything does.
    pub fn damage(&self, file: InodeId, page: u64) -> Option<Damage> {
        let overlay = self.pages.get(&(file, page))?;
        let visible = !overlay.covered;
        let damage =
            Damage { is_unreadable: overlay.unreadable & visible != 0, is_shadowed: overlay.shadowed & visible != 0 };
        (damage.is_unreadable || damage.is_shadowed).then_some(damage)
    }

    /// The sectors of a page that are damaged, visibly or not.
    pub fn damaged_sectors(&self, file: InodeId, page: u64) -> u8 {
        self.pages.get(&(file, page)).map_or(0, |overlay| overlay.unreadable | overlay.shadowed)
    }

    /// What a page reads as where that differs from its pristine bytes.
    pub fn shadowed(&self, file: InodeId, page: u64, pristine: Option<&PageBytes>) -> Option<PageBytes> {
        let overlay = self.pages.get(&(file, page))?;
        let visible = overlay.shadowed & !overlay.covered;
        let shadow = overlay.shadow.as_ref().filter(|_| visible != 0)?;
        let mut bytes = pristine.cloned().unwrap_or_else(zeros);
        let target = Arc::make_mut(&mut bytes);
        for sector in (0..SECTORS).filter(|sector| visible & 1 << sector != 0) {
            target[sector_range(sector)].copy_from_slice(&shadow[sector_range(sector)]);
        }
        Some(bytes)
    }

    /// Sectors read as these bytes from now on.
    pub fn shadow(&mut self, file: InodeId, page: u64, sectors: u8, bytes: &[u8; PAGE_BYTES]) {
        let overlay = self.pages.entry((file, page)).or_default();
        overlay.unreadable &= !(overlay.covered & sectors);
        overlay.covered &= !sectors;
        overlay.shadowed |= sectors;
        let shadow = Arc::make_mut(overlay.shadow.get_or_insert_with(zeros));
        for sector in (0..SECTORS).filter(|sector| sectors & 1 << sector != 0) {
            shadow[sector_range(sector)].copy_from_slice(&bytes[sector_range(sector)]);
        }
    }

    /// A write that was meant for another place has landed on this page.
    pub fn overwrite(&mut self, file: InodeId, page: u64, bytes: &[u8; PAGE_BYTES]) {
        self.shadow(file, page, SECTORS_ALL, bytes);
        if let Some(overlay) = self.pages.get_mut(&(file, page)) {
            overlay.unreadable = 0;
        }
    }

    /// A sector cannot be read from now on.
    pub fn make_unreadable(&mut self, file: InodeId, page: u64, sector: u8) {
        let overlay = self.pages.entry((file, page)).or_default();
        overlay.cure(1 << sector);
        overlay.unreadable |= 1 << sector;
    }

    /// The mirror's copy was written over what could not be read.
    pub fn mend_unreadable(&mut self, file: InodeId, page: u64) {
        if let Some(overlay) = self.pages.get_mut(&(file, page)) {
            let mended = overlay.unreadable & !overlay.covered;
            overlay.cure(mended);
            if overlay.is_clear() {
                self.pages.remove(&(file, page));
            }
        }
    }

    /// The whole page was written into the device cache; whether it was damaged.
    pub fn wrote(&mut self, file: InodeId, page: u64) -> bool {
        match self.pages.get_mut(&(file, page)) {
            Some(overlay) => {
                overlay.covered = overlay.unreadable | overlay.shadowed;
                true
            }
            None => false,
        }
    }

    /// The page went from the device cache to the media.
    pub fn drained(&mut self, file: InodeId, page: u64) {
        if let Some(overlay) = self.pages.get_mut(&(file, page)) {
            overlay.cure(overlay.covered);
            if overlay.is_clear() {
                self.pages.remove(&(file, page));
            }
        }
    }

    /// The machine went down: of the undrained sectors of the page the surviving ones reached the media.
    pub fn crash(&mut self, file: InodeId, page: u64, undrained: u8, surviving: u8) {
        if let Some(overlay) = self.pages.get_mut(&(file, page)) {
            overlay.cure(overlay.covered & surviving);
            // The newest version of a lost write is gone, and what it hid with it; what was hidden by one that is gone shows.
            overlay.cure(undrained & !surviving & !overlay.covered & overlay.shadowed);
            overlay.covered = 0;
            if overlay.is_clear() {
                self.pages.remove(&(file, page));
            }
        }
    }

    /// A file was cut: its pages from this one on are free.
    pub fn cut(&mut self, file: InodeId, first_free: u64) {
        let freed: Vec<_> = self.pages.range((file, first_free)..=(file, u64::MAX)).map(|(place, _)| *place).collect();
        for place in freed {
            self.pages.remove(&place);
        }
    }

    /// Keeps the damage of these files alone.
    pub fn retain(&mut self, mut is_there: impl FnMut(InodeId) -> bool) {
        self.pages.retain(|(file, _), _| is_there(*file));
        self.versions.retain(|(file, _), _| is_there(*file));
    }

    /// Keeps what a page read as before it is written, for stale reads.
    pub fn keep_version(&mut self, file: InodeId, page: u64, bytes: PageBytes) {
        self.versions.insert((file, page), bytes);
    }

    /// What a page was before the last write that was noted.
    pub fn version(&self, file: InodeId, page: u64) -> Option<PageBytes> {
        self.versions.get(&(file, page)).cloned()
    }

    /// There will be no stale reads.
    pub fn forget_versions(&mut self) {
        self.versions.clear();
    }
}

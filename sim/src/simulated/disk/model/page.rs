//! A page: 4 KiB of a file in its three tiers, page cache → device cache → media.
//!
//! A page is eight sectors of 512 bytes. A sector is *dirty* when the page cache holds a newer version than the drive was
//! given, and *undrained* when the drive's volatile cache holds a newer version than its media. From that follows the
//! invariant which makes the tiers cheap: a sector that is not dirty (nor in transfer, nor diverged) is equal in the page cache and
//! in the device cache, one that is not undrained is equal in the device cache and on the media. So handing a page down a
//! tier is the clone of a reference, and bytes are copied only when a page is written again.

use std::sync::Arc;

/// The unit of the page cache.
pub(super) const PAGE_BYTES: usize = 4096;
/// The unit of which a drive writes all or (at a power loss, rarely) a part.
pub(super) const SECTOR_BYTES: usize = 512;
/// Sectors in a page: one bit each in a `u8`.
pub(super) const SECTORS: u8 = (PAGE_BYTES / SECTOR_BYTES) as u8;

/// The mask of all of them.
pub(super) const SECTORS_ALL: u8 = u8::MAX;

pub(super) type PageBytes = Arc<[u8; PAGE_BYTES]>;

/// One page of a file that was written at some time. Pages never written do not exist: they read as zeros.
#[derive(Clone, Debug)]
pub(super) struct Page {
    cached: PageBytes,
    /// What the drive would answer; `None` is zeros, as in `media`.
    device: Option<PageBytes>,
    media: Option<PageBytes>,
    /// One bit per sector.
    dirty: u8,
    undrained: u8,
    /// Sectors that differ from the drive's and yet are not dirty: the drive refused them, or answered wrongly when they were
    /// read. The next write to the page makes them dirty with it, as Linux writes a page as a whole.
    diverged: u8,
    /// ext4 believes that its block has been filled, because it was on its way to the drive when that refused it. While the page is
    /// in memory, what is written of it goes to a block that reads as zeros.
    pub is_misbelieved: bool,
    /// A sync is moving a snapshot of this page to the drive: the flusher keeps off.
    pub in_transfer: bool,
    /// Present in memory: reading it does not wait for the drive.
    pub resident: bool,
    /// When the page became dirty.
    pub dirty_since_ns: u64,
}

/// One sector that a power loss caught in the act of being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tear {
    pub sector: u8,
    /// Bytes 0..at come from one version, the rest from the other.
    pub at: usize,
    /// Whether the part before `at` is the new one.
    pub new_first: bool,
}

fn sector_mask(at: usize, len: usize) -> u8 {
    (at / SECTOR_BYTES..=(at + len - 1) / SECTOR_BYTES).fold(0, |mask, sector| mask | 1 << sector)
}

pub(super) fn sector_range(sector: u8) -> std::ops::Range<usize> {
    let start = usize::from(sector) * SECTOR_BYTES;
    start..start + SECTOR_BYTES
}

impl Page {
    /// A page of zeros that no tier has seen.
    pub fn zeroed() -> Page {
        Page {
            cached: Arc::new([0; PAGE_BYTES]),
            device: None,
            media: None,
            dirty: 0,
            undrained: 0,
            diverged: 0,
            is_misbelieved: false,
            in_transfer: false,
            resident: true,
            dirty_since_ns: 0,
        }
    }

    /// A page that is on the media with these bytes and not in memory.
    pub fn on_media(bytes: PageBytes) -> Page {
        Page {
            cached: bytes.clone(),
            device: Some(bytes.clone()),
            media: Some(bytes),
            dirty: 0,
            undrained: 0,
            diverged: 0,
            is_misbelieved: false,
            in_transfer: false,
            resident: false,
            dirty_since_ns: 0,
        }
    }

    pub fn cached(&self) -> &[u8; PAGE_BYTES] {
        &self.cached
    }

    pub fn media(&self) -> Option<&PageBytes> {
        self.media.as_ref()
    }

    pub fn device(&self) -> Option<&PageBytes> {
        self.device.as_ref()
    }

    pub fn is_dirty(&self) -> bool {
        self.dirty != 0
    }

    /// Writes into the page cache; returns whether this made a clean page dirty. `bytes` is not empty and fits.
    pub fn write(&mut self, at: usize, bytes: &[u8], now_ns: u64) -> bool {
        Arc::make_mut(&mut self.cached)[at..at + bytes.len()].copy_from_slice(bytes);
        let was_clean = self.dirty == 0;
        self.dirty |= sector_mask(at, bytes.len()) | std::mem::take(&mut self.diverged);
        if was_clean {
            self.dirty_since_ns = now_ns;
        }
        was_clean
    }

    /// Makes the end of the page dirty, which has been zeroed; returns whether the page was clean.
    pub fn zero_dirty(&mut self, at: usize, now_ns: u64) -> bool {
        let was_clean = self.dirty == 0;
        self.dirty |= sector_mask(at, PAGE_BYTES - at) | std::mem::take(&mut self.diverged);
        if was_clean {
            self.dirty_since_ns = now_ns;
        }
        was_clean
    }

    /// Takes a snapshot of the dirty sectors for a sync; they count as clean from here on.
    pub fn begin_transfer(&mut self) -> (PageBytes, u8) {
        self.in_transfer = true;
        (self.cached.clone(), std::mem::take(&mut self.dirty) | std::mem::take(&mut self.diverged))
    }

    /// The snapshot has arrived in the device cache. Returns whether the page had been drained before.
    pub fn end_transfer(&mut self, snapshot: PageBytes, sectors: u8) -> bool {
        self.in_transfer = false;
        self.device = Some(snapshot);
        let was_drained = self.undrained == 0;
        self.undrained |= sectors;
        was_drained
    }

    /// The snapshot will never arrive, because the kernel has died: its sectors are dirty after all.
    pub fn cancel_transfer(&mut self, sectors: u8) {
        self.in_transfer = false;
        self.dirty |= sectors;
    }

    /// The drive has refused the snapshot: its sectors count as clean, unless the page was written again meanwhile.
    pub fn refuse_transfer(&mut self, sectors: u8) {
        self.in_transfer = false;
        if self.dirty == 0 {
            self.diverged |= sectors;
        } else {
            self.dirty |= sectors;
        }
    }

    /// The page cache takes over what the drive answered: the page is in memory now. `None`: what it should have answered.
    pub fn load(&mut self, answer: Option<PageBytes>) {
        self.resident = true;
        if let Some(answer) = answer {
            let sound = self.cached();
            self.diverged = (0..SECTORS)
                .filter(|&sector| sound[sector_range(sector)] != answer[sector_range(sector)])
                .fold(0, |mask, sector| mask | 1 << sector);
            self.cached = answer;
        }
    }

    /// Leaves the page cache, if nothing waits to be written; whether it did. What the page cache alone had is gone.
    pub fn evict(&mut self) -> bool {
        if self.dirty != 0 || self.in_transfer || !self.resident {
            return false;
        }
        self.resident = false;
        if self.is_misbelieved {
            *self = Page { resident: false, ..Page::zeroed() };
        }
        if self.diverged != 0 {
            self.diverged = 0;
            self.cached = self.device.clone().unwrap_or_else(|| Arc::new([0; PAGE_BYTES]));
        }
        true
    }

    /// The drive forgets one undrained sector of its cache.
    pub fn forget_undrained(&mut self, sector: u8) {
        let mut device = self.device.take().unwrap_or_else(|| Arc::new([0; PAGE_BYTES]));
        let range = sector_range(sector);
        match &self.media {
            Some(media) => Arc::make_mut(&mut device)[range.clone()].copy_from_slice(&media[range]),
            None => Arc::make_mut(&mut device)[range].fill(0),
        }
        self.device = Some(device);
        self.undrained &= !(1 << sector);
        if self.dirty & 1 << sector == 0 {
            self.diverged |= 1 << sector;
        }
    }

    /// The drive moves the page from its cache to the media.
    pub fn drain(&mut self) {
        if self.undrained != 0 {
            self.media.clone_from(&self.device);
            self.undrained = 0;
        }
    }

    /// Zeroes the bytes from `at` on in every tier: the file was cut there.
    pub fn zero_from(&mut self, at: usize) {
        zero_tail(&mut self.cached, at);
        for bytes in [&mut self.device, &mut self.media].into_iter().flatten() {
            zero_tail(bytes, at);
        }
    }

    /// Puts back on the media, from `at` on, what a cut of the file had removed.
    pub fn restore_from(&mut self, at: usize, old: &PageBytes) {
        let mut bytes = self.media.take().unwrap_or_else(|| Arc::new([0; PAGE_BYTES]));
        Arc::make_mut(&mut bytes)[at..].copy_from_slice(&old[at..]);
        *self = Page::on_media(bytes);
    }

    /// The dirty sectors, one bit each.
    pub fn dirty(&self) -> u8 {
        self.dirty
    }

    /// The clean sectors that differ from the drive's, one bit each.
    pub fn diverged(&self) -> u8 {
        self.diverged
    }

    /// The sectors that a power loss may take from the device cache, one bit each.
    pub fn undrained(&self) -> u8 {
        self.undrained
    }

    /// The page after a crash: the page cache is gone, of the undrained sectors the `surviving` ones and the torn parts
    /// reach the media. `None` when nothing of the page ever did.
    pub fn after_crash(mut self, surviving: u8, tears: &[Tear]) -> Option<Page> {
        let surviving = surviving & self.undrained;
        if surviving == self.undrained && tears.is_empty() {
            self.drain();
        } else if (surviving != 0 || !tears.is_empty())
            && let Some(device) = self.device.take()
        {
            let mut media = self.media.take().unwrap_or_else(|| Arc::new([0; PAGE_BYTES]));
            let bytes = Arc::make_mut(&mut media);
            for sector in (0..SECTORS).filter(|sector| surviving & 1 << sector != 0) {
                bytes[sector_range(sector)].copy_from_slice(&device[sector_range(sector)]);
            }
            for tear in tears {
                let sector = sector_range(tear.sector);
                let cut = sector.start + tear.at;
                let new = if tear.new_first { sector.start..cut } else { cut..sector.end };
                bytes[new.clone()].copy_from_slice(&device[new]);
            }
            self.media = Some(media);
        }
        self.media.map(Page::on_media)
    }
}

/// Zeroes the bytes from `at` on.
pub(super) fn zero_tail(bytes: &mut PageBytes, at: usize) {
    if bytes[at..].iter().any(|&byte| byte != 0) {
        Arc::make_mut(bytes)[at..].fill(0);
    }
}

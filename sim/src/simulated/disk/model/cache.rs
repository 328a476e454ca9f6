//! The page cache under a limit of memory: clean pages leave it, and who writes too much has to wait.
//!
//! Pages leave in the order in which they came in, as from an inactive list that nothing is promoted from. A writer who finds
//! more than 20 % of the limit dirty (`vm.dirty_ratio`) hands the oldest dirty pages to the drive, down to 10 %
//! (`vm.dirty_background_ratio`), and waits for as long as that takes (`balance_dirty_pages`). Without a limit nothing is
//! counted and nothing ever leaves, except by [`Disk::drop_caches`].
//!
//! A page that leaves is read from the drive when it is wanted again: what a failed sync has dropped is then gone, and damage
//! of the media shows.
//!
//! Left out: promotion, read-ahead, the smooth pacing of writers between the two thresholds.

use super::{Disk, InodeId, page::PAGE_BYTES};
use std::collections::VecDeque;

const DIRTY_PERCENT_MAX: u64 = 20;
const DIRTY_PERCENT_BACKGROUND: u64 = 10;

/// The limit, and the pages in memory by age. Names of pages that are not there any more are passed over.
#[derive(Clone)]
pub(super) struct CacheLimit {
    pages_max: u64,
    order: VecDeque<(InodeId, u64)>,
}

impl CacheLimit {
    pub fn came_in(&mut self, file: InodeId, page: u64) {
        self.order.push_back((file, page));
    }

    /// The machine went down.
    pub fn clear(&mut self) {
        self.order.clear();
    }
}

impl Disk {
    /// Limits the memory of the page cache, in bytes; `None`: there is as much as is needed.
    pub fn set_cache_limit(&mut self, now_ns: u64, bytes: Option<u64>) {
        self.advance(now_ns);
        self.cache = bytes.map(|bytes| {
            let files = self.files.iter();
            let order = files.flat_map(|(&id, file)| file.resident_pages().map(move |page| (id, page))).collect();
            CacheLimit { pages_max: bytes / PAGE_BYTES as u64, order }
        });
        self.shrink_cache();
    }

    /// Pages came into memory by being read. Who asked for them lets go of others when the call is over.
    pub(super) fn note_loaded(&mut self, file: InodeId, pages: &[u64]) {
        if let Some(cache) = &mut self.cache {
            cache.order.extend(pages.iter().map(|&page| (file, page)));
        }
    }

    /// Lets clean pages go until the limit is kept, or only dirty ones are left.
    pub(super) fn shrink_cache(&mut self) {
        let Some(cache) = &mut self.cache else { return };
        let mut looks = cache.order.len();
        while cache.order.len() as u64 > cache.pages_max && looks > 0 {
            looks -= 1;
            let Some((id, number)) = cache.order.pop_front() else { return };
            let file = self.files.get_mut(&id);
            let Some(file) = file.filter(|file| file.page(number).is_some_and(|page| page.resident)) else { continue };
            if file.evict(number) {
                self.stats.evicted_pages += 1;
            } else {
                cache.order.push_back((id, number));
            }
        }
    }

    /// Drops every clean page (`vm.drop_caches`); how many that were.
    pub fn drop_caches(&mut self, now_ns: u64) -> u64 {
        self.advance(now_ns);
        let mut dropped = 0;
        for file in self.files.values_mut() {
            let pages: Vec<_> = file.resident_pages().collect();
            dropped += pages.into_iter().filter(|&page| file.evict(page)).count() as u64;
        }
        self.stats.evicted_pages += dropped;
        dropped
    }

    /// What a writer has to wait for the drive because too much is dirty: nanoseconds. Of a silent drive only that it has to.
    pub(super) fn throttle(&mut self, now_ns: u64) -> u64 {
        let Some(cache) = &self.cache else { return 0 };
        let pages_max = (cache.pages_max * DIRTY_PERCENT_MAX / 100).max(1);
        let pages_kept = cache.pages_max * DIRTY_PERCENT_BACKGROUND / 100;
        if (self.background.dirty.len() as u64) < pages_max {
            return 0;
        }
        // Most of what was noted may have been synced since.
        let mut dirty = std::mem::take(&mut self.background.dirty);
        dirty.retain(|entry| self.is_dirty_since(*entry));
        if (dirty.len() as u64) < pages_max || self.is_stalled() {
            let waits_ns = u64::from(dirty.len() as u64 >= pages_max);
            self.background.dirty = dirty;
            return waits_ns;
        }
        let excess = dirty.len() - pages_kept as usize;
        let pages: Vec<_> = dirty.drain(..excess).map(|entry| (entry.file, entry.page)).collect();
        self.background.dirty = dirty;
        self.stats.throttled_writes += 1;
        self.write_back(&pages, now_ns);
        self.shrink_cache();
        self.drive.transfer_ns(&self.spec, now_ns, (excess * PAGE_BYTES) as u64)
    }
}

//! What happens by itself: the flusher writes old dirty pages back, the drive drains its cache, the journal commits.
//!
//! Nothing of it has an event of its own: [`Disk::advance`] catches up, in the order of time, whenever somebody looks at the
//! disk.

use super::{Disk, DiskSpec, InodeId, journal::UnflushedCommit};
use crate::simulated::key::{Key, Stream};
use std::collections::{BTreeMap, VecDeque};

/// A page that became dirty, and when.
#[derive(Clone, Copy)]
pub(super) struct BecameDirty {
    pub since_ns: u64,
    pub file: InodeId,
    pub page: u64,
}

/// Blocks of a file whose first content is on its way to the drive.
#[derive(Clone)]
pub(super) struct Filling {
    pub done_ns: u64,
    pub file: InodeId,
    pub pages: Vec<u64>,
}

/// The timers of one disk.
#[derive(Clone)]
pub(super) struct Background {
    key: Key,
    batches: u64,
    /// The flusher wakes at this time plus multiples of its interval.
    writeback_phase_ns: u64,
    /// In the order of time. Entries of pages that have been cleaned since are skipped.
    pub dirty: VecDeque<BecameDirty>,
    /// What is in the device cache, by the time at which it drains (the second number keeps them apart).
    pub draining: BTreeMap<(u64, u64), (InodeId, u64)>,
    last_drain: u64,
    /// When the journal's timer commits the changes of metadata that wait.
    pub journal_due_ns: Option<u64>,
    /// Commits in the cache of a drive that lies, in the order of time.
    pub unflushed: VecDeque<UnflushedCommit>,
    /// Blocks that are being filled for the first time, and when that is done.
    pub filling: Vec<Filling>,
    /// What was due while the drive was stalled or the machine suspended happens then.
    not_before_ns: u64,
    /// Nothing happens by itself before this time. Spares the usual call the look at everything.
    idle_until_ns: u64,
    /// The machine is suspended: its flusher and its journal do nothing, and nothing is asked of the drive.
    stands_still: bool,
}

/// Pages that enter the device cache together.
pub(super) struct Batch<'a> {
    background: &'a mut Background,
    stream: Stream,
    at_ns: u64,
}

impl Background {
    pub fn new(spec: &DiskSpec, key: Key) -> Background {
        Background {
            key,
            batches: 0,
            writeback_phase_ns: key.derive("phase").stream().below(spec.writeback_interval_ns),
            dirty: VecDeque::new(),
            draining: BTreeMap::new(),
            last_drain: 0,
            journal_due_ns: None,
            unflushed: VecDeque::new(),
            filling: Vec::new(),
            not_before_ns: 0,
            idle_until_ns: 0,
            stands_still: false,
        }
    }

    /// Something will happen by itself at this time.
    pub fn wake_by(&mut self, at_ns: u64) {
        self.idle_until_ns = self.idle_until_ns.min(at_ns);
    }

    /// A page became dirty.
    pub fn became_dirty(&mut self, spec: &DiskSpec, file: InodeId, page: u64, now_ns: u64) {
        self.wake_by(now_ns + spec.dirty_expire_ns);
        self.dirty.push_back(BecameDirty { since_ns: now_ns, file, page });
    }

    /// The number of the next batch.
    pub fn next_batch(&self) -> u64 {
        self.batches + 1
    }

    /// The drive answers again: its cache has drained nothing meanwhile, and the kernel's timers go off now.
    pub fn delay_by_stall(&mut self, since_ns: u64, now_ns: u64) {
        let delay_ns = now_ns - since_ns;
        let later = |at_ns: u64| if at_ns > since_ns { at_ns + delay_ns } else { at_ns };
        let draining = std::mem::take(&mut self.draining);
        self.draining = draining.into_iter().map(|((at_ns, number), page)| ((later(at_ns), number), page)).collect();
        for commit in &mut self.unflushed {
            commit.at_ns = later(commit.at_ns);
        }
        for filling in &mut self.filling {
            filling.done_ns = later(filling.done_ns);
        }
        self.not_before_ns = now_ns;
        self.idle_until_ns = 0;
    }

    /// Pages are about to enter the device cache.
    pub fn batch(&mut self, at_ns: u64) -> Batch<'_> {
        self.batches += 1;
        let stream = self.key.index(self.batches).stream();
        Batch { background: self, stream, at_ns }
    }

    /// The machine has died: there is nothing to do any more.
    pub fn clear(&mut self) {
        self.dirty.clear();
        self.draining.clear();
        self.unflushed.clear();
        self.filling.clear();
        self.journal_due_ns = None;
    }

    /// The first time at which the flusher is awake, from `at_ns` on.
    fn writeback_tick_ns(&self, spec: &DiskSpec, at_ns: u64) -> u64 {
        let interval_ns = spec.writeback_interval_ns.max(1);
        let ticks = at_ns.saturating_sub(self.writeback_phase_ns).div_ceil(interval_ns);
        self.writeback_phase_ns + ticks * interval_ns
    }
}

impl Batch<'_> {
    /// This page of the batch drains by itself after a keyed time.
    pub fn drain_later(&mut self, spec: &DiskSpec, file: InodeId, page: u64) {
        self.background.last_drain += 1;
        let at_ns = self.at_ns + spec.drain_ns(&mut self.stream);
        self.background.wake_by(at_ns);
        self.background.draining.insert((at_ns, self.background.last_drain), (file, page));
    }
}

impl Disk {
    /// Some metadata changed: the journal will commit it when its timer ends, if nobody does before.
    pub(super) fn changed_metadata(&mut self, now_ns: u64) {
        let due_ns = *self.background.journal_due_ns.get_or_insert(now_ns + self.spec.journal_commit_ns);
        self.background.wake_by(due_ns);
    }

    /// The machine is suspended, or goes on. What its timers missed meanwhile they do at once when it goes on.
    pub fn set_standstill(&mut self, now_ns: u64, stands_still: bool) {
        self.advance(now_ns);
        self.background.stands_still = stands_still;
        self.background.not_before_ns = self.background.not_before_ns.max(now_ns);
    }

    /// Catches up with everything that happened by itself until now.
    pub fn advance(&mut self, now_ns: u64) {
        if now_ns < self.background.idle_until_ns || self.background.stands_still || self.is_stalled() {
            return;
        }
        loop {
            let journal_ns = self.background.journal_due_ns.unwrap_or(u64::MAX);
            let transfer_ns = self.syncs.transfer_due_ns().unwrap_or(u64::MAX);
            let writeback_ns = self.writeback_due_ns().unwrap_or(u64::MAX);
            let filled_ns = self.background.filling.iter().map(|filling| filling.done_ns).min().unwrap_or(u64::MAX);
            let next_ns = journal_ns.min(transfer_ns).min(writeback_ns).min(filled_ns);
            if next_ns > now_ns {
                self.drain_until(now_ns);
                let drain_ns = self.background.draining.first_key_value().map_or(u64::MAX, |(key, _)| key.0);
                let unflushed_ns = self.background.unflushed.front().map_or(u64::MAX, |unflushed| unflushed.at_ns);
                self.background.idle_until_ns = next_ns.min(drain_ns).min(unflushed_ns);
                return;
            }
            let at_ns = next_ns.max(self.background.not_before_ns);
            self.drain_until(at_ns);
            if next_ns == filled_ns {
                self.end_filling(at_ns, |filling| filling.done_ns <= at_ns);
            } else if next_ns == transfer_ns {
                self.end_transfer();
            } else if next_ns == writeback_ns {
                self.write_back_expired(at_ns);
            } else {
                self.commit_journal(at_ns);
            }
        }
    }

    /// When the flusher next finds a page that has been dirty for long enough.
    fn writeback_due_ns(&mut self) -> Option<u64> {
        while let Some(oldest) = self.background.dirty.front() {
            if self.is_dirty_since(*oldest) {
                let expires_ns = oldest.since_ns + self.spec.dirty_expire_ns;
                return Some(self.background.writeback_tick_ns(&self.spec, expires_ns));
            }
            self.background.dirty.pop_front();
        }
        None
    }

    pub(super) fn is_dirty_since(&self, entry: BecameDirty) -> bool {
        self.files
            .get(&entry.file)
            .and_then(|file| file.page(entry.page))
            .is_some_and(|page| page.is_dirty() && page.dirty_since_ns == entry.since_ns)
    }

    fn drain_until(&mut self, now_ns: u64) {
        self.apply_unflushed_until(now_ns);
        while let Some(entry) = self.background.draining.first_entry() {
            if entry.key().0 > now_ns {
                break;
            }
            let (file, page) = entry.remove();
            self.drain(file, page);
        }
    }

    pub(super) fn drain(&mut self, file: InodeId, page: u64) {
        if !self.overlays.is_empty() {
            self.overlays.drained(file, page);
        }
        // A page that was cut off has left the cache with its file's end.
        if let Some(page) = self.files.get_mut(&file).and_then(|file| file.page_mut(page)) {
            page.drain();
        }
    }
}

//! What a crash takes: the table in the module's text, drawn by key.
//!
//! How kind a crash is varies from crash to crash: the share of dirty pages that early write-back had moved, the share of
//! the device cache that had been drained, and the share of entry operations that the journal had written are each drawn
//! from 0, 10, 50 and 90 %.

use super::{
    CrashReport, Disk, DiskFaults, InodeId,
    background::Background,
    errseq::ErrorSequence,
    namespace::Namespace,
    overlay::Overlays,
    page::{SECTOR_BYTES, SECTORS, Tear},
    sync::{ActiveSync, SyncOutcome, SyncQueue},
};
use crate::simulated::{
    core::{Core, Crash, HostId},
    key::{Key, Stream},
};
use std::collections::BTreeMap;

/// A drive is in the act of writing at most this many sectors when the power fails.
const TORN_SECTORS_MAX: u64 = 3;

type Tears = BTreeMap<(InodeId, u64), Vec<Tear>>;

/// How kind this crash is.
fn survival_probability(key: Key) -> f64 {
    [0.0, 0.1, 0.5, 0.9][key.stream().below(4) as usize]
}

impl Disk {
    /// The host's process, kernel, power or drive fails. What the disk holds afterwards is what the next process finds.
    pub fn crash(&mut self, core: &mut Core, host: HostId, crash: Crash) -> CrashReport {
        let now_ns = core.now_ns();
        self.advance(now_ns);
        self.stats.crashes += 1;
        let key = self.key.derive("crash").index(self.stats.crashes);
        let mut report = CrashReport::new(crash);
        let files_before = self.namespace.files(false);
        if crash == Crash::Process {
            self.flush_cut_files(now_ns);
        }
        self.handles.clear();
        match crash {
            Crash::Disk => self.lose_everything(&mut report),
            Crash::Process => {
                report.cut_writes = self.cut_operations(core, key.derive("cut"));
                for file in self.files.values_mut() {
                    file.locked_by = None;
                    file.busy_until_ns = 0;
                }
                self.reap();
            }
            Crash::Os | Crash::Power => {
                report.cut_writes = self.cut_operations(core, key.derive("cut"));
                self.operations.clear();
                self.held_write_back.clear();
                if let Some(active) = self.syncs.clear() {
                    self.stop_transfer(active, now_ns, key.derive("transfer").stream());
                }
                let is_journal_cut = match crash {
                    Crash::Power => self.lose_unflushed(key.derive("unflushed").stream()),
                    // The drive lives on and drains what it was told to flush.
                    _ => {
                        self.apply_unflushed_until(u64::MAX);
                        false
                    }
                };
                // The last commit came before the last write-back or after it: in the first case the drive may have drained a
                // part of what it was given since.
                let commits_first = key.derive("commits-first").stream().chance(0.5);
                let committed = if commits_first { self.survives_until(key, is_journal_cut) } else { None };
                self.write_back_early(key, now_ns);
                let mut stream = key.derive("filled").stream();
                self.end_filling(now_ns, |_| stream.chance(0.5));
                let survives_until = committed.or_else(|| self.survives_until(key, is_journal_cut));
                self.lose_caches(crash, key, survives_until, &mut report);
                report.lost_entries = if let Some(up_to) = survives_until {
                    self.namespace.crash_after(up_to)
                } else {
                    let key = key.derive("entries");
                    let mut streams: BTreeMap<InodeId, (f64, Stream)> = BTreeMap::new();
                    self.namespace.crash(|dir| {
                        let (probability, stream) = streams.entry(dir).or_insert_with(|| {
                            let key = key.index(dir.0);
                            (survival_probability(key.derive("probability")), key.stream())
                        });
                        stream.chance(*probability)
                    })
                };
                self.background.clear();
                (self.durable, self.committed) = (self.last_number, self.last_number);
                self.reap();
            }
        }
        if let Some(cache) = &mut self.cache
            && crash != Crash::Process
        {
            cache.clear();
        }
        let files_after = self.namespace.files(false);
        let is_there = |path: &String| files_after.binary_search_by(|(other, _)| other.cmp(path)).is_ok();
        report.lost_files = files_before.iter().filter(|(path, _)| !is_there(path)).count() as u64;
        self.stats.last_crash = Some(report);
        core.trace(host, "disk.crash", report.lost_sectors, report.kept_sectors);
        core.trace(host, "disk.crash.names", report.lost_entries, report.undone_sizes);
        report
    }

    /// The kernel closes the files of a dead process, and some are then written back.
    fn flush_cut_files(&mut self, now_ns: u64) {
        let open: Vec<_> = self.handles.values().map(|handle| handle.file).collect();
        for id in open {
            let file = self.files.get_mut(&id);
            if file.is_some_and(|file| std::mem::take(&mut file.flush_on_close)) {
                self.write_back_file(id, now_ns);
            }
        }
    }

    fn lose_everything(&mut self, report: &mut CrashReport) {
        let pages: usize = self.files.values().map(|file| file.page_count()).sum();
        report.lost_sectors = pages as u64 * u64::from(SECTORS);
        self.operations.clear();
        self.answers.clear();
        self.held_write_back.clear();
        self.files.clear();
        self.namespace = Namespace::new(InodeId(0));
        self.background = Background::new(&self.spec, self.key.derive("background").index(self.stats.crashes));
        self.syncs = SyncQueue::new(self.key.derive("sync").index(self.stats.crashes));
        self.overlays = Overlays::default();
        self.injector.faults = DiskFaults::default();
        self.stalled_since_ns = None;
        (self.durable, self.committed) = (self.last_number, self.last_number);
        self.used_pages = 0;
        self.renew_drive();
    }

    /// A sync was under way: its transfer, if it is not complete, stops after the share of the time that has passed, in
    /// keyed order.
    fn stop_transfer(&mut self, active: ActiveSync, now_ns: u64, mut stream: Stream) {
        let id = active.file();
        let until_ns = self.stalled_since_ns.map_or(now_ns, |since_ns| since_ns.max(active.from_ns));
        let (passed_ns, whole_ns) = (until_ns - active.from_ns, active.transferred_ns - active.from_ns);
        let share = if whole_ns == 0 { 1.0 } else { passed_ns as f64 / whole_ns as f64 };
        let share = if active.outcome == SyncOutcome::Drops { 0.0 } else { share };
        let (arrived, stopped): (Vec<_>, Vec<_>) = active.snapshots.into_iter().partition(|_| stream.chance(share));
        self.write_to_drive(id, arrived, active.size, now_ns);
        if let Some(file) = self.files.get_mut(&id) {
            for snapshot in stopped {
                if let Some(page) = file.page_mut(snapshot.page) {
                    page.cancel_transfer(snapshot.sectors);
                }
            }
        }
    }

    /// What the kernel had written back before its timers: for want of memory, or by some other program's `sync`.
    fn write_back_early(&mut self, key: Key, now_ns: u64) {
        let probability = survival_probability(key.derive("written-back"));
        if probability == 0.0 || self.is_stalled() {
            return;
        }
        let pages_key = key.derive("page");
        let mut early = Vec::new();
        for (&id, file) in &self.files {
            let file_key = pages_key.index(id.0);
            let is_early = |page: &u64| file_key.index(*page).derive("written-back").stream().chance(probability);
            early.extend(file.dirty_pages().filter(is_early).map(|page| (id, page)));
        }
        self.write_back(&early, now_ns);
    }

    /// Up to which place in the order changes of metadata survive, if the personality keeps an order. A commit that was made
    /// before the crash has flushed the device cache.
    fn survives_until(&mut self, key: Key, is_journal_cut: bool) -> Option<u64> {
        if !self.spec.personality.is_journaled() {
            return None;
        }
        let up_to = self.surviving_metadata(key.derive("journal").stream(), is_journal_cut);
        if up_to > self.durable {
            self.flush_device();
        }
        Some(up_to)
    }

    /// The page cache is lost, and after a power loss a part of the device cache; sizes fall back.
    fn lose_caches(&mut self, crash: Crash, key: Key, survives_until: Option<u64>, report: &mut CrashReport) {
        let drained = match crash {
            Crash::Power => survival_probability(key.derive("drained")),
            _ => 1.0,
        };
        let pages_key = key.derive("page");
        let mut in_device_cache = Vec::new();
        for (&id, file) in &mut self.files {
            file.errors = ErrorSequence::default();
            file.flush_on_close = false;
            for (number, page) in file.pages() {
                report.lost_sectors += u64::from((page.dirty() | page.diverged()).count_ones());
                in_device_cache.extend(sectors(page.undrained()).map(|sector| (id, number, sector)));
            }
        }
        let tears = match crash {
            Crash::Power => tear(&in_device_cache, key.derive("tear").stream(), report),
            _ => Tears::new(),
        };
        let overlays = &mut self.overlays;
        for (&id, file) in &mut self.files {
            let file_key = pages_key.index(id.0);
            file.crash_pages(|number, page| {
                let torn = tears.get(&(id, number)).map_or(&[][..], Vec::as_slice);
                let torn_mask = torn.iter().fold(0, |mask, tear| mask | 1 << tear.sector);
                let mut surviving = page.undrained();
                if drained < 1.0 && surviving != 0 {
                    let mut stream = file_key.index(number).derive("drained").stream();
                    surviving = sectors(surviving)
                        .filter(|_| stream.chance(drained))
                        .fold(0, |mask, sector| mask | 1 << sector);
                }
                surviving &= !torn_mask;
                if !overlays.is_empty() {
                    overlays.crash(id, number, page.undrained(), surviving);
                }
                // The dirty sectors are counted above: what the drive had of them is not the newest version.
                let newest = page.undrained() & !page.dirty() & !page.diverged() & !torn_mask;
                report.kept_sectors += u64::from((newest & surviving).count_ones());
                report.lost_sectors += u64::from((newest & !surviving).count_ones());
                page.after_crash(surviving, torn)
            });
            let changes = file.size_changes();
            if let Some(up_to) = survives_until {
                let kept = file.size_changes_until(up_to);
                file.keep_filled(up_to);
                report.undone_sizes += u64::from(file.undo_sizes(kept) || kept != changes);
            } else if changes != 0 {
                let kept = kept_changes(changes, key.derive("size").index(id.0).stream());
                report.undone_sizes += u64::from(kept != changes);
                file.undo_sizes(kept);
            }
        }
    }
}

fn sectors(mask: u8) -> impl Iterator<Item = u8> {
    (0..SECTORS).filter(move |sector| mask & 1 << sector != 0)
}

/// How many of the waiting changes of a size survive: none, all, or something in between, a third each.
fn kept_changes(changes: usize, mut stream: Stream) -> usize {
    match stream.below(3) {
        0 => 0,
        1 => changes,
        _ => stream.below(changes as u64 + 1) as usize,
    }
}

/// Picks the sectors that the power loss caught in the act of being written, among those on their way.
fn tear(in_device_cache: &[(InodeId, u64, u8)], mut stream: Stream, report: &mut CrashReport) -> Tears {
    let mut tears = Tears::new();
    if in_device_cache.is_empty() {
        return tears;
    }
    for _ in 0..stream.below(TORN_SECTORS_MAX + 1) {
        let (id, page, sector) = in_device_cache[stream.below(in_device_cache.len() as u64) as usize];
        let tear =
            Tear { sector, at: stream.range(1, SECTOR_BYTES as u64 - 1) as usize, new_first: stream.chance(0.5) };
        let of_page = tears.entry((id, page)).or_default();
        if of_page.iter().all(|other: &Tear| other.sector != sector) {
            of_page.push(tear);
            report.torn_sectors += 1;
        }
    }
    tears
}

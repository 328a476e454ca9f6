//! What the drive does wrong while it is told to: errors, lies and silences, each with a probability of its own.
//!
//! The unit is the *command*: a run of neighbouring pages of one file that goes to or comes from the drive at once, at most
//! 1,280 KiB (`BLK_DEF_MAX_SECTORS_CAP` of Linux's `include/linux/blkdev.h`: 2,560 sectors). Commands come from reads that
//! the page cache cannot answer, from syncs, and from the flusher; what the page cache answers is never touched.
//!
//! | fault | what happens | source |
//! |---|---|---|
//! | read error | the read ends before the command's first page, or with EIO when that is where it began | `filemap_read` |
//! | write error | the pages count as clean, the error waits for the next fsync of every open file | `mapping_set_error`, Rebello et al., ATC 2020 |
//! | sync error | half of them: the drive refuses the sync's pages, as above; the others: FLUSH CACHE fails, and the drive forgets one sector of its cache | ATA/ATAPI ACS, FLUSH CACHE: the sector in error is removed from the cache |
//! | short read, short write | the call ends at a page boundary before its end, without an error | `generic_perform_write` works page by page and stops for signals |
//! | lost write | the drive says that it wrote, and did not | Bairavasundaram et al., FAST 2008 |
//! | misdirected write | it wrote elsewhere: one place keeps its old bytes, another one gets bytes that do not belong there | the same |
//! | misdirected read | it answers with another place's bytes; the media are sound | Prabhakaran et al., "IRON File Systems", SOSP 2005 |
//! | stale read | it answers with what stood there before the last write; the media are sound | the same |
//! | lying sync | FLUSH CACHE is answered at once and does nothing | `journal` |
//! | stall | no command ends | `stall` |
//!
//! Every draw is a function of the disk's key, the fault, the number of the batch or call, and the page: a fault that is off
//! draws nothing, and one that is on does not shift another's draws.
//!
//! Left out: retries inside the kernel and the drive (a probability is that of what is left after them), errors of metadata
//! blocks (ext4 then turns read-only and XFS shuts down; names and sizes never fail here).

use super::{Disk, page::PageBytes};
use crate::simulated::key::{Key, Stream};
use std::ops::Range;

/// What a drive does wrong. The default is a healthy one. Probabilities are per command (see the module's text), from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DiskFaults {
    /// A read that reaches the drive fails with EIO.
    pub read_error: f64,
    /// The drive refuses pages that are written to it, by a sync or by the flusher; a sync tells it, once per open file.
    pub write_error: f64,
    /// A sync of a file or a directory fails with EIO, once.
    pub sync_error: f64,
    /// A read that reaches the drive and spans pages returns less than was asked for.
    pub short_read: f64,
    /// Per call, not per command: a write that spans pages writes less than was asked for. [`super::super::File::write_all_at`] then makes another.
    pub short_write: f64,
    /// A write is acknowledged and does not happen.
    pub lost_write: f64,
    /// A write is acknowledged and lands elsewhere.
    pub misdirected_write: f64,
    /// A read is answered with the bytes of another place.
    pub misdirected_read: f64,
    /// A read is answered with the bytes before the last write.
    pub stale_read: f64,
    /// Cache flushes do nothing.
    pub lying_sync: bool,
    /// No command ends until this is taken back.
    pub stalled: bool,
}

impl DiskFaults {
    /// Each probability with its name.
    pub fn probabilities(&self) -> [(&'static str, f64); 9] {
        [
            ("read_error", self.read_error),
            ("write_error", self.write_error),
            ("sync_error", self.sync_error),
            ("short_read", self.short_read),
            ("short_write", self.short_write),
            ("lost_write", self.lost_write),
            ("misdirected_write", self.misdirected_write),
            ("misdirected_read", self.misdirected_read),
            ("stale_read", self.stale_read),
        ]
    }

    /// The name of the first probability that is none.
    pub fn out_of_range(&self) -> Option<&'static str> {
        self.probabilities().into_iter().find(|(_, value)| !(0.0..=1.0).contains(value)).map(|(name, _)| name)
    }
}

/// Pages in the longest command.
const COMMAND_PAGES_MAX: usize = 320;

/// The commands that move these pages, which are in order: ranges of the slice.
pub(super) fn commands(pages: &[u64]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = *pages.get(start)?;
        let run = pages[start..].iter().zip(first..).take(COMMAND_PAGES_MAX).take_while(|(page, next)| **page == *next);
        let range = start..start + run.count();
        start = range.end;
        Some(range)
    })
}

/// The faults in force, and their dice.
#[derive(Clone)]
pub(super) struct Injector {
    pub faults: DiskFaults,
    key: Key,
}

impl Injector {
    pub fn new(key: Key) -> Injector {
        Injector { faults: DiskFaults::default(), key }
    }

    /// Whether a write to the drive can go wrong, or has to be remembered for a stale read.
    pub fn touches_writes(&self) -> bool {
        let DiskFaults { write_error, lost_write, misdirected_write, stale_read, .. } = self.faults;
        write_error + lost_write + misdirected_write + stale_read > 0.0
    }

    /// Whether a read from the drive can go wrong.
    pub fn touches_reads(&self) -> bool {
        let DiskFaults { read_error, short_read, misdirected_read, stale_read, .. } = self.faults;
        read_error + short_read + misdirected_read + stale_read > 0.0
    }

    /// Whether a fault of this probability happens at a place; the stream has the rest of its choices.
    pub fn strikes(&self, probability: f64, fault: &str, number: u64, page: u64) -> Option<Stream> {
        if probability <= 0.0 {
            return None;
        }
        let mut stream = self.key.derive(fault).index(number).index(page).stream();
        stream.chance(probability).then_some(stream)
    }
}

/// What becomes of a command that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteFate {
    Lands,
    Refused,
    Lost,
    /// It lands on a place that this number picks.
    Misdirected(u64),
}

impl Injector {
    /// The fate of a command of batch `number` that begins at `page`.
    pub fn write_fate(&self, number: u64, page: u64) -> WriteFate {
        if self.strikes(self.faults.write_error, "write-error", number, page).is_some() {
            WriteFate::Refused
        } else if self.strikes(self.faults.lost_write, "lost-write", number, page).is_some() {
            WriteFate::Lost
        } else if let Some(mut stream) = self.strikes(self.faults.misdirected_write, "misdirected-write", number, page)
        {
            WriteFate::Misdirected(stream.u64())
        } else {
            WriteFate::Lands
        }
    }
}

impl Disk {
    /// Puts faults in force, in the place of those that were.
    ///
    /// # Panics
    /// When a probability is none.
    pub fn set_faults(
        &mut self,
        core: &mut crate::simulated::core::Core,
        host: crate::simulated::core::HostId,
        faults: DiskFaults,
    ) {
        if let Some(name) = faults.out_of_range() {
            panic!("{name} is a probability: it is from 0 to 1");
        }
        self.advance(core.now_ns());
        if faults.stale_read == 0.0 {
            self.overlays.forget_versions();
        }
        self.injector.faults = faults;
        if faults.stalled {
            self.stall(core.now_ns());
        } else {
            self.release(core, host);
        }
    }

    /// The faults in force.
    pub fn faults(&self) -> DiskFaults {
        self.injector.faults
    }
}

/// A page of zeros, for places that were never written.
pub(super) fn zeros() -> PageBytes {
    std::sync::Arc::new([0; super::page::PAGE_BYTES])
}

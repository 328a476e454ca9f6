//! What all queues of a store share: which of them have units that are not on the drive, their open files, and how much of
//! them is kept in memory.
//!
//! There may be tens of thousands of queues, of which few are written in a second. Nobody walks through all of them: a queue
//! puts itself on a list when its first unit waits for the drive, and on a second one when enough do for a flush.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{ConsumeQueue, UNIT_BYTES};
use crate::{config::StoreConfig, error::lock, open_files::OpenFiles, segment::PAGE_BYTES};

/// How many flushed units a queue keeps in memory for pulls at its tail, at most…
const TAIL_UNITS_MAX: usize = 1024;
/// …and at least, when there are many queues…
const TAIL_UNITS_MIN: usize = 32;
/// …and how many all of them keep together, between the two: 24 MiB.
const TAIL_UNITS_TOGETHER: usize = 1 << 20;

/// By topic and queue id. Weak, because each queue holds what all share: a store that is dropped with units that wait for the
/// drive must not stay in memory.
type Queues = BTreeMap<(Arc<str>, i32), Weak<ConsumeQueue>>;

#[derive(Debug)]
pub(crate) struct Common {
    pub(super) open_files: Arc<OpenFiles>,
    /// So many units that wait for the drive are enough for a flush (`flushConsumeQueueLeastPages`).
    enough_units: i64,
    waiting: Mutex<Waiting>,
    /// How many units were appended to all queues.
    appended: AtomicU64,
    tail_units: AtomicUsize,
}

/// Of those who wait for the drive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    all: bool,
    full: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    all: Queues,
    /// Those with enough for a flush.
    full: Queues,
}

impl Common {
    pub(crate) fn new(config: &StoreConfig) -> Common {
        let enough_units = config.flush_consume_queue_least_pages.saturating_mul(PAGE_BYTES) / UNIT_BYTES as u64;
        Common {
            open_files: OpenFiles::for_this_process(),
            enough_units: i64::try_from(enough_units).unwrap_or(i64::MAX).max(1),
            waiting: Mutex::default(),
            appended: AtomicU64::new(0),
            tail_units: AtomicUsize::new(TAIL_UNITS_MAX),
        }
    }

    /// On which lists a queue with so many units that are not on the drive belongs.
    pub(super) fn lists_of(&self, units: i64) -> Lists {
        Lists { all: units > 0, full: units >= self.enough_units }
    }

    /// Puts a queue on these lists alone.
    pub(super) fn put_on(&self, lists: Lists, queue: &Arc<ConsumeQueue>) {
        let mut waiting = lock(&self.waiting);
        let Waiting { all, full } = &mut *waiting;
        for (is_on, list) in [(lists.all, all), (lists.full, full)] {
            let key = (Arc::clone(&queue.topic), queue.queue_id);
            if is_on {
                list.insert(key, Arc::downgrade(queue));
            } else {
                list.remove(&key);
            }
        }
    }

    /// The queues that wait for the drive, or only those with enough for a flush; by topic and queue id.
    pub(super) fn waiting(&self, thorough: bool) -> Vec<Arc<ConsumeQueue>> {
        let waiting = lock(&self.waiting);
        let list = if thorough { &waiting.all } else { &waiting.full };
        list.values().filter_map(Weak::upgrade).collect()
    }

    /// All queues are forgotten.
    pub(super) fn clear(&self) {
        *lock(&self.waiting) = Waiting::default();
    }

    pub(super) fn note_appended(&self) {
        self.appended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Relaxed)
    }

    /// There are so many queues.
    pub(super) fn note_queues(&self, count: usize) {
        let units = (TAIL_UNITS_TOGETHER / count.max(1)).clamp(TAIL_UNITS_MIN, TAIL_UNITS_MAX);
        self.tail_units.store(units, Ordering::Relaxed);
    }

    /// How many flushed units each of them keeps in memory.
    pub(super) fn tail_units(&self) -> usize {
        self.tail_units.load(Ordering::Relaxed)
    }
}

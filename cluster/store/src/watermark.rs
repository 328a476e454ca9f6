//! A position of the log that only moves forward, and those who wait for it to pass theirs.
//!
//! An acknowledgement is a wait for watermarks: written, flushed, replicated. Each waiter is woken once, in the
//! order of positions.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use protocol::PhysicalOffset;
use tokio::sync::oneshot;

use crate::error::lock;

/// What a waiter is told: the position was reached, or never will be, for this reason.
pub(crate) type Reached = Result<(), Arc<str>>;

/// A position that only moves forward.
#[derive(Debug)]
pub(crate) struct Watermark {
    position: AtomicI64,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    queue: VecDeque<(PhysicalOffset, oneshot::Sender<Reached>)>,
    failed: Option<Arc<str>>,
}

impl Watermark {
    pub(crate) fn new(position: PhysicalOffset) -> Watermark {
        Watermark { position: AtomicI64::new(position.0), waiters: Mutex::default() }
    }

    /// Where it is.
    pub(crate) fn get(&self) -> PhysicalOffset {
        PhysicalOffset(self.position.load(Ordering::Acquire))
    }

    /// Puts it somewhere else; nobody may wait.
    pub(crate) fn begin_at(&self, position: PhysicalOffset) {
        self.position.store(position.0, Ordering::Release);
    }

    /// Moves it forward and wakes whom it passes.
    pub(crate) fn advance(&self, position: PhysicalOffset) {
        let mut waiters = lock(&self.waiters);
        self.position.fetch_max(position.0, Ordering::AcqRel);
        while waiters.queue.front().is_some_and(|(wanted, _)| *wanted <= position) {
            if let Some((_, waiter)) = waiters.queue.pop_front() {
                // An error means that the waiter gave up.
                let _ = waiter.send(Ok(()));
            }
        }
    }

    /// It will not move any more; everyone who waits is told why, and everyone who comes later.
    pub(crate) fn fail(&self, why: Arc<str>) {
        let mut waiters = lock(&self.waiters);
        for (_, waiter) in waiters.queue.drain(..) {
            let _ = waiter.send(Err(Arc::clone(&why)));
        }
        waiters.failed.get_or_insert(why);
    }

    /// Registers a waiter for `position`. Waiters must come in the order of their positions.
    pub(crate) fn wait_for(&self, position: PhysicalOffset) -> oneshot::Receiver<Reached> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = lock(&self.waiters);
        if position <= self.get() {
            let _ = sender.send(Ok(()));
        } else if let Some(why) = &waiters.failed {
            let _ = sender.send(Err(Arc::clone(why)));
        } else {
            waiters.queue.push_back((position, sender));
        }
        receiver
    }
}

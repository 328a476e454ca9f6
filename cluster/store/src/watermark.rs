//! A position of the log that only moves forward, and those who wait for it to pass theirs.
//!
//! An acknowledgement is a wait for watermarks: written, flushed, replicated. Each waiter is told once, in the order of
//! positions. A put that waits for nothing else is answered from here: its task is woken once, and has no timer of its own;
//! [`Watermark::run_deadlines`] looks after the deadlines of all of them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use protocol::PhysicalOffset;
use sim::time::{Instant, sleep_until};
use tokio::sync::{Notify, oneshot};

use crate::{error::lock, put::PutAnswer};

/// What a waiter is told: the position was reached, or never will be, for this reason.
pub(crate) type Reached = Result<(), Arc<str>>;

/// A position that only moves forward.
#[derive(Debug)]
pub(crate) struct Watermark {
    position: AtomicI64,
    waiters: Mutex<Waiters>,
    /// There is a deadline to look after.
    deadline_wanted: Notify,
}

#[derive(Debug, Default)]
struct Waiters {
    queue: VecDeque<(PhysicalOffset, Waiter)>,
    failed: Option<Arc<str>>,
    /// Nobody looks after deadlines at the moment.
    is_unattended: bool,
}

#[derive(Debug)]
enum Waiter {
    Signal(oneshot::Sender<Reached>),
    Put { answer: PutAnswer, deadline: Instant },
}

impl Waiter {
    fn tell(self, reached: Reached) {
        match self {
            // An error means that the waiter gave up.
            Waiter::Signal(sender) => drop(sender.send(reached)),
            Waiter::Put { answer, .. } => match reached {
                Ok(()) => answer.replicated_enough(),
                Err(why) => answer.not_replicated(Some(why)),
            },
        }
    }
}

impl Watermark {
    pub(crate) fn new(position: PhysicalOffset) -> Watermark {
        Watermark {
            position: AtomicI64::new(position.0),
            waiters: Mutex::new(Waiters { is_unattended: true, ..Waiters::default() }),
            deadline_wanted: Notify::new(),
        }
    }

    /// Where it is.
    pub(crate) fn get(&self) -> PhysicalOffset {
        PhysicalOffset(self.position.load(Ordering::Acquire))
    }

    /// Puts it somewhere else; nobody may wait.
    pub(crate) fn begin_at(&self, position: PhysicalOffset) {
        self.position.store(position.0, Ordering::Release);
    }

    /// Moves it forward and tells whom it passes.
    pub(crate) fn advance(&self, position: PhysicalOffset) {
        let mut waiters = lock(&self.waiters);
        self.position.fetch_max(position.0, Ordering::AcqRel);
        while waiters.queue.front().is_some_and(|(wanted, _)| *wanted <= position) {
            if let Some((_, waiter)) = waiters.queue.pop_front() {
                waiter.tell(Ok(()));
            }
        }
    }

    /// It will not move any more; everyone who waits is told why, and everyone who comes later.
    pub(crate) fn fail(&self, why: Arc<str>) {
        let mut waiters = lock(&self.waiters);
        for (_, waiter) in waiters.queue.drain(..) {
            waiter.tell(Err(Arc::clone(&why)));
        }
        waiters.failed.get_or_insert(why);
    }

    /// Registers a waiter for `position`. Waiters must come in the order of their positions.
    pub(crate) fn wait_for(&self, position: PhysicalOffset) -> oneshot::Receiver<Reached> {
        let (sender, receiver) = oneshot::channel();
        self.register(&mut lock(&self.waiters), position, Waiter::Signal(sender));
        receiver
    }

    /// Answers these puts when their positions are reached, or when it is `deadline`. They must come in the order of their
    /// positions, and so must the deadlines.
    pub(crate) fn answer_at(&self, puts: impl Iterator<Item = (PhysicalOffset, PutAnswer)>, deadline: Instant) {
        let mut waiters = lock(&self.waiters);
        for (position, answer) in puts {
            self.register(&mut waiters, position, Waiter::Put { answer, deadline });
        }
        let is_wanted = waiters.is_unattended && !waiters.queue.is_empty();
        if is_wanted {
            waiters.is_unattended = false;
            drop(waiters);
            self.deadline_wanted.notify_one();
        }
    }

    fn register(&self, waiters: &mut Waiters, position: PhysicalOffset, waiter: Waiter) {
        if position <= self.get() {
            waiter.tell(Ok(()));
        } else if let Some(why) = &waiters.failed {
            waiter.tell(Err(Arc::clone(why)));
        } else {
            waiters.queue.push_back((position, waiter));
        }
    }

    /// Answers, for ever, the puts whose deadline is over. It wakes up when the deadline of the first one that waited is
    /// over, hence once in such a time however many puts there are.
    pub(crate) async fn run_deadlines(&self) {
        loop {
            match self.expire(Instant::now()) {
                Some(deadline) => sleep_until(deadline).await,
                None => self.deadline_wanted.notified().await,
            }
        }
    }

    /// Answers the puts whose deadline is over by `now`; the next deadline.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut waiters = lock(&self.waiters);
        let next = loop {
            let put = waiters.queue.iter().enumerate().find_map(|(index, (_, waiter))| match waiter {
                Waiter::Put { deadline, .. } => Some((index, *deadline)),
                // It has a timer of its own.
                Waiter::Signal(_) => None,
            });
            match put {
                Some((index, deadline)) if deadline <= now => {
                    if let Some((_, Waiter::Put { answer, .. })) = waiters.queue.remove(index) {
                        answer.not_replicated(None);
                    }
                }
                put => break put.map(|(_, deadline)| deadline),
            }
        };
        waiters.is_unattended = next.is_none();
        next
    }
}

/// Whoever still waits for the watermark of a store that is closed is told so, rather than that nothing was stored.
impl Drop for Watermark {
    fn drop(&mut self) {
        self.fail("the store was closed before that".into());
    }
}

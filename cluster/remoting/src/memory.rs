//! How much memory the connections of a server hold, in total: for frames that are on their way in and being handled, and
//! for what is queued on its way out.
//!
//! A small frame is read as it comes. A large one has to be granted its memory first, all of it, or many that are half-way
//! could wait for one another for ever; it gives it back when its request has been answered. Until it is granted nothing
//! more is read from its connection: the peer waits, it is not refused. Among those that wait a smaller frame goes first,
//! but none waits for ever behind smaller ones.
//!
//! Peers that announce much and send little would keep the others waiting. So while somebody waits, frames that hardly move
//! are looked for, and the connections of the slowest are closed: as many as it takes. Nobody is closed for being slow while
//! there is room.
//!
//! What is queued for peers that do not read is limited for each connection by its own limits; in total, those that have long
//! had much in their queues are closed, see [`Backlog`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sim::time::Instant;

use crate::channel::Shared;

/// Frames up to this size need no grant. It is what a connection reads at a time anyway.
pub(crate) const SMALL_FRAME_BYTES: usize = 16 * 1024;

/// How often those that wait look for others that hardly move.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Over this time it is measured how much of a frame has come.
const MEASURED: Duration = Duration::from_millis(500);
/// A frame of which less has come in that time hardly moves. It is much less than any link gives that has a use for large
/// frames, and much more than what keeps a connection from being idle.
const SLOW_BYTES: usize = 64 * 1024;
/// Who has waited so long comes before those with smaller frames.
const PATIENCE: Duration = Duration::from_secs(2);

/// The memory for the large frames of a server. See the module's head.
#[derive(Debug)]
pub(crate) struct FrameMemory {
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken_bytes: usize,
    number_next: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// The same by size.
    by_size: BTreeSet<(usize, u64)>,
    arriving: BTreeMap<u64, Arriving>,
    looked_at: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    ticket: Arc<Ticket>,
    since: Instant,
    connection: Weak<Shared>,
}

#[derive(Debug)]
struct Arriving {
    ticket: Arc<Ticket>,
    connection: Weak<Shared>,
    /// From then on it is measured how much has come…
    measured_from: Instant,
    /// …since there was so much.
    received_then: usize,
}

/// What a connection and the memory know of one frame.
#[derive(Debug)]
struct Ticket {
    bytes: usize,
    is_granted: AtomicBool,
    received: AtomicUsize,
}

/// A frame's claim to memory: waiting, granted, or that of a request that is being handled. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct FrameClaim {
    memory: Arc<FrameMemory>,
    number: u64,
    ticket: Arc<Ticket>,
}

/// A connection that is to be closed so that others get its frame's memory.
pub(crate) struct TooSlow {
    pub connection: Arc<Shared>,
    pub frame_bytes: usize,
    pub received_bytes: usize,
}

impl FrameMemory {
    /// `max_bytes` is at least what the longest frame takes.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes: max_bytes.max(protocol::frame::FRAME_BYTES_MAX), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic half-way runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims the memory of a frame that has begun to come. The connection's task is woken when it is granted.
    pub fn claim(self: &Arc<Self>, bytes: usize, connection: &Arc<Shared>) -> FrameClaim {
        let now = Instant::now();
        let ticket = Arc::new(Ticket { bytes, is_granted: AtomicBool::new(false), received: AtomicUsize::new(0) });
        let connection = Arc::downgrade(connection);
        let mut state = self.lock();
        let number = state.number_next;
        state.number_next += 1;
        state.waiting.insert(number, Waiting { ticket: Arc::clone(&ticket), since: now, connection });
        state.by_size.insert((bytes, number));
        let granted = state.grant(self.max_bytes, now);
        drop(state);
        wake(granted);
        FrameClaim { memory: Arc::clone(self), number, ticket }
    }

    /// While somebody waits: the connections that are to be closed because their frames hardly move.
    pub fn look(&self) -> Vec<TooSlow> {
        let now = Instant::now();
        let mut state = self.lock();
        let is_early = state.looked_at.is_some_and(|at| now < at + LOOK_INTERVAL / 2);
        if state.waiting.is_empty() || is_early {
            return Vec::new();
        }
        state.looked_at = Some(now);
        let wanted: usize = state.waiting.values().map(|waiting| waiting.ticket.bytes).sum();
        let mut wanted = wanted.saturating_sub(self.max_bytes.saturating_sub(state.taken_bytes));
        let mut slow = Vec::new();
        for (number, arriving) in &mut state.arriving {
            if now < arriving.measured_from + MEASURED {
                continue;
            }
            let received = arriving.ticket.received.load(Ordering::Relaxed);
            let moved = received.saturating_sub(arriving.received_then);
            (arriving.measured_from, arriving.received_then) = (now, received);
            if moved < SLOW_BYTES {
                slow.push((moved, *number));
            }
        }
        slow.sort_unstable();
        let mut closed = Vec::new();
        for (_, number) in slow {
            if wanted == 0 {
                break;
            }
            let Some(arriving) = state.arriving.get(&number) else { continue };
            wanted = wanted.saturating_sub(arriving.ticket.bytes);
            if let Some(connection) = arriving.connection.upgrade() {
                let received_bytes = arriving.ticket.received.load(Ordering::Relaxed);
                closed.push(TooSlow { connection, frame_bytes: arriving.ticket.bytes, received_bytes });
            }
        }
        closed
    }
}

impl State {
    /// Grants what there is room for; the connections that wait for it.
    fn grant(&mut self, max_bytes: usize, now: Instant) -> Vec<Weak<Shared>> {
        let mut granted = Vec::new();
        while let Some(number) = self.next(now) {
            let Some(waiting) = self.waiting.get(&number) else { break };
            let bytes = waiting.ticket.bytes;
            if self.taken_bytes + bytes > max_bytes {
                // The memory that it waits for is not given to others, or it might never be free.
                break;
            }
            let Some(Waiting { ticket, connection, .. }) = self.waiting.remove(&number) else { break };
            self.by_size.remove(&(bytes, number));
            self.taken_bytes += bytes;
            ticket.is_granted.store(true, Ordering::Release);
            granted.push(Weak::clone(&connection));
            let arriving = Arriving { ticket, connection, measured_from: now, received_then: 0 };
            self.arriving.insert(number, arriving);
        }
        granted
    }

    /// Whose turn it is.
    fn next(&self, now: Instant) -> Option<u64> {
        let (oldest, waiting) = self.waiting.first_key_value()?;
        if now >= waiting.since + PATIENCE {
            return Some(*oldest);
        }
        self.by_size.first().map(|(_, number)| *number)
    }
}

fn wake(granted: Vec<Weak<Shared>>) {
    for connection in granted {
        if let Some(connection) = connection.upgrade() {
            connection.task.wake();
        }
    }
}

impl FrameClaim {
    /// Whether the frame may be read.
    pub fn is_granted(&self) -> bool {
        self.ticket.is_granted.load(Ordering::Acquire)
    }

    /// The frame's size.
    pub fn bytes(&self) -> usize {
        self.ticket.bytes
    }

    /// So much of it has come.
    pub fn received(&self, bytes: usize) {
        self.ticket.received.store(bytes, Ordering::Relaxed);
    }

    /// All of it has come: what happens with it from now on is not the peer's doing.
    pub fn is_whole(&self) {
        self.memory.lock().arriving.remove(&self.number);
    }
}

impl Drop for FrameClaim {
    fn drop(&mut self) {
        let mut state = self.memory.lock();
        if self.ticket.is_granted.load(Ordering::Acquire) {
            state.arriving.remove(&self.number);
            state.taken_bytes -= self.ticket.bytes;
        } else {
            state.waiting.remove(&self.number);
            state.by_size.remove(&(self.ticket.bytes, self.number));
        }
        // Also when one has gone that the others held back for.
        let granted = state.grant(self.memory.max_bytes, Instant::now());
        drop(state);
        wake(granted);
    }
}

/// How much is queued for the peers of a server.
///
/// Each connection tells of what it has queued, when that has changed by much. Above the limit every connection that has had
/// more than its high-water mark in its queue for longer than [`Backlog::PATIENCE`] closes itself.
#[derive(Debug)]
pub(crate) struct Backlog {
    queued_bytes: AtomicUsize,
    max_bytes: usize,
}

impl Backlog {
    /// How long a full queue is no reason to close a connection.
    pub const PATIENCE: Duration = Duration::from_secs(1);

    pub const fn new(max_bytes: usize) -> Self {
        Self { queued_bytes: AtomicUsize::new(0), max_bytes }
    }

    /// Whether too much is queued.
    pub fn is_over(&self) -> bool {
        self.queued_bytes.load(Ordering::Relaxed) > self.max_bytes
    }
}

/// How much of a [`Backlog`] is one queue's.
#[derive(Debug, Default)]
pub(crate) struct Share {
    backlog: Option<Arc<Backlog>>,
    told_bytes: usize,
}

/// A change of less is not worth telling.
const SHARE_STEP_BYTES: usize = 64 * 1024;

impl Share {
    pub fn of(backlog: Arc<Backlog>) -> Self {
        Self { backlog: Some(backlog), told_bytes: 0 }
    }

    /// The queue has so much now.
    pub fn tell(&mut self, bytes: usize) {
        if bytes.abs_diff(self.told_bytes) >= SHARE_STEP_BYTES {
            self.set(bytes);
        }
    }

    fn set(&mut self, bytes: usize) {
        let Some(backlog) = &self.backlog else { return };
        if bytes > self.told_bytes {
            backlog.queued_bytes.fetch_add(bytes - self.told_bytes, Ordering::Relaxed);
        } else {
            backlog.queued_bytes.fetch_sub(self.told_bytes - bytes, Ordering::Relaxed);
        }
        self.told_bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

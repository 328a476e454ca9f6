//! One connection as the rest of the program holds it.
//!
//! A [`Channel`] is a handle that may be cloned and kept; the connection's task owns the socket. What is sent is encoded
//! at once into the connection's queue and written by its task with all else that is queued.
//!
//! Bounds: above the *high-water mark* a server reads no further requests from that peer, and [`Channel::invoke`] waits
//! for room; above the *maximum* the peer is taken for one that does not read, and the channel is closed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use protocol::{FrameError, RemotingCommand};
use sim::time::Instant;
use tokio::sync::{Notify, oneshot};

use crate::error::{CloseReason, RemotingError};
use crate::memory::{Backlog, FrameMemory};
use crate::outgoing::Outgoing;

/// Names a channel within the process: ids of one server or client are never used twice, and those of two servers of one
/// process differ by their port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u64);

impl ChannelId {
    /// The `count`th channel of a server or client; `port` is the server's port, 0 for a client.
    pub(crate) const fn new(port: u16, count: u64) -> Self {
        Self((port as u64) << 48 | (count & ((1 << 48) - 1)))
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// How much a connection may hold, and how long. See the module's head.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Silence in both directions after which the connection is closed.
    pub idle: Duration,
    /// The high-water mark of queued bytes.
    pub queued_bytes_high: usize,
    /// The maximum of queued bytes.
    pub queued_bytes_max: usize,
    /// Requests in the handler at a time; above that no more are read. `None` for clients: they always read, or two full
    /// ends could wait for one another.
    pub in_flight_max: Option<usize>,
    /// How long the frames of those may be together; above that no more are read either.
    pub in_flight_bytes_max: usize,
    /// The memory that a server's connections share for large frames.
    pub memory: Option<Arc<FrameMemory>>,
    /// What is queued on all connections of a server.
    pub backlog: Option<Arc<Backlog>>,
    /// Whether a time-out closes a connection from which nothing came since the request.
    pub close_when_silent: bool,
}

/// How a connection shall end.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub reason: CloseReason,
    /// Answer the requests that are being handled first.
    pub wait_for_handlers: bool,
    /// Give up waiting then.
    pub deadline: Instant,
}

/// A request that waits for its response.
struct Pending {
    response: oneshot::Sender<Outcome>,
    asked_at: Instant,
    deadline: Instant,
}

pub(crate) type Outcome = Result<RemotingCommand, Failure>;
type Answer = oneshot::Receiver<Outcome>;
/// A request that waits, and its response.
pub(crate) type Answering = (oneshot::Sender<Outcome>, RemotingCommand);

/// Why a pending request fails.
#[derive(Debug)]
pub(crate) enum Failure {
    Timeout,
    Closed(CloseReason),
}

/// What the handles and the connection's task share.
pub(crate) struct Shared {
    id: ChannelId,
    local_addr: SocketAddr,
    remote_addr: SocketAddr,
    /// The peer as errors name it.
    peer: String,
    pub(crate) limits: Limits,
    made_at: Instant,
    /// When the last frame came: seconds since `made_at` and one more; 0 is never.
    heard_s: AtomicU32,
    /// Wakes the connection's task.
    pub(crate) task: AtomicWaker,
    /// Responses that did not come by the connection's task.
    pub(crate) answered_elsewhere: AtomicU64,
    room: Notify,
    state: Mutex<State>,
}

struct State {
    outgoing: Outgoing,
    pending: BTreeMap<i32, Pending>,
    opaque_next: i32,
    /// No pending request times out before; `None` if none is pending. Need not be exact.
    timeout_earliest: Option<Instant>,
    ending: Option<Ending>,
    closed: Option<CloseReason>,
}

/// What the connection's task has to know after a look at the shared state.
pub(crate) struct Orders {
    /// Not all that is queued could be taken.
    pub more: bool,
    pub timeout_earliest: Option<Instant>,
    pub ending: Option<Ending>,
}

/// Why a request cannot be queued.
enum Refusal {
    /// Wait for room.
    Full,
    /// The channel has ended.
    Closed(CloseReason),
    /// The request is no possible frame.
    Frame(FrameError),
}

impl Shared {
    pub(crate) fn new(
        id: ChannelId,
        local_addr: SocketAddr,
        remote_addr: SocketAddr,
        peer: String,
        limits: Limits,
    ) -> Self {
        let state = State {
            outgoing: Outgoing::new(limits.backlog.clone()),
            pending: BTreeMap::new(),
            opaque_next: 0,
            timeout_earliest: None,
            ending: None,
            closed: None,
        };
        Self {
            id,
            local_addr,
            remote_addr,
            peer,
            limits,
            made_at: Instant::now(),
            heard_s: AtomicU32::new(0),
            task: AtomicWaker::new(),
            answered_elsewhere: AtomicU64::new(0),
            room: Notify::new(),
            state: Mutex::new(state),
        }
    }

    /// A frame has come.
    pub(crate) fn heard(&self, at: Instant) {
        let seconds = at.saturating_duration_since(self.made_at).as_secs().saturating_add(1);
        self.heard_s.store(u32::try_from(seconds).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Whether a frame has ever come, and for how long none has.
    pub(crate) fn silence(&self) -> (bool, Duration) {
        let heard_s = self.heard_s.load(Ordering::Relaxed);
        (heard_s > 0, self.made_at.elapsed().saturating_sub(Duration::from_secs(heard_s.into())))
    }

    /// An empty queue whose bytes are counted with those of all connections.
    pub(crate) fn new_queue(&self) -> Outgoing {
        Outgoing::new(self.limits.backlog.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic half-way runs under this lock, so a poisoned state is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves what others have queued behind `outgoing`, unless that is long enough already.
    pub(crate) fn collect(&self, outgoing: &mut Outgoing) -> Orders {
        let mut state = self.lock();
        let was_full = state.outgoing.bytes() > self.limits.queued_bytes_high;
        if outgoing.bytes() < self.limits.queued_bytes_high {
            outgoing.take_from(&mut state.outgoing);
        }
        let has_room = state.outgoing.bytes() <= self.limits.queued_bytes_high;
        let more = state.outgoing.bytes() > 0;
        let orders = Orders { more, timeout_earliest: state.timeout_earliest, ending: state.ending.clone() };
        drop(state);
        if was_full && has_room {
            self.room.notify_waiters();
        }
        orders
    }

    /// Gives responses to the requests that wait for them; `waiting` is room for those, and empty.
    ///
    /// All at once: each that is told one by one would wake another thread, which would sleep again before the next.
    pub(crate) fn complete(&self, responses: &mut Vec<RemotingCommand>, waiting: &mut Vec<Answering>) {
        let mut state = self.lock();
        for response in responses.drain(..) {
            match state.pending.remove(&response.opaque) {
                Some(pending) => waiting.push((pending.response, response)),
                None => tracing::debug!(
                    peer = %self.peer, code = response.code, opaque = response.opaque, "response without a waiting request"
                ),
            }
        }
        drop(state);
        for (pending, response) in waiting.drain(..) {
            // An error means that nobody waits any more: the caller gave up, which is its right.
            drop(pending.send(Ok(response)));
        }
    }

    /// Fails the requests whose time is over. Says whether one of them heard nothing at all from the peer.
    pub(crate) fn expire(&self, now: Instant, received_at: Instant) -> bool {
        let mut state = self.lock();
        let mut earliest = None;
        let mut expired = Vec::new();
        for (&opaque, pending) in &state.pending {
            if pending.deadline <= now {
                expired.push(opaque);
            } else if earliest.is_none_or(|earliest| pending.deadline < earliest) {
                earliest = Some(pending.deadline);
            }
        }
        let expired: Vec<_> = expired.iter().filter_map(|opaque| state.pending.remove(opaque)).collect();
        state.timeout_earliest = earliest;
        drop(state);
        let mut silent = false;
        for pending in expired {
            silent |= pending.asked_at >= received_at;
            // An error means that nobody waits any more.
            drop(pending.response.send(Err(Failure::Timeout)));
        }
        silent
    }

    /// The connection has ended: nothing is sent or awaited any more.
    pub(crate) fn ended(&self, reason: &CloseReason) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        state.closed = Some(reason.clone());
        state.outgoing = Outgoing::default();
        let pending = std::mem::take(&mut state.pending);
        drop(state);
        for pending in pending.into_values() {
            // An error means that nobody waits any more.
            drop(pending.response.send(Err(Failure::Closed(reason.clone()))));
        }
        self.room.notify_waiters();
    }

    /// Ends the connection as `ending` says, unless it is ending already.
    pub(crate) fn end(&self, ending: Ending) {
        let mut state = self.lock();
        if state.closed.is_none() && state.ending.as_ref().is_none_or(|old| old.wait_for_handlers) {
            state.ending = Some(ending);
            drop(state);
            self.task.wake();
        }
    }

    /// The peer will send nothing more, but may still read: it is answered what it has asked, and then the connection ends. What
    /// it was asked it will not answer.
    pub(crate) fn finished_by_peer(&self, deadline: Instant) {
        self.end(Ending { reason: CloseReason::Peer, wait_for_handlers: true, deadline });
        let pending = std::mem::take(&mut self.lock().pending);
        for pending in pending.into_values() {
            // An error means that nobody waits any more.
            drop(pending.response.send(Err(Failure::Closed(CloseReason::Peer))));
        }
    }

    /// Queues a command for which nobody waits.
    fn queue(&self, command: RemotingCommand) -> Result<(), RemotingError> {
        let code = command.code;
        let mut state = self.lock();
        if let Some(reason) = state.gone() {
            drop(state);
            return Err(self.not_sent(code, reason));
        }
        let pushed = state.outgoing.push(command);
        let bytes_queued = state.outgoing.bytes();
        drop(state);
        pushed.map_err(|error| self.not_sent(code, error))?;
        if bytes_queued > self.limits.queued_bytes_max {
            let reason = CloseReason::Backlog { bytes_queued };
            self.end(Ending { reason: reason.clone(), wait_for_handlers: false, deadline: Instant::now() });
            return Err(self.not_sent(code, reason));
        }
        self.task.wake();
        Ok(())
    }

    /// Queues a request if there is room; takes it only then.
    fn ask(
        &self,
        request: &mut Option<RemotingCommand>,
        asked_at: Instant,
        deadline: Instant,
    ) -> Result<Answer, Refusal> {
        let mut state = self.lock();
        if let Some(reason) = state.gone().or_else(|| state.finished_by_peer()) {
            return Err(Refusal::Closed(reason));
        }
        if state.outgoing.bytes() > self.limits.queued_bytes_high {
            return Err(Refusal::Full);
        }
        let mut command = request.take().expect("a request is taken only when it is queued, which ends the loop");
        let opaque = state.next_opaque();
        command.opaque = opaque;
        state.outgoing.push(command).map_err(Refusal::Frame)?;
        let (sender, receiver) = oneshot::channel();
        state.pending.insert(opaque, Pending { response: sender, asked_at, deadline });
        if state.timeout_earliest.is_none_or(|earliest| deadline < earliest) {
            state.timeout_earliest = Some(deadline);
        }
        drop(state);
        self.task.wake();
        Ok(receiver)
    }

    fn not_sent(&self, code: i32, reason: impl ToString) -> RemotingError {
        RemotingError::SendRequest { addr: self.peer.clone(), code, reason: reason.to_string() }
    }

    fn failed(&self, code: i32, timeout: Duration, failure: Failure) -> RemotingError {
        let addr = self.peer.clone();
        match failure {
            Failure::Timeout => RemotingError::Timeout { addr, code, timeout },
            Failure::Closed(CloseReason::Decode(reason)) => RemotingError::Decode { addr, code, reason },
            Failure::Closed(reason) => RemotingError::Closed { addr, code, reason },
        }
    }
}

impl State {
    /// Why nothing can be queued any more, if so.
    fn gone(&self) -> Option<CloseReason> {
        self.closed.clone().or_else(|| {
            self.ending.as_ref().filter(|ending| !ending.wait_for_handlers).map(|ending| ending.reason.clone())
        })
    }

    /// Why nothing comes any more, if the peer has said so.
    fn finished_by_peer(&self) -> Option<CloseReason> {
        self.ending.as_ref().map(|ending| &ending.reason).filter(|reason| **reason == CloseReason::Peer).cloned()
    }

    /// A number that no pending request has.
    fn next_opaque(&mut self) -> i32 {
        loop {
            let opaque = self.opaque_next;
            self.opaque_next = opaque.wrapping_add(1) & i32::MAX;
            if !self.pending.contains_key(&opaque) {
                return opaque;
            }
        }
    }
}

/// A handle on one connection. Clones are the same channel.
#[derive(Clone)]
pub struct Channel {
    pub(crate) shared: Arc<Shared>,
}

impl Channel {
    /// The channel's id.
    #[must_use]
    pub fn id(&self) -> ChannelId {
        self.shared.id
    }

    /// The peer's address.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.shared.remote_addr
    }

    /// The address of this end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr
    }

    /// Whether something can be sent. The connection may break at any time all the same.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared.lock().gone().is_none()
    }

    /// Whether the peer will send nothing more. It may still read.
    #[must_use]
    pub fn peer_has_finished(&self) -> bool {
        self.shared.lock().finished_by_peer().is_some()
    }

    /// Whether less than the high-water mark is queued: who pushes what could as well be left out asks this first.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let state = self.shared.lock();
        state.gone().is_none() && state.outgoing.bytes() <= self.shared.limits.queued_bytes_high
    }

    /// Queues a response, made with [`RemotingCommand::in_reply_to`].
    ///
    /// # Errors
    /// [`RemotingError::SendRequest`] when the channel has ended, or ends because the peer does not read.
    pub fn send(&self, response: RemotingCommand) -> Result<(), RemotingError> {
        self.shared.answered_elsewhere.fetch_add(1, Ordering::Relaxed);
        self.shared.queue(response)
    }

    /// Queues a request that wants no response.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub fn invoke_oneway(&self, mut request: RemotingCommand) -> Result<(), RemotingError> {
        request.mark_oneway();
        request.opaque = self.shared.lock().next_opaque();
        self.shared.queue(request)
    }

    /// Sends a request to the peer and waits for the response. Dropping the future does not take the request back.
    ///
    /// # Errors
    /// [`RemotingError::SendRequest`] when it was not sent: the channel has ended, or had no room until the time-out;
    /// else [`RemotingError::Timeout`], [`RemotingError::Closed`] or [`RemotingError::Decode`].
    pub async fn invoke(&self, request: RemotingCommand, timeout: Duration) -> Result<RemotingCommand, RemotingError> {
        let shared = &*self.shared;
        let code = request.code;
        let asked_at = Instant::now();
        let deadline = asked_at + timeout;
        let mut request = Some(request);
        let response = match shared.ask(&mut request, asked_at, deadline) {
            Ok(response) => response,
            Err(Refusal::Closed(reason)) => return Err(shared.not_sent(code, reason)),
            Err(Refusal::Frame(error)) => return Err(shared.not_sent(code, error)),
            Err(Refusal::Full) => {
                let asked = sim::time::timeout(timeout, shared.ask_when_room(&mut request, asked_at, deadline)).await;
                asked.unwrap_or_else(|_| Err(shared.not_sent(code, "too much is queued for this peer already")))?
            }
        };
        let outcome = response.await.unwrap_or(Err(Failure::Closed(CloseReason::TaskEnded)));
        outcome.map_err(|failure| shared.failed(code, timeout, failure))
    }

    /// Closes the channel once what is queued has been written (for at most a second). Requests that wait fail.
    pub fn close(&self) {
        let deadline = Instant::now() + CLOSE_LINGER;
        self.shared.end(Ending { reason: CloseReason::Local, wait_for_handlers: false, deadline });
    }

    /// Reads no more requests, answers those that are being handled, and closes: by `deadline` at the latest.
    pub(crate) fn drain(&self, deadline: Instant) {
        self.shared.end(Ending { reason: CloseReason::Local, wait_for_handlers: true, deadline });
    }
}

/// How long a close waits for the peer to take what is queued for it.
const CLOSE_LINGER: Duration = Duration::from_secs(1);

impl Shared {
    /// As [`Shared::ask`], waiting for room.
    async fn ask_when_room(
        &self,
        request: &mut Option<RemotingCommand>,
        asked_at: Instant,
        deadline: Instant,
    ) -> Result<Answer, RemotingError> {
        let code = request.as_ref().map_or(0, |request| request.code);
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Listen before looking, or room that comes in between would be missed.
            room.as_mut().enable();
            match self.ask(request, asked_at, deadline) {
                Ok(response) => return Ok(response),
                Err(Refusal::Closed(reason)) => return Err(self.not_sent(code, reason)),
                Err(Refusal::Frame(error)) => return Err(self.not_sent(code, error)),
                Err(Refusal::Full) => room.await,
            }
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("id", &self.id()).field("peer", &self.shared.peer).finish_non_exhaustive()
    }
}

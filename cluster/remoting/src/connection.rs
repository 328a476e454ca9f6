//! The task of one connection, the same at both ends: reads frames, runs handlers, writes what is queued, keeps time.
//!
//! One task does all of it, so a request that is answered at once costs one wake-up and no lock beyond a look at the
//! queue. Handlers that wait are kept beside and polled when they are woken. One timer serves all that can expire: it is
//! set to the earliest of the pending requests' deadlines, the idle limit and the end of a close, and when it fires, what
//! is due is looked up.
//!
//! What a connection holds is bounded: a server reads nothing more while a peer has much in its handlers or does not take
//! its answers, and a large frame is read when there is memory for it (see [`crate::memory`]), straight into that. The body of a
//! request that is refused for its length is passed over as it comes.
//!
//! So is what it does in one turn: some frames, some bytes that come, go, or are answered. Then all others have their turn, also
//! those whose requests are still in their sockets. Whoever asks once waits for one turn of each who asks without an end.
//!
//! A peer may send a FIN behind its last request and still read its answers (`shutdown(SHUT_WR)`). Its end looks the same as that
//! of one who is gone, until something is written to it. So a server answers what it has read, and ends the connection then.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use futures_util::stream::{FuturesUnordered, Stream};
use protocol::{FrameError, RemotingCommand, SerializeType, command, frame};
use sim::net::TcpStream;
use sim::time::{Instant, Sleep};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::channel::{Answering, Channel, Ending, Orders};
use crate::error::CloseReason;
use crate::handler::{Reply, ReplyFuture, RequestHandler, system_error};
use crate::large_frame::{LargeFrame, MAPPED_ABOVE_BYTES};
use crate::memory::{Backlog, FrameClaim, LOOK_INTERVAL, SMALL_FRAME_BYTES, TooSlow};
use crate::outgoing::Outgoing;

/// Room that is made for a read when little is left, of a connection on which much comes…
const READ_BYTES: usize = 16 * 1024;
/// …and of one on which little has come so far: most have a heartbeat now and then.
const FIRST_READ_BYTES: usize = 1024;
/// Less room than this part of it is not worth a read.
const READ_PART_MIN: usize = 8;
/// The most that is read of a large frame, written, or answered in one turn, about: others have theirs meanwhile.
const TURN_BYTES: usize = 64 * 1024;
/// So many frames are taken before what they led to is written. More would leave the other end idle until this end has dealt
/// with all of them; less would cost a write each.
const FRAMES_AT_A_TIME: usize = 16;
/// Between two pieces of a request that was refused: some seconds for the longest.
const PASS_OVER_PAUSE: Duration = Duration::from_millis(20);
/// How long a peer that sends nothing more is waited for that does not take its answers, or whose requests are not answered.
const FINISHED_GRACE: Duration = Duration::from_secs(30);
/// The most that a short read gives: not even a frame's lengths.
const SHORT_READ_BYTES: usize = 7;

/// What a response must repeat of its request.
#[derive(Clone, Copy)]
struct Asked {
    opaque: i32,
    serialize_type: SerializeType,
    oneway: bool,
}

impl Asked {
    fn of(request: &RemotingCommand) -> Self {
        Self { opaque: request.opaque, serialize_type: request.serialize_type, oneway: request.is_oneway() }
    }
}

/// What came of a look at what the peer has sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Nothing: the task is woken when more comes.
    Nothing,
    /// A little, perhaps not even a frame; there may be more.
    Some,
    /// A piece of a large frame.
    Piece,
    /// So much that others are to go on with it before this task takes more, and goes behind them: the store and the slave that
    /// is sent what has come, or those who were answered and ask again, whose requests then leave by one write.
    Much,
}

/// What came of writing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrote {
    Nothing,
    Some,
    /// As much as is written in one turn; the socket would take more.
    Much,
}

/// A handler that has not answered yet.
struct InFlight {
    asked: Asked,
    reply: ReplyFuture,
    /// How long its frame was.
    bytes: usize,
    /// The memory of a large one, which is in the handler's hands.
    _claim: Option<FrameClaim>,
}

/// An answer of a handler, and how long the request's frame was.
struct Answered {
    asked: Asked,
    response: Option<RemotingCommand>,
    bytes: usize,
}

impl Future for InFlight {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { asked, bytes, .. } = *self;
        self.reply.as_mut().poll(context).map(|response| Answered { asked, response, bytes })
    }
}

/// One connection, to be [run](Connection::run) by a task of its own.
pub(crate) struct Connection<H: RequestHandler + ?Sized> {
    stream: TcpStream,
    channel: Channel,
    _end_on_drop: EndOnDrop,
    handler: Arc<H>,
    incoming: BytesMut,
    /// How much room is made for a read.
    read_bytes: usize,
    /// There may be whole frames in `incoming`.
    undecoded: bool,
    /// The claim to memory of the large frame that has begun to come…
    claim: Option<FrameClaim>,
    /// …and that frame, if it is long enough to be read into a map of its own.
    large: Option<LargeFrame>,
    /// What is still to come of a request that was refused…
    passed_over_bytes: usize,
    /// …and when the next piece of it is read.
    pass_over_pause: Option<Pin<Box<Sleep>>>,
    outgoing: Outgoing,
    /// Since when more is queued than the high-water mark.
    full_since: Option<Instant>,
    in_flight: FuturesUnordered<InFlight>,
    /// How long the frames of those are.
    in_flight_bytes: usize,
    /// Requests that somebody else answers or has answered.
    elsewhere: u64,
    /// Responses that came with the last read, on their way to those who wait.
    responses: Vec<RemotingCommand>,
    answering: Vec<Answering>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to; `None` when it has fired.
    timer_at: Option<Instant>,
    /// The last time that bytes came.
    received_at: Instant,
    /// The last time that bytes came or went.
    active_at: Instant,
    /// The last time that it was looked whether somebody holds up others.
    looked_at: Instant,
}

impl<H: RequestHandler + ?Sized> Connection<H> {
    pub fn new(stream: TcpStream, channel: Channel, handler: Arc<H>) -> Self {
        let now = Instant::now();
        let timer_at = now + channel.shared.limits.idle;
        Self {
            stream,
            _end_on_drop: EndOnDrop(channel.clone()),
            outgoing: channel.shared.new_queue(),
            channel,
            handler,
            incoming: BytesMut::new(),
            read_bytes: FIRST_READ_BYTES,
            undecoded: false,
            claim: None,
            large: None,
            passed_over_bytes: 0,
            pass_over_pause: None,
            full_since: None,
            in_flight: FuturesUnordered::new(),
            in_flight_bytes: 0,
            elsewhere: 0,
            responses: Vec::new(),
            answering: Vec::new(),
            timer: Box::pin(sim::time::sleep_until(timer_at)),
            timer_at: Some(timer_at),
            received_at: now,
            active_at: now,
            looked_at: now,
        }
    }

    /// Runs the connection to its end, tells the handler, and lets the requests that are still being handled finish.
    pub async fn run(mut self) {
        let reason = poll_fn(|context| self.poll_until_end(context)).await;
        self.channel.shared.ended(&reason);
        let (channel, peer) = (self.channel.id(), self.channel.remote_addr());
        match &reason {
            CloseReason::Decode(_) | CloseReason::Backlog { .. } | CloseReason::SlowFrame { .. } => {
                tracing::warn!(%channel, %peer, %reason, "closing a channel");
            }
            _ => tracing::debug!(%channel, %peer, %reason, "channel closed"),
        }
        if reason == CloseReason::Local {
            // FIN rather than RST. It is queued at once or the connection is broken, which is as well.
            poll_fn(|context| {
                let _ = Pin::new(&mut self.stream).poll_shutdown(context);
                Poll::Ready(())
            })
            .await;
        }
        self.handler.on_close(&self.channel);
        let Self { stream, incoming, claim, large, outgoing, mut in_flight, .. } = self;
        drop((stream, incoming, claim, large, outgoing));
        // A store that is half-way through a put must not be stopped there because the producer hung up.
        while poll_fn(|context| Pin::new(&mut in_flight).poll_next(context)).await.is_some() {}
    }

    fn poll_until_end(&mut self, context: &mut Context<'_>) -> Poll<CloseReason> {
        // Before the first look at what others have queued, or a wake-up could be lost.
        self.channel.shared.task.register(context.waker());
        loop {
            let orders = self.channel.shared.collect(&mut self.outgoing);
            self.poll_handlers(context);
            let may_read = orders.ending.is_none()
                && match &self.claim {
                    // What has been begun with memory of its own is brought to its end, whatever else this peer waits for.
                    Some(claim) => claim.is_granted(),
                    None => self.may_read(),
                };
            let progress = self.poll_write(context).and_then(|wrote| {
                let taken = if may_read { self.poll_take(context)? } else { Taken::Nothing };
                if taken == Taken::Much {
                    self.poll_write(context)?;
                }
                Ok((wrote, taken))
            });
            match progress {
                Err(reason) => return Poll::Ready(reason),
                Ok((Wrote::Much, _) | (_, Taken::Much | Taken::Piece)) => {
                    // Also of a peer that leaves no pause the time-outs are kept.
                    if let Poll::Ready(Some(reason)) = self.poll_timer(context, &orders) {
                        return Poll::Ready(reason);
                    }
                    // Until it has been looked at the sockets, which waking this task at once would put off.
                    let _ = pin!(sim::task::yield_now()).poll(context);
                    return Poll::Pending;
                }
                Ok((_, Taken::Some)) => continue,
                // What was written made room for what was held back.
                Ok((Wrote::Some, Taken::Nothing)) if orders.more || !may_read => continue,
                Ok((_, Taken::Nothing)) => {}
            }
            if let Some(ending) = &orders.ending {
                let handled = !ending.wait_for_handlers || self.is_all_answered(ending);
                if handled && self.outgoing.bytes() == 0 {
                    return Poll::Ready(ending.reason.clone());
                }
            }
            match self.poll_timer(context, &orders) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(reason)) => return Poll::Ready(reason),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether nothing more is answered. A peer that has finished is waited for by whoever holds its requests, too.
    fn is_all_answered(&self, ending: &Ending) -> bool {
        let answered_elsewhere = || self.channel.shared.answered_elsewhere.load(Ordering::Relaxed);
        self.in_flight.is_empty() && (ending.reason != CloseReason::Peer || answered_elsewhere() >= self.elsewhere)
    }

    /// Whether the peer may send more requests now. Responses wait with them; their time-outs go on.
    fn may_read(&self) -> bool {
        let limits = &self.channel.shared.limits;
        limits.in_flight_max.is_none_or(|max| {
            self.in_flight.len() < max
                && self.in_flight_bytes < limits.in_flight_bytes_max
                && self.outgoing.bytes() < limits.queued_bytes_high
        })
    }

    /// Takes frames that have come, and reads once if there are none.
    fn poll_take(&mut self, context: &mut Context<'_>) -> Result<Taken, CloseReason> {
        if self.passed_over_bytes > 0 {
            return self.poll_pass_over(context);
        }
        let bytes = if self.undecoded { 0 } else { self.poll_read(context)? };
        if bytes == 0 && !self.undecoded {
            return Ok(Taken::Nothing);
        }
        let mut taken = Ok(());
        let mut frames = 0;
        self.undecoded = true;
        let answered_bytes_max = self.outgoing.bytes() + TURN_BYTES;
        while frames < FRAMES_AT_A_TIME && self.outgoing.bytes() < answered_bytes_max {
            match self.next_frame() {
                Ok(Some((command, frame_bytes))) => {
                    let claim = self.claim.take().inspect(FrameClaim::is_whole);
                    if claim.is_some() {
                        // All of that memory is the frame's: it goes when its request has been handled.
                        self.incoming = BytesMut::new();
                    }
                    self.take(command, frame_bytes, claim, context);
                    frames += 1;
                }
                Ok(None) => {
                    self.undecoded = false;
                    taken = self.claim_memory().map_err(|error| CloseReason::Decode(error.to_string()));
                    break;
                }
                Err(error) => {
                    self.undecoded = false;
                    taken = Err(CloseReason::Decode(error.to_string()));
                    break;
                }
            }
            if !self.may_read() {
                break;
            }
        }
        if frames > 0 {
            self.channel.shared.heard(self.received_at);
        }
        let answered = self.complete();
        taken?;
        if self.large.is_some() {
            return Ok(Taken::Piece);
        }
        let is_much = self.undecoded || answered > 1 || bytes >= READ_BYTES / 2;
        Ok(if is_much { Taken::Much } else { Taken::Some })
    }

    /// The next frame that has come whole, and its length.
    fn next_frame(&mut self) -> Result<Option<(RemotingCommand, usize)>, FrameError> {
        let Some(large) = self.large.take() else {
            let before = self.incoming.len();
            let command = frame::decode(&mut self.incoming)?;
            return Ok(command.map(|command| (command, before - self.incoming.len())));
        };
        match large.into_whole() {
            Ok(whole) => {
                let frame_bytes = whole.len();
                frame::decode_whole(whole).map(|command| Some((command, frame_bytes)))
            }
            Err(large) => {
                // Its beginning may tell that it is no frame.
                frame::frame_len(large.received())?;
                self.large = Some(large);
                Ok(None)
            }
        }
    }

    /// A frame has begun to come: if it is a large one, its memory is asked for, and taken when it is there; unless its head tells
    /// already that it is refused.
    fn claim_memory(&mut self) -> Result<(), FrameError> {
        let Some(frame_bytes) = frame::frame_len(&self.incoming)?.filter(|bytes| *bytes > SMALL_FRAME_BYTES) else {
            return Ok(());
        };
        let Some(memory) = self.channel.shared.limits.memory.clone().filter(|_| self.claim.is_none()) else {
            return Ok(());
        };
        match frame::peek_head(&self.incoming)? {
            Some((head, body_bytes)) if !head.is_response() => {
                if let Some(response) = self.handler.refuse(&head, body_bytes) {
                    self.channel.shared.heard(self.received_at);
                    self.answer(Asked::of(&head), Some(response));
                    self.passed_over_bytes = frame_bytes - self.incoming.len();
                    self.incoming.clear();
                    return Ok(());
                }
            }
            // A head that takes no more than what is read at a time is waited for.
            None if self.incoming.len() < SMALL_FRAME_BYTES => return Ok(()),
            _ => {}
        }
        self.claim = Some(memory.claim(frame_bytes, &self.channel.shared));
        Ok(())
    }

    /// Reads once of the body of a request that was refused; not often, for nobody waits for it.
    fn poll_pass_over(&mut self, context: &mut Context<'_>) -> Result<Taken, CloseReason> {
        if let Some(pause) = &mut self.pass_over_pause
            && pause.as_mut().poll(context).is_pending()
        {
            return Ok(Taken::Nothing);
        }
        self.pass_over_pause = None;
        let most = self.passed_over_bytes.min(TURN_BYTES);
        self.incoming.reserve(most);
        let mut room = (&mut self.incoming).limit(most);
        let read = pin!(self.stream.read_buf(&mut room));
        let read = read.poll(context);
        let bytes = self.has_read(read, 0)?;
        self.passed_over_bytes -= bytes;
        if self.passed_over_bytes == 0 {
            self.incoming = BytesMut::new();
        } else if bytes > 0 {
            self.incoming.clear();
            self.pass_over_pause = Some(Box::pin(sim::time::sleep(PASS_OVER_PAUSE)));
        }
        Ok(if bytes == 0 { Taken::Nothing } else { Taken::Piece })
    }

    /// Reads once. Says how many bytes came, 0 for none yet.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Result<usize, CloseReason> {
        let short = if sim::fault_point!("remoting.read.short", 0.05) { SHORT_READ_BYTES } else { usize::MAX };
        if self.large.is_none()
            && let Some(claim) = &self.claim
            && claim.bytes() > MAPPED_ABOVE_BYTES
        {
            let begun = std::mem::take(&mut self.incoming);
            let large = LargeFrame::new(claim.bytes(), &begun);
            self.large = Some(large.map_err(|error| CloseReason::Io(format!("no memory for a large frame: {error}")))?);
        }
        if let Some(large) = &mut self.large {
            let read = large.poll_read(Pin::new(&mut self.stream), short.min(TURN_BYTES), context);
            let received = large.received().len();
            return self.has_read(read, received);
        }
        let most = match &self.claim {
            None => {
                if self.incoming.capacity() - self.incoming.len() < self.read_bytes / READ_PART_MIN {
                    self.incoming.reserve(self.read_bytes.max(self.incoming.len()));
                }
                usize::MAX
            }
            Some(claim) => {
                if self.incoming.capacity() < claim.bytes() {
                    let mut whole = BytesMut::with_capacity(claim.bytes());
                    whole.extend_from_slice(&self.incoming);
                    self.incoming = whole;
                }
                (claim.bytes() - self.incoming.len()).min(TURN_BYTES)
            }
        };
        let most = most.min(short);
        let room_bytes = (self.incoming.capacity() - self.incoming.len()).min(most);
        let mut room = (&mut self.incoming).limit(most);
        let read = pin!(self.stream.read_buf(&mut room));
        let read = read.poll(context);
        if self.claim.is_none() && matches!(read, Poll::Ready(Ok(bytes)) if bytes == room_bytes) {
            // More is coming than there was room for.
            self.read_bytes = READ_BYTES;
        }
        self.has_read(read, self.incoming.len())
    }

    /// What came of a read; so much of the frame has come with it.
    fn has_read(&mut self, read: Poll<io::Result<usize>>, received: usize) -> Result<usize, CloseReason> {
        match read {
            Poll::Pending => Ok(0),
            Poll::Ready(Ok(0)) => self.peer_has_finished().map(|()| 0),
            Poll::Ready(Err(error)) => Err(CloseReason::Io(error.to_string())),
            Poll::Ready(Ok(bytes)) => {
                self.received_at = Instant::now();
                self.active_at = self.received_at;
                if let Some(claim) = &self.claim {
                    claim.received(received);
                }
                Ok(bytes)
            }
        }
    }

    /// The peer sends nothing more. A server is done with it when it has its answers, a client at once.
    fn peer_has_finished(&mut self) -> Result<(), CloseReason> {
        if self.channel.shared.limits.in_flight_max.is_none() {
            return Err(CloseReason::Peer);
        }
        // What has come of one more request is of no use.
        (self.incoming, self.claim, self.large, self.passed_over_bytes) = (BytesMut::new(), None, None, 0);
        self.channel.shared.finished_by_peer(Instant::now() + FINISHED_GRACE);
        self.handler.on_peer_finished(&self.channel);
        Ok(())
    }

    /// Tells all whose responses have come; how many.
    fn complete(&mut self) -> usize {
        let count = self.responses.len();
        if count > 0 {
            self.channel.shared.complete(&mut self.responses, &mut self.answering);
        }
        count
    }

    /// A frame of `bytes` bytes has come.
    fn take(&mut self, command: RemotingCommand, bytes: usize, claim: Option<FrameClaim>, context: &mut Context<'_>) {
        if command.is_response() {
            return self.responses.push(command);
        }
        let asked = Asked::of(&command);
        match self.handler.handle(&self.channel, command) {
            Reply::Now(response) => self.answer(asked, Some(response)),
            Reply::Elsewhere => self.answer(asked, None),
            Reply::Later(mut reply) => match reply.as_mut().poll(context) {
                Poll::Ready(response) => self.answer(asked, response),
                Poll::Pending => {
                    self.in_flight_bytes += bytes;
                    self.in_flight.push(InFlight { asked, reply, bytes, _claim: claim });
                }
            },
        }
    }

    fn poll_handlers(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some(answered)) = Pin::new(&mut self.in_flight).poll_next(context) {
            let Answered { asked, response, bytes } = answered;
            self.in_flight_bytes -= bytes;
            self.answer(asked, response);
        }
    }

    /// Answers a request; without a response, somebody else does.
    fn answer(&mut self, asked: Asked, response: Option<RemotingCommand>) {
        if asked.oneway {
            return;
        }
        let Some(mut response) = response else {
            self.elsewhere += 1;
            return;
        };
        response.opaque = asked.opaque;
        response.serialize_type = asked.serialize_type;
        response.flag |= command::FLAG_RESPONSE;
        let code = response.code;
        if let Err(error) = self.outgoing.push(response) {
            tracing::warn!(channel = %self.channel.id(), peer = %self.channel.remote_addr(), code, %error, "bad response");
            let mut instead = system_error(format_args!("the response cannot be sent: {error}"));
            instead.opaque = asked.opaque;
            // A short JSON frame can always be written.
            let _ = self.outgoing.push(instead);
        }
    }

    /// Writes as much as the socket takes, and one turn may.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<Wrote, CloseReason> {
        let mut wrote = Wrote::Nothing;
        let mut left_bytes = TURN_BYTES;
        while self.outgoing.bytes() > 0 {
            match self.outgoing.poll_write(&mut self.stream, left_bytes, context) {
                Poll::Pending => break,
                Poll::Ready(Ok(bytes)) => {
                    wrote = Wrote::Some;
                    left_bytes -= bytes;
                }
                Poll::Ready(Err(error)) => return Err(CloseReason::Io(error.to_string())),
            }
            if left_bytes == 0 && self.outgoing.bytes() > 0 {
                wrote = Wrote::Much;
                break;
            }
        }
        if wrote != Wrote::Nothing {
            self.active_at = Instant::now();
        }
        let limits = &self.channel.shared.limits;
        let bytes_queued = self.outgoing.bytes();
        if bytes_queued > limits.queued_bytes_max {
            return Err(CloseReason::Backlog { bytes_queued });
        }
        self.full_since = match self.full_since {
            _ if bytes_queued <= limits.queued_bytes_high || limits.backlog.is_none() => None,
            None => Some(Instant::now()),
            since => since,
        };
        Ok(wrote)
    }

    /// When it is next looked whether somebody holds up others: this peer, or those that this one waits for.
    fn look_at(&self) -> Option<Instant> {
        let full_until = self.full_since.map(|since| since + Backlog::PATIENCE);
        match &self.claim {
            Some(claim) if !claim.is_granted() => {
                let look_at = self.looked_at + LOOK_INTERVAL;
                Some(full_until.map_or(look_at, |until| until.min(look_at)))
            }
            _ => full_until,
        }
    }

    /// Looks; an error is that this peer holds up others.
    fn look(&mut self, now: Instant) -> Result<(), CloseReason> {
        self.looked_at = now;
        let limits = &self.channel.shared.limits;
        if let Some(since) = self.full_since
            && now >= since + Backlog::PATIENCE
        {
            if limits.backlog.as_ref().is_some_and(|backlog| backlog.is_over()) {
                return Err(CloseReason::Backlog { bytes_queued: self.outgoing.bytes() });
            }
            self.full_since = Some(now);
        }
        if self.claim.as_ref().is_some_and(|claim| !claim.is_granted())
            && let Some(memory) = &limits.memory
        {
            for TooSlow { connection, frame_bytes, received_bytes } in memory.look() {
                let reason = CloseReason::SlowFrame { frame_bytes, received_bytes };
                connection.end(Ending { reason, wait_for_handlers: false, deadline: now });
            }
        }
        Ok(())
    }

    /// Pending: nothing is due. Ready: time has passed, look again, or end for this reason.
    fn poll_timer(&mut self, context: &mut Context<'_>, orders: &Orders) -> Poll<Option<CloseReason>> {
        let limits = &self.channel.shared.limits;
        let (idle, close_when_silent) = (limits.idle, limits.close_when_silent);
        let mut next = self.active_at + idle;
        if let Some(look_at) = self.look_at() {
            next = next.min(look_at);
        }
        if let Some(timeout) = orders.timeout_earliest {
            next = next.min(timeout);
        }
        if let Some(ending) = &orders.ending {
            next = next.min(ending.deadline);
        }
        // A timer that is set too early fires, finds nothing due and is set anew: cheaper than setting it for every byte.
        if self.timer_at.is_none_or(|at| next < at) {
            self.timer_at = Some(next);
            self.timer.as_mut().reset(next);
        }
        if self.timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.timer_at = None;
        let now = Instant::now();
        if let Some(Ending { reason, deadline, .. }) = &orders.ending
            && *deadline <= now
        {
            return Poll::Ready(Some(reason.clone()));
        }
        if self.look_at().is_some_and(|look_at| look_at <= now)
            && let Err(reason) = self.look(now)
        {
            return Poll::Ready(Some(reason));
        }
        if orders.timeout_earliest.is_some_and(|timeout| timeout <= now) {
            let silent = self.channel.shared.expire(now, self.received_at);
            if silent && close_when_silent {
                return Poll::Ready(Some(CloseReason::Silent));
            }
        }
        if now.saturating_duration_since(self.active_at) >= idle {
            return Poll::Ready(Some(CloseReason::Idle(idle)));
        }
        Poll::Ready(None)
    }
}

/// Marks the channel as ended when the connection is dropped. Without effect after an orderly end; otherwise a handler
/// panicked, or the process is gone.
struct EndOnDrop(Channel);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.shared.ended(&CloseReason::TaskEnded);
    }
}

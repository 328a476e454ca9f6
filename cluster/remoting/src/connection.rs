//! The task of one connection, the same at both ends: reads frames, runs handlers, writes what is queued, keeps time.
//!
//! One task does all of it, so a request that is answered at once costs one wake-up and no lock beyond a look at the
//! queue. Handlers that wait are kept beside and polled when they are woken. One timer serves all that can expire: it is
//! set to the earliest of the pending requests' deadlines, the idle limit and the end of a close, and when it fires, what
//! is due is looked up.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use futures_util::stream::{FuturesUnordered, Stream};
use protocol::{RemotingCommand, SerializeType, command, frame};
use sim::net::TcpStream;
use sim::time::{Instant, Sleep};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::channel::{Answering, Channel, Ending, Orders};
use crate::error::CloseReason;
use crate::handler::{Reply, ReplyFuture, RequestHandler, system_error};
use crate::outgoing::Outgoing;

/// Room that is made for a read when little is left. Large frames grow the buffer by doubling as their bytes arrive,
/// so that a peer that only announces a large frame costs nothing.
const READ_BYTES: usize = 16 * 1024;
/// Less room than this is not worth a read.
const READ_BYTES_MIN: usize = 2 * 1024;
/// So many frames are taken before what they led to is written. More would leave the other end idle until this end has dealt
/// with all of them; less would cost a write each.
const FRAMES_AT_A_TIME: usize = 16;
/// The most that a short read gives: not even a frame's lengths.
const SHORT_READ_BYTES: usize = 7;

/// What a response must repeat of its request.
#[derive(Clone, Copy)]
struct Asked {
    opaque: i32,
    serialize_type: SerializeType,
    oneway: bool,
}

/// What came of a look at what the peer has sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Nothing: the task is woken when more comes.
    Nothing,
    /// A little, perhaps not even a frame; there may be more.
    Some,
    /// So much that others are to go on with it before this task takes more, and goes behind them: the store and the slave that
    /// is sent what has come, or those who were answered and ask again, whose requests then leave by one write.
    Much,
}

/// A handler that has not answered yet.
struct InFlight {
    asked: Asked,
    reply: ReplyFuture,
}

impl Future for InFlight {
    type Output = (Asked, Option<RemotingCommand>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.reply.as_mut().poll(context).map(|response| (self.asked, response))
    }
}

/// One connection, to be [run](Connection::run) by a task of its own.
pub(crate) struct Connection<H: RequestHandler + ?Sized> {
    stream: TcpStream,
    channel: Channel,
    _end_on_drop: EndOnDrop,
    handler: Arc<H>,
    incoming: BytesMut,
    /// There may be whole frames in `incoming`.
    undecoded: bool,
    outgoing: Outgoing,
    in_flight: FuturesUnordered<InFlight>,
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
}

impl<H: RequestHandler + ?Sized> Connection<H> {
    pub fn new(stream: TcpStream, channel: Channel, handler: Arc<H>) -> Self {
        let now = Instant::now();
        let timer_at = now + channel.shared.limits.idle;
        Self {
            stream,
            _end_on_drop: EndOnDrop(channel.clone()),
            channel,
            handler,
            incoming: BytesMut::new(),
            undecoded: false,
            outgoing: Outgoing::default(),
            in_flight: FuturesUnordered::new(),
            responses: Vec::new(),
            answering: Vec::new(),
            timer: Box::pin(sim::time::sleep_until(timer_at)),
            timer_at: Some(timer_at),
            received_at: now,
            active_at: now,
        }
    }

    /// Runs the connection to its end, tells the handler, and lets the requests that are still being handled finish.
    pub async fn run(mut self) {
        let reason = poll_fn(|context| self.poll_until_end(context)).await;
        self.channel.shared.ended(&reason);
        let (channel, peer) = (self.channel.id(), self.channel.remote_addr());
        match &reason {
            CloseReason::Decode(_) | CloseReason::Backlog { .. } => {
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
        let Self { stream, incoming, mut in_flight, .. } = self;
        drop((stream, incoming));
        // A store that is half-way through a put must not be stopped there because the producer hung up.
        while poll_fn(|context| Pin::new(&mut in_flight).poll_next(context)).await.is_some() {}
    }

    fn poll_until_end(&mut self, context: &mut Context<'_>) -> Poll<CloseReason> {
        // Before the first look at what others have queued, or a wake-up could be lost.
        self.channel.shared.task.register(context.waker());
        loop {
            let orders = self.channel.shared.collect(&mut self.outgoing);
            self.poll_handlers(context);
            let may_read = orders.ending.is_none() && self.may_read();
            let progress = self.poll_write(context).and_then(|wrote| {
                let taken = if may_read { self.poll_take(context)? } else { Taken::Nothing };
                if taken == Taken::Much {
                    self.poll_write(context)?;
                }
                Ok((wrote, taken))
            });
            match progress {
                Err(reason) => return Poll::Ready(reason),
                Ok((_, Taken::Much)) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok((_, Taken::Some)) => continue,
                // What was written made room for what was held back.
                Ok((true, Taken::Nothing)) if orders.more || !may_read => continue,
                Ok((_, Taken::Nothing)) => {}
            }
            if let Some(ending) = &orders.ending {
                let handled = !ending.wait_for_handlers || self.in_flight.is_empty();
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

    /// Whether the peer may send more requests now. Responses wait with them; their time-outs go on.
    fn may_read(&self) -> bool {
        let limits = &self.channel.shared.limits;
        limits
            .in_flight_max
            .is_none_or(|max| self.in_flight.len() < max && self.outgoing.bytes() < limits.queued_bytes_high)
    }

    /// Takes frames that have come, and reads once if there are none.
    fn poll_take(&mut self, context: &mut Context<'_>) -> Result<Taken, CloseReason> {
        let bytes = if self.undecoded { 0 } else { self.poll_read(context)? };
        if bytes == 0 && !self.undecoded {
            return Ok(Taken::Nothing);
        }
        let mut taken = Ok(());
        self.undecoded = true;
        for _ in 0..FRAMES_AT_A_TIME {
            match frame::decode(&mut self.incoming) {
                Ok(Some(command)) => self.take(command, context),
                end => {
                    self.undecoded = false;
                    taken = end.map(|_| ()).map_err(|error| CloseReason::Decode(error.to_string()));
                    break;
                }
            }
        }
        let answered = self.complete();
        taken?;
        let is_much = self.undecoded || answered > 1 || bytes >= READ_BYTES / 2;
        Ok(if is_much { Taken::Much } else { Taken::Some })
    }

    /// Reads once. Says how many bytes came, 0 for none yet.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Result<usize, CloseReason> {
        if self.incoming.capacity() - self.incoming.len() < READ_BYTES_MIN {
            self.incoming.reserve(READ_BYTES.max(self.incoming.len()));
        }
        let most = if sim::fault_point!("remoting.read.short", 0.05) { SHORT_READ_BYTES } else { usize::MAX };
        let mut room = (&mut self.incoming).limit(most);
        let read = pin!(self.stream.read_buf(&mut room));
        match read.poll(context) {
            Poll::Pending => Ok(0),
            Poll::Ready(Ok(0)) => Err(CloseReason::Peer),
            Poll::Ready(Err(error)) => Err(CloseReason::Io(error.to_string())),
            Poll::Ready(Ok(bytes)) => {
                self.received_at = Instant::now();
                self.active_at = self.received_at;
                Ok(bytes)
            }
        }
    }

    /// Tells all whose responses have come; how many.
    fn complete(&mut self) -> usize {
        let count = self.responses.len();
        if count > 0 {
            self.channel.shared.complete(&mut self.responses, &mut self.answering);
        }
        count
    }

    fn take(&mut self, command: RemotingCommand, context: &mut Context<'_>) {
        if command.is_response() {
            return self.responses.push(command);
        }
        let asked =
            Asked { opaque: command.opaque, serialize_type: command.serialize_type, oneway: command.is_oneway() };
        match self.handler.handle(&self.channel, command) {
            Reply::Now(response) => self.answer(asked, response),
            Reply::Elsewhere => {}
            Reply::Later(mut reply) => match reply.as_mut().poll(context) {
                Poll::Ready(Some(response)) => self.answer(asked, response),
                Poll::Ready(None) => {}
                Poll::Pending => self.in_flight.push(InFlight { asked, reply }),
            },
        }
    }

    fn poll_handlers(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some((asked, response))) = Pin::new(&mut self.in_flight).poll_next(context) {
            if let Some(response) = response {
                self.answer(asked, response);
            }
        }
    }

    fn answer(&mut self, asked: Asked, mut response: RemotingCommand) {
        if asked.oneway {
            return;
        }
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

    /// Writes as much as the socket takes. Says whether something was written.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<bool, CloseReason> {
        let mut wrote = false;
        while self.outgoing.bytes() > 0 {
            match self.outgoing.poll_write(&mut self.stream, context) {
                Poll::Pending => break,
                Poll::Ready(Ok(_)) => wrote = true,
                Poll::Ready(Err(error)) => return Err(CloseReason::Io(error.to_string())),
            }
        }
        if wrote {
            self.active_at = Instant::now();
        }
        let bytes_queued = self.outgoing.bytes();
        if bytes_queued > self.channel.shared.limits.queued_bytes_max {
            return Err(CloseReason::Backlog { bytes_queued });
        }
        Ok(wrote)
    }

    /// Pending: nothing is due. Ready: time has passed, look again, or end for this reason.
    fn poll_timer(&mut self, context: &mut Context<'_>, orders: &Orders) -> Poll<Option<CloseReason>> {
        let limits = self.channel.shared.limits;
        let mut next = self.active_at + limits.idle;
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
        if orders.timeout_earliest.is_some_and(|timeout| timeout <= now) {
            let silent = self.channel.shared.expire(now, self.received_at);
            if silent && limits.close_when_silent {
                return Poll::Ready(Some(CloseReason::Silent));
            }
        }
        if now.saturating_duration_since(self.active_at) >= limits.idle {
            return Poll::Ready(Some(CloseReason::Idle(limits.idle)));
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

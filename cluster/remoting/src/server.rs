//! The listening side (`NettyRemotingServer`): accepts connections and runs a task for each.
//!
//! A handler that panics ends its connection's task, and with it the connection; the server lives on.
//!
//! There is a limit to the number of connections. Above it one more takes the place of one that nobody uses: on which no
//! request has come a second after it was made, or none for a minute. If there is none of that kind it is closed at once.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use sim::net::{TcpListener, TcpStream};
use sim::process;
use sim::task::{JoinError, JoinHandle};
use sim::time::Instant;
use tokio::sync::{oneshot, watch};

use crate::channel::{Channel, ChannelId, Limits, Shared};
use crate::connection::Connection;
use crate::handler::RequestHandler;
use crate::memory::{Backlog, FrameMemory};

/// The limits that a server sets its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// A channel on which nothing came or went for so long is closed (`serverChannelMaxIdleTimeSeconds`: 120 s).
    pub channel_idle_max: Duration,
    /// Queued bytes above which no more requests of that peer are read. 1 MiB.
    pub queued_bytes_high: usize,
    /// Queued bytes above which a peer is closed as one that does not read. 64 MiB: four of the largest frames.
    pub queued_bytes_max: usize,
    /// Requests of one connection that may be in the handler at a time. 4,096.
    pub in_flight_max: usize,
    /// How long the frames of those may be together. 16 MiB, as long as the longest frame.
    pub in_flight_bytes_max: usize,
    /// The memory of the large frames of all connections, from their first byte until they have been handled. 128 MiB.
    pub frame_memory_bytes: usize,
    /// What may be queued on all connections for peers that do not read. 256 MiB.
    pub queued_bytes_total: usize,
    /// Connections at a time. One more takes the place of one that is idle. 16,384, and never more than
    /// [`ServerConfig::open_files_percent_max`] allows.
    pub connections_max: usize,
    /// What part of the files and sockets that the process may have open are connections at most. The rest is for the files
    /// of a store, and for its other sockets. 50.
    pub open_files_percent_max: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            channel_idle_max: Duration::from_secs(120),
            queued_bytes_high: 1024 * 1024,
            queued_bytes_max: 64 * 1024 * 1024,
            in_flight_max: 4096,
            in_flight_bytes_max: 16 * 1024 * 1024,
            frame_memory_bytes: 128 * 1024 * 1024,
            queued_bytes_total: 256 * 1024 * 1024,
            connections_max: 16_384,
            open_files_percent_max: 50,
        }
    }
}

impl ServerConfig {
    /// The connections that this process can have.
    fn connections_here(&self) -> usize {
        let share = process::open_files_max().saturating_mul(self.open_files_percent_max) / 100;
        self.connections_max.min(usize::try_from(share).unwrap_or(usize::MAX)).max(1)
    }
}

/// A listening server. Dropping it stops it at once; [`RemotingServer::shutdown`] does so in good order.
#[derive(Debug)]
pub struct RemotingServer {
    local_addr: SocketAddr,
    running: Mutex<Option<Running>>,
    /// Closed when the acceptor's task has ended, however it ended.
    accepting: watch::Receiver<()>,
}

#[derive(Debug)]
struct Running {
    /// Takes how long the channels may drain. Dropped, it stops the server at once.
    stop: oneshot::Sender<Duration>,
    acceptor: JoinHandle<()>,
}

impl RemotingServer {
    /// Listens on `addr` and serves until it is shut down or dropped. Port 0 takes any free port.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind<H: RequestHandler>(addr: SocketAddr, handler: Arc<H>, config: ServerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let local_addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let limits = Limits {
            idle: config.channel_idle_max,
            queued_bytes_high: config.queued_bytes_high,
            queued_bytes_max: config.queued_bytes_max,
            in_flight_max: Some(config.in_flight_max),
            in_flight_bytes_max: config.in_flight_bytes_max,
            memory: Some(Arc::new(FrameMemory::new(config.frame_memory_bytes))),
            backlog: Some(Arc::new(Backlog::new(config.queued_bytes_total))),
            close_when_silent: false,
        };
        let acceptor = Acceptor {
            handler,
            limits,
            port: local_addr.port(),
            accepted: 0,
            connections_max: config.connections_here(),
            channels: BTreeMap::new(),
            ring: VecDeque::new(),
            turned_away: TurnedAway::default(),
            refused: Refused::default(),
            tasks: FuturesUnordered::new(),
        };
        let (alive, accepting) = watch::channel(());
        let acceptor = sim::task::spawn(async move {
            acceptor.run(listener, stopped).await;
            drop(alive);
        });
        Ok(Self { local_addr, running: Mutex::new(Some(Running { stop, acceptor })), accepting })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Resolves when no connection is accepted any more: after a shutdown, or because the acceptor has panicked. A process
    /// whose server ends by itself should end, too: it would stay registered, and refuse every client.
    pub async fn ended(&self) {
        let mut accepting = self.accepting.clone();
        // Nothing is ever sent: the error is the end.
        while accepting.changed().await.is_ok() {}
    }

    /// Stops in good order: accepts and reads nothing more, answers the requests that are being handled (for at most
    /// `grace`), and closes all channels. A second call returns at once.
    pub async fn shutdown(&self, grace: Duration) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { stop, acceptor }) = running {
            // Errors mean that the acceptor has ended already, by a panic that its task has reported.
            let _ = stop.send(grace);
            let _ = acceptor.await;
        }
    }
}

/// The task that accepts connections and sees them end.
struct Acceptor<H> {
    handler: Arc<H>,
    limits: Limits,
    port: u16,
    accepted: u64,
    connections_max: usize,
    channels: BTreeMap<ChannelId, Channel>,
    /// The channels, and some that have ended, in the order in which they are looked at when one has to go.
    ring: VecDeque<ChannelId>,
    turned_away: TurnedAway,
    refused: Refused,
    tasks: FuturesUnordered<ConnectionTask>,
}

/// The attempts to accept that the operating system refused.
#[derive(Debug, Default)]
struct Refused {
    told_at: Option<Instant>,
}

impl Refused {
    fn one_more(&mut self, port: u16, error: &io::Error) {
        if self.told_at.is_none_or(|told_at| told_at.elapsed() >= TELL_INTERVAL) {
            self.told_at = Some(Instant::now());
            tracing::warn!(port, %error, "cannot accept connections; trying again");
        }
    }
}

/// The connections for which there was no place.
#[derive(Debug, Default)]
struct TurnedAway {
    count: u64,
    told_at: Option<Instant>,
}

/// After a failure to accept (mostly: no file descriptor left) the next try waits so long.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How many channels are looked at for one that can go.
const LOOKED_AT: usize = 16;
/// A channel on which no request has come so long after it was made can go…
const UNUSED_AFTER: Duration = Duration::from_secs(1);
/// …and so can one on which none has come for so long: clients say something every 30 s.
const DISUSED_AFTER: Duration = Duration::from_secs(60);
/// How often it is said that connections are turned away.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

impl<H: RequestHandler> Acceptor<H> {
    async fn run(mut self, listener: TcpListener, mut stopped: oneshot::Receiver<Duration>) {
        let grace = loop {
            tokio::select! {
                biased;
                grace = &mut stopped => break grace.unwrap_or(Duration::ZERO),
                Some((id, outcome)) = self.tasks.next(), if !self.tasks.is_empty() => self.ended(id, outcome),
                accepted = listener.accept() => match accepted {
                    Ok((stream, remote_addr)) => self.serve(stream, remote_addr),
                    Err(error) => {
                        // Those that cannot be accepted wait in the kernel's queue.
                        self.refused.one_more(self.port, &error);
                        sim::time::sleep(ACCEPT_RETRY).await;
                    }
                },
            }
        };
        drop(listener);
        let deadline = Instant::now() + grace;
        for channel in self.channels.values() {
            channel.drain(deadline);
        }
        // Those that are not done by then close by themselves.
        let all_ended = async {
            while let Some((id, outcome)) = self.tasks.next().await {
                self.ended(id, outcome);
            }
        };
        if sim::time::timeout(grace, all_ended).await.is_err() {
            tracing::warn!(port = self.port, channels = self.channels.len(), "stopped with requests unanswered");
        }
    }

    fn serve(&mut self, stream: TcpStream, remote_addr: SocketAddr) {
        if self.channels.len() >= self.connections_max && !self.make_place() {
            self.turned_away.one_more(self.port, self.connections_max);
            return;
        }
        let local_addr = match stream.local_addr() {
            Ok(local_addr) => SocketAddr::new(local_addr.ip().to_canonical(), local_addr.port()),
            // The peer is gone already.
            Err(_) => return,
        };
        // A response that waits a little longer is all that an error costs.
        let _ = stream.set_nodelay(true);
        self.accepted += 1;
        let id = ChannelId::new(self.port, self.accepted);
        let shared = Shared::new(id, local_addr, remote_addr, remote_addr.to_string(), self.limits.clone());
        let channel = Channel { shared: Arc::new(shared) };
        let connection = Connection::new(stream, channel.clone(), Arc::clone(&self.handler));
        self.channels.insert(id, channel);
        if self.ring.len() > 2 * self.channels.len() {
            let channels = &self.channels;
            self.ring.retain(|id| channels.contains_key(id));
        }
        self.ring.push_back(id);
        self.tasks.push(ConnectionTask { id, handle: sim::task::spawn(connection.run()) });
    }

    /// Closes a channel that nobody uses; whether there was one among those that were looked at.
    fn make_place(&mut self) -> bool {
        for _ in 0..LOOKED_AT {
            let Some(id) = self.ring.pop_front() else { return false };
            let Some(channel) = self.channels.get(&id) else { continue };
            let (has_asked, silence) = channel.shared.silence();
            if silence >= if has_asked { DISUSED_AFTER } else { UNUSED_AFTER } {
                channel.close();
                return true;
            }
            self.ring.push_back(id);
        }
        false
    }

    fn ended(&mut self, id: ChannelId, outcome: Result<(), JoinError>) {
        let channel = self.channels.remove(&id);
        if let (Some(channel), Err(error)) = (channel, outcome) {
            tracing::error!(channel = %id, peer = %channel.remote_addr(), %error, "a handler panicked: channel closed");
            self.handler.on_close(&channel);
        }
    }
}

impl TurnedAway {
    fn one_more(&mut self, port: u16, max: usize) {
        self.count += 1;
        let now = Instant::now();
        if self.told_at.is_none_or(|at| now >= at + TELL_INTERVAL) {
            tracing::warn!(port, count = self.count, "{max} connections are open and in use: more are closed at once");
            *self = Self { count: 0, told_at: Some(now) };
        }
    }
}

/// The running task of one connection.
struct ConnectionTask {
    id: ChannelId,
    handle: JoinHandle<()>,
}

impl Future for ConnectionTask {
    type Output = (ChannelId, Result<(), JoinError>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(context).map(|outcome| (self.id, outcome))
    }
}

//! The asking side (`NettyRemotingClient`): one connection per address, made when it is first needed.
//!
//! Requests to one address share its connection; those that come while it is being made wait for it together and fail
//! together. A connection that breaks fails its waiting requests at once and is made anew by the next request.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use protocol::RemotingCommand;
use sim::net::TcpStream;
use sim::time::Instant;
use tokio::sync::{Notify, oneshot};

use crate::channel::{Channel, ChannelId, Limits, Shared};
use crate::connection::Connection;
use crate::error::RemotingError;
use crate::handler::{NoRequests, RequestHandler};
use crate::name_servers::NameServers;

/// A time-out that comes too early for most answers.
const EARLY_TIMEOUT: Duration = Duration::from_millis(1);

/// The limits of a client's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long a connection may take to be made (`connectTimeoutMillis`: 3 s).
    pub connect_timeout: Duration,
    /// A channel on which nothing came or went for so long is closed (`clientChannelMaxIdleTimeSeconds`: 120 s).
    pub channel_idle_max: Duration,
    /// Queued bytes above which requests wait for room. 1 MiB.
    pub queued_bytes_high: usize,
    /// Queued bytes above which a peer is closed as one that does not read. 64 MiB.
    pub queued_bytes_max: usize,
    /// Whether a request that times out closes its connection if nothing at all came from the peer meanwhile: a peer
    /// that lost power would otherwise be waited for until TCP gives up, after some 15 minutes. Apache's
    /// `clientCloseSocketIfTimeout` closes it whatever came.
    pub close_when_silent: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            channel_idle_max: Duration::from_secs(120),
            queued_bytes_high: 1024 * 1024,
            queued_bytes_max: 64 * 1024 * 1024,
            close_when_silent: true,
        }
    }
}

/// Asks servers. Clones share the connections, which are closed when the last clone is dropped.
///
/// Addresses are `host:port`, where host is a name or an IP address.
#[derive(Clone)]
pub struct RemotingClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: ClientConfig,
    handler: Arc<dyn RequestHandler>,
    pool: Mutex<Pool>,
    name_servers: Mutex<NameServers>,
}

#[derive(Default)]
struct Pool {
    slots: BTreeMap<String, Slot>,
    connected: u64,
    shut_down: bool,
}

enum Slot {
    Open(Channel),
    /// Being connected.
    Connecting {
        /// These wait for the outcome.
        waiting: Vec<oneshot::Sender<Result<Channel, String>>>,
        /// The attempt is to begin anew.
        anew: Arc<Notify>,
    },
}

impl RemotingClient {
    /// A client whose servers ask nothing.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self::with_handler(config, Arc::new(NoRequests))
    }

    /// A client whose servers may ask: their requests go to `handler`. Beware of a cycle when `handler` owns this client.
    #[must_use]
    pub fn with_handler(config: ClientConfig, handler: Arc<dyn RequestHandler>) -> Self {
        let inner = Inner { config, handler, pool: Mutex::default(), name_servers: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Asks `addr` and waits for the response; `timeout` includes the making of a connection.
    ///
    /// # Errors
    /// Any [`RemotingError`]; [`RemotingError::may_have_been_sent`] says whether the request may have been carried out.
    pub async fn invoke(
        &self,
        addr: &str,
        request: RemotingCommand,
        timeout: Duration,
    ) -> Result<RemotingCommand, RemotingError> {
        let timeout = if sim::fault_point!("remoting.invoke.early-timeout", 0.001) {
            EARLY_TIMEOUT.min(timeout)
        } else {
            timeout
        };
        if sim::fault_point!("remoting.client.connection-dropped", 0.001) {
            self.close_channel(addr);
        }
        if let Some(channel) = self.inner.open_channel(addr) {
            return channel.invoke(request, timeout).await;
        }
        let deadline = Instant::now() + timeout;
        let channel = self.connect(addr, request.code, timeout).await?;
        channel.invoke(request, deadline.saturating_duration_since(Instant::now())).await
    }

    /// Sends a request to `addr` that wants no response. Success means that it was queued.
    ///
    /// # Errors
    /// [`RemotingError::Connect`] and [`RemotingError::SendRequest`].
    pub async fn invoke_oneway(&self, addr: &str, request: RemotingCommand) -> Result<(), RemotingError> {
        let channel = match self.inner.open_channel(addr) {
            Some(channel) => channel,
            None => self.connect(addr, request.code, self.inner.config.connect_timeout).await?,
        };
        channel.invoke_oneway(request)
    }

    /// The channel to `addr`, connected if need be.
    ///
    /// # Errors
    /// [`RemotingError::Connect`] (naming request code 0).
    pub async fn channel(&self, addr: &str, timeout: Duration) -> Result<Channel, RemotingError> {
        match self.inner.open_channel(addr) {
            Some(channel) => Ok(channel),
            None => self.connect(addr, 0, timeout).await,
        }
    }

    /// Whether there is a connection to `addr` at present.
    #[must_use]
    pub fn is_connected(&self, addr: &str) -> bool {
        self.inner.open_channel(addr).is_some()
    }

    /// Closes the connection to `addr`, if there is one.
    pub fn close_channel(&self, addr: &str) {
        if let Some(channel) = self.inner.open_channel(addr) {
            channel.close();
        }
    }

    /// The server at `addr` is known to have been started anew: a connection from before is closed, and an attempt to connect that is
    /// under way begins again, rather than wait for TCP to repeat what was sent while nobody was there.
    pub fn connect_anew(&self, addr: &str) {
        match self.inner.lock_pool().slots.get(addr) {
            Some(Slot::Open(channel)) => channel.close(),
            Some(Slot::Connecting { anew, .. }) => anew.notify_one(),
            None => {}
        }
    }

    /// Closes all connections and makes no more.
    pub fn shutdown(&self) {
        self.inner.shutdown();
    }

    /// Sets the name servers that [`RemotingClient::invoke_name_server`] asks.
    pub fn update_name_servers(&self, addrs: Vec<String>) {
        let pick = sim::rng::u64("remoting: first name server");
        self.inner.lock_name_servers().update(addrs, pick);
    }

    /// The known name servers.
    #[must_use]
    pub fn name_servers(&self) -> Vec<String> {
        self.inner.lock_name_servers().all().to_vec()
    }

    /// Asks the chosen name server, and the others in turn when it fails. Each gets an equal share of the time that is
    /// left, so that one which is silent does not use up the time of all. Name servers' requests can be repeated safely.
    ///
    /// # Errors
    /// The error of the last one asked; [`RemotingError::Connect`] when no name server is known.
    pub async fn invoke_name_server(
        &self,
        request: RemotingCommand,
        timeout: Duration,
    ) -> Result<RemotingCommand, RemotingError> {
        let code = request.code;
        let deadline = Instant::now() + timeout;
        let tries = self.inner.lock_name_servers().all().len();
        let mut failure = None;
        for left in (1..=tries).rev() {
            let Some(addr) = self.inner.lock_name_servers().chosen().map(str::to_owned) else { break };
            let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
            match self.invoke(&addr, request.clone(), share).await {
                Ok(response) => return Ok(response),
                Err(error) => {
                    tracing::debug!(%error, "name server failed, the next is chosen");
                    self.inner.lock_name_servers().failed(&addr);
                    failure = Some(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| RemotingError::Connect {
            addr: "name server".to_owned(),
            code,
            reason: "no name server address is set".to_owned(),
        }))
    }

    /// Waits for a new connection to `addr`, starting it unless it has been started.
    async fn connect(&self, addr: &str, code: i32, timeout: Duration) -> Result<Channel, RemotingError> {
        let failed = |reason: String| RemotingError::Connect { addr: addr.to_owned(), code, reason };
        let connected = match self.inner.join_connecting(addr) {
            Joined::Open(channel) => return Ok(channel),
            Joined::ShutDown => return Err(failed("this client has been shut down".to_owned())),
            Joined::Waiting(connected) => connected,
            Joined::First(connected, anew) => {
                sim::task::spawn(connect_and_run(Arc::downgrade(&self.inner), addr.to_owned(), anew));
                connected
            }
        };
        match sim::time::timeout(timeout, connected).await {
            Ok(Ok(outcome)) => outcome.map_err(failed),
            Ok(Err(_)) => Err(failed("this client has been shut down".to_owned())),
            Err(_) => Err(failed(format!("not connected within {} ms", timeout.as_millis()))),
        }
    }
}

/// What a look at the slot of an address gave.
enum Joined {
    Open(Channel),
    ShutDown,
    Waiting(oneshot::Receiver<Result<Channel, String>>),
    First(oneshot::Receiver<Result<Channel, String>>, Arc<Notify>),
}

impl Inner {
    fn lock_pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_name_servers(&self) -> MutexGuard<'_, NameServers> {
        self.name_servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_channel(&self, addr: &str) -> Option<Channel> {
        match self.lock_pool().slots.get(addr) {
            Some(Slot::Open(channel)) if channel.is_open() => Some(channel.clone()),
            _ => None,
        }
    }

    fn join_connecting(&self, addr: &str) -> Joined {
        let mut pool = self.lock_pool();
        if pool.shut_down {
            return Joined::ShutDown;
        }
        let (sender, receiver) = oneshot::channel();
        match pool.slots.get_mut(addr) {
            Some(Slot::Open(channel)) if channel.is_open() => return Joined::Open(channel.clone()),
            Some(Slot::Connecting { waiting, .. }) => {
                waiting.push(sender);
                return Joined::Waiting(receiver);
            }
            _ => {}
        }
        let anew = Arc::new(Notify::new());
        pool.slots.insert(addr.to_owned(), Slot::Connecting { waiting: vec![sender], anew: Arc::clone(&anew) });
        Joined::First(receiver, anew)
    }

    /// The connection to `addr` is there, or could not be made.
    fn connected(
        &self,
        addr: &str,
        outcome: Result<(TcpStream, SocketAddr, SocketAddr), String>,
    ) -> Option<(TcpStream, Channel)> {
        let mut pool = self.lock_pool();
        let Some(Slot::Connecting { waiting, .. }) = pool.slots.remove(addr) else { return None };
        let (stream, outcome) = match outcome {
            Ok((stream, local_addr, remote_addr)) if !pool.shut_down => {
                pool.connected += 1;
                let id = ChannelId::new(0, pool.connected);
                let limits = Limits {
                    idle: self.config.channel_idle_max,
                    queued_bytes_high: self.config.queued_bytes_high,
                    queued_bytes_max: self.config.queued_bytes_max,
                    in_flight_max: None,
                    in_flight_bytes_max: usize::MAX,
                    memory: None,
                    backlog: None,
                    close_when_silent: self.config.close_when_silent,
                };
                let shared = Shared::new(id, local_addr, remote_addr, addr.to_owned(), limits);
                let channel = Channel { shared: Arc::new(shared) };
                pool.slots.insert(addr.to_owned(), Slot::Open(channel.clone()));
                (Some(stream), Ok(channel))
            }
            Ok(_) => (None, Err("this client has been shut down".to_owned())),
            Err(reason) => (None, Err(reason)),
        };
        drop(pool);
        for waiting in waiting {
            // An error means that the caller gave up.
            let _ = waiting.send(outcome.clone());
        }
        Some((stream?, outcome.ok()?))
    }

    /// The connection to `addr` has ended.
    fn forget(&self, addr: &str, id: ChannelId) {
        let mut pool = self.lock_pool();
        if matches!(pool.slots.get(addr), Some(Slot::Open(channel)) if channel.id() == id) {
            pool.slots.remove(addr);
        }
    }

    fn shutdown(&self) {
        let mut pool = self.lock_pool();
        pool.shut_down = true;
        let slots = std::mem::take(&mut pool.slots);
        drop(pool);
        for slot in slots.into_values() {
            match slot {
                Slot::Open(channel) => channel.close(),
                // Dropping the senders tells those that wait.
                Slot::Connecting { waiting, .. } => drop(waiting),
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The task of one connection, from its making to its end. It does not keep the client alive.
async fn connect_and_run(client: Weak<Inner>, addr: String, anew: Arc<Notify>) {
    let Some(timeout) = client.upgrade().map(|client| client.config.connect_timeout) else { return };
    let connecting = async {
        loop {
            tokio::select! {
                biased;
                () = anew.notified() => {}
                outcome = connect(&addr) => return outcome,
            }
        }
    };
    let outcome = match sim::time::timeout(timeout, connecting).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(format!("not connected within {} ms", timeout.as_millis())),
    };
    let Some(inner) = client.upgrade() else { return };
    let Some((stream, channel)) = inner.connected(&addr, outcome) else { return };
    let id = channel.id();
    let connection = Connection::new(stream, channel, Arc::clone(&inner.handler));
    drop(inner);
    connection.run().await;
    if let Some(inner) = client.upgrade() {
        inner.forget(&addr, id);
    }
}

async fn connect(addr: &str) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
    let found = match addr.parse() {
        Ok(remote_addr) => vec![remote_addr],
        Err(_) => sim::net::resolve(addr).await?,
    };
    if sim::fault_point!("remoting.connect.fails", 0.1) {
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no local port is free"));
    }
    let (stream, remote_addr) = connect_to_any(found).await?;
    let local_addr = stream.local_addr()?;
    // A request that waits a little longer is all that an error costs.
    let _ = stream.set_nodelay(true);
    Ok((stream, local_addr, remote_addr))
}

/// Connects to the first of a name's addresses that answers, those of IPv4 first.
async fn connect_to_any(mut found: Vec<SocketAddr>) -> io::Result<(TcpStream, SocketAddr)> {
    found.sort_by_key(SocketAddr::is_ipv6);
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for remote_addr in found {
        match TcpStream::connect(remote_addr).await {
            Ok(stream) => return Ok((stream, remote_addr)),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

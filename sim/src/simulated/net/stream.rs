//! A TCP connection, in the shape of `tokio::net::TcpStream` and its owned halves.

use super::{
    super::{
        core::{Core, ProcessId},
        kernel,
    },
    error::SocketError,
    model::Net,
    segment::EndpointId,
    sockets::Addresses,
};
use crate::socket_options::KeepAlive;
use std::{
    fmt,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The file descriptor: closes the connection when it is dropped.
struct Socket {
    process: ProcessId,
    id: EndpointId,
    addresses: Addresses,
}

impl Socket {
    fn call<R>(&self, work: impl FnOnce(&mut Net, &mut Core, ProcessId, EndpointId) -> R) -> R {
        kernel::with(|kernel| {
            let (net, core) = kernel.net_core();
            work(net, core, self.process, self.id)
        })
    }

    /// As [`Socket::call`]; pending for ever when the process is killed instead.
    fn poll<R>(&self, work: impl FnOnce(&mut Net, &mut Core, ProcessId, EndpointId) -> Poll<R>) -> Poll<R> {
        kernel::with(|kernel| {
            if !kernel.operate(self.process) {
                return Poll::Pending;
            }
            let (net, core) = kernel.net_core();
            work(net, core, self.process, self.id)
        })
    }

    fn poll_read(&self, waker: &Waker, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll(|net, core, process, id| net.read(core, process, id, buffer, waker)).map_err(io::Error::from)
    }

    fn poll_write(&self, waker: &Waker, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll(|net, core, process, id| net.write(core, process, id, slices, waker)).map_err(io::Error::from)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        if self.call(|net, _, process, id| net.is_over(process, id)) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(self.addresses.peer.into())
    }

    fn shutdown(&self) {
        self.call(Net::shutdown);
    }

    fn fmt(&self, formatter: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let Addresses { local, peer } = self.addresses;
        formatter.debug_struct(name).field("local", &local).field("peer", &peer).finish()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // `None`: the simulation is over, and its sockets with it.
        let _ = kernel::try_with(|kernel| {
            let (net, core) = kernel.net_core();
            net.close(core, self.process, self.id);
        });
    }
}

/// A connection. Dropping it closes both directions: what was written is still sent.
pub struct TcpStream(Socket);

impl TcpStream {
    pub(super) fn new(process: ProcessId, id: EndpointId, addresses: Addresses) -> TcpStream {
        TcpStream(Socket { process, id, addresses })
    }

    /// Connects to `address` from the polled task's host.
    ///
    /// # Errors
    /// `ConnectionRefused` when nothing listens there, `TimedOut` after 127 s of silence.
    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        kernel::operation().await;
        let process = kernel::current_process();
        let (id, addresses) = kernel::with(|kernel| {
            if !kernel.may_open(process) {
                return Err(SocketError::TooManyOpen);
            }
            let (net, core) = kernel.net_core();
            net.connect(core, process, address)
        })?;
        // From here on, giving up (dropping this future) closes the socket.
        let stream = TcpStream::new(process, id, addresses);
        std::future::poll_fn(|context| {
            stream.0.call(|net, _, process, id| net.poll_connected(process, id, context.waker()))
        })
        .await?;
        Ok(stream)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` when the connection is over.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// None in the simulation.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.addresses.local.into())
    }

    /// Whether small writes are sent at once instead of waiting for acknowledgements (TCP_NODELAY). Off at first.
    ///
    /// # Errors
    /// When the process that held the socket has ended.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.call(|net, core, process, id| net.set_nodelay(core, process, id, nodelay)).map_err(SocketError::into)
    }

    /// Splits the stream into halves that different tasks can own.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let socket = Arc::new(self.0);
        (OwnedReadHalf(Arc::clone(&socket)), OwnedWriteHalf(socket))
    }
}

/// Has the kernel find out whether the peer of an idle connection is still there, or no longer. Off at first.
///
/// # Errors
/// When the process that held the socket has ended.
pub fn set_keepalive(stream: &TcpStream, keepalive: Option<KeepAlive>) -> io::Result<()> {
    let set = |net: &mut Net, core: &mut Core, process, id| net.set_keepalive(core, process, id, keepalive);
    stream.0.call(set).map_err(SocketError::into)
}

/// Limits how long data may stay unacknowledged before the connection is given up (TCP_USER_TIMEOUT). Off at first: then it
/// is a number of retransmissions, about 15 minutes.
///
/// # Errors
/// When the process that held the socket has ended.
pub fn set_user_timeout(stream: &TcpStream, timeout: Option<Duration>) -> io::Result<()> {
    stream.0.call(|net, _, process, id| net.set_user_timeout(process, id, timeout)).map_err(SocketError::into)
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter, "TcpStream")
    }
}

/// The reading half of a connection, which is closed when both halves are dropped.
pub struct OwnedReadHalf(Arc<Socket>);

/// The writing half of a connection; dropping it ends the stream that the peer reads (FIN).
pub struct OwnedWriteHalf(Arc<Socket>);

impl OwnedReadHalf {
    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` when the connection is over.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// None in the simulation.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.addresses.local.into())
    }
}

impl OwnedWriteHalf {
    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` when the connection is over.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// None in the simulation.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.addresses.local.into())
    }
}

impl fmt::Debug for OwnedReadHalf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter, "OwnedReadHalf")
    }
}

impl fmt::Debug for OwnedWriteHalf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter, "OwnedWriteHalf")
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // `None`: the simulation is over, and its sockets with it.
        let _ = kernel::try_with(|kernel| {
            let (net, core) = kernel.net_core();
            net.shutdown(core, self.0.process, self.0.id);
        });
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(context.waker(), buffer)
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(context.waker(), buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context.waker(), &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(context.waker(), slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.shutdown();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context.waker(), &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(context.waker(), slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.shutdown();
        Poll::Ready(Ok(()))
    }
}

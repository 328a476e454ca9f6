//! A socket that accepts connections, in the shape of `tokio::net::TcpListener`.

use super::{
    super::{core::ProcessId, kernel},
    error::SocketError,
    segment::ListenerId,
    stream::TcpStream,
};
use std::{
    fmt, io,
    net::{SocketAddr, SocketAddrV4},
};

/// Listens on a port of the host that it was made on, until it is dropped or its process ends.
pub struct TcpListener {
    process: ProcessId,
    id: ListenerId,
    local: SocketAddrV4,
}

impl TcpListener {
    /// Listens on `address`: an address of this host, or 0.0.0.0 for all of them; port 0 for any free one.
    ///
    /// # Errors
    /// `AddrInUse` when another listener is there, `AddrNotAvailable` when the address is not this host's.
    pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        kernel::operation().await;
        let process = kernel::current_process();
        let (id, local) = kernel::with(|kernel| match kernel.may_open(process) {
            true => kernel.net.listen(process, address),
            false => Err(SocketError::TooManyOpen),
        })?;
        Ok(TcpListener { process, id, local })
    }

    /// Waits for a connection; the stream, and who is at its other end. Cancel safe.
    ///
    /// # Errors
    /// When the process that listened has ended, or has too many files open (EMFILE).
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (endpoint, addresses) = std::future::poll_fn(|context| {
            kernel::with(|kernel| match kernel.operate(self.process) {
                true => {
                    let may_open = kernel.may_open(self.process);
                    kernel.net.accept(self.process, self.id, may_open, context.waker())
                }
                false => std::task::Poll::Pending,
            })
        })
        .await?;
        Ok((TcpStream::new(self.process, endpoint, addresses), addresses.peer.into()))
    }

    /// Where it listens, with the port that was found for port 0.
    ///
    /// # Errors
    /// None in the simulation.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local.into())
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TcpListener").field("local", &self.local).finish()
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        // `None`: the simulation is over, and its sockets with it.
        let _ = kernel::try_with(|kernel| {
            let (net, core) = kernel.net_core();
            net.close_listener(core, self.process, self.id);
        });
    }
}

//! What a socket call answers when it fails: the errno of Linux, with the address that it concerns.

use crate::simulated::descriptors::EMFILE;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
};

/// Why a socket call failed.
///
/// As in Linux, the error of a broken connection is reported once, to whichever call comes first; after that reads see the
/// end of the stream and writes see [`SocketError::BrokenPipe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// ECONNREFUSED: the host is up but nothing listens there.
    #[error("{0} refused the connection: nothing listens on that port")]
    Refused(SocketAddrV4),
    /// ECONNRESET: the peer aborted, or does not know the connection (any more).
    #[error("{0} reset the connection")]
    Reset(SocketAddrV4),
    /// ETIMEDOUT: the peer was silent until all retransmissions were spent.
    #[error("{0} did not answer until all retransmissions were spent: it is down, or the way there or back is cut")]
    TimedOut(SocketAddrV4),
    /// EPIPE: this side was shut down for writing, or the connection is over.
    #[error("the connection to {0} is closed for writing")]
    BrokenPipe(SocketAddrV4),
    /// EADDRINUSE.
    #[error("{0} is in use by another listener on this host")]
    AddressInUse(SocketAddrV4),
    /// EADDRNOTAVAIL for an address.
    #[error("{address} is no address of this host: bind {host}, 127.0.0.1 or 0.0.0.0")]
    AddressNotAvailable { address: SocketAddr, host: Ipv4Addr },
    /// EADDRNOTAVAIL for a port.
    #[error("all ephemeral ports of this host are in use towards {0}: close some connections")]
    PortsExhausted(SocketAddrV4),
    /// ENETUNREACH: the simulated network speaks IPv4 only.
    #[error("{0} is not reachable: the simulated network speaks IPv4 only")]
    Unreachable(SocketAddr),
    /// EMFILE.
    #[error("the process has too many files and sockets open; close some, or raise the limit (ulimit -n)")]
    TooManyOpen,
    /// EBADF: the process that held the socket has ended.
    #[error("the process that held this socket has ended")]
    ProcessEnded,
}

impl From<SocketError> for io::Error {
    fn from(error: SocketError) -> io::Error {
        let kind = match error {
            SocketError::Refused(_) => io::ErrorKind::ConnectionRefused,
            SocketError::Reset(_) => io::ErrorKind::ConnectionReset,
            SocketError::TimedOut(_) => io::ErrorKind::TimedOut,
            SocketError::BrokenPipe(_) => io::ErrorKind::BrokenPipe,
            SocketError::AddressInUse(_) => io::ErrorKind::AddrInUse,
            SocketError::AddressNotAvailable { .. } | SocketError::PortsExhausted(_) => io::ErrorKind::AddrNotAvailable,
            SocketError::Unreachable(_) => io::ErrorKind::NetworkUnreachable,
            // It has no kind that could be named.
            SocketError::TooManyOpen => return io::Error::from_raw_os_error(EMFILE),
            SocketError::ProcessEnded => io::ErrorKind::NotConnected,
        };
        io::Error::new(kind, error)
    }
}

//! TCP of the operating system.

use rustix::net::sockopt;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

pub use crate::socket_options::KeepAlive;
pub use tokio::net::{
    TcpListener, TcpStream,
    tcp::{OwnedReadHalf, OwnedWriteHalf},
};

/// Resolves `host:port`, where host is a name or an address.
///
/// # Errors
/// When the name is not known, or the text has no port.
pub async fn resolve(host_and_port: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host(host_and_port).await?.collect())
}

/// Has the kernel find out whether the peer of an idle connection is still there, or no longer. Off at first.
///
/// # Errors
/// When the kernel refuses one of the figures.
pub fn set_keepalive(stream: &TcpStream, keepalive: Option<KeepAlive>) -> io::Result<()> {
    if let Some(KeepAlive { idle, interval, probes }) = keepalive {
        sockopt::set_tcp_keepidle(stream, idle)?;
        sockopt::set_tcp_keepintvl(stream, interval)?;
        sockopt::set_tcp_keepcnt(stream, probes)?;
    }
    Ok(sockopt::set_socket_keepalive(stream, keepalive.is_some())?)
}

/// Limits how long data may stay unacknowledged before the connection is given up (TCP_USER_TIMEOUT). Off at first: then it
/// is a number of retransmissions, about 15 minutes.
///
/// # Errors
/// When the kernel refuses it.
pub fn set_user_timeout(stream: &TcpStream, timeout: Option<Duration>) -> io::Result<()> {
    // 0 means off.
    let timeout_ms = timeout.map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1));
    Ok(sockopt::set_tcp_user_timeout(stream, timeout_ms)?)
}

/// The address of this host that other hosts would see: the one that routes to the outside, else loopback.
pub fn local_ip() -> IpAddr {
    // "Connecting" a datagram socket sends nothing; it only asks the kernel's routing table (192.0.2.0/24: RFC 5737).
    UdpSocket::bind("0.0.0.0:0")
        .and_then(|socket| {
            socket.connect("192.0.2.1:9")?;
            socket.local_addr()
        })
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

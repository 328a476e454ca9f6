//! TCP of the operating system.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
};

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

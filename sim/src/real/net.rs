//! TCP of the operating system.

use rustix::net::sockopt;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};
use tokio::net::TcpSocket;

pub use crate::socket_options::KeepAlive;
pub use tokio::net::{
    TcpStream,
    tcp::{OwnedReadHalf, OwnedWriteHalf},
};

/// How many connections the kernel accepts ahead of the program (as `tokio::net::TcpListener::bind`).
const BACKLOG: u32 = 1024;

/// A socket that accepts connections, in the shape of `tokio::net::TcpListener`.
#[derive(Debug)]
pub struct TcpListener {
    listener: tokio::net::TcpListener,
    /// The address that was asked for, which the socket's own may stand for.
    ip: IpAddr,
}

impl TcpListener {
    /// Listens on `address`; port 0 for any free one. The unspecified address, 0.0.0.0 or [::], means all addresses of both
    /// families, as it does in Java.
    ///
    /// # Errors
    /// The address is not this machine's, or its port is taken.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let ip = address.ip();
        let listener = match ip.is_unspecified().then(|| listen_on_both_families(address.port())) {
            Some(Ok(listener)) => listener,
            // Without IPv6 there is one family.
            Some(Err(error)) if error.kind() != io::ErrorKind::AddrInUse && ip.is_ipv4() => {
                tokio::net::TcpListener::bind(address).await?
            }
            Some(Err(error)) => return Err(error),
            None => tokio::net::TcpListener::bind(address).await?,
        };
        Ok(Self { listener, ip })
    }

    /// Waits for a connection; the stream, and who is at its other end. Cancel safe.
    ///
    /// # Errors
    /// Mostly that no file descriptor is left.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        Ok((stream, canonical(peer)))
    }

    /// Where it listens, with the port that was found for port 0.
    ///
    /// # Errors
    /// None that is known.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(self.ip, self.listener.local_addr()?.port()))
    }
}

fn listen_on_both_families(port: u16) -> io::Result<tokio::net::TcpListener> {
    let socket = TcpSocket::new_v6()?;
    sockopt::set_ipv6_v6only(&socket, false)?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    socket.listen(BACKLOG)
}

/// An IPv4 peer of a socket of both families has an IPv6 address in which its own is embedded (RFC 4291, 2.5.5.2).
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Skipped where the kernel has no IPv6.
    #[test]
    fn the_unspecified_address_is_every_address_of_both_families() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            for unspecified in [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
                let listener = match TcpListener::bind(SocketAddr::new(unspecified, 0)).await {
                    Ok(listener) => listener,
                    Err(error) if unspecified.is_ipv6() => return eprintln!("skipped: {error}"),
                    Err(error) => panic!("a port is free: {error}"),
                };
                let bound = listener.local_addr().expect("bound");
                assert_eq!(bound.ip(), unspecified);
                for loopback in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
                    if UdpSocket::bind(SocketAddr::new(loopback, 0)).is_err() {
                        continue;
                    }
                    let client = TcpStream::connect(SocketAddr::new(loopback, bound.port())).await.expect("it listens");
                    let (_, peer) = listener.accept().await.expect("a client is there");
                    assert_eq!(
                        peer,
                        client.local_addr().expect("connected"),
                        "the peer's own address, not a mapped one"
                    );
                }
                let taken = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, bound.port()))).await;
                assert_eq!(taken.expect_err("it is taken").kind(), io::ErrorKind::AddrInUse);
            }
        });
    }

    #[test]
    fn the_kernel_takes_the_figures() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port is free");
            let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
            let figures = KeepAlive { idle: Duration::from_secs(30), interval: Duration::from_secs(5), probes: 3 };
            set_keepalive(&stream, Some(figures)).expect("Linux has it");
            assert!(sockopt::socket_keepalive(&stream).expect("readable"));
            assert_eq!(sockopt::tcp_keepidle(&stream).expect("readable"), figures.idle);
            assert_eq!(sockopt::tcp_keepintvl(&stream).expect("readable"), figures.interval);
            assert_eq!(sockopt::tcp_keepcnt(&stream).expect("readable"), figures.probes);
            set_keepalive(&stream, None).expect("Linux has it");
            assert!(!sockopt::socket_keepalive(&stream).expect("readable"));
            set_user_timeout(&stream, Some(Duration::from_millis(1_500))).expect("Linux has it");
            assert_eq!(sockopt::tcp_user_timeout(&stream).expect("readable"), 1_500);
            set_user_timeout(&stream, None).expect("Linux has it");
            assert_eq!(sockopt::tcp_user_timeout(&stream).expect("readable"), 0);
        });
    }

    /// The defaults are those of the kernel that this runs on, unless its administrator has changed them.
    #[test]
    fn the_default_figures_are_those_of_linux() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port is free");
            let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
            let found = KeepAlive {
                idle: sockopt::tcp_keepidle(&stream).expect("readable"),
                interval: sockopt::tcp_keepintvl(&stream).expect("readable"),
                probes: sockopt::tcp_keepcnt(&stream).expect("readable"),
            };
            let set = |name: &str| {
                std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).map(|it| it.trim().to_owned())
            };
            let is_changed = set("tcp_keepalive_time").is_ok_and(|it| it != "7200")
                || set("tcp_keepalive_intvl").is_ok_and(|it| it != "75")
                || set("tcp_keepalive_probes").is_ok_and(|it| it != "9");
            assert!(is_changed || found == KeepAlive::default(), "{found:?}");
        });
    }
}

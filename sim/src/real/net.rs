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

#[cfg(test)]
mod tests {
    use super::*;

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

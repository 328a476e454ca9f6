//! Names and addresses: `/etc/hosts` of the simulated world.

use super::super::kernel;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Resolves `host:port`, where host is a name that the world knows, `localhost`, or an address.
///
/// # Errors
/// `InvalidInput` when the text has no port, `Other` when the name is not known.
pub async fn resolve(host_and_port: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host_and_port.parse() {
        return Ok(vec![address]);
    }
    let (name, port) = host_and_port
        .rsplit_once(':')
        .and_then(|(name, port)| Some((name, port.parse().ok()?)))
        .ok_or_else(|| invalid(host_and_port))?;
    let address = match name {
        "localhost" => Some(Ipv4Addr::LOCALHOST),
        _ => kernel::with(|kernel| kernel.net.lookup(name)),
    };
    let address =
        address.ok_or_else(|| io::Error::other(format!("no host of the simulated world is named {name:?}")))?;
    Ok(vec![SocketAddr::new(address.into(), port)])
}

fn invalid(host_and_port: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{host_and_port:?} is not of the form host:port"))
}

/// The address of the polled task's host that other hosts see.
///
/// # Panics
/// In the harness, which runs on no host.
pub fn local_ip() -> IpAddr {
    let process = kernel::current_process();
    kernel::with(|kernel| kernel.net.address(process.host)).into()
}

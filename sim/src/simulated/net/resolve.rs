//! Names and addresses of the simulated world, as a program asks for them.

use super::{
    super::{kernel, time},
    names::{ATTEMPT_TIMEOUT, ATTEMPTS, Attempt},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Resolves `host:port`, where host is a name that the world knows, `localhost`, or an address.
///
/// # Errors
/// `InvalidInput` when the text has no port, `Other` when the name is not known, or the name service does not answer.
pub async fn resolve(host_and_port: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host_and_port.parse() {
        return Ok(vec![address]);
    }
    let (name, port) = host_and_port
        .rsplit_once(':')
        .and_then(|(name, port)| Some((name, port.parse().ok()?)))
        .ok_or_else(|| invalid(host_and_port))?;
    let address = match name {
        "localhost" => Ipv4Addr::LOCALHOST,
        _ => ask(name).await?,
    };
    Ok(vec![SocketAddr::new(address.into(), port)])
}

/// What glibc's resolver does.
async fn ask(name: &str) -> io::Result<Ipv4Addr> {
    for _ in 0..ATTEMPTS {
        let attempt = kernel::with(|kernel| {
            let host = kernel.current().map(|process| process.host);
            kernel.net.attempt_to_resolve(host)
        });
        match attempt {
            Attempt::Answer(delay) => {
                if !delay.is_zero() {
                    time::sleep(delay).await;
                }
                let address = kernel::with(|kernel| kernel.net.lookup(name));
                let unknown = || io::Error::other(format!("no host of the simulated world is named {name:?}"));
                return address.ok_or_else(unknown);
            }
            Attempt::Failure => break,
            Attempt::Silence => time::sleep(ATTEMPT_TIMEOUT).await,
        }
    }
    // EAI_AGAIN, in glibc's words.
    let text = format!("{name:?}: temporary failure in name resolution: the host's name service fails or is silent");
    Err(io::Error::other(text))
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

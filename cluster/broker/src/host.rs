//! A host as it is announced to others (`brokerIP1`, `brokerIP2`): an address, or a name that they resolve themselves, as
//! the services of container platforms have.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A host by its address or its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A name.
    Name(String),
}

/// The text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an IP address or a host name, without a port")]
pub struct NotAHost;

/// The longest name (RFC 1035, 2.3.4).
const NAME_MAX: usize = 253;
/// The longest part of a name between two dots.
const LABEL_MAX: usize = 63;

impl Host {
    /// `host:port`; an IPv6 address stands in brackets.
    #[must_use]
    pub fn with_port(&self, port: u16) -> String {
        match self {
            Self::Ip(ip) => SocketAddr::new(*ip, port).to_string(),
            Self::Name(name) => format!("{name}:{port}"),
        }
    }

    /// The address of this host, for the ids of messages, which have room for no name: its own, or what its name resolves
    /// to here, or else the address of this machine.
    pub(crate) async fn resolve(&self) -> IpAddr {
        let name = match self {
            Self::Ip(ip) => return *ip,
            Self::Name(name) => name,
        };
        let found = sim::net::resolve(&self.with_port(0)).await;
        let error = match &found {
            Ok(found) => {
                let ipv4 = found.iter().find(|found| found.is_ipv4()).or(found.first());
                if let Some(found) = ipv4 {
                    return found.ip();
                }
                "it has no address".to_owned()
            }
            Err(error) => error.to_string(),
        };
        let instead = sim::net::local_ip();
        tracing::warn!(
            host = name,
            error,
            %instead,
            "the announced host name is not known here: the ids of messages have this machine's own address"
        );
        instead
    }
}

impl Display for Host {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl FromStr for Host {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(in_brackets) = bare {
            return in_brackets.parse().ok().filter(IpAddr::is_ipv6).map(Self::Ip).ok_or(NotAHost);
        }
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        if is_name(text) { Ok(Self::Name(text.to_owned())) } else { Err(NotAHost) }
    }
}

/// Whether this is a host name (RFC 1123, 2.1): one whose last part is a number would be a mistyped address. Underscores,
/// which the RFC does not have, occur in the names of services.
fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= NAME_MAX && text.split('.').all(is_label) && !last_is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_read_and_announced() {
        for (text, announced) in [
            ("10.0.0.1", "10.0.0.1:10911"),
            ("::1", "[::1]:10911"),
            ("[fd00::7]", "[fd00::7]:10911"),
            ("rmqbroker", "rmqbroker:10911"),
            ("broker_a-0.mq.svc.cluster.local", "broker_a-0.mq.svc.cluster.local:10911"),
            ("mq.example.", "mq.example.:10911"),
        ] {
            assert_eq!(text.parse::<Host>().expect(text).with_port(10_911), announced);
        }
    }

    #[test]
    fn what_names_no_host_is_refused() {
        let long = "a".repeat(64);
        for text in
            ["", "10.0.0.256", "10.0.0", "1.2.3.4:10911", "[10.0.0.1]", "[::1", "a b", "${HOST}", "-a", "a..b", &long]
        {
            assert_eq!(text.parse::<Host>(), Err(NotAHost), "{text}");
        }
    }
}

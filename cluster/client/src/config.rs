//! What a producer or consumer is told about its cluster and itself (`ClientConfig`), and the client id made of it.
//!
//! Left out on purpose: TLS, namespaces, and the thread counts of Java's client (there are no threads to count).

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::ClientError;

/// The instance name of a client that was given none (`UtilAll`'s `rocketmq.client.name` default).
pub const DEFAULT_INSTANCE_NAME: &str = "DEFAULT";

/// The settings that producers, consumers and admin clients share (`ClientConfig`).
///
/// ```
/// use client::ClientConfig;
///
/// let config = ClientConfig { instance_name: "orders".into(), ..ClientConfig::new(["10.0.0.1:9876", "10.0.0.2:9876"]) };
/// assert_eq!(config.namesrv_addr.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The name servers, `host:port` each.
    pub namesrv_addr: Vec<String>,
    /// Tells the clients of one machine apart. Clients with the same address, name and unit share one instance, that is
    /// one set of connections. `DEFAULT` becomes a name of its own for each producer and each clustering consumer.
    pub instance_name: String,
    /// Appended to the client id.
    pub unit_name: Option<String>,
    /// The address in the client id; `None` is the host's own.
    pub client_ip: Option<IpAddr>,
    /// How often routes are asked for.
    pub poll_name_server_interval: Duration,
    /// How often every broker hears that the client lives. A broker forgets a client after 120 s.
    pub heartbeat_broker_interval: Duration,
    /// How often consumers store what they have consumed.
    pub persist_consumer_offset_interval: Duration,
    /// How long one question to a name server or broker may take, apart from sends and pulls.
    pub mq_client_api_timeout: Duration,
    /// Whether brokers are spoken to on their fast port, two below the usual one (Java's default until 4.5.1).
    pub vip_channel_enabled: bool,
    /// Where broadcasting consumers keep their offsets, as `{store_root}/{client id}/{group}/offsets.json`. Java keeps them
    /// in `~/.rocketmq_offsets`; this crate reads no environment, so the default is relative to the working directory.
    pub store_root: PathBuf,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            namesrv_addr: Vec::new(),
            instance_name: DEFAULT_INSTANCE_NAME.to_owned(),
            unit_name: None,
            client_ip: None,
            poll_name_server_interval: Duration::from_secs(30),
            heartbeat_broker_interval: Duration::from_secs(30),
            persist_consumer_offset_interval: Duration::from_secs(5),
            mq_client_api_timeout: Duration::from_secs(3),
            vip_channel_enabled: false,
            store_root: PathBuf::from(".rocketmq_offsets"),
        }
    }
}

impl ClientConfig {
    /// The defaults with these name servers.
    pub fn new<A: Into<String>>(namesrv_addr: impl IntoIterator<Item = A>) -> Self {
        Self { namesrv_addr: namesrv_addr.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        if self.namesrv_addr.is_empty() {
            return Err(ClientError::NoNameServer);
        }
        let bad_addr = |addr: &&String| addr.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err());
        if let Some(addr) = self.namesrv_addr.iter().find(bad_addr) {
            return Err(ClientError::setting("namesrv_addr", addr, "host:port"));
        }
        if self.instance_name.is_empty() {
            return Err(ClientError::setting("instance_name", "", "a name"));
        }
        let intervals = [
            ("poll_name_server_interval", self.poll_name_server_interval),
            ("heartbeat_broker_interval", self.heartbeat_broker_interval),
            ("persist_consumer_offset_interval", self.persist_consumer_offset_interval),
            ("mq_client_api_timeout", self.mq_client_api_timeout),
        ];
        match intervals.iter().find(|(_, interval)| interval.is_zero()) {
            Some((name, _)) => Err(ClientError::setting(name, "0", "more than 0")),
            None => Ok(()),
        }
    }

    /// Replaces the name `DEFAULT` by `pid#number` (`changeInstanceNameToPID`), so that two clients of one process are two
    /// members of their groups. Java's number is `System.nanoTime()`, which means nothing outside of its process either;
    /// here it is random, because two clients may start at the same instant of a simulated clock.
    pub(crate) fn change_instance_name_to_pid(&mut self) {
        if self.instance_name == DEFAULT_INSTANCE_NAME {
            self.instance_name = format!("{}#{}", sim::process::id(), sim::rng::u64("client instance name") >> 1);
        }
    }

    /// `ip@instance[@unit]` (`buildMQClientId`).
    pub(crate) fn client_id(&self) -> String {
        let ip = self.client_ip.unwrap_or_else(sim::net::local_ip);
        match self.unit_name.as_deref() {
            Some(unit) if !unit.trim().is_empty() => format!("{ip}@{}@{unit}", self.instance_name),
            _ => format!("{ip}@{}", self.instance_name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_id_has_ip_instance_and_unit() {
        let mut config = ClientConfig::new(["a:1"]);
        config.client_ip = Some([192, 0, 2, 2].into());
        config.instance_name = "x".into();
        assert_eq!(config.client_id(), "192.0.2.2@x");
        config.unit_name = Some("u1".into());
        assert_eq!(config.client_id(), "192.0.2.2@x@u1");
        config.unit_name = Some(" ".into());
        assert_eq!(config.client_id(), "192.0.2.2@x");
    }

    #[test]
    fn refuses_what_cannot_work() {
        assert!(matches!(ClientConfig::default().check(), Err(ClientError::NoNameServer)));
        assert!(ClientConfig::new(["localhost"]).check().is_err());
        assert!(ClientConfig::new(["localhost:x"]).check().is_err());
        assert!(ClientConfig::new(["[::1]:9876", "ns-1:9876"]).check().is_ok());
        let zero = ClientConfig { heartbeat_broker_interval: Duration::ZERO, ..ClientConfig::new(["a:1"]) };
        assert!(zero.check().is_err());
    }
}

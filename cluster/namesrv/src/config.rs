//! The settings of a name server (`NamesrvConfig`, `NettyServerConfig`), under RocketMQ's names in property files.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use remoting::ServerConfig;

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesrvConfig {
    /// Where to listen: `listenPort`, 9876 on all addresses.
    pub listen: SocketAddr,
    /// Where the key-value configuration is kept: `kvConfigPath`. Its directory is created when something is put.
    pub kv_config_path: PathBuf,
    /// The file that changed settings are written to: `configStorePath`. Without one they last until the next start.
    pub config_store_path: Option<PathBuf>,
    /// How long a broker may be silent before it is taken off the routes, unless it says so itself when it registers
    /// (`DEFAULT_BROKER_CHANNEL_EXPIRED_TIME`). 120 s.
    pub broker_channel_expired_time: Duration,
    /// What may change at run time.
    pub settings: Settings,
    /// The limits of connections.
    pub server: ServerConfig,
}

impl Default for NamesrvConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9876)),
            kv_config_path: PathBuf::from("namesrv/kvConfig.json"),
            config_store_path: None,
            broker_channel_expired_time: Duration::from_secs(120),
            settings: Settings::default(),
            server: ServerConfig::default(),
        }
    }
}

impl NamesrvConfig {
    /// The names of the settings that are read at the start only; [`Settings::NAMES`] are the others.
    pub const START_NAMES: [&str; 5] =
        ["listenPort", "bindAddress", "kvConfigPath", "configStorePath", "serverChannelMaxIdleTimeSeconds"];

    /// Sets one setting by its name in a property file.
    ///
    /// # Errors
    /// There is no such setting, or it cannot have this value. Nothing has changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        let invalid = |allowed| SettingError::Invalid { key: key.to_owned(), value: value.to_owned(), allowed };
        match key {
            "listenPort" => self.listen.set_port(value.parse().map_err(|_| invalid("a port from 0 to 65535"))?),
            "bindAddress" => {
                let bare = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(value);
                self.listen.set_ip(bare.parse().map_err(|_| invalid("an IP address of this host"))?);
            }
            "kvConfigPath" => self.kv_config_path = path(value).ok_or_else(|| invalid("a path"))?,
            "configStorePath" => self.config_store_path = Some(path(value).ok_or_else(|| invalid("a path"))?),
            "serverChannelMaxIdleTimeSeconds" => match value.parse() {
                Ok(seconds @ 1..=86_400) => self.server.channel_idle_max = Duration::from_secs(seconds),
                _ => return Err(invalid("seconds from 1 to 86400")),
            },
            _ => return self.settings.set(key, value),
        }
        Ok(())
    }

    /// All settings as a property file, with `settings` as those that may have changed since the start.
    #[must_use]
    pub fn properties(&self, settings: &Settings) -> String {
        let mut pairs = vec![
            ("listenPort", self.listen.port().to_string()),
            ("bindAddress", self.listen.ip().to_string()),
            ("kvConfigPath", self.kv_config_path.display().to_string()),
        ];
        pairs.extend(self.config_store_path.iter().map(|path| ("configStorePath", path.display().to_string())));
        pairs.push(("serverChannelMaxIdleTimeSeconds", self.server.channel_idle_max.as_secs().to_string()));
        pairs.extend(settings.properties());
        pairs.into_iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    }
}

fn path(value: &str) -> Option<PathBuf> {
    (!value.is_empty()).then(|| PathBuf::from(value))
}

/// What UPDATE_NAMESRV_CONFIG may change while the name server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `scanNotActiveBrokerInterval` (ms): how often silent brokers are looked for. 5 s.
    pub scan_not_active_broker_interval: Duration,
    /// `orderMessageEnable`: whether routes tell the order configuration of their topic. Off.
    pub order_message_enable: bool,
    /// `returnOrderTopicConfigToBroker`: whether a broker that registers is told all order configuration. On.
    pub return_order_topic_config_to_broker: bool,
    /// `enableAllTopicList`: whether the list of all topics may be asked for. On.
    pub enable_all_topic_list: bool,
    /// `enableTopicList`: whether the topics of a cluster may be asked for. On.
    pub enable_topic_list: bool,
    /// `deleteTopicWithBrokerRegistration`: whether a topic that a broker no longer registers is forgotten. Off.
    pub delete_topic_with_broker_registration: bool,
    /// `supportActingMaster`: whether a slave may stand in for an absent master. Off.
    pub support_acting_master: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scan_not_active_broker_interval: Duration::from_secs(5),
            order_message_enable: false,
            return_order_topic_config_to_broker: true,
            enable_all_topic_list: true,
            enable_topic_list: true,
            delete_topic_with_broker_registration: false,
            support_acting_master: false,
        }
    }
}

/// Why a setting cannot have a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No such setting, or it cannot be changed while the name server runs.
    #[error("{key} is no setting that can be changed here; those are {}", Settings::NAMES.join(", "))]
    Unknown {
        /// The name that was given.
        key: String,
    },
    /// Not a value of its type.
    #[error("{key} = {value} is refused: {allowed}")]
    Invalid {
        /// The setting.
        key: String,
        /// The value that was given.
        value: String,
        /// What would be right.
        allowed: &'static str,
    },
}

impl Settings {
    /// The names of all settings, in the order of [`Settings::properties`].
    pub const NAMES: [&str; 7] = [
        "scanNotActiveBrokerInterval",
        "orderMessageEnable",
        "returnOrderTopicConfigToBroker",
        "enableAllTopicList",
        "enableTopicList",
        "deleteTopicWithBrokerRegistration",
        "supportActingMaster",
    ];

    /// Names and values, as a property file has them.
    #[must_use]
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let values = [
            self.scan_not_active_broker_interval.as_millis().to_string(),
            self.order_message_enable.to_string(),
            self.return_order_topic_config_to_broker.to_string(),
            self.enable_all_topic_list.to_string(),
            self.enable_topic_list.to_string(),
            self.delete_topic_with_broker_registration.to_string(),
            self.support_acting_master.to_string(),
        ];
        Self::NAMES.into_iter().zip(values).collect()
    }

    /// Sets one of them by its name.
    ///
    /// # Errors
    /// There is no such setting, or it cannot have this value. Nothing has changed then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        let flag = match key {
            "scanNotActiveBrokerInterval" => {
                self.scan_not_active_broker_interval = milliseconds(key, value)?;
                return Ok(());
            }
            "orderMessageEnable" => &mut self.order_message_enable,
            "returnOrderTopicConfigToBroker" => &mut self.return_order_topic_config_to_broker,
            "enableAllTopicList" => &mut self.enable_all_topic_list,
            "enableTopicList" => &mut self.enable_topic_list,
            "deleteTopicWithBrokerRegistration" => &mut self.delete_topic_with_broker_registration,
            "supportActingMaster" => &mut self.support_acting_master,
            _ => return Err(SettingError::Unknown { key: key.to_owned() }),
        };
        // `Boolean.parseBoolean` is blind to letter case.
        *flag = value.to_ascii_lowercase().parse().map_err(|_| SettingError::Invalid {
            key: key.to_owned(),
            value: value.to_owned(),
            allowed: "true or false",
        })?;
        Ok(())
    }
}

fn milliseconds(key: &str, value: &str) -> Result<Duration, SettingError> {
    match value.parse() {
        Ok(milliseconds @ 1..=3_600_000) => Ok(Duration::from_millis(milliseconds)),
        _ => Err(SettingError::Invalid {
            key: key.to_owned(),
            value: value.to_owned(),
            allowed: "milliseconds from 1 to 3600000",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_can_be_written_and_read_back() {
        let mut changed = Settings {
            scan_not_active_broker_interval: Duration::from_millis(7),
            order_message_enable: true,
            return_order_topic_config_to_broker: false,
            enable_all_topic_list: false,
            enable_topic_list: false,
            delete_topic_with_broker_registration: true,
            support_acting_master: true,
        };
        let mut read = Settings::default();
        for (key, value) in changed.properties() {
            read.set(key, &value).expect("it was written by itself");
        }
        assert_eq!(read, changed);
        assert!(matches!(changed.set("listenPort", "1"), Err(SettingError::Unknown { .. })));
        let mut config = NamesrvConfig { config_store_path: Some("a".into()), ..NamesrvConfig::default() };
        config.listen.set_port(1);
        config.server.channel_idle_max = Duration::from_secs(3);
        let mut read_config = NamesrvConfig::default();
        for line in config.properties(&changed).lines() {
            let (key, value) = line.split_once('=').expect("a pair");
            read_config.set(key, value).expect("it was written by itself");
        }
        assert_eq!(read_config, NamesrvConfig { settings: changed, ..config });
        for (key, value) in [("listenPort", "70000"), ("bindAddress", "here"), ("kvConfigPath", "")] {
            assert!(matches!(read_config.set(key, value), Err(SettingError::Invalid { .. })));
        }
        for value in ["0", "-1", "soon", "3600001"] {
            assert!(matches!(changed.set("scanNotActiveBrokerInterval", value), Err(SettingError::Invalid { .. })));
        }
        assert!(matches!(changed.set("orderMessageEnable", "yes"), Err(SettingError::Invalid { .. })));
        assert_eq!(read, changed);
    }
}

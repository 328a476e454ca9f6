//! Settings that do not go together are refused before anything is opened or listened on; each refusal names the keys and
//! the remedy. What one setting alone may be is said in [`settings`](crate::settings).

use std::path::PathBuf;

use ha::Role;
use protocol::BrokerId;

use crate::config::BrokerConfig;

/// Settings that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Id 0 is the master's.
    #[error(
        "brokerRole=SLAVE with brokerId=0: 0 is the master's id; give each slave of a broker name an id of its own, from 1"
    )]
    SlaveWithMasterId,
    /// A master has the id 0.
    #[error("brokerRole={role} with brokerId={broker_id}: a master's id is 0; set brokerId=0, or brokerRole=SLAVE")]
    MasterWithSlaveId {
        /// The role.
        role: &'static str,
        /// The id given.
        broker_id: BrokerId,
    },
    /// One port cannot serve clients and slaves.
    #[error(
        "haListenPort={port} is listenPort, too: slaves need a port of their own; leave haListenPort out to have listenPort+1"
    )]
    PortsCollide {
        /// The port.
        port: u16,
    },
    /// There is no port after the last.
    #[error("listenPort=65535 leaves no port after it for slaves: set haListenPort")]
    NoHaPort,
    /// More must be there than are waited for.
    #[error(
        "minInSyncReplicas={min} is more than inSyncReplicas={all}: a master cannot need more replicas to accept a message \
         than to acknowledge it; lower minInSyncReplicas or raise inSyncReplicas"
    )]
    MinAboveInSync {
        /// `minInSyncReplicas`.
        min: usize,
        /// `inSyncReplicas`.
        all: usize,
    },
    /// A slave would follow itself.
    #[error(
        "haMasterAddress={address} is this slave's own HA address: name its master's, or leave it to the name servers"
    )]
    FollowsItself {
        /// The address.
        address: String,
    },
    /// Neither name servers nor a setting say who the master is.
    #[error(
        "brokerRole=SLAVE, but neither namesrvAddr nor haMasterAddress is set: it could never find its master; set one"
    )]
    NoWayToTheMaster,
    /// The log would be at another place than the user thinks.
    #[error(
        "storePathCommitLog={} is not the directory commitlog in storePathRootDir={}, where this broker keeps its log; leave it \
         out, and mount or link the other drive there",
        given.display(),
        root.display()
    )]
    LogElsewhere {
        /// `storePathCommitLog`.
        given: PathBuf,
        /// `storePathRootDir`.
        root: PathBuf,
    },
    /// Replication is not looked after before it is given up.
    #[error(
        "haSendHeartbeatInterval={heartbeat_ms} is not below haHousekeepingInterval={housekeeping_ms}: a silent connection \
         would be closed before it may say that it is there; lower the first or raise the second"
    )]
    HeartbeatsTooRare {
        /// `haSendHeartbeatInterval`.
        heartbeat_ms: u64,
        /// `haHousekeepingInterval`.
        housekeeping_ms: u64,
    },
}

/// The role under RocketMQ's name.
pub(crate) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::AsyncMaster => "ASYNC_MASTER",
        Role::SyncMaster => "SYNC_MASTER",
        Role::Slave => "SLAVE",
    }
}

impl BrokerConfig {
    /// Refuses settings that do not go together.
    ///
    /// # Errors
    /// The first that do not.
    pub fn check(&self) -> Result<(), ConfigError> {
        match (self.is_slave(), self.broker_id.is_master()) {
            (true, true) => return Err(ConfigError::SlaveWithMasterId),
            (false, false) => {
                let role = role_name(self.ha.role);
                return Err(ConfigError::MasterWithSlaveId { role, broker_id: self.broker_id });
            }
            _ => {}
        }
        let port = self.listen_port;
        if port != 0 && self.ha_listen_port == Some(port) {
            return Err(ConfigError::PortsCollide { port });
        }
        if port == u16::MAX && self.ha_listen_port.is_none() {
            return Err(ConfigError::NoHaPort);
        }
        let store = &self.store;
        if let Some(given) = self.store_path_commit_log.as_ref().filter(|given| **given != store.commit_log_dir()) {
            let root = store.store_path_root_dir.clone();
            return Err(ConfigError::LogElsewhere { given: given.clone(), root });
        }
        let (min, all) = (self.ha.min_in_sync_replicas, self.ha.in_sync_replicas);
        if min > all {
            return Err(ConfigError::MinAboveInSync { min, all });
        }
        let (heartbeat_ms, housekeeping_ms) =
            (self.ha.ha_send_heartbeat_interval_ms, self.ha.ha_housekeeping_interval_ms);
        if heartbeat_ms >= housekeeping_ms {
            return Err(ConfigError::HeartbeatsTooRare { heartbeat_ms, housekeeping_ms });
        }
        if self.is_slave() {
            if self.namesrv_addr.is_empty() && self.ha_master_address.is_none() {
                return Err(ConfigError::NoWayToTheMaster);
            }
            let own_port = self.ha_listen_addr().port();
            if let Some(address) = &self.ha_master_address
                && own_port != 0
                && self.own_hosts().iter().any(|host| *address == format!("{host}:{own_port}"))
            {
                return Err(ConfigError::FollowsItself { address: address.clone() });
            }
        }
        Ok(())
    }

    fn own_hosts(&self) -> Vec<String> {
        let hosts = [self.advertised_host(), self.advertised_ha_host(), self.bind_address.into()];
        let names = hosts.iter().map(ToString::to_string);
        names.chain(["127.0.0.1".to_owned(), "localhost".to_owned()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn slave() -> BrokerConfig {
        let mut config = BrokerConfig::new("broker-a", "s");
        config.ha.role = Role::Slave;
        config.broker_id = BrokerId(1);
        config.broker_ip1 = Some(IpAddr::from([10, 0, 0, 1]).into());
        config.namesrv_addr = vec!["ns-1:9876".into()];
        config
    }

    fn refused(config: BrokerConfig, change: impl FnOnce(&mut BrokerConfig)) -> String {
        let mut config = config;
        change(&mut config);
        config.check().expect_err("it does not go together").to_string()
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused_by_name() {
        let mut master = BrokerConfig::new("broker-a", "s");
        master.broker_ip1 = Some(IpAddr::from([10, 0, 0, 1]).into());
        assert_eq!(master.check(), Ok(()));
        assert_eq!(slave().check(), Ok(()));
        assert!(refused(slave(), |c| c.broker_id = BrokerId::MASTER).contains("brokerId"));
        assert!(refused(master.clone(), |c| c.broker_id = BrokerId(1)).contains("brokerRole=ASYNC_MASTER"));
        assert!(refused(master.clone(), |c| c.ha_listen_port = Some(c.listen_port)).contains("haListenPort=10911"));
        assert!(refused(master.clone(), |c| c.ha.min_in_sync_replicas = 3).contains("minInSyncReplicas=3"));
        assert!(refused(master.clone(), |c| c.listen_port = u16::MAX).contains("haListenPort"));
        let log = |dir: &str| Some(PathBuf::from(dir));
        assert!(refused(master.clone(), |c| c.store_path_commit_log = log("/data/log")).contains("storePathRootDir=s"));
        master.store_path_commit_log = log("s/commitlog/");
        assert_eq!(master.check(), Ok(()));
        assert!(refused(master, |c| c.ha.ha_send_heartbeat_interval_ms = 20_000).contains("haHousekeepingInterval"));
        assert!(refused(slave(), |c| c.ha_master_address = Some("10.0.0.1:10912".into())).contains("own HA address"));
        assert!(refused(slave(), |c| c.namesrv_addr.clear()).contains("namesrvAddr"));
    }
}

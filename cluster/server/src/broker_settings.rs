//! A broker's settings out of a property file: `broker.conf` under RocketMQ's keys.
//!
//! Unknown keys, and those that have no effect here, are warned about. A value that makes no sense by itself, or not together with the others, is refused with
//! its file, line and key. What each setting may be is said by [`broker::settings`]; which do not go together, by
//! [`broker::config_check`].

use std::error::Error;

use broker::settings::{self, SettingError};
use broker::{BrokerConfig, ConfigError};

use crate::properties::{Properties, PropertiesError, Refusal};

/// Sets what the file says.
///
/// # Errors
/// The first value that makes no sense by itself.
pub fn apply(config: &mut BrokerConfig, properties: &Properties) -> Result<(), PropertiesError> {
    properties.apply(|key, value| settings::set(config, key, value).map_err(refusal))
}

/// Refuses settings that do not go together, naming the place in the file where one of them stands.
///
/// # Errors
/// The first that do not.
pub fn check(config: &BrokerConfig, properties: Option<&Properties>) -> Result<(), Box<dyn Error>> {
    let Err(error) = config.check() else { return Ok(()) };
    let in_file = properties.and_then(|file| keys(&error).iter().find_map(|key| file.refuse(key, error.to_string())));
    Err(in_file.map_or_else(|| error.into(), Box::from))
}

/// The settings that an error is about; the first of them that is in the file is the one to look at.
const fn keys(error: &ConfigError) -> &'static [&'static str] {
    match error {
        ConfigError::SlaveWithMasterId | ConfigError::MasterWithSlaveId { .. } => &["brokerId", "brokerRole"],
        ConfigError::PortsCollide { .. } => &["haListenPort", "listenPort"],
        ConfigError::NoHaPort => &["listenPort"],
        ConfigError::MinAboveInSync { .. } => &["minInSyncReplicas", "inSyncReplicas"],
        ConfigError::FollowsItself { .. } => &["haMasterAddress"],
        ConfigError::NoWayToTheMaster => &["brokerRole"],
        ConfigError::LogElsewhere { .. } => &["storePathCommitLog"],
        ConfigError::HeartbeatsTooRare { .. } => &["haSendHeartbeatInterval", "haHousekeepingInterval"],
    }
}

fn refusal(error: SettingError) -> Refusal {
    match error {
        SettingError::UnknownKey { .. } | SettingError::WithoutEffect { .. } => {
            Refusal::Ignored { why: error.to_string() }
        }
        SettingError::BadValue { allowed, .. } => Refusal::Invalid { allowed },
        SettingError::NeedsRestart { .. } => Refusal::Invalid { allowed: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn refused(text: &str) -> String {
        let properties = Properties::parse(Path::new("broker.conf"), text.as_bytes()).expect("it is well-formed");
        let mut config = BrokerConfig::new("broker-a", "store");
        let applied = apply(&mut config, &properties).map_err(Box::<dyn Error>::from);
        applied.and_then(|()| check(&config, Some(&properties))).expect_err("it makes no sense").to_string()
    }

    #[test]
    fn nonsense_is_refused_by_place_key_and_what_is_allowed() {
        let emperor = refused("brokerName=broker-a\nbrokerRole=EMPEROR\n");
        assert_eq!(emperor, "broker.conf:2: brokerRole = EMPEROR is refused: ASYNC_MASTER, SYNC_MASTER or SLAVE");
        let slave = refused("brokerId=0\nbrokerRole=SLAVE\nnamesrvAddr=ns-1:9876\n");
        assert!(slave.starts_with("broker.conf:1: brokerId = 0 is refused: brokerRole=SLAVE"), "{slave}");
        let lonely = refused("brokerId=1\nbrokerRole=SLAVE\n");
        assert!(lonely.starts_with("broker.conf:2: brokerRole = SLAVE is refused") && lonely.contains("namesrvAddr"));
        let master = refused("# a comment\nbrokerId=2\n");
        assert!(master.starts_with("broker.conf:2: brokerId = 2 is refused: brokerRole=ASYNC_MASTER"), "{master}");
        let itself = refused("brokerIP1=10.0.0.1\nbrokerId=1\nbrokerRole=SLAVE\nhaMasterAddress=10.0.0.1:10912\n");
        assert!(itself.starts_with("broker.conf:4: haMasterAddress = 10.0.0.1:10912 is refused"), "{itself}");
    }

    /// What people put into `broker.conf`, from Apache's documents and what is written about them.
    #[test]
    fn a_configuration_that_served_apaches_broker_serves_this_one() {
        let text = "brokerClusterName=DefaultCluster\nbrokerName=broker-a\nbrokerId=0\nnamesrvAddr=ns-1:9876;ns-2:9876\n\
                    defaultTopicQueueNums=4\nautoCreateTopicEnable=true\nautoCreateSubscriptionGroup=true\nlistenPort=10911\n\
                    deleteWhen=02;04\nfileReservedTime=120\nmapedFileSizeCommitLog=1073741824\n\
                    mapedFileSizeConsumeQueue=6000000\ndestroyMapedFileIntervalForcibly=120000\n\
                    redeleteHangedFileInterval=120000\ndiskMaxUsedSpaceRatio=88\nstorePathRootDir=/data/rocketmq/store\n\
                    storePathCommitLog=/data/rocketmq/store/commitlog\nstorePathConsumeQueue=/data/rocketmq/store/consumequeue\n\
                    storePathIndex=/data/rocketmq/store/index\nstoreCheckpoint=/data/rocketmq/store/checkpoint\n\
                    abortFile=/data/rocketmq/store/abort\nmaxMessageSize=65536\nflushCommitLogLeastPages=4\n\
                    flushConsumeQueueLeastPages=2\nflushCommitLogThoroughInterval=10000\n\
                    flushConsumeQueueThoroughInterval=60000\nbrokerRole=SYNC_MASTER\nflushDiskType=ASYNC_FLUSH\n\
                    checkTransactionMessageEnable=false\nsendMessageThreadPoolNums=128\npullMessageThreadPoolNums=128\n\
                    useReentrantLockWhenPutMessage=true\nwaitTimeMillsInSendQueue=1000\naclEnable=false\n\
                    enablePropertyFilter=true\ntransientStorePoolEnable=false\nwarmMapedFileEnable=false\n\
                    serverChannelMaxIdleTimeSeconds=120\nslaveReadEnable=true\nhaMaxGapNotInSync=268435456\n\
                    inSyncReplicas=2\nminInSyncReplicas=1\nenableAutoInSyncReplicas=true\nslaveTimeout=3000\n\
                    brokerIP1=10.0.0.1\nbrokerIP2=10.0.1.1\ntraceTopicEnable=true\nmsgTraceTopicName=RMQ_SYS_TRACE_TOPIC\n";
        let properties = Properties::parse(Path::new("broker.conf"), text.as_bytes()).expect("it is well-formed");
        let mut config = BrokerConfig::new("unnamed", "store");
        let mut without_effect = Vec::new();
        for setting in properties.settings() {
            match settings::set(&mut config, &setting.key, &setting.value) {
                Ok(()) => {}
                Err(SettingError::WithoutEffect { key, .. }) => without_effect.push(key),
                Err(error) => panic!("line {}: {error}", setting.line),
            }
        }
        check(&config, Some(&properties)).expect("they go together");
        assert_eq!(without_effect.len(), 13, "{without_effect:?}");
        assert_eq!((config.ha.in_sync_replicas, config.store.max_message_size_bytes), (2, 65_536));
    }

    #[test]
    fn the_size_of_queue_files_is_rounded_up_to_units() {
        for (asked, taken) in [("1048576", 1_048_580), ("6000000", 6_000_000), ("1", 20)] {
            let text = format!("mappedFileSizeConsumeQueue={asked}\n");
            let properties = Properties::parse(Path::new("broker.conf"), text.as_bytes()).expect("it is well-formed");
            let mut config = BrokerConfig::new("broker-a", "store");
            apply(&mut config, &properties).expect("it is a size");
            assert_eq!(config.store.mapped_file_size_consume_queue_bytes, taken);
        }
    }

    #[test]
    fn a_default_that_does_not_fit_is_named_without_a_place() {
        let mut config = BrokerConfig::new("broker-a", "store");
        config.ha.min_in_sync_replicas = 3;
        let error = check(&config, None).expect_err("it makes no sense").to_string();
        assert!(error.starts_with("minInSyncReplicas=3"), "{error}");
    }
}

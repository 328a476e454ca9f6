//! Settings under RocketMQ's own keys: what `broker.conf`, `getBrokerConfig` and `updateBrokerConfig` speak.
//!
//! One table ties each key to a field of [`BrokerConfig`] or its store; reading, showing and the list of keys come from
//! it. Which keys may change while the broker runs is part of the table. [`apache`] has those that mean nothing here.

mod answered;
mod apache;

use std::net::IpAddr;

pub use answered::answered;
use ha::Role;
use protocol::{BrokerId, perm};
use store::{DeleteWhen, FlushDiskType, StoreConfig};

use crate::config::BrokerConfig;
use crate::config_check::role_name;
use crate::host::{Host, NotAHost};
use crate::state::delay_level::DelayLevels;

/// Why a setting was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// There is no setting of this name, here or in Apache's brokers.
    #[error("there is no setting {key}{}", did_you_mean(*near))]
    UnknownKey {
        /// The key.
        key: String,
        /// The one that may have been meant.
        near: Option<&'static str>,
    },
    /// Apache's brokers have the setting; here it has no effect.
    #[error("{key} has no effect: {why}")]
    WithoutEffect {
        /// The key.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// The value makes no sense.
    #[error("{key} = {value} makes no sense: allowed is {allowed}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value given.
        value: String,
        /// What would have been right.
        allowed: String,
    },
    /// The setting is read when the broker starts.
    #[error("{key} cannot be changed while the broker runs: set it in broker.conf and restart")]
    NeedsRestart {
        /// The key.
        key: &'static str,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

/// A type that a setting can have. The error says what is allowed.
trait SettingValue: Sized {
    fn from_text(text: &str) -> Result<Self, String>;
    fn to_text(&self) -> String;
}

macro_rules! number_settings {
    ($($type:ty),+) => {$(
        impl SettingValue for $type {
            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("a whole number from {} to {}", Self::MIN, Self::MAX))
            }
            fn to_text(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
number_settings!(i32, u16, u32, u64, usize);

impl SettingValue for bool {
    fn from_text(text: &str) -> Result<Self, String> {
        // `Boolean.parseBoolean` is blind to letter case.
        text.to_ascii_lowercase().parse().map_err(|_| "true or false".to_owned())
    }
    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for String {
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("a text that is not empty".to_owned()) } else { Ok(text.to_owned()) }
    }
    fn to_text(&self) -> String {
        self.clone()
    }
}

impl SettingValue for IpAddr {
    fn from_text(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        bare.parse().map_err(|_| "an IP address".to_owned())
    }
    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for Option<Host> {
    fn from_text(text: &str) -> Result<Self, String> {
        let host = (!text.is_empty()).then(|| text.parse()).transpose();
        host.map_err(|error: NotAHost| error.to_string())
    }
    fn to_text(&self) -> String {
        self.as_ref().map_or_else(String::new, Host::to_string)
    }
}

impl SettingValue for Option<u16> {
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { u16::from_text(text).map(Some) }
    }
    fn to_text(&self) -> String {
        self.map_or_else(String::new, |number| number.to_string())
    }
}

impl SettingValue for Option<u64> {
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { u64::from_text(text).map(Some) }
    }
    fn to_text(&self) -> String {
        self.map_or_else(String::new, |number| number.to_string())
    }
}

impl SettingValue for Option<String> {
    fn from_text(text: &str) -> Result<Self, String> {
        let one = Vec::<String>::from_text(text).ok().filter(|addrs| addrs.len() <= 1);
        one.map(|mut addrs| addrs.pop()).ok_or_else(|| "host:port".to_owned())
    }
    fn to_text(&self) -> String {
        self.clone().unwrap_or_default()
    }
}

impl SettingValue for Role {
    fn from_text(text: &str) -> Result<Self, String> {
        let roles = [Self::AsyncMaster, Self::SyncMaster, Self::Slave];
        let known = roles.into_iter().find(|role| role_name(*role).eq_ignore_ascii_case(text));
        known.ok_or_else(|| "ASYNC_MASTER, SYNC_MASTER or SLAVE".to_owned())
    }
    fn to_text(&self) -> String {
        role_name(*self).to_owned()
    }
}

impl SettingValue for std::path::PathBuf {
    fn from_text(text: &str) -> Result<Self, String> {
        // As Java, we take them literally, which nobody means.
        let is_for_a_shell = text.starts_with('~') || text.contains('$');
        if text.is_empty() || is_for_a_shell {
            return Err("a directory, written in full: ~ and $ are not replaced here".to_owned());
        }
        Ok(text.into())
    }
    fn to_text(&self) -> String {
        self.display().to_string()
    }
}

impl SettingValue for Option<std::path::PathBuf> {
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { std::path::PathBuf::from_text(text).map(Some) }
    }
    fn to_text(&self) -> String {
        self.as_ref().map(SettingValue::to_text).unwrap_or_default()
    }
}

impl SettingValue for DeleteWhen {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: store::NotHours| error.to_string())
    }
    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for BrokerId {
    fn from_text(text: &str) -> Result<Self, String> {
        let id = text.parse().ok().filter(|id| *id >= 0);
        id.map(BrokerId).ok_or_else(|| "0 for a master, a positive number for a slave".to_owned())
    }
    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for Vec<String> {
    fn from_text(text: &str) -> Result<Self, String> {
        let addrs: Self =
            text.split([';', ',']).map(str::trim).filter(|addr| !addr.is_empty()).map(str::to_owned).collect();
        let good = |addr: &String| {
            addr.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if addrs.iter().all(good) { Ok(addrs) } else { Err("host:port, several separated by ;".to_owned()) }
    }
    fn to_text(&self) -> String {
        self.join(";")
    }
}

impl SettingValue for FlushDiskType {
    fn from_text(text: &str) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "SYNC_FLUSH" => Ok(Self::SyncFlush),
            "ASYNC_FLUSH" => Ok(Self::AsyncFlush),
            _ => Err("SYNC_FLUSH or ASYNC_FLUSH".to_owned()),
        }
    }
    fn to_text(&self) -> String {
        match self {
            Self::SyncFlush => "SYNC_FLUSH",
            Self::AsyncFlush => "ASYNC_FLUSH",
        }
        .to_owned()
    }
}

impl SettingValue for DelayLevels {
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|_| "numbers with s, m, h or d, separated by spaces, such as 1s 5s 10s".to_owned())
    }
    fn to_text(&self) -> String {
        self.to_string()
    }
}

/// What a value must be beyond its type.
#[derive(Clone, Copy)]
enum Rule {
    Any,
    AtLeastOne,
    Perm,
    /// More queues in one topic are a slip of the keyboard: each is a directory, and a line in many tables.
    QueueNums,
    /// Name servers forget a broker of which they have not heard for 120 s; Apache's brokers allow 10 s to 60 s.
    Registration,
}

/// The most queues that a topic has when it makes itself.
const QUEUE_NUMS_MAX: i64 = 16_384;

impl Rule {
    fn check(self, text: &str) -> Result<(), &'static str> {
        let number = text.parse::<i64>().unwrap_or(0);
        match self {
            Self::AtLeastOne if number < 1 => Err("a whole number above 0"),
            Self::Perm if !(i32::try_from(number).is_ok_and(perm::is_valid) && number & 1 == 0) => {
                Err("2 (write), 4 (read) or 6 (both)")
            }
            Self::QueueNums if !(1..=QUEUE_NUMS_MAX).contains(&number) => Err("1 to 16384 queues"),
            Self::Registration if !(1..=60_000).contains(&number) => Err("1 to 60000 ms"),
            _ => Ok(()),
        }
    }
}

/// Whether a setting may change while the broker runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Start,
    Any,
}

struct Setting {
    key: &'static str,
    when: When,
    rule: Rule,
    get: fn(&BrokerConfig) -> String,
    set: fn(&mut BrokerConfig, &str) -> Result<(), String>,
}

macro_rules! settings {
    ($( $key:literal, $when:ident, $rule:ident => $($field:ident).+ ; )+) => {
        &[$( Setting {
            key: $key,
            when: When::$when,
            rule: Rule::$rule,
            get: |config| SettingValue::to_text(&config.$($field).+),
            set: |config, text| SettingValue::from_text(text).map(|value| config.$($field).+ = value),
        } ),+]
    };
}

/// Every setting, by the alphabet of its key.
const SETTINGS: &[Setting] = settings! {
    "accessMessageInMemoryMaxBytes", Any, Any => store.access_message_in_memory_max_bytes;
    "autoCreateSubscriptionGroup", Any, Any => auto_create_subscription_group;
    "autoCreateTopicEnable", Any, Any => auto_create_topic_enable;
    "bindAddress", Start, Any => bind_address;
    "brokerClusterName", Start, Any => broker_cluster_name;
    "brokerFastFailureEnable", Any, Any => broker_fast_failure_enable;
    "brokerIP1", Start, Any => broker_ip1;
    "brokerIP2", Start, Any => broker_ip2;
    "brokerId", Start, Any => broker_id;
    "brokerName", Start, Any => broker_name;
    "brokerPermission", Any, Perm => broker_permission;
    "brokerRole", Start, Any => ha.role;
    "brokerTopicEnable", Start, Any => broker_topic_enable;
    "channelExpiredTimeout", Any, AtLeastOne => channel_expired_timeout_ms;
    "checkCRCOnRecover", Start, Any => store.check_crc_on_recover;
    "cleanFileForciblyEnable", Any, Any => store.clean_file_forcibly_enable;
    "cleanResourceInterval", Start, AtLeastOne => store.clean_resource_interval_ms;
    "clusterTopicEnable", Start, Any => cluster_topic_enable;
    "defaultTopicQueueNums", Start, QueueNums => default_topic_queue_nums;
    "deleteFileBatchMax", Any, AtLeastOne => store.delete_file_batch_max;
    "deleteWhen", Any, Any => store.delete_when;
    "diskMaxUsedSpaceRatio", Any, Any => store.disk_max_used_space_ratio_percent;
    "diskSpaceCleanForciblyRatio", Any, Any => store.disk_space_clean_forcibly_ratio_percent;
    "diskSpaceWarningLevelRatio", Any, Any => store.disk_space_warning_level_ratio_percent;
    "enableAutoInSyncReplicas", Start, Any => ha.enable_auto_in_sync_replicas;
    "enabledAppendPropCRC", Start, Any => store.enabled_append_prop_crc;
    "fileReservedTime", Any, AtLeastOne => store.file_reserved_time_hours;
    "flushCommitLogLeastPages", Any, Any => store.flush_commit_log_least_pages;
    "flushCommitLogThoroughInterval", Any, AtLeastOne => store.flush_commit_log_thorough_interval_ms;
    "flushCommitLogTimed", Any, Any => store.flush_commit_log_timed;
    "flushConsumeQueueLeastPages", Any, Any => store.flush_consume_queue_least_pages;
    "flushConsumeQueueThoroughInterval", Any, AtLeastOne => store.flush_consume_queue_thorough_interval_ms;
    "flushConsumerOffsetInterval", Start, AtLeastOne => flush_consumer_offset_interval_ms;
    "flushDelayOffsetInterval", Start, AtLeastOne => flush_delay_offset_interval_ms;
    "flushDiskType", Start, Any => store.flush_disk_type;
    "flushIntervalCommitLog", Any, AtLeastOne => store.flush_interval_commit_log_ms;
    "flushIntervalConsumeQueue", Any, AtLeastOne => store.flush_interval_consume_queue_ms;
    "haFlowControlEnable", Start, Any => ha.ha_flow_control_enable;
    "haHousekeepingInterval", Start, AtLeastOne => ha.ha_housekeeping_interval_ms;
    "haListenPort", Start, Any => ha_listen_port;
    "haMasterAddress", Start, Any => ha_master_address;
    "haSendHeartbeatInterval", Start, AtLeastOne => ha.ha_send_heartbeat_interval_ms;
    "haSlaveFallbehindMax", Start, AtLeastOne => ha.ha_slave_fallbehind_max_bytes;
    "haTailRecoveryTimeoutMillis", Start, Any => ha_tail_recovery_timeout_ms;
    "haTransferBatchSize", Start, AtLeastOne => ha.ha_transfer_batch_size_bytes;
    "haTransferFromLastFile", Start, Any => ha.ha_transfer_from_last_file;
    "inSyncReplicas", Start, AtLeastOne => ha.in_sync_replicas;
    "listenPort", Start, Any => listen_port;
    "longPollingEnable", Any, Any => long_polling_enable;
    "mappedFileSizeCommitLog", Start, AtLeastOne => store.mapped_file_size_commit_log_bytes;
    "mappedFileSizeConsumeQueue", Start, AtLeastOne => store.mapped_file_size_consume_queue_bytes;
    "maxHaTransferByteInSecond", Start, AtLeastOne => ha.max_ha_transfer_byte_in_second;
    "maxHashSlotNum", Start, AtLeastOne => store.max_hash_slot_num;
    "maxIndexNum", Start, AtLeastOne => store.max_index_num;
    "maxMessageSize", Any, AtLeastOne => store.max_message_size_bytes;
    "maxPullNums", Any, AtLeastOne => max_pull_nums;
    "maxTransferBytesOnMessageInDisk", Any, AtLeastOne => store.max_transfer_bytes_on_message_in_disk;
    "maxTransferBytesOnMessageInMemory", Any, AtLeastOne => store.max_transfer_bytes_on_message_in_memory;
    "maxTransferCountOnMessageInDisk", Any, AtLeastOne => store.max_transfer_count_on_message_in_disk;
    "maxTransferCountOnMessageInMemory", Any, AtLeastOne => store.max_transfer_count_on_message_in_memory;
    "messageDelayLevel", Start, Any => message_delay_level;
    "messageIndexEnable", Start, Any => store.message_index_enable;
    "minInSyncReplicas", Start, AtLeastOne => ha.min_in_sync_replicas;
    "namesrvAddr", Any, Any => namesrv_addr;
    "notifyConsumerIdsChangedEnable", Any, Any => notify_consumer_ids_changed_enable;
    "osPageCacheBusyTimeOutMills", Any, AtLeastOne => os_page_cache_busy_time_out_ms;
    "regionId", Any, Any => region_id;
    "registerBrokerTimeoutMills", Any, AtLeastOne => register_broker_timeout_ms;
    "registerNameServerPeriod", Any, Registration => register_name_server_period_ms;
    "sendThreadPoolQueueCapacity", Any, AtLeastOne => send_thread_pool_queue_capacity;
    "serverChannelMaxIdleTimeMills", Start, AtLeastOne => server_channel_max_idle_time_ms;
    "shortPollingTimeMills", Any, AtLeastOne => short_polling_time_ms;
    "shutdownGraceMills", Any, Any => shutdown_grace_ms;
    "slaveReadEnable", Any, Any => slave_read_enable;
    "slaveSynchronizeDelay", Start, Any => slave_synchronize_delay_ms;
    "slaveSynchronizeInterval", Start, AtLeastOne => slave_synchronize_interval_ms;
    "slaveTimeout", Start, AtLeastOne => ha.slave_timeout_ms;
    "storePathCommitLog", Start, Any => store_path_commit_log;
    "storePathRootDir", Start, Any => store.store_path_root_dir;
    "syncFlushTimeout", Any, AtLeastOne => store.sync_flush_timeout_ms;
    "tailCacheMaxBytes", Start, Any => store.tail_cache_max_bytes;
    "traceOn", Any, Any => trace_on;
    "traceTopicEnable", Start, Any => trace_topic_enable;
    "waitTimeMillsInSendQueue", Any, AtLeastOne => wait_time_in_send_queue_ms;
};

/// The settings that most files change (`ImportantField` in Apache's sources).
pub const IMPORTANT: &[&str] = &[
    "autoCreateSubscriptionGroup",
    "autoCreateTopicEnable",
    "brokerClusterName",
    "brokerIP1",
    "brokerIP2",
    "brokerId",
    "brokerName",
    "brokerRole",
    "deleteWhen",
    "fileReservedTime",
    "flushDiskType",
    "flushIntervalCommitLog",
    "inSyncReplicas",
    "listenPort",
    "namesrvAddr",
    "storePathRootDir",
];

/// RocketMQ's own spelling of some keys, beside the ones that newer versions write.
const ALIASES: [(&str, &str); 3] = [
    ("haMaxGapNotInSync", "haSlaveFallbehindMax"),
    ("mapedFileSizeCommitLog", "mappedFileSizeCommitLog"),
    ("mapedFileSizeConsumeQueue", "mappedFileSizeConsumeQueue"),
];

/// Those that Apache's brokers have in seconds.
const IN_SECONDS: [(&str, &str); 1] = [("serverChannelMaxIdleTimeSeconds", "serverChannelMaxIdleTimeMills")];

/// How alike two names must be to be taken for one another, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The name that may have been meant.
fn near(key: &str) -> Option<&'static str> {
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    let names = SETTINGS.iter().map(|setting| setting.key).chain(aliases).chain(apache::names());
    let alike =
        names.map(|name| (strsim::normalized_damerau_levenshtein(&key.to_lowercase(), &name.to_lowercase()), name));
    alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

fn find(key: &str) -> Option<&'static Setting> {
    let key = ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| name);
    SETTINGS.iter().find(|setting| setting.key == key)
}

fn change(config: &mut BrokerConfig, setting: &Setting, value: &str) -> Result<(), SettingError> {
    let bad = |allowed: String| SettingError::BadValue { key: setting.key, value: value.to_owned(), allowed };
    let value = value.trim();
    setting.rule.check(value).map_err(|allowed| bad(allowed.to_owned()))?;
    (setting.set)(config, value).map_err(bad)?;
    let queue_bytes = &mut config.store.mapped_file_size_consume_queue_bytes;
    *queue_bytes = StoreConfig::consume_queue_file_bytes(*queue_bytes);
    Ok(())
}

/// Sets one setting before the broker starts.
///
/// # Errors
/// The key is not known, or the value makes no sense.
pub fn set(config: &mut BrokerConfig, key: &str, value: &str) -> Result<(), SettingError> {
    match find(key) {
        Some(setting) => change(config, setting, value),
        None => set_otherwise(config, key, value),
    }
}

/// What is no setting under this name: it may be one under another, or one that only Apache's brokers have.
fn set_otherwise(config: &mut BrokerConfig, key: &str, value: &str) -> Result<(), SettingError> {
    if let Some((key, in_ms)) = IN_SECONDS.iter().find(|(name, _)| *name == key) {
        let ms = value.trim().parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1_000));
        let allowed = || "a whole number of seconds above 0".to_owned();
        let bad = || SettingError::BadValue { key, value: value.to_owned(), allowed: allowed() };
        return set(config, in_ms, &ms.ok_or_else(bad)?.to_string());
    }
    match apache::find(key, value) {
        Some(apache::Known::AsItIs) => Ok(()),
        Some(apache::Known::WithoutEffect { why }) => Err(SettingError::WithoutEffect { key: key.to_owned(), why }),
        Some(apache::Known::Refused { key, value: only, why }) => {
            let allowed = if only.is_empty() { format!("only nothing; {why}") } else { format!("only {only}; {why}") };
            Err(SettingError::BadValue { key, value: value.to_owned(), allowed })
        }
        None => Err(SettingError::UnknownKey { key: key.to_owned(), near: near(key) }),
    }
}

/// Sets one setting of a running broker.
///
/// # Errors
/// As [`set`], or the setting is read only when the broker starts.
pub fn set_at_run_time(config: &mut BrokerConfig, key: &str, value: &str) -> Result<(), SettingError> {
    let Some(setting) = find(key) else {
        // One in seconds is one in milliseconds.
        if let Some((_, in_ms)) = IN_SECONDS.iter().find(|(name, _)| *name == key) {
            let mut wanted = config.clone();
            set_otherwise(&mut wanted, key, value)?;
            return keep_as_it_is(config, &wanted, find(in_ms).expect("it is one of the settings"));
        }
        // What has no effect may at least be said to be as it is.
        return if answered::is_answered(key, value.trim()) { Ok(()) } else { set_otherwise(config, key, value) };
    };
    if setting.when == When::Start {
        let mut wanted = config.clone();
        change(&mut wanted, setting, value)?;
        return keep_as_it_is(config, &wanted, setting);
    }
    change(config, setting, value)
}

/// A setting that is read when the broker starts can only be set to what it is.
fn keep_as_it_is(config: &BrokerConfig, wanted: &BrokerConfig, setting: &Setting) -> Result<(), SettingError> {
    let is_same = (setting.get)(config) == (setting.get)(wanted);
    if is_same { Ok(()) } else { Err(SettingError::NeedsRestart { key: setting.key }) }
}

/// Every setting with its value.
pub fn all(config: &BrokerConfig) -> impl Iterator<Item = (&'static str, String)> {
    SETTINGS.iter().map(|setting| (setting.key, (setting.get)(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_reads_what_it_shows() {
        let config =
            BrokerConfig { namesrv_addr: vec!["ns-1:9876".into(), "ns-2:9876".into()], ..BrokerConfig::new("b", "s") };
        let mut again = BrokerConfig::new("other", "elsewhere");
        for (key, value) in all(&config) {
            set(&mut again, key, &value).unwrap();
        }
        assert!(all(&config).eq(all(&again)));
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.key));
        assert!(IMPORTANT.iter().all(|key| find(key).is_some()));
    }

    #[test]
    fn what_only_apaches_brokers_have_is_known_and_what_nobody_has_gets_a_proposal() {
        let mut config = BrokerConfig::new("b", "s");
        let mut said = |key: &str, value: &str| set(&mut config, key, value).unwrap_err().to_string();
        assert!(said("sendMessageThreadPoolNums", "128").contains("no effect: there are no thread pools"));
        assert!(said("transientStorePoolEnable", "true").contains("no effect"));
        assert!(said("aclEnable", "true").contains("allowed is only false; this broker does not ask who sends"));
        assert_eq!(
            said("fileReserverdTime", "48"),
            "there is no setting fileReserverdTime; did you mean fileReservedTime?"
        );
        assert_eq!(said("haListenport", "1"), "there is no setting haListenport; did you mean haListenPort?");
        assert_eq!(
            said("sendMessageThreadPoolNum", "1").split("; ").nth(1),
            Some("did you mean sendMessageThreadPoolNums?")
        );
        assert_eq!(said("xyz", "1"), "there is no setting xyz");
        set(&mut config, "aclEnable", "false").unwrap();
        assert!(matches!(
            set_at_run_time(&mut config, "pullMessageThreadPoolNums", "1"),
            Err(SettingError::WithoutEffect { .. })
        ));
    }

    #[test]
    fn nonsense_is_refused_and_the_allowed_is_named() {
        let mut config = BrokerConfig::new("b", "s");
        for (key, value) in [
            ("flushDiskType", "SOMETIMES"),
            ("listenPort", "70000"),
            ("brokerPermission", "9"),
            ("deleteWhen", "24"),
            ("deleteWhen", "2,4"),
            ("registerNameServerPeriod", "300000"),
            ("storePathRootDir", "~/store"),
            ("storePathRootDir", "${user.home}/store"),
            ("serverChannelMaxIdleTimeSeconds", "2m"),
            ("serverChannelMaxIdleTimeSeconds", "0"),
            ("aclEnable", "true"),
            ("enableControllerMode", "true"),
            ("storeType", "defaultRocksDB"),
            ("namesrvAddr", "nowhere"),
            ("messageDelayLevel", "1s 2x"),
            ("brokerId", "-1"),
            ("brokerRole", "MASTER"),
            ("haListenPort", "-1"),
            ("haMasterAddress", "a:1;b:2"),
            ("brokerIP1", "10.0.0.256"),
            ("brokerIP1", "10.0.0.1:10911"),
            ("slaveReadEnable", "yes"),
            ("defaultTopicQueueNums", "0"),
            ("defaultTopicQueueNums", "100000"),
            ("defaultTopicQueueNums", "99999999999999999999"),
            ("inSyncReplicas", "0"),
        ] {
            let error = set(&mut config, key, value).unwrap_err();
            assert!(matches!(error, SettingError::BadValue { .. }), "{key}: {error}");
        }
        assert!(matches!(set(&mut config, "nonsense", "1"), Err(SettingError::UnknownKey { .. })));
        assert!(matches!(set_at_run_time(&mut config, "listenPort", "1"), Err(SettingError::NeedsRestart { .. })));
        set(&mut config, "mapedFileSizeCommitLog", "1048576").unwrap();
        set(&mut config, "serverChannelMaxIdleTimeSeconds", "60").unwrap();
        assert_eq!(config.server_channel_max_idle_time_ms, 60_000);
        set(&mut config, "deleteWhen", "02;04").unwrap();
        set(&mut config, "slaveReadEnable", "True").unwrap();
        set(&mut config, "autoCreateTopicEnable", "FALSE").unwrap();
        assert!(config.slave_read_enable && !config.auto_create_topic_enable);
        set(&mut config, "brokerIP1", "rmq_broker").unwrap();
        set(&mut config, "brokerIP2", "[::1]").unwrap();
        set(&mut config, "bindAddress", "[::]").unwrap();
        set(&mut config, "diskMaxUsedSpaceRatio", "88").unwrap();
        set(&mut config, "brokerRole", "sync_master").unwrap();
        assert!(config.store.delete_when.has(2) && config.store.delete_when.has(4));
        assert_eq!(config.store.mapped_file_size_commit_log_bytes, 1_048_576);
    }
}

//! The settings of a broker: RocketMQ's `BrokerConfig` and `NettyServerConfig` (4.9.8), with its names and defaults.
//!
//! [`settings`](crate::settings) reads and shows them under RocketMQ's own keys; [`config_check`](crate::config_check) says
//! which of them do not go together. Left out on purpose: thread pools (there are none), transactions, filter servers, and
//! what has no meaning without them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ha::{HaConfig, Role};
use protocol::{BrokerId, perm};
use quirks::QuirkSet;
use store::{ConfigFile, FlushDiskType, StoreConfig};

use crate::host::Host;
use crate::state::delay_level::DelayLevels;

/// The settings of a broker. [`BrokerConfig::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `brokerName`: shared by a master and its slaves.
    pub broker_name: String,
    /// `brokerClusterName`.
    pub broker_cluster_name: String,
    /// `brokerId`: 0 is the master.
    pub broker_id: BrokerId,
    /// `brokerIP1`: the host that clients are told; without it, the address that routes to the outside.
    pub broker_ip1: Option<Host>,
    /// `brokerIP2`: the host that slaves are told; without it, `brokerIP1`.
    pub broker_ip2: Option<Host>,
    /// `listenPort`: 0 takes any free port.
    pub listen_port: u16,
    /// `bindAddress` (5.x): the address that is listened on. 0.0.0.0 is every address of both families, as in Java.
    pub bind_address: IpAddr,
    /// `namesrvAddr`: every name server, `host:port`. The broker registers with all of them.
    pub namesrv_addr: Vec<String>,
    /// `brokerPermission`: [`perm`] bits of the broker as a whole.
    pub broker_permission: i32,
    /// `autoCreateTopicEnable`: a send to an unknown topic creates it.
    pub auto_create_topic_enable: bool,
    /// `autoCreateSubscriptionGroup`: an unknown consumer group is created.
    pub auto_create_subscription_group: bool,
    /// `clusterTopicEnable`: a topic of the cluster's name exists.
    pub cluster_topic_enable: bool,
    /// `brokerTopicEnable`: a topic of the broker's name exists.
    pub broker_topic_enable: bool,
    /// `traceTopicEnable`: the topic for message traces exists.
    pub trace_topic_enable: bool,
    /// `defaultTopicQueueNums`: how many queues the topic has from which new ones are copied.
    pub default_topic_queue_nums: i32,
    /// `longPollingEnable`: a pull that finds nothing is held.
    pub long_polling_enable: bool,
    /// `shortPollingTimeMills`: how long it is held when long polling is off.
    pub short_polling_time_ms: u64,
    /// `notifyConsumerIdsChangedEnable`: the members of a group are told when it changes.
    pub notify_consumer_ids_changed_enable: bool,
    /// `slaveReadEnable`: a reader far behind is sent to a slave, and back when it is near again.
    pub slave_read_enable: bool,
    /// `flushConsumerOffsetInterval`: how often consumerOffset.json is written.
    pub flush_consumer_offset_interval_ms: u64,
    /// `flushDelayOffsetInterval`: how often delayOffset.json is written.
    pub flush_delay_offset_interval_ms: u64,
    /// `messageDelayLevel`.
    pub message_delay_level: DelayLevels,
    /// `registerNameServerPeriod`: how often the broker registers with the name servers, 10 s to 60 s in RocketMQ.
    pub register_name_server_period_ms: u64,
    /// `registerBrokerTimeoutMills`: how long one registration may take.
    pub register_broker_timeout_ms: u64,
    /// `channelExpiredTimeout` (a constant, `ClientHousekeepingService`): a client that sent no heartbeat for so long is
    /// forgotten.
    pub channel_expired_timeout_ms: u64,
    /// `serverChannelMaxIdleTimeSeconds`, here in ms: a connection on which nothing came or went is closed.
    pub server_channel_max_idle_time_ms: u64,
    /// `sendThreadPoolQueueCapacity`: how many sends may wait for the store at a time.
    pub send_thread_pool_queue_capacity: usize,
    /// `waitTimeMillsInSendQueue`: while the first of them has waited longer, new ones are refused.
    pub wait_time_in_send_queue_ms: u64,
    /// `osPageCacheBusyTimeOutMills`: when it has waited so long, the refusal names the page cache.
    pub os_page_cache_busy_time_out_ms: u64,
    /// `brokerFastFailureEnable`: whether sends are refused at all for having to wait.
    pub broker_fast_failure_enable: bool,
    /// `regionId`: told to producers for their traces.
    pub region_id: String,
    /// `traceOn`: told to producers.
    pub trace_on: bool,
    /// `maxPullNums`: how many messages one pull may ask for.
    pub max_pull_nums: i32,
    /// How long a stopping broker answers the requests that it has begun.
    pub shutdown_grace_ms: u64,
    /// `haListenPort`: where slaves connect; without it, `listenPort` + 1.
    pub ha_listen_port: Option<u16>,
    /// `haMasterAddress`: a slave's master, `host:port` of its HA port; without it, the name servers say who it is.
    pub ha_master_address: Option<String>,
    /// `haTailRecoveryTimeoutMillis` (ours): how long a master that may have lost the end of its log waits for the replicas
    /// that may have it; 0 is for ever. Without it, 5 s; for ever for a SYNC_MASTER under ASYNC_FLUSH.
    pub ha_tail_recovery_timeout_ms: Option<u64>,
    /// `storePathCommitLog`: only said for Apache's sake, because the log lies in `commitlog` below the store directory.
    pub store_path_commit_log: Option<PathBuf>,
    /// `slaveSynchronizeInterval` (in 4.9 a constant of `BrokerController`): how often a slave copies its master's topics,
    /// groups and offsets.
    pub slave_synchronize_interval_ms: u64,
    /// `slaveSynchronizeDelay` (likewise): when it does so for the first time.
    pub slave_synchronize_delay_ms: u64,
    /// Replication; the role is `brokerRole`.
    pub ha: HaConfig,
    /// The store.
    pub store: StoreConfig,
    /// Which of Apache's defects are on, here, in the store and in replication.
    pub quirks: QuirkSet,
}

impl BrokerConfig {
    /// RocketMQ's defaults for a broker with this name, whose store is in this directory.
    #[must_use]
    pub fn new(broker_name: impl Into<String>, store_path_root_dir: impl Into<PathBuf>) -> Self {
        Self {
            broker_name: broker_name.into(),
            broker_cluster_name: "DefaultCluster".to_owned(),
            broker_id: BrokerId::MASTER,
            broker_ip1: None,
            broker_ip2: None,
            listen_port: 10_911,
            bind_address: Ipv4Addr::UNSPECIFIED.into(),
            namesrv_addr: Vec::new(),
            broker_permission: perm::PERM_READ | perm::PERM_WRITE,
            auto_create_topic_enable: true,
            auto_create_subscription_group: true,
            cluster_topic_enable: true,
            broker_topic_enable: true,
            trace_topic_enable: false,
            default_topic_queue_nums: 8,
            long_polling_enable: true,
            short_polling_time_ms: 1_000,
            notify_consumer_ids_changed_enable: true,
            slave_read_enable: false,
            flush_consumer_offset_interval_ms: 5_000,
            flush_delay_offset_interval_ms: 10_000,
            message_delay_level: DelayLevels::default(),
            register_name_server_period_ms: 30_000,
            register_broker_timeout_ms: 24_000,
            channel_expired_timeout_ms: 120_000,
            server_channel_max_idle_time_ms: 120_000,
            send_thread_pool_queue_capacity: 10_000,
            wait_time_in_send_queue_ms: 200,
            os_page_cache_busy_time_out_ms: 1_000,
            broker_fast_failure_enable: true,
            region_id: "DefaultRegion".to_owned(),
            trace_on: true,
            max_pull_nums: 1_024,
            shutdown_grace_ms: 3_000,
            ha_listen_port: None,
            ha_master_address: None,
            ha_tail_recovery_timeout_ms: None,
            store_path_commit_log: None,
            slave_synchronize_interval_ms: 10_000,
            slave_synchronize_delay_ms: 3_000,
            ha: HaConfig::default(),
            store: StoreConfig::new(store_path_root_dir),
            quirks: QuirkSet::NONE,
        }
    }

    /// Whether this broker is a slave.
    #[must_use]
    pub fn is_slave(&self) -> bool {
        self.ha.role == Role::Slave
    }

    /// The address on which slaves are listened for. Port 0, as `listenPort` 0, takes any free port.
    #[must_use]
    pub fn ha_listen_addr(&self) -> SocketAddr {
        let next = if self.listen_port == 0 { 0 } else { self.listen_port.wrapping_add(1) };
        SocketAddr::new(self.bind_address, self.ha_listen_port.unwrap_or(next))
    }

    /// The host that slaves are told.
    pub(crate) fn advertised_ha_host(&self) -> Host {
        self.broker_ip2.clone().unwrap_or_else(|| self.advertised_host())
    }

    /// How long a master waits for the replicas that may have its tail; `None` is for ever. Under SYNC_FLUSH they have more
    /// only if its drive has lied.
    pub(crate) fn tail_recovery_limit(&self) -> Option<Duration> {
        let is_promised = self.ha.role == Role::SyncMaster && self.store.flush_disk_type == FlushDiskType::AsyncFlush;
        let limit_ms = self.ha_tail_recovery_timeout_ms.unwrap_or(if is_promised { 0 } else { 5_000 });
        (limit_ms > 0).then(|| Duration::from_millis(limit_ms))
    }

    /// The address that is listened on.
    #[must_use]
    pub fn listen_addr(&self) -> SocketAddr {
        SocketAddr::new(self.bind_address, self.listen_port)
    }

    /// The host that clients are told.
    pub(crate) fn advertised_host(&self) -> Host {
        self.broker_ip1.clone().unwrap_or_else(|| sim::net::local_ip().into())
    }

    /// The file of this name in `config/`.
    pub(crate) fn config_file(&self, name: &str) -> ConfigFile {
        ConfigFile::new(self.store.config_dir().join(name)).of_store(&self.store.store_path_root_dir)
    }

    pub(crate) fn register_broker_timeout(&self) -> Duration {
        Duration::from_millis(self.register_broker_timeout_ms)
    }
}

//! The settings of replication: RocketMQ's `MessageStoreConfig`, with its names (units last) and its defaults.

use std::time::Duration;

use quirks::{Quirk, QuirkSet};

/// What a broker is to its replicas (`brokerRole`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `ASYNC_MASTER`: acknowledges what is in its own log.
    AsyncMaster,
    /// `SYNC_MASTER`: acknowledges what `inSyncReplicas` replicas have, itself among them.
    SyncMaster,
    /// `SLAVE`: follows a master, and serves reads.
    Slave,
}

/// The settings of replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaConfig {
    /// `brokerRole`.
    pub role: Role,
    /// Which of Apache's defects are on.
    pub quirks: QuirkSet,
    /// `haSendHeartbeatInterval`: after so long without anything to say each side says that it is there.
    pub ha_send_heartbeat_interval_ms: u64,
    /// `haHousekeepingInterval`: a connection that is silent for so long is closed, by either side.
    pub ha_housekeeping_interval_ms: u64,
    /// `haTransferBatchSize`: the most bytes of the log in one frame (a slave of ours that is far behind gets larger ones).
    pub ha_transfer_batch_size_bytes: usize,
    /// `haFlowControlEnable`: limits what a slave is sent to [`HaConfig::max_ha_transfer_byte_in_second`].
    pub ha_flow_control_enable: bool,
    /// `maxHaTransferByteInSecond`: bytes per second, of each slave.
    pub max_ha_transfer_byte_in_second: u64,
    /// `haSlaveFallbehindMax` (4.9), `haMaxGapNotInSync` (5.x): a replica that is further behind is not in sync.
    pub ha_slave_fallbehind_max_bytes: u64,
    /// `slaveTimeout` (5.x; in 4.9 `syncFlushTimeout`): how long a put waits for the replicas before it is answered
    /// FLUSH_SLAVE_TIMEOUT.
    pub slave_timeout_ms: u64,
    /// `inSyncReplicas`: how many replicas, the master among them, must have a message before a SYNC_MASTER acknowledges it.
    /// 5.x has 1 (no waiting, see [`Quirk::InSyncReplicasOne`]); 4.9's SYNC_MASTER means 2.
    pub in_sync_replicas: usize,
    /// `minInSyncReplicas`: with fewer in-sync replicas than these, the master among them, puts are refused.
    pub min_in_sync_replicas: usize,
    /// `enableAutoInSyncReplicas`: waits for those in sync if they are fewer than `inSyncReplicas`.
    pub enable_auto_in_sync_replicas: bool,
    /// `haTransferFromLastFile`: sends an empty slave the last file of the log only, as Apache does. Off: everything there is.
    pub ha_transfer_from_last_file: bool,
}

impl Default for HaConfig {
    fn default() -> HaConfig {
        HaConfig {
            role: Role::AsyncMaster,
            quirks: QuirkSet::NONE,
            ha_send_heartbeat_interval_ms: 5_000,
            ha_housekeeping_interval_ms: 20_000,
            ha_transfer_batch_size_bytes: 32 << 10,
            ha_flow_control_enable: false,
            max_ha_transfer_byte_in_second: 100 << 20,
            ha_slave_fallbehind_max_bytes: 256 << 20,
            slave_timeout_ms: 3_000,
            in_sync_replicas: 2,
            min_in_sync_replicas: 1,
            enable_auto_in_sync_replicas: false,
            ha_transfer_from_last_file: false,
        }
    }
}

impl HaConfig {
    pub(crate) fn heartbeat_interval(&self) -> Duration {
        Duration::from_millis(self.ha_send_heartbeat_interval_ms)
    }

    pub(crate) fn housekeeping_interval(&self) -> Duration {
        Duration::from_millis(self.ha_housekeeping_interval_ms)
    }

    pub(crate) fn slave_timeout(&self) -> Duration {
        Duration::from_millis(self.slave_timeout_ms)
    }

    /// Whether this master's puts depend on its replicas at all.
    pub(crate) fn is_sync(&self) -> bool {
        self.role == Role::SyncMaster
    }

    /// `inSyncReplicas` as it takes effect.
    pub(crate) fn effective_in_sync_replicas(&self) -> usize {
        if self.quirks.has(Quirk::InSyncReplicasOne) { 1 } else { self.in_sync_replicas.max(1) }
    }

    /// Whether an empty slave is sent the last file only.
    pub(crate) fn sends_last_file_only(&self) -> bool {
        self.ha_transfer_from_last_file || self.quirks.has(Quirk::HistoryNotCopied)
    }

    /// Whether both ends speak Apache's protocol and compare nothing.
    pub(crate) fn is_unchecked(&self) -> bool {
        self.quirks.has(Quirk::DivergenceUnchecked)
    }
}

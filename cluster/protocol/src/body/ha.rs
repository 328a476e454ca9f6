//! How replication is doing: the response to GET_BROKER_HA_STATUS (5.x), which `mqadmin haStatus` shows.

use serde::{Deserialize, Serialize};

use super::json_body;

/// A broker's replication (`HARuntimeInfo`): of its slaves if it is a master, of itself if it is a slave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaRuntimeInfo {
    /// A slave's own state.
    pub ha_client_runtime_info: HaClientRuntimeInfo,
    /// A master's slaves.
    pub ha_connection_info: Vec<HaConnectionRuntimeInfo>,
    /// How many of them are in sync.
    pub in_sync_slave_nums: i32,
    /// Whether this is a master.
    pub master: bool,
    /// The end of this broker's log.
    pub master_commit_log_max_offset: i64,
}

/// One slave, as its master sees it (`HARuntimeInfo.HAConnectionRuntimeInfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaConnectionRuntimeInfo {
    /// Its address.
    pub addr: String,
    /// How many bytes it is behind.
    pub diff: i64,
    /// Whether it is in sync.
    pub in_sync: bool,
    /// What it has acknowledged.
    pub slave_ack_offset: i64,
    /// From where it is sent the log.
    pub transfer_from_where: i64,
    /// Bytes per second.
    pub transferred_byte_in_second: i64,
}

/// A slave, as it sees itself (`HARuntimeInfo.HAClientRuntimeInfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HaClientRuntimeInfo {
    /// Whether the master sends its log now.
    pub is_activated: bool,
    /// When something was last read, wall clock in ms.
    pub last_read_timestamp: i64,
    /// When something was last written, wall clock in ms.
    pub last_write_timestamp: i64,
    /// The master's HA address.
    pub master_addr: String,
    /// Up to where the master has flushed its log.
    pub master_flush_offset: i64,
    /// The end of this slave's log.
    pub max_offset: i64,
    /// Bytes per second.
    pub transferred_byte_in_second: i64,
}

json_body!(HaRuntimeInfo);

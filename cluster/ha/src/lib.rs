//! Replication of the CommitLog from a master to its slaves (Apache's `DefaultHAService`).

mod acks;
mod apache_slave;
mod backoff;
mod config;
mod decision;
mod error;
mod flow;
mod frame;
mod handshake;
mod incoming;
mod master;
mod replica;
mod replica_log;
mod send_log;
mod slave;

pub use config::{HaConfig, Role};
pub use master::{MasterService, RememberReplica};
pub use replica::{Identity, MasterAddr, ReplicaId, ReplicaStatus, SlaveStatus, TailRecovery};
pub use slave::SlaveService;

/// Request code of the ordinary port by which a slave asks its master for the protocol of its HA port
/// (`GET_HA_PROTOCOL_VERSION`; ours). Apache's broker answers REQUEST_CODE_NOT_SUPPORTED, which means [`PROTOCOL_V1`].
pub const GET_HA_PROTOCOL_VERSION: i32 = 23_001;
/// Apache's protocol.
pub const PROTOCOL_V1: u32 = 0;
/// Our extension of it: the version that a master of ours answers to [`GET_HA_PROTOCOL_VERSION`].
pub const PROTOCOL_EXTENDED: u32 = 1;

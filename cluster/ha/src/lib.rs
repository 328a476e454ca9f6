//! Replication of the CommitLog from a master to its slaves (Apache's `DefaultHAService`).
//!
//! ```text
//! master                                               slave
//!   store ─► send_log ─► frames ─────────────────► replica_log ─► store
//!   store ◄─ followers ◄─ acks ◄───────── reports ◄─ following
//! ```
//! Two protocols on one port: Apache's, for Apache's peers, and an extension for our own, by which master and slave first
//! compare the histories of their logs. Nothing is shipped, and nothing acknowledged, before it is known where the two logs
//! part; what cannot be known is refused, with a line of log that names the remedy.
//!
//! | room | is |
//! |---|---|
//! | [`master`], [`slave`] | the two services that a broker runs |
//! | [`frame`], [`handshake`] | the bytes on the wire |
//! | [`screen`], [`apache_slave`] | who may follow, and from where: pure; how two logs stand to one another is in the crate `group` |
//! | [`keeper`] | what a member keeps of its group |
//! | [`acks`], [`flow`], [`backoff`] | who has what, how fast, how often: pure |
//! | [`send_log`], [`replica_log`] | the log out of one store, and into another |
//!
//! Left out: metadata (topics, offsets) is the broker's to copy; Apache's controller mode
//! (`AutoSwitchHAService`) is not spoken.

mod acks;
mod apache_slave;
mod backoff;
mod config;
mod error;
mod flow;
mod frame;
mod handshake;
mod incoming;
mod keeper;
mod master;
mod replica;
mod replica_log;
mod screen;
mod send_log;
mod slave;

pub use config::{HaConfig, Role};
pub use keeper::GroupKeeper;
pub use master::{Formation, Formed, MasterService, transcribe};
pub use replica::{Identity, MasterAddr, ReplicaId, ReplicaStatus, SlaveStatus, TailRecovery};
pub use slave::SlaveService;

/// Apache's protocol: its broker answers GET_HA_PROTOCOL_VERSION, a request of ours, with REQUEST_CODE_NOT_SUPPORTED.
pub const PROTOCOL_V1: u32 = 0;
/// Our extension of it: the version that a master of ours answers to GET_HA_PROTOCOL_VERSION.
pub const PROTOCOL_EXTENDED: u32 = 1;

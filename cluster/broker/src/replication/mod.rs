//! Replication as a broker runs it: the log goes through the crate `ha`, everything else through the ordinary port.
//!
//! | file | is |
//! |---|---|
//! | [`master`] | a master's start: what it may have lost is taken back, then its epoch begins |
//! | [`slave`] | how a slave finds its master, and what a new epoch means to its readers |
//! | [`metadata`] | a slave copies topics, groups and offsets |
//! | [`take_back`] | a master takes back what its slaves know better |
//! | [`membership`] | `replicaGroup.json`: who belongs to the group |
//! | [`witness`] | the name servers, which remember the group |
//! | [`leave`] | the good-bye of a slave |
//! | [`recent_losses`] | what the log has lost not long ago |
//! | [`twin`] | two brokers of one name and id |
//! | [`peers`], [`log_position`] | what brokers ask one another, and how far a table that was sent along goes |

pub(crate) mod leave;
pub(crate) mod log_position;
pub(crate) mod master;
pub(crate) mod membership;
pub(crate) mod metadata;
pub(crate) mod peers;
pub(crate) mod recent_losses;
pub(crate) mod slave;
pub(crate) mod take_back;
pub(crate) mod twin;
pub(crate) mod witness;

use std::sync::Arc;

use ha::{MasterService, SlaveService};

/// The service of the HA port, by role.
pub(crate) enum Replication {
    Master(Arc<MasterService>),
    Slave(Arc<SlaveService>),
}

impl Replication {
    pub(crate) async fn shutdown(&self) {
        match self {
            Self::Master(service) => service.shutdown().await,
            Self::Slave(service) => service.shutdown().await,
        }
    }
}

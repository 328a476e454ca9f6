//! The slave's side of replication.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use protocol::PhysicalOffset;
use store::MessageStore;

use crate::{HaConfig, Identity, MasterAddr, SlaveStatus};

/// Follows a master.
pub struct SlaveService {
    store: Arc<MessageStore>,
}

impl SlaveService {
    /// Starts to follow, as soon as there is a master ([`SlaveService::set_master`]).
    ///
    /// `probe` asks the broker at a remoting address for its HA protocol
    /// ([`GET_HA_PROTOCOL_VERSION`](crate::GET_HA_PROTOCOL_VERSION)): `None` when it is not reached,
    /// [`PROTOCOL_V1`](crate::PROTOCOL_V1) when it does not know the question.
    pub fn start(
        store: Arc<MessageStore>,
        identity: Identity,
        config: HaConfig,
        probe: impl Fn(String) -> BoxFuture<'static, Option<u32>> + Send + Sync + 'static,
    ) -> SlaveService {
        let _ = (identity, config, probe);
        SlaveService { store }
    }

    /// Says whom to follow; the same again changes nothing.
    pub fn set_master(&self, master: Option<MasterAddr>) {
        let _ = (master, &self.store);
    }

    /// Resolves when the log must be cut: this offset is where the master's and ours part. Nothing is appended any more. The
    /// broker shuts this service and the store down, opens the store with `OpenOptions::truncate_at`, and starts anew.
    pub async fn truncation_wanted(&self) -> PhysicalOffset {
        std::future::pending().await
    }

    /// How it is doing.
    pub fn status(&self) -> SlaveStatus {
        SlaveStatus::default()
    }

    /// Stops following.
    pub async fn shutdown(&self) {}
}

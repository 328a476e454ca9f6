//! The master's side of replication.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use store::{MessageStore, StoreError};
use tokio::sync::watch;

use crate::{HaConfig, Identity, ReplicaId, ReplicaStatus, TailRecovery};

/// Writes a replica down durably (`config/replicas.json`), if it is not there yet.
pub type RememberReplica = Arc<dyn Fn(ReplicaId) -> BoxFuture<'static, io::Result<()>> + Send + Sync>;

/// Serves the HA port of a master.
pub struct MasterService {
    store: Arc<MessageStore>,
    local_addr: SocketAddr,
    changed: watch::Sender<u64>,
}

impl MasterService {
    /// Listens. Slaves may connect at once, and are asked to wait until [`MasterService::serve`].
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn bind(
        addr: SocketAddr,
        store: Arc<MessageStore>,
        identity: Identity,
        config: HaConfig,
    ) -> io::Result<MasterService> {
        let _ = (identity, config);
        let listener = sim::net::TcpListener::bind(addr).await?;
        let local_addr = listener.local_addr()?;
        Ok(MasterService { store, local_addr, changed: watch::Sender::new(0) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What is called, and awaited, for each replica before its acknowledgements count: so that a master that lost its tail
    /// knows whom to wait for. To be set before [`MasterService::serve`].
    pub fn remember_replicas_with(&self, remember: RememberReplica) {
        let _ = remember;
    }

    /// Before the epoch begins: waits for the `expected` replicas, at most `limit` (for ever without one), and takes back
    /// from them what this master has lost.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn recover_tail(
        &self,
        expected: &[ReplicaId],
        limit: Option<Duration>,
    ) -> Result<TailRecovery, StoreError> {
        let _ = (expected, limit, &self.store);
        Ok(TailRecovery::default())
    }

    /// After the store's epoch has begun: answers the slaves, sends them the log, counts what they acknowledge.
    pub fn serve(&self) {}

    /// The slaves that are connected and follow.
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        Vec::new()
    }

    /// Changes whenever a replica comes, goes, or gets into or out of sync.
    pub fn in_sync_changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Closes the port and all connections.
    pub async fn shutdown(&self) {}
}

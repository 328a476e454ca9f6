//! `config/replicas.json`: the slaves that have once caught up with this master. After a crash that may have cost it the end
//! of its log, a master waits for these: one of them may have what is missing.
//!
//! A slave that is gone for good is taken out by deleting the file, or its entry, while the broker is down.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ha::ReplicaId;
use protocol::BrokerId;
use serde::{Deserialize, Serialize};
use store::{ConfigFile, StoreError};

use crate::core::lock;

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReplicasFile {
    /// Remoting addresses by broker id.
    replicas: BTreeMap<BrokerId, String>,
}

/// The replicas that this master remembers.
pub(crate) struct Replicas {
    known: Mutex<ReplicasFile>,
    file: tokio::sync::Mutex<ConfigFile>,
}

impl Replicas {
    /// Reads the file, if it is there.
    pub(crate) async fn load(file: ConfigFile) -> Result<Self, StoreError> {
        let known = file.load().await?.unwrap_or_default();
        Ok(Self { known: Mutex::new(known), file: tokio::sync::Mutex::new(file) })
    }

    pub(crate) fn all(&self) -> Vec<ReplicaId> {
        let replica = |(&broker_id, addr): (&BrokerId, &String)| ReplicaId { broker_id, broker_addr: addr.clone() };
        lock(&self.known).replicas.iter().map(replica).collect()
    }

    /// Writes a replica down, durably, if it is not there yet.
    pub(crate) async fn remember(&self, replica: ReplicaId) -> Result<(), StoreError> {
        let file = self.file.lock().await;
        let mut table = lock(&self.known).clone();
        if table.replicas.get(&replica.broker_id) == Some(&replica.broker_addr) {
            return Ok(());
        }
        tracing::info!(broker_id = %replica.broker_id, addr = replica.broker_addr, "a replica has caught up: remembered");
        table.replicas.insert(replica.broker_id, replica.broker_addr);
        file.store(&table).await?;
        *lock(&self.known) = table;
        Ok(())
    }
}

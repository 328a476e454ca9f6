//! `config/replicaGroup.json`: what this broker keeps of its replica group. A master's is the truth; a slave has the master's, as
//! of when it was last taken, so that it knows the others when it is made master one day.
//!
//! A broker of an earlier version left `replicas.json`, the slaves that its master remembered: they become members.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::{fmt, io};

use futures_util::future::BoxFuture;
use group::{GroupId, Membership, Word};
use ha::{GroupKeeper, ReplicaId};
use protocol::{BrokerId, PhysicalOffset};
use serde::{Deserialize, Serialize};
use store::{ConfigFile, StoreError};

use super::witness;
use crate::core::{Core, lock};

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Kept {
    /// As which broker this store was last a member.
    pub broker_id: Option<BrokerId>,
    pub membership: Membership,
    /// Until the log ends here it is a part of another's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copying_until: Option<PhysicalOffset>,
    /// Why the master refused this store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Members of which a name server knows, durably.
    pub witnessed: Vec<BrokerId>,
}

/// The file of earlier versions.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ReplicasFile {
    replicas: BTreeMap<BrokerId, String>,
}

/// What is kept, in memory and on the drive.
pub(crate) struct KeptGroup {
    kept: Mutex<Kept>,
    file: tokio::sync::Mutex<ConfigFile>,
}

impl KeptGroup {
    /// Reads the file, or that of an earlier version.
    pub(crate) async fn load(file: ConfigFile, earlier: ConfigFile) -> Result<Self, StoreError> {
        let kept = match file.load().await? {
            Some(kept) => kept,
            None => {
                let replicas: ReplicasFile = earlier.load().await?.unwrap_or_default();
                let mut kept = Kept::default();
                for (broker_id, addr) in replicas.replicas {
                    kept.membership.join(broker_id, &addr);
                }
                kept
            }
        };
        Ok(Self { kept: Mutex::new(kept), file: tokio::sync::Mutex::new(file) })
    }

    pub(crate) fn kept(&self) -> Kept {
        lock(&self.kept).clone()
    }

    pub(crate) fn membership(&self) -> Membership {
        lock(&self.kept).membership.clone()
    }

    pub(crate) fn has_members(&self) -> bool {
        !lock(&self.kept).membership.members.is_empty()
    }

    pub(crate) fn refused(&self) -> Option<String> {
        lock(&self.kept).refused.clone()
    }

    /// Changes what is kept, durably, before anybody sees the change.
    pub(crate) async fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> Result<T, StoreError> {
        let file = self.file.lock().await;
        let mut kept = self.kept();
        let result = change(&mut kept);
        if kept != *lock(&self.kept) {
            file.store(&kept).await?;
            *lock(&self.kept) = kept;
        }
        Ok(result)
    }
}

/// A new identity.
pub(crate) fn new_group() -> GroupId {
    GroupId(format!("{:016x}", sim::rng::u64("broker: replica group")))
}

/// Keeps the membership for the HA service of a broker.
pub(crate) struct Keeper(pub Weak<Core>);

fn stopped() -> io::Error {
    io::Error::other("the broker has stopped")
}

fn failed(error: impl fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl GroupKeeper for Keeper {
    fn membership(&self) -> Membership {
        self.0.upgrade().map(|core| core.group.membership()).unwrap_or_default()
    }

    fn last_id(&self) -> Option<BrokerId> {
        self.0.upgrade().and_then(|core| core.group.kept().broker_id)
    }

    fn join(&self, replica: ReplicaId) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let core = self.0.upgrade().ok_or_else(stopped)?;
            let ReplicaId { broker_id, broker_addr } = replica;
            let joined =
                core.group.change(|kept| kept.membership.join(broker_id, &broker_addr)).await.map_err(failed)?;
            if joined {
                tracing::info!(%broker_id, addr = broker_addr, "replica group: a member joins");
            }
            if core.group.kept().witnessed.contains(&broker_id) {
                return Ok(());
            }
            known_to_a_witness(&core, broker_id).await
        })
    }

    fn adopt(&self, membership: Membership, copying_until: Option<PhysicalOffset>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            let core = self.0.upgrade().ok_or_else(stopped)?;
            // Of a master that forms its group it says nothing of whose place the store had.
            let broker_id = core.config().broker_id;
            let adopted = core.group.change(|kept| {
                if !broker_id.is_master() {
                    kept.broker_id = Some(broker_id);
                }
                (kept.membership, kept.copying_until) = (membership, copying_until);
            });
            adopted.await.map_err(failed)
        })
    }

    fn refused(&self, why: Option<&str>) -> BoxFuture<'_, io::Result<()>> {
        let why = why.map(str::to_owned);
        Box::pin(async move {
            let core = self.0.upgrade().ok_or_else(stopped)?;
            let was_refused = core.group.refused().is_some();
            core.group.change(|kept| kept.refused = why).await.map_err(failed)?;
            if was_refused != core.group.refused().is_some() {
                // Clients are to find it, or not.
                core.registrar.announce();
            }
            Ok(())
        })
    }
}

/// A member that no name server knows of does not count yet: if this store and the group's other members were lost, an empty one
/// could not be told from a beginning. Apache's name servers know of nothing, and without any there is nobody to tell.
async fn known_to_a_witness(core: &Arc<Core>, broker_id: BrokerId) -> io::Result<()> {
    let membership = core.group.membership();
    let told = witness::tell(core, &Word::Leads { membership }).await;
    if told.is_known() {
        return core
            .group
            .change(|kept| {
                let members = &kept.membership.members;
                kept.witnessed = members.iter().map(|member| member.broker_id).collect();
            })
            .await
            .map_err(failed);
    }
    if told.has_witness() {
        return Err(failed(format!(
            "no name server could be told that broker {broker_id} is a member of the replica group: it is tried again"
        )));
    }
    Ok(())
}

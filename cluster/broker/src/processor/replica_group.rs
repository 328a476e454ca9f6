//! The replica group as operators see and change it (`mqadmin replicaGroup`, `removeReplica`, `beginHistory`), and the good-bye of
//! a slave. Requests of our own: Apache's broker does not know them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use group::{Event, Membership, Word};
use protocol::{BrokerId, RemotingCommand, response_code};
use serde::Serialize;
use store::LogHistory;

use super::{Answer, Refusal, success};
use crate::config_check::role_name;
use crate::core::{Core, lock};
use crate::replication::{Replication, leave, witness};

/// The field that names a slave.
const BROKER_ID: &str = "brokerId";
/// The field by which an operator says that what is missing is given up.
const ACCEPT_LOSS: &str = "acceptLoss";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    broker_name: String,
    broker_id: BrokerId,
    broker_addr: String,
    role: &'static str,
    membership: Membership,
    /// A master: whether its history has begun.
    leads: bool,
    /// A master: what it waits for.
    waits_for: Option<String>,
    /// A slave: whom it follows.
    follows: Option<String>,
    /// A slave: why its master refused its log.
    refused: Option<String>,
    min_offset: i64,
    max_offset: i64,
    epochs: Vec<Life>,
    slaves: Vec<Follower>,
}

#[derive(Serialize)]
struct Life {
    id: u64,
    start: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Follower {
    broker_id: Option<BrokerId>,
    addr: String,
    acked: i64,
    behind_bytes: u64,
    in_sync: bool,
}

/// GET_REPLICA_GROUP.
pub(crate) fn get(core: &Core) -> Answer {
    let config = core.config();
    let LogHistory { epochs, min, max } = core.store.history();
    let mut view = View {
        broker_name: config.broker_name.clone(),
        broker_id: config.broker_id,
        broker_addr: core.broker_addr(),
        role: role_name(config.ha.role),
        membership: core.group.membership(),
        leads: !core.is_slave() && *core.serving.borrow(),
        waits_for: None,
        follows: None,
        refused: core.group.refused().filter(|_| core.is_slave()),
        min_offset: min.0,
        max_offset: max.0,
        epochs: epochs.into_iter().map(|epoch| Life { id: epoch.id, start: epoch.start.0 }).collect(),
        slaves: Vec::new(),
    };
    match core.replication.get() {
        Some(Replication::Master(service)) => {
            view.waits_for = service.formation();
            let follower = |replica: ha::ReplicaStatus| Follower {
                broker_id: replica.broker_id,
                addr: replica.addr,
                acked: replica.acked.0,
                behind_bytes: replica.behind_bytes,
                in_sync: replica.in_sync,
            };
            view.slaves = service.replicas().into_iter().map(follower).collect();
        }
        Some(Replication::Slave(service)) => {
            let status = service.status();
            view.follows = status.master.filter(|_| status.connected).map(|master| master.remoting);
        }
        None => {}
    }
    let body = serde_json::to_vec(&view);
    let body = body.map_err(|error| Refusal::new(response_code::SYSTEM_ERROR, error.to_string()))?;
    Ok(success().with_body(body))
}

fn refuse<T>(remark: String) -> Result<T, Refusal> {
    Err(Refusal::new(response_code::SYSTEM_ERROR, remark))
}

fn only_at_the_master(core: &Core) -> Result<(), Refusal> {
    if core.is_slave() {
        return refuse("this broker is a slave: ask the master of its replica group".to_owned());
    }
    Ok(())
}

/// REMOVE_REPLICA.
pub(crate) async fn remove(core: Arc<Core>, request: RemotingCommand) -> Answer {
    only_at_the_master(&core)?;
    let broker_id = request.ext_fields.get(BROKER_ID).and_then(|id| id.parse().ok()).map(BrokerId);
    let Some(broker_id) = broker_id.filter(|broker_id| broker_id.0 > 0) else {
        return refuse(format!("{BROKER_ID} must be the id of a slave, 1 or more"));
    };
    if let Some(Replication::Master(service)) = core.replication.get()
        && service.replicas().iter().any(|replica| replica.broker_id == Some(broker_id))
    {
        return refuse(format!("broker {broker_id} is connected and follows: stop it first"));
    }
    let was_in = core.group.change(|kept| {
        kept.witnessed.retain(|witnessed| *witnessed != broker_id);
        kept.membership.remove(broker_id)
    });
    let was_in = was_in.await?;
    let is_forming = match &*lock(&core.group_events) {
        Some(events) => events.send(Event::Removed(broker_id)).is_ok(),
        None => false,
    };
    if !is_forming {
        witness::tell(&core, &Word::Leads { membership: core.group.membership() }).await;
    }
    tracing::warn!(%broker_id, was_in, "replica group: an operator has taken a slave out; nobody waits for it any more");
    let remark = if was_in { "it was a member" } else { "it was no member; nobody waits for it" };
    Ok(success().with_remark(remark))
}

/// BEGIN_HISTORY.
pub(crate) fn begin(core: &Core, request: &RemotingCommand) -> Answer {
    only_at_the_master(core)?;
    let Some(Replication::Master(service)) = core.replication.get() else {
        return refuse("this broker is still starting".to_owned());
    };
    let (Some(waits_for), true) = (service.formation(), core.recovering.load(Ordering::Acquire)) else {
        return refuse("this master leads already: there is nothing to begin".to_owned());
    };
    let end = core.store.max_physical_offset();
    let given_up = format!("its log ends at {end}; it waits for {waits_for}");
    if request.ext_fields.get(ACCEPT_LOSS) != Some("true") {
        return refuse(format!("acknowledged messages may be given up: {given_up}. Say --accept-loss to do so"));
    }
    let is_heard = match &*lock(&core.group_events) {
        Some(events) => events.send(Event::LossAccepted).is_ok(),
        None => false,
    };
    if !is_heard {
        return refuse("this master leads already: there is nothing to begin".to_owned());
    }
    tracing::warn!(given_up, "replica group: an operator lets this master begin without what is missing");
    Ok(success().with_remark(given_up))
}

/// LEAVE_REPLICA_GROUP.
pub(crate) async fn leave(core: Arc<Core>, request: RemotingCommand) -> Answer {
    only_at_the_master(&core)?;
    let good_bye = serde_json::from_slice(&request.body);
    let good_bye = good_bye.map_err(|error| Refusal::new(response_code::SYSTEM_ERROR, error.to_string()))?;
    if leave::hear(&core, good_bye).await? {
        return Ok(success());
    }
    refuse(
        "this master lacks something that the slave has, or does not know it: it waits for it when it has to"
            .to_owned(),
    )
}

/// Why a slave whose log its master refuses answers nothing about it.
pub(crate) fn refusal(core: &Core) -> Option<Refusal> {
    if !core.is_slave() {
        return None;
    }
    let why = core.group.refused()?;
    let remark = format!("this slave's log is of another history than its master's and is not shown: {why}");
    Some(Refusal::new(response_code::SYSTEM_ERROR, remark))
}

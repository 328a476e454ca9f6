//! The replica group as operators see and change it (`mqadmin replicaGroup`, `removeReplica`, `beginHistory`), and the good-bye of
//! a slave. Requests of our own: Apache's broker does not know them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use group::waiting::Awaited;
use group::{Event, Membership, Word};
use ha::Formation;
use protocol::body::{EpochView, FollowerView, JsonBody, MemberView, MembershipView, ReplicaGroupView};
use protocol::{BrokerId, RemotingCommand, response_code};
use store::LogHistory;

use super::{Answer, Refusal, success};
use crate::config_check::role_name;
use crate::core::{Core, lock};
use crate::replication::{Replication, leave, witness};

/// The field that names a slave.
const BROKER_ID: &str = "brokerId";
/// The field by which an operator says that what is missing is given up.
const ACCEPT_LOSS: &str = "acceptLoss";

/// GET_REPLICA_GROUP.
pub(crate) fn get(core: &Core) -> Answer {
    let config = core.config();
    let LogHistory { epochs, min, max } = core.store.history();
    let mut view = ReplicaGroupView {
        broker_name: config.broker_name.clone(),
        broker_id: config.broker_id,
        broker_addr: core.broker_addr(),
        role: role_name(config.ha.role).to_owned(),
        membership: shown(core.group.membership()),
        leads: !core.is_slave() && *core.serving.borrow(),
        refused: core.group.refused().filter(|_| core.is_slave()),
        min_offset: min,
        max_offset: max,
        epochs: epochs.into_iter().map(|epoch| EpochView { id: epoch.id, start: epoch.start }).collect(),
        ..ReplicaGroupView::default()
    };
    match core.replication.get() {
        Some(Replication::Master(service)) => {
            view.waits_for = service.formation().map(|formation| formation.waits_for);
            let follower = |replica: ha::ReplicaStatus| FollowerView {
                broker_id: replica.broker_id,
                addr: replica.addr,
                acked: replica.acked,
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
    Ok(success().with_body(view.encode()))
}

fn shown(membership: Membership) -> MembershipView {
    let member = |member: group::Member| MemberView {
        broker_id: member.broker_id,
        addr: member.addr,
        stopped_at: member.stopped_at.map(|position| position.end),
    };
    MembershipView {
        group: membership.group.map(|group| group.0),
        generation: membership.generation,
        members: membership.members.into_iter().map(member).collect(),
        removed: membership.removed,
    }
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
    let Some(Replication::Master(service)) = core.replication.get() else { return still_starting() };
    let connected = service.replicas().into_iter().filter_map(|replica| replica.id()).chain(service.heard());
    if let Some(replica) = connected.into_iter().find(|replica| replica.broker_id == broker_id) {
        let addr = replica.broker_addr;
        return refuse(format!("broker {broker_id} at {addr} is connected: stop it first"));
    }
    let (mut given_up, mut is_known) = (None, false);
    if core.recovering.load(Ordering::Acquire) {
        let Some(formation) = service.formation() else { return still_starting() };
        // An empty store knows by hearsay alone.
        is_known = formation.forming.membership().member(broker_id).is_some();
        given_up = what_is_given_up(&core, &formation, broker_id);
    }
    if let Some(given_up) = given_up.as_ref().filter(|_| request.ext_fields.get(ACCEPT_LOSS) != Some("true")) {
        return refuse(format!(
            "acknowledged messages may be given up: {given_up}. Start it; or say --accept-loss to do so"
        ));
    }
    let was_in = core.group.change(|kept| {
        kept.witnessed.retain(|witnessed| *witnessed != broker_id);
        kept.membership.remove(broker_id)
    });
    let was_in = was_in.await? || is_known;
    let is_forming = match &*lock(&core.group_events) {
        Some(events) => events.send(Event::Removed(broker_id)).is_ok(),
        None => false,
    };
    let told = if is_forming {
        "the name servers are told when this master leads".to_owned()
    } else {
        witness::tell(&core, &Word::Leads { membership: core.group.membership() }).await.to_string()
    };
    let was = if was_in { "it was a member" } else { "it was no member; nobody waits for it" };
    let given_up = given_up.map(|given_up| format!("; given up: {given_up}")).unwrap_or_default();
    let remark = format!("{was}{given_up}; {told}");
    tracing::warn!(%broker_id, remark, "replica group: an operator has taken a slave out; nobody waits for it any more");
    Ok(success().with_remark(&remark))
}

/// What a master that forms its group may lack for good if it does not wait for this slave.
fn what_is_given_up(core: &Core, formation: &Formation, broker_id: BrokerId) -> Option<String> {
    let reason = formation.forming.needs(broker_id)?;
    let membership = formation.forming.membership();
    let member = membership.member(broker_id);
    let addr = member.map_or_else(|| "an address that is not known".to_owned(), |member| member.addr.clone());
    let end = core.store.max_physical_offset();
    Some(format!("this master's log ends at {end}; it waits for {}", Awaited { broker_id, addr, reason }))
}

fn still_starting<T>() -> Result<T, Refusal> {
    refuse("this broker is just starting, or begins to lead: say it again in a moment".to_owned())
}

/// BEGIN_HISTORY.
pub(crate) fn begin(core: &Core, request: &RemotingCommand) -> Answer {
    only_at_the_master(core)?;
    let Some(Replication::Master(service)) = core.replication.get() else { return still_starting() };
    let (Some(formation), true) = (service.formation(), core.recovering.load(Ordering::Acquire)) else {
        return refuse("this master leads already: there is nothing to begin".to_owned());
    };
    let end = core.store.max_physical_offset();
    let given_up = format!("its log ends at {end}; it waits for {}", formation.waits_for);
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

/// Why a master that does not lead yet gives nobody its tables: what it has lost it takes back from its slaves, which must not copy
/// the rest before, and drop the topics and queues that are not in it.
pub(crate) fn not_leading_yet(core: &Core) -> Option<Refusal> {
    if core.is_slave() || *core.serving.borrow() {
        return None;
    }
    let remark =
        "this master does not lead yet, and has not taken back what it has lost: ask a slave, or ask again later";
    Some(Refusal::new(response_code::SERVICE_NOT_AVAILABLE, remark))
}

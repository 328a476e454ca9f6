//! A slave's side: whom it follows, and what a loss of its master's means to those who read here.
//!
//! A slave never becomes a master. It serves reads from its copy of the log, takes in the offsets that groups commit, and
//! refuses messages and changes of topics and groups.

use std::time::Duration;

use futures_util::future::BoxFuture;
use ha::{MasterAddr, PROTOCOL_V1, SlaveService};
use protocol::body::ClusterInfo;
use protocol::header::RegisterBrokerResponseHeader;
use protocol::{BrokerId, RemotingCommand, request_code, response_code};
use remoting::RemotingClient;
use sim::time::wall_clock_ms;
use store::{DispatchRequest, EpochEntry, QueueBounds};

use super::Replication;
use super::recent_losses::{age_of, lost_bytes_max};
use crate::core::{Core, lock};
use crate::state::left_overs::{LEFT_OVERS_MS, Loss, Unlisted};

/// How long a master has to say which protocol it speaks.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// The answer to `GET_HA_PROTOCOL_VERSION`.
pub(crate) const VERSION_FIELD: &str = "haProtocolVersion";
/// The same answer: the master's HA address.
pub(crate) const HA_SERVER_ADDR_FIELD: &str = "haServerAddr";
/// In `MASTER_IS_BACK`: how long ago the master started, in milliseconds.
pub(crate) const UP_MILLIS: &str = "upMillis";

/// Asks the broker at a remoting address for its HA protocol.
pub(crate) fn probe(client: RemotingClient) -> impl Fn(String) -> BoxFuture<'static, Option<u32>> + Send + Sync {
    move |addr| {
        let client = client.clone();
        Box::pin(async move {
            let request = RemotingCommand::request(request_code::GET_HA_PROTOCOL_VERSION, &());
            let response = client.invoke(&addr, request, PROBE_TIMEOUT).await.ok()?;
            match response.code {
                response_code::SUCCESS => response.ext_fields.get(VERSION_FIELD)?.parse().ok(),
                response_code::REQUEST_CODE_NOT_SUPPORTED => Some(PROTOCOL_V1),
                _ => None,
            }
        })
    }
}

/// Takes the master from a name server's answer to this slave's registration; `ha_master_address` overrides the HA address.
/// While it is connected to a master it stays with that: name servers need not agree.
pub(crate) fn learn_master(core: &Core, service: &SlaveService, answer: &RegisterBrokerResponseHeader) {
    let told = |addr: &Option<String>| addr.clone().filter(|addr| !addr.is_empty());
    let (remoting, ha) = (told(&answer.master_addr), told(&answer.ha_server_addr));
    let ha = core.config().ha_master_address.clone().or(ha);
    let master = match (remoting, ha) {
        (Some(remoting), Some(ha)) => Some(MasterAddr { remoting, ha }),
        (None, Some(ha)) if core.config().ha_master_address.is_some() => by_convention(&ha),
        _ => None,
    };
    let Some(master) = master else { return };
    let status = service.status();
    let present = status.master.as_ref();
    if Some(&master) == present || (status.connected && present.is_some()) {
        return;
    }
    tracing::info!(remoting = master.remoting, ha = master.ha, "this slave follows a master");
    *lock(&core.master_addr) = Some(master.remoting.clone());
    service.set_master(Some(master));
}

/// As [`learn_master`], of a slave that does not register: a name server knows where the master is, and that knows its HA address.
pub(crate) async fn look_for_master(core: &Core, known: &ClusterInfo) {
    let Some(Replication::Slave(service)) = core.replication.get() else { return };
    let config = core.config();
    let of_name = known.broker_addr_table.get(&config.broker_name);
    let of_name = of_name.filter(|data| data.cluster == config.broker_cluster_name);
    let Some(remoting) = of_name.and_then(|data| data.broker_addrs.get(&BrokerId::MASTER)) else { return };
    if service.status().master.is_some_and(|master| master.remoting == *remoting) {
        return;
    }
    let request = RemotingCommand::request(request_code::GET_HA_PROTOCOL_VERSION, &());
    let Ok(response) = core.links.client.invoke(remoting, request, PROBE_TIMEOUT).await else { return };
    let told = response.ext_fields.get(HA_SERVER_ADDR_FIELD).map(str::to_owned);
    let ha_server_addr = told.or_else(|| by_address(remoting).map(|master| master.ha));
    let master_addr = Some(remoting.clone());
    learn_master(core, service, &RegisterBrokerResponseHeader { master_addr, ha_server_addr });
}

/// By convention the HA port follows the ordinary one.
fn by_address(remoting: &str) -> Option<MasterAddr> {
    let (host, port) = remoting.rsplit_once(':')?;
    let port = port.parse::<u16>().ok()?.checked_add(1)?;
    Some(MasterAddr { remoting: remoting.to_owned(), ha: format!("{host}:{port}") })
}

/// Without a name server: the ordinary port is the one before the HA port.
fn by_convention(ha: &str) -> Option<MasterAddr> {
    let (host, port) = ha.rsplit_once(':')?;
    let port = port.parse::<u16>().ok()?.checked_sub(1)?;
    Some(MasterAddr { remoting: format!("{host}:{port}"), ha: ha.to_owned() })
}

/// A message has become visible on a slave. If it is the first after a loss of the master's, or of this slave, then what lies
/// beyond in each queue is another message than the one that readers may have seen there: committed offsets there go back.
pub(crate) fn message_arrived(core: &Core, message: &DispatchRequest) {
    if lock(&core.topics).infer(&message.topic, message.queue_id) {
        // The master knows more of it.
        core.metadata_wanted.notify_one();
    }
    let epochs = core.store.epochs();
    let Some(last) = epochs.last().filter(|last| message.physical_offset >= last.start) else { return };
    let followed = lock(&core.followed).replace(last.id);
    if core.believes_all_offsets() {
        return;
    }
    if followed != Some(last.id) {
        let known = epochs.iter().rposition(|epoch| Some(epoch.id) == followed);
        lives_began(core, &epochs[known.map_or(0, |known| known + 1)..], message);
    }
    let (topic, queue_id, floor) = (&*message.topic, message.queue_id, message.queue_offset.0);
    if let Some(bound) = lock(&core.left_overs).message_arrived(topic, queue_id, floor) {
        clamp(core, topic, queue_id, floor, bound);
    }
}

/// This slave has come upon the first message after the beginning of these lives of its master.
fn lives_began(core: &Core, lives: &[EpochEntry], first: &DispatchRequest) {
    let lost_bytes_max = lives.iter().filter_map(|life| lost_bytes_max(&core.store, life, true)).max();
    let Some(lost_bytes_max) = lost_bytes_max else { return };
    let queues = core.store.queues();
    let floor = |queue: &QueueBounds| {
        let is_its_own = (&queue.topic, queue.queue_id) == (&first.topic, first.queue_id);
        if is_its_own { first.queue_offset.0 } else { queue.max_offset.0 }
    };
    // Of a queue without messages it is not known where it begins.
    let floors = queues.iter().filter(|queue| floor(queue) > 0);
    let floors = floors.map(|queue| (&*queue.topic, queue.queue_id, floor(queue)));
    let age_ms = age_of(first.store_timestamp_ms, wall_clock_ms());
    let ends_at_ms = core.now_ms() + LEFT_OVERS_MS - age_ms;
    let loss = Loss::new(floors.clone(), Unlisted::Unseen, lost_bytes_max, ends_at_ms);
    for (topic, queue_id, floor) in floors {
        clamp(core, topic, queue_id, floor, loss.bound(topic, queue_id));
    }
    // A slave that was away catches up with losses of long ago.
    if age_ms < LEFT_OVERS_MS {
        lock(&core.left_overs).add(loss);
    }
}

fn clamp(core: &Core, topic: &str, queue_id: i32, floor: i64, bound: i64) {
    let clamped = lock(&core.offsets).clamp_queue(topic, queue_id, floor, bound);
    if clamped > 0 {
        tracing::warn!(
            topic,
            queue_id,
            to = floor,
            clamped,
            "committed offsets were of messages that are lost: lowered"
        );
    }
}

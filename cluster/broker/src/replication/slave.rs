//! A slave's side: whom it follows, and what a new epoch of its master means to those who read here.
//!
//! A slave never becomes a master. It serves reads from its copy of the log, takes in the offsets that groups commit, and
//! refuses messages and changes of topics and groups.

use std::time::Duration;

use futures_util::future::BoxFuture;
use ha::{GET_HA_PROTOCOL_VERSION, MasterAddr, PROTOCOL_V1, SlaveService};
use protocol::header::RegisterBrokerResponseHeader;
use protocol::{PhysicalOffset, RemotingCommand, response_code};
use remoting::RemotingClient;
use store::{DispatchRequest, EpochEntry, MessageStore};

use super::recent_lives::RECENT_MS;
use crate::core::{Core, lock};

/// How long a master has to say which protocol it speaks.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// The answer to `GET_HA_PROTOCOL_VERSION`.
pub(crate) const VERSION_FIELD: &str = "haProtocolVersion";
/// The history of a log that nobody has written down: epochs tell nothing there.
const UNKNOWN_HISTORY: u64 = 0;

/// Asks the broker at a remoting address for its HA protocol.
pub(crate) fn probe(client: RemotingClient) -> impl Fn(String) -> BoxFuture<'static, Option<u32>> + Send + Sync {
    move |addr| {
        let client = client.clone();
        Box::pin(async move {
            let request = RemotingCommand::request(GET_HA_PROTOCOL_VERSION, &());
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

/// Without a name server: the ordinary port is the one before the HA port.
fn by_convention(ha: &str) -> Option<MasterAddr> {
    let (host, port) = ha.rsplit_once(':')?;
    let port = port.parse::<u16>().ok()?.checked_sub(1)?;
    Some(MasterAddr { remoting: format!("{host}:{port}"), ha: ha.to_owned() })
}

/// The epoch that a slave's readers live in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FollowedEpoch {
    pub id: u64,
    pub start: PhysicalOffset,
    /// Since when it is followed, by [`Core::now_ms`].
    since_ms: i64,
    /// Whether there was a life before it, of which readers may be.
    has_predecessor: bool,
}

impl FollowedEpoch {
    /// The last epoch of the log; before any, the unknown history.
    pub(crate) fn of(store: &MessageStore, now_ms: i64) -> Self {
        Self::last_of(&store.epochs(), now_ms)
    }

    fn last_of(epochs: &[EpochEntry], now_ms: i64) -> Self {
        let (id, start) = last_epoch(epochs);
        Self { id, start, since_ms: now_ms, has_predecessor: epochs.len() > 1 }
    }

    /// Whether readers of the life before this one may not have asked since it began.
    fn is_recent(&self, now_ms: i64) -> bool {
        self.has_predecessor && now_ms.saturating_sub(self.since_ms) < RECENT_MS
    }
}

/// The id of the last epoch, and where it begins.
fn last_epoch(epochs: &[EpochEntry]) -> (u64, PhysicalOffset) {
    epochs.last().map_or((UNKNOWN_HISTORY, PhysicalOffset::ZERO), |epoch| (epoch.id, epoch.start))
}

/// A message has become visible on a slave. The first of a new epoch ends the life that readers were led by: what lies beyond
/// in each queue is another message than the one they may have seen there. Committed offsets beyond it go back to it.
pub(crate) fn message_arrived(core: &Core, message: &DispatchRequest) {
    if lock(&core.topics).infer(&message.topic, message.queue_id) {
        // The master knows more of it.
        core.metadata_wanted.notify_one();
    }
    let epochs = core.store.epochs();
    let (id, start) = last_epoch(&epochs);
    {
        let mut followed = lock(&core.followed);
        if followed.id != id && message.physical_offset >= start {
            let now_ms = core.now_ms();
            let (topic, queue_id) = (&*message.topic, message.queue_id);
            lock(&core.horizon).begin_epoch(followed.is_recent(now_ms), |of_topic, of_queue| {
                if (of_topic, of_queue) == (topic, queue_id) {
                    return message.queue_offset.0;
                }
                core.store.max_offset_in_queue(of_topic, of_queue).0
            });
            *followed = FollowedEpoch::last_of(&epochs, now_ms);
        }
    }
    if id == UNKNOWN_HISTORY || message.physical_offset < start || core.believes_all_offsets() {
        return;
    }
    let (topic, queue_id, offset) = (&*message.topic, message.queue_id, message.queue_offset.0);
    if lock(&core.horizon).message_of_epoch(topic, queue_id, offset) {
        let clamped = lock(&core.offsets).clamp_queue(topic, queue_id, offset);
        if clamped > 0 {
            tracing::warn!(
                topic,
                queue_id,
                to = offset,
                clamped,
                "committed offsets lay beyond the master's new epoch: lowered"
            );
        }
    }
}

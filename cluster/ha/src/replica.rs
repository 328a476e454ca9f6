//! Who replicates with whom, and how far they are: what the broker tells this crate of itself, and what it is told.

use protocol::{BrokerId, PhysicalOffset};

/// Who this broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `brokerClusterName`.
    pub cluster_name: String,
    /// `brokerName`: a master and its slaves have the same.
    pub broker_name: String,
    /// `brokerId`: 0 is the master.
    pub broker_id: BrokerId,
    /// The remoting address that the name servers know, `ip:port`.
    pub broker_addr: String,
}

/// A replica of this master: a slave that speaks our protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaId {
    /// Its `brokerId`.
    pub broker_id: BrokerId,
    /// Its remoting address, `ip:port`.
    pub broker_addr: String,
}

/// A connected slave, as its master sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Its `brokerId`; a slave of Apache's does not say it.
    pub broker_id: Option<BrokerId>,
    /// Its remoting address; of Apache's slave the address and port that it connected from.
    pub addr: String,
    /// What it has acknowledged: the end of its log as far as it vouches for it.
    pub acked: PhysicalOffset,
    /// How many bytes it is behind the master's end.
    pub behind_bytes: u64,
    /// Whether it counts for SYNC_MASTER: verified, and not too far behind.
    pub in_sync: bool,
    /// Whether it speaks Apache's protocol, which compares nothing.
    pub is_v1: bool,
}

impl ReplicaStatus {
    /// The replica by id and address, to be remembered (`config/replicas.json`); `None` for Apache's slaves, which cannot give
    /// a tail back.
    pub fn id(&self) -> Option<ReplicaId> {
        self.broker_id.map(|broker_id| ReplicaId { broker_id, broker_addr: self.addr.clone() })
    }
}

/// What [`MasterService::recover_tail`](crate::MasterService::recover_tail) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TailRecovery {
    /// Replicas that were heard.
    pub heard: Vec<ReplicaId>,
    /// Replicas that were expected and not heard before the limit.
    pub missing: Vec<ReplicaId>,
    /// Whose tail was taken, if anyone had one.
    pub taken_from: Option<ReplicaId>,
    /// Where this master's log had ended.
    pub from: PhysicalOffset,
    /// Where it ends now.
    pub to: PhysicalOffset,
}

/// Where a slave finds its master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterAddr {
    /// `host:port` of its ordinary port, which is asked for the protocol that it speaks.
    pub remoting: String,
    /// `host:port` of its HA port (`haListenPort`; in `RegisterBrokerResult` the `haServerAddr`).
    pub ha: String,
}

/// How a slave is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlaveStatus {
    /// Whom it follows.
    pub master: Option<MasterAddr>,
    /// Whether the master sends its log now.
    pub connected: bool,
    /// Whether that is by Apache's protocol.
    pub is_v1: bool,
    /// What was last acknowledged to the master.
    pub acked: PhysicalOffset,
    /// Up to where the master's log has been sent, whether acknowledged or not.
    pub received: PhysicalOffset,
    /// Why the last connection ended or could not be made, for people; `None` while connected.
    pub last_error: Option<String>,
}

impl SlaveStatus {
    /// How many bytes have been received and not acknowledged yet.
    pub fn lag_bytes(&self) -> u64 {
        u64::try_from(self.received - self.acked).unwrap_or(0)
    }
}

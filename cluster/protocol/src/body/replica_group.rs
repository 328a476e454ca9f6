//! A replica group as one of its brokers sees it: the answer to GET_REPLICA_GROUP, which `mqadmin replicaGroup` shows.
//!
//! A request of our own: Apache's brokers have no such thing, and fields stand in the order in which people read them.

use serde::{Deserialize, Serialize};

use super::json_body;
use crate::{BrokerId, PhysicalOffset};

/// A broker, its log, and what it knows of its group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaGroupView {
    /// `brokerName`, which all members have.
    pub broker_name: String,
    /// `brokerId`; 0 is the master.
    pub broker_id: BrokerId,
    /// Its remoting address.
    pub broker_addr: String,
    /// `brokerRole`.
    pub role: String,
    /// The group as it keeps it.
    pub membership: MembershipView,
    /// A master: whether its history has begun.
    pub leads: bool,
    /// A master: what it waits for, in words.
    pub waits_for: Option<String>,
    /// A slave: the address of the master that it follows.
    pub follows: Option<String>,
    /// A slave: why its master refused its log.
    pub refused: Option<String>,
    /// Where its log begins.
    pub min_offset: PhysicalOffset,
    /// Where its log ends.
    pub max_offset: PhysicalOffset,
    /// The epochs of its log, in order.
    pub epochs: Vec<EpochView>,
    /// A master: the slaves that are connected.
    pub slaves: Vec<FollowerView>,
}

/// Who belongs to a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MembershipView {
    /// The group's identity; `None` before its first history.
    pub group: Option<String>,
    /// How often a master has begun to lead it.
    pub generation: u64,
    /// The slaves.
    pub members: Vec<MemberView>,
    /// Slaves that an operator took out.
    pub removed: Vec<BrokerId>,
}

/// A slave that belongs to a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemberView {
    /// `brokerId`.
    pub broker_id: BrokerId,
    /// Its remoting address.
    pub addr: String,
    /// Where its log ended when it stopped in good order; `None` if it did not.
    pub stopped_at: Option<PhysicalOffset>,
}

/// A part of a log that was written under one master, up to the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EpochView {
    /// Its id.
    pub id: u64,
    /// Where it begins.
    pub start: PhysicalOffset,
}

/// A slave that is connected to its master.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FollowerView {
    /// `brokerId`; a slave of Apache's does not say it.
    pub broker_id: Option<BrokerId>,
    /// Its address.
    pub addr: String,
    /// Up to where it vouches for the log.
    pub acked: PhysicalOffset,
    /// How many bytes it is behind.
    pub behind_bytes: u64,
    /// Whether it counts for SYNC_MASTER.
    pub in_sync: bool,
}

json_body!(ReplicaGroupView);

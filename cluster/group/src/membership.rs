//! Who belongs to a group. A slave joins when its master has compared the logs and written it down, before any acknowledgement
//! of it counts; one that stops in good order stays a member, and what it has is known; only an operator takes a member out.

use protocol::{BrokerId, PhysicalOffset};
use serde::{Deserialize, Serialize};
use store::{EpochEntry, LogHistory};

/// The identity of a group: a random number in hexadecimal, drawn when its first history begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub String);

impl std::fmt::Display for GroupId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How far a log goes: its last epoch, and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The last epoch with a byte in the log.
    pub epoch: EpochEntry,
    /// Where the log ends.
    pub end: PhysicalOffset,
}

impl Position {
    /// The position of a log; `None` of one that has no byte.
    #[must_use]
    pub fn of(log: &LogHistory) -> Option<Position> {
        if log.min == log.max {
            return None;
        }
        let epoch = log.epochs.iter().rfind(|epoch| epoch.start < log.max).copied();
        let unknown = EpochEntry { id: EpochEntry::UNKNOWN_ID, start: PhysicalOffset::ZERO };
        Some(Position { epoch: epoch.unwrap_or(unknown), end: log.max })
    }

    /// Returns whether a log has everything that one at this position has.
    #[must_use]
    pub fn is_within(&self, log: &LogHistory) -> bool {
        if self.epoch.id == EpochEntry::UNKNOWN_ID {
            return self.end <= log.max;
        }
        let Some(index) = log.epochs.iter().position(|epoch| *epoch == self.epoch) else { return false };
        let end = log.epochs.get(index + 1).map_or(log.max, |next| next.start);
        self.end <= end.min(log.max)
    }
}

/// A slave that belongs to the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its `brokerId`.
    pub broker_id: BrokerId,
    /// Its remoting address.
    pub addr: String,
    /// It said good-bye with its log here, and the master had all of that on its drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Position>,
}

/// The membership as a member keeps it. The master's is the truth; its slaves and the name servers have copies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Membership {
    /// Whose it is; `None` before the first history.
    pub group: Option<GroupId>,
    /// The cluster and broker name under which it was last led: `cluster/broker`.
    pub name: String,
    /// How often a master has begun to lead. Of two members the one with the higher number has seen the later master.
    pub generation: u64,
    /// A random number of the beginning that the generation counts: two masters may count to the same one. 0 is not known.
    #[serde(skip_serializing_if = "is_zero")]
    pub life: u64,
    /// The remoting address of the master that began then. Empty is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub leader: String,
    /// How often the members have changed.
    pub version: u64,
    /// The slaves, by id.
    pub members: Vec<Member>,
    /// Slaves that an operator took out and that have not joined again.
    pub removed: Vec<BrokerId>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Membership {
    /// Returns whether both speak of one group under one master.
    #[must_use]
    pub fn is_of_one_life(&self, other: &Membership) -> bool {
        let is_one_life = self.life == other.life || self.life == 0 || other.life == 0;
        self.group == other.group && self.generation == other.generation && is_one_life
    }

    /// Returns whether somebody else has led: as another group, later than the master of `self`, or as often.
    #[must_use]
    pub fn is_led_past_by(&self, other: &Membership) -> bool {
        let is_known = self.group.is_some() && other.group.is_some();
        is_known && other.generation >= self.generation && !self.is_of_one_life(other)
    }

    /// The member with this id.
    #[must_use]
    pub fn member(&self, broker_id: BrokerId) -> Option<&Member> {
        self.members.iter().find(|member| member.broker_id == broker_id)
    }

    /// A slave joins, or comes back; returns whether that changes anything.
    pub fn join(&mut self, broker_id: BrokerId, addr: &str) -> bool {
        let member = Member { broker_id, addr: addr.to_owned(), stopped_at: None };
        if self.member(broker_id) == Some(&member) {
            return false;
        }
        self.put(member);
        self.removed.retain(|removed| *removed != broker_id);
        true
    }

    /// A member has stopped in good order, with its log at `position`, all of which this master has on its drive. Returns
    /// whether it is a member.
    pub fn stop(&mut self, broker_id: BrokerId, position: Option<Position>) -> bool {
        let Some(member) = self.member(broker_id).cloned() else { return false };
        // One without a byte has nothing that anybody could miss.
        let nothing = Position {
            epoch: EpochEntry { id: EpochEntry::UNKNOWN_ID, start: PhysicalOffset::ZERO },
            end: PhysicalOffset::ZERO,
        };
        self.put(Member { stopped_at: Some(position.unwrap_or(nothing)), ..member });
        true
    }

    /// An operator takes a slave out; returns whether it was in.
    pub fn remove(&mut self, broker_id: BrokerId) -> bool {
        let was_in = self.member(broker_id).is_some();
        self.members.retain(|member| member.broker_id != broker_id);
        if !self.removed.contains(&broker_id) {
            self.removed.push(broker_id);
            self.removed.sort();
        }
        self.version += 1;
        was_in
    }

    fn put(&mut self, member: Member) {
        self.members.retain(|other| other.broker_id != member.broker_id);
        self.members.push(member);
        self.members.sort_by_key(|member| member.broker_id);
        self.version += 1;
    }

    /// Which of two copies is newer: higher is.
    #[must_use]
    pub fn age(&self) -> (u64, u64) {
        (self.generation, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(epochs: &[(u64, i64)], max: i64) -> LogHistory {
        let epochs = epochs.iter().map(|(id, start)| EpochEntry { id: *id, start: PhysicalOffset(*start) }).collect();
        LogHistory { epochs, min: PhysicalOffset(0), max: PhysicalOffset(max) }
    }

    #[test]
    fn a_position_is_within_a_log_that_has_its_epoch_up_to_there() {
        let position = Position::of(&log(&[(1, 0), (2, 100), (3, 150)], 150)).expect("it has bytes");
        assert_eq!((position.epoch.id, position.end.0), (2, 150), "epoch 3 has no byte");
        assert!(position.is_within(&log(&[(1, 0), (2, 100)], 150)));
        assert!(position.is_within(&log(&[(1, 0), (2, 100), (4, 150)], 300)));
        assert!(!position.is_within(&log(&[(1, 0), (2, 100), (4, 140)], 300)), "its end was lost");
        assert!(!position.is_within(&log(&[(1, 0), (4, 100)], 300)), "as long, and another log");
        assert!(!position.is_within(&log(&[(1, 0), (2, 100)], 149)));
        assert_eq!(Position::of(&log(&[(1, 0)], 0)), None);
    }

    #[test]
    fn two_masters_of_one_generation_are_told_apart() {
        let of = |group: &str, generation, life| Membership {
            group: Some(GroupId(group.to_owned())),
            generation,
            life,
            ..Membership::default()
        };
        let own = of("g", 3, 7);
        for (other, is_past) in [
            (of("g", 3, 7), false),
            (of("g", 2, 8), false),
            (of("g", 3, 8), true),
            (of("g", 4, 8), true),
            (of("h", 3, 8), true),
            (of("h", 2, 8), false),
            (of("g", 3, 0), false),
            (Membership::default(), false),
        ] {
            assert_eq!(own.is_led_past_by(&other), is_past, "{other:?}");
        }
        assert!(!Membership::default().is_led_past_by(&own), "who has not led cannot be led past");
    }

    #[test]
    fn members_join_stop_come_back_and_are_removed() {
        let mut membership = Membership::default();
        assert!(membership.join(BrokerId(2), "b:1") && !membership.join(BrokerId(2), "b:1"));
        assert!(membership.join(BrokerId(1), "a:1"));
        let ids =
            |membership: &Membership| membership.members.iter().map(|member| member.broker_id.0).collect::<Vec<_>>();
        assert_eq!(ids(&membership), [1, 2]);
        assert!(membership.stop(BrokerId(2), None) && membership.members[1].stopped_at.is_some());
        assert!(membership.join(BrokerId(2), "b:1") && membership.members[1].stopped_at.is_none());
        assert!(membership.remove(BrokerId(2)) && !membership.remove(BrokerId(2)));
        assert!(!membership.stop(BrokerId(2), None));
        assert_eq!((ids(&membership), membership.removed.clone()), (vec![1], vec![BrokerId(2)]));
        assert!(membership.join(BrokerId(2), "c:1") && membership.removed.is_empty(), "it was started on purpose");
        let text = serde_json::to_string(&membership).expect("it can be written");
        assert_eq!(serde_json::from_str::<Membership>(&text).expect("it is read back"), membership);
    }
}

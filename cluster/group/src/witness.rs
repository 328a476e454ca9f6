//! What a name server remembers of a group, durably: that it exists, who belongs to it, who led it last, and how far a slave went
//! that has lost its master. A master whose disk was lost learns here that its empty store is not the beginning.
//!
//! Name servers know nothing of one another, and one that is new knows nothing at all: a witness can only say that something
//! was. Apache's name servers are no witnesses: they do not know the request, `WITNESS_REPLICA_GROUP`. Its body is a [`Report`], the
//! answer's a [`Record`] or empty.

use protocol::BrokerId;
use serde::{Deserialize, Serialize};

use crate::{GroupId, Membership, Position};

/// The most bytes of a report.
pub const REPORT_BYTES_MAX: usize = 64 << 10;
/// The most members of a group.
const MEMBERS_MAX: usize = 64;

/// What a broker says or asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `brokerClusterName`.
    pub cluster_name: String,
    /// `brokerName`.
    pub broker_name: String,
    /// What it says.
    pub word: Word,
}

/// What a broker says to a witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Word {
    /// What is known of the group?
    Ask,
    /// A master leads the group.
    Leads {
        /// The membership as the master has it.
        membership: Membership,
    },
    /// A slave without a master, or one that stops, tells how far it is.
    Stands {
        /// The group that its store belongs to, as far as it knows.
        group: Option<GroupId>,
        /// The slave.
        stand: Stand,
    },
}

/// How far a slave was when it was last without a master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stand {
    /// Its `brokerId`.
    pub broker_id: BrokerId,
    /// Its remoting address.
    pub addr: String,
    /// How far its log went; `None` if it had no byte.
    pub position: Option<Position>,
    /// Whether it stopped in good order then.
    pub is_stopped: bool,
}

/// What a name server knows of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// The newest membership of which a master told.
    pub membership: Membership,
    /// What slaves told of themselves.
    pub stands: Vec<Stand>,
}

impl Record {
    /// Takes in what a broker says; returns whether anything has changed.
    pub fn take(&mut self, word: Word) -> bool {
        match word {
            Word::Ask => false,
            Word::Leads { membership } => self.led(membership),
            Word::Stands { group, stand } => self.stands(group.as_ref(), stand),
        }
    }

    fn led(&mut self, membership: Membership) -> bool {
        let (is_known, known) = (self.membership.group.is_some(), &self.membership);
        let is_news = membership.generation > known.generation
            || membership.is_of_one_life(known) && membership.version > known.version;
        if membership.members.len() > MEMBERS_MAX || (is_known && !is_news) {
            return false;
        }
        if is_known && membership.group != self.membership.group {
            self.stands.clear();
        }
        self.stands.retain(|stand| !membership.removed.contains(&stand.broker_id));
        self.membership = membership;
        true
    }

    fn stands(&mut self, group: Option<&GroupId>, stand: Stand) -> bool {
        let known = self.membership.group.as_ref();
        let is_strange = group.is_some() && known.is_some() && group != known;
        let is_same = self.stands.contains(&stand);
        if is_strange || is_same || self.membership.removed.contains(&stand.broker_id) {
            return false;
        }
        self.stands.retain(|other| other.broker_id != stand.broker_id);
        if self.stands.len() >= MEMBERS_MAX {
            return false;
        }
        self.stands.push(stand);
        self.stands.sort_by_key(|stand| stand.broker_id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(id: i64, is_stopped: bool) -> Stand {
        Stand { broker_id: BrokerId(id), addr: format!("s{id}:1"), position: None, is_stopped }
    }

    fn membership(group: &str, generation: u64) -> Membership {
        Membership { group: Some(GroupId(group.to_owned())), generation, ..Membership::default() }
    }

    #[test]
    fn the_newest_master_is_remembered_and_an_older_one_changes_nothing() {
        let mut record = Record::default();
        assert!(!record.take(Word::Ask));
        assert!(record.take(Word::Leads { membership: membership("g", 2) }));
        assert!(!record.take(Word::Leads { membership: membership("g", 1) }), "an older copy of a disk");
        let with_members = |group: &str, life| Membership { version: 9, life, ..membership(group, 2) };
        assert!(!record.take(Word::Leads { membership: with_members("h", 2) }), "another group of the name");
        assert!(record.take(Word::Leads { membership: with_members("g", 7) }), "a slave has joined");
        let twin = Membership { version: 10, ..with_members("g", 8) };
        assert!(!record.take(Word::Leads { membership: twin }), "two have begun the same generation");
        let mut record = Record::default();
        record.take(Word::Leads { membership: membership("g", 2) });
        assert_eq!(record.membership, membership("g", 2));
        let text = serde_json::to_string(&record).expect("it can be written");
        assert_eq!(serde_json::from_str::<Record>(&text).expect("it is read back"), record);
    }

    #[test]
    fn slaves_of_the_group_tell_how_far_they_are() {
        let mut record = Record::default();
        let says = |record: &mut Record, group: Option<&str>, stand| {
            record.take(Word::Stands { group: group.map(|group| GroupId(group.to_owned())), stand })
        };
        assert!(says(&mut record, None, stand(1, false)), "before anybody has led");
        record.take(Word::Leads { membership: membership("g", 1) });
        assert!(says(&mut record, Some("g"), stand(1, true)) && !says(&mut record, Some("g"), stand(1, true)));
        assert!(!says(&mut record, Some("h"), stand(2, true)), "a member of another group");
        let mut later = membership("g", 1);
        later.remove(BrokerId(1));
        assert!(record.take(Word::Leads { membership: later }) && record.stands.is_empty());
        assert!(!says(&mut record, Some("g"), stand(1, false)), "it was removed");
    }
}

//! What a master waits for before its history begins, in words that name the command which resolves it.

use std::fmt;

use protocol::{BrokerId, PhysicalOffset};
use serde::{Deserialize, Serialize};

use crate::GroupId;

/// A member that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// Its `brokerId`.
    pub broker_id: BrokerId,
    /// Its remoting address.
    pub addr: String,
    /// Why.
    pub reason: Reason,
}

/// Why a member is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// It may have what this store lacks.
    MayHaveMore,
    /// Its log is known to have gone to `end`, which this store lacks.
    HasMore {
        /// Where it ended.
        end: PhysicalOffset,
    },
    /// This store has no history, or only a part of one.
    OwnIsEmpty,
    /// Somebody has led the group later than this store knows.
    OwnIsOlder,
    /// Who is connected under its id has the store of another replica group.
    IsStranger,
    /// It is connected, has more, and cannot give it back, for it speaks Apache's protocol.
    IsApaches {
        /// Where its log ends.
        end: PhysicalOffset,
    },
}

/// What a master waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// Members that may have what it lacks.
    Members(Vec<Awaited>),
    /// The store is empty and no name server has said whether this is a new group.
    NameServers(Vec<String>),
    /// A SYNC_MASTER with an empty store: without a slave no send would be SEND_OK.
    AnySlave,
    /// This store was a slave's, and only the last master may have what it lacks.
    LastMaster,
    /// The store belongs to another group than the one that name servers know under this name.
    OtherGroup {
        /// The store's.
        own: GroupId,
        /// The name servers'.
        known: GroupId,
    },
    /// A member has a history of its own, and so has this store.
    TwoHistories {
        /// The member.
        broker_id: BrokerId,
        /// Up to where the two are one.
        common: PhysicalOffset,
        /// Where this store ends.
        own_end: PhysicalOffset,
        /// Where the member's ends.
        their_end: PhysicalOffset,
    },
}

const GO_ON: &str = "or, to give up what only they have, `mqadmin beginHistory --accept-loss`";

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Awaited { broker_id, addr, reason } = self;
        write!(f, "broker {broker_id} at {addr} ")?;
        match reason {
            Reason::MayHaveMore => f.write_str("(it may have what this store lacks)"),
            Reason::HasMore { end } => write!(f, "(its log went to {end}, which this store lacks)"),
            Reason::OwnIsEmpty => f.write_str("(this store has no history of its own)"),
            Reason::IsApaches { end } => {
                write!(f, "(its log goes to {end}; it speaks Apache's protocol, in which a slave gives nothing back)")
            }
            Reason::IsStranger => f.write_str(
                "(who is connected under this id has the store of another replica group: put the right disk back there)",
            ),
            Reason::OwnIsOlder => f.write_str("(somebody has led this group later than this store knows)"),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting::Members(awaited) => {
                let names: Vec<_> = awaited.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "{}: start them; or, if one is gone for good, `mqadmin removeReplica`; {GO_ON}",
                    names.join(", ")
                )
            }
            Waiting::NameServers(silent) => write!(
                f,
                "a name server of {}: the store is empty, and only they know whether this group is new. Start one; or, if \
                 nothing was ever stored under this name, `mqadmin beginHistory --accept-loss`",
                silent.join(", ")
            ),
            Waiting::AnySlave => f.write_str(
                "a slave: the store is empty, and without a slave no send to a SYNC_MASTER is SEND_OK. Start one; or, if no \
                 slave has anything, `mqadmin beginHistory --accept-loss`",
            ),
            Waiting::LastMaster => f.write_str(
                "the last master: this store was a slave's, and what it and the other slaves have is not all that was \
                 acknowledged. Start the last master as a slave of this one; or, if it is gone for good, \
                 `mqadmin beginHistory --accept-loss`",
            ),
            Waiting::OtherGroup { own, known } => write!(
                f,
                "an operator: the store belongs to group {own}, and name servers know group {known} under this name. Put the \
                 right disk back; or, to lead with this store, `mqadmin beginHistory --accept-loss`"
            ),
            Waiting::TwoHistories { broker_id, common, own_end, their_end } => write!(
                f,
                "an operator: there are two histories, which part at {common}. Only this store has {common}..{own_end}, and \
                 only broker {broker_id} has {common}..{their_end}. Make that one the master; or, to lead with this store, \
                 `mqadmin beginHistory --accept-loss`: what the other has is kept there, and `mqadmin republish` brings it \
                 into the living topics"
            ),
        }
    }
}

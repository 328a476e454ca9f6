//! The replica group: a master, its slaves, and the one log that they hold together.
//!
//! A group has an identity, a membership that its members and the name servers keep durably, and one rule by which a broker that
//! is configured as its master comes to lead. All of it is here as plain functions over plain data: no clock, no file, no
//! socket, no random number. Whoever runs it (`ha` and the broker) feeds events and does what is asked; `tests/model.rs`
//! explores it exhaustively with a model of crashes, lost disks and cuts.
//!
//! ```text
//! store, members, name servers, operator ──events──► Forming ──steps──► wait | take the tail | cut | begin
//! ```
//!
//! | file | is |
//! |---|---|
//! | [`membership`] | who belongs to the group, and how often somebody has begun to lead it |
//! | [`witness`] | what a name server remembers of a group |
//! | [`forming`] | the state machine of a master before its history begins |
//! | [`waiting`] | what it waits for, in words: each with the command that resolves it |
//! | [`logs`] | how two logs of a group stand to one another |
//! | [`transcript`] | what a running master did, held against the machine |
//!
//! **The door for automatic switch-over.** Who is to lead is configured (`brokerId` 0) and stays a fact from outside here: an
//! election would replace exactly that input, hand the machine a term as its generation, and leave every other rule alone.

pub mod forming;
pub mod logs;
pub mod membership;
pub mod transcript;
pub mod waiting;
pub mod witness;

pub use forming::{Event, Forming, Start, Step, Testimony};
pub use membership::{GroupId, Member, Membership, Position};
pub use waiting::Waiting;
pub use witness::{Record, Report, Stand, Word};

//! The classes of faults that a scenario can be run under.
//!
//! A kind names whom it strikes by part, never by host: the *target* is the primary (the master) of one replica group, a
//! *slave* is a secondary of the same group. Which group, which slave and which numbers is drawn from the seed, see
//! [`crate::generate`].

mod table;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// One class of faults, as named on the command line and in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Nothing breaks.
    None,
    /// The target's process is killed (`kill -9`) and started again; its kernel lives on.
    BrokerCrash,
    /// The kernel of the target's machine panics; the machine boots again.
    OsCrash,
    /// The target's machine loses power; the machine boots again when the power is back.
    PowerLoss,
    /// All machines of the target's group lose power at one instant, and boot again each in its time.
    PowerLossRack,
    /// All servers (of all groups, and the name servers) lose power at one instant, and boot again each in its time.
    PowerLossAll,
    /// The target's machine never boots again; at the end a new machine with an empty disk takes its place.
    MachineLoss,
    /// The disk of the target's machine is lost; the machine boots again with an empty one.
    DiskLoss,
    /// One drive of the target's RAID10 is lost, and replaced later.
    DiskMemberLoss,
    /// The target's machine is cut off from all others, both ways.
    Partition,
    /// The target's machine hears nothing, but is heard.
    PartitionIn,
    /// The target's machine is not heard, but hears.
    PartitionOut,
    /// A slave's process is killed and started again.
    SlaveCrash,
    /// The kernel of a slave's machine panics; the machine boots again.
    SlaveOsCrash,
    /// A slave's machine loses power and boots again.
    SlavePowerLoss,
    /// The disk of a slave's machine is lost; the machine boots again with an empty one.
    SlaveDiskLoss,
    /// A slave's machine is cut off from all others, both ways.
    PartitionSlave,
    /// The target and its slaves do not reach each other; all others reach both.
    PartitionPair,
    /// A name server's process is killed and started again, knowing nothing.
    NamesrvCrash,
    /// One name server and the target, or one name server and one client, do not reach each other.
    PartitionNamesrv,
    /// The target's disk becomes slow for a while.
    SlowDisk,
    /// A slave's disk becomes slow for a while: it lags behind.
    SlowSlave,
    /// The way between the target and its slaves becomes long and narrow for a while.
    SlowLink,
    /// The target's wall clock is wrong for a while, by up to minutes.
    ClockStep,
    /// The target's process stands still for a while and then goes on as if nothing had happened.
    Pause,
    /// The target's next sync of a file fails, once, and what it should have written is dropped.
    FsyncError,
    /// For a while the target's drive fails some of its reads; meanwhile its kernel panics, so that much has to be read.
    ReadError,
    /// For a while the target's drive fails some of its writes, which the next sync of the file reports, once.
    WriteError,
    /// The target's drive says that its cache is flushed when it is not; then its machine loses power.
    LyingFsync,
    /// The target's disk is full for a while.
    DiskFull,
    /// The target's drive answers nothing for a while, and then everything.
    DiskStall,
    /// For a while some reads and writes of the target move less than they were asked to.
    ShortIo,
    /// Some sectors of the target's disk cannot be read any more; then its kernel panics, so that they have to be.
    LatentError,
    /// Some bits on the target's disk flip; then its kernel panics, so that they have to be read.
    BitRot,
    /// For a while some writes never reach the target's medium, though its drive says so; then its kernel panics.
    LostWrite,
    /// For a while some writes reach another place of the target's medium; then its kernel panics.
    MisdirectedWrite,
    /// For a while some reads of the target's drive return another place; meanwhile its kernel panics.
    MisdirectedRead,
    /// For a while some reads of the target's drive return what stood there before; meanwhile its kernel panics.
    StaleRead,
    /// The target's page cache is emptied: what is read next comes from the drive.
    DropCaches,
    /// The target's machine breaks, and its disk goes into another one, which takes its place.
    DiskMoved,
    /// The target's machine is set back to a snapshot of its disk, from before the last messages.
    OlderImage,
    /// The machine of a slave is set back to a snapshot of its disk, from before the last messages.
    SlaveOlderImage,
    /// Some bits on a slave's disk flip; then its kernel panics, so that they have to be read.
    SlaveBitRot,
    /// For a while nothing gets through to or from the target's machine; then everything does that was held.
    Jam,
    /// Several servers are jammed one after the other, and released in another order.
    Swizzle,
    /// All machines fall into two halves, and only one machine reaches both.
    Bridge,
    /// Each machine reaches a majority of the others, and no two the same.
    Ring,
    /// All connections of the target are reset, again and again.
    ResetStorm,
    /// Packets between the target and all others are lost.
    LossyLink,
    /// Packets between the target and all others arrive twice.
    DuplicatingLink,
    /// Packets between the target and all others overtake one another.
    ReorderingLink,
    /// Names are resolved slowly, or not at all, on all clients and brokers; meanwhile a name server loses its connections.
    SlowNames,
    /// The target's process gets only a part of a processor for a while.
    CpuStarvation,
    /// The target's process is killed again and again, shortly after each start.
    RestartLoop,
    /// The target's process needs more memory than it may have: the kernel kills it.
    OutOfMemory,
    /// The target's machine has little memory for a while: a small page cache, and a process that is killed when its sockets
    /// hold more.
    MemoryLimit,
    /// The target's machine is suspended for a while, its monotonic clock too, as a virtual machine that is moved.
    Suspend,
    /// The target's wall clock stands still for a while.
    ClockFreeze,
    /// The target's wall clock runs far too fast or too slow for a while.
    ClockDrift,
    /// The target's wall clock jumps to and fro for a while.
    ClockStrobe,
    /// All servers of the target's room lose power at one instant, and boot again each in its time.
    PowerLossRoom,
    /// All servers lose power at one instant, and boot in the worst order: slaves, masters, and name servers last.
    RebootOrder,
}

/// Whom a kind strikes, and so what a cluster must have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strikes {
    Nobody,
    /// The target's own machine, which must be up.
    Primary,
    /// A slave of the target.
    Secondary,
    /// What is between the target, which must be up, and its slaves.
    Pair,
    /// The target and its slaves, as many as are up.
    Group,
    /// A name server.
    Registry,
    /// Many, as many as are up.
    Many,
}

impl FaultKind {
    /// All of them, in the order in which they are listed.
    pub const ALL: [FaultKind; table::TABLE.len()] = {
        let mut all = [FaultKind::None; table::TABLE.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = table::TABLE[index].kind;
            index += 1;
        }
        all
    };

    fn row(self) -> &'static table::Row {
        &table::TABLE[self as usize]
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What it does, in one line for people.
    pub fn describe(self) -> &'static str {
        self.row().about
    }

    /// Whether it makes sense only where a group has more than its primary.
    pub fn needs_secondary(self) -> bool {
        matches!(self.row().strikes, Strikes::Secondary | Strikes::Pair | Strikes::Group)
    }

    /// Whether it does something only if the target's own machine is up. The power of a whole rack also takes its slaves.
    pub(crate) fn needs_primary_alive(self) -> bool {
        matches!(self.row().strikes, Strikes::Primary | Strikes::Pair)
    }

    /// Whether it makes sense only on machines whose disk is a RAID10. On a single drive the loss of one drive is
    /// [`FaultKind::DiskLoss`].
    pub fn needs_raid(self) -> bool {
        self == FaultKind::DiskMemberLoss
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no fault has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault `{0}`; the faults are: {names}", names = FaultKind::ALL.map(FaultKind::name).join(", "))]
pub struct UnknownFault(pub String);

impl FromStr for FaultKind {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<FaultKind, UnknownFault> {
        FaultKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownFault(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_command_line_and_in_records_are_the_same() {
        for kind in FaultKind::ALL {
            assert_eq!(kind.name().parse::<FaultKind>(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).expect("a plain enum"), format!("{:?}", kind.name()));
        }
        let error = "power-los".parse::<FaultKind>().expect_err("not a fault").to_string();
        assert!(error.contains("`power-los`") && error.contains("power-loss"), "{error}");
    }

    #[test]
    fn all_are_listed_once_and_in_order() {
        assert!(FaultKind::ALL.is_sorted_by(|a, b| a < b));
        assert!(FaultKind::ALL.iter().all(|kind| kind.row().kind == *kind), "the row of each is its own");
    }
}

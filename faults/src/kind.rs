//! The classes of faults that a scenario can be run under.
//!
//! A kind names whom it strikes by part, never by host: the *target* is the primary (the master) of one replica group, a
//! *slave* is a secondary of the same group. Which group, which slave and which numbers is drawn from the seed, see
//! [`crate::generate`].

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
}

impl FaultKind {
    /// All of them, in the order in which they are listed: what hits the target, by severity; its slaves; the rest.
    pub const ALL: [FaultKind; 26] = [
        FaultKind::None,
        FaultKind::BrokerCrash,
        FaultKind::OsCrash,
        FaultKind::PowerLoss,
        FaultKind::PowerLossRack,
        FaultKind::PowerLossAll,
        FaultKind::MachineLoss,
        FaultKind::DiskLoss,
        FaultKind::DiskMemberLoss,
        FaultKind::Partition,
        FaultKind::PartitionIn,
        FaultKind::PartitionOut,
        FaultKind::SlaveCrash,
        FaultKind::SlaveOsCrash,
        FaultKind::SlavePowerLoss,
        FaultKind::SlaveDiskLoss,
        FaultKind::PartitionSlave,
        FaultKind::PartitionPair,
        FaultKind::NamesrvCrash,
        FaultKind::PartitionNamesrv,
        FaultKind::SlowDisk,
        FaultKind::SlowSlave,
        FaultKind::SlowLink,
        FaultKind::ClockStep,
        FaultKind::Pause,
        FaultKind::FsyncError,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::None => "none",
            FaultKind::BrokerCrash => "broker-crash",
            FaultKind::OsCrash => "os-crash",
            FaultKind::PowerLoss => "power-loss",
            FaultKind::PowerLossRack => "power-loss-rack",
            FaultKind::PowerLossAll => "power-loss-all",
            FaultKind::MachineLoss => "machine-loss",
            FaultKind::DiskLoss => "disk-loss",
            FaultKind::DiskMemberLoss => "disk-member-loss",
            FaultKind::Partition => "partition",
            FaultKind::PartitionIn => "partition-in",
            FaultKind::PartitionOut => "partition-out",
            FaultKind::SlaveCrash => "slave-crash",
            FaultKind::SlaveOsCrash => "slave-os-crash",
            FaultKind::SlavePowerLoss => "slave-power-loss",
            FaultKind::SlaveDiskLoss => "slave-disk-loss",
            FaultKind::PartitionSlave => "partition-slave",
            FaultKind::PartitionPair => "partition-pair",
            FaultKind::NamesrvCrash => "namesrv-crash",
            FaultKind::PartitionNamesrv => "partition-namesrv",
            FaultKind::SlowDisk => "slow-disk",
            FaultKind::SlowSlave => "slow-slave",
            FaultKind::SlowLink => "slow-link",
            FaultKind::ClockStep => "clock-step",
            FaultKind::Pause => "pause",
            FaultKind::FsyncError => "fsync-error",
        }
    }

    /// What it does, in one line for people.
    pub fn describe(self) -> &'static str {
        match self {
            FaultKind::None => "nothing breaks",
            FaultKind::BrokerCrash => "the broker's process is killed and restarted; the page cache lives on",
            FaultKind::OsCrash => "the kernel panics: the page cache is lost, the drive drains its own cache",
            FaultKind::PowerLoss => "power is cut: page cache and drive cache are lost, a sector in flight may tear",
            FaultKind::PowerLossRack => "a master and its slaves lose power at one instant",
            FaultKind::PowerLossAll => "all brokers and name servers lose power at one instant, and boot in any order",
            FaultKind::MachineLoss => "the machine never boots again; at the end an empty one replaces it",
            FaultKind::DiskLoss => "the disk is gone; the machine comes back with an empty one",
            FaultKind::DiskMemberLoss => "one drive of a RAID10 is lost, and replaced later",
            FaultKind::Partition => "the broker's machine is cut off, both ways",
            FaultKind::PartitionIn => "nothing reaches the broker's machine, but it is heard",
            FaultKind::PartitionOut => "nothing leaves the broker's machine, but it hears",
            FaultKind::SlaveCrash => "a slave's process is killed and restarted",
            FaultKind::SlaveOsCrash => "the kernel of a slave panics",
            FaultKind::SlavePowerLoss => "a slave loses power",
            FaultKind::SlaveDiskLoss => "a slave's disk is gone; it comes back with an empty one",
            FaultKind::PartitionSlave => "a slave's machine is cut off, both ways",
            FaultKind::PartitionPair => "a master and its slaves do not reach each other; all others reach both",
            FaultKind::NamesrvCrash => "a name server is killed, and restarts knowing nothing",
            FaultKind::PartitionNamesrv => "one name server is cut off from one broker or one client",
            FaultKind::SlowDisk => "the broker's disk becomes slow for a while",
            FaultKind::SlowSlave => "a slave's disk becomes slow for a while: it lags",
            FaultKind::SlowLink => "the way between master and slaves becomes long and narrow for a while",
            FaultKind::ClockStep => "the broker's wall clock is wrong for a while, by up to minutes",
            FaultKind::Pause => "the broker's process stands still for a while, and then goes on",
            FaultKind::FsyncError => "one sync of the broker fails, and what it should have written is dropped",
        }
    }

    /// Whether it makes sense only where a group has more than its primary.
    pub fn needs_secondary(self) -> bool {
        matches!(
            self,
            FaultKind::PowerLossRack
                | FaultKind::SlaveCrash
                | FaultKind::SlaveOsCrash
                | FaultKind::SlavePowerLoss
                | FaultKind::SlaveDiskLoss
                | FaultKind::PartitionSlave
                | FaultKind::PartitionPair
                | FaultKind::SlowSlave
                | FaultKind::SlowLink
        )
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
    }
}

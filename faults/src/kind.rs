//! The classes of faults that a scenario can be run under.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// One class of faults, as named on the command line and in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Nothing breaks.
    None,
    /// The broker's process is killed (`kill -9`) and started again; its kernel lives on.
    BrokerCrash,
    /// The kernel of the broker's machine panics; the machine boots again.
    OsCrash,
    /// The broker's machine loses power; the machine boots again when the power is back.
    PowerLoss,
    /// The broker's machine never boots again; at the end a new machine with an empty disk takes its place.
    MachineLoss,
    /// The disk of the broker's machine is lost; the machine boots again with an empty one.
    DiskLoss,
    /// The broker's machine is cut off from all others, both ways.
    Partition,
    /// The broker's machine hears nothing, but is heard.
    PartitionIn,
    /// The broker's machine is not heard, but hears.
    PartitionOut,
}

impl FaultKind {
    /// All of them, in the order of severity in which they are listed.
    pub const ALL: [FaultKind; 9] = [
        FaultKind::None,
        FaultKind::BrokerCrash,
        FaultKind::OsCrash,
        FaultKind::PowerLoss,
        FaultKind::MachineLoss,
        FaultKind::DiskLoss,
        FaultKind::Partition,
        FaultKind::PartitionIn,
        FaultKind::PartitionOut,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::None => "none",
            FaultKind::BrokerCrash => "broker-crash",
            FaultKind::OsCrash => "os-crash",
            FaultKind::PowerLoss => "power-loss",
            FaultKind::MachineLoss => "machine-loss",
            FaultKind::DiskLoss => "disk-loss",
            FaultKind::Partition => "partition",
            FaultKind::PartitionIn => "partition-in",
            FaultKind::PartitionOut => "partition-out",
        }
    }

    /// What it does, in one line for people.
    pub fn describe(self) -> &'static str {
        match self {
            FaultKind::None => "nothing breaks",
            FaultKind::BrokerCrash => "the broker's process is killed and restarted; the page cache lives on",
            FaultKind::OsCrash => "the kernel panics: the page cache is lost, the drive drains its own cache",
            FaultKind::PowerLoss => "power is cut: page cache and drive cache are lost, a sector in flight may tear",
            FaultKind::MachineLoss => "the machine never boots again; at the end an empty one replaces it",
            FaultKind::DiskLoss => "the disk is gone; the machine comes back with an empty one",
            FaultKind::Partition => "the broker's machine is cut off, both ways",
            FaultKind::PartitionIn => "nothing reaches the broker's machine, but it is heard",
            FaultKind::PartitionOut => "nothing leaves the broker's machine, but it hears",
        }
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
}

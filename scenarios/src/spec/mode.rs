//! Cluster modes and flushes, by the names of RocketMQ's own example configurations.

use super::ScenarioError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A cluster mode. Each is also the name of its standard scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// One master.
    #[serde(rename = "single-master")]
    SingleMaster,
    /// Several masters without slaves.
    #[serde(rename = "2m-noslave")]
    TwoMastersNoSlave,
    /// Several masters with slaves; ASYNC_MASTER.
    #[serde(rename = "2m-2s-async")]
    TwoMastersTwoSlavesAsync,
    /// Several masters with slaves; SYNC_MASTER.
    #[serde(rename = "2m-2s-sync")]
    TwoMastersTwoSlavesSync,
}

/// When a broker acknowledges: the setting `flushDiskType`, the same for masters and slaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flush {
    /// ASYNC_FLUSH: once the message is in the page cache.
    Async,
    /// SYNC_FLUSH: once it is on the disk.
    Sync,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 4] =
        [Mode::SingleMaster, Mode::TwoMastersNoSlave, Mode::TwoMastersTwoSlavesAsync, Mode::TwoMastersTwoSlavesSync];

    /// The name on the command line; it is also the name of the mode's standard scenario.
    pub fn name(self) -> &'static str {
        match self {
            Mode::SingleMaster => "single-master",
            Mode::TwoMastersNoSlave => "2m-noslave",
            Mode::TwoMastersTwoSlavesAsync => "2m-2s-async",
            Mode::TwoMastersTwoSlavesSync => "2m-2s-sync",
        }
    }

    /// What it is, in one line.
    pub fn describe(self) -> &'static str {
        match self {
            Mode::SingleMaster => "one master, no replica",
            Mode::TwoMastersNoSlave => "two masters on RAID10 disks, no replica",
            Mode::TwoMastersTwoSlavesAsync => "two masters with a slave each, which follow them (ASYNC_MASTER)",
            Mode::TwoMastersTwoSlavesSync => "two masters with a slave each, which must have it too (SYNC_MASTER)",
        }
    }

    /// Whether masters have slaves.
    pub fn has_slaves(self) -> bool {
        matches!(self, Mode::TwoMastersTwoSlavesAsync | Mode::TwoMastersTwoSlavesSync)
    }
}

impl Flush {
    /// Both.
    pub const ALL: [Flush; 2] = [Flush::Async, Flush::Sync];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Flush::Async => "async",
            Flush::Sync => "sync",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for Flush {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = ScenarioError;
    fn from_str(name: &str) -> Result<Mode, ScenarioError> {
        let found = Mode::ALL.into_iter().find(|mode| mode.name() == name);
        found.ok_or_else(|| ScenarioError::UnknownMode(name.to_owned()))
    }
}

impl FromStr for Flush {
    type Err = ScenarioError;
    fn from_str(name: &str) -> Result<Flush, ScenarioError> {
        let found = Flush::ALL.into_iter().find(|flush| flush.name() == name);
        found.ok_or_else(|| ScenarioError::UnknownFlush(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_command_line_and_in_files_are_the_same() {
        for mode in Mode::ALL {
            assert_eq!(serde_json::to_string(&mode).expect("a plain enum"), format!("{:?}", mode.name()));
            assert_eq!(mode.name().parse::<Mode>().expect("a mode"), mode);
        }
        let error = "3m".parse::<Mode>().expect_err("no mode").to_string();
        assert!(error.contains("`3m`") && error.contains("2m-2s-sync"), "{error}");
    }
}

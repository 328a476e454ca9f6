//! What operators do to a cluster while it works: restarts in good order, other versions, brokers that come and go, permissions.
//!
//! Operations are planned like faults and carried out beside them; unlike faults they break no promise of their own: nothing
//! may be lost, and no send may fail beyond the client's retries.

use super::ProfileName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An operation at its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedOperation {
    /// Simulated milliseconds since the start of the run.
    pub at_ms: u64,
    pub what: Operation,
}

/// Something that an operator does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Operation {
    /// Stops the process of a host in good order (SIGTERM), and starts it again after a while.
    Restart {
        /// The host's name.
        host: String,
        /// How long it is away, from its end to its start.
        away_ms: u64,
    },
    /// Stops the process of a broker in good order, and starts it after a while as another version: on the same store, with the
    /// behaviour of this profile.
    Upgrade {
        /// The host's name.
        host: String,
        /// The version that it is from now on, whatever stops it.
        profile: ProfileName,
        /// How long it is away, from its end to its start.
        away_ms: u64,
    },
    /// Stops the process of a host in good order.
    Stop {
        /// The host's name.
        host: String,
    },
    /// Starts the process of a host. A host whose first operation this is does not run from the beginning.
    Start {
        /// The host's name.
        host: String,
    },
    /// Takes a slave out of the cluster for good, as soon as its master leads: its process is stopped in good order, and
    /// `mqadmin removeReplica` tells the master. Where the master is gone by then, the slave is started again until it leads.
    Remove {
        /// The host's name.
        host: String,
    },
    /// Creates the workload's topic on the master with this broker name.
    CreateTopic { broker: String },
    /// `mqadmin wipeWritePerm`: name servers hand out the master's queues for reading only.
    WipeWritePermission { broker: String },
    /// `mqadmin addWritePerm`: takes that back.
    AddWritePermission { broker: String },
}

impl Operation {
    /// The host that it is done to; that of its master for a broker name.
    pub fn host(&self) -> &str {
        match self {
            Operation::Restart { host, .. }
            | Operation::Upgrade { host, .. }
            | Operation::Stop { host }
            | Operation::Start { host }
            | Operation::Remove { host } => host,
            Operation::CreateTopic { broker }
            | Operation::WipeWritePermission { broker }
            | Operation::AddWritePermission { broker } => broker,
        }
    }

    /// Whether it stops or starts a broker.
    pub fn is_of_process(&self) -> bool {
        match self {
            Operation::Restart { .. }
            | Operation::Upgrade { .. }
            | Operation::Stop { .. }
            | Operation::Start { .. }
            | Operation::Remove { .. } => true,
            Operation::CreateTopic { .. }
            | Operation::WipeWritePermission { .. }
            | Operation::AddWritePermission { .. } => false,
        }
    }

    /// How long it takes at least until it is over.
    pub fn lasts_ms(&self) -> u64 {
        match self {
            Operation::Restart { away_ms, .. } | Operation::Upgrade { away_ms, .. } => *away_ms,
            _ => 0,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Restart { away_ms, .. } => write!(formatter, "restarted in good order, away for {away_ms} ms"),
            Operation::Upgrade { profile, away_ms, .. } => {
                write!(formatter, "stopped in good order, to be {profile} after {away_ms} ms")
            }
            Operation::Remove { .. } => formatter.write_str("to be taken out of its replica group, for good"),
            Operation::Stop { .. } => formatter.write_str("stopped in good order"),
            Operation::Start { .. } => formatter.write_str("started"),
            Operation::CreateTopic { .. } => formatter.write_str("the topic is created"),
            Operation::WipeWritePermission { .. } => formatter.write_str("write permission wiped"),
            Operation::AddWritePermission { .. } => formatter.write_str("write permission added"),
        }
    }
}

/// Whether this host does not run from the beginning.
pub fn starts_late(operations: &[PlannedOperation], host: &str) -> bool {
    let mut of_host =
        operations.iter().filter(|operation| operation.what.is_of_process() && operation.what.host() == host);
    let first = of_host.by_ref().min_by_key(|operation| operation.at_ms);
    first.is_some_and(|first| matches!(first.what, Operation::Start { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_survive_toml() {
        let text = r#"
            [[operations]]
            at_ms = 10000
            what = { kind = "restart", host = "broker-a", away_ms = 1000 }
            [[operations]]
            at_ms = 20000
            what = { kind = "start", host = "broker-b" }
        "#;
        #[derive(Deserialize)]
        struct File {
            operations: Vec<PlannedOperation>,
        }
        let file: File = toml::from_str(text).expect("the form that scenario files have");
        assert!(starts_late(&file.operations, "broker-b"));
        assert!(!starts_late(&file.operations, "broker-a") && !starts_late(&file.operations, "broker-c"));
    }
}

//! A scenario as data: what is built, what load it is under, what breaks, and when.
//!
//! Scenarios of the catalogue are values of these types; a file in TOML can give one of its own, or `--set key=value`
//! change single fields. Together with a seed it is everything a run depends on.

use faults::{FaultKind, Plan, Window};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A cluster mode, by the name of RocketMQ's own example configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One master.
    SingleMaster,
}

/// When the master acknowledges: the setting `flushDiskType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flush {
    /// ASYNC_FLUSH: once the message is in the page cache.
    Async,
    /// SYNC_FLUSH: once it is on the disk.
    Sync,
}

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// One line for people.
    pub about: String,
    pub mode: Mode,
    pub flush: Flush,
    /// The class of faults from which the plan is made by the seed.
    pub fault: FaultKind,
    /// A plan of one's own instead of `fault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    pub topology: Topology,
    pub workload: Workload,
    pub schedule: Schedule,
    pub broker: BrokerSettings,
}

/// How many machines of each kind, each process on a machine of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    pub name_servers: u16,
    pub producers: u16,
    /// All in one group, clustering.
    pub consumers: u16,
}

/// The load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    pub topic: String,
    /// Queues of the topic on each broker.
    pub queues: u16,
    /// Over all producers. Each sends one message after the other, so that a slow cluster gets fewer.
    pub messages_per_second: u32,
    /// The sizes of the bodies, from which each message's is drawn. At least 32.
    pub body_bytes: Vec<u32>,
}

/// When what happens, in simulated milliseconds since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    pub load_from_ms: u64,
    pub load_to_ms: u64,
    /// The fault strikes within this window.
    pub fault_from_ms: u64,
    pub fault_to_ms: u64,
    /// By now everything that is still broken is healed.
    pub heal_ms: u64,
    /// From the end of the load, how long consumers may take to get everything before the run counts as not live.
    pub drain_ms_max: u64,
}

/// Settings of the brokers, by the names of `broker.conf` with their units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BrokerSettings {
    /// `mappedFileSizeCommitLog`. Small, so that the log rolls over often.
    pub commit_log_file_bytes: u64,
    /// `mappedFileSizeConsumeQueue`, in units of 20 bytes.
    pub consume_queue_file_units: u64,
    /// `flushIntervalCommitLog`.
    pub flush_interval_ms: u64,
    /// `flushCommitLogLeastPages`.
    pub flush_least_pages: u32,
    /// `flushCommitLogThoroughInterval`.
    pub flush_thorough_interval_ms: u64,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("unknown mode `{0}`; the modes are: {names}", names = Mode::ALL.map(Mode::name).join(", "))]
    UnknownMode(String),
    #[error("unknown flush `{0}`; it is one of: async, sync")]
    UnknownFlush(String),
    #[error("{field} = {value} makes no sense: {expected}")]
    Field { field: &'static str, value: String, expected: &'static str },
    #[error(transparent)]
    Plan(#[from] faults::PlanError),
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 1] = [Mode::SingleMaster];

    /// The name on the command line; it is also the name of the mode's standard scenario.
    pub fn name(self) -> &'static str {
        match self {
            Mode::SingleMaster => "single-master",
        }
    }

    /// What it is, in one line.
    pub fn describe(self) -> &'static str {
        match self {
            Mode::SingleMaster => "one master, no replica",
        }
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
        Mode::ALL
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| ScenarioError::UnknownMode(name.to_owned()))
    }
}

impl FromStr for Flush {
    type Err = ScenarioError;
    fn from_str(name: &str) -> Result<Flush, ScenarioError> {
        let found = Flush::ALL.into_iter().find(|flush| flush.name() == name);
        found.ok_or_else(|| ScenarioError::UnknownFlush(name.to_owned()))
    }
}

impl Topology {
    /// The hosts of the scenario in the order in which they are built: name servers, brokers, producers, consumers.
    pub fn host_names(&self) -> Vec<String> {
        let family = |name: &'static str, count: u16| (1..=count).map(move |number| format!("{name}-{number}"));
        family("namesrv", self.name_servers)
            .chain([BROKER.to_owned()])
            .chain(family("producer", self.producers))
            .chain(family("consumer", self.consumers))
            .collect()
    }
}

/// The host and broker name of the only master.
pub const BROKER: &str = "broker-a";

impl Scenario {
    /// The window in which a generated fault strikes.
    pub fn window(&self) -> Window {
        Window { from_ms: self.schedule.fault_from_ms, to_ms: self.schedule.fault_to_ms }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first field that makes no sense, with what would.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let field = |field, value: &dyn fmt::Display, good: bool, expected| {
            if good { Ok(()) } else { Err(ScenarioError::Field { field, value: value.to_string(), expected }) }
        };
        let Scenario { topology, workload, schedule, broker, .. } = self;
        field("topology.name_servers", &topology.name_servers, (1..=16).contains(&topology.name_servers), "1 to 16")?;
        field("topology.producers", &topology.producers, (1..=64).contains(&topology.producers), "1 to 64")?;
        field("topology.consumers", &topology.consumers, (1..=64).contains(&topology.consumers), "1 to 64")?;
        let topic = protocol::topic::validate_topic(&workload.topic).is_ok();
        field("workload.topic", &workload.topic, topic, "a topic name: letters, digits, %, |, - and _, at most 127")?;
        field("workload.queues", &workload.queues, (1..=1024).contains(&workload.queues), "1 to 1024")?;
        let rate = workload.messages_per_second;
        field("workload.messages_per_second", &rate, rate <= 100_000, "at most 100000")?;
        let sizes = &workload.body_bytes;
        let good = !sizes.is_empty() && sizes.iter().all(|bytes| (32..=4 << 20).contains(bytes));
        field("workload.body_bytes", &format!("{sizes:?}"), good, "one or more sizes from 32 to 4194304")?;
        let Schedule { load_from_ms, load_to_ms, fault_from_ms, fault_to_ms, heal_ms, drain_ms_max } = schedule;
        field(
            "schedule.load_from_ms",
            load_from_ms,
            *load_from_ms >= 1_000,
            "at least 1000, for the cluster to start",
        )?;
        field("schedule.load_to_ms", load_to_ms, load_to_ms > load_from_ms, "later than load_from_ms")?;
        field("schedule.fault_from_ms", fault_from_ms, fault_from_ms >= load_from_ms, "not before load_from_ms")?;
        field("schedule.fault_to_ms", fault_to_ms, fault_to_ms >= fault_from_ms, "not before fault_from_ms")?;
        field(
            "schedule.heal_ms",
            heal_ms,
            heal_ms > fault_to_ms && heal_ms < load_to_ms,
            "after fault_to_ms and before load_to_ms",
        )?;
        let good = (1_000..=3_600_000).contains(drain_ms_max);
        field("schedule.drain_ms_max", drain_ms_max, good, "1000 to 3600000")?;
        let largest = u64::from(sizes.iter().copied().max().unwrap_or(0)) + 4096;
        let bytes = broker.commit_log_file_bytes;
        field(
            "broker.commit_log_file_bytes",
            &bytes,
            bytes >= largest && bytes <= 1 << 30,
            "at least the largest body and 4096, at most 1073741824",
        )?;
        let units = broker.consume_queue_file_units;
        field("broker.consume_queue_file_units", &units, (10..=300_000).contains(&units), "10 to 300000")?;
        let interval = broker.flush_interval_ms;
        field("broker.flush_interval_ms", &interval, (1..=60_000).contains(&interval), "1 to 60000")?;
        if let Some(plan) = &self.plan {
            let hosts = topology.host_names();
            plan.check(&hosts.iter().map(String::as_str).collect::<Vec<_>>(), *heal_ms)?;
        }
        Ok(())
    }
}

//! A scenario as data: what is built, what load it is under, what breaks, and when.
//!
//! Scenarios of the catalogue are values of these types; a file in TOML can give one of its own, or `--set key=value`
//! change single fields. Together with a seed it is everything a run depends on.

mod mode;
mod operation;
mod profile;
mod topology;

pub use mode::{Flush, Mode};
pub use operation::{Operation, PlannedOperation, starts_late};
pub use profile::{ProfileName, QuirkChange, QuirkChangeError, quirk_set};
pub use topology::{BrokerHost, Disk, FileSystem, Placement, Topology};

use crate::{fault_points::FaultPoints, knobs::Knobs, nearest::did_you_mean};
use faults::{Action, Budget, Cast, Fault, FaultKind, Plan, Site, Window};
use quirks::QuirkSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// A scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// One line for people.
    pub about: String,
    pub mode: Mode,
    pub flush: Flush,
    /// Whose behaviour the brokers have.
    #[serde(default)]
    pub profile: ProfileName,
    /// Brokers that begin with the behaviour of another profile, by their hosts: a cluster of mixed versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, ProfileName>,
    /// Single quirks, added to those of the profile or taken away.
    #[serde(default)]
    pub quirks: Vec<QuirkChange>,
    /// The class of faults, or the sequence of them, from which the plan is made by the seed.
    pub fault: Fault,
    /// A plan of one's own instead of `fault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// How much of what is drawn, or planned, may be done: what a replica group survives, or everything.
    #[serde(default)]
    pub budget: Budget,
    /// Which rare branches of the cluster's code are made common, from the start until everything is healed.
    #[serde(default)]
    pub fault_points: FaultPoints,
    /// Settings that each run draws by its seed.
    #[serde(default)]
    pub knobs: Knobs,
    /// What operators do beside it.
    #[serde(default)]
    pub operations: Vec<PlannedOperation>,
    pub topology: Topology,
    pub workload: Workload,
    pub schedule: Schedule,
    pub broker: BrokerSettings,
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
#[serde(deny_unknown_fields, default)]
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
    /// `slaveTimeout`: how long a SYNC_MASTER waits for its slave before it answers FLUSH_SLAVE_TIMEOUT.
    pub slave_timeout_ms: u64,
    /// `inSyncReplicas`: how many replicas, the master among them, a SYNC_MASTER's SEND_OK stands for.
    pub in_sync_replicas: u16,
    /// `minInSyncReplicas`: with fewer in-sync replicas than these a SYNC_MASTER refuses sends.
    pub min_in_sync_replicas: u16,
    /// How long an ASYNC_MASTER that may have lost the end of its log waits for its slaves to give it back.
    pub tail_recovery_timeout_ms: u64,
    /// How often a slave copies topics, groups and offsets from its master.
    pub slave_metadata_interval_ms: u64,
    /// `slaveReadEnable`: a reader that is far behind is sent to a slave.
    pub slave_read_enable: bool,
}

impl Default for BrokerSettings {
    fn default() -> BrokerSettings {
        BrokerSettings {
            commit_log_file_bytes: 1 << 20,
            consume_queue_file_units: 1_000,
            flush_interval_ms: 500,
            flush_least_pages: 4,
            flush_thorough_interval_ms: 10_000,
            slave_timeout_ms: 3_000,
            in_sync_replicas: 2,
            min_in_sync_replicas: 1,
            tail_recovery_timeout_ms: 5_000,
            slave_metadata_interval_ms: 2_000,
            slave_read_enable: false,
        }
    }
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error(
        "unknown mode `{0}`{near}; the modes are: {names}",
        near = did_you_mean(.0, Mode::ALL.map(Mode::name)),
        names = Mode::ALL.map(Mode::name).join(", ")
    )]
    UnknownMode(String),
    #[error("unknown flush `{0}`; it is one of: async, sync")]
    UnknownFlush(String),
    #[error("{field} = {value} makes no sense: {expected}")]
    Field { field: &'static str, value: String, expected: &'static str },
    #[error(
        "the mode {mode} and topology.{field} = {value} do not go together: {expected}; set topology.{field}, or take \
         another mode"
    )]
    Mode { mode: Mode, field: &'static str, value: u16, expected: &'static str },
    #[error("the fault `{0}` needs mirrored drives, and the brokers have single ones; add --set topology.disk=raid10")]
    NeedsRaid(Fault),
    #[error(
        "the fault `{fault}` needs a slave, and in the mode {mode} no master has one; take a mode with slaves, such as \
         2m-2s-async, or another fault"
    )]
    NeedsSlave { fault: Fault, mode: Mode },
    #[error("profiles.{host}: there is no such broker in the scenario; its brokers are: {known}")]
    ProfileHost { host: String, known: String },
    #[error(
        "operation {index} takes the master `{host}` away for good, and with it what is on its disk; wipe its write \
         permission and stop it instead, or remove a slave"
    )]
    MasterRemoved { index: usize, host: String },
    #[error("operation {index} is done to `{host}`, which is no broker of the scenario; its brokers are: {known}")]
    OperationHost { index: usize, host: String, known: String },
    #[error(
        "operation {index} is over at {at_ms} ms, after everything is healed at {heal_ms} ms; give an earlier at_ms"
    )]
    OperationLate { index: usize, at_ms: u64, heal_ms: u64 },
    #[error("there is no fault point `{0}`; `staticfire list` shows them")]
    UnknownFaultPoint(String),
    #[error("knobs.{name} = {value} makes no sense: {low} to {high}")]
    Knob { name: &'static str, value: u64, low: u64, high: u64 },
    #[error(transparent)]
    Plan(#[from] faults::PlanError),
    #[error(transparent)]
    Fault(#[from] faults::FaultError),
}

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
        field("topology.masters", &topology.masters, (1..=26).contains(&topology.masters), "1 to 26")?;
        field("topology.slaves", &topology.slaves, topology.slaves <= 8, "0 to 8")?;
        self.check_mode()?;
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
        let replicas = topology.slaves + 1;
        for (name, value) in [
            ("broker.in_sync_replicas", broker.in_sync_replicas),
            ("broker.min_in_sync_replicas", broker.min_in_sync_replicas),
        ] {
            let good = value >= 1 && (!self.mode.has_slaves() || value <= replicas);
            field(name, &value, good, "at least 1, at most a master and its slaves")?;
        }
        let timeout = broker.slave_timeout_ms;
        field("broker.slave_timeout_ms", &timeout, (1..=60_000).contains(&timeout), "1 to 60000")?;
        let interval = broker.slave_metadata_interval_ms;
        field("broker.slave_metadata_interval_ms", &interval, (100..=600_000).contains(&interval), "100 to 600000")?;
        let timeout = broker.tail_recovery_timeout_ms;
        field("broker.tail_recovery_timeout_ms", &timeout, (1..=600_000).contains(&timeout), "1 to 600000")?;
        if let Some(name) = self.fault_points.unknown() {
            return Err(ScenarioError::UnknownFaultPoint(name.to_owned()));
        }
        self.knobs.check()?;
        self.check_operations()?;
        if let Some(plan) = &self.plan {
            plan.check(&self.site(), *heal_ms)?;
            return Ok(());
        }
        self.check_fault()
    }

    /// Whether the fault makes sense on these machines.
    ///
    /// # Errors
    /// When it needs a slave or mirrored drives and there are none.
    pub fn check_fault(&self) -> Result<(), ScenarioError> {
        if self.fault.needs_secondary() && self.topology.slaves == 0 {
            return Err(ScenarioError::NeedsSlave { fault: self.fault.clone(), mode: self.mode });
        }
        if self.fault.needs_raid() && self.topology.disk != Disk::Raid10 {
            return Err(ScenarioError::NeedsRaid(self.fault.clone()));
        }
        Ok(())
    }

    fn check_mode(&self) -> Result<(), ScenarioError> {
        let mode = self.mode;
        let Topology { masters, slaves, .. } = self.topology;
        let wrong = |field, value, expected| Err(ScenarioError::Mode { mode, field, value, expected });
        match mode {
            Mode::SingleMaster if masters != 1 => wrong("masters", masters, "it has one master"),
            Mode::SingleMaster | Mode::TwoMastersNoSlave if slaves != 0 => wrong("slaves", slaves, "it has no slaves"),
            _ if mode.has_slaves() && slaves == 0 => wrong("slaves", slaves, "each master has at least one slave"),
            _ => Ok(()),
        }
    }

    fn check_operations(&self) -> Result<(), ScenarioError> {
        let brokers = self.topology.brokers();
        let known = || brokers.iter().map(|broker| broker.host.as_str()).collect::<Vec<_>>().join(", ");
        let find = |host: &str| brokers.iter().find(|broker| broker.host == host);
        if let Some(host) = self.profiles.keys().find(|host| find(host).is_none()) {
            return Err(ScenarioError::ProfileHost { host: host.clone(), known: known() });
        }
        for (index, operation) in self.operations.iter().enumerate() {
            let host = operation.what.host();
            let Some(broker) = find(host) else {
                return Err(ScenarioError::OperationHost { index, host: host.to_owned(), known: known() });
            };
            if broker.is_master() && matches!(operation.what, Operation::Remove { .. }) {
                return Err(ScenarioError::MasterRemoved { index, host: host.to_owned() });
            }
            let (at_ms, heal_ms) = (operation.at_ms + operation.what.lasts_ms(), self.schedule.heal_ms);
            if at_ms >= heal_ms {
                return Err(ScenarioError::OperationLate { index, at_ms, heal_ms });
            }
        }
        Ok(())
    }

    /// Whether a machine waits to take the place of each broker's: where a disk may be put into it.
    pub fn has_spares(&self) -> bool {
        match &self.plan {
            Some(plan) => plan.events.iter().any(|event| matches!(event.action, Action::MoveDisk { .. })),
            None => self.fault.has(FaultKind::DiskMoved),
        }
    }

    /// The machines that a plan may name.
    pub fn site(&self) -> Site {
        self.topology.site(self.has_spares())
    }

    /// The quirks of a broker that begins on this host.
    pub fn quirk_set(&self, host: &str) -> QuirkSet {
        self.quirks_of(self.profiles.get(host).copied().unwrap_or(self.profile))
    }

    /// The quirks of a broker with this profile.
    pub fn quirks_of(&self, profile: ProfileName) -> QuirkSet {
        quirk_set(profile, &self.quirks)
    }

    /// How many members of a replica group have a message when its send is acknowledged, the master among them.
    pub fn copies(&self) -> usize {
        match self.mode {
            Mode::TwoMastersTwoSlavesSync => usize::from(self.broker.in_sync_replicas.max(1)),
            Mode::SingleMaster | Mode::TwoMastersNoSlave | Mode::TwoMastersTwoSlavesAsync => 1,
        }
    }

    /// Whom faults can strike: all hosts that run from the beginning.
    pub fn cast(&self) -> Cast {
        self.topology.cast(|host| starts_late(&self.operations, host))
    }

    /// Whose copies a budget may count on: of those, the ones that nobody removes. Where an acknowledgement stands for several
    /// copies, one of the slaves alone may lack something; an ASYNC_MASTER's slave, which has all but the last moments, counts
    /// for a whole one.
    pub fn lasting_cast(&self) -> Cast {
        let is_removed = |host: &str| {
            let mut operations = self.operations.iter();
            operations
                .any(|operation| matches!(&operation.what, Operation::Remove { host: removed } if removed == host))
        };
        let mut cast = self.topology.cast(|host| starts_late(&self.operations, host) || is_removed(host));
        for group in cast.groups.iter_mut().filter(|_| self.copies() > 1) {
            group.kept_by = group.kept_by.min(self.copies());
        }
        cast
    }
}

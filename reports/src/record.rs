//! The record of a run: what was run, what came out, and whether that was promised. It is `run.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Everything that a run leaves for reports. All but `wall_ms` is a function of scenario, seed and build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// The form of the record, [`RunRecord::FORMAT`]; records from before there was this field have form 1.
    #[serde(default = "first_format")]
    pub format: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The cluster mode: `single-master`, ….
    pub mode: String,
    /// `async` or `sync`.
    pub flush: String,
    /// Whose behaviour the brokers have: `hardened`, or a version of Apache's such as `apache-4.9.8`.
    #[serde(default = "hardened")]
    pub profile: String,
    /// Single quirks that were added (`+name`) or taken away (`-name`).
    #[serde(default)]
    pub quirks: Vec<String>,
    /// The class of faults, or `plan` for a plan of the user's own.
    pub fault: String,
    pub seed: u64,
    /// What was set beyond the scenario of the catalogue, each as `key=value`: the words for `--set`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    pub build: Build,
    /// The digest of every step of the simulation: 16 hexadecimal digits.
    pub trace_hash: String,
    /// How many steps there were.
    pub trace_steps: u64,
    /// How long the run was in simulated time.
    pub sim_seconds: f64,
    /// How long it took on the wall clock. The only field that differs between two runs of the same seed.
    pub wall_ms: u64,
    /// Sends begun.
    pub sent: u64,
    /// Sends that ended in SEND_OK: the promises.
    pub acked: u64,
    /// Sends that may or may not have happened: time-outs, broken connections, FLUSH_DISK_TIMEOUT and its like.
    pub unknown: u64,
    /// Sends that definitely did not happen.
    pub failed: u64,
    /// Deliveries to the consumer group, repeated ones included.
    pub delivered: u64,
    /// Acknowledged messages that the cluster no longer has, or never delivered although it has them.
    pub lost: u64,
    /// Their identifiers: all in `run.json`, the first hundred in the records of a sweep.
    pub lost_ids: Vec<String>,
    /// The bodies of the lost messages, in bytes.
    pub lost_bytes: u64,
    /// Of the lost ones: still in the cluster, and yet never delivered to the consumer group.
    pub undelivered: u64,
    /// Deliveries beyond the first of each message.
    pub duplicates: u64,
    pub duplicates_by_cause: DuplicateCauses,
    /// Messages delivered or stored that nobody sent, or whose send had definitely failed.
    pub phantoms: u64,
    /// Messages delivered or stored with another body than they were sent with.
    pub corruptions: u64,
    pub order_violations: u64,
    pub offset_violations: u64,
    /// Places of a log at which two replicas hold different messages.
    #[serde(default)]
    pub divergences: u64,
    /// Messages that stand in their queue again after they had been gone from it.
    #[serde(default)]
    pub resurrections: u64,
    /// Of the lost ones: stored, acknowledged, and passed over by the consumer group.
    #[serde(default)]
    pub skipped: u64,
    /// How long before the fault the oldest lost message had been acknowledged, in ms; 0 when nothing was lost.
    pub oldest_lost_ms: u64,
    /// The longest time without a successful send while there was load.
    pub unavailable_ms: u64,
    /// The same by broker.
    #[serde(default)]
    pub availability: Availability,
    /// The settings that were drawn or set for this run, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub knobs: BTreeMap<String, u64>,
    /// The fault points that were active and that the cluster came by, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fault_points: BTreeMap<String, FaultPointCount>,
    /// What the mode promises under this fault, in words.
    pub promise: String,
    pub promise_loss: LossPromise,
    /// Where the promise stems from: the claims of RocketMQ's documents by number, and the reasoning.
    pub promise_source: String,
    pub verdict: Verdict,
    /// What speaks against the promise, or explains a run that is not live.
    pub findings: Vec<Finding>,
    /// What was done to the cluster, and what it did, in the order of time.
    pub timeline: Vec<TimelineEntry>,
    /// What each event of the plan did, by the counters of the machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub injected: Vec<Injection>,
    /// The scenario in full, with everything that was set on the command line: enough to run it again.
    pub spec: serde_json::Value,
    /// The fault plan that was carried out.
    pub plan: serde_json::Value,
    /// The digest of all other fields but `wall_ms`, see [`seal_of`](crate::seal_of): who alters a record breaks it.
    #[serde(default)]
    pub seal: String,
}

fn first_format() -> u32 {
    1
}

/// The profile that is meant where none is said.
pub(crate) const HARDENED: &str = "hardened";

fn hardened() -> String {
    HARDENED.to_owned()
}

/// What one event of the fault plan did to the machines. One without counts did not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Injection {
    /// The event of the plan, from 0.
    pub event: usize,
    /// The action in words.
    pub action: String,
    /// What was counted from its beginning until everything was healed, by the names of counters; those that stood still are
    /// left out.
    pub counts: BTreeMap<String, u64>,
}

/// Which program made a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    pub version: String,
    /// `debug` or `release`.
    pub profile: String,
    /// The digest of the source that it was built from. Two builds with the same one, and of one profile, run the same.
    #[serde(default)]
    pub source: String,
}

/// What became of an active fault point in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FaultPointCount {
    /// How often the cluster came by.
    pub evaluated: u64,
    /// How often it fired.
    pub fired: u64,
}

/// Duplicates by their cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DuplicateCauses {
    /// Stored once and delivered again: an offset that had not been committed, a rebalance.
    pub redelivered: u64,
    /// Stored more than once: the producer sent again after an unknown outcome.
    pub resent: u64,
}

/// How long which part of the cluster gave no service while there was load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Availability {
    /// By broker name: a master and its slaves share one, and serve the same queues.
    pub brokers: BTreeMap<String, BrokerAvailability>,
}

/// How long the queues of one broker name gave no service while there was load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerAvailability {
    /// The longest time without a successful send to one of its queues.
    pub longest_without_send_ms: u64,
    /// The longest time without a delivery from one of its queues.
    pub longest_without_delivery_ms: u64,
}

/// How many acknowledged messages a mode may lose under a fault; ordered from the strong promise to the weak one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LossPromise {
    /// None.
    None,
    /// Those acknowledged within this time before the fault.
    Window { bound_ms: u64 },
    /// The oldest of their queues, which a broker deletes when its disk is full.
    Oldest,
    /// All that were on the host, and nowhere else.
    Host,
}

/// The outcome of a run against its promise, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every promise held.
    Held,
    /// Nothing promised was broken, but the cluster did not become live again after everything was healed.
    NotLive,
    /// A promise broke.
    Broken,
}

/// Something that an oracle objects to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Which oracle.
    pub oracle: String,
    pub message: String,
}

/// Something that happened at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineEntry {
    /// Simulated milliseconds since the start of the run.
    pub at_ms: u64,
    pub what: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Verdict::Held => "held",
            Verdict::Broken => "broken",
            Verdict::NotLive => "not_live",
        })
    }
}

impl RunRecord {
    /// The form of the records that this version writes.
    pub const FORMAT: u32 = 2;

    /// The record with the seal that belongs to it.
    #[must_use]
    pub fn sealed(mut self) -> RunRecord {
        let text = serde_json::to_string(&self).expect("a record is plain data");
        // As whoever reads it will see it.
        self.seal = crate::seal_of(&serde_json::from_str(&text).expect("what was just written"));
        self
    }

    /// The command that runs this again, from the root of the repository. A plan that came from a file has to be named
    /// ([`RunRecord::command_with_plan`]); one that a scenario brings along has not.
    pub fn command(&self) -> String {
        run_command(&self.scenario, &self.flush, &self.fault, self.seed, &self.settings)
    }

    /// As [`RunRecord::command`], for a run whose plan came from this file.
    pub fn command_with_plan(&self, file: &str) -> String {
        format!("{} --plan {}", self.command(), quoted(file))
    }

    /// The record without what differs between two runs of the same seed.
    pub fn without_wall_time(mut self) -> RunRecord {
        self.wall_ms = 0;
        self
    }
}

/// What records have for the class of faults where the plan was not drawn.
pub const PLAN: &str = "plan";

/// The command that runs a scenario of the catalogue with these settings, each a `key=value`, from the root of the
/// repository.
pub fn run_command(scenario: &str, flush: &str, fault: &str, seed: u64, settings: &[String]) -> String {
    // A plan of one's own stands in the place of a class of faults.
    let fault = if fault == PLAN { String::new() } else { format!(" --fault {fault}") };
    let mut command = format!("cargo staticfire run {scenario} --flush {flush}{fault} --seed {seed}");
    for setting in settings {
        command.push_str(" --set ");
        command.push_str(&quoted(setting));
    }
    command
}

/// A word as a POSIX shell takes it, in quotes only where it needs them.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./=+:,%@".contains(letter);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted_into_a_shell() {
        let settings = ["workload.queues=8", "workload.body_bytes=[64, 128]", "about=it's"].map(str::to_owned);
        assert_eq!(
            run_command("single-master", "sync", "os-crash+power-loss", 7, &settings),
            "cargo staticfire run single-master --flush sync --fault os-crash+power-loss --seed 7 \
             --set workload.queues=8 --set 'workload.body_bytes=[64, 128]' --set 'about=it'\\''s'"
        );
        let of_plan = RunRecord { fault: PLAN.to_owned(), ..crate::fixture::record() };
        let (command, with_file) = (of_plan.command(), of_plan.command_with_plan("my plan.toml"));
        assert!(!command.contains("--fault") && with_file == format!("{command} --plan 'my plan.toml'"), "{with_file}");
    }
}

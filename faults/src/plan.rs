//! A fault plan: what is done to which host, and when. Plain data with a documented TOML and JSON form.
//!
//! ```toml
//! [[events]]
//! at_ms = 21500
//! action = { kind = "crash", host = "broker-a", crash = "power-loss", boot_after_ms = 4000 }
//!
//! [[events]]
//! at_ms = 30000
//! action = { kind = "isolate", host = "broker-a", direction = "both", heal_after_ms = 8000 }
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What happens to the world, in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub events: Vec<PlannedEvent>,
}

/// One action at its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedEvent {
    /// Simulated milliseconds since the start of the run.
    pub at_ms: u64,
    pub action: Action,
}

/// Something that is done to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// The host stops in one of the ways of [`CrashKind`].
    Crash {
        /// The host's name.
        host: String,
        crash: CrashKind,
        /// When it boots again, in milliseconds after the crash. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_after_ms: Option<u64>,
    },
    /// The host is cut off from every other.
    Isolate {
        /// The host's name.
        host: String,
        direction: Direction,
        /// When it is reconnected, in milliseconds after the cut. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heal_after_ms: Option<u64>,
    },
}

/// How a host stops, and so what it loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// `kill -9`: process memory.
    ProcessKill,
    /// Kernel panic: process memory and page cache.
    OsCrash,
    /// Power loss: process memory, page cache and the drive's cache.
    PowerLoss,
    /// The drive with everything on it.
    DiskLoss,
}

/// Which way a cut works, as seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Both,
    /// What is sent to the host is lost.
    In,
    /// What the host sends is lost.
    Out,
}

/// A plan that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(
        "event {index} of the fault plan names the host `{host}`, which the scenario does not have; its hosts are: {known}"
    )]
    UnknownHost { index: usize, host: String, known: String },
    #[error(
        "event {index} of the fault plan is at {at_ms} ms, after everything is healed at {heal_ms} ms; give an earlier at_ms"
    )]
    TooLate { index: usize, at_ms: u64, heal_ms: u64 },
}

impl Plan {
    /// Checks that every event names a host of the scenario and happens before all is healed.
    ///
    /// # Errors
    /// The first event that does not.
    pub fn check(&self, hosts: &[&str], heal_ms: u64) -> Result<(), PlanError> {
        for (index, event) in self.events.iter().enumerate() {
            let host = event.action.host();
            if !hosts.contains(&host) {
                return Err(PlanError::UnknownHost { index, host: host.to_owned(), known: hosts.join(", ") });
            }
            if event.at_ms >= heal_ms {
                return Err(PlanError::TooLate { index, at_ms: event.at_ms, heal_ms });
            }
        }
        Ok(())
    }
}

impl Action {
    /// The host that it is done to.
    pub fn host(&self) -> &str {
        match self {
            Action::Crash { host, .. } | Action::Isolate { host, .. } => host,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Crash { host, crash, boot_after_ms } => {
                let what = match crash {
                    CrashKind::ProcessKill => "process killed",
                    CrashKind::OsCrash => "kernel crashed",
                    CrashKind::PowerLoss => "power cut",
                    CrashKind::DiskLoss => "disk lost",
                };
                write!(formatter, "{host}: {what}")?;
                match boot_after_ms {
                    Some(ms) => write!(formatter, ", back after {}", seconds(*ms)),
                    None => formatter.write_str(", not back before the end"),
                }
            }
            Action::Isolate { host, direction, heal_after_ms } => {
                let what = match direction {
                    Direction::Both => "cut off both ways",
                    Direction::In => "hears nothing",
                    Direction::Out => "is not heard",
                };
                write!(formatter, "{host}: {what}")?;
                match heal_after_ms {
                    Some(ms) => write!(formatter, ", for {}", seconds(*ms)),
                    None => formatter.write_str(", until the end"),
                }
            }
        }
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_toml_and_json() {
        let text = r#"
            [[events]]
            at_ms = 21500
            action = { kind = "crash", host = "broker-a", crash = "power-loss", boot_after_ms = 4000 }
            [[events]]
            at_ms = 30000
            action = { kind = "isolate", host = "broker-a", direction = "both" }
        "#;
        let plan: Plan = toml::from_str(text).expect("the form that the documentation shows");
        assert_eq!(plan.events[0].action.to_string(), "broker-a: power cut, back after 4.0 s");
        let json = serde_json::to_string(&plan).expect("plain data");
        assert_eq!(serde_json::from_str::<Plan>(&json).expect("what was just written"), plan);
    }

    #[test]
    fn a_plan_for_other_hosts_or_too_late_is_refused() {
        let event = |at_ms, host: &str| PlannedEvent {
            at_ms,
            action: Action::Isolate { host: host.to_owned(), direction: Direction::In, heal_after_ms: None },
        };
        let plan = |event| Plan { events: vec![event] };
        assert_eq!(plan(event(1, "a")).check(&["a"], 10), Ok(()));
        let error = plan(event(1, "b")).check(&["a"], 10).expect_err("no such host");
        assert!(error.to_string().contains("`b`"), "{error}");
        assert!(matches!(plan(event(10, "a")).check(&["a"], 10), Err(PlanError::TooLate { .. })));
    }
}

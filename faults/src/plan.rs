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

use crate::{Action, Spared};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to the world, in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub events: Vec<PlannedEvent>,
    /// What was drawn and is not done, for the sake of a [`Budget`](crate::Budget).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<Spared>,
}

impl Plan {
    /// A plan of these events.
    pub fn of(events: Vec<PlannedEvent>) -> Plan {
        Plan { events, spared: Vec::new() }
    }
}

/// One action at its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedEvent {
    /// Simulated milliseconds since the start of the run.
    pub at_ms: u64,
    pub action: Action,
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
}

//! Which fault points fired in a sweep, and which never did: a branch that no trial takes is one that no oracle has judged.

use crate::fault_points::SITES;
use reports::RunRecord;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the fault points did over all trials.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    sites: BTreeMap<String, Totals>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    /// Trials in which it was active and the cluster came by.
    trials: u64,
    evaluated: u64,
    fired: u64,
}

impl Coverage {
    pub fn add(&mut self, record: &RunRecord) {
        for (name, count) in &record.fault_points {
            let totals = self.sites.entry(name.clone()).or_default();
            totals.trials += 1;
            totals.evaluated += count.evaluated;
            totals.fired += count.fired;
        }
    }

    /// All fault points with what they did.
    pub fn json(&self) -> Value {
        let entry = |name: &str| {
            let Totals { trials, evaluated, fired } = self.sites.get(name).copied().unwrap_or_default();
            (name.to_owned(), json!({ "trials": trials, "evaluated": evaluated, "fired": fired }))
        };
        Value::Object(SITES.iter().map(|site| entry(site.name)).collect())
    }

    /// A line for people, with its end.
    pub fn line(&self) -> String {
        let has_fired = |name: &str| self.sites.get(name).is_some_and(|totals| totals.fired > 0);
        let never = SITES.iter().map(|site| site.name).filter(|name| !has_fired(name)).collect::<Vec<_>>();
        let fired = SITES.len() - never.len();
        let never = if never.is_empty() { String::new() } else { format!("; never: {}", never.join(", ")) };
        format!("{fired} of {} fault points fired{never}\n", SITES.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_fired_is_named() {
        let mut coverage = Coverage::default();
        coverage.sites.insert(SITES[0].name.to_owned(), Totals { trials: 2, evaluated: 9, fired: 3 });
        coverage.sites.insert(SITES[1].name.to_owned(), Totals { trials: 1, evaluated: 9, fired: 0 });
        let line = coverage.line();
        assert!(line.starts_with(&format!("1 of {} ", SITES.len())), "{line}");
        assert!(line.contains(SITES[1].name) && !line.contains(SITES[0].name), "{line}");
        assert_eq!(coverage.json()[SITES[0].name]["fired"], 3);
        assert_eq!(coverage.json()[SITES[2].name]["evaluated"], 0);
    }
}

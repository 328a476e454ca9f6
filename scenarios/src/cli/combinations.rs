//! Which scenarios a matrix is made of: modes × faults × flushes, without the combinations that make no sense.

use super::CliError;
use crate::{
    settings,
    spec::{Flush, Mode, ProfileName, Scenario, ScenarioError},
};
use faults::{Fault, FaultKind};
use std::sync::Arc;

/// What a matrix is asked for; an empty list is everything.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    pub modes: &'a [Mode],
    pub flushes: &'a [Flush],
    pub faults: &'a [Fault],
    pub profile: Option<ProfileName>,
    /// `key=value`, for every scenario.
    pub settings: &'a [String],
}

/// The scenarios of a matrix.
#[derive(Clone, Debug, Default)]
pub struct Combinations {
    pub scenarios: Vec<Arc<Scenario>>,
    /// What was left out, and why: a line for each mode and fault.
    pub skipped: Vec<String>,
}

impl Combinations {
    /// Makes the scenarios from those that `base` gives for a mode; flushes vary fastest, modes slowest.
    ///
    /// # Errors
    /// A setting or a scenario that is wrong for itself, not only in this combination; and when nothing is left.
    pub fn new(wanted: &Wanted<'_>, base: impl Fn(Mode) -> Scenario) -> Result<Combinations, CliError> {
        let all_faults = || FaultKind::ALL.map(Fault::from).to_vec();
        let modes = if wanted.modes.is_empty() { Mode::ALL.to_vec() } else { wanted.modes.to_vec() };
        let flushes = if wanted.flushes.is_empty() { Flush::ALL.to_vec() } else { wanted.flushes.to_vec() };
        let faults = if wanted.faults.is_empty() { all_faults() } else { wanted.faults.to_vec() };
        let mut made = Combinations::default();
        for &mode in &modes {
            for fault in &faults {
                for &flush in &flushes {
                    let mut scenario = Scenario { flush, fault: fault.clone(), ..base(mode) };
                    scenario.profile = wanted.profile.unwrap_or(scenario.profile);
                    for setting in wanted.settings {
                        scenario = settings::set(&scenario, setting)?;
                    }
                    match scenario.check() {
                        Ok(()) => made.scenarios.push(scenario.into()),
                        Err(ScenarioError::NeedsSlave { .. } | ScenarioError::NeedsRaid(_)) => {
                            let note = format!("skipped: {fault} on {mode}, which has nothing that it could strike");
                            if made.skipped.last() != Some(&note) {
                                made.skipped.push(note);
                            }
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        match made.skipped.first() {
            Some(note) if made.scenarios.is_empty() => {
                Err(CliError::Usage(format!("nothing is left to run; {note}; take other --modes or --faults")))
            }
            _ => Ok(made),
        }
    }

    /// Says on standard error what was left out.
    pub fn say_skipped(&self) {
        for note in &self.skipped {
            eprintln!("staticfire: {note}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::standard;

    #[test]
    fn what_makes_no_sense_is_left_out_with_a_note() {
        let faults = ["slave-crash", "power-loss", "disk-member-loss"].map(|name| name.parse().expect("a fault"));
        let wanted = Wanted { faults: &faults, ..Wanted::default() };
        let made = Combinations::new(&wanted, standard).expect("something is left");
        // Slaves in two modes, power loss in four, mirrored drives in one; each with both flushes.
        assert_eq!(made.scenarios.len(), 2 * (2 + 4 + 1));
        assert_eq!(made.skipped.len(), 2 + 3);
        assert!(made.skipped[0].contains("slave-crash on single-master"), "{:?}", made.skipped);
    }

    #[test]
    fn nothing_left_is_an_error() {
        let faults = ["slave-crash".parse().expect("a fault")];
        let wanted = Wanted { modes: &[Mode::SingleMaster], faults: &faults, ..Wanted::default() };
        let error = Combinations::new(&wanted, standard).expect_err("no slave").to_string();
        assert!(error.contains("slave-crash on single-master"), "{error}");
    }
}

//! Defects of Apache's broker that were reproduced on 4.9.8 itself, as scenarios in which most seeds show them. Under the
//! profile `hardened` (`--profile hardened`) the same scenarios hold.

use super::standard;
use crate::spec::{Flush, Mode, ProfileName, Scenario};
use faults::Fault;
use quirks::Profile;

pub fn all() -> Vec<Scenario> {
    vec![resurrection(), skipped_messages(), divergence()]
}

fn apache(name: &str, about: &str, mode: Mode, fault: &str) -> Scenario {
    let mut scenario = standard(mode);
    (scenario.name, scenario.about) = (name.to_owned(), about.to_owned());
    scenario.profile = ProfileName(Profile::Apache498);
    scenario.fault = fault.parse::<Fault>().expect("faults of the catalogue are written right");
    scenario
}

/// A hole that a power loss leaves in the log ends it there; what is behind the hole stays on the disk, and is found again
/// after the next crash, behind messages of the same size that were stored in between.
fn resurrection() -> Scenario {
    let mut scenario = apache(
        "apache-resurrection",
        "Apache 4.9.8: a tail that recovery cut off stands there again after the next crash (#10666)",
        Mode::SingleMaster,
        "power-loss+power-loss",
    );
    // Records of one size, so that what is written anew ends where an old record begins.
    scenario.workload.body_bytes = vec![1024];
    scenario
}

/// Consumers are given messages that are not on the disk yet, and their offsets stay ahead of the log that recovery cut.
fn skipped_messages() -> Scenario {
    let mut scenario = apache(
        "apache-skipped-messages",
        "Apache 4.9.8: after a lost tail new messages take offsets that the group has passed, and are skipped (#8239)",
        Mode::SingleMaster,
        "power-loss",
    );
    scenario.workload.body_bytes = vec![1024];
    scenario
}

/// A master that lost its un-flushed tail goes on, and its slave follows it from the place that it had reached.
fn divergence() -> Scenario {
    let mut scenario = apache(
        "apache-divergence",
        "Apache 4.9.8: a master that lost its tail and its slave hold different messages at the same offsets (#1155)",
        Mode::TwoMastersTwoSlavesSync,
        "power-loss",
    );
    scenario.flush = Flush::Async;
    scenario.workload.body_bytes = vec![1024];
    scenario
}

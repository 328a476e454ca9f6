//! What operators do to a cluster, each with the promise that nothing is lost and, while nothing else breaks, that no send
//! fails beyond the client's own retries; and reads from slaves.

use super::standard;
use crate::spec::{Mode, Operation, PlannedOperation, ProfileName, Scenario};
use faults::{Action, CrashKind, FaultKind, Plan, PlannedEvent};
use quirks::Profile;

pub fn all() -> Vec<Scenario> {
    vec![
        rolling_restart(),
        rolling_upgrade(),
        rolling_downgrade(),
        add_broker(),
        wipe_write_permission(),
        reconfiguration(),
        slave_reads(),
    ]
}

fn named(name: &str, about: &str, mode: Mode) -> Scenario {
    Scenario { name: name.to_owned(), about: about.to_owned(), ..standard(mode) }
}

fn at(at_ms: u64, what: Operation) -> PlannedOperation {
    PlannedOperation { at_ms, what }
}

/// Every broker is restarted in good order, one after the other: slaves first, as one does.
fn rolling_restart() -> Scenario {
    let mut scenario = named(
        "rolling-restart",
        "every broker of 2m-2s-sync is restarted in good order, one after the other",
        Mode::TwoMastersTwoSlavesSync,
    );
    let hosts = ["broker-a-s", "broker-b-s", "broker-a", "broker-b"];
    let restart = |host: &str| Operation::Restart { host: host.to_owned(), away_ms: 1_000 };
    scenario.operations = (1..).zip(hosts).map(|(number, host)| at(number * 9_000, restart(host))).collect();
    scenario
}

/// Apache's brokers are replaced by ours under load, one after the other, slaves first: for a while our slaves follow Apache's
/// masters, by Apache's protocol.
fn rolling_upgrade() -> Scenario {
    let mut scenario = named(
        "rolling-upgrade",
        "every broker of 2m-2s-sync is upgraded from apache-4.9.8, one after the other; for a while versions are mixed",
        Mode::TwoMastersTwoSlavesSync,
    );
    scenario.profile = ProfileName(Profile::Apache498);
    scenario.operations = one_by_one(Profile::Hardened);
    scenario
}

/// The way back: for a while Apache's slaves follow our masters.
fn rolling_downgrade() -> Scenario {
    let mut scenario = named(
        "rolling-downgrade",
        "every broker of 2m-2s-sync is turned into apache-4.9.8, one after the other; for a while versions are mixed",
        Mode::TwoMastersTwoSlavesSync,
    );
    scenario.operations = one_by_one(Profile::Apache498);
    scenario
}

/// Slaves first, as one does.
fn one_by_one(profile: Profile) -> Vec<PlannedOperation> {
    let hosts = ["broker-a-s", "broker-b-s", "broker-a", "broker-b"];
    let upgrade =
        |host: &str| Operation::Upgrade { host: host.to_owned(), profile: ProfileName(profile), away_ms: 1_000 };
    (1..).zip(hosts).map(|(number, host)| at(number * 9_000, upgrade(host))).collect()
}

/// The cluster changes its shape while a machine loses its power: a group joins, another gets a second slave, a third loses one
/// for good, and a master is taken out of service and back.
fn reconfiguration() -> Scenario {
    let mut scenario = named(
        "reconfiguration",
        "2m-2s-sync gets a group and a slave, loses a slave for good, and a master's write permission, while power is lost",
        Mode::TwoMastersTwoSlavesSync,
    );
    scenario.topology.masters = 3;
    scenario.topology.slaves = 2;
    let host = |name: &str| name.to_owned();
    scenario.operations = vec![
        at(8_000, Operation::Start { host: host("broker-c") }),
        at(8_300, Operation::Start { host: host("broker-c-s") }),
        at(8_600, Operation::Start { host: host("broker-c-s2") }),
        at(11_000, Operation::CreateTopic { broker: host("broker-c") }),
        at(14_000, Operation::Start { host: host("broker-a-s2") }),
        at(19_000, Operation::Remove { host: host("broker-b-s2") }),
        at(23_000, Operation::WipeWritePermission { broker: host("broker-b") }),
        at(36_000, Operation::AddWritePermission { broker: host("broker-b") }),
    ];
    scenario.fault = FaultKind::PowerLoss.into();
    scenario
}

/// A pair joins the running cluster and gets load once the topic is created on it and producers have learned of it.
fn add_broker() -> Scenario {
    let mut scenario =
        named("add-broker", "a pair joins a running 2m-2s-async and takes its share", Mode::TwoMastersTwoSlavesAsync);
    scenario.topology.masters = 3;
    let broker = || "broker-c".to_owned();
    scenario.operations = vec![
        at(10_000, Operation::Start { host: broker() }),
        at(10_500, Operation::Start { host: "broker-c-s".to_owned() }),
        at(12_000, Operation::CreateTopic { broker: broker() }),
    ];
    scenario
}

/// A master is taken out of service without a failed send: producers leave it before it stops (they ask for routes every
/// 30 s).
fn wipe_write_permission() -> Scenario {
    let mut scenario = named(
        "wipe-write-permission",
        "a master of 2m-noslave loses its write permission, is stopped when producers have left it, and comes back",
        Mode::TwoMastersNoSlave,
    );
    let broker = || "broker-b".to_owned();
    scenario.operations = vec![
        at(8_000, Operation::WipeWritePermission { broker: broker() }),
        at(42_000, Operation::Stop { host: broker() }),
        at(47_000, Operation::Start { host: broker() }),
        at(48_500, Operation::AddWritePermission { broker: broker() }),
    ];
    scenario
}

/// The machine of a master goes away for half a minute; the group goes on from its slave, and its offsets are kept.
fn slave_reads() -> Scenario {
    let mut scenario = named(
        "slave-reads",
        "a master of 2m-2s-sync is away for half a minute: its queues are read from its slave, offsets are kept",
        Mode::TwoMastersTwoSlavesSync,
    );
    scenario.broker.slave_read_enable = true;
    let action =
        Action::Crash { host: "broker-a".to_owned(), crash: CrashKind::PowerLoss, boot_after_ms: Some(30_000) };
    scenario.plan = Some(Plan::of(vec![PlannedEvent { at_ms: 15_000, action }]));
    scenario
}

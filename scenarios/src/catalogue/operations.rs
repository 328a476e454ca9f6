//! What operators do to a healthy cluster, each with the promise that nothing is lost and no send fails beyond the client's
//! own retries; and reads from slaves.

use super::standard;
use crate::spec::{Mode, Operation, PlannedOperation, Scenario};
use faults::{Action, CrashKind, Plan, PlannedEvent};

pub fn all() -> Vec<Scenario> {
    vec![rolling_restart(), add_broker(), wipe_write_permission(), slave_reads()]
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
    scenario.plan = Some(Plan { events: vec![PlannedEvent { at_ms: 15_000, action }] });
    scenario
}

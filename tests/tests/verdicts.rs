//! Verdicts that follow from who was struck: a promise covers what its copies can keep, neither less nor more.
//!
//! Each test is a whole run of a plan that was once judged wrongly. A failure prints the command that replays it.
#![cfg(not(feature = "real"))]

use faults::Plan;
use reports::{LossPromise, RunRecord, Verdict};
use scenarios::{
    catalogue,
    run::{RunOptions, run},
    settings,
    spec::{Flush, Scenario},
};
use serde_json::{Value, json};

/// A scenario of the catalogue with these settings.
fn scenario(name: &str, flush: Flush, set: &[&str]) -> Scenario {
    let known = catalogue::find(name).unwrap_or_else(|| panic!("{name} is in the catalogue"));
    set.iter().fold(Scenario { flush, ..known }, |scenario, setting| {
        settings::set(&scenario, setting).unwrap_or_else(|error| panic!("{setting}: {error}"))
    })
}

fn planned(name: &str, flush: Flush, events: Value) -> Scenario {
    let plan: Plan = serde_json::from_value(json!({ "events": events })).expect("a plan");
    Scenario { plan: Some(plan), ..scenario(name, flush, &[]) }
}

fn record(scenario: &Scenario, seed: u64) -> RunRecord {
    scenario.check().unwrap_or_else(|error| panic!("{}: {error}", scenario.name));
    run(scenario, &RunOptions { seed, keep_trace: false }).unwrap_or_else(|panic| panic!("{panic}")).record
}

/// Both copies are gone: the slave's by a drive that lies and a power cut, the master's with its disk. The slave's drive is the
/// slave's alone: with the master's disk in place nothing may be lost.
#[test]
fn a_lying_drive_of_a_slave_strikes_the_slaves_copy_alone() {
    let lies = json!({ "at_ms": 17_786, "action": { "kind": "disk-faults", "host": "broker-a-s",
        "faults": { "lying_sync": true }, "clear_after_ms": 6_000 } });
    let slave_cut = json!({ "at_ms": 22_786, "action": { "kind": "crash", "host": "broker-a-s",
        "crash": "power-loss", "boot_after_ms": 1_500 } });
    let master = |crash| json!({ "at_ms": 22_986, "action": { "kind": "crash", "host": "broker-a", "crash": crash, "boot_after_ms": 7_778 } });
    let both = record(&planned("2m-2s-sync", Flush::Sync, json!([lies, slave_cut, master("disk-loss")])), 771_001);
    assert_eq!((both.verdict, both.promise_loss), (Verdict::Held, LossPromise::Host), "{}", reports::run_text(&both));
    assert!(both.lost > 0, "it mattered: {}", reports::run_text(&both));

    let slave_only = planned("2m-2s-sync", Flush::Sync, json!([lies, slave_cut, master("power-loss")]));
    let found = record(&slave_only, 771_001);
    let is = (found.verdict, found.promise_loss, found.lost);
    assert_eq!(is, (Verdict::Held, LossPromise::None, 0), "{}", reports::run_text(&found));
}

/// While the slave has no room a SYNC_MASTER acknowledges nothing, and what it did acknowledge both have.
#[test]
fn a_slave_without_room_costs_acknowledgements_and_no_message() {
    let plan = json!([
        { "at_ms": 11_168, "action": { "kind": "fill-disk", "host": "broker-a-s", "free_bytes": 200_000,
            "relieve_after_ms": 16_970 } },
        { "at_ms": 17_988, "action": { "kind": "crash", "host": "broker-a", "crash": "power-loss",
            "boot_after_ms": 4_177 } },
    ]);
    let record = record(&planned("2m-2s-sync", Flush::Sync, plan), 773_001);
    let is = (record.verdict, record.promise_loss, record.lost);
    assert_eq!(is, (Verdict::Held, LossPromise::None, 0), "{}", reports::run_text(&record));
    assert!(record.unknown > 100, "it mattered: {}", reports::run_text(&record));
}

#[test]
fn a_slaves_disk_is_not_put_where_it_would_serve_as_the_master() {
    let plan = json!([
        { "at_ms": 12_315, "action": { "kind": "crash", "host": "broker-a", "crash": "power-loss" } },
        { "at_ms": 12_815, "action": { "kind": "crash", "host": "broker-a-s", "crash": "power-loss" } },
        { "at_ms": 14_315, "action": { "kind": "move-disk", "host": "broker-a-s", "to": "broker-a-spare",
            "boot_after_ms": 1_000 } },
    ]);
    let error = planned("2m-2s-sync", Flush::Sync, plan).check().expect_err("two masters of one name would serve");
    assert!(error.to_string().contains("broker-a-s-spare"), "it names the remedy: {error}");
}

/// An empty machine takes the place of a master without a slave, and knows no topic before the operator makes them again.
#[test]
fn a_replaced_master_is_given_its_topics() {
    let scenario = scenario("2m-noslave", Flush::Sync, &["fault=fsync-error+machine-loss"]);
    for seed in [1, 775_013] {
        let record = record(&scenario, seed);
        assert_eq!(record.verdict, Verdict::Held, "{}", reports::run_text(&record));
    }
}

/// A full disk makes its broker delete the oldest files, whatever the budget spares: retention is no fault.
#[test]
fn retention_of_a_full_disk_is_no_broken_promise() {
    let scenario = scenario("2m-2s-sync", Flush::Sync, &["fault=disk-full", "budget=one-copy-left"]);
    for seed in [1, 775_004] {
        let record = record(&scenario, seed);
        assert_eq!(record.verdict, Verdict::Held, "{}", reports::run_text(&record));
    }
}

/// `checkCRCOnRecover` is among the knobs that are drawn: without it recovery believes a torn record.
#[test]
fn the_promise_follows_a_setting_that_weakens_recovery() {
    let weak = [
        "fault=power-loss-all",
        "knobs=random",
        "fault_points=on",
        "topology.file_system=ext4",
        "budget=one-copy-left",
    ];
    let record = record(&scenario("2m-2s-async", Flush::Async, &weak), 770_008);
    assert_eq!(record.verdict, Verdict::Held, "{}", reports::run_text(&record));
}

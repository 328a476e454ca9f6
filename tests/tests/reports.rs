//! The page of a run, for fixed seeds, word by word: what people read is reviewed like code.
//!
//! The trace hash and the number of steps change with every change of the cluster or the simulation, so they are masked
//! here; `meta` is the test that they do not change otherwise.
#![cfg(not(feature = "real"))]

use faults::FaultKind;
use scenarios::{
    catalogue,
    run::{RunOptions, run},
    spec::{Flush, Mode},
};

fn page(flush: Flush, fault: FaultKind, seed: u64) -> String {
    let mut scenario = catalogue::standard(Mode::SingleMaster);
    (scenario.flush, scenario.fault) = (flush, fault.into());
    let mut record = run(&scenario, &RunOptions { seed, keep_trace: false }).expect("nothing panics").record;
    record.trace_hash = "-".repeat(16);
    record.trace_steps = 0;
    reports::run_text(&record)
}

#[test]
fn a_power_loss_with_async_flush() {
    insta::assert_snapshot!(page(Flush::Async, FaultKind::PowerLoss, 7));
}

#[test]
fn a_power_loss_with_sync_flush() {
    insta::assert_snapshot!(page(Flush::Sync, FaultKind::PowerLoss, 7));
}

#[test]
fn a_broker_crash() {
    insta::assert_snapshot!(page(Flush::Async, FaultKind::BrokerCrash, 7));
}

//! Thousands of whole clusters in one process must not fill its memory: what lives on the heap after a trial is what lived
//! there before it, to the byte, once the first trials have made what lasts as long as the process.
//!
//! `STATICFIRE_LEAK_TRIALS=2000 cargo test --release -p scenarios --test leak` runs as many trials as one likes. The only test
//! in this file: all that allocates in this process is measured.
#![cfg(not(feature = "real"))]

use cap::Cap;
use faults::FaultKind;
use scenarios::{
    catalogue,
    run::{RunOptions, run},
    spec::{Disk, Flush, Mode, Scenario, Schedule},
};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// How many trials are measured, unless the environment says otherwise.
const TRIALS: usize = 24;
const TRIALS_VARIABLE: &str = "STATICFIRE_LEAK_TRIALS";

/// What a trial may leave on average. It is nothing in the long run; a table of the standard library may grow once more.
const BYTES_PER_TRIAL_MAX: usize = 64;

/// All kinds of hosts for a few simulated seconds, with a fault in the middle.
fn scenarios() -> Vec<Scenario> {
    [
        (Mode::SingleMaster, Flush::Async, FaultKind::PowerLoss),
        (Mode::TwoMastersNoSlave, Flush::Sync, FaultKind::BrokerCrash),
        (Mode::TwoMastersTwoSlavesAsync, Flush::Async, FaultKind::DiskLoss),
        (Mode::TwoMastersTwoSlavesSync, Flush::Sync, FaultKind::Partition),
    ]
    .into_iter()
    .map(|(mode, flush, fault)| {
        let mut scenario = catalogue::standard(mode);
        (scenario.flush, scenario.fault) = (flush, fault.into());
        scenario.topology.disk = Disk::Raid10;
        scenario.workload.messages_per_second = 20;
        scenario.schedule = Schedule {
            load_from_ms: 2_500,
            load_to_ms: 6_000,
            fault_from_ms: 3_000,
            fault_to_ms: 3_500,
            heal_ms: 4_500,
            drain_ms_max: 60_000,
        };
        scenario.check().expect("a scenario that makes sense");
        scenario
    })
    .collect()
}

fn trial(scenario: &Scenario, number: usize) {
    let seed = number as u64 % 3;
    let outcome = run(scenario, &RunOptions { seed, keep_trace: number.is_multiple_of(2) }).expect("nothing panics");
    assert!(outcome.record.acked > 0, "the cluster took messages");
}

#[test]
fn what_lives_on_the_heap_is_the_same_after_many_trials() {
    let trials = std::env::var(TRIALS_VARIABLE).map_or(TRIALS, |text| text.parse().expect("a number of trials"));
    let scenarios = scenarios();
    let run = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            trial(&scenarios[number % scenarios.len()], number);
        }
    };
    // As many kinds of trials as there are: four scenarios, three seeds.
    let warm_up = 12;
    run(0..warm_up);
    let before = ALLOCATOR.allocated();
    run(warm_up..warm_up + trials);
    let after = ALLOCATOR.allocated();
    println!("{before} bytes on the heap after {warm_up} trials, {after} after {trials} more");
    let grown = after.saturating_sub(before);
    assert!(grown <= BYTES_PER_TRIAL_MAX * trials, "{} bytes for each trial", grown / trials);
    // The measure itself: it would have seen a leak.
    let leaked = vec![1_u8; 4_096];
    assert!(ALLOCATOR.allocated() >= after + 4_096, "{} bytes are counted", leaked.len());
}

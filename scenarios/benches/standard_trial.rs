//! What a standard trial costs: CPU seconds, and simulated seconds per CPU second, under load and idle.
//!
//! `cargo bench -p scenarios --bench standard_trial`. CPU time of the whole process (user and system), because other work
//! on the machine disturbs it least; the median over the seeds is the figure.
#![cfg(not(feature = "real"))]

use faults::FaultKind;
use scenarios::{
    catalogue,
    run::{RunOptions, run},
    spec::{Flush, Mode, Scenario},
};
use sim_bench::cpu_time;

/// The allocator of the `staticfire` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEEDS: std::ops::Range<u64> = 1..12;

fn main() {
    let standard = catalogue::standard(Mode::SingleMaster);
    let mut idle = standard.clone();
    idle.workload.messages_per_second = 0;
    let [noslave, async_slaves, sync_slaves] =
        [Mode::TwoMastersNoSlave, Mode::TwoMastersTwoSlavesAsync, Mode::TwoMastersTwoSlavesSync]
            .map(catalogue::standard);
    println!("{:<44} {:>12} {:>12} {:>22}", "standard trial", "CPU ms", "min … max", "simulated s per CPU s");
    for (name, scenario, flush, fault) in [
        ("single-master, async flush, no fault", &standard, Flush::Async, FaultKind::None),
        ("single-master, async flush, power loss", &standard, Flush::Async, FaultKind::PowerLoss),
        ("single-master, sync flush, no fault", &standard, Flush::Sync, FaultKind::None),
        ("single-master, idle, async flush", &idle, Flush::Async, FaultKind::None),
        ("2m-noslave, async flush, power loss", &noslave, Flush::Async, FaultKind::PowerLoss),
        ("2m-2s-async, async flush, power loss", &async_slaves, Flush::Async, FaultKind::PowerLoss),
        ("2m-2s-sync, async flush, no fault", &sync_slaves, Flush::Async, FaultKind::None),
        ("2m-2s-sync, sync flush, power loss", &sync_slaves, Flush::Sync, FaultKind::PowerLoss),
    ] {
        let mut scenario: Scenario = scenario.clone();
        (scenario.flush, scenario.fault) = (flush, fault.into());
        let mut trials = SEEDS.map(|seed| trial(&scenario, seed)).collect::<Vec<_>>();
        trials.sort_by(|one, another| one.0.total_cmp(&another.0));
        let (cpu_s, simulated_s) = trials[trials.len() / 2];
        let (least_s, most_s) = (trials[0].0, trials[trials.len() - 1].0);
        println!(
            "{name:<44} {:>12.0} {:>5.0} … {:<4.0} {:>22.0}",
            cpu_s * 1e3,
            least_s * 1e3,
            most_s * 1e3,
            simulated_s / cpu_s
        );
    }
}

/// One trial: its CPU seconds and its simulated seconds.
fn trial(scenario: &Scenario, seed: u64) -> (f64, f64) {
    let before = cpu_time();
    let outcome = run(scenario, &RunOptions { seed, keep_trace: false }).expect("nothing panics");
    ((cpu_time() - before).as_secs_f64(), outcome.record.sim_seconds)
}

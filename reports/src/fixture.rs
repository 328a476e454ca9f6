//! Records and cells for tests.

use crate::{
    cells::{CellKey, Cells},
    record::{LossPromise, RunRecord, Verdict},
};
use serde_json::json;

/// A run without any loss: the fields that every record has had from the start, so that this is also a test that old records
/// can be read.
pub fn record() -> RunRecord {
    let record = json!({
        "scenario": "single-master", "mode": "single-master", "flush": "async", "fault": "power-loss", "seed": 1,
        "build": { "version": "0.1.0", "profile": "release" },
        "trace_hash": "0123456789abcdef", "trace_steps": 100_000, "sim_seconds": 57.25, "wall_ms": 500,
        "sent": 10_000, "acked": 9_900, "unknown": 60, "failed": 40, "delivered": 9_900,
        "lost": 0, "lost_ids": [], "lost_bytes": 0, "undelivered": 0,
        "duplicates": 0, "duplicates_by_cause": { "redelivered": 0, "resent": 0 },
        "phantoms": 0, "corruptions": 0, "order_violations": 0, "offset_violations": 0,
        "oldest_lost_ms": 0, "unavailable_ms": 9_004,
        "promise": "no acknowledged message is lost", "promise_loss": { "kind": "none" }, "promise_source": "",
        "verdict": "held", "findings": [], "timeline": [], "spec": null, "plan": null,
    });
    serde_json::from_value(record).expect("a record of the first version")
}

/// A run that lost messages.
pub fn lossy(lost: u64, oldest_lost_ms: u64) -> RunRecord {
    RunRecord { lost, oldest_lost_ms, ..record() }
}

/// A matrix that has everything in it.
pub fn cells() -> Cells {
    let mut cells = Cells::default();
    for mode in ["single-master", "2m-2s-sync"] {
        for fault in ["broker-crash", "power-loss", "machine-loss", "slave-power-loss+power-loss"] {
            for flush in ["async", "sync"] {
                for seed in 1..=12 {
                    let record = RunRecord { seed, ..record() };
                    add(
                        &mut cells,
                        RunRecord {
                            mode: mode.into(),
                            scenario: mode.into(),
                            fault: fault.into(),
                            flush: flush.into(),
                            ..record
                        },
                    );
                }
            }
        }
    }
    let (mode, flush, fault) = ("2m-2s-sync".to_owned(), "sync".to_owned(), "partition".to_owned());
    let key = CellKey::of(&RunRecord { mode, flush, fault, ..record() });
    cells.add_panic(key, crate::run_command("2m-2s-sync", "sync", "partition", 4, &[]));
    cells
}

/// Gives a trial an outcome that fits its cell, and adds it.
fn add(cells: &mut Cells, mut trial: RunRecord) {
    let (has_slaves, seed) = (trial.mode != "single-master", trial.seed);
    if has_slaves {
        trial.settings = vec!["workload.messages_per_second=150".to_owned()];
    }
    match (trial.fault.as_str(), trial.flush.as_str(), has_slaves) {
        ("slave-power-loss+power-loss", _, false) => return,
        ("broker-crash", ..) => trial.unavailable_ms = if has_slaves { 12 + seed } else { 3_000 + seed * 210 },
        ("power-loss", "async", false) => {
            trial.promise_loss = LossPromise::Window { bound_ms: 700 };
            (trial.lost, trial.oldest_lost_ms) = (30 + seed, 150 + 26 * seed);
            trial.duplicates = 600;
            trial.delivered += 600;
        }
        ("machine-loss", _, false) => {
            trial.promise_loss = LossPromise::Host;
            (trial.lost, trial.oldest_lost_ms) = (5_800 + seed, 29_000 + seed);
            trial.unavailable_ms = 18_000;
        }
        ("machine-loss", "async", true) if seed == 5 => trial.verdict = Verdict::NotLive,
        ("slave-power-loss+power-loss", "async", true) => {
            trial.promise_loss = LossPromise::Window { bound_ms: 5_200 };
            if seed % 3 == 0 {
                (trial.lost, trial.oldest_lost_ms) = (2 * seed, 440 * seed);
            }
            if seed == 12 {
                trial.verdict = Verdict::Broken;
            }
        }
        ("slave-power-loss+power-loss", "sync", true) => (trial.duplicates, trial.delivered) = (13, 9_913),
        _ => {}
    }
    cells.add(&trial);
}

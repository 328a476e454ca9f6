//! The same seed gives the same run, whatever the process: determinism is a tested property, and this test comes first.
//!
//! The test runs itself anew as a child process, twice, with another environment and another working directory, and on one
//! and on two threads; and compares what the children wrote, byte by byte.
#![cfg(not(feature = "real"))]

use faults::FaultKind;
use scenarios::{
    catalogue, history,
    run::{RunOptions, run},
    spec::{Flush, Mode, Scenario},
    storm,
    sweep::{Trial, run_all},
};
use std::{collections::BTreeSet, env, fs, path::Path, process::Command, sync::Arc};

/// Tells a child where to write; absent in the parent.
const OUT: &str = "STATICFIRE_META_OUT";
/// How many trials there are with all kinds of faults at once, every mode and flush by turns. `staticfire meta --all-faults` does
/// this for as many as one likes.
const STORMS: u64 = 8;
const JOBS: &str = "STATICFIRE_META_JOBS";

fn scenario(mode: Mode, flush: Flush, fault: FaultKind) -> Scenario {
    let mut scenario = catalogue::standard(mode);
    (scenario.flush, scenario.fault) = (flush, fault.into());
    scenario
}

/// Not a test of its own: what the children do.
#[test]
fn child() {
    let Ok(out) = env::var(OUT) else { return };
    let out = Path::new(&out);
    let options = RunOptions { seed: 11, keep_trace: true };
    let outcome =
        run(&scenario(Mode::SingleMaster, Flush::Async, FaultKind::PowerLoss), &options).expect("nothing panics");
    let mut bytes = Vec::new();
    history::write(&outcome.history, &mut bytes).expect("memory");
    fs::write(out.join("history"), bytes).expect("the parent made the directory");
    fs::write(out.join("trace"), format!("{:#?}", outcome.trace)).expect("as above");

    let jobs = env::var(JOBS).ok().and_then(|jobs| jobs.parse().ok()).expect("the parent sets it");
    let trials = [
        (Mode::SingleMaster, Flush::Async, FaultKind::OsCrash),
        (Mode::SingleMaster, Flush::Sync, FaultKind::BrokerCrash),
        (Mode::SingleMaster, Flush::Async, FaultKind::Partition),
        (Mode::TwoMastersTwoSlavesSync, Flush::Async, FaultKind::PowerLossRack),
        (Mode::TwoMastersTwoSlavesAsync, Flush::Sync, FaultKind::DiskLoss),
    ]
    .into_iter()
    .flat_map(|(mode, flush, fault)| {
        let scenario = Arc::new(scenario(mode, flush, fault));
        (1..3).map(move |seed| Trial { scenario: Arc::clone(&scenario), seed })
    })
    .chain((1..=STORMS).map(|seed| Trial { scenario: Arc::new(storm::trial(seed)), seed }))
    .collect::<Vec<_>>();
    let mut records = serde_json::to_string(&outcome.record.without_wall_time()).expect("plain data");
    run_all(&trials, jobs, |_, record| {
        let record = record.expect("nothing panics").without_wall_time();
        records.push('\n');
        records.push_str(&serde_json::to_string(&record).expect("plain data"));
    });
    fs::write(out.join("records"), records).expect("as above");
}

#[test]
fn two_processes_with_another_environment_and_another_number_of_jobs_run_the_same() {
    let dirs = [("1", "C", "/"), ("2", "tr_TR.UTF-8", "/tmp")].map(|(jobs, language, working_directory)| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let status = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "child", "--test-threads=1"])
            .current_dir(working_directory)
            .env(OUT, dir.path())
            .env(JOBS, jobs)
            .env("LANG", language)
            .env("PADDING", "x".repeat(1_000 * jobs.parse::<usize>().expect("a number")))
            .output()
            .expect("the child starts");
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
        dir
    });
    for file in ["records", "history", "trace"] {
        let [one, another] =
            dirs.each_ref().map(|dir| fs::read_to_string(dir.path().join(file)).expect("the child wrote it"));
        let line = one.lines().zip(another.lines()).position(|(one, another)| one != another);
        assert!(one == another, "{file} differs, first at line {line:?}");
        assert!(!one.is_empty());
    }
}

#[test]
fn storms_have_every_kind_of_fault() {
    let kinds = (1..=60).flat_map(|seed| storm::kinds(&storm::scenario(seed), seed)).collect::<BTreeSet<_>>();
    let missing = FaultKind::ALL.into_iter().filter(|kind| !kinds.contains(kind)).collect::<Vec<_>>();
    assert_eq!(missing, [FaultKind::None]);
}

#[test]
fn another_seed_is_another_run() {
    let scenario = scenario(Mode::SingleMaster, Flush::Async, FaultKind::None);
    let hash =
        |seed| run(&scenario, &RunOptions { seed, keep_trace: false }).expect("nothing panics").record.trace_hash;
    assert_ne!(hash(1), hash(2));
    assert_eq!(hash(1), hash(1));
}

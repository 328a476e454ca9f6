//! Fault points and knobs, over whole runs: the list is the source's, every site fires and breaks no promise, nothing changes
//! while they are off, and the same seed gives the same run while they are on.
#![cfg(not(feature = "real"))]

use faults::FaultKind;
use reports::{RunRecord, Verdict};
use scenarios::{
    catalogue,
    fault_points::{FaultPoints, SITES},
    run::{RunOptions, run},
    settings::set,
    spec::{Flush, Mode, Scenario},
};
use std::{collections::BTreeSet, fs, path::Path};

fn record(scenario: &Scenario, seed: u64) -> RunRecord {
    scenario.check().expect("a scenario");
    run(scenario, &RunOptions { seed, keep_trace: false }).unwrap_or_else(|panic| panic!("{panic}")).record
}

/// The standard scenario with less time and these settings.
fn scenario(mode: Mode, flush: Flush, fault: FaultKind, settings: &[&str]) -> Scenario {
    let mut scenario = catalogue::standard(mode);
    (scenario.flush, scenario.fault) = (flush, fault.into());
    let short = [
        "schedule.fault_from_ms=5000",
        "schedule.fault_to_ms=12000",
        "schedule.heal_ms=20000",
        "schedule.load_to_ms=24000",
    ];
    short.iter().chain(settings).fold(scenario, |scenario, setting| set(&scenario, setting).expect("a setting"))
}

/// The names of all `fault_point!` in the sources beneath a directory.
fn names_in(directory: &Path, names: &mut Vec<String>) {
    let mut entries =
        fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            names_in(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let calls = text.split("fault_point!(").skip(1);
            names.extend(calls.map(|call| {
                let name = call.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
                name.unwrap_or_else(|| panic!("{}: a fault point is named by a literal", path.display())).0.to_owned()
            }));
        }
    }
}

#[test]
fn the_list_is_what_stands_in_the_source() {
    let mut names = Vec::new();
    names_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster"), &mut names);
    names.sort();
    assert!(names.is_sorted_by(|one, next| one < next), "each name stands in one place: {names:?}");
    let listed = SITES.iter().map(|site| site.name).collect::<Vec<_>>();
    assert_eq!(names, listed, "the source, and scenarios/src/fault_points.rs");
    let crates = names.iter().filter_map(|name| name.split_once('.')).map(|(owner, _)| owner).collect::<BTreeSet<_>>();
    assert_eq!(crates, BTreeSet::from(["broker", "client", "ha", "namesrv", "remoting", "store"]));
}

#[test]
fn the_same_seed_gives_the_same_run_and_off_is_as_if_there_were_none() {
    let with = |settings: &[&str]| {
        record(&scenario(Mode::TwoMastersTwoSlavesSync, Flush::Async, FaultKind::BrokerCrash, settings), 5)
            .without_wall_time()
    };
    let on = with(&["fault_points=on", "knobs=random"]);
    assert!(on.fault_points.values().any(|count| count.fired > 0) && !on.knobs.is_empty());
    assert_eq!(on, with(&["fault_points=on", "knobs=random"]));
    let off = with(&[]);
    assert!(off.fault_points.is_empty() && off.knobs.is_empty());
    // Armed, and none of them active: not a step is another.
    let none = with(&["fault_points=[]"]);
    assert_eq!(none.trace_hash, off.trace_hash);
    assert_ne!(on.trace_hash, off.trace_hash);
}

/// All fault points at once, on the mode that has most of the code: each that a run can come by fires.
#[test]
fn every_site_fires() {
    let all = SITES.iter().map(|site| site.name.to_owned()).collect::<BTreeSet<_>>();
    let mut fired = BTreeSet::new();
    for (flush, fault, seed) in [(Flush::Async, FaultKind::BrokerCrash, 1), (Flush::Sync, FaultKind::PowerLoss, 2)] {
        let settings = [
            "broker.slave_read_enable=true",
            "knobs.client_heartbeat_interval_ms=2000",
            "knobs.ha_heartbeat_interval_ms=50",
            "knobs.client_poll_name_server_interval_ms=1000",
        ];
        let mut scenario = scenario(Mode::TwoMastersTwoSlavesSync, flush, fault, &settings);
        scenario.fault_points = FaultPoints::Only(all.clone());
        let record = record(&scenario, seed);
        assert_ne!(record.verdict, Verdict::Broken, "{:?}", record.findings);
        fired.extend(record.fault_points.into_iter().filter(|(_, count)| count.fired > 0).map(|(name, _)| name));
    }
    assert_eq!(all.difference(&fired).collect::<Vec<_>>(), Vec::<&String>::new(), "never fired");
}

/// Each fault point by itself, over a crash: no promise breaks, and the run is another exactly when it fired.
#[test]
fn no_site_by_itself_breaks_a_promise() {
    let calm = |flush, settings: &[&str]| {
        let mut all = vec!["workload.messages_per_second=40", "broker.slave_read_enable=true"];
        all.extend(settings);
        record(&scenario(Mode::TwoMastersTwoSlavesSync, flush, FaultKind::BrokerCrash, &all), 3)
    };
    for flush in Flush::ALL {
        let without = calm(flush, &[]);
        for site in SITES {
            let with = calm(flush, &[&format!("fault_points=[\"{}\"]", site.name)]);
            assert_eq!(with.verdict, Verdict::Held, "{} {flush}: {:?}", site.name, with.findings);
            let fired = with.fault_points.get(site.name).is_some_and(|count| count.fired > 0);
            assert_eq!(fired, with.trace_hash != without.trace_hash, "{} {flush}", site.name);
        }
    }
}

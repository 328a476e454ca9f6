//! The command as a user types it: exit statuses, the one JSON object, and what wrong input gets.
#![cfg(not(feature = "real"))]

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

fn staticfire(dir: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_staticfire")).args(words).current_dir(dir).output().expect("the command starts")
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A short run, for tests of the command rather than of the cluster.
const SHORT: [&str; 10] = [
    "--set",
    "schedule.load_to_ms=14000",
    "--set",
    "schedule.heal_ms=12000",
    "--set",
    "schedule.fault_from_ms=6000",
    "--set",
    "schedule.fault_to_ms=7000",
    "--set",
    "workload.messages_per_second=200",
];

fn with_short<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &SHORT].concat()
}

#[test]
fn wrong_input_gets_one_line_that_names_it_and_what_is_allowed() {
    let dir = dir();
    std::fs::write(dir.path().join("bad.toml"), "name = [").expect("a file");
    std::fs::write(
        dir.path().join("plan.toml"),
        "[[events]]\nat_ms = 1\naction = { kind = \"crash\", host = \"x\", crash = \"melt\" }",
    )
    .expect("a file");
    std::fs::write(dir.path().join("history.jsonl"), "{\"event\":\"nonsense\"}\n").expect("a file");
    std::fs::write(dir.path().join("empty.jsonl"), "\n").expect("a file");
    std::fs::write(
        dir.path().join("unsent.jsonl"),
        "{\"event\":\"sent\",\"at_ns\":1,\"id\":\"p1-000001\",\"outcome\":\"ok\"}\n{\"event\":\"end\",\"at_ns\":2}\n",
    )
    .expect("a file");
    std::fs::write(dir.path().join("no-utf-8"), [0xff; 40]).expect("a file");
    let long_name = format!("{}.toml", "x".repeat(300));
    let cases: &[(&[&str], &[&str])] = &[
        (&["run", "single-mater"], &["`single-mater`", "single-master"]),
        (&["run", "single-master", "--mode", "3m"], &["3m", "single-master"]),
        (&["run", "single-master", "--fault", "fire"], &["fire", "power-loss"]),
        (&["run", "single-master", "--fault", "slave-crash"], &["slave-crash", "2m-2s-async"]),
        (&["run", "2m-2s-sync", "--fault", "disk-member-loss"], &["disk-member-loss", "raid10"]),
        (&["run", "single-master", "--profile", "apache-3"], &["apache-3", "hardened"]),
        (&["run", "single-master", "--set", "quirks=[\"+nonsense\"]"], &["nonsense", "stale-tail-resurrection"]),
        (&["run", "2m-2s-sync", "--set", "topology.slaves=0"], &["topology.slaves", "2m-2s-sync"]),
        (&["sweep", "--seeds", "1..3", "--modes", "single-master", "--faults", "slave-crash"], &["slave-crash"]),
        (&["run", "single-master", "--flush", "later"], &["later", "async", "sync"]),
        (&["run", "single-master", "--seed", "-1"], &["-1"]),
        (&["run", "single-master", "--set", "nonsense"], &["nonsense", "key=value"]),
        (&["run", "single-master", "--set", "workload.rate=3"], &["rate", "messages_per_second"]),
        (&["run", "single-master", "--set", "schedule.heal_ms=1"], &["schedule.heal_ms"]),
        (&["run", "single-master", "--set", "topology.file_system=fat"], &["fat", "ext4"]),
        (&["run", "single-master", "--set", "profiles.broker-x=apache-5.3"], &["broker-x", "broker-a"]),
        (&["run", "single-master", "--set", "profiles.broker-a=apache-3"], &["apache-3", "hardened"]),
        (&["run", "single-master", "--set", "fault_points=often"], &["fault_points", "on"]),
        (&["run", "single-master", "--set", "fault_points=[\"store.melts\"]"], &["store.melts", "list"]),
        (&["run", "single-master", "--set", "knobs.speed=3"], &["speed", "consumer_pull_batch"]),
        (&["run", "single-master", "--set", "knobs.consumer_pull_batch=0"], &["consumer_pull_batch", "1 to 256"]),
        (&["run", "single-master", "--out", "/proc/none/such"], &["/proc/none/such", "--out"]),
        (&["run", "single-master", "--plan", "plan.toml"], &["plan.toml", "melt", "power-loss"]),
        (&["run", "single-master", "--log", "broker=shout"], &["broker=shout"]),
        (&["run", "bad.toml"], &["bad.toml", "line 1"]),
        (&["run", "missing.toml"], &["missing.toml"]),
        (&["run", &long_name], &["cannot read"]),
        (&["sweep", "--seeds", "5..1"], &["5..1", "1..51"]),
        (&["sweep", "--seeds", "1..3", "--faults", "none,fire"], &["fire"]),
        (&["sweep", "--seeds", "1..3", "--shard", "3/2"], &["3/2"]),
        (&["sweep"], &["--seeds"]),
        (&["demo", "--trials", "0"], &["--trials", "0"]),
        (&["demo", "--trials", "2", "--seeds", "1..3"], &["--trials", "--seeds"]),
        (&["demo", "--md", "--json"], &["--md", "--json"]),
        (&["demo", "--faults", "fire"], &["fire", "power-loss"]),
        (&["demo", "--out", "/proc/none/such"], &["/proc/none/such", "--out"]),
        (&["replay", "missing.json"], &["missing.json"]),
        (&["replay", "bad.toml"], &["bad.toml", "not the record of a run"]),
        (&["check", "history.jsonl", "--promise", "single-master/sync/none"], &["history.jsonl", "line 1"]),
        (&["check", "history.jsonl", "--promise", "single-master"], &["MODE/FLUSH/FAULT"]),
        // Nothing happened in it: that is no promise kept.
        (&["check", "empty.jsonl", "--promise", "single-master/sync/none"], &["empty.jsonl", "not whole", "`end`"]),
        (&["check", "unsent.jsonl", "--promise", "single-master/sync/none"], &["line 1", "p1-000001", "never sent"]),
        (&["check", "no-utf-8", "--promise", "single-master/sync/none"], &["no-utf-8", "line 1"]),
        (&["run", "single-master", "--plan", "no-utf-8"], &["no-utf-8", "UTF-8"]),
        (&["run", "single-master", "--plan", "."], &["cannot read"]),
        (&["replay", "no-utf-8"], &["no-utf-8"]),
        (&["sweep", "--seeds", "5..5"], &["5..5", "1..51"]),
        (&["sweep", "--seeds", "1..3", "--faults", "os-crsh"], &["did you mean os-crash?"]),
        (&["sweep", "--seeds", "1..3", "--faults", "powerloss"], &["did you mean power-loss?"]),
        (&["run", "single-mater"], &["did you mean single-master?"]),
        (&["run", "2m-2s-sync", "--mode", "2m-2s-asinc"], &["did you mean 2m-2s-async?"]),
        (&["run", "single-master", "--profile", "apache-4.9.9"], &["did you mean apache-4.9.8?"]),
        (
            &["run", "single-master", "--set", "quirks=[\"+stale-tail-resurection\"]"],
            &["mean stale-tail-resurrection?"],
        ),
        (&["run", "single-master", "--set", "workload.queue=3"], &["did you mean queues?"]),
        (&["explode"], &["explode"]),
        (&["demmo"], &["demmo", "'demo'"]),
        (&["sweep", "--seeds", "1..3", "--fault", "none"], &["'--fault'", "'--faults'"]),
        (&[], &["Usage"]),
    ];
    for (words, named) in cases {
        let output = staticfire(dir.path(), words);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{words:?} prints {:?}", String::from_utf8_lossy(&output.stdout));
        for name in *named {
            assert!(stderr.contains(name), "{words:?} does not name {name}: {stderr}");
        }
        assert!(!stderr.contains("panicked at"), "{words:?}: {stderr}");
        // A TOML error shows the place in the file; everything else is one line.
        let shows_a_place = stderr.contains("TOML parse error") || words.is_empty();
        assert!(shows_a_place || stderr.trim_end().lines().count() == 1, "{words:?}: {stderr}");
    }
}

#[test]
fn run_leaves_a_record_that_replays() {
    let dir = dir();
    let words = with_short(&[
        "run",
        "single-master",
        "--fault",
        "power-loss",
        "--seed",
        "4",
        "--out",
        "here",
        "--trace",
        "--json",
    ]);
    let output = staticfire(dir.path(), &words);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let record = json(&output);
    for field in [
        "scenario",
        "mode",
        "flush",
        "fault",
        "seed",
        "trace_hash",
        "sim_seconds",
        "wall_ms",
        "sent",
        "acked",
        "unknown",
        "failed",
        "delivered",
        "lost",
        "lost_ids",
        "duplicates",
        "phantoms",
        "order_violations",
        "oldest_lost_ms",
        "unavailable_ms",
        "promise",
        "verdict",
    ] {
        assert!(!record[field].is_null(), "{field} is missing");
    }
    assert_eq!(record["lost"].as_u64(), record["lost_ids"].as_array().map(|ids| ids.len() as u64));
    for file in ["run.json", "history.jsonl", "trace.jsonl"] {
        assert!(dir.path().join("here").join(file).metadata().is_ok_and(|file| file.len() > 1_000), "{file}");
    }
    let replayed = staticfire(dir.path(), &["replay", "here/run.json", "--json"]);
    assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
    assert_eq!(json(&replayed)["same"], true);

    // The oracles alone come to the same counts from the history file.
    let checked = staticfire(
        dir.path(),
        &["check", "here/history.jsonl", "--promise", "single-master/async/power-loss", "--json"],
    );
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    for field in ["sent", "acked", "lost", "duplicates", "oldest_lost_ms", "verdict"] {
        assert_eq!(json(&checked)[field], record[field], "{field}");
    }
    // And a promise that this history did not keep is broken by it, if anything was lost.
    if record["lost"] != 0 {
        let strict =
            staticfire(dir.path(), &["check", "here/history.jsonl", "--promise", "single-master/sync/power-loss"]);
        assert_eq!(strict.status.code(), Some(10), "{strict:?}");
    }
}

/// Replays what a change makes of a record; the exit status, and the object that is printed.
fn replayed(dir: &Path, change: impl FnOnce(&mut Value), is_sealed: bool) -> (Option<i32>, Value) {
    let text = std::fs::read_to_string(dir.join("run.json")).expect("written");
    let mut record: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut record);
    if is_sealed {
        record["seal"] = reports::seal_of(&record).into();
    }
    std::fs::write(dir.join("changed.json"), record.to_string()).expect("a file");
    let output = staticfire(dir, &["replay", "changed.json", "--json"]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
}

#[test]
fn replay_says_what_a_record_is_to_this_build() {
    let dir = dir();
    let words = with_short(&["run", "single-master", "--fault", "power-loss", "--set", "knobs=random", "--out", "."]);
    let output = staticfire(dir.path(), &words);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (status, whole) = replayed(dir.path(), |_| (), false);
    assert_eq!((status, &whole["origin"], &whole["same"]), (Some(0), &"this-build".into(), &true.into()));
    // The wall-clock time, the order of keys and white space are no part of what was recorded.
    let (status, _) = replayed(dir.path(), |record| record["wall_ms"] = 1.into(), false);
    assert_eq!(status, Some(0));
    let is_altered = |change: fn(&mut Value)| {
        let (status, told) = replayed(dir.path(), change, false);
        assert_eq!((status, &told["origin"], &told["same"]), (Some(1), &"altered".into(), &false.into()));
        told["trace_hash"].clone()
    };
    // What runs is what the record says, not what its seed would draw.
    let moved = is_altered(|record| {
        let at_ms = &mut record["plan"]["events"][0]["at_ms"];
        *at_ms = (at_ms.as_u64().expect("a time") + 500).into();
    });
    assert_ne!(moved, whole["trace_hash"]);
    let turned = is_altered(|record| record["knobs"]["broker.flush_interval_ms"] = 3.into());
    assert_ne!(turned, whole["trace_hash"]);
    is_altered(|record| record["trace_hash"] = "0123456789abcdef".into());
    is_altered(|record| record["verdict"] = "broken".into());
    is_altered(|record| record["more"] = 1.into());
    // The same build and a whole record, and yet another trace: that alone is no determinism.
    let (status, told) = replayed(dir.path(), |record| record["trace_hash"] = "0123456789abcdef".into(), true);
    assert_eq!((status, &told["origin"]), (Some(12), &"this-build".into()));
    let another = |record: &mut Value| {
        record["trace_hash"] = "0123456789abcdef".into();
        record["build"]["source"] = "0123456789abcdef".into();
    };
    let (status, told) = replayed(dir.path(), another, true);
    assert_eq!((status, &told["origin"], &told["same_verdict"]), (Some(0), &"another-build".into(), &true.into()));
    let older = |record: &mut Value| {
        let record = record.as_object_mut().expect("a record");
        record.retain(|field, _| !["format", "seal"].contains(&field.as_str()));
    };
    let (status, told) = replayed(dir.path(), older, false);
    assert_eq!((status, &told["origin"]), (Some(0), &"older-form".into()));
    // What no build could run is refused before anything runs.
    for change in [
        |record: &mut Value| record["format"] = 99.into(),
        |record: &mut Value| record["plan"]["events"][0]["action"]["host"] = "nobody".into(),
        |record: &mut Value| record["knobs"]["speed"] = 1.into(),
    ] {
        assert_eq!(replayed(dir.path(), change, true), (Some(1), Value::Null));
    }
}

#[test]
fn a_plan_of_ones_own_is_carried_out() {
    let dir = dir();
    let plan = "[[events]]\nat_ms = 6500\naction = { kind = \"crash\", host = \"broker-a\", crash = \"process-kill\", boot_after_ms = 900 }\n";
    std::fs::write(dir.path().join("plan.toml"), plan).expect("a file");
    let output = staticfire(dir.path(), &with_short(&["run", "single-master", "--plan", "plan.toml", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let record = json(&output);
    assert_eq!(record["fault"], "plan");
    assert!(record["timeline"].to_string().contains("process killed"));
}

#[test]
fn sweep_prints_a_table_and_writes_every_record() {
    let dir = dir();
    let words = with_short(&[
        "sweep",
        "--modes",
        "single-master",
        "--flush",
        "async,sync",
        "--faults",
        "power-loss,slave-crash",
        "--seeds",
        "1..4",
        "--out",
        "s",
    ]);
    let output = staticfire(dir.path(), &words);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("power-loss") && text.contains("held") && text.contains("6 trials"), "{text}");
    let note = String::from_utf8_lossy(&output.stderr);
    assert!(note.contains("skipped: slave-crash on single-master"), "{note}");
    let records = std::fs::read_to_string(dir.path().join("s/records.jsonl")).expect("written");
    assert_eq!(records.lines().count(), 6);
    let shard = with_short(&[
        "sweep",
        "--modes",
        "single-master",
        "--flush",
        "sync",
        "--faults",
        "none",
        "--seeds",
        "1..4",
        "--shard",
        "2/3",
        "--out",
        "t",
        "--json",
    ]);
    assert_eq!(json(&staticfire(dir.path(), &shard))["trials"], 1);
}

#[test]
fn demo_prints_the_matrix_in_three_forms_and_keeps_the_records() {
    let dir = dir();
    let demo = |more: &[&str]| {
        let words = ["demo", "--modes", "single-master", "--faults", "power-loss,broker-crash", "--trials", "2"];
        let output = staticfire(dir.path(), &with_short(&[&words, more].concat()));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no progress without a terminal");
        output
    };
    let summary = json(&demo(&["--json"]));
    assert_eq!((&summary["trials"], &summary["verdict"]), (&Value::from(8), &Value::from("held")));
    let cells = summary["cells"].as_array().expect("a list");
    assert_eq!(cells.len(), 4);
    for field in ["loss_interval_95", "oldest_lost_ms_median", "bound_ms", "unavailable_ms_median", "worst"] {
        assert!(cells[0].get(field).is_some(), "{field}: {}", cells[0]);
    }
    let kept = std::fs::read(dir.path().join("target/staticfire/demo/demo.json")).expect("written");
    assert_eq!(serde_json::from_slice::<Value>(&kept).expect("JSON"), summary);
    // The records give the same matrix again.
    let records = std::fs::read(dir.path().join("target/staticfire/demo/records.jsonl")).expect("written");
    let mut again = reports::Cells::default();
    for record in reports::read_records(&records[..]) {
        again.add(&record.expect("a record"));
    }
    // Read back, as the other was: the last digit of a fraction may differ.
    let again = serde_json::to_vec(&again.summaries()).expect("plain data");
    assert_eq!(serde_json::from_slice::<Value>(&again).expect("JSON"), summary["cells"]);

    let text = demo(&["--out", "text"]).stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("single-master, sync flush") && text.contains("all promises held: 8 trials"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours without a terminal: {text}");
    let markdown = demo(&["--md"]).stdout;
    assert!(markdown.starts_with(b"| mode | flush | fault |"));

    // The command below the matrix is the trial, to the step.
    let Some(worst) = cells.iter().find_map(|cell| cell["worst"].as_str()) else { panic!("no cell lost anything") };
    let words = worst.strip_prefix("cargo staticfire ").expect("a command").split(' ').collect::<Vec<_>>();
    let replayed = json(&staticfire(dir.path(), &[&words[..], &["--json"]].concat()));
    let line = reports::read_records(&records[..]).map(|record| record.expect("a record"));
    let mut same = line.filter(|record| record.command() == worst);
    assert_eq!(replayed["trace_hash"], same.next().expect("the worst trial has a record").trace_hash);
}

#[test]
fn list_names_everything() {
    let dir = dir();
    let text = staticfire(dir.path(), &["list"]);
    let listed = json(&staticfire(dir.path(), &["list", "--json"]));
    for kind in ["modes", "faults", "file_systems", "scenarios", "oracles"] {
        for entry in listed[kind].as_array().expect("a list") {
            let name = entry["name"].as_str().expect("a name");
            assert!(String::from_utf8_lossy(&text.stdout).contains(name), "{name}");
        }
    }
}

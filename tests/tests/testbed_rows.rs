//! What testbeds for distributed systems can do to disks, networks and hosts, row by row, as they are compared with one another;
//! and that each row has a test here that names it. A test names a row in its doc comment:
//!
//! ```text
//! /// Testbeds §1.1 "torn write": …
//! ```
//!
//! and shows that a program noticed. `cargo test -p tests --test testbed_rows -- --nocapture` prints rows and tests.
#![cfg(not(feature = "real"))]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rows: §1.1 disks and file systems, §1.2 networks, §1.3 processes, hosts and clocks.
const ROWS: [(&str, &[&str]); 3] = [
    (
        "§1.1",
        &[
            "unsynced data lost on crash",
            "random subset of unsynced writes survives",
            "torn write",
            "misdirected write / read",
            "stale read / lost write",
            "latent sector error / bit rot",
            "EIO on read/write",
            "EIO on fsync",
            "fsync-failure semantics",
            "lying fsync / volatile disk write cache",
            "short read / write",
            "ENOSPC",
            "slow / stalling disk",
            "total disk loss, node replaced",
            "disk moved to another host",
            "directory-entry loss",
            "rename / truncate durability ordering",
            "mmap page-cache semantics",
            "four tiers",
            "recoverability-aware fault budget",
        ],
    ),
    (
        "§1.2",
        &[
            "symmetric partition",
            "one-way partition",
            "partial / non-transitive",
            "loss",
            "duplication",
            "reordering",
            "corruption",
            "latency distribution, per link",
            "clogging",
            "swizzle-clog",
            "bandwidth / bounded buffers / backpressure",
            "fault by message type",
            "TCP truthfulness",
            "client↔server faults as well as server↔server",
        ],
    ),
    (
        "§1.3",
        &[
            "kill / restart, restart loops",
            "pause",
            "CPU starvation, thread pause",
            "allocation failure",
            "per-node clock skew / drift",
            "clock jump",
            "OS crash, single host",
            "correlated failures",
            "rolling upgrade / mixed versions",
            "membership / reconfiguration during faults",
        ],
    ),
];

/// A section and a row of it.
type Row = (String, String);

/// The rows that a comment names: `Testbeds §1.1 "one" and "another"`.
fn named(comment: &str) -> Vec<Row> {
    let mut found = Vec::new();
    for part in comment.split("Testbeds ").skip(1) {
        let Some((section, mut rest)) = part.split_once(' ') else { continue };
        while let Some((row, after)) = rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            found.push((section.to_owned(), row.to_owned()));
            rest = after.strip_prefix(" and ").unwrap_or_default();
        }
    }
    found
}

/// The rows that the tests of a source file name, each with the test's name.
fn of_tests(source: &str) -> Vec<(Row, String)> {
    let mut found = Vec::new();
    let (mut comment, mut is_test) = (String::new(), false);
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            comment.push_str(text);
        } else if line.starts_with("#[") {
            is_test |= line == "#[test]";
        } else {
            if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
                let name = name.split('(').next().unwrap_or_default();
                found.extend(named(&comment).into_iter().map(|row| (row, name.to_owned())));
            }
            comment.clear();
            is_test = false;
        }
    }
    found
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).expect("the sources are there");
    for path in entries.map(|entry| entry.expect("a file").path()) {
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_row_has_a_test_that_names_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for directory in ["sim/src", "sim/tests", "faults", "scenarios", "tests"] {
        rust_files(&root.join(directory), &mut files);
    }
    let mut tests = BTreeMap::<Row, BTreeSet<String>>::new();
    for file in &files {
        let source = fs::read_to_string(file).expect("it is text");
        let path = file.strip_prefix(&root).unwrap_or(file).display();
        for (row, test) in of_tests(&source) {
            tests.entry(row).or_default().insert(format!("{path}: {test}"));
        }
    }
    let mut missing = Vec::new();
    for (section, row) in ROWS.iter().flat_map(|(section, rows)| rows.iter().map(move |row| (section, row))) {
        let found = tests.remove(&((*section).to_owned(), (*row).to_owned())).unwrap_or_default();
        println!("{section} {row}");
        found.iter().for_each(|test| println!("    {test}"));
        if found.is_empty() {
            missing.push(format!("{section} {row:?}"));
        }
    }
    assert!(missing.is_empty(), "no test names {}", missing.join(", "));
    assert!(tests.is_empty(), "there are no such rows: {tests:?}");
}

#[test]
fn only_tests_name_rows() {
    let source = r#"
        /// Examples §1.1 "one" and "another": why.
        #[test]
        fn a_test() {}
        /// Examples §1.1 "third".
        fn no_test() {}
        // Examples §1.1 "fourth".
        #[test]
        fn says_nothing() {}
    "#;
    // What stands in the example is not to be found in this file.
    let source = source.replace("Examples", "Testbeds");
    let row = |name: &str| (("§1.1".to_owned(), name.to_owned()), "a_test".to_owned());
    assert_eq!(of_tests(&source), [row("one"), row("another")]);
}

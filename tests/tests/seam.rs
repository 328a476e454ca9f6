//! Rule 1 of the architecture: the cluster does not know that it is being simulated. Its source is searched for what goes
//! around the seam, because a simulation cannot notice all of that (`std::time`, for one, and what no run reaches) and clippy's
//! lists cannot hold all of it (what the real body of the seam re-exports).
//!
//! Searched are the sources of the crates in `cluster/`, without their tests. `cluster/server`, the programs that people
//! start, may set up tokio and read the environment; it may no more than the others read clocks, files and sockets.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// What the cluster must not name, and what it uses instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("madsim", "sim"),
    ("sim::world", "nothing: the control panel is the harness's"),
    ("std::fs", "sim::disk"),
    ("std::time::Instant", "sim::time::Instant"),
    ("std::time::SystemTime", "sim::time::wall_clock_ms"),
    ("std::time::UNIX_EPOCH", "sim::time::wall_clock_ms"),
    ("std::thread", "sim::task"),
    ("std::net::TcpStream", "sim::net"),
    ("std::net::TcpListener", "sim::net"),
    ("std::net::UdpSocket", "sim::net"),
    ("std::net::ToSocketAddrs", "sim::net::resolve"),
    ("std::os::unix::net", "sim::net"),
    ("std::process::Command", "sim::task"),
    ("std::process::id", "sim::process::id"),
    ("std::hash::RandomState", "BTreeMap or IndexMap"),
    ("tokio::fs", "sim::disk"),
    ("tokio::net", "sim::net"),
    ("tokio::process", "sim::task"),
    ("tokio::signal", "sim::signal"),
    ("tokio::spawn", "sim::task::spawn"),
    ("tokio::task", "sim::task"),
    ("tokio::time", "sim::time"),
    ("libc", "sim"),
    ("rustix", "sim"),
    ("rand", "sim::rng"),
    ("getrandom", "sim::rng"),
    ("fastrand", "sim::rng"),
];

/// The code of a source file, without its comments, its string literals and its tests.
fn code(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut code = String::new();
    for line in source.lines() {
        let mut quoted = false;
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if quoted => drop(characters.next()),
                // A quoted quote is a character, not the beginning of a string.
                '\'' if characters.peek() == Some(&'"') => drop(characters.next()),
                '"' => quoted = !quoted,
                '/' if !quoted && characters.peek() == Some(&'/') => break,
                _ if quoted => {}
                _ => code.push(character),
            }
        }
        code.push('\n');
    }
    code
}

/// The paths that a piece of a `use` names, the groups in it written out.
fn written_out(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.chars().filter(|character| !character.is_whitespace()).collect()];
    };
    let close = tree.rfind('}').unwrap_or(tree.len());
    let (prefix, group) = (&tree[..open], &tree[open + 1..close]);
    let (mut depth, mut from, mut pieces) = (0, 0, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                pieces.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&group[from..]);
    let pieces = pieces.into_iter().filter(|piece| !piece.trim().is_empty());
    pieces.flat_map(|piece| written_out(&format!("{}{}", prefix.trim(), piece.trim()))).collect()
}

/// The paths that a piece of code names: in its `use`s, and wherever `::` stands.
fn paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for statement in code.split(';') {
        let uses =
            statement.rfind("use ").filter(|&at| statement[..at].chars().next_back().is_none_or(char::is_whitespace));
        if let Some(at) = uses {
            paths.extend(written_out(&statement[at + "use ".len()..]));
        }
    }
    let is_part = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    paths.extend(code.split(|character| !is_part(character)).filter(|word| word.contains("::")).map(str::to_owned));
    paths
}

/// What of a piece of source goes around the seam: the path, and what to use instead.
fn around_the_seam(source: &str) -> BTreeSet<(String, &'static str)> {
    let named = |path: &str, forbidden: &str| {
        let path = path.trim_start_matches("::");
        path == forbidden || path.strip_prefix(forbidden).is_some_and(|rest| rest.starts_with("::"))
    };
    let hits = paths(&code(source)).into_iter().filter_map(|path| {
        let (_, instead) = FORBIDDEN.iter().find(|(forbidden, _)| named(&path, forbidden))?;
        Some((path, *instead))
    });
    hits.collect()
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries = std::fs::read_dir(dir).expect("it is part of the repository").flatten().collect::<Vec<_>>();
    entries.sort_by_key(std::fs::DirEntry::path);
    for path in entries.into_iter().map(|entry| entry.path()) {
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "tests" && name != "benches" && name != "target") {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_cluster_asks_the_machine_for_nothing_but_through_the_seam() {
    let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster");
    let mut files = Vec::new();
    rust_files(&cluster, &mut files);
    assert!(files.len() > 100, "{} files: this is not the cluster", files.len());
    let mut wrong = String::new();
    for file in &files {
        let source = std::fs::read_to_string(file).expect("it is text");
        for (path, instead) in around_the_seam(&source) {
            wrong.push_str(&format!("{}: {path}: use {instead}\n", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_way_around_the_seam_is_found() {
    for (forbidden, instead) in FORBIDDEN {
        for source in [
            format!("use {forbidden};"),
            format!("use {forbidden}::inner as other;"),
            format!("fn f() {{ let x = {forbidden}::new(); }}"),
            format!("pub use ::{forbidden};"),
        ] {
            let found = around_the_seam(&source);
            assert!(found.iter().any(|(_, hint)| hint == instead), "{source}: {found:?}");
        }
    }
    for source in [
        "use std::{collections::BTreeMap, fs};",
        "use std::{\n    io,\n    time::{Duration, SystemTime as Time},\n};",
        "mod a;\nuse {std::thread, tokio::sync::watch};",
        "fn f() -> std::io::Result<()> { std::fs::read(path)?; Ok(()) }",
        "let quote = '\"'; let now = std::time::Instant::now();",
    ] {
        assert_eq!(around_the_seam(source).len(), 1, "{source}");
    }
}

#[test]
fn what_only_looks_like_it_is_not_found() {
    for source in [
        "//! As std::fs does.",
        "let text = \"std::fs\"; // and tokio::time",
        "use std::time::Duration;\nuse std::net::{IpAddr, SocketAddr};\nuse sim::{disk, net::TcpStream, time::Instant};",
        "use crate::random::rand_like;\nuse tokio::sync::{mpsc, watch};",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    use sim::world::simulate;\n}",
    ] {
        assert_eq!(around_the_seam(source), BTreeSet::new(), "{source}");
    }
}

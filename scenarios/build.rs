//! Names the source that a build is made from: a digest over the files of all crates that a simulated run depends on, over the
//! versions of their dependencies, and over the compiler. Two builds with the same digest must run the same; nothing in it
//! depends on where the source lies.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// From the root of the repository.
const CRATES: [&str; 12] = [
    "sim",
    "cluster/protocol",
    "cluster/quirks",
    "cluster/store",
    "cluster/remoting",
    "cluster/ha",
    "cluster/namesrv",
    "cluster/broker",
    "cluster/client",
    "faults",
    "reports",
    "scenarios",
];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    let mut files = vec![root.join("Cargo.lock"), root.join("Cargo.toml"), root.join(".cargo/config.toml")];
    for folder in CRATES.map(|name| root.join(name)) {
        files.push(folder.join("Cargo.toml"));
        println!("cargo:rerun-if-changed={}", folder.join("src").display());
        collect(&folder.join("src"), &mut files);
    }
    // The parts of `sim` that are crates of their own.
    println!("cargo:rerun-if-changed={}", root.join("sim/interpose/src").display());
    collect(&root.join("sim/interpose/src"), &mut files);
    files.sort();
    let mut digest = Digest::new();
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        let name = file.strip_prefix(&root).unwrap_or(file).to_string_lossy().replace('\\', "/");
        digest.add(name.as_bytes());
        // One that is not there has no content.
        digest.add(&fs::read(file).unwrap_or_default());
    }
    let compiler = env::var_os("RUSTC").and_then(|rustc| Command::new(rustc).arg("--version").output().ok());
    digest.add(&compiler.map(|output| output.stdout).unwrap_or_default());
    println!("cargo:rustc-env=STATICFIRE_SOURCE={:016x}", digest.0);
}

/// Adds the Rust files of a folder, in whatever order the file system has them.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// FNV-1a.
struct Digest(u64);

impl Digest {
    fn new() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

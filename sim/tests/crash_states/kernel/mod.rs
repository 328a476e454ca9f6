//! The file systems of this machine's kernel, which lose their power: the contract, the table of update protocols and the
//! model of errors held against the thing itself.
//!
//! A [`volume`] is a small file system in a file, on a loop device. Its shutdown ioctl (`EXT4_IOC_SHUTDOWN`, `XFS_IOC_GOINGDOWN`)
//! is the power cut: nothing more reaches the device, neither pages nor journal, and the next mount recovers. What the
//! device was given stays, so that this is [`Crash::Os`](super::contract::Crash::Os).
//!
//! Each test runs in a process of its own with mounts of its own (`unshare --mount`): what it mounts nobody else sees, and it is
//! gone with the process, however that ends. It needs root, loop devices and the programs of e2fsprogs, xfsprogs and util-linux;
//! where something is missing, a test says "skipped" and why.

mod batch;
mod errors;
mod patterns;
mod programs;
mod protocols;
mod space;
mod volume;

use std::{
    io::Write,
    path::Path,
    process::{Command, Output},
};
use volume::Kind;

/// Makes each function a test for each kind of file system, in a process with mounts of its own.
macro_rules! on_kernel {
    ($($body:ident),* $(,)?) => {
        $(
            mod $body {
                use $crate::kernel::{isolated, volume::Kind};

                #[test]
                fn ext4() {
                    isolated(concat!(module_path!(), "::ext4"), Kind::Ext4, super::$body);
                }

                #[test]
                fn xfs() {
                    isolated(concat!(module_path!(), "::xfs"), Kind::Xfs, super::$body);
                }
            }
        )*
    };
}
use on_kernel;

/// Set in the process that has mounts of its own.
const INSIDE: &str = "CRASH_STATES_INSIDE";

const SKIPPED: &str = "skipped: ";

/// Says why a test did not run.
fn skip(test: &str, reason: &str) {
    write_past_capture(&format!("{SKIPPED}{test}: {reason}"));
}

/// Writes a line that is seen although the test passes.
fn write_past_capture(line: &str) {
    // Nobody would hear of the failure either.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Runs a test's body in a process with mounts of its own.
fn isolated(module_path: &str, kind: Kind, body: fn(Kind)) {
    let test = module_path.split_once("::").map_or(module_path, |(_, test)| test);
    if std::env::var_os(INSIDE).is_some() {
        return match volume::probe(kind) {
            Ok(()) => body(kind),
            Err(reason) => skip(test, &format!("no {} can be mounted: {reason}", kind.name())),
        };
    }
    if let Some(reason) = missing(kind) {
        return skip(test, &reason);
    }
    let this = std::env::current_exe().expect("a test is a program");
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(this)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare can be run");
    let Output { status, stdout, stderr } = output;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    print!("{stdout}");
    match stderr.lines().find(|line| line.starts_with(SKIPPED)) {
        Some(line) => write_past_capture(line),
        None => eprint!("{stderr}"),
    }
    assert!(status.success(), "{test}: {status}");
    assert!(stdout.contains("1 passed"), "{test} was not run");
}

/// What is missing here, if anything.
fn missing(kind: Kind) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root".to_owned());
    }
    for program in ["unshare", "mount", "umount", "fstrim", "xfs_io", kind.mkfs()] {
        if Command::new(program).arg("--help").output().is_err() {
            return Some(format!("it needs the program {program}"));
        }
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("it needs loop devices".to_owned());
    }
    // A module that is not loaded is not in the list.
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !known.lines().any(|line| line.trim_start_matches("nodev").trim() == kind.name()) {
        run("modprobe", &[kind.name()]).err().map(|_| format!("this kernel has no {}", kind.name()))
    } else {
        run("unshare", &["--mount", "--propagation", "private", "true"]).err()
    }
}

/// Runs a program of the system to its end.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program} {arguments:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

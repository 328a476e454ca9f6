//! The `staticfire` command: see `scenarios::cli`.

use std::process::ExitCode;

#[cfg(not(feature = "real"))]
fn main() -> ExitCode {
    scenarios::cli::main()
}

#[cfg(feature = "real")]
fn main() -> ExitCode {
    eprintln!("staticfire: this is a build with --features real, which has no simulated machines; build without it");
    ExitCode::from(1)
}

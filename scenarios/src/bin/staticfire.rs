//! The `staticfire` command: see `scenarios::cli`.

use std::process::ExitCode;

/// A simulation makes and drops some hundred thousand small buffers a second; this allocator takes a tenth less time for a
/// run than the system's.
#[cfg(not(feature = "real"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(not(feature = "real"))]
fn main() -> ExitCode {
    scenarios::cli::main()
}

#[cfg(feature = "real")]
fn main() -> ExitCode {
    eprintln!("staticfire: this is a build with --features real, which has no simulated machines; build without it");
    ExitCode::from(1)
}

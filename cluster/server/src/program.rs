//! How a binary runs: on a tokio runtime, to an exit status.

use std::error::Error;
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

/// Runs a program to its end. An error becomes one line on standard error and exit status 1.
pub fn run(name: &str, program: impl Future<Output = Result<(), Box<dyn Error>>>) -> ExitCode {
    let outcome = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(program),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody reads standard error then; the exit status still tells.
            let _ = writeln!(io::stderr(), "{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line that scripts wait for.
pub fn announce(line: &str) {
    let mut out = io::stdout().lock();
    // A server whose output nobody reads any more still serves.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

//! A cluster of real processes on loopback, from the configurations of `deploy/conf`, for tests and benches.
//!
//! | room | is |
//! |---|---|
//! | [`server`] | one process: started, killed, asked to stop, its output read |
//! | [`machines`] | name servers and brokers in a directory of their own |
//! | [`load`] | producers and consumers, and what they were promised |
//!
//! This is the outside of the programs: it uses the real files, ports and processes by right. Nothing outlives its owner.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is outside of the programs that are tested"
)]
#![allow(dead_code, reason = "each test and bench uses a part of it")]

pub mod load;
pub mod machines;
pub mod server;

use std::time::Duration;

use sim::time::{Instant, sleep};

/// How long anything may take: far more than it does, even on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Waits until a condition holds; panics when that takes longer than [`PATIENCE`].
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < PATIENCE, "after {} s still not: {what}", PATIENCE.as_secs());
        sleep(Duration::from_millis(20)).await;
    }
}

/// Writes a file, with the directories that it needs.
pub fn write_file(path: &std::path::Path, content: &str) {
    let directory = path.parent().expect("a file is in a directory");
    std::fs::create_dir_all(directory).expect("the work directory can be written");
    std::fs::write(path, content).expect("the work directory can be written");
}

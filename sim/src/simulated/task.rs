//! Tasks. A task belongs to the process that spawned it and dies with it.

pub use super::executor::{JoinError, JoinHandle, spawn};
pub use tokio::task::yield_now;

/// How many tasks can make progress at the same time: in the simulation there is one thread.
#[must_use]
pub fn processors() -> usize {
    1
}

/// Runs a computation or a system call that would block, in place: in the simulation nothing blocks.
pub async fn blocking<T, W>(work: W) -> T
where
    W: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    work()
}

/// Runs work that may take long, in place: in the simulation computing takes no time.
pub async fn aside<F>(work: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    work.await
}

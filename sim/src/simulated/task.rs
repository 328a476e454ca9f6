//! Tasks on madsim's executor. A task belongs to the process that spawned it and dies with it.

pub use madsim::task::{JoinError, JoinHandle, yield_now};

/// Starts a task.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    madsim::task::spawn(future)
}

/// Runs a computation or a system call that would block, in place: in the simulation nothing blocks.
pub async fn blocking<T, W>(work: W) -> T
where
    W: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    work()
}

//! Tasks on tokio's multi-threaded scheduler.

pub use tokio::task::{JoinError, JoinHandle, yield_now};

use std::{io, sync::LazyLock};
use tokio::runtime::{Builder, Runtime};

/// Starts a task.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}

/// How many tasks can make progress at the same time: the processors that this process may use.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Runs a computation or a system call that blocks, away from the tasks.
///
/// # Panics
/// Carries a panic of `work` on to the caller.
pub async fn blocking<T, W>(work: W) -> T
where
    W: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down and dropped the work: nobody polls the caller again either.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Where long work runs: half of the processors, at least one. It is never shut down: the process ends with it.
static ASIDE: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads((processors() / 2).max(1)).thread_name("aside").on_thread_start(give_way);
    builder.enable_all().build()
});

/// How much lower than that of the tasks the priority of long work is: it has what they leave, and a tenth of a processor that is
/// wanted by both, so that nobody waits for ever for a lock that it holds.
const NICER: i32 = 10;

/// This thread gives way to the others (nice(2): on Linux a thread's own, elsewhere the whole process's).
fn give_way() {
    if cfg!(target_os = "linux") {
        // Where that is refused, long work takes turns as the system gives them.
        let _ = rustix::process::nice(NICER);
    }
}

/// Runs work that may take long beside the tasks, on threads of its own: those who answer others take no turns with it. Once
/// begun it runs to its end.
///
/// # Panics
/// Carries a panic of `work` on to the caller.
pub async fn aside<F>(work: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let running = match &*ASIDE {
        Ok(runtime) => runtime.spawn(work),
        // There are no more threads to be had: it takes turns with the tasks.
        Err(_) => tokio::spawn(work),
    };
    match running.await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: nobody polls the caller again either.
            Err(_) => std::future::pending().await,
        },
    }
}

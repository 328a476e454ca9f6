//! The two ends of a task: the future that runs, and the handle that waits for what it returns.

use super::{TaskRef, abort};
use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// What both ends share.
struct Join<T> {
    ended: bool,
    output: Option<Result<T, JoinError>>,
    waiting: Option<Waker>,
}

fn lock<T>(join: &Mutex<Join<T>>) -> MutexGuard<'_, Join<T>> {
    join.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running end's hold on what is shared. Dropped without an output, it tells the other end that the task was cancelled.
struct Finisher<T>(Arc<Mutex<Join<T>>>);

impl<T> Finisher<T> {
    fn finish(&self, output: Result<T, JoinError>) {
        let waiting = {
            let mut join = lock(&self.0);
            join.ended = true;
            join.output = Some(output);
            join.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl<T> Drop for Finisher<T> {
    fn drop(&mut self) {
        if !lock(&self.0).ended {
            self.finish(Err(JoinError(())));
        }
    }
}

pin_project_lite::pin_project! {
    /// A task's future with the place for its output. The future is dropped first.
    pub(super) struct Spawned<F: Future> {
        #[pin]
        future: F,
        finisher: Finisher<F::Output>,
    }
}

impl<F: Future> Spawned<F> {
    pub fn new(future: F) -> (Spawned<F>, Shared<F::Output>) {
        let join = Arc::new(Mutex::new(Join { ended: false, output: None, waiting: None }));
        (Spawned { future, finisher: Finisher(Arc::clone(&join)) }, Shared(join))
    }
}

impl<F: Future> Future for Spawned<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.future.poll(context).map(|output| this.finisher.finish(Ok(output)))
    }
}

/// The waiting end's hold on what is shared.
pub(super) struct Shared<T>(Arc<Mutex<Join<T>>>);

/// Waits for a task and returns what it returned. Dropped, it lets the task run on alone.
pub struct JoinHandle<T> {
    task: Arc<TaskRef>,
    shared: Shared<T>,
}

impl<T> JoinHandle<T> {
    pub(super) fn new(task: Arc<TaskRef>, shared: Shared<T>) -> JoinHandle<T> {
        JoinHandle { task, shared }
    }

    /// Ends the task: it is not polled again, and dropped soon.
    pub fn abort(&self) {
        abort(&self.task);
    }

    /// Whether the task has ended, in whatever way.
    pub fn is_finished(&self) -> bool {
        lock(&self.shared.0).ended
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let mut join = lock(&self.shared.0);
        match join.output.take() {
            Some(output) => Poll::Ready(output),
            None => {
                assert!(!join.ended, "a handle that has given its task's output is polled again");
                match &mut join.waiting {
                    Some(known) => known.clone_from(context.waker()),
                    None => join.waiting = Some(context.waker().clone()),
                }
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JoinHandle").field("is_finished", &self.is_finished()).finish()
    }
}

/// The task was cancelled: aborted, or its process has ended. (A panic ends the simulation.)
#[derive(Debug)]
pub struct JoinError(());

impl JoinError {
    /// Always.
    pub fn is_cancelled(&self) -> bool {
        true
    }

    /// Never.
    pub fn is_panic(&self) -> bool {
        false
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the task was cancelled")
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for std::io::Error {
    fn from(error: JoinError) -> std::io::Error {
        std::io::Error::other(error)
    }
}

//! The request to stop in good order.

use super::kernel;
use std::{future::poll_fn, io, task::Poll};

/// Completes when the world asks the process to terminate (see `World::terminate`).
///
/// # Errors
/// None in the simulation.
pub async fn terminated() -> io::Result<()> {
    let process = kernel::current_process();
    poll_fn(|context| {
        kernel::with(|kernel| {
            let host = kernel.host(process.host);
            if host.terminate {
                return Poll::Ready(Ok(()));
            }
            if !host.terminate_wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                host.terminate_wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
    })
    .await
}

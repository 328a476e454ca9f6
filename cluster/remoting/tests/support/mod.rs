//! Runs one test body in either body of the seam: on a simulated host of its own, or on tokio.

/// Runs `test` to its end; a panic in it fails the calling test.
#[cfg(feature = "real")]
pub fn run<F: Future<Output = ()> + Send + 'static>(test: fn() -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async move { sim::task::spawn(test()).await.expect("the test did not panic") });
}

/// Runs `test` to its end; a panic in it fails the calling test.
#[cfg(not(feature = "real"))]
pub fn run<F: Future<Output = ()> + Send + 'static>(test: fn() -> F) {
    use sim::world::{HostSpec, SimulationSpec, simulate};
    use std::sync::{Arc, Mutex};

    let outcome = simulate(SimulationSpec { seed: 1, ..Default::default() }, move |world| async move {
        let (done, ended) = tokio::sync::oneshot::channel();
        let done = Arc::new(Mutex::new(Some(done)));
        let host = world.add_host(HostSpec::new("one", move || {
            let done = Arc::clone(&done);
            async move {
                test().await;
                let done = done.lock().expect("not poisoned").take();
                let _ = done.expect("the host boots once").send(());
            }
        }));
        world.boot(host);
        ended.await.expect("the test did not panic");
    });
    if let Err(panicked) = outcome {
        panic!("{panicked:?}");
    }
}

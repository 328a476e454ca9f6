//! What the tests of hosts share: a log that programs write and the harness reads, and a program that ticks.

use sim::{
    time,
    world::{Finished, HostId, HostSpec, SimulationSpec, World, simulate},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

pub const MS_NS: u64 = 1_000_000;
pub const SECOND_NS: u64 = 1_000 * MS_NS;

/// A list that programs add to and the harness reads.
#[derive(Clone)]
pub struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Log<T> {
    fn default() -> Self {
        Log(Arc::default())
    }
}

impl<T: Clone> Log<T> {
    pub fn add(&self, entry: T) {
        self.0.lock().expect("one thread").push(entry);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().expect("one thread").clone()
    }

    pub fn count(&self) -> usize {
        self.0.lock().expect("one thread").len()
    }
}

/// One tick of a program that sleeps for 10 ms again and again: the two clocks of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    pub since_start: Duration,
    pub wall_ms: i64,
}

pub const TICK: Duration = Duration::from_millis(10);

/// Boots a host whose program ticks, lets it run for a second, and hands it to the harness.
pub fn ticking<T: Send + 'static>(
    seed: u64,
    harness: impl AsyncFnOnce(&World, HostId, Log<Tick>) -> T + Send + 'static,
) -> Finished<T> {
    simulate(SimulationSpec { seed, ..SimulationSpec::default() }, |world| async move {
        let log = Log::default();
        let host = world.add_host(HostSpec::new("host", ticks(&log)));
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
        harness(&world, host, log).await
    })
    .expect("nothing panics")
}

/// A program that ticks into a log.
pub fn ticks(
    log: &Log<Tick>,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static {
    let log = log.clone();
    move || {
        let log = log.clone();
        Box::pin(async move {
            let start = time::Instant::now();
            loop {
                time::sleep(TICK).await;
                log.add(Tick { since_start: start.elapsed(), wall_ms: time::wall_clock_ms() });
            }
        })
    }
}

//! A simulated machine with one disk, on which tests open stores and which they crash.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use sim::world::{Crash, CrashReport, DiskSpec, DiskStats, HostId, HostSpec, SimulationSpec, World, simulate};

type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

pub struct Machine {
    world: World,
    host: HostId,
    job: Arc<Mutex<Option<Job>>>,
}

/// Runs a test on a machine. A panic on the machine is a panic of the test.
pub fn on_machine<T, Fut>(seed: u64, test: impl FnOnce(Machine) -> Fut + Send) -> T
where
    T: Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    on_machine_with(seed, DiskSpec::default(), test)
}

/// As [`on_machine`], with a disk of one's choice.
pub fn on_machine_with<T, Fut>(seed: u64, disk: DiskSpec, test: impl FnOnce(Machine) -> Fut + Send) -> T
where
    T: Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    let spec = SimulationSpec { seed, ..SimulationSpec::default() };
    let finished = simulate(spec, |world| {
        let job: Arc<Mutex<Option<Job>>> = Arc::default();
        let next_job = Arc::clone(&job);
        let spec = HostSpec::new("machine", move || {
            let job = next_job.lock().unwrap().take().expect("a boot has a job");
            job()
        });
        let host = world.add_host(HostSpec { disk, ..spec });
        test(Machine { world, host, job })
    });
    finished.unwrap_or_else(|panicked| panic!("{panicked}")).value
}

impl Machine {
    /// Starts a process.
    pub fn start<Fut>(&self, program: impl FnOnce() -> Fut + Send + 'static)
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        *self.job.lock().unwrap() = Some(Box::new(move || Box::pin(program())));
        self.world.boot(self.host);
    }

    /// Runs a process to its end. A store that it did not shut down was killed with it.
    pub async fn run<T, Fut>(&self, program: impl FnOnce() -> Fut + Send + 'static) -> T
    where
        T: Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.start(move || async move {
            let _ = sender.send(program().await);
        });
        let value = receiver.await.expect("the process came to its end");
        self.world.sleep(Duration::from_micros(1)).await;
        value
    }

    pub async fn sleep(&self, duration: Duration) {
        self.world.sleep(duration).await;
    }

    pub fn crash(&self, crash: Crash) -> CrashReport {
        self.world.crash(self.host, crash)
    }

    pub fn step_clock(&self, step_ms: i64) {
        self.world.step_clock(self.host, step_ms);
    }

    pub fn limit_open_files(&self, max: u64) {
        self.world.limit_open_files(self.host, Some(max));
    }

    pub fn fail_next_sync(&self) {
        self.world.fail_next_sync(self.host);
    }

    pub fn withdraw_sync_failure(&self) {
        self.world.withdraw_sync_failure(self.host);
    }

    /// What the drive was asked for.
    pub fn disk_stats(&self) -> DiskStats {
        self.world.disk_stats(self.host)
    }

    /// Bytes that programs have read.
    pub fn read_bytes(&self) -> u64 {
        self.world.disk_stats(self.host).read_bytes
    }

    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.world.disk_files(self.host)
    }
}

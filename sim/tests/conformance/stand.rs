//! Where a body runs: what it gets of either machine.

use sim::net::{TcpListener, TcpStream};
use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// Makes each body a test that runs it on this build's machine.
macro_rules! conformance {
    ($($(#[$attribute:meta])* async fn $name:ident($env:ident: Env) $body:block)*) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $name() {
                let body = |$env: crate::stand::Env| -> crate::stand::Running { Box::pin(async move $body) };
                crate::stand::run(std::sync::Arc::new(body));
            }
        )*
    };
}

/// A body that runs.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;
/// A body. Its type is erased, or every test would bring a compilation of the whole simulation with it.
pub type Body = Arc<dyn Fn(Env) -> Running + Send + Sync>;

/// Two hosts, of which the body runs on one ("here"), and a directory here. On the real machine both are this machine.
#[derive(Clone)]
pub struct Env {
    dir: PathBuf,
    here: IpAddr,
    there: IpAddr,
    jobs: mpsc::UnboundedSender<Running>,
}

impl Env {
    /// A path in the body's own directory, which is empty at first.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The body's own directory.
    pub fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// The address of the host that the body runs on, with a port.
    pub fn here(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.here, port)
    }

    /// The address of the other host, with a port.
    pub fn there(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.there, port)
    }

    /// Runs a job on the other host. What it opens belongs to that host, wherever it is used.
    pub async fn on_the_other_host<T: Send + 'static>(&self, job: impl Future<Output = T> + Send + 'static) -> T {
        let (sender, receiver) = oneshot::channel();
        let job: Running = Box::pin(async move {
            let _ = sender.send(job.await);
        });
        self.jobs.send(job).unwrap_or_else(|_| panic!("the other host has ended"));
        receiver.await.expect("the job on the other host ended well")
    }

    /// Listens on the other host, on any port.
    pub async fn listen(&self) -> TcpListener {
        let address = self.there(0);
        self.on_the_other_host(async move { TcpListener::bind(address).await.expect("it listens") }).await
    }

    /// A connection: our end of it, and the other host's.
    pub async fn connection(&self) -> (TcpStream, TcpStream) {
        let listener = self.listen().await;
        let ours = TcpStream::connect(listener.local_addr().expect("it is bound")).await.expect("connected");
        let (theirs, _) = listener.accept().await.expect("accepted");
        (ours, theirs)
    }

    /// Waits until what is on the network has arrived.
    pub async fn settle(&self) {
        sim::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Hands over the jobs of the other host until nobody can send any more.
async fn serve(mut jobs: mpsc::UnboundedReceiver<Running>) {
    while let Some(job) = jobs.recv().await {
        sim::task::spawn(job);
    }
}

/// Whether this is the real machine.
pub const IS_REAL: bool = cfg!(feature = "real");

#[cfg(feature = "real")]
mod machine {
    use super::*;
    use std::{net::Ipv4Addr, os::unix::fs::MetadataExt, path::Path};

    /// A body that takes longer is stuck. It asserts nothing about speed.
    const STUCK_AFTER: Duration = Duration::from_secs(300);

    /// Runs a body on this machine.
    pub fn run(body: Body) {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (jobs, receiver) = mpsc::unbounded_channel();
            sim::task::spawn(serve(receiver));
            let loopback = Ipv4Addr::LOCALHOST.into();
            let env = Env { dir: dir.path().to_path_buf(), here: loopback, there: loopback, jobs };
            sim::time::timeout(STUCK_AFTER, body(env)).await.expect("the body is stuck");
        });
    }

    /// Runs a body once.
    pub fn run_alone(body: Body) {
        run(body);
    }

    /// How many bytes of the drive the file takes, which is the only one in the body's directory.
    pub async fn allocated_bytes(path: &Path) -> u64 {
        std::fs::metadata(path).expect("it is there").blocks() * 512
    }
}

#[cfg(not(feature = "real"))]
mod machine {
    use super::*;
    use sim::world::{HostSpec, SimulationSpec, simulate};
    use std::{net::Ipv4Addr, path::Path, sync::Mutex};

    /// Runs a body on simulated hosts.
    pub fn run(body: Body) {
        for seed in 1..=2 {
            for two_hosts in [false, true] {
                run_once(seed, two_hosts, Arc::clone(&body));
            }
        }
    }

    /// Runs a body once: on one simulated host.
    pub fn run_alone(body: Body) {
        run_once(1, false, body);
    }

    fn run_once(seed: u64, two_hosts: bool, body: Body) {
        let spec = SimulationSpec { seed, ..SimulationSpec::default() };
        let finished = simulate(spec, move |world| async move {
            let (jobs, receiver) = mpsc::unbounded_channel();
            let receiver = Arc::new(Mutex::new(Some(receiver)));
            let serving = move || serve(receiver.lock().expect("one thread").take().expect("booted once"));
            let (done, finished) = oneshot::channel();
            let done = Arc::new(Mutex::new(Some(done)));
            let addresses =
                Arc::new(Mutex::new((IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv4Addr::LOCALHOST))));
            let (known, serving_here) = (Arc::clone(&addresses), (!two_hosts).then(|| serving.clone()));
            let here = world.add_host(HostSpec::new("here", move || {
                let (here, there) = *known.lock().expect("one thread");
                let env = Env { dir: "/conformance".into(), here, there, jobs: jobs.clone() };
                let (running, jobs) = (body(env.clone()), serving_here.as_ref().map(|serving| serving()));
                let done = done.lock().expect("one thread").take().expect("booted once");
                async move {
                    if let Some(jobs) = jobs {
                        sim::task::spawn(jobs);
                    }
                    sim::disk::create_dir_all(env.dir()).await.expect("an empty directory");
                    running.await;
                    let _ = done.send(());
                }
            }));
            if two_hosts {
                let there = world.add_host(HostSpec::new("there", serving));
                *addresses.lock().expect("one thread") = (world.address(here).into(), world.address(there).into());
                world.boot(there);
            }
            world.boot(here);
            finished.await.expect("the body ended");
        });
        if let Err(panicked) = finished {
            panic!("{} hosts, {panicked}", 1 + u32::from(two_hosts));
        }
    }

    /// How many bytes of the drive the file takes, which is the only one in the body's directory.
    pub async fn allocated_bytes(path: &Path) -> u64 {
        let usage = sim::disk::usage(path).await.expect("it is there");
        usage.total_bytes - usage.available_bytes
    }
}

pub use machine::{allocated_bytes, run, run_alone};

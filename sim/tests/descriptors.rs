//! A process that may open nothing more: which calls fail, and what is left as it was. One body, on either machine; it has a
//! process of its own, because the limit is the process's.

use sim::{
    disk::{self, File, OpenOptions},
    net::{TcpListener, TcpStream},
    process,
};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

const EMFILE: i32 = 24;
/// More than a runtime has open for itself.
const MAX: u64 = 64;

fn is_too_many<T>(result: io::Result<T>) -> bool {
    result.err().and_then(|error| error.raw_os_error()) == Some(EMFILE)
}

async fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).open(path).await
}

async fn body(dir: PathBuf) {
    assert_eq!(process::open_files_max(), MAX);
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("it may");
    let address = listener.local_addr().expect("it listens");
    let connecting = TcpStream::connect(address).await.expect("it may");
    let mut files = Vec::new();
    let refused = loop {
        match open(&dir.join(format!("f{}", files.len()))).await {
            Ok(file) => files.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.raw_os_error(), Some(EMFILE));
    assert!(files.len() as u64 <= MAX - 2);
    let first = dir.join("f0");
    assert!(is_too_many(disk::read(&first).await));
    assert!(is_too_many(disk::read_dir(&dir).await));
    assert!(is_too_many(disk::sync_dir(&dir).await));
    assert!(is_too_many(TcpStream::connect(address).await));
    assert!(is_too_many(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await));
    assert!(is_too_many(listener.accept().await), "a connection waits");
    // What is open works, and so does what opens nothing.
    files[0].write_all_at(b"text", 0).await.expect("it is open");
    files[0].sync_all().await.expect("it is open");
    assert_eq!(disk::metadata(&first).await.expect("it is there").len, 4);
    disk::rename(&first, dir.join("g")).await.expect("it is there");
    files.truncate(1);
    let (_stream, peer) = listener.accept().await.expect("the connection has waited");
    assert_eq!(peer, connecting.local_addr().expect("it is connected"));
    assert_eq!(disk::read(dir.join("g")).await.expect("it is there"), b"text");
}

#[cfg(feature = "real")]
#[test]
fn what_opens_something_fails_and_the_rest_goes_on() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
    let path = dir.path().to_path_buf();
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(MAX), maximum }).expect("it is lower than before");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(body(path));
    assert_eq!(
        process::raise_open_files_max(),
        maximum.unwrap_or(u64::MAX),
        "the soft limit is raised to the hard one"
    );
}

#[cfg(not(feature = "real"))]
#[test]
fn what_opens_something_fails_and_the_rest_goes_on() {
    use sim::world::{HostSpec, SimulationSpec, simulate};
    use std::sync::{Arc, Mutex};
    use tokio::sync::oneshot;

    let finished = simulate(SimulationSpec::default(), |world| async move {
        let (done, finished) = oneshot::channel();
        let done = Arc::new(Mutex::new(Some(done)));
        let host = world.add_host(HostSpec::new("host", move || {
            let done = done.lock().expect("one thread").take().expect("booted once");
            async move {
                disk::create_dir_all("/dir").await.expect("an empty directory");
                body(PathBuf::from("/dir")).await;
                let _ = done.send(());
            }
        }));
        world.limit_open_files(host, Some(MAX));
        world.boot(host);
        finished.await.expect("the body ended");
    });
    finished.unwrap_or_else(|panicked| panic!("{panicked}"));
}

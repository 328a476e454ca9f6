//! The sockets as programs use them, on the executor: two hosts, tokio's traits, wake-ups, kills.

use crate::{
    net::{KeepAlive, TcpListener, TcpStream, local_ip, resolve, set_keepalive, set_user_timeout},
    task, time,
    world::{Crash, HostId, HostSpec, NameService, SimulationSpec, World, simulate},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Log = Arc<Mutex<Vec<String>>>;

fn note(log: &Log, line: impl Into<String>) {
    log.lock().expect("no test panics while it holds the log").push(line.into());
}

/// Answers every connection with what it sends.
async fn echo() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7))).await.expect("the port is free");
    loop {
        let (stream, _) = listener.accept().await.expect("we live");
        task::spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            // The other end may break off at any time.
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        });
    }
}

async fn connect(host: &str) -> io::Result<TcpStream> {
    TcpStream::connect(resolve(host).await?[0]).await
}

/// Runs `client` on a host of its own beside an echo server, and `then` in the harness; the log, and the trace hash.
fn run<F, Fut>(seed: u64, client: F, then: impl AsyncFnOnce(&World) + Send + 'static) -> (Vec<String>, u64)
where
    F: Fn(Log) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let log = Log::default();
    let shared = Arc::clone(&log);
    let finished = simulate(SimulationSpec { seed, ..SimulationSpec::default() }, |world| async move {
        let server = world.add_host(HostSpec::new("server", echo));
        let client = world.add_host(HostSpec::new("client", move || client(Arc::clone(&shared))));
        world.boot(server);
        world.boot(client);
        then(&world).await;
    })
    .expect("nothing panics");
    let lines = log.lock().expect("nobody holds it any more").clone();
    (lines, finished.trace_hash)
}

#[test]
fn streams_carry_bytes_both_ways_and_end() {
    let client = |log: Log| async move {
        note(&log, local_ip().to_string());
        let mut stream = connect("server:7").await.expect("the server listens");
        assert_eq!(stream.peer_addr().expect("known").port(), 7);
        stream.set_nodelay(true).expect("alive");
        stream.write_all(b"hello").await.expect("open");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.expect("open");
        note(&log, String::from_utf8_lossy(&answer));

        let (mut reader, mut writer) = stream.into_split();
        let reading = task::spawn(async move {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).await.map(|_| all)
        });
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at ^ (at >> 9)) as u8).collect();
        writer.write_all(&bytes).await.expect("open");
        drop(writer);
        let all = reading.await.expect("no panic").expect("open");
        note(&log, format!("{}", all == bytes));
    };
    let wait = async |world: &World| world.sleep(Duration::from_secs(5)).await;
    let (log, hash) = run(1, client, wait);
    assert_eq!(log, ["10.0.0.2", "hello", "true"]);
    assert_eq!((log, hash), run(1, client, wait));
    assert_ne!(hash, run(2, client, wait).1);
}

#[test]
fn a_killed_server_ends_streams_and_refuses_connects_until_it_is_back() {
    let client = |log: Log| async move {
        let mut stream = connect("server:7").await.expect("the server listens");
        note(&log, format!("{:?}", stream.read(&mut [0; 9]).await.map_err(|error| error.kind())));
        note(&log, format!("{:?}", connect("server:7").await.map(drop).map_err(|error| error.kind())));
        time::sleep(Duration::from_secs(2)).await;
        note(&log, format!("{:?}", connect("server:7").await.map(drop).map_err(|error| error.kind())));
    };
    let (log, _) = run(1, client, async |world: &World| {
        world.sleep(Duration::from_secs(1)).await;
        let server = crate::world::HostId(0);
        world.crash(server, Crash::Process);
        world.sleep(Duration::from_secs(1)).await;
        world.boot(server);
        world.sleep(Duration::from_secs(5)).await;
    });
    assert_eq!(log, ["Ok(0)", "Err(ConnectionRefused)", "Ok(())"]);
}

#[test]
fn a_power_cut_is_silent_until_the_host_is_back() {
    let client = |log: Log| async move {
        let mut stream = connect("server:7").await.expect("the server listens");
        time::sleep(Duration::from_secs(2)).await;
        stream.write_all(b"anyone?").await.expect("the send buffer has room");
        let read = stream.read(&mut [0; 9]).await;
        note(&log, format!("{:?}", read.map_err(|error| error.kind())));
    };
    let (log, _) = run(1, client, async |world: &World| {
        world.sleep(Duration::from_secs(1)).await;
        let server = crate::world::HostId(0);
        world.crash(server, Crash::Power);
        world.sleep(Duration::from_secs(20)).await;
        world.boot(server);
        world.sleep(Duration::from_secs(60)).await;
    });
    assert_eq!(log, ["Err(ConnectionReset)"]);
}

#[test]
fn names_that_nobody_has_and_texts_without_port_do_not_resolve() {
    let client = |log: Log| async move {
        for text in ["server:9876", "10.1.2.3:4", "localhost:1", "nobody:1", "server", "server:x"] {
            note(&log, format!("{:?}", resolve(text).await.map_err(|error| error.kind())));
        }
    };
    let (log, _) = run(1, client, async |world: &World| world.sleep(Duration::from_secs(1)).await);
    assert_eq!(
        log,
        [
            "Ok([10.0.0.1:9876])",
            "Ok([10.1.2.3:4])",
            "Ok([127.0.0.1:1])",
            "Err(Other)",
            "Err(InvalidInput)",
            "Err(InvalidInput)"
        ]
    );
}

/// What resolving a name gives on the client, and after how many milliseconds, while its name service is in this state.
fn resolved_under(service: NameService) -> (Vec<String>, u64, u64) {
    let client = |log: Log| async move {
        time::sleep(Duration::from_secs(1)).await;
        let begin = time::Instant::now();
        let found = resolve("server:7").await.map_err(|error| error.to_string());
        let took_ms = begin.elapsed().as_millis();
        note(&log, format!("{} {took_ms}", if found.is_ok() { "ok" } else { "failed" }));
        note(&log, format!("{}", found.is_err_and(|error| error.contains("temporary failure in name resolution"))));
        assert!(resolve("10.0.0.1:7").await.is_ok() && resolve("localhost:7").await.is_ok(), "no names");
    };
    let stats = Arc::new(Mutex::new((0, 0)));
    let shared = Arc::clone(&stats);
    let (log, _) = run(1, client, async move |world: &World| {
        world.set_name_service(HostId(1), service);
        world.sleep(Duration::from_secs(20)).await;
        let stats = world.net_stats();
        *shared.lock().expect("one thread") = (stats.slow_names_injected, stats.failed_names_injected);
    });
    let (slow, failed) = *stats.lock().expect("one thread");
    (log, slow, failed)
}

/// The figures of `man 5 resolv.conf`: an attempt of 5 s, two attempts.
#[test]
fn names_are_resolved_late_or_fail_as_the_name_service_does() {
    let expect = |first: &str, again: bool| vec![first.to_owned(), again.to_string()];
    assert_eq!(resolved_under(NameService::Healthy), (expect("ok 0", false), 0, 0));
    assert_eq!(resolved_under(NameService::Slow { delay_ns: 3_000_000_000 }), (expect("ok 3000", false), 1, 0));
    assert_eq!(resolved_under(NameService::Slow { delay_ns: 6_000_000_000 }), (expect("failed 10000", true), 0, 2));
    assert_eq!(resolved_under(NameService::Silent), (expect("failed 10000", true), 0, 2));
    assert_eq!(resolved_under(NameService::Failing), (expect("failed 0", true), 0, 1));
}

/// A name service that comes back within 10 s is only slow.
#[test]
fn a_second_attempt_may_succeed() {
    let client = |log: Log| async move {
        time::sleep(Duration::from_secs(1)).await;
        let begin = time::Instant::now();
        note(&log, format!("{}", resolve("server:7").await.is_ok()));
        note(&log, format!("{}", begin.elapsed().as_millis()));
    };
    let (log, _) = run(1, client, async |world: &World| {
        world.set_name_service(HostId(1), NameService::Silent);
        world.sleep(Duration::from_secs(3)).await;
        world.set_name_service(HostId(1), NameService::Healthy);
        world.sleep(Duration::from_secs(10)).await;
    });
    assert_eq!(log, ["true", "5000"]);
}

/// Testbeds §1.2 "client↔server faults as well as server↔server": the way between a client and its server breaks like any
/// other, and a keep-alive that the client asked for tells it.
#[test]
fn a_client_behind_a_cut_is_told_by_its_keep_alive() {
    let client = |log: Log| async move {
        let mut stream = connect("server:7").await.expect("the server listens");
        let seconds = Duration::from_secs;
        set_keepalive(&stream, Some(KeepAlive { idle: seconds(10), interval: seconds(1), probes: 3 })).expect("alive");
        let begin = time::Instant::now();
        let read = stream.read(&mut [0; 9]).await;
        note(&log, format!("{:?} {}", read.map_err(|error| error.kind()), begin.elapsed().as_secs()));
    };
    let (log, _) = run(1, client, async |world: &World| {
        world.sleep(Duration::from_secs(1)).await;
        world.cut(HostId(1), HostId(0));
        world.sleep(Duration::from_secs(60)).await;
    });
    assert_eq!(log, ["Err(TimedOut) 13"]);
}

#[test]
fn a_program_may_limit_its_kernels_patience() {
    let client = |log: Log| async move {
        let mut stream = connect("server:7").await.expect("the server listens");
        set_user_timeout(&stream, Some(Duration::from_secs(5))).expect("alive");
        time::sleep(Duration::from_secs(2)).await;
        stream.write_all(b"anyone?").await.expect("the send buffer has room");
        let begin = time::Instant::now();
        let read = stream.read(&mut [0; 9]).await;
        note(&log, format!("{:?} {}", read.map_err(|error| error.kind()), begin.elapsed().as_secs()));
    };
    let (log, _) = run(1, client, async |world: &World| {
        world.sleep(Duration::from_secs(1)).await;
        world.crash(HostId(0), Crash::Power);
        world.sleep(Duration::from_secs(60)).await;
    });
    assert_eq!(log, ["Err(TimedOut) 5"]);
}

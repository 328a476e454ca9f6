//! Thousands of simulations in one process must not fill its memory. madsim frees no task that is pending when its runtime
//! is dropped (madsim#242) and keeps a cancelled timer until its time has come: `world::simulate` ends all tasks itself, also
//! after a panic, and has timers of its own.
//!
//! Measured is the resident memory of this process, so it is the only test in this file.

#![cfg(not(feature = "real"))]

use sim::{
    disk, net, task, time,
    world::{Crash, HostSpec, SimulationSpec, simulate},
};
use std::{net::SocketAddr, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the resident memory may differ by: an allocator returns pages to the system when it likes to. It would be
/// exceeded by 2.3 KiB for each trial.
const NOISE_BYTES: u64 = 4 << 20;

const PAGE_BYTES: u64 = 4096;

/// A small workload of everything that a simulation holds: a server and two clients, their connections, files, tasks and
/// timers; a crash of each kind, a host that is paused at the end, one that is suspended, one that is starved.
fn trial(seed: u64, panics: bool) {
    let spec = SimulationSpec { seed, ..SimulationSpec::default() };
    let finished = simulate(spec, move |world| async move {
        let server = world.add_host(HostSpec::new("server", || async {
            let address = SocketAddr::from(([0, 0, 0, 0], 7));
            let listener = net::TcpListener::bind(address).await.expect("the port is free");
            while let Ok((mut stream, _)) = listener.accept().await {
                task::spawn(async move {
                    let mut options = disk::OpenOptions::new();
                    let file = options.write(true).create(true).open("/log").await.expect("there is room");
                    let mut bytes = [0; 512];
                    for offset in 0.. {
                        if stream.read_exact(&mut bytes).await.is_err() {
                            return;
                        }
                        file.write_all_at(&bytes, offset * 512).await.expect("there is room");
                        file.sync_data().await.expect("the drive works");
                        if stream.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }));
        let address = SocketAddr::from((world.address(server), 7));
        // The world that a program holds holds the program.
        let panel = world.clone();
        let clients = [0, 1].map(|number: u32| {
            let panel = panel.clone();
            world.add_host(HostSpec::new(format!("client{number}"), move || {
                let panel = panel.clone();
                async move {
                    let forever = task::spawn(std::future::pending::<()>());
                    let mut bytes = [7; 512];
                    loop {
                        let exchange = async {
                            let mut stream = net::TcpStream::connect(address).await?;
                            loop {
                                stream.write_all(&bytes).await?;
                                stream.read_exact(&mut bytes).await?;
                                time::sleep(Duration::from_millis(20)).await;
                            }
                        };
                        let ended: Result<std::io::Result<()>, _> =
                            time::timeout(Duration::from_secs(3_600), exchange).await;
                        assert!(ended.is_ok() && !forever.is_finished() && panel.now_ns() > 0);
                        time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }))
        });
        for host in [server, clients[0], clients[1]] {
            world.boot(host);
        }
        for crash in [Crash::Process, Crash::Os, Crash::Power, Crash::Disk] {
            world.sleep(Duration::from_millis(200)).await;
            world.crash(server, crash);
            world.sleep(Duration::from_millis(50)).await;
            world.boot(server);
        }
        world.sleep(Duration::from_millis(200)).await;
        world.pause(server);
        world.suspend(clients[0]);
        world.oom_kill_at(clients[1], Some(3));
        world.sleep(Duration::from_millis(200)).await;
        assert!(!panics, "on purpose");
    });
    assert_eq!(finished.is_err(), panics);
}

/// The resident memory of this process.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages = statm.split(' ').nth(1).expect("the second number is the resident set");
    pages.parse::<u64>().expect("it is a number") * PAGE_BYTES
}

/// How much the resident memory grows over so many trials.
fn growth(trials: std::ops::Range<u64>, one: impl Fn(u64)) -> u64 {
    let before = resident_bytes();
    trials.for_each(one);
    resident_bytes().saturating_sub(before)
}

#[test]
fn memory_after_2000_trials_equals_memory_after_200() {
    // What a panic prints is not of interest here.
    std::panic::set_hook(Box::new(|_| {}));
    (0..200).for_each(|seed| trial(seed, false));
    let held = growth(200..2_000, |seed| trial(seed, false));
    (0..50).for_each(|seed| trial(seed, true));
    let panicked = growth(50..350, |seed| trial(seed, true));
    // The measure itself: a leak of a few KiB for each trial is seen.
    let leaked = growth(0..1_800, |_| std::mem::forget(vec![1_u8; 4_096]));
    drop(std::panic::take_hook());
    assert!(leaked > NOISE_BYTES, "{leaked} bytes");
    assert!(held < NOISE_BYTES, "{} bytes for each trial", held / 1_800);
    assert!(panicked < NOISE_BYTES, "{} bytes for each trial that panicked", panicked / 300);
}

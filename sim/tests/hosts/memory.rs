//! Memory that runs out. Each test that answers a row of a testbed's list of faults says which.

use crate::support::{Log, ticking};
use sim::{
    disk, net, task, time,
    world::{Crash, HostSpec, HostState, SimulationSpec, simulate},
};
use std::{net::SocketAddr, time::Duration};
use tokio::io::AsyncWriteExt;

/// What a program had written, and what it had noted, when it was killed at an operation.
fn killed_at(operation: u64) -> (usize, Vec<u64>) {
    let notes = Log::default();
    let log = notes.clone();
    let finished = simulate(SimulationSpec::default(), move |world| async move {
        let host = world.add_host(HostSpec::new("host", move || {
            let log = log.clone();
            async move {
                let mut options = disk::OpenOptions::new();
                let file = options.write(true).create(true).open("/f").await.expect("there is room");
                for number in 0..100_u64 {
                    file.write_all_at(&[1], number).await.expect("there is room");
                    log.add(number);
                }
                std::future::pending::<()>().await;
            }
        }));
        world.oom_kill_at(host, Some(operation));
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
        let stats = world.host_stats(host);
        assert_eq!(stats.oom_kills_injected, u64::from(world.state(host) == HostState::Idle));
        let files = world.disk_files(host);
        (files.first().map_or(0, |file| file.1.len()), world.state(host))
    });
    let (len, state) = finished.expect("nothing panics").value;
    assert_eq!(state, if operation <= 101 { HostState::Idle } else { HostState::Running });
    (len, notes.all())
}

/// Testbeds §1.3 "allocation failure": an allocation that fails ends the process at that very point, wherever it is.
#[test]
fn a_process_that_gets_no_memory_dies_between_two_operations() {
    assert_eq!(killed_at(1), (0, Vec::new()), "before it opens the file");
    assert_eq!(killed_at(2), (0, Vec::new()), "before it writes");
    // After 40 writes it takes not one more step: what it noted is what it did.
    assert_eq!(killed_at(42), (40, (0..40).collect()));
    assert_eq!(killed_at(101), (99, (0..99).collect()));
    assert_eq!(killed_at(1_000), (100, (0..100).collect()), "not yet");
}

#[test]
fn a_path_that_is_not_there_for_a_killed_process_is_no_error_that_it_sees() {
    // Calls on paths end at once: several of them are one single step of the executor.
    let seen = Log::default();
    let log = seen.clone();
    let finished = simulate(SimulationSpec::default(), move |world| async move {
        let host = world.add_host(HostSpec::new("host", move || {
            let log = log.clone();
            async move {
                for name in ["/a", "/b", "/c", "/d"] {
                    log.add(disk::create_dir_all(name).await.is_ok());
                }
                std::future::pending::<()>().await;
            }
        }));
        world.oom_kill_at(host, Some(3));
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
        world.state(host)
    });
    assert_eq!(finished.expect("nothing panics").value, HostState::Idle);
    assert_eq!(seen.all(), [true, true]);
}

#[test]
fn all_tasks_of_a_killed_process_die_and_the_next_one_lives() {
    ticking(9, async |world, host, log| {
        world.oom_kill_at(host, Some(5));
        let before = log.count();
        world.sleep(Duration::from_secs(1)).await;
        // The start of the fifth timer was its end.
        assert_eq!(log.count() - before, 5);
        assert_eq!(world.state(host), HostState::Idle);
        world.crash(host, Crash::Process);
        world.boot(host);
        let before = log.count();
        world.sleep(Duration::from_secs(1)).await;
        assert!(log.count() - before > 90);
        world.oom_kill_at(host, Some(5));
        world.oom_kill_at(host, None);
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!(world.state(host), HostState::Running, "it was withdrawn");
        assert_eq!(world.host_stats(host).oom_kills_injected, 1);
    });
}

#[test]
fn a_process_whose_sockets_hold_more_than_its_limit_is_killed() {
    // A server that accepts and reads nothing, and clients that push; the bytes stand in its receive buffers.
    let killed = |limit_bytes: Option<u64>| {
        let finished = simulate(SimulationSpec { seed: 3, ..SimulationSpec::default() }, move |world| async move {
            let server = world.add_host(HostSpec::new("server", || async {
                let address = SocketAddr::from(([0, 0, 0, 0], 7));
                let listener = net::TcpListener::bind(address).await.expect("the port is free");
                let mut connections = Vec::new();
                loop {
                    match time::timeout(Duration::from_millis(100), listener.accept()).await {
                        Ok(Ok((stream, _))) => connections.push(stream),
                        Ok(Err(_)) => return,
                        Err(_) => {}
                    }
                }
            }));
            let address = SocketAddr::from((world.address(server), 7));
            let resets = Log::default();
            let log = resets.clone();
            let client = world.add_host(HostSpec::new("client", move || {
                let log = log.clone();
                async move {
                    for _ in 0..20 {
                        let log = log.clone();
                        task::spawn(async move {
                            let mut stream = net::TcpStream::connect(address).await.expect("somebody listens");
                            while stream.write_all(&[0; 4096]).await.is_ok() {}
                            log.add(());
                        });
                    }
                    std::future::pending::<()>().await;
                }
            }));
            world.limit_memory(server, limit_bytes);
            world.boot(server);
            world.boot(client);
            world.sleep(Duration::from_secs(5)).await;
            (
                world.state(server),
                world.host_stats(server).oom_kills_injected,
                resets.count(),
                world.socket_bytes(server),
            )
        });
        finished.expect("nothing panics").value
    };
    let (state, kills, resets, bytes) = killed(None);
    assert_eq!((state, kills, resets), (HostState::Running, 0, 0));
    assert!(bytes > 20 * 65_536, "{bytes} bytes");
    assert_eq!(killed(Some(1 << 20)), (HostState::Idle, 1, 20, 0));
    assert_eq!(killed(Some(1 << 30)), (HostState::Running, 0, 0, bytes));
}

#[test]
fn a_page_cache_that_has_no_room_reads_from_the_drive_again() {
    let run = |limit_bytes: Option<u64>| {
        let finished = simulate(SimulationSpec::default(), move |world| async move {
            let host = world.add_host(HostSpec::new("host", || async {
                let mut options = disk::OpenOptions::new();
                let file = options.read(true).write(true).create(true).open("/f").await.expect("there is room");
                file.write_all_at(&vec![7; 8 << 20], 0).await.expect("there is room");
                file.sync_all().await.expect("the drive works");
                let mut bytes = [0; 4096];
                for _ in 0..2 {
                    for page in 0..2_048 {
                        file.read_exact_at(&mut bytes, page * 4_096).await.expect("it is there");
                    }
                }
                std::future::pending::<()>().await;
            }));
            world.limit_memory(host, limit_bytes);
            world.boot(host);
            world.sleep(Duration::from_secs(5)).await;
            assert_eq!(world.state(host), HostState::Running, "a page cache kills nobody");
            (world.disk_stats(host).uncached_reads, world.disk_stats(host).evicted_pages)
        });
        finished.expect("nothing panics").value
    };
    assert_eq!(run(None), (0, 0));
    let (uncached_reads, evicted_pages) = run(Some(1 << 20));
    assert!(uncached_reads > 1_000 && evicted_pages > 1_000, "{uncached_reads} reads, {evicted_pages} pages");
}

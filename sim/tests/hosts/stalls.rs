//! Processes and machines that stand still: pauses, suspensions, starvation. Each test that answers a row of a testbed's
//! list of faults says which.

use crate::support::{Log, MS_NS, SECOND_NS, ticking};
use sim::{
    disk, net, time,
    world::{CpuStarvation, Crash, HostId, HostSpec, SimulationSpec, World, simulate},
};
use std::{net::SocketAddr, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Testbeds §1.3 "pause": a long collection of garbage, or SIGSTOP.
#[test]
fn a_paused_process_finds_that_both_clocks_ran_on() {
    ticking(1, async |world, host, log| {
        assert!(world.pause(host));
        let before = log.count();
        world.sleep(Duration::from_secs(7)).await;
        assert_eq!(log.count(), before, "it does nothing");
        assert!(world.resume(host));
        world.sleep(Duration::from_secs(1)).await;
        let ticks = log.all();
        let (last, first) = (ticks[before - 1], ticks[before]);
        assert!(first.since_start - last.since_start >= Duration::from_secs(7), "the monotonic clock ran on");
        assert!(first.wall_ms - last.wall_ms >= 7_000, "and so did the wall clock");
        let stats = world.host_stats(host);
        assert_eq!((stats.pauses_injected, stats.paused_ns / SECOND_NS), (1, 7));
    });
}

/// Testbeds §1.3 "pause", of a virtual machine.
#[test]
fn a_suspended_machine_finds_that_its_monotonic_clock_stood_still() {
    ticking(1, async |world, host, log| {
        assert!(world.suspend(host));
        assert!(!world.suspend(host), "it is suspended already");
        let before = log.count();
        world.sleep(Duration::from_secs(7)).await;
        assert_eq!(log.count(), before, "it does nothing");
        assert!(world.wake(host));
        assert!(!world.wake(host), "it runs");
        world.sleep(Duration::from_secs(1)).await;
        let ticks = log.all();
        let (last, first) = (ticks[before - 1], ticks[before]);
        let gap = first.since_start - last.since_start;
        assert!(
            gap < Duration::from_millis(11),
            "the monotonic clock stood still, and the timer ran for its rest: {gap:?}"
        );
        assert!(first.wall_ms - last.wall_ms >= 7_000, "the wall clock was set right");
        let stats = world.host_stats(host);
        assert_eq!((stats.suspensions_injected, stats.suspended_ns / SECOND_NS), (1, 7));
    });
}

/// A server that answers each byte with itself, and its client's round trips.
fn echo(world: &World, round_trips: &Log<Result<Duration, String>>) -> (HostId, HostId) {
    let server = world.add_host(HostSpec::new("server", || async {
        let address = SocketAddr::from(([0, 0, 0, 0], 7));
        let listener = net::TcpListener::bind(address).await.expect("the port is free");
        while let Ok((mut stream, _)) = listener.accept().await {
            sim::task::spawn(async move {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {}
            });
        }
    }));
    let address = SocketAddr::from((world.address(server), 7));
    let round_trips = round_trips.clone();
    let client = world.add_host(HostSpec::new("client", move || {
        let round_trips = round_trips.clone();
        async move {
            let mut stream = net::TcpStream::connect(address).await.expect("somebody listens");
            let mut byte = [42];
            loop {
                let asked = time::Instant::now();
                let answer = async {
                    stream.write_all(&byte).await?;
                    stream.read_exact(&mut byte).await
                };
                match answer.await {
                    Ok(_) => round_trips.add(Ok(asked.elapsed())),
                    Err(error) => return round_trips.add(Err(error.to_string())),
                }
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }));
    world.boot(server);
    world.boot(client);
    (server, client)
}

fn longest(round_trips: &Log<Result<Duration, String>>) -> Duration {
    round_trips.all().into_iter().map(|trip| trip.expect("the connection lasts")).max().expect("there are some")
}

#[test]
fn a_connection_survives_the_pause_and_the_suspension_of_its_peer() {
    for (seed, suspended) in [(1, false), (2, true)] {
        let finished = simulate(SimulationSpec { seed, ..SimulationSpec::default() }, move |world| async move {
            let round_trips = Log::default();
            let (server, _) = echo(&world, &round_trips);
            world.sleep(Duration::from_secs(1)).await;
            assert!(longest(&round_trips) < Duration::from_millis(5));
            assert!(if suspended { world.suspend(server) } else { world.pause(server) });
            let before = world.net_stats().retransmissions;
            world.sleep(Duration::from_secs(20)).await;
            let retransmissions = world.net_stats().retransmissions - before;
            assert!(if suspended { world.wake(server) } else { world.resume(server) });
            world.sleep(Duration::from_secs(30)).await;
            (longest(&round_trips), retransmissions, world.host_stats(server).suspended_events)
        });
        let (longest, retransmissions, held) = finished.expect("nothing panics").value;
        assert!((Duration::from_secs(19)..Duration::from_secs(21)).contains(&longest), "{longest:?}");
        // The kernel of a paused process acknowledges; a suspended machine is silent.
        assert_eq!(retransmissions > 0, suspended, "{retransmissions} retransmissions");
        assert_eq!(held > 0, suspended, "{held} events");
    }
}

#[test]
fn a_suspended_client_does_not_give_up_although_its_peer_was_silent_for_longer_than_its_time_outs() {
    // Linux gives a connection up after some 15 minutes of retransmissions, of the client's own time.
    let finished = simulate(SimulationSpec { seed: 3, ..SimulationSpec::default() }, |world| async move {
        let round_trips = Log::default();
        let (server, client) = echo(&world, &round_trips);
        // Between two round trips, when the last answer is acknowledged: for one that is not, the server waits 15 minutes.
        while round_trips.count() < 5 {
            world.sleep(Duration::from_millis(1)).await;
        }
        world.sleep(Duration::from_millis(60)).await;
        assert!(world.suspend(client));
        world.cut(server, client);
        world.sleep(Duration::from_secs(3_600)).await;
        world.heal(server, client);
        assert!(world.wake(client));
        let before = round_trips.count();
        world.sleep(Duration::from_secs(300)).await;
        round_trips.all().split_off(before)
    });
    let after = finished.expect("nothing panics").value;
    assert!(after.len() > 1_000, "{} round trips", after.len());
    assert!(after.iter().all(Result::is_ok));
}

#[test]
fn a_suspended_machine_writes_nothing_back() {
    let lost = |suspended: bool| {
        let finished = simulate(SimulationSpec { seed: 4, ..SimulationSpec::default() }, move |world| async move {
            let host = world.add_host(HostSpec::new("host", || async {
                let mut options = disk::OpenOptions::new();
                let file = options.write(true).create(true).open("/f").await.expect("there is room");
                disk::sync_dir("/").await.expect("the directory is there");
                file.write_all_at(&[7; 65_536], 0).await.expect("there is room");
                std::future::pending::<()>().await;
            }));
            world.boot(host);
            world.sleep(Duration::from_secs(1)).await;
            if suspended {
                assert!(world.suspend(host));
            }
            // The flusher writes back after 30 s what nobody syncs.
            world.sleep(Duration::from_secs(60)).await;
            // The model catches up when somebody looks.
            drop(world.durable_disk_files(host));
            let written_back = world.disk_stats(host).written_back_pages;
            world.crash(host, Crash::Os);
            written_back
        });
        finished.expect("nothing panics").value
    };
    assert_eq!((lost(false), lost(true)), (16, 0));
}

#[test]
fn a_suspended_machine_can_lose_its_power_and_boot_again() {
    ticking(5, async |world, host, log| {
        for crash in [Crash::Power, Crash::Os, Crash::Process, Crash::Disk] {
            assert!(world.suspend(host));
            world.sleep(Duration::from_secs(5)).await;
            world.crash(host, crash);
            assert!(!world.wake(host), "{crash:?} ends it");
            let before = log.count();
            world.boot(host);
            world.sleep(Duration::from_secs(1)).await;
            assert!(log.count() > before + 90, "{crash:?}");
        }
        // The simulation ends while it is suspended, paused and starved.
        world.starve_cpu(host, CpuStarvation { share: 0.5, slice_ns: 10 * MS_NS });
        assert!(world.pause(host) && world.suspend(host));
    });
}

/// Testbeds §1.3 "CPU starvation, thread pause".
#[test]
fn a_starved_process_runs_in_its_share_of_the_slices_and_its_timers_are_late() {
    let run = |share: f64| {
        ticking(6, async move |world, host, log| {
            if share < 1.0 {
                world.starve_cpu(host, CpuStarvation { share, slice_ns: 100 * MS_NS });
            }
            let before = log.count();
            world.sleep(Duration::from_secs(100)).await;
            let ticks = log.all().split_off(before);
            let late = ticks.windows(2).map(|pair| pair[1].since_start - pair[0].since_start).max();
            world.restore_cpu(host);
            let after = log.count();
            world.sleep(Duration::from_secs(1)).await;
            assert!((95..=101).contains(&(log.count() - after)), "it runs freely again");
            (ticks.len(), late.expect("there are ticks"), world.host_stats(host))
        })
    };
    let (all, undisturbed, stats) = run(1.0).value;
    assert!((9_900..=10_000).contains(&all), "{all}");
    assert!(undisturbed < Duration::from_millis(11));
    assert_eq!((stats.throttled_ns, stats.throttles_injected), (0, 0));

    let (some, late, stats) = run(0.1).value;
    // A turn of 10 ms holds one or two ticks, and between two turns are up to 180 ms.
    assert!((950..=2_050).contains(&some), "{some}");
    assert!((Duration::from_millis(120)..Duration::from_millis(192)).contains(&late), "{late:?}");
    let share = stats.throttled_ns as f64 / (100 * SECOND_NS) as f64;
    assert!((share - 0.9).abs() < 0.01, "off the CPU for {share} of the time");
    assert!((999..=1_001).contains(&stats.throttles_injected), "{}", stats.throttles_injected);
    assert_eq!(run(0.1).trace_hash, run(0.1).trace_hash);
}

#[test]
fn starvation_outlives_the_process_and_share_0_is_no_time_at_all() {
    ticking(7, async |world, host, log| {
        world.starve_cpu(host, CpuStarvation { share: 0.0, slice_ns: 100 * MS_NS });
        for _ in 0..2 {
            let before = log.count();
            world.sleep(Duration::from_secs(5)).await;
            assert_eq!(log.count(), before);
            world.crash(host, Crash::Process);
            world.boot(host);
        }
        world.restore_cpu(host);
        let before = log.count();
        world.sleep(Duration::from_secs(1)).await;
        assert!(log.count() > before + 90);
    });
}

#[test]
fn starvation_that_is_over_leaves_no_event_behind() {
    let steps = |starved: bool| {
        ticking(8, async move |world, host, log| {
            if starved {
                world.starve_cpu(host, CpuStarvation { share: 0.5, slice_ns: MS_NS });
                world.restore_cpu(host);
            }
            let throttles = world.host_stats(host).throttles_injected;
            world.sleep(Duration::from_secs(10)).await;
            assert_eq!(world.host_stats(host).throttles_injected, throttles);
            log.all()
        })
        .value
    };
    assert_eq!(steps(true).len(), steps(false).len());
}

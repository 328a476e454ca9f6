//! The switches of the control panel, from outside and from within a program.

use super::*;
use crate::{disk, time};
use std::sync::atomic::{AtomicU64, Ordering};

/// A host that counts its ticks of 10 ms, and what the harness does with it.
fn ticking<T: Send + 'static>(
    harness: impl AsyncFnOnce(&World, HostId, Arc<AtomicU64>) -> T + Send + 'static,
) -> Finished<T> {
    simulate(SimulationSpec { seed: 5, ..SimulationSpec::default() }, |world| async move {
        let ticks = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&ticks);
        let host = world.add_host(HostSpec::new("host", move || {
            let ticks = Arc::clone(&shared);
            async move {
                loop {
                    time::sleep(Duration::from_millis(10)).await;
                    ticks.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
        harness(&world, host, ticks).await
    })
    .expect("nothing panics")
}

fn count(ticks: &AtomicU64) -> u64 {
    ticks.load(Ordering::Relaxed)
}

#[test]
fn a_paused_process_stands_still_and_goes_on() {
    let run = || {
        ticking(async |world, host, ticks| {
            assert!(world.pause(host));
            assert!(!world.pause(host), "it stands still already");
            let before = count(&ticks);
            world.sleep(Duration::from_secs(5)).await;
            assert_eq!(count(&ticks), before);
            assert_eq!(world.state(host), HostState::Running);
            assert!(world.resume(host));
            assert!(!world.resume(host), "it runs");
            world.sleep(Duration::from_secs(1)).await;
            let after = count(&ticks) - before;
            assert!((95..=101).contains(&after), "{after}");
        })
    };
    assert_eq!(run().trace_hash, run().trace_hash);
}

#[test]
fn a_paused_process_can_be_killed_and_started_again() {
    ticking(async |world, host, ticks| {
        for crash in [Crash::Process, Crash::Power] {
            assert!(world.pause(host));
            world.crash(host, crash);
            assert!(!world.resume(host), "there is none any more");
            assert!(!world.pause(host));
            let before = count(&ticks);
            world.sleep(Duration::from_secs(1)).await;
            assert_eq!(count(&ticks), before);
            world.boot(host);
            world.sleep(Duration::from_secs(1)).await;
            assert!(count(&ticks) > before + 90);
        }
        // The simulation ends while it stands still.
        assert!(world.pause(host));
    });
}

#[test]
fn the_last_member_stops_the_machine() {
    ticking(async |world, host, _| {
        assert_eq!(world.lose_member(host, 1), MemberLoss::Nothing);
        assert!(matches!(world.lose_member(host, 0), MemberLoss::Disk(_)));
        assert_eq!(world.state(host), HostState::Off);
    });
    let members = simulate(SimulationSpec::default(), |world| async move {
        let spec = HostSpec::new("host", std::future::pending::<()>);
        let host = world.add_host(HostSpec { disk: DiskSpec::raid10(), ..spec });
        world.boot(host);
        let first = world.lose_member(host, 3);
        assert_eq!(world.state(host), HostState::Running);
        (first, world.replace_member(host, 3), world.replace_member(host, 3))
    });
    assert_eq!(members.expect("nothing panics").value, (MemberLoss::Degraded, true, false));
}

#[test]
fn a_program_is_told_of_a_failed_sync_as_eio() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&told);
    simulate(SimulationSpec::default(), |world| async move {
        let host = world.add_host(HostSpec::new("host", move || {
            let told = Arc::clone(&shared);
            async move {
                let file = disk::OpenOptions::new().write(true).create(true).open("/f").await.expect("there is room");
                for _ in 0..2 {
                    file.write_all_at(b"x", 0).await.expect("there is room");
                    let synced = file.sync_data().await.map_err(|error| error.raw_os_error());
                    told.lock().expect("one thread").push(synced);
                }
            }
        }));
        world.fail_next_sync(host);
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!((world.disk_stats(host).failed_syncs, world.disk_stats(host).syncs), (1, 1));
        assert!(!world.withdraw_sync_failure(host));
    })
    .expect("nothing panics");
    let told = told.lock().expect("one thread");
    assert_eq!(*told, [Err(Some(5)), Ok(())], "EIO is 5");
}

#[test]
fn every_switch_leaves_a_step_in_the_trace() {
    let spec = SimulationSpec { keep_trace: true, ..SimulationSpec::default() };
    let finished = simulate(spec, |world| async move {
        let [a, b] = ["a", "b"].map(|name| world.add_host(HostSpec::new(name, std::future::pending::<()>)));
        world.boot(a);
        world.slow_disk(a, DiskSlowdown { added_latency_ns: 1, bytes_per_s_max: 2 });
        world.restore_disk(a);
        world.slow_link(a, b, LinkSlowdown { added_latency_ns: 1, bytes_per_s_max: 2 });
        world.restore_link(a, b);
        world.set_link(a, b, LinkSpec { loss: 0.5, ..LinkSpec::LAN });
        world.jam(a, b);
        world.unjam(a, b);
        world.reset_connections(a, b);
        world.stuff_accept_queues(a);
        world.drain_accept_queues(a);
        world.set_link_filter(a, b, None);
        world.set_name_service(a, NameService::Silent);
        world.step_clock(a, -5);
        world.fail_next_sync(a);
        world.withdraw_sync_failure(a);
        world.pause(a);
        world.resume(a);
        world.replace_member(a, 0);
        world.lose_member(a, 0);
    });
    let steps = finished.expect("nothing panics").trace.into_iter().map(|step| step.step).collect::<Vec<_>>();
    let expected = [
        "boot",
        "disk.slow",
        "disk.restore",
        "net.slow",
        "net.restore",
        "net.link",
        "jam",
        "unjam",
        "reset-connections",
        "accept-queues-stuffed",
        "accept-queues-drained",
        "net.filter",
        "name-service",
        "clock-step",
        "disk.sync-will-fail",
        "disk.sync-failure-withdrawn",
        "pause",
        "resume",
        "disk.member-replaced",
        "disk.member-lost",
        "disk-loss",
    ];
    let told = steps.into_iter().filter(|step| expected.contains(step)).collect::<Vec<_>>();
    assert_eq!(told, expected);
}

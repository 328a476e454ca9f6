//! Hosts that stop and start together or over and over. Each test that answers a row of a testbed's list of faults says
//! which.

use crate::support::{Log, ticking};
use sim::{
    disk, time,
    world::{Crash, CrashLoop, HostId, HostSpec, HostState, Place, SimulationSpec, World, Zone, simulate},
};
use std::time::Duration;

/// Two data centres of two rooms of two racks of two hosts, all up.
fn sixteen_hosts(world: &World) -> Vec<HostId> {
    let mut hosts = Vec::new();
    for number in 0..16_u16 {
        let zone = Zone { data_centre: number >> 3, room: number >> 2 & 1, rack: number >> 1 & 1 };
        let spec = HostSpec::new(format!("host{number}"), std::future::pending::<()>);
        hosts.push(world.add_host(HostSpec { zone, ..spec }));
    }
    for &host in &hosts {
        world.boot(host);
    }
    hosts
}

/// Testbeds §1.3 "correlated failures": a rack, a room or a whole data centre, all at the same instant.
#[test]
fn one_event_hits_all_hosts_of_a_place_at_one_instant() {
    for (place, expected) in [
        (Place::DataCentre { data_centre: 1 }, 8..16),
        (Place::Room { data_centre: 0, room: 1 }, 4..8),
        (Place::Rack(Zone { data_centre: 0, room: 1, rack: 1 }), 6..8),
        (Place::Rack(Zone { data_centre: 2, room: 0, rack: 0 }), 0..0),
    ] {
        let spec = SimulationSpec { keep_trace: true, ..SimulationSpec::default() };
        let finished = simulate(spec, move |world| async move {
            let hosts = sixteen_hosts(&world);
            world.sleep(Duration::from_secs(1)).await;
            let struck = world.hosts_in(place);
            assert_eq!(struck, hosts[expected]);
            assert_eq!(world.crash_together(&struck, Crash::Power).len(), struck.len());
            for host in hosts {
                let expected = if struck.contains(&host) { HostState::Off } else { HostState::Running };
                assert_eq!(world.state(host), expected);
                assert_eq!(world.host_stats(host).crashes_injected, u64::from(struck.contains(&host)));
                assert_eq!(place.contains(world.zone(host)), struck.contains(&host));
            }
            struck
        });
        let finished = finished.expect("nothing panics");
        let losses = finished.trace.iter().filter(|step| step.step == "power-loss").collect::<Vec<_>>();
        assert_eq!(losses.iter().map(|step| step.host).collect::<Vec<_>>(), finished.value);
        assert!(losses.windows(2).all(|pair| pair[0].at_ns == pair[1].at_ns), "one instant");
    }
}

/// Testbeds §1.3 "kill / restart, restart loops".
#[test]
fn a_process_is_killed_over_and_over() {
    ticking(1, async |world, host, log| {
        let crash_loop = CrashLoop {
            crash: Crash::Process,
            crashes: 20,
            down: Duration::from_millis(50),
            up: Duration::from_millis(105),
        };
        let before = log.count();
        let began_ns = world.now_ns();
        assert_eq!(world.crash_loop(host, crash_loop).await.len(), 20);
        assert_eq!((world.now_ns() - began_ns) / 1_000_000, 20 * 50 + 19 * 105);
        assert_eq!(log.count() - before, 19 * 10, "ten ticks in each life");
        assert_eq!(world.host_stats(host).crashes_injected, 20);
        assert_eq!(world.state(host), HostState::Running);
    });
}

/// Testbeds §1.3 "OS crash, single host".
#[test]
fn an_os_crash_takes_what_one_host_had_not_synced_and_nothing_of_its_neighbour() {
    let finished = simulate(SimulationSpec::default(), |world| async move {
        let program = || async {
            let mut options = disk::OpenOptions::new();
            let file = options.write(true).create(true).open("/f").await.expect("there is room");
            file.write_all_at(&[1; 4096], 0).await.expect("there is room");
            file.sync_all().await.expect("the drive works");
            disk::sync_dir("/").await.expect("the directory is there");
            file.write_all_at(&[2; 4096], 4096).await.expect("there is room");
            std::future::pending::<()>().await;
        };
        let [struck, neighbour] = ["struck", "neighbour"].map(|name| world.add_host(HostSpec::new(name, program)));
        for host in [struck, neighbour] {
            world.boot(host);
        }
        world.sleep(Duration::from_secs(1)).await;
        world.crash(struck, Crash::Os);
        let lens = [struck, neighbour].map(|host| world.disk_files(host)[0].1.len());
        (lens, world.state(struck), world.state(neighbour))
    });
    let (lens, struck, neighbour) = finished.expect("nothing panics").value;
    assert_eq!(lens[1], 8192);
    assert!(lens[0] == 4096 || lens[0] == 8192, "{lens:?}: what was synced is there");
    assert_eq!((struck, neighbour), (HostState::Off, HostState::Running));
}

#[test]
fn hosts_boot_in_the_order_and_with_the_gaps_that_were_asked_for() {
    let order = Log::default();
    let log = order.clone();
    simulate(SimulationSpec::default(), |world| async move {
        let hosts = [0, 1, 2].map(|number: u32| {
            let log = log.clone();
            world.add_host(HostSpec::new(format!("host{number}"), move || {
                let log = log.clone();
                async move {
                    log.add((number, time::wall_clock_ms()));
                    std::future::pending::<()>().await;
                }
            }))
        });
        world.boot(hosts[1]);
        world.sleep(Duration::from_secs(1)).await;
        world.boot_in_order(&[hosts[2], hosts[1], hosts[0]], Duration::from_secs(3)).await;
        world.sleep(Duration::from_secs(1)).await;
    })
    .expect("nothing panics");
    let order = order.all();
    assert_eq!(order.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 0]);
    assert_eq!(order.windows(2).map(|pair| pair[1].1 - pair[0].1).collect::<Vec<_>>(), [1_000, 6_000]);
}

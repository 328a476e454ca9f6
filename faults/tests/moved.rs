//! A disk that is put into another machine takes along what is wrong with it, and what ends for it ends there; the machine that it
//! was taken from stays off.
#![cfg(not(feature = "real"))]

use faults::{Plan, Targets, inject};
use sim::{
    disk, time,
    world::{DiskFaults, HostSpec, HostState, SimulationSpec, World, simulate},
};
use std::{collections::BTreeMap, time::Duration};

/// Writes as long as it lives, so that its disk has something to do.
async fn write_on() {
    let file = disk::OpenOptions::new().write(true).create(true).open("/f").await.expect("a file can always be made");
    loop {
        // A drive that is out of order refuses some.
        let _ = file.write_all_at(&[7; 4_096], 0).await;
        let _ = file.sync_data().await;
        time::sleep(Duration::from_millis(50)).await;
    }
}

/// Carries a plan out on the machine `a` and its spare; what `look` sees of them when everything is healed.
fn after<T: Send + 'static>(plan: &str, look: fn(&World, &Targets) -> T) -> (T, Vec<String>) {
    let plan: Plan = toml::from_str(plan).expect("a plan");
    let finished = simulate(SimulationSpec::default(), move |world| async move {
        let hosts = ["a", "a-spare"];
        let ids = hosts.map(|name| (name.to_owned(), world.add_host(HostSpec::new(name, write_on))));
        let targets = ids.into_iter().collect::<BTreeMap<_, _>>();
        world.boot(targets["a"]);
        let mut told = Vec::new();
        inject(&world, &plan, &targets, 10_000, |_, effect| told.push(format!("{}: {effect}", effect.host()))).await;
        (look(&world, &targets), told)
    });
    finished.expect("nothing panics").value
}

const MOVED: &str = r#"
    [[events]]
    at_ms = 1000
    action = { kind = "disk-faults", host = "a", faults = { write_error = 0.5 }, clear_after_ms = 4000 }
    [[events]]
    at_ms = 1100
    action = { kind = "slow-disk", host = "a", latency_ms = 50, bytes_per_s = 100000 }
    [[events]]
    at_ms = 2000
    action = { kind = "crash", host = "a", crash = "power-loss" }
    [[events]]
    at_ms = 2500
    action = { kind = "move-disk", host = "a", to = "a-spare", boot_after_ms = 500 }
"#;

#[test]
fn what_is_wrong_with_a_disk_ends_where_the_disk_is() {
    let (faults, told) = after(MOVED, |world, targets| world.disk_faults(targets["a-spare"]));
    assert_eq!(faults, DiskFaults::default(), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("a-spare: over: drive: 50 % of writes fail")), "{told:?}");
    assert!(told.contains(&"a-spare: disk is as fast as before".to_owned()), "{told:?}");
}

#[test]
fn a_machine_whose_disk_is_elsewhere_does_not_boot_again() {
    let look = |world: &World, targets: &Targets| [world.state(targets["a"]), world.state(targets["a-spare"])];
    let (states, told) = after(MOVED, look);
    assert_eq!(states, [HostState::Off, HostState::Running], "{told:?}");
    // Where the disk could not be moved, it is the spare that has none.
    let stays = MOVED.replace("power-loss", "process-kill");
    let (states, told) = after(&stays, look);
    assert_eq!(states, [HostState::Running, HostState::Off], "{told:?}");
}

//! The switches for disks, as programs meet them through the seam.

use super::{
    super::{DiskSpec, HostSpec, MediaDamageKind, Personality, SimulationSpec, simulate},
    *,
};
use crate::disk::{self, File, OpenOptions};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

async fn open(path: &str) -> File {
    OpenOptions::new().read(true).write(true).create(true).open(path).await.expect("it can be opened")
}

/// A program that makes a durable file of 64 KiB and then tries something every 100 ms; what became of each try.
fn tried<F, Fut>(
    spec: DiskSpec,
    attempt: F,
    harness: impl AsyncFnOnce(&World, HostId) + Send + 'static,
) -> Vec<io::Result<u64>>
where
    F: Fn(File) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = io::Result<u64>> + Send + 'static,
{
    let tries = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&tries);
    simulate(SimulationSpec { seed: 3, ..SimulationSpec::default() }, |world| async move {
        let program = HostSpec::new("host", move || {
            let (tries, attempt) = (Arc::clone(&shared), attempt.clone());
            async move {
                let file = open("/f").await;
                file.write_all_at(&[1; 65_536], 0).await.expect("there is room");
                file.sync_data().await.expect("the drive is sound");
                disk::sync_dir("/").await.expect("the drive is sound");
                loop {
                    crate::time::sleep(Duration::from_millis(100)).await;
                    let outcome = attempt(file.clone()).await;
                    tries.lock().expect("one thread").push(outcome);
                }
            }
        });
        let host = world.add_host(HostSpec { disk: spec, ..program });
        world.boot(host);
        world.sleep(SECOND).await;
        harness(&world, host).await;
    })
    .expect("nothing panics");
    std::mem::take(&mut *tries.lock().expect("one thread"))
}

async fn read_all(file: File) -> io::Result<u64> {
    let mut bytes = vec![0; 65_536];
    file.read_exact_at(&mut bytes, 0).await?;
    Ok(bytes.iter().map(|&byte| u64::from(byte)).sum())
}

/// Testbeds §1.1 "latent sector error / bit rot" and "short read / write".
#[test]
fn a_program_reads_errors_and_rotten_bits_and_does_not_notice_short_reads() {
    let tries = tried(DiskSpec::default(), read_all, async |world, host| {
        world.set_disk_faults(host, DiskFaults { short_read: 1.0, ..DiskFaults::default() });
        for _ in 0..3 {
            world.drop_caches(host);
            world.sleep(SECOND).await;
        }
        world.clear_disk_faults(host);
        let damage = MediaDamage { kind: MediaDamageKind::LatentError, path_prefix: Some("/f".into()), sectors: 1 };
        assert_eq!(world.damage_media(host, damage.clone()).sectors, 1);
        world.sleep(SECOND).await;
        world.drop_caches(host);
        world.sleep(SECOND).await;
        assert_eq!(world.repair_media(host), 1);
        world.damage_media(host, MediaDamage { kind: MediaDamageKind::BitRot, sectors: 5, ..damage });
        world.drop_caches(host);
        world.sleep(SECOND).await;
        let stats = world.disk_stats(host);
        assert!(stats.short_reads_injected >= 3 && stats.damaged_reads_injected >= 6, "{stats:?}");
    });
    let sums: Vec<_> = tries.iter().map(|outcome| outcome.as_ref().ok().copied()).collect();
    assert!(sums[..49].iter().all(|sum| *sum == Some(65_536)), "sound, short, or hidden by the page cache: {sums:?}");
    assert!(sums[51..58].iter().all(Option::is_none), "{sums:?}");
    assert!(sums[61..68].iter().all(|sum| sum.is_some_and(|sum| sum != 65_536)), "{sums:?}");
    let error = tries[52].as_ref().expect_err("it cannot be read");
    assert_eq!(error.raw_os_error(), Some(5), "EIO is 5: {error}");
}

/// Testbeds §1.1 "slow / stalling disk".
#[test]
fn a_program_waits_for_a_stalled_disk() {
    let sync = async |file: File| file.sync_data().await.map(|()| 0);
    let tries = tried(
        DiskSpec::default(),
        move |file| Box::pin(sync(file)),
        async |world, host| {
            world.set_disk_faults(host, DiskFaults { stalled: true, ..DiskFaults::default() });
            let syncs = world.disk_stats(host).syncs;
            world.sleep(60 * SECOND).await;
            assert_eq!(world.disk_stats(host).syncs, syncs);
            world.clear_disk_faults(host);
            world.sleep(SECOND).await;
            assert_eq!(world.disk_stats(host).stalled_calls_injected, 1);
        },
    );
    assert!((17..=20).contains(&tries.len()), "{}", tries.len());
    assert!(tries.iter().all(Result::is_ok));
}

/// Testbeds §1.1 "ENOSPC", and a quota.
#[test]
fn a_program_is_refused_room_by_a_quota_and_by_a_full_file_system() {
    let append = async |file: File| {
        let len = file.len().await?;
        file.write_all_at(&[2; 4096], len).await?;
        Ok(len)
    };
    let tries = tried(
        DiskSpec::default(),
        move |file| Box::pin(append(file)),
        async |world, host| {
            world.set_disk_quota(host, Some(200 << 10));
            world.sleep(10 * SECOND).await;
            world.set_disk_quota(host, None);
            world.fill_disk(host, Some(40 << 10));
            world.sleep(10 * SECOND).await;
            world.fill_disk(host, None);
            world.sleep(SECOND).await;
        },
    );
    let mut kinds: Vec<_> = tries.iter().map(|outcome| outcome.as_ref().err().map(io::Error::kind)).collect();
    kinds.dedup();
    assert_eq!(kinds, [None, Some(io::ErrorKind::QuotaExceeded), None, Some(io::ErrorKind::StorageFull), None]);
}

/// Testbeds §1.1 "disk moved to another host".
#[test]
fn a_disk_moves_to_another_machine_with_what_is_on_it() {
    let found = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&found);
    simulate(SimulationSpec::default(), |world| async move {
        let hosts = ["a", "b"].map(|name| {
            let found = Arc::clone(&shared);
            world.add_host(HostSpec::new(name, move || {
                let found = Arc::clone(&found);
                async move {
                    let owner = disk::read("/owner").await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                    found.lock().expect("one thread").push((name, owner.unwrap_or_default()));
                    let file = open("/owner").await;
                    file.write_all_at(name.as_bytes(), 0).await.expect("there is room");
                    file.sync_all().await.expect("the drive is sound");
                    disk::sync_dir("/").await.expect("the drive is sound");
                    // In flight when the machine goes down.
                    file.write_all_at(&[b'x'; 1 << 20], 4096).await.expect("there is room");
                }
            }))
        });
        let boot = async || {
            for host in &hosts {
                world.boot(*host);
            }
            world.sleep(SECOND).await;
        };
        boot().await;
        assert!(!world.move_disk(hosts[0], hosts[1]), "they are on");
        for host in &hosts {
            world.crash(*host, Crash::Power);
        }
        assert!(!world.move_disk(hosts[0], hosts[0]));
        assert!(world.move_disk(hosts[0], hosts[1]));
        boot().await;
        assert!(world.disk_files(hosts[1])[0].1.starts_with(b"b"));
    })
    .expect("nothing panics");
    let found = found.lock().expect("one thread");
    let found: Vec<_> = found.iter().map(|(host, owner)| (*host, &owner[..owner.len().min(1)])).collect();
    // Both boot at one instant: who runs first is a draw.
    assert!(found[..2].contains(&("a", "")) && found[..2].contains(&("b", "")), "{found:?}");
    assert!(found[2..].contains(&("a", "b")) && found[2..].contains(&("b", "a")), "{found:?}");
}

/// A snapshot has what was durable, nothing of what came later, and costs the machine nothing; it is used once.
#[test]
fn a_disk_is_set_back_to_what_was_durable_when_a_snapshot_was_taken() {
    let found = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&found);
    let spec = SimulationSpec { keep_trace: true, ..SimulationSpec::default() };
    simulate(spec, |world| async move {
        let host = world.add_host(HostSpec::new("a", move || {
            let found = Arc::clone(&shared);
            async move {
                let count = disk::read("/count").await.map_or(0, |bytes| bytes[0]);
                found.lock().expect("one thread").push(count);
                for number in count + 1.. {
                    let file = open("/count").await;
                    file.write_all_at(&[number; 8_192], 0).await.expect("there is room");
                    file.sync_all().await.expect("the drive is sound");
                    disk::sync_dir("/").await.expect("the drive is sound");
                    // In flight when the snapshot is taken: whoever waits for it goes on all the same.
                    file.write_all_at(&[number; 1 << 20], 8_192).await.expect("there is room");
                    crate::time::sleep(SECOND).await;
                }
            }
        }));
        world.boot(host);
        world.sleep(SECOND / 2).await;
        assert!(!world.restore_snapshot(host), "it is on, and there is none");
        world.take_snapshot(host);
        world.sleep(3 * SECOND).await;
        let before = world.disk_files(host);
        assert!(!world.restore_snapshot(host), "it is on");
        assert_eq!(world.disk_files(host), before);
        world.crash(host, Crash::Power);
        assert!(world.restore_snapshot(host));
        assert!(!world.restore_snapshot(host), "it is used up");
        world.boot(host);
        world.sleep(SECOND * 2).await;
        // Of the disk that was set back everything is as durable as it was, and goes on to be.
        world.crash(host, Crash::Power);
        world.boot(host);
        world.sleep(SECOND / 2).await;
        let stats = world.disk_stats(host);
        assert_eq!((stats.snapshots_injected, stats.set_back_injected), (1, 1));
    })
    .expect("nothing panics");
    assert_eq!(*found.lock().expect("one thread"), [0, 1, 3]);
}

#[test]
fn every_switch_leaves_a_step_and_the_same_run_the_same_hash() {
    let run = |personality| {
        let spec = SimulationSpec { keep_trace: true, ..SimulationSpec::default() };
        simulate(spec, |world| async move {
            let disk = DiskSpec { personality, ..DiskSpec::default() };
            let host = |name| HostSpec { disk: disk.clone(), ..HostSpec::new(name, std::future::pending::<()>) };
            let [a, b] = ["a", "b"].map(|name| world.add_host(host(name)));
            let faults = DiskFaults { lost_write: 0.5, lying_sync: true, ..DiskFaults::default() };
            world.set_disk_faults(a, faults);
            assert_eq!(world.disk_faults(a), faults);
            world.damage_media(a, MediaDamage { kind: MediaDamageKind::BitRot, path_prefix: None, sectors: 1 });
            world.repair_media(a);
            world.set_disk_quota(a, Some(1));
            world.fill_disk(a, None);
            world.set_cache_limit(a, Some(1 << 20));
            world.drop_caches(a);
            world.move_disk(a, b);
            assert_eq!(world.disk_faults(b), faults, "faults are the disk's");
            world.take_snapshot(b);
            world.restore_snapshot(b);
        })
        .expect("nothing panics")
    };
    let finished = run(Personality::Xfs);
    assert_eq!(finished.trace_hash, run(Personality::Xfs).trace_hash);
    let steps: Vec<_> = finished.trace.into_iter().map(|step| step.step).collect();
    let switches = [
        "faults",
        "damage",
        "repair",
        "quota",
        "fill",
        "cache-limit",
        "drop-caches",
        "move",
        "snapshot",
        "crash",
        "crash.names",
        "set-back",
    ];
    assert_eq!(steps, switches.map(|switch| format!("disk.{switch}")));
}

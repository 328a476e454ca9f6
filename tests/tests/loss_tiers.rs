//! What each way of stopping loses and keeps, seen by a program that knows nothing of the simulation.
//!
//! The program writes one file and syncs it with its directory, writes a second one without syncing it, and keeps a number
//! in memory. Then its host is stopped in one of the four ways and booted again, and the program reports what it finds.
#![cfg(not(feature = "real"))]

use sim::{
    disk,
    world::{Crash, HostSpec, SimulationSpec, simulate},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const BYTES: usize = 64 * 1024;

/// What the program found when it was booted for the second time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    synced: Option<Vec<u8>>,
    unsynced: Option<Vec<u8>>,
    /// A file that was overwritten in place after it had been synced.
    overwritten: Option<Vec<u8>>,
}

async fn write(name: &str, byte: u8, sync: bool) -> std::io::Result<()> {
    let file = disk::OpenOptions::new().write(true).create(true).open(name).await?;
    file.write_all_at(&vec![byte; BYTES], 0).await?;
    if sync {
        file.sync_data().await?;
        disk::sync_dir("/data").await?;
    }
    Ok(())
}

async fn program(found: Arc<Mutex<Vec<Found>>>) -> std::io::Result<()> {
    let seen = Found {
        synced: disk::read("/data/synced").await.ok(),
        unsynced: disk::read("/data/unsynced").await.ok(),
        overwritten: disk::read("/data/overwritten").await.ok(),
    };
    found.lock().expect("nobody panics with it").push(seen);
    disk::create_dir_all("/data").await?;
    disk::sync_dir("/").await?;
    write("/data/synced", 1, true).await?;
    write("/data/overwritten", 1, true).await?;
    write("/data/overwritten", 2, false).await?;
    write("/data/unsynced", 3, false).await?;
    sim::time::sleep(Duration::from_secs(3_600)).await;
    Ok(())
}

/// Stops the program after `after_ms` in the given way and boots it again.
fn found_after(crash: Crash, seed: u64, after_ms: u64) -> Found {
    let found = Arc::<Mutex<Vec<Found>>>::default();
    let seen = Arc::clone(&found);
    simulate(SimulationSpec { seed, ..SimulationSpec::default() }, move |world| async move {
        let host = world.add_host(HostSpec::new("one", move || {
            let seen = Arc::clone(&seen);
            async move { program(seen).await.expect("the disk gives no errors here") }
        }));
        world.boot(host);
        world.sleep(Duration::from_millis(after_ms)).await;
        world.crash(host, crash);
        world.sleep(Duration::from_secs(1)).await;
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
    })
    .expect("nothing panics");
    let found = found.lock().expect("nobody panics with it");
    assert_eq!(found[0], Found::default(), "the disk is empty at first");
    found[1].clone()
}

fn all(byte: u8) -> Option<Vec<u8>> {
    Some(vec![byte; BYTES])
}

/// Long enough for the program to be done with its work, and far too short for the kernel's own write-back.
const SOON_MS: u64 = 200;

/// Testbeds §1.1 "four tiers": process kill, OS crash, power loss and disk loss each take another tier with them; the tests below
/// have the other three.
#[test]
fn a_killed_process_loses_its_memory_only() {
    for seed in 0..20 {
        let found = found_after(Crash::Process, seed, SOON_MS);
        assert_eq!(found, Found { synced: all(1), unsynced: all(3), overwritten: all(2) }, "seed {seed}");
    }
}

/// Testbeds §1.1 "unsynced data lost on crash" and "random subset of unsynced writes survives".
#[test]
fn a_crashed_kernel_loses_its_page_cache_by_pages() {
    let runs = (0..40).map(|seed| found_after(Crash::Os, seed, SOON_MS)).collect::<Vec<_>>();
    for found in &runs {
        assert_eq!(found.synced, all(1), "what was synced is kept");
        let overwritten = found.overwritten.as_ref().expect("its name and size were synced");
        assert_eq!(overwritten.len(), BYTES);
        for page in overwritten.chunks(4096) {
            assert!(page.iter().all(|byte| *byte == page[0]) && [1, 2].contains(&page[0]), "a page is old or new");
        }
    }
    assert!(runs.iter().any(|found| found.overwritten == all(1)), "un-synced pages are lost");
    assert!(runs.iter().any(|found| found.unsynced.is_none()), "an un-synced name is lost");
    assert!(runs.iter().any(|found| reordered(found, 4096)), "a later page outlives an earlier one");
}

/// Testbeds §1.1 "random subset of unsynced writes survives": by sectors, where the power is cut.
#[test]
fn a_power_loss_loses_the_drive_cache_by_sectors_and_tears_some() {
    let runs = (0..200).map(|seed| found_after(Crash::Power, seed, SOON_MS)).collect::<Vec<_>>();
    for found in &runs {
        assert_eq!(found.synced, all(1), "what was synced is kept");
        let overwritten = found.overwritten.as_ref().expect("its name and size were synced");
        assert!(overwritten.iter().all(|byte| [1, 2].contains(byte)));
    }
    assert!(runs.iter().any(|found| found.overwritten == all(1)), "un-synced sectors are lost");
    assert!(runs.iter().any(|found| found.unsynced.is_none()), "an un-synced name is lost");
    assert!(runs.iter().any(|found| reordered(found, 512)), "a later sector outlives an earlier one");
}

/// Testbeds §1.1 "torn write".
#[test]
fn a_sector_in_flight_may_be_torn_by_a_power_loss() {
    // The power goes while the files are being synced, so that sectors are on their way to the media.
    let torn = |found: &Found| {
        let files = [&found.overwritten, &found.synced, &found.unsynced];
        let sectors = files.into_iter().flatten().flat_map(|bytes| bytes.chunks(512));
        sectors.into_iter().any(|sector| sector.iter().any(|byte| *byte != sector[0]))
    };
    let runs = (0..400).map(|seed| found_after(Crash::Power, seed, 1 + seed % 12)).collect::<Vec<_>>();
    assert!(runs.iter().any(torn), "a sector is part new and part old");
}

/// Testbeds §1.1 "total disk loss, node replaced".
#[test]
fn a_lost_disk_loses_everything() {
    for seed in 0..5 {
        assert_eq!(found_after(Crash::Disk, seed, SOON_MS), Found::default());
    }
}

#[test]
fn the_kernel_writes_back_by_itself_in_the_end() {
    // Dirty for 30 s, looked for every 5 s, drained by the drive within 0.3 s: after 40 s nothing is left to lose.
    for crash in [Crash::Os, Crash::Power] {
        let found = found_after(crash, 1, 40_000);
        assert_eq!(found, Found { synced: all(1), unsynced: all(3), overwritten: all(2) });
    }
}

/// Whether a unit that was written later is new while an earlier one is old.
fn reordered(found: &Found, unit: usize) -> bool {
    let Some(bytes) = &found.overwritten else { return false };
    let new = bytes.chunks(unit).map(|chunk| chunk.iter().all(|byte| *byte == 2)).collect::<Vec<_>>();
    new.windows(2).any(|pair| !pair[0] && pair[1])
}

/// A log as a broker that maps its files keeps it: a file of full size, of which one page after the other is filled, in memory
/// alone. `write_at` dirties the page cache just as a store through a mapping does; nothing syncs it. The pages that are filled
/// when the program is booted again, after this crash.
fn filled_after(crash: Crash, seed: u64, after_ms: u64) -> Vec<bool> {
    const PAGES: u64 = 32;
    let found = Arc::<Mutex<Vec<bool>>>::default();
    let shared = Arc::clone(&found);
    simulate(SimulationSpec { seed, ..SimulationSpec::default() }, move |world| async move {
        let host = world.add_host(HostSpec::new("one", move || {
            let found = Arc::clone(&shared);
            async move {
                if let Ok(bytes) = disk::read("/log").await {
                    *found.lock().expect("one thread") = bytes.chunks(4096).map(|page| page == [1; 4096]).collect();
                    return;
                }
                let log = disk::OpenOptions::new().write(true).create(true).open("/log").await.expect("there is room");
                log.set_len(PAGES * 4096).await.expect("there is room");
                log.sync_all().await.expect("the drive is sound");
                disk::sync_dir("/").await.expect("the drive is sound");
                for page in 0..PAGES {
                    log.write_all_at(&[1; 4096], page * 4096).await.expect("there is room");
                }
            }
        }));
        world.boot(host);
        world.sleep(Duration::from_millis(after_ms)).await;
        world.crash(host, crash);
        world.boot(host);
        world.sleep(Duration::from_secs(1)).await;
    })
    .expect("nothing panics");
    let found = found.lock().expect("one thread").clone();
    assert_eq!(found.len() as u64, PAGES, "name and size were synced");
    found
}

/// Testbeds §1.1 "mmap page-cache semantics": dirty pages outlive the process without any system call of its own, a kernel panic
/// takes them in any order, holes before whole pages, and after half a minute the kernel has written them all.
#[test]
fn a_log_that_nobody_syncs_outlives_its_process_and_not_its_kernel() {
    assert!((0..10).all(|seed| filled_after(Crash::Process, seed, SOON_MS).iter().all(|filled| *filled)));
    let runs = (0..40).map(|seed| filled_after(Crash::Os, seed, SOON_MS)).collect::<Vec<_>>();
    assert!(runs.iter().any(|pages| pages.iter().all(|filled| !filled)), "all of it is lost");
    assert!(runs.iter().any(|pages| pages.windows(2).any(|pair| !pair[0] && pair[1])), "a hole before a whole page");
    assert!((0..10).all(|seed| filled_after(Crash::Power, seed, 40_000).iter().all(|filled| *filled)));
}

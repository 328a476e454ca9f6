//! What disks and file systems do wrong, as a program meets it that knows nothing of the simulation: for each fault a program
//! whose outcome is another one because of it. What crashes leave is in `loss_tiers.rs`.
#![cfg(not(feature = "real"))]

use sim::{
    disk::{self, File, OpenOptions},
    time,
    world::{
        Crash, DiskFaults, DiskSlowdown, DiskSpec, HostId, HostSpec, MediaDamage, MediaDamageKind, SimulationSpec,
        World, simulate,
    },
};
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

const PAGE: usize = 4_096;
const BYTES: usize = 16 * PAGE;
const SOON: Duration = Duration::from_millis(500);

/// What a program saw, in its order.
type Notes = Arc<Mutex<Vec<String>>>;

fn note(notes: &Notes, line: impl Into<String>) {
    notes.lock().expect("one thread").push(line.into());
}

/// Runs a program on one machine, over as many lives as the harness gives it; what it noted.
fn noted<F, Fut>(
    seed: u64,
    disk: DiskSpec,
    program: F,
    harness: impl AsyncFnOnce(&World, HostId) + Send + 'static,
) -> Vec<String>
where
    F: Fn(Notes) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    let notes = Notes::default();
    let shared = Arc::clone(&notes);
    simulate(SimulationSpec { seed, ..SimulationSpec::default() }, move |world| async move {
        let spec = HostSpec::new("one", move || {
            let (notes, program) = (Arc::clone(&shared), program.clone());
            async move {
                if let Err(error) = program(Arc::clone(&notes)).await {
                    note(&notes, format!("ends: {:?}", error.kind()));
                }
            }
        });
        let host = world.add_host(HostSpec { disk, ..spec });
        world.boot(host);
        world.sleep(SOON).await;
        harness(&world, host).await;
    })
    .expect("nothing panics");
    std::mem::take(&mut *notes.lock().expect("one thread"))
}

async fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).open(path).await
}

/// A file of this byte, on the drive with its name.
async fn durable(path: &str, byte: u8) -> io::Result<File> {
    let file = open(path).await?;
    file.write_all_at(&[byte; BYTES], 0).await?;
    file.sync_all().await?;
    disk::sync_dir("/").await?;
    Ok(file)
}

/// The different bytes of a file, as they stand there.
async fn content(file: &File) -> String {
    let mut bytes = vec![0; BYTES];
    match file.read_exact_at(&mut bytes, 0).await {
        Ok(()) => format!("{:?}", bytes.into_iter().collect::<BTreeSet<_>>()),
        Err(error) => format!("{:?} {:?}", error.kind(), error.raw_os_error()),
    }
}

/// Reads a file of 1s every 100 ms.
async fn read_on(notes: Notes) -> io::Result<()> {
    let file = durable("/f", 1).await?;
    loop {
        time::sleep(Duration::from_millis(100)).await;
        note(&notes, content(&file).await);
    }
}

/// What a program reads whose machine has these faults while its page cache is cold, and after their end: once each, in order.
fn read_with(faults: DiskFaults) -> Vec<String> {
    let mut notes = noted(1, DiskSpec::default(), read_on, async move |world, host| {
        world.set_disk_faults(host, faults);
        world.drop_caches(host);
        world.sleep(SOON).await;
        world.clear_disk_faults(host);
        world.drop_caches(host);
        world.sleep(SOON).await;
    });
    notes.dedup();
    notes
}

const SOUND: &str = "{1}";
/// EIO.
const EIO: i32 = 5;

/// Testbeds §1.1 "EIO on read/write".
#[test]
fn a_read_that_the_drive_refuses_is_eio_and_works_again_when_it_is_sound() {
    let seen = read_with(DiskFaults { read_error: 1.0, ..DiskFaults::default() });
    assert_eq!(seen, [SOUND.to_owned(), format!("Uncategorized Some({EIO})"), SOUND.to_owned()]);
}

/// Testbeds §1.1 "misdirected write / read": a read that the drive answers from another place.
#[test]
fn a_misdirected_read_is_believed() {
    let other = async |notes: Notes| {
        durable("/other", 9).await?;
        read_on(notes).await
    };
    let misdirected = DiskFaults { misdirected_read: 1.0, ..DiskFaults::default() };
    let seen = |seed| {
        noted(
            seed,
            DiskSpec::default(),
            move |notes| Box::pin(other(notes)),
            async move |world, host| {
                world.set_disk_faults(host, misdirected);
                world.drop_caches(host);
                world.sleep(SOON).await;
            },
        )
    };
    assert!((1..20).any(|seed| seen(seed).iter().any(|line| line.contains('9'))), "bytes of another file");
}

/// Overwrites a durable file of 1s by 2s once the harness has struck, and syncs it; then reads it from the drive.
async fn overwrite(notes: Notes) -> io::Result<()> {
    let (file, other) = (durable("/f", 1).await?, durable("/other", 9).await?);
    time::sleep(Duration::from_secs(1)).await;
    for page in 0..BYTES / PAGE {
        file.write_all_at(&[2; PAGE], (page * PAGE) as u64).await?;
        note(&notes, format!("sync {:?}", file.sync_data().await.map_err(|error| error.raw_os_error())));
    }
    note(&notes, format!("cached {}", content(&file).await));
    time::sleep(Duration::from_secs(1)).await;
    note(&notes, format!("cold {}", content(&file).await));
    note(&notes, format!("other {}", content(&other).await));
    Ok(())
}

/// What it notes with these faults while it writes; the drive is sound when it reads.
fn overwrite_with(seed: u64, faults: DiskFaults) -> Vec<String> {
    let mut notes = noted(seed, DiskSpec::default(), overwrite, async move |world, host| {
        world.set_disk_faults(host, faults);
        world.sleep(Duration::from_secs(1)).await;
        world.clear_disk_faults(host);
        world.drop_caches(host);
        world.sleep(Duration::from_secs(2)).await;
    });
    notes.dedup();
    notes
}

/// Testbeds §1.1 "stale read / lost write": the drive says that it has written, and what stood there before comes back.
#[test]
fn a_lost_write_shows_when_the_page_cache_is_cold() {
    let seen = overwrite_with(1, DiskFaults { lost_write: 1.0, ..DiskFaults::default() });
    assert_eq!(seen, ["sync Ok(())", "cached {2}", "cold {1}", "other {9}"]);
    let seen = overwrite_with(1, DiskFaults::default());
    assert_eq!(seen, ["sync Ok(())", "cached {2}", "cold {2}", "other {9}"], "without it");
}

/// Testbeds §1.1 "stale read / lost write": the medium is right, and the drive answers with what stood there before.
#[test]
fn a_stale_read_is_what_was_overwritten() {
    let twice = async |notes: Notes| {
        let file = durable("/f", 1).await?;
        file.write_all_at(&[2; BYTES], 0).await?;
        file.sync_data().await?;
        time::sleep(Duration::from_secs(1)).await;
        note(&notes, content(&file).await);
        Ok(())
    };
    let stale = DiskFaults { stale_read: 1.0, ..DiskFaults::default() };
    for (faults, is_stale) in [(DiskFaults::default(), false), (stale, true)] {
        let seen = noted(
            1,
            DiskSpec::default(),
            move |notes| Box::pin(twice(notes)),
            async move |world, host| {
                world.set_disk_faults(host, faults);
                world.drop_caches(host);
                world.sleep(Duration::from_secs(1)).await;
            },
        );
        // Before the file had its 1s there was nothing.
        let expected: &[&str] = if is_stale { &["{0}", "{1}"] } else { &["{2}"] };
        assert!(seen.len() == 1 && expected.contains(&seen[0].as_str()), "{seen:?}");
    }
}

/// Testbeds §1.1 "misdirected write / read": one place keeps its old bytes, and another one gets bytes that nobody wrote there.
#[test]
fn a_misdirected_write_damages_two_places() {
    let runs = (1..30).map(|seed| overwrite_with(seed, DiskFaults { misdirected_write: 1.0, ..DiskFaults::default() }));
    let runs = runs.collect::<Vec<_>>();
    let has = |run: &[String], line: &str| run.iter().any(|other| other == line);
    assert!(runs.iter().all(|run| has(run, "sync Ok(())") && has(run, "cached {2}")), "nobody is told: {runs:?}");
    assert!(runs.iter().any(|run| has(run, "cold {1, 2}") || has(run, "cold {1}")), "old bytes: {runs:?}");
    assert!(runs.iter().any(|run| has(run, "other {2, 9}")), "a file that nobody wrote to: {runs:?}");
}

/// Testbeds §1.1 "EIO on fsync" and "fsync-failure semantics": it is told once, the pages count as clean, a second fsync succeeds,
/// and the bytes are gone although the page cache still shows them.
#[test]
fn a_failed_sync_is_told_once_and_a_second_one_saves_nothing() {
    let program = async |notes: Notes| {
        let file = durable("/f", 1).await?;
        time::sleep(Duration::from_secs(1)).await;
        file.write_all_at(&[2; BYTES], 0).await?;
        for _ in 0..2 {
            note(&notes, format!("sync {:?}", file.sync_data().await.map_err(|error| error.raw_os_error())));
        }
        note(&notes, content(&file).await);
        time::sleep(Duration::from_secs(1)).await;
        note(&notes, content(&file).await);
        Ok(())
    };
    let seen = noted(
        1,
        DiskSpec::default(),
        move |notes| Box::pin(program(notes)),
        async move |world, host| {
            world.fail_next_sync(host);
            world.sleep(Duration::from_secs(1)).await;
            world.drop_caches(host);
            world.sleep(Duration::from_secs(1)).await;
        },
    );
    assert_eq!(seen, [format!("sync Err(Some({EIO}))"), "sync Ok(())".to_owned(), "{2}".to_owned(), "{1}".to_owned()]);
}

/// Testbeds §1.1 "EIO on read/write": a page that the drive refuses is told by the next sync.
#[test]
fn a_write_that_the_drive_refuses_is_told_by_the_sync() {
    let seen = overwrite_with(1, DiskFaults { write_error: 1.0, ..DiskFaults::default() });
    assert_eq!(seen, [format!("sync Err(Some({EIO}))"), "cached {2}".into(), "cold {1}".into(), "other {9}".into()]);
}

/// Testbeds §1.1 "lying fsync / volatile disk write cache": fsync says that it is done, and a power loss proves it wrong.
#[test]
fn what_a_lying_drive_has_synced_is_lost_with_the_power() {
    let program = async |notes: Notes| {
        if disk::exists("/f").await? {
            note(&notes, content(&open("/f").await?).await);
            return Ok(());
        }
        let file = durable("/f", 1).await?;
        time::sleep(Duration::from_secs(1)).await;
        file.write_all_at(&[2; BYTES], 0).await?;
        file.sync_all().await?;
        note(&notes, "synced");
        Ok(())
    };
    let seen = |seed, lying_sync, crash| {
        noted(
            seed,
            DiskSpec::default(),
            move |notes| Box::pin(program(notes)),
            async move |world, host| {
                world.set_disk_faults(host, DiskFaults { lying_sync, ..DiskFaults::default() });
                while world.disk_stats(host).syncs < 2 {
                    world.sleep(Duration::from_micros(100)).await;
                }
                world.crash(host, crash);
                world.boot(host);
                world.sleep(SOON).await;
            },
        )
    };
    assert!((1..10).any(|seed| seen(seed, true, Crash::Power) != ["synced", "{2}"]));
    assert!((1..10).all(|seed| seen(seed, false, Crash::Power) == ["synced", "{2}"]), "an honest drive");
    assert!((1..10).all(|seed| seen(seed, true, Crash::Os) == ["synced", "{2}"]), "its cache outlives the kernel");
}

/// Testbeds §1.1 "short read / write": a call moves less than it was asked to, without an error; who does not ask for the rest
/// gets a part.
#[test]
fn a_short_read_ends_early_and_who_goes_on_gets_everything() {
    let program = async |notes: Notes| {
        let file = durable("/f", 1).await?;
        time::sleep(Duration::from_secs(1)).await;
        let read = file.read_at(&mut vec![0; BYTES], 0).await?;
        note(&notes, format!("{}", read < BYTES));
        note(&notes, content(&file).await);
        Ok(())
    };
    for (short_read, expected) in [(0.0, "false"), (1.0, "true")] {
        let seen = noted(
            1,
            DiskSpec::default(),
            move |notes| Box::pin(program(notes)),
            async move |world, host| {
                world.set_disk_faults(host, DiskFaults { short_read, ..DiskFaults::default() });
                world.drop_caches(host);
                world.sleep(Duration::from_secs(1)).await;
            },
        );
        assert_eq!(seen, [expected, SOUND]);
    }
}

/// Testbeds §1.1 "latent sector error / bit rot": a sector that cannot be read is EIO again and again, and flipped bits are believed,
/// both only once the page cache is cold; the pristine bytes come back when the medium is mended.
#[test]
fn damage_of_the_medium_shows_when_the_page_cache_is_cold_and_stays() {
    let seen = |kind| {
        let mut notes = noted(1, DiskSpec::default(), read_on, async move |world, host| {
            let damage = MediaDamage { kind, path_prefix: Some("/f".into()), sectors: 1 };
            assert_eq!(world.damage_media(host, damage).sectors, 1);
            world.sleep(SOON).await;
            for _ in 0..2 {
                world.drop_caches(host);
                world.sleep(SOON).await;
            }
            assert_eq!(world.repair_media(host), 1);
            world.drop_caches(host);
            world.sleep(SOON).await;
        });
        notes.dedup();
        notes
    };
    assert_eq!(
        seen(MediaDamageKind::LatentError),
        [SOUND.to_owned(), format!("Uncategorized Some({EIO})"), SOUND.to_owned()]
    );
    let rotten = seen(MediaDamageKind::BitRot);
    assert!(rotten.len() == 3 && rotten[1] != SOUND && rotten[1].starts_with('{'), "{rotten:?}");
}

/// Testbeds §1.1 "slow / stalling disk".
#[test]
fn syncs_wait_for_a_slow_disk_and_for_one_that_stands_still() {
    let program = async |notes: Notes| {
        let file = durable("/f", 1).await?;
        loop {
            let since = time::Instant::now();
            file.write_all_at(&[2; PAGE], 0).await?;
            file.sync_data().await?;
            note(&notes, since.elapsed().as_millis().to_string());
            time::sleep(Duration::from_millis(100)).await;
        }
    };
    let seen = noted(
        1,
        DiskSpec::default(),
        move |notes| Box::pin(program(notes)),
        async move |world, host| {
            world.slow_disk(host, DiskSlowdown { added_latency_ns: 300_000_000, bytes_per_s_max: 1_000_000 });
            world.sleep(Duration::from_secs(1)).await;
            world.restore_disk(host);
            world.sleep(Duration::from_secs(1)).await;
            world.set_disk_faults(host, DiskFaults { stalled: true, ..DiskFaults::default() });
            world.sleep(Duration::from_secs(5)).await;
            world.clear_disk_faults(host);
            world.sleep(Duration::from_secs(1)).await;
        },
    );
    let ms = seen.iter().map(|line| line.parse::<u64>().expect("a number")).collect::<Vec<_>>();
    assert!(ms[0] < 10 && ms.iter().any(|ms| (300..400).contains(ms)), "{ms:?}");
    assert!(ms.iter().any(|ms| (4_500..5_500).contains(ms)) && ms.last() < Some(&10), "{ms:?}");
}

/// Testbeds §1.1 "ENOSPC".
#[test]
fn a_full_disk_refuses_what_needs_room_and_keeps_what_it_has() {
    let program = async |notes: Notes| {
        let file = durable("/f", 1).await?;
        for number in 1_u64.. {
            time::sleep(Duration::from_millis(100)).await;
            let appended = file.write_all_at(&[1; PAGE], BYTES as u64 * number).await;
            note(&notes, format!("{:?}, {}", appended.map_err(|error| error.kind()), content(&file).await));
        }
        Ok(())
    };
    let mut seen = noted(
        1,
        DiskSpec::default(),
        move |notes| Box::pin(program(notes)),
        async move |world, host| {
            world.fill_disk(host, Some(0));
            world.sleep(SOON).await;
            world.fill_disk(host, None);
            world.sleep(SOON).await;
        },
    );
    seen.dedup();
    assert_eq!(seen, ["Ok(()), {1}", "Err(StorageFull), {1}", "Ok(()), {1}"]);
}

/// A file is made, synced or not, and its directory too or not; whether a program finds it after a power loss, over many seeds.
fn found_after_power_loss(disk: DiskSpec, syncs_dir: bool) -> BTreeSet<String> {
    let program = move |notes: Notes| async move {
        if disk::exists("/made").await? {
            note(&notes, disk::exists("/f").await?.to_string());
            return Ok(());
        }
        durable("/made", 1).await?;
        let file = open("/f").await?;
        file.write_all_at(&[1; BYTES], 0).await?;
        file.sync_all().await?;
        if syncs_dir {
            disk::sync_dir("/").await?;
        }
        Ok(())
    };
    let run = |seed| {
        noted(seed, disk.clone(), program, async |world, host| {
            world.crash(host, Crash::Power);
            world.boot(host);
            world.sleep(SOON).await;
        })
    };
    (0..20).flat_map(run).collect()
}

/// Testbeds §1.1 "directory-entry loss": what a file system may take back of a file that was synced, and its directory was not.
#[test]
fn the_name_of_a_synced_file_is_lost_with_its_directory_unless_a_journal_keeps_it() {
    let both = BTreeSet::from(["false".to_owned(), "true".to_owned()]);
    let kept = BTreeSet::from(["true".to_owned()]);
    assert_eq!(found_after_power_loss(DiskSpec::default(), false), both);
    assert_eq!(found_after_power_loss(DiskSpec::default(), true), kept);
    assert_eq!(found_after_power_loss(DiskSpec::ext4(), false), kept);
    assert_eq!(found_after_power_loss(DiskSpec::xfs(), false), kept);
}

/// Replaces a file of 1s by one of 2s without a sync, and cuts another one; what is found after an OS crash, over many seeds.
fn replaced_and_cut(disk: DiskSpec) -> BTreeSet<(String, String)> {
    let program = |notes: Notes| async move {
        if disk::exists("/f").await? {
            let (file, cut) = (disk::read("/f").await?, disk::metadata("/cut").await?.len);
            let bytes = file.iter().collect::<BTreeSet<_>>();
            note(&notes, format!("{bytes:?}"));
            note(&notes, if cut == 0 { "cut" } else { "whole" });
            return Ok(());
        }
        let (cut, _) = (durable("/cut", 1).await?, durable("/f", 1).await?);
        let new = open("/new").await?;
        new.write_all_at(&[2; BYTES], 0).await?;
        disk::rename("/new", "/f").await?;
        cut.set_len(0).await?;
        Ok(())
    };
    let run = |seed| {
        let seen = noted(seed, disk.clone(), program, async |world, host| {
            world.crash(host, Crash::Os);
            world.boot(host);
            world.sleep(SOON).await;
        });
        (seen[0].clone(), seen[1].clone())
    };
    (0..60).map(run).collect()
}

/// Testbeds §1.1 "rename / truncate durability ordering": on the strictest file system the new name may be there without its content,
/// and the cut, made later, without the rename; ext4 keeps the order of the two.
#[test]
fn a_rename_and_a_cut_survive_in_any_order_unless_a_journal_keeps_it() {
    let strict = replaced_and_cut(DiskSpec::default());
    let name_without_content = |(file, _): &(String, String)| !["{1}", "{2}"].contains(&file.as_str());
    assert!(strict.iter().any(name_without_content), "{strict:?}");
    assert!(strict.contains(&("{1}".to_owned(), "cut".to_owned())), "{strict:?}");
    let ext4 = replaced_and_cut(DiskSpec::ext4());
    assert!(!ext4.contains(&("{1}".to_owned(), "cut".to_owned())), "{ext4:?}");
}

/// Testbeds §1.1 "disk moved to another host": the machine that gets the disk reads what the other had written.
#[test]
fn a_disk_in_another_machine_has_what_was_written_to_it() {
    let finished = simulate(SimulationSpec::default(), |world| async move {
        let notes = Notes::default();
        let add = |name: &'static str| {
            let notes = Arc::clone(&notes);
            world.add_host(HostSpec::new(name, move || {
                let notes = Arc::clone(&notes);
                async move {
                    let found = disk::exists("/f").await.expect("the disk gives no errors here");
                    note(&notes, format!("{name} {found}"));
                    durable("/f", 1).await.expect("the disk gives no errors here");
                }
            }))
        };
        let (one, spare) = (add("one"), add("spare"));
        world.boot(one);
        world.sleep(SOON).await;
        world.crash(one, Crash::Power);
        assert!(world.move_disk(one, spare));
        world.boot(spare);
        world.sleep(SOON).await;
        std::mem::take(&mut *notes.lock().expect("one thread"))
    });
    assert_eq!(finished.expect("nothing panics").value, ["one false", "spare true"]);
}

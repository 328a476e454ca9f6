//! Damage to media: who sees it, when, and what cures it.

use super::*;

const PAGES: usize = 8;
const BYTES: u64 = (PAGES * 4096) as u64;

fn damage(kind: MediaDamageKind, sectors: u32) -> MediaDamage {
    MediaDamage { kind, path_prefix: None, sectors }
}

fn damaged(seed: u64, kind: MediaDamageKind, sectors: u32) -> (Stand, HandleId) {
    let mut stand = Stand::without_timers(seed);
    let file = stand.durable_file(PAGES * 4096);
    let report = stand.disk.damage_media(stand.core.now_ns(), &damage(kind, sectors));
    assert_eq!(report.sectors, sectors);
    (stand, file)
}

/// The pages of the file that cannot be read, when each is read by itself.
fn unreadable(stand: &mut Stand, file: HandleId) -> Vec<u64> {
    stand.go_cold();
    (0..PAGES as u64).filter(|page| stand.read(file, page * 4096, 4096).is_err()).collect()
}

#[test]
fn a_latent_error_waits_for_a_cold_read_and_a_write_cures_it() {
    let (mut stand, file) = damaged(1, MediaDamageKind::LatentError, 1);
    assert_eq!(stand.read(file, 0, BYTES), Ok(vec![1; PAGES * 4096]), "the page cache hides it");
    let bad = unreadable(&mut stand, file);
    assert_eq!(bad.len(), 1);
    assert_eq!(unreadable(&mut stand, file), bad, "it stays");
    stand.crash(Crash::Power);
    let file = stand.open("/f");
    assert_eq!(unreadable(&mut stand, file), bad);
    stand.write(file, bad[0] * 4096, &[2; 4096]);
    stand.sync(file);
    assert_eq!(unreadable(&mut stand, file), []);
    assert_eq!(stand.disk.repair_media(), 0);
}

#[test]
fn a_power_loss_that_takes_the_cure_brings_the_damage_back() {
    let mut back = 0;
    for seed in 0..50 {
        let (mut stand, file) = damaged(seed, MediaDamageKind::LatentError, 1);
        let bad = unreadable(&mut stand, file)[0];
        stand.set_faults(DiskFaults { lying_sync: true, ..DiskFaults::default() });
        stand.write(file, bad * 4096, &[2; 4096]);
        stand.sync(file);
        assert_eq!(unreadable(&mut stand, file), [], "the device cache answers");
        stand.crash(Crash::Power);
        let file = stand.open("/f");
        back += unreadable(&mut stand, file).len();
    }
    assert!((10..50).contains(&back), "{back}");
}

#[test]
fn rotten_bits_stay_flipped_until_they_are_written_or_repaired() {
    for seed in 0..20 {
        let (mut stand, file) = damaged(seed, MediaDamageKind::BitRot, 3);
        assert_eq!(stand.read(file, 0, BYTES), Ok(vec![1; PAGES * 4096]), "the page cache hides it");
        stand.go_cold();
        let rotten = stand.read(file, 0, BYTES).expect("it can be read");
        let flipped: u32 = rotten.iter().map(|byte| (byte ^ 1).count_ones()).sum();
        assert!((3..=12).contains(&flipped), "{flipped}");
        let sectors = rotten.chunks(512).filter(|sector| **sector != [1; 512]).count();
        assert_eq!(sectors, 3);
        stand.crash(Crash::Os);
        let file = stand.open("/f");
        assert_eq!(stand.read(file, 0, BYTES), Ok(rotten));
        if seed % 2 == 0 {
            assert_eq!(stand.disk.repair_media(), 3);
        } else {
            stand.write(file, 0, &[1; PAGES * 4096]);
            stand.sync(file);
        }
        stand.go_cold();
        assert_eq!(stand.read(file, 0, BYTES), Ok(vec![1; PAGES * 4096]));
    }
}

#[test]
fn damage_falls_on_distinct_sectors_of_the_files_that_were_meant() {
    let mut stand = Stand::without_timers(2);
    let file = stand.durable_file(PAGES * 4096);
    stand.mkdir("/dir");
    let other = stand.open("/dir/other");
    stand.write(other, 0, &[7; 5000]);
    stand.sync(other);
    let of_dir = MediaDamage { path_prefix: Some("/dir".into()), ..damage(MediaDamageKind::LatentError, 100) };
    assert_eq!(stand.disk.damage_media(0, &of_dir).sectors, 10, "5,000 bytes are ten sectors");
    assert_eq!(stand.disk.damage_media(0, &of_dir).sectors, 0, "there are no more");
    stand.go_cold();
    assert!(stand.read(other, 0, 1).is_err() && stand.read(other, 4096, 1).is_err());
    assert_eq!(stand.read(file, 0, BYTES), Ok(vec![1; PAGES * 4096]));
    assert_eq!((stand.disk.stats().damaged_sectors_injected, stand.disk.stats().damaged_reads_injected), (10, 2));
    // What is cut off has no damage, and what is lost takes it along.
    stand.write(other, 4096, &[7; 4096]);
    stand.set_len(other, 0);
    assert_eq!(stand.disk.repair_media(), 0);
}

#[test]
fn a_mirror_mends_what_cannot_be_read_and_does_not_notice_what_is_wrong() {
    let raid = |seed| {
        let mut stand = Stand::with_spec(seed, DiskSpec::raid10());
        let file = stand.durable_file(4096);
        (stand, file)
    };
    let (mut stand, file) = raid(3);
    stand.disk.damage_media(stand.core.now_ns(), &damage(MediaDamageKind::LatentError, 4));
    stand.go_cold();
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![1; 4096]));
    assert_eq!((stand.disk.stats().mended_by_mirror, stand.disk.repair_media()), (1, 0));

    // With its mirror lost the drive is on its own.
    let (mut stand, file) = raid(4);
    stand.disk.lose_member(stand.core.now_ns(), 1);
    stand.disk.damage_media(stand.core.now_ns(), &damage(MediaDamageKind::LatentError, 4));
    stand.go_cold();
    assert!(stand.read(file, 0, 4096).is_err());

    let mut wrong = 0;
    for seed in 0..40 {
        let (mut stand, file) = raid(seed);
        stand.disk.damage_media(stand.core.now_ns(), &damage(MediaDamageKind::BitRot, 1));
        stand.go_cold();
        wrong += u32::from(stand.read(file, 0, 4096) != Ok(vec![1; 4096]));
    }
    assert!((8..=32).contains(&wrong), "it depends on which of the two is asked: {wrong}");
}

#[test]
fn a_lost_disk_takes_its_damage_with_it() {
    let (mut stand, _) = damaged(5, MediaDamageKind::LatentError, 64);
    stand.set_faults(DiskFaults { read_error: 1.0, stalled: true, ..DiskFaults::default() });
    stand.crash(Crash::Disk);
    assert_eq!(stand.disk.faults(), DiskFaults::default());
    let file = stand.durable_file(4096);
    stand.go_cold();
    assert_eq!(stand.read(file, 0, 4096), Ok(vec![1; 4096]));
}

//! What drives and their media do: slow, full, lying, wrong.
//!
//! A page that is in the page cache hides what the medium has, and a broker reads little that is not in it. What shows only
//! when it is read therefore comes with a kernel panic, after which everything is read anew.

use super::{Draws, Strike, Target, machine::REBOOT_MS, once};
use crate::{Action, CrashKind, Damage, DiskFaultRates, FaultError, FaultKind, check::RAID_DRIVES_MIN};

/// How long a disk is slow, full or short, and a drive of a RAID10 away.
const SLOW_MS: (u64, u64) = (4_000, 14_000);
/// How long a drive answers nothing: up to half of the kernel's time-out for a command (`/sys/block/*/device/timeout`: 30 s),
/// after which it would reset the drive and try again.
const STALL_MS: (u64, u64) = (500, 15_000);
/// How long a drive writes wrongly before the crash that shows it.
const WRONG_MS: (u64, u64) = (1_000, 8_000);
/// How old the snapshot is that a machine is set back to.
const AGE_MS: (u64, u64) = (500, 8_000);
/// How long before the crash a drive begins to read wrongly, or its medium went bad.
const SOON_MS: (u64, u64) = (50, 1_500);
/// How long after the boot it still does.
const AFTER_BOOT_MS: (u64, u64) = (500, 5_000);

/// Slow hardware comes in all grades, so its figures are drawn as a power of two times these. Gunawi et al., "Fail-Slow at
/// Scale" (FAST 2018), report disks down to 100 kB/s.
const SLOW_DISK_LATENCY_MS: u64 = 5;
const SLOW_DISK_BYTES_PER_S: u64 = 50_000;
/// What is left on a full disk, as a power of two times this.
const FREE_BYTES: u64 = 4_096;
/// How many sectors go bad, as a power of two: Bairavasundaram et al., "An Analysis of Latent Sector Errors in Disk Drives"
/// (SIGMETRICS 2007), found most drives with errors to have few, and some to have more than a thousand.
const SECTOR_GRADES: u64 = 11;

/// What a kind of this family does.
pub fn strike(target: &Target, kind: FaultKind, draws: &Draws) -> Result<Option<Strike>, FaultError> {
    let host = || target.primary();
    let slow_ms = || Some(draws.lasts_ms("slow", SLOW_MS));
    let slow_disk = |host| Action::SlowDisk {
        host,
        latency_ms: draws.grade("disk-latency", SLOW_DISK_LATENCY_MS, 6),
        bytes_per_s: draws.grade("disk-rate", SLOW_DISK_BYTES_PER_S, 8),
        restore_after_ms: slow_ms(),
    };
    let faults = |faults, clear_after_ms| Action::DiskFaults { host: host(), faults, clear_after_ms };
    let rate = || draws.rate("disk-fault-rate", (0, 6));
    let none = DiskFaultRates::default();
    once(match kind {
        FaultKind::DiskMemberLoss => {
            // Of a larger array the first drives only.
            let member = draws.below("member", u64::from(RAID_DRIVES_MIN)) as u16;
            Action::LoseMember { host: host(), member, replace_after_ms: slow_ms() }
        }
        FaultKind::SlowDisk => slow_disk(host()),
        FaultKind::SlowSlave => slow_disk(target.secondary(kind)?),
        FaultKind::FsyncError => Action::FailSync { host: host() },
        FaultKind::WriteError => faults(DiskFaultRates { write_error: rate(), ..none }, slow_ms()),
        FaultKind::ShortIo => faults(DiskFaultRates { short_read: rate(), short_write: rate(), ..none }, slow_ms()),
        FaultKind::DiskStall => {
            faults(DiskFaultRates { stalled: true, ..none }, Some(draws.lasts_ms("stall", STALL_MS)))
        }
        FaultKind::DiskFull => {
            // In one case of four there is nothing left at all.
            let is_empty = draws.below("disk-empty", 4) == 0;
            let free_bytes = if is_empty { 0 } else { draws.grade("disk-free", FREE_BYTES, 9) };
            Action::FillDisk { host: host(), free_bytes, relieve_after_ms: slow_ms() }
        }
        FaultKind::DropCaches => Action::DropCaches { host: host() },
        FaultKind::ReadError => return wrong_reads(target, draws, DiskFaultRates { read_error: rate(), ..none }),
        FaultKind::MisdirectedRead => {
            return wrong_reads(target, draws, DiskFaultRates { misdirected_read: rate(), ..none });
        }
        FaultKind::StaleRead => return wrong_reads(target, draws, DiskFaultRates { stale_read: rate(), ..none }),
        FaultKind::LostWrite => return wrong_writes(target, draws, DiskFaultRates { lost_write: rate(), ..none }),
        FaultKind::MisdirectedWrite => {
            return wrong_writes(target, draws, DiskFaultRates { misdirected_write: rate(), ..none });
        }
        FaultKind::LyingFsync => return lying_fsync(target, draws),
        FaultKind::LatentError => return damage(host(), draws, Damage::LatentError),
        FaultKind::BitRot => return damage(host(), draws, Damage::BitRot),
        FaultKind::SlaveBitRot => return damage(target.secondary(kind)?, draws, Damage::BitRot),
        FaultKind::DiskMoved => return disk_moved(target, draws),
        FaultKind::OlderImage => return older_image(target.primary(), draws),
        FaultKind::SlaveOlderImage => return older_image(target.secondary(kind)?, draws),
        _ => return Ok(None),
    })
}

fn crash(host: String, crash: CrashKind, boot_after_ms: u64) -> Action {
    Action::Crash { host, crash, boot_after_ms: Some(boot_after_ms) }
}

/// The drive reads wrongly from shortly before a kernel panic until shortly after the boot.
fn wrong_reads(target: &Target, draws: &Draws, faults: DiskFaultRates) -> Result<Option<Strike>, FaultError> {
    let (soon_ms, boot_ms) = (draws.stage_ms("soon", SOON_MS, 4), draws.stage_ms("reboot", REBOOT_MS, 2));
    let lasts_ms = soon_ms + boot_ms + draws.stage_ms("after-boot", AFTER_BOOT_MS, 4);
    let host = target.primary();
    let wrong = Action::DiskFaults { host: host.clone(), faults, clear_after_ms: Some(lasts_ms) };
    Ok(Some(vec![(0, wrong), (soon_ms, crash(host, CrashKind::OsCrash, boot_ms))]))
}

/// The drive writes wrongly for a while, at the end of which the kernel panics. The drive's cache outlives that.
fn wrong_writes(target: &Target, draws: &Draws, faults: DiskFaultRates) -> Result<Option<Strike>, FaultError> {
    let (wrong_ms, boot_ms) = (draws.stage_ms("wrong", WRONG_MS, 2), draws.stage_ms("reboot", REBOOT_MS, 2));
    let host = target.primary();
    let wrong = Action::DiskFaults { host: host.clone(), faults, clear_after_ms: Some(wrong_ms) };
    Ok(Some(vec![(0, wrong), (wrong_ms, crash(host, CrashKind::OsCrash, boot_ms))]))
}

/// The drive lies until the machine is up again; before that its power is cut.
fn lying_fsync(target: &Target, draws: &Draws) -> Result<Option<Strike>, FaultError> {
    let (wrong_ms, boot_ms) = (draws.stage_ms("wrong", WRONG_MS, 2), draws.stage_ms("reboot", REBOOT_MS, 2));
    let host = target.primary();
    let faults = DiskFaultRates { lying_sync: true, ..DiskFaultRates::default() };
    let lies = Action::DiskFaults { host: host.clone(), faults, clear_after_ms: Some(wrong_ms + boot_ms) };
    Ok(Some(vec![(0, lies), (wrong_ms, crash(host, CrashKind::PowerLoss, boot_ms))]))
}

/// The medium goes bad; soon the kernel panics. Flipped bits stay; what cannot be read can be again when the operator has had
/// the drive copied, some seconds after the boot.
fn damage(host: String, draws: &Draws, damage: Damage) -> Result<Option<Strike>, FaultError> {
    let (soon_ms, boot_ms) = (draws.stage_ms("soon", SOON_MS, 4), draws.stage_ms("reboot", REBOOT_MS, 2));
    let sectors = draws.grade("sectors", 1, SECTOR_GRADES) as u32;
    let repair_ms = soon_ms + boot_ms + draws.stage_ms("after-boot", AFTER_BOOT_MS, 4);
    let repair_after_ms = (damage == Damage::LatentError).then_some(repair_ms);
    let damaged = Action::DamageMedia { host: host.clone(), damage, sectors, path_prefix: None, repair_after_ms };
    Ok(Some(vec![(0, damaged), (soon_ms, crash(host, CrashKind::OsCrash, boot_ms))]))
}

/// The machine is set back to how its disk was some time ago.
fn older_image(host: String, draws: &Draws) -> Result<Option<Strike>, FaultError> {
    let (age_ms, boot_ms) = (draws.stage_ms("age", AGE_MS, 2), draws.stage_ms("reboot", REBOOT_MS, 2));
    let snapshot = Action::SnapshotDisk { host: host.clone() };
    Ok(Some(vec![(0, snapshot), (age_ms, Action::SetBackDisk { host, boot_after_ms: Some(boot_ms) })]))
}

/// The machine loses power for good, and a spare boots with its disk.
fn disk_moved(target: &Target, draws: &Draws) -> Result<Option<Strike>, FaultError> {
    let (soon_ms, boot_ms) = (draws.stage_ms("soon", SOON_MS, 4), draws.stage_ms("reboot", REBOOT_MS, 2));
    let host = target.primary();
    let stops = Action::Crash { host: host.clone(), crash: CrashKind::PowerLoss, boot_after_ms: None };
    let to = crate::Cast::spare_of(&host);
    let moved = Action::MoveDisk { host, to, boot_after_ms: Some(boot_ms) };
    Ok(Some(vec![(0, stops), (soon_ms, moved)]))
}

//! What each mode promises under each class of faults.
//!
//! Claims C1–C43 are those of RocketMQ's own documents, numbered as in ARCHITECTURE.md; the failure classes are those of its
//! `Feature.md`: broker crash, OS crash and power loss with a quick return on the one hand, a machine that cannot boot and a
//! broken disk on the other. Where a document claims more than the configuration can give, the entry says what the
//! configuration gives, and the source says why. Only SEND_OK is a promise: FLUSH_DISK_TIMEOUT, FLUSH_SLAVE_TIMEOUT and
//! SLAVE_NOT_AVAILABLE promise nothing. The promises are the same for every profile; Apache's brokers break some of them.
//!
//! Single faults are a table ([`single`]). Sequences strike one replica group, and their promise follows from what each of
//! its copies loses ([`sequence`]); it is never stronger than that of any of its parts.

use crate::spec::{Flush, Mode, Placement, Scenario};
use faults::{Action, Budget, CrashKind, Damage, DiskFaultRates, FaultKind, Plan};
use reports::LossPromise;
use std::fmt;
use store::StoreConfig;

/// The time that the drive may take for one flush together with those queued before it, in milliseconds. The default
/// drive answers a flush in 5 ms at most; a dozen files may stand in line.
const SYNC_MS_MAX: u64 = 100;

/// How far a slave may be behind its ASYNC_MASTER while nothing is broken, in milliseconds. The master ships as soon as it
/// has written, in frames that take well under a millisecond on the wire; a packet may meet a queue of a few milliseconds
/// (the link's long tail), and the slave may be at work on another file.
const REPLICATION_LAG_MS_MAX: u64 = 250;

/// How long the first faults of a sequence may keep a flush from happening, in milliseconds: a dead or standing process, a
/// disk too slow for the load (the longest that `faults` draws is 15 s).
const STALL_MS_MAX: u64 = 15_000;

/// A promise: how many acknowledged messages may be lost, and from where that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    pub loss: LossPromise,
    pub source: &'static str,
}

/// The bounds that follow from the configuration, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How old the oldest message can be that an asynchronous flush has not put on the disk, under load.
    pub flush_window_ms: u64,
    /// The same when other faults have stopped the load or the flush before.
    pub disturbed_window_ms: u64,
    /// How old the oldest message can be that an ASYNC_MASTER's slave does not have, while nothing else is broken.
    pub replication_lag_ms: u64,
    /// Whether recovery reads the whole log, and so finds all damage: no checkpoint has said yet that a part needs no look.
    pub recovery_reads_all: bool,
}

/// The promise for a scenario: that of its fault, or, under a plan of the user's own, of the classes that cover what the plan
/// does.
pub fn of_scenario(scenario: &Scenario) -> Promise {
    let kinds = match &scenario.plan {
        Some(plan) => classes(&plan.with_hosts_for_zones(&scenario.site()), scenario),
        None => scenario.fault.kinds().to_vec(),
    };
    let has_spare_copy = scenario.mode == Mode::TwoMastersTwoSlavesSync;
    let is_damage_found = bounds(scenario).recovery_reads_all || !kinds.iter().any(is_damage);
    if scenario.budget == Budget::OneCopyLeft && (has_spare_copy && is_damage_found || !scenario.mode.has_slaves()) {
        return none(if has_spare_copy {
            "the budget leaves one whole copy of everything that was acknowledged, which master and slave both had (C3, C13)"
        } else {
            "the budget leaves the only copy whole (C2)"
        });
    }
    // In one rack a master's room has its slaves too.
    let is_in_one_room = scenario.topology.placement == Placement::Rack;
    let kinds = kinds.into_iter().map(|kind| match kind {
        FaultKind::PowerLossRoom if is_in_one_room => FaultKind::PowerLossRack,
        kind => kind,
    });
    let kinds = kinds.collect::<Vec<_>>();
    promise(scenario.mode, scenario.flush, &kinds, &bounds(scenario))
}

/// The bounds of a scenario.
pub fn bounds(scenario: &Scenario) -> Bounds {
    let broker = &scenario.broker;
    let thorough_ms = broker.flush_thorough_interval_ms + broker.flush_interval_ms + 2 * SYNC_MS_MAX;
    Bounds {
        flush_window_ms: flush_window_ms(scenario),
        disturbed_window_ms: thorough_ms + STALL_MS_MAX,
        replication_lag_ms: REPLICATION_LAG_MS_MAX,
        recovery_reads_all: recovery_reads_all(scenario),
    }
}

/// Whether no broker writes a checkpoint before the last crash: it does so every `flushConsumeQueueThoroughInterval`, and when it
/// stops in good order.
fn recovery_reads_all(scenario: &Scenario) -> bool {
    let interval_ms = StoreConfig::new("").flush_consume_queue_thorough_interval_ms;
    let is_default = scenario.fault_points.is_off() && scenario.knobs.is_off() && scenario.operations.is_empty();
    is_default && scenario.schedule.heal_ms < interval_ms
}

/// The classes of faults in a plan, in its order; as if all struck one group, which promises the least.
fn classes(plan: &Plan, scenario: &Scenario) -> Vec<FaultKind> {
    let brokers = scenario.topology.brokers();
    let is_slave = |host: &str| brokers.iter().any(|broker| broker.host == host && !broker.is_master());
    let is_server = |host: &str| brokers.iter().any(|broker| broker.host == host);
    let of_action = |action: &Action| match action {
        // What happens to name servers and clients destroys nothing.
        Action::Crash { host, .. } if !is_server(host) => FaultKind::NamesrvCrash,
        Action::Crash { host, crash, boot_after_ms } => match (crash, is_slave(host), boot_after_ms) {
            (CrashKind::ProcessKill, false, _) => FaultKind::BrokerCrash,
            (CrashKind::OsCrash, false, _) => FaultKind::OsCrash,
            (CrashKind::PowerLoss, false, _) => FaultKind::PowerLoss,
            (CrashKind::DiskLoss, false, Some(_)) => FaultKind::DiskLoss,
            (CrashKind::DiskLoss, false, None) => FaultKind::MachineLoss,
            (CrashKind::ProcessKill, true, _) => FaultKind::SlaveCrash,
            (CrashKind::OsCrash, true, _) => FaultKind::SlaveOsCrash,
            (CrashKind::PowerLoss, true, _) => FaultKind::SlavePowerLoss,
            (CrashKind::DiskLoss, true, _) => FaultKind::SlaveDiskLoss,
        },
        Action::CrashTogether { crash: CrashKind::ProcessKill, .. } => FaultKind::BrokerCrash,
        Action::CrashTogether { crash: CrashKind::OsCrash | CrashKind::PowerLoss, .. } => FaultKind::PowerLossAll,
        // Nothing is left: as if master and slave had lost their disks one after the other.
        Action::CrashTogether { crash: CrashKind::DiskLoss, .. } => FaultKind::DiskLoss,
        Action::Isolate { host, .. } if is_slave(host) => FaultKind::PartitionSlave,
        Action::Isolate { .. } => FaultKind::Partition,
        Action::Cut { host, peers, .. } if is_slave(host) || peers.iter().any(|peer| is_slave(peer)) => {
            FaultKind::PartitionPair
        }
        Action::Cut { .. } => FaultKind::PartitionNamesrv,
        Action::SlowDisk { host, .. } if is_slave(host) => FaultKind::SlowSlave,
        Action::SlowDisk { .. } => FaultKind::SlowDisk,
        Action::SlowLink { .. } => FaultKind::SlowLink,
        Action::StepClock { .. } => FaultKind::ClockStep,
        Action::Pause { .. } => FaultKind::Pause,
        // Two drives of one pair are the disk.
        Action::LoseMember { host, .. } if is_slave(host) => FaultKind::SlaveDiskLoss,
        Action::LoseMember { .. } => FaultKind::DiskMemberLoss,
        Action::FailSync { .. } => FaultKind::FsyncError,
        // On clients and name servers there is nothing to lose.
        Action::DiskFaults { host, .. } | Action::DamageMedia { host, .. } if !is_server(host) => FaultKind::SlowDisk,
        Action::DiskFaults { faults, .. } => drive(faults),
        Action::DamageMedia { host, .. } if is_slave(host) => FaultKind::SlaveBitRot,
        Action::DamageMedia { damage: Damage::LatentError, .. } => FaultKind::LatentError,
        Action::DamageMedia { damage: Damage::BitRot, .. } => FaultKind::BitRot,
        Action::FillDisk { .. } => FaultKind::DiskFull,
        Action::DropCaches { .. } => FaultKind::DropCaches,
        Action::MoveDisk { .. } => FaultKind::DiskMoved,
        Action::Jam { .. } => FaultKind::Jam,
        Action::Swizzle { .. } => FaultKind::Swizzle,
        Action::Bridge { .. } => FaultKind::Bridge,
        Action::Ring { .. } => FaultKind::Ring,
        Action::ResetStorm { .. } => FaultKind::ResetStorm,
        Action::BadLink { .. } => FaultKind::LossyLink,
        Action::BadNames { .. } => FaultKind::SlowNames,
        Action::StarveCpu { .. } => FaultKind::CpuStarvation,
        Action::CrashLoop { crash: CrashKind::ProcessKill, .. } => FaultKind::RestartLoop,
        Action::CrashLoop { host, crash: CrashKind::DiskLoss, .. } if is_slave(host) => FaultKind::SlaveDiskLoss,
        Action::CrashLoop { host, .. } if is_slave(host) => FaultKind::SlavePowerLoss,
        Action::CrashLoop { crash: CrashKind::DiskLoss, .. } => FaultKind::DiskLoss,
        Action::CrashLoop { .. } => FaultKind::PowerLoss,
        Action::OutOfMemory { .. } => FaultKind::OutOfMemory,
        Action::LimitMemory { .. } => FaultKind::MemoryLimit,
        Action::Suspend { .. } => FaultKind::Suspend,
        Action::FreezeClock { .. } => FaultKind::ClockFreeze,
        Action::DriftClock { .. } => FaultKind::ClockDrift,
        Action::StrobeClock { .. } => FaultKind::ClockStrobe,
        Action::CrashZone { .. } => unreachable!("zones have been replaced by their hosts"),
    };
    let mut kinds = plan.events.iter().map(|event| of_action(&event.action)).collect::<Vec<_>>();
    let disks = plan.events.iter().any(
        |event| matches!(&event.action, Action::CrashTogether { crash: CrashKind::DiskLoss, hosts } if hosts.len() > 1),
    );
    if disks {
        kinds.push(FaultKind::SlaveDiskLoss);
    }
    let members = kinds.iter().filter(|kind| **kind == FaultKind::DiskMemberLoss).count();
    if members > 1 {
        kinds.push(FaultKind::DiskLoss);
    }
    kinds
}

/// The class of faults of a drive that goes wrong in several ways: the worst of them.
fn drive(faults: &DiskFaultRates) -> FaultKind {
    if faults.lost_write > 0.0 {
        FaultKind::LostWrite
    } else if faults.misdirected_write > 0.0 {
        FaultKind::MisdirectedWrite
    } else if faults.lying_sync {
        FaultKind::LyingFsync
    } else if faults.misdirected_read > 0.0 {
        FaultKind::MisdirectedRead
    } else if faults.stale_read > 0.0 {
        FaultKind::StaleRead
    } else if faults.fails_syncs() {
        FaultKind::WriteError
    } else if faults.read_error > 0.0 {
        FaultKind::ReadError
    } else if faults.stalled {
        FaultKind::DiskStall
    } else {
        FaultKind::ShortIo
    }
}

/// The promise of a mode with this flush under these kinds of faults, one after the other.
pub fn promise(mode: Mode, flush: Flush, kinds: &[FaultKind], bounds: &Bounds) -> Promise {
    match kinds {
        [] => single(mode, flush, FaultKind::None, bounds),
        [kind] => single(mode, flush, *kind, bounds),
        _ => sequence(mode, flush, kinds, bounds),
    }
}

fn none(source: &'static str) -> Promise {
    Promise { loss: LossPromise::None, source }
}

fn window(bound_ms: u64, source: &'static str) -> Promise {
    Promise { loss: LossPromise::Window { bound_ms }, source }
}

fn host(source: &'static str) -> Promise {
    Promise { loss: LossPromise::Host, source }
}

/// The table of single faults.
fn single(mode: Mode, flush: Flush, kind: FaultKind, bounds: &Bounds) -> Promise {
    use FaultKind::*;
    use Mode::{SingleMaster, TwoMastersNoSlave, TwoMastersTwoSlavesAsync, TwoMastersTwoSlavesSync};
    let flush_window_ms = bounds.flush_window_ms;
    match (kind, mode, flush) {
        (None, _, _) => none("nothing breaks (C4, C9)"),
        (BrokerCrash, _, _) => {
            none("broker crash: what was acknowledged is at least in the page cache, which outlives the process (C2)")
        }
        (LatentError | BitRot | LostWrite | MisdirectedWrite, TwoMastersTwoSlavesSync, _)
            if bounds.recovery_reads_all =>
        {
            none(
                "damaged medium: recovery reads all that no checkpoint vouches for, ends the log at the first damage, and takes the \
             rest back from the slave, which has all that was acknowledged (C3, C13, C15)",
            )
        }
        (LatentError | BitRot | LostWrite | MisdirectedWrite, _, _) => host(
            "damaged medium: recovery ends the log at the first damage that no checkpoint vouches for, and what is older nobody \
             reads until it is asked for: what was damaged is never served, and may be lost (C3 speaks of a disk that is \
             broken as a whole)",
        ),
        (LyingFsync | MisdirectedRead | StaleRead, SingleMaster | TwoMastersNoSlave, _) => host(
            "a drive that lies: what it says that it has is all that there is; no flush is worth more than the drive's word \
             (against C10, C29)",
        ),
        (LyingFsync | MisdirectedRead | StaleRead, TwoMastersTwoSlavesAsync, _) => window(
            bounds.replication_lag_ms.max(if flush == Flush::Async { flush_window_ms } else { 0 }),
            "a drive that lies: the master takes the end of its log back from its slave when it returns, but for what the slave \
             had not been sent yet (C3, C12)",
        ),
        (LyingFsync | MisdirectedRead | StaleRead, TwoMastersTwoSlavesSync, _) => none(
            "a drive that lies: SYNC_MASTER acknowledges after its slave has it too; no single point of failure (C3, C13, C15)",
        ),
        (
            OsCrash | PowerLoss | PowerLossRack | PowerLossRoom | PowerLossAll | RebootOrder | ReadError | DiskMoved,
            _,
            Flush::Sync,
        ) => none("OS crash, power loss: SYNC_FLUSH acknowledges after the disk has it (C2, C10, C29)"),
        (
            OsCrash | PowerLoss | PowerLossRoom | ReadError | DiskMoved,
            SingleMaster | TwoMastersNoSlave,
            Flush::Async,
        ) => window(
            flush_window_ms,
            "OS crash, power loss: ASYNC_FLUSH acknowledges before the disk has it: a small amount is lost (C2), namely what \
             came after the last flush",
        ),
        (OsCrash | PowerLoss | PowerLossRoom | ReadError | DiskMoved, TwoMastersTwoSlavesAsync, Flush::Async) => {
            window(
                flush_window_ms,
                "OS crash, power loss: the master takes the end of its log back from its slave when it returns; if it has to go \
             on without, it has lost what came after the last flush (C2, C12)",
            )
        }
        (OsCrash | PowerLoss | PowerLossRoom | ReadError | DiskMoved, TwoMastersTwoSlavesSync, Flush::Async) => none(
            "OS crash, power loss: SYNC_MASTER acknowledges after its slave has it too, and takes the end of its log back from \
             there when it returns (C3, C13, C15, C29, C42)",
        ),
        (PowerLossRack | PowerLossAll | RebootOrder, _, Flush::Async) => window(
            flush_window_ms,
            "power loss of every copy at one instant: all have it in memory only, but for what was flushed (C2; against C3, \
             C42)",
        ),
        (MachineLoss | DiskLoss, SingleMaster | TwoMastersNoSlave, _) => host(
            "machine that cannot boot, broken disk: there is no other copy of what was on it; a single point of failure (C3)",
        ),
        (MachineLoss | DiskLoss, TwoMastersTwoSlavesAsync, _) => window(
            bounds.replication_lag_ms,
            "machine that cannot boot, broken disk: asynchronous replication loses what the slave had not been sent yet: very \
             few messages, some milliseconds (C3, C12)",
        ),
        (MachineLoss | DiskLoss, TwoMastersTwoSlavesSync, _) => none(
            "machine that cannot boot, broken disk: SYNC_MASTER acknowledges after its slave has it too; no single point of \
             failure (C3, C13, C15, C29)",
        ),
        (DiskMemberLoss, _, _) => none("broken disk: its mirror in the RAID10 has everything (C11)"),
        (FsyncError | WriteError, _, Flush::Sync) => none("a sync that fails is not acknowledged (C10)"),
        (FsyncError | WriteError, _, Flush::Async) => window(
            flush_window_ms,
            "a failed sync drops what ASYNC_FLUSH had acknowledged since the last one; the broker then takes no more sends \
             (C2)",
        ),
        (RestartLoop | OutOfMemory | MemoryLimit, _, _) => none(
            "processes killed: what was acknowledged is at least in the page cache, which outlives each of them (C2)",
        ),
        (DiskFull, _, _) => host(
            "a full disk: what finds no room is not acknowledged, but from 85 % on the broker deletes its oldest files, whether \
             or not they were consumed (cleanFileForciblyEnable; against C9)",
        ),
        (ShortIo, _, _) => none("a short write is none until the rest of it is written (C9)"),
        (DropCaches, _, _) => none("clean pages are on the disk (C9)"),
        (SlaveCrash | SlaveOsCrash | SlavePowerLoss | SlaveDiskLoss | SlaveBitRot, _, _) => {
            none("the master has everything, and the slave follows it again (C12, C13)")
        }
        (Partition | PartitionIn | PartitionOut | PartitionSlave | PartitionPair | PartitionNamesrv, _, _) => {
            none("a partition destroys nothing; sends without an answer are unknown, not acknowledged (C4)")
        }
        (Jam | Swizzle | Bridge | Ring | ResetStorm | LossyLink | DuplicatingLink | ReorderingLink, _, _) => {
            none("a network destroys nothing that was acknowledged; sends without an answer are unknown (C4)")
        }
        (NamesrvCrash | SlowNames, _, _) => none("name servers keep routes, no messages (C4)"),
        (SlowDisk | SlowSlave | SlowLink | Pause | Suspend | CpuStarvation | DiskStall, _, _) => {
            none("what is slow destroys nothing (C4, C30)")
        }
        (ClockStep | ClockFreeze | ClockDrift | ClockStrobe, _, _) => {
            none("no message depends on the wall clock to be kept or found (C4)")
        }
    }
}

/// What a copy of the log loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Loses {
    Nothing,
    /// What ASYNC_FLUSH had not flushed.
    Tail,
    All,
}

/// What a fault takes from the master's copy, and from its slave's.
fn takes(kind: FaultKind) -> (Loses, Loses) {
    use FaultKind::*;
    match kind {
        OsCrash | PowerLoss | PowerLossRoom | ReadError | DiskMoved => (Loses::Tail, Loses::Nothing),
        PowerLossRack | PowerLossAll | RebootOrder => (Loses::Tail, Loses::Tail),
        // What a failed sync drops is no tail that could be asked for again: as if both had lost it.
        FsyncError | WriteError => (Loses::Tail, Loses::Tail),
        MachineLoss | DiskLoss => (Loses::All, Loses::Nothing),
        // How much it is does not follow from anything.
        LyingFsync | MisdirectedRead | StaleRead => (Loses::All, Loses::Nothing),
        LatentError | BitRot | LostWrite | MisdirectedWrite => (Loses::All, Loses::Nothing),
        DiskFull => (Loses::All, Loses::All),
        SlaveBitRot => (Loses::Nothing, Loses::All),
        SlaveOsCrash | SlavePowerLoss => (Loses::Nothing, Loses::Tail),
        SlaveDiskLoss => (Loses::Nothing, Loses::All),
        // A second drive may be its mirror before the first is rebuilt; of one alone nothing is lost.
        DiskMemberLoss => (Loses::Nothing, Loses::Nothing),
        None | BrokerCrash | Partition | PartitionIn | PartitionOut | SlaveCrash | PartitionSlave | PartitionPair
        | NamesrvCrash | PartitionNamesrv | SlowDisk | SlowSlave | SlowLink | ClockStep | Pause | DiskStall
        | ShortIo | DropCaches | Jam | Swizzle | Bridge | Ring | ResetStorm | LossyLink | DuplicatingLink
        | ReorderingLink | SlowNames | CpuStarvation | RestartLoop | OutOfMemory | MemoryLimit | Suspend
        | ClockFreeze | ClockDrift | ClockStrobe => (Loses::Nothing, Loses::Nothing),
    }
}

/// Whether a slave falls behind its master while the fault lasts, and for a while after it.
fn delays_replication(kind: FaultKind) -> bool {
    use FaultKind::*;
    !matches!(
        kind,
        None | DiskMemberLoss
            | NamesrvCrash
            | PartitionNamesrv
            | SlowNames
            | ClockStep
            | ClockFreeze
            | ClockDrift
            | ClockStrobe
    )
}

/// Whether the medium holds something else than what was written, and nobody knows until it is read.
fn is_damage(kind: &FaultKind) -> bool {
    use FaultKind::{BitRot, LatentError, LostWrite, MisdirectedWrite};
    matches!(kind, LatentError | BitRot | LostWrite | MisdirectedWrite)
}

/// The promise under several faults of one replica group, one after the other.
fn sequence(mode: Mode, flush: Flush, kinds: &[FaultKind], bounds: &Bounds) -> Promise {
    let mut master = kinds.iter().map(|kind| takes(*kind).0).max().unwrap_or(Loses::Nothing);
    let slave = kinds.iter().map(|kind| takes(*kind).1).max().unwrap_or(Loses::Nothing);
    if kinds.iter().filter(|kind| **kind == FaultKind::DiskMemberLoss).count() > 1 {
        master = Loses::All;
    }
    let disturbed = |source| match flush {
        Flush::Sync => none("every copy that was lost had been flushed before the acknowledgement (C2, C10, C29)"),
        Flush::Async => window(bounds.disturbed_window_ms, source),
    };
    if master == Loses::Nothing {
        return none("the master's log outlives all of it (C2, C4, C12)");
    }
    let is_found = mode == Mode::TwoMastersTwoSlavesSync && bounds.recovery_reads_all;
    if kinds.iter().any(|kind| takes(*kind) == (Loses::All, Loses::All) || is_damage(kind) && !is_found) {
        return host(
            "damaged medium, or old files deleted for want of room: nobody reads what was written until it is asked for, so \
             nobody takes it from a replica (against C3, C9)",
        );
    }
    match (mode, master, slave) {
        (Mode::SingleMaster | Mode::TwoMastersNoSlave, Loses::All, _) => {
            host("machine that cannot boot, broken disk: there is no other copy of what was on it (C3)")
        }
        (Mode::SingleMaster | Mode::TwoMastersNoSlave, _, _) => disturbed(
            "what ASYNC_FLUSH had not flushed, with the time for which an earlier fault kept it from that (C2)",
        ),
        (_, Loses::All, Loses::All) => {
            host("the second copy was lost before the first could be made again: more than one failure (against C3)")
        }
        (Mode::TwoMastersTwoSlavesSync, _, Loses::Nothing) => none(
            "SYNC_MASTER acknowledges after its slave has it too, and the slave's log outlives all of it (C3, C13, C29)",
        ),
        (Mode::TwoMastersTwoSlavesSync, _, _) => {
            disturbed("what neither master nor slave had flushed when each lost its memory (C2; against C3, C42)")
        }
        (Mode::TwoMastersTwoSlavesAsync, Loses::All, _) => {
            let lost = kinds.iter().rposition(|kind| takes(*kind).0 == Loses::All).unwrap_or(0);
            // What a lying drive loses begins as the end of the log.
            let lies = |kind| matches!(kind, FaultKind::LyingFsync | FaultKind::MisdirectedRead | FaultKind::StaleRead);
            let loses_a_tail = kinds.iter().any(|kind| takes(*kind).0 == Loses::Tail || lies(*kind));
            let is_behind = kinds[..lost].iter().any(|kind| delays_replication(*kind));
            match (is_behind, slave) {
                (true, _) => host(
                    "asynchronous replication was behind when the master's disk was lost, by an earlier fault: what it had \
                     not sent yet has no other copy (against C3)",
                ),
                (false, Loses::Nothing) if !(flush == Flush::Async && loses_a_tail) => window(
                    bounds.replication_lag_ms,
                    "what the slave had not been sent when the master's disk was lost (C12)",
                ),
                (false, _) => match flush {
                    Flush::Sync => window(
                        bounds.replication_lag_ms + 2 * SYNC_MS_MAX,
                        "what the slave had not been sent, or not flushed, when the master's disk was lost (C12)",
                    ),
                    Flush::Async => window(
                        bounds.disturbed_window_ms,
                        "what the slave, then the only copy, had not flushed when it lost its memory, or the master when it lost \
                         its own (C2)",
                    ),
                },
            }
        }
        (Mode::TwoMastersTwoSlavesAsync, _, _) => disturbed(
            "what ASYNC_FLUSH had not flushed, with the time for which an earlier fault kept it from that, where the slave \
             cannot give it back (C2, C12)",
        ),
    }
}

/// How old the oldest message can be that an asynchronous flush has not yet put on the disk, in milliseconds.
///
/// The flush sleeps for `flushIntervalCommitLog`, then works if `flushCommitLogLeastPages` pages of 4 KiB are dirty, else
/// only every `flushCommitLogThoroughInterval`. A message that comes just after a flush began waits for the end of that one,
/// the sleep, and the end of the next. With a load (each master has its share) that does not reliably dirty so many pages in
/// an interval (twice as many on average), the thorough interval is the bound.
pub fn flush_window_ms(scenario: &Scenario) -> u64 {
    let (workload, broker) = (&scenario.workload, &scenario.broker);
    let total: u64 = workload.body_bytes.iter().copied().map(u64::from).sum();
    let mean = total / (workload.body_bytes.len() as u64).max(1);
    let per_second = u64::from(workload.messages_per_second) / u64::from(scenario.topology.masters).max(1);
    let bytes_per_interval = mean * per_second * broker.flush_interval_ms / 1000;
    let pages_needed = u64::from(broker.flush_least_pages);
    // With fault points, or clients of any settings, there is no load to rely on.
    let is_steady = scenario.fault_points.is_off() && scenario.knobs.is_off() || pages_needed == 0;
    let wait_ms = if is_steady && bytes_per_interval >= 2 * pages_needed * 4096 {
        broker.flush_interval_ms
    } else {
        broker.flush_thorough_interval_ms + broker.flush_interval_ms
    };
    wait_ms + 2 * SYNC_MS_MAX
}

/// Orders promises from strong to weak.
pub fn strength(loss: LossPromise) -> (u8, u64) {
    match loss {
        LossPromise::None => (0, 0),
        LossPromise::Window { bound_ms } => (1, bound_ms),
        LossPromise::Host => (2, 0),
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.loss {
            LossPromise::None => formatter.write_str("no acknowledged message is lost"),
            LossPromise::Window { bound_ms } => {
                write!(formatter, "no message is lost that was acknowledged more than {bound_ms} ms before the fault")
            }
            LossPromise::Host => formatter.write_str("nothing: what was on the host, and nowhere else, may be lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue, settings::set};

    const BOUNDS: Bounds = Bounds {
        flush_window_ms: 700,
        disturbed_window_ms: 25_700,
        replication_lag_ms: 250,
        recovery_reads_all: false,
    };

    fn loss(mode: &str, flush: Flush, fault: &str) -> LossPromise {
        let fault: faults::Fault = fault.parse().expect("a fault");
        promise(mode.parse().expect("a mode"), flush, fault.kinds(), &BOUNDS).loss
    }

    #[test]
    fn the_window_follows_from_the_configuration() {
        let standard = catalogue::standard(Mode::SingleMaster);
        assert_eq!(flush_window_ms(&standard), 700);
        assert_eq!(flush_window_ms(&set(&standard, "broker.flush_interval_ms=250").expect("a field")), 450);
        let thin = set(&standard, "workload.messages_per_second=1").expect("a field");
        assert_eq!(flush_window_ms(&thin), 10_700);
        // Two masters share the load.
        let shared = catalogue::standard(Mode::TwoMastersNoSlave);
        assert_eq!(flush_window_ms(&shared), 700);
        assert_eq!(flush_window_ms(&set(&shared, "workload.messages_per_second=80").expect("a field")), 10_700);
    }

    #[test]
    fn what_the_documents_claim_for_single_faults() {
        use LossPromise::{Host, None, Window};
        for (mode, flush, fault, expected) in [
            ("single-master", Flush::Async, "power-loss", Window { bound_ms: 700 }),
            ("2m-noslave", Flush::Sync, "power-loss", None),
            ("2m-noslave", Flush::Sync, "disk-member-loss", None),
            ("2m-noslave", Flush::Sync, "disk-loss", Host),
            ("2m-2s-async", Flush::Async, "broker-crash", None),
            ("2m-2s-async", Flush::Async, "power-loss", Window { bound_ms: 700 }),
            ("2m-2s-async", Flush::Sync, "machine-loss", Window { bound_ms: 250 }),
            ("2m-2s-sync", Flush::Async, "power-loss", None),
            ("2m-2s-sync", Flush::Async, "machine-loss", None),
            ("2m-2s-sync", Flush::Async, "power-loss-rack", Window { bound_ms: 700 }),
            ("2m-2s-sync", Flush::Sync, "power-loss-all", None),
            ("2m-2s-sync", Flush::Async, "slave-disk-loss", None),
            // No flush is worth more than the drive's word; a second copy is.
            ("single-master", Flush::Sync, "lying-fsync", Host),
            ("2m-2s-async", Flush::Sync, "lying-fsync", Window { bound_ms: 250 }),
            ("2m-2s-async", Flush::Async, "lying-fsync", Window { bound_ms: 700 }),
            ("2m-2s-sync", Flush::Sync, "lying-fsync", None),
            ("2m-2s-sync", Flush::Async, "stale-read", None),
            // Where a checkpoint vouches for what recovery does not read, nobody reads it until it is asked for.
            ("2m-2s-sync", Flush::Sync, "bit-rot", Host),
            ("2m-2s-sync", Flush::Sync, "slave-bit-rot", None),
            ("single-master", Flush::Sync, "read-error", None),
            ("single-master", Flush::Sync, "write-error", None),
            ("single-master", Flush::Async, "write-error", Window { bound_ms: 700 }),
            ("single-master", Flush::Async, "disk-full", Host),
            ("single-master", Flush::Async, "out-of-memory", None),
            ("2m-2s-sync", Flush::Async, "power-loss-room", None),
            ("2m-2s-sync", Flush::Async, "reboot-order", Window { bound_ms: 700 }),
        ] {
            assert_eq!(loss(mode, flush, fault), expected, "{mode} {flush} {fault}");
        }
    }

    #[test]
    fn damage_that_recovery_finds_comes_back_from_a_slave_that_has_everything() {
        let found = Bounds { recovery_reads_all: true, ..BOUNDS };
        let loss = |mode, kinds: &[FaultKind]| promise(mode, Flush::Sync, kinds, &found).loss;
        assert_eq!(loss(Mode::TwoMastersTwoSlavesSync, &[FaultKind::BitRot]), LossPromise::None);
        assert_eq!(loss(Mode::TwoMastersTwoSlavesSync, &[FaultKind::Jam, FaultKind::LatentError]), LossPromise::None);
        let both = [FaultKind::SlaveDiskLoss, FaultKind::BitRot];
        assert_eq!(loss(Mode::TwoMastersTwoSlavesSync, &both), LossPromise::Host);
        assert_eq!(loss(Mode::TwoMastersTwoSlavesAsync, &[FaultKind::BitRot]), LossPromise::Host);
        assert_eq!(loss(Mode::SingleMaster, &[FaultKind::BitRot]), LossPromise::Host);
        let mut scenario = catalogue::standard(Mode::TwoMastersTwoSlavesSync);
        assert!(bounds(&scenario).recovery_reads_all);
        scenario.schedule.heal_ms = 100_000;
        assert!(!bounds(&scenario).recovery_reads_all, "a checkpoint is written after 60 s");
    }

    #[test]
    fn what_is_left_under_two_faults() {
        use LossPromise::{Host, None, Window};
        let disturbed = Window { bound_ms: 25_700 };
        for (mode, flush, fault, expected) in [
            ("single-master", Flush::Async, "broker-crash+power-loss", disturbed),
            ("2m-2s-sync", Flush::Async, "power-loss+disk-loss", None),
            ("2m-2s-sync", Flush::Async, "partition-pair+machine-loss", None),
            ("2m-2s-sync", Flush::Async, "slave-power-loss+power-loss", disturbed),
            ("2m-2s-sync", Flush::Sync, "slave-power-loss+power-loss", None),
            ("2m-2s-sync", Flush::Sync, "slave-disk-loss+machine-loss", Host),
            ("2m-2s-async", Flush::Sync, "partition-slave+disk-loss", Host),
            ("2m-2s-async", Flush::Sync, "disk-loss+slave-crash", Window { bound_ms: 250 }),
            ("2m-2s-async", Flush::Async, "disk-loss+slave-power-loss", disturbed),
            ("2m-2s-async", Flush::Sync, "partition-pair+power-loss", None),
            ("2m-2s-async", Flush::Async, "slave-disk-loss+slave-crash", None),
            ("2m-2s-sync", Flush::Sync, "lying-fsync+power-loss", None),
            ("2m-2s-sync", Flush::Async, "slave-power-loss+lying-fsync", disturbed),
            ("2m-2s-sync", Flush::Sync, "jam+bit-rot", Host),
        ] {
            assert_eq!(loss(mode, flush, fault), expected, "{mode} {flush} {fault}");
        }
    }

    #[test]
    fn a_sequence_is_never_promised_more_than_its_parts_and_sync_never_less_than_async() {
        for first in FaultKind::ALL {
            for second in FaultKind::ALL {
                if faults::Fault::sequence(vec![first, second]).is_err() {
                    continue;
                }
                for flush in Flush::ALL {
                    let strength = |mode, kinds: &[FaultKind]| strength(promise(mode, flush, kinds, &BOUNDS).loss);
                    for mode in Mode::ALL {
                        let both = strength(mode, &[first, second]);
                        let parts = strength(mode, &[first]).max(strength(mode, &[second]));
                        assert!(both >= parts, "{mode} {flush} {first}+{second}");
                        assert!(
                            strength(Mode::TwoMastersTwoSlavesSync, &[first, second]) <= both,
                            "{mode} {first}+{second}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_promise_cites_a_claim_that_the_architecture_lists() {
        let listed = include_str!("../../ARCHITECTURE.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| C")?.split(' ').next());
        let listed = listed.collect::<std::collections::BTreeSet<_>>();
        let pairs = FaultKind::ALL.into_iter().flat_map(|first| FaultKind::ALL.map(|second| vec![first, second]));
        let all = FaultKind::ALL.map(|kind| vec![kind]).into_iter().chain(pairs);
        for kinds in all.filter(|kinds| faults::Fault::sequence(kinds.clone()).is_ok()) {
            for (mode, flush) in Mode::ALL.into_iter().flat_map(|mode| Flush::ALL.map(|flush| (mode, flush))) {
                let source = promise(mode, flush, &kinds, &BOUNDS).source;
                let words = source.split(|character: char| !character.is_ascii_alphanumeric());
                let claims = words.filter_map(|word| word.strip_prefix('C').filter(|rest| rest.parse::<u8>().is_ok()));
                let claims = claims.collect::<Vec<_>>();
                assert!(!claims.is_empty(), "{mode} {flush} {kinds:?}: {source}");
                assert!(claims.iter().all(|claim| listed.contains(claim)), "{source}: {claims:?}");
            }
        }
    }

    #[test]
    fn a_room_is_a_rack_where_master_and_slave_stand_together() {
        let mut scenario = catalogue::standard(Mode::TwoMastersTwoSlavesSync);
        scenario.fault = FaultKind::PowerLossRoom.into();
        assert_eq!(of_scenario(&scenario).loss, LossPromise::None);
        scenario.topology.placement = Placement::Rack;
        assert_eq!(of_scenario(&scenario).loss, LossPromise::Window { bound_ms: 700 });
    }

    #[test]
    fn a_plan_of_several_faults_has_the_promise_of_their_sequence() {
        let mut scenario = catalogue::standard(Mode::SingleMaster);
        let crash = |crash| faults::PlannedEvent {
            at_ms: 20_000,
            action: Action::Crash { host: "broker-a".to_owned(), crash, boot_after_ms: Some(1_000) },
        };
        scenario.plan = Some(Plan::of(vec![]));
        assert_eq!(of_scenario(&scenario).loss, LossPromise::None);
        scenario.plan = Some(Plan::of(vec![crash(CrashKind::PowerLoss)]));
        assert_eq!(of_scenario(&scenario).loss, LossPromise::Window { bound_ms: 700 });
        scenario.plan = Some(Plan::of(vec![crash(CrashKind::PowerLoss), crash(CrashKind::ProcessKill)]));
        assert_eq!(of_scenario(&scenario).loss, LossPromise::Window { bound_ms: 25_700 });
        scenario.plan = Some(Plan::of(vec![crash(CrashKind::DiskLoss), crash(CrashKind::PowerLoss)]));
        assert_eq!(of_scenario(&scenario).loss, LossPromise::Host);
    }
}

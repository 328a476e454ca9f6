//! What follows from the configuration: how old a message can be that is not yet safe, and what recovery finds.
//!
//! Nothing is promised by a setting's name: whoever lengthens an interval, makes one replica do, or tells a master not to wait
//! for its slaves, gets the promise that this gives.

use crate::spec::{Mode, Scenario};
use store::StoreConfig;

/// The time that the drive may take for one flush together with those queued before it, in milliseconds. The default
/// drive answers a flush in 5 ms at most; a dozen files may stand in line.
pub const SYNC_MS_MAX: u64 = 100;

/// How far a slave may be behind its ASYNC_MASTER while nothing is broken, in milliseconds. The master ships as soon as it
/// has written, in frames that take well under a millisecond on the wire; a packet may meet a queue of a few milliseconds
/// (the link's long tail), and the slave may be at work on another file.
const REPLICATION_LAG_MS_MAX: u64 = 250;

/// How long a master that has lost its disk must wait for its slaves at least, so that one that is well is heard: it asks for
/// the way, connects and begins to send. RocketMQ's own default is this.
const TAIL_RECOVERY_MS_MIN: u64 = 5_000;

/// The bounds that follow from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How old the oldest message can be that an asynchronous flush has not put on the disk, under load.
    pub flush_window_ms: u64,
    /// The same when nothing can be said of the load, but for what keeps a flush from happening at all.
    pub thorough_window_ms: u64,
    /// How old the oldest message can be that an ASYNC_MASTER's slave does not have, while nothing else is broken.
    pub replication_lag_ms: u64,
    /// Whether recovery reads the whole log, and so finds all damage: no checkpoint has said yet that a part needs no look.
    pub recovery_reads_all: bool,
    /// How many members of a group have a message when it is acknowledged, the master among them.
    pub copies: usize,
    /// Whether a master that has lost its disk waits for its slaves.
    pub waits_for_slaves: bool,
}

/// The bounds of a scenario, whose knobs have been turned.
pub fn bounds(scenario: &Scenario) -> Bounds {
    let broker = &scenario.broker;
    Bounds {
        flush_window_ms: flush_window_ms(scenario),
        thorough_window_ms: broker.flush_thorough_interval_ms + broker.flush_interval_ms + 2 * SYNC_MS_MAX,
        replication_lag_ms: REPLICATION_LAG_MS_MAX,
        recovery_reads_all: recovery_reads_all(scenario),
        copies: scenario.copies(),
        // A SYNC_MASTER of the simulation waits for as long as it takes.
        waits_for_slaves: scenario.mode == Mode::TwoMastersTwoSlavesSync
            || broker.tail_recovery_timeout_ms >= TAIL_RECOVERY_MS_MIN,
    }
}

/// Whether no broker writes a checkpoint before the last crash: it does so every `flushConsumeQueueThoroughInterval`, and when it
/// stops in good order. And whether recovery looks at what it reads (`checkCRCOnRecover`, which is a knob).
fn recovery_reads_all(scenario: &Scenario) -> bool {
    let interval_ms = StoreConfig::new("").flush_consume_queue_thorough_interval_ms;
    let is_default = scenario.fault_points.is_off() && scenario.knobs.is_off() && scenario.operations.is_empty();
    is_default && scenario.schedule.heal_ms < interval_ms
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalogue, settings::set};

    fn standard() -> Scenario {
        catalogue::standard(Mode::SingleMaster)
    }

    #[test]
    fn the_window_follows_from_the_configuration() {
        assert_eq!(flush_window_ms(&standard()), 700);
        assert_eq!(flush_window_ms(&set(&standard(), "broker.flush_interval_ms=250").expect("a field")), 450);
        let thin = set(&standard(), "workload.messages_per_second=1").expect("a field");
        assert_eq!(flush_window_ms(&thin), 10_700);
        // Two masters share the load.
        let shared = catalogue::standard(Mode::TwoMastersNoSlave);
        assert_eq!(flush_window_ms(&shared), 700);
        assert_eq!(flush_window_ms(&set(&shared, "workload.messages_per_second=80").expect("a field")), 10_700);
    }

    #[test]
    fn a_checkpoint_or_an_unchecked_recovery_hides_damage() {
        assert!(bounds(&standard()).recovery_reads_all);
        let mut late = standard();
        late.schedule.heal_ms = 100_000;
        assert!(!bounds(&late).recovery_reads_all, "a checkpoint is written after 60 s");
        let unchecked = set(&standard(), "knobs.store_check_crc_on_recover=0").expect("a knob");
        assert!(!bounds(&unchecked).recovery_reads_all);
    }

    #[test]
    fn copies_are_those_that_the_acknowledgement_waits_for() {
        let copies = |mode, replicas: u16| {
            let mut scenario = catalogue::standard(mode);
            (scenario.topology.slaves, scenario.broker.in_sync_replicas) = (2, replicas);
            bounds(&scenario).copies
        };
        assert_eq!([1, 2, 3].map(|replicas| copies(Mode::TwoMastersTwoSlavesSync, replicas)), [1, 2, 3]);
        assert_eq!(copies(Mode::TwoMastersTwoSlavesAsync, 2), 1, "an ASYNC_MASTER waits for nobody");
    }

    #[test]
    fn a_master_that_is_told_not_to_wait_does_not() {
        let waits = |mode, ms| {
            let mut scenario = catalogue::standard(mode);
            scenario.broker.tail_recovery_timeout_ms = ms;
            bounds(&scenario).waits_for_slaves
        };
        assert!(waits(Mode::TwoMastersTwoSlavesAsync, 5_000) && !waits(Mode::TwoMastersTwoSlavesAsync, 100));
        assert!(waits(Mode::TwoMastersTwoSlavesSync, 100));
    }
}

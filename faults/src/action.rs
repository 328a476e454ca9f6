//! The actions that plans are made of: what is done to which machine, drive or link, and when it ends.
//!
//! Every action has its end within itself (`boot_after_ms`, `heal_after_ms`, …), so that a plan cannot heal what was never
//! broken. Without it the action lasts until everything is healed at the end. What lasts is measured from the moment of the
//! event.

mod parts;
mod reach;
mod words;

pub use parts::{CrashKind, Damage, Direction, DiskFaultRates, Down, LinkFaultRates, NameFault, Swizzled};
pub(crate) use words::{rate, step};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that is done to one host, or to several at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// The host stops in one of the ways of [`CrashKind`].
    Crash {
        /// The host's name.
        host: String,
        crash: CrashKind,
        /// When it boots again, in milliseconds after the crash. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_after_ms: Option<u64>,
    },
    /// Several hosts stop at one instant, in the same way.
    CrashTogether {
        crash: CrashKind,
        /// Each with its own time to boot.
        hosts: Vec<Down>,
    },
    /// The host is cut off from every other.
    Isolate {
        /// The host's name.
        host: String,
        direction: Direction,
        /// When it is reconnected, in milliseconds after the cut. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heal_after_ms: Option<u64>,
    },
    /// The host is cut off from some others; they and it reach everybody else.
    Cut {
        /// The host's name.
        host: String,
        /// Those that it is cut off from.
        peers: Vec<String>,
        direction: Direction,
        /// When they are reconnected, in milliseconds after the cut. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heal_after_ms: Option<u64>,
    },
    /// The host's disk becomes slow: each read that the page cache cannot answer and each cache flush takes longer, and less
    /// is moved per second.
    SlowDisk {
        /// The host's name.
        host: String,
        /// Added to every operation of the drive.
        latency_ms: u64,
        /// What the drive moves at most, either way.
        bytes_per_s: u64,
        /// When it is as fast as before, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_after_ms: Option<u64>,
    },
    /// The ways between the host and some others become long and narrow, in both directions.
    SlowLink {
        /// The host's name.
        host: String,
        /// Those at the other end.
        peers: Vec<String>,
        /// Added to every packet, one way.
        latency_ms: u64,
        /// What passes at most, each way of each pair for itself.
        bytes_per_s: u64,
        /// When they are as before, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_after_ms: Option<u64>,
    },
    /// The host's wall clock jumps; its monotonic clock does not.
    StepClock {
        /// The host's name.
        host: String,
        /// How far, in milliseconds; negative: backward.
        step_ms: i64,
        /// When it jumps back, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        correct_after_ms: Option<u64>,
    },
    /// The host's process stands still. Its clocks run on, its kernel goes on receiving until its buffers are full.
    Pause {
        /// The host's name.
        host: String,
        /// When it goes on, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume_after_ms: Option<u64>,
    },
    /// One drive of the host's RAID10 is lost. If its mirror is lost too, or not yet rebuilt, the disk is lost, and the machine
    /// stops until the end of this action.
    LoseMember {
        /// The host's name.
        host: String,
        /// Which drive, from 0; drives 2n and 2n+1 mirror each other.
        member: u16,
        /// When it is replaced and its rebuild begins, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replace_after_ms: Option<u64>,
    },
    /// The host's next sync of a file that has something to write fails, once, and what it should have written is dropped.
    /// If none comes, it is taken back when everything is healed at the end.
    FailSync {
        /// The host's name.
        host: String,
    },
    /// The host's drive goes wrong in one or several ways, for a while. A page that is in the page cache hides what the medium
    /// has; what is read or written while the fault lasts, and reaches the drive, may be hit. What was written wrongly stays so
    /// after the end.
    DiskFaults {
        /// The host's name.
        host: String,
        /// In which ways, and how often.
        faults: DiskFaultRates,
        /// When it is healthy again, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clear_after_ms: Option<u64>,
    },
    /// Sectors of the host's disk that hold something go bad. What is written to a sector cures it.
    DamageMedia {
        /// The host's name.
        host: String,
        damage: Damage,
        /// How many sectors at most.
        sectors: u32,
        /// Only sectors of files whose path begins so. Absent: of any file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path_prefix: Option<String>,
        /// When the drive is copied to a sound one with all that was there, in milliseconds: that mends all damage of the
        /// medium. Absent: never; a medium does not heal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repair_after_ms: Option<u64>,
    },
    /// The host's disk is full but for some bytes.
    FillDisk {
        /// The host's name.
        host: String,
        /// What is left.
        free_bytes: u64,
        /// When there is room again, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        relieve_after_ms: Option<u64>,
    },
    /// The clean pages of the host's page cache are dropped, as by `/proc/sys/vm/drop_caches`.
    DropCaches {
        /// The host's name.
        host: String,
    },
    /// A snapshot of the host's disk is taken, beneath its file system, as of a volume or of a virtual machine's disk. Nobody
    /// notices; a later one takes its place.
    SnapshotDisk {
        /// The host's name.
        host: String,
    },
    /// The host loses power, and its disk is set back to the snapshot that was taken of it before.
    SetBackDisk {
        /// The host's name.
        host: String,
        /// When it boots again, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_after_ms: Option<u64>,
    },
    /// The disk of a host that is down, and stays so, is put into another that has none of its own, which boots with it.
    MoveDisk {
        /// The host that it is taken from.
        host: String,
        /// The one that it is put into: a spare.
        to: String,
        /// When that one boots, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_after_ms: Option<u64>,
    },
    /// The host's packets are held; when it ends, all of them arrive.
    Jam {
        /// The host's name.
        host: String,
        /// Those at the other end. Absent: all others.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        peers: Vec<String>,
        direction: Direction,
        /// When they are released, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release_after_ms: Option<u64>,
    },
    /// Several hosts are jammed one after the other, each from and to all others, and released one after the other.
    Swizzle {
        /// Each with its own times.
        hosts: Vec<Swizzled>,
    },
    /// Two sets of hosts do not reach each other; one host between them reaches both.
    Bridge {
        /// The host between them.
        host: String,
        one_side: Vec<String>,
        other_side: Vec<String>,
        /// When they are reconnected, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heal_after_ms: Option<u64>,
    },
    /// Each of the hosts reaches its next neighbours in a ring, a majority in all, and no two reach the same ones.
    Ring {
        /// In the order in which they stand.
        hosts: Vec<String>,
        /// When they are reconnected, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heal_after_ms: Option<u64>,
    },
    /// The host's connections are reset at both ends, again and again.
    ResetStorm {
        /// The host's name.
        host: String,
        /// Those at the other end. Absent: all others.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        peers: Vec<String>,
        /// How often.
        times: u32,
        /// From one time to the next, in milliseconds.
        every_ms: u64,
    },
    /// The host's links go wrong in one or several ways, in both directions.
    BadLink {
        /// The host's name.
        host: String,
        /// Those at the other end. Absent: all others.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        peers: Vec<String>,
        /// In which ways, and how often.
        faults: LinkFaultRates,
        /// When they are as before, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_after_ms: Option<u64>,
    },
    /// The name service of some hosts goes wrong: who has no connection yet finds nobody, or late.
    BadNames {
        /// Those that ask.
        hosts: Vec<String>,
        fault: NameFault,
        /// When names are resolved as before, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_after_ms: Option<u64>,
    },
    /// The host has little memory: its page cache shrinks, and a process whose sockets hold more is killed.
    LimitMemory {
        /// The host's name.
        host: String,
        /// What page cache and sockets may hold each.
        bytes: u64,
        /// When it has enough again, and a killed process starts again, in milliseconds. Absent: only when everything is healed
        /// at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_after_ms: Option<u64>,
    },
    /// The host's process gets only a part of a processor, in slices.
    StarveCpu {
        /// The host's name.
        host: String,
        /// What it gets, from 0 to 1, both not included.
        share: f64,
        /// How long it runs at a time, in milliseconds.
        slice_ms: u64,
        /// When it has a whole one again, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_after_ms: Option<u64>,
    },
    /// The host stops in one of the ways of [`CrashKind`] and boots again, several times.
    CrashLoop {
        /// The host's name.
        host: String,
        crash: CrashKind,
        /// How often.
        times: u32,
        /// How long it is down each time, in milliseconds.
        down_ms: u64,
        /// How long it is up between two times, in milliseconds.
        up_ms: u64,
    },
    /// The kernel kills the host's process for want of memory, in the midst of an operation rather than at a moment; a
    /// supervisor starts it again.
    OutOfMemory {
        /// The host's name.
        host: String,
        /// At which of its operations from then on, counted from 1: calls on files and sockets, and starts of timers.
        operations: u64,
        /// When it starts again, in milliseconds after this action began. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_after_ms: Option<u64>,
    },
    /// The host's whole machine stands still, its monotonic clock too, as a virtual machine that is suspended.
    Suspend {
        /// The host's name.
        host: String,
        /// When it goes on, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume_after_ms: Option<u64>,
    },
    /// The host's wall clock stands still; when it ends, it is right again.
    FreezeClock {
        /// The host's name.
        host: String,
        /// When it goes on, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thaw_after_ms: Option<u64>,
    },
    /// The host's wall clock runs fast or slow.
    DriftClock {
        /// The host's name.
        host: String,
        /// By how much, in parts per million; negative: slow.
        ppm: i64,
        /// When it runs as before, and is set right, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore_after_ms: Option<u64>,
    },
    /// The host's wall clock steps to and fro.
    StrobeClock {
        /// The host's name.
        host: String,
        /// How far, in milliseconds; negative: backward.
        step_ms: i64,
        /// From one step to the next, in milliseconds.
        every_ms: u64,
        /// When it stops, and the clock is right again, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_after_ms: Option<u64>,
    },
    /// All hosts of a zone stop at one instant, in the same way.
    CrashZone {
        /// The zone: a data centre, a room of it, or a rack of that, for example `dc-1/room-2`.
        zone: String,
        crash: CrashKind,
        /// When the first one boots again, in milliseconds. Absent: only when everything is healed at the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_after_ms: Option<u64>,
        /// How much later each next one boots, in the order of the scenario's hosts, in milliseconds.
        #[serde(default, skip_serializing_if = "is_none_ms")]
        boot_gap_ms: u64,
    },
}

fn is_none_ms(ms: &u64) -> bool {
    *ms == 0
}

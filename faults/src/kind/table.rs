//! The kinds of faults as a table: name, what it does in one line, whom it strikes. Ordered as listed: what hits the target,
//! by severity; its slaves; the rest; then disk, network and machine in detail.

use super::{
    FaultKind::{self, *},
    Strikes::{self, *},
};

/// What there is to say of a kind.
pub struct Row {
    pub kind: FaultKind,
    pub name: &'static str,
    pub about: &'static str,
    pub strikes: Strikes,
}

const fn row(kind: FaultKind, strikes: Strikes, name: &'static str, about: &'static str) -> Row {
    Row { kind, name, about, strikes }
}

/// In the order of the enum.
pub const TABLE: [Row; 60] = [
    row(FaultKind::None, Nobody, "none", "nothing breaks"),
    row(BrokerCrash, Primary, "broker-crash", "the broker's process is killed and restarted; the page cache lives on"),
    row(OsCrash, Primary, "os-crash", "the kernel panics: the page cache is lost, the drive drains its own cache"),
    row(
        PowerLoss,
        Primary,
        "power-loss",
        "power is cut: page cache and drive cache are lost, a sector in flight may tear",
    ),
    row(PowerLossRack, Group, "power-loss-rack", "a master and its slaves lose power at one instant"),
    row(
        PowerLossAll,
        Many,
        "power-loss-all",
        "all brokers and name servers lose power at one instant, and boot in any order",
    ),
    row(MachineLoss, Primary, "machine-loss", "the machine never boots again; at the end an empty one replaces it"),
    row(DiskLoss, Primary, "disk-loss", "the disk is gone; the machine comes back with an empty one"),
    row(DiskMemberLoss, Primary, "disk-member-loss", "one drive of a RAID10 is lost, and replaced later"),
    row(Partition, Primary, "partition", "the broker's machine is cut off, both ways"),
    row(PartitionIn, Primary, "partition-in", "nothing reaches the broker's machine, but it is heard"),
    row(PartitionOut, Primary, "partition-out", "nothing leaves the broker's machine, but it hears"),
    row(SlaveCrash, Secondary, "slave-crash", "a slave's process is killed and restarted"),
    row(SlaveOsCrash, Secondary, "slave-os-crash", "the kernel of a slave panics"),
    row(SlavePowerLoss, Secondary, "slave-power-loss", "a slave loses power"),
    row(SlaveDiskLoss, Secondary, "slave-disk-loss", "a slave's disk is gone; it comes back with an empty one"),
    row(PartitionSlave, Secondary, "partition-slave", "a slave's machine is cut off, both ways"),
    row(
        PartitionPair,
        Pair,
        "partition-pair",
        "a master and its slaves do not reach each other; all others reach both",
    ),
    row(NamesrvCrash, Registry, "namesrv-crash", "a name server is killed, and restarts knowing nothing"),
    row(PartitionNamesrv, Registry, "partition-namesrv", "one name server is cut off from one broker or one client"),
    row(SlowDisk, Primary, "slow-disk", "the broker's disk becomes slow for a while"),
    row(SlowSlave, Secondary, "slow-slave", "a slave's disk becomes slow for a while: it lags"),
    row(SlowLink, Pair, "slow-link", "the way between master and slaves becomes long and narrow for a while"),
    row(ClockStep, Primary, "clock-step", "the broker's wall clock is wrong for a while, by up to minutes"),
    row(Pause, Primary, "pause", "the broker's process stands still for a while, and then goes on"),
    row(FsyncError, Primary, "fsync-error", "one sync of the broker fails, and what it should have written is dropped"),
    row(ReadError, Primary, "read-error", "the drive fails some reads for a while, during which the kernel panics"),
    row(WriteError, Primary, "write-error", "the drive fails some writes for a while; the next sync reports it, once"),
    row(
        LyingFsync,
        Primary,
        "lying-fsync",
        "the drive says that it has flushed its cache, and has not; then power is cut",
    ),
    row(DiskFull, Primary, "disk-full", "the disk is full for a while (ENOSPC)"),
    row(DiskStall, Primary, "disk-stall", "the drive answers nothing for a while"),
    row(ShortIo, Primary, "short-io", "some reads and writes move less than they were asked to"),
    row(LatentError, Primary, "latent-error", "some sectors cannot be read any more; then the kernel panics"),
    row(BitRot, Primary, "bit-rot", "some bits on the disk flip; then the kernel panics"),
    row(LostWrite, Primary, "lost-write", "some writes never reach the medium for a while; then the kernel panics"),
    row(
        MisdirectedWrite,
        Primary,
        "misdirected-write",
        "some writes reach another place of the medium; then the kernel panics",
    ),
    row(
        MisdirectedRead,
        Primary,
        "misdirected-read",
        "some reads return another place of the medium; meanwhile the kernel panics",
    ),
    row(StaleRead, Primary, "stale-read", "some reads return what stood there before; meanwhile the kernel panics"),
    row(DropCaches, Primary, "drop-caches", "the page cache is emptied"),
    row(DiskMoved, Primary, "disk-moved", "the machine breaks, and another one takes its place with its disk"),
    row(SlaveBitRot, Secondary, "slave-bit-rot", "some bits on a slave's disk flip; then its kernel panics"),
    row(Jam, Primary, "jam", "all packets to and from the broker are held for a while, and then delivered"),
    row(Swizzle, Many, "swizzle", "servers are jammed one after the other, and released in another order"),
    row(Bridge, Many, "bridge", "all machines fall into two halves, and only one machine reaches both"),
    row(Ring, Many, "ring", "each machine reaches a majority of the others, and no two the same"),
    row(ResetStorm, Primary, "reset-storm", "all connections of the broker are reset, again and again"),
    row(LossyLink, Primary, "lossy-link", "packets to and from the broker are lost for a while"),
    row(DuplicatingLink, Primary, "duplicating-link", "packets to and from the broker arrive twice for a while"),
    row(ReorderingLink, Primary, "reordering-link", "packets to and from the broker overtake one another for a while"),
    row(SlowNames, Registry, "slow-names", "host names are resolved slowly, or not at all, for a while"),
    row(CpuStarvation, Primary, "cpu-starvation", "the broker gets only a part of a processor for a while"),
    row(RestartLoop, Primary, "restart-loop", "the broker is killed again and again, shortly after each start"),
    row(OutOfMemory, Primary, "out-of-memory", "the broker needs more memory than it may have: the kernel kills it"),
    row(MemoryLimit, Primary, "memory-limit", "the broker's machine has little memory for a while"),
    row(Suspend, Primary, "suspend", "the broker's machine is suspended for a while, its monotonic clock too"),
    row(ClockFreeze, Primary, "clock-freeze", "the broker's wall clock stands still for a while"),
    row(ClockDrift, Primary, "clock-drift", "the broker's wall clock runs far too fast or too slow for a while"),
    row(ClockStrobe, Primary, "clock-strobe", "the broker's wall clock jumps to and fro for a while"),
    row(PowerLossRoom, Many, "power-loss-room", "all servers of one room lose power at one instant"),
    row(
        RebootOrder,
        Many,
        "reboot-order",
        "all servers lose power at one instant; slaves boot first, name servers last",
    ),
];

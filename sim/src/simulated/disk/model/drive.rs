//! The drive as it is now: sound, slowed for a while, or a RAID10 that has lost a member.
//!
//! [`DiskSpec`] says what was bought; a [`Drive`] says how fast that is at present. Its figures are worked out when something
//! changes, so that a sound drive costs an operation nothing.
//!
//! A RAID10 is a stripe over mirrored pairs: drives 2n and 2n+1 hold the same. What is written goes to both of a pair, so the
//! stripe writes as fast as it has pairs; what is read comes from either, so it reads twice as fast; a flush waits for the
//! slowest of all drives. With one of a pair lost the pair reads at half its speed, and the loss of the other one loses the
//! disk. A new drive in the place of a lost one is filled from its mirror at `rebuild_bytes_per_s`, which the pair lacks
//! meanwhile; until it is full it does not count as a mirror. Only what is in use is copied, as ZFS does and md does not: a
//! simulated minute has no room for hours.
//!
//! Not modelled: the write hole of a power loss (mirrors that differ in the last stripe: with a bitmap the resync repairs it,
//! and what was in flight may be torn anyway), a rebuild that waits while the machine is off, slow write-back.

use super::{Disk, DiskSpec, page::PAGE_BYTES, spec::duration_ns};
use crate::simulated::key::Stream;

/// A drive that has become slow, but works: a SATA link with retries, an SSD without free blocks, a neighbour on the same
/// volume. Gunawi et al., "Fail-Slow at Scale" (FAST 2018), report disks whose throughput fell by three orders of magnitude, to
/// 100 kB/s, and operations that took hundreds of milliseconds; a gp2 volume of 100 IOPS adds 10 ms to every operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSlowdown {
    /// Added to every read that the page cache cannot answer, and to every cache flush.
    pub added_latency_ns: u64,
    /// What the drive moves at most, either way; 0 counts as 1.
    pub bytes_per_s_max: u64,
}

/// A stripe over mirrored pairs of drives, each as the rest of the [`DiskSpec`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raid10 {
    /// How many pairs: half the number of drives.
    pub pairs: u16,
    /// How fast a new drive is filled: `dev.raid.speed_limit_max` of Linux's md is 200,000 KiB/s.
    pub rebuild_bytes_per_s: u64,
}

impl Default for Raid10 {
    /// Four drives and md's speed limit.
    fn default() -> Raid10 {
        Raid10 { pairs: 2, rebuild_bytes_per_s: 200_000 << 10 }
    }
}

/// A rebuild takes at least this: somebody has to add the drive, and md to begin.
const REBUILD_NS_MIN: u64 = 1_000_000_000;
/// An operation of a pair that is being rebuilt waits for so much of the copy before it.
const REBUILD_WINDOW_BYTES: u64 = 1 << 20;

/// One drive of the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Sound,
    Lost,
    /// It is as good as lost until then.
    Rebuilding {
        until_ns: u64,
    },
}

/// What a drive that was just lost leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// A mirror that has everything.
    Mirrored,
    /// Nothing.
    Alone,
}

/// The figures at present.
#[derive(Clone, Copy, Debug)]
struct Pace {
    read_latency_ns: u64,
    read_bytes_per_s: u64,
    write_bytes_per_s: u64,
    flush_added_ns: u64,
    /// A flush waits for so many drives.
    flushed_drives: u16,
}

/// The drive of one host, or the array that plays its part.
#[derive(Clone)]
pub(super) struct Drive {
    members: Vec<Member>,
    slowdown: Option<DiskSlowdown>,
    pace: Pace,
    /// The next rebuild ends then.
    changes_ns: u64,
}

impl Drive {
    pub fn new(spec: &DiskSpec) -> Drive {
        let members = spec.raid10.map_or(1, |raid| usize::from(raid.pairs.max(1)) * 2);
        let members = vec![Member::Sound; members];
        let pace = pace(spec, None, &members);
        Drive { members, slowdown: None, pace, changes_ns: u64::MAX }
    }

    /// New drives, as slow as the old ones were.
    fn renew(&mut self, spec: &DiskSpec) {
        self.members.fill(Member::Sound);
        self.update(spec, 0);
    }

    fn update(&mut self, spec: &DiskSpec, now_ns: u64) {
        self.changes_ns = u64::MAX;
        for member in &mut self.members {
            if let Member::Rebuilding { until_ns } = *member {
                if until_ns <= now_ns {
                    *member = Member::Sound;
                } else {
                    self.changes_ns = self.changes_ns.min(until_ns);
                }
            }
        }
        self.pace = pace(spec, self.slowdown, &self.members);
    }

    fn pace(&mut self, spec: &DiskSpec, now_ns: u64) -> Pace {
        if now_ns >= self.changes_ns {
            self.update(spec, now_ns);
        }
        self.pace
    }

    /// The time of the drive for a read of so many bytes.
    pub fn read_ns(&mut self, spec: &DiskSpec, now_ns: u64, bytes: u64) -> u64 {
        let pace = self.pace(spec, now_ns);
        pace.read_latency_ns + duration_ns(bytes, pace.read_bytes_per_s)
    }

    /// The time to move `bytes` from the page cache to the drive.
    pub fn transfer_ns(&mut self, spec: &DiskSpec, now_ns: u64, bytes: u64) -> u64 {
        duration_ns(bytes, self.pace(spec, now_ns).write_bytes_per_s)
    }

    /// Whether two sound drives have this page of a file. Chunks of 512 KiB, md's default, go to the pairs in turn.
    pub fn is_mirrored(&self, page: u64) -> bool {
        const CHUNK_PAGES: u64 = 128;
        let pairs = (self.members.len() / 2) as u64;
        let pair = (page / CHUNK_PAGES).checked_rem(pairs).map_or(0, |pair| pair as usize);
        pairs != 0 && self.members[2 * pair..2 * pair + 2].iter().all(|member| *member == Member::Sound)
    }

    /// The time of one cache flush.
    pub fn flush_ns(&mut self, spec: &DiskSpec, now_ns: u64, stream: &mut Stream) -> u64 {
        let pace = self.pace(spec, now_ns);
        let slowest_ns = (0..pace.flushed_drives).map(|_| spec.flush_ns(stream)).max().unwrap_or(0);
        slowest_ns + pace.flush_added_ns
    }
}

fn pace(spec: &DiskSpec, slowdown: Option<DiskSlowdown>, members: &[Member]) -> Pace {
    let count = |of: &[Member], wanted: fn(&Member) -> bool| of.iter().filter(|member| wanted(member)).count() as u64;
    let is_sound = |member: &Member| *member == Member::Sound;
    let is_rebuilding = |member: &Member| matches!(member, Member::Rebuilding { .. });
    let rebuild_bytes_per_s = spec.raid10.map_or(0, |raid| raid.rebuild_bytes_per_s);
    let (mut read, mut write, mut is_rebuilt) = (u64::MAX, u64::MAX, false);
    for pair in members.chunks(2) {
        let rebuilds = count(pair, is_rebuilding) > 0;
        // The copy takes its share from the source and from the target, but never more than half.
        let lacking = |bytes_per_s: u64| if rebuilds { rebuild_bytes_per_s.min(bytes_per_s / 2) } else { 0 };
        let sound = spec.read_bytes_per_s.saturating_mul(count(pair, is_sound));
        read = read.min(sound.saturating_sub(lacking(spec.read_bytes_per_s)));
        write = write.min(spec.write_bytes_per_s - lacking(spec.write_bytes_per_s));
        is_rebuilt |= rebuilds;
    }
    let pairs = members.len().div_ceil(2) as u64;
    let capped = |bytes_per_s: u64| slowdown.map_or(bytes_per_s, |slow| bytes_per_s.min(slow.bytes_per_s_max.max(1)));
    let added_ns = slowdown.map_or(0, |slow| slow.added_latency_ns);
    let window_ns = |bytes_per_s| if is_rebuilt { duration_ns(REBUILD_WINDOW_BYTES, bytes_per_s) } else { 0 };
    Pace {
        read_latency_ns: spec.read_latency_ns + added_ns + window_ns(spec.read_bytes_per_s),
        read_bytes_per_s: capped(read.saturating_mul(pairs)),
        write_bytes_per_s: capped(write.saturating_mul(pairs)),
        flush_added_ns: added_ns + window_ns(spec.write_bytes_per_s),
        flushed_drives: members.iter().filter(|member| **member != Member::Lost).count() as u16,
    }
}

impl Disk {
    /// Makes the drive slow, or as fast as before.
    pub fn set_slowdown(&mut self, now_ns: u64, slowdown: Option<DiskSlowdown>) {
        self.drive.slowdown = slowdown;
        self.drive.update(&self.spec, now_ns);
    }

    /// Loses one drive of the array; `None` when it does not exist or is lost already. What is [`MemberState::Alone`] has taken
    /// everything with it, which [`Disk::crash`] then does.
    pub fn lose_member(&mut self, now_ns: u64, member: u16) -> Option<MemberState> {
        self.drive.update(&self.spec, now_ns);
        let lost = self.drive.members.get_mut(usize::from(member)).filter(|member| **member != Member::Lost)?;
        let was = std::mem::replace(lost, Member::Lost);
        self.stats.lost_members += 1;
        let mirror = self.drive.members.get(usize::from(member ^ 1)).copied();
        self.drive.update(&self.spec, now_ns);
        // A drive that was still being filled has nothing to take with it.
        let is_spare = matches!(was, Member::Rebuilding { .. });
        Some(if mirror == Some(Member::Sound) || is_spare { MemberState::Mirrored } else { MemberState::Alone })
    }

    /// Puts a new drive in the place of a lost one, and begins to fill it; whether there was one lost.
    pub fn replace_member(&mut self, now_ns: u64, member: u16) -> bool {
        let Some(raid) = self.spec.raid10 else { return false };
        let used_bytes = self.used_pages * PAGE_BYTES as u64 / u64::from(raid.pairs.max(1));
        let lost = self.drive.members.get_mut(usize::from(member)).filter(|member| **member == Member::Lost);
        let Some(lost) = lost else { return false };
        let rebuild_ns = duration_ns(used_bytes, raid.rebuild_bytes_per_s).max(REBUILD_NS_MIN);
        *lost = Member::Rebuilding { until_ns: now_ns + rebuild_ns };
        self.drive.update(&self.spec, now_ns);
        true
    }

    /// The disk is lost; what takes its place is sound.
    pub(super) fn renew_drive(&mut self) {
        self.drive.renew(&self.spec);
    }
}

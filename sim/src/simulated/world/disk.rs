//! The switches of the control panel for a host's disk. Each has its way back where a real one would have, each leaves a step in
//! the trace, and [`DiskStats`](super::DiskStats) counts what came of it.

#[cfg(test)]
mod tests;

use super::World;
use crate::simulated::{
    core::{Crash, HostId},
    disk::{DamageReport, Disk, DiskFaults, DiskSlowdown, MediaDamage, MemberState},
    host::HostState,
    kernel,
};

/// What the loss of one drive took, see [`World::lose_member`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberLoss {
    /// There is no such drive, or it was lost already.
    Nothing,
    /// Its mirror has everything.
    Degraded,
    /// It had no mirror, or one that is lost or not yet rebuilt: the disk is lost, and the machine has stopped.
    Disk(super::CrashReport),
}

/// For a limit that may be absent.
fn word(bytes: Option<u64>) -> u64 {
    bytes.unwrap_or(u64::MAX)
}

impl World {
    /// Puts faults in force on a host's disk, in the place of those that were. A stall ends when the new ones have none.
    ///
    /// # Panics
    /// When a probability is not from 0 to 1.
    pub fn set_disk_faults(&self, host: HostId, faults: DiskFaults) {
        kernel::with(|kernel| {
            let digest =
                faults.probabilities().iter().fold(0_u64, |digest, (_, p)| digest.rotate_left(7) ^ p.to_bits());
            let switches = u64::from(faults.lying_sync) | u64::from(faults.stalled) << 1;
            kernel.core.trace(host, "disk.faults", digest, switches);
            let (disk, core) = kernel.disk(host);
            disk.set_faults(core, host, faults);
        });
    }

    /// The faults in force on a host's disk.
    pub fn disk_faults(&self, host: HostId) -> DiskFaults {
        kernel::with(|kernel| kernel.disk(host).0.faults())
    }

    /// Ends what [`World::set_disk_faults`] began. What lost and misdirected writes have left on the media stays until it is
    /// written again, or [`World::repair_media`].
    pub fn clear_disk_faults(&self, host: HostId) {
        self.set_disk_faults(host, DiskFaults::default());
    }

    /// Damages sectors of what the files of a host have on the media. What is in the page cache hides it.
    pub fn damage_media(&self, host: HostId, damage: MediaDamage) -> DamageReport {
        kernel::with(|kernel| {
            let (disk, core) = kernel.disk(host);
            let report = disk.damage_media(core.now_ns(), &damage);
            kernel.core.trace(host, "disk.damage", u64::from(report.sectors), damage.kind as u64);
            report
        })
    }

    /// Takes all damage off the media of a host, whatever it came from: the pristine bytes are back. Returns how many sectors
    /// were damaged. What was read wrongly stays in the page cache.
    pub fn repair_media(&self, host: HostId) -> u64 {
        kernel::with(|kernel| {
            let repaired = kernel.disk(host).0.repair_media();
            kernel.core.trace(host, "disk.repair", repaired, 0);
            repaired
        })
    }

    /// Limits what the files of a host may take, in bytes; `None` takes the limit away. Beyond it a write fails with
    /// `QuotaExceeded`, or under XFS with `StorageFull`.
    pub fn set_disk_quota(&self, host: HostId, quota_bytes: Option<u64>) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "disk.quota", word(quota_bytes), 0);
            kernel.disk(host).0.set_quota(quota_bytes);
        });
    }

    /// Something else fills the file system of a host until only this many bytes are left (`StorageFull` beyond); `None`: it is
    /// deleted.
    pub fn fill_disk(&self, host: HostId, left_bytes: Option<u64>) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "disk.fill", word(left_bytes), 0);
            kernel.disk(host).0.fill(left_bytes);
        });
    }

    /// Limits the memory of the page cache of a host, in bytes; `None`: there is as much as is needed. See
    /// `sim/src/simulated/disk/model/cache.rs`.
    pub fn set_cache_limit(&self, host: HostId, bytes: Option<u64>) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "disk.cache-limit", word(bytes), 0);
            let (disk, core) = kernel.disk(host);
            disk.set_cache_limit(core.now_ns(), bytes);
        });
    }

    /// Drops every clean page from the page cache of a host (`vm.drop_caches`); how many that were.
    pub fn drop_caches(&self, host: HostId) -> u64 {
        kernel::with(|kernel| {
            let (disk, core) = kernel.disk(host);
            let dropped = disk.drop_caches(core.now_ns());
            kernel.core.trace(host, "disk.drop-caches", dropped, 0);
            dropped
        })
    }

    /// Takes the disks out of two machines that are off and puts each into the other one; false when one of them is not off.
    /// The disks keep their content, faults and counters.
    pub fn move_disk(&self, from: HostId, to: HostId) -> bool {
        kernel::with(|kernel| {
            let is_possible = from != to && [from, to].iter().all(|host| kernel.host(*host).state == HostState::Off);
            if is_possible {
                kernel.core.trace(from, "disk.move", u64::from(to.0), 0);
                let (low, high) = (from.0.min(to.0) as usize, from.0.max(to.0) as usize);
                let (left, right) = kernel.disks.split_at_mut(high);
                Disk::exchange(&mut left[low], &mut right[0]);
            }
            is_possible
        })
    }

    /// Makes a copy of a host's disk beneath its file system, which has what a loss of power now would leave, and keeps it in the
    /// place of an earlier one. Neither the machine nor the disk notices.
    pub fn take_snapshot(&self, host: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "disk.snapshot", 0, 0);
            let (disk, core) = kernel.disk(host);
            let snapshot = disk.snapshot(core, host);
            kernel.snapshots.insert(host, snapshot);
        });
    }

    /// Sets the disk of a host that is off back to the copy that was made of it last; false when there is none, or the host is
    /// not off. The copy is used up.
    pub fn restore_snapshot(&self, host: HostId) -> bool {
        kernel::with(|kernel| {
            if kernel.host(host).state != HostState::Off {
                return false;
            }
            let Some(snapshot) = kernel.snapshots.remove(&host) else { return false };
            kernel.core.trace(host, "disk.set-back", 0, 0);
            kernel.disk(host).0.restore(snapshot);
            true
        })
    }

    /// Makes a host's disk slow, from its next operation on. What is under way ends in its time. A slowdown that is in force
    /// is replaced.
    pub fn slow_disk(&self, host: HostId, slowdown: DiskSlowdown) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "disk.slow", slowdown.added_latency_ns, slowdown.bytes_per_s_max);
            let (disk, core) = kernel.disk(host);
            disk.set_slowdown(core.now_ns(), Some(slowdown));
        });
    }

    /// Ends what [`World::slow_disk`] began.
    pub fn restore_disk(&self, host: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "disk.restore", 0, 0);
            let (disk, core) = kernel.disk(host);
            disk.set_slowdown(core.now_ns(), None);
        });
    }

    /// A drive of a host's disk fails for good. In a RAID10 drives 2n and 2n+1 mirror each other; a single drive is number 0.
    pub fn lose_member(&self, host: HostId, member: u16) -> MemberLoss {
        let state = kernel::with(|kernel| {
            kernel.core.trace(host, "disk.member-lost", u64::from(member), 0);
            let (disk, core) = kernel.disk(host);
            disk.lose_member(core.now_ns(), member)
        });
        match state {
            None => MemberLoss::Nothing,
            Some(MemberState::Mirrored) => MemberLoss::Degraded,
            Some(MemberState::Alone) => MemberLoss::Disk(self.crash(host, Crash::Disk)),
        }
    }

    /// Puts a new drive in the place of a lost one and begins to rebuild it; false when that drive is not lost.
    pub fn replace_member(&self, host: HostId, member: u16) -> bool {
        kernel::with(|kernel| {
            kernel.core.trace(host, "disk.member-replaced", u64::from(member), 0);
            let (disk, core) = kernel.disk(host);
            disk.replace_member(core.now_ns(), member)
        })
    }

    /// The next sync of a file on this host that has something to move fails with EIO, once, and its pages are dropped: they
    /// count as clean and are not on the disk. Calls add up.
    pub fn fail_next_sync(&self, host: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(host, "disk.sync-will-fail", 0, 0);
            kernel.disk(host).0.fail_next_sync();
        });
    }

    /// Takes all that is left of [`World::fail_next_sync`] back; whether anything was.
    pub fn withdraw_sync_failure(&self, host: HostId) -> bool {
        kernel::with(|kernel| {
            kernel.core.trace(host, "disk.sync-failure-withdrawn", 0, 0);
            kernel.disk(host).0.withdraw_sync_failures()
        })
    }
}

//! The switches of the control panel for what becomes slow, stands still or fails in part. Each has its way back, and each
//! leaves a step in the trace.

use super::World;
use crate::simulated::{
    core::{Crash, HostId},
    disk::{DiskSlowdown, MemberState},
    kernel,
    net::LinkSlowdown,
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

impl World {
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

    /// Makes the way from one host to another longer and narrower, for packets that leave from now on. A slowdown that is in
    /// force is replaced; cuts and the link's own properties stay as they are.
    pub fn slow_link(&self, from: HostId, to: HostId, slowdown: LinkSlowdown) {
        kernel::with(|kernel| {
            kernel.core.trace(
                from,
                "net.slow",
                u64::from(to.0) << 48 ^ slowdown.added_latency_ns,
                slowdown.bytes_per_s_max,
            );
            kernel.net.set_slowdown(from, to, Some(slowdown));
        });
    }

    /// Ends what [`World::slow_link`] began.
    pub fn restore_link(&self, from: HostId, to: HostId) {
        kernel::with(|kernel| {
            kernel.core.trace(from, "net.restore", u64::from(to.0), 0);
            kernel.net.set_slowdown(from, to, None);
        });
    }
}

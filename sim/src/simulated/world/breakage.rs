//! The switches of the control panel for what becomes slow, stands still or fails in part. Each has its way back, and each
//! leaves a step in the trace.

use super::World;
use crate::simulated::{core::HostId, kernel, net::LinkSlowdown};

impl World {
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

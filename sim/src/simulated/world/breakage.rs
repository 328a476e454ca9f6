//! The switches of the control panel for what becomes slow, stands still or fails in part. Each has its way back, and each
//! leaves a step in the trace.

use super::World;
use crate::simulated::{core::HostId, host::HostState, kernel, net::LinkSlowdown};

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

    /// Makes the process of a host stand still, as SIGSTOP or a stalled virtual CPU does; false when none runs there, or it
    /// stands still already. The clocks run on; the kernel goes on too: it acknowledges what arrives until the receive buffers
    /// are full, and ends the calls that are under way. A crash ends it.
    pub fn pause(&self, host: HostId) -> bool {
        let process = kernel::with(|kernel| {
            let entry = kernel.host(host);
            if entry.state != HostState::Running || entry.paused {
                return None;
            }
            entry.paused = true;
            let process = entry.process(host);
            kernel.core.trace(host, "pause", u64::from(process.incarnation), 0);
            Some(process)
        });
        if let Some(node) = process.and_then(|process| self.node(process)) {
            self.handle.pause(node);
        }
        process.is_some()
    }

    /// Lets a process go on that stands still; false when none does on this host.
    pub fn resume(&self, host: HostId) -> bool {
        let process = kernel::with(|kernel| {
            let entry = kernel.host(host);
            if !std::mem::take(&mut entry.paused) {
                return None;
            }
            let process = entry.process(host);
            kernel.core.trace(host, "resume", u64::from(process.incarnation), 0);
            Some(process)
        });
        if let Some(node) = process.and_then(|process| self.node(process)) {
            self.handle.resume(node);
        }
        process.is_some()
    }
}

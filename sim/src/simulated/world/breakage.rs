//! The switches of the control panel for what becomes slow, stands still or fails in part. Each has its way back, and each
//! leaves a step in the trace.

use super::World;
use crate::simulated::{core::HostId, host::HostState, kernel};

impl World {
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

//! How many files and sockets a process may have open together (`RLIMIT_NOFILE`).
//!
//! A call that opens one more fails with EMFILE: opening a file, or a directory to list or sync it, and `bind`, `connect` and
//! `accept`; a connection that cannot be accepted stays in the accept queue. Without a limit nothing is counted.
//!
//! Left out: what a runtime has open for itself, and the descriptors of the whole system (ENFILE).

use super::{
    core::{HostId, ProcessId},
    kernel::Kernel,
};

/// The number of the error (`EMFILE`), which has no kind of its own.
pub const EMFILE: i32 = 24;
/// What a process may have open where nobody has set a limit: the hard limit that systemd sets.
const USUAL: u64 = 524_288;

impl Kernel {
    /// Limits what the processes of a host may have open, or ends that.
    pub fn set_open_files_max(&mut self, host: HostId, max: Option<u64>) {
        self.host(host).open_files_max = max;
    }

    /// The limit of a host's processes.
    pub fn open_files_max(&mut self, host: HostId) -> u64 {
        self.host(host).open_files_max.unwrap_or(USUAL)
    }

    /// Whether a process may open one more.
    pub fn may_open(&mut self, process: ProcessId) -> bool {
        let Some(max) = self.host(process.host).open_files_max else { return true };
        let files = self.disks[process.host.0 as usize].open_files(process);
        files + self.net.open_sockets(process) < max
    }
}

//! Images of the disk: for oracles and tests every file by path, with its content; for machines that are set back to an older
//! state a copy of the whole disk.

use super::Disk;
use crate::simulated::core::{Core, Crash, HostId};

impl Disk {
    /// The files as a program would read them now, sorted by path.
    pub fn cached_files(&self) -> Vec<(String, Vec<u8>)> {
        let files = self.namespace.files(false);
        files.into_iter().filter_map(|(path, id)| Some((path, self.files.get(&id)?.cached_bytes()))).collect()
    }

    /// The files as they are on the media now, sorted by path: durable entries, durable sizes, drained content. This is
    /// what the unkindest power loss would leave.
    pub fn durable_files(&mut self, now_ns: u64) -> Vec<(String, Vec<u8>)> {
        self.advance(now_ns);
        let files = self.namespace.files(true);
        files.into_iter().filter_map(|(path, id)| Some((path, self.files.get(&id)?.durable_bytes()))).collect()
    }

    /// A copy of the disk beneath the file system, as snapshots of volumes and of virtual machines' disks are: what a loss of
    /// power at this moment would leave. The disk itself goes on.
    pub fn snapshot(&mut self, core: &mut Core, host: HostId) -> Disk {
        self.advance(core.now_ns());
        self.stats.snapshots_injected += 1;
        let mut copy = self.clone();
        copy.key = self.key.derive("snapshot").index(core.now_ns());
        for (_, operation) in &mut copy.operations {
            // Whoever waits for it waits for the disk itself.
            operation.forget_waker();
        }
        copy.crash(core, host, Crash::Power);
        copy
    }

    /// Puts the content of a snapshot in the place of what the disk of a machine that is off holds. The drive, its faults and its
    /// counters stay.
    pub fn restore(&mut self, snapshot: Disk) {
        let Disk { namespace, files, overlays, used_pages, last_number, .. } = snapshot;
        (self.namespace, self.files, self.overlays, self.used_pages) = (namespace, files, overlays, used_pages);
        self.last_number = self.last_number.max(last_number);
        (self.durable, self.committed) = (self.last_number, self.last_number);
        self.background.clear();
        self.stats.set_back_injected += 1;
    }
}

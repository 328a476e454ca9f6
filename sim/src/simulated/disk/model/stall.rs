//! A drive that answers nothing for a while: a controller that resets, a multipath that waits for a path, a virtual disk whose
//! storage is away. Linux waits 30 s for a SCSI command before it resets the bus (`SD_TIMEOUT`), and forever for a virtio disk.
//!
//! Calls that need the drive stay in flight; write-back, drains and the journal stand still; what the page cache answers goes
//! on, and so do writes into it. When the drive is released, everything under way has still to take the time that it had
//! left. A crash of the machine ends the calls, not the stall: the next boot finds the drive as silent.
//!
//! Left out: the time-outs of the kernel (a stall ends with success), a process that cannot be killed while it waits (state D).

use super::{Disk, InodeId, operation::OperationId};
use crate::simulated::core::{Core, HostId};
use std::collections::BTreeMap;

impl Disk {
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled_since_ns.is_some()
    }

    pub(super) fn stall(&mut self, now_ns: u64) {
        self.stalled_since_ns.get_or_insert(now_ns);
    }

    /// Whether a call cannot end while the drive is stalled: it needs the drive, or an earlier one that does has the inode lock.
    pub(super) fn is_blocked(&self, id: OperationId) -> bool {
        let Some(operation) = self.operation(id) else { return false };
        let is_earlier_blocked = || {
            let locked = operation.locked_file();
            let earlier = self.operations.iter().take_while(|(other, _)| *other < id);
            locked.is_some() && earlier.clone().any(|(_, other)| other.needs_drive && other.locked_file() == locked)
        };
        operation.needs_drive || is_earlier_blocked()
    }

    /// The drive answers again.
    pub(super) fn release(&mut self, core: &mut Core, host: HostId) {
        let Some(since_ns) = self.stalled_since_ns.take() else { return };
        let now_ns = core.now_ns();
        self.syncs.delay_by_stall(since_ns, now_ns);
        self.background.delay_by_stall(since_ns, now_ns);
        let mut locked_until_ns: BTreeMap<InodeId, u64> = BTreeMap::new();
        for (id, operation) in self.operations.iter_mut().filter(|(_, operation)| operation.is_running()) {
            let locked = operation.locked_file();
            let waits_until_ns = locked.and_then(|file| locked_until_ns.get(&file).copied());
            if !operation.needs_drive && waits_until_ns.is_none() {
                continue;
            }
            let left_ns = operation.ends_ns.saturating_sub(operation.runs_from_ns.max(since_ns));
            operation.runs_from_ns = waits_until_ns.unwrap_or(now_ns);
            operation.ends_ns = operation.runs_from_ns + left_ns;
            if let Some(file) = locked {
                locked_until_ns.insert(file, operation.ends_ns);
            }
            if std::mem::take(&mut operation.is_held) {
                Disk::schedule_end(core, host, *id, operation.ends_ns);
            }
        }
        for (file, until_ns) in locked_until_ns {
            if let Some(file) = self.files.get_mut(&file) {
                file.busy_until_ns = until_ns;
            }
        }
        for file in std::mem::take(&mut self.held_write_back) {
            self.write_back_file(file, now_ns);
        }
        self.advance(now_ns);
    }
}

//! Files on the host's disk.
//!
//! A write is in the page cache when it returns, and survives the process; [`File::sync_data`] and [`File::sync_all`] make it
//! survive the machine. A new name survives the machine only after [`sync_dir`] of its directory, whether or not the
//! file behind it was synced. What exactly a crash takes is told in the text of `model`.
//!
//! This is the shell: futures and handles that hold numbers and enter the kernel for everything. A call enters the model
//! when it is first polled; dropping its future does not take it back. A handle of a dead process answers every call with
//! an error, and its drop does nothing.

mod file;
mod model;
mod paths;
#[cfg(test)]
mod tests;

pub use file::{File, OpenOptions};
pub use model::{
    CrashReport, DamageReport, DiskFaults, DiskSlowdown, DiskSpec, DiskStats, MediaDamage, MediaDamageKind,
    Personality, Raid10,
};
pub(super) use model::{Disk, DiskEvent, MemberState};
pub use paths::{
    DirEntry, DiskUsage, Metadata, create_dir_all, exists, metadata, read, read_dir, remove_dir_all, remove_file,
    rename, sync_dir, usage,
};

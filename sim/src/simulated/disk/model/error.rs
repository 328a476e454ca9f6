//! What a disk call can be refused for.

use crate::simulated::descriptors::EMFILE;
use std::io;

/// A refused or failed disk call. The kinds of [`io::Error`] that it turns into are those of the real file system, so that
/// a program takes the same path in both bodies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    #[error("{path}: there is no such file or directory")]
    NotFound { path: String },
    #[error("{path}: exists already")]
    AlreadyExists { path: String },
    #[error("{path}: is not a directory")]
    NotADirectory { path: String },
    #[error("{path}: is a directory")]
    IsADirectory { path: String },
    #[error("{path}: a name longer than 255 bytes, or a path longer than 4095")]
    NameTooLong { path: String },
    #[error("{path}: the directory is not empty")]
    NotEmpty { path: String },
    #[error(
        "{path}: not a path that can be used here; use UTF-8 names, and none for the root or a directory's own child"
    )]
    BadPath { path: String },
    #[error(
        "no space left on the disk: {needed_bytes} bytes more are needed, {available_bytes} are available; delete files or \
         give the disk a larger capacity"
    )]
    Full { needed_bytes: u64, available_bytes: u64 },
    #[error(
        "over the quota: {needed_bytes} bytes more are needed, {available_bytes} are available; delete files or raise the quota"
    )]
    OverQuota { needed_bytes: u64, available_bytes: u64 },
    #[error("the file is locked by another open file; does another process use this directory?")]
    Locked,
    #[error("the file was opened without the right to {right} it; ask for that right in OpenOptions")]
    NotPermitted { right: &'static str },
    #[error("the file was opened without the right to write, which changing its size needs")]
    CannotResize,
    #[error("a reservation of nothing, or of what lies beyond the end of the file")]
    NothingToReserve,
    #[error("offset {offset} with length {len} is beyond what a file can hold")]
    TooLarge { offset: u64, len: u64 },
    #[error("the open options ask for neither read nor write access, or to create or truncate without write access")]
    BadOptions,
    #[error(
        "input/output error: the drive did not take what was to be synced; the kernel has dropped it, and a further sync would \
         not bring it back: do not trust this file beyond the last sync that succeeded"
    )]
    Io,
    #[error("input/output error: the drive could not read what the file has at offset {offset}")]
    Unreadable { offset: u64 },
    #[error("the process has too many files and sockets open; close some, or raise the limit (ulimit -n)")]
    TooManyOpen,
    #[error("the process that opened this file or began this call is dead")]
    Dead,
}

const EIO: i32 = 5;
const EBADF: i32 = 9;

impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> io::Error {
        let kind = match &error {
            DiskError::NotFound { .. } => io::ErrorKind::NotFound,
            DiskError::AlreadyExists { .. } => io::ErrorKind::AlreadyExists,
            DiskError::NotADirectory { .. } => io::ErrorKind::NotADirectory,
            DiskError::IsADirectory { .. } => io::ErrorKind::IsADirectory,
            DiskError::NotEmpty { .. } => io::ErrorKind::DirectoryNotEmpty,
            DiskError::NameTooLong { .. } => io::ErrorKind::InvalidFilename,
            DiskError::BadPath { .. }
            | DiskError::BadOptions
            | DiskError::CannotResize
            | DiskError::NothingToReserve
            | DiskError::TooLarge { .. } => io::ErrorKind::InvalidInput,
            DiskError::Full { .. } => io::ErrorKind::StorageFull,
            DiskError::OverQuota { .. } => io::ErrorKind::QuotaExceeded,
            DiskError::Locked => io::ErrorKind::WouldBlock,
            // EBADF and EIO have no kind that could be named: programs tell them by their number.
            DiskError::NotPermitted { .. } => return io::Error::from_raw_os_error(EBADF),
            DiskError::Io | DiskError::Unreadable { .. } => return io::Error::from_raw_os_error(EIO),
            DiskError::TooManyOpen => return io::Error::from_raw_os_error(EMFILE),
            DiskError::Dead => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

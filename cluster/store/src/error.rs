//! What can go wrong with a store directory: the place, what happened, and what can be done about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use protocol::PhysicalOffset;

/// Why a store does not open, or has stopped taking writes.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The drive has no room for more of the log.
    #[error(
        "{} needs {needed_bytes} bytes of room: the drive has {available_bytes}, of which {kept_bytes} are kept for the rest of \
         the store; delete something else from the drive, or lower fileReservedTime",
        path.display()
    )]
    NoRoom {
        /// The file of the log.
        path: PathBuf,
        /// How much more it needs.
        needed_bytes: u64,
        /// How much there is.
        available_bytes: u64,
        /// How much of it is not for the log.
        kept_bytes: u64,
    },
    /// Another process has the store open.
    #[error(
        "{} is locked by another process: one broker per store directory; stop the other broker, or give this one its own \
         storePathRootDir",
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Something lies in the store directory that no broker puts there. Nothing was changed.
    #[error("{} does not belong to a store: {why}; move it out of the store directory and start again", path.display())]
    ForeignFile {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file has a size that neither the settings nor a crash explain. Nothing was changed.
    #[error(
        "{} has {length_bytes} bytes instead of {expected_bytes}: it was truncated or copied in part, or {setting} is not what \
         it was when the file was written; set it right or restore the file from a backup or a replica",
        path.display()
    )]
    WrongLength {
        /// The file.
        path: PathBuf,
        /// The bytes that it has.
        length_bytes: u64,
        /// The bytes that it should have.
        expected_bytes: u64,
        /// The setting that gives the expected size.
        setting: &'static str,
    },
    /// A file in the middle of a series is absent. Nothing was changed.
    #[error(
        "{} is missing between files that are present: restore it from a backup or a replica, or move the files before it \
         away",
        path.display()
    )]
    MissingFile {
        /// The file that should be there.
        path: PathBuf,
    },
    /// There is nothing that a broker makes.
    #[error("{} is no store directory: it has no commitlog, nor anything else of a store", path.display())]
    NoStore {
        /// The directory.
        path: PathBuf,
    },
    /// A store has no log any more, which its checkpoint or its queues show to have been there. Nothing was changed.
    #[error(
        "{} has no file, although this store had a log: its checkpoint says that it was flushed up to physical offset \
         {flushed_offset}. Mount or restore it; or, to begin anew without what was in it, move the whole store directory away",
        path.display()
    )]
    LogGone {
        /// The directory of the log.
        path: PathBuf,
        /// How far the log went.
        flushed_offset: PhysicalOffset,
    },
    /// A record that had been made durable is damaged while later ones are whole. Nothing was changed.
    #[error(
        "the CommitLog is damaged in {} at byte {file_offset} (physical offset {physical_offset}): {why}, although it had been \
         flushed and the record at physical offset {next_valid_offset} after it is whole; restore the file from a replica or a \
         backup, or, to give up everything from there on, move this and all later files away",
        path.display()
    )]
    DamagedLog {
        /// The file of the CommitLog.
        path: PathBuf,
        /// The byte within the file.
        file_offset: u64,
        /// The same place in the log.
        physical_offset: PhysicalOffset,
        /// What is wrong with the record.
        why: String,
        /// The next whole record.
        next_valid_offset: PhysicalOffset,
    },
    /// A configuration file and its backup are unreadable.
    #[error("neither {} nor its .bak can be read: {why}; repair one of them or remove both", path.display())]
    ConfigFile {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file of epochs is damaged.
    #[error(
        "{} cannot be read: {why}; restore it from a backup, or, if there is none, empty this store (a slave), or remove the \
         file (a master: its slaves then have to be emptied)",
        path.display()
    )]
    EpochsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Bytes were asked for that the log does not have.
    #[error("physical offset {offset} is not in the log, which has {min} to {max}")]
    NotInLog {
        /// Where they were asked for.
        offset: PhysicalOffset,
        /// The first that is there.
        min: PhysicalOffset,
        /// The log's end.
        max: PhysicalOffset,
    },
    /// What a replica is to append is not what belongs at that place. Nothing was written.
    #[error("the replica's log cannot go on at physical offset {at}: {why}")]
    NotAppendable {
        /// Where it was to be written.
        at: PhysicalOffset,
        /// What is wrong with it.
        why: String,
    },
    /// The store takes nothing any more, or not now.
    #[error("the store takes no writes: {why}")]
    Refused {
        /// Why.
        why: std::sync::Arc<str>,
    },
    /// The settings of an open store have been changed as often as can be.
    #[error("the settings were changed too often since the broker started: restart it to change them again")]
    ChangedTooOften,
    /// A setting that cannot work.
    #[error("{setting} = {value} cannot work: {why}")]
    Setting {
        /// Its name in RocketMQ's configuration.
        setting: &'static str,
        /// The value given.
        value: u64,
        /// What is allowed.
        why: &'static str,
    },
}

impl StoreError {
    /// Whether all that is wrong is that the drive is full, or a quota used up.
    pub fn is_no_room(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            StoreError::NoRoom { .. } => true,
            StoreError::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded),
            _ => false,
        }
    }
}

/// Turns an error of the operating system into one that names the file.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io { action, path, source }
}

/// Locks a mutex whose holders never leave it half-changed.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

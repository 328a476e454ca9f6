//! The files of a series that are open: fewer than there are.
//!
//! A store has a file for every queue and for every GiB of its log; a process may have some thousands open. So a file is opened
//! when it is read or written, and when too many are open, one that was not used lately is closed (the clock algorithm: a second
//! chance for each that was used since the last look).
//!
//! A file that was written since its last successful sync stays open: an error of its write-back is told to the handles that
//! are open then (`errseq(7)`), and closing them could lose it.

use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
};

use sim::{
    disk::{File, OpenOptions},
    process,
};

use crate::error::lock;

/// The most that the series of one kind have open: of the queues, or of the log…
const OPEN_MAX: usize = 128;
/// …which is such a part of what the process may have open, if that is little.
const OPEN_PART: u64 = 8;

/// The part of the files that this process may have open which is for one kind of use.
pub(crate) fn part_of_open_files() -> usize {
    usize::try_from(process::open_files_max() / OPEN_PART).unwrap_or(usize::MAX).max(1)
}

/// Too many open files in the process (EMFILE), or in the system (ENFILE).
const TOO_MANY_OPEN: [i32; 2] = [24, 23];

/// Whether a call failed because too many files are open.
pub(crate) fn is_too_many_open(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| TOO_MANY_OPEN.contains(&number))
}

/// The open files of several series, with the most that may be open.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    max: usize,
    /// In the order in which they were opened or last spared.
    open: Mutex<VecDeque<Weak<CachedFile>>>,
}

/// A file that is open while it is used.
#[derive(Debug, Default)]
pub(crate) struct CachedFile(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    was_used: bool,
    /// Counts the writes.
    writes: u64,
    /// So many of them are synced.
    synced: u64,
    is_kept: bool,
}

impl State {
    fn take_file(&mut self, writes: u64) -> Option<File> {
        let file = self.file.clone()?;
        self.was_used = true;
        self.writes += writes;
        Some(file)
    }

    fn may_be_closed(&self) -> bool {
        !self.is_kept && self.writes == self.synced
    }
}

impl OpenFiles {
    /// As many files are open as is reasonable in this process.
    pub(crate) fn for_this_process() -> Arc<OpenFiles> {
        OpenFiles::new(OPEN_MAX.min(part_of_open_files()))
    }

    /// At most `max` files are open, but for those that have to be.
    pub(crate) fn new(max: usize) -> Arc<OpenFiles> {
        Arc::new(OpenFiles { max: max.max(1), open: Mutex::default() })
    }

    /// Takes up a file that was just created.
    pub(crate) fn adopt(&self, file: File) -> Arc<CachedFile> {
        let cached = Arc::new(CachedFile(Mutex::new(State { file: Some(file), was_used: true, ..State::default() })));
        self.note_open(&cached);
        cached
    }

    /// The file, to be read or synced; opened if need be.
    pub(crate) async fn file(&self, cached: &Arc<CachedFile>, path: impl Fn() -> PathBuf) -> io::Result<File> {
        self.open(cached, path, 0).await
    }

    /// The file, to be written. It stays open until [`CachedFile::note_synced`].
    pub(crate) async fn file_to_write(&self, cached: &Arc<CachedFile>, path: impl Fn() -> PathBuf) -> io::Result<File> {
        self.open(cached, path, 1).await
    }

    async fn open(&self, cached: &Arc<CachedFile>, path: impl Fn() -> PathBuf, writes: u64) -> io::Result<File> {
        if let Some(file) = lock(&cached.0).take_file(writes) {
            return Ok(file);
        }
        let path = path();
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let opened = match options.open(&path).await {
            Err(error) if is_too_many_open(&error) => {
                let closed = self.close_idle(0);
                tracing::warn!(path = %path.display(), closed, "too many open files: closing those of the store");
                options.open(&path).await?
            }
            opened => opened?,
        };
        let file = {
            let mut state = lock(&cached.0);
            // Whoever has opened it meanwhile has it open for all.
            if let Some(file) = state.take_file(writes) {
                return Ok(file);
            }
            state.file = Some(opened);
            state.take_file(writes)
        };
        self.note_open(cached);
        Ok(file.expect("it was just opened"))
    }

    fn note_open(&self, cached: &Arc<CachedFile>) {
        self.close_idle(self.max - 1);
        lock(&self.open).push_back(Arc::downgrade(cached));
    }

    /// Closes files until at most `left` are open, or only those that must stay; how many it closed.
    pub(crate) fn close_idle(&self, left: usize) -> usize {
        let mut closed = Vec::new();
        let mut open = lock(&self.open);
        // Each is spared once at most.
        let mut looks = 2 * open.len();
        while open.len() > left && looks > 0 {
            looks -= 1;
            let Some(oldest) = open.pop_front() else { break };
            let Some(cached) = oldest.upgrade() else { continue };
            let mut state = lock(&cached.0);
            if std::mem::take(&mut state.was_used) || !state.may_be_closed() {
                open.push_back(oldest);
            } else {
                closed.extend(state.file.take());
            }
        }
        drop(open);
        closed.len()
    }
}

impl CachedFile {
    /// How many writes there were, before a sync.
    pub(crate) fn writes(&self) -> u64 {
        lock(&self.0).writes
    }

    /// A sync that began after so many writes has succeeded.
    pub(crate) fn note_synced(&self, writes: u64) {
        let mut state = lock(&self.0);
        state.synced = state.synced.max(writes);
    }

    /// Keeps the file open, if it is, or no longer.
    pub(crate) fn keep_open(&self, keep: bool) {
        lock(&self.0).is_kept = keep;
    }

    #[cfg(all(test, not(feature = "real")))]
    fn is_open(&self) -> bool {
        lock(&self.0).file.is_some()
    }
}

#[cfg(all(test, not(feature = "real")))]
mod tests;

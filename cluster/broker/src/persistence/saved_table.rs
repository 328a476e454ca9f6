//! Bringing a table of configuration to its file, for many at a time: changes that come while one write is under way share the
//! next. A table that could not be written is written again every second until it is, and once more when the broker stops.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::body::ConfigTable;
use sim::time::{Instant, sleep};
use store::{LoadedTable, StoreError, TableChange, TableFile};
use tokio::sync::Notify;

use crate::core::lock;
use crate::state::tracked::{ChangeNumber, Holds, TableFull};

/// How long a table rests that could not be written.
const RETRY: Duration = Duration::from_secs(1);
/// How long after a change the whole table is written at the earliest.
const WHOLE_AFTER: Duration = Duration::from_secs(1);
/// A large table is written as a whole so seldom that it makes no more than this of its own writes.
const WHOLE_BYTES_PER_S: u64 = 1 << 20;

/// What should be in a table's file is not.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NotSaved {
    /// The table is not on disk as it is in memory.
    #[error("{file} was not written: {why}. It is tried again every second; what is not on disk does not count yet")]
    NotWritten { file: &'static str, why: Arc<str> },
    /// The table does not take it.
    #[error(transparent)]
    Full(#[from] TableFull),
}

/// A table's file.
pub(crate) struct SavedTable<T: ConfigTable> {
    name: &'static str,
    file: tokio::sync::Mutex<TableFile<T>>,
    attempts: Mutex<Attempts>,
    /// Something is to be written, sooner or later.
    wanted: Notify,
}

#[derive(Default)]
struct Attempts {
    begun: u64,
    /// The last one, if it has failed.
    failure: Option<Failure>,
}

struct Failure {
    attempt: u64,
    /// What it was to write.
    up_to: ChangeNumber,
    at: Instant,
    error: NotSaved,
}

impl<T: ConfigTable> SavedTable<T> {
    pub(crate) fn new(name: &'static str, file: TableFile<T>) -> Self {
        Self { name, file: tokio::sync::Mutex::new(file), attempts: Mutex::default(), wanted: Notify::new() }
    }

    pub(crate) async fn load(&self) -> Result<LoadedTable<T>, StoreError> {
        self.file.lock().await.load().await
    }

    /// Brings everything to the drive that has changed until now.
    pub(crate) async fn save(&self, table: &Mutex<impl Holds<Table = T>>) -> Result<(), NotSaved> {
        let wanted = lock(table).tracked().last_change();
        let begun_before = lock(&self.attempts).begun;
        let mut file = self.file.lock().await;
        // Who had the file before may have written this, too, or tried to.
        if lock(table).tracked().saved_change() >= wanted {
            return Ok(());
        }
        if let Some(failure) = &lock(&self.attempts).failure
            && failure.attempt > begun_before
            && failure.up_to >= wanted
        {
            return Err(failure.error.clone());
        }
        self.write(&mut file, table, false).await
    }

    /// As [`SavedTable::save`], of one row, for those who may not go on without; at once if the last attempt has just failed.
    pub(crate) async fn ensure_saved(&self, table: &Mutex<impl Holds<Table = T>>, name: &str) -> Result<(), NotSaved> {
        if lock(table).tracked().is_row_saved(name) {
            return Ok(());
        }
        if let Some(failure) = &lock(&self.attempts).failure
            && failure.at.elapsed() < RETRY
        {
            return Err(failure.error.clone());
        }
        self.save(table).await
    }

    /// Writes the whole table, so that its file alone says everything: for Apache's broker, and for older ones.
    pub(crate) async fn save_whole(&self, table: &Mutex<impl Holds<Table = T>>) -> Result<(), NotSaved> {
        let mut file = self.file.lock().await;
        if lock(table).tracked().is_saved() && !file.has_changes() {
            return Ok(());
        }
        self.write(&mut file, table, true).await
    }

    async fn write(
        &self,
        file: &mut TableFile<T>,
        table: &Mutex<impl Holds<Table = T>>,
        whole: bool,
    ) -> Result<(), NotSaved> {
        let attempt = {
            let mut attempts = lock(&self.attempts);
            attempts.begun += 1;
            attempts.begun
        };
        let (up_to, change) = {
            let table = lock(table);
            let tracked = table.tracked();
            let rows = if whole || !file.takes_changes() { None } else { tracked.since(tracked.saved_change()) };
            let change = rows.map(|rows| TableChange { data_version: tracked.version().clone(), rows });
            (tracked.last_change(), change.ok_or_else(|| T::clone(tracked)))
        };
        let written = match change {
            Ok(change) => file.append(&change).await,
            Err(table) => file.store(table).await,
        };
        // The whole is due when the journal has something; what failed is due again.
        self.wanted.notify_one();
        match written {
            Ok(()) => {
                lock(table).tracked_mut().mark_saved(up_to);
                lock(&self.attempts).failure = None;
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "{} was not written: it is tried again", self.name);
                let error = NotSaved::NotWritten { file: self.name, why: error.to_string().into() };
                let failure = Failure { attempt, up_to, at: Instant::now(), error: error.clone() };
                lock(&self.attempts).failure = Some(failure);
                Err(error)
            }
        }
    }

    /// Writes again what could not be written, and the whole table now and then. For ever.
    pub(crate) async fn keep(&self, table: &Mutex<impl Holds<Table = T>>) {
        loop {
            self.wanted.notified().await;
            while let Some(pause) = self.due_in(table).await {
                sleep(pause).await;
                let is_saved = lock(table).tracked().is_saved();
                let written = if is_saved { self.save_whole(table).await } else { self.save(table).await };
                // An error has been told, and is tried again.
                drop(written);
            }
        }
    }

    async fn due_in(&self, table: &Mutex<impl Holds<Table = T>>) -> Option<Duration> {
        let file = self.file.lock().await;
        if !lock(table).tracked().is_saved() {
            return Some(RETRY);
        }
        let pause = WHOLE_AFTER + Duration::from_millis(file.whole_bytes() * 1_000 / WHOLE_BYTES_PER_S);
        file.has_changes().then_some(pause)
    }
}

//! The file of a table whose rows come one by one, and may be many: topics.json, subscriptionGroup.json.
//!
//! To write all of it for each new row is quadratic: 5,000 topics would write 5 GB. So a change is a line in a journal beside the
//! file ([`journal`]), and now and then the whole table is written and the journal begins anew. The file is what Apache's broker
//! reads and writes; it knows nothing of the journal, which is empty after a stop in good order.
//!
//! The whole is written twice, as the file and as its `.bak`, so that damage to one of them costs nothing. The journal names the
//! content that it goes on from. That tells what was found when the file is read again:
//!
//! | the file | the journal | is |
//! |---|---|---|
//! | as the journal names it | any | the file with the changes of the journal |
//! | another content | empty, or all in it | written whole just before a crash; or changed by Apache's broker, or by hand |
//! | another content of the same version | any | changed by hand, or damaged: the rows that differ are told |
//! | another content | rows that it lacks | those rows are added, and it is told |
//! | unreadable or missing | any | the backup with the changes of the journal, and it is told |
//!
//! Rows that an older copy has and the table lacks are kept as [`LoadedTable::spare`]: whether one of them was removed on purpose,
//! other evidence must say.

mod journal;

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use protocol::body::ConfigTable;
use sim::{disk, task};

pub use journal::TableChange;
use journal::{Content, Journal, Noted, Place};

use crate::{
    config_file::is_blank,
    durable,
    error::{StoreError, io_error},
};

/// The room that a change takes, at least.
const CHANGE_BYTES: usize = 4096;

/// A table's file, its backup and its journal.
#[derive(Debug)]
pub struct TableFile<T> {
    path: PathBuf,
    backup: PathBuf,
    journal_path: PathBuf,
    /// The store that the file belongs to, which keeps some room for it on a full drive.
    root: Option<PathBuf>,
    journal: Option<Journal>,
    /// The journal goes on from what the file has, and its last line was written whole.
    takes_changes: bool,
    table: PhantomData<fn() -> T>,
}

/// What a table's files held.
#[derive(Clone, Debug)]
pub struct LoadedTable<T: ConfigTable> {
    /// The table; `None` if there is none.
    pub table: Option<T>,
    /// Rows of an older copy that the table does not have.
    pub spare: BTreeMap<String, T::Row>,
    /// Why the table may be older than what this broker had written; `None` when it is what was written last, as far as anybody
    /// can tell.
    pub is_older: Option<String>,
    /// The files say exactly this: nothing has to be written.
    pub is_written: bool,
}

/// One of the copies.
enum Copy<T> {
    /// There is none, or it has no content.
    Nothing,
    Unreadable(String),
    Whole {
        content: Content,
        table: T,
    },
}

impl<T: ConfigTable> TableFile<T> {
    /// The file at `path`, for example `{storePathRootDir}/config/topics.json`; it need not exist.
    pub fn new(path: impl Into<PathBuf>) -> TableFile<T> {
        let path = path.into();
        TableFile {
            backup: durable::with_suffix(&path, ".bak"),
            journal_path: durable::with_suffix(&path, ".journal"),
            path,
            root: None,
            journal: None,
            takes_changes: false,
            table: PhantomData,
        }
    }

    /// The same, as a file of the store in `root`, which keeps some room for it on a full drive.
    #[must_use]
    pub fn of_store(self, root: impl Into<PathBuf>) -> TableFile<T> {
        TableFile { root: Some(root.into()), ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the table. Changes can be added to its journal from then on if that is whole.
    ///
    /// # Errors
    /// [`StoreError::ConfigFile`] when something is there and none of it can be understood: to go on with an empty table would be
    /// to forget all rows.
    pub async fn load(&mut self) -> Result<LoadedTable<T>, StoreError> {
        let (loaded, place) = self.read().await?;
        if let Some(place) = place {
            match Journal::open(&self.journal_path, place).await {
                Ok(journal) => (self.journal, self.takes_changes) = (Some(journal), true),
                // The next change is written with the whole table.
                Err(error) => tracing::warn!(%error, "the journal cannot be added to"),
            }
        }
        Ok(loaded)
    }

    /// The table, and where its journal can be added to.
    pub(crate) async fn read(&self) -> Result<(LoadedTable<T>, Option<Place>), StoreError> {
        let main = read_copy::<T>(&self.path).await?;
        let noted = journal::read::<T::Row>(&self.journal_path).await?;
        if let Some(noted) = noted.as_ref().filter(|noted| noted.damaged > 0) {
            tracing::warn!(
                path = %self.journal_path.display(),
                lines = noted.damaged,
                "changes in the journal are damaged: what they changed is as it was before"
            );
        }
        match (main, noted) {
            (Copy::Whole { content, table }, Some(noted)) if content == noted.base => {
                let place = noted.place();
                let is_older = (noted.damaged > 0).then(|| format!("{} is damaged", self.journal_path.display()));
                let is_written = noted.is_whole && noted.changes.is_empty();
                let table = Some(replay(table, noted));
                Ok((LoadedTable { table, spare: BTreeMap::new(), is_older, is_written }, place))
            }
            (Copy::Whole { table, .. }, noted) => Ok((self.merge(table, noted).await?, None)),
            (unusable, noted) => Ok((self.stand_in(unusable, noted).await?, None)),
        }
    }

    /// The file is not what the journal goes on from.
    async fn merge(&self, mut table: T, noted: Option<Noted<T::Row>>) -> Result<LoadedTable<T>, StoreError> {
        let path = self.path.display();
        let mut is_older = None;
        let mut spare = BTreeMap::new();
        if let Copy::Whole { content, table: mut backup } = read_copy::<T>(&self.backup).await? {
            let is_ours = noted.as_ref().is_some_and(|noted| noted.base == content);
            if is_ours && table.version().counter < backup.version().counter {
                is_older = Some(format!("{path} is older than what this broker wrote last"));
            }
            if is_ours && table.version() == backup.version() {
                tell_differences(&self.path, &table, &backup);
            }
            spare = std::mem::take(backup.rows_mut());
        }
        let last_states = noted.map(|noted| last_states(noted.changes)).unwrap_or_default();
        let missing: BTreeMap<_, _> = last_states
            .into_iter()
            .filter_map(|(name, row)| Some((name, row?)))
            .filter(|(name, _)| !table.rows().contains_key(name))
            .collect();
        if !missing.is_empty() {
            let rows: Vec<_> = missing.keys().collect();
            tracing::warn!(
                %path, ?rows,
                "the file was changed by another than this broker, and lacks what this broker has noted in its journal: added"
            );
            is_older.get_or_insert_with(|| format!("{path} lacks what its journal has"));
            table.rows_mut().extend(missing);
            table.version_mut().counter += 1;
        }
        spare.retain(|name, _| !table.rows().contains_key(name));
        Ok(LoadedTable { table: Some(table), spare, is_older, is_written: false })
    }

    /// The file cannot be used: its backup stands in.
    async fn stand_in(&self, main: Copy<T>, noted: Option<Noted<T::Row>>) -> Result<LoadedTable<T>, StoreError> {
        let (path, backup) = (self.path.display(), self.backup.display());
        let why = match &main {
            Copy::Unreadable(why) => why.clone(),
            _ => "it is missing or empty".to_owned(),
        };
        let older = match read_copy::<T>(&self.backup).await? {
            Copy::Whole { content, table } => Some((Some(content), table)),
            Copy::Unreadable(why) => return Err(StoreError::ConfigFile { path: self.path.clone(), why }),
            Copy::Nothing if matches!(main, Copy::Unreadable(_)) => {
                return Err(StoreError::ConfigFile { path: self.path.clone(), why });
            }
            Copy::Nothing => noted.as_ref().filter(|noted| !noted.changes.is_empty()).map(|_| (None, T::default())),
        };
        let Some((content, table)) = older else {
            return Ok(LoadedTable { table: None, spare: BTreeMap::new(), is_older: None, is_written: false });
        };
        let is_older = match &noted {
            Some(noted) if Some(noted.base) == content && noted.damaged == 0 => None,
            _ => Some(format!("{path} cannot be used ({why}), and its backup is older")),
        };
        match is_older {
            None => {
                tracing::warn!(%path, why, %backup, "the file cannot be used: its backup has the same, and stands in")
            }
            Some(_) => tracing::warn!(
                %path, why, %backup,
                "the file cannot be used: its backup stands in, which is older; what was added since may be missing"
            ),
        }
        let table = match noted {
            Some(noted) => replay(table, noted),
            None => table,
        };
        Ok(LoadedTable { table: Some(table), spare: BTreeMap::new(), is_older, is_written: false })
    }

    /// Whether a change can be written by itself; if not, the whole table has to be.
    #[must_use]
    pub fn takes_changes(&self) -> bool {
        self.takes_changes && self.journal.is_some()
    }

    /// Whether there is something in the journal, or was to be: the file alone does not say the whole table.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.takes_changes() || self.journal.as_ref().is_some_and(Journal::has_changes)
    }

    /// How many bytes the file had when it was last written as a whole.
    #[must_use]
    pub fn whole_bytes(&self) -> u64 {
        self.journal.as_ref().map_or(0, Journal::base_bytes)
    }

    /// Writes a change, durably. When this fails, or is given up, the next thing to be written is the whole table.
    ///
    /// # Errors
    /// [`StoreError`]; whether the change will be there after the next start is then not known.
    ///
    /// # Panics
    /// When the journal takes no changes.
    pub async fn append(&mut self, change: &TableChange<T::Row>) -> Result<(), StoreError> {
        assert!(self.takes_changes(), "changes are written by themselves only while the journal takes them");
        self.takes_changes = false;
        if let Some(journal) = &mut self.journal {
            match journal.append(change).await {
                Err(error) if durable::gives_room(self.root.as_deref(), &error, CHANGE_BYTES).await => {
                    journal.append(change).await?;
                }
                appended => appended?,
            }
        }
        self.takes_changes = true;
        Ok(())
    }

    /// Writes the whole table, durably, and empties the journal.
    ///
    /// # Errors
    /// [`StoreError`]; the file is then what it was, or what it was to be.
    pub async fn store(&mut self, table: T) -> Result<(), StoreError> {
        // It may be long, and nobody is to wait for it but who wants it written.
        let (bytes, content) = task::aside(async move {
            let bytes = table.encode_pretty();
            let content = Content::of(&bytes);
            (bytes, content)
        })
        .await;
        let directory = durable::parent_of(&self.path);
        durable::create_dir(directory).await?;
        let copies = [
            (durable::write_beside(self.root.as_deref(), &self.path, &bytes).await?, &self.path),
            (durable::write_beside(self.root.as_deref(), &self.backup, &bytes).await?, &self.backup),
        ];
        // What goes on from the file's old content must not be added to any more.
        self.takes_changes = false;
        for (temporary, path) in copies {
            disk::rename(&temporary, path).await.map_err(io_error("rename", &temporary))?;
        }
        durable::sync_dir(directory).await?;
        if self.journal.is_none() {
            self.journal = Some(Journal::create(&self.journal_path).await?);
        }
        if let Some(journal) = &mut self.journal {
            journal.begin(content).await?;
        }
        self.takes_changes = true;
        Ok(())
    }
}

async fn read_copy<T: ConfigTable>(path: &Path) -> Result<Copy<T>, StoreError> {
    if !disk::exists(path).await.map_err(io_error("look for", path))? {
        return Ok(Copy::Nothing);
    }
    let bytes = disk::read(path).await.map_err(io_error("read", path))?;
    if is_blank(&bytes) {
        return Ok(Copy::Nothing);
    }
    Ok(match T::decode(&bytes) {
        Ok(table) => Copy::Whole { content: Content::of(&bytes), table },
        Err(error) => Copy::Unreadable(error.to_string()),
    })
}

fn replay<T: ConfigTable>(mut table: T, noted: Noted<T::Row>) -> T {
    for change in noted.changes {
        *table.version_mut() = change.data_version;
        for (name, row) in change.rows {
            match row {
                Some(row) => table.rows_mut().insert(name, row),
                None => table.rows_mut().remove(&name),
            };
        }
    }
    table
}

/// Who changes a table counts its version up: what differs without that was changed by hand, or is damaged.
fn tell_differences<T: ConfigTable>(path: &Path, table: &T, backup: &T) {
    let names: BTreeSet<_> = table.rows().keys().chain(backup.rows().keys()).collect();
    let rows: Vec<_> = names.into_iter().filter(|name| table.rows().get(*name) != backup.rows().get(*name)).collect();
    if !rows.is_empty() {
        tracing::warn!(
            path = %path.display(), ?rows,
            "these rows are not as this broker wrote them, though the table's version is: if nobody has edited the file, it is \
             damaged, and its backup has them"
        );
    }
}

/// What became of each row that a journal names.
fn last_states<R>(changes: Vec<TableChange<R>>) -> BTreeMap<String, Option<R>> {
    changes.into_iter().flat_map(|change| change.rows).collect()
}

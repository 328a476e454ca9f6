//! Looking through a store directory and saying what is wrong with it, without changing anything (`mqadmin storeCheck`).
//!
//! Whether the store opens, and where its log then ends, recovery itself is asked, which changes nothing for that. Everything
//! else is read with code of its own, so that each is a check of the other. What is looked at:
//!
//! | | |
//! |---|---|
//! | [`log`] | names, sizes and gaps of the CommitLog's files; every record's lengths, place, CRC and time; blanks; what lies after the end |
//! | [`queues`] | every record has its unit in its ConsumeQueue, every unit its record; order |
//! | [`index`] | entries, chains and slots of the index files; every key of every record, in order |
//! | [`claims`] | what checkpoint, abort file and epochs say; that the JSON files of `config/` can be read |
//!
//! A store that its last broker did not close may end in something torn: recovery mends that, so it is a note. Of a store that
//! is open only that counts which the checkpoint vouches for.

mod claims;
mod files;
mod index;
mod log;
mod queues;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use sim::disk;

use files::{list, series, usual_length};

use crate::{
    checkpoint::Checkpoint,
    config::StoreConfig,
    error::{StoreError, io_error},
    lock_file,
    recovery::{self, Outlook},
};

/// So many findings of one kind in one file are told one by one.
const FINDINGS_PER_KIND_MAX: usize = 10;

/// What to look at. Sizes that are not given are found out from the files.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// `storePathRootDir`.
    pub store_path_root_dir: PathBuf,
    /// `mappedFileSizeCommitLog`.
    pub mapped_file_size_commit_log_bytes: Option<u64>,
    /// `mappedFileSizeConsumeQueue`.
    pub mapped_file_size_consume_queue_bytes: Option<u64>,
    /// `maxHashSlotNum`.
    pub max_hash_slot_num: Option<u32>,
}

impl CheckOptions {
    /// The store in this directory.
    pub fn new(store_path_root_dir: impl Into<PathBuf>) -> CheckOptions {
        CheckOptions {
            store_path_root_dir: store_path_root_dir.into(),
            mapped_file_size_commit_log_bytes: None,
            mapped_file_size_consume_queue_bytes: None,
            max_hash_slot_num: None,
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is lost or wrong.
    Damage,
    /// Worth knowing; the next start mends it, or nothing needs mending.
    Note,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// In which file or directory.
    pub path: PathBuf,
    /// At which byte of the file, if at one.
    pub offset: Option<u64>,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Damage => "DAMAGE",
            Severity::Note => "note",
        };
        write!(formatter, "{severity:<7} {}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(formatter, " byte {offset}")?;
        }
        write!(formatter, ": {}", self.what)
    }
}

/// What was found, and how much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What was found, by the order of looking.
    pub findings: Vec<Finding>,
    /// A broker has the store open.
    pub is_open: bool,
    /// Files of the CommitLog.
    pub log_files: usize,
    /// Where the log begins.
    pub log_min_offset: u64,
    /// Where the log ends.
    pub log_max_offset: u64,
    /// Whole records.
    pub records: u64,
    /// ConsumeQueues.
    pub queues: usize,
    /// Units that lead to their record.
    pub units: u64,
    /// Index files.
    pub index_files: usize,
    /// Index entries that lead to their record.
    pub index_entries: u64,
}

impl CheckReport {
    /// Whether nothing is damaged.
    pub fn is_clean(&self) -> bool {
        self.damages() == 0
    }

    /// How many findings are damage.
    pub fn damages(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Damage).count()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(formatter, "{finding}")?;
        }
        writeln!(
            formatter,
            "CommitLog     {} files, {} records, offsets {} to {}\n\
             ConsumeQueue  {} queues, {} units\n\
             Index         {} files, {} entries",
            self.log_files,
            self.records,
            self.log_min_offset,
            self.log_max_offset,
            self.queues,
            self.units,
            self.index_files,
            self.index_entries
        )?;
        let notes = self.findings.len() - self.damages();
        let verdict = if self.is_clean() { "clean" } else { "DAMAGED" };
        write!(formatter, "{verdict}: {} damages, {notes} notes", self.damages())
    }
}

/// Looks through a store.
///
/// # Errors
/// [`StoreError::Io`]: a file cannot be read, or the directory is no store.
pub async fn check(options: CheckOptions) -> Result<CheckReport, StoreError> {
    let root = options.store_path_root_dir.clone();
    disk::metadata(&root).await.map_err(io_error("look at", &root))?;
    let mut parts = ["commitlog", "consumequeue", "checkpoint", "config", "index"].iter();
    loop {
        let Some(part) = parts.next() else { return Err(StoreError::NoStore { path: root }) };
        let path = root.join(part);
        if disk::exists(&path).await.map_err(io_error("look for", &path))? {
            break;
        }
    }
    let is_open = matches!(lock_file::acquire(&root.join("lock"), false).await, Err(StoreError::Locked { .. }));
    let (checkpoint, origin) = Checkpoint::load(&root.join("checkpoint")).await?;
    let mut check = Check {
        is_abnormal: disk::exists(root.join("abort")).await.map_err(io_error("look for", &root))?,
        checkpoint,
        is_open,
        outlook: None,
        root,
        options,
        report: CheckReport { is_open, ..CheckReport::default() },
        told: BTreeSet::new(),
    };
    let topics = check.config_files().await?;
    check.note_state();
    check.note_origin(origin);
    check.ask_recovery().await?;
    let mut log = check.open_log().await?;
    let mut queues = check.open_queues().await?;
    let mut index = check.open_index(&log).await?;
    while let Some(records) = check.next_records(&mut log).await? {
        for record in &records {
            check.compare_unit(&mut queues, &log, record).await?;
            check.compare_entries(&mut index, record).await?;
        }
    }
    check.finish_queues(queues, &log, topics.as_ref()).await?;
    check.finish_index(index, &log).await?;
    check.compare_claims(&log).await?;
    Ok(check.report)
}

/// A check under way.
struct Check {
    root: PathBuf,
    options: CheckOptions,
    checkpoint: Checkpoint,
    /// A broker has the store open.
    is_open: bool,
    /// The last broker did not close the store, or has not closed it yet.
    is_abnormal: bool,
    /// What the next start would make of the store; `None` if it would refuse it, or nobody has asked.
    outlook: Option<Outlook>,
    report: CheckReport,
    /// Kinds of findings by file, and how often.
    told: BTreeSet<(PathBuf, &'static str, usize)>,
}

impl Check {
    fn damage(&mut self, path: &Path, offset: Option<u64>, what: impl Into<String>) {
        let finding = Finding { severity: Severity::Damage, path: path.to_path_buf(), offset, what: what.into() };
        self.report.findings.push(finding);
    }

    fn note(&mut self, path: &Path, offset: Option<u64>, what: impl Into<String>) {
        let finding = Finding { severity: Severity::Note, path: path.to_path_buf(), offset, what: what.into() };
        self.report.findings.push(finding);
    }

    /// Whether a finding of this kind in this file is to be told, or has been told often enough.
    fn is_news(&mut self, path: &Path, kind: &'static str) -> bool {
        let count = (0..FINDINGS_PER_KIND_MAX).find(|count| !self.told.contains(&(path.to_path_buf(), kind, *count)));
        let Some(count) = count else { return false };
        self.told.insert((path.to_path_buf(), kind, count));
        if count + 1 == FINDINGS_PER_KIND_MAX {
            self.note(path, None, format!("more of the kind `{kind}` in this file are not told"));
        }
        true
    }

    /// Asks recovery what it would make of the store. What it refuses is damage.
    async fn ask_recovery(&mut self) -> Result<(), StoreError> {
        if self.is_open {
            return Ok(());
        }
        let Some(config) = self.config().await? else { return Ok(()) };
        match recovery::outlook(&config).await {
            Ok(outlook) => {
                self.outlook = Some(outlook);
                if !self.is_abnormal && outlook.redispatched > 0 {
                    let what = format!(
                        "{} messages are not in their queues: the next start puts them there",
                        outlook.redispatched
                    );
                    self.note(&self.root.clone().join("consumequeue"), None, what);
                }
            }
            Err(error @ StoreError::Io { .. }) => return Err(error),
            Err(error) => self.damage(&self.root.clone(), None, format!("a broker does not open this store: {error}")),
        }
        Ok(())
    }

    /// The settings that its files seem to be made with; `None` if they tell too little.
    async fn config(&self) -> Result<Option<StoreConfig>, StoreError> {
        let mut config = StoreConfig::new(&self.root);
        let (log, _) = series(&config.commit_log_dir()).await?;
        let mut queues = Vec::new();
        let directory = config.consume_queue_dir();
        for (topic, is_dir) in list(&directory).await? {
            for (queue, is_queue) in if is_dir { list(&directory.join(&topic)).await? } else { Vec::new() } {
                if is_queue {
                    queues.extend(series(&directory.join(&topic).join(queue)).await?.0);
                }
            }
        }
        let log_bytes = self.options.mapped_file_size_commit_log_bytes.unwrap_or_else(|| usual_length(&log));
        let queue_bytes = self.options.mapped_file_size_consume_queue_bytes.unwrap_or_else(|| usual_length(&queues));
        if log_bytes > 0 {
            config.mapped_file_size_commit_log_bytes = log_bytes;
        }
        if queue_bytes > 0 {
            config.mapped_file_size_consume_queue_bytes = queue_bytes;
        }
        Ok(config.check().is_ok().then_some(config))
    }

    /// What the end of the log may lack: `true` if a record stored then must be where it belongs all the same.
    fn is_certain(&self, stored_ms: i64, claimed_ms: i64) -> bool {
        !self.is_open && !self.is_abnormal || stored_ms <= claimed_ms
    }
}

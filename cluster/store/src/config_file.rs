//! The JSON files of `config/`: topics.json, consumerOffset.json, subscriptionGroup.json, delayOffset.json.
//!
//! Apache 4.9 overwrites them in place without a sync, which a crash turns into an empty file. Here the new content is
//! written beside, synced, and renamed, and the old one is kept as `.bak` (RocketMQ's name), so that one of the two is
//! whole at every moment. A checksum at its end ([`crate::sealed`]) tells a flipped bit, and the backup stands in. What is read
//! may come from Apache: fastjson's dialect, with its unquoted keys, and without a checksum.

use std::path::{Path, PathBuf};

use protocol::fastjson;
use quirks::{Quirk, QuirkSet};
use serde::{Serialize, de::DeserializeOwned};
use sim::disk::{self, OpenOptions};

use crate::{
    durable,
    error::{StoreError, io_error},
    sealed::{open_json, seal_json},
};

/// One configuration file and its backup.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    backup: PathBuf,
    root: Option<PathBuf>,
    quirks: QuirkSet,
}

impl ConfigFile {
    /// The file at `path`, for example `{storePathRootDir}/config/topics.json`; it need not exist.
    pub fn new(path: impl Into<PathBuf>) -> ConfigFile {
        let path = path.into();
        ConfigFile { backup: durable::with_suffix(&path, ".bak"), path, root: None, quirks: QuirkSet::NONE }
    }

    /// The same, as a file of the store in `root`, which keeps some room for it on a full drive.
    #[must_use]
    pub fn of_store(self, root: impl Into<PathBuf>) -> ConfigFile {
        ConfigFile { root: Some(root.into()), ..self }
    }

    /// The same, with the defects of Apache's brokers.
    #[must_use]
    pub fn with_quirks(self, quirks: QuirkSet) -> ConfigFile {
        ConfigFile { quirks, ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content, or that of its backup when it is missing, empty or unparsable; `None` when neither exists.
    ///
    /// # Errors
    /// [`StoreError::ConfigFile`] when something is there and none of it can be understood: to go on with empty tables
    /// would be to forget all topics or offsets.
    pub async fn load<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        let mut why = None;
        for path in [&self.path, &self.backup] {
            if !disk::exists(path).await.map_err(io_error("look for", path))? {
                continue;
            }
            let bytes = disk::read(path).await.map_err(io_error("read", path))?;
            if is_blank(&bytes) {
                tracing::warn!(path = %path.display(), "configuration file is empty");
                why.get_or_insert_with(|| "it is empty".to_owned());
                continue;
            }
            let (json, seal) = open_json(&bytes);
            let parsed = match seal.objection() {
                Some(objection) => Err(objection.to_owned()),
                None => fastjson::from_slice(&json).map_err(|error| error.to_string()),
            };
            match parsed {
                Ok(value) => {
                    if path == &self.backup {
                        tracing::warn!(
                            path = %self.path.display(),
                            "configuration file is missing or cannot be used: its backup, which is older, stands in"
                        );
                    }
                    return Ok(Some(value));
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "configuration file is unreadable");
                    why = Some(error);
                }
            }
        }
        match why {
            // A file that was never given content tells nothing: the same as none.
            Some(why) if why != "it is empty" => Err(StoreError::ConfigFile { path: self.path.clone(), why }),
            _ => Ok(None),
        }
    }

    /// Replaces its content, durably; the previous content becomes the backup.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the old content is then still there, in the file or in its backup.
    pub async fn store<T: Serialize + Sync>(&self, value: &T) -> Result<(), StoreError> {
        let bytes = self.encode(value)?;
        durable::create_dir(durable::parent_of(&self.path)).await?;
        if self.quirks.has(Quirk::ConfigOverwritten) {
            return self.overwrite(&bytes).await;
        }
        durable::replace_file(self.root.as_deref(), &self.path, &bytes, Some(&self.backup)).await
    }

    /// The same, and brings the backup up to date too: damage to one of the two then costs nothing.
    ///
    /// # Errors
    /// As [`ConfigFile::store`].
    pub async fn store_in_both<T: Serialize + Sync>(&self, value: &T) -> Result<(), StoreError> {
        self.store(value).await?;
        if self.quirks.has(Quirk::ConfigOverwritten) {
            return Ok(());
        }
        durable::replace_file(self.root.as_deref(), &self.backup, &self.encode(value)?, None).await
    }

    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec_pretty(value)
            .map(seal_json)
            .map_err(|error| StoreError::ConfigFile { path: self.path.clone(), why: error.to_string() })
    }

    /// What `MixAll.string2File` does: copies the old content to the backup and overwrites the file, without a sync.
    async fn overwrite(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut contents = vec![(&self.path, bytes.to_vec())];
        if disk::exists(&self.path).await.map_err(io_error("look for", &self.path))? {
            let old = disk::read(&self.path).await.map_err(io_error("read", &self.path))?;
            contents.insert(0, (&self.backup, old));
        }
        for (path, bytes) in contents {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).open(path).await;
            let file = file.map_err(io_error("create", path))?;
            file.write_all_at(&bytes, 0).await.map_err(io_error("write", path))?;
        }
        Ok(())
    }
}

/// Whether a file has no content. Zeros are what a power loss leaves of an overwritten file.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace())
}

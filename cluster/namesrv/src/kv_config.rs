//! Configuration by namespace and key (`KVConfigManager`), kept in `kvConfig.json`.
//!
//! A change is written beside the file, synced and renamed before it is answered, so that the file is whole at every
//! moment and what was acknowledged is there after a power loss. (Apache overwrites the file in place.)

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use protocol::body::KvTable;
use protocol::fastjson;
use serde::{Deserialize, Serialize};
use sim::disk;

/// The namespace of the order configuration of topics (`NamesrvUtil.NAMESPACE_ORDER_TOPIC_CONFIG`).
pub const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

/// The key-value configuration and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvConfig {
    path: PathBuf,
    table: KvConfigTable,
}

/// The content of `kvConfig.json` (`KVConfigSerializeWrapper`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct KvConfigTable {
    config_table: BTreeMap<String, BTreeMap<String, String>>,
}

/// Why the file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KvConfigError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is there but cannot be understood.
    #[error("{} is no key-value configuration ({source}): repair it, or move it away to start without any", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: fastjson::Error,
    },
}

impl KvConfig {
    /// Reads the file; one that does not exist, or is empty, is an empty configuration.
    ///
    /// # Errors
    /// [`KvConfigError`].
    pub async fn load(path: PathBuf) -> Result<Self, KvConfigError> {
        let io = |source| KvConfigError::Io { action: "read", path: path.clone(), source };
        let bytes = match disk::exists(&path).await.map_err(io)? {
            true => disk::read(&path).await.map_err(io)?,
            false => Vec::new(),
        };
        let table = if bytes.iter().all(u8::is_ascii_whitespace) {
            KvConfigTable::default()
        } else {
            fastjson::from_slice(&bytes).map_err(|source| KvConfigError::Malformed { path: path.clone(), source })?
        };
        Ok(Self { path, table })
    }

    /// The most that all names and values may have together, in bytes: each change writes all of them.
    pub const BYTES_MAX: usize = 4 << 20;

    /// Whether it has more than [`KvConfig::BYTES_MAX`].
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        let of_pair = |(key, value): (&String, &String)| key.len() + value.len();
        let of_namespace =
            |(name, table): (&String, &BTreeMap<String, String>)| name.len() + table.iter().map(of_pair).sum::<usize>();
        self.table.config_table.iter().map(of_namespace).sum::<usize>() > Self::BYTES_MAX
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.table.config_table.get(namespace)?.get(key).map(String::as_str)
    }

    /// All of a namespace; `None` if nothing was ever put there.
    #[must_use]
    pub fn list(&self, namespace: &str) -> Option<KvTable> {
        self.table.config_table.get(namespace).map(|table| KvTable { table: table.clone() })
    }

    /// This configuration with one more value.
    #[must_use]
    pub fn with(&self, namespace: String, key: String, value: String) -> Self {
        let mut changed = self.clone();
        changed.table.config_table.entry(namespace).or_default().insert(key, value);
        changed
    }

    /// This configuration without one value.
    #[must_use]
    pub fn without(&self, namespace: &str, key: &str) -> Self {
        let mut changed = self.clone();
        if let Some(table) = changed.table.config_table.get_mut(namespace) {
            table.remove(key);
        }
        changed
    }

    /// Writes the file, durably.
    ///
    /// # Errors
    /// [`KvConfigError::Io`]; the old content is then still there.
    pub async fn store(&self) -> Result<(), KvConfigError> {
        let bytes = fastjson::write_pretty(&self.table).map_err(|source| KvConfigError::Io {
            action: "write",
            path: self.path.clone(),
            source: source.into(),
        })?;
        replace_file(&self.path, &bytes).await
    }
}

/// Replaces a file by another content: after a crash at any point it has the old one or the new one, and after success
/// the new one.
///
/// # Errors
/// [`KvConfigError::Io`].
pub(crate) async fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), KvConfigError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = PathBuf::from(beside);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = async {
        disk::create_dir_all(directory).await?;
        let file = disk::OpenOptions::new().write(true).create(true).truncate(true).open(&beside).await?;
        file.write_all_at(bytes, 0).await?;
        file.sync_all().await?;
        disk::rename(&beside, path).await?;
        disk::sync_dir(directory).await?;
        // A directory that was just created is an entry of its parent.
        match directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => disk::sync_dir(parent).await,
            None => Ok(()),
        }
    };
    written.await.map_err(|source| KvConfigError::Io { action: "write", path: path.to_owned(), source })
}

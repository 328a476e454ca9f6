//! What this name server remembers of replica groups, in `replicaGroups.json` beside `kvConfig.json`; see [`group::witness`].
//!
//! What a broker says is on the drive before it is answered. Brokers say the same again and again: only what is new is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use group::{Record, Report};
use sim::disk;

use crate::kv_config::{KvConfigError, replace_file};

/// The most groups that are remembered.
const GROUPS_MAX: usize = 10_000;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Why a report is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WitnessError {
    #[error("the report cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("{GROUPS_MAX} replica groups are remembered, more are not: take out of replicaGroups.json what is no more")]
    Full,
    #[error("a name in the report is empty or longer than {NAME_BYTES_MAX} bytes")]
    Name,
    #[error(transparent)]
    File(#[from] KvConfigError),
}

/// The groups, by cluster and broker name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    path: PathBuf,
    groups: BTreeMap<String, Record>,
}

impl Witness {
    /// Reads what was remembered. A file that cannot be read is moved aside: to know nothing only makes brokers wait, and
    /// masters tell it anew.
    pub(crate) async fn load(kv_config_path: &Path) -> Result<Self, KvConfigError> {
        let path = kv_config_path.with_file_name("replicaGroups.json");
        let io = |source| KvConfigError::Io { action: "read", path: path.clone(), source };
        if !disk::exists(&path).await.map_err(io)? {
            return Ok(Self { path, groups: BTreeMap::new() });
        }
        let bytes = disk::read(&path).await.map_err(io)?;
        let groups = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::error!(path = %path.display(), %error, "what was remembered of replica groups cannot be read: begun anew");
            BTreeMap::new()
        });
        Ok(Self { path, groups })
    }

    /// What follows from a report: the record, if there is one, and this witness as it is to be from now on, if it changes.
    pub(crate) fn take(&self, body: &[u8]) -> Result<(Option<Record>, Option<Self>), WitnessError> {
        let Report { cluster_name, broker_name, word } = serde_json::from_slice(body)?;
        if [&cluster_name, &broker_name].into_iter().any(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
            return Err(WitnessError::Name);
        }
        let name = format!("{cluster_name}/{broker_name}");
        let known = self.groups.get(&name);
        let mut record = known.cloned().unwrap_or_default();
        if !record.take(word) {
            return Ok((known.cloned(), None));
        }
        if known.is_none() && self.groups.len() >= GROUPS_MAX {
            return Err(WitnessError::Full);
        }
        let mut changed = self.clone();
        changed.groups.insert(name, record.clone());
        Ok((Some(record), Some(changed)))
    }

    /// Writes the file, durably.
    pub(crate) async fn store(&self) -> Result<(), KvConfigError> {
        let bytes = serde_json::to_vec_pretty(&self.groups).map_err(|error| KvConfigError::Io {
            action: "write",
            path: self.path.clone(),
            source: error.into(),
        })?;
        replace_file(&self.path, &bytes).await
    }
}

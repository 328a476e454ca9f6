//! What the small files claim: checkpoint, abort, epochs, and the JSON files of `config/`.

use std::collections::BTreeSet;

use protocol::body::TopicConfigSerializeWrapper;
use protocol::fastjson;
use sim::disk;

use super::{Check, files::list, log::Log};
use crate::{
    checkpoint::{Checkpoint, Origin},
    error::{StoreError, io_error},
    history::{self, EpochEntry},
    sealed::open_json,
    table_file::TableFile,
};

impl Check {
    /// Says in which state the store was found.
    pub(super) fn note_state(&mut self) {
        let root = self.root.clone();
        if self.is_open {
            let what = "a broker has this store open: only what its checkpoint vouches for is judged, the end of log, queues \
                        and index is not";
            self.note(&root.join("lock"), None, what);
        } else if self.is_abnormal {
            self.note(&root.join("abort"), None, "the last broker did not close the store: the next start recovers it");
        }
    }

    /// Says whether the checkpoint is as it was written.
    pub(super) fn note_origin(&mut self, origin: Origin) {
        if origin == Origin::Changed {
            let what = "it is not as a broker of this kind has written it: another has had the store open since, or it is \
                        damaged; the next start believes nothing of it";
            self.note(&self.root.join("checkpoint"), None, what);
            self.checkpoint = Checkpoint::default();
        }
    }

    /// Looks whether the configuration can be read; the topics that topics.json and its journal have.
    pub(super) async fn config_files(&mut self) -> Result<Option<BTreeSet<String>>, StoreError> {
        let directory = self.root.join("config");
        for (name, is_dir) in list(&directory).await? {
            let path = directory.join(&name);
            let is_backup = name.ends_with(".json.bak");
            if is_dir || !(name.ends_with(".json") || is_backup) {
                continue;
            }
            let bytes = disk::read(&path).await.map_err(io_error("read", &path))?;
            let parsed = fastjson::from_slice::<serde_json::Value>(&bytes).map_err(|error| error.to_string());
            let parsed = parsed.and_then(|_| open_json(&bytes).1.objection().map_or(Ok(()), |why| Err(why.to_owned())));
            match parsed {
                Ok(()) => {}
                // Its file is there; the next change writes a new backup.
                Err(error) if is_backup => self.note(&path, None, format!("it cannot be read: {error}")),
                Err(error) => self.damage(&path, None, format!("it cannot be read: {error}")),
            }
        }
        let path = directory.join("topics.json");
        let loaded = match TableFile::<TopicConfigSerializeWrapper>::new(&path).read().await {
            Ok((loaded, _)) => loaded,
            // It has been told above.
            Err(StoreError::ConfigFile { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(why) = loaded.is_older {
            self.note(
                &path,
                None,
                format!("topics may be missing: {why}; the next start looks for them in the queues"),
            );
        }
        Ok(loaded.table.map(|table| table.topic_config_table.into_keys().collect()))
    }

    /// Compares the checkpoint with what the log has.
    pub(super) async fn compare_claims(&mut self, log: &Log) -> Result<(), StoreError> {
        let path = self.root.join("checkpoint");
        self.check_epochs(log);
        if self.is_open {
            return Ok(());
        }
        let length = disk::metadata(&path).await.map(|metadata| metadata.len);
        match length {
            Ok(length) if length < 24 => self.damage(&path, None, format!("it has {length} bytes")),
            Ok(_) => {}
            Err(_) if log.last_timestamp_ms.is_some() => {
                self.note(&path, None, "there is none: the next start looks through the whole log");
            }
            Err(_) => {}
        }
        let claims = &self.checkpoint.queues;
        if !self.is_abnormal && !claims.queues.is_empty() && claims.log_min.0.cast_unsigned() < log.min() {
            let what = format!(
                "the log began at {} when the store was closed, and begins at {} now: files are missing",
                claims.log_min,
                log.min()
            );
            self.damage(&self.root.join("commitlog"), None, what);
        }
        let end = log.reached();
        let flushed = self.checkpoint.master_flushed_offset.cast_unsigned();
        if flushed > end {
            let what = format!("it says that the log is flushed up to {flushed}, but the log ends at {end}");
            self.damage(&path, Some(24), what);
        }
        let last_ms = log.last_timestamp_ms.unwrap_or(0);
        let claims = [
            (0, "flushed", self.checkpoint.physic_msg_timestamp_ms),
            (8, "in their queues", self.checkpoint.logics_msg_timestamp_ms),
            (16, "in the index", self.checkpoint.index_msg_timestamp_ms),
        ];
        for (byte, what, claimed_ms) in claims {
            if claimed_ms > last_ms {
                let what =
                    format!("it says that records up to time {claimed_ms} are {what}, but the last is of {last_ms}");
                // The queues are flushed apart from the log, which a power loss cuts.
                match self.outlook {
                    Some(_) if self.is_abnormal => {
                        self.note(&path, Some(byte), format!("{what}; the next start lowers it"))
                    }
                    _ => self.damage(&path, Some(byte), what),
                }
            }
        }
        Ok(())
    }

    /// Reads the log's epochs, if it has any; an Apache broker's store has none.
    pub(super) async fn load_epochs(&mut self) -> Result<Vec<EpochEntry>, StoreError> {
        let path = self.root.join("epochs");
        match history::file::load(&path).await {
            Err(StoreError::EpochsFile { why, .. }) => {
                self.damage(&path, None, why);
                Ok(Vec::new())
            }
            other => other,
        }
    }

    /// Looks whether the log has the bytes that its epochs tell of.
    fn check_epochs(&mut self, log: &Log) {
        let path = self.root.join("epochs");
        let end = log.reached();
        if let Some(beyond) = log.epochs.iter().find(|epoch| epoch.start.0.cast_unsigned() > end)
            && !self.is_open
        {
            let what = format!("epoch {} begins at {}, beyond the log's end, {end}", beyond.id, beyond.start);
            if self.is_abnormal { self.note(&path, None, what) } else { self.damage(&path, None, what) }
        }
    }
}

//! The file `deleted_topics`: up to where the log's records of a topic belong to one that was deleted.
//!
//! Records go with their files, long after their topic. A recovery that dispatches them again would bring the topic's
//! messages back, or put them in the way of those of a topic of the same name that was made since. So the log's end at a
//! deletion is kept, durably, before the queues are removed, until those files have gone. Text, one line per topic: the
//! offset, a space, the name; and a checksum. Apache's brokers do not know the file (and dispatch such records again).

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use protocol::PhysicalOffset;
use sim::disk;

use crate::{
    config::StoreConfig,
    durable,
    error::{StoreError, io_error},
    sealed::{open_text, seal_text},
};

/// Topics with the end of the log when they were deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeletedTopics(BTreeMap<Arc<str>, PhysicalOffset>);

fn path(config: &StoreConfig) -> PathBuf {
    config.store_path_root_dir.join("deleted_topics")
}

impl DeletedTopics {
    pub(crate) async fn load(config: &StoreConfig) -> Result<DeletedTopics, StoreError> {
        let path = path(config);
        if !disk::exists(&path).await.map_err(io_error("look for", &path))? {
            return Ok(DeletedTopics::default());
        }
        let bytes = disk::read(&path).await.map_err(io_error("read", &path))?;
        let (text, seal) = open_text(&bytes);
        if let Some(why) = seal.objection() {
            // A wrong offset would hide messages of a topic that was made anew.
            tracing::error!(path = %path.display(), why, "which topics were deleted is not known: their messages may come back");
            return Ok(DeletedTopics::default());
        }
        let entry = |line: &str| {
            let (offset, topic) = line.split_once(' ')?;
            Some((topic.into(), PhysicalOffset(offset.parse().ok()?)))
        };
        // The file is replaced as a whole: a line that is none was not written by this store, and says nothing.
        Ok(DeletedTopics(text.lines().filter_map(entry).collect()))
    }

    pub(crate) async fn store(&self, config: &StoreConfig) -> Result<(), StoreError> {
        let text: String = self.0.iter().map(|(topic, offset)| format!("{offset} {topic}\n")).collect();
        let text = seal_text(&text);
        durable::replace_file(Some(&config.store_path_root_dir), &path(config), text.as_bytes(), None).await
    }

    /// The topic was deleted when the log ended at `end`.
    pub(crate) fn insert(&mut self, topic: Arc<str>, end: PhysicalOffset) {
        self.0.insert(topic, end);
    }

    /// Whether a record of the topic at this place went with the topic.
    pub(crate) fn covers(&self, topic: &str, place: PhysicalOffset) -> bool {
        self.0.get(topic).is_some_and(|end| place < *end)
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// What still matters for a log from `min` to `max`. Where the log has lost its end, new records will come.
    pub(crate) fn fit(&self, min: PhysicalOffset, max: PhysicalOffset) -> DeletedTopics {
        let fitted = self.0.iter().map(|(topic, end)| (Arc::clone(topic), (*end).min(max)));
        DeletedTopics(fitted.filter(|(_, end)| *end > min).collect())
    }
}

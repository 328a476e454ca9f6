//! All ConsumeQueues of a store, by topic and queue id.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use protocol::PhysicalOffset;
use sim::disk;

use super::{Common, ConsumeQueue, Cut, Mender, UNIT_BYTES};
use crate::{
    config::StoreConfig,
    error::{StoreError, io_error},
    segment::segment_name,
    segment_dir::{self, Content, SegmentListing},
};

const SETTING: &str = "mappedFileSizeConsumeQueue";

type Queues = BTreeMap<Arc<str>, BTreeMap<i32, Arc<ConsumeQueue>>>;

#[derive(Debug)]
pub(crate) struct ConsumeQueueTable {
    config: StoreConfig,
    common: Arc<Common>,
    queues: RwLock<Queues>,
    count: AtomicUsize,
}

/// A queue's directory as it was found.
#[derive(Debug)]
pub(crate) struct FoundQueue {
    pub topic: Arc<str>,
    pub queue_id: i32,
    pub files: SegmentListing,
}

/// What lies in `consumequeue/`, checked: `{topic}/{queueId}/{files of one size}`.
pub(crate) async fn found_on_disk(config: &StoreConfig) -> Result<Vec<FoundQueue>, StoreError> {
    let root = config.consume_queue_dir();
    let mut found = Vec::new();
    if !disk::exists(&root).await.map_err(io_error("look for", &root))? {
        return Ok(found);
    }
    for topic in disk::read_dir(&root).await.map_err(io_error("list", &root))? {
        if segment_dir::is_the_file_systems(&topic.name) {
            continue;
        }
        let topic_dir = root.join(&topic.name);
        if !topic.is_dir {
            return Err(StoreError::ForeignFile { path: topic_dir, why: "a file among the directories of topics" });
        }
        let name: Arc<str> = topic.name.into();
        for queue in disk::read_dir(&topic_dir).await.map_err(io_error("list", &topic_dir))? {
            let queue_dir = topic_dir.join(&queue.name);
            let queue_id = match queue.name.parse::<i32>() {
                Ok(queue_id) if queue.is_dir && queue_id >= 0 && queue_id.to_string() == queue.name => queue_id,
                _ => {
                    let why = "neither a queue's directory nor named by a queue id";
                    return Err(StoreError::ForeignFile { path: queue_dir, why });
                }
            };
            let size_bytes = config.mapped_file_size_consume_queue_bytes;
            let files = segment_dir::list(&queue_dir, size_bytes, SETTING, Content::Derived).await?;
            found.push(FoundQueue { topic: Arc::clone(&name), queue_id, files });
        }
    }
    refuse_another_size(config, &found).await?;
    Ok(found)
}

/// A file of a wrong length is damaged, and rebuilt. If no file has the right one, it is the setting that is wrong.
async fn refuse_another_size(config: &StoreConfig, found: &[FoundQueue]) -> Result<(), StoreError> {
    if found.iter().any(|queue| !queue.files.starts.is_empty()) {
        return Ok(());
    }
    let expected_bytes = config.mapped_file_size_consume_queue_bytes;
    for FoundQueue { topic, queue_id, files } in found {
        for start in &files.damaged {
            let directory = config.consume_queue_dir().join(&**topic).join(queue_id.to_string());
            let path = directory.join(segment_name(*start));
            let length_bytes = disk::metadata(&path).await.map_err(io_error("look at", &path))?.len;
            if length_bytes > 0 && length_bytes.is_multiple_of(UNIT_BYTES as u64) {
                return Err(StoreError::WrongLength { path, length_bytes, expected_bytes, setting: SETTING });
            }
        }
    }
    Ok(())
}

impl ConsumeQueueTable {
    pub(crate) fn new(config: &StoreConfig) -> ConsumeQueueTable {
        ConsumeQueueTable {
            config: config.clone(),
            common: Arc::new(Common::new(config)),
            queues: RwLock::default(),
            count: AtomicUsize::new(0),
        }
    }

    fn with<R>(&self, read: impl FnOnce(&Queues) -> R) -> R {
        read(&self.queues.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn find(&self, topic: &str, queue_id: i32) -> Option<Arc<ConsumeQueue>> {
        self.with(|queues| queues.get(topic)?.get(&queue_id).cloned())
    }

    pub(crate) fn find_or_create(&self, topic: &str, queue_id: i32) -> Arc<ConsumeQueue> {
        if let Some(queue) = self.find(topic, queue_id) {
            return queue;
        }
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let name = queues.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| Arc::clone(name));
        let of_topic = queues.entry(Arc::clone(&name)).or_default();
        let create = || {
            self.common.note_queues(self.count.fetch_add(1, Ordering::Relaxed) + 1);
            ConsumeQueue::new(&self.config, &self.common, name, queue_id)
        };
        Arc::clone(of_topic.entry(queue_id).or_insert_with(create))
    }

    /// All queues, by topic and queue id.
    pub(crate) fn all(&self) -> Vec<Arc<ConsumeQueue>> {
        self.with(|queues| queues.values().flat_map(BTreeMap::values).cloned().collect())
    }

    /// The names of all topics.
    pub(crate) fn topics(&self) -> Vec<Arc<str>> {
        self.with(|queues| queues.keys().cloned().collect())
    }

    /// The queues of a topic, by queue id.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<Arc<ConsumeQueue>> {
        self.with(|queues| queues.get(topic).map(|queues| queues.values().cloned().collect()).unwrap_or_default())
    }

    /// Forgets a topic; returns its queues.
    pub(crate) fn remove_topic(&self, topic: &str) -> Vec<Arc<ConsumeQueue>> {
        let removed = self.queues.write().unwrap_or_else(PoisonError::into_inner).remove(topic);
        let removed: Vec<_> = removed.map(|queues| queues.into_values().collect()).unwrap_or_default();
        self.count.fetch_sub(removed.len(), Ordering::Relaxed);
        removed
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.common.clear();
        self.count.store(0, Ordering::Relaxed);
        self.queues.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Flushes the queues that have units which are not on the drive, or, unless `thorough`, those that have enough of them. A
    /// queue that cannot be flushed does not keep the others from it; the first error is returned.
    pub(crate) async fn flush(&self, thorough: bool) -> Result<(), StoreError> {
        let mut result = Ok(());
        for queue in self.common.waiting(thorough) {
            result = result.and(queue.flush().await);
        }
        result
    }

    /// How many bytes of units were appended since the table was made.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.common.appended() * UNIT_BYTES as u64
    }

    /// STORETIMESTAMP of the first message whose unit is not on the drive.
    pub(crate) fn dirty_since_ms(&self) -> Option<i64> {
        self.common.waiting(true).iter().filter_map(|queue| queue.dirty_since_ms()).min()
    }

    /// Moves the beginning of every queue to the first message whose record is not below `log_min`, without removing files
    /// (`correctMinOffset`).
    pub(crate) async fn correct_min_offsets(
        &self,
        mender: &Mender<'_>,
        log_min: PhysicalOffset,
    ) -> Result<(), StoreError> {
        for queue in self.all() {
            queue.raise_min_offset(mender.partition_point(&queue, Cut::AtPlace(log_min)).await?);
        }
        Ok(())
    }
}

//! All ConsumeQueues of a store, by topic and queue id.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use protocol::PhysicalOffset;
use sim::disk::{self, DirEntry};

use super::{Common, ConsumeQueue, Cut, Mender, UNIT_BYTES};
use crate::{
    at_once,
    config::StoreConfig,
    durable,
    error::{StoreError, io_error},
    segment::segment_name,
    segment_dir::{self, Content, SegmentListing},
};

const SETTING: &str = "mappedFileSizeConsumeQueue";

/// So many queues are flushed together: those of one topic then share the syncs of their directories.
const FLUSHED_TOGETHER: usize = 512;

type Queues = BTreeMap<Arc<str>, BTreeMap<i32, Arc<ConsumeQueue>>>;

#[derive(Debug)]
pub(crate) struct ConsumeQueueTable {
    config: StoreConfig,
    common: Arc<Common>,
    queues: RwLock<Queues>,
    count: AtomicUsize,
}

/// The directory of a queue.
pub(super) fn queue_dir(config: &StoreConfig, topic: &str, queue_id: i32) -> PathBuf {
    config.consume_queue_dir().join(topic).join(queue_id.to_string())
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
    if !disk::exists(&root).await.map_err(io_error("look for", &root))? {
        return Ok(Vec::new());
    }
    let mut topics = disk::read_dir(&root).await.map_err(io_error("list", &root))?;
    topics.retain(|topic| !segment_dir::is_the_file_systems(&topic.name));
    let queues = at_once::all(topics.into_iter().map(|topic| queues_of(root.join(&topic.name), topic))).await?;
    let found = at_once::all(queues.into_iter().flatten().map(|(topic, queue_id)| async move {
        let directory = queue_dir(config, &topic, queue_id);
        let size_bytes = config.mapped_file_size_consume_queue_bytes;
        let files = segment_dir::list(&directory, size_bytes, SETTING, Content::Derived).await?;
        Ok(FoundQueue { topic, queue_id, files })
    }));
    let found = found.await?;
    refuse_another_size(config, &found).await?;
    Ok(found)
}

/// The queues of a topic's directory, by their numbers' text.
async fn queues_of(directory: PathBuf, topic: DirEntry) -> Result<Vec<(Arc<str>, i32)>, StoreError> {
    if !topic.is_dir {
        return Err(StoreError::ForeignFile { path: directory, why: "a file among the directories of topics" });
    }
    let name: Arc<str> = topic.name.into();
    let mut queues = Vec::new();
    for queue in disk::read_dir(&directory).await.map_err(io_error("list", &directory))? {
        match queue.name.parse::<i32>() {
            Ok(queue_id) if queue.is_dir && queue_id >= 0 && queue_id.to_string() == queue.name => {
                queues.push((Arc::clone(&name), queue_id));
            }
            _ => {
                let why = "neither a queue's directory nor named by a queue id";
                return Err(StoreError::ForeignFile { path: directory.join(&queue.name), why });
            }
        }
    }
    Ok(queues)
}

/// A file of a wrong length is damaged, and rebuilt. If no file has the right one, it is the setting that is wrong.
async fn refuse_another_size(config: &StoreConfig, found: &[FoundQueue]) -> Result<(), StoreError> {
    if found.iter().any(|queue| !queue.files.starts.is_empty()) {
        return Ok(());
    }
    let expected_bytes = config.mapped_file_size_consume_queue_bytes;
    for FoundQueue { topic, queue_id, files } in found {
        for start in &files.damaged {
            let path = queue_dir(config, topic, *queue_id).join(segment_name(*start));
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
        for queues in self.common.waiting(thorough).chunks(FLUSHED_TOGETHER) {
            result = result.and(self.flush_together(queues).await);
        }
        result
    }

    /// Flushes these queues, which are in the order of their names.
    async fn flush_together(&self, queues: &[Arc<ConsumeQueue>]) -> Result<(), StoreError> {
        let mut held = Vec::with_capacity(queues.len());
        for queue in queues {
            // Whoever holds several takes them in this order.
            held.push(queue.hold_files().await);
        }
        let (with, without): (Vec<_>, Vec<_>) = queues.iter().cloned().partition(|queue| queue.has_durable_names());
        let made = self.make_directories(&without).await;
        let writable = if made.is_ok() { with.into_iter().chain(without).collect() } else { with };
        let flushed = at_once::all(writable.into_iter().map(|queue| async move { Ok(queue.flush().await) })).await?;
        drop(held);
        flushed.into_iter().fold(made, Result::and)
    }

    /// Makes the directories of these queues durable, and themselves if need be.
    async fn make_directories(&self, queues: &[Arc<ConsumeQueue>]) -> Result<(), StoreError> {
        let mut topics: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
        for queue in queues.iter().filter(|queue| !queue.is_deleted()) {
            topics.entry(Arc::clone(queue.topic())).or_default().push(queue.queue_id());
        }
        if topics.is_empty() {
            return Ok(());
        }
        let root = self.config.consume_queue_dir();
        durable::create_dir(&root).await?;
        durable::create_dirs_in(&root, topics.keys().map(|topic| PathBuf::from(&**topic)).collect()).await?;
        let of_topics = topics.into_iter().map(|(topic, queue_ids)| {
            let directory = root.join(&*topic);
            let names = queue_ids.iter().map(|queue_id| PathBuf::from(queue_id.to_string())).collect();
            async move { durable::create_dirs_in(&directory, names).await }
        });
        at_once::all(of_topics).await.map(drop)
    }

    /// Forgets the units that are in memory, as if they were on the drive: for one who only wants to know how many there are.
    pub(crate) fn forget_units(&self) {
        for queue in self.all() {
            queue.forget_units();
        }
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
        if log_min <= PhysicalOffset::ZERO {
            return Ok(());
        }
        at_once::all(self.all().into_iter().map(|queue| async move {
            let min = mender.partition_point(&queue, Cut::AtPlace(log_min)).await?;
            queue.raise_min_offset(min);
            Ok(())
        }))
        .await
        .map(drop)
    }
}

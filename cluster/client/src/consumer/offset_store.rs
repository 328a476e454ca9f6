//! Where the offsets of a group are kept: at the brokers (`RemoteBrokerOffsetStore`, clustering), or in a file of each
//! member (`LocalFileOffsetStore`, broadcasting). Both keep a table in memory that is stored from time to time.
//!
//! An offset is what is consumed: the next message to get. The file is replaced as a whole and durably, so that a crash
//! leaves the old one or the new one.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use protocol::body::{JsonBody, MessageQueue, OffsetSerializeWrapper};
use protocol::{BrokerId, QueueOffset};
use sim::disk;

use crate::error::ClientError;
use crate::instance::ClientInstance;
use crate::lock::Lock;

/// The name of a broadcasting member's file.
const OFFSETS_FILE: &str = "offsets.json";

/// The offsets of one consumer.
pub(super) struct OffsetStore {
    group: String,
    place: Place,
    table: Lock<BTreeMap<MessageQueue, QueueOffset>>,
}

/// What is stored of a queue.
pub(super) struct StoredOffset {
    /// `None` if nothing is.
    pub(super) offset: Option<QueueOffset>,
    /// Who was asked.
    pub(super) by: BrokerId,
}

enum Place {
    Brokers(Arc<ClientInstance>),
    File(PathBuf),
}

impl OffsetStore {
    /// Kept at the brokers.
    pub(super) fn remote(instance: Arc<ClientInstance>, group: &str) -> Self {
        Self { group: group.to_owned(), place: Place::Brokers(instance), table: Lock::default() }
    }

    /// Kept in a file: `{store_root}/{client id}/{group}/offsets.json`.
    pub(super) fn local(instance: &ClientInstance, group: &str) -> Self {
        let directory = instance.config().store_root.join(instance.client_id()).join(group);
        Self { group: group.to_owned(), place: Place::File(directory), table: Lock::default() }
    }

    /// Reads the file, if there is one; its older copy, left by Java, if it is damaged.
    pub(super) async fn load(&self) -> Result<(), ClientError> {
        let Place::File(directory) = &self.place else { return Ok(()) };
        let path = directory.join(OFFSETS_FILE);
        let backup = directory.join(format!("{OFFSETS_FILE}.bak"));
        for candidate in [&path, &backup] {
            let bytes = match disk::read(candidate).await {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(file_error(candidate, &error)),
            };
            match OffsetSerializeWrapper::decode(&bytes) {
                Ok(wrapper) => {
                    *self.table.lock() = wrapper.offset_table;
                    return Ok(());
                }
                Err(error) if *candidate == backup => return Err(file_error(candidate, &error)),
                Err(error) => tracing::warn!(path = %candidate.display(), %error, "damaged, the older copy is tried"),
            }
            if !disk::exists(&backup).await.map_err(|error| file_error(&backup, &error))? {
                let advice = "it is damaged: move it away to begin anew";
                return Err(ClientError::OffsetFile { path: path.display().to_string(), reason: advice.to_owned() });
            }
        }
        Ok(())
    }

    /// Notes what is consumed. `increase_only` keeps what is higher already.
    pub(super) fn update(&self, queue: &MessageQueue, offset: QueueOffset, increase_only: bool) {
        let mut table = self.table.lock();
        match table.get_mut(queue) {
            Some(known) if increase_only => *known = offset.max(*known),
            Some(known) => *known = offset,
            None => drop(table.insert(queue.clone(), offset)),
        }
    }

    /// What this consumer knows (`READ_FROM_MEMORY`).
    pub(super) fn read_memory(&self, queue: &MessageQueue) -> Option<QueueOffset> {
        self.table.lock().get(queue).copied()
    }

    /// What is stored (`READ_FROM_STORE`), and which broker says so: the master, or a slave in its place, which may lag. It is
    /// taken into the table if nothing is known there; what this consumer knows is newer than what it has stored.
    pub(super) async fn read_store(&self, queue: &MessageQueue) -> Result<StoredOffset, ClientError> {
        let Place::Brokers(instance) = &self.place else {
            return Ok(StoredOffset { offset: self.read_memory(queue), by: BrokerId::MASTER });
        };
        let api = instance.api();
        let query = |addr: String| async move { api.query_consumer_offset(&addr, &self.group, queue).await }.boxed();
        let (offset, by) = instance.ask_replicas(queue, query).await?;
        if let Some(offset) = offset {
            self.table.lock().entry(queue.clone()).or_insert(offset);
        }
        Ok(StoredOffset { offset, by })
    }

    /// Stores the offsets of these queues and forgets those of others.
    pub(super) async fn persist_all(&self, queues: &[MessageQueue]) {
        match &self.place {
            // All at once: a broker that is away must not hold up what the others are told.
            Place::Brokers(_) => drop(join_all(queues.iter().map(|queue| self.persist(queue))).await),
            Place::File(directory) => {
                let offset_table: BTreeMap<_, _> = {
                    let table = self.table.lock();
                    queues.iter().filter_map(|queue| table.get_key_value(queue)).map(|(k, v)| (k.clone(), *v)).collect()
                };
                if offset_table.is_empty() {
                    return;
                }
                if let Err(error) = write(directory, &OffsetSerializeWrapper { offset_table }).await {
                    tracing::error!(group = self.group, directory = %directory.display(), %error, "offsets are not stored");
                }
            }
        }
    }

    /// Stores the offset of one queue at its master, or at a slave if the master is away; a file is only written as a whole.
    pub(super) async fn persist(&self, queue: &MessageQueue) {
        let Place::Brokers(instance) = &self.place else { return };
        let Some(offset) = self.read_memory(queue) else { return };
        let api = instance.api();
        let store = |addr: String| {
            async move { api.update_consumer_offset_oneway(&addr, &self.group, queue, offset).await }.boxed()
        };
        if let Err(error) = instance.ask_replicas(queue, store).await {
            tracing::debug!(group = self.group, %queue, %error, "the offset is not stored, next time it may be");
        }
    }

    /// Forgets a queue that belongs to another member now. A file keeps it: each member has every queue.
    pub(super) fn remove(&self, queue: &MessageQueue) {
        if let Place::Brokers(_) = self.place {
            self.table.lock().remove(queue);
        }
    }

    /// What is known of a topic.
    pub(super) fn clone_table(&self, topic: &str) -> BTreeMap<MessageQueue, QueueOffset> {
        let table = self.table.lock();
        table.iter().filter(|(queue, _)| queue.topic == topic).map(|(queue, offset)| (queue.clone(), *offset)).collect()
    }
}

fn file_error(path: &std::path::Path, error: &dyn std::fmt::Display) -> ClientError {
    ClientError::OffsetFile { path: path.display().to_string(), reason: error.to_string() }
}

/// Replaces the file: a new one beside it, made durable, then renamed.
async fn write(directory: &std::path::Path, offsets: &OffsetSerializeWrapper) -> io::Result<()> {
    disk::create_dir_all(directory).await?;
    let (path, new) = (directory.join(OFFSETS_FILE), directory.join(format!("{OFFSETS_FILE}.tmp")));
    let file = disk::OpenOptions::new().write(true).create(true).truncate(true).open(&new).await?;
    file.write_all_at(&offsets.encode_pretty(), 0).await?;
    file.sync_all().await?;
    disk::rename(&new, &path).await?;
    disk::sync_dir(directory).await
}

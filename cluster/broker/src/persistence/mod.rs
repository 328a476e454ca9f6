//! The broker's tables and their files in `config/`: what is written when, and what was found.
//!
//! | file | is written | a write that fails |
//! |---|---|---|
//! | topics.json, subscriptionGroup.json | with each change ([`saved_table`]), before anybody is told that it was made | is tried again every second; until then messages for the topic are refused |
//! | consumerOffset.json | every 5 s, and before the answer to an administrator | is tried again |
//! | delayOffset.json | every 10 s | is tried again |
//! | replicaGroup.json | with each change | the change is not made |
//!
//! All of them are written once more when the broker stops. What a table lacks although the store has messages of it is in
//! [`found_missing`].

pub(crate) mod found_missing;
pub(crate) mod saved_table;

use std::sync::Arc;

use protocol::body::{
    ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, SubscriptionGroupWrapper, TopicConfigSerializeWrapper,
};
use quirks::Quirk;
use sim::task;
use store::{ConfigFile, LoadedTable, StoreError, TableFile};

use crate::config::BrokerConfig;
use crate::core::{Core, lock};
use crate::replication::membership::KeptGroup;
use saved_table::{NotSaved, SavedTable};

/// The files of `config/`. Each has a lock, so that two writers do not overtake one another.
pub(crate) struct Files {
    pub topics: SavedTable<TopicConfigSerializeWrapper>,
    pub groups: SavedTable<SubscriptionGroupWrapper>,
    consumer_offsets: Arc<tokio::sync::Mutex<ConfigFile>>,
    delay_offsets: tokio::sync::Mutex<ConfigFile>,
}

/// What the files held.
pub(crate) struct Stored {
    pub topics: LoadedTable<TopicConfigSerializeWrapper>,
    pub groups: LoadedTable<SubscriptionGroupWrapper>,
    pub consumer_offsets: ConsumerOffsetSerializeWrapper,
    pub delay_offsets: DelayOffsetSerializeWrapper,
    pub group: KeptGroup,
}

impl Files {
    pub(crate) fn new(config: &BrokerConfig) -> Self {
        let file = |name| tokio::sync::Mutex::new(config.config_file(name));
        let root = &config.store.store_path_root_dir;
        let (topics, groups) = ("topics.json", "subscriptionGroup.json");
        Self {
            topics: SavedTable::new(topics, TableFile::new(config.store.config_dir().join(topics)).of_store(root)),
            groups: SavedTable::new(groups, TableFile::new(config.store.config_dir().join(groups)).of_store(root)),
            consumer_offsets: Arc::new(file("consumerOffset.json")),
            delay_offsets: file("delayOffset.json"),
        }
    }

    pub(crate) async fn load(&self, config: &BrokerConfig) -> Result<Stored, StoreError> {
        Ok(Stored {
            topics: self.topics.load().await?,
            groups: self.groups.load().await?,
            consumer_offsets: self.consumer_offsets.lock().await.load().await?.unwrap_or_default(),
            delay_offsets: self.delay_offsets.lock().await.load().await?.unwrap_or_default(),
            group: KeptGroup::load(config.config_file("replicaGroup.json"), config.config_file("replicas.json"))
                .await?,
        })
    }
}

/// Whether a file has a copy of what it said before, or of what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backup {
    Before,
    Same,
}

impl Core {
    /// Brings the changes of topics to the drive.
    pub(crate) async fn save_topics(&self) -> Result<(), NotSaved> {
        self.files.topics.save(&self.topics).await
    }

    /// Brings the changes of consumer groups to the drive.
    pub(crate) async fn save_groups(&self) -> Result<(), NotSaved> {
        self.files.groups.save(&self.groups).await
    }

    /// Writes consumerOffset.json, if an offset has changed since it was last written.
    pub(crate) async fn persist_offsets(&self) -> Result<(), StoreError> {
        self.write_offsets(Backup::Before).await
    }

    async fn write_offsets(&self, backup: Backup) -> Result<(), StoreError> {
        let file = Arc::clone(&self.files.consumer_offsets).lock_owned().await;
        let (table, generation) = {
            let mut offsets = lock(&self.offsets);
            if !offsets.take_changed() {
                return Ok(());
            }
            (offsets.snapshot(), offsets.generation())
        };
        // It may be long. Whoever waits for it may be stopped: the file is locked until it is written.
        let written = task::aside(async move {
            let table = table.to_file();
            match backup {
                Backup::Before => file.store(&table).await,
                Backup::Same => file.store_in_both(&table).await,
            }
        });
        let written = written.await;
        let mut offsets = lock(&self.offsets);
        match &written {
            Ok(()) => offsets.note_durable(generation),
            Err(_) => offsets.mark_changed(),
        }
        written
    }

    /// Writes delayOffset.json. What has been delivered is flushed first: otherwise a power loss could take the delivered
    /// messages and leave the offsets that say they were delivered.
    pub(crate) async fn persist_delay_offsets(&self) -> Result<(), StoreError> {
        self.write_delay_offsets(Backup::Before).await
    }

    async fn write_delay_offsets(&self, backup: Backup) -> Result<(), StoreError> {
        let file = self.files.delay_offsets.lock().await;
        let table = lock(&self.delay_offsets).clone();
        if !self.config().quirks.has(Quirk::InternalPutsUnwaited) {
            self.store.flush().await?;
        }
        match backup {
            Backup::Before => file.store(&table).await,
            Backup::Same => file.store_in_both(&table).await,
        }
    }

    /// Writes all tables, as a broker does that stops. An error is told, and does not keep the others from being written.
    pub(crate) async fn write_all(&self) -> Result<(), StoreError> {
        let not_saved = |error: NotSaved| StoreError::Refused { why: error.to_string().into() };
        let topics = self.files.topics.save_whole(&self.topics).await.map_err(not_saved);
        let groups = self.files.groups.save_whole(&self.groups).await.map_err(not_saved);
        // The task that writes the offsets may have been stopped half-way.
        lock(&self.offsets).mark_changed();
        let offsets = self.write_offsets(Backup::Same).await;
        let forgets = self.config().quirks.has(Quirk::DelayOffsetsForgotten);
        let delay_offsets = if forgets { Ok(()) } else { self.write_delay_offsets(Backup::Same).await };
        topics.and(groups).and(offsets).and(delay_offsets)
    }
}

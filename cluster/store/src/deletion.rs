//! Deleting topics, for many at a time.
//!
//! A deletion brings a few things to the drive: that the topic's records count no more
//! ([`deleted_topics`](crate::deleted_topics)), and that its queues have gone. Those who come while one is under way share the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use sim::disk;

use crate::{
    appender::Request,
    config::StoreConfig,
    durable,
    error::{StoreError, io_error, lock},
    store::MessageStore,
};

/// The topics that are to be deleted.
#[derive(Debug, Default)]
pub(crate) struct Deletions {
    wanted: Mutex<Tickets>,
    /// Held by who deletes.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Tickets {
    topics: BTreeMap<u64, Arc<str>>,
    next: u64,
}

/// A deletion that waits. Who has given up wants nothing: the topic may have been made again.
struct Ticket<'a> {
    number: u64,
    deletions: &'a Deletions,
}

impl Deletions {
    fn want(&self, topic: Arc<str>) -> Ticket<'_> {
        let mut tickets = lock(&self.wanted);
        let number = tickets.next;
        tickets.next += 1;
        tickets.topics.insert(number, topic);
        Ticket { number, deletions: self }
    }
}

impl Ticket<'_> {
    fn is_settled(&self) -> bool {
        !lock(&self.deletions.wanted).topics.contains_key(&self.number)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        lock(&self.deletions.wanted).topics.remove(&self.number);
    }
}

/// Removes the directories of topics whose queues have been removed.
pub(crate) async fn remove_directories(config: &StoreConfig, topics: &[Arc<str>]) -> Result<(), StoreError> {
    for topic in topics {
        let directory = config.consume_queue_dir().join(&**topic);
        if disk::exists(&directory).await.map_err(io_error("look for", &directory))? {
            disk::remove_dir_all(&directory).await.map_err(io_error("remove", &directory))?;
        }
    }
    durable::sync_dir(&config.consume_queue_dir()).await
}

impl MessageStore {
    /// Removes the queues of a topic, if it has any; the records go with their files.
    ///
    /// # Errors
    /// The drive fails.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), StoreError> {
        if self.shared.queues.of_topic(topic).is_empty() {
            return Ok(());
        }
        let ticket = self.shared.deletions.want(topic.into());
        let _turn = self.shared.deletions.turn.lock().await;
        if ticket.is_settled() {
            return Ok(());
        }
        let wanted = lock(&self.shared.deletions.wanted).topics.clone();
        let topics: BTreeSet<Arc<str>> = wanted.values().cloned().collect();
        // When this fails, the others try it for themselves.
        self.remove_queues(topics.into_iter().collect()).await?;
        lock(&self.shared.deletions.wanted).topics.retain(|number, _| !wanted.contains_key(number));
        Ok(())
    }

    /// Removes the queues of all topics that `retain` does not want (`cleanUnusedTopic`); the records go with their files.
    /// Returns the topics removed.
    ///
    /// # Errors
    /// The drive fails.
    pub async fn clean_unused_topics(&self, retain: impl Fn(&str) -> bool) -> Result<Vec<Arc<str>>, StoreError> {
        let mut removed = self.shared.queues.topics();
        removed.retain(|topic| !retain(topic));
        if !removed.is_empty() {
            let _turn = self.shared.deletions.turn.lock().await;
            self.remove_queues(removed.clone()).await?;
        }
        Ok(removed)
    }

    async fn remove_queues(&self, topics: Vec<Arc<str>>) -> Result<(), StoreError> {
        let removed = topics.clone();
        for queue in self.ask(|reply| Request::RemoveTopics { topics, reply }).await? {
            queue.forget().await;
        }
        remove_directories(&self.shared.config, &removed).await
    }
}

//! Topics and consumer groups that come into being because they are used, and what follows when topics have changed: they are
//! brought to the drive, and the name servers are told, before the request that did it is answered.

use protocol::body::{SubscriptionGroupConfig, TopicConfig};
use sim::time::wall_clock_ms;

use crate::core::{Core, lock};
use crate::persistence::saved_table::NotSaved;
use crate::service::registration;
use crate::state::subscription_groups::SubscriptionGroups;
use crate::state::tracked::TableFull;

impl Core {
    /// A consumer group's settings; an unknown group is made if that is allowed. A slave makes none: what the master would
    /// make is what it goes by.
    pub(crate) async fn find_or_create_group(&self, group: &str) -> Option<SubscriptionGroupConfig> {
        let (config, is_new) = self.group_or_new(group)?;
        if is_new {
            // An error has been told, and is tried again. A group that is lost with the broker is made again by its next request.
            let _ = self.save_groups().await;
        }
        Some(config)
    }

    /// The same, but a new one is only in memory; whether it is new.
    pub(crate) fn group_or_new(&self, group: &str) -> Option<(SubscriptionGroupConfig, bool)> {
        if let Some(config) = lock(&self.groups).get(group) {
            return Some((config.clone(), false));
        }
        if !SubscriptionGroups::may_create(group, self.config().auto_create_subscription_group) {
            return None;
        }
        let config = SubscriptionGroupConfig::new(group);
        if self.is_slave() {
            return Some((config, false));
        }
        if let Err(error) = lock(&self.groups).put(config.clone(), wall_clock_ms()) {
            // Its members need not suffer for that: what a new group has is what they go by.
            tracing::warn!(group, %error, "subscription group not remembered");
            return Some((config, false));
        }
        tracing::info!(group, "subscription group created");
        Some((config, true))
    }

    /// Makes a topic that the broker itself needs (`createTopicInSendMessageBackMethod`), unless it is there.
    ///
    /// # Errors
    /// It is not on disk: what is stored in it now might be lost with it. Or there is no room for it.
    pub(crate) async fn ensure_topic(&self, name: &str, queue_nums: i32, perm: i32) -> Result<(), NotSaved> {
        if self.put_if_missing(name, queue_nums, perm)? {
            return self.topics_changed().await;
        }
        self.files.topics.ensure_saved(&self.topics, name).await
    }

    /// The same, in memory only; says whether it was new.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn put_if_missing(&self, name: &str, queue_nums: i32, perm: i32) -> Result<bool, TableFull> {
        let mut topics = lock(&self.topics);
        let is_missing = topics.get(name).is_none();
        if is_missing {
            topics.put(TopicConfig::new(name, queue_nums, perm), wall_clock_ms())?;
            drop(topics);
            tracing::info!(topic = name, queue_nums, "topic created");
        }
        Ok(is_missing)
    }

    /// The table of topics has changed: it is brought to the drive, and the name servers are told.
    ///
    /// # Errors
    /// It could not be written yet. The name servers are told all the same: it will be.
    pub(crate) async fn topics_changed(&self) -> Result<(), NotSaved> {
        let saved = self.save_topics().await;
        registration::registered(self).await;
        saved
    }
}

//! A message as a producer makes it (`Message`): topic, tags, keys, body and whatever else travels as a property.

use bytes::Bytes;
use protocol::Properties;
use protocol::properties::{KEY_SEPARATOR, PropertyError, property};

/// A message to send.
///
/// ```
/// use client::Message;
///
/// let message = Message::new("TopicA", "hello").with_tags("tagX")?.with_keys(["order-17"])?;
/// assert_eq!(message.tags(), Some("tagX"));
/// # Ok::<(), client::PropertyError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The topic to send to.
    pub topic: String,
    /// A number of the user's; RocketMQ only carries it.
    pub flag: i32,
    /// The properties, those of the system (tags, keys, ...) among them.
    pub properties: Properties,
    /// The body.
    pub body: Bytes,
}

impl Message {
    /// A message without tags and keys.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), flag: 0, properties: Properties::new(), body: body.into() }
    }

    /// With a tag, by which consumers filter.
    ///
    /// # Errors
    /// The tag is empty or has a separator character in it.
    pub fn with_tags(self, tags: &str) -> Result<Self, PropertyError> {
        self.with_property(property::TAGS, tags)
    }

    /// With keys, by which the message can be looked up.
    ///
    /// # Errors
    /// There is no key, or one has a separator character in it.
    pub fn with_keys<K: AsRef<str>>(self, keys: impl IntoIterator<Item = K>) -> Result<Self, PropertyError> {
        let mut text = String::new();
        for key in keys {
            if !text.is_empty() {
                text.push(KEY_SEPARATOR);
            }
            text.push_str(key.as_ref());
        }
        self.with_property(property::KEYS, &text)
    }

    /// With a property of the user's.
    ///
    /// # Errors
    /// The name or value is empty or has a separator character in it.
    pub fn with_property(mut self, name: &str, value: &str) -> Result<Self, PropertyError> {
        self.properties.set(name, value)?;
        Ok(self)
    }

    /// Delivered later: levels 1 to 18 are 1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h; 0 is at once.
    #[must_use]
    pub fn with_delay_level(mut self, level: u8) -> Self {
        self.properties.insert(property::DELAY, &level.to_string());
        self
    }

    /// Whether the broker answers only after the flush and replication that its mode asks for (the default), or as soon as
    /// the message is in memory.
    #[must_use]
    pub fn with_wait_store_msg_ok(mut self, wait: bool) -> Self {
        self.properties.insert(property::WAIT, if wait { "true" } else { "false" });
        self
    }

    /// The tag.
    #[must_use]
    pub fn tags(&self) -> Option<&str> {
        self.properties.get(property::TAGS)
    }

    /// The keys, separated by spaces.
    #[must_use]
    pub fn keys(&self) -> Option<&str> {
        self.properties.get(property::KEYS)
    }

    /// The delay level; 0 is none.
    #[must_use]
    pub fn delay_level(&self) -> i32 {
        self.properties.get(property::DELAY).and_then(|level| level.parse().ok()).unwrap_or(0)
    }

    /// Whether the sender waits for flush and replication; see [`Message::with_wait_store_msg_ok`].
    #[must_use]
    pub fn is_wait_store_msg_ok(&self) -> bool {
        self.properties.get(property::WAIT).is_none_or(|wait| wait == "true")
    }
}

//! A value for each message queue: topic, then queue id.
//!
//! Two ordered levels, so that a look-up by `&str` copies nothing and iteration has one order on every machine.

use std::collections::BTreeMap;

/// A map from (topic, queue id) to `V`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueMap<V> {
    topics: BTreeMap<String, BTreeMap<i32, V>>,
}

impl<V> Default for QueueMap<V> {
    fn default() -> Self {
        Self { topics: BTreeMap::new() }
    }
}

impl<V> QueueMap<V> {
    /// The value of a queue.
    #[must_use]
    pub fn get(&self, topic: &str, queue_id: i32) -> Option<&V> {
        self.topics.get(topic)?.get(&queue_id)
    }

    /// The value of a queue, to change it.
    pub fn get_mut(&mut self, topic: &str, queue_id: i32) -> Option<&mut V> {
        self.topics.get_mut(topic)?.get_mut(&queue_id)
    }

    /// The value of a queue; one is made if there is none.
    pub fn get_or_insert_with(&mut self, topic: &str, queue_id: i32, make: impl FnOnce() -> V) -> &mut V {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), BTreeMap::new());
        }
        let queues = self.topics.get_mut(topic).expect("the topic is there: it was inserted above if it was missing");
        queues.entry(queue_id).or_insert_with(make)
    }

    /// Sets the value of a queue and returns the old one.
    pub fn insert(&mut self, topic: &str, queue_id: i32, value: V) -> Option<V> {
        match self.topics.get_mut(topic) {
            Some(queues) => queues.insert(queue_id, value),
            None => {
                self.topics.insert(topic.to_owned(), BTreeMap::from([(queue_id, value)]));
                None
            }
        }
    }

    /// Takes the value of a queue away.
    pub fn remove(&mut self, topic: &str, queue_id: i32) -> Option<V> {
        let queues = self.topics.get_mut(topic)?;
        let removed = queues.remove(&queue_id);
        if queues.is_empty() {
            self.topics.remove(topic);
        }
        removed
    }

    /// Keeps the values that `stays` wants.
    pub fn retain(&mut self, mut stays: impl FnMut(&V) -> bool) {
        self.topics.retain(|_, queues| {
            queues.retain(|_, value| stays(value));
            !queues.is_empty()
        });
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.values().map(BTreeMap::len).sum()
    }

    /// Takes all queues of a topic away.
    pub fn remove_topic(&mut self, topic: &str) -> Option<BTreeMap<i32, V>> {
        self.topics.remove(topic)
    }

    /// The queues of a topic.
    #[must_use]
    pub fn topic(&self, topic: &str) -> Option<&BTreeMap<i32, V>> {
        self.topics.get(topic)
    }

    /// The topics, in order.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// All queues with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i32, &V)> {
        self.topics.iter().flat_map(|(topic, queues)| queues.iter().map(|(id, value)| (topic.as_str(), *id, value)))
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }
}

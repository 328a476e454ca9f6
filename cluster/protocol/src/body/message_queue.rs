//! A message queue's name, and maps keyed by it.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One queue of a topic on one broker name (`MessageQueue`). Ordered as Java orders it, by topic, broker and number: all
/// members of a consumer group must see the queues in the same order to share them out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    /// The broker's name.
    pub broker_name: String,
    /// The number of the queue.
    pub queue_id: i32,
    /// The topic.
    pub topic: String,
}

impl MessageQueue {
    /// The queue `queue_id` of `topic` on `broker_name`.
    #[must_use]
    pub fn new(topic: impl Into<String>, broker_name: impl Into<String>, queue_id: i32) -> Self {
        Self { broker_name: broker_name.into(), queue_id, topic: topic.into() }
    }
}

impl Ord for MessageQueue {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.topic, &self.broker_name, self.queue_id).cmp(&(&other.topic, &other.broker_name, other.queue_id))
    }
}

impl PartialOrd for MessageQueue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.topic, self.broker_name, self.queue_id)
    }
}

/// For `#[serde(with = …)]`: a map from queues, each key being a string that holds the queue's JSON. The readers and
/// writers of [`fastjson`](crate::fastjson) turn such keys into objects and back.
pub(super) mod keyed {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
    use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};

    use super::MessageQueue;
    use crate::fastjson;

    pub fn serialize<V: Serialize, S: Serializer>(
        map: &BTreeMap<MessageQueue, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(map.len()))?;
        for (queue, value) in map {
            let key = serde_json::to_string(queue).map_err(S::Error::custom)?;
            out.serialize_entry(&key, value)?;
        }
        out.end()
    }

    pub fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<MessageQueue, V>, D::Error> {
        deserializer.deserialize_map(Queues(PhantomData))
    }

    struct Queues<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Queues<V> {
        type Value = BTreeMap<MessageQueue, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map whose keys are message queues")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = access.next_entry::<String, V>()? {
                map.insert(fastjson::from_str(&key).map_err(A::Error::custom)?, value);
            }
            Ok(map)
        }
    }
}

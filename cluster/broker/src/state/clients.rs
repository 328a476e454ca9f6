//! Who is connected: the members of producer and consumer groups (`ProducerManager`, `ConsumerManager`,
//! `ConsumerGroupInfo`).
//!
//! A pure table: heartbeats, goodbyes, closed channels and the time go in; which consumer groups have changed, so that
//! their members must be told, comes out. `K` names a channel and `H` is a handle to it. Times are of a monotonic clock,
//! in ms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::Language;
use protocol::body::{ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData, MessageModel, SubscriptionData};

/// One client, as a member of a group.
#[derive(Clone, Debug)]
pub struct Member<H> {
    /// The client's id.
    pub client_id: String,
    /// Its language.
    pub language: Language,
    /// Its version.
    pub version: i32,
    /// When it last sent a heartbeat.
    pub heard_at_ms: i64,
    /// Its channel.
    pub handle: H,
}

/// A consumer group with at least one member.
#[derive(Clone, Debug)]
pub struct ConsumerGroup<K, H> {
    /// Pull or push.
    pub consume_type: ConsumeType,
    /// Who gets a message.
    pub message_model: MessageModel,
    /// Where a new group begins.
    pub consume_from_where: ConsumeFromWhere,
    /// By topic.
    pub subscriptions: BTreeMap<String, Arc<SubscriptionData>>,
    /// By channel.
    pub members: BTreeMap<K, Member<H>>,
}

/// All groups that have members.
#[derive(Debug)]
pub struct Clients<K, H> {
    producers: BTreeMap<String, BTreeMap<K, Member<H>>>,
    consumers: BTreeMap<String, ConsumerGroup<K, H>>,
}

impl<K, H> Default for Clients<K, H> {
    fn default() -> Self {
        Self { producers: BTreeMap::new(), consumers: BTreeMap::new() }
    }
}

impl<K: Ord + Copy, H: Clone> Clients<K, H> {
    /// A heartbeat came on a channel. Gives the consumer groups that it changed.
    pub fn heartbeat(
        &mut self,
        key: K,
        handle: &H,
        heartbeat: &HeartbeatData,
        language: Language,
        version: i32,
        now_ms: i64,
    ) -> Vec<String> {
        let member = || Member {
            client_id: heartbeat.client_id.clone(),
            language,
            version,
            heard_at_ms: now_ms,
            handle: handle.clone(),
        };
        for producer in &heartbeat.producer_data_set {
            join(
                self.producers.entry(producer.group_name.clone()).or_default(),
                key,
                &heartbeat.client_id,
                now_ms,
                member,
            );
        }
        let mut changed = Vec::new();
        for data in &heartbeat.consumer_data_set {
            let group = self.consumers.entry(data.group_name.clone()).or_insert_with(|| ConsumerGroup {
                consume_type: data.consume_type,
                message_model: data.message_model,
                consume_from_where: data.consume_from_where,
                subscriptions: BTreeMap::new(),
                members: BTreeMap::new(),
            });
            let joined = join(&mut group.members, key, &heartbeat.client_id, now_ms, member);
            let subscribed = group.subscribe(data);
            if joined || subscribed {
                changed.push(data.group_name.clone());
            }
        }
        changed
    }

    /// A client leaves a producer group.
    pub fn unregister_producer(&mut self, group: &str, key: K) {
        if let Some(members) = self.producers.get_mut(group) {
            members.remove(&key);
            if members.is_empty() {
                self.producers.remove(group);
            }
        }
    }

    /// A client leaves a consumer group; says whether it was a member.
    pub fn unregister_consumer(&mut self, group: &str, key: K) -> bool {
        let Some(info) = self.consumers.get_mut(group) else { return false };
        let left = info.members.remove(&key).is_some();
        if info.members.is_empty() {
            self.consumers.remove(group);
        }
        left
    }

    /// A channel has ended. Gives the consumer groups that lost a member.
    pub fn channel_closed(&mut self, key: K) -> Vec<String> {
        self.leave(|member_key, _| *member_key == key)
    }

    /// Forgets the clients that were silent for `timeout_ms`. Gives their channels, to be closed, and the consumer groups
    /// that lost a member.
    pub fn expire(&mut self, now_ms: i64, timeout_ms: i64) -> (Vec<H>, Vec<String>) {
        let mut handles: BTreeMap<K, H> = BTreeMap::new();
        let changed = self.leave(|key, member| {
            let expired = now_ms - member.heard_at_ms > timeout_ms;
            if expired {
                handles.insert(*key, member.handle.clone());
            }
            expired
        });
        (handles.into_values().collect(), changed)
    }

    fn leave(&mut self, mut leaves: impl FnMut(&K, &Member<H>) -> bool) -> Vec<String> {
        self.producers.retain(|_, members| {
            members.retain(|key, member| !leaves(key, member));
            !members.is_empty()
        });
        let mut changed = Vec::new();
        self.consumers.retain(|name, group| {
            let before = group.members.len();
            group.members.retain(|key, member| !leaves(key, member));
            if group.members.len() != before {
                changed.push(name.clone());
            }
            !group.members.is_empty()
        });
        changed
    }

    /// A consumer group, if it has members.
    #[must_use]
    pub fn consumer_group(&self, group: &str) -> Option<&ConsumerGroup<K, H>> {
        self.consumers.get(group)
    }

    /// The members of a producer group.
    #[must_use]
    pub fn producer_group(&self, group: &str) -> Option<&BTreeMap<K, Member<H>>> {
        self.producers.get(group)
    }

    /// All producer groups with their members.
    pub fn producer_groups(&self) -> impl Iterator<Item = (&str, &BTreeMap<K, Member<H>>)> {
        self.producers.iter().map(|(group, members)| (group.as_str(), members))
    }

    /// The consumer groups that subscribe to a topic.
    pub fn groups_subscribed_to(&self, topic: &str) -> BTreeSet<String> {
        let subscribed = |(_, group): &(&String, &ConsumerGroup<K, H>)| group.subscriptions.contains_key(topic);
        self.consumers.iter().filter(subscribed).map(|(name, _)| name.clone()).collect()
    }

    /// The names of all consumer groups with members.
    pub fn consumer_groups(&self) -> impl Iterator<Item = &str> {
        self.consumers.keys().map(String::as_str)
    }
}

impl<K: Ord, H> ConsumerGroup<K, H> {
    /// Takes over what a member says of the group; says whether a topic came or went.
    fn subscribe(&mut self, data: &ConsumerData) -> bool {
        self.consume_type = data.consume_type;
        self.message_model = data.message_model;
        self.consume_from_where = data.consume_from_where;
        let mut changed = false;
        for subscription in &data.subscription_data_set {
            match self.subscriptions.get_mut(&subscription.topic) {
                Some(old) if subscription.sub_version > old.sub_version => *old = Arc::new(subscription.clone()),
                Some(_) => {}
                None => {
                    self.subscriptions.insert(subscription.topic.clone(), Arc::new(subscription.clone()));
                    changed = true;
                }
            }
        }
        let before = self.subscriptions.len();
        self.subscriptions
            .retain(|topic, _| data.subscription_data_set.iter().any(|subscription| subscription.topic == *topic));
        changed || self.subscriptions.len() != before
    }

    /// The ids of the members, each once.
    #[must_use]
    pub fn client_ids(&self) -> Vec<String> {
        let ids: BTreeSet<&str> = self.members.values().map(|member| member.client_id.as_str()).collect();
        ids.into_iter().map(str::to_owned).collect()
    }

    /// The member with this id.
    #[must_use]
    pub fn member(&self, client_id: &str) -> Option<&Member<H>> {
        self.members.values().find(|member| member.client_id == client_id)
    }
}

/// Notes a member's heartbeat; says whether it is new.
fn join<K: Ord, H>(
    members: &mut BTreeMap<K, Member<H>>,
    key: K,
    client_id: &str,
    now_ms: i64,
    member: impl Fn() -> Member<H>,
) -> bool {
    match members.get_mut(&key) {
        Some(old) if old.client_id == client_id => {
            old.heard_at_ms = now_ms;
            false
        }
        _ => {
            members.insert(key, member());
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::body::ProducerData;

    use super::*;

    fn heartbeat(client_id: &str, topics: &[&str]) -> HeartbeatData {
        HeartbeatData {
            client_id: client_id.into(),
            consumer_data_set: vec![ConsumerData {
                group_name: "cg".into(),
                subscription_data_set: topics.iter().map(|topic| SubscriptionData::by_tags(*topic, "*", 1)).collect(),
                ..ConsumerData::default()
            }],
            producer_data_set: vec![ProducerData { group_name: "pg".into() }],
        }
    }

    fn beat(clients: &mut Clients<u32, u32>, key: u32, client_id: &str, topics: &[&str], now_ms: i64) -> Vec<String> {
        clients.heartbeat(key, &key, &heartbeat(client_id, topics), Language::Java, 409, now_ms)
    }

    #[test]
    fn a_group_changes_when_a_member_or_a_topic_comes_or_goes() {
        let mut clients = Clients::default();
        assert_eq!(beat(&mut clients, 1, "a", &["T"], 0), ["cg"]);
        assert!(beat(&mut clients, 1, "a", &["T"], 30_000).is_empty());
        assert_eq!(beat(&mut clients, 2, "b", &["T"], 30_000), ["cg"]);
        assert_eq!(beat(&mut clients, 2, "b", &["T", "U"], 31_000), ["cg"]);
        assert_eq!(beat(&mut clients, 1, "a", &["T"], 32_000), ["cg"]);
        assert_eq!(clients.consumer_group("cg").unwrap().client_ids(), ["a", "b"]);
        assert_eq!(clients.channel_closed(1), ["cg"]);
        assert!(clients.channel_closed(1).is_empty());
        assert!(clients.unregister_consumer("cg", 2));
        assert!(clients.consumer_group("cg").is_none());
        assert!(clients.producer_group("pg").is_some());
        clients.unregister_producer("pg", 2);
        assert!(clients.producer_group("pg").is_none());
    }

    #[test]
    fn silent_clients_are_forgotten() {
        let mut clients = Clients::default();
        beat(&mut clients, 1, "a", &["T"], 0);
        beat(&mut clients, 2, "b", &["T"], 100_000);
        let (closed, changed) = clients.expire(121_000, 120_000);
        assert_eq!((closed, changed), (vec![1], vec!["cg".to_owned()]));
        assert_eq!(clients.consumer_group("cg").unwrap().client_ids(), ["b"]);
    }
}

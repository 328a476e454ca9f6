//! Who is connected: the members of producer and consumer groups (`ProducerManager`, `ConsumerManager`,
//! `ConsumerGroupInfo`).
//!
//! A pure table: heartbeats, goodbyes, closed channels and the time go in; which consumer groups have changed, so that
//! their members must be told, comes out. `K` names a channel and `H` is a handle to it. Times are of a monotonic clock,
//! in ms.
//!
//! Anybody may send heartbeats, and everybody waits for this table. So a heartbeat costs what it says, a goodbye what the
//! channel had, and neither depends on how many others there are; what is looked through as a whole is looked through in
//! slices; and there are limits ([`ClientLimits`]) to what one channel and all together may leave here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use protocol::Language;
use protocol::body::{ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel, SubscriptionData};

use super::groups_by_topic::GroupsByTopic;

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

/// How much may be left here.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Groups that one channel may be a member of.
    pub groups_per_channel: usize,
    /// What all memberships and subscriptions together may take, about, in bytes.
    pub bytes: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { groups_per_channel: 10_000, bytes: 256 << 20 }
    }
}

/// Why a heartbeat is not taken in, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// The channel is a member of too many groups.
    Groups {
        /// As many as it may.
        max: usize,
    },
    /// All clients together have too much here.
    Bytes {
        /// As much as there may be.
        max: usize,
    },
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Groups { max } => {
                write!(f, "one connection is a member of {max} groups at most: use several clients")
            }
            Self::Bytes { max } => {
                write!(f, "the groups and subscriptions of all clients take more than {} MiB here", max >> 20)
            }
        }
    }
}

/// Who sends a heartbeat.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a, K, H> {
    /// The channel.
    pub key: K,
    /// A handle to it.
    pub handle: &'a H,
    /// The client's id.
    pub client_id: &'a str,
    /// Its language.
    pub language: Language,
    /// Its version.
    pub version: i32,
}

/// What one channel is a member of.
#[derive(Debug, Default)]
struct Memberships {
    producers: BTreeSet<String>,
    consumers: BTreeSet<String>,
}

impl Memberships {
    fn len(&self) -> usize {
        self.producers.len() + self.consumers.len()
    }
}

/// All groups that have members.
#[derive(Debug)]
pub struct Clients<K, H> {
    producers: BTreeMap<String, BTreeMap<K, Member<H>>>,
    consumers: BTreeMap<String, ConsumerGroup<K, H>>,
    channels: BTreeMap<K, Memberships>,
    limits: ClientLimits,
    index: Index,
}

/// What is known of all subscriptions together.
#[derive(Debug, Default)]
struct Index {
    /// See [`ClientLimits::bytes`].
    bytes: usize,
    /// The consumer groups that subscribe to a topic.
    groups: GroupsByTopic,
}

/// A group that was looked at for silent members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired<K, H> {
    /// The channels of those who were silent, to be closed.
    pub silent: Vec<H>,
    /// The consumer groups that lost a member.
    pub changed: Vec<String>,
    /// Where to go on; `None` when all channels have been looked at.
    pub next: Option<K>,
}

/// What a membership takes beside names, about.
const MEMBERSHIP_BYTES: usize = 300;
/// What a subscription takes beside texts, about.
const SUBSCRIPTION_BYTES: usize = 300;
/// What a tag takes beside its text, about: it is in two sets.
const TAG_BYTES: usize = 64;

fn membership_bytes(group: &str, client_id: &str) -> usize {
    MEMBERSHIP_BYTES + 2 * group.len() + client_id.len()
}

fn subscription_bytes(subscription: &SubscriptionData) -> usize {
    let tags: usize = subscription.tags_set.iter().map(|tag| tag.len() + TAG_BYTES).sum();
    SUBSCRIPTION_BYTES + 2 * subscription.topic.len() + subscription.sub_string.len() + tags
}

impl<K, H> Default for Clients<K, H> {
    fn default() -> Self {
        Self {
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            channels: BTreeMap::new(),
            limits: ClientLimits::default(),
            index: Index::default(),
        }
    }
}

impl<K: Ord + Copy, H: Clone> Clients<K, H> {
    /// With other limits.
    #[must_use]
    pub fn with_limits(limits: ClientLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// A heartbeat says that its sender is a member of a producer group.
    ///
    /// # Errors
    /// It is not taken in: there is too much here.
    pub fn producer(&mut self, sender: &Sender<'_, K, H>, group: &str, now_ms: i64) -> Result<(), TooMuch> {
        if let Some(member) = self.producers.get_mut(group).and_then(|members| members.get_mut(&sender.key))
            && member.client_id == sender.client_id
        {
            member.heard_at_ms = now_ms;
            return Ok(());
        }
        self.check_room(sender.key)?;
        let members = self.producers.entry(group.to_owned()).or_default();
        let old = members.insert(sender.key, sender.member(now_ms));
        self.channels.entry(sender.key).or_default().producers.insert(group.to_owned());
        self.count_member(group, sender.client_id, old);
        Ok(())
    }

    /// A heartbeat says that its sender is a member of a consumer group, and what that subscribes to. Says whether the group
    /// has changed by it.
    ///
    /// # Errors
    /// It is not taken in: there is too much here.
    pub fn consumer(&mut self, sender: &Sender<'_, K, H>, data: &ConsumerData, now_ms: i64) -> Result<bool, TooMuch> {
        let name = &data.group_name;
        let known = self.consumers.get(name).and_then(|group| group.members.get(&sender.key));
        let joins = known.is_none_or(|member| member.client_id != sender.client_id);
        if joins {
            self.check_room(sender.key)?;
        }
        let group = self.consumers.entry(name.clone()).or_insert_with(|| ConsumerGroup {
            consume_type: data.consume_type,
            message_model: data.message_model,
            consume_from_where: data.consume_from_where,
            subscriptions: BTreeMap::new(),
            members: BTreeMap::new(),
        });
        let before = self.index.bytes;
        let subscribed = group.subscribe(data, &mut self.index);
        let grows = self.index.bytes > before;
        if joins {
            let old = group.members.insert(sender.key, sender.member(now_ms));
            self.channels.entry(sender.key).or_default().consumers.insert(name.clone());
            self.count_member(name, sender.client_id, old);
        } else if let Some(member) = group.members.get_mut(&sender.key) {
            member.heard_at_ms = now_ms;
        }
        if grows && self.index.bytes > self.limits.bytes {
            self.unregister_consumer(name, sender.key);
            return Err(TooMuch::Bytes { max: self.limits.bytes });
        }
        Ok(joins || subscribed)
    }

    fn check_room(&self, key: K) -> Result<(), TooMuch> {
        let ClientLimits { groups_per_channel, bytes } = self.limits;
        if self.channels.get(&key).is_some_and(|memberships| memberships.len() >= groups_per_channel) {
            return Err(TooMuch::Groups { max: groups_per_channel });
        }
        if self.index.bytes >= bytes { Err(TooMuch::Bytes { max: bytes }) } else { Ok(()) }
    }

    fn count_member(&mut self, group: &str, client_id: &str, old: Option<Member<H>>) {
        self.index.bytes += membership_bytes(group, client_id);
        if let Some(old) = old {
            self.index.bytes -= membership_bytes(group, &old.client_id);
        }
    }

    /// A client leaves a producer group.
    pub fn unregister_producer(&mut self, group: &str, key: K) {
        if self.remove_producer(group, key) {
            self.forget_membership(key, |memberships| &mut memberships.producers, group);
        }
    }

    /// A client leaves a consumer group; says whether it was a member.
    pub fn unregister_consumer(&mut self, group: &str, key: K) -> bool {
        let left = self.remove_consumer(group, key);
        if left {
            self.forget_membership(key, |memberships| &mut memberships.consumers, group);
        }
        left
    }

    fn forget_membership(&mut self, key: K, of: impl Fn(&mut Memberships) -> &mut BTreeSet<String>, group: &str) {
        if let Some(memberships) = self.channels.get_mut(&key) {
            of(memberships).remove(group);
            if memberships.len() == 0 {
                self.channels.remove(&key);
            }
        }
    }

    fn remove_producer(&mut self, group: &str, key: K) -> bool {
        let Some(members) = self.producers.get_mut(group) else { return false };
        let Some(member) = members.remove(&key) else { return false };
        self.index.bytes -= membership_bytes(group, &member.client_id);
        if members.is_empty() {
            self.producers.remove(group);
        }
        true
    }

    fn remove_consumer(&mut self, name: &str, key: K) -> bool {
        let Some(group) = self.consumers.get_mut(name) else { return false };
        let Some(member) = group.members.remove(&key) else { return false };
        self.index.bytes -= membership_bytes(name, &member.client_id);
        if group.members.is_empty()
            && let Some(group) = self.consumers.remove(name)
        {
            for (topic, data) in &group.subscriptions {
                self.index.bytes -= subscription_bytes(data);
                self.index.groups.remove(topic, name);
            }
        }
        true
    }

    /// A channel has ended. Gives the consumer groups that lost a member.
    pub fn channel_closed(&mut self, key: K) -> Vec<String> {
        let Some(Memberships { producers, consumers }) = self.channels.remove(&key) else { return Vec::new() };
        for group in producers {
            self.remove_producer(&group, key);
        }
        consumers.into_iter().filter(|group| self.remove_consumer(group, key)).collect()
    }

    /// Forgets the clients that were silent for `timeout_ms`, among the next `channels` channels after `after`.
    pub fn expire(&mut self, now_ms: i64, timeout_ms: i64, after: Option<K>, channels: usize) -> Expired<K, H> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys: Vec<K> = self.channels.range((from, Bound::Unbounded)).take(channels).map(|(key, _)| *key).collect();
        let mut expired = Expired { silent: Vec::new(), changed: Vec::new(), next: None };
        for &key in &keys {
            let Some(Memberships { producers, consumers }) = self.channels.get(&key) else { continue };
            let is_silent = |member: &&Member<H>| now_ms - member.heard_at_ms > timeout_ms;
            let producer = |group: &&String| self.producers.get(*group).and_then(|members| members.get(&key));
            let consumer = |group: &&String| self.consumers.get(*group).and_then(|info| info.members.get(&key));
            let silent = producers.iter().find_map(|group| producer(&group).filter(is_silent));
            let silent = silent.or_else(|| consumers.iter().find_map(|group| consumer(&group).filter(is_silent)));
            let Some(handle) = silent.map(|member| member.handle.clone()) else { continue };
            let left = |group: &&String, member: Option<&Member<H>>| member.filter(is_silent).map(|_| (*group).clone());
            let producers: Vec<_> = producers.iter().filter_map(|group| left(&group, producer(&group))).collect();
            let consumers: Vec<_> = consumers.iter().filter_map(|group| left(&group, consumer(&group))).collect();
            producers.iter().for_each(|group| self.unregister_producer(group, key));
            expired.changed.extend(consumers.into_iter().filter(|group| self.unregister_consumer(group, key)));
            expired.silent.push(handle);
        }
        expired.changed.sort();
        expired.changed.dedup();
        expired.next = (keys.len() == channels).then(|| keys.last().copied()).flatten();
        expired
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
    #[must_use]
    pub fn groups_subscribed_to(&self) -> &GroupsByTopic {
        &self.index.groups
    }

    /// The names of all consumer groups with members.
    pub fn consumer_groups(&self) -> impl Iterator<Item = &str> {
        self.consumers.keys().map(String::as_str)
    }
}

impl<K: Ord, H> ConsumerGroup<K, H> {
    /// Takes over what a member says of the group; says whether a topic came or went. `index` has what is
    /// known of the subscriptions of all groups.
    fn subscribe(&mut self, data: &ConsumerData, index: &mut Index) -> bool {
        let Index { bytes, groups } = index;
        self.consume_type = data.consume_type;
        self.message_model = data.message_model;
        self.consume_from_where = data.consume_from_where;
        let mut changed = false;
        let mut topics = BTreeSet::new();
        for subscription in &data.subscription_data_set {
            topics.insert(&*subscription.topic);
            match self.subscriptions.get_mut(&subscription.topic) {
                Some(old) if subscription.sub_version > old.sub_version => {
                    *bytes += subscription_bytes(subscription);
                    *bytes -= subscription_bytes(old);
                    *old = Arc::new(subscription.clone());
                }
                Some(_) => {}
                None => {
                    *bytes += subscription_bytes(subscription);
                    groups.insert(&subscription.topic, &data.group_name);
                    self.subscriptions.insert(subscription.topic.clone(), Arc::new(subscription.clone()));
                    changed = true;
                }
            }
        }
        let before = self.subscriptions.len();
        if topics.len() < before {
            self.subscriptions.retain(|topic, subscription| {
                let stays = topics.contains(&**topic);
                if !stays {
                    *bytes -= subscription_bytes(subscription);
                    groups.remove(topic, &data.group_name);
                }
                stays
            });
        }
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

impl<K, H: Clone> Sender<'_, K, H> {
    fn member(&self, now_ms: i64) -> Member<H> {
        Member {
            client_id: self.client_id.to_owned(),
            language: self.language,
            version: self.version,
            heard_at_ms: now_ms,
            handle: self.handle.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Table = Clients<u32, u32>;

    fn consumer_data(group: &str, topics: &[&str]) -> ConsumerData {
        ConsumerData {
            group_name: group.into(),
            subscription_data_set: topics.iter().map(|topic| SubscriptionData::by_tags(*topic, "*", 1)).collect(),
            ..ConsumerData::default()
        }
    }

    fn sender<'a>(key: &'a u32, client_id: &'a str) -> Sender<'a, u32, u32> {
        Sender { key: *key, handle: key, client_id, language: Language::Java, version: 409 }
    }

    /// One client with a producer and a consumer group; whether the consumer group has changed.
    fn beat(clients: &mut Table, key: u32, client_id: &str, topics: &[&str], now_ms: i64) -> bool {
        let sender = sender(&key, client_id);
        clients.producer(&sender, "pg", now_ms).expect("there is room");
        clients.consumer(&sender, &consumer_data("cg", topics), now_ms).expect("there is room")
    }

    #[test]
    fn a_group_changes_when_a_member_or_a_topic_comes_or_goes() {
        let mut clients = Table::default();
        assert!(beat(&mut clients, 1, "a", &["T"], 0));
        assert!(!beat(&mut clients, 1, "a", &["T"], 30_000));
        assert!(beat(&mut clients, 2, "b", &["T"], 30_000));
        assert!(beat(&mut clients, 2, "b", &["T", "U"], 31_000));
        assert!(beat(&mut clients, 1, "a", &["T", "T"], 32_000));
        assert_eq!(clients.consumer_group("cg").unwrap().client_ids(), ["a", "b"]);
        assert_eq!(clients.channel_closed(1), ["cg"]);
        assert!(clients.channel_closed(1).is_empty());
        assert!(clients.unregister_consumer("cg", 2));
        assert!(clients.consumer_group("cg").is_none());
        assert!(clients.producer_group("pg").is_some());
        clients.unregister_producer("pg", 2);
        assert!(clients.producer_group("pg").is_none());
        assert_eq!((clients.index.bytes, clients.channels.len()), (0, 0), "nothing is left");
    }

    #[test]
    fn silent_clients_are_forgotten_in_slices() {
        let mut clients = Table::default();
        for key in 0..10 {
            beat(&mut clients, key, &format!("c{key}"), &["T"], i64::from(key % 2) * 100_000);
        }
        let (mut silent, mut slices, mut after) = (Vec::new(), 0, None);
        loop {
            let expired = clients.expire(121_000, 120_000, after, 3);
            assert!(expired.silent.is_empty() || expired.changed == ["cg"]);
            silent.extend(expired.silent);
            slices += 1;
            after = expired.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((silent, slices), (vec![0, 2, 4, 6, 8], 4));
        assert_eq!(clients.consumer_group("cg").unwrap().client_ids(), ["c1", "c3", "c5", "c7", "c9"]);
    }

    #[test]
    fn a_channel_has_a_limited_number_of_groups_and_all_have_a_limited_room() {
        let mut clients = Table::with_limits(ClientLimits { groups_per_channel: 3, bytes: 8_000 });
        for group in ["a", "b", "c"] {
            clients.producer(&sender(&1, "c"), group, 0).expect("there is room");
        }
        let one_more = consumer_data("d", &["T"]);
        assert_eq!(clients.consumer(&sender(&1, "c"), &one_more, 0), Err(TooMuch::Groups { max: 3 }));
        assert_eq!(clients.producer(&sender(&1, "c"), "b", 1), Ok(()), "it is a member already");
        assert_eq!(clients.consumer(&sender(&2, "d"), &one_more, 0), Ok(true));
        let many: Vec<String> = (0..100).map(|number| format!("T{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let too_much = clients.consumer(&sender(&3, "e"), &consumer_data("e", &many), 0);
        assert_eq!(too_much, Err(TooMuch::Bytes { max: 8_000 }));
        assert!(clients.consumer_group("e").is_none(), "nothing is left of it");
        assert_eq!(clients.consumer(&sender(&2, "d"), &one_more, 1), Ok(false), "others are not hurt");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Producer(u32, u32),
        Consumer(u32, u32, Vec<u32>),
        LeaveProducer(u32, u32),
        LeaveConsumer(u32, u32),
        Close(u32),
        Expire,
    }

    fn step() -> impl Strategy<Value = Step> {
        let (key, group) = (0..6_u32, 0..5_u32);
        prop_oneof![
            (key.clone(), group.clone()).prop_map(|(key, group)| Step::Producer(key, group)),
            (key.clone(), group.clone(), prop::collection::vec(0..8_u32, 0..6))
                .prop_map(|(key, group, topics)| Step::Consumer(key, group, topics)),
            (key.clone(), group.clone()).prop_map(|(key, group)| Step::LeaveProducer(key, group)),
            (key.clone(), group).prop_map(|(key, group)| Step::LeaveConsumer(key, group)),
            key.prop_map(Step::Close),
            Just(Step::Expire),
        ]
    }

    proptest! {
        /// What a channel has is known by channel and by group alike, and what all have is counted.
        #[test]
        fn both_sides_of_the_table_agree(steps in prop::collection::vec(step(), 1..60)) {
            let mut clients = Table::default();
            for (now_ms, step) in (0..).map(|number| number * 10).zip(steps) {
                match step {
                    Step::Producer(key, group) => {
                        clients.producer(&sender(&key, "c"), &format!("g{group}"), now_ms).expect("there is room");
                    }
                    Step::Consumer(key, group, topics) => {
                        let topics: Vec<String> = topics.iter().map(|topic| format!("T{topic}")).collect();
                        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                        let data = consumer_data(&format!("g{group}"), &topics);
                        clients.consumer(&sender(&key, "c"), &data, now_ms).expect("there is room");
                        let group = clients.consumer_group(&data.group_name).expect("it has a member");
                        prop_assert_eq!(
                            group.subscriptions.keys().map(String::as_str).collect::<BTreeSet<_>>(),
                            topics.into_iter().collect::<BTreeSet<_>>()
                        );
                    }
                    Step::LeaveProducer(key, group) => clients.unregister_producer(&format!("g{group}"), key),
                    Step::LeaveConsumer(key, group) => {
                        clients.unregister_consumer(&format!("g{group}"), key);
                    }
                    Step::Close(key) => {
                        clients.channel_closed(key);
                    }
                    Step::Expire => {
                        clients.expire(now_ms, 200, None, usize::MAX);
                    }
                }
                let mut bytes = 0;
                let mut memberships = 0;
                for (name, members) in &clients.producers {
                    for (key, member) in members {
                        prop_assert!(clients.channels[key].producers.contains(name));
                        bytes += membership_bytes(name, &member.client_id);
                        memberships += 1;
                    }
                }
                for (name, group) in &clients.consumers {
                    prop_assert!(!group.members.is_empty());
                    bytes += group.subscriptions.values().map(|data| subscription_bytes(data)).sum::<usize>();
                    for (key, member) in &group.members {
                        prop_assert!(clients.channels[key].consumers.contains(name));
                        bytes += membership_bytes(name, &member.client_id);
                        memberships += 1;
                    }
                }
                prop_assert_eq!(clients.channels.values().map(Memberships::len).sum::<usize>(), memberships);
                prop_assert!(clients.channels.values().all(|memberships| memberships.len() > 0));
                prop_assert_eq!(clients.index.bytes, bytes);
                let mut groups = GroupsByTopic::default();
                for (name, group) in &clients.consumers {
                    group.subscriptions.keys().for_each(|topic| groups.insert(topic, name));
                }
                prop_assert_eq!(clients.groups_subscribed_to(), &groups);
            }
        }
    }
}

//! The route table (`RouteInfoManager`): brokers and topics as plain data, changed by plain functions.
//!
//! Time is passed in: milliseconds of a clock that never goes back, from any start. What is true after every call:
//! * an address belongs to one broker: one name and one id. It is listed under that name, and it is alive;
//! * a broker name has at least one address;
//! * a topic has at least one broker name, and each of them is known;
//! * a broker name knows its topics, and a connection its brokers: to forget one costs what it had, not what there is.
//!
//! Anybody may register anything, so there is a limit to how much is here ([`RouteTable::check_room`]).
//!
//! Apache's table can lose all three: it keys liveness by cluster and address but addresses by broker name, so that a
//! broker that comes back under another name or cluster leaves its old entry behind for good.

use std::collections::{BTreeMap, BTreeSet};

use protocol::BrokerId;
use protocol::body::{DataVersion, QueueData, TopicConfig};
use protocol::perm::{PERM_READ, PERM_WRITE};
use remoting::ChannelId;

/// A broker as it announces itself (REGISTER_BROKER).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its cluster.
    pub cluster_name: String,
    /// Its name, shared by a master and its slaves.
    pub broker_name: String,
    /// Its id.
    pub broker_id: BrokerId,
    /// Where clients reach it.
    pub broker_addr: String,
    /// Where its slaves reach it.
    pub ha_server_addr: String,
    /// How long it may be silent.
    pub expires_after_ms: u64,
    /// `None` from brokers before 5.0. Whether a slave may stand in for the master.
    pub enable_acting_master: Option<bool>,
    /// The version of its topics.
    pub data_version: DataVersion,
    /// Its topics.
    pub topics: BTreeMap<String, TopicConfig>,
    /// The connection it came by.
    pub channel: ChannelId,
}

/// Who a broker is, for those that leave.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Departed {
    /// Its address.
    pub broker_addr: String,
    /// Its name.
    pub broker_name: String,
    /// Its id.
    pub broker_id: BrokerId,
    /// The connection it registered by.
    pub channel: ChannelId,
}

/// What a broker learns when it registers: a slave, its master.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// The master's address for clients.
    pub master_addr: Option<String>,
    /// The master's address for slaves.
    pub ha_server_addr: Option<String>,
}

/// Another broker has this name and id, with topics of a later epoch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "broker {broker_name} id {broker_id} is {known_addr} with state version {known}, which is newer than {given} of {broker_addr}: \
     stop one of the two"
)]
pub struct StaleBroker {
    /// The name of both.
    pub broker_name: String,
    /// The id of both.
    pub broker_id: BrokerId,
    /// The address that was refused.
    pub broker_addr: String,
    /// The address that is kept.
    pub known_addr: String,
    /// The state version that was refused.
    pub given: i64,
    /// The state version that is kept.
    pub known: i64,
}

/// There is no room for a registration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// Too many brokers.
    #[error("this name server has {max} brokers, the most it takes: one more is refused")]
    Brokers {
        /// The most.
        max: usize,
    },
    /// Too many topics.
    #[error("this name server has {known} topics of brokers and takes {max} at most: {given} more are refused")]
    Topics {
        /// How many there are, counted for each broker name.
        known: usize,
        /// How many there would be in addition.
        given: usize,
        /// The most.
        max: usize,
    },
}

/// How the topics of a registration are taken, if they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taking {
    /// They may differ from those that are known.
    changed: bool,
    /// Nobody may write to them.
    read_only: bool,
}

/// The most broker addresses.
const BROKERS_MAX: usize = 10_000;
/// The most topics, counted for each broker name that has them.
const ROWS_MAX: usize = 1_000_000;

/// What happens to a topic that a broker has registered before and does not register now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmentioned {
    /// It stays until it is deleted here too, as DELETE_TOPIC_IN_NAMESRV does.
    Kept,
    /// It is forgotten.
    Deleted,
}

/// All that a name server knows of brokers and topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// By address.
    pub(crate) alive: BTreeMap<String, Alive>,
    /// By broker name.
    pub(crate) groups: BTreeMap<String, Group>,
    /// By topic and broker name.
    pub(crate) topics: BTreeMap<String, BTreeMap<String, QueueData>>,
    /// The addresses that registered by a connection.
    pub(crate) channels: BTreeMap<ChannelId, BTreeSet<String>>,
    /// How many entries `topics` has on its second level.
    pub(crate) rows: usize,
}

/// One broker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alive {
    pub broker_name: String,
    pub broker_id: BrokerId,
    pub ha_server_addr: String,
    pub data_version: DataVersion,
    pub channel: ChannelId,
    pub heard_at_ms: u64,
    pub expires_after_ms: u64,
}

/// A broker name: a master and its slaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub cluster_name: String,
    pub addrs: BTreeMap<BrokerId, String>,
    pub enable_acting_master: bool,
    /// The topics that it has.
    pub topics: BTreeSet<String>,
}

impl Group {
    fn lowest_id(&self) -> Option<BrokerId> {
        self.addrs.keys().next().copied()
    }
}

impl RouteTable {
    /// Whether there is room for a registration, also for topics that are to follow it.
    ///
    /// # Errors
    /// There is not.
    pub fn check_room(&self, registration: &Registration) -> Result<(), NoRoom> {
        if !self.alive.contains_key(&registration.broker_addr) && self.alive.len() >= BROKERS_MAX {
            return Err(NoRoom::Brokers { max: BROKERS_MAX });
        }
        let has = self.groups.get(&registration.broker_name).map_or(0, |group| group.topics.len());
        let given = registration.topics.len().saturating_sub(has);
        if given > 0 && self.rows + given > ROWS_MAX {
            return Err(NoRoom::Topics { known: self.rows, given, max: ROWS_MAX });
        }
        Ok(())
    }

    /// Takes a broker's registration, its first or a later one. One that comes by an older connection than the last, as a name
    /// server finds it that has stood still for a while, changes nothing.
    ///
    /// Only the master says which topics its broker name has, or, if it is of 5.x, the slave with the lowest id while
    /// there is no master.
    ///
    /// # Errors
    /// The id is taken by another address with a newer state version. That broker stays, and this one is forgotten.
    pub fn register(
        &mut self,
        registration: Registration,
        unmentioned: Unmentioned,
        now_ms: u64,
    ) -> Result<Registered, StaleBroker> {
        self.begin_registration(registration, unmentioned, now_ms).map(|(registered, _)| registered)
    }

    /// As [`RouteTable::register`], of a registration whose last topics may follow by [`RouteTable::go_on`]; also says how
    /// they are taken, if they are.
    ///
    /// # Errors
    /// As [`RouteTable::register`].
    pub fn begin_registration(
        &mut self,
        registration: Registration,
        unmentioned: Unmentioned,
        now_ms: u64,
    ) -> Result<(Registered, Option<Taking>), StaleBroker> {
        let Registration { broker_name: name, broker_id: id, broker_addr: addr, .. } = &registration;
        self.refuse_if_stale(&registration)?;
        let known = self.alive.get(addr).filter(|known| known.broker_name == *name && known.broker_id == *id);
        if known.is_some_and(|known| known.channel > registration.channel) {
            // Left over of a connection that has ended for the broker, which has made another since.
            return Ok((self.master_of(name, *id), None));
        }
        // The same process under another name or id: a slave that became master, or a new configuration.
        if self.alive.get(addr).is_some_and(|known| known.broker_name != *name || known.broker_id != *id) {
            self.remove(addr);
        }
        // Another process under the same name and id: it comes back by its next registration, if it is still there.
        if let Some(displaced) = self.groups.get(name).and_then(|group| group.addrs.get(id)).filter(|old| *old != addr)
        {
            let displaced = displaced.clone();
            self.forget_alive(&displaced);
        }
        let group = self.groups.entry(name.clone()).or_insert_with(|| Group {
            cluster_name: String::new(),
            addrs: BTreeMap::new(),
            enable_acting_master: false,
            topics: BTreeSet::new(),
        });
        group.cluster_name.clone_from(&registration.cluster_name);
        group.enable_acting_master = registration.enable_acting_master.unwrap_or(false);
        let first = group.addrs.insert(*id, addr.clone()).is_none();
        let is_prime_slave =
            registration.enable_acting_master.is_some() && !id.is_master() && group.lowest_id() == Some(*id);
        let mut taking = None;
        if id.is_master() || is_prime_slave {
            let read_only = is_prime_slave && group.enable_acting_master;
            let changed = first || self.is_changed(addr, &registration.data_version);
            if unmentioned == Unmentioned::Deleted {
                self.delete_unmentioned(name, &registration.topics);
            }
            let taken = taking.insert(Taking { changed, read_only });
            self.take_topics(name, &registration.topics, *taken);
        }
        let registered = self.master_of(name, *id);
        let alive = Alive {
            broker_name: registration.broker_name,
            broker_id: registration.broker_id,
            ha_server_addr: registration.ha_server_addr,
            data_version: registration.data_version,
            channel: registration.channel,
            heard_at_ms: now_ms,
            expires_after_ms: registration.expires_after_ms,
        };
        self.forget_alive(&registration.broker_addr);
        self.channels.entry(alive.channel).or_default().insert(registration.broker_addr.clone());
        self.alive.insert(registration.broker_addr, alive);
        Ok((registered, taking))
    }

    /// Takes further topics of a registration, if its broker is still there under the same name.
    pub fn go_on(
        &mut self,
        broker_addr: &str,
        broker_name: &str,
        topics: &BTreeMap<String, TopicConfig>,
        taking: Taking,
    ) {
        if self.alive.get(broker_addr).is_some_and(|known| known.broker_name == broker_name) {
            self.take_topics(broker_name, topics, taking);
        }
    }

    /// A broker leaves in good order. Says whether it was known under this name.
    pub fn unregister(&mut self, broker_addr: &str, broker_name: &str) -> bool {
        let known = self.alive.get(broker_addr).is_some_and(|known| known.broker_name == broker_name);
        if known {
            self.remove(broker_addr);
        }
        known
    }

    /// The connection by which the broker at this address registered.
    #[must_use]
    pub fn registered_by(&self, broker_addr: &str) -> Option<ChannelId> {
        self.alive.get(broker_addr).map(|known| known.channel)
    }

    /// A broker gives a sign of life. Says whether it is known.
    pub fn heard(&mut self, broker_addr: &str, now_ms: u64) -> bool {
        match self.alive.get_mut(broker_addr) {
            Some(alive) => {
                alive.heard_at_ms = now_ms;
                true
            }
            None => false,
        }
    }

    /// Forgets the brokers that registered by this connection, which has ended.
    pub fn channel_closed(&mut self, channel: ChannelId) -> Vec<Departed> {
        let addrs = self.channels.get(&channel).cloned().unwrap_or_default();
        addrs.into_iter().filter_map(|addr| self.depart(&addr)).collect()
    }

    /// Forgets the brokers that have been silent for too long.
    pub fn expire(&mut self, now_ms: u64) -> Vec<Departed> {
        let is_silent = |alive: &Alive| now_ms.saturating_sub(alive.heard_at_ms) > alive.expires_after_ms;
        let silent = self.alive.iter().filter(|(_, alive)| is_silent(alive));
        let addrs: Vec<String> = silent.map(|(addr, _)| addr.clone()).collect();
        addrs.into_iter().filter_map(|addr| self.depart(&addr)).collect()
    }

    /// Forgets a topic, on all brokers or on those of one cluster.
    pub fn delete_topic(&mut self, topic: &str, cluster_name: Option<&str>) {
        let Some(queues) = self.topics.get(topic) else { return };
        let in_cluster = |name: &&String| {
            cluster_name.is_none_or(|cluster| self.groups.get(*name).is_none_or(|group| group.cluster_name == cluster))
        };
        let names: Vec<String> = queues.keys().filter(in_cluster).cloned().collect();
        for name in names {
            self.remove_queues(topic, &name);
        }
    }

    /// Adds queues of a topic on known brokers (REGISTER_TOPIC_IN_NAMESRV); gives the broker names that are not known.
    pub fn register_topic(&mut self, topic: &str, queues: Vec<QueueData>) -> Vec<String> {
        let (known, unknown): (Vec<_>, Vec<_>) =
            queues.into_iter().partition(|queues| self.groups.contains_key(&queues.broker_name));
        for queues in known {
            if self.rows < ROWS_MAX {
                self.insert_queues(topic, queues);
            }
        }
        unknown.into_iter().map(|queues| queues.broker_name).collect()
    }

    /// Takes the write permission from all topics of a broker, for its retirement. Gives how many topics it has.
    ///
    /// The broker does not know of it: its next registration with changed topics, or the first one after it was away, gives the
    /// permission back, as in Apache's name server (4.9.8 and 5.3).
    pub fn wipe_write_perm(&mut self, broker_name: &str) -> usize {
        self.change_perm(broker_name, |perm| perm & !PERM_WRITE)
    }

    /// Gives it back.
    pub fn add_write_perm(&mut self, broker_name: &str) -> usize {
        self.change_perm(broker_name, |_| PERM_READ | PERM_WRITE)
    }

    fn refuse_if_stale(&mut self, registration: &Registration) -> Result<(), StaleBroker> {
        let Registration { broker_name, broker_id, broker_addr, data_version, .. } = registration;
        let Some(known_addr) = self.groups.get(broker_name).and_then(|group| group.addrs.get(broker_id)) else {
            return Ok(());
        };
        let Some(known) = self.alive.get(known_addr).filter(|_| known_addr != broker_addr) else { return Ok(()) };
        let known = known.data_version.state_version.unwrap_or(0);
        let given = data_version.state_version.unwrap_or(0);
        if known <= given {
            return Ok(());
        }
        let stale = StaleBroker {
            broker_name: broker_name.clone(),
            broker_id: *broker_id,
            broker_addr: broker_addr.clone(),
            known_addr: known_addr.clone(),
            given,
            known,
        };
        self.remove(broker_addr);
        Err(stale)
    }

    fn delete_unmentioned(&mut self, broker_name: &str, topics: &BTreeMap<String, TopicConfig>) {
        let Some(group) = self.groups.get(broker_name) else { return };
        let gone: Vec<String> = group.topics.iter().filter(|topic| !topics.contains_key(*topic)).cloned().collect();
        for topic in gone {
            self.remove_queues(&topic, broker_name);
        }
    }

    fn take_topics(&mut self, broker_name: &str, topics: &BTreeMap<String, TopicConfig>, taking: Taking) {
        let Taking { changed, read_only } = taking;
        for (topic, config) in topics {
            let known = self.topics.get(topic).is_some_and(|queues| queues.contains_key(broker_name));
            if known && !changed {
                continue;
            }
            let queues = QueueData {
                broker_name: broker_name.to_owned(),
                perm: if read_only { config.perm & !PERM_WRITE } else { config.perm },
                read_queue_nums: config.read_queue_nums,
                topic_sys_flag: config.topic_sys_flag,
                write_queue_nums: config.write_queue_nums,
            };
            self.insert_queues(topic, queues);
        }
    }

    /// Sets the queues of a topic on a known broker name.
    fn insert_queues(&mut self, topic: &str, queues: QueueData) {
        let Some(group) = self.groups.get_mut(&queues.broker_name) else { return };
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), BTreeMap::new());
        }
        let of_topic = self.topics.get_mut(topic).expect("it is there: it was inserted above if it was missing");
        if of_topic.insert(queues.broker_name.clone(), queues).is_none() {
            group.topics.insert(topic.to_owned());
            self.rows += 1;
        }
    }

    fn remove_queues(&mut self, topic: &str, broker_name: &str) {
        let Some(of_topic) = self.topics.get_mut(topic) else { return };
        if of_topic.remove(broker_name).is_some() {
            self.rows -= 1;
            if let Some(group) = self.groups.get_mut(broker_name) {
                group.topics.remove(topic);
            }
        }
        if of_topic.is_empty() {
            self.topics.remove(topic);
        }
    }

    fn master_of(&self, broker_name: &str, id: BrokerId) -> Registered {
        if id.is_master() {
            return Registered::default();
        }
        let master_addr = self.groups.get(broker_name).and_then(|group| group.addrs.get(&BrokerId::MASTER));
        let master = master_addr.and_then(|addr| Some((addr, self.alive.get(addr)?)));
        Registered {
            master_addr: master.map(|(addr, _)| addr.clone()),
            ha_server_addr: master.map(|(_, master)| master.ha_server_addr.clone()),
        }
    }

    fn change_perm(&mut self, broker_name: &str, change: impl Fn(i32) -> i32) -> usize {
        let Some(group) = self.groups.get(broker_name) else { return 0 };
        for topic in &group.topics {
            if let Some(queues) = self.topics.get_mut(topic).and_then(|queues| queues.get_mut(broker_name)) {
                queues.perm = change(queues.perm);
            }
        }
        group.topics.len()
    }

    fn depart(&mut self, broker_addr: &str) -> Option<Departed> {
        let alive = self.alive.get(broker_addr)?;
        let departed = Departed {
            broker_addr: broker_addr.to_owned(),
            broker_name: alive.broker_name.clone(),
            broker_id: alive.broker_id,
            channel: alive.channel,
        };
        self.remove(broker_addr);
        Some(departed)
    }

    /// Takes an address out of those that are alive, and only there.
    fn forget_alive(&mut self, broker_addr: &str) -> Option<Alive> {
        let alive = self.alive.remove(broker_addr)?;
        if let Some(addrs) = self.channels.get_mut(&alive.channel) {
            addrs.remove(broker_addr);
            if addrs.is_empty() {
                self.channels.remove(&alive.channel);
            }
        }
        Some(alive)
    }

    /// Forgets one broker, its name if it was the last of it, and the topics that only that name had.
    fn remove(&mut self, broker_addr: &str) {
        let Some(Alive { broker_name, broker_id, .. }) = self.forget_alive(broker_addr) else { return };
        let Some(group) = self.groups.get_mut(&broker_name) else { return };
        group.addrs.remove(&broker_id);
        if group.addrs.is_empty() {
            for topic in std::mem::take(&mut group.topics) {
                self.remove_queues(&topic, &broker_name);
            }
            self.groups.remove(&broker_name);
        } else if group.enable_acting_master && !group.addrs.contains_key(&BrokerId::MASTER) {
            // The slaves that are left can be read only.
            self.wipe_write_perm(&broker_name);
        }
    }

    /// Panics unless what the head of this file promises is true.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        for (addr, alive) in &self.alive {
            assert_eq!(self.groups[&alive.broker_name].addrs[&alive.broker_id], *addr);
        }
        assert_eq!(self.groups.values().map(|group| group.addrs.len()).sum::<usize>(), self.alive.len());
        assert!(self.groups.values().all(|group| !group.addrs.is_empty()));
        for (topic, queues) in &self.topics {
            assert!(!queues.is_empty());
            assert!(queues.iter().all(|(name, queues)| queues.broker_name == *name));
            assert!(queues.keys().all(|name| self.groups[name].topics.contains(topic)));
        }
        assert_eq!(self.rows, self.topics.values().map(BTreeMap::len).sum::<usize>());
        assert_eq!(self.rows, self.groups.values().map(|group| group.topics.len()).sum::<usize>());
        for (channel, addrs) in &self.channels {
            assert!(!addrs.is_empty() && addrs.iter().all(|addr| self.alive[addr].channel == *channel));
        }
        assert_eq!(self.channels.values().map(BTreeSet::len).sum::<usize>(), self.alive.len());
    }
}

//! The connections of a master's slaves: who is who, what they have acknowledged, and what follows for the puts.
//!
//! Acknowledgements come in through [`Followers::acked`], which moves the store's watermark in the task that has read them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use group::Membership as Group;
use protocol::{BrokerId, PhysicalOffset};
use sim::time::Instant;
use store::{Availability, MessageStore, SyncReplication};
use tokio::sync::{Notify, watch};

use crate::{
    HaConfig, ReplicaStatus,
    acks::{AckTable, Outlook, ReplicaKey, SyncRules, Verdict},
    handshake::Hello,
    screen::screen,
};

/// How many addresses of Apache's slaves are remembered.
const SHIPPED_V1_MAX: usize = 1_024;

/// All slaves that are connected.
pub(crate) struct Followers {
    store: Arc<MessageStore>,
    rules: SyncRules,
    is_sync: bool,
    started: Instant,
    next_connection: AtomicU64,
    table: Mutex<Table>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Table {
    /// Set once the epoch has begun: before that nothing is told to the store.
    is_serving: bool,
    members: BTreeMap<u64, Member>,
    acks: AckTable,
    /// Up to where each address of Apache's slaves has been sent the log.
    shipped_v1: BTreeMap<IpAddr, PhysicalOffset>,
    /// What the store was last told.
    told: Option<Outlook>,
    /// Who was in sync when that was last looked at.
    in_sync: Vec<u64>,
}

struct Member {
    broker_id: Option<BrokerId>,
    addr: String,
    replaced: Arc<Notify>,
}

/// A connection that is known by name; it is forgotten when this is dropped.
pub(crate) struct Membership {
    followers: Arc<Followers>,
    pub connection: u64,
    key: ReplicaKey,
    /// Told when the same replica has connected anew.
    pub replaced: Arc<Notify>,
}

impl Followers {
    pub(crate) fn new(store: Arc<MessageStore>, config: &HaConfig) -> Followers {
        Followers {
            store,
            rules: SyncRules {
                in_sync_replicas: config.effective_in_sync_replicas(),
                min_in_sync_replicas: config.min_in_sync_replicas,
                enable_auto_in_sync_replicas: config.enable_auto_in_sync_replicas,
                fallbehind_max_bytes: config.ha_slave_fallbehind_max_bytes,
                slave_timeout: config.slave_timeout(),
            },
            is_sync: config.is_sync(),
            started: Instant::now(),
            next_connection: AtomicU64::new(0),
            table: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code that holds the lock panics half-way through a change.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes up a slave of ours under its id, unless it does not belong here. A former connection of the same slave ends.
    ///
    /// # Errors
    /// Why it is refused, and what to do about it.
    pub(crate) fn join(
        self: &Arc<Self>,
        hello: &Hello,
        identity: &crate::Identity,
        group: &Group,
        file_bytes: u64,
    ) -> Result<Membership, String> {
        let mut table = self.table();
        let former = table.members.values().find(|member| member.broker_id == Some(hello.broker_id));
        screen(identity, group, file_bytes, hello, former.map(|member| &*member.addr))?;
        if let Some(former) = former {
            former.replaced.notify_one();
        }
        let key = ReplicaKey::Broker(hello.broker_id);
        Ok(self.enter(&mut table, key, Some(hello.broker_id), hello.broker_addr.clone()))
    }

    /// Takes up a slave of Apache's.
    pub(crate) fn join_v1(self: &Arc<Self>, peer: SocketAddr) -> Membership {
        self.enter(&mut self.table(), ReplicaKey::Address(peer.ip()), None, peer.to_string())
    }

    fn enter(
        self: &Arc<Self>,
        table: &mut Table,
        key: ReplicaKey,
        broker_id: Option<BrokerId>,
        addr: String,
    ) -> Membership {
        let connection = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let replaced = Arc::new(Notify::new());
        if let Some(broker_id) = broker_id {
            // From now on the newer connection speaks for the replica; the older one ends when it is told.
            let Table { members, acks, .. } = table;
            members.retain(|connection, member| {
                let stays = member.broker_id != Some(broker_id);
                if !stays {
                    acks.remove(*connection);
                }
                stays
            });
        }
        table.members.insert(connection, Member { broker_id, addr, replaced: Arc::clone(&replaced) });
        Membership { followers: Arc::clone(self), connection, key, replaced }
    }

    /// From now on acknowledgements count, and the store is told what follows from them.
    pub(crate) fn serve(&self) {
        let mut table = self.table();
        table.is_serving = true;
        self.evaluate(&mut table);
    }

    /// Looks at everyone again: time has passed, and the log has grown.
    pub(crate) fn look(&self) {
        let mut table = self.table();
        table.acks.observe(self.store.max_physical_offset(), self.now());
        self.evaluate(&mut table);
    }

    /// Tells the store what follows from the acknowledgements, and everyone who listens, if it is something new.
    fn evaluate(&self, table: &mut Table) {
        let end = self.store.max_physical_offset();
        let in_sync: Vec<u64> = table
            .acks
            .iter()
            .filter(|(_, acked)| AckTable::is_in_sync(*acked, end, self.rules.fallbehind_max_bytes))
            .map(|(connection, _)| connection)
            .collect();
        if in_sync != table.in_sync {
            table.in_sync = in_sync;
            self.changed.send_modify(|count| *count += 1);
        }
        if !self.is_sync || !table.is_serving {
            return;
        }
        let outlook = table.acks.outlook(&self.rules, end, self.now());
        let replication = self.store.replication();
        let told = table.told.replace(outlook);
        if told.is_none_or(|told| told.verdict != outlook.verdict || told.wanted != outlook.wanted) {
            let available = outlook.available;
            tracing::info!(available, wanted = outlook.wanted, verdict = ?outlook.verdict, "in-sync replicas");
            replication.set_availability(match outlook.verdict {
                Verdict::Enough => Availability::Enough,
                Verdict::NotEnough => Availability::NotEnough,
                Verdict::Refuse => Availability::Refuse(
                    format!(
                        "{available} replicas are in sync, minInSyncReplicas is {}",
                        self.rules.min_in_sync_replicas
                    )
                    .into(),
                ),
            });
            // Enough without any slave: nothing to wait for.
            let waits = outlook.verdict != Verdict::Enough || outlook.wanted > 1;
            replication.set_sync(waits.then_some(SyncReplication { slave_timeout: self.rules.slave_timeout }));
        }
        if told.is_none_or(|told| told.holds_back != outlook.holds_back) {
            replication.set_holds_back(outlook.holds_back);
        }
        if let Some(watermark) = outlook.watermark {
            replication.advance(watermark);
        }
    }

    /// Everyone who is connected and follows.
    pub(crate) fn statuses(&self) -> Vec<ReplicaStatus> {
        let end = self.store.max_physical_offset();
        let table = self.table();
        let status = |(connection, member): (&u64, &Member)| {
            let acked = table.acks.acked(*connection)?;
            Some(ReplicaStatus {
                broker_id: member.broker_id,
                addr: member.addr.clone(),
                acked,
                behind_bytes: u64::try_from(end - acked).unwrap_or(0),
                in_sync: AckTable::is_in_sync(acked, end, self.rules.fallbehind_max_bytes),
                is_v1: member.broker_id.is_none(),
            })
        };
        table.members.iter().filter_map(status).collect()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Up to where this address has been sent the log in this life.
    pub(crate) fn shipped_v1(&self, address: IpAddr) -> Option<PhysicalOffset> {
        self.table().shipped_v1.get(&address).copied()
    }

    pub(crate) fn note_shipped_v1(&self, address: IpAddr, end: PhysicalOffset) {
        let shipped = &mut self.table().shipped_v1;
        if shipped.len() >= SHIPPED_V1_MAX && !shipped.contains_key(&address) {
            // Anybody can connect; who has got least is no slave, or loses nothing by beginning anew.
            let least = shipped.iter().min_by_key(|(_, end)| **end).map(|(address, _)| *address);
            least.map(|address| shipped.remove(&address));
        }
        let of_address = shipped.entry(address).or_insert(end);
        *of_address = (*of_address).max(end);
    }
}

impl Membership {
    /// An acknowledgement; the first one makes the replica a follower.
    pub(crate) fn acked(&self, offset: PhysicalOffset) {
        let followers = &self.followers;
        let mut table = followers.table();
        if !table.members.contains_key(&self.connection) {
            return;
        }
        let (end, now) = (followers.store.max_physical_offset(), followers.now());
        if table.acks.acked(self.connection).is_none() {
            table.acks.insert(self.connection, self.key, offset);
        } else if !table.acks.ack(self.connection, offset, end, now) {
            return;
        }
        followers.evaluate(&mut table);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut table = self.followers.table();
        table.members.remove(&self.connection);
        table.acks.remove(self.connection);
        self.followers.evaluate(&mut table);
    }
}

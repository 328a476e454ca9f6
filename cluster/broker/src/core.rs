//! What the parts of a running broker share: the store, the tables, the settings.
//!
//! Each table is a plain state machine of [`state`](crate::state) behind a lock of its own that is held for moments and
//! never across an await. Where two are needed they are taken one after the other; nested only in the order `followed`,
//! `left_overs`, `offsets`, and `clients` within `notices`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use ha::Role;
use protocol::body::DelayOffsetSerializeWrapper;
use protocol::{PhysicalOffset, QueueOffset};
use quirks::Quirk;
use remoting::{Channel, ChannelId, Lane};
use sim::task::JoinHandle;
use sim::time::{Instant, wall_clock_ms};
use store::{MessageStore, StoreError};
use tokio::sync::{Notify, mpsc, watch};

use crate::config::BrokerConfig;
use crate::host::Host;
use crate::persistence::{Files, Stored};
use crate::replication::Replication;
use crate::replication::membership::KeptGroup;
use crate::replication::recent_losses;
use crate::service::notices::NoticeWait;
use crate::service::pull_wait::PullWait;
use crate::service::registration::{Links, Registrar};
use crate::state::clients::Clients;
use crate::state::consumer_offsets::{ClampedOffset, ConsumerOffsets};
use crate::state::left_overs::{LEFT_OVERS_MS, LeftOvers, Reader};
use crate::state::rebalance_lock::RebalanceLocks;
use crate::state::send_queue::SendQueue;
use crate::state::stats::Stats;
use crate::state::subscription_groups::SubscriptionGroups;
use crate::state::topics::Topics;

/// What a store is closed and opened again for, within the same process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reopening {
    /// The log is to be cut here: a later master does not have what follows.
    Cut(PhysicalOffset),
    /// A master that has led comes to know of another one.
    FormAnew,
}

impl Reopening {
    /// Where the log is to be cut.
    pub(crate) fn cut_at(self) -> Option<PhysicalOffset> {
        match self {
            Self::Cut(at) => Some(at),
            Self::FormAnew => None,
        }
    }
}

impl fmt::Display for Reopening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(at) => write!(f, "to be cut at {at}"),
            Self::FormAnew => f.write_str("to form the replica group anew"),
        }
    }
}

/// A running broker's insides.
pub(crate) struct Core {
    config: RwLock<Arc<BrokerConfig>>,
    pub store: Arc<MessageStore>,
    pub topics: Mutex<Topics>,
    pub groups: Mutex<SubscriptionGroups>,
    pub offsets: Mutex<ConsumerOffsets>,
    pub clients: Mutex<Clients<ChannelId, Channel>>,
    pub locks: Mutex<RebalanceLocks<ChannelId>>,
    pub left_overs: Mutex<LeftOvers<ChannelId>>,
    pub sends: Mutex<SendQueue>,
    pub stats: Mutex<Stats>,
    pub delay_offsets: Mutex<DelayOffsetSerializeWrapper>,
    pub pull_wait: PullWait,
    pub notices: NoticeWait,
    /// For requests that may take long.
    pub lane: Lane,
    pub files: Files,
    /// To the name servers, and to the other brokers of this name.
    pub links: Links,
    /// The service of the HA port, once it is there.
    pub replication: OnceLock<Replication>,
    /// What is kept of the replica group.
    pub group: KeptGroup,
    /// Tells a master that forms its group what happens; nobody listens once it leads.
    pub group_events: Mutex<Option<mpsc::UnboundedSender<group::Event>>>,
    /// A master's store is to be closed and opened anew.
    pub reopen_wanted: watch::Sender<Option<Reopening>>,
    /// A slave has met a topic that it does not know: the master's tables are to be copied soon.
    pub metadata_wanted: Notify,
    /// Where a slave's master is, for questions.
    pub master_addr: Mutex<Option<String>>,
    /// A slave: the epoch of the last message that it has shown.
    pub followed: Mutex<Option<u64>>,
    /// A master: whether it accepts messages. It does not while it takes back what it has lost.
    pub serving: watch::Sender<bool>,
    /// A master that asks its replicas for what it has lost.
    pub recovering: AtomicBool,
    /// Whether this broker has a table of topics, and of groups, of its own: from its files, if they are not older than they should
    /// be, or taken back from a slave.
    pub has_topics: AtomicBool,
    pub has_groups: AtomicBool,
    background: Mutex<Vec<JoinHandle<()>>>,
    /// What the name servers are told.
    pub registrar: Registrar,
    /// A delayed message has come.
    pub delay_wanted: Notify,
    /// The address that messages are stamped with; known when the port is bound.
    store_host: OnceLock<SocketAddr>,
    /// This broker's address as clients are told it; known when the port is bound.
    broker_addr: OnceLock<String>,
    /// When the broker started: wall clock, in ms.
    pub boot_timestamp_ms: i64,
    started_at: Instant,
    /// The broker is on its way down.
    pub stopping: AtomicBool,
}

/// Locks a table. No code that can panic half-way changes one, so a poisoned table is still whole.
pub(crate) fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    /// `left_overs` is what may turn up until a master's life begins ([`Core::begin_life`]).
    pub(crate) fn new(
        config: BrokerConfig,
        store: Arc<MessageStore>,
        stored: Stored,
        files: Files,
        left_overs: LeftOvers<ChannelId>,
        links: Links,
    ) -> Self {
        // What a slave knows counts more than an older copy.
        let has_topics = stored.topics.table.is_some() && stored.topics.is_older.is_none();
        let has_groups = stored.groups.table.is_some() && stored.groups.is_older.is_none();
        let topics = Topics::new(stored.topics, &config, wall_clock_ms());
        let is_slave = config.is_slave();
        let followed = store.epochs().last().map(|epoch| epoch.id);
        Self {
            config: RwLock::new(Arc::new(config)),
            store,
            topics: Mutex::new(topics),
            groups: Mutex::new(SubscriptionGroups::new(stored.groups)),
            offsets: Mutex::new(ConsumerOffsets::from_file(&stored.consumer_offsets, is_slave)),
            clients: Mutex::default(),
            locks: Mutex::default(),
            left_overs: Mutex::new(left_overs),
            sends: Mutex::default(),
            stats: Mutex::default(),
            delay_offsets: Mutex::new(stored.delay_offsets),
            pull_wait: PullWait::default(),
            notices: NoticeWait::default(),
            lane: Lane::default(),
            files,
            links,
            replication: OnceLock::new(),
            group: stored.group,
            group_events: Mutex::default(),
            reopen_wanted: watch::Sender::new(None),
            metadata_wanted: Notify::new(),
            master_addr: Mutex::default(),
            followed: Mutex::new(followed),
            serving: watch::Sender::new(false),
            recovering: AtomicBool::new(false),
            has_topics: AtomicBool::new(has_topics),
            has_groups: AtomicBool::new(has_groups),
            background: Mutex::default(),
            registrar: Registrar::default(),
            delay_wanted: Notify::new(),
            store_host: OnceLock::new(),
            broker_addr: OnceLock::new(),
            boot_timestamp_ms: wall_clock_ms(),
            started_at: Instant::now(),
            stopping: AtomicBool::new(false),
        }
    }

    /// The settings as they are now.
    pub(crate) fn config(&self) -> Arc<BrokerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_config(&self, config: BrokerConfig) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Whether this broker is a slave.
    pub(crate) fn is_slave(&self) -> bool {
        self.config().ha.role == Role::Slave
    }

    /// Whether its log is to grow by what another broker has: an offset beyond its end is then one to wait for.
    pub(crate) fn awaits_log(&self) -> bool {
        self.recovering.load(Ordering::Acquire) || self.is_slave()
    }

    /// Whether offsets that are left over of a previous life are believed, as by Apache's broker.
    pub(crate) fn believes_all_offsets(&self) -> bool {
        self.config().quirks.has(Quirk::LeftOverOffsets)
    }

    /// A master's log is as it will be when its life begins, in which up to `lost_bytes_max` bytes are missing that readers
    /// may have been shown: what may be left over is known now.
    pub(crate) async fn begin_life(&self, lost_bytes_max: Option<u64>) -> Result<(), StoreError> {
        let left_overs = recent_losses::left_overs(&self.store, &self.config(), self.now_ms()).await?;
        *lock(&self.left_overs) = left_overs;
        match lost_bytes_max {
            Some(bytes) => self.note_loss(self.store.max_physical_offset(), bytes).await,
            None => Ok(()),
        }
    }

    /// A master has found that `lost_bytes_max` bytes were lost before the log went on at `start`.
    pub(crate) async fn note_loss(&self, start: PhysicalOffset, lost_bytes_max: u64) -> Result<(), StoreError> {
        if !self.believes_all_offsets() {
            let ends_at_ms = self.now_ms() + LEFT_OVERS_MS;
            let loss = recent_losses::loss_at(&self.store, start, lost_bytes_max, false, ends_at_ms).await?;
            lock(&self.left_overs).add(loss);
        }
        Ok(())
    }

    /// Lowers committed offsets beyond what was recovered, and returns them.
    pub(crate) fn clamp_offsets(&self) -> Vec<ClampedOffset> {
        let clamped = {
            let end = |topic: &str, queue_id| self.store.max_offset_in_queue(topic, queue_id).0;
            if self.believes_all_offsets() { Vec::new() } else { lock(&self.offsets).clamp(end) }
        };
        for clamped in &clamped {
            tracing::warn!(
                group = clamped.group,
                topic = clamped.topic,
                queue_id = clamped.queue_id,
                from = clamped.from,
                to = clamped.to,
                "a committed offset lay beyond what was recovered: lowered"
            );
        }
        clamped
    }

    /// A task that ends with the broker.
    pub(crate) fn background(&self, task: JoinHandle<()>) {
        lock(&self.background).push(task);
    }

    /// Ends the tasks of [`Core::background`].
    pub(crate) fn end_background(&self) {
        for task in lock(&self.background).drain(..) {
            task.abort();
        }
    }

    /// Milliseconds since the broker started, by the monotonic clock: the time of all state machines.
    pub(crate) fn now_ms(&self) -> i64 {
        i64::try_from(self.started_at.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// An instant at which [`Core::now_ms`] is at least `at_ms`: one more millisecond, so that no rounding of a drifting
    /// clock can wake a sleeper just too early.
    pub(crate) fn instant_of(&self, at_ms: i64) -> Instant {
        self.started_at + std::time::Duration::from_millis(u64::try_from(at_ms).unwrap_or(0) + 1)
    }

    /// The address that messages are stamped with.
    pub(crate) fn store_host(&self) -> SocketAddr {
        *self.store_host.get_or_init(|| {
            let config = self.config();
            let ip = match config.advertised_host() {
                Host::Ip(ip) => ip,
                Host::Name(_) => sim::net::local_ip(),
            };
            SocketAddr::new(ip, config.listen_port)
        })
    }

    /// The port is bound: it may have been chosen by the system. `ip` is the announced host's.
    pub(crate) fn set_store_host(&self, ip: IpAddr, port: u16) {
        // An error means that it is set already, which happens only when the settings name the port.
        let _ = self.store_host.set(SocketAddr::new(ip, port));
        let _ = self.broker_addr.set(self.config().advertised_host().with_port(port));
    }

    /// The address that slaves are told; a slave of our own listens on none, and names the one that a master in its place
    /// would have.
    pub(crate) fn ha_addr(&self) -> String {
        let config = self.config();
        let port = match self.replication.get() {
            Some(Replication::Master(service)) => service.local_addr().port(),
            _ => config.ha_listen_addr().port(),
        };
        config.advertised_ha_host().with_port(port)
    }

    /// This broker's address, as the name servers know it.
    pub(crate) fn broker_addr(&self) -> String {
        let addr = || self.config().advertised_host().with_port(self.store_host().port());
        self.broker_addr.get_or_init(addr).clone()
    }

    /// Works with the left-over offsets and a reader, if any may turn up.
    fn with_left_overs<T>(
        &self,
        group: &str,
        channel: &Channel,
        keeps_its_offsets: bool,
        work: impl FnOnce(&mut LeftOvers<ChannelId>, &Reader<'_, ChannelId>) -> T,
    ) -> Option<T> {
        if !lock(&self.left_overs).may_turn_up(|| self.now_ms()) {
            return None;
        }
        let client_id = self.client_id(group, channel);
        let reader = Reader { channel: channel.id(), group, client_id: client_id.as_deref(), keeps_its_offsets };
        Some(work(&mut lock(&self.left_overs), &reader))
    }

    /// If an offset is left over from before a loss: up to where its reader has missed nothing.
    pub(crate) fn floor_of_left_over(
        &self,
        group: &str,
        channel: &Channel,
        keeps_its_offsets: bool,
        (topic, queue_id, offset): (&str, i32, QueueOffset),
    ) -> Option<i64> {
        let floor = |left_overs: &mut LeftOvers<ChannelId>, reader: &Reader<'_, ChannelId>| {
            let committed = || lock(&self.offsets).committed(group, topic, queue_id);
            left_overs.floor_of_left_over(reader, topic, queue_id, offset.0, committed)
        };
        self.with_left_overs(group, channel, keeps_its_offsets, floor).flatten()
    }

    /// A reader whose offsets are kept here stands beyond the end of its queue. A master without replicas has issued that
    /// offset, and so has lost messages although nothing at its start told of it: its disk was replaced by an empty one, or
    /// by an older copy. Returns whether that is so; from now on left-overs are looked for.
    pub(crate) async fn has_lost_without_trace(&self, topic: &str, queue_id: i32) -> Result<bool, StoreError> {
        if self.is_slave() || self.believes_all_offsets() || self.group.has_members() {
            return Ok(false);
        }
        let Some(life) = self.store.epochs().last().copied() else { return Ok(false) };
        if lock(&self.left_overs).floor(topic, queue_id) == i64::MAX {
            tracing::warn!(topic, queue_id, "a consumer stands beyond the end: messages were lost without a trace");
            self.note_loss(life.start, 0).await?;
        }
        Ok(true)
    }

    /// A reader has pulled a queue, or was told where its group stands: from there it goes on as it is led.
    pub(crate) fn lead(&self, group: &str, channel: &Channel, topic: &str, queue_id: i32) {
        // Whether it keeps its offsets makes no difference here.
        self.with_left_overs(group, channel, true, |left_overs, reader| left_overs.lead(reader, topic, queue_id));
    }

    /// A topic was deleted, and may be made again.
    pub(crate) fn forget_topic(&self, topic: &str) {
        let is_doubted = !self.is_slave() && !self.believes_all_offsets();
        lock(&self.left_overs).delete_topic(topic, is_doubted.then(|| self.now_ms() + LEFT_OVERS_MS));
    }

    /// A peer was told an offset as an answer about a queue.
    pub(crate) fn tell(&self, channel: &Channel, topic: &str, queue_id: i32, offset: QueueOffset) {
        lock(&self.left_overs).tell(channel.id(), topic, queue_id, offset.0);
    }

    /// The id of the client of a group on a connection, if it has said it there.
    pub(crate) fn client_id(&self, group: &str, channel: &Channel) -> Option<String> {
        let clients = lock(&self.clients);
        let member = clients.consumer_group(group).and_then(|info| info.members.get(&channel.id()));
        member.map(|member| member.client_id.clone())
    }

    /// The offset that a group goes on from when it asks; `None` if nothing is stored and the queue is not young.
    ///
    /// A queue is young while its first message is there and still counts as being in memory: a new group then begins at 0
    /// even if it wants to begin at the end (`ConsumerManageProcessor.queryConsumerOffset`).
    pub(crate) async fn is_young(&self, topic: &str, queue_id: i32) -> Result<bool, StoreError> {
        if self.store.min_offset_in_queue(topic, queue_id).0 > 0 {
            return Ok(false);
        }
        let first = self.store.unit_in_queue(topic, queue_id, QueueOffset::ZERO).await?;
        let in_memory_bytes = self.store.config().access_message_in_memory_max_bytes;
        Ok(first.is_none_or(|unit| {
            let behind = self.store.max_physical_offset() - unit.physical_offset;
            u64::try_from(behind).is_ok_and(|behind| behind <= in_memory_bytes)
        }))
    }

    /// One of the numbers from 0 to below `bound`.
    pub(crate) fn pick_queue(bound: i32) -> i32 {
        let bound = u64::try_from(bound).unwrap_or(0);
        i32::try_from(sim::rng::below("broker: queue", bound)).unwrap_or(0)
    }
}

/// Several records as one body. A single one, the most frequent case, is not copied.
pub(crate) fn join_records(mut records: Vec<Bytes>, bytes: usize) -> Bytes {
    if records.len() == 1 {
        return records.swap_remove(0);
    }
    let mut body = Vec::with_capacity(bytes);
    for record in &records {
        body.extend_from_slice(record);
    }
    body.into()
}

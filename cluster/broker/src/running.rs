//! One life of a broker's store: opened, recovered, served, and closed in good order. A slave whose log must be cut ends
//! such a life and begins another in the same process; see [`Broker`](crate::Broker).

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ha::{Identity, MasterService, SlaveService};
use protocol::header::RegisterBrokerResponseHeader;
use protocol::{PhysicalOffset, topic};
use quirks::QuirkSet;
use remoting::{RemotingServer, ServerConfig};
use sim::task::{self, JoinHandle};
use sim::time::timeout;
use store::{MessageStore, OpenOptions, StoreError};

use crate::broker::BrokerError;
use crate::config::BrokerConfig;
use crate::core::{Core, Reopening, lock};
use crate::persistence::{Files, found_missing};
use crate::processor::Processor;
use crate::replication::membership::Keeper;
use crate::replication::{Replication, leave, master, metadata, recent_losses, slave, twin, witness};
use crate::service::{consumed, delay, housekeeping, notices, pull_wait, registration};

/// What part of the files and sockets of the process are connections to the main port at most…
const OPEN_FILES_PERCENT: u64 = 50;
/// …and to the fast port. A quarter is for the files of the store, the rest for everything else.
const FAST_OPEN_FILES_PERCENT: u64 = 12;

/// A broker with an open store.
pub(crate) struct Running {
    pub core: Arc<Core>,
    pub server: RemotingServer,
    /// The same on the fast port, for Apache's slaves and old clients.
    fast: Option<RemotingServer>,
    tasks: Mutex<Option<Tasks>>,
}

struct Tasks {
    /// Delivers delayed messages; ends by itself when the broker stops. A slave delivers none.
    delivery: Option<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.delivery.iter().chain(&self.others).for_each(JoinHandle::abort);
    }
}

/// Whether a life ends for good, or for another in the same process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The name servers are told, and slaves are given the rest.
    Stop,
    /// The store is opened anew: the broker will be back in a moment.
    Reopen,
}

impl Running {
    /// Opens the store, cut at `truncate_at` if that is given, listens, and serves.
    pub(crate) async fn start(
        mut config: BrokerConfig,
        truncate_at: Option<PhysicalOffset>,
    ) -> Result<Self, BrokerError> {
        config.check()?;
        if config.quirks != QuirkSet::NONE {
            config.store.quirks = config.quirks;
            config.ha.quirks = config.quirks;
        }
        let links = registration::Links::new();
        links.client.update_name_servers(config.namesrv_addr.clone());
        let views = master::Views::ask(&links.client, &config).await;
        if let Some(addr) = twin::find(&links.client, &config, &views).await {
            let BrokerConfig { broker_name, broker_id, .. } = config;
            return Err(BrokerError::Twin { broker_name, broker_id, addr });
        }

        let store = Arc::new(open_store(&config, truncate_at).await?);
        let core = load(config, store, links).await?;
        save_tables(&core).await;
        if truncate_at.is_some() {
            // What was cut off was another life's, and so are the offsets beyond it: nothing was copied of the present master yet.
            core.clamp_offsets();
        }
        core.persist_offsets().await?;
        let config = core.config();
        let server = listen(&core).await?;
        core.set_store_host(config.advertised_host().resolve().await, server.local_addr().port());
        let fast = listen_fast(&core, server.local_addr()).await;
        let delivery = if config.is_slave() {
            follow(&core);
            None
        } else {
            lead(&core, &views).await?;
            Some(task::spawn(delay::deliver(Arc::clone(&core))))
        };
        let others = vec![
            task::spawn(pull_wait::run(Arc::clone(&core))),
            task::spawn(notices::run(Arc::clone(&core))),
            task::spawn(housekeeping::persist_offsets(Arc::clone(&core))),
            task::spawn(housekeeping::look_after(Arc::clone(&core))),
            task::spawn(delay::persist(Arc::clone(&core))),
            task::spawn(housekeeping::keep_topics_saved(Arc::clone(&core))),
            task::spawn(housekeeping::keep_groups_saved(Arc::clone(&core))),
            task::spawn(registration::run(Arc::clone(&core))),
            task::spawn(witness::run(Arc::clone(&core))),
        ];
        Ok(Self { core, server, fast, tasks: Mutex::new(Some(Tasks { delivery, others })) })
    }

    /// Resolves when clients or slaves are accepted no more.
    pub(crate) async fn accepting_ended(&self) {
        let slaves = async {
            match self.core.replication.get() {
                Some(Replication::Master(service)) => service.ended().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.server.ended() => {}
            () = slaves => {}
        }
    }

    /// The store must be opened anew: a slave's, or that of a master that learns of another one.
    pub(crate) async fn reopening_wanted(&self) -> Reopening {
        match self.core.replication.get() {
            Some(Replication::Slave(service)) => Reopening::Cut(service.truncation_wanted().await),
            _ => {
                let mut wanted = self.core.reopen_wanted.subscribe();
                match wanted.wait_for(Option::is_some).await.map(|wanted| *wanted) {
                    Ok(Some(wanted)) => wanted,
                    // The sender lives as long as the core, and the condition holds.
                    Ok(None) | Err(_) => std::future::pending().await,
                }
            }
        }
    }

    /// Accepts nothing more, answers what it has begun, writes the tables, and closes the store. A second call does nothing
    /// more.
    pub(crate) async fn stop(&self, end: End) -> Result<(), BrokerError> {
        let Some(mut tasks) = lock(&self.tasks).take() else { return Ok(()) };
        let core = &self.core;
        core.stopping.store(true, Ordering::Release);
        core.delay_wanted.notify_one();
        let grace = Duration::from_millis(core.config().shutdown_grace_ms);
        if let Some(delivery) = &mut tasks.delivery {
            // An error means that a delivery takes too long, or has panicked: then some messages may come twice.
            let _ = timeout(grace, delivery).await;
        }
        drop(tasks);
        core.end_background();
        if end == End::Stop {
            registration::unregister(core).await;
        }
        self.server.shutdown(grace).await;
        if let Some(fast) = &self.fast {
            fast.shutdown(grace).await;
        }
        if let Some(replication) = core.replication.get() {
            if let Replication::Master(service) = replication {
                master::hand_over(core, service, grace).await;
            }
            replication.shutdown().await;
            if end == End::Stop && core.is_slave() {
                leave::say(core).await;
            }
        }
        let tables = core.write_all().await;
        let store = core.store.shutdown().await;
        core.links.client.shutdown();
        tables.and(store).map_err(BrokerError::Store)
    }
}

async fn open_store(config: &BrokerConfig, truncate_at: Option<PhysicalOffset>) -> Result<MessageStore, StoreError> {
    let levels = config.message_delay_level.clone();
    let deliver_timestamp = Arc::new(move |level: i32, stored_ms: i64| stored_ms + levels.delay_ms(level));
    let store = MessageStore::open_with(config.store.clone(), deliver_timestamp, OpenOptions { truncate_at }).await?;
    let why = if config.is_slave() { "this broker is a slave" } else { "this master has not begun to serve yet" };
    store.refuse_puts(Some(why.into()));
    let report = store.recovery_report();
    tracing::info!(
        abnormal = report.abnormal,
        machine_went_down = report.machine_went_down,
        end_offset = report.end_offset.0,
        torn_tail = report.torn_tail,
        "store open"
    );
    Ok(store)
}

async fn load(
    config: BrokerConfig,
    store: Arc<MessageStore>,
    links: registration::Links,
) -> Result<Arc<Core>, StoreError> {
    let files = Files::new(&config);
    let stored = files.load(&config).await?;
    let left_overs = recent_losses::left_overs(&store, &config, 0).await?;
    let core = Arc::new(Core::new(config, store, stored, files, left_overs, links));
    if core.is_slave() {
        found_missing::look(&core);
    }
    listen_to_store(&core);
    consumed::tell_store(&core);
    name_unserved(&core);
    Ok(core)
}

/// Brings the tables to the drive as they are now: with the system's topics, and without a journal to be read. A drive that takes
/// nothing does not keep a broker from serving what it has.
async fn save_tables(core: &Core) {
    // Errors have been told, and are tried again.
    let _ = core.files.topics.save_whole(&core.topics).await;
    let _ = core.files.groups.save_whole(&core.groups).await;
}

async fn listen(core: &Arc<Core>) -> Result<RemotingServer, BrokerError> {
    let addr = core.config().listen_addr();
    listen_at(core, addr, OPEN_FILES_PERCENT).await.map_err(|source| BrokerError::Listen { addr, source })
}

async fn listen_at(core: &Arc<Core>, addr: SocketAddr, open_files_percent_max: u64) -> std::io::Result<RemotingServer> {
    let server_config = ServerConfig {
        open_files_percent_max,
        channel_idle_max: Duration::from_millis(core.config().server_channel_max_idle_time_ms),
        ..ServerConfig::default()
    };
    RemotingServer::bind(addr, Arc::new(Processor(Arc::clone(core))), server_config).await
}

/// A master listens two ports below, too (`fastRemotingServer`): there a slave of Apache's asks for the topics
/// (`BrokerOuterAPI.getAllTopicConfig`). Nobody else depends on it: without the port a master serves all the same.
async fn listen_fast(core: &Arc<Core>, main: SocketAddr) -> Option<RemotingServer> {
    let config = core.config();
    if config.is_slave() || config.listen_port == 0 {
        return None;
    }
    let addr = SocketAddr::new(main.ip(), main.port().checked_sub(2).filter(|port| *port > 0)?);
    listen_at(core, addr, FAST_OPEN_FILES_PERCENT)
        .await
        .inspect_err(|error| {
            tracing::warn!(%addr, %error, "the fast port (listenPort - 2) is taken: Apache's slaves cannot copy topics from here");
        })
        .ok()
}

fn identity(core: &Core) -> Identity {
    let config = core.config();
    Identity {
        cluster_name: config.broker_cluster_name.clone(),
        broker_name: config.broker_name.clone(),
        broker_id: config.broker_id,
        broker_addr: core.broker_addr(),
    }
}

/// A master: its HA port, and the beginning of its epoch.
async fn lead(core: &Arc<Core>, views: &master::Views) -> Result<(), BrokerError> {
    let config = core.config();
    let addr: SocketAddr = config.ha_listen_addr();
    let service = MasterService::bind(addr, Arc::clone(&core.store), identity(core), config.ha.clone())
        .await
        .map_err(|source| BrokerError::ListenHa { addr, source })?;
    let service = Arc::new(service);
    service.keep_group_with(Arc::new(Keeper(Arc::downgrade(core))));
    // An error means that there is one already, which there is not: the core is new.
    let _ = core.replication.set(Replication::Master(Arc::clone(&service)));
    master::start(core, Arc::clone(&service), views).await?;
    core.background(task::spawn(master::look_after(Arc::clone(core), service)));
    Ok(())
}

/// A slave: it follows its master as soon as it knows where that is.
fn follow(core: &Arc<Core>) {
    let config = core.config();
    let probe = slave::probe(core.links.client.clone());
    let service = SlaveService::start(Arc::clone(&core.store), identity(core), config.ha.clone(), probe);
    let service = Arc::new(service);
    service.keep_group_with(Arc::new(Keeper(Arc::downgrade(core))));
    slave::learn_master(core, &service, &RegisterBrokerResponseHeader::default());
    // As above.
    let _ = core.replication.set(Replication::Slave(service));
    core.background(task::spawn(metadata::run(Arc::clone(core))));
}

/// Tells of what another broker has left in this store for services of its own that this one does not have: it stays where it
/// is, until its files expire.
fn name_unserved(core: &Core) {
    let is_unserved = |name: &str| {
        let of_others = ["wheel_timer", "REVIVE_LOG_"];
        name == topic::TRANS_HALF_TOPIC
            || name
                .strip_prefix(topic::SYSTEM_TOPIC_PREFIX)
                .is_some_and(|rest| of_others.iter().any(|of_others| rest.starts_with(of_others)))
    };
    for queue in core.store.queues().into_iter().filter(|queue| is_unserved(&queue.topic)) {
        let messages = queue.max_offset - queue.min_offset;
        if messages > 0 {
            tracing::warn!(
                topic = &*queue.topic,
                messages,
                "timed, half or popped messages of another broker are in this store: this one does not deliver them"
            );
        }
    }
}

/// Wakes those who wait for messages: held pulls, and the delivery of delayed messages.
fn listen_to_store(core: &Arc<Core>) {
    // The store belongs to the core: a strong reference would keep both alive for ever.
    let core_of_listener = Arc::downgrade(core);
    let is_slave = core.is_slave();
    core.store.add_message_arriving_listener(Arc::new(move |message| {
        let Some(core) = core_of_listener.upgrade() else { return };
        if is_slave {
            slave::message_arrived(&core, message);
        } else if &*message.topic == topic::SCHEDULE_TOPIC {
            core.delay_wanted.notify_one();
        }
        core.pull_wait.message_arrived(message);
    }));
}

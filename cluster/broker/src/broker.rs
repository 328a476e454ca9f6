//! A broker's life: open the store, recover, serve, and stop in good order (`BrokerController`).

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use remoting::{RemotingServer, ServerConfig};
use sim::task::{self, JoinHandle};
use sim::time::timeout;
use store::{MessageStore, StoreError};

use crate::config::BrokerConfig;
use crate::core::{Core, Files, lock};
use crate::processor::Processor;
use crate::service::{delay, housekeeping, pull_wait, registration};

/// Why a broker does not start, or did not stop in good order.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The store does not open, or not close.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address is taken, or is none of this host's.
    #[error("cannot listen on {addr}: {source}; choose another listenPort or bindAddress, or stop what listens there")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The request to terminate cannot be waited for.
    #[error("cannot wait for the request to terminate: {0}")]
    Signal(io::Error),
}

/// A running broker. Dropping it without [`Broker::shutdown`] is a crash: nothing more is written.
///
/// ```no_run
/// # async fn example() -> Result<(), broker::BrokerError> {
/// let mut config = broker::BrokerConfig::new("broker-a", "/data/store");
/// config.namesrv_addr = vec!["ns-1:9876".into(), "ns-2:9876".into()];
/// let broker = broker::Broker::start(config).await?;
/// broker.run_until_terminated().await?;
/// # Ok(())
/// # }
/// ```
pub struct Broker {
    core: Arc<Core>,
    server: RemotingServer,
    tasks: Mutex<Option<Tasks>>,
}

struct Tasks {
    /// Delivers delayed messages; ends by itself when the broker stops.
    delivery: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.delivery.abort();
        self.others.iter().for_each(JoinHandle::abort);
    }
}

impl Broker {
    /// Starts a broker: opens and recovers its store, listens, and registers with its name servers. It serves when this
    /// returns; name servers that do not answer are tried again later.
    ///
    /// # Errors
    /// The store does not open, or the address cannot be listened on.
    pub async fn start(config: BrokerConfig) -> Result<Self, BrokerError> {
        let levels = config.message_delay_level.clone();
        let deliver_timestamp = Arc::new(move |level: i32, stored_ms: i64| stored_ms + levels.delay_ms(level));
        let store = MessageStore::open(config.store.clone(), deliver_timestamp).await?;
        let report = store.recovery_report();
        tracing::info!(
            abnormal = report.abnormal,
            end_offset = report.end_offset.0,
            torn_tail = report.torn_tail,
            "store open"
        );
        let files = Files::new(&config);
        let stored = files.load().await?;

        let listen_addr = config.listen_addr();
        let server_config = ServerConfig {
            channel_idle_max: Duration::from_millis(config.server_channel_max_idle_time_ms),
            ..ServerConfig::default()
        };
        let name_servers = config.namesrv_addr.clone();
        let core = Arc::new(Core::new(config, store, stored, files));
        core.name_servers.update_name_servers(name_servers);
        listen_to_store(&core);
        core.persist_topics().await?;
        core.persist_offsets().await?;

        let server = RemotingServer::bind(listen_addr, Arc::new(Processor(Arc::clone(&core))), server_config)
            .await
            .map_err(|source| BrokerError::Listen { addr: listen_addr, source })?;
        core.set_port(server.local_addr().port());
        let tasks = vec![
            task::spawn(pull_wait::run(Arc::clone(&core))),
            task::spawn(housekeeping::persist_offsets(Arc::clone(&core))),
            task::spawn(housekeeping::look_after(Arc::clone(&core))),
            task::spawn(delay::persist(Arc::clone(&core))),
            task::spawn(registration::run(Arc::clone(&core))),
        ];
        let delivery = task::spawn(delay::deliver(Arc::clone(&core)));
        core.registration_wanted.notify_one();
        Ok(Self { core, server, tasks: Mutex::new(Some(Tasks { delivery, others: tasks })) })
    }

    /// The address that clients are told.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.core.store_host()
    }

    /// The address that is listened on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// The settings as they are now.
    #[must_use]
    pub fn config(&self) -> Arc<BrokerConfig> {
        self.core.config()
    }

    /// The store, for those who look into a running broker.
    #[must_use]
    pub fn store(&self) -> &MessageStore {
        &self.core.store
    }

    /// Stops in good order: says good-bye to the name servers, accepts nothing more, answers what it has begun, writes
    /// its tables and closes the store. A second call does nothing more.
    ///
    /// # Errors
    /// Something could not be written; the rest was done all the same, and the next start recovers.
    pub async fn shutdown(&self) -> Result<(), BrokerError> {
        let Some(mut tasks) = lock(&self.tasks).take() else { return Ok(()) };
        self.core.stopping.store(true, Ordering::Release);
        self.core.delay_wanted.notify_one();
        // An error means that a delivery takes too long, or has panicked: then some messages may come twice.
        let grace = Duration::from_millis(self.core.config().shutdown_grace_ms);
        let _ = timeout(grace, &mut tasks.delivery).await;
        drop(tasks);
        registration::unregister(&self.core).await;
        self.server.shutdown(grace).await;
        // The task that writes the offsets may have been stopped half-way.
        lock(&self.core.offsets).mark_changed();
        let offsets = self.core.persist_offsets().await;
        let delay_offsets = self.core.persist_delay_offsets().await;
        let store = self.core.store.shutdown().await;
        self.core.name_servers.shutdown();
        offsets.and(delay_offsets).and(store).map_err(BrokerError::Store)
    }

    /// Serves until the process is asked to terminate, then stops in good order.
    ///
    /// # Errors
    /// As [`Broker::shutdown`].
    pub async fn run_until_terminated(&self) -> Result<(), BrokerError> {
        let terminated = sim::signal::terminated().await.map_err(BrokerError::Signal);
        let stopped = self.shutdown().await;
        terminated.and(stopped)
    }
}

/// Wakes those who wait for messages: held pulls, and the delivery of delayed messages.
fn listen_to_store(core: &Arc<Core>) {
    // The store belongs to the core: a strong reference would keep both alive for ever.
    let core_of_listener = Arc::downgrade(core);
    core.store.add_message_arriving_listener(Arc::new(move |message| {
        let Some(core) = core_of_listener.upgrade() else { return };
        if &*message.topic == protocol::topic::SCHEDULE_TOPIC {
            core.delay_wanted.notify_one();
        }
        core.pull_wait.message_arrived(message);
    }));
}

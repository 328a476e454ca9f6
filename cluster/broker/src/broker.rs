//! A broker's life: open the store, recover, serve, and stop in good order (`BrokerController`).
//!
//! A slave whose log has parted from its master's must cut it, which needs a closed store; a master that learns of another one
//! forms its group anew, which needs a start. Both happen within the same
//! process: one [`Running`] ends, the next begins, and the [`Broker`] stays. Its clients see their
//! connections break and come back.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::BrokerId;
use sim::task::{self, JoinHandle};
use sim::time::sleep;
use store::{MessageStore, StoreError};
use tokio::sync::watch;

use crate::config::BrokerConfig;
use crate::config_check::ConfigError;
use crate::core::lock;
use crate::running::{End, Running};

/// Why a broker does not start, or did not stop in good order.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Settings do not go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    /// The same for the HA port.
    #[error("cannot listen for slaves on {addr}: {source}; choose another haListenPort, or stop what listens there")]
    ListenHa {
        /// The address.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The name and id are taken.
    #[error(
        "there is a broker {broker_name} with brokerId {broker_id} already, at {addr}: two of them would send clients and \
         slaves now to one and now to the other; give this one another brokerName or brokerId, or stop that one"
    )]
    Twin {
        /// `brokerName` of both.
        broker_name: String,
        /// `brokerId` of both.
        broker_id: BrokerId,
        /// Where the other is.
        addr: String,
    },
    /// The request to terminate cannot be waited for.
    #[error("cannot wait for the request to terminate: {0}")]
    Signal(io::Error),
    /// Connections are accepted no more although nobody has stopped the broker.
    #[error(
        "connections are no longer accepted, because of a panic that the log shows: the broker ends rather than refuse everyone"
    )]
    NotAccepting,
    /// A broker that has closed its store to open it anew does not come up again.
    #[error("the store was closed {purpose}, and the broker did not come back: {why}")]
    Reopen {
        /// What for.
        purpose: String,
        /// What went wrong.
        why: String,
    },
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
    running: Arc<Mutex<Arc<Running>>>,
    /// Held while the store is opened anew, and by a broker that stops.
    changing: Arc<tokio::sync::Mutex<()>>,
    reopener: JoinHandle<()>,
    failed: watch::Receiver<Option<(String, String)>>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.reopener.abort();
    }
}

/// How long a broker rests between attempts to come up again.
const REOPEN_RETRY: Duration = Duration::from_secs(1);
/// How often it tries: a port may be held for a moment by connections that are ending.
const REOPEN_ATTEMPTS: usize = 10;

impl Broker {
    /// Starts a broker: opens and recovers its store, listens, and registers with its name servers. It serves when this
    /// returns; name servers that do not answer are tried again later. A master that may have lost the end of its log serves
    /// reads only until it has heard its slaves.
    ///
    /// # Errors
    /// The settings do not go together, the broker runs elsewhere already, the store does not open, or the address cannot be
    /// listened on.
    pub async fn start(config: BrokerConfig) -> Result<Self, BrokerError> {
        let running = Arc::new(Mutex::new(Arc::new(Running::start(config, None).await?)));
        let changing = Arc::new(tokio::sync::Mutex::new(()));
        let (report, failed) = watch::channel(None);
        let reopener = task::spawn(reopen_when_wanted(Arc::clone(&running), Arc::clone(&changing), report));
        Ok(Self { running, changing, reopener, failed })
    }

    fn running(&self) -> Arc<Running> {
        Arc::clone(&lock(&self.running))
    }

    /// The address that messages are stamped with: that of the announced host, with the port that was bound.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.running().core.store_host()
    }

    /// The address that clients are told: `host:port`, where the host may be a name.
    #[must_use]
    pub fn advertised_addr(&self) -> String {
        self.running().core.broker_addr()
    }

    /// The address that is listened on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.running().server.local_addr()
    }

    /// The settings as they are now.
    #[must_use]
    pub fn config(&self) -> Arc<BrokerConfig> {
        self.running().core.config()
    }

    /// The store, for those who look into a running broker.
    #[must_use]
    pub fn store(&self) -> Arc<MessageStore> {
        Arc::clone(&self.running().core.store)
    }

    /// Stops in good order: says good-bye to the name servers, accepts nothing more, answers what it has begun, gives its
    /// slaves the rest, writes its tables and closes the store. A second call does nothing more.
    ///
    /// # Errors
    /// Something could not be written; the rest was done all the same, and the next start recovers.
    pub async fn shutdown(&self) -> Result<(), BrokerError> {
        let _no_more_changes = self.changing.lock().await;
        self.reopener.abort();
        self.running().stop(End::Stop).await
    }

    /// Serves until the process is asked to terminate, then stops in good order.
    ///
    /// # Errors
    /// As [`Broker::shutdown`]; or a slave whose log was cut did not come up again, or an acceptor has ended.
    pub async fn run_until_terminated(&self) -> Result<(), BrokerError> {
        let mut failed = self.failed.clone();
        let failure = async {
            let failure = failed.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
            match failure {
                Some(failure) => failure,
                // Nothing can fail any more: the broker is being stopped.
                None => std::future::pending().await,
            }
        };
        let terminated = tokio::select! {
            biased;
            terminated = sim::signal::terminated() => terminated.map_err(BrokerError::Signal),
            (purpose, why) = failure => Err(BrokerError::Reopen { purpose, why }),
            () = self.no_longer_accepting() => Err(BrokerError::NotAccepting),
        };
        let stopped = self.shutdown().await;
        terminated.and(stopped)
    }

    /// Resolves when an acceptor has ended by itself, and not for the sake of a cut.
    async fn no_longer_accepting(&self) {
        loop {
            let running = self.running();
            running.accepting_ended().await;
            let _no_cut_is_under_way = self.changing.lock().await;
            if Arc::ptr_eq(&running, &self.running()) {
                return;
            }
        }
    }
}

/// Waits until the store must be opened anew, closes it, and opens it again, shortened if it is to be cut. For ever.
async fn reopen_when_wanted(
    running: Arc<Mutex<Arc<Running>>>,
    changing: Arc<tokio::sync::Mutex<()>>,
    report: watch::Sender<Option<(String, String)>>,
) {
    loop {
        let old = Arc::clone(&lock(&running));
        let wanted = old.reopening_wanted().await;
        let _one_change = changing.lock().await;
        tracing::warn!(%wanted, end = old.core.store.max_physical_offset().0, "the store is closed and opened anew");
        let mut config = (*old.core.config()).clone();
        config.listen_port = old.server.local_addr().port();
        if let Err(error) = old.stop(End::Reopen).await {
            // The next open recovers what was not closed.
            tracing::error!(%error, "the store was not closed in good order");
        }
        drop(old);
        let mut attempt = 0;
        let next = loop {
            match Running::start(config.clone(), wanted.cut_at()).await {
                Ok(next) => break next,
                Err(error) if attempt == REOPEN_ATTEMPTS => {
                    tracing::error!(%error, "the broker did not come back");
                    report.send_replace(Some((wanted.to_string(), error.to_string())));
                    return;
                }
                Err(error) => tracing::warn!(%error, "the broker does not come back yet: it is tried again"),
            }
            attempt += 1;
            sleep(REOPEN_RETRY).await;
        };
        tracing::info!(end = next.core.store.max_physical_offset().0, "serving again");
        *lock(&running) = Arc::new(next);
    }
}

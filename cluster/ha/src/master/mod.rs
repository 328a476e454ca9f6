//! The master's side of replication (`DefaultHAService`).
//!
//! A slave connects, says who it is and what its log holds, and is sent what follows; what it acknowledges moves the store's
//! watermark, for which the puts of a SYNC_MASTER wait.
//!
//! | room | is |
//! |---|---|
//! | [`connection`] | one slave's connection, from its first bytes on: [`extended`] for slaves of ours, [`apache`] for Apache's |
//! | [`following`] | the log one way, the reports the other |
//! | [`places`] | how many may be connected, and who goes when there are more |
//! | [`followers`] | all of them, and what the store is told |
//! | [`tail`] | before the epoch begins: what this master has lost is taken back |

mod apache;
mod connection;
mod extended;
mod followers;
mod following;
mod places;
mod tail;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use group::{Event, Forming, Membership};
use protocol::PhysicalOffset;
use sim::{
    net::TcpListener,
    task::{self, JoinHandle},
    time::{Instant, sleep},
};
use store::{MessageStore, StoreError};
use tokio::sync::{mpsc, watch};

use crate::{GroupKeeper, HaConfig, Identity, ReplicaId, ReplicaStatus, TailRecovery};
use followers::Followers;
use tail::Candidates;
pub use tail::transcribe;

/// How often it is looked who has fallen behind or stands still, as a part of `slaveTimeout`.
const LOOKS_PER_SLAVE_TIMEOUT: u32 = 4;

/// What the connections of a master share.
pub(crate) struct Shared {
    pub store: Arc<MessageStore>,
    pub identity: Identity,
    pub config: HaConfig,
    pub followers: Arc<Followers>,
    pub candidates: Candidates,
    /// Before the history begins: what is waited for.
    pub formation: Mutex<Option<Formation>>,
    /// Whether the epoch has begun.
    pub serving: watch::Sender<bool>,
    /// Keeps the membership.
    pub keeper: OnceLock<Arc<dyn GroupKeeper>>,
}

impl Shared {
    /// `mappedFileSizeCommitLog`.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.store.config().mapped_file_size_commit_log_bytes
    }

    /// The group as it is kept now.
    pub(crate) fn group(&self) -> Membership {
        self.keeper.get().map(|keeper| keeper.membership()).unwrap_or_default()
    }
}

/// A master before its history begins.
#[derive(Clone, Debug)]
pub struct Formation {
    /// What it waits for, in words.
    pub waits_for: String,
    /// What it knows.
    pub forming: Forming,
}

/// How the forming of a group ended.
#[derive(Debug)]
pub enum Formed {
    /// The history may begin, as that of this membership.
    Begin {
        /// What was taken back.
        recovery: Box<TailRecovery>,
        /// The group: its generation is that of this beginning; it may have no identity yet.
        membership: Membership,
    },
    /// The log must be cut here first: the store is to be opened anew.
    Cut(PhysicalOffset),
}

/// Serves the HA port of a master. To drop it closes the port and all connections.
pub struct MasterService {
    shared: Arc<Shared>,
    local_addr: SocketAddr,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Closed when the acceptor's task has ended, however it ended.
    accepting: watch::Receiver<()>,
}

impl MasterService {
    /// Listens. Slaves may connect at once, and are asked to wait until [`MasterService::serve`].
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn bind(
        addr: SocketAddr,
        store: Arc<MessageStore>,
        identity: Identity,
        config: HaConfig,
    ) -> io::Result<MasterService> {
        let listener = TcpListener::bind(addr).await?;
        let local_addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            followers: Arc::new(Followers::new(Arc::clone(&store), &config)),
            candidates: Candidates::default(),
            formation: Mutex::default(),
            serving: watch::Sender::new(false),
            keeper: OnceLock::new(),
            store,
            identity,
            config,
        });
        let (alive, accepting) = watch::channel(());
        let accept = connection::accept(listener, Arc::clone(&shared));
        let acceptor = task::spawn(async move {
            accept.await;
            drop(alive);
        });
        Ok(MasterService { shared, local_addr, tasks: Mutex::new(vec![acceptor]), accepting })
    }

    /// Resolves when no slave is accepted any more: after a shutdown, or because the acceptor has panicked.
    pub async fn ended(&self) {
        let mut accepting = self.accepting.clone();
        // Nothing is ever sent: the error is the end.
        while accepting.changed().await.is_ok() {}
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Who keeps the membership. To be set once, before slaves come; a later call changes nothing.
    pub fn keep_group_with(&self, keeper: Arc<dyn GroupKeeper>) {
        // The first one counts.
        let _ = self.shared.keeper.set(keeper);
    }

    /// Before the epoch begins: does what [`Forming`] says, with the slaves that connect and the `events` that come, until the
    /// history may begin or the log must be cut. `since` is when `forming` began, its time zero. What it waits for is told in
    /// the log, every 5 s, and by [`MasterService::formation`].
    ///
    /// # Errors
    /// The store, or what is kept of the group, cannot be written.
    pub async fn form(
        &self,
        forming: Forming,
        since: Instant,
        events: &mut mpsc::UnboundedReceiver<Event>,
    ) -> Result<Formed, StoreError> {
        tail::form(&self.shared, forming, since, events).await
    }

    /// What this master knows and waits for before its history begins; `None` once it has.
    pub fn formation(&self) -> Option<Formation> {
        self.shared.formation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The slaves that are connected while this master forms its group.
    pub fn heard(&self) -> Vec<ReplicaId> {
        self.shared.candidates.heard()
    }

    /// After the store's epoch has begun: answers the slaves, sends them the log, counts what they acknowledge.
    pub fn serve(&self) {
        self.shared.followers.serve();
        if self.shared.serving.send_replace(true) {
            return;
        }
        let followers = Arc::clone(&self.shared.followers);
        let pause = (self.shared.config.slave_timeout() / LOOKS_PER_SLAVE_TIMEOUT).max(Duration::from_millis(10));
        let looks = task::spawn(async move {
            loop {
                sleep(pause).await;
                followers.look();
            }
        });
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(looks);
    }

    /// The slaves that are connected and follow.
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        self.shared.followers.statuses()
    }

    /// Changes whenever a replica comes, goes, or gets into or out of sync.
    pub fn in_sync_changed(&self) -> watch::Receiver<u64> {
        self.shared.followers.subscribe()
    }

    /// Closes the port and all connections.
    pub async fn shutdown(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
            // An error means that it was cancelled, which is what was asked.
            let _ = task.await;
        }
    }
}

impl Drop for MasterService {
    fn drop(&mut self) {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

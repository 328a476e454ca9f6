//! The slave's side of replication (`HAClient`).
//!
//! One task connects, follows until the connection ends, waits, and connects again. What its master speaks is found out at
//! its ordinary port first: [`extended`] with a master of ours, [`apache`] with Apache's.

mod apache;
mod extended;
mod following;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use protocol::PhysicalOffset;
use sim::{
    net::{TcpStream, resolve},
    task::{self, JoinHandle},
    time::{Instant, sleep, timeout},
};
use store::MessageStore;
use tokio::sync::watch;

use crate::{
    GroupKeeper, HaConfig, Identity, MasterAddr, PROTOCOL_V1, SlaveStatus, backoff, backoff::Backoff, error::HaError,
};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// So long a connection counts as new: a call of the master that is on its way does not break it off.
const NEW_CONNECTION: Duration = Duration::from_secs(2);

type Probe = Arc<dyn Fn(String) -> BoxFuture<'static, Option<u32>> + Send + Sync>;

/// What the service and its task share.
pub(crate) struct Shared {
    pub store: Arc<MessageStore>,
    pub identity: Identity,
    pub config: HaConfig,
    master: watch::Sender<Option<MasterAddr>>,
    truncation: watch::Sender<Option<PhysicalOffset>>,
    status: Mutex<SlaveStatus>,
    /// When the present connection to the HA port was made.
    pub connected_at: Mutex<Option<Instant>>,
    /// Keeps the membership.
    pub keeper: OnceLock<Arc<dyn GroupKeeper>>,
}

impl Shared {
    pub(crate) fn status(&self) -> MutexGuard<'_, SlaveStatus> {
        // No code that holds the lock panics half-way through a change.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a connection ended that did not fail.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The log must be cut there before anything else.
    Truncate(PhysicalOffset),
}

/// Follows a master. To drop it is to stop.
pub struct SlaveService {
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl SlaveService {
    /// Starts to follow, as soon as there is a master ([`SlaveService::set_master`]).
    ///
    /// `probe` asks the broker at a remoting address for its HA protocol
    /// (`GET_HA_PROTOCOL_VERSION`): `None` when it is not reached,
    /// [`PROTOCOL_V1`] when it does not know the question.
    pub fn start(
        store: Arc<MessageStore>,
        identity: Identity,
        config: HaConfig,
        probe: impl Fn(String) -> BoxFuture<'static, Option<u32>> + Send + Sync + 'static,
    ) -> SlaveService {
        let shared = Arc::new(Shared {
            store,
            identity,
            config,
            master: watch::Sender::new(None),
            truncation: watch::Sender::new(None),
            status: Mutex::default(),
            connected_at: Mutex::default(),
            keeper: OnceLock::new(),
        });
        let task = task::spawn(run(Arc::clone(&shared), Arc::new(probe)));
        SlaveService { shared, task: Mutex::new(Some(task)) }
    }

    /// Says whom to follow; the same again changes nothing.
    pub fn set_master(&self, master: Option<MasterAddr>) {
        self.shared.master.send_if_modified(|present| {
            let differs = *present != master;
            *present = master;
            differs
        });
    }

    /// Who keeps the membership. To be set once, before there is a master; a later call changes nothing.
    pub fn keep_group_with(&self, keeper: Arc<dyn GroupKeeper>) {
        // The first one counts.
        let _ = self.shared.keeper.set(keeper);
    }

    /// The master says that it forms its group, since `up` ago, and does not hear this slave: connects anew. A connection that was
    /// made only now stays, if it can be with this start of the master: it may not have known of it yet. Returns whether it
    /// connects anew.
    pub fn master_is_back(&self, up: Option<Duration>) -> bool {
        let connected_at = *self.shared.connected_at.lock().unwrap_or_else(PoisonError::into_inner);
        let new = up.map_or(NEW_CONNECTION, |up| up.min(NEW_CONNECTION));
        if connected_at.is_some_and(|at| at.elapsed() < new) {
            return false;
        }
        tracing::info!("the master says that it is back");
        let master = self.shared.status().master.clone();
        self.set_master(None);
        self.set_master(master);
        true
    }

    /// Resolves when the log must be cut: this offset is where the master's and ours part. Nothing is appended any more. The
    /// broker shuts this service and the store down, opens the store with `OpenOptions::truncate_at`, and starts anew.
    pub async fn truncation_wanted(&self) -> PhysicalOffset {
        let mut wanted = self.shared.truncation.subscribe();
        match wanted.wait_for(Option::is_some).await.map(|offset| *offset) {
            Ok(Some(offset)) => offset,
            // The sender lives as long as this service, and the condition holds.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// How it is doing.
    pub fn status(&self) -> SlaveStatus {
        self.shared.status().clone()
    }

    /// Stops following.
    pub async fn shutdown(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            // An error means that it was cancelled, which is what was asked.
            let _ = task.await;
        }
        self.shared.status().connected = false;
    }
}

impl Drop for SlaveService {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

async fn run(shared: Arc<Shared>, probe: Probe) {
    let mut masters = shared.master.subscribe();
    let mut backoff = Backoff::new();
    loop {
        let master = masters.borrow_and_update().clone();
        shared.status().master.clone_from(&master);
        let Some(master) = master else {
            if masters.changed().await.is_err() {
                return;
            }
            continue;
        };
        let ended = tokio::select! {
            biased;
            changed = masters.changed() => {
                shared.status().connected = false;
                backoff.reset();
                if changed.is_err() {
                    return;
                }
                continue;
            }
            ended = follow(&shared, &probe, &master) => ended,
        };
        *shared.connected_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let was_connected = std::mem::take(&mut shared.status().connected);
        let error = match ended {
            Ok(Ended::Truncate(to)) => {
                tracing::warn!(%to, master = master.ha, "HA: our log has an end that the master's has not: it is to be cut");
                shared.status().last_error = Some(format!("the log is to be cut at {to}"));
                shared.truncation.send_replace(Some(to));
                return;
            }
            Err(error) => error,
        };
        if was_connected {
            backoff.reset();
        }
        let wait = match &error {
            HaError::Refused(why) => {
                tracing::error!(master = master.ha, %why, "HA: this slave does not follow its master");
                backoff::LONGEST
            }
            HaError::Nonsense(_) | HaError::Store(_) => {
                tracing::error!(master = master.ha, %error, "HA: connection to the master ended");
                backoff::LONGEST
            }
            _ => {
                tracing::info!(master = master.ha, %error, "HA: connection to the master ended");
                backoff.next()
            }
        };
        shared.status().last_error = Some(error.to_string());
        tokio::select! {
            biased;
            changed = masters.changed() => {
                backoff.reset();
                if changed.is_err() {
                    return;
                }
                // Seen again at the loop's head.
                masters.mark_changed();
            }
            () = sleep(wait) => {}
        }
    }
}

/// One connection, from the question at the master's ordinary port to its end.
async fn follow(shared: &Arc<Shared>, probe: &Probe, master: &MasterAddr) -> Result<Ended, HaError> {
    let unreachable = |what: String| HaError::Io(std::io::Error::new(std::io::ErrorKind::NotConnected, what));
    let is_unchecked = shared.config.is_unchecked();
    if master.remoting == shared.identity.broker_addr && !is_unchecked {
        return Err(HaError::Refused(format!(
            "haMasterAddress points this slave at itself ({}): set it to its master's",
            master.remoting
        )));
    }
    let protocol = if is_unchecked {
        PROTOCOL_V1
    } else {
        let asked = timeout(CONNECT_TIMEOUT, probe(master.remoting.clone())).await.ok().flatten();
        asked.ok_or_else(|| unreachable(format!("{} does not answer", master.remoting)))?
    };
    let connect = async {
        let mut failed = std::io::Error::other(format!("{} has no address", master.ha));
        for address in resolve(&master.ha).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    };
    let stream = timeout(CONNECT_TIMEOUT, connect)
        .await
        .map_err(|_| unreachable(format!("{} does not answer within {} s", master.ha, CONNECT_TIMEOUT.as_secs())))??;
    stream.set_nodelay(true)?;
    *shared.connected_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    if protocol == PROTOCOL_V1 { apache::follow(shared, stream).await } else { extended::follow(shared, stream).await }
}

//! A master that may have lost the end of its log takes it back from its slaves, before it begins its epoch.
//!
//! Slaves that connect meanwhile are candidates. When all that were expected are there, or the time is up, the one with the
//! longest log of which ours is a part is asked for the rest; its bytes are appended as they are, with their epochs. Then
//! ours is the longest, and what others have beyond is cut there.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use protocol::{BrokerId, PhysicalOffset};
use quirks::Quirk;
use sim::time::{Instant, sleep_until};
use store::{LogHistory, StoreError};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Shared, extended::Dialogue};
use crate::{
    ReplicaId, TailRecovery,
    decision::{self, Window},
    error::HaError,
    frame::{Wire, decode_frame},
    handshake::Answer,
    replica_log::ReplicaLog,
};

/// How often it is said for whom we wait.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// The connected slaves whose tail could be taken.
#[derive(Default)]
pub(crate) struct Candidates {
    entered: Arc<Mutex<BTreeMap<BrokerId, Candidate>>>,
    changed: Arc<Notify>,
}

struct Candidate {
    id: ReplicaId,
    history: LogHistory,
    orders: mpsc::UnboundedSender<TailOrder>,
}

/// The request to a candidate's connection to fetch its tail.
pub(crate) struct TailOrder {
    pub check: Window,
    pub from: PhysicalOffset,
    pub done: oneshot::Sender<Result<(), HaError>>,
}

/// A slave's standing as a candidate, which ends when this is dropped.
pub(crate) struct Candidacy {
    pub orders: mpsc::UnboundedReceiver<TailOrder>,
    id: BrokerId,
    entered: Arc<Mutex<BTreeMap<BrokerId, Candidate>>>,
    changed: Arc<Notify>,
}

impl Drop for Candidacy {
    fn drop(&mut self) {
        self.orders.close();
        let mut entered = lock(&self.entered);
        // The same slave may have connected anew.
        if entered.get(&self.id).is_some_and(|candidate| candidate.orders.is_closed()) {
            entered.remove(&self.id);
        }
        self.changed.notify_one();
    }
}

fn lock(entered: &Mutex<BTreeMap<BrokerId, Candidate>>) -> MutexGuard<'_, BTreeMap<BrokerId, Candidate>> {
    entered.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Candidates {
    pub(crate) fn enter(&self, id: ReplicaId, history: LogHistory) -> Candidacy {
        let (sender, orders) = mpsc::unbounded_channel();
        let broker_id = id.broker_id;
        lock(&self.entered).insert(broker_id, Candidate { id, history, orders: sender });
        self.changed.notify_one();
        Candidacy { orders, id: broker_id, entered: Arc::clone(&self.entered), changed: Arc::clone(&self.changed) }
    }

    fn heard(&self) -> Vec<ReplicaId> {
        lock(&self.entered).values().map(|candidate| candidate.id.clone()).collect()
    }

    /// The candidate whose tail is to be taken, if anyone has one.
    fn longest(&self, own: &LogHistory) -> Option<(ReplicaId, Window, mpsc::UnboundedSender<TailOrder>)> {
        let entered = lock(&self.entered);
        let offers = entered.values().filter_map(|candidate| {
            let check = decision::tail_of(own, &candidate.history)?;
            Some((candidate.history.max, candidate, check))
        });
        // Of two that are equally long, that with the lower id.
        let (_, candidate, check) = offers.max_by_key(|(max, candidate, _)| (*max, -candidate.id.broker_id.0))?;
        Some((candidate.id.clone(), check, candidate.orders.clone()))
    }

    /// Does not ask this slave again, unless it connects anew.
    fn strike(&self, id: BrokerId) {
        lock(&self.entered).remove(&id);
    }
}

/// See [`crate::MasterService::recover_tail`].
pub(crate) async fn recover(
    shared: &Arc<Shared>,
    expected: &[ReplicaId],
    limit: Option<Duration>,
) -> Result<TailRecovery, StoreError> {
    let from = shared.store.max_physical_offset();
    let mut recovery = TailRecovery { from, to: from, ..TailRecovery::default() };
    if shared.config.quirks.has(Quirk::TailNotTakenBack) {
        return Ok(recovery);
    }
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut expected = expected.to_vec();
    // Those that have given what they have, or cannot.
    let mut settled: Vec<ReplicaId> = Vec::new();
    loop {
        wait_for_replicas(shared, &expected, &settled, deadline).await;
        let Some((id, check, orders)) = shared.candidates.longest(&shared.store.history()) else { break };
        let from = shared.store.max_physical_offset();
        tracing::info!(%from, id = %id.broker_id, addr = id.broker_addr, "HA: taking back the end of the log from a slave");
        let (done, is_done) = oneshot::channel();
        // An error means that the connection has ended just now, and the answer will not come.
        let _ = orders.send(TailOrder { check, from, done });
        let outcome = is_done.await.unwrap_or(Err(HaError::Closed));
        shared.candidates.strike(id.broker_id);
        recovery.to = shared.store.max_physical_offset();
        if recovery.to > from {
            recovery.taken_from = Some(id.clone());
        }
        match outcome {
            Ok(()) => {
                tracing::info!(to = %recovery.to, "HA: the end of the log is back");
                settled.push(id);
            }
            Err(HaError::Store(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(id = %id.broker_id, addr = id.broker_addr, %error, "HA: the end of the log was not taken back");
                if matches!(error, HaError::Nonsense(_) | HaError::Refused(_)) {
                    settled.push(id);
                } else if !expected.contains(&id) {
                    // It has what we lack: it is worth waiting for, until it is connected again.
                    expected.push(id);
                }
            }
        }
    }
    recovery.heard = shared.candidates.heard();
    recovery.heard.extend(settled);
    recovery.heard.sort();
    recovery.heard.dedup();
    recovery.missing = missing(&expected, &recovery.heard);
    Ok(recovery)
}

fn missing(expected: &[ReplicaId], heard: &[ReplicaId]) -> Vec<ReplicaId> {
    let is_missing = |replica: &&ReplicaId| !heard.iter().any(|other| other.broker_id == replica.broker_id);
    expected.iter().filter(is_missing).cloned().collect()
}

/// Returns when all that are expected are connected, or the time is up.
async fn wait_for_replicas(shared: &Shared, expected: &[ReplicaId], settled: &[ReplicaId], deadline: Option<Instant>) {
    let started = Instant::now();
    let mut warn_at = started + WARNING_INTERVAL;
    loop {
        let heard = [settled, &shared.candidates.heard()].concat();
        let missing = missing(expected, &heard);
        if missing.is_empty() {
            return;
        }
        let wake_at = deadline.map_or(warn_at, |deadline| deadline.min(warn_at));
        tokio::select! {
            biased;
            () = shared.candidates.changed.notified() => continue,
            () = sleep_until(wake_at) => {}
        }
        let now = Instant::now();
        let names: Vec<_> = missing.iter().map(|id| format!("{} ({})", id.broker_id, id.broker_addr)).collect();
        let names = names.join(", ");
        if deadline.is_some_and(|deadline| deadline <= now) {
            tracing::warn!(
                "HA: this master may have lost the end of its log, and goes on without slaves {names}: what only they have \
                 will be cut off there and kept in their `diverged` directories"
            );
            return;
        }
        if warn_at <= now {
            warn_at = now + WARNING_INTERVAL;
            tracing::warn!(
                "HA: this master may have lost the end of its log, and takes no messages until its slaves {names} are \
                 connected. Start them; or, to go on without what only they have, set haTailRecoveryTimeoutMillis or delete \
                 config/replicas.json, and restart this broker"
            );
        }
    }
}

/// Fetches what this slave has beyond `from`, our end, and appends it.
pub(crate) async fn take_tail(
    dialogue: &mut Dialogue<'_>,
    slave: &LogHistory,
    check: Window,
    from: PhysicalOffset,
) -> Result<(), HaError> {
    dialogue.compare(check).await?.map_err(HaError::Refused)?;
    let store = Arc::clone(&dialogue.shared.store);
    // An empty log begins where the slave's does.
    let from = if from == PhysicalOffset::ZERO { slave.min } else { from };
    dialogue.answer(&Answer::SendTail { from }).await?;
    let silence = dialogue.shared.config.housekeeping_interval();
    let mut log = ReplicaLog::new(&store, from, false);
    loop {
        while let Ok(frame) = decode_frame(&mut dialogue.incoming.buffer, Wire::Extended)? {
            log.take(&frame).await?;
        }
        log.write().await?;
        if log.expected() >= slave.max {
            break;
        }
        sim::time::timeout(silence, dialogue.incoming.read()).await.map_err(|_| HaError::Silent(silence))??;
    }
    log.finish().await?;
    let end = store.max_physical_offset();
    if end != slave.max {
        return Err(HaError::Nonsense(format!("its log ended at {end} within a record, instead of {}", slave.max)));
    }
    Ok(())
}

//! A master forms its group before it begins its epoch: it does what [`group::Forming`] says.
//!
//! Slaves that connect meanwhile are candidates. The one that the machine names is asked for the end of its log; its bytes are
//! appended as they are, with their epochs. Nothing breaks that off but the connection's end, or silence: however long it
//! takes, as long as bytes come it goes on.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use group::{
    Event, Forming, Membership, Step, Waiting,
    logs::Window,
    transcript::{Entry, Line, TARGET},
};
use protocol::{BrokerId, PhysicalOffset};
use quirks::Quirk;
use sim::time::{Instant, sleep_until};
use store::{LogHistory, StoreError};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Formation, Formed, Shared, extended::Dialogue};
use crate::{
    ReplicaId, TailRecovery,
    error::HaError,
    frame::{Wire, decode_frame},
    handshake::Answer,
    replica_log::ReplicaLog,
};

/// How often it is said for whom we wait.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);
/// The most events that wait to be taken in: a master that serves takes none in any more.
const EVENTS_MAX: usize = 1024;

/// The connected slaves whose tail could be taken.
#[derive(Default)]
pub(crate) struct Candidates {
    entered: Arc<Mutex<BTreeMap<BrokerId, Candidate>>>,
    events: Arc<Mutex<Vec<Event>>>,
    changed: Arc<Notify>,
}

struct Candidate {
    id: ReplicaId,
    end: PhysicalOffset,
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
    events: Arc<Mutex<Vec<Event>>>,
    changed: Arc<Notify>,
}

impl Drop for Candidacy {
    fn drop(&mut self) {
        self.orders.close();
        let mut entered = lock(&self.entered);
        // The same slave may have connected anew.
        if entered.get(&self.id).is_some_and(|candidate| candidate.orders.is_closed()) {
            entered.remove(&self.id);
            push(&self.events, Event::Gone(self.id));
        }
        self.changed.notify_one();
    }
}

fn lock(entered: &Mutex<BTreeMap<BrokerId, Candidate>>) -> MutexGuard<'_, BTreeMap<BrokerId, Candidate>> {
    entered.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Candidates {
    pub(crate) fn enter(&self, id: ReplicaId, history: LogHistory, membership: Membership) -> Candidacy {
        let (sender, orders) = mpsc::unbounded_channel();
        let (broker_id, addr) = (id.broker_id, id.broker_addr.clone());
        lock(&self.entered).insert(broker_id, Candidate { id, end: history.max, orders: sender });
        self.push(Event::Heard { broker_id, addr, history, membership });
        let Candidates { entered, events, changed } = self;
        Candidacy {
            orders,
            id: broker_id,
            entered: Arc::clone(entered),
            events: Arc::clone(events),
            changed: Arc::clone(changed),
        }
    }

    /// The slaves that are connected.
    pub(crate) fn heard(&self) -> Vec<ReplicaId> {
        lock(&self.entered).values().map(|candidate| candidate.id.clone()).collect()
    }

    /// Something has happened that a forming group takes in.
    pub(crate) fn push(&self, event: Event) {
        push(&self.events, event);
        self.changed.notify_one();
    }

    fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connected slave, where its log ends, and how to ask for it.
    fn find(&self, id: BrokerId) -> Option<(ReplicaId, PhysicalOffset, mpsc::UnboundedSender<TailOrder>)> {
        let entered = lock(&self.entered);
        let candidate = entered.get(&id)?;
        Some((candidate.id.clone(), candidate.end, candidate.orders.clone()))
    }
}

fn push(events: &Mutex<Vec<Event>>, event: Event) {
    let mut events = events.lock().unwrap_or_else(PoisonError::into_inner);
    if events.len() < EVENTS_MAX {
        events.push(event);
    }
}

/// See [`crate::MasterService::form`].
pub(crate) async fn form(
    shared: &Arc<Shared>,
    mut forming: Forming,
    since: Instant,
    events: &mut mpsc::UnboundedReceiver<Event>,
) -> Result<Formed, StoreError> {
    let from = shared.store.max_physical_offset();
    let mut recovery = TailRecovery { from, to: from, ..TailRecovery::default() };
    if shared.config.quirks.has(Quirk::TailNotTakenBack) {
        let mut membership = forming.membership();
        membership.generation += 1;
        return Ok(Formed::Begin { recovery: Box::new(recovery), membership });
    }
    let mut told = Telling { last: None, warn_at: since };
    loop {
        for event in shared.candidates.take_events() {
            note(&mut recovery, &event);
            apply(shared, &mut forming, event, since);
        }
        while let Ok(event) = events.try_recv() {
            apply(shared, &mut forming, event, since);
        }
        let now = since.elapsed();
        let step = forming.step(now);
        transcribe(&shared.identity.broker_addr, now, || Entry::Step(step.clone()));
        match step {
            Step::Wait(waiting, until) => {
                let warn_at = told.tell(shared, &forming, &waiting);
                let wake_at = until.map_or(warn_at, |until| warn_at.min(since + until));
                tokio::select! {
                    biased;
                    () = shared.candidates.changed.notified() => {}
                    Some(event) = events.recv() => apply(shared, &mut forming, event, since),
                    () = sleep_until(wake_at) => {}
                }
            }
            Step::Take(broker_id, check) => {
                let waits_for = format!("the end of the log, which broker {broker_id} sends");
                *lock_formation(shared) = Some(Formation { waits_for, forming: forming.clone() });
                let event = take(shared, &forming, broker_id, check, &mut recovery).await?;
                apply(shared, &mut forming, event, since);
            }
            Step::Cut(at, broker_id) => {
                tracing::warn!(
                    %at,
                    end = %shared.store.max_physical_offset(),
                    %broker_id,
                    "replica group: a later master did not have the end of this log: it is cut there and kept in `diverged`"
                );
                return Ok(Formed::Cut(at));
            }
            Step::Begin { without, group, generation } => {
                tracing::info!(
                    generation,
                    group = group.as_ref().map(|group| &*group.0),
                    ?without,
                    "replica group: begin"
                );
                *lock_formation(shared) = None;
                recovery.missing =
                    without.into_iter().map(|(broker_id, broker_addr)| ReplicaId { broker_id, broker_addr }).collect();
                let mut membership = forming.membership();
                membership.group = group;
                membership.generation = generation;
                return Ok(Formed::Begin { recovery: Box::new(recovery), membership });
            }
        }
    }
}

fn note(recovery: &mut TailRecovery, event: &Event) {
    if let Event::Heard { broker_id, addr, .. } = event {
        recovery.heard.retain(|heard| heard.broker_id != *broker_id);
        recovery.heard.push(ReplicaId { broker_id: *broker_id, broker_addr: addr.clone() });
        recovery.heard.sort();
    }
}

fn apply(shared: &Shared, forming: &mut Forming, event: Event, since: Instant) {
    tracing::debug!(?event, "replica group");
    let now = since.elapsed();
    transcribe(&shared.identity.broker_addr, now, || Entry::Event(event.clone()));
    forming.apply(event, now);
}

/// Writes a line of the transcript of a master that forms its group, for those who listen to it.
pub fn transcribe(broker: &str, at: Duration, entry: impl FnOnce() -> Entry) {
    if tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
        let line = Line { broker: broker.to_owned(), at, entry: entry() };
        // What a line is made of can be written.
        let line = serde_json::to_string(&line).unwrap_or_default();
        tracing::trace!(target: TARGET, line);
    }
}

fn lock_formation(shared: &Shared) -> MutexGuard<'_, Option<Formation>> {
    shared.formation.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says for what this master waits: when that is another thing than before, and again and again.
struct Telling {
    last: Option<Waiting>,
    warn_at: Instant,
}

impl Telling {
    /// When it is due next.
    fn tell(&mut self, shared: &Shared, forming: &Forming, waiting: &Waiting) -> Instant {
        let now = Instant::now();
        *lock_formation(shared) = Some(Formation { waits_for: waiting.to_string(), forming: forming.clone() });
        if self.last.as_ref() != Some(waiting) {
            tracing::info!(%waiting, "replica group: this master takes no messages yet");
            (self.last, self.warn_at) = (Some(waiting.clone()), now + WARNING_INTERVAL);
        } else if self.warn_at <= now {
            tracing::warn!(%waiting, "replica group: this master takes no messages yet");
            self.warn_at = now + WARNING_INTERVAL;
        }
        self.warn_at
    }
}

/// Has a candidate send its tail, and says how that went.
async fn take(
    shared: &Arc<Shared>,
    forming: &Forming,
    broker_id: BrokerId,
    check: Window,
    recovery: &mut TailRecovery,
) -> Result<Event, StoreError> {
    let own = shared.store.history();
    let not_taken = |is_final| Event::NotTaken { broker_id, history: shared.store.history(), is_final };
    let Some((id, their_end, orders)) = shared.candidates.find(broker_id) else { return Ok(not_taken(false)) };
    if let Some(keeper) = shared.keeper.get().filter(|_| forming.is_partial()) {
        // From now on the store has something, and is nothing whole before the history begins.
        let kept = keeper.adopt(forming.membership(), Some(PhysicalOffset(i64::MAX))).await;
        kept.map_err(|error| StoreError::Refused { why: format!("the membership is not kept: {error}").into() })?;
    }
    tracing::info!(from = %own.max, to = %their_end, id = %id.broker_id, addr = id.broker_addr, "HA: taking back the end of the log from a slave");
    let (done, is_done) = oneshot::channel();
    // An error means that the connection has ended just now, and the answer will not come.
    let _ = orders.send(TailOrder { check, from: own.max, done });
    let outcome = is_done.await.unwrap_or(Err(HaError::Closed));
    recovery.to = shared.store.max_physical_offset();
    if recovery.to > own.max {
        recovery.taken_from = Some(id.clone());
    }
    match outcome {
        Ok(()) => {
            tracing::info!(to = %recovery.to, "HA: the end of the log is back");
            Ok(Event::Took(broker_id, shared.store.history()))
        }
        Err(HaError::Store(error)) => Err(error),
        Err(error) => {
            tracing::warn!(id = %id.broker_id, addr = id.broker_addr, %error, "HA: the end of the log was not taken back");
            Ok(not_taken(matches!(error, HaError::Nonsense(_) | HaError::Refused(_))))
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

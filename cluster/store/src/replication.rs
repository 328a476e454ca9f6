//! What replicas have confirmed, and who waits for it (`GroupTransferService`, `CommitLog.handleHA`).
//!
//! The store knows nothing of connections and slaves. Whoever does tells it three things: up to where the log is replicated
//! as far as the mode asks, whether there are enough replicas to wait for, and whether consumers have to wait too. A put
//! costs nothing more than a look at one number while replication is off.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use protocol::PhysicalOffset;
use quirks::Quirk;

use crate::{error::lock, store::Shared, watermark::Watermark};

/// How a SYNC_MASTER waits for its slaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncReplication {
    /// `slaveTimeout` (4.9: `syncFlushTimeout`): how long a put waits before it answers FLUSH_SLAVE_TIMEOUT.
    pub slave_timeout: Duration,
}

/// Whether there are replicas to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// As many as `inSyncReplicas` asks: puts wait for [`Replication::advance`].
    Enough,
    /// Fewer than that: puts are stored and answered SLAVE_NOT_AVAILABLE.
    NotEnough,
    /// Fewer than `minInSyncReplicas`: puts that would wait are refused, for this reason.
    Refuse(Arc<str>),
}

const ENOUGH: u8 = 0;
const NOT_ENOUGH: u8 = 1;
const REFUSE: u8 = 2;
/// `slave_timeout_us` when puts do not wait for slaves.
const OFF: u64 = u64::MAX;

/// What the put path looks at.
#[derive(Debug)]
pub(crate) struct ReplicationState {
    slave_timeout_us: AtomicU64,
    availability: AtomicU8,
    refusal: Mutex<Option<Arc<str>>>,
    holds_back: std::sync::atomic::AtomicBool,
    pub(crate) replicated: Watermark,
}

impl ReplicationState {
    pub(crate) fn new() -> ReplicationState {
        ReplicationState {
            slave_timeout_us: AtomicU64::new(OFF),
            availability: AtomicU8::new(ENOUGH),
            refusal: Mutex::default(),
            holds_back: false.into(),
            replicated: Watermark::new(PhysicalOffset::ZERO),
        }
    }

    /// How long a put waits for slaves, if it does.
    pub(crate) fn slave_timeout(&self) -> Option<Duration> {
        match self.slave_timeout_us.load(Ordering::Acquire) {
            OFF => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    pub(crate) fn is_sync(&self) -> bool {
        self.slave_timeout_us.load(Ordering::Acquire) != OFF
    }

    /// Why no put is taken that would wait for slaves, if none is.
    pub(crate) fn refusal(&self) -> Option<Arc<str>> {
        if !self.is_sync() || self.availability.load(Ordering::Acquire) != REFUSE {
            return None;
        }
        lock(&self.refusal).clone()
    }

    /// Whether a put that was just written is to wait for slaves: under SYNC_MASTER, `false` means SLAVE_NOT_AVAILABLE.
    pub(crate) fn has_enough(&self) -> bool {
        self.availability.load(Ordering::Acquire) == ENOUGH
    }
}

impl Shared {
    /// The task that answers the puts for which the slaves take too long.
    pub(crate) async fn run_slave_timeouts(self: Arc<Self>) {
        self.replication.replicated.run_deadlines().await;
    }
}

/// The store's side of replication: what its owner tells it of the replicas.
pub struct Replication {
    pub(crate) shared: Arc<Shared>,
}

impl Replication {
    fn state(&self) -> &ReplicationState {
        &self.shared.replication
    }

    /// Whether puts wait for slaves: `None` for ASYNC_MASTER and SLAVE, which is how a store begins.
    pub fn set_sync(&self, sync: Option<SyncReplication>) {
        let micros =
            sync.map_or(OFF, |sync| u64::try_from(sync.slave_timeout.as_micros()).unwrap_or(OFF - 1).min(OFF - 1));
        self.state().slave_timeout_us.store(micros, Ordering::Release);
        self.update_visibility();
    }

    /// Whether there are replicas to wait for; a store begins with [`Availability::Enough`].
    pub fn set_availability(&self, availability: Availability) {
        let (level, why) = match availability {
            Availability::Enough => (ENOUGH, None),
            Availability::NotEnough => (NOT_ENOUGH, None),
            Availability::Refuse(why) => (REFUSE, Some(why)),
        };
        *lock(&self.state().refusal) = why;
        self.state().availability.store(level, Ordering::Release);
    }

    /// Whether consumers see only what is replicated (and, under SYNC_FLUSH, flushed). It has an effect under SYNC_MASTER
    /// only. To let go of it makes visible at once what had been held back.
    pub fn set_holds_back(&self, holds_back: bool) {
        self.state().holds_back.store(holds_back, Ordering::Release);
        self.update_visibility();
    }

    fn update_visibility(&self) {
        let state = self.state();
        let holds_back = state.is_sync()
            && state.holds_back.load(Ordering::Acquire)
            && !self.shared.config.quirks.has(Quirk::UnreplicatedVisible);
        self.shared.dispatcher.set_holds_back(holds_back);
    }

    /// The log is replicated up to here: makes it visible, then answers the puts that have waited for it. It never goes
    /// back.
    pub fn advance(&self, offset: PhysicalOffset) {
        let written = self.shared.log.written_offset();
        let quirks = self.shared.config.quirks;
        let is_believed = quirks.has(Quirk::ReplicaOffsetBelieved) || quirks.has(Quirk::ReplicaOffsetUnguarded);
        let offset = if is_believed {
            offset
        } else {
            if offset > written {
                tracing::error!(%offset, %written, "a replica cannot have what is not written: the rest is not counted");
            }
            offset.min(written)
        };
        if offset > self.replicated() {
            self.shared.dispatcher.release_replicated(offset);
            self.state().replicated.advance(offset);
        }
    }

    /// Up to where the log is replicated, as far as this life has been told.
    #[must_use]
    pub fn replicated(&self) -> PhysicalOffset {
        self.state().replicated.get()
    }
}

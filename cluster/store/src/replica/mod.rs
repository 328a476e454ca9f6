//! A log that is copied: what a master reads out of it, what a slave (or a master that takes its lost end back) appends.

mod append;
mod cutter;
mod records;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use protocol::PhysicalOffset;
use tokio::sync::{oneshot, watch};

pub use cutter::{CutError, RecordCutter};

use crate::{
    appender::Request,
    commit_log::RawLog,
    error::StoreError,
    history::{EpochEntry, LogHistory, fit},
    put::record_bytes_max_anywhere,
    store::MessageStore,
};
pub(crate) use records::ReplicaRecords;

impl MessageStore {
    /// Refuses puts for a reason of the broker's role (a slave; a master that is not ready), or takes them again. Other
    /// reasons to refuse are kept apart, and what replicas append is not concerned.
    pub fn refuse_puts(&self, why: Option<Arc<str>>) {
        self.shared().state.refuse_puts(why);
    }

    /// Tells of every new end of the log.
    pub fn subscribe_written(&self) -> watch::Receiver<PhysicalOffset> {
        self.shared().log.subscribe_written()
    }

    /// Tells of every new end of what is on the drive.
    pub fn subscribe_flushed(&self) -> watch::Receiver<PhysicalOffset> {
        self.shared().log.subscribe_flushed()
    }

    /// The epochs of the log, in order.
    pub fn epochs(&self) -> Arc<[EpochEntry]> {
        self.shared().epochs.get()
    }

    /// What another replica is told of this log.
    pub fn history(&self) -> LogHistory {
        let epochs = self.epochs();
        let (min, max) = (self.min_physical_offset(), self.max_physical_offset());
        LogHistory { epochs: fit(&epochs, min, max), min, max }
    }

    /// Begins this life's epoch at the log's end, durably: before a master takes puts. The second call of a life changes
    /// nothing. A put that comes before it begins the epoch by itself, so that no byte is ever written in an older one.
    ///
    /// # Errors
    /// The drive fails, or the store takes no writes.
    pub async fn begin_epoch(&self) -> Result<EpochEntry, StoreError> {
        self.begin_epoch_after_loss(None).await
    }

    /// As [`MessageStore::begin_epoch`], for an owner who knows that readers may have been shown more than the log has: so
    /// many bytes beyond its end, `u64::MAX` for any number. The epoch keeps it
    /// ([`EpochEntry::lost_bytes_max`]), or what recovery has found if that is more.
    ///
    /// # Errors
    /// As [`MessageStore::begin_epoch`].
    pub async fn begin_epoch_after_loss(&self, lost_bytes_max: Option<u64>) -> Result<EpochEntry, StoreError> {
        self.ask(|reply| Request::BeginEpoch { lost_bytes_max, reply }).await
    }

    /// Takes over the master's epoch, durably: before its first byte is appended. To take over the last one again changes
    /// nothing.
    ///
    /// # Errors
    /// The epoch does not begin at the log's end ([`StoreError::NotAppendable`]), the drive fails, or the store takes no
    /// writes.
    pub async fn adopt_epoch(&self, epoch: EpochEntry) -> Result<(), StoreError> {
        self.ask(|reply| Request::AdoptEpoch { epoch, reply }).await
    }

    /// Bytes of the log as they are, from `from` on: at most `max_bytes`, none beyond what is written or beyond the end of
    /// a file; empty at the log's end.
    ///
    /// # Errors
    /// `from` is not in the log (any more): [`StoreError::NotInLog`]; or the drive cannot be read.
    pub async fn read_log(&self, from: PhysicalOffset, max_bytes: usize) -> Result<Bytes, StoreError> {
        self.shared().log.read_raw(from, max_bytes).await
    }

    /// As [`MessageStore::read_log`], for one who reads much: what is not in memory is read into `buffer`, as far as it has
    /// room.
    ///
    /// # Errors
    /// As [`MessageStore::read_log`].
    pub async fn read_log_with<'a>(
        &self,
        from: PhysicalOffset,
        max_bytes: usize,
        buffer: &'a mut [u8],
    ) -> Result<RawLog<'a>, StoreError> {
        self.shared().log.read_raw_with(from, max_bytes, buffer).await
    }

    /// Writes records of another replica's log as they are, and dispatches them; the new end. `records` are whole records
    /// of one file (or its blank), as [`RecordCutter`] gives them, and `at` is the log's end. An empty log begins where
    /// its first records do, which must be the beginning of a file.
    ///
    /// # Errors
    /// [`StoreError::NotAppendable`] when they do not belong there or are damaged; [`StoreError::Refused`] when the store
    /// takes no writes; or the drive fails.
    pub async fn append_replica(&self, at: PhysicalOffset, records: Bytes) -> Result<PhysicalOffset, StoreError> {
        self.begin_append_replica(at, records)?.await
    }

    /// As [`MessageStore::append_replica`], without waiting: the records have been looked at, and will be written after
    /// those of earlier calls. So the next ones can be received and looked at meanwhile. To drop what is returned does not
    /// take them back.
    ///
    /// # Errors
    /// As [`MessageStore::append_replica`]; what goes wrong with the writing itself is told by what is returned.
    pub fn begin_append_replica(&self, at: PhysicalOffset, records: Bytes) -> Result<ReplicaAppend, StoreError> {
        let records = ReplicaRecords::check(self.shared(), at, records)?;
        self.request(|reply| Request::Replica { records, reply }).map(ReplicaAppend)
    }

    /// Another replica begins to send what this log lacks: for a moment that is what had to wait.
    pub fn begin_following(&self) {
        self.shared().clock.begin_following();
    }

    /// A cutter for what another replica sends from `at` on.
    pub fn record_cutter(&self, at: PhysicalOffset) -> RecordCutter {
        let config = self.config();
        RecordCutter::new(at, config.mapped_file_size_commit_log_bytes, record_bytes_max_anywhere(config))
    }

    pub(crate) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        self.request(request)?.await.map_err(|_| closed())?
    }

    fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        if let Some(why) = self.shared().state.refusal() {
            return Err(StoreError::Refused { why });
        }
        let (reply, answered) = oneshot::channel();
        if self.send(request(reply)) { Ok(answered) } else { Err(closed()) }
    }
}

fn closed() -> StoreError {
    StoreError::Refused { why: "the store was closed".into() }
}

/// The writing of a replica's records that is under way; resolves with the log's new end.
#[derive(Debug)]
pub struct ReplicaAppend(oneshot::Receiver<Result<PhysicalOffset, StoreError>>);

impl Future for ReplicaAppend {
    type Output = Result<PhysicalOffset, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(closed())))
    }
}

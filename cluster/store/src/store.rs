//! The store as its owner sees it: open, put, shut down (`DefaultMessageStore`). Reading is in [`crate::get`] and
//! [`crate::lookup`].
//!
//! Up to nine tasks work for it: the appender, the flush of the log, the flush of the queues, retention, the index, the timeline,
//! the time-outs of puts that wait for slaves, the limit of what is shown, and the mending of queues. To drop the store without
//! [`MessageStore::shutdown`] is to crash: the tasks end where they are, and the next open recovers.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use protocol::{
    message::{MessageToStore, reserve_checksum},
    properties::{find_property, property},
};
use quirks::Quirk;
use sim::{
    disk,
    task::{self, JoinHandle},
};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{
    appender::{Appender, Request},
    checkpoint::Checkpoint,
    commit_log::CommitLog,
    config::StoreConfig,
    consume_queue::ConsumeQueueTable,
    deletion::Deletions,
    dispatch::{DeliverTimestamp, Dispatcher, MessageArrivingListener},
    durable,
    error::{StoreError, lock},
    history::Epochs,
    index::{Index, Opened},
    live_config::LiveConfig,
    mending::Mending,
    put::{self, Messages, PutMessageResult, PutMessageStatus, PutReply, PutRequest},
    recovery::{self, OpenOptions, Recovered, RecoveryReport, Shown},
    replication::{Replication, ReplicationState},
    retention::Consumed,
    room, shown,
    state::StoreState,
    timeline::StoreClock,
};

/// `DefaultMessageStore.CleanCommitLogService.MAX_MANUAL_DELETE_FILE_TIMES`.
const MANUAL_CLEANING_ROUNDS: u32 = 20;

/// What the tasks of a store share.
pub(crate) struct Shared {
    pub config: LiveConfig,
    pub log: CommitLog,
    pub queues: ConsumeQueueTable,
    pub dispatcher: Dispatcher,
    pub index: Index,
    pub state: StoreState,
    pub epochs: Arc<Epochs>,
    /// What readers may have been shown before that is not there any more.
    pub shown: Option<Shown>,
    pub replication: ReplicationState,
    pub deliver_timestamp: DeliverTimestamp,
    /// When the records were stored.
    pub clock: StoreClock,
    /// What nobody needs any more, if somebody knows.
    pub consumed: OnceLock<Consumed>,
    /// The appender has written something.
    pub flush_wanted: Notify,
    /// Held while the log is flushed.
    pub flushing: tokio::sync::Mutex<()>,
    /// How many more rounds of retention delete at any hour.
    pub manual_cleaning_rounds: AtomicU32,
    pub mending: Mending,
    pub deletions: Deletions,
    /// What the checkpoint file says.
    pub checkpoint: tokio::sync::Mutex<Checkpoint>,
    /// Holds the lock of the store directory until the store is shut down.
    lock_file: Mutex<Option<disk::File>>,
}

impl Shared {
    pub(crate) fn checkpoint_path(&self) -> PathBuf {
        recovery::checkpoint_path(&self.config)
    }

    /// Whether records that are put here get a checksum of the whole.
    pub(crate) fn has_checksums(&self) -> bool {
        self.config.enabled_append_prop_crc && !self.config.quirks.has(Quirk::BodyCrcOnly)
    }

    /// How far behind the log's end a message counts as being in memory.
    pub(crate) fn in_memory_bytes(&self) -> i64 {
        i64::try_from(self.config.access_message_in_memory_max_bytes).unwrap_or(i64::MAX)
    }
}

/// An open store.
pub struct MessageStore {
    pub(crate) shared: Arc<Shared>,
    requests: Mutex<Option<mpsc::UnboundedSender<Request>>>,
    tasks: Mutex<Tasks>,
    report: RecoveryReport,
    replication: Replication,
}

#[derive(Default)]
struct Tasks {
    appender: Option<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.appender.iter().chain(&self.others).for_each(JoinHandle::abort);
    }
}

impl MessageStore {
    /// Opens the store in `config.store_path_root_dir`, which is made if need be, and recovers what a crash has left.
    ///
    /// `deliver_timestamp` says when a message of a delay level that is stored at a time is due; it must be the same as when
    /// the records were written.
    ///
    /// # Errors
    /// A directory that is locked, has foreign or truncated files, or a log that is damaged where it had been flushed:
    /// nothing has been changed then, and the error says what to do. Or the drive fails.
    pub async fn open(config: StoreConfig, deliver_timestamp: DeliverTimestamp) -> Result<MessageStore, StoreError> {
        MessageStore::open_with(config, deliver_timestamp, OpenOptions::default()).await
    }

    /// As [`MessageStore::open`], with something to be done on the way.
    ///
    /// # Errors
    /// As [`MessageStore::open`].
    pub async fn open_with(
        config: StoreConfig,
        deliver_timestamp: DeliverTimestamp,
        options: OpenOptions,
    ) -> Result<MessageStore, StoreError> {
        let Recovered { log, queues, checkpoint, lock: lock_file, report, epochs } =
            recovery::recover(&config, &deliver_timestamp, options).await?;
        let opened = Opened {
            abnormal: report.abnormal,
            index_msg_timestamp_ms: checkpoint.index_msg_timestamp_ms,
            scanned_from: report.scanned_from,
        };
        let index = Index::load(&config, &log, opened).await?;
        let written = log.written();
        let last_timestamp_ms = Some(written.store_timestamp_ms).filter(|timestamp_ms| *timestamp_ms > 0);
        let clock = StoreClock::open(&config, written.offset, last_timestamp_ms).await;
        // Before anything is shown.
        let shown_file = shown::begin(&config, written.offset).await?;
        let shared = Arc::new(Shared {
            dispatcher: Dispatcher::new(written.offset, written.store_timestamp_ms),
            config: LiveConfig::new(config),
            log,
            queues,
            index,
            state: StoreState::default(),
            epochs,
            shown: report.shown,
            replication: ReplicationState::new(),
            deliver_timestamp,
            clock,
            consumed: OnceLock::new(),
            flush_wanted: Notify::new(),
            flushing: tokio::sync::Mutex::default(),
            manual_cleaning_rounds: AtomicU32::new(0),
            mending: Mending::new(),
            deletions: Deletions::default(),
            checkpoint: tokio::sync::Mutex::new(checkpoint),
            lock_file: Mutex::new(Some(lock_file)),
        });
        match shared.store_checkpoint().await {
            Err(error) if error.is_no_room() => tracing::warn!(%error, "the checkpoint stays as it is"),
            stored => stored?,
        }
        shared.keep_reserve().await;
        let (requests, receiver) = mpsc::unbounded_channel();
        let mut tasks = Tasks {
            appender: Some(task::spawn(Appender::new(Arc::clone(&shared), receiver).run())),
            others: vec![
                task::spawn(Arc::clone(&shared).run_log_flush()),
                task::spawn(Arc::clone(&shared).run_queue_flush()),
                task::spawn(Arc::clone(&shared).run_retention()),
                task::spawn(Arc::clone(&shared).run_index()),
                task::spawn(Arc::clone(&shared).run_timeline()),
                task::spawn(Arc::clone(&shared).run_slave_timeouts()),
                task::spawn(Arc::clone(&shared).run_mending()),
            ],
        };
        tasks.others.extend(shown_file.map(|file| task::spawn(Arc::clone(&shared).run_shown_limit(file))));
        let replication = Replication { shared: Arc::clone(&shared) };
        Ok(MessageStore { shared, requests: Mutex::new(Some(requests)), tasks: Mutex::new(tasks), report, replication })
    }

    /// The store's side of replication.
    pub fn replication(&self) -> &Replication {
        &self.replication
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The settings as they are now.
    pub fn config(&self) -> &StoreConfig {
        &self.shared.config
    }

    /// Takes from these settings what may change while the store is open: when files are deleted, when the files are
    /// flushed, and how big a message and what one read gives may be.
    ///
    /// # Errors
    /// [`StoreError::Setting`] for what cannot work, and [`StoreError::ChangedTooOften`]; nothing is changed then.
    pub fn reconfigure(&self, config: &StoreConfig) -> Result<(), StoreError> {
        self.shared.config.change(config)
    }

    /// Lets the next rounds of retention delete what `fileReservedTime` lets go, whatever the hour
    /// (`executeDeleteFilesManually`).
    pub fn delete_expired_soon(&self) {
        self.shared.manual_cleaning_rounds.store(MANUAL_CLEANING_ROUNDS, Ordering::Relaxed);
    }

    /// Deletes the ConsumeQueue and index files of which nothing is in the log any more (`cleanExpiredConsumerQueue`).
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub async fn delete_expired_queues(&self) -> Result<(), StoreError> {
        let log_min = self.shared.log.min_offset();
        for queue in self.shared.queues.all() {
            queue.delete_expired().await?;
        }
        self.shared.index.delete_expired(log_min).await.map(drop)
    }

    /// What was found when the store was opened.
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.report
    }

    /// Why the store takes no writes at the moment, if it takes none.
    pub fn refusal(&self) -> Option<Arc<str>> {
        self.shared.state.put_refusal()
    }

    /// Registers what is called after each message that has become visible.
    pub fn add_message_arriving_listener(&self, listener: MessageArrivingListener) {
        self.shared.dispatcher.add_listener(listener);
    }

    /// Registers who knows what of a queue has been consumed: when the disk is full, that goes first. A second call does nothing.
    pub fn set_consumed(&self, consumed: Consumed) {
        // An error means that there is one.
        let _ = self.shared.consumed.set(consumed);
    }

    /// Stores a message. Its property `WAIT=false` (`waitStoreMsgOK`) asks not to wait for the flush.
    ///
    /// Messages are stored in the order in which this function is *called*; the future only waits for the answer, and
    /// dropping it does not take the message back.
    pub fn put(&self, message: MessageToStore) -> impl Future<Output = PutMessageResult> + Send + use<> {
        let wait = waits(&message);
        self.put_waiting(message, wait)
    }

    /// As [`MessageStore::put`], for a caller that has taken the `WAIT` property out of the message already.
    pub fn put_waiting(
        &self,
        message: MessageToStore,
        wait: bool,
    ) -> impl Future<Output = PutMessageResult> + Send + use<> {
        self.submit(Messages::One(Box::new(message)), wait)
    }

    /// Stores messages of one queue next to one another: all of them, or none.
    pub fn put_batch(&self, messages: Vec<MessageToStore>) -> impl Future<Output = PutMessageResult> + Send + use<> {
        let wait = messages.iter().any(waits);
        self.submit(Messages::Batch(messages), wait)
    }

    fn submit(&self, messages: Messages, wait: bool) -> impl Future<Output = PutMessageResult> + Send + use<> {
        let submitted = self.enqueue(messages, wait);
        let sync_flush_timeout = self.shared.config.sync_flush_timeout();
        async move {
            let unavailable = |why: &str| PutMessageResult::refused(PutMessageStatus::ServiceNotAvailable, why);
            let (place, status, remark) = match submitted {
                Err(refused) => return refused,
                Ok(reply) => match reply.await {
                    Ok(PutReply::Done { place, status, remark }) => (place, status, remark),
                    Ok(PutReply::Unflushed { place, flushed, replicated }) => {
                        let (status, remark) = put::outcome(flushed, sync_flush_timeout, replicated).await;
                        (place, status, remark)
                    }
                    Ok(PutReply::Refused(status, why)) => return PutMessageResult::refused(status, why),
                    Err(_) => return unavailable("the store was closed"),
                },
            };
            PutMessageResult { status, appended: Some(place.into_appended()), remark }
        }
    }

    fn enqueue(&self, mut messages: Messages, wait: bool) -> Result<oneshot::Receiver<PutReply>, PutMessageResult> {
        if self.shared.has_checksums() {
            messages.as_mut_slice().iter_mut().for_each(|message| reserve_checksum(&mut message.properties));
        }
        let bytes = put::check(&self.shared.config, messages.as_slice())?;
        let unavailable = |why: Arc<str>| PutMessageResult::refused(PutMessageStatus::ServiceNotAvailable, why);
        if let Some(why) = self.shared.state.put_refusal() {
            return Err(unavailable(why));
        }
        if wait && let Some(why) = self.shared.replication.refusal() {
            return Err(PutMessageResult::refused(PutMessageStatus::InSyncReplicasNotEnough, why));
        }
        let (reply, receiver) = oneshot::channel();
        let request = PutRequest { messages, bytes, wait, reply };
        if self.send(Request::Put(request)) {
            Ok(receiver)
        } else {
            Err(unavailable("the store is shutting down".into()))
        }
    }

    /// Hands something to the appender; whether there still is one.
    pub(crate) fn send(&self, request: Request) -> bool {
        lock(&self.requests).as_ref().is_some_and(|requests| requests.send(request).is_ok())
    }

    /// Brings to the drive all that is written now, whatever the timers say.
    ///
    /// # Errors
    /// The drive fails; the store then takes no more writes.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.shared.flush_log().await?;
        self.shared.queues.flush(true).await?;
        self.shared.store_checkpoint().await
    }

    async fn flush_everything(&self) -> Result<(), StoreError> {
        self.flush().await.and(self.shared.close_index().await)
    }

    /// Looks at the disk's room and deletes what is due now, as the retention task does every 10 s; how many CommitLog
    /// files were deleted.
    ///
    /// # Errors
    /// The drive fails.
    pub async fn clean_expired(&self) -> Result<usize, StoreError> {
        self.shared.clean().await
    }

    /// Closes the store in good order: answers the puts that have come, brings everything to the drive, and says so by
    /// removing the abort file. Puts that come later are refused. A second call does nothing.
    ///
    /// # Errors
    /// The drive fails, now or before: the abort file then stays, and the next start recovers.
    pub async fn shutdown(&self) -> Result<(), StoreError> {
        if self.shared.state.is_closing() {
            return Ok(());
        }
        self.shared.state.close();
        drop(lock(&self.requests).take());
        let appender = lock(&self.tasks).appender.take();
        if let Some(appender) = appender {
            // An error means that the appender panicked; what it had written is flushed all the same.
            let _ = appender.await;
        }
        let root = &self.shared.config.store_path_root_dir;
        let flushed = loop {
            match self.flush_everything().await {
                Err(error) if error.is_no_room() && room::give_up_reserve_for_stop(root).await => {}
                flushed => break flushed,
            }
        };
        self.shared.clock.close(&self.shared.config).await;
        for task in lock(&self.tasks).others.drain(..) {
            task.abort();
        }
        flushed?;
        if let Some(why) = self.shared.state.failure() {
            let source = std::io::Error::other(why.to_string());
            return Err(StoreError::Io { action: "close", path: root.clone(), source });
        }
        durable::remove_file(&recovery::abort_path(&self.shared.config)).await?;
        drop(lock(&self.shared.lock_file).take());
        Ok(())
    }
}

fn waits(message: &MessageToStore) -> bool {
    find_property(message.properties.as_bytes(), property::WAIT) != Some("false")
}

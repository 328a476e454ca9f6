//! Opening a store: what a crash has left, made whole again or refused.
//!
//! 1. Look at everything and change nothing: lock, listings of both directories, abort file, checkpoint.
//! 2. Find where to begin. After a clean shutdown: at the last record that the ConsumeQueues know. After a crash: at the last
//!    CommitLog file that is older than what the checkpoint claims for log and queues, or at the log's first file.
//! 3. Load the ConsumeQueues up to there and walk the log from there, dispatching every record again. If a queue turns out to
//!    lack units before that, the checkpoint claimed too much: begin again from the log's first file.
//! 4. Judge the end: zeros are the end; a bad record is a torn tail, unless it lies below what is known to have been flushed
//!    and a whole record follows: that is damage, and the store does not open.
//! 5. Only then change the disk: erase what was cut off, so that it can never come back (apache/rocketmq#10666), remove the
//!    files after it, write once more what a failed sync may have left in the page cache alone, and sync all that a kill may
//!    have left there, before anything is served or appended.

mod behind;
mod cut_off;
mod scan;
mod start;
pub(crate) mod sync_failed;
pub(crate) mod tail_at_risk;

use std::{
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use protocol::{PhysicalOffset, QueueOffset, message::RecordView};
use sim::disk::{self, File};

use crate::{
    at_once,
    checkpoint::{Checkpoint, Origin, QueueClaims},
    commit_log::{CommitLog, Written, find_segment},
    config::StoreConfig,
    consume_queue::{ConsumeQueueTable, FoundQueue, Mender, Redispatched, found_on_disk},
    deleted_topics::DeletedTopics,
    deletion,
    dispatch::{DeliverTimestamp, has_queue_offset, unit_of},
    durable,
    error::{StoreError, io_error},
    history::{self, EpochEntry, Epochs},
    lock_file::{self, LeftOpen},
    segment::{Segment, segment_name},
    segment_dir::{self, Content, SegmentListing},
    shown::{self, ShownLimit},
};
use behind::{Behind, Stretch, look_behind};
use quirks::Quirk;
use scan::{LogScanner, Stop};
use start::Start;
pub use tail_at_risk::Shown;
use tail_at_risk::TailAtRisk;

/// So many bytes of units are gathered in memory before they are written, when much has to be dispatched again.
const REDISPATCH_FLUSH_BYTES: u64 = 32 << 20;

/// An opened store, not yet serving.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub log: CommitLog,
    pub queues: ConsumeQueueTable,
    pub checkpoint: Checkpoint,
    pub lock: File,
    pub report: RecoveryReport,
    pub epochs: Arc<Epochs>,
}

/// What is to be done while a store is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The log is to end here, where a record begins, if it is longer: what follows is not in the master's log. It is copied
    /// to `diverged/` first, then erased, durably. An offset before the log's beginning empties it.
    pub truncate_at: Option<PhysicalOffset>,
}

/// What was found when the store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The last broker did not close the store.
    pub abnormal: bool,
    /// Where the log ends now.
    pub end_offset: PhysicalOffset,
    /// Where the walk through the log began.
    pub scanned_from: PhysicalOffset,
    /// How many records it met.
    pub scanned_records: u64,
    /// How many of them were put into their ConsumeQueues again.
    pub redispatched: u64,
    /// Why the log was cut at its end, if a torn record was there.
    pub torn_tail: Option<String>,
    /// The drive had promised to keep the log up to here, and has not.
    pub flushed_but_lost_until: Option<PhysicalOffset>,
    /// The machine went down while the store was open, now or earlier, and no epoch of a master has begun since: what was
    /// not flushed may be missing. Always `false` for a store that was closed in good order before and after.
    pub machine_went_down: bool,
    /// The log has no record, or had none at an earlier start, and no epoch of a master has begun since.
    pub is_empty: bool,
    /// What readers may have been shown beyond the log's end, now or at an earlier start, and no epoch of a master has begun
    /// since.
    pub shown: Option<Shown>,
    /// There was no store here: no broker of ours has opened one before, and there is no record.
    pub is_new: bool,
    /// Where the bytes are that [`OpenOptions::truncate_at`] has cut off, if there were any.
    pub diverged_tail: Option<PathBuf>,
    /// Where a copy is of what stood behind a damaged record, if there were whole records.
    pub damaged_tail: Option<PathBuf>,
}

struct Recovery<'a> {
    config: &'a StoreConfig,
    deliver_timestamp: &'a DeliverTimestamp,
    checkpoint: Checkpoint,
    left_open: LeftOpen,
    abnormal: bool,
    /// Where the log is to end at most.
    limit: u64,
    /// Nothing is to be changed.
    is_dry: bool,
    /// What of the page cache may not be on the drive although it seems to be.
    suspect: Option<Range<u64>>,
    /// How far the last broker may have shown the log.
    shown_limit: ShownLimit,
    deleted: DeletedTopics,
    stored_epochs: Vec<EpochEntry>,
    log: CommitLog,
    segments: Vec<Arc<Segment>>,
    /// The directories of the queues as they were found, until the queues are loaded.
    found: Mutex<Option<Vec<FoundQueue>>>,
    queues: ConsumeQueueTable,
}

/// Where the log ends, and what the walk met.
struct Walk {
    end: u64,
    stop: Stop,
    last_store_timestamp_ms: Option<i64>,
    records: u64,
    redispatched: u64,
    /// A queue lacks units before the walk's beginning.
    gap: bool,
    /// See [`LogScanner::foreign`].
    foreign: Vec<PhysicalOffset>,
}

pub(crate) fn checkpoint_path(config: &StoreConfig) -> PathBuf {
    config.store_path_root_dir.join("checkpoint")
}

pub(crate) fn abort_path(config: &StoreConfig) -> PathBuf {
    config.store_path_root_dir.join("abort")
}

/// Whether something could be written; `false` when the drive is full.
fn has_room(result: Result<(), StoreError>) -> Result<bool, StoreError> {
    match result {
        Err(error) if error.is_no_room() => {
            tracing::warn!(%error, "the drive is full: the store opens without");
            Ok(false)
        }
        written => written.map(|()| true),
    }
}

/// What a start would make of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook {
    /// Where the log would end.
    pub end: u64,
    /// Records from here on would be put into their queues if they are not there.
    pub dispatched_from: u64,
    /// How many would.
    pub redispatched: u64,
}

/// Opens the store of `config`.
pub(crate) async fn recover(
    config: &StoreConfig,
    deliver_timestamp: &DeliverTimestamp,
    options: OpenOptions,
) -> Result<Recovered, StoreError> {
    let (recovery, listing, lock) = Recovery::prepare(config, deliver_timestamp, options, false).await?;
    recovery.run(&listing, lock).await
}

/// What [`recover`] would make of the store, or why it would refuse it. Nothing is changed.
pub(crate) async fn outlook(config: &StoreConfig) -> Result<Outlook, StoreError> {
    // When delayed messages are due is not asked for.
    let deliver_timestamp: DeliverTimestamp = Arc::new(|_, stored_ms| stored_ms);
    let (recovery, _, _) = Recovery::prepare(config, &deliver_timestamp, OpenOptions::default(), true).await?;
    let (from, walk) = recovery.walk_to_the_end().await?;
    recovery.judge(&walk).await?;
    Ok(Outlook { end: walk.end, dispatched_from: from, redispatched: walk.redispatched })
}

impl<'a> Recovery<'a> {
    /// Looks at everything and changes nothing.
    async fn prepare(
        config: &'a StoreConfig,
        deliver_timestamp: &'a DeliverTimestamp,
        options: OpenOptions,
        is_dry: bool,
    ) -> Result<(Recovery<'a>, SegmentListing, Option<File>), StoreError> {
        config.check()?;
        let lock_path = config.store_path_root_dir.join("lock");
        // Who only looks does not keep a broker from starting.
        let lock = lock_file::acquire(&lock_path, false).await?.filter(|_| !is_dry);
        let segment_bytes = config.mapped_file_size_commit_log_bytes;
        let directory = config.commit_log_dir();
        let listing =
            segment_dir::list(&directory, segment_bytes, "mappedFileSizeCommitLog", Content::Original).await?;
        let found = found_on_disk(config).await?;
        let left_open = lock_file::left_open(&abort_path(config)).await?;
        let (mut checkpoint, origin) = Checkpoint::load(&checkpoint_path(config)).await?;
        let was_flushed = checkpoint.master_flushed_offset > 0;
        // A process that dies takes nothing with it: in the same boot there is no queue without a log.
        let has_queues = || found.iter().any(|queue| !queue.files.starts.is_empty());
        let was_there = was_flushed || left_open == LeftOpen::InThisBoot && has_queues();
        if was_there && listing == SegmentListing::default() && options.truncate_at.is_none() {
            // A drive that is not mounted looks so. To go on would take everything out of the queues, and offsets would begin anew.
            let flushed_offset = PhysicalOffset(checkpoint.master_flushed_offset);
            return Err(StoreError::LogGone { path: config.commit_log_dir(), flushed_offset });
        }
        if origin == Origin::Changed {
            tracing::warn!(
                path = %checkpoint_path(config).display(),
                "the checkpoint is not as a broker of this kind has written it: another has had the store open, or it is damaged. \
                 Nothing that it claims is believed"
            );
            checkpoint = Checkpoint::default();
        }
        let mut segments = Vec::with_capacity(listing.starts.len());
        let series = CommitLog::series_of(config);
        for start in &listing.starts {
            segments.push(Arc::new(Segment::existing(&series, *start)));
        }
        let log_end = segments.last().map_or(0, |last| last.end());
        let all = Written { offset: PhysicalOffset(log_end.cast_signed()), store_timestamp_ms: 0 };
        // Whether a record must have a checksum is known when the log has been walked through.
        let no_epochs = Arc::new(Epochs::new(Vec::new(), config));
        let recovery = Recovery {
            log: CommitLog::new(config, series, segments.clone(), all, no_epochs),
            stored_epochs: history::file::load(&history::file::path(config)).await?,
            queues: ConsumeQueueTable::new(config),
            config,
            deliver_timestamp,
            checkpoint,
            deleted: DeletedTopics::load(config).await?,
            left_open,
            abnormal: left_open != LeftOpen::No,
            suspect: sync_failed::load(config).await?,
            shown_limit: shown::load(config).await?,
            limit: options.truncate_at.map_or(u64::MAX, |limit| limit.0.max(0).cast_unsigned()),
            is_dry,
            segments,
            found: Mutex::new(Some(found)),
        };
        Ok((recovery, listing, lock))
    }
}

impl Recovery<'_> {
    /// Finds where to begin and walks to the log's end. Where the walk began, and what it met.
    async fn walk_to_the_end(&self) -> Result<(u64, Walk), StoreError> {
        let log_min = self.segments.first().map_or(0, |first| first.start());
        let start = if self.limit < log_min {
            // Nothing stays, not even what the queues remember of deleted records.
            self.load_queues(0).await?;
            Start { load_below: 0, from: log_min }
        } else if self.abnormal {
            self.start_after_crash().await?
        } else {
            self.start_after_shutdown().await?
        };
        self.walk_and_agree(start).await
    }

    async fn run(self, listing: &SegmentListing, lock: Option<File>) -> Result<Recovered, StoreError> {
        let log_min = self.segments.first().map_or(0, |first| first.start());
        let earlier_risk = tail_at_risk::load(self.config).await?;
        let (from, walk) = self.walk_to_the_end().await?;
        let cuts_off_records = self.judge(&walk).await?;

        // From here on the disk is changed.
        let diverged = match self.limit {
            u64::MAX => None,
            limit => cut_off::keep(self.config, "diverged", &self.segments, &self.stored_epochs, limit).await?,
        };
        let damaged_tail = if cuts_off_records { self.keep_damaged(walk.end).await } else { None };
        self.lower_claims(&walk).await?;
        durable::create_dir(&self.config.commit_log_dir()).await?;
        durable::create_dir(&self.config.consume_queue_dir()).await?;
        let lock = match lock {
            Some(lock) => lock,
            None => self.create_lock().await?,
        };
        let cut_until = diverged.as_ref().map(|diverged| diverged.until);
        let risk = earlier_risk.and_then(TailAtRisk {
            machine_went_down: self.left_open.machine_went_down(),
            is_empty: walk.end == log_min,
            shown: self.shown_beyond(&walk, cuts_off_records, cut_until),
        });
        let mut says_so = risk == earlier_risk;
        if !says_so {
            // Before the abort file says that the store is open in this boot.
            says_so = has_room(tail_at_risk::store(self.config, risk).await)?;
        }
        // On a full drive the abort file of the other boot goes on saying that the machine went down.
        if says_so || !self.left_open.machine_went_down() {
            lock_file::create_abort(&abort_path(self.config)).await?;
        }
        let flushed_but_lost = self.checkpoint.master_flushed_offset.cast_unsigned() > walk.end;
        let flushed_but_lost_until = (flushed_but_lost && walk.stop != Stop::Limit)
            .then_some(PhysicalOffset(self.checkpoint.master_flushed_offset));
        let kept = match self.cut(&walk, from, listing).await {
            Ok(kept) => kept,
            Err(error) => {
                // A sync may have failed: the next start must not take for the drive's what is in the page cache alone.
                sync_failed::note_or_log(self.config, from..u64::MAX).await;
                return Err(error);
            }
        };
        sync_failed::clear(self.config).await?;
        at_once::all(self.queues.all().into_iter().map(|queue| async move { queue.finish_repair().await })).await?;
        let written = Written {
            offset: PhysicalOffset(walk.end.cast_signed()),
            store_timestamp_ms: walk.last_store_timestamp_ms.unwrap_or(0),
        };
        let log_min = kept.first().map_or(0, |first| first.start());
        let known = history::with_foreign(&self.stored_epochs, &walk.foreign);
        let epochs = history::fit(&known, PhysicalOffset(log_min.cast_signed()), written.offset);
        if epochs != self.stored_epochs && !self.stored_epochs.is_empty() {
            // What the log has lost must not seem to be there when the log has grown again.
            history::file::store(&history::file::path(self.config), &epochs).await?;
        }
        let epochs = Arc::new(Epochs::new(epochs, self.config));
        let log = CommitLog::new(self.config, self.log.series().clone(), kept, written, Arc::clone(&epochs));
        let mender = Mender {
            log: &log,
            deliver_timestamp: self.deliver_timestamp,
            config: self.config,
            until: written.offset,
            is_starting: true,
        };
        self.queues.correct_min_offsets(&mender, log.min_offset()).await?;
        self.finish_deletions(&log).await?;
        let report = RecoveryReport {
            abnormal: self.abnormal,
            end_offset: written.offset,
            scanned_from: PhysicalOffset(from.cast_signed()),
            scanned_records: walk.records,
            redispatched: walk.redispatched,
            torn_tail: match walk.stop {
                Stop::Bad(why) => Some(why),
                Stop::Files | Stop::Zeros | Stop::Limit => None,
            },
            flushed_but_lost_until,
            machine_went_down: risk.machine_went_down,
            is_empty: risk.is_empty,
            shown: risk.shown,
            is_new: self.shown_limit == ShownLimit::Unknown && self.stored_epochs.is_empty() && walk.end == log_min,
            diverged_tail: diverged.map(|diverged| diverged.path),
            damaged_tail,
        };
        tracing::info!(?report, "store recovered");
        Ok(Recovered { log, queues: self.queues, checkpoint: self.checkpoint, lock, report, epochs })
    }

    /// What readers may have been shown beyond the log's end. Only a machine that goes down, or a part of the log that is cut
    /// off, takes away what was shown: a process that is killed leaves all of it in the page cache.
    fn shown_beyond(&self, walk: &Walk, cuts_off_records: bool, cut_until: Option<u64>) -> Option<Shown> {
        let flushed = self.checkpoint.master_flushed_offset.cast_unsigned();
        let is_cut = cuts_off_records || (walk.stop != Stop::Limit && flushed > walk.end);
        let limit = match self.shown_limit {
            _ if !is_cut && !self.left_open.machine_went_down() => None,
            ShownLimit::Below(limit) if self.left_open != LeftOpen::ByApache => {
                Some(limit.0.cast_unsigned().max(flushed))
            }
            ShownLimit::Flushed if !is_cut && self.left_open != LeftOpen::ByApache => Some(walk.end),
            _ => Some(i64::MAX.cast_unsigned()),
        };
        // Of an earlier life nothing may be left: what was lost before it is not to be forgotten with it.
        let forgotten = self.stored_epochs.iter().filter(|epoch| epoch.start.0.cast_unsigned() > walk.end);
        let lost_before =
            |epoch: &EpochEntry| Some(epoch.start.0.cast_unsigned().saturating_add(epoch.lost_bytes_max()?));
        // A slave may have shown all that it had.
        let until = limit.max(cut_until).max(forgotten.filter_map(lost_before).max())?.max(walk.end);
        Some(Shown {
            from: PhysicalOffset(walk.end.cast_signed()),
            until: PhysicalOffset(i64::try_from(until).unwrap_or(i64::MAX)),
        })
    }

    /// Removes what is left of deleted topics, and forgets those whose records are gone too.
    async fn finish_deletions(&self, log: &CommitLog) -> Result<(), StoreError> {
        let mut removed = Vec::new();
        for topic in self.deleted.topics() {
            let queues = self.queues.of_topic(topic);
            if !queues.is_empty() && queues.iter().all(|queue| queue.max_offset() == QueueOffset::ZERO) {
                for queue in self.queues.remove_topic(topic) {
                    queue.forget().await;
                }
                removed.push(Arc::clone(topic));
            }
        }
        if !removed.is_empty() {
            deletion::remove_directories(self.config, &removed).await?;
        }
        let deleted = self.deleted.fit(log.min_offset(), log.written_offset());
        if deleted != self.deleted {
            // What stays in it too long says nothing wrong.
            has_room(deleted.store(self.config).await)?;
        }
        Ok(())
    }

    async fn create_lock(&self) -> Result<File, StoreError> {
        let path = self.config.store_path_root_dir.join("lock");
        // With `create` the file is always there.
        match lock_file::acquire(&path, true).await? {
            Some(lock) => Ok(lock),
            None => Err(StoreError::Locked { path }),
        }
    }

    /// Walks through the log until queues and log agree. Where the last walk began, and what it met.
    async fn walk_and_agree(&self, start: Start) -> Result<(u64, Walk), StoreError> {
        let log_min = self.segments.first().map_or(0, |first| first.start());
        let Start { load_below, mut from } = start;
        let mut walk = self.walk(from).await?;
        if from > log_min && (walk.gap || self.lacks_what_was_there(&walk)) {
            tracing::warn!("a ConsumeQueue lacks units of what the log has: dispatching the whole log again");
            from = log_min;
            self.load_queues(from).await?;
            walk = self.walk(from).await?;
        }
        if let Some(&first) = walk.foreign.first()
            && first.0.cast_unsigned() == from
            && let Some(epoch) = history::epoch_at(&self.stored_epochs, first)
            && epoch.start < first
            && from > log_min
        {
            // Others may have begun to write before: where, the records of the whole epoch tell.
            from = epoch.start.0.cast_unsigned().max(log_min);
            self.load_queues(load_below.min(from)).await?;
            walk = self.walk(from).await?;
        }
        if self.queues.all().iter().any(|queue| queue.known_below().0 > walk.end.cast_signed()) {
            // The log has lost its end, and the queues go on.
            self.load_queues(walk.end.min(from)).await?;
            walk = self.walk(from).await?;
        }
        Ok((from, walk))
    }

    /// Whether a queue had a unit that was left out as one of a record beyond, and the walk has not met that record.
    fn lacks_what_was_there(&self, walk: &Walk) -> bool {
        self.queues.all().iter().any(|queue| {
            queue
                .left_out()
                .is_some_and(|(offset, place)| place.0.cast_unsigned() < walk.end && queue.max_offset() <= offset)
        })
    }

    /// The epochs by which records are checked.
    fn checked_epochs(&self) -> &[EpochEntry] {
        if self.config.quirks.has(Quirk::BodyCrcOnly) { &[] } else { &self.stored_epochs }
    }

    /// Walks the log from `from` on and dispatches the records that are not in their queues.
    async fn walk(&self, from: u64) -> Result<Walk, StoreError> {
        let flushed = self.checkpoint.master_flushed_offset.cast_unsigned();
        let epochs = self.checked_epochs();
        let mut scanner = LogScanner::new(&self.segments, from, self.limit, flushed, self.config, epochs);
        let log_min = self.segments.first().map_or(0, |first| first.start());
        let is_whole_log = from == log_min;
        let (mut records, mut redispatched, mut gap) = (0, 0, false);
        let mut visit = |record: &RecordView<'_>| {
            records += 1;
            if !has_queue_offset(record.sys_flag) || self.deleted.covers(record.topic, record.physical_offset) {
                return;
            }
            match self.redispatch(record, is_whole_log) {
                Redispatched::Appended => redispatched += 1,
                Redispatched::There => {}
                Redispatched::Known => {
                    tracing::warn!(
                        topic = record.topic,
                        queue_id = record.queue_id,
                        queue_offset = record.queue_offset.0,
                        physical_offset = record.physical_offset.0,
                        "a second record with a queue offset that is taken: left out of the queue"
                    );
                }
                Redispatched::Gap => gap = true,
            }
        };
        let mut claims_queues = self.checkpoint.logics_msg_timestamp_ms > 0;
        let mut flushed_bytes = self.queues.appended_bytes();
        while scanner.next_stretch(&mut visit).await? {
            if self.queues.appended_bytes() - flushed_bytes > REDISPATCH_FLUSH_BYTES {
                flushed_bytes = self.queues.appended_bytes();
                if self.is_dry {
                    self.queues.forget_units();
                    continue;
                }
                if std::mem::take(&mut claims_queues) {
                    // The queues are erased and rebuilt in parts from here on.
                    self.store_checkpoint(&self.claiming_no_queues()).await?;
                }
                // What has no room stays in memory.
                has_room(self.queues.flush(true).await)?;
            }
        }
        let end = scanner.offset();
        let last_store_timestamp_ms = scanner.last_store_timestamp_ms;
        let stop = scanner.stop.unwrap_or(Stop::Files);
        let foreign = scanner.foreign;
        if let Some(first) = foreign.first() {
            tracing::warn!(
                from = first.0,
                "a broker that keeps no epochs has written to this log: those bytes are of unknown origin"
            );
        }
        Ok(Walk { end, stop, last_store_timestamp_ms, records, redispatched, gap, foreign })
    }

    fn redispatch(&self, record: &RecordView<'_>, is_whole_log: bool) -> Redispatched {
        let queue = self.queues.find_or_create(record.topic, record.queue_id);
        let unit = unit_of(record, self.deliver_timestamp);
        let result = queue.redispatch(record.queue_offset, unit, record.store_timestamp_ms);
        if result == Redispatched::Gap && self.config.quirks.has(Quirk::CheckpointBeforeQueues) {
            // What the checkpoint claimed too early is missing for ever, and what follows moves up.
            queue.append_out_of_place(unit, record.store_timestamp_ms);
            return Redispatched::Appended;
        }
        if result == Redispatched::Gap && is_whole_log {
            // What is between is nowhere: the queue can only begin anew.
            queue.restart_at(record.queue_offset);
            return queue.redispatch(record.queue_offset, unit, record.store_timestamp_ms);
        }
        result
    }

    /// Refuses a log that ends where flushed records should be, while later ones are whole. Whether there are whole records at
    /// all behind its end.
    async fn judge(&self, walk: &Walk) -> Result<bool, StoreError> {
        let flushed = self.checkpoint.master_flushed_offset.cast_unsigned();
        if walk.stop == Stop::Limit || self.config.quirks.has(Quirk::StaleTailResurrection) {
            return Ok(false);
        }
        if !self.abnormal && walk.stop != Stop::Files && walk.end == flushed {
            return Ok(false);
        }
        let flushed_ms = self.checkpoint.physic_msg_timestamp_ms;
        // Strictly older: of the records of one millisecond a part may have been flushed.
        let is_flushed = |record: &RecordView<'_>| {
            record.physical_offset.0.cast_unsigned() < flushed || record.store_timestamp_ms < flushed_ms
        };
        let stretch = Stretch { from: walk.end, until: self.limit, known: flushed };
        let Behind { first, first_flushed: next } = look_behind(&self.segments, stretch, is_flushed).await?;
        let cuts_off_records = first.is_some();
        let end = PhysicalOffset(walk.end.cast_signed());
        match (next, find_segment(&self.segments, end)) {
            (Some(next_valid_offset), Some(segment)) => Err(StoreError::DamagedLog {
                path: segment.path(),
                file_offset: walk.end - segment.start(),
                physical_offset: end,
                why: match &walk.stop {
                    Stop::Bad(why) => why.clone(),
                    Stop::Zeros | Stop::Files | Stop::Limit => "nothing is there".to_owned(),
                },
                next_valid_offset,
            }),
            _ => {
                if walk.end < flushed {
                    tracing::error!(end = walk.end, flushed, "the drive has lost records that had been flushed");
                }
                Ok(cuts_off_records)
            }
        }
    }

    /// Copies what stands behind the end of the log: it may have been acknowledged, and the damage before it may not come from a
    /// write that was cut short. Where it is.
    async fn keep_damaged(&self, end: u64) -> Option<PathBuf> {
        match cut_off::keep(self.config, "damaged", &self.segments, &self.stored_epochs, end).await {
            Ok(kept) => {
                let kept = kept.map(|kept| kept.path);
                tracing::error!(end, ?kept, "the log ends at a damaged record that whole ones follow");
                kept
            }
            // A full drive, say: the log that is left is worth more.
            Err(error) => {
                tracing::error!(%error, end, "the log ends at a damaged record; the whole ones that follow could not be kept");
                None
            }
        }
    }

    /// Takes back what the checkpoint claims of units that are about to be erased and of records that are gone: if power
    /// fails before they are on the drive again, the next recovery must not believe in them.
    async fn lower_claims(&self, walk: &Walk) -> Result<(), StoreError> {
        let known = &self.checkpoint;
        let queues_ms = self.queues.dirty_since_ms().map_or(i64::MAX, |dirty_ms| dirty_ms - 1);
        let log_ms = walk.last_store_timestamp_ms.unwrap_or(0);
        let lowered = Checkpoint {
            physic_msg_timestamp_ms: known.physic_msg_timestamp_ms.min(log_ms),
            logics_msg_timestamp_ms: known.logics_msg_timestamp_ms.min(queues_ms).min(log_ms),
            master_flushed_offset: known.master_flushed_offset.min(walk.end.cast_signed()),
            confirm_phy_offset: known.confirm_phy_offset.min(walk.end.cast_signed()),
            ..self.claiming_no_queues()
        };
        let is_lowered = Checkpoint { queues: QueueClaims::default(), ..known.clone() } != lowered;
        let loses_units = self.queues.all().iter().any(|queue| queue.loses_units());
        if is_lowered || loses_units { self.store_checkpoint(&lowered).await } else { Ok(()) }
    }

    /// The checkpoint without its claims of queues.
    fn claiming_no_queues(&self) -> Checkpoint {
        Checkpoint { logics_msg_timestamp_ms: 0, queues: QueueClaims::default(), ..self.checkpoint.clone() }
    }

    async fn store_checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let has_checksum = !self.config.quirks.has(Quirk::CheckpointBeforeQueues);
        let path = checkpoint_path(self.config);
        let is_stored = has_room(checkpoint.store(&path, has_checksum).await)?;
        if !is_stored && disk::exists(&path).await.map_err(io_error("look for", &path))? {
            // Without a checkpoint nothing is claimed.
            durable::remove_file(&path).await?;
        }
        Ok(())
    }

    /// Makes the log end at the walk's end on the drive too; the files that stay.
    async fn cut(&self, walk: &Walk, from: u64, listing: &SegmentListing) -> Result<Vec<Arc<Segment>>, StoreError> {
        let directory = self.config.commit_log_dir();
        if let Some(start) = listing.unfinished {
            durable::remove_file(&directory.join(segment_name(start))).await?;
        }
        for copy in &listing.copies {
            durable::remove_file(&directory.join(copy)).await?;
        }
        let mut kept = self.segments.clone();
        // The last one first: a power loss on the way leaves no gap.
        while let Some(last) = kept.last()
            && last.start() > walk.end
        {
            last.remove().await?;
            kept.pop();
        }
        if let Some(last) = kept.last()
            && walk.end < last.end()
        {
            let is_known_clean = !self.abnormal
                && walk.stop == Stop::Zeros
                && self.checkpoint.master_flushed_offset.cast_unsigned() == walk.end;
            let is_left = self.config.quirks.has(Quirk::StaleTailResurrection) && walk.stop != Stop::Limit;
            if !is_known_clean && !is_left {
                last.erase_from(walk.end - last.start()).await?;
            }
        }
        let mut from = from;
        if let Some(suspect) = &self.suspect {
            tracing::warn!(
                ?suspect,
                "a sync of the log has failed in this boot: the files with these offsets are copied"
            );
            let is_suspect = |segment: &Segment| segment.end() > suspect.start && segment.start() < suspect.end;
            for segment in kept.iter_mut().filter(|segment| is_suspect(segment)) {
                *segment = Arc::new(segment.replaced_by_copy().await?);
            }
            from = from.min(suspect.start);
        }
        if self.abnormal || self.suspect.is_some() || matches!(walk.stop, Stop::Bad(_) | Stop::Limit) {
            // A kill leaves what was not flushed in the page cache, with the sizes and names that it was not given time for.
            for segment in kept.iter().filter(|segment| segment.end() > from) {
                segment.sync_all().await?;
            }
            durable::sync_dir(&directory).await?;
        }
        Ok(kept)
    }
}

//! Queues whose files disagree with the log are mended by a task of its own, so that who reads them waits for a moment only.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use protocol::{QueueOffset, message::parse_record};
use sim::time::{sleep, timeout};
use tokio::sync::{Notify, watch};

use crate::{
    consume_queue::{ConsumeQueue, ConsumeQueueUnit, Mender},
    error::StoreError,
    store::Shared,
};

/// How long a reader waits for a file to be mended before it is told to come again.
const READER_WAITS: Duration = Duration::from_secs(1);
/// How soon mending is tried again that the drive has refused.
const RETRY: Duration = Duration::from_secs(5);

/// What there is to be mended, and who waits for it.
#[derive(Debug)]
pub(crate) struct Mending {
    wanted: Notify,
    /// Counts the files that were mended.
    mended: watch::Sender<u64>,
}

impl Mending {
    pub(crate) fn new() -> Mending {
        let wanted = Notify::new();
        // What recovery has found.
        wanted.notify_one();
        Mending { wanted, mended: watch::Sender::new(0) }
    }
}

/// A message of a queue.
#[derive(Debug)]
pub(crate) enum Confirmed {
    /// Its unit, as it should be, and its record.
    Record(ConsumeQueueUnit, Bytes),
    /// Its record is expired, or damaged.
    Missing,
    /// It is not known yet.
    Later,
}

impl Shared {
    /// Who confirms and mends what queues say.
    pub(crate) fn mender(&self) -> Mender<'_> {
        Mender {
            log: &self.log,
            deliver_timestamp: &self.deliver_timestamp,
            config: &self.config,
            until: self.dispatcher.confirm_offset(),
            is_starting: false,
        }
    }

    /// The task that mends what was found to be wrong.
    pub(crate) async fn run_mending(self: Arc<Self>) {
        loop {
            self.mending.wanted.notified().await;
            for queue in self.queues.all() {
                while let Some(file) = queue.next_suspect() {
                    if let Err(error) = self.mender().mend(&queue, file).await {
                        tracing::error!(%error, topic = %queue.topic(), queue_id = queue.queue_id(), "a ConsumeQueue cannot be mended; trying again");
                        sleep(RETRY).await;
                    }
                    self.mending.mended.send_modify(|count| *count += 1);
                }
            }
        }
    }

    /// The record of a unit, after the log has confirmed that it is the one of this place of the queue. `are_own` as in
    /// [`crate::consume_queue::Units`].
    pub(crate) async fn confirmed_record(
        &self,
        queue: &Arc<ConsumeQueue>,
        offset: QueueOffset,
        mut unit: ConsumeQueueUnit,
        are_own: bool,
    ) -> Result<Confirmed, StoreError> {
        if are_own {
            let record = self.log.record(unit.physical_offset, unit.length()).await?;
            return Ok(record.map_or(Confirmed::Missing, |record| Confirmed::Record(unit, record)));
        }
        let mut is_mended = false;
        loop {
            let found = self.log.read_record(unit.physical_offset, unit.length()).await?;
            if let Some(Ok(record)) = &found
                && parse_record(record)
                    .is_ok_and(|record| queue.is_unit_of(&record, offset, &unit, &self.deliver_timestamp))
            {
                queue.note_tags_code(unit.tags_code);
                return Ok(Confirmed::Record(unit, record.clone()));
            }
            if offset < queue.min_offset() || queue.is_lost(offset) {
                return Ok(Confirmed::Missing);
            }
            // The record may be damaged, and the unit right.
            if let Some(Err(why)) = &found
                && queue.confirm_place(offset, &unit, &self.log).await?.is_right()
            {
                self.log.tell_damage(unit.physical_offset, why);
                return Ok(Confirmed::Missing);
            }
            if is_mended || !queue.suspect(offset) {
                tracing::error!(topic = %queue.topic(), queue_id = queue.queue_id(), offset = offset.0, "a message of a ConsumeQueue cannot be found");
                return Ok(Confirmed::Missing);
            }
            if !self.wait_for_mending(queue, offset).await {
                return Ok(Confirmed::Later);
            }
            is_mended = true;
            match queue.read(offset, 1).await?.units.first() {
                Some(again) => unit = *again,
                None => return Ok(Confirmed::Missing),
            }
        }
    }

    /// Waits until the file of a suspect unit is mended, but not for long; whether it is.
    async fn wait_for_mending(&self, queue: &ConsumeQueue, offset: QueueOffset) -> bool {
        let mut mended = self.mending.mended.subscribe();
        self.mending.wanted.notify_one();
        // Elapsed or closed: it is not.
        timeout(READER_WAITS, mended.wait_for(|_| !queue.is_suspect(offset))).await.is_ok_and(|waited| waited.is_ok())
    }
}

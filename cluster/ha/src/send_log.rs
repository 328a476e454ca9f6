//! Sending our log as frames: a master to its slave, or a slave to the master that takes its tail back.
//!
//! What is written goes out at once. Who is behind gets many records in one frame; who is far behind, and is of our kind,
//! larger frames.

use std::{
    pin::pin,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use bytes::Buf;
use protocol::PhysicalOffset;
use sim::{
    net::OwnedWriteHalf,
    time::{Instant, sleep, sleep_until},
};
use store::{EpochEntry, MessageStore, RawLog};
use tokio::io::AsyncWriteExt;

use crate::{
    HaConfig,
    error::HaError,
    flow::TokenBucket,
    frame::{FRAME_BODY_BYTES_MAX, FrameHeader, Wire},
};

/// The largest body for a slave of ours that is behind by more than a batch.
const CATCH_UP_BYTES: usize = 256 << 10;
/// The body of a frame that is cut short: less than a record.
const SHORT_FRAME_BYTES: usize = 61;
/// How long a frame waits that goes out late.
const LATE: Duration = Duration::from_millis(50);

/// The sending of a log over one connection.
pub(crate) struct LogSender<'a> {
    store: &'a MessageStore,
    outgoing: OwnedWriteHalf,
    wire: Wire,
    batch_bytes: usize,
    heartbeat_interval: Duration,
    flow: Option<(TokenBucket, Instant)>,
    /// The next byte to send. Also read by who judges the reports that come back.
    shipped: &'a AtomicI64,
    epochs: std::sync::Arc<[EpochEntry]>,
    /// What is read from a file, of a log that the other side is far behind of.
    buffer: Vec<u8>,
    sent_at: Instant,
}

impl<'a> LogSender<'a> {
    /// Goes on at `shipped`.
    pub(crate) fn new(
        store: &'a MessageStore,
        config: &HaConfig,
        wire: Wire,
        outgoing: OwnedWriteHalf,
        shipped: &'a AtomicI64,
    ) -> LogSender<'a> {
        let flow = config
            .ha_flow_control_enable
            .then(|| (TokenBucket::new(config.max_ha_transfer_byte_in_second), Instant::now()));
        LogSender {
            store,
            outgoing,
            wire,
            batch_bytes: config.ha_transfer_batch_size_bytes.clamp(1, FRAME_BODY_BYTES_MAX),
            heartbeat_interval: config.heartbeat_interval(),
            flow,
            shipped,
            epochs: store.epochs(),
            buffer: Vec::new(),
            sent_at: Instant::now(),
        }
    }

    fn position(&self) -> PhysicalOffset {
        PhysicalOffset(self.shipped.load(Ordering::Acquire))
    }

    /// Sends for ever what is written and what will be, and heartbeats in between. `sent` is told of each frame's end.
    ///
    /// # Errors
    /// The connection or the store fails: this never ends otherwise.
    pub(crate) async fn run(
        mut self,
        mut sent: impl FnMut(PhysicalOffset),
    ) -> Result<std::convert::Infallible, HaError> {
        let mut written = self.store.subscribe_written();
        // Set too early it fires, finds nothing due and is set anew: cheaper than setting it for every frame.
        let mut timer = pin!(sleep_until(self.sent_at + self.heartbeat_interval));
        loop {
            let end = *written.borrow_and_update();
            while self.position() < end {
                self.send_next(end).await?;
                sent(self.position());
            }
            tokio::select! {
                biased;
                changed = written.changed() => {
                    if changed.is_err() {
                        return Err(HaError::Refused("the store was closed".to_owned()));
                    }
                }
                () = &mut timer => {
                    if self.sent_at + self.heartbeat_interval <= Instant::now() {
                        self.heartbeat().await?;
                    }
                    timer.as_mut().reset(self.sent_at + self.heartbeat_interval);
                }
            }
        }
    }

    /// Sends up to `end`, and gives the connection back.
    ///
    /// # Errors
    /// The connection or the store fails.
    pub(crate) async fn run_to(mut self, end: PhysicalOffset) -> Result<OwnedWriteHalf, HaError> {
        while self.position() < end {
            self.send_next(end).await?;
        }
        Ok(self.outgoing)
    }

    async fn send_next(&mut self, end: PhysicalOffset) -> Result<(), HaError> {
        let position = self.position();
        let behind = usize::try_from(end - position).unwrap_or(0);
        let most = match self.wire {
            Wire::Extended if behind > self.batch_bytes => self.batch_bytes.max(CATCH_UP_BYTES),
            _ => self.batch_bytes,
        };
        let most = if sim::fault_point!("ha.send.short-frame") { most.min(SHORT_FRAME_BYTES) } else { most };
        if sim::fault_point!("ha.send.late", 0.02) {
            sleep(LATE).await;
        }
        let (epoch, epoch_end) = self.epoch_at(position);
        let until_epoch_end = epoch_end.map_or(usize::MAX, |end| usize::try_from(end - position).unwrap_or(0));
        let most = most.min(behind).min(until_epoch_end);
        if most > self.batch_bytes && self.buffer.is_empty() {
            self.buffer.resize(CATCH_UP_BYTES, 0);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let sent = self.send_body(position, epoch, most, &mut buffer).await;
        self.buffer = buffer;
        sent
    }

    /// Sends one frame of at most `most` bytes.
    async fn send_body(
        &mut self,
        position: PhysicalOffset,
        epoch: Option<EpochEntry>,
        most: usize,
        buffer: &mut [u8],
    ) -> Result<(), HaError> {
        let body = if most > self.batch_bytes {
            self.store.read_log_with(position, most, buffer).await?
        } else {
            RawLog::Shared(self.store.read_log(position, most).await?)
        };
        if body.is_empty() {
            return Err(HaError::Refused(format!(
                "offset {position} is not in our log any more: its file has been deleted (fileReservedTime) before it was sent"
            )));
        }
        // The slave need not put together what was cut here.
        let length = if body.len() > self.batch_bytes { whole_records(&body) } else { body.len() };
        let body = &body[..length];
        if let Some((bucket, since)) = &mut self.flow {
            let wait = bucket.take(body.len(), since.elapsed());
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
        // Before the write: the other side may report what it has before the write is seen to end.
        self.shipped.store((position + body.len() as i64).0, Ordering::Release);
        self.write(FrameHeader { offset: position, body_bytes: body.len(), epoch }, body).await
    }

    async fn heartbeat(&mut self) -> Result<(), HaError> {
        if sim::fault_point!("ha.send.no-heartbeat") {
            self.sent_at = Instant::now();
            return Ok(());
        }
        let position = self.position();
        let (epoch, _) = self.epoch_at(position);
        self.write(FrameHeader { offset: position, body_bytes: 0, epoch }, &[]).await
    }

    async fn write(&mut self, header: FrameHeader, body: &[u8]) -> Result<(), HaError> {
        self.outgoing.write_all_buf(&mut header.encode().chain(body)).await?;
        self.sent_at = Instant::now();
        Ok(())
    }

    /// The epoch of the byte at `position`, as its frame names it, and where it ends if another follows.
    fn epoch_at(&self, position: PhysicalOffset) -> (Option<EpochEntry>, Option<PhysicalOffset>) {
        if self.wire == Wire::V1 {
            return (None, None);
        }
        let after = self.epochs.partition_point(|epoch| epoch.start <= position);
        let unknown = EpochEntry { id: EpochEntry::UNKNOWN_ID, start: self.store.min_physical_offset().min(position) };
        let epoch = after.checked_sub(1).map_or(unknown, |index| self.epochs[index]);
        (Some(epoch), self.epochs.get(after).map(|next| next.start))
    }
}

/// How many bytes of `body`, which begins at a record, are whole records; all of it if it has none.
fn whole_records(body: &[u8]) -> usize {
    let mut end = 0;
    while let Some(length) = body.get(end..end + 4).and_then(|length| length.try_into().ok()).map(i32::from_be_bytes)
        && let Ok(length) = usize::try_from(length)
        && length > 0
        && length <= body.len() - end
    {
        end += length;
    }
    if end == 0 { body.len() } else { end }
}

#[cfg(test)]
mod tests {
    use super::whole_records;

    #[test]
    fn a_body_is_cut_behind_its_last_whole_record() {
        let record = |length: u32| [&length.to_be_bytes()[..], &vec![7; length as usize - 4]].concat();
        let two = [record(10), record(20)].concat();
        assert_eq!(whole_records(&two), 30);
        assert_eq!(whole_records(&two[..29]), 10);
        assert_eq!(whole_records(&two[..13]), 10, "not even its length is all there");
        assert_eq!(whole_records(&two[..9]), 9, "a record that is longer than a frame goes in parts");
        assert_eq!(whole_records(&[0; 8]), 8, "no record: the other side is to see it");
        assert_eq!(whole_records(&[0xff; 8]), 8);
    }
}

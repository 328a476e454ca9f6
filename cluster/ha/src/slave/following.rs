//! Following: what the master sends is written and reported, at once.
//!
//! One task reads, cuts, appends and reports: all that has arrived by one append, and one report. Under SYNC_FLUSH a slave
//! vouches for what is on its drive only; Apache's for what is in its page cache ([`Quirk::PageCacheAcks`]).

use std::{pin::pin, time::Duration};

use protocol::PhysicalOffset;
use quirks::Quirk;
use sim::{
    net::OwnedWriteHalf,
    time::{Instant, sleep, sleep_until},
};
use store::{FlushDiskType, MessageStore};
use tokio::{io::AsyncWriteExt, sync::watch};

use super::Shared;
use crate::{
    error::HaError,
    frame::{Frame, Wire, decode_frame},
    incoming::Incoming,
};

/// How long a report waits that is late.
const LATE: Duration = Duration::from_millis(50);

/// Says to the master up to where this slave vouches for its log.
pub(crate) struct Reporter<'a> {
    shared: &'a Shared,
    outgoing: OwnedWriteHalf,
    /// The end of what is vouched for.
    vouched: watch::Receiver<PhysicalOffset>,
    /// Not more than this: what has not been compared with the master's is not vouched for.
    limit: PhysicalOffset,
    reported: PhysicalOffset,
    reported_at: Instant,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(shared: &'a Shared, outgoing: OwnedWriteHalf) -> Reporter<'a> {
        let is_flushed_only = shared.store.config().flush_disk_type == FlushDiskType::SyncFlush
            && !shared.config.quirks.has(Quirk::PageCacheAcks);
        let vouched = if is_flushed_only { shared.store.subscribe_flushed() } else { shared.store.subscribe_written() };
        Reporter {
            shared,
            outgoing,
            vouched,
            limit: PhysicalOffset(i64::MAX),
            reported: PhysicalOffset::ZERO,
            reported_at: Instant::now(),
        }
    }

    /// From now on at most `limit` is reported; a report never goes back.
    pub(crate) fn set_limit(&mut self, limit: PhysicalOffset) {
        self.limit = limit;
    }

    /// Reports this offset, whatever is vouched for: where the log is to be sent from.
    pub(crate) async fn open(&mut self, offset: PhysicalOffset) -> Result<(), HaError> {
        self.reported = offset;
        self.send().await
    }

    /// The first report of a slave that has just been told to follow: of what is vouched for, even if that is nothing.
    pub(crate) async fn open_following(&mut self, end: PhysicalOffset) -> Result<(), HaError> {
        let vouched = *self.vouched.borrow_and_update();
        self.open(vouched.min(end)).await
    }

    /// Reports if there is something new.
    async fn report(&mut self) -> Result<(), HaError> {
        let vouched = (*self.vouched.borrow_and_update()).min(self.limit);
        if vouched <= self.reported {
            return Ok(());
        }
        self.reported = vouched;
        self.send().await
    }

    async fn send(&mut self) -> Result<(), HaError> {
        self.outgoing.write_all(&self.reported.0.to_be_bytes()).await?;
        self.reported_at = Instant::now();
        self.shared.status().acked = self.reported;
        Ok(())
    }
}

/// What is done with the frames that come.
pub(crate) trait Sink {
    /// Takes in a frame.
    async fn take(&mut self, frame: &Frame) -> Result<(), HaError>;
    /// Writes what has been taken in, or begins to.
    async fn write(&mut self) -> Result<(), HaError>;
    /// Resolves when what was begun is written; never, if nothing was. May be dropped while it waits.
    async fn written(&mut self) -> Result<(), HaError>;
    /// Up to where what has come is known to be the master's.
    fn verified(&self) -> PhysicalOffset;
}

/// Takes frames and reports what is written, until the connection ends.
pub(crate) async fn take_frames(
    shared: &Shared,
    incoming: &mut Incoming,
    mut reporter: Reporter<'_>,
    wire: Wire,
    sink: &mut impl Sink,
) -> Result<std::convert::Infallible, HaError> {
    let (heartbeat, silence) = (shared.config.heartbeat_interval(), shared.config.housekeeping_interval());
    let mut heard_at = Instant::now();
    // Set too early it fires, finds nothing due and is set anew: cheaper than setting it for every report.
    let mut timer = pin!(sleep_until((reporter.reported_at + heartbeat).min(heard_at + silence)));
    loop {
        let mut any = false;
        while let Ok(frame) = decode_frame(&mut incoming.buffer, wire)? {
            sink.take(&frame).await?;
            any = true;
            if sim::fault_point!("ha.slave.each-frame-written") {
                sink.write().await?;
            }
        }
        if any {
            sink.write().await?;
            note_received(shared, &shared.store);
        }
        if sim::fault_point!("ha.slave.connection-lost", 0.001) {
            return Err(HaError::Closed);
        }
        if sim::fault_point!("ha.slave.late-report", 0.05) {
            sleep(LATE).await;
        }
        reporter.set_limit(sink.verified());
        reporter.report().await?;
        tokio::select! {
            biased;
            read = incoming.read() => {
                read?;
                heard_at = Instant::now();
            }
            // The store lives as long as we do.
            _ = reporter.vouched.changed() => {}
            written = sink.written() => {
                written?;
                note_received(shared, &shared.store);
            }
            () = &mut timer => {
                let now = Instant::now();
                if heard_at + silence <= now {
                    return Err(HaError::Silent(silence));
                }
                if reporter.reported_at + heartbeat <= now {
                    reporter.send().await?;
                }
                timer.as_mut().reset((reporter.reported_at + heartbeat).min(heard_at + silence));
            }
        }
    }
}

fn note_received(shared: &Shared, store: &MessageStore) {
    let mut status = shared.status();
    status.connected = true;
    status.last_error = None;
    status.received = store.max_physical_offset();
}

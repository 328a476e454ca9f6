//! Following a master of Apache's, which sends what it is asked for and compares nothing. So we do.
//!
//! We ask for the log from up to 64 KiB *before* our end, and compare what comes with what we have; only then do we append.
//! Until then nothing beyond what was found equal is reported: an acknowledgement is never given on the word of a log that
//! may have diverged. Two cases are told apart: bytes that differ (refused: wipe the slave's store), and a master that is
//! shorter than we are (it may have lost its end: we wait, and compare when it has more).

use group::logs::CHECK_BYTES;
use protocol::PhysicalOffset;
use sim::net::TcpStream;
use store::{EpochEntry, MessageStore};

use super::{
    Ended, Shared,
    following::{Reporter, Sink, take_frames},
};
use crate::{
    error::HaError,
    frame::{Frame, Wire},
    incoming::Incoming,
    replica_log::{ReplicaLog, read_range},
};

/// Follows until the connection ends.
pub(crate) async fn follow(shared: &Shared, stream: TcpStream) -> Result<Ended, HaError> {
    let (read, outgoing) = stream.into_split();
    let mut incoming = Incoming::new(read);
    let store = &*shared.store;
    let is_unchecked = shared.config.is_unchecked();
    let (min, end) = (store.min_physical_offset(), store.max_physical_offset());
    // Offset 0 would mean that we have nothing: Apache's master then goes on with its last file.
    let from = if end == PhysicalOffset::ZERO || is_unchecked {
        end
    } else {
        (end - CHECK_BYTES).max(min).max(PhysicalOffset(1))
    };
    let mut reporter = Reporter::new(shared, outgoing);
    reporter.open(from).await?;
    shared.status().is_v1 = true;
    let mut sink = Comparing { store, is_unchecked, position: from, end, log: None, warned: false };
    let Err(error) = take_frames(shared, &mut incoming, reporter, Wire::V1, &mut sink).await;
    if let Some(log) = &mut sink.log {
        // The next connection begins where the log ends then. How the writing went, the store knows.
        let _ = log.finish().await;
    }
    Err(error)
}

/// Compares what we have, and appends what follows.
struct Comparing<'a> {
    store: &'a MessageStore,
    is_unchecked: bool,
    /// Where the next frame must begin.
    position: PhysicalOffset,
    /// Where our log ended when the connection was made.
    end: PhysicalOffset,
    /// Our log, once everything that we had was found equal.
    log: Option<ReplicaLog<'a>>,
    /// It was said that the master is shorter.
    warned: bool,
}

impl Comparing<'_> {
    /// Begins to append at `at`.
    async fn begin(&mut self, at: PhysicalOffset) -> Result<(), HaError> {
        let mut log = ReplicaLog::new(self.store, at, self.is_unchecked);
        // Who writes these bytes is not known: they are not of the epoch of those before. Apache's slave writes nothing down.
        if !self.is_unchecked && self.store.epochs().last().is_none_or(|last| last.id != EpochEntry::UNKNOWN_ID) {
            log.begin(EpochEntry { id: EpochEntry::UNKNOWN_ID, start: at }).await?;
        }
        self.log = Some(log);
        Ok(())
    }

    /// Compares the part of a frame that we have already; how many bytes of it that is.
    async fn compare(&mut self, frame: &Frame) -> Result<usize, HaError> {
        let to = (self.position + frame.body.len() as i64).min(self.end);
        let mut theirs = &frame.body[..];
        for ours in read_range(self.store, self.position, to).await? {
            let (same, rest) = theirs.split_at(ours.len());
            if same != &ours[..] {
                return Err(HaError::Refused(format!(
                    "the bytes {}..{to} of our log differ from the master's: the two have diverged, and Apache's protocol cannot \
                     resolve it; to take the master's log, delete this slave's store directory and start it again",
                    self.position
                )));
            }
            theirs = rest;
        }
        let compared = frame.body.len() - theirs.len();
        self.position = to;
        Ok(compared)
    }
}

impl Sink for Comparing<'_> {
    async fn take(&mut self, frame: &Frame) -> Result<(), HaError> {
        let offset = frame.header.offset;
        if self.end == PhysicalOffset::ZERO && self.log.is_none() {
            // An empty slave is sent what the master likes: the log begins there.
            self.position = offset;
            self.end = offset;
        }
        if offset != self.position {
            return Err(HaError::Nonsense(format!("a frame for offset {offset} where {} is next", self.position)));
        }
        if frame.body.is_empty() {
            if self.position < self.end && !self.warned {
                self.warned = true;
                tracing::error!(
                    master = %self.position,
                    ours = %self.end,
                    "HA: the master has no bytes where our log goes on: it may have lost its end, or deleted those files. Nothing is \
                     acknowledged to it; if it stays so, delete this slave's store directory and start it again"
                );
            }
            return Ok(());
        }
        let compared = if self.position < self.end { self.compare(frame).await? } else { 0 };
        if compared == frame.body.len() {
            return Ok(());
        }
        if self.log.is_none() {
            self.begin(self.position).await?;
        }
        let Some(log) = &mut self.log else { return Ok(()) };
        let mut rest = frame.clone();
        rest.header.offset = self.position;
        rest.body = frame.body.slice(compared..);
        log.take(&rest).await?;
        self.position = log.expected();
        Ok(())
    }

    async fn write(&mut self) -> Result<(), HaError> {
        match &mut self.log {
            Some(log) => log.write().await.map(|_| ()),
            None => Ok(()),
        }
    }

    async fn written(&mut self) -> Result<(), HaError> {
        match &mut self.log {
            Some(log) => log.written().await,
            None => std::future::pending().await,
        }
    }

    fn verified(&self) -> PhysicalOffset {
        if self.position < self.end { self.position } else { PhysicalOffset(i64::MAX) }
    }
}

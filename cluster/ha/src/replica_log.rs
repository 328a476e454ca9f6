//! Writing another replica's bytes to our own log: whole records at a time, each epoch noted before its first byte.
//!
//! A slave uses it for what its master sends, a master for the tail that it takes back. What comes in large pieces is
//! written while the next piece is received and looked at.

use bytes::{Buf, Bytes, BytesMut};
use protocol::PhysicalOffset;
use store::{EpochEntry, MessageStore, RecordCutter, ReplicaAppend};

use crate::{error::HaError, frame::Frame};

/// The end of our log while another replica's bytes are appended to it.
pub(crate) struct ReplicaLog<'a> {
    store: &'a MessageStore,
    cutter: RecordCutter,
    /// A large piece that is being written.
    appending: Option<ReplicaAppend>,
    /// The epoch of what is appended now.
    epoch: Option<EpochEntry>,
    /// [`quirks::Quirk::DivergenceUnchecked`] only: what the cutter holds, to be written as it is when it is no record.
    unchecked: Option<Unchecked>,
}

/// A piece from which on the next one is received while it is written, and with which no other is joined. For less, to wait
/// for it costs less.
const LARGE_PIECE_BYTES: usize = 64 << 10;

/// What has come and is not written yet.
#[derive(Default)]
struct Unchecked {
    held: BytesMut,
    /// The cutter has found no record: from now on everything is written as it comes.
    is_raw: bool,
}

impl<'a> ReplicaLog<'a> {
    /// To go on at `at`: the log's end, or for an empty log the start of a file.
    /// `unchecked`: what is no record is written all the same, as Apache's slave does.
    pub(crate) fn new(store: &'a MessageStore, at: PhysicalOffset, unchecked: bool) -> ReplicaLog<'a> {
        let epoch = if at == store.max_physical_offset() { store.epochs().last().copied() } else { None };
        let unchecked = unchecked.then(Unchecked::default);
        store.begin_following();
        ReplicaLog { store, cutter: store.record_cutter(at), appending: None, epoch, unchecked }
    }

    /// Where the next bytes belong.
    pub(crate) fn expected(&self) -> PhysicalOffset {
        self.cutter.expected()
    }

    /// Takes in a frame; what is whole is written by [`ReplicaLog::write`]. A heartbeat changes nothing.
    ///
    /// # Errors
    /// A frame that does not follow, or begins an epoch within a record.
    pub(crate) async fn take(&mut self, frame: &Frame) -> Result<(), HaError> {
        let (offset, expected) = (frame.header.offset, self.expected());
        if offset != expected {
            return Err(HaError::Nonsense(format!("a frame for offset {offset} where {expected} is next")));
        }
        if frame.body.is_empty() {
            return Ok(());
        }
        if let Some(epoch) = frame.header.epoch
            && self.epoch != Some(epoch)
        {
            self.begin(epoch).await?;
        }
        if self.cutter.held_bytes() >= LARGE_PIECE_BYTES {
            self.write().await?;
        }
        self.cutter.feed(frame.body.clone());
        if let Some(unchecked) = &mut self.unchecked {
            unchecked.held.extend_from_slice(&frame.body);
        }
        Ok(())
    }

    /// Notes that the bytes from here on are of this epoch.
    pub(crate) async fn begin(&mut self, epoch: EpochEntry) -> Result<(), HaError> {
        self.write().await?;
        self.finish().await?;
        if self.cutter.expected() != self.cutter.offset() && !self.is_raw() {
            return Err(HaError::Nonsense(format!("epoch {} begins at {} within a record", epoch.id, self.expected())));
        }
        self.store.adopt_epoch(epoch).await?;
        self.epoch = Some(epoch);
        Ok(())
    }

    /// Writes all whole records that have come. Whether there were any. The last of them, if they are many, may still be
    /// under way: see [`ReplicaLog::written`].
    ///
    /// # Errors
    /// They are no log of this store's, or the store fails.
    pub(crate) async fn write(&mut self) -> Result<bool, HaError> {
        let mut any = false;
        while !self.is_raw() {
            match self.cutter.take() {
                Ok(None) => return Ok(any),
                Ok(Some((at, records))) => {
                    if let Some(unchecked) = &mut self.unchecked {
                        unchecked.held.advance(records.len());
                    }
                    self.append(at, records).await?;
                    any = true;
                }
                Err(error) => match &mut self.unchecked {
                    None => return Err(HaError::Nonsense(error.to_string())),
                    Some(unchecked) => {
                        tracing::warn!(%error, "HA: what comes from the master is no record, and is written all the same");
                        unchecked.is_raw = true;
                    }
                },
            }
        }
        self.write_raw().await.map(|wrote| wrote || any)
    }

    async fn append(&mut self, at: PhysicalOffset, records: Bytes) -> Result<(), HaError> {
        let is_large = records.len() >= LARGE_PIECE_BYTES;
        let append = self.store.begin_append_replica(at, records)?;
        // At most two are under way: what is received cannot run away from what is written.
        if let Some(former) = self.appending.replace(append) {
            former.await?;
        }
        if is_large { Ok(()) } else { self.finish().await }
    }

    /// Resolves when what is under way has been written; never, if nothing is. May be dropped while it waits.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn written(&mut self) -> Result<(), HaError> {
        match &mut self.appending {
            Some(append) => {
                let outcome = append.await;
                self.appending = None;
                outcome?;
                Ok(())
            }
            None => std::future::pending().await,
        }
    }

    /// Waits until nothing is under way.
    ///
    /// # Errors
    /// As [`ReplicaLog::written`].
    pub(crate) async fn finish(&mut self) -> Result<(), HaError> {
        if self.appending.is_some() { self.written().await } else { Ok(()) }
    }

    fn is_raw(&self) -> bool {
        self.unchecked.as_ref().is_some_and(|unchecked| unchecked.is_raw)
    }

    /// Writes what has come, records or not, file by file.
    async fn write_raw(&mut self) -> Result<bool, HaError> {
        self.finish().await?;
        let Some(unchecked) = &mut self.unchecked else { return Ok(false) };
        let file_bytes = self.store.config().mapped_file_size_commit_log_bytes;
        let mut any = false;
        while !unchecked.held.is_empty() {
            let at = self.cutter.expected() - unchecked.held.len() as i64;
            let in_file = usize::try_from(file_bytes - at.0.cast_unsigned() % file_bytes).unwrap_or(usize::MAX);
            let part = unchecked.held.split_to(in_file.min(unchecked.held.len())).freeze();
            self.store.append_replica(at, part).await?;
            any = true;
        }
        Ok(any)
    }
}

/// The bytes of our log from `from` to `to`, over as many files as they are in.
///
/// # Errors
/// The store fails, or does not have them any more.
pub(crate) async fn read_range(
    store: &MessageStore,
    from: PhysicalOffset,
    to: PhysicalOffset,
) -> Result<Vec<Bytes>, HaError> {
    let mut parts = Vec::new();
    let mut at = from;
    while at < to {
        let part = store.read_log(at, usize::try_from(to - at).unwrap_or(usize::MAX)).await?;
        if part.is_empty() {
            return Err(HaError::Refused(format!("the bytes {at}..{to} of our own log are not there any more")));
        }
        at += part.len() as i64;
        parts.push(part);
    }
    Ok(parts)
}

/// The CRC-32 of the bytes of our log from `from` to `to`.
///
/// # Errors
/// As [`read_range`].
pub(crate) async fn crc(store: &MessageStore, from: PhysicalOffset, to: PhysicalOffset) -> Result<u32, HaError> {
    let mut hasher = crc32fast::Hasher::new();
    for part in read_range(store, from, to).await? {
        hasher.update(&part);
    }
    Ok(hasher.finalize())
}

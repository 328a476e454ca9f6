//! The reading half of a connection with a buffer of its own, used again and again.
//!
//! The buffer grows with what has arrived, never with what was announced.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use sim::{net::OwnedReadHalf, time::timeout};
use tokio::io::AsyncReadExt;

use crate::error::HaError;

/// Room made for a read.
const READ_BYTES: usize = 64 << 10;
/// The most room made for a read, when much is coming.
const READ_BYTES_MAX: usize = 512 << 10;

/// The most that a short read gives: less than a frame's header.
const SHORT_READ_BYTES: usize = 7;

/// What comes from the other side.
pub(crate) struct Incoming {
    half: OwnedReadHalf,
    /// What has arrived and was not taken yet.
    pub(crate) buffer: BytesMut,
    /// How much the next read may take.
    room_bytes: usize,
}

impl Incoming {
    pub(crate) fn new(half: OwnedReadHalf) -> Incoming {
        Incoming { half, buffer: BytesMut::new(), room_bytes: READ_BYTES }
    }

    /// Reads once. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// [`HaError::Closed`] at the stream's end.
    pub(crate) async fn read(&mut self) -> Result<(), HaError> {
        if self.buffer.capacity() - self.buffer.len() < self.room_bytes / 2 {
            self.buffer.reserve(self.room_bytes);
        }
        let most = if sim::fault_point!("ha.read.short", 0.05) { SHORT_READ_BYTES } else { usize::MAX };
        match self.half.read_buf(&mut (&mut self.buffer).limit(most)).await? {
            0 => Err(HaError::Closed),
            // Much is coming: fewer, larger reads.
            bytes if bytes >= self.room_bytes / 2 => {
                self.room_bytes = (self.room_bytes * 2).min(READ_BYTES_MAX);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes exactly so many bytes, and waits for all of them at most `silence`: who sends them one by one holds a connection
    /// no longer than who sends none.
    ///
    /// # Errors
    /// As [`Incoming::read`], or [`HaError::Silent`].
    pub(crate) async fn exactly(&mut self, bytes: usize, silence: Duration) -> Result<Bytes, HaError> {
        if self.buffer.len() < bytes {
            let arrive = async {
                while self.buffer.len() < bytes {
                    self.read().await?;
                }
                Ok::<_, HaError>(())
            };
            timeout(silence, arrive).await.map_err(|_| HaError::Silent(silence))??;
        }
        Ok(self.buffer.split_to(bytes).freeze())
    }
}

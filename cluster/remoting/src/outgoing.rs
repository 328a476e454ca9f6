//! Frames on their way out: encoded bytes, in order, written many at a time.
//!
//! Small bodies are copied behind their header into one buffer, so that a burst of frames is one write. A large body keeps
//! its own memory and is written from there: messages are served from the store's memory without a copy.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use protocol::{FrameError, RemotingCommand, frame};
use tokio::io::AsyncWrite;

use crate::memory::{Backlog, Share};

/// Bodies up to this size are copied; above, an own slice of the vectored write costs less than the copy.
const COPIED_BODY_BYTES_MAX: usize = 8 * 1024;
/// Slices in one vectored write.
const SLICES_MAX: usize = 16;
/// What a short write takes.
const SHORT_WRITE_BYTES: usize = 11;
/// A larger buffer is given back once it is written; below, it stays for the next burst.
const KEPT_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// Encoded frames that wait to be written.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// Written first.
    sealed: VecDeque<Bytes>,
    /// Written last; new frames are added here.
    open: BytesMut,
    sealed_bytes: usize,
    /// What all connections have queued together.
    share: Share,
}

impl Outgoing {
    /// An empty queue; `backlog` is told of what is in it.
    pub fn new(backlog: Option<Arc<Backlog>>) -> Self {
        Self { share: backlog.map(Share::of).unwrap_or_default(), ..Self::default() }
    }

    /// How much waits.
    pub fn bytes(&self) -> usize {
        self.sealed_bytes + self.open.len()
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// The command cannot be written; nothing is added.
    pub fn push(&mut self, mut command: RemotingCommand) -> Result<(), FrameError> {
        if command.body.len() <= COPIED_BODY_BYTES_MAX {
            frame::encode(&command, &mut self.open)?;
        } else {
            frame::encode_head(&command, &mut self.open)?;
            self.seal();
            self.push_sealed(std::mem::take(&mut command.body));
        }
        self.share.tell(self.bytes());
        Ok(())
    }

    /// Moves all frames of `other` behind these.
    pub fn take_from(&mut self, other: &mut Self) {
        if other.bytes() == 0 {
            return;
        }
        if self.bytes() == 0 {
            // The usual case: the two buffers change places, and both keep their memory.
            std::mem::swap(self, other);
            return;
        }
        if other.sealed.is_empty() {
            self.open.extend_from_slice(&other.open);
            other.open.clear();
        } else {
            self.seal();
            self.sealed_bytes += std::mem::take(&mut other.sealed_bytes);
            self.sealed.append(&mut other.sealed);
            self.open = std::mem::take(&mut other.open);
        }
        self.share.tell(self.bytes());
        other.share.tell(0);
    }

    /// Writes as much as `to` takes, at most `most_bytes`. Ready with how much was written, never 0, or pending when nothing was
    /// taken.
    ///
    /// # Errors
    /// As the socket gives them; `WriteZero` when it takes nothing.
    pub fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        most_bytes: usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let to = Pin::new(to);
        let written = if self.sealed.is_empty() {
            let short = !self.open.is_empty() && sim::fault_point!("remoting.write.short", 0.05);
            let most = if short { SHORT_WRITE_BYTES } else { most_bytes };
            ready!(to.poll_write(context, &self.open[..self.open.len().min(most)]))?
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut used = 0;
            let mut left = most_bytes;
            let chunks = self.sealed.iter().map(|chunk| &chunk[..]).chain(std::iter::once(&self.open[..]));
            for (slice, chunk) in slices.iter_mut().zip(chunks) {
                if left == 0 {
                    break;
                }
                let taken = &chunk[..chunk.len().min(left)];
                *slice = IoSlice::new(taken);
                left -= taken.len();
                used += 1;
            }
            ready!(to.poll_write_vectored(context, &slices[..used]))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        self.share.tell(self.bytes());
        Poll::Ready(Ok(written))
    }

    fn advance(&mut self, mut bytes: usize) {
        while let Some(first) = self.sealed.front_mut() {
            let taken = bytes.min(first.len());
            first.advance(taken);
            bytes -= taken;
            self.sealed_bytes -= taken;
            if !first.is_empty() {
                return;
            }
            self.sealed.pop_front();
        }
        self.open.advance(bytes);
        if self.open.is_empty() {
            if self.open.capacity() > KEPT_BUFFER_BYTES_MAX {
                self.open = BytesMut::new();
            } else {
                self.open.clear();
            }
        }
    }

    /// Closes the open buffer, so that something else can follow it.
    fn seal(&mut self) {
        if !self.open.is_empty() {
            let open = self.open.split().freeze();
            self.push_sealed(open);
        }
    }

    fn push_sealed(&mut self, chunk: Bytes) {
        self.sealed_bytes += chunk.len();
        self.sealed.push_back(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::request_code;

    /// Takes a few bytes at a time.
    struct Trickle {
        taken: Vec<u8>,
        bytes_max: usize,
    }

    impl AsyncWrite for Trickle {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.bytes_max);
            self.taken.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn command(body_bytes: usize) -> RemotingCommand {
        RemotingCommand::request(request_code::HEART_BEAT, &()).with_body(vec![body_bytes as u8; body_bytes])
    }

    #[test]
    fn frames_of_all_sizes_leave_whole_and_in_order() {
        let sizes = [0, 10, COPIED_BODY_BYTES_MAX, COPIED_BODY_BYTES_MAX + 1, 3, 100_000, 20_000, 1];
        let mut expected = BytesMut::new();
        let (mut first, mut second) = (Outgoing::default(), Outgoing::default());
        for (index, size) in sizes.into_iter().enumerate() {
            frame::encode(&command(size), &mut expected).expect("it is short");
            if index < 4 { &mut first } else { &mut second }.push(command(size)).expect("it is short");
        }
        first.take_from(&mut second);
        assert_eq!((first.bytes(), second.bytes()), (expected.len(), 0));
        let mut to = Trickle { taken: Vec::new(), bytes_max: 777 };
        let mut context = Context::from_waker(std::task::Waker::noop());
        while first.bytes() > 0 {
            assert!(matches!(first.poll_write(&mut to, usize::MAX, &mut context), Poll::Ready(Ok(1..))));
        }
        assert!(to.taken == expected);
    }

    #[test]
    fn no_more_is_written_at_once_than_is_wanted() {
        let mut outgoing = Outgoing::default();
        let mut expected = BytesMut::new();
        for size in [10, 100_000, 20_000, 5_000] {
            frame::encode(&command(size), &mut expected).expect("it is short");
            outgoing.push(command(size)).expect("it is short");
        }
        let mut to = Trickle { taken: Vec::new(), bytes_max: usize::MAX };
        let mut context = Context::from_waker(std::task::Waker::noop());
        while outgoing.bytes() > 0 {
            let written = outgoing.poll_write(&mut to, 30_000, &mut context);
            assert!(matches!(written, Poll::Ready(Ok(1..=30_000))), "{written:?}");
        }
        assert!(to.taken == expected);
    }
}

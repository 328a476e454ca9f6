//! The memory of one large frame while it comes: a map of its own.
//!
//! An allocator keeps what was freed for whoever asks next, and a server that nobody asks for anything large again would keep
//! it for ever. A map goes back to the system with the last byte of its frame that somebody holds, and takes pages only for
//! what has come. It costs a system call or two and the clearing of pages, so it is for frames that take many reads
//! anyway; malloc draws the line at the same size (mallopt(3), M_MMAP_THRESHOLD).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use memmap2::MmapMut;
use tokio::io::{AsyncRead, ReadBuf};

/// Longer frames have a map of their own.
pub(crate) const MAPPED_ABOVE_BYTES: usize = 128 * 1024;

/// A frame that is being read. See the module's head.
#[derive(Debug)]
pub(crate) struct LargeFrame {
    map: MmapMut,
    filled: usize,
}

impl LargeFrame {
    /// Room for a frame of `frame_bytes`, of which `begun` has come, which is less.
    ///
    /// # Errors
    /// The system has no memory left.
    pub fn new(frame_bytes: usize, begun: &[u8]) -> io::Result<Self> {
        let mut map = MmapMut::map_anon(frame_bytes)?;
        map[..begun.len()].copy_from_slice(begun);
        Ok(Self { map, filled: begun.len() })
    }

    /// What has come of it.
    pub fn received(&self) -> &[u8] {
        &self.map[..self.filled]
    }

    /// The frame, if all of it has come.
    pub fn into_whole(self) -> Result<Bytes, Self> {
        if self.filled == self.map.len() { Ok(Bytes::from_owner(self.map)) } else { Err(self) }
    }

    /// Reads once, at most `most` bytes; 0 bytes are the end of the stream.
    pub fn poll_read(
        &mut self,
        from: Pin<&mut impl AsyncRead>,
        most: usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let end = self.map.len().min(self.filled.saturating_add(most));
        let mut room = ReadBuf::new(&mut self.map[self.filled..end]);
        ready!(from.poll_read(context, &mut room))?;
        let bytes = room.filled().len();
        self.filled += bytes;
        Poll::Ready(Ok(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_given_when_it_is_whole_and_nothing_of_the_next_one_is_read() {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut from: &[u8] = b"cdefgNEXT";
        let mut frame = LargeFrame::new(7, b"ab").expect("there is memory");
        for expected in [3, 2] {
            let read = frame.poll_read(Pin::new(&mut from), 3, &mut context);
            assert!(matches!(read, Poll::Ready(Ok(bytes)) if bytes == expected), "{read:?}");
            if expected == 3 {
                frame = frame.into_whole().expect_err("two bytes are missing");
                assert_eq!(frame.received(), b"abcde");
            }
        }
        assert_eq!(frame.into_whole().expect("it is whole"), &b"abcdefg"[..]);
        assert_eq!(from, b"NEXT");
    }
}

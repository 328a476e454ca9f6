//! The most recent records in this process's memory, by reference count.
//!
//! The appender's buffers are kept as they were written, oldest first, up to a number of bytes. A pull at the tail gets
//! slices of them: nothing is copied, and a buffer lives on while a response still holds a slice of it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

#[derive(Debug)]
pub(crate) struct TailCache {
    /// Buffers with the physical offset of their first byte, in order, without gaps except at the end of a file.
    blocks: VecDeque<(i64, Bytes)>,
    bytes: usize,
    max_bytes: usize,
}

impl TailCache {
    pub(crate) fn new(max_bytes: usize) -> TailCache {
        TailCache { blocks: VecDeque::new(), bytes: 0, max_bytes }
    }

    pub(crate) fn push(&mut self, start: i64, block: Bytes) {
        self.bytes += block.len();
        self.blocks.push_back((start, block));
        while self.bytes > self.max_bytes {
            let Some((_, oldest)) = self.blocks.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    /// The bytes at a physical offset, if all of them are here.
    pub(crate) fn get(&self, offset: i64, length: usize) -> Option<Bytes> {
        let after = self.blocks.partition_point(|(start, _)| *start <= offset);
        let (start, block) = self.blocks.get(after.checked_sub(1)?)?;
        let from = usize::try_from(offset - start).ok()?;
        let until = from.checked_add(length)?;
        (until <= block.len()).then(|| block.slice(from..until))
    }

    /// The bytes from a physical offset on as far as they are here, up to `length`; `None` when not even the first is. Those
    /// of one buffer are not copied.
    pub(crate) fn get_up_to(&self, offset: i64, length: usize) -> Option<Bytes> {
        let after = self.blocks.partition_point(|(start, _)| *start <= offset);
        let number = after.checked_sub(1)?;
        let (start, block) = self.blocks.get(number)?;
        let from = usize::try_from(offset - start).ok()?;
        let first = block.get(from..).filter(|first| !first.is_empty())?;
        if first.len() >= length {
            return Some(block.slice(from..from + length));
        }
        let follows = |at: i64| move |next: &&(i64, Bytes)| next.0 == at;
        let mut end = offset + first.len() as i64;
        if self.blocks.get(after).filter(follows(end)).is_none() {
            return Some(block.slice(from..));
        }
        let mut gathered = BytesMut::with_capacity(length);
        gathered.extend_from_slice(first);
        for (start, block) in self.blocks.range(after..) {
            if *start != end || gathered.len() == length {
                break;
            }
            let more = block.len().min(length - gathered.len());
            gathered.extend_from_slice(&block[..more]);
            end += more as i64;
        }
        Some(gathered.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_youngest_blocks_are_kept() {
        let mut tail = TailCache::new(10);
        tail.push(0, Bytes::from_static(b"01234"));
        tail.push(5, Bytes::from_static(b"56789"));
        assert_eq!(tail.get(0, 5).as_deref(), Some(&b"01234"[..]));
        assert_eq!(tail.get(3, 4), None, "a record lies in one block");
        tail.push(16, Bytes::from_static(b"ab"));
        assert_eq!(tail.get(0, 1), None);
        assert_eq!(tail.get(6, 3).as_deref(), Some(&b"678"[..]));
        assert_eq!(tail.get(12, 1), None, "a gap");
        assert_eq!(tail.get(16, 2).as_deref(), Some(&b"ab"[..]));
        assert_eq!(tail.get(17, 2), None);
    }

    #[test]
    fn bytes_are_gathered_up_to_a_gap() {
        let mut tail = TailCache::new(20);
        for (start, block) in [(0, "01234"), (5, "56789"), (16, "ab")] {
            tail.push(start, Bytes::from_static(block.as_bytes()));
        }
        assert_eq!(tail.get_up_to(1, 3).as_deref(), Some(&b"123"[..]));
        assert_eq!(tail.get_up_to(1, 7).as_deref(), Some(&b"1234567"[..]));
        assert_eq!(tail.get_up_to(1, 100).as_deref(), Some(&b"123456789"[..]), "behind 10 is a gap");
        assert_eq!(tail.get_up_to(10, 100), None);
        assert_eq!(tail.get_up_to(17, 100).as_deref(), Some(&b"b"[..]));
        assert_eq!(tail.get_up_to(18, 100), None);
    }
}

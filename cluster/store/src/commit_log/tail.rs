//! The most recent records in this process's memory, by reference count.
//!
//! The appender's buffers are kept as they were written, oldest first, up to a number of bytes. A pull at the tail gets
//! slices of them: nothing is copied, and a buffer lives on while a response still holds a slice of it.

use std::collections::VecDeque;

use bytes::Bytes;

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
}

//! Where a file has something other than zeros, found without reading what was only reserved.
//!
//! A file is as long as it will ever be from the beginning, and mostly empty for as long as it is the newest. The file system
//! knows what was never written (`SEEK_DATA`); only stretches of data are read, from the end back when the end is wanted. A file
//! of written zeros (Apache's `warmMapedFileEnable`, some ways to copy) is all data: who has to bound that says how far to look.

use std::{ops::Range, path::Path};

use sim::disk::File;

use super::{SCAN_CHUNK_BYTES, Segment};
use crate::error::{StoreError, io_error};

/// Shorter stretches are looked at before they are erased: most of them are the rest of a block, and zero.
const LOOKED_AT_BYTES_MAX: u64 = 1 << 20;

impl Segment {
    /// The next stretch of the file from `position` on in which there may be something other than zeros.
    pub(crate) async fn next_data(&self, position: u64) -> Result<Option<Range<u64>>, StoreError> {
        let size_bytes = self.size_bytes();
        if position >= size_bytes || sim::fault_point!("store.segment.holes-unknown") {
            return Ok((position < size_bytes).then_some(position..size_bytes));
        }
        let data = self.file().await?.next_data(position).await.map_err(self.error("look for data in"))?;
        let within = data.map(|data| data.start..data.end.min(size_bytes));
        Ok(within.filter(|data| !data.is_empty()))
    }

    /// The position just after the last byte that is not zero, looking from `position` on; `position` if there is none.
    pub(crate) async fn content_end(&self, position: u64) -> Result<u64, StoreError> {
        let mut stretches = Vec::new();
        let mut at = position;
        while let Some(data) = self.next_data(at).await? {
            at = data.end;
            stretches.push(data);
        }
        let longest = stretches.iter().map(|data| data.end - data.start).max().unwrap_or(0);
        let mut buffer = vec![0; usize::try_from(longest).unwrap_or(usize::MAX).min(SCAN_CHUNK_BYTES)];
        for data in stretches.into_iter().rev() {
            let mut end = data.end;
            while end > data.start {
                let start = data.start.max(end.saturating_sub(buffer.len() as u64));
                let length = self.read_into(&mut buffer[..(end - start) as usize], start).await?;
                if let Some(last) = last_non_zero(&buffer[..length]) {
                    return Ok(start + last as u64 + 1);
                }
                end = start;
            }
        }
        Ok(position)
    }

    /// Makes everything from `position` on zero, so that nothing of it can come back. Not yet synced. Returns whether there may
    /// have been anything.
    pub(crate) async fn erase_from(&self, position: u64) -> Result<bool, StoreError> {
        let (mut at, mut erased) = (position, false);
        while let Some(data) = self.next_data(at).await? {
            at = data.end;
            erased |= self.erase(data).await?;
        }
        Ok(erased)
    }

    /// Makes a stretch of data zero; whether there may have been anything else.
    async fn erase(&self, data: Range<u64>) -> Result<bool, StoreError> {
        if data.end - data.start > LOOKED_AT_BYTES_MAX {
            match self.file_to_write().await?.zero_range(data.clone()).await {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
                Err(error) => return Err(self.error("erase a part of")(error)),
            }
        }
        let length = usize::try_from(data.end - data.start).unwrap_or(usize::MAX).min(SCAN_CHUNK_BYTES);
        let (mut buffer, zeros) = (vec![0; length], vec![0; length]);
        let (mut at, mut erased) = (data.start, false);
        while at < data.end {
            let wanted = usize::try_from(data.end - at).unwrap_or(usize::MAX).min(buffer.len());
            let length = self.read_into(&mut buffer[..wanted], at).await?;
            if let Some(last) = last_non_zero(&buffer[..length]) {
                self.write(&zeros[..=last], at).await?;
                erased = true;
            }
            at += length as u64;
        }
        Ok(erased)
    }

    /// Copies what the file has to another, which has nothing yet.
    pub(super) async fn copy_content_to(&self, copy: &File, path: &Path) -> Result<(), StoreError> {
        let mut buffer = vec![0; SCAN_CHUNK_BYTES];
        let mut at = 0;
        while let Some(data) = self.next_data(at).await? {
            at = data.start;
            while at < data.end {
                let wanted = usize::try_from(data.end - at).unwrap_or(usize::MAX).min(buffer.len());
                let length = self.read_into(&mut buffer[..wanted], at).await?;
                if let Some(last) = last_non_zero(&buffer[..length]) {
                    copy.write_all_at(&buffer[..=last], at).await.map_err(io_error("write", path))?;
                }
                at += length as u64;
            }
        }
        Ok(())
    }
}

/// Whether these bytes are all zero, and if not, which is the last that is not.
pub(crate) fn last_non_zero(bytes: &[u8]) -> Option<usize> {
    // Eight bytes at a time: nearly all of what is looked through is zeros.
    let tail = bytes.len() - bytes.len() % 8;
    if let Some(last) = bytes[tail..].iter().rposition(|byte| *byte != 0) {
        return Some(tail + last);
    }
    let word = bytes[..tail].chunks_exact(8).rposition(|word| word != [0; 8])?;
    bytes[..word * 8 + 8].iter().rposition(|byte| *byte != 0)
}

#[cfg(test)]
mod tests {
    use super::last_non_zero;

    #[test]
    fn the_last_byte_that_is_not_zero_is_found() {
        for length in 0..40 {
            let mut bytes = vec![0; length];
            assert_eq!(last_non_zero(&bytes), None);
            for at in 0..length {
                bytes[at] = 1;
                assert_eq!(last_non_zero(&bytes), Some(at));
            }
        }
    }
}

//! What lies behind the end of the log: whole records, if any.
//!
//! From the drive alone nobody can tell a torn end from damage before acknowledged records, so everything that was ever written
//! behind the end is looked at, for a record's magic at any byte. What was only reserved is known to be empty. Written zeros
//! (a copied file, Apache's warmed ones) are read, but not for ever: no crash leaves so many before a record.

use std::sync::Arc;

use protocol::{
    PhysicalOffset,
    message::{MAGIC_V1, MAGIC_V2, RecordView, parse_record},
};

use crate::{
    error::StoreError,
    segment::{SCAN_CHUNK_BYTES, Segment, last_non_zero},
};

/// After so many written zeros nothing more is looked for in a file. What the kernel has under way at once is less.
const ZEROS_MAX: u64 = 24 << 20;

/// Which bytes are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// Records begin behind this offset,
    pub from: u64,
    /// and before this one.
    pub until: u64,
    /// Below, every byte is looked at: something is known to have been here.
    pub known: u64,
}

/// Whole records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Behind {
    /// The first.
    pub first: Option<PhysicalOffset>,
    /// The first that had been flushed.
    pub first_flushed: Option<PhysicalOffset>,
}

/// Looks for whole records, up to one that satisfies `is_flushed`.
pub(super) async fn look_behind(
    segments: &[Arc<Segment>],
    stretch: Stretch,
    is_flushed: impl Fn(&RecordView<'_>) -> bool,
) -> Result<Behind, StoreError> {
    let mut behind = Behind::default();
    let mut visit = |record: &RecordView<'_>| {
        behind.first = behind.first.or(Some(record.physical_offset));
        if is_flushed(record) {
            behind.first_flushed = Some(record.physical_offset);
        }
        behind.first_flushed.is_some()
    };
    for segment in segments.iter().filter(|segment| stretch.from < segment.end() && segment.start() < stretch.until) {
        if look_through(segment, stretch, &mut visit).await? {
            break;
        }
    }
    Ok(behind)
}

/// Looks through a file; whether `visit` has had enough.
async fn look_through(
    segment: &Segment,
    stretch: Stretch,
    visit: &mut impl FnMut(&RecordView<'_>) -> bool,
) -> Result<bool, StoreError> {
    let mut buffer = vec![0; SCAN_CHUNK_BYTES];
    let mut at = stretch.from.saturating_sub(segment.start());
    let mut zeros = 0;
    // A whole record is passed over: what its body has is no record of the log.
    let mut passed = at;
    while let Some(data) = segment.next_data(at).await? {
        at = data.start;
        while at < data.end {
            let offset = segment.start() + at;
            if offset >= stretch.until || zeros > ZEROS_MAX && offset >= stretch.known {
                return Ok(false);
            }
            let wanted = usize::try_from(data.end - at).unwrap_or(usize::MAX).min(buffer.len());
            let length = segment.read_into(&mut buffer[..wanted], at).await?;
            let Some(last) = last_non_zero(&buffer[..length]) else {
                zeros += length as u64;
                at += length as u64;
                continue;
            };
            zeros = (length - last) as u64;
            for start in beginnings(&buffer[..length], at) {
                let offset = segment.start() + start;
                if offset <= stretch.from || offset >= stretch.until || start < passed {
                    continue;
                }
                if let Some(record) = whole_record(segment, start).await? {
                    let Ok(view) = parse_record(&record) else { continue };
                    if visit(&view) {
                        return Ok(true);
                    }
                    passed = start + record.len() as u64;
                }
            }
            // The magic of a record that begins in the last 7 bytes is found with what follows.
            let next = at + (length as u64).saturating_sub(7).max(1);
            at = if at + length as u64 == data.end { data.end } else { next.max(passed).min(data.end) };
        }
    }
    Ok(false)
}

/// Where records may begin: before the magics in `bytes`, which lie at `at` of their file.
fn beginnings(bytes: &[u8], at: u64) -> impl Iterator<Item = u64> {
    let magics = [MAGIC_V1.to_be_bytes(), MAGIC_V2.to_be_bytes()];
    let is_magic = move |word: &[u8]| magics.iter().any(|magic| word == magic);
    let places = bytes.windows(4).enumerate().skip(4).filter(move |(_, word)| is_magic(word));
    places.map(move |(magic_at, _)| at + magic_at as u64 - 4)
}

async fn whole_record(segment: &Segment, position: u64) -> Result<Option<bytes::Bytes>, StoreError> {
    let head = segment.read(position, 4).await?;
    let length = head.first_chunk().map_or(0, |length| i32::from_be_bytes(*length));
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    if segment.start() + position + length as u64 > segment.end() {
        return Ok(None);
    }
    let bytes = segment.read(position, length).await?;
    let offset = PhysicalOffset((segment.start() + position).cast_signed());
    Ok(crate::commit_log::verify(&bytes, offset, &[]).is_ok().then_some(bytes))
}

//! The directories `diverged` and `damaged`: what recovery cuts off the log, kept for people.
//!
//! `<offset>-<epoch>` holds the bytes from that offset on, as they were in the log. In `diverged` they are what a replica's log
//! had behind the point where it was truncated: records that another life of the master wrote and that the present one does
//! not have. In `damaged` they are what stood behind a record that is damaged, or was never written whole, if there are whole
//! records among them: from the drive alone nobody can tell a torn end, of which nothing was acknowledged under SYNC_FLUSH,
//! from a flipped bit before acknowledged messages. Nothing reads these files, and nothing removes them.

use std::{path::PathBuf, sync::Arc};

use protocol::PhysicalOffset;
use sim::disk::{self, OpenOptions};

use crate::{
    config::StoreConfig,
    durable,
    error::{StoreError, io_error},
    history::EpochEntry,
    segment::{SCAN_CHUNK_BYTES, Segment, segment_name},
};

/// A copy of what was cut off.
pub(super) struct CutOff {
    /// Where it is.
    pub path: PathBuf,
    /// Where in the log it ended.
    pub until: u64,
}

/// Copies what the log has from `from` on, durably, into `directory` under a name of its own; where it is, if there is
/// anything.
pub(super) async fn keep(
    config: &StoreConfig,
    directory: &str,
    segments: &[Arc<Segment>],
    epochs: &[EpochEntry],
    from: u64,
) -> Result<Option<CutOff>, StoreError> {
    let mut parts = Vec::new();
    for segment in segments.iter().filter(|segment| from < segment.end()) {
        let begin = from.saturating_sub(segment.start());
        parts.push((segment, begin, segment.content_end(begin).await?));
    }
    // Files behind the last content are empty; those before it are copied whole, zeros and all.
    while parts.last().is_some_and(|(_, begin, end)| begin == end) {
        parts.pop();
    }
    let Some((last, _, last_end)) = parts.last().map(|(segment, begin, end)| (Arc::clone(segment), *begin, *end))
    else {
        return Ok(None);
    };
    let directory = config.store_path_root_dir.join(directory);
    durable::create_dir(&directory).await?;
    let from_offset = PhysicalOffset(from.cast_signed());
    let epoch =
        epochs.iter().rfind(|epoch| epoch.start <= from_offset).map_or(EpochEntry::UNKNOWN_ID, |epoch| epoch.id);
    let path = free_name(&directory.join(format!("{}-{epoch}", segment_name(from)))).await?;
    let temporary = durable::with_suffix(&path, ".tmp");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)
        .await
        .map_err(io_error("create", &temporary))?;
    let mut buffer = vec![0; SCAN_CHUNK_BYTES];
    let mut written = 0;
    for (segment, begin, _) in parts {
        let end = if segment.start() == last.start() { last_end } else { segment.end() - segment.start() };
        let mut at = begin;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let length = segment.read_into(&mut buffer[..wanted], at).await?;
            file.write_all_at(&buffer[..length], written).await.map_err(io_error("write", &temporary))?;
            at += length as u64;
            written += length as u64;
        }
    }
    file.sync_all().await.map_err(io_error("sync", &temporary))?;
    drop(file);
    disk::rename(&temporary, &path).await.map_err(io_error("rename", &temporary))?;
    durable::sync_dir(&directory).await?;
    tracing::warn!(from, bytes = written, kept_in = %path.display(), "the log is truncated: what follows is kept");
    let until = last.start() + last_end;
    Ok(Some(CutOff { path, until }))
}

/// `path`, or the first of `path.1`, `path.2`, … that is not taken: an earlier copy may have more.
async fn free_name(path: &std::path::Path) -> Result<PathBuf, StoreError> {
    let mut name = path.to_path_buf();
    for number in 1.. {
        if !disk::exists(&name).await.map_err(io_error("look for", &name))? {
            break;
        }
        name = durable::with_suffix(path, &format!(".{number}"));
    }
    Ok(name)
}

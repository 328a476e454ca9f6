//! The file `timeline` in the store directory: lines of text, each with its CRC-32 before it.
//!
//! ```text
//! 5f1d22a0 seen 81220 1767225600000 1767225600010 0f3c…     clock since boot, store time, wall clock (ms), boot id
//! 90ab13c7 at 8192 1767225690123 1767225603000 0 1767225603010
//!             physical offset, timestamp, store time, unseen (ms), wall clock
//! ```
//! It is replaced as a whole when the store is opened, and lines are appended while timestamps and time part; of `seen` the
//! last one counts. It is evidence and not truth: a line that is damaged, or was cut short by a crash, is passed over and told, and
//! what it said is then known from the timestamps, less exactly. Apache's brokers do not know it and leave it alone.

use std::path::{Path, PathBuf};

use protocol::PhysicalOffset;
use sim::disk::{self, OpenOptions};

use super::model::{Anchor, Noted, Sighting, StoreTime};
use crate::{
    config::StoreConfig,
    durable,
    error::{StoreError, io_error},
};

pub(super) fn path(config: &StoreConfig) -> PathBuf {
    config.store_path_root_dir.join("timeline")
}

/// What was noted; nothing when there is no file.
pub(super) async fn load(path: &Path) -> Result<Noted, StoreError> {
    if !disk::exists(path).await.map_err(io_error("look for", path))? {
        return Ok(Noted::default());
    }
    let bytes = disk::read(path).await.map_err(io_error("read", path))?;
    let (noted, damaged) = decode(&bytes);
    if damaged > 0 {
        tracing::warn!(
            path = %path.display(),
            lines = damaged,
            "lines of the timeline are damaged or cut short: when some records were stored is known by their timestamps only"
        );
    }
    Ok(noted)
}

/// Replaces the file, durably. How long it is.
pub(super) async fn store(path: &Path, noted: &Noted) -> Result<u64, StoreError> {
    let text = encode(noted);
    durable::replace_file(Some(durable::parent_of(path)), path, text.as_bytes(), None).await?;
    Ok(text.len() as u64)
}

/// Appends at `end`; where the file ends then. Synced if `sync`.
pub(super) async fn append(path: &Path, end: u64, noted: &Noted, sync: bool) -> Result<u64, StoreError> {
    let text = encode(noted);
    let mut options = OpenOptions::new();
    let file = options.write(true).open(path).await.map_err(io_error("open", path))?;
    file.write_all_at(text.as_bytes(), end).await.map_err(io_error("write", path))?;
    if sync {
        file.sync_data().await.map_err(io_error("sync", path))?;
    }
    Ok(end + text.len() as u64)
}

fn encode(noted: &Noted) -> String {
    let seen = noted.sighting.iter().map(|seen| {
        let Sighting { boot_id, since_boot_ms, at, wall_ms } = seen;
        format!("seen {since_boot_ms} {} {wall_ms} {boot_id}", at.ms())
    });
    let anchors = noted.anchors.iter().map(|anchor| {
        let Anchor { offset, timestamp_ms, at, unseen_ms, wall_ms } = anchor;
        format!("at {offset} {timestamp_ms} {} {unseen_ms} {wall_ms}", at.ms())
    });
    seen.chain(anchors).map(|line| format!("{:08x} {line}\n", crc32fast::hash(line.as_bytes()))).collect()
}

/// What the file says, and how many of its lines are damaged.
fn decode(bytes: &[u8]) -> (Noted, usize) {
    let mut noted = Noted::default();
    let mut damaged = 0;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let said = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')).and_then(|(crc, said)| {
            let is_whole = u32::from_str_radix(crc, 16) == Ok(crc32fast::hash(said.as_bytes()));
            is_whole.then_some(said)
        });
        let understood = match said.and_then(|said| said.split_once(' ')) {
            Some(("seen", rest)) => sighting(rest).map(|seen| noted.sighting = Some(seen)),
            Some(("at", rest)) => anchor(rest).map(|anchor| noted.anchors.push(anchor)),
            _ => None,
        };
        damaged += usize::from(understood.is_none());
    }
    (noted, damaged)
}

fn sighting(text: &str) -> Option<Sighting> {
    let mut words = text.splitn(4, ' ');
    let mut number = || words.next()?.parse().ok();
    let (since_boot_ms, at, wall_ms) = (number()?, StoreTime::from_ms(number()?), number()?);
    Some(Sighting { since_boot_ms, at, wall_ms, boot_id: words.next()?.to_owned() })
}

fn anchor(text: &str) -> Option<Anchor> {
    let mut words = text.split(' ');
    let mut number = || words.next()?.parse().ok();
    Some(Anchor {
        offset: PhysicalOffset(number()?),
        timestamp_ms: number()?,
        at: StoreTime::from_ms(number()?),
        unseen_ms: number()?,
        wall_ms: number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_damaged_line_is_passed_over_alone() {
        let anchor = |offset: i64| Anchor {
            offset: PhysicalOffset(offset),
            timestamp_ms: 1_767_225_600_000 + offset,
            at: StoreTime::from_ms(-offset),
            unseen_ms: 7,
            wall_ms: 9,
        };
        let seen = Sighting {
            boot_id: "process 12".to_owned(),
            since_boot_ms: 5,
            at: StoreTime::from_ms(6),
            wall_ms: i64::MIN,
        };
        let noted = Noted { sighting: Some(seen), anchors: vec![anchor(0), anchor(1 << 40)] };
        let text = encode(&noted);
        assert_eq!(decode(text.as_bytes()), (noted.clone(), 0));
        assert_eq!(decode(b""), (Noted::default(), 0));
        for at in 0..text.len() {
            let (cut, damaged) = decode(&text.as_bytes()[..at]);
            assert!(damaged <= 1 && cut.anchors.len() <= 2, "{at}");
            let mut torn = text.clone().into_bytes();
            torn[at] ^= 1;
            let (read, damaged) = decode(&torn);
            assert!((1..=2).contains(&damaged), "{at}: {read:?}");
            assert!(read.anchors.iter().all(|anchor| noted.anchors.contains(anchor)));
        }
    }
}

//! The file `epochs` in the store directory: the log's epochs, as text.
//!
//! ```text
//! 2                      how many
//! 2820474151             CRC-32 of what follows
//! 8217360491528302 0     id and start of each, in order
//! 5550123871126399 8192
//! ```
//! Apache's brokers do not know it and leave it alone. It is replaced as a whole and synced: a crash leaves the old or the
//! new one. A damaged one is refused, since to guess a history is to merge logs that differ.

use std::path::{Path, PathBuf};

use protocol::PhysicalOffset;
use sim::disk;

use super::EpochEntry;
use crate::{
    config::StoreConfig,
    durable,
    error::{StoreError, io_error},
};

pub(crate) fn path(config: &StoreConfig) -> PathBuf {
    config.store_path_root_dir.join("epochs")
}

/// The epochs stored; none when there is no file.
pub(crate) async fn load(path: &Path) -> Result<Vec<EpochEntry>, StoreError> {
    if !disk::exists(path).await.map_err(io_error("look for", path))? {
        return Ok(Vec::new());
    }
    let bytes = disk::read(path).await.map_err(io_error("read", path))?;
    decode(&bytes).map_err(|why| StoreError::EpochsFile { path: path.to_path_buf(), why })
}

/// Replaces the file, durably.
pub(crate) async fn store(path: &Path, epochs: &[EpochEntry]) -> Result<(), StoreError> {
    durable::replace_file(Some(durable::parent_of(path)), path, encode(epochs).as_bytes(), None).await
}

fn encode(epochs: &[EpochEntry]) -> String {
    let lines: String = epochs.iter().map(|epoch| format!("{} {}\n", epoch.id, epoch.start)).collect();
    format!("{}\n{}\n{lines}", epochs.len(), crc32fast::hash(lines.as_bytes()))
}

fn decode(bytes: &[u8]) -> Result<Vec<EpochEntry>, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no text")?;
    let head = || {
        let (count, rest) = text.split_once('\n')?;
        let (crc, lines) = rest.split_once('\n')?;
        Some((count.parse::<usize>().ok()?, crc.parse::<u32>().ok()?, lines))
    };
    let (count, crc, lines) = head().ok_or("its first two lines are not a count and a checksum")?;
    if crc32fast::hash(lines.as_bytes()) != crc {
        return Err("its checksum is wrong");
    }
    let entry = |line: &str| {
        let (id, start) = line.split_once(' ')?;
        Some(EpochEntry {
            id: id.parse().ok()?,
            start: PhysicalOffset(start.parse().ok().filter(|start| *start >= 0)?),
        })
    };
    let epochs: Option<Vec<_>> = lines.lines().map(entry).collect();
    let epochs = epochs.ok_or("a line is not an id and an offset")?;
    if epochs.len() != count || !epochs.is_sorted_by_key(|epoch| epoch.start) {
        return Err("its entries are not as many as it says, or not in order");
    }
    Ok(epochs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let epochs: Vec<_> = [(u64::MAX >> 1, 0), (7, 0), (9, 1 << 40)]
            .map(|(id, start)| EpochEntry { id, start: PhysicalOffset(start) })
            .into();
        let text = encode(&epochs);
        assert_eq!(decode(text.as_bytes()), Ok(epochs));
        assert_eq!(decode(encode(&[]).as_bytes()), Ok(Vec::new()));
        for cut in 0..text.len() {
            assert!(decode(&text.as_bytes()[..cut]).is_err(), "{cut}");
        }
        for at in 0..text.len() {
            let mut torn = text.clone().into_bytes();
            torn[at] ^= 1;
            assert!(decode(&torn).is_err(), "{at}");
        }
    }
}

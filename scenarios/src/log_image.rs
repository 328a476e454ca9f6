//! Reads the log of a replica from the image of its disk, as a program on that machine would find it.
//!
//! Walks the CommitLog's files from the first to the last, record by record, to the first place where there is none. The
//! broker's own idea of where its log ends goes before what the disk holds: behind it there may be old bytes that it does not
//! count as its log.

use crate::message::{self, MessageId};
use protocol::message::{RecordError, parse_record};
use std::ops::Range;

/// A log as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogImage {
    pub min: u64,
    /// One past the last record.
    pub max: u64,
    pub records: Vec<ImageRecord>,
}

/// A record in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    pub physical: u64,
    /// Of all its bytes.
    pub checksum: u32,
    pub topic: String,
    pub queue: i32,
    pub offset: i64,
    pub id: Option<MessageId>,
}

/// Reads the log under `directory` among these files. `bounds`: where its broker says that it begins and ends.
pub fn read(files: &[(String, Vec<u8>)], directory: &str, bounds: Option<Range<u64>>) -> LogImage {
    let number = |path: &str| path.strip_prefix(directory)?.strip_prefix('/')?.parse::<u64>().ok();
    let mut segments = files.iter().filter_map(|(path, bytes)| Some((number(path)?, bytes))).collect::<Vec<_>>();
    segments.sort_unstable_by_key(|(start, _)| *start);
    let mut image = LogImage::default();
    let Some((first, _)) = segments.first() else {
        return image;
    };
    let bounds = bounds.unwrap_or(*first..u64::MAX);
    image.min = bounds.start.max(*first);
    image.max = image.min;
    for (start, bytes) in segments {
        let mut at = 0;
        loop {
            let physical = start + at as u64;
            if physical >= bounds.end {
                return image;
            }
            match parse_record(&bytes[at..]) {
                Ok(record) => {
                    let whole = &bytes[at..at + record.total_bytes];
                    if physical >= image.min {
                        image.records.push(ImageRecord {
                            physical,
                            checksum: crc32fast::hash(whole),
                            topic: record.topic.to_owned(),
                            queue: record.queue_id,
                            offset: record.queue_offset.0,
                            id: message::identify(record.body),
                        });
                        image.max = physical + record.total_bytes as u64;
                    }
                    at += record.total_bytes;
                }
                Err(RecordError::Blank { .. }) => {
                    image.max = image.max.max(start + bytes.len() as u64).min(bounds.end);
                    break;
                }
                // The end of what was written; or, between files, of what belongs together.
                Err(_) => return image,
            }
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_disk_has_an_empty_log() {
        assert_eq!(read(&[], "/store/commitlog", None), LogImage::default());
        let zeros = vec![("/store/commitlog/00000000000000001024".to_owned(), vec![0; 1024])];
        assert_eq!(read(&zeros, "/store/commitlog", None), LogImage { min: 1024, max: 1024, records: Vec::new() });
        let elsewhere = vec![("/store/config/topics.json".to_owned(), vec![1; 10])];
        assert_eq!(read(&elsewhere, "/store/commitlog", None), LogImage::default());
    }

    /// The shortest record there can be: everything but size, magic and queue offset is zero.
    fn shortest() -> Vec<u8> {
        use protocol::message::{MAGIC_V1, RECORD_BYTES_MIN};
        let mut record = vec![0; RECORD_BYTES_MIN];
        record[..4].copy_from_slice(&(RECORD_BYTES_MIN as u32).to_be_bytes());
        record[4..8].copy_from_slice(&MAGIC_V1.to_be_bytes());
        record[20..28].copy_from_slice(&7_i64.to_be_bytes());
        record
    }

    #[test]
    fn records_are_read_up_to_the_end_that_the_broker_names() {
        let record = shortest();
        let bytes = [record.clone(), record.clone(), record.clone(), vec![0; 100]].concat();
        let files = vec![("/store/commitlog/00000000000000000000".to_owned(), bytes)];
        let whole = read(&files, "/store/commitlog", None);
        assert_eq!((whole.max, whole.records.len()), (3 * record.len() as u64, 3));
        assert_eq!((whole.records[1].physical, whole.records[1].offset), (record.len() as u64, 7));
        let named = read(&files, "/store/commitlog", Some(0..record.len() as u64));
        assert_eq!((named.max, named.records.len()), (record.len() as u64, 1));
        let later = read(&files, "/store/commitlog", Some(record.len() as u64..3 * record.len() as u64));
        assert_eq!((later.min, later.records.len()), (record.len() as u64, 2));
    }
}

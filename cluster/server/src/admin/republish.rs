//! `republish`: sends what only a set-aside part of a log has into the living topics. It reads a file of a store's `diverged` or
//! `damaged` directory, or all files of a `commitlog` directory, of a broker that is stopped; nothing there is changed.
//!
//! A message keeps its topic, tags, keys, unique key and other properties, and is marked with `REPUBLISHED_FROM`. A delayed one is
//! delayed anew. Of consumers each group is given it as any new message; whoever has had it before knows it by its keys.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use protocol::header::SendMessageRequestHeader;
use protocol::message::{MAGIC_V1, MAGIC_V2, RecordView, parse_record};
use protocol::properties::{Properties, property};
use protocol::sysflag::message as sysflag;
use protocol::{SendStatus, request_code, topic};
use sim::disk;

use super::message::queues;
use super::session::{AdminError, Session};

/// The mark of a message that was sent again: the file and the physical offset that it comes from.
const REPUBLISHED_FROM: &str = "REPUBLISHED_FROM";

/// `republish`
#[derive(Debug, Args)]
pub struct Republish {
    /// A file of `diverged`, or a `commitlog` directory
    #[arg(short = 'p', long = "path", value_name = "PATH")]
    path: PathBuf,
    /// Only messages at this physical offset or behind
    #[arg(long = "from", value_name = "OFFSET", default_value_t = 0)]
    from: i64,
    /// Only messages before this physical offset
    #[arg(long = "to", value_name = "OFFSET", default_value_t = i64::MAX)]
    to: i64,
    /// Only messages of this topic
    #[arg(short = 't', long = "topic")]
    topic: Option<String>,
    /// Send; without this the command only counts
    #[arg(long = "send")]
    send: bool,
}

impl Republish {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let (mut sent, mut left_out) = (BTreeMap::<String, usize>::new(), 0_usize);
        for path in self.files().await? {
            let bytes =
                disk::read(&path).await.map_err(|error| AdminError::Usage(format!("{}: {error}", path.display())))?;
            for record in records(&bytes) {
                let is_wanted = (self.from..self.to).contains(&record.physical_offset.0);
                if !is_wanted {
                    continue;
                }
                let Some((topic, properties)) = self.living(&record, &path) else {
                    left_out += 1;
                    continue;
                };
                if self.send {
                    send(session, &record, &topic, properties).await.map_err(|error| {
                        let at = record.physical_offset;
                        AdminError::Usage(format!("stopped at {at}: {error}; go on with --from {at}. {}", shown(&sent)))
                    })?;
                }
                *sent.entry(topic).or_default() += 1;
            }
        }
        let what = if self.send { "sent" } else { "found, not sent (--send)" };
        Ok(format!("{what}: {}\nleft out: {left_out} of the broker's own\n", shown(&sent)))
    }

    async fn files(&self) -> Result<Vec<PathBuf>, AdminError> {
        let Ok(entries) = disk::read_dir(&self.path).await else { return Ok(vec![self.path.clone()]) };
        let mut names: Vec<String> =
            entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name).collect();
        names.sort();
        Ok(names.into_iter().map(|name| self.path.join(name)).collect())
    }

    /// Where a message belongs, and its properties there; `None` of what a broker keeps for itself, or is not asked for.
    fn living(&self, record: &RecordView<'_>, path: &std::path::Path) -> Option<(String, Properties)> {
        let mut properties = Properties::decode(record.properties);
        let real = properties.get(property::REAL_TOPIC).map(str::to_owned);
        let topic = match real {
            Some(real) => real,
            None if record.topic.starts_with(topic::SYSTEM_TOPIC_PREFIX) || record.topic == topic::SCHEDULE_TOPIC => {
                return None;
            }
            None => record.topic.to_owned(),
        };
        if self.topic.as_ref().is_some_and(|wanted| *wanted != topic) {
            return None;
        }
        properties.remove(property::REAL_TOPIC);
        properties.remove(property::REAL_QID);
        properties.remove(property::CRC32);
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        properties.insert(REPUBLISHED_FROM, &format!("{file}@{}", record.physical_offset));
        Some((topic, properties))
    }
}

fn shown(sent: &BTreeMap<String, usize>) -> String {
    let mut text = format!("{} messages", sent.values().sum::<usize>());
    for (topic, count) in sent {
        // Writing to a string does not fail.
        let _ = write!(text, ", {count} of {topic}");
    }
    text
}

async fn send(
    session: &Session,
    record: &RecordView<'_>,
    topic: &str,
    properties: Properties,
) -> Result<(), AdminError> {
    let queues = queues(session, topic, None, None, true).await?;
    let queue = &queues[usize::try_from(record.queue_id).unwrap_or(0) % queues.len()];
    let header = SendMessageRequestHeader {
        producer_group: format!("mqadmin-{}", sim::process::id()),
        topic: topic.to_owned(),
        default_topic: topic::AUTO_CREATE_TOPIC_KEY.to_owned(),
        default_topic_queue_nums: 4,
        queue_id: queue.queue_id,
        sys_flag: record.sys_flag & (sysflag::COMPRESSED | sysflag::MULTI_TAGS | sysflag::COMPRESSION_MASK),
        flag: record.flag,
        born_timestamp: record.born_timestamp_ms,
        properties: Some(properties.encode()),
        batch: Some(false),
        ..Default::default()
    };
    let body = Bytes::copy_from_slice(record.body);
    let response = session.ask_any(&queue.addr, request_code::SEND_MESSAGE_V2, &header, body).await?;
    match SendStatus::from_response_code(response.code) {
        Some(SendStatus::SendOk) => Ok(()),
        _ => Err(AdminError::Refused {
            addr: queue.addr.clone(),
            request: request_code::SEND_MESSAGE_V2,
            code: response.code,
            remark: response.remark.unwrap_or_default(),
        }),
    }
}

/// The whole records in these bytes, in order; what lies between is passed over.
fn records(bytes: &[u8]) -> impl Iterator<Item = RecordView<'_>> {
    let magics = [MAGIC_V1, MAGIC_V2].map(u32::to_be_bytes);
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            match parse_record(&bytes[at..]) {
                Ok(record) if record.check_crc().is_ok() => {
                    at += record.total_bytes;
                    return Some(record);
                }
                _ => {
                    // The next one begins four bytes before the next magic.
                    let is_magic = |bytes: &[u8]| magics.iter().any(|magic| bytes == magic);
                    let rest = bytes.get(at + 5..).unwrap_or_default();
                    at = rest.windows(4).position(is_magic).map_or(bytes.len(), |magic| at + 1 + magic);
                }
            }
        }
        None
    })
}

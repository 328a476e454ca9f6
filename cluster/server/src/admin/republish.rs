//! `republish`: sends what only a set-aside part of a log has into the living topics. It reads a file of a store's `diverged` or
//! `damaged` directory, or all files of a `commitlog` directory, of a broker that is stopped; nothing there is changed.
//!
//! A message keeps its topic, tags, keys, unique key and other properties, and is marked with `REPUBLISHED_FROM`. A delayed one is
//! delayed anew. Of consumers each group is given it as any new message; whoever has had it before knows it by its keys. What the
//! living topic has already, by the unique key, is not sent again, so that a run may be repeated. What is no whole message is passed
//! over, and counted.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use protocol::header::SendMessageRequestHeader;
use protocol::message::{BLANK_MAGIC, MAGIC_V1, MAGIC_V2, RecordView, parse_record};
use protocol::properties::{Properties, property};
use protocol::sysflag::message as sysflag;
use protocol::{SendStatus, request_code, response_code, topic};
use sim::disk;

use super::message::{Queue, queues};
use super::query::by_unique_key;
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

/// What a run has done.
#[derive(Default)]
struct Tally {
    /// By topic.
    sent: BTreeMap<String, usize>,
    /// Of those that were sent: without a unique key.
    nameless: usize,
    /// What the living topics have already.
    there: usize,
    /// Of topics that are no more.
    topicless: BTreeMap<String, usize>,
    /// The broker's own.
    left_out: usize,
    /// Bytes, not zero, that belong to no whole message.
    damaged_bytes: usize,
}

impl Republish {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let mut tally = Tally::default();
        for path in self.files().await? {
            let bytes =
                disk::read(&path).await.map_err(|error| AdminError::Usage(format!("{}: {error}", path.display())))?;
            let mut whole = 0;
            for (at, record) in records(&bytes) {
                tally.damaged_bytes += damaged(&bytes[whole..at]);
                whole = at + record.total_bytes;
                if (self.from..self.to).contains(&record.physical_offset.0) {
                    self.take(session, &record, &path, &mut tally).await.map_err(|error| {
                        let at = record.physical_offset;
                        AdminError::Usage(format!(
                            "stopped at {at}: {error}; go on with --from {at}. {}",
                            tally.shown(true)
                        ))
                    })?;
                }
            }
            tally.damaged_bytes += damaged(&bytes[whole..]);
        }
        Ok(tally.shown(self.send))
    }

    async fn take(
        &self,
        session: &Session,
        record: &RecordView<'_>,
        path: &std::path::Path,
        tally: &mut Tally,
    ) -> Result<(), AdminError> {
        let Some((topic, properties)) = self.living(record, path) else {
            tally.left_out += 1;
            return Ok(());
        };
        if self.topic.as_ref().is_some_and(|wanted| *wanted != topic) {
            return Ok(());
        }
        if self.send {
            let queues = match queues(session, &topic, None, None, true).await {
                Err(error) if error.code() == Some(response_code::TOPIC_NOT_EXIST) => {
                    *tally.topicless.entry(topic).or_default() += 1;
                    return Ok(());
                }
                queues => queues?,
            };
            match properties.get(property::UNIQ_KEY) {
                None => tally.nameless += 1,
                Some(key) if !by_unique_key(session, &topic, key).await?.is_empty() => {
                    tally.there += 1;
                    return Ok(());
                }
                Some(_) => {}
            }
            send(session, record, &topic, properties, &queues).await?;
        }
        *tally.sent.entry(topic).or_default() += 1;
        Ok(())
    }

    async fn files(&self) -> Result<Vec<PathBuf>, AdminError> {
        let Ok(entries) = disk::read_dir(&self.path).await else { return Ok(vec![self.path.clone()]) };
        let mut names: Vec<String> =
            entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name).collect();
        names.sort();
        Ok(names.into_iter().map(|name| self.path.join(name)).collect())
    }

    /// Where a message belongs, and its properties there; `None` of what a broker keeps for itself.
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
        properties.remove(property::REAL_TOPIC);
        properties.remove(property::REAL_QID);
        properties.remove(property::CRC32);
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        properties.insert(REPUBLISHED_FROM, &format!("{file}@{}", record.physical_offset));
        Some((topic, properties))
    }
}

/// How many bytes between two records are neither zeros nor the blank at a file's end.
fn damaged(gap: &[u8]) -> usize {
    let is_blank = gap.get(4..8).is_some_and(|magic| magic == BLANK_MAGIC.to_be_bytes());
    gap.iter().skip(if is_blank { 8 } else { 0 }).filter(|byte| **byte != 0).count()
}

impl Tally {
    fn shown(&self, is_sending: bool) -> String {
        let counted = |of: &BTreeMap<String, usize>| {
            let topics = of.iter().map(|(topic, count)| format!(", {count} of {topic}")).collect::<String>();
            format!("{} messages{topics}", of.values().sum::<usize>())
        };
        let what = if is_sending { "sent" } else { "found, not sent (--send)" };
        let mut text = format!("{what}: {}\nleft out: {} of the broker's own\n", counted(&self.sent), self.left_out);
        // Writing to a string does not fail.
        if self.there > 0 {
            let _ = writeln!(text, "not sent again: {} that the topics have already", self.there);
        }
        if self.nameless > 0 {
            let _ = writeln!(text, "without a unique key: {}, which another run would send again", self.nameless);
        }
        if !self.topicless.is_empty() {
            let lacking = counted(&self.topicless);
            let _ = writeln!(
                text,
                "not sent: {lacking}: no broker has that topic any more; updateTopic, then say it again"
            );
        }
        if self.damaged_bytes > 0 {
            let _ = writeln!(text, "passed over: {} bytes that are no whole message", self.damaged_bytes);
        }
        text
    }
}

async fn send(
    session: &Session,
    record: &RecordView<'_>,
    topic: &str,
    properties: Properties,
    queues: &[Queue],
) -> Result<(), AdminError> {
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

/// The whole records in these bytes, in order, and where each begins; what lies between is passed over.
fn records(bytes: &[u8]) -> impl Iterator<Item = (usize, RecordView<'_>)> {
    let magics = [MAGIC_V1, MAGIC_V2].map(u32::to_be_bytes);
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            match parse_record(&bytes[at..]) {
                Ok(record) if record.check_crc().is_ok() => {
                    let begin = at;
                    at += record.total_bytes;
                    return Some((begin, record));
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

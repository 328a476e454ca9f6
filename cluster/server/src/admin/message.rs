//! Messages: `queryMsgById`, `sendMessage`, `consumeMessage`, `printMsg`.

use std::ops::RangeInclusive;

use bytes::Bytes;
use clap::{ArgAction, Args};
use protocol::header::{
    GetMaxOffsetRequestHeader, GetMinOffsetRequestHeader, PullMessageRequestHeader, PullMessageResponseHeader,
    SearchOffsetRequestHeader, SendMessageRequestHeader, SendMessageResponseHeader, ViewMessageRequestHeader,
};
use protocol::message::{MessageExt, decode_messages};
use protocol::message_id::{decode_offset_message_id, unique_key};
use protocol::properties::{Properties, property};
use protocol::sysflag::pull as pull_flag;
use protocol::{QueueOffset, SendStatus, perm, request_code, response_code, topic};
use sim::time::wall_clock_ms;

use super::session::{AdminError, Missing, Session};
use super::text::{self, Times};

/// The consumer group of `mqadmin` (`MixAll.TOOLS_CONSUMER_GROUP`).
const TOOLS_CONSUMER_GROUP: &str = "TOOLS_CONSUMER";

/// `queryMsgById`
#[derive(Debug, Args)]
pub struct QueryMsgById {
    /// The offset message id, as a send answered it
    #[arg(short = 'i', long = "msgId")]
    msg_id: String,
}

impl QueryMsgById {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let (addr, offset) =
            decode_offset_message_id(&self.msg_id).map_err(|error| AdminError::Usage(error.to_string()))?;
        let header = ViewMessageRequestHeader { offset, topic: None };
        let response = session.ask(&addr.to_string(), request_code::VIEW_MESSAGE_BY_ID, &header, Bytes::new()).await?;
        let message = decode(response.body)?.pop();
        let message = message.ok_or_else(|| AdminError::Usage(format!("{addr} has no message {}", self.msg_id)))?;
        Ok(format!("{:<20} {}\n{}", "OffsetID:", self.msg_id, shown(&message, session.times())))
    }
}

/// A message, one line for each of its fields.
pub(super) fn shown(message: &MessageExt, times: &Times) -> String {
    let lines = [
        ("Topic:", message.topic.clone()),
        ("Tags:", format!("[{}]", message.tags().unwrap_or_default())),
        ("Keys:", format!("[{}]", message.keys().unwrap_or_default())),
        ("Queue ID:", message.queue_id.to_string()),
        ("Queue Offset:", message.queue_offset.to_string()),
        ("CommitLog Offset:", message.commit_log_offset.to_string()),
        ("Reconsume Times:", message.reconsume_times.to_string()),
        ("Born Timestamp:", times.time_ms(message.born_timestamp_ms)),
        ("Store Timestamp:", times.time_ms(message.store_timestamp_ms)),
        ("Born Host:", message.born_host.to_string()),
        ("Store Host:", message.store_host.to_string()),
        ("System Flag:", message.sys_flag.to_string()),
        ("Properties:", shown_properties(message)),
        ("Message Body:", String::from_utf8_lossy(&message.body).into_owned()),
    ];
    lines.iter().map(|(name, value)| format!("{name:<20} {value}\n")).collect()
}

pub(super) fn decode(body: Bytes) -> Result<Vec<MessageExt>, AdminError> {
    let decoded: Result<_, _> = decode_messages(body).collect();
    decoded.map_err(|error| AdminError::Usage(format!("the broker's record cannot be read: {error}")))
}

fn shown_properties(message: &MessageExt) -> String {
    let pairs: Vec<String> = message.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// One queue of a topic and where it is.
pub(super) struct Queue {
    broker_name: String,
    pub addr: String,
    pub queue_id: i32,
}

/// The queues of a topic that may be written, or read; of one broker and one queue only, if given.
pub(super) async fn queues(
    session: &Session,
    topic: &str,
    broker_name: Option<&str>,
    queue_id: Option<i32>,
    writing: bool,
) -> Result<Vec<Queue>, AdminError> {
    let route = session.route(topic).await?;
    let mut queues = Vec::new();
    for data in &route.queue_datas {
        let allowed = if writing { perm::is_writable(data.perm) } else { perm::is_readable(data.perm) };
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == data.broker_name);
        let addr = broker.and_then(|broker| broker.master_or_any_addr());
        let Some(addr) = addr.filter(|_| allowed && broker_name.is_none_or(|name| name == data.broker_name)) else {
            continue;
        };
        let nums = if writing { data.write_queue_nums } else { data.read_queue_nums };
        queues.extend((0..nums).filter(|id| queue_id.is_none_or(|wanted| wanted == *id)).map(|queue_id| Queue {
            broker_name: data.broker_name.clone(),
            addr: addr.to_owned(),
            queue_id,
        }));
    }
    if queues.is_empty() {
        return Err(AdminError::Usage(format!(
            "topic {topic} has no such queue that may be {}",
            if writing { "written" } else { "read" }
        )));
    }
    Ok(queues)
}

/// `sendMessage`
#[derive(Debug, Args)]
pub struct SendMessage {
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// The body, UTF-8
    #[arg(short = 'p', long = "body")]
    body: String,
    /// Its keys
    #[arg(short = 'k', long = "key")]
    keys: Option<String>,
    /// Its tag
    #[arg(short = 'c', long = "tags")]
    tags: Option<String>,
    /// The broker's name
    #[arg(short = 'b', long = "broker")]
    broker_name: Option<String>,
    /// The queue
    #[arg(short = 'i', long = "qid", requires = "broker_name")]
    queue_id: Option<i32>,
}

impl SendMessage {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let queues = queues(session, &self.topic, self.broker_name.as_deref(), self.queue_id, true).await?;
        let pick = usize::try_from(sim::rng::below("mqadmin: queue", queues.len() as u64)).unwrap_or(0);
        let Queue { broker_name, addr, queue_id } = &queues[pick];
        let mut properties = Properties::new();
        let wrong = |error: protocol::properties::PropertyError| AdminError::Usage(error.to_string());
        for (name, value) in [(property::KEYS, &self.keys), (property::TAGS, &self.tags)] {
            if let Some(value) = value {
                properties.set(name, value).map_err(wrong)?;
            }
        }
        let msg_id = unique_key(
            sim::net::local_ip(),
            // The key has room for 16 bits of it.
            sim::process::id() as u16,
            sim::rng::u64("mqadmin: salt of message ids") as u32,
            (wall_clock_ms() % 2_678_400_000) as u32,
            0,
        );
        properties.insert(property::UNIQ_KEY, &msg_id);
        let header = SendMessageRequestHeader {
            producer_group: format!("mqadmin-{}", sim::process::id()),
            topic: self.topic.clone(),
            default_topic: topic::AUTO_CREATE_TOPIC_KEY.to_owned(),
            default_topic_queue_nums: 4,
            queue_id: *queue_id,
            born_timestamp: wall_clock_ms(),
            properties: Some(properties.encode()),
            batch: Some(false),
            ..Default::default()
        };
        let response = session.ask_any(addr, request_code::SEND_MESSAGE_V2, &header, self.body.clone()).await?;
        let Some(status) = SendStatus::from_response_code(response.code) else {
            let remark = response.remark.unwrap_or_default();
            return Err(AdminError::Refused {
                addr: addr.clone(),
                request: request_code::SEND_MESSAGE_V2,
                code: response.code,
                remark,
            });
        };
        let answer: SendMessageResponseHeader = response.header()?;
        Ok(format!(
            "{:<32}  {:<4}  {:<20}    {}\n{broker_name:<32}  {:<4}  {:<20}    {msg_id} (offset id {})\n",
            "#Broker Name",
            "#QID",
            "#Send Result",
            "#MsgId",
            answer.queue_id,
            status.name(),
            answer.msg_id
        ))
    }
}

/// `consumeMessage`
#[derive(Debug, Args)]
pub struct ConsumeMessage {
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// How many messages of each queue at most
    #[arg(short = 'c', long = "messageCount", default_value_t = 128)]
    message_count: usize,
    /// The broker's name
    #[arg(short = 'b', long = "brokerName")]
    broker_name: Option<String>,
    /// The queue
    #[arg(short = 'i', long = "queueId", requires = "broker_name")]
    queue_id: Option<i32>,
    /// Where to begin; without it, at the first message that is there
    #[arg(short = 'o', long = "offset")]
    offset: Option<i64>,
    /// The consumer group to read as
    #[arg(short = 'g', long = "consumerGroup", default_value = TOOLS_CONSUMER_GROUP)]
    consumer_group: String,
}

impl ConsumeMessage {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let (mut out, mut missing) = (String::new(), Missing::default());
        for queue in queues(session, &self.topic, self.broker_name.as_deref(), self.queue_id, false).await? {
            let reading = Reading { session, topic: &self.topic, group: &self.consumer_group, expression: "*" };
            let read = self.queue(&reading, &queue).await;
            out.push_str(&missing.note(&queue.broker_name, read).unwrap_or_default());
        }
        missing.end(out)
    }

    async fn queue(&self, reading: &Reading<'_>, queue: &Queue) -> Result<String, AdminError> {
        let (min, max) = reading.bounds(queue).await?;
        let mut out = format!(
            "minOffset={min}, maxOffset={max}, MessageQueue [topic={}, brokerName={}, queueId={}]\n",
            self.topic, queue.broker_name, queue.queue_id
        );
        let begin = self.offset.unwrap_or(min).max(min);
        for message in reading.messages(queue, begin, max, self.message_count).await? {
            out.push_str(&line(&message, queue, reading.session.times(), true));
        }
        Ok(out)
    }
}

/// `printMsg`
#[derive(Debug, Args)]
pub struct PrintMsg {
    /// The topic
    #[arg(short = 't', long = "topic")]
    topic: String,
    /// Only messages with these tags, separated by ||
    #[arg(short = 's', long = "subExpression", default_value = "*")]
    sub_expression: String,
    /// Only messages stored at this time or later: in ms since 1970, or as yyyy-MM-dd#HH:mm:ss:SSS
    #[arg(short = 'b', long = "beginTimestamp", value_name = "TIME")]
    begin_timestamp: Option<String>,
    /// Only messages stored at this time or earlier
    #[arg(short = 'e', long = "endTimestamp", value_name = "TIME")]
    end_timestamp: Option<String>,
    /// Whether bodies are shown, as UTF-8
    #[arg(short = 'd', long = "printBody", default_value_t = true, action = ArgAction::Set, value_parser = text::switch)]
    print_body: bool,
}

impl PrintMsg {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let stored = session.time_range(self.begin_timestamp.as_deref(), self.end_timestamp.as_deref())?;
        let reading =
            Reading { session, topic: &self.topic, group: TOOLS_CONSUMER_GROUP, expression: &self.sub_expression };
        let (mut out, mut missing) = (String::new(), Missing::default());
        for queue in queues(session, &self.topic, None, None, false).await? {
            let read = self.queue(&reading, &queue, &stored).await;
            out.push_str(&missing.note(&queue.broker_name, read).unwrap_or_default());
        }
        missing.end(out)
    }

    async fn queue(
        &self,
        reading: &Reading<'_>,
        queue: &Queue,
        stored: &RangeInclusive<i64>,
    ) -> Result<String, AdminError> {
        let (min, max) = reading.bounds(queue).await?;
        let begin = if *stored.start() > 0 { reading.offset_of(queue, *stored.start()).await?.max(min) } else { min };
        let messages = reading.messages(queue, begin, max, usize::MAX).await?;
        let in_time = messages.iter().filter(|message| stored.contains(&message.store_timestamp_ms));
        Ok(in_time.map(|message| line(message, queue, reading.session.times(), self.print_body)).collect())
    }
}

/// A message as `consumeMessage` and `printMsg` show it.
fn line(message: &MessageExt, queue: &Queue, times: &Times, with_body: bool) -> String {
    let mut line = format!(
        "MSGID: {} MessageExt [brokerName={}, queueId={}, queueOffset={}, storeTimestamp={}, bornHost={}, \
         commitLogOffset={}, reconsumeTimes={}, properties={}]",
        message.msg_id,
        queue.broker_name,
        message.queue_id,
        message.queue_offset,
        times.time_ms(message.store_timestamp_ms),
        message.born_host,
        message.commit_log_offset,
        message.reconsume_times,
        shown_properties(message),
    );
    if with_body {
        line.push_str(&format!(" BODY: {}", String::from_utf8_lossy(&message.body)));
    }
    line.push('\n');
    line
}

/// How queues are read.
struct Reading<'a> {
    session: &'a Session,
    topic: &'a str,
    group: &'a str,
    expression: &'a str,
}

impl Reading<'_> {
    /// The offset of a queue's first message, and the one after its last.
    async fn bounds(&self, queue: &Queue) -> Result<(i64, i64), AdminError> {
        let (topic, queue_id) = (self.topic.to_owned(), queue.queue_id);
        let header = GetMinOffsetRequestHeader { topic: topic.clone(), queue_id, broker_name: None };
        let min = self.session.ask_offset(&queue.addr, request_code::GET_MIN_OFFSET, &header).await?;
        let header = GetMaxOffsetRequestHeader { topic, queue_id, ..Default::default() };
        let max = self.session.ask_offset(&queue.addr, request_code::GET_MAX_OFFSET, &header).await?;
        Ok((min, max))
    }

    /// The offset of the first message that was stored at this time or later.
    async fn offset_of(&self, queue: &Queue, timestamp: i64) -> Result<i64, AdminError> {
        let (topic, queue_id) = (self.topic.to_owned(), queue.queue_id);
        let header = SearchOffsetRequestHeader { topic, queue_id, timestamp, ..Default::default() };
        self.session.ask_offset(&queue.addr, request_code::SEARCH_OFFSET_BY_TIMESTAMP, &header).await
    }

    /// At most `count` messages from offset `begin` to before `end`.
    async fn messages(&self, queue: &Queue, begin: i64, end: i64, count: usize) -> Result<Vec<MessageExt>, AdminError> {
        let (mut offset, mut found) = (begin, Vec::new());
        while offset < end && found.len() < count {
            let (next, messages) = self.pull(queue, offset, count - found.len()).await?;
            found.extend(messages);
            if next <= offset {
                break;
            }
            offset = next;
        }
        Ok(found)
    }

    async fn pull(&self, queue: &Queue, offset: i64, count: usize) -> Result<(i64, Vec<MessageExt>), AdminError> {
        let header = PullMessageRequestHeader {
            consumer_group: self.group.to_owned(),
            topic: self.topic.to_owned(),
            queue_id: queue.queue_id,
            queue_offset: QueueOffset(offset),
            max_msg_nums: i32::try_from(count.min(32)).unwrap_or(32),
            sys_flag: pull_flag::SUBSCRIPTION,
            subscription: Some(self.expression.to_owned()),
            ..Default::default()
        };
        let response = self.session.ask_any(&queue.addr, request_code::PULL_MESSAGE, &header, Bytes::new()).await?;
        match response.code {
            response_code::SUCCESS
            | response_code::PULL_NOT_FOUND
            | response_code::PULL_RETRY_IMMEDIATELY
            | response_code::PULL_OFFSET_MOVED => {
                let next = response.header::<PullMessageResponseHeader>()?.next_begin_offset.0;
                Ok((next, decode(response.body)?))
            }
            code => {
                let (addr, remark) = (queue.addr.clone(), response.remark.unwrap_or_default());
                Err(AdminError::Refused { addr, request: request_code::PULL_MESSAGE, code, remark })
            }
        }
    }
}

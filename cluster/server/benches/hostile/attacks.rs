//! What hostile or clumsy clients do, each until it is stopped.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::BytesMut;
use client::{Message, Producer};
use protocol::body::{JsonBody, LockBatchRequestBody, MessageQueue};
use protocol::{RemotingCommand, frame, request_code as code};
use remoting::{ClientConfig, RemotingClient};
use sim::net::TcpStream;
use sim::task;
use sim::time::sleep;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const MIB: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);
/// Two keys with one hash (`String.hashCode`).
const HOT: &str = "hot";
const COLLIDES: &str = "hpU";
/// The topic that attackers use.
const TOPIC: &str = "TopicHostile";
/// Where a record's body begins.
const RECORD_HEAD_BYTES: i64 = 88;

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One kind of attack.
pub struct Attack {
    /// What is done.
    pub name: &'static str,
    /// Whether the store has many messages with one key.
    pub is_on_hot_key: bool,
    /// Does it for ever.
    pub run: fn(Target) -> Running,
}

macro_rules! attacks {
    ($($name:literal $(on $hot:ident)? => $run:ident,)*) => {
        /// All of them.
        pub const ATTACKS: &[Attack] = &[$(Attack {
            name: $name,
            is_on_hot_key: attacks!(@hot $($hot)?),
            run: |target| Box::pin($run(target)),
        },)*];
    };
    (@hot hot_key) => { true };
    (@hot) => { false };
}

attacks! {
    "nothing" => nothing,
    "VIEW_MESSAGE_BY_ID into a body, 8 at a time" => view_into_body,
    "heartbeats with 120,000 subscriptions" => heartbeats_too_long,
    "heartbeats with 15,000 subscriptions" => heartbeats_long,
    "queries over a hot key, 8 at a time" on hot_key => query_hot_key,
    "60 unfinished frames of 16 MiB" => unfinished_frames,
    "2,000 silent connections" => silent_connections,
    "connections that send a heartbeat and depart" => departures,
    "20,000 held pulls with filters that never match" => pulls_that_never_match,
    "a flood of malformed requests" => malformed,
    "100,000 requests without reading the answers" => deaf,
    "16 slow readers of large pulls" => slow_pulls,
    "offsets of topics that there are not" => offsets_of_nothing,
    "GET_ALL_CONSUMER_OFFSET with 100,000 offsets, 4 at a time" => large_offset_table,
    "LOCK_BATCH_MQ of 100,000 queues" => locks,
    "a new topic with each send" => new_topics,
    "a new group with each pull" => new_groups,
}

/// The broker, and what is in its store.
#[derive(Clone)]
pub struct Target {
    /// Its address; empty for a sink of the attackers' own.
    pub addr: String,
    /// Where in the log a body is that looks like records.
    pub body_at: i64,
}

impl Target {
    /// Stores what attacks need.
    pub async fn prepare(addr: String, producer: &Producer, hot: usize) -> Self {
        // Lengths of records that would reach far beyond their file.
        let body: Vec<u8> = (900 * MIB as i32).to_be_bytes().repeat(64);
        let sent = producer.send(Message::new(TOPIC, body)).await.expect("it is stored");
        // The last 16 digits are the place in the log.
        let digits = &sent.offset_msg_id[sent.offset_msg_id.len() - 16..];
        let body_at = i64::from_str_radix(digits, 16).expect("hexadecimal digits") + RECORD_HEAD_BYTES;
        let senders: Vec<_> = (0..64)
            .map(|_| {
                let producer = producer.clone();
                task::spawn(async move {
                    for _ in 0..hot / 64 {
                        let message = Message::new(TOPIC, "hot").with_keys([HOT]).expect("it is a key");
                        producer.send(message).await.expect("it is stored");
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await.expect("it does not panic");
        }
        Self { addr, body_at }
    }

    /// The same, done to a sink.
    pub fn of_a_sink(&self) -> Self {
        Self { addr: String::new(), ..*self }
    }

    fn socket_addr(&self) -> SocketAddr {
        self.addr.parse().expect("it is an address")
    }

    async fn connect(&self) -> TcpStream {
        loop {
            match TcpStream::connect(self.socket_addr()).await {
                Ok(stream) => return stream,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Asks again and again, on `clients` connections, each of which waits for its answers.
    async fn ask(&self, clients: usize, request: impl Fn(u64) -> RemotingCommand + Clone + Send + 'static) {
        let asking: Vec<_> = (0..clients as u64)
            .map(|client| {
                let (addr, request) = (self.addr.clone(), request.clone());
                Task(task::spawn(async move {
                    let remoting = RemotingClient::new(ClientConfig::default());
                    for number in (client..).step_by(clients) {
                        // Whatever it is answered.
                        let _ = remoting.invoke(&addr, request(number), TIMEOUT).await;
                    }
                }))
            })
            .collect();
        std::future::pending::<()>().await;
        drop(asking);
    }
}

/// Ends with its owner.
struct Task(task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request(code: i32, fields: &[(&str, &str)]) -> RemotingCommand {
    fields.iter().fold(RemotingCommand::request(code, &()), |request, (name, value)| request.with_field(name, value))
}

fn encoded(request: &RemotingCommand) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame::encode(request, &mut bytes).expect("it is no longer than a frame");
    bytes
}

async fn nothing(_: Target) {
    std::future::pending().await
}

async fn view_into_body(target: Target) {
    let offset = target.body_at.to_string();
    target.ask(8, move |_| request(code::VIEW_MESSAGE_BY_ID, &[("offset", &offset)])).await;
}

fn heartbeat(client: u64, group: &str, subscriptions: usize) -> RemotingCommand {
    let subscriptions: Vec<String> = (0..subscriptions)
        .map(|number| format!(r#"{{"topic":"T{number}","subString":"*","expressionType":"TAG","subVersion":1}}"#))
        .collect();
    let body = format!(
        r#"{{"clientID":"c{client}","producerDataSet":[],"consumerDataSet":[{{"groupName":"{group}","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","unitMode":false,"subscriptionDataSet":[{}]}}]}}"#,
        subscriptions.join(",")
    );
    request(code::HEART_BEAT, &[]).with_body(body)
}

async fn heartbeats_too_long(target: Target) {
    let heartbeat = heartbeat(0, "hostile", 120_000);
    target.ask(4, move |_| heartbeat.clone()).await;
}

async fn heartbeats_long(target: Target) {
    let heartbeat = heartbeat(0, "hostile", 15_000);
    target.ask(4, move |_| heartbeat.clone()).await;
}

async fn query_hot_key(target: Target) {
    let end = (1_i64 << 62).to_string();
    let query = request(
        code::QUERY_MESSAGE,
        &[("topic", TOPIC), ("key", COLLIDES), ("maxNum", "32"), ("beginTimestamp", "0"), ("endTimestamp", &end)],
    );
    target.ask(8, move |_| query.clone()).await;
}

async fn unfinished_frames(target: Target) {
    let whole = encoded(&request(code::GET_ALL_CONSUMER_OFFSET, &[]).with_body(vec![b'x'; 16 * MIB - 1024]));
    let beginning = whole.freeze().slice(..15 * MIB);
    let holding: Vec<_> = (0..60)
        .map(|_| {
            let (target, beginning) = (target.clone(), beginning.clone());
            Task(task::spawn(async move {
                loop {
                    let mut stream = target.connect().await;
                    // Until it is closed.
                    if stream.write_all(&beginning).await.is_ok() {
                        let _ = stream.read_u8().await;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            }))
        })
        .collect();
    std::future::pending::<()>().await;
    drop(holding);
}

async fn silent_connections(target: Target) {
    let mut streams = Vec::new();
    for _ in 0..2_000 {
        streams.push(target.connect().await);
    }
    std::future::pending::<()>().await;
    drop(streams);
}

async fn departures(target: Target) {
    let bytes: Vec<BytesMut> = (0..64).map(|client| encoded(&heartbeat(client, "hostile", 20))).collect();
    for bytes in bytes.iter().cycle() {
        let mut stream = target.connect().await;
        // Whether it is answered or not.
        let _ = stream.write_all(bytes).await;
        let _ = stream.read(&mut [0; 64]).await;
    }
}

fn pull(group: &str, offset: i64, subscription: &str, suspend: bool) -> RemotingCommand {
    // Suspend, and a subscription of its own.
    let sys_flag = if suspend { "6" } else { "4" };
    request(
        code::PULL_MESSAGE,
        &[
            ("consumerGroup", group),
            ("topic", super::TOPIC),
            ("queueId", "0"),
            ("queueOffset", &offset.to_string()),
            ("maxMsgNums", "32"),
            ("sysFlag", sys_flag),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "300000"),
            ("subscription", subscription),
            ("subVersion", "1"),
        ],
    )
}

async fn pulls_that_never_match(target: Target) {
    let client = RemotingClient::new(ClientConfig::default());
    let ask = request(code::GET_MAX_OFFSET, &[("topic", super::TOPIC), ("queueId", "0")]);
    let mut streams = Vec::new();
    for connection in 0..20 {
        let answer = client.invoke(&target.addr, ask.clone(), TIMEOUT).await;
        let end = answer.ok().and_then(|answer| answer.ext_fields.get("offset")?.parse().ok()).unwrap_or(0);
        let mut stream = target.connect().await;
        for number in 0..1_000 {
            let group = format!("hostile{connection}-{}", number / 60);
            let _ = stream.write_all(&encoded(&pull(&group, end, "never", true))).await;
        }
        let (mut answers, writer) = stream.into_split();
        streams.push((
            writer,
            Task(task::spawn(async move { while matches!(answers.read(&mut [0; 4096]).await, Ok(1..)) {} })),
        ));
    }
    std::future::pending::<()>().await;
    drop(streams);
}

/// Writes the same again and again and reads what is answered.
async fn flood(target: Target, bytes: BytesMut) {
    loop {
        let (mut answers, mut requests) = target.connect().await.into_split();
        let reading = Task(task::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while matches!(answers.read(&mut buffer).await, Ok(1..)) {}
        }));
        while requests.write_all(&bytes).await.is_ok() {
            task::yield_now().await;
        }
        drop(reading);
    }
}

async fn malformed(target: Target) {
    let mut bytes = BytesMut::new();
    for code in [code::SEND_MESSAGE_V2, code::PULL_MESSAGE, code::HEART_BEAT, code::QUERY_CONSUMER_OFFSET, 4711] {
        bytes.extend_from_slice(&encoded(&request(code, &[("queueId", "no number")]).with_body("{\"no JSON\"")));
    }
    flood(target, bytes).await;
}

async fn deaf(target: Target) {
    let ask = encoded(&request(code::GET_BROKER_CONFIG, &[]));
    let many = ask.repeat(100_000);
    loop {
        let mut stream = target.connect().await;
        // It is not read for ever: as much as there is room for is written, and that is held for a while.
        let _ = sim::time::timeout(Duration::from_secs(2), stream.write_all(&many)).await;
    }
}

async fn slow_pulls(target: Target) {
    let bytes = encoded(&pull("slow", 0, "*", false)).repeat(1_000);
    let reading: Vec<_> = (0..16)
        .map(|_| {
            let (target, bytes) = (target.clone(), bytes.clone());
            Task(task::spawn(async move {
                loop {
                    let mut stream = target.connect().await;
                    let _ = sim::time::timeout(Duration::from_secs(2), stream.write_all(&bytes)).await;
                    while matches!(stream.read(&mut [0; 512]).await, Ok(1..)) {
                        sleep(Duration::from_millis(50)).await;
                    }
                }
            }))
        })
        .collect();
    std::future::pending::<()>().await;
    drop(reading);
}

fn commit(group: &str, topic: &str, queue_id: u64) -> RemotingCommand {
    let queue_id = queue_id.to_string();
    let fields = [("consumerGroup", group), ("topic", topic), ("queueId", queue_id.as_str()), ("commitOffset", "0")];
    RemotingCommand { flag: protocol::command::FLAG_ONEWAY, ..request(code::UPDATE_CONSUMER_OFFSET, &fields) }
}

async fn offsets_of_nothing(target: Target) {
    let mut number = 0_u64;
    loop {
        let mut stream = target.connect().await;
        loop {
            let mut bytes = BytesMut::new();
            for _ in 0..100 {
                number += 1;
                bytes.extend_from_slice(&encoded(&commit("hostile", &format!("Nothing{number}"), number % 1_000)));
            }
            if stream.write_all(&bytes).await.is_err() {
                break;
            }
            task::yield_now().await;
        }
    }
}

async fn large_offset_table(target: Target) {
    let client = RemotingClient::new(ClientConfig::default());
    let topic = request(
        code::UPDATE_AND_CREATE_TOPIC,
        &[
            ("topic", "TopicWide"),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", "1000"),
            ("writeQueueNums", "1000"),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topicSysFlag", "0"),
            ("order", "false"),
        ],
    );
    let _ = client.invoke(&target.addr, topic, TIMEOUT).await;
    for group in 0..100 {
        for queue_id in 0..1_000 {
            let _ = client.invoke_oneway(&target.addr, commit(&format!("hostile{group}"), "TopicWide", queue_id)).await;
        }
    }
    target.ask(4, |_| request(code::GET_ALL_CONSUMER_OFFSET, &[])).await;
}

async fn locks(target: Target) {
    let mq_set: BTreeSet<_> =
        (0..100_000).map(|number| MessageQueue::new(format!("T{number}"), super::BROKER, 0)).collect();
    let body = LockBatchRequestBody {
        client_id: "hostile".to_owned(),
        consumer_group: "hostile".to_owned(),
        mq_set,
        only_this_broker: None,
    };
    let lock = request(code::LOCK_BATCH_MQ, &[]).with_body(body.encode());
    target.ask(2, move |_| lock.clone()).await;
}

async fn new_topics(target: Target) {
    target
        .ask(4, |number| {
            request(
                code::SEND_MESSAGE,
                &[
                    ("producerGroup", "hostile"),
                    ("topic", &format!("New{number}")),
                    ("defaultTopic", "TBW102"),
                    ("defaultTopicQueueNums", "8"),
                    ("queueId", "0"),
                    ("sysFlag", "0"),
                    ("bornTimestamp", "0"),
                    ("flag", "0"),
                ],
            )
            .with_body("x")
        })
        .await;
}

async fn new_groups(target: Target) {
    target.ask(4, |number| pull(&format!("new{number}"), 0, "*", false)).await;
}

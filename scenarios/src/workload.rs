//! The clients of a run, as programs of their hosts: producers, consumers and the operator.
//!
//! They use the cluster's own client like any application would, and tell the recorder what they see. A client that is
//! asked to terminate shuts down in good order.

use crate::{
    history::{Event, Outcome},
    message::{self, MessageId},
    recorder::Recorder,
    spec::Scenario,
};
use client::{
    Admin, ClientConfig, ConsumeFromWhere, ConsumeStatus, Message, MessageExt, MessageQueue, Producer, ProducerConfig,
    PullConsumer, PullStatus, PushConfig, PushConsumer, QueueOffset, SendStatus,
};
use protocol::{BrokerId, body::TopicConfig, perm};
use sim::{time, world::Key};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// The consumer group.
const GROUP: &str = "staticfire-consumers";
/// The group by which the operator reads the queues back.
const READERS: &str = "staticfire-operator";
/// How long the operator waits between two attempts at something.
const RETRY: Duration = Duration::from_millis(200);
/// How often the operator tries to read a queue at the end before it counts as unreadable.
const READ_ATTEMPTS: u32 = 30;

/// What every client program is given.
#[derive(Clone)]
pub struct Client {
    pub scenario: Arc<Scenario>,
    pub recorder: Recorder,
    pub host: Arc<str>,
    /// From 1, among its kind.
    pub number: u16,
    pub name_servers: Vec<String>,
}

impl Client {
    fn config(&self) -> ClientConfig {
        ClientConfig::new(self.name_servers.clone())
    }

    fn failed(&self, what: &str, error: &dyn std::fmt::Display) {
        self.recorder.note(&self.host, format!("{what}: {error}"));
    }
}

/// Sends one message after the other at the producer's share of the rate, from the beginning to the end of the load.
pub async fn producer(client: Client, key: Key) {
    let group = format!("staticfire-producers-{}", client.number);
    let started =
        Producer::builder(group).client_config(client.config()).config(ProducerConfig::default()).start().await;
    let producer = match started {
        Ok(producer) => producer,
        Err(error) => return client.failed("the producer does not start", &error),
    };
    tokio::select! {
        biased;
        _ = sim::signal::terminated() => {}
        () = send_all(&client, &producer, key) => {
            // Stays, as an application would, until it is told to go.
            drop(sim::signal::terminated().await);
        }
    }
    producer.shutdown().await;
}

async fn send_all(client: &Client, producer: &Producer, key: Key) {
    let (workload, schedule) = (&client.scenario.workload, &client.scenario.schedule);
    let producers = u64::from(client.scenario.topology.producers);
    let rate = u64::from(workload.messages_per_second);
    if rate == 0 {
        return;
    }
    let period_ns = 1_000_000_000 * producers / rate;
    let (from_ns, to_ns) = (schedule.load_from_ms * 1_000_000, schedule.load_to_ms * 1_000_000);
    // Producers take turns within a period.
    let mut next_ns = from_ns + period_ns * u64::from(client.number - 1) / producers;
    for sequence in 1.. {
        client.recorder.world().sleep_until_ns(next_ns).await;
        // What a slow cluster made it miss is not made up for.
        next_ns = (next_ns + period_ns).max(client.recorder.now_ns());
        if client.recorder.now_ns() >= to_ns {
            return;
        }
        send_one(client, producer, key, MessageId { producer: client.number, sequence }).await;
    }
}

async fn send_one(client: &Client, producer: &Producer, key: Key, id: MessageId) {
    let workload = &client.scenario.workload;
    let recorder = &client.recorder;
    let body = message::body(key, id, &workload.body_bytes);
    recorder.send(id, u32::try_from(body.len()).unwrap_or(u32::MAX), message::checksum(&body));
    let keyed = Message::new(workload.topic.as_str(), body).with_keys([id.to_string()]);
    let sent = producer.send(keyed.expect("an identity has no separators in it")).await;
    match sent {
        Ok(result) => {
            let queue = &result.message_queue;
            let place = (recorder.queue(&queue.broker_name, &queue.topic, queue.queue_id), result.queue_offset.0);
            match result.send_status {
                SendStatus::SendOk => recorder.sent(id, Outcome::Ok, Some(place), None),
                // Stored, and not as safe as the mode asks for: no promise.
                status => recorder.sent(id, Outcome::Unknown, Some(place), Some(format!("{status:?}").into())),
            }
        }
        Err(error) => {
            let outcome = match error.outcome() {
                client::Outcome::Fail => Outcome::Fail,
                client::Outcome::Unknown => Outcome::Unknown,
            };
            recorder.sent(id, outcome, None, Some(error.to_string().into()));
        }
    }
}

/// Consumes the topic in the group, until it is told to go.
pub async fn consumer(client: Client) {
    let config = PushConfig { consume_from_where: ConsumeFromWhere::FirstOffset, ..PushConfig::default() };
    let (recorder, number) = (client.recorder.clone(), client.number);
    let started = PushConsumer::builder(GROUP)
        .client_config(client.config())
        .config(config)
        .subscribe(client.scenario.workload.topic.as_str(), "*")
        .listener_with_context(move |messages, context| {
            for message in &messages {
                let queue = &context.message_queue;
                let queue = recorder.queue(&queue.broker_name, &queue.topic, queue.queue_id);
                let checksum = message::checksum(&message.body);
                recorder.delivered(number, message::identify(&message.body), checksum, queue, message.queue_offset.0);
            }
            std::future::ready(ConsumeStatus::ConsumeSuccess)
        })
        .start()
        .await;
    let consumer = match started {
        Ok(consumer) => consumer,
        Err(error) => return client.failed("the consumer does not start", &error),
    };
    drop(sim::signal::terminated().await);
    consumer.shutdown().await;
}

/// The way from the harness to the operator: at the end it is told to read the queues back, and says when it has.
#[derive(Clone, Default)]
pub struct Operator {
    read: Arc<Notify>,
    done: Arc<Notify>,
}

impl Operator {
    /// Has every queue read from its beginning to its end.
    pub async fn read_back(&self) {
        self.read.notify_one();
        self.done.notified().await;
    }

    /// The operator's program: creates the topic, and reads it back at the end.
    pub async fn program(self, client: Client) {
        let admin = match Admin::start(client.config()) {
            Ok(admin) => admin,
            Err(error) => return client.failed("the admin client does not start", &error),
        };
        let workload = &client.scenario.workload;
        let config =
            TopicConfig::new(workload.topic.as_str(), i32::from(workload.queues), perm::PERM_READ | perm::PERM_WRITE);
        while create_topic(&admin, &config).await.is_err() {
            // The brokers have not registered yet; the producers will say if it stays like this.
            time::sleep(RETRY).await;
        }
        self.read.notified().await;
        read_back(&client, &admin, &workload.topic).await;
        self.done.notify_one();
    }
}

/// Creates the topic on every master that the name servers know.
async fn create_topic(admin: &Admin, config: &TopicConfig) -> Result<(), client::ClientError> {
    let cluster = admin.examine_cluster_info().await?;
    let mut masters = Vec::new();
    for broker in cluster.broker_addr_table.values() {
        masters.extend(broker.broker_addrs.get(&BrokerId::MASTER).cloned());
    }
    if masters.is_empty() {
        return Err(client::ClientError::NoRoute { topic: config.topic_name.clone() });
    }
    for address in &masters {
        admin.create_topic(address, config).await?;
    }
    Ok(())
}

/// Reads all queues of the topic, and what the group has committed in each.
async fn read_back(client: &Client, admin: &Admin, topic: &str) {
    let recorder = &client.recorder;
    let started = PullConsumer::builder(READERS).client_config(client.config()).start().await;
    let consumer = match started {
        Ok(consumer) => consumer,
        Err(error) => return client.failed("the reader does not start", &error),
    };
    let mut queues = Vec::new();
    for _ in 0..READ_ATTEMPTS {
        match consumer.fetch_subscribe_message_queues(topic).await {
            Ok(found) if !found.is_empty() => {
                queues = found;
                break;
            }
            _ => time::sleep(Duration::from_secs(1)).await,
        }
    }
    if queues.is_empty() {
        let (queue, why) = (recorder.queue("?", topic, 0), "the topic has no route".into());
        recorder.push(|_| Event::Unreadable { queue, why });
    }
    for queue in queues {
        let name = recorder.queue(&queue.broker_name, &queue.topic, queue.queue_id);
        let mut why = String::new();
        let mut is_read = false;
        for _ in 0..READ_ATTEMPTS {
            match read_queue(admin, &consumer, &queue).await {
                Ok(events) => {
                    for read in events {
                        recorder.push(|_| read.into_event(&name));
                    }
                    is_read = true;
                    break;
                }
                Err(error) => {
                    why = error.to_string();
                    time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        if !is_read {
            recorder.push(|_| Event::Unreadable { queue: name, why: why.into() });
        }
    }
    consumer.shutdown().await;
}

/// What reading a queue yields.
enum Read {
    Message(Arc<MessageExt>),
    Offsets { min: i64, max: i64, committed: Option<i64> },
}

impl Read {
    fn into_event(self, queue: &crate::history::Queue) -> Event {
        let queue = queue.clone();
        match self {
            Read::Message(message) => Event::Stored {
                id: message::identify(&message.body),
                checksum: message::checksum(&message.body),
                queue,
                offset: message.queue_offset.0,
            },
            Read::Offsets { min, max, committed } => Event::Offsets { queue, min, max, committed },
        }
    }
}

async fn read_queue(
    admin: &Admin,
    consumer: &PullConsumer,
    queue: &MessageQueue,
) -> Result<Vec<Read>, client::ClientError> {
    let min = admin.min_offset(queue).await?;
    let max = admin.max_offset(queue).await?;
    let committed = admin.consumer_offset(GROUP, queue).await?;
    let mut read = vec![Read::Offsets { min: min.0, max: max.0, committed: committed.map(|offset| offset.0) }];
    let mut next = min;
    while next < max {
        let pulled = consumer.pull(queue, "*", next, 32).await?;
        // An answer that does not move on would be asked for for ever.
        let moves_on = pulled.next_begin_offset > next;
        if pulled.pull_status == PullStatus::Found {
            read.extend(pulled.msg_found_list.into_iter().map(Read::Message));
        }
        next = if moves_on { pulled.next_begin_offset } else { QueueOffset(next.0 + 1) };
    }
    Ok(read)
}

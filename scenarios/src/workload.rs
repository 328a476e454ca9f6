//! The clients of a run, as programs of their hosts: producers and consumers. (The operator is in [`operator`].)
//!
//! They use the cluster's own client like any application would, and tell the recorder what they see. A client that is
//! asked to terminate shuts down in good order.
//!
//! [`operator`]: crate::operator

use crate::{
    history::Outcome,
    message::{self, MessageId},
    recorder::Recorder,
    spec::Scenario,
};
use client::{
    ClientConfig, ClientError, ConsumeFromWhere, ConsumeStatus, Message, MessageQueue, Producer, ProducerConfig,
    PushConfig, PushConsumer, SendResult, SendStatus,
};
use std::sync::Arc;

/// The consumer group.
pub const GROUP: &str = "staticfire-consumers";

/// What every client program is given.
#[derive(Clone)]
pub struct Client {
    pub scenario: Arc<Scenario>,
    pub recorder: Recorder,
    pub host: Arc<str>,
    /// From 1, among its kind; the operator is 0.
    pub number: u16,
    pub name_servers: Vec<String>,
}

impl Client {
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(self.name_servers.clone());
        self.scenario.knobs.turn_client(&mut config);
        config
    }

    pub fn failed(&self, what: &str, error: &dyn std::fmt::Display) {
        self.recorder.note(&self.host, format!("{what}: {error}"));
    }
}

/// Sends one message after the other at the producer's share of the rate, from the beginning to the end of the load.
pub async fn producer(client: Client, bodies: u64) {
    let group = format!("staticfire-producers-{}", client.number);
    let mut config = ProducerConfig::default();
    client.scenario.knobs.turn_producer(&mut config);
    let started = Producer::builder(group).client_config(client.config()).config(config).start().await;
    let producer = match started {
        Ok(producer) => producer,
        Err(error) => return client.failed("the producer does not start", &error),
    };
    tokio::select! {
        biased;
        _ = sim::signal::terminated() => {}
        () = send_all(&client, &producer, bodies) => {
            // Stays, as an application would, until it is told to go.
            drop(sim::signal::terminated().await);
        }
    }
    producer.shutdown().await;
}

async fn send_all(client: &Client, producer: &Producer, bodies: u64) {
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
        send_one(client, producer, bodies, MessageId { producer: client.number, sequence }).await;
    }
}

async fn send_one(client: &Client, producer: &Producer, bodies: u64, id: MessageId) {
    let sent = producer.send(begin(client, bodies, id)).await;
    end(client, id, sent);
}

/// Sends one message to a queue of one broker name, and says how it ended.
pub async fn send_to(
    client: &Client,
    producer: &Producer,
    bodies: u64,
    id: MessageId,
    queue: &MessageQueue,
) -> Outcome {
    let sent = producer.send_to_queue(begin(client, bodies, id), queue).await;
    end(client, id, sent)
}

/// Makes a message and takes down that its send begins.
fn begin(client: &Client, bodies: u64, id: MessageId) -> Message {
    let workload = &client.scenario.workload;
    let body = message::body(bodies, id, &workload.body_bytes);
    client.recorder.send(id, u32::try_from(body.len()).unwrap_or(u32::MAX), message::checksum(&body));
    let keyed = Message::new(workload.topic.as_str(), body).with_keys([id.to_string()]);
    keyed.expect("an identity has no separators in it")
}

/// Takes down how a send ended.
fn end(client: &Client, id: MessageId, sent: Result<SendResult, ClientError>) -> Outcome {
    let recorder = &client.recorder;
    match sent {
        Ok(result) => {
            let queue = &result.message_queue;
            let place = (recorder.queue(&queue.broker_name, &queue.topic, queue.queue_id), result.queue_offset.0);
            let (outcome, why) = match result.send_status {
                SendStatus::SendOk => (Outcome::Ok, None),
                // Stored, and not as safe as the mode asks for: no promise.
                status => (Outcome::Unknown, Some(format!("{status:?}").into())),
            };
            recorder.sent(id, outcome, Some(place), why);
            outcome
        }
        Err(error) => {
            let outcome = match error.outcome() {
                client::Outcome::Fail => Outcome::Fail,
                client::Outcome::Unknown => Outcome::Unknown,
            };
            recorder.sent(id, outcome, None, Some(error.to_string().into()));
            outcome
        }
    }
}

/// Consumes the topic in the group, until it is told to go.
pub async fn consumer(client: Client) {
    let mut config = PushConfig { consume_from_where: ConsumeFromWhere::FirstOffset, ..PushConfig::default() };
    client.scenario.knobs.turn_consumer(&mut config);
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

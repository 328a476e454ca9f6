//! Producers and consumers, and what they were promised: each message's body is its number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::{
    ConsumeFromWhere, ConsumeStatus, Message, Producer, ProducerConfig, PushConfig, PushConsumer, SendStatus,
};
use sim::task::{self, JoinHandle};
use sim::time::sleep;

use super::eventually;
use super::machines::Machines;

/// Bytes of a body; its first eight are the number.
pub const BODY_BYTES: usize = 1024;
/// A sender whose message was not taken waits so long.
const PAUSE: Duration = Duration::from_millis(20);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panics with it in hand ends the test.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was acknowledged.
#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    /// Numbers with SEND_OK, by broker name.
    ok: Mutex<BTreeMap<String, BTreeSet<u64>>>,
    /// Sends that were answered otherwise, by status or error.
    other: Mutex<BTreeMap<String, u64>>,
    stopped: AtomicBool,
}

/// Senders that go on until they are stopped, each with one message at a time.
pub struct Senders {
    producer: Producer,
    topic: String,
    ledger: Arc<Ledger>,
    tasks: Vec<JoinHandle<()>>,
}

impl Senders {
    /// Starts a producer, and as many senders.
    pub async fn start(machines: &Machines, topic: &str, senders: usize) -> Self {
        let config = ProducerConfig {
            send_msg_timeout: Duration::from_secs(10),
            send_msg_max_timeout_per_request: Some(Duration::from_secs(4)),
            ..ProducerConfig::default()
        };
        let builder = Producer::builder("senders").client_config(machines.client_config()).config(config);
        let producer = builder.start().await.expect("the settings are right");
        let mut all = Self { producer, topic: topic.to_owned(), ledger: Arc::default(), tasks: Vec::new() };
        all.resume(senders);
        all
    }

    /// Senders again, after [`Senders::stop`].
    pub fn resume(&mut self, senders: usize) {
        self.ledger.stopped.store(false, Ordering::Release);
        for _ in 0..senders {
            let (producer, topic, ledger) = (self.producer.clone(), self.topic.clone(), Arc::clone(&self.ledger));
            self.tasks.push(task::spawn(async move {
                while !ledger.stopped.load(Ordering::Acquire) {
                    send_one(&producer, &topic, &ledger).await;
                }
            }));
        }
    }

    /// How many messages of a broker name are acknowledged with SEND_OK.
    pub fn ok(&self, broker_name: &str) -> usize {
        lock(&self.ledger.ok).get(broker_name).map_or(0, BTreeSet::len)
    }

    /// How many sends have ended so: a status of RocketMQ's, or `error`.
    pub fn other(&self, outcome: &str) -> u64 {
        lock(&self.ledger.other).get(outcome).copied().unwrap_or(0)
    }

    /// Waits for so many more messages of a broker name with SEND_OK.
    pub async fn wait_for(&self, broker_name: &str, more: usize) {
        let wanted = self.ok(broker_name) + more;
        eventually(
            &format!("{wanted} messages are acknowledged by {broker_name}; others: {:?}", lock(&self.ledger.other)),
            async || self.ok(broker_name) >= wanted,
        )
        .await;
    }

    /// No more is begun; what was begun has ended when this returns.
    pub async fn stop(&mut self) {
        self.ledger.stopped.store(true, Ordering::Release);
        for task in self.tasks.drain(..) {
            task.await.expect("a sender does not panic");
        }
    }

    /// All numbers with SEND_OK.
    pub fn all_ok(&self) -> BTreeSet<u64> {
        lock(&self.ledger.ok).values().flatten().copied().collect()
    }
}

async fn send_one(producer: &Producer, topic: &str, ledger: &Ledger) {
    let number = ledger.next.fetch_add(1, Ordering::Relaxed);
    let mut body = vec![b'.'; BODY_BYTES];
    body[..8].copy_from_slice(&number.to_be_bytes());
    let outcome = match producer.send(Message::new(topic, body)).await {
        Ok(sent) if sent.send_status == SendStatus::SendOk => {
            lock(&ledger.ok).entry(sent.message_queue.broker_name.to_string()).or_default().insert(number);
            return;
        }
        Ok(sent) => format!("{:?}", sent.send_status),
        Err(_) => "error".to_owned(),
    };
    *lock(&ledger.other).entry(outcome).or_default() += 1;
    sleep(PAUSE).await;
}

/// A consumer that remembers which messages it was given.
pub struct Reader {
    consumer: PushConsumer,
    seen: Arc<Mutex<BTreeSet<u64>>>,
}

impl Reader {
    /// Consumes a topic from its beginning.
    pub async fn start(machines: &Machines, group: &str, topic: &str) -> Self {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let config = PushConfig {
            consume_from_where: ConsumeFromWhere::FirstOffset,
            consume_message_batch_max_size: 32,
            ..PushConfig::default()
        };
        let remembered = Arc::clone(&seen);
        let consumer = PushConsumer::builder(group)
            .client_config(machines.client_config())
            .config(config)
            .subscribe(topic, "*")
            .listener(move |messages| {
                let numbers = messages.iter().filter_map(|message| message.body.first_chunk().copied());
                lock(&remembered).extend(numbers.map(u64::from_be_bytes));
                std::future::ready(ConsumeStatus::ConsumeSuccess)
            })
            .start()
            .await
            .expect("the settings are right");
        Self { consumer, seen }
    }

    /// Waits until it was given all of these.
    pub async fn wait_for(&self, numbers: &BTreeSet<u64>) {
        let missing = || numbers.difference(&lock(&self.seen)).count();
        eventually("a consumer was given all acknowledged messages", async || missing() == 0).await;
    }

    /// How many messages it was given.
    pub fn seen(&self) -> usize {
        lock(&self.seen).len()
    }

    /// Stores its offsets and ends.
    pub async fn stop(self) {
        self.consumer.shutdown().await;
    }
}

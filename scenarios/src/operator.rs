//! The operator: a host of its own that no fault of the catalogue touches, and that does what people with `mqadmin` would do.
//!
//! It creates the topic on every master, wipes and adds write permission, and at the end probes every master with a message
//! and reads every queue of every master from end to end. The harness orders, and waits until it is done.

use crate::{
    history::{Event, Outcome, Queue},
    message::{self, MessageId},
    spec::{BrokerHost, starts_late},
    workload::{Client, GROUP, send_to},
};
use client::{Admin, ClientError, MessageExt, MessageQueue, Producer, ProducerConfig, PullStatus, QueueOffset};
use protocol::{BrokerId, body::TopicConfig, perm, response_code};
use sim::time;
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// How long it waits between two attempts at something.
const RETRY: Duration = Duration::from_millis(200);
/// How often it tries to create the topic at the beginning before it gives up, and the producers will say so.
const CREATE_ATTEMPTS: u32 = 300;
/// How often it tries to read a queue at the end before the queue counts as unreadable; the other queues of the same broker
/// then get one attempt each.
const READ_ATTEMPTS: u32 = 30;
/// How often it probes a master that gives no SEND_OK, without any of its replicas getting nearer to the others meanwhile: longer
/// than a slave needs to follow again, and to be found.
const PROBE_ATTEMPTS: u32 = 40;
/// How often at most.
const PROBE_ATTEMPTS_MAX: u32 = 900;
/// Messages per pull.
const PULL_NUMS: i32 = 32;

/// What the operator is told to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Create the topic on the master with this broker name.
    CreateTopic(String),
    WipeWritePermission(String),
    AddWritePermission(String),
    /// See whether the master of this slave, the host, leads its replica group. Done if it does.
    AskLeads(BrokerHost),
    /// Take this slave, the host, out of its replica group. Done if its master has.
    RemoveReplica(BrokerHost),
    /// Send a message to every broker name until it is acknowledged.
    Probe,
    /// Ask every broker where its log begins and ends.
    AskBounds,
    /// Ask every master how far the group is behind the ends of its queues.
    AskBehind,
    /// Read every queue of every master.
    ReadBack,
}

/// Where the brokers say that their logs begin and end, by host. Those that do not answer are not in it.
pub type Bounds = BTreeMap<String, Range<u64>>;

/// How far the replicas of some broker names have been apart, at least: while that shrinks they are at work, however slowly.
#[derive(Debug, Default)]
pub struct Distance {
    least_bytes: Option<u64>,
}

impl Distance {
    /// Whether the replicas are nearer to one another than ever before.
    pub fn shrinks(&mut self, bounds: &Bounds, brokers: &[BrokerHost]) -> bool {
        let end = |host: &str| bounds.get(host).map_or(0, |bounds| bounds.end);
        let apart = brokers.iter().map(|broker| end(&broker.broker).abs_diff(end(&broker.host))).sum::<u64>();
        // Who is not heard says nothing.
        let is_heard = brokers.iter().all(|broker| bounds.contains_key(&broker.host));
        let shrinks = is_heard && self.least_bytes.is_none_or(|least| apart < least);
        if shrinks {
            self.least_bytes = Some(apart);
        }
        shrinks
    }
}

type Post = (Order, oneshot::Sender<bool>);

/// The way from the harness to the operator.
#[derive(Clone)]
pub struct Operator {
    orders: mpsc::UnboundedSender<Post>,
    /// Taken by the operator's program when it starts.
    inbox: Arc<Mutex<Option<mpsc::UnboundedReceiver<Post>>>>,
    bounds: Arc<Mutex<Bounds>>,
    behind: Arc<Mutex<u64>>,
}

impl Default for Operator {
    fn default() -> Operator {
        let (orders, inbox) = mpsc::unbounded_channel();
        Operator { orders, inbox: Arc::new(Mutex::new(Some(inbox))), bounds: Arc::default(), behind: Arc::default() }
    }
}

impl Operator {
    /// Has something done, and waits for it; returns whether it is done, as far as the operator can tell.
    pub async fn order(&self, order: Order) -> bool {
        let (done, is_done) = oneshot::channel();
        // An operator that did not start has said so in the history; nothing is done then.
        self.orders.send((order, done)).is_ok() && is_done.await.unwrap_or(false)
    }

    /// What the last [`Order::AskBounds`] found.
    pub fn bounds(&self) -> Bounds {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the last [`Order::AskBehind`] found: messages, of the queues that could be asked for.
    pub fn behind(&self) -> u64 {
        *self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operator's program: creates the topic, then does what it is told.
    pub async fn program(self, client: Client, bodies: u64) {
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut inbox) = inbox else { return };
        let admin = match Admin::start(client.config()) {
            Ok(admin) => admin,
            Err(error) => return client.failed("the admin client does not start", &error),
        };
        create_everywhere(&client, &admin).await;
        while let Some((order, done)) = inbox.recv().await {
            let mut is_done = true;
            match order {
                Order::CreateTopic(broker) => create_on(&client, &admin, &broker).await,
                Order::WipeWritePermission(broker) => {
                    let answers = admin.wipe_write_perm_of_broker(&broker).await;
                    permission_changed(&client, &broker, answers);
                }
                Order::AddWritePermission(broker) => {
                    let answers = admin.add_write_perm_of_broker(&broker).await;
                    permission_changed(&client, &broker, answers);
                }
                Order::AskLeads(slave) => is_done = leads(&admin, &slave).await,
                Order::RemoveReplica(slave) => is_done = remove_replica(&client, &admin, &slave).await,
                Order::Probe => probe(&client, &admin, bodies).await,
                Order::AskBounds => {
                    let bounds = ask_bounds(&client, &admin).await;
                    *self.bounds.lock().unwrap_or_else(PoisonError::into_inner) = bounds;
                }
                Order::AskBehind => {
                    let behind = ask_behind(&client, &admin).await;
                    *self.behind.lock().unwrap_or_else(PoisonError::into_inner) = behind;
                }
                Order::ReadBack => read_back(&client, &admin).await,
            }
            // The harness may have stopped waiting.
            let _ = done.send(is_done);
        }
    }
}

fn topic_config(client: &Client) -> TopicConfig {
    let workload = &client.scenario.workload;
    TopicConfig::new(workload.topic.as_str(), i32::from(workload.queues), perm::PERM_READ | perm::PERM_WRITE)
}

/// Creates the topic on every master that runs from the beginning.
async fn create_everywhere(client: &Client, admin: &Admin) {
    let scenario = &client.scenario;
    for broker in scenario.topology.broker_names().filter(|broker| !starts_late(&scenario.operations, broker)) {
        create_on(client, admin, &broker).await;
    }
}

async fn create_on(client: &Client, admin: &Admin, broker: &str) {
    let mut why = "no name server knows it".to_owned();
    for _ in 0..CREATE_ATTEMPTS {
        match admin.broker_addr(broker, BrokerId::MASTER).await {
            Ok(Some(address)) => match admin.create_topic(&address, &topic_config(client)).await {
                Ok(()) => return,
                Err(error) => why = error.to_string(),
            },
            // It has not registered yet.
            Ok(None) => {}
            Err(error) => why = error.to_string(),
        }
        time::sleep(RETRY).await;
    }
    client.recorder.note(&client.host, format!("the topic cannot be created on {broker}: {why}"));
}

fn permission_changed(client: &Client, broker: &str, answers: Vec<(String, Result<usize, ClientError>)>) {
    for (name_server, answer) in answers {
        if let Err(error) = answer {
            client
                .recorder
                .note(&client.host, format!("{name_server} does not change the permission of {broker}: {error}"));
        }
    }
}

/// Whether the master of a slave leads. Apache's does not say; it leads whenever it is there.
async fn leads(admin: &Admin, slave: &BrokerHost) -> bool {
    let Ok(Some(master)) = admin.broker_addr(&slave.broker, BrokerId::MASTER).await else { return false };
    match admin.replica_group(&master).await {
        Ok(group) => group.leads,
        Err(ClientError::Response { code, .. }) => code == response_code::REQUEST_CODE_NOT_SUPPORTED,
        Err(_) => false,
    }
}

/// `mqadmin removeReplica`. Apache's master remembers no slaves.
async fn remove_replica(client: &Client, admin: &Admin, slave: &BrokerHost) -> bool {
    let Ok(Some(master)) = admin.broker_addr(&slave.broker, BrokerId::MASTER).await else { return false };
    match admin.remove_replica(&master, BrokerId(i64::from(slave.broker_id))).await {
        Ok(()) => true,
        Err(ClientError::Response { code: response_code::REQUEST_CODE_NOT_SUPPORTED, .. }) => true,
        Err(error) => {
            client.recorder.note(&slave.host, format!("is not taken out of its replica group: {error}"));
            false
        }
    }
}

/// Sends a message to every broker name until it is acknowledged.
async fn probe(client: &Client, admin: &Admin, bodies: u64) {
    let started = Producer::builder("staticfire-operator")
        .client_config(client.config())
        .config(ProducerConfig::default())
        .start()
        .await;
    let producer = match started {
        Ok(producer) => producer,
        Err(error) => return client.failed("the operator's producer does not start", &error),
    };
    let mut sequence = 0;
    for broker in client.scenario.topology.broker_names() {
        let queue = MessageQueue::new(client.scenario.workload.topic.as_str(), broker.as_str(), 0);
        let replicas = client.scenario.topology.brokers().into_iter().filter(|host| host.broker == broker);
        let (replicas, mut distance) = (replicas.collect::<Vec<_>>(), Distance::default());
        let (mut ok, mut attempts, mut in_vain) = (false, 0, 0);
        while !ok && in_vain < PROBE_ATTEMPTS && attempts < PROBE_ATTEMPTS_MAX {
            if attempts > 0 {
                time::sleep(Duration::from_secs(1)).await;
            }
            (sequence, attempts) = (sequence + 1, attempts + 1);
            let id = MessageId { producer: 0, sequence };
            ok = send_to(client, &producer, bodies, id, &queue).await == Outcome::Ok;
            let is_at_work = !ok && replicas.len() > 1 && distance.shrinks(&ask_bounds(client, admin).await, &replicas);
            in_vain = if is_at_work { 0 } else { in_vain + 1 };
        }
        let why = (!ok).then(|| format!("no SEND_OK in {attempts} attempts, a second apart").into());
        client.recorder.push(|at_ns| Event::Probe { at_ns, broker: broker.into(), ok, why });
    }
    producer.shutdown().await;
}

/// Asks every broker where its log begins and ends.
async fn ask_bounds(client: &Client, admin: &Admin) -> Bounds {
    let mut bounds = Bounds::new();
    for host in client.scenario.topology.brokers() {
        let Ok(Some(address)) = admin.broker_addr(&host.broker, BrokerId(i64::from(host.broker_id))).await else {
            continue;
        };
        let Ok(stats) = admin.broker_runtime_stats(&address).await else { continue };
        let number = |key: &str| stats.get(key)?.parse::<u64>().ok();
        if let (Some(min), Some(max)) = (number("commitLogMinOffset"), number("commitLogMaxOffset")) {
            bounds.insert(host.host, min..max);
        }
    }
    bounds
}

/// How many messages of the topic the group has not committed. A queue that cannot be asked for counts as read: that it
/// cannot is for [`read_back`] to say.
async fn ask_behind(client: &Client, admin: &Admin) -> u64 {
    let (workload, topology) = (&client.scenario.workload, &client.scenario.topology);
    let mut behind = 0;
    for broker in topology.broker_names() {
        let Ok(Some(master)) = admin.broker_addr(&broker, BrokerId::MASTER).await else { continue };
        for number in 0..i32::from(workload.queues) {
            let queue = MessageQueue::new(workload.topic.as_str(), broker.as_str(), number);
            if let Ok(Offsets { min, max, committed }) = ask_offsets(admin, &master, topology.slaves, &queue).await {
                behind += u64::try_from(max - committed.unwrap_or(min).max(min)).unwrap_or(0);
            }
        }
    }
    behind
}

/// Reads all queues of all masters, and what the group has committed in each.
async fn read_back(client: &Client, admin: &Admin) {
    let (recorder, workload) = (&client.recorder, &client.scenario.workload);
    for broker in client.scenario.topology.broker_names() {
        let mut attempts = READ_ATTEMPTS;
        for number in 0..i32::from(workload.queues) {
            let queue = MessageQueue::new(workload.topic.as_str(), broker.as_str(), number);
            let name = recorder.queue(&broker, &workload.topic, number);
            match read_with_retries(admin, client.scenario.topology.slaves, &queue, attempts).await {
                Ok(events) => {
                    for read in events {
                        recorder.push(|_| read.into_event(&name));
                    }
                }
                Err(why) => {
                    attempts = 1;
                    recorder.push(|_| Event::Unreadable { queue: name, why: why.into() });
                }
            }
        }
    }
}

async fn read_with_retries(
    admin: &Admin,
    slaves: u16,
    queue: &MessageQueue,
    attempts: u32,
) -> Result<Vec<Read>, String> {
    let mut why = "no name server knows its master".to_owned();
    for attempt in 1..=attempts {
        let read = match admin.broker_addr(&queue.broker_name, BrokerId::MASTER).await {
            Ok(Some(master)) => read_queue(admin, &master, slaves, queue).await,
            Ok(None) => Err(ClientError::NoRoute { topic: queue.topic.clone() }),
            Err(error) => Err(error),
        };
        match read {
            Ok(events) => return Ok(events),
            Err(error) => why = error.to_string(),
        }
        if attempt < attempts {
            time::sleep(Duration::from_secs(1)).await;
        }
    }
    Err(why)
}

/// Where a queue begins and ends, and what the group has committed in it.
#[derive(Clone, Copy)]
struct Offsets {
    min: i64,
    max: i64,
    committed: Option<i64>,
}

/// What reading a queue yields.
enum Read {
    Message(Arc<MessageExt>),
    Offsets(Offsets),
}

impl Read {
    fn into_event(self, queue: &Queue) -> Event {
        let queue = queue.clone();
        match self {
            Read::Message(message) => Event::Stored {
                id: message::identify(&message.body),
                checksum: message::checksum(&message.body),
                queue,
                offset: message.queue_offset.0,
            },
            Read::Offsets(Offsets { min, max, committed }) => Event::Offsets { queue, min, max, committed },
        }
    }
}

async fn ask_offsets(admin: &Admin, master: &str, slaves: u16, queue: &MessageQueue) -> Result<Offsets, ClientError> {
    let min = admin.min_offset_at(master, queue).await?;
    let max = admin.max_offset_at(master, queue).await?;
    let mut committed = admin.consumer_offset_at(master, GROUP, queue).await?;
    // Consumers that have not learned yet that the master is back commit at its slave, from which it takes what is newer
    // when it starts.
    for slave in 1..=slaves {
        if let Some(address) = admin.broker_addr(&queue.broker_name, BrokerId(i64::from(slave))).await? {
            committed = committed.max(admin.consumer_offset_at(&address, GROUP, queue).await.unwrap_or(None));
        }
    }
    Ok(Offsets { min: min.0, max: max.0, committed: committed.map(|offset| offset.0) })
}

async fn read_queue(admin: &Admin, master: &str, slaves: u16, queue: &MessageQueue) -> Result<Vec<Read>, ClientError> {
    let offsets = ask_offsets(admin, master, slaves, queue).await?;
    let (mut next, max) = (QueueOffset(offsets.min), QueueOffset(offsets.max));
    let mut read = vec![Read::Offsets(offsets)];
    while next < max {
        let pulled = admin.pull_from(master, queue, next, PULL_NUMS).await?;
        // An answer that does not move on would be asked for for ever.
        let moves_on = pulled.next_begin_offset > next;
        if pulled.pull_status == PullStatus::Found {
            read.extend(pulled.msg_found_list.into_iter().map(Read::Message));
        }
        next = if moves_on { pulled.next_begin_offset } else { QueueOffset(next.0 + 1) };
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_at_work_while_they_get_nearer_to_one_another() {
        let topology = crate::catalogue::standard(crate::spec::Mode::TwoMastersTwoSlavesSync).topology;
        let brokers = topology.brokers().into_iter().take(2).collect::<Vec<_>>();
        let mut distance = Distance::default();
        let mut at = |ends: &[(&str, u64)]| {
            let bounds = ends.iter().map(|(host, end)| ((*host).to_owned(), 0..*end)).collect();
            distance.shrinks(&bounds, &brokers)
        };
        assert!(!at(&[("broker-a", 1_000)]), "the slave is not heard");
        assert!(at(&[("broker-a", 1_000), ("broker-a-s", 100)]));
        assert!(at(&[("broker-a", 1_100), ("broker-a-s", 900)]));
        assert!(!at(&[("broker-a", 1_200), ("broker-a-s", 1_000)]), "both go on");
        assert!(!at(&[("broker-a", 1_200), ("broker-a-s", 0)]) && !at(&[("broker-a", 1_200), ("broker-a-s", 1_000)]));
        assert!(at(&[("broker-a", 1_200), ("broker-a-s", 1_200)]));
        assert!(!at(&[("broker-a", 1_200), ("broker-a-s", 1_200)]), "there is nothing left to do");
    }
}

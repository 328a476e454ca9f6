//! A cluster to test against: two name servers, some brokers and one application host, all simulated.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker::{Broker, BrokerConfig};
use client::{
    Admin, ClientConfig, ConsumeFromWhere, ConsumeStatus, Message, MessageQueue, Producer, PushConfig, PushConsumer,
    PushConsumerBuilder,
};
use namesrv::{Namesrv, NamesrvConfig};
use protocol::body::TopicConfig;
use protocol::{BrokerId, RemotingCommand, perm};
use remoting::RemotingClient;
use sim::world::{Finished, HostId, HostSpec, SimulationSpec, World, simulate};
use tokio::sync::oneshot;

use crate::fake::FakeBroker;

/// The topic of the tests, two queues on each broker.
pub const TOPIC: &str = "TopicA";
/// How many queues the topic has on each broker.
pub const QUEUES: i32 = 2;

/// What the harness of a test can break.
#[derive(Clone)]
pub struct Stand {
    pub world: World,
    pub name_servers: Vec<HostId>,
    pub brokers: Vec<HostId>,
}

/// The cluster of all brokers.
pub const CLUSTER: &str = "DefaultCluster";
/// The name servers' addresses.
pub const NAME_SERVERS: [&str; 2] = ["ns-1:9876", "ns-2:9876"];

pub type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `app` as the program of a host beside a cluster with so many brokers, and `fault` beside it.
pub fn run_with<F, H, Fut>(seed: u64, brokers: usize, app: F, fault: H) -> Finished<()>
where
    F: FnOnce(ClientConfig) -> Body + Send + 'static,
    H: FnOnce(Stand) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    run_hosts(seed, move || (0..brokers).map(broker).collect(), app, fault)
}

/// As [`run_with`], with scripted brokers.
pub fn run_fakes<F, H, Fut>(fakes: &[&FakeBroker], app: F, fault: H) -> Finished<()>
where
    F: FnOnce(ClientConfig) -> Body + Send + 'static,
    H: FnOnce(Stand) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let fakes: Vec<FakeBroker> = fakes.iter().copied().cloned().collect();
    run_hosts(1, move || fakes.iter().map(FakeBroker::host).collect(), app, fault)
}

fn run_hosts<B, F, H, Fut>(seed: u64, brokers: B, app: F, fault: H) -> Finished<()>
where
    B: FnOnce() -> Vec<HostSpec> + Send + 'static,
    F: FnOnce(ClientConfig) -> Body + Send + 'static,
    H: FnOnce(Stand) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let spec = SimulationSpec { seed, time_limit: Duration::from_secs(3600), ..SimulationSpec::default() };
    let finished = simulate(spec, move |world| async move {
        let name_servers: Vec<_> = ["ns-1", "ns-2"].map(|name| world.add_host(name_server(name))).into();
        let brokers: Vec<_> = brokers().into_iter().map(|broker| world.add_host(broker)).collect();
        for host in name_servers.iter().chain(&brokers) {
            world.boot(*host);
        }
        let (done, ended) = oneshot::channel();
        let app = Mutex::new(Some((app, done)));
        let host = world.add_host(HostSpec::new("app", move || {
            let taken = app.lock().unwrap_or_else(PoisonError::into_inner).take();
            async move {
                let (app, done) = taken.expect("the host boots once");
                app(ClientConfig::new(NAME_SERVERS)).await;
                done.send(()).expect("the harness waits");
            }
        }));
        world.boot(host);
        let stand = Stand { world, name_servers, brokers };
        fault(stand).await;
        ended.await.expect("the application did not panic");
    });
    finished.unwrap_or_else(|panicked| panic!("{panicked:?}"))
}

/// As [`run_with`], with nothing broken.
pub fn run<F>(brokers: usize, app: F) -> Finished<()>
where
    F: FnOnce(ClientConfig) -> Body + Send + 'static,
{
    run_with(1, brokers, app, |_| std::future::ready(()))
}

fn name_server(name: &str) -> HostSpec {
    HostSpec::new(name, || async {
        let config = NamesrvConfig { kv_config_path: "/data/kvConfig.json".into(), ..NamesrvConfig::default() };
        let namesrv = Namesrv::start(config).await.expect("the name server starts");
        namesrv.run_until_terminated().await.expect("the name server stops in good order");
    })
}

fn broker(number: usize) -> HostSpec {
    HostSpec::new(broker_name(number), move || async move {
        let mut config = BrokerConfig::new(broker_name(number), "/data/store");
        config.namesrv_addr = NAME_SERVERS.map(str::to_owned).into();
        config.store.mapped_file_size_commit_log_bytes = 1024 * 1024;
        let broker = Broker::start(config).await.expect("the broker starts");
        broker.run_until_terminated().await.expect("the broker stops in good order");
    })
}

/// `broker-a`, `broker-b`, ...
pub fn broker_name(number: usize) -> String {
    format!("broker-{}", ["a", "b", "c"][number])
}

/// Creates [`TOPIC`] on every broker, once all have registered.
pub async fn create_topic(config: &ClientConfig, brokers: usize) -> Admin {
    let admin = Admin::start(config.clone()).expect("the admin client starts");
    loop {
        if admin.master_addrs(CLUSTER).await.is_ok_and(|masters| masters.len() == brokers) {
            let topic = TopicConfig::new(TOPIC, QUEUES, perm::PERM_READ | perm::PERM_WRITE);
            admin.create_topic_in_cluster(CLUSTER, &topic).await.expect("the topic is created");
            break;
        }
        sleep_ms(200).await;
    }
    while !admin.examine_topic_route(TOPIC).await.is_ok_and(|route| route.queue_datas.len() == brokers) {
        sleep_ms(200).await;
    }
    admin
}

/// A consumer of everything, from the beginning, which notes the bodies.
pub fn consumer(config: &ClientConfig, group: &str, inbox: &Inbox) -> PushConsumerBuilder {
    let inbox = inbox.clone();
    PushConsumer::builder(group)
        .client_config(config.clone())
        .config(PushConfig { consume_from_where: ConsumeFromWhere::FirstOffset, ..PushConfig::default() })
        .subscribe(TOPIC, "*")
        .listener(move |messages| {
            for message in messages {
                inbox.push(String::from_utf8_lossy(&message.body));
            }
            std::future::ready(ConsumeStatus::ConsumeSuccess)
        })
}

/// A producer with the default settings.
pub async fn producer(config: &ClientConfig) -> Producer {
    Producer::builder("producers").client_config(config.clone()).start().await.expect("started")
}

/// The queues of [`TOPIC`] that are a consumer's.
pub fn queues_of(consumer: &PushConsumer) -> Vec<MessageQueue> {
    consumer.assigned_queues().into_iter().filter(|queue| queue.topic == TOPIC).collect()
}

/// Asks the master of a broker name.
pub async fn ask_master(admin: &Admin, broker_name: &str, request: RemotingCommand) -> RemotingCommand {
    let addr = admin.broker_addr(broker_name, BrokerId::MASTER).await.expect("asked").expect("known");
    let remoting = RemotingClient::new(remoting::ClientConfig::default());
    remoting.invoke(&addr, request, Duration::from_secs(3)).await.expect("answered")
}

/// The `number`th message: its body is the number.
pub fn message(number: usize) -> Message {
    Message::new(TOPIC, number.to_string())
}

pub async fn sleep_ms(ms: u64) {
    sim::time::sleep(Duration::from_millis(ms)).await;
}

/// Waits until something holds; for at most ten minutes.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        sleep_ms(100).await;
    }
    panic!("never: {what}");
}

/// What listeners got, in order.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Vec<String>>>);

impl Inbox {
    pub fn push(&self, what: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what.into());
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn sorted(&self) -> Vec<String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort();
        all
    }
}

/// The bodies of messages 0 to `count` - 1, sorted as text.
pub fn bodies(count: usize) -> Vec<String> {
    let mut bodies: Vec<_> = (0..count).map(|number| number.to_string()).collect();
    bodies.sort();
    bodies
}

//! A broker on a simulated host, and a script on another that speaks to it in raw remoting commands.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{Broker, BrokerConfig};
use bytes::Bytes;
use protocol::body::{ConsumerData, HeartbeatData, MessageModel, ProducerData, SubscriptionData};
use protocol::header::{
    OffsetResponseHeader, PullMessageRequestHeader, PullMessageResponseHeader, QueryConsumerOffsetRequestHeader,
    SendMessageRequestHeader, SendMessageResponseHeader, UpdateConsumerOffsetRequestHeader,
};
use protocol::message::{MessageExt, decode_messages};
use protocol::sysflag::pull as pull_flag;
use protocol::{CommandHeader, QueueOffset, RemotingCommand, request_code, response_code};
use remoting::{ClientConfig, RemotingClient, RequestHandler};
use sim::world::{Crash, CrashReport, HostId, HostSpec, SimulationSpec, World, simulate};
use tokio::sync::{mpsc, oneshot};

pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Something done to the world and the broker's host.
type Work = Box<dyn FnOnce(&World, HostId) + Send>;

/// What a script asks of the world around it.
enum Order {
    Crash(Crash),
    Terminate,
    Boot,
    /// Something done to the broker's machine.
    Do(Work),
}

/// What the broker's host does before the broker starts, once.
type BeforeBoot = Arc<Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>>;

/// What a script has at hand.
#[derive(Clone)]
pub struct Stage {
    pub client: RemotingClient,
    /// The broker's address.
    pub addr: String,
    orders: mpsc::UnboundedSender<(Order, oneshot::Sender<Option<CrashReport>>)>,
    before_boot: BeforeBoot,
}

type Script = Arc<dyn Fn(Stage) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Runs a script against a broker with these settings.
pub fn play<F, Fut>(seed: u64, change: impl Fn(&mut BrokerConfig) + Send + Sync + 'static, script: F)
where
    F: Fn(Stage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    play_with(seed, change, Arc::new(remoting::handler::NoRequests), script);
}

/// As [`play`], with a handler for what the broker asks the script's client.
pub fn play_with<F, Fut>(
    seed: u64,
    change: impl Fn(&mut BrokerConfig) + Send + Sync + 'static,
    handler: Arc<dyn RequestHandler>,
    script: F,
) where
    F: Fn(Stage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let change = Arc::new(change);
    let script: Script = Arc::new(move |stage| Box::pin(script(stage)));
    let run =
        simulate(SimulationSpec { seed, time_limit: Duration::from_secs(3600), ..Default::default() }, move |world| {
            direct(world, change, handler, script)
        });
    if let Err(panic) = run {
        panic!("{panic}");
    }
}

async fn direct(
    world: World,
    change: Arc<impl Fn(&mut BrokerConfig) + Send + Sync + 'static>,
    handler: Arc<dyn RequestHandler>,
    script: Script,
) {
    let before_boot = BeforeBoot::default();
    let before = Arc::clone(&before_boot);
    let broker_host = world.add_host(HostSpec::new("broker-a", move || {
        let (change, before) = (Arc::clone(&change), Arc::clone(&before));
        async move {
            let before = before.lock().unwrap().take();
            if let Some(before) = before {
                before.await;
            }
            let mut config = BrokerConfig::new("broker-a", "/store");
            config.store.mapped_file_size_commit_log_bytes = 1 << 20;
            config.store.mapped_file_size_consume_queue_bytes = 20 * 1000;
            change(&mut config);
            let broker = Broker::start(config).await.expect("the broker starts");
            broker.run_until_terminated().await.expect("the broker stops in good order");
        }
    }));
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let (done, is_done) = oneshot::channel::<()>();
    let done = Arc::new(Mutex::new(Some(done)));
    let addr = format!("{}:10911", world.address(broker_host));
    let script_host = world.add_host(HostSpec::new("script", move || {
        let client = RemotingClient::with_handler(ClientConfig::default(), Arc::clone(&handler));
        let before_boot = Arc::clone(&before_boot);
        let stage = Stage { client, addr: addr.clone(), orders: orders.clone(), before_boot };
        let script = script(stage);
        let done = Arc::clone(&done);
        async move {
            script.await;
            drop(done.lock().unwrap().take());
        }
    }));
    world.boot(broker_host);
    world.sleep(Duration::from_millis(200)).await;
    world.boot(script_host);
    let mut is_done = is_done;
    loop {
        tokio::select! {
            biased;
            _ = &mut is_done => break,
            order = ordered.recv() => {
                let Some((order, reply)) = order else { break };
                let report = obey(&world, broker_host, order).await;
                let _ = reply.send(report);
            }
        }
    }
}

async fn obey(world: &World, host: HostId, order: Order) -> Option<CrashReport> {
    match order {
        Order::Crash(crash) => Some(world.crash(host, crash)),
        Order::Terminate => {
            world.terminate(host);
            while world.state(host) == sim::world::HostState::Running {
                world.sleep(Duration::from_millis(10)).await;
            }
            None
        }
        Order::Do(work) => {
            work(world, host);
            None
        }
        Order::Boot => {
            world.boot(host);
            world.sleep(Duration::from_millis(500)).await;
            None
        }
    }
}

/// What a pull found.
pub struct Pulled {
    pub code: i32,
    pub header: PullMessageResponseHeader,
    pub messages: Vec<MessageExt>,
}

impl Pulled {
    pub fn bodies(&self) -> Vec<String> {
        self.messages.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
    }
}

impl Stage {
    /// The questions of a stage, put to the broker at this address; what happens to the world is not its affair.
    pub fn at(client: RemotingClient, addr: String) -> Self {
        Self { client, addr, orders: mpsc::unbounded_channel().0, before_boot: BeforeBoot::default() }
    }

    async fn order(&self, order: Order) {
        let (reply, answered) = oneshot::channel();
        assert!(self.orders.send((order, reply)).is_ok(), "the director listens");
        answered.await.expect("the director answers");
    }

    pub async fn crash(&self, crash: Crash) {
        self.order(Order::Crash(crash)).await;
        // A connection to a machine without power is silent for long: the script does not wait for that.
        self.client.close_channel(&self.addr);
    }

    pub async fn boot(&self) {
        self.order(Order::Boot).await;
    }

    /// Does something to the world and the broker's host.
    pub async fn world<T: Send + 'static>(&self, work: impl FnOnce(&World, HostId) -> T + Send + 'static) -> T {
        let done = Arc::new(Mutex::new(None));
        let result = Arc::clone(&done);
        self.order(Order::Do(Box::new(move |world, host| *result.lock().unwrap() = Some(work(world, host))))).await;
        let done = done.lock().unwrap().take();
        done.expect("it was done")
    }

    /// Stops the broker in good order; does this on its host, and starts it again.
    pub async fn restart_after(&self, work: impl Future<Output = ()> + Send + 'static) {
        *self.before_boot.lock().unwrap() = Some(Box::pin(work));
        self.restart().await;
    }

    /// Stops the broker in good order and starts it again.
    pub async fn restart(&self) {
        self.order(Order::Terminate).await;
        self.order(Order::Boot).await;
    }

    pub async fn ask(&self, code: i32, header: &impl CommandHeader) -> RemotingCommand {
        self.ask_with(code, header, Bytes::new()).await
    }

    pub async fn ask_with(&self, code: i32, header: &impl CommandHeader, body: impl Into<Bytes>) -> RemotingCommand {
        let request = RemotingCommand::request(code, header).with_body(body);
        self.client.invoke(&self.addr, request, TIMEOUT).await.expect("the broker answers")
    }

    pub async fn send(&self, topic: &str, queue_id: i32, body: &str, properties: &str) -> RemotingCommand {
        self.ask_with(request_code::SEND_MESSAGE_V2, &send_header(topic, queue_id, properties), body.to_owned()).await
    }

    /// Sends and expects SEND_OK; the offset in the queue.
    pub async fn send_ok(&self, topic: &str, queue_id: i32, body: &str, properties: &str) -> i64 {
        let response = self.send(topic, queue_id, body, properties).await;
        assert_eq!(response.code, response_code::SUCCESS, "{:?}", response.remark);
        response.header::<SendMessageResponseHeader>().unwrap().queue_offset.0
    }

    pub async fn pull(&self, group: &str, topic: &str, offset: i64) -> Pulled {
        self.pull_tags(group, topic, offset, "*", 0).await
    }

    pub async fn pull_tags(&self, group: &str, topic: &str, offset: i64, tags: &str, suspend_ms: i64) -> Pulled {
        let header = pull_header(group, topic, offset, tags, suspend_ms);
        let response = self.ask(request_code::PULL_MESSAGE, &header).await;
        Pulled {
            code: response.code,
            header: response.header().unwrap_or_else(|error| panic!("{error}: {:?}", response.remark)),
            messages: decode_messages(response.body).collect::<Result<_, _>>().expect("whole records"),
        }
    }

    pub async fn commit(&self, group: &str, topic: &str, offset: i64) -> i32 {
        let header = UpdateConsumerOffsetRequestHeader {
            consumer_group: group.into(),
            topic: topic.into(),
            queue_id: 0,
            commit_offset: QueueOffset(offset),
            broker_name: None,
        };
        self.ask(request_code::UPDATE_CONSUMER_OFFSET, &header).await.code
    }

    /// The committed offset; `None` for QUERY_NOT_FOUND.
    pub async fn committed(&self, group: &str, topic: &str) -> Option<i64> {
        let header = QueryConsumerOffsetRequestHeader {
            consumer_group: group.into(),
            topic: topic.into(),
            queue_id: 0,
            set_zero_if_not_found: Some(false),
            broker_name: None,
        };
        let response = self.ask(request_code::QUERY_CONSUMER_OFFSET, &header).await;
        match response.code {
            response_code::SUCCESS => Some(response.header::<OffsetResponseHeader>().unwrap().offset.0),
            code => {
                assert_eq!(code, response_code::QUERY_NOT_FOUND);
                None
            }
        }
    }

    pub async fn heartbeat(&self, client_id: &str, group: &str, topic: &str, tags: &str) {
        let heartbeat = HeartbeatData {
            client_id: client_id.into(),
            consumer_data_set: vec![ConsumerData {
                group_name: group.into(),
                message_model: MessageModel::Clustering,
                subscription_data_set: vec![SubscriptionData::by_tags(topic, tags, 1)],
                ..ConsumerData::default()
            }],
            producer_data_set: vec![ProducerData { group_name: "pg".into() }],
        };
        let body = protocol::body::JsonBody::encode(&heartbeat);
        let response = self.ask_with(request_code::HEART_BEAT, &(), body).await;
        assert_eq!(response.code, response_code::SUCCESS);
    }
}

pub fn send_header(topic: &str, queue_id: i32, properties: &str) -> SendMessageRequestHeader {
    SendMessageRequestHeader {
        producer_group: "pg".into(),
        topic: topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        queue_id,
        born_timestamp: 1,
        properties: Some(properties.into()),
        batch: Some(false),
        ..Default::default()
    }
}

pub fn pull_header(group: &str, topic: &str, offset: i64, tags: &str, suspend_ms: i64) -> PullMessageRequestHeader {
    let suspend = if suspend_ms > 0 { pull_flag::SUSPEND } else { 0 };
    PullMessageRequestHeader {
        consumer_group: group.into(),
        topic: topic.into(),
        queue_id: 0,
        queue_offset: QueueOffset(offset),
        max_msg_nums: 32,
        sys_flag: pull_flag::SUBSCRIPTION | suspend,
        commit_offset: QueueOffset(0),
        suspend_timeout_millis: suspend_ms,
        subscription: Some(tags.into()),
        sub_version: 1,
        ..Default::default()
    }
}

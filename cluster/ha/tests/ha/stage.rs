//! Machines with stores and the services of this crate on them, which a test starts, crashes and cuts off from one another.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use ha::{
    Formed, HaConfig, Identity, MasterAddr, MasterService, PROTOCOL_EXTENDED, ReplicaId, Role, SlaveService,
    TailRecovery,
};
use protocol::{BrokerId, PhysicalOffset, message::MessageToStore};
use sim::{
    task::{self, JoinHandle},
    time::sleep,
    world::{Crash, HostId, HostSpec, SimulationSpec, World, simulate},
};
use store::{MessageStore, OpenOptions, PutMessageResult, PutMessageStatus, StoreConfig};
use tokio::sync::{mpsc, oneshot};

pub const HA_PORT: u16 = 10912;
pub const FILE_BYTES: u64 = 16 << 10;

type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A machine.
#[derive(Clone)]
pub struct Node {
    pub world: World,
    pub host: HostId,
    jobs: Arc<Mutex<Option<mpsc::UnboundedReceiver<Job>>>>,
    sender: Arc<Mutex<Option<mpsc::UnboundedSender<Job>>>>,
}

/// Runs a test with machines. A panic on one of them is a panic of the test.
pub fn on_nodes<Fut>(seed: u64, count: usize, test: impl FnOnce(Vec<Node>) -> Fut + Send)
where
    Fut: Future<Output = ()> + 'static,
{
    let spec = SimulationSpec { seed, time_limit: Duration::from_secs(3600), ..SimulationSpec::default() };
    let finished = simulate(spec, |world| {
        let nodes = (0..count).map(|number| Node::new(&world, &format!("node-{number}"))).collect();
        test(nodes)
    });
    if let Err(panicked) = finished {
        panic!("{panicked}");
    }
}

impl Node {
    fn new(world: &World, name: &str) -> Node {
        let jobs: Arc<Mutex<Option<mpsc::UnboundedReceiver<Job>>>> = Arc::default();
        let taken = Arc::clone(&jobs);
        let host = world.add_host(HostSpec::new(name, move || {
            let mut jobs = taken.lock().unwrap().take().expect("booted by `boot`");
            async move {
                while let Some(job) = jobs.recv().await {
                    task::spawn(job());
                }
            }
        }));
        let node = Node { world: world.clone(), host, jobs, sender: Arc::default() };
        node.boot();
        node
    }

    pub fn boot(&self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.jobs.lock().unwrap() = Some(receiver);
        *self.sender.lock().unwrap() = Some(sender);
        self.world.boot(self.host);
    }

    /// Runs something on this machine.
    pub async fn run<T, Fut>(&self, job: impl FnOnce() -> Fut + Send + 'static) -> T
    where
        T: Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        let (reply, replied) = oneshot::channel();
        let job: Job = Box::new(move || {
            Box::pin(async move {
                let _ = reply.send(job().await);
            })
        });
        let sent = self.sender.lock().unwrap().as_ref().expect("it runs").send(job);
        assert!(sent.is_ok(), "the machine runs");
        replied.await.expect("the machine stays up")
    }

    pub fn crash(&self, crash: Crash) {
        self.world.crash(self.host, crash);
    }

    pub fn addr(&self, port: u16) -> String {
        SocketAddr::from((self.world.address(self.host), port)).to_string()
    }

    pub async fn sleep(&self, millis: u64) {
        self.world.sleep(Duration::from_millis(millis)).await;
    }

    pub fn cut_off(&self, other: &Node) {
        self.world.cut(self.host, other.host);
        self.world.cut(other.host, self.host);
    }

    pub fn heal(&self, other: &Node) {
        self.world.heal(self.host, other.host);
        self.world.heal(other.host, self.host);
    }
}

/// The settings of a broker in a test.
#[derive(Clone)]
pub struct Setup {
    pub store: StoreConfig,
    pub ha: HaConfig,
    pub identity: Identity,
}

impl Setup {
    pub fn new(node: &Node, role: Role, broker_id: i64) -> Setup {
        let mut store = StoreConfig::new("/store");
        store.mapped_file_size_commit_log_bytes = FILE_BYTES;
        store.mapped_file_size_consume_queue_bytes = 20 * 100;
        Setup {
            store,
            ha: HaConfig { role, ..HaConfig::default() },
            identity: Identity {
                cluster_name: "c".into(),
                broker_name: "broker-a".into(),
                broker_id: BrokerId(broker_id),
                broker_addr: node.addr(10911),
            },
        }
    }

    pub fn id(&self) -> ReplicaId {
        ReplicaId { broker_id: self.identity.broker_id, broker_addr: self.identity.broker_addr.clone() }
    }

    /// Files are deleted as soon as they are looked at.
    pub async fn with_short_retention(mut self, node: &Node) -> Setup {
        let now_ms = node.run(|| async { sim::time::wall_clock_ms() }).await;
        self.store.file_reserved_time_hours = 0;
        self.store.delete_when = store::DeleteWhen::hour((now_ms / 3_600_000 % 24) as u32);
        self
    }

    pub fn with_quirks(mut self, quirks: &[quirks::Quirk]) -> Setup {
        let set = quirks.iter().fold(quirks::QuirkSet::NONE, |set, quirk| set.with(*quirk));
        (self.ha.quirks, self.store.quirks) = (set, set);
        self
    }
}

pub async fn open(config: &StoreConfig, options: OpenOptions) -> Arc<MessageStore> {
    let deliver = Arc::new(|level: i32, ms: i64| ms + i64::from(level) * 1000);
    Arc::new(MessageStore::open_with(config.clone(), deliver, options).await.expect("the store opens"))
}

/// A master that serves.
pub struct Master {
    pub store: Arc<MessageStore>,
    pub service: MasterService,
    pub recovery: TailRecovery,
}

/// Starts a master; before it serves it waits for the replicas that are expected.
pub async fn start_master(
    node: &Node,
    setup: &Setup,
    expected: Vec<ReplicaId>,
    limit: Option<Duration>,
) -> Arc<Master> {
    let setup = setup.clone();
    node.run(move || async move {
        let store = open(&setup.store, OpenOptions::default()).await;
        let addr = SocketAddr::from(([0, 0, 0, 0], HA_PORT));
        let service =
            MasterService::bind(addr, Arc::clone(&store), setup.identity, setup.ha).await.expect("the port is free");
        store.refuse_puts(Some("recovering".into()));
        let recovery = recover(&service, &store, &expected, limit).await.expect("the store can be written");
        store.begin_epoch().await.expect("the epoch begins");
        service.serve();
        store.refuse_puts(None);
        Arc::new(Master { store, service, recovery })
    })
    .await
}

/// Takes back what a master has lost, from slaves that are expected.
pub async fn recover(
    service: &MasterService,
    store: &MessageStore,
    expected: &[ReplicaId],
    patience: Option<Duration>,
) -> Result<TailRecovery, store::StoreError> {
    let mut membership = group::Membership::default();
    for replica in expected {
        membership.join(replica.broker_id, &replica.broker_addr);
    }
    let start = group::Start {
        former_id: None,
        history: store.history(),
        membership,
        copying_until: None,
        needs_slave: false,
        patience,
        name_servers: Vec::new(),
    };
    let (_operator, mut events) = tokio::sync::mpsc::unbounded_channel();
    let forming = group::Forming::new(start, Duration::ZERO);
    match service.form(forming, sim::time::Instant::now(), &mut events).await? {
        Formed::Begin { recovery, .. } => Ok(*recovery),
        Formed::Cut(at) => panic!("it is to be cut at {at}"),
    }
}

pub async fn serve(node: &Node, setup: &Setup) -> Arc<Master> {
    start_master(node, setup, Vec::new(), None).await
}

/// A slave; when its log must be cut it opens its store anew, as its broker does.
pub struct Slave {
    parts: Arc<Mutex<Option<Parts>>>,
    pub truncations: Arc<Mutex<Vec<i64>>>,
    _task: JoinHandle<()>,
}

#[derive(Clone)]
struct Parts {
    store: Arc<MessageStore>,
    service: Arc<SlaveService>,
}

impl Slave {
    pub fn store(&self) -> Arc<MessageStore> {
        Arc::clone(&self.parts.lock().unwrap().as_ref().expect("it is open").store)
    }

    pub fn status(&self) -> ha::SlaveStatus {
        self.parts.lock().unwrap().as_ref().map(|parts| parts.service.status()).unwrap_or_default()
    }

    pub fn error(&self) -> String {
        self.status().last_error.unwrap_or_default()
    }
}

pub async fn start_slave(node: &Node, setup: &Setup, master: &Node) -> Arc<Slave> {
    start_slave_speaking(node, setup, master, PROTOCOL_EXTENDED).await
}

pub async fn start_slave_speaking(node: &Node, setup: &Setup, master: &Node, protocol: u32) -> Arc<Slave> {
    let setup = setup.clone();
    let addr = MasterAddr { remoting: master.addr(10911), ha: master.addr(HA_PORT) };
    node.run(move || async move {
        let parts: Arc<Mutex<Option<Parts>>> = Arc::default();
        let truncations: Arc<Mutex<Vec<i64>>> = Arc::default();
        let start = move |store: Arc<MessageStore>| {
            let probe = move |_| Box::pin(async move { Some(protocol) }) as _;
            let service = SlaveService::start(Arc::clone(&store), setup.identity.clone(), setup.ha.clone(), probe);
            service.set_master(Some(addr.clone()));
            Parts { store, service: Arc::new(service) }
        };
        let config = setup.store.clone();
        let first = start(open(&config, OpenOptions::default()).await);
        *parts.lock().unwrap() = Some(first);
        let (present, noted) = (Arc::clone(&parts), Arc::clone(&truncations));
        let task = task::spawn(async move {
            loop {
                let Parts { store, service } = present.lock().unwrap().clone().expect("it is open");
                let truncate_at = service.truncation_wanted().await;
                noted.lock().unwrap().push(truncate_at.0);
                service.shutdown().await;
                store.shutdown().await.expect("the store closes");
                *present.lock().unwrap() = None;
                drop((store, service));
                let options = OpenOptions { truncate_at: Some(truncate_at) };
                *present.lock().unwrap() = Some(start(open(&config, options).await));
            }
        });
        Arc::new(Slave { parts, truncations, _task: task })
    })
    .await
}

pub fn message(body: &[u8]) -> MessageToStore {
    MessageToStore {
        topic: "TopicA".to_owned(),
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: 1,
        born_host: SocketAddr::from(([127, 0, 0, 1], 35286)),
        store_host: SocketAddr::from(([127, 0, 0, 1], 10911)),
        reconsume_times: 0,
        prepared_transaction_offset: PhysicalOffset::ZERO,
        body: Bytes::copy_from_slice(body),
        properties: "TAGS\u{1}tagX".to_owned(),
    }
}

pub async fn put(node: &Node, store: &Arc<MessageStore>, body: &[u8]) -> PutMessageResult {
    let (store, body) = (Arc::clone(store), body.to_vec());
    node.run(move || async move { store.put(message(&body)).await }).await
}

/// Puts that are all as well as the mode promises.
pub async fn put_ok(node: &Node, store: &Arc<MessageStore>, count: usize, body_bytes: usize) {
    let store = Arc::clone(store);
    let statuses = node
        .run(move || async move {
            let mut statuses = Vec::new();
            for number in 0..count {
                let body = vec![b'a' + (number % 26) as u8; body_bytes];
                statuses.push(store.put(message(&body)).await.status);
            }
            statuses
        })
        .await;
    assert!(statuses.iter().all(|status| *status == PutMessageStatus::PutOk), "{statuses:?}");
}

/// Deletes what is old; where the log begins then.
pub async fn delete_old_files(node: &Node, store: &Arc<MessageStore>) -> PhysicalOffset {
    let store = Arc::clone(store);
    node.run(move || async move {
        store.flush().await.expect("the drive works");
        store.clean_expired().await.expect("files are deleted");
        let min = store.min_physical_offset();
        assert!(min > PhysicalOffset::ZERO);
        min
    })
    .await
}

/// The bytes of a log, and where they begin.
pub async fn log_of(node: &Node, store: &Arc<MessageStore>) -> (i64, Vec<u8>) {
    let store = Arc::clone(store);
    node.run(move || async move {
        let (mut at, mut bytes) = (store.min_physical_offset(), Vec::new());
        let min = at.0;
        while at < store.max_physical_offset() {
            let part = store.read_log(at, 1 << 20).await.expect("the log is read");
            at += part.len() as i64;
            bytes.extend_from_slice(&part);
        }
        (min, bytes)
    })
    .await
}

/// Waits until both logs have one end.
pub async fn until_equal(master: &Arc<Master>, slave: &Arc<Slave>, node: &Node) {
    for _ in 0..2000 {
        let end = slave.parts.lock().unwrap().as_ref().map(|parts| parts.store.max_physical_offset());
        if end == Some(master.store.max_physical_offset()) {
            return;
        }
        node.sleep(20).await;
    }
    panic!(
        "the slave does not follow: {:?}, the master ends at {}",
        slave.status(),
        master.store.max_physical_offset()
    );
}

pub async fn assert_same_log(master: (&Node, &Arc<Master>), slave: (&Node, &Arc<Slave>)) {
    let ours = log_of(master.0, &master.1.store).await;
    let theirs = log_of(slave.0, &slave.1.store()).await;
    assert_eq!((ours.0, ours.1.len()), (theirs.0, theirs.1.len()));
    assert!(ours.1 == theirs.1, "the logs differ at {:?}", ours.1.iter().zip(&theirs.1).position(|(a, b)| a != b));
}

/// Waits until something is so.
pub async fn until(node: &Node, what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        node.sleep(20).await;
    }
    panic!("in vain: {what}");
}

/// The files of a host's log by name.
pub fn log_files(node: &Node) -> Vec<(String, Vec<u8>)> {
    let files = node.world.disk_files(node.host);
    files.into_iter().filter(|(path, _)| path.starts_with("/store/commitlog/")).collect()
}

/// Lets time pass on a machine.
pub async fn wait_there(node: &Node, millis: u64) {
    node.run(move || async move { sleep(Duration::from_millis(millis)).await }).await;
}

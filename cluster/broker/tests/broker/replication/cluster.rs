//! A name server and the brokers of one name on simulated hosts, and a script on another that asks them things.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{Broker, BrokerConfig, Role};
use namesrv::{Namesrv, NamesrvConfig};
use protocol::body::{ClusterInfo, HaRuntimeInfo, JsonBody, KvTable, ReplicaGroupView};
use protocol::{BrokerId, RemotingCommand, request_code};
use remoting::{ClientConfig, RemotingClient};
use sim::time::sleep;
use sim::world::{Crash, HostId, HostSpec, HostState, SimulationSpec, World, simulate};
use tokio::sync::{mpsc, oneshot};

use crate::support::Stage;

/// The master's host.
pub const MASTER: &str = "master";
/// The first slave's host.
pub const SLAVE: &str = "slave-1";
/// The second slave's host.
pub const SLAVE_2: &str = "slave-2";

/// Waits until something is so.
macro_rules! until {
    ($what:expr, $so:expr) => {{
        let begun = sim::time::Instant::now();
        while !$so {
            assert!(begun.elapsed() < std::time::Duration::from_secs(300), "it never was so: {}", $what);
            sim::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }};
}
pub(crate) use until;

type Order = Box<dyn FnOnce(&World, &BTreeMap<String, HostId>) + Send>;
type Change = Arc<dyn Fn(&str, &mut BrokerConfig) + Send + Sync>;
type Script = Arc<dyn Fn(Cluster) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What a script has at hand.
#[derive(Clone)]
pub struct Cluster {
    pub client: RemotingClient,
    addrs: Arc<BTreeMap<String, String>>,
    /// Why a broker's process ended, by host.
    ends: Arc<Mutex<BTreeMap<String, String>>>,
    orders: mpsc::UnboundedSender<(Order, oneshot::Sender<()>)>,
}

/// Runs a script against a name server, a SYNC_MASTER and so many slaves.
pub fn play<F, Fut>(
    seed: u64,
    slaves: usize,
    change: impl Fn(&str, &mut BrokerConfig) + Send + Sync + 'static,
    script: F,
) where
    F: Fn(Cluster) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let change: Change = Arc::new(change);
    let script: Script = Arc::new(move |cluster| Box::pin(script(cluster)));
    let spec = SimulationSpec { seed, time_limit: Duration::from_secs(7200), ..Default::default() };
    if let Err(panic) = simulate(spec, move |world| direct(world, slaves, change, script)) {
        panic!("{panic}");
    }
}

async fn direct(world: World, slaves: usize, change: Change, script: Script) {
    let ends: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    let mut hosts = BTreeMap::from([("ns".to_owned(), world.add_host(HostSpec::new("ns", name_server)))]);
    let names: Vec<String> =
        std::iter::once(MASTER.to_owned()).chain((1..=slaves).map(|n| format!("slave-{n}"))).collect();
    for (number, name) in names.iter().enumerate() {
        let host = world.add_host(broker_host(name.clone(), number, Arc::clone(&change), Arc::clone(&ends)));
        hosts.insert(name.clone(), host);
    }
    let addrs = hosts.iter().map(|(name, host)| (name.clone(), format!("{}:10911", world.address(*host)))).collect();
    let addrs: Arc<BTreeMap<String, String>> = Arc::new(addrs);
    let (orders, mut ordered) = mpsc::unbounded_channel::<(Order, oneshot::Sender<()>)>();
    let (done, is_done) = oneshot::channel::<()>();
    let done = Arc::new(Mutex::new(Some(done)));
    let script_host = world.add_host(HostSpec::new("script", move || {
        let cluster = Cluster {
            client: RemotingClient::new(ClientConfig::default()),
            addrs: Arc::clone(&addrs),
            ends: Arc::clone(&ends),
            orders: orders.clone(),
        };
        let script = script(cluster);
        let done = Arc::clone(&done);
        async move {
            script.await;
            drop(done.lock().unwrap().take());
        }
    }));
    world.boot(hosts["ns"]);
    world.sleep(Duration::from_millis(100)).await;
    for name in &names {
        world.boot(hosts[name]);
    }
    world.boot(script_host);
    hosts.insert("script".to_owned(), script_host);
    let mut is_done = is_done;
    loop {
        tokio::select! {
            biased;
            _ = &mut is_done => break,
            order = ordered.recv() => {
                let Some((order, reply)) = order else { break };
                order(&world, &hosts);
                let _ = reply.send(());
            }
        }
    }
}

async fn name_server() {
    let config = NamesrvConfig { kv_config_path: "/data/kvConfig.json".into(), ..NamesrvConfig::default() };
    let namesrv = Namesrv::start(config).await.expect("the name server starts");
    namesrv.run_until_terminated().await.expect("the name server stops in good order");
}

fn broker_host(name: String, number: usize, change: Change, ends: Arc<Mutex<BTreeMap<String, String>>>) -> HostSpec {
    HostSpec::new(name.clone(), move || {
        let (name, change, ends) = (name.clone(), Arc::clone(&change), Arc::clone(&ends));
        async move {
            let mut config = BrokerConfig::new("broker-a", "/store");
            config.namesrv_addr = vec!["ns:9876".to_owned()];
            config.broker_id = BrokerId(i64::try_from(number).unwrap());
            config.ha.role = if number == 0 { Role::SyncMaster } else { Role::Slave };
            config.store.mapped_file_size_commit_log_bytes = 1 << 20;
            config.store.mapped_file_size_consume_queue_bytes = 20 * 1000;
            config.slave_synchronize_interval_ms = 1_000;
            config.slave_synchronize_delay_ms = 500;
            change(&name, &mut config);
            let ended = match Broker::start(config).await {
                Ok(broker) => broker.run_until_terminated().await,
                Err(error) => Err(error),
            };
            let end = ended.map_or_else(|error| error.to_string(), |()| "in good order".to_owned());
            ends.lock().unwrap().insert(name, end);
        }
    })
}

impl Cluster {
    /// Does something to the world.
    pub async fn order(&self, order: impl FnOnce(&World, &BTreeMap<String, HostId>) + Send + 'static) {
        let (reply, answered) = oneshot::channel();
        assert!(self.orders.send((Box::new(order), reply)).is_ok(), "the director listens");
        answered.await.expect("the director answers");
    }

    /// A host's address, as the name servers know a broker there.
    pub fn addr(&self, host: &str) -> String {
        self.addrs[host].clone()
    }

    /// Questions to the broker of a host.
    pub fn at(&self, host: &str) -> Stage {
        Stage::at(self.client.clone(), self.addr(host))
    }

    pub async fn crash(&self, host: &'static str, crash: Crash) {
        self.order(move |world, hosts| {
            world.crash(hosts[host], crash);
        })
        .await;
        self.client.close_channel(&self.addr(host));
    }

    pub async fn boot(&self, host: &'static str) {
        self.order(move |world, hosts| {
            world.boot(hosts[host]);
        })
        .await;
    }

    /// Asks a broker to stop, and waits until it has.
    pub async fn stop(&self, host: &'static str) {
        self.order(move |world, hosts| world.terminate(hosts[host])).await;
        loop {
            let running = Arc::new(Mutex::new(true));
            let answer = Arc::clone(&running);
            self.order(move |world, hosts| *answer.lock().unwrap() = world.state(hosts[host]) == HostState::Running)
                .await;
            if !*running.lock().unwrap() {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.client.close_channel(&self.addr(host));
    }

    /// Cuts, or heals, both ways between two hosts.
    pub async fn partition(&self, a: &'static str, b: &'static str, cut: bool) {
        self.order(move |world, hosts| {
            for (from, to) in [(hosts[a], hosts[b]), (hosts[b], hosts[a])] {
                if cut { world.cut(from, to) } else { world.heal(from, to) }
            }
        })
        .await;
    }

    /// Why the broker of a host ended last.
    pub fn end_of(&self, host: &str) -> Option<String> {
        self.ends.lock().unwrap().get(host).cloned()
    }

    /// What `haStatus` says of a broker; `None` if it does not answer.
    pub async fn ha_status(&self, host: &str) -> Option<HaRuntimeInfo> {
        let request = protocol::RemotingCommand::request(request_code::GET_BROKER_HA_STATUS, &());
        let response = self.client.invoke(&self.addr(host), request, Duration::from_secs(2)).await.ok()?;
        HaRuntimeInfo::decode(&response.body).ok()
    }

    /// Asks a broker something of our own, with these fields.
    pub async fn ask(&self, host: &str, request: i32, fields: &[(&str, &str)]) -> RemotingCommand {
        let begin = RemotingCommand::request(request, &());
        let command = fields.iter().fold(begin, |command, (name, value)| command.with_field(name, value));
        self.client.invoke(&self.addr(host), command, Duration::from_secs(3)).await.expect("it answers")
    }

    /// What `mqadmin replicaGroup` shows of a broker.
    pub async fn group(&self, host: &str) -> ReplicaGroupView {
        let answer = self.ask(host, request_code::GET_REPLICA_GROUP, &[]).await;
        ReplicaGroupView::decode(&answer.body).expect("a view")
    }

    /// The same; `None` if it does not answer.
    pub async fn find_group(&self, host: &str) -> Option<ReplicaGroupView> {
        let request = RemotingCommand::request(request_code::GET_REPLICA_GROUP, &());
        let answer = self.client.invoke(&self.addr(host), request, Duration::from_secs(2)).await.ok()?;
        ReplicaGroupView::decode(&answer.body).ok()
    }

    /// The ids of the brokers of the name that the name server knows.
    pub async fn registered(&self) -> Vec<i64> {
        let request = RemotingCommand::request(request_code::GET_BROKER_CLUSTER_INFO, &());
        let addr = self.addr("ns").replace(":10911", ":9876");
        let answer = self.client.invoke(&addr, request, Duration::from_secs(3)).await.expect("it answers");
        let known = ClusterInfo::decode(&answer.body).expect("a list");
        let of_name = known.broker_addr_table.get("broker-a");
        of_name.map(|data| data.broker_addrs.keys().map(|id| id.0).collect()).unwrap_or_default()
    }

    /// Takes the disks out of two machines that are off, and puts each into the other one.
    pub async fn swap_disks(&self, a: &'static str, b: &'static str) {
        self.order(move |world, hosts| assert!(world.move_disk(hosts[a], hosts[b]), "both are off")).await;
    }

    /// Waits until so many slaves are in sync.
    pub async fn in_sync(&self, slaves: i32) {
        until!(format!("{slaves} in sync"), {
            self.ha_status(MASTER).await.is_some_and(|info| info.in_sync_slave_nums == slaves)
        });
    }

    /// The figures of GET_BROKER_RUNTIME_INFO.
    pub async fn runtime_info(&self, host: &str) -> BTreeMap<String, String> {
        let response = self.at(host).ask(request_code::GET_BROKER_RUNTIME_INFO, &()).await;
        KvTable::decode(&response.body).unwrap().table
    }

    /// The answer to one send with a time limit; `None` if there is none.
    pub async fn try_send(&self, host: &str, topic: &str, body: &str) -> Option<i32> {
        let header = crate::support::send_header(topic, 0, "");
        let request =
            protocol::RemotingCommand::request(request_code::SEND_MESSAGE_V2, &header).with_body(body.to_owned());
        let response = self.client.invoke(&self.addr(host), request, Duration::from_secs(10)).await.ok()?;
        Some(response.code)
    }

    /// Waits until a broker has these messages in queue 0 of the topic, from the first on.
    pub async fn holds(&self, host: &str, topic: &str, bodies: &[&str]) {
        let mut found: (Option<Vec<String>>, Option<ReplicaGroupView>);
        until!(format!("{host} holds {bodies:?}, but {found:?}"), {
            found = (self.messages(host, topic).await, None);
            let is_so = found.0.as_ref().is_some_and(|found| found == bodies);
            if !is_so {
                found.1 = self.find_group(host).await;
            }
            is_so
        });
    }

    /// Waits until a broker answers.
    pub async fn answers(&self, host: &str) {
        until!(format!("{host} answers"), self.ha_status(host).await.is_some());
    }

    /// The messages of queue 0 of the topic, as far as one pull gives them.
    pub async fn messages(&self, host: &str, topic: &str) -> Option<Vec<String>> {
        let header = crate::support::pull_header("TOOLS_CONSUMER", topic, 0, "*", 0);
        let request = protocol::RemotingCommand::request(request_code::PULL_MESSAGE, &header);
        let response = self.client.invoke(&self.addr(host), request, Duration::from_secs(2)).await.ok()?;
        let text = |body: bytes::Bytes| String::from_utf8(body.to_vec()).expect("the tests send text");
        Some(
            protocol::message::decode_messages(response.body)
                .map(|message| text(message.expect("whole records").body))
                .collect(),
        )
    }
}

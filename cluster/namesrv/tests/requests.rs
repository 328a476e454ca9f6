//! A name server asked over the wire, in either body of the seam.

#[path = "../../remoting/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use namesrv::{Namesrv, NamesrvConfig, NamesrvError};
use protocol::body::{
    ClusterInfo, DataVersion, JsonBody, KvTable, QueueData, RegisterBrokerBody, TopicConfig,
    TopicConfigSerializeWrapper, TopicList, TopicRouteData,
};
use protocol::header::{
    DeleteTopicFromNamesrvRequestHeader, GetKvConfigResponseHeader, GetKvListByNamespaceRequestHeader,
    GetRouteInfoRequestHeader, GetTopicsByClusterRequestHeader, KvConfigRequestHeader, PutKvConfigRequestHeader,
    QueryDataVersionRequestHeader, QueryDataVersionResponseHeader, RegisterBrokerRequestHeader,
    RegisterBrokerResponseHeader, UnRegisterBrokerRequestHeader, WipeWritePermOfBrokerResponseHeader,
    WritePermOfBrokerRequestHeader,
};
use protocol::message::body_crc;
use protocol::{BrokerId, CommandHeader, RemotingCommand, frame, request_code, response_code};
use remoting::{ClientConfig, RemotingClient};
use sim::net::TcpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A running name server and a client of it.
struct Setup {
    namesrv: Namesrv,
    client: RemotingClient,
    addr: String,
    #[cfg(feature = "real")]
    _directory: tempfile::TempDir,
}

fn config(directory: PathBuf) -> NamesrvConfig {
    NamesrvConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        kv_config_path: directory.join("namesrv/kvConfig.json"),
        ..NamesrvConfig::default()
    }
}

async fn set_up_with(change: impl FnOnce(&mut NamesrvConfig)) -> Setup {
    #[cfg(feature = "real")]
    let directory = tempfile::tempdir().expect("a directory");
    #[cfg(feature = "real")]
    let mut config = config(directory.path().to_owned());
    #[cfg(not(feature = "real"))]
    let mut config = config(PathBuf::from("/data"));
    change(&mut config);
    let namesrv = Namesrv::start(config).await.expect("started");
    let addr = namesrv.local_addr().to_string();
    let client = RemotingClient::new(ClientConfig::default());
    Setup {
        namesrv,
        client,
        addr,
        #[cfg(feature = "real")]
        _directory: directory,
    }
}

async fn set_up() -> Setup {
    set_up_with(|_| {}).await
}

impl Setup {
    async fn ask(&self, request: RemotingCommand) -> RemotingCommand {
        self.client.invoke(&self.addr, request, TIMEOUT).await.expect("answered")
    }

    async fn ask_with<H: CommandHeader>(&self, code: i32, header: &H) -> RemotingCommand {
        self.ask(RemotingCommand::request(code, header)).await
    }

    async fn route(&self, topic: &str) -> RemotingCommand {
        let header = GetRouteInfoRequestHeader { topic: topic.to_owned(), accept_standard_json_only: Some(true) };
        self.ask_with(request_code::GET_ROUTEINFO_BY_TOPIC, &header).await
    }

    async fn has_route(&self, topic: &str) -> bool {
        self.route(topic).await.code == response_code::SUCCESS
    }
}

fn body(topics: &[&str]) -> RegisterBrokerBody {
    let mut wrapper = TopicConfigSerializeWrapper { data_version: version(), ..Default::default() };
    for &topic in topics {
        wrapper.topic_config_table.insert(topic.to_owned(), TopicConfig::new(topic, 4, 6));
    }
    RegisterBrokerBody { filter_server_list: Vec::new(), topic_config_serialize_wrapper: wrapper }
}

fn version() -> DataVersion {
    DataVersion { counter: 1, state_version: None, timestamp: 7 }
}

fn registration(id: i64, addr: &str, topics: &[&str]) -> RemotingCommand {
    let body = body(topics).encode();
    let header = RegisterBrokerRequestHeader {
        broker_name: "broker-a".to_owned(),
        broker_addr: addr.to_owned(),
        cluster_name: "DefaultCluster".to_owned(),
        ha_server_addr: format!("ha-{addr}"),
        broker_id: BrokerId(id),
        body_crc32: i32::try_from(body_crc(&body)).expect("31 bits"),
        ..Default::default()
    };
    RemotingCommand::request(request_code::REGISTER_BROKER, &header).with_body(body)
}

#[test]
fn a_broker_registers_is_found_and_leaves() {
    support::run(|| async {
        let setup = set_up().await;
        let unknown = setup.route("TopicA").await;
        assert_eq!(unknown.code, response_code::TOPIC_NOT_EXIST);
        let remark = unknown.remark.expect("a remark");
        assert!(remark.starts_with("No topic route info in name server for the topic: TopicA"), "{remark}");

        assert_eq!(setup.ask(registration(0, "10.0.0.1:10911", &["TopicA"])).await.code, response_code::SUCCESS);
        let slave = setup.ask(registration(1, "10.0.0.2:10911", &[])).await;
        let learnt: RegisterBrokerResponseHeader = slave.header().expect("a header");
        assert_eq!(learnt.master_addr.as_deref(), Some("10.0.0.1:10911"));
        assert_eq!(learnt.ha_server_addr.as_deref(), Some("ha-10.0.0.1:10911"));

        let route = TopicRouteData::decode(&setup.route("TopicA").await.body).expect("a route");
        assert_eq!(route.queue_datas[0].write_queue_nums, 4);
        let addrs = BTreeMap::from([(BrokerId(0), "10.0.0.1:10911".into()), (BrokerId(1), "10.0.0.2:10911".into())]);
        assert_eq!(route.broker_datas[0].broker_addrs, addrs);

        let info = setup.ask_with(request_code::GET_BROKER_CLUSTER_INFO, &()).await;
        let info = ClusterInfo::decode(&info.body).expect("cluster info");
        assert_eq!(info.broker_addr_table["broker-a"].broker_addrs, addrs);
        assert!(info.cluster_addr_table["DefaultCluster"].contains("broker-a"));

        let member_group = RemotingCommand::request(request_code::GET_BROKER_MEMBER_GROUP, &())
            .with_field("clusterName", "DefaultCluster")
            .with_field("brokerName", "broker-a");
        let member_group = setup.ask(member_group).await.body;
        assert_eq!(
            member_group,
            r#"{"brokerMemberGroup":{"brokerAddrs":{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"},"brokerName":"broker-a","cluster":"DefaultCluster"}}"#
        );

        for (id, addr) in addrs {
            assert!(setup.has_route("TopicA").await);
            let header = UnRegisterBrokerRequestHeader {
                broker_name: "broker-a".to_owned(),
                broker_addr: addr,
                cluster_name: "DefaultCluster".to_owned(),
                broker_id: id,
            };
            let left = setup.ask_with(request_code::UNREGISTER_BROKER, &header).await;
            assert_eq!(left.code, response_code::SUCCESS);
        }
        assert!(!setup.has_route("TopicA").await);
        setup.namesrv.shutdown().await;
    });
}

#[test]
fn a_compressed_registration_and_a_damaged_one() {
    support::run(|| async {
        let setup = set_up().await;
        let mut damaged = registration(0, "10.0.0.1:10911", &["TopicA"]);
        damaged.body = body(&["TopicB"]).encode();
        let refused = setup.ask(damaged).await;
        assert_eq!((refused.code, refused.remark.as_deref()), (response_code::SYSTEM_ERROR, Some("crc32 not match")));
        let mut nonsense = registration(0, "10.0.0.1:10911", &[]).with_body("[");
        nonsense.ext_fields.insert("bodyCrc32", "0");
        assert_eq!(setup.ask(nonsense).await.code, response_code::SYSTEM_ERROR);
        let nameless = RemotingCommand::request(request_code::REGISTER_BROKER, &()).with_field("brokerName", "a");
        let refused = setup.ask(nameless).await;
        assert_eq!(refused.code, response_code::SYSTEM_ERROR);
        assert!(refused.remark.is_some_and(|remark| remark.contains("brokerAddr")));

        let compressed = body(&["TopicC"]).encode_compressed();
        let mut request = registration(0, "10.0.0.1:10911", &[]).with_body(compressed.clone());
        request.ext_fields.insert("compressed", "true");
        request.ext_fields.insert("bodyCrc32", &body_crc(&compressed).to_string());
        assert_eq!(setup.ask(request).await.code, response_code::SUCCESS);
        assert!(setup.has_route("TopicC").await);
    });
}

/// Whoever shuts down its half of the connection behind its requests is answered all of them, also those that take longer.
#[test]
fn who_sends_nothing_more_is_answered() {
    support::run(|| async {
        let setup = set_up().await;
        let topics: Vec<String> = (0..500).map(|number| format!("Topic{number}")).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let mut bytes = BytesMut::new();
        let all = RemotingCommand::request(request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &());
        for (opaque, mut request) in (1..).zip([registration(0, "10.0.0.1:10911", &topics), all]) {
            request.opaque = opaque;
            frame::encode(&request, &mut bytes).expect("it is short");
        }
        let addr = setup.addr.parse::<SocketAddr>().expect("an address");
        let mut stream = TcpStream::connect(addr).await.expect("it listens");
        stream.write_all(&bytes).await.expect("it is read");
        stream.shutdown().await.expect("it is open");
        let (mut bytes, mut answers) = (BytesMut::new(), Vec::new());
        while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
            while let Some(answer) = frame::decode(&mut bytes).expect("a frame") {
                answers.push((answer.opaque, answer.code));
            }
        }
        answers.sort_unstable();
        assert_eq!(answers, [(1, response_code::SUCCESS), (2, response_code::SUCCESS)]);
        while setup.has_route("Topic7").await {
            sim::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_broker_goes_with_its_connection() {
    support::run(|| async {
        let setup = set_up().await;
        let broker = RemotingClient::new(ClientConfig::default());
        let request = registration(0, "10.0.0.1:10911", &["TopicA"]);
        broker.invoke(&setup.addr, request, TIMEOUT).await.expect("answered");
        assert!(setup.has_route("TopicA").await);
        drop(broker);
        while setup.has_route("TopicA").await {
            sim::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn a_good_bye_of_an_earlier_connection_does_not_undo_a_registration() {
    support::run(|| async {
        let setup = set_up().await;
        let [earlier, later] = [(); 2].map(|()| RemotingClient::new(ClientConfig::default()));
        let register = |client: RemotingClient| {
            let (addr, request) = (setup.addr.clone(), registration(0, "10.0.0.1:10911", &["TopicA"]));
            async move { client.invoke(&addr, request, TIMEOUT).await.expect("answered") }
        };
        let header = UnRegisterBrokerRequestHeader {
            broker_name: "broker-a".to_owned(),
            broker_addr: "10.0.0.1:10911".to_owned(),
            cluster_name: "DefaultCluster".to_owned(),
            broker_id: BrokerId(0),
        };
        let good_bye = RemotingCommand::request(request_code::UNREGISTER_BROKER, &header);
        register(earlier.clone()).await;
        register(later.clone()).await;
        register(earlier.clone()).await;
        let answer = earlier.invoke(&setup.addr, good_bye.clone(), TIMEOUT).await.expect("answered");
        assert_eq!(answer.code, response_code::SUCCESS);
        assert!(setup.has_route("TopicA").await);
        drop(earlier);
        later.invoke(&setup.addr, good_bye, TIMEOUT).await.expect("answered");
        assert!(!setup.has_route("TopicA").await);
    });
}

#[test]
fn a_silent_broker_is_taken_off_and_one_that_gives_signs_of_life_stays() {
    support::run(|| async {
        let setup = set_up_with(|config| {
            config.broker_channel_expired_time = Duration::from_secs(1);
            config.settings.scan_not_active_broker_interval = Duration::from_millis(20);
        })
        .await;
        let silent = RemotingClient::new(ClientConfig::default());
        let mut request = registration(0, "10.0.0.1:10911", &["TopicA"]);
        silent.invoke(&setup.addr, request.clone(), TIMEOUT).await.expect("answered");
        request.ext_fields.insert("brokerName", "broker-b");
        request.ext_fields.insert("brokerAddr", "10.0.0.2:10911");
        request.ext_fields.insert("heartbeatTimeoutMillis", "60000");
        request.body = body(&["TopicB"]).encode();
        request.ext_fields.insert("bodyCrc32", "0");
        setup.ask(request.clone()).await;
        request.ext_fields.insert("brokerName", "broker-c");
        request.ext_fields.insert("brokerAddr", "10.0.0.3:10911");
        request.ext_fields.remove("heartbeatTimeoutMillis");
        request.body = body(&["TopicC"]).encode();
        setup.ask(request).await;
        while setup.has_route("TopicA").await {
            let alive = RemotingCommand::request(request_code::BROKER_HEARTBEAT, &());
            setup.ask(alive.with_field("brokerAddr", "10.0.0.3:10911")).await;
            sim::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(setup.has_route("TopicB").await, "it asked for more time");
        assert!(setup.has_route("TopicC").await, "it was heard");
        while silent.is_connected(&setup.addr) {
            sim::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn a_broker_asks_whether_it_has_to_register() {
    support::run(|| async {
        let setup = set_up().await;
        let header = QueryDataVersionRequestHeader {
            broker_name: "broker-a".to_owned(),
            broker_addr: "10.0.0.1:10911".to_owned(),
            cluster_name: "DefaultCluster".to_owned(),
            broker_id: BrokerId(0),
        };
        let query = |version: &DataVersion| {
            RemotingCommand::request(request_code::QUERY_DATA_VERSION, &header).with_body(version.encode())
        };
        let changed =
            |response: &RemotingCommand| response.header::<QueryDataVersionResponseHeader>().expect("a header").changed;
        let unknown = setup.ask(query(&version())).await;
        assert!(changed(&unknown) && unknown.body.is_empty());
        setup.ask(registration(0, "10.0.0.1:10911", &["TopicA"])).await;
        let known = setup.ask(query(&version())).await;
        assert!(!changed(&known));
        assert_eq!(DataVersion::decode(&known.body).expect("a version"), version());
        let other = DataVersion { counter: 2, ..version() };
        assert!(changed(&setup.ask(query(&other)).await));
    });
}

#[test]
fn topics_are_listed_deleted_and_retired() {
    support::run(|| async {
        let setup = set_up().await;
        setup.ask(registration(0, "10.0.0.1:10911", &["TopicA", "TopicB"])).await;
        let list = async |code, header: &GetTopicsByClusterRequestHeader| {
            let response = setup.ask_with(code, header).await;
            TopicList::decode(&response.body).expect("a list").topic_list.into_iter().collect::<Vec<_>>()
        };
        let cluster = GetTopicsByClusterRequestHeader { cluster: "DefaultCluster".to_owned() };
        let nowhere = GetTopicsByClusterRequestHeader { cluster: "nowhere".to_owned() };
        let both = ["TopicA", "TopicB"];
        assert_eq!(list(request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &cluster).await, both);
        assert_eq!(list(request_code::GET_TOPICS_BY_CLUSTER, &cluster).await, both);
        assert!(list(request_code::GET_TOPICS_BY_CLUSTER, &nowhere).await.is_empty());
        assert!(list(request_code::GET_UNIT_TOPIC_LIST, &cluster).await.is_empty());
        let system = list(request_code::GET_SYSTEM_TOPIC_LIST_FROM_NS, &cluster).await;
        assert_eq!(system, ["DefaultCluster", "broker-a"]);

        let broker = WritePermOfBrokerRequestHeader { broker_name: "broker-a".to_owned() };
        let wiped = setup.ask_with(request_code::WIPE_WRITE_PERM_OF_BROKER, &broker).await;
        let wiped: WipeWritePermOfBrokerResponseHeader = wiped.header().expect("a header");
        assert_eq!(wiped.wipe_topic_count, 2);
        let perm =
            async || TopicRouteData::decode(&setup.route("TopicA").await.body).expect("a route").queue_datas[0].perm;
        assert_eq!(perm().await, 4);
        setup.ask_with(request_code::ADD_WRITE_PERM_OF_BROKER, &broker).await;
        assert_eq!(perm().await, 6);

        let delete = DeleteTopicFromNamesrvRequestHeader { topic: "TopicA".to_owned(), cluster_name: None };
        setup.ask_with(request_code::DELETE_TOPIC_IN_NAMESRV, &delete).await;
        assert!(!setup.has_route("TopicA").await);
        let queues = QueueData { broker_name: "broker-a".to_owned(), perm: 6, ..Default::default() };
        let route = TopicRouteData { queue_datas: vec![queues], ..Default::default() };
        let register = RemotingCommand::request(request_code::REGISTER_TOPIC_IN_NAMESRV, &()).with_body(route.encode());
        setup.ask(register.with_field("topic", "TopicA")).await;
        assert!(setup.has_route("TopicA").await);
        assert_eq!(setup.ask_with(4711, &()).await.code, response_code::REQUEST_CODE_NOT_SUPPORTED);
    });
}

fn put(key: &str, value: &str) -> PutKvConfigRequestHeader {
    PutKvConfigRequestHeader { namespace: "ORDER_TOPIC_CONFIG".into(), key: key.into(), value: value.into() }
}

fn get(key: &str) -> KvConfigRequestHeader {
    KvConfigRequestHeader { namespace: "ORDER_TOPIC_CONFIG".into(), key: key.into() }
}

#[test]
fn key_value_configuration_is_put_got_listed_and_deleted() {
    support::run(|| async {
        let setup = set_up_with(|config| config.settings.order_message_enable = true).await;
        let namespace = GetKvListByNamespaceRequestHeader { namespace: "ORDER_TOPIC_CONFIG".into() };
        let none = setup.ask_with(request_code::GET_KVLIST_BY_NAMESPACE, &namespace).await;
        assert_eq!(none.code, response_code::QUERY_NOT_FOUND);
        for (key, value) in [("TopicA", "broker-a:4"), ("TopicB", "broker-a:1"), ("TopicA", "broker-a:8")] {
            assert_eq!(
                setup.ask_with(request_code::PUT_KV_CONFIG, &put(key, value)).await.code,
                response_code::SUCCESS
            );
        }
        let got = setup.ask_with(request_code::GET_KV_CONFIG, &get("TopicA")).await;
        let got: GetKvConfigResponseHeader = got.header().expect("a header");
        assert_eq!(got.value.as_deref(), Some("broker-a:8"));
        setup.ask_with(request_code::DELETE_KV_CONFIG, &get("TopicB")).await;
        let gone = setup.ask_with(request_code::GET_KV_CONFIG, &get("TopicB")).await;
        assert_eq!(gone.code, response_code::QUERY_NOT_FOUND);
        let listed = setup.ask_with(request_code::GET_KVLIST_BY_NAMESPACE, &namespace).await;
        let listed = KvTable::decode(&listed.body).expect("a table").table;
        assert_eq!(listed, BTreeMap::from([("TopicA".to_owned(), "broker-a:8".to_owned())]));

        let registered = setup.ask(registration(0, "10.0.0.1:10911", &["TopicA"])).await;
        assert_eq!(KvTable::decode(&registered.body).expect("a table").table, listed);
        let route = TopicRouteData::decode(&setup.route("TopicA").await.body).expect("a route");
        assert_eq!(route.order_topic_conf.as_deref(), Some("broker-a:8"));
    });
}

#[test]
fn settings_can_be_changed_while_it_runs() {
    support::run(|| async {
        let setup = set_up().await;
        let update =
            |text: &'static str| RemotingCommand::request(request_code::UPDATE_NAMESRV_CONFIG, &()).with_body(text);
        let refused = setup.ask(update("enableAllTopicList=false\nlistenPort=1\n")).await;
        assert_eq!(refused.code, response_code::SYSTEM_ERROR);
        assert!(refused.remark.is_some_and(|remark| remark.contains("listenPort")));
        let list = request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
        assert_eq!(setup.ask_with(list, &()).await.code, response_code::SUCCESS, "all or nothing");
        assert_eq!(setup.ask(update("# off\nenableAllTopicList = false\n")).await.code, response_code::SUCCESS);
        assert_eq!(setup.ask_with(list, &()).await.code, response_code::NO_PERMISSION);
        let text = setup.ask_with(request_code::GET_NAMESRV_CONFIG, &()).await.body;
        assert!(String::from_utf8_lossy(&text).contains("\nenableAllTopicList=false\n"));
    });
}

#[test]
fn a_taken_port_and_a_foreign_file_are_refused() {
    support::run(|| async {
        let setup = set_up().await;
        let mut taken = config(PathBuf::from("nowhere"));
        taken.listen = setup.namesrv.local_addr();
        let error = Namesrv::start(taken).await.expect_err("the port is taken");
        assert!(matches!(error, NamesrvError::Listen { .. }), "{error}");

        #[cfg(feature = "real")]
        let directory = setup._directory.path().to_owned();
        #[cfg(not(feature = "real"))]
        let directory = PathBuf::from("/foreign");
        let foreign = config(directory);
        let path = &foreign.kv_config_path;
        sim::disk::create_dir_all(path.parent().expect("it has one")).await.expect("created");
        let file = sim::disk::OpenOptions::new().write(true).create(true).open(path).await.expect("opened");
        file.write_all_at(b"PNG", 0).await.expect("written");
        let path = path.display().to_string();
        let error = Namesrv::start(foreign).await.expect_err("no configuration");
        assert!(matches!(error, NamesrvError::KvConfig(_)), "{error}");
        assert!(error.to_string().contains(&path), "{error}");
    });
}

/// What was acknowledged is there after a power loss.
#[cfg(not(feature = "real"))]
#[test]
fn key_value_configuration_survives_a_power_loss() {
    use sim::world::{Crash, HostSpec, SimulationSpec, simulate};

    for seed in 0..20 {
        let run = simulate(SimulationSpec { seed, ..Default::default() }, |world| async move {
            let server = world.add_host(HostSpec::new("ns", || async {
                let config =
                    NamesrvConfig { kv_config_path: PathBuf::from("/data/kvConfig.json"), ..Default::default() };
                Namesrv::start(config).await.expect("started").run_until_terminated().await.expect("stopped");
            }));
            world.boot(server);
            let addr = format!("{}:9876", world.address(server));
            let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
            let client = world.add_host(HostSpec::new("client", move || {
                let (addr, tell) = (addr.clone(), tell.clone());
                async move {
                    let client = RemotingClient::new(ClientConfig::default());
                    for number in 0..3 {
                        let key = format!("key{number}");
                        let request = RemotingCommand::request(request_code::PUT_KV_CONFIG, &put(&key, "value"));
                        let response = client.invoke(&addr, request, TIMEOUT).await.expect("answered");
                        assert_eq!(response.code, response_code::SUCCESS);
                    }
                    tell.send(0).expect("the harness listens");
                    for number in 0..3 {
                        let request =
                            RemotingCommand::request(request_code::GET_KV_CONFIG, &get(&format!("key{number}")));
                        // The first attempts meet a machine that is off.
                        let response = loop {
                            match client.invoke(&addr, request.clone(), TIMEOUT).await {
                                Ok(response) => break response,
                                Err(_) => sim::time::sleep(Duration::from_millis(100)).await,
                            }
                        };
                        tell.send(response.code).expect("the harness listens");
                    }
                }
            }));
            world.boot(client);
            assert_eq!(told.recv().await, Some(0));
            world.crash(server, Crash::Power);
            world.boot(server);
            for _ in 0..3 {
                assert_eq!(told.recv().await, Some(response_code::SUCCESS));
            }
        });
        if let Err(panicked) = run {
            panic!("seed {seed}: {panicked:?}");
        }
    }
}

/// Every code that Apache's servers are asked, with any fields and bodies: refused or answered, and routes are as before.
#[test]
fn requests_of_every_code_with_any_fields_harm_nobody() {
    const FIELDS: &str = "brokerName brokerAddr clusterName haServerAddr brokerId compressed bodyCrc32 topic cluster namespace \
        key value acceptStandardJsonOnly heartbeatTimeoutMillis enableActingMaster";
    const VALUES: [&str; 12] = [
        "",
        "0",
        "-1",
        "9223372036854775807",
        "99999999999999999999",
        "true",
        "x",
        "*",
        "\u{1}\u{2}",
        "a:b",
        "[]",
        "null",
    ];
    const BODIES: [&str; 6] =
        ["", "x", "null", "[]", "{}", "{\"topicConfigSerializeWrapper\":{\"topicConfigTable\":{\"T\":{}}}}"];
    support::run(|| async {
        let setup = set_up().await;
        setup.ask(registration(0, "10.0.0.1:10911", &["TopicA"])).await;
        let any = |values: &[&'static str]| values[sim::rng::below("hostile", values.len() as u64) as usize];
        let stranger = RemotingClient::new(ClientConfig::default());
        for code in (0..356).chain(900..910).chain([-1, i32::MIN, i32::MAX]) {
            for _ in 0..6 {
                let mut request = RemotingCommand::request(code, &());
                for field in FIELDS.split_ascii_whitespace().filter(|_| sim::rng::below("hostile", 3) > 0) {
                    request.ext_fields.insert(field, any(&VALUES));
                }
                // An error is a connection that is closed.
                let _ = stranger.invoke(&setup.addr, request.with_body(any(&BODIES)), Duration::from_secs(1)).await;
            }
        }
        assert!(setup.has_route("TopicA").await);
    });
}

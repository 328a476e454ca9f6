//! The route table against a simple model, and named cases.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::BrokerId;
use protocol::body::{DataVersion, JsonBody, QueueData, TopicConfig};
use protocol::perm::{PERM_READ, PERM_WRITE, is_writable};
use remoting::ChannelId;

use crate::route_table::{Registered, Registration, RouteTable, Unmentioned};

const MASTER: BrokerId = BrokerId::MASTER;
const SLAVE: BrokerId = BrokerId(1);

fn version(counter: i64) -> DataVersion {
    DataVersion { counter, state_version: None, timestamp: 0 }
}

fn topics(names: &[&str]) -> BTreeMap<String, TopicConfig> {
    names.iter().map(|&name| (name.to_owned(), TopicConfig::new(name, 8, PERM_READ | PERM_WRITE))).collect()
}

fn broker(name: &str, id: BrokerId, addr: &str, topic_names: &[&str]) -> Registration {
    Registration {
        cluster_name: "DefaultCluster".to_owned(),
        broker_name: name.to_owned(),
        broker_id: id,
        broker_addr: addr.to_owned(),
        ha_server_addr: format!("ha of {addr}"),
        expires_after_ms: 120_000,
        enable_acting_master: None,
        data_version: version(1),
        topics: topics(topic_names),
        channel: ChannelId(1),
    }
}

fn register(table: &mut RouteTable, registration: Registration) -> Registered {
    let registered = table.register(registration, Unmentioned::Kept, 0).expect("not stale");
    table.check();
    registered
}

fn addrs(table: &RouteTable, topic: &str) -> Vec<(BrokerId, String)> {
    let route = table.route(topic, false).unwrap_or_default();
    route.broker_datas.into_iter().flat_map(|data| data.broker_addrs).collect()
}

fn perm(table: &RouteTable, topic: &str) -> i32 {
    table.route(topic, false).expect("a route").queue_datas[0].perm
}

#[test]
fn a_route_has_the_bytes_that_apache_sends() {
    let mut table = RouteTable::default();
    let mut registration = broker("broker-a", MASTER, "127.0.0.1:10911", &["TBW102"]);
    registration.topics.get_mut("TBW102").expect("it is there").perm = 7;
    register(&mut table, registration);
    let route = table.route("TBW102", false).expect("a route").encode();
    // Captured from a name server of 4.9.8.
    let apache = r#"{"brokerDatas":[{"brokerAddrs":{"0":"127.0.0.1:10911"},"brokerName":"broker-a","cluster":"DefaultCluster"}],"filterServerTable":{},"queueDatas":[{"brokerName":"broker-a","perm":7,"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":8}]}"#;
    // One field more, which 5.x has: some clients that were made for it read no route without it.
    let with_field = apache.replace(r#""DefaultCluster"}"#, r#""DefaultCluster","enableActingMaster":false}"#);
    assert_eq!(route, with_field);
    assert_eq!(table.route("nowhere", false), None);
}

#[test]
fn what_is_left_over_of_an_earlier_connection_changes_nothing() {
    let mut table = RouteTable::default();
    let by = |channel, counter, names: &[&str]| Registration {
        channel: ChannelId(channel),
        data_version: version(counter),
        ..broker("a", MASTER, "m", names)
    };
    register(&mut table, by(2, 5, &["T", "U"]));
    let before = table.clone();
    register(&mut table, by(1, 4, &["V"]));
    assert_eq!(table, before);
    assert_eq!(table.channel_closed(ChannelId(1)), [], "the broker is there by another connection");
    register(&mut table, by(3, 6, &["W"]));
    assert_eq!(table.registered_by("m"), Some(ChannelId(3)));
    assert_eq!(table.channel_closed(ChannelId(3)).len(), 1);
    register(&mut table, by(2, 6, &["W"]));
    assert_eq!(addrs(&table, "W"), [(MASTER, "m".to_owned())]);
}

#[test]
fn a_slave_learns_its_master_and_brings_no_topics() {
    let mut table = RouteTable::default();
    register(&mut table, broker("a", SLAVE, "s", &["only on the slave"]));
    assert_eq!(table.all_topics(), BTreeSet::new());
    register(&mut table, broker("a", MASTER, "m", &["T"]));
    let registered = register(&mut table, broker("a", SLAVE, "s", &[]));
    assert_eq!(registered.master_addr.as_deref(), Some("m"));
    assert_eq!(registered.ha_server_addr.as_deref(), Some("ha of m"));
    assert_eq!(addrs(&table, "T"), [(MASTER, "m".to_owned()), (SLAVE, "s".to_owned())]);
    assert!(table.unregister("m", "a"));
    assert_eq!(addrs(&table, "T"), [(SLAVE, "s".to_owned())], "what the slave has can still be read");
    assert!(table.unregister("s", "a"));
    assert_eq!(table, RouteTable::default());
}

#[test]
fn an_address_has_one_id_and_one_name() {
    let mut table = RouteTable::default();
    register(&mut table, broker("a", SLAVE, "x", &[]));
    register(&mut table, broker("a", MASTER, "x", &["T"]));
    assert_eq!(addrs(&table, "T"), [(MASTER, "x".to_owned())]);
    let mut moved = broker("b", MASTER, "x", &["T"]);
    moved.cluster_name = "other".to_owned();
    register(&mut table, moved);
    assert!(table.broker_data("a").is_none());
    assert_eq!(table.topics_of_cluster("other"), BTreeSet::from(["T".to_owned()]));
    assert_eq!(table.topics_of_cluster("DefaultCluster"), BTreeSet::new());
    assert!(!table.unregister("x", "a"), "that name is not at this address any more");
    assert_eq!(addrs(&table, "T"), [(MASTER, "x".to_owned())]);
}

#[test]
fn an_id_goes_to_the_newer_epoch() {
    let mut table = RouteTable::default();
    let at_epoch = |addr: &str, epoch| {
        let mut registration = broker("a", MASTER, addr, &["T"]);
        registration.data_version.state_version = Some(epoch);
        registration
    };
    register(&mut table, at_epoch("new", 2));
    let refused = table.register(at_epoch("old", 1), Unmentioned::Kept, 0).expect_err("it is stale");
    assert_eq!((refused.given, refused.known, refused.known_addr.as_str()), (1, 2, "new"));
    table.check();
    assert_eq!(addrs(&table, "T"), [(MASTER, "new".to_owned())]);
    register(&mut table, at_epoch("newer", 2));
    assert_eq!(addrs(&table, "T"), [(MASTER, "newer".to_owned())]);
    assert!(!table.heard("new", 0));
}

#[test]
fn an_acting_master_is_read_only() {
    let mut table = RouteTable::default();
    let acting = |id, addr| {
        let mut registration = broker("a", id, addr, &["T"]);
        registration.enable_acting_master = Some(true);
        registration
    };
    register(&mut table, acting(MASTER, "m"));
    register(&mut table, acting(SLAVE, "s"));
    assert!(is_writable(perm(&table, "T")));
    table.unregister("m", "a");
    assert!(!is_writable(perm(&table, "T")));
    let told = table.route("T", true).expect("a route");
    assert_eq!(told.broker_datas[0].broker_addrs, BTreeMap::from([(MASTER, "s".to_owned())]));
    let mut changed = acting(SLAVE, "s");
    changed.data_version = version(2);
    register(&mut table, changed);
    assert!(!is_writable(perm(&table, "T")), "the slave with the lowest id may register topics, read only");
    register(&mut table, acting(MASTER, "m"));
    assert!(is_writable(perm(&table, "T")));
}

#[test]
fn topics_follow_the_version() {
    let mut table = RouteTable::default();
    register(&mut table, broker("a", MASTER, "m", &["T", "U"]));
    let same_version = {
        let mut registration = broker("a", MASTER, "m", &["T", "new"]);
        registration.topics.get_mut("T").expect("it is there").perm = PERM_READ;
        registration
    };
    register(&mut table, same_version.clone());
    assert!(is_writable(perm(&table, "T")), "the same version is the same table");
    assert!(table.route("new", false).is_some(), "but a topic that is missing here is taken");
    let newer = Registration { data_version: version(2), ..same_version };
    register(&mut table, newer.clone());
    assert!(!is_writable(perm(&table, "T")));
    assert!(table.route("U", false).is_some(), "kept until it is deleted here");
    table.register(newer, Unmentioned::Deleted, 0).expect("not stale");
    table.check();
    assert!(table.route("U", false).is_none());
}

#[test]
fn write_permission_can_be_wiped_and_given_back() {
    let mut table = RouteTable::default();
    register(&mut table, broker("a", MASTER, "m", &["T", "U"]));
    register(&mut table, broker("b", MASTER, "n", &["T"]));
    assert_eq!(table.wipe_write_perm("a"), 2);
    let perms: Vec<_> = table.route("T", false).expect("a route").queue_datas.iter().map(|queue| queue.perm).collect();
    assert_eq!(perms, [PERM_READ, PERM_READ | PERM_WRITE]);
    assert_eq!(table.add_write_perm("a"), 2);
    assert!(is_writable(perm(&table, "T")));
    assert_eq!(table.wipe_write_perm("nobody"), 0);
}

/// As in 4.9.8 (`RouteInfoManager.registerBroker`): the wiping is the name server's own, and lasts until the broker has news.
#[test]
fn a_wiped_permission_lasts_until_the_broker_has_news_or_was_away() {
    let mut table = RouteTable::default();
    let wiped = |table: &mut RouteTable| {
        assert_eq!(table.wipe_write_perm("a"), 1);
        assert!(!is_writable(perm(table, "T")));
    };
    register(&mut table, broker("a", MASTER, "m", &["T"]));
    register(&mut table, broker("a", SLAVE, "s", &["T"]));
    wiped(&mut table);
    register(&mut table, broker("a", MASTER, "m", &["T"]));
    register(&mut table, broker("a", SLAVE, "s", &["T"]));
    assert!(!is_writable(perm(&table, "T")), "it registered what it had registered before");
    let mut news = broker("a", MASTER, "m", &["T"]);
    news.data_version = version(2);
    register(&mut table, news.clone());
    assert!(is_writable(perm(&table, "T")));
    wiped(&mut table);
    assert!(table.unregister("m", "a"));
    register(&mut table, news);
    assert!(is_writable(perm(&table, "T")), "it came back, with its slave there all the while");
}

#[test]
fn a_slave_finds_its_master_again_whichever_comes_first() {
    let mut table = RouteTable::default();
    let slave = || broker("a", SLAVE, "s", &["T"]);
    assert_eq!(register(&mut table, slave()), Registered::default(), "there is no master yet");
    assert_eq!(table.route("T", false), None, "a slave of 4.9 says nothing of topics");
    register(&mut table, broker("a", MASTER, "m", &["T"]));
    let master =
        |addr: &str| Registered { master_addr: Some(addr.to_owned()), ha_server_addr: Some(format!("ha of {addr}")) };
    assert_eq!(register(&mut table, slave()), master("m"));
    // The master's connection ends, or it is silent for too long: what the slave has can still be read.
    table.heard("s", 100_000);
    assert_eq!(table.expire(120_001).iter().map(|departed| &*departed.broker_addr).collect::<Vec<_>>(), ["m"]);
    table.check();
    assert_eq!(addrs(&table, "T"), [(SLAVE, "s".to_owned())]);
    assert_eq!(register(&mut table, slave()), Registered::default());
    // It comes back at another address.
    register(&mut table, broker("a", MASTER, "moved", &["T"]));
    assert_eq!(register(&mut table, slave()), master("moved"));
    assert_eq!(addrs(&table, "T"), [(MASTER, "moved".to_owned()), (SLAVE, "s".to_owned())]);
}

/// A name server that restarts empty while the master is away: slaves of 5.x say which topics they have, whether they may act
/// as the master or not, those of 4.9 do not.
#[test]
fn slaves_that_speak_for_their_topics_fill_an_empty_name_server() {
    let mut table = RouteTable::default();
    let mut speaking = broker("a", SLAVE, "s", &["T"]);
    speaking.enable_acting_master = Some(false);
    register(&mut table, speaking.clone());
    assert_eq!(addrs(&table, "T"), [(SLAVE, "s".to_owned())]);
    let mut changed = broker("a", MASTER, "m", &["T", "U"]);
    changed.topics.get_mut("T").expect("it is there").read_queue_nums = 16;
    register(&mut table, changed);
    speaking.data_version = version(7);
    register(&mut table, speaking);
    assert_eq!(table.route("T", false).expect("a route").queue_datas[0].read_queue_nums, 16, "the master has the word");
}

#[test]
fn topics_are_deleted_and_added_by_request() {
    let mut table = RouteTable::default();
    register(&mut table, broker("a", MASTER, "m", &["T"]));
    let mut other = broker("b", MASTER, "n", &["T"]);
    other.cluster_name = "other".to_owned();
    register(&mut table, other);
    table.delete_topic("T", Some("other"));
    assert_eq!(addrs(&table, "T"), [(MASTER, "m".to_owned())]);
    table.delete_topic("T", None);
    assert!(table.route("T", false).is_none());
    let queues = |name: &str| QueueData { broker_name: name.to_owned(), ..QueueData::default() };
    assert_eq!(table.register_topic("T", vec![queues("a"), queues("nobody")]), ["nobody"]);
    table.check();
    assert_eq!(addrs(&table, "T"), [(MASTER, "m".to_owned())]);
    assert_eq!(table.register_topic("U", vec![queues("nobody")]), ["nobody"]);
    table.check();
}

/// What can happen to a table, over few names so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Register { name: u8, id: i64, addr: u8, cluster: u8, counter: i64, epoch: i64, topics: u8, channel: u64 },
    Unregister { name: u8, addr: u8 },
    Heard { addr: u8 },
    Close { channel: u64 },
    Pass { ms: u64 },
    DeleteTopic { topic: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3u8, 0..3i64, 0..5u8, 0..2u8, 0..3i64, 0..2i64, 0..16u8, 0..4u64).prop_map(
            |(name, id, addr, cluster, counter, epoch, topics, channel)| Step::Register {
                name, id, addr, cluster, counter, epoch, topics, channel
            }
        ),
        1 => (0..3u8, 0..5u8).prop_map(|(name, addr)| Step::Unregister { name, addr }),
        2 => (0..5u8).prop_map(|addr| Step::Heard { addr }),
        1 => (0..4u64).prop_map(|channel| Step::Close { channel }),
        2 => (0..80u64).prop_map(|ms| Step::Pass { ms }),
        1 => (0..4u8).prop_map(|topic| Step::DeleteTopic { topic }),
    ];
    prop::collection::vec(step, 0..60)
}

const EXPIRES_AFTER_MS: u64 = 100;

/// One broker in the model: a row of a list that is searched from end to end.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    name: u8,
    id: i64,
    addr: u8,
    channel: u64,
    heard_at_ms: u64,
    version: (i64, i64),
}

/// The same rules said without any index: rows of brokers, and pairs of topic and broker name.
#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    pairs: BTreeSet<(u8, u8)>,
    clusters: BTreeMap<u8, u8>,
}

impl Model {
    fn apply(&mut self, step: &Step, now_ms: u64) {
        match *step {
            Step::Register { name, id, addr, cluster, counter, epoch, topics, channel } => {
                let holder = self.rows.iter().find(|row| row.name == name && row.id == id && row.addr != addr);
                if holder.is_some_and(|holder| holder.version.0 > epoch) {
                    self.rows.retain(|row| row.addr != addr);
                    return self.forget();
                }
                let mut same = self.rows.iter().filter(|row| (row.name, row.id, row.addr) == (name, id, addr));
                if same.any(|row| row.channel > channel) {
                    return;
                }
                let version = (epoch, counter);
                self.rows.retain(|row| row.addr != addr || (row.name == name && row.id == id));
                self.forget();
                self.rows.retain(|row| !(row.name == name && row.id == id));
                self.rows.push(Row { name, id, addr, channel, heard_at_ms: now_ms, version });
                self.clusters.insert(name, cluster);
                if id == 0 {
                    self.pairs.extend((0..4).filter(|topic| topics & (1 << topic) != 0).map(|topic| (topic, name)));
                }
            }
            Step::Unregister { name, addr } => self.rows.retain(|row| !(row.addr == addr && row.name == name)),
            Step::Heard { addr } => {
                self.rows.iter_mut().filter(|row| row.addr == addr).for_each(|row| row.heard_at_ms = now_ms);
            }
            Step::Close { channel } => self.rows.retain(|row| row.channel != channel),
            Step::Pass { .. } => self.rows.retain(|row| now_ms - row.heard_at_ms <= EXPIRES_AFTER_MS),
            Step::DeleteTopic { topic } => self.pairs.retain(|pair| pair.0 != topic),
        }
        self.forget();
    }

    /// A name without brokers has no topics.
    fn forget(&mut self) {
        self.pairs.retain(|(_, name)| self.rows.iter().any(|row| row.name == *name));
        self.clusters.retain(|name, _| self.rows.iter().any(|row| row.name == *name));
    }

    fn route(&self, topic: u8) -> Vec<(String, String, BrokerId, String)> {
        let names = self.pairs.iter().filter(|pair| pair.0 == topic).map(|pair| pair.1);
        let mut route: Vec<_> = names
            .flat_map(|name| self.rows.iter().filter(move |row| row.name == name))
            .map(|row| {
                let cluster = self.clusters[&row.name];
                (format!("c{cluster}"), format!("b{}", row.name), BrokerId(row.id), format!("a{}", row.addr))
            })
            .collect();
        route.sort();
        route
    }
}

fn apply(table: &mut RouteTable, step: &Step, now_ms: u64) {
    match *step {
        Step::Register { name, id, addr, cluster, counter, epoch, topics, channel } => {
            let names = (0..4).filter(|topic| topics & (1 << topic) != 0).map(|topic| format!("t{topic}"));
            let registration = Registration {
                cluster_name: format!("c{cluster}"),
                broker_name: format!("b{name}"),
                broker_id: BrokerId(id),
                broker_addr: format!("a{addr}"),
                ha_server_addr: format!("h{addr}"),
                expires_after_ms: EXPIRES_AFTER_MS,
                enable_acting_master: None,
                data_version: DataVersion { counter, state_version: Some(epoch), timestamp: 0 },
                topics: names.map(|name| (name.clone(), TopicConfig::new(name, 1, PERM_READ | PERM_WRITE))).collect(),
                channel: ChannelId(channel),
            };
            let _ = table.register(registration, Unmentioned::Kept, now_ms);
        }
        Step::Unregister { name, addr } => {
            table.unregister(&format!("a{addr}"), &format!("b{name}"));
        }
        Step::Heard { addr } => {
            table.heard(&format!("a{addr}"), now_ms);
        }
        Step::Close { channel } => {
            table.channel_closed(ChannelId(channel));
        }
        Step::Pass { .. } => {
            table.expire(now_ms);
        }
        Step::DeleteTopic { topic } => table.delete_topic(&format!("t{topic}"), None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn any_history_leads_to_the_routes_of_the_model(steps in steps()) {
        let (mut table, mut model, mut now_ms) = (RouteTable::default(), Model::default(), 0);
        for step in &steps {
            if let Step::Pass { ms } = step {
                now_ms += ms;
            }
            apply(&mut table, step, now_ms);
            model.apply(step, now_ms);
            table.check();
            for topic in 0..4 {
                let route = table.route(&format!("t{topic}"), false).unwrap_or_default();
                let mut told: Vec<_> = route
                    .broker_datas
                    .iter()
                    .flat_map(|data| {
                        let who = (data.cluster.clone(), data.broker_name.clone());
                        data.broker_addrs.iter().map(move |(id, addr)| (who.0.clone(), who.1.clone(), *id, addr.clone()))
                    })
                    .collect();
                told.sort();
                prop_assert_eq!(&told, &model.route(topic), "topic {} after {:?}", topic, step);
            }
            let versions = model.rows.iter().all(|row| {
                let version = DataVersion { counter: row.version.1, state_version: Some(row.version.0), timestamp: 0 };
                !table.is_changed(&format!("a{}", row.addr), &version)
            });
            prop_assert!(versions);
        }
    }
}

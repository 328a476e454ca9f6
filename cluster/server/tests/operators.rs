//! What operators do with replica groups and set-aside histories, by mqadmin's own commands, against brokers on simulated machines.
#![cfg(not(feature = "real"))]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{Broker, BrokerConfig, Role};
use clap::Parser;
use namesrv::{Namesrv, NamesrvConfig};
use protocol::BrokerId;
use server::admin::{AdminError, CommandLine, Session};
use sim::disk;
use sim::time::{Instant, sleep};
use sim::world::{Crash, HostId, HostSpec, SimulationSpec, World, simulate};
use tokio::sync::{mpsc, oneshot};

const NAME_SERVER: &str = "ns:9876";
const MASTER: &str = "master";
const SLAVE: &str = "slave";

type Order = Box<dyn FnOnce(&World, &BTreeMap<&'static str, HostId>) + Send>;

/// What an operator has at hand.
#[derive(Clone)]
struct Operator(mpsc::UnboundedSender<(Order, oneshot::Sender<()>)>);

/// Runs a command line; gives what it prints, or the error as it is shown.
async fn mqadmin(line: &str) -> Result<String, String> {
    let words = ["mqadmin"].into_iter().chain(line.split_whitespace());
    let parsed = CommandLine::try_parse_from(words).map_err(|error| error.to_string())?;
    let session = Session::new(NAME_SERVER);
    let done = parsed.command.run(&session).await;
    session.close();
    done.map_err(|error| match error {
        AdminError::Partial { report, missing } => format!("{report}\n{}", missing.join("\n")),
        error => error.to_string(),
    })
}

/// Says the same again until its output has these words.
async fn until(line: &str, words: &str) -> String {
    let begin = Instant::now();
    loop {
        let output = mqadmin(line).await.unwrap_or_else(|error| error);
        if output.contains(words) {
            return output;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "{line} never says {words:?}, but:\n{output}");
        sleep(Duration::from_millis(500)).await;
    }
}

fn has(output: &str, words: &[&str]) {
    for words in words {
        assert!(output.contains(words), "it does not say {words:?}:\n{output}");
    }
}

fn config(store: &str) -> BrokerConfig {
    let mut config = BrokerConfig::new("broker-a", store);
    config.namesrv_addr = vec![NAME_SERVER.to_owned()];
    config.auto_create_topic_enable = false;
    config.store.mapped_file_size_commit_log_bytes = 1 << 20;
    config.store.mapped_file_size_consume_queue_bytes = 20 * 1000;
    config
}

async fn name_server() {
    let config = NamesrvConfig { kv_config_path: "/data/kvConfig.json".into(), ..NamesrvConfig::default() };
    let namesrv = Namesrv::start(config).await.expect("the name server starts");
    namesrv.run_until_terminated().await.expect("the name server stops in good order");
}

/// A broker of the pair: the slave has the id 1.
async fn pair_member(id: i64) {
    let mut config = config("/store");
    config.broker_id = BrokerId(id);
    config.ha.role = if id == 0 { Role::SyncMaster } else { Role::Slave };
    let broker = Broker::start(config).await.expect("the broker starts");
    broker.run_until_terminated().await.expect("the broker stops in good order");
}

/// Runs a script on a machine of its own, with a pair of brokers beside it or without.
fn play<Fut>(seed: u64, with_pair: bool, script: impl Fn(Operator) -> Fut + Send + Sync + 'static)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    type Script = Arc<dyn Fn(Operator) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;
    let script: Script = Arc::new(move |operator| Box::pin(script(operator)));
    let spec = SimulationSpec { seed, time_limit: Duration::from_secs(3600), ..Default::default() };
    let run = simulate(spec, move |world| async move {
        let mut hosts = BTreeMap::from([("ns", world.add_host(HostSpec::new("ns", name_server)))]);
        if with_pair {
            hosts.insert(MASTER, world.add_host(HostSpec::new(MASTER, || pair_member(0))));
            hosts.insert(SLAVE, world.add_host(HostSpec::new(SLAVE, || pair_member(1))));
        }
        let (orders, mut ordered) = mpsc::unbounded_channel();
        let (done, mut is_done) = oneshot::channel::<()>();
        let done = Arc::new(Mutex::new(Some(done)));
        let operator = world.add_host(HostSpec::new("operator", move || {
            let (script, done) = (script(Operator(orders.clone())), Arc::clone(&done));
            async move {
                script.await;
                drop(done.lock().unwrap().take());
            }
        }));
        world.boot(hosts["ns"]);
        world.sleep(Duration::from_millis(100)).await;
        hosts.iter().filter(|(name, _)| **name != "ns").for_each(|(_, host)| {
            world.boot(*host);
        });
        world.boot(operator);
        loop {
            tokio::select! {
                biased;
                _ = &mut is_done => break,
                order = ordered.recv() => {
                    let Some((order, reply)): Option<(Order, oneshot::Sender<()>)> = order else { break };
                    order(&world, &hosts);
                    let _ = reply.send(());
                }
            }
        }
    });
    if let Err(panic) = run {
        panic!("{panic}");
    }
}

impl Operator {
    async fn order(&self, order: impl FnOnce(&World, &BTreeMap<&'static str, HostId>) + Send + 'static) {
        let (reply, answered) = oneshot::channel();
        assert!(self.0.send((Box::new(order), reply)).is_ok(), "the director listens");
        answered.await.expect("the director answers");
    }

    async fn crash(&self, host: &'static str, crash: Crash) {
        self.order(move |world, hosts| {
            world.crash(hosts[host], crash);
        })
        .await;
    }

    async fn boot(&self, host: &'static str) {
        self.order(move |world, hosts| {
            world.boot(hosts[host]);
        })
        .await;
    }
}

/// A pair in sync, with a message.
async fn pair_with_a_message() {
    until("replicaGroup -m broker-a", ", in sync").await;
    mqadmin("updateTopic -b master:10911 -t T -r 1 -w 1").await.expect("the topic is made");
    until("sendMessage -t T -p one -k k1", "SEND_OK").await;
}

#[test]
fn a_group_is_shown_and_a_removal_says_what_it_gives_up() {
    play(1, true, |operator| async move {
        pair_with_a_message().await;
        let shown = mqadmin("replicaGroup -m broker-a").await.expect("both answer");
        has(&shown, &["brokerId 0 at", "leads", "member    brokerId 1 at", "0 bytes behind, in sync", "follows"]);
        has(&mqadmin("replicaGroup -c DefaultCluster").await.expect("the same"), &["SYNC_MASTER", "SLAVE"]);
        has(&mqadmin("replicaGroup -m broker-z").await.expect_err("there is none"), &["give -b host:port"]);
        let remove = "removeReplica -b master:10911 -i 1";
        has(&mqadmin(remove).await.expect_err("it follows"), &["stop it first"]);
        has(&mqadmin("removeReplica -b slave:10911 -i 1").await.expect_err("a slave"), &["ask the master"]);
        has(&mqadmin("beginHistory -b master:10911").await.expect_err("it leads"), &["leads already"]);

        operator.crash(SLAVE, Crash::Process).await;
        operator.crash(MASTER, Crash::Disk).await;
        operator.boot(MASTER).await;
        until("replicaGroup -b master:10911", "takes no messages; it waits for broker 1 at").await;
        has(
            &mqadmin(remove).await.expect_err("it gives something up"),
            &["acknowledged messages may be given up", "log ends at 0", "--accept-loss"],
        );
        let accepted = mqadmin(&format!("{remove} --accept-loss")).await.expect("the operator says so");
        has(&accepted, &["it was a member; given up: ", "this store has no history of its own"]);
        until("replicaGroup -b master:10911", "  state     leads").await;
        has(&mqadmin("replicaGroup -b master:10911").await.expect("it answers"), &["removed"]);
    });
}

#[test]
fn a_refused_member_is_shown_although_name_servers_do_not_know_it() {
    play(2, true, |operator| async move {
        pair_with_a_message().await;
        operator.crash(SLAVE, Crash::Process).await;
        operator.crash(MASTER, Crash::Disk).await;
        operator.boot(MASTER).await;
        let refused = until("beginHistory -b master:10911", "acknowledged messages may be given up").await;
        has(&refused, &["broker 1 at", "--accept-loss"]);
        until("beginHistory -b master:10911 --accept-loss", "begins. Given up: its log ends at 0").await;
        until("replicaGroup -b master:10911", "  state     leads").await;
        let away = until("replicaGroup -m broker-a", "which no name server knows, does not answer").await;
        has(&away, &["leads"]);
        operator.boot(SLAVE).await;
        let shown = until("replicaGroup -m broker-a", "is refused by its master and shows nothing").await;
        has(&shown, &["leads", "both are kept"]);
        until("clusterList", "10911").await;
        has(&until("removeReplica -b master:10911 -i 1", "it was a member").await, &["the name servers know it"]);
        has(&until("removeReplica -b master:10911 -i 1", "it was no member").await, &["the name servers know it"]);
    });
}

#[test]
fn a_set_aside_history_is_sent_again_once() {
    play(3, false, |_| async move {
        // What is set aside is the store of a broker on this machine; another one takes its place.
        let old = Broker::start(config("/old")).await.expect("the broker starts");
        let addr = old.advertised_addr();
        for topic in ["T", "Gone"] {
            until(&format!("updateTopic -b {addr} -t {topic} -r 1 -w 1"), "success").await;
        }
        for (topic, body, more) in
            [("T", "one", "-k k1"), ("T", "two", "-k k2 -c red"), ("Gone", "lost", "-k k3"), ("T", "three", "-k k4")]
        {
            until(&format!("sendMessage -t {topic} -p {body} {more}"), "SEND_OK").await;
        }
        old.shutdown().await.expect("it stops in good order");
        let new = Broker::start(config("/new")).await.expect("the broker starts");
        until(&format!("updateTopic -b {addr} -t T -r 1 -w 1"), "success").await;
        until("topicRoute -t T", "10911").await;

        let republish = |more: &str| format!("republish -p /old/commitlog {more}");
        let run = async |more: &str| mqadmin(&republish(more)).await.expect("it can be read");
        has(&run("").await, &["found, not sent (--send): 4 messages, 1 of Gone, 3 of T\n"]);
        has(&run("-t T").await, &["3 messages, 3 of T\n"]);
        has(&run("--from 1").await, &["3 messages, 1 of Gone, 2 of T\n"]);
        has(&run("--to 1").await, &["1 messages, 1 of T\n"]);
        let has_none = mqadmin("queryMsgByKey -t T -k k1").await;
        has(&has_none.expect_err("nothing was sent"), &["no broker of topic T has a message"]);

        // In two steps, of which the second begins before the first one's end.
        has(&run("--to 1 --send").await, &["sent: 1 messages, 1 of T\n"]);
        until("queryMsgByKey -t T -k k1", "#Message ID").await;
        let sent = run("--send").await;
        has(&sent, &["sent: 2 messages, 2 of T\n", "not sent again: 1 that", "1 of Gone: no broker has that topic"]);
        until("queryMsgByKey -t T -k k4", "#Message ID").await;
        has(&run("--send").await, &["sent: 0 messages", "not sent again: 3 that"]);
        has(&mqadmin("topicStatus -t T").await.expect("it is there"), &[" 3 "]);
        let found = mqadmin("queryMsgByKey -t T -k k2").await.expect("it was sent");
        let id = found.lines().nth(1).and_then(|line| line.split_whitespace().next()).expect("a message").to_owned();
        let message = mqadmin(&format!("queryMsgByUniqueKey -t T -i {id}")).await.expect("it is there");
        has(&message, &["two", "red", "REPUBLISHED_FROM", "00000000000000000000@"]);

        // A file whose end is missing, and one with a byte that is another.
        let log = disk::read("/old/commitlog/00000000000000000000").await.expect("it is there");
        let end = log.iter().rposition(|byte| *byte != 0).expect("it has messages") + 1;
        write("/cut", &log[..end - 10]).await;
        let cut = mqadmin("republish -p /cut").await.expect("it can be read");
        has(&cut, &["found, not sent (--send): 3 messages, 1 of Gone, 2 of T\n", "passed over: "]);
        let mut damaged = log.to_vec();
        let body = damaged.windows(3).position(|bytes| bytes == b"two").expect("the body");
        damaged[body] ^= 1;
        write("/damaged", &damaged).await;
        has(
            &mqadmin("republish -p /damaged").await.expect("it can be read"),
            &["3 messages, 1 of Gone, 2 of T\n", "passed over"],
        );
        write("/noise", &[0xAB; 5000]).await;
        has(&mqadmin("republish -p /noise").await.expect("it can be read"), &["0 messages", "passed over: 5000 bytes"]);
        has(&mqadmin("republish -p /nowhere").await.expect_err("it is not there"), &["/nowhere"]);
        new.shutdown().await.expect("it stops in good order");
    });
}

async fn write(path: &str, bytes: &[u8]) {
    let file = disk::OpenOptions::new().create(true).write(true).open(path).await.expect("a new file");
    file.write_all_at(bytes, 0).await.expect("there is room");
}

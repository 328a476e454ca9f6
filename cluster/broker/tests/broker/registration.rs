//! What name servers are told and when, and how little of it: the script is the name servers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Stage, play};
use protocol::body::{JsonBody, RegisterBrokerBody, TopicRouteData};
use protocol::header::{CreateTopicRequestHeader, DeleteTopicRequestHeader};
use protocol::{RemotingCommand, request_code, response_code as code};
use remoting::{Channel, RemotingServer, Reply, RequestHandler, ServerConfig};
use sim::time::{Instant, sleep};

/// A name server that notes what it is told.
#[derive(Default)]
struct NameServer {
    told: Mutex<Vec<RemotingCommand>>,
    /// It takes requests and does not answer.
    hangs: AtomicBool,
    /// It knows no REGISTER_TOPIC_IN_NAMESRV.
    is_of_4x: bool,
}

impl RequestHandler for NameServer {
    fn handle(&self, _channel: &Channel, request: RemotingCommand) -> Reply {
        if self.hangs.load(Ordering::Relaxed) {
            return Reply::Elsewhere;
        }
        if self.is_of_4x && request.code == request_code::REGISTER_TOPIC_IN_NAMESRV {
            return remoting::request_code_not_supported(request.code).into();
        }
        self.told.lock().unwrap().push(request);
        RemotingCommand::response(code::SUCCESS).into()
    }
}

impl NameServer {
    async fn listen(self: &Arc<Self>, port: u16) -> RemotingServer {
        let addr = SocketAddr::from(([0, 0, 0, 0], port));
        RemotingServer::bind(addr, Arc::clone(self), ServerConfig::default()).await.expect("the port is free")
    }

    fn take(&self) -> Vec<RemotingCommand> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    /// Whether it has been told of this topic since [`NameServer::take`].
    fn knows(&self, topic: &str) -> bool {
        self.told.lock().unwrap().iter().any(|request| topics(request).iter().any(|told| told == topic))
    }
}

/// The topics that a request tells of.
fn topics(request: &RemotingCommand) -> Vec<String> {
    match request.code {
        request_code::REGISTER_TOPIC_IN_NAMESRV => {
            let queues = TopicRouteData::decode(&request.body).expect("a route").queue_datas;
            assert_eq!(queues.len(), 1);
            vec![request.ext_fields.get("topic").expect("a topic").to_owned()]
        }
        request_code::REGISTER_BROKER => {
            let body = RegisterBrokerBody::decode_as(&request.body, false).expect("a registration");
            body.topic_config_serialize_wrapper.topic_config_table.into_keys().collect()
        }
        _ => Vec::new(),
    }
}

fn create(topic: &str) -> CreateTopicRequestHeader {
    CreateTopicRequestHeader {
        topic: topic.into(),
        default_topic: "TBW102".into(),
        read_queue_nums: 1,
        write_queue_nums: 1,
        perm: 6,
        topic_filter_type: "SINGLE_TAG".into(),
        ..Default::default()
    }
}

async fn make(stage: &Stage, topic: &str) {
    let made = stage.ask(request_code::UPDATE_AND_CREATE_TOPIC, &create(topic)).await;
    assert_eq!(made.code, code::SUCCESS, "{:?}", made.remark);
}

/// The script's host is the second.
const FIRST: &str = "10.0.0.2:9876";
const SECOND: &str = "10.0.0.2:9877";

#[test]
fn the_route_is_there_when_the_request_that_made_it_is_answered() {
    play(
        1,
        |config| config.namesrv_addr = vec![FIRST.into(), SECOND.into()],
        |stage| async move {
            let name_servers: [Arc<NameServer>; 2] = Default::default();
            let _listening = (name_servers[0].listen(9876).await, name_servers[1].listen(9877).await);
            sleep(Duration::from_secs(5)).await;
            let all_know = |topic: &str| name_servers.iter().all(|name_server| name_server.knows(topic));
            stage.send_ok("Automatic", 0, "x", "").await;
            assert!(all_know("Automatic"));
            stage.heartbeat("c@1", "group", "Automatic", "*").await;
            assert!(all_know("%RETRY%group"));
            make(&stage, "Made").await;
            assert!(all_know("Made"));
            // A broker that may not be written any more says so of every topic.
            name_servers.iter().for_each(|name_server| drop(name_server.take()));
            let updated = stage.ask_with(request_code::UPDATE_BROKER_CONFIG, &(), "brokerPermission=4\n").await;
            assert_eq!(updated.code, code::SUCCESS, "{:?}", updated.remark);
            assert!(all_know("Automatic") && all_know("Made"));
        },
    );
}

#[test]
fn a_name_server_that_hangs_holds_up_nobody() {
    play(
        2,
        |config| config.namesrv_addr = vec![FIRST.into(), SECOND.into()],
        |stage| async move {
            let (healthy, hanging): (Arc<NameServer>, Arc<NameServer>) = Default::default();
            let _listening = (healthy.listen(9876).await, hanging.listen(9877).await);
            sleep(Duration::from_secs(5)).await;
            hanging.hangs.store(true, Ordering::Relaxed);
            for number in 0..10 {
                let asked_at = Instant::now();
                make(&stage, &format!("Made{number}")).await;
                stage.send_ok(&format!("Automatic{number}"), 0, "x", "").await;
                assert!(healthy.knows(&format!("Made{number}")) && healthy.knows(&format!("Automatic{number}")));
                // The first waits a little for the other one, which is slow from then on.
                let at_most_ms = if number == 0 { 400 } else { 50 };
                assert!(asked_at.elapsed().as_millis() < at_most_ms, "{number}: {:?}", asked_at.elapsed());
            }
            // Even a deletion and a stop do not wait for it.
            let asked_at = Instant::now();
            let delete = DeleteTopicRequestHeader { topic: "Made0".into() };
            assert_eq!(stage.ask(request_code::DELETE_TOPIC_IN_BROKER, &delete).await.code, code::SUCCESS);
            assert!(asked_at.elapsed().as_millis() < 50, "{:?}", asked_at.elapsed());
            hanging.hangs.store(false, Ordering::Relaxed);
            sleep(Duration::from_secs(30)).await;
            assert!(hanging.knows("Made9") && hanging.knows("Automatic9"), "it is told when it answers again");
            hanging.take();
            make(&stage, "Later").await;
            assert!(hanging.knows("Later"), "and is waited for again");
            let stopped_at = Instant::now();
            hanging.hangs.store(true, Ordering::Relaxed);
            make(&stage, "Last").await;
            stage.restart().await;
            assert!(stopped_at.elapsed() < Duration::from_secs(3), "{:?}", stopped_at.elapsed());
            assert!(healthy.take().iter().any(|request| request.code == request_code::UNREGISTER_BROKER));
        },
    );
}

#[test]
fn a_name_server_that_is_not_there_is_not_waited_for() {
    play(
        3,
        // Nobody listens there; nobody is there.
        |config| config.namesrv_addr = vec![FIRST.into(), "10.0.0.99:9876".into()],
        |stage| async move {
            // A new broker begins when a name server has said that it is new; then that one goes.
            let first = Arc::new(NameServer::default());
            let listening = first.listen(9876).await;
            sleep(Duration::from_secs(3)).await;
            drop(listening);
            sleep(Duration::from_secs(4)).await;
            for number in 0..5 {
                let asked_at = Instant::now();
                stage.send_ok(&format!("Automatic{number}"), 0, "x", "").await;
                let at_most_ms = if number == 0 { 400 } else { 50 };
                assert!(asked_at.elapsed().as_millis() < at_most_ms, "{number}: {:?}", asked_at.elapsed());
            }
            let name_server = Arc::new(NameServer::default());
            let _listening = name_server.listen(9876).await;
            sleep(Duration::from_secs(3)).await;
            assert!(name_server.knows("Automatic4"), "it is asked again soon");
        },
    );
}

#[test]
fn a_name_server_of_4x_is_told_as_its_own_brokers_do() {
    play(
        4,
        |config| config.namesrv_addr = vec![FIRST.into()],
        |stage| async move {
            let name_server = Arc::new(NameServer { is_of_4x: true, ..NameServer::default() });
            let _listening = name_server.listen(9876).await;
            sleep(Duration::from_secs(5)).await;
            name_server.take();
            make(&stage, "Made").await;
            stage.send_ok("Automatic", 0, "x", "").await;
            let told = name_server.take();
            assert_eq!(told.iter().map(topics).collect::<Vec<_>>(), [["Made"], ["Automatic"]]);
            let version = |request: &RemotingCommand| {
                let body = RegisterBrokerBody::decode_as(&request.body, false).expect("a registration");
                body.topic_config_serialize_wrapper.data_version.counter
            };
            assert_eq!(version(&told[1]), version(&told[0]) + 1);
            sleep(Duration::from_secs(30)).await;
            let everything = name_server.take();
            assert!(topics(&everything[0]).len() > 5, "everything, after the usual time");
        },
    );
}

#[test]
fn a_new_connection_is_told_everything() {
    play(
        5,
        |config| config.namesrv_addr = vec![FIRST.into()],
        |stage| async move {
            let name_server = Arc::new(NameServer::default());
            let listening = name_server.listen(9876).await;
            sleep(Duration::from_secs(20)).await;
            make(&stage, "Before").await;
            listening.shutdown(Duration::ZERO).await;
            drop(listening);
            name_server.take();
            let _listening = name_server.listen(9876).await;
            make(&stage, "After").await;
            sleep(Duration::from_secs(3)).await;
            let told = name_server.take();
            assert!(told.iter().map(topics).any(|topics| topics.contains(&"Before".to_owned())), "{told:?}");
            assert!(told.iter().map(topics).any(|topics| topics.contains(&"After".to_owned())));
        },
    );
}

/// 5,000 topics by one client that waits for each answer, by sends that make them, and by 16 clients at once: bytes written and
/// sent, not seconds.
#[test]
fn thousands_of_topics_are_made_with_little_writing_and_little_telling() {
    const TOPICS: usize = 5_000;
    for way in ["one by one", "by sends", "by 16 clients"] {
        play(
            6,
            |config| {
                config.namesrv_addr = vec![FIRST.into()];
                config.auto_create_topic_enable = true;
            },
            move |stage| async move {
                let name_server = Arc::new(NameServer::default());
                let _listening = name_server.listen(9876).await;
                sleep(Duration::from_secs(5)).await;
                name_server.take();
                let before = stage.world(|world, host| world.disk_stats(host)).await;
                match way {
                    "one by one" => {
                        for number in 0..TOPICS {
                            make(&stage, &format!("Topic{number}")).await;
                        }
                    }
                    "by sends" => {
                        // Fewer: each also makes a queue, with its directories.
                        for number in 0..TOPICS / 5 {
                            stage.send_ok(&format!("Topic{number}"), 0, "x", "").await;
                        }
                    }
                    _ => {
                        let clients = (0..16).map(|client| {
                            let stage = stage.clone();
                            sim::task::spawn(async move {
                                for number in (client..TOPICS).step_by(16) {
                                    make(&stage, &format!("Topic{number}")).await;
                                }
                            })
                        });
                        for client in clients.collect::<Vec<_>>() {
                            client.await.unwrap();
                        }
                    }
                }
                let after = stage.world(|world, host| world.disk_stats(host)).await;
                let told = name_server.take();
                let told_bytes: usize = told.iter().map(|request| request.body.len()).sum();
                let written = after.written_bytes - before.written_bytes;
                let syncs = after.syncs - before.syncs;
                assert!(written < 8 << 20, "{way}: {written} bytes written");
                assert!(told_bytes < 2 << 20, "{way}: {told_bytes} bytes told");
                if way == "by 16 clients" {
                    assert!(syncs < 2 * TOPICS as u64, "{way}: {syncs} syncs");
                }
            },
        );
    }
}

/// Thousands of topics with messages and offsets are deleted by many at once: bytes written and sent, and syncs.
#[test]
fn thousands_of_topics_are_deleted_with_few_syncs_and_little_telling() {
    const TOPICS: usize = 400;
    const QUEUES: i32 = 4;
    const CLIENTS: usize = 16;
    play(
        7,
        |config| {
            config.namesrv_addr = vec![FIRST.into()];
            config.auto_create_topic_enable = true;
        },
        |stage| async move {
            let name_server = Arc::new(NameServer::default());
            let _listening = name_server.listen(9876).await;
            sleep(Duration::from_secs(5)).await;
            for number in 0..TOPICS {
                let topic = format!("Topic{number}");
                for queue_id in 0..QUEUES {
                    stage.send_ok(&topic, queue_id, "x", "").await;
                }
                assert_eq!(stage.commit("readers", &topic, 1).await, code::SUCCESS);
            }
            sleep(Duration::from_secs(20)).await;
            name_server.take();
            let before = stage.world(|world, host| world.disk_stats(host)).await;
            let clients = (0..CLIENTS).map(|client| {
                let stage = stage.clone();
                sim::task::spawn(async move {
                    for number in (client..TOPICS).step_by(CLIENTS) {
                        let delete = DeleteTopicRequestHeader { topic: format!("Topic{number}") };
                        let deleted = stage.ask(request_code::DELETE_TOPIC_IN_BROKER, &delete).await;
                        assert_eq!(deleted.code, code::SUCCESS, "{:?}", deleted.remark);
                    }
                })
            });
            for client in clients.collect::<Vec<_>>() {
                client.await.unwrap();
            }
            let after = stage.world(|world, host| world.disk_stats(host)).await;
            let syncs = after.syncs - before.syncs;
            // The table's journal, what was deleted, the queues and the offsets: each for several topics at a time.
            assert!(syncs < 3 * TOPICS as u64, "{syncs} syncs");
            let told = name_server.take();
            assert!(told.len() < 10, "{} requests to the name server", told.len());
            sleep(Duration::from_secs(3)).await;
            let told = name_server.take();
            assert!(told.iter().map(topics).all(|topics| !topics.iter().any(|topic| topic.starts_with("Topic"))));
            assert!(!told.is_empty());
            stage.restart().await;
            assert_eq!(stage.committed("readers", "Topic7").await, None);
            stage.send_ok("Topic7", 0, "anew", "").await;
            assert_eq!(stage.pull("others", "Topic7", 0).await.bodies(), ["anew"]);
        },
    );
}

//! Groups, administration, delayed messages and retries, through raw remoting requests to a broker in the simulation.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{play, play_with};
use protocol::body::{
    ConsumeStats, ConsumerConnection, ConsumerIdList, JsonBody, KvTable, LockBatchRequestBody, LockBatchResponseBody,
    MessageQueue, RegisterBrokerBody, SubscriptionGroupConfig, TopicConfig, TopicConfigSerializeWrapper,
    TopicRouteData, TopicStatsTable,
};
use protocol::header::{
    ConsumerGroupRequestHeader, ConsumerSendMsgBackRequestHeader, CreateTopicRequestHeader, DeleteTopicRequestHeader,
    GetConsumeStatsRequestHeader, GetTopicConfigRequestHeader, GetTopicStatsInfoRequestHeader,
    RegisterBrokerRequestHeader, ViewMessageRequestHeader,
};
use protocol::properties::property;
use protocol::{RemotingCommand, request_code, response_code as code};
use remoting::{Channel, Reply, RequestHandler};
use sim::time::{Instant, sleep};
use sim::world::Crash;

/// Notes the requests that come.
#[derive(Default)]
struct Noting(Mutex<Vec<RemotingCommand>>);

impl Noting {
    fn take(&self) -> Vec<RemotingCommand> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl RequestHandler for Noting {
    fn handle(&self, _channel: &Channel, request: RemotingCommand) -> Reply {
        self.0.lock().unwrap().push(request);
        RemotingCommand::response(code::SUCCESS).into()
    }
}

#[test]
fn members_of_a_group_are_listed_and_told_of_changes() {
    let noting = Arc::new(Noting::default());
    let notes = Arc::clone(&noting);
    play_with(
        1,
        |_| {},
        noting,
        move |stage| {
            let notes = Arc::clone(&notes);
            async move {
                let group = ConsumerGroupRequestHeader { consumer_group: "cg".into() };
                let nobody = stage.ask(request_code::GET_CONSUMER_LIST_BY_GROUP, &group).await;
                assert_eq!(nobody.code, code::SYSTEM_ERROR);
                assert!(nobody.remark.unwrap().starts_with("no consumer for this group"));
                stage.heartbeat("c@1", "cg", "TopicA", "tagX").await;
                sleep(Duration::from_millis(100)).await;
                let told = notes.take();
                assert_eq!(told.len(), 1);
                assert_eq!((told[0].code, told[0].is_oneway()), (request_code::NOTIFY_CONSUMER_IDS_CHANGED, true));
                let list = stage.ask(request_code::GET_CONSUMER_LIST_BY_GROUP, &group).await;
                assert_eq!(ConsumerIdList::decode(&list.body).unwrap().consumer_id_list, ["c@1"]);
                stage.heartbeat("c@1", "cg", "TopicA", "tagX").await;
                sleep(Duration::from_millis(100)).await;
                assert!(notes.take().is_empty(), "nothing has changed");
                let connections = stage.ask(request_code::GET_CONSUMER_CONNECTION_LIST, &group).await;
                let connections = ConsumerConnection::decode(&connections.body).unwrap();
                assert_eq!(connections.connection_set[0].client_id, "c@1");
                assert_eq!(connections.subscription_table["TopicA"].sub_string, "tagX");
                let topics = stage.ask(request_code::GET_ALL_TOPIC_CONFIG, &()).await;
                let topics = TopicConfigSerializeWrapper::decode(&topics.body).unwrap();
                assert!(topics.topic_config_table.contains_key("%RETRY%cg"), "the heartbeat made the retry topic");
                // The connection breaks: the member is gone.
                stage.client.close_channel(&stage.addr);
                sleep(Duration::from_millis(100)).await;
                let nobody = stage.ask(request_code::GET_CONSUMER_LIST_BY_GROUP, &group).await;
                assert_eq!(nobody.code, code::SYSTEM_ERROR);
            }
        },
    );
}

#[test]
fn queues_are_locked_for_one_member() {
    play(
        2,
        |_| {},
        |stage| async move {
            let lock = async |client_id: &str, code| {
                let body = LockBatchRequestBody {
                    client_id: client_id.into(),
                    consumer_group: "cg".into(),
                    mq_set: BTreeSet::from([MessageQueue::new("T", "broker-a", 0)]),
                    only_this_broker: None,
                };
                let response = stage.ask_with(code, &(), body.encode()).await;
                if response.body.is_empty() {
                    0
                } else {
                    LockBatchResponseBody::decode(&response.body).unwrap().lock_ok_mq_set.len()
                }
            };
            assert_eq!(lock("a", request_code::LOCK_BATCH_MQ).await, 1);
            assert_eq!(lock("b", request_code::LOCK_BATCH_MQ).await, 0);
            lock("a", request_code::UNLOCK_BATCH_MQ).await;
            assert_eq!(lock("b", request_code::LOCK_BATCH_MQ).await, 1);
        },
    );
}

#[test]
fn unknown_codes_and_bad_headers_are_answered_and_the_broker_lives() {
    play(
        3,
        |_| {},
        |stage| async move {
            for unknown in [9999, request_code::END_TRANSACTION] {
                let response = stage.ask(unknown, &()).await;
                assert_eq!(response.code, code::REQUEST_CODE_NOT_SUPPORTED);
                assert_eq!(response.remark.unwrap(), format!(" request type {unknown} not supported"));
            }
            for code_without_header in
                [request_code::SEND_MESSAGE_V2, request_code::PULL_MESSAGE, request_code::GET_MAX_OFFSET]
            {
                let response = stage.ask(code_without_header, &()).await;
                assert_eq!(response.code, code::SYSTEM_ERROR, "{code_without_header}");
                assert!(response.remark.unwrap().contains("is null"));
            }
            let response = stage.ask_with(request_code::HEART_BEAT, &(), "{not json").await;
            assert_eq!(response.code, code::SYSTEM_ERROR);
            stage.send_ok("TopicA", 0, "still alive", "").await;
        },
    );
}

fn create_topic(topic: &str, nums: i32) -> CreateTopicRequestHeader {
    CreateTopicRequestHeader {
        topic: topic.into(),
        default_topic: "TBW102".into(),
        read_queue_nums: nums,
        write_queue_nums: nums,
        perm: 6,
        topic_filter_type: "SINGLE_TAG".into(),
        ..Default::default()
    }
}

#[test]
fn topics_are_made_kept_over_a_power_loss_and_deleted() {
    play(
        4,
        |config| config.auto_create_topic_enable = false,
        |stage| async move {
            assert_eq!(stage.send("TopicA", 0, "x", "").await.code, code::TOPIC_NOT_EXIST);
            let created = stage.ask(request_code::UPDATE_AND_CREATE_TOPIC, &create_topic("TopicA", 2)).await;
            assert_eq!(created.code, code::SUCCESS, "{:?}", created.remark);
            stage.crash(Crash::Power).await;
            stage.boot().await;
            stage.send_ok("TopicA", 1, "x", "").await;
            let stats = GetTopicStatsInfoRequestHeader { topic: "TopicA".into() };
            let stats = stage.ask(request_code::GET_TOPIC_STATS_INFO, &stats).await;
            let stats = TopicStatsTable::decode(&stats.body).unwrap().offset_table;
            assert_eq!(stats.len(), 2);
            assert_eq!(stats[&MessageQueue::new("TopicA", "broker-a", 1)].max_offset.0, 1);
            let system = stage.ask(request_code::UPDATE_AND_CREATE_TOPIC, &create_topic("TBW102", 2)).await;
            assert_eq!(system.code, code::SYSTEM_ERROR);
            let bad = stage.ask(request_code::UPDATE_AND_CREATE_TOPIC, &create_topic("TopicB", -1)).await;
            assert_eq!(bad.code, code::INVALID_PARAMETER);
            let delete = DeleteTopicRequestHeader { topic: "TopicA".into() };
            assert_eq!(stage.ask(request_code::DELETE_TOPIC_IN_BROKER, &delete).await.code, code::SUCCESS);
            assert_eq!(stage.send("TopicA", 0, "x", "").await.code, code::TOPIC_NOT_EXIST);
        },
    );
}

#[test]
fn the_broker_shows_its_settings_and_figures() {
    play(
        5,
        |_| {},
        |stage| async move {
            stage.send_ok("TopicA", 0, "hello", "").await;
            stage.pull("cg", "TopicA", 0).await;
            stage.commit("cg", "TopicA", 1).await;
            let info = stage.ask(request_code::GET_BROKER_RUNTIME_INFO, &()).await;
            let info = KvTable::decode(&info.body).unwrap().table;
            assert_eq!(info["brokerVersionDesc"], "V4_9_8");
            assert_eq!(info["putMessageTimesTotal"], "1");
            let config = stage.ask(request_code::GET_BROKER_CONFIG, &()).await;
            assert!(String::from_utf8(config.body.to_vec()).unwrap().contains("flushDiskType=ASYNC_FLUSH\n"));
            let updated =
                stage.ask_with(request_code::UPDATE_BROKER_CONFIG, &(), "autoCreateTopicEnable=false\n").await;
            assert_eq!(updated.code, code::SUCCESS);
            assert_eq!(stage.send("TopicB", 0, "x", "").await.code, code::TOPIC_NOT_EXIST);
            for wrong in ["flushDiskType=SYNC_FLUSH", "nonsense=1", "autoCreateTopicEnable=maybe", "noequals"] {
                let response = stage.ask_with(request_code::UPDATE_BROKER_CONFIG, &(), wrong).await;
                assert_eq!(response.code, code::SYSTEM_ERROR, "{wrong}");
            }
            let header = GetConsumeStatsRequestHeader { consumer_group: "cg".into(), topic: None };
            let stats = stage.ask(request_code::GET_CONSUME_STATS, &header).await;
            let stats = ConsumeStats::decode(&stats.body).unwrap();
            let lag = &stats.offset_table[&MessageQueue::new("TopicA", "broker-a", 0)];
            assert_eq!((lag.broker_offset.0, lag.consumer_offset.0), (1, 1));
            let view = ViewMessageRequestHeader { offset: protocol::PhysicalOffset(0), topic: None };
            let record = stage.ask(request_code::VIEW_MESSAGE_BY_ID, &view).await;
            assert_eq!(protocol::message::parse_record(&record.body).unwrap().body, b"hello");
            let view = ViewMessageRequestHeader { offset: protocol::PhysicalOffset(1), topic: None };
            assert_eq!(stage.ask(request_code::VIEW_MESSAGE_BY_ID, &view).await.code, code::SYSTEM_ERROR);
        },
    );
}

#[test]
fn a_delayed_message_comes_when_it_is_due_also_over_a_restart() {
    play(
        6,
        |_| {},
        |stage| async move {
            let began = Instant::now();
            stage.send_ok("TopicA", 0, "after 5 s", "DELAY\u{1}2\u{2}TAGS\u{1}tagX").await;
            stage.send_ok("TopicA", 0, "after 1 s", "DELAY\u{1}1").await;
            let pulled = stage.pull_tags("cg", "TopicA", 0, "*", 15_000).await;
            assert_eq!(pulled.bodies(), ["after 1 s"]);
            assert!((1000..1200).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
            stage.restart().await;
            let pulled = stage.pull_tags("cg", "TopicA", 1, "tagX", 15_000).await;
            assert_eq!(pulled.bodies(), ["after 5 s"]);
            assert!((5000..5300).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
            assert_eq!(pulled.messages[0].properties.get(property::REAL_TOPIC), Some("TopicA"));
            sleep(Duration::from_secs(10)).await;
            assert_eq!(stage.pull("cg", "TopicA", 2).await.code, code::PULL_NOT_FOUND, "nothing came twice");
        },
    );
}

#[test]
fn a_message_sent_back_returns_through_the_retry_topic_and_ends_in_the_dead_letter_topic() {
    play(
        7,
        |_| {},
        |stage| async move {
            let group = SubscriptionGroupConfig { retry_max_times: 1, ..SubscriptionGroupConfig::new("cg") };
            let created = stage.ask_with(request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &(), group.encode()).await;
            assert_eq!(created.code, code::SUCCESS);
            stage.send_ok("TopicA", 0, "hard", "UNIQ_KEY\u{1}U1").await;
            let message = stage.pull("cg", "TopicA", 0).await.messages.remove(0);
            let back = |offset, delay_level| ConsumerSendMsgBackRequestHeader {
                offset,
                group: "cg".into(),
                delay_level,
                ..Default::default()
            };
            let sent = stage.ask(request_code::CONSUMER_SEND_MSG_BACK, &back(message.commit_log_offset, 1)).await;
            assert_eq!(sent.code, code::SUCCESS, "{:?}", sent.remark);
            let again = stage.pull_tags("cg", "%RETRY%cg", 0, "*", 15_000).await.messages.remove(0);
            assert_eq!(again.reconsume_times, 1);
            assert_eq!(again.properties.get(property::RETRY_TOPIC), Some("TopicA"));
            assert_eq!(again.properties.get(property::ORIGIN_MESSAGE_ID), Some(message.offset_msg_id().as_str()));
            assert_eq!(again.properties.get(property::UNIQ_KEY), Some("U1"));
            let sent = stage.ask(request_code::CONSUMER_SEND_MSG_BACK, &back(again.commit_log_offset, 0)).await;
            assert_eq!(sent.code, code::SUCCESS);
            let stats = GetTopicStatsInfoRequestHeader { topic: "%DLQ%cg".into() };
            let stats = stage.ask(request_code::GET_TOPIC_STATS_INFO, &stats).await;
            let stats = TopicStatsTable::decode(&stats.body).unwrap().offset_table;
            assert_eq!(stats[&MessageQueue::new("%DLQ%cg", "broker-a", 0)].max_offset.0, 1);
            let dead = GetTopicConfigRequestHeader { topic: "%DLQ%cg".into() };
            let dead = stage.ask(request_code::GET_TOPIC_CONFIG, &dead).await;
            assert_eq!(TopicConfig::decode(&dead.body).unwrap().perm, 6, "consoles look for a queue to read");
            assert_eq!(stage.pull("undertaker", "%DLQ%cg", 0).await.bodies(), ["hard"]);
            let gone = stage.ask(request_code::CONSUMER_SEND_MSG_BACK, &back(protocol::PhysicalOffset(3), 0)).await;
            assert_eq!(gone.code, code::SYSTEM_ERROR);
        },
    );
}

#[test]
fn every_name_server_hears_of_the_broker_and_of_new_topics() {
    play(
        8,
        |config| {
            // The script's host, where it listens as two name servers; and one that does not exist.
            config.namesrv_addr = vec!["10.0.0.2:9876".into(), "10.0.0.9:9876".into(), "10.0.0.2:9877".into()];
            config.register_broker_timeout_ms = 1_000;
        },
        |stage| async move {
            let name_servers: Vec<Arc<Noting>> = vec![Arc::default(), Arc::default()];
            let mut listening = Vec::new();
            for (port, noting) in [9876, 9877].into_iter().zip(&name_servers) {
                let addr = std::net::SocketAddr::from(([0, 0, 0, 0], port));
                let server =
                    remoting::RemotingServer::bind(addr, Arc::clone(noting), remoting::ServerConfig::default());
                listening.push(server.await.unwrap());
            }
            sleep(Duration::from_secs(32)).await;
            for noting in &name_servers {
                assert!(noting.take().iter().any(|request| request.code == request_code::REGISTER_BROKER));
            }
            stage.send_ok("TopicNew", 0, "x", "").await;
            for noting in &name_servers {
                let request = noting.take().pop().expect("a registration for the new topic");
                assert_eq!(request.code, request_code::REGISTER_TOPIC_IN_NAMESRV);
                assert_eq!(request.ext_fields.get("topic"), Some("TopicNew"));
                let queues = TopicRouteData::decode(&request.body).unwrap().queue_datas;
                assert_eq!((queues[0].broker_name.as_str(), queues[0].write_queue_nums), ("broker-a", 4));
            }
            sleep(Duration::from_secs(31)).await;
            for noting in &name_servers {
                let request = noting.take().pop().expect("a registration after the period");
                let header: RegisterBrokerRequestHeader = request.header().unwrap();
                assert_eq!(
                    (header.broker_name.as_str(), header.broker_addr.as_str()),
                    ("broker-a", stage.addr.as_str())
                );
                assert_eq!(header.body_crc32.unsigned_abs(), protocol::message::body_crc(&request.body));
                let body = RegisterBrokerBody::decode_as(&request.body, header.compressed).unwrap();
                assert!(body.topic_config_serialize_wrapper.topic_config_table.contains_key("TopicNew"));
            }
            stage.restart().await;
            for noting in &name_servers {
                assert!(noting.take().iter().any(|request| request.code == request_code::UNREGISTER_BROKER));
            }
        },
    );
}

/// A name server that can be made to lose its brokers.
#[derive(Default)]
struct Losing {
    registrations: Mutex<Vec<Channel>>,
    loses_all: std::sync::atomic::AtomicBool,
}

impl RequestHandler for Losing {
    fn handle(&self, channel: &Channel, request: RemotingCommand) -> Reply {
        if request.code == request_code::REGISTER_BROKER {
            self.registrations.lock().unwrap().push(channel.clone());
        }
        if self.loses_all.load(std::sync::atomic::Ordering::Relaxed) {
            channel.close();
        }
        RemotingCommand::response(code::SUCCESS).into()
    }
}

#[test]
fn a_broker_whose_connection_to_a_name_server_ends_registers_again_at_once_but_not_without_end() {
    play(
        8,
        |config| config.namesrv_addr = vec!["10.0.0.2:9876".into()],
        |_stage| async move {
            let name_server = Arc::new(Losing::default());
            let addr = std::net::SocketAddr::from(([0, 0, 0, 0], 9876));
            let server =
                remoting::RemotingServer::bind(addr, Arc::clone(&name_server), remoting::ServerConfig::default());
            let _listening = server.await.unwrap();
            // In the middle of a period of 30 s.
            sleep(Duration::from_secs(45)).await;
            let known =
                std::mem::take(&mut *name_server.registrations.lock().unwrap()).pop().expect("it has registered");
            known.close();
            sleep(Duration::from_millis(200)).await;
            assert_eq!(name_server.registrations.lock().unwrap().len(), 1, "at once");

            name_server.loses_all.store(true, std::sync::atomic::Ordering::Relaxed);
            std::mem::take(&mut *name_server.registrations.lock().unwrap()).pop().unwrap().close();
            sleep(Duration::from_secs(20)).await;
            let count = name_server.registrations.lock().unwrap().len();
            assert!((8..=11).contains(&count), "{count} times in 20 s");
        },
    );
}

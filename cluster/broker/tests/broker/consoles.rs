//! What Apache's `mqadmin` and dashboards ask a broker for on their ordinary pages.

use std::time::Duration;

use crate::support::play;
use protocol::body::{
    ConsumeStatsList, CreateTopicListRequestBody, JsonBody, KvTable, ProducerTableInfo, QueryConsumeQueueResponseBody,
    QueryCorrectionOffsetBody, QuerySubscriptionResponseBody, SubscriptionGroupConfig, SubscriptionGroupList,
    TopicConfig, TopicList,
};
use protocol::header::{
    CloneGroupOffsetRequestHeader, CreateTopicRequestHeader, GetConsumeStatsInBrokerHeader,
    GetConsumerStatusRequestHeader, GetSubscriptionGroupConfigRequestHeader, GetTopicConfigRequestHeader,
    QueryConsumeQueueRequestHeader, QueryCorrectionOffsetHeader, QuerySubscriptionByConsumerRequestHeader,
    QueryTopicsByConsumerRequestHeader,
};
use protocol::{request_code, response_code as code};

#[test]
fn topics_and_groups_are_shown_one_by_one() {
    play(
        1,
        |_| {},
        |stage| async move {
            stage.send_ok("T", 0, "hello", "").await;
            stage.heartbeat("c@1", "G", "T", "*").await;
            let topic = |topic: &str| GetTopicConfigRequestHeader { topic: topic.into() };
            let answer = stage.ask(request_code::GET_TOPIC_CONFIG, &topic("T")).await;
            assert_eq!(TopicConfig::decode(&answer.body).unwrap().write_queue_nums, 4);
            let answer = stage.ask(request_code::GET_TOPIC_CONFIG, &topic("Nowhere")).await;
            assert_eq!(answer.code, code::TOPIC_NOT_EXIST);
            let group = |group: &str| GetSubscriptionGroupConfigRequestHeader { group: group.into() };
            let answer = stage.ask(request_code::GET_SUBSCRIPTIONGROUP_CONFIG, &group("G")).await;
            assert_eq!(SubscriptionGroupConfig::decode(&answer.body).unwrap().group_name, "G");
            let answer = stage.ask(request_code::GET_SUBSCRIPTIONGROUP_CONFIG, &group("Nobody")).await;
            assert_eq!(answer.code, code::SUBSCRIPTION_GROUP_NOT_EXIST);
            let answer = stage.ask(request_code::GET_SYSTEM_TOPIC_LIST_FROM_BROKER, &()).await;
            let topics = TopicList::decode(&answer.body).unwrap().topic_list;
            for system in ["TBW102", "SCHEDULE_TOPIC_XXXX", "broker-a", "DefaultCluster"] {
                assert!(topics.contains(system), "{system} is not in {topics:?}");
            }
            assert!(!topics.contains("T"));
        },
    );
}

/// What 5.x's mqadmin sends for `updateTopicList` and `updateSubGroupList`.
#[test]
fn lists_of_topics_and_groups_are_made_whole_or_not_at_all() {
    play(
        5,
        |_| {},
        |stage| async move {
            let topics = |names: &[&str]| {
                let topic_config_list = names.iter().map(|name| TopicConfig::new(*name, 3, 6)).collect();
                CreateTopicListRequestBody { topic_config_list }.encode()
            };
            let made = |body| stage.ask_with(request_code::UPDATE_AND_CREATE_TOPIC_LIST, &(), body);
            let of = async |name: &str| {
                let header = GetTopicConfigRequestHeader { topic: name.into() };
                let answer = stage.ask(request_code::GET_TOPIC_CONFIG, &header).await;
                TopicConfig::decode(&answer.body).ok().map(|config| config.write_queue_nums)
            };
            assert_eq!(made(topics(&["A", "B"])).await.code, code::SUCCESS);
            assert_eq!((of("A").await, of("B").await), (Some(3), Some(3)));
            let refused = made(topics(&["C", "not a topic"])).await;
            assert_eq!((refused.code, of("C").await), (code::SYSTEM_ERROR, None));
            assert_eq!(made(topics(&[])).await.code, code::INVALID_PARAMETER);

            let groups = |names: &[&str]| {
                let group_config_list = names.iter().map(|name| SubscriptionGroupConfig::new(*name)).collect();
                SubscriptionGroupList { group_config_list }.encode()
            };
            let made = |body| stage.ask_with(request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, &(), body);
            let is_there = async |group: &str| {
                let header = GetSubscriptionGroupConfigRequestHeader { group: group.into() };
                stage.ask(request_code::GET_SUBSCRIPTIONGROUP_CONFIG, &header).await.code == code::SUCCESS
            };
            assert_eq!(made(groups(&["G", "H"])).await.code, code::SUCCESS);
            assert!(is_there("G").await && is_there("H").await);
            assert_eq!(made(groups(&["I", "not a group"])).await.code, code::SYSTEM_ERROR);
            assert!(!is_there("I").await);
        },
    );
}

#[test]
fn a_topic_keeps_its_attributes_and_none_that_it_cannot_have() {
    play(
        6,
        |_| {},
        |stage| async move {
            let put = async |attributes: Option<&str>| {
                let header = CreateTopicRequestHeader {
                    topic: "T".into(),
                    read_queue_nums: 1,
                    write_queue_nums: 1,
                    perm: 6,
                    topic_filter_type: "SINGLE_TAG".into(),
                    attributes: attributes.map(Into::into),
                    ..Default::default()
                };
                let answer = stage.ask(request_code::UPDATE_AND_CREATE_TOPIC, &header).await;
                let header = GetTopicConfigRequestHeader { topic: "T".into() };
                let config = TopicConfig::decode(&stage.ask(request_code::GET_TOPIC_CONFIG, &header).await.body);
                (answer.code, config.ok().and_then(|config| config.attributes))
            };
            assert_eq!(put(Some("+cleanup.policy=COMPACTION")).await, (code::INVALID_PARAMETER, None));
            let fifo = Some([("message.type".to_owned(), "FIFO".to_owned())].into());
            assert_eq!(put(Some("+message.type=FIFO")).await, (code::SUCCESS, fifo.clone()));
            assert_eq!(put(None).await, (code::SUCCESS, fifo));
            assert_eq!(put(Some("-message.type")).await, (code::SUCCESS, None));
        },
    );
}

/// Exporters read each kind of duration as a number.
#[test]
fn the_runtime_figures_say_how_long_sends_took() {
    play(
        7,
        |_| {},
        |stage| async move {
            for _ in 0..3 {
                stage.send_ok("T", 0, "hello", "").await;
            }
            let answer = stage.ask(request_code::GET_BROKER_RUNTIME_INFO, &()).await;
            let figures = KvTable::decode(&answer.body).unwrap().table;
            let kinds: Vec<(&str, i32)> = figures["putMessageDistributeTime"]
                .split(' ')
                .map(|kind| kind.split_once(':').map(|(kind, count)| (kind, count.parse().unwrap())).unwrap())
                .collect();
            assert_eq!((kinds[0].0, kinds[12].0), ("[<=0ms]", "[10s~]"));
            assert_eq!(kinds.iter().map(|(_, count)| count).sum::<i32>(), 3);
        },
    );
}

#[test]
fn all_producers_and_all_groups_are_shown() {
    play(
        2,
        |_| {},
        |stage| async move {
            for _ in 0..3 {
                stage.send_ok("T", 0, "hello", "").await;
            }
            stage.heartbeat("c@1", "G", "T", "*").await;
            stage.pull("G", "T", 0).await;
            assert_eq!(stage.commit("G", "T", 1).await, code::SUCCESS);
            let answer = stage.ask(request_code::GET_ALL_PRODUCER_INFO, &()).await;
            let producers = ProducerTableInfo::decode(&answer.body).unwrap().data;
            let one = &producers["pg"][0];
            assert_eq!(one.client_id, "c@1");
            let heard_ms_ago = sim::time::wall_clock_ms() - one.last_update_timestamp;
            assert!((0..5_000).contains(&heard_ms_ago), "{heard_ms_ago}");
            let all = GetConsumeStatsInBrokerHeader { is_order: false };
            let answer = stage.ask(request_code::GET_BROKER_CONSUME_STATS, &all).await;
            let stats = ConsumeStatsList::decode(&answer.body).unwrap();
            let of_group = stats.consume_stats_list.iter().find_map(|groups| groups.get("G")).expect("the group");
            assert_eq!((of_group[0].offset_table.len(), stats.total_diff), (4, 2));
            let ordered = GetConsumeStatsInBrokerHeader { is_order: true };
            let answer = stage.ask(request_code::GET_BROKER_CONSUME_STATS, &ordered).await;
            assert_eq!(ConsumeStatsList::decode(&answer.body).unwrap().total_diff, 0);
            let group = QueryTopicsByConsumerRequestHeader { group: "G".into() };
            let answer = stage.ask(request_code::QUERY_TOPICS_BY_CONSUMER, &group).await;
            assert!(TopicList::decode(&answer.body).unwrap().topic_list.contains("T"));
            let subscription = QuerySubscriptionByConsumerRequestHeader { group: "G".into(), topic: Some("T".into()) };
            let answer = stage.ask(request_code::QUERY_SUBSCRIPTION_BY_CONSUMER, &subscription).await;
            let subscription = QuerySubscriptionResponseBody::decode(&answer.body).unwrap();
            assert_eq!(subscription.subscription_data.expect("it is online").sub_string, "*");
        },
    );
}

#[test]
fn offsets_are_compared_and_cloned() {
    play(
        3,
        |_| {},
        |stage| async move {
            for _ in 0..9 {
                stage.send_ok("T", 0, "hello", "").await;
            }
            for (group, offset) in [("slow", 2), ("quick", 7)] {
                stage.pull(group, "T", 0).await;
                assert_eq!(stage.commit(group, "T", offset).await, code::SUCCESS);
            }
            let least = async |compare_group: &str, filter_groups: Option<&str>| {
                let header = QueryCorrectionOffsetHeader {
                    filter_groups: filter_groups.map(Into::into),
                    compare_group: compare_group.into(),
                    topic: "T".into(),
                };
                let answer = stage.ask(request_code::QUERY_CORRECTION_OFFSET, &header).await;
                QueryCorrectionOffsetBody::decode(&answer.body).unwrap().correction_offsets[&0]
            };
            assert_eq!(least("quick", None).await, 2);
            assert_eq!(least("slow", Some("slow")).await, i64::MAX);
            assert_eq!(least("nobody", Some("slow,x")).await, 7);
            let clone = CloneGroupOffsetRequestHeader {
                src_group: "quick".into(),
                dest_group: "new".into(),
                topic: None,
                offline: true,
            };
            assert_eq!(stage.ask(request_code::CLONE_GROUP_OFFSET, &clone).await.code, code::SUCCESS);
            assert_eq!(stage.committed("new", "T").await, Some(7));
            assert_eq!(least("slow", None).await, 2, "nobody's offsets went by looking at them");
        },
    );
}

#[test]
fn a_consume_queue_is_shown_unit_by_unit() {
    play(
        4,
        |_| {},
        |stage| async move {
            for _ in 0..5 {
                stage.send_ok("T", 0, "hello", "TAGS\u{1}new\u{2}").await;
            }
            let ask = async |topic: &str, index, count| {
                let header = QueryConsumeQueueRequestHeader {
                    topic: topic.into(),
                    queue_id: 0,
                    index,
                    count,
                    consumer_group: Some("G".into()),
                };
                stage.ask(request_code::QUERY_CONSUME_QUEUE, &header).await
            };
            let answer = ask("T", 1, 2).await;
            let body = QueryConsumeQueueResponseBody::decode(&answer.body).unwrap();
            assert_eq!((body.min_queue_index, body.max_queue_index, body.queue_data.len()), (0, 5, 2));
            assert_eq!(body.queue_data[0].tags_code, 108_960);
            assert!(body.filter_data.unwrap().contains("not online"));
            for (index, count) in [(i64::MIN, 1), (i64::MAX, i32::MAX), (5, 1), (2, -1)] {
                let answer = ask("T", index, count).await;
                let body = QueryConsumeQueueResponseBody::decode(&answer.body).unwrap();
                assert!(answer.code == code::SUCCESS && body.queue_data.is_empty(), "{index}, {count}");
            }
            assert_eq!(ask("Nowhere", 0, 1).await.code, code::SYSTEM_ERROR);
            for clean in [request_code::CLEAN_EXPIRED_CONSUMEQUEUE, request_code::DELETE_EXPIRED_COMMITLOG] {
                assert_eq!(stage.ask(clean, &()).await.code, code::SUCCESS);
            }
            assert_eq!(stage.pull("G", "T", 0).await.messages.len(), 5, "nothing of it is expired");
            let status = GetConsumerStatusRequestHeader { topic: "T".into(), group: "G".into(), client_addr: None };
            let answer = stage.ask(request_code::INVOKE_BROKER_TO_GET_CONSUMER_STATUS, &status).await;
            assert!(answer.remark.unwrap().starts_with("No Any Consumer online"));
        },
    );
}

#[test]
fn settings_change_while_the_broker_runs() {
    play(
        5,
        |_| {},
        |stage| async move {
            let set = async |text: &'static str| stage.ask_with(request_code::UPDATE_BROKER_CONFIG, &(), text).await;
            for _ in 0..9 {
                stage.send_ok("T", 0, "hello", "").await;
            }
            let changed = set("maxMessageSize=4\nmaxTransferCountOnMessageInMemory=2\nfileReservedTime=48\n").await;
            assert_eq!(changed.code, code::SUCCESS, "{:?}", changed.remark);
            assert_eq!(stage.send("T", 0, "hello", "").await.code, code::MESSAGE_ILLEGAL);
            assert_eq!(stage.pull("G", "T", 0).await.messages.len(), 2);
            let shown = stage.ask(request_code::GET_BROKER_CONFIG, &()).await;
            let shown = String::from_utf8(shown.body.to_vec()).unwrap();
            for line in ["maxMessageSize=4", "fileReservedTime=48", "filterServerNums=0", "useTLS=false"] {
                assert!(shown.lines().any(|shown| shown == line), "{line}");
            }
            // All of it can be sent back: it says what is.
            let again: &'static str = shown.leak();
            let changed = set(again).await;
            assert_eq!(changed.code, code::SUCCESS, "{:?}", changed.remark);
            for (text, why) in [
                ("maxMessageSize=8\nlistenPort=1\n", "listenPort cannot be changed while the broker runs"),
                ("maxMessageSize=8\nsendMessageThreadPoolNums=9\n", "sendMessageThreadPoolNums has no effect"),
                ("maxMessageSize=8\nflushIntervalCommitLog=0\n", "flushIntervalCommitLog = 0 makes no sense"),
                ("maxMessageSize=8\nserverChannelMaxIdleTimeSeconds=9\n", "serverChannelMaxIdleTimeMills cannot"),
                ("maxMessageSize=8\nno line\n", "\"no line\" is not of the form key=value"),
            ] {
                let refused = set(text).await;
                assert_eq!(refused.code, code::SYSTEM_ERROR);
                assert!(refused.remark.as_deref().unwrap().contains(why), "{:?}", refused.remark);
            }
            assert_eq!(stage.send("T", 0, "hello", "").await.code, code::MESSAGE_ILLEGAL, "all or nothing");
            assert_eq!(set("maxMessageSize=8\n").await.code, code::SUCCESS);
            stage.send_ok("T", 0, "hello", "").await;
            sim::time::sleep(Duration::from_secs(1)).await;
        },
    );
}

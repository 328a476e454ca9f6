//! Clients whose JSON is not Java's: what they send is what their own sources write, and they are served.

use crate::support::{TIMEOUT, play, pull_header};
use protocol::body::{
    ConsumeFromWhere, ConsumeType, ConsumerConnection, JsonBody, LockBatchResponseBody, MessageModel,
};
use protocol::header::{ConsumerGroupRequestHeader, PullMessageRequestHeader};
use protocol::sysflag::pull as pull_flag;
use protocol::{Language, RemotingCommand, request_code, response_code as code};

/// A pull that relies on the subscription of the heartbeat.
fn pull_as_member(group: &str, topic: &str) -> PullMessageRequestHeader {
    let header = pull_header(group, topic, 0, "", 0);
    PullMessageRequestHeader { sys_flag: header.sys_flag & !pull_flag::SUBSCRIPTION, subscription: None, ..header }
}

/// Heartbeats with one consumer of the group `G`, and what each is said to be.
const HEARTBEATS: [(&str, &str); 6] = [
    (
        "Apache's C++ client: ordinals, numbers as strings",
        r#"{"clientID":"1@2","consumerDataSet":[{"consumeFromWhere":0,"consumeType":0,"groupName":"G","messageModel":1,
            "subscriptionDataSet":[{"subString":"*","subVersion":"1796060833806","topic":"T"}]}]}"#,
    ),
    (
        "client-go with a tag filter: hash codes as strings",
        r#"{"clientID":"1@2","consumerDataSet":[{"groupName":"G","consumeType":"CONSUME_ACTIVELY","messageModel":"CLUSTERING",
            "consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","subscriptionDataSet":[{"classFilterMode":false,"topic":"T",
            "subString":"new","tagsSet":["new"],"codeSet":["108960"],"subVersion":1796060833806,"expressionType":"TAG"}],
            "unitMode":false}],"producerDataSet":null}"#,
    ),
    (
        "rocketmq-client-v4: one ordinal among names",
        r#"{"clientID":"1@2","producerDataSet":[],"consumerDataSet":[{"groupName":"G","consumeType":"CONSUME_ACTIVELY",
            "messageModel":"CLUSTERING","consumeFromWhere":0,"unitMode":false,"subscriptionDataSet":[{"topic":"T",
            "classFilterMode":false,"subString":"*","tagsSet":[],"codeSet":[],"subVersion":1796060833806,
            "expressionType":"TAG","filterClassSource":""}]}]}"#,
    ),
    (
        "names as another language spells them, truth as numbers, no version",
        r#"{"client_id":"1@2","consumer_data_set":[{"group_name":"G","consume_type":"consume_actively","message_model":1,
            "unit_mode":0,"subscription_data_set":[{"topic":"T","sub_string":"*","class_filter_mode":"false"}]}]}"#,
    ),
    (
        "a dynamic language: floats, nulls, trailing commas, single quotes, comments",
        "{'clientID': '1@2', /* me */ 'consumerDataSet': [{'groupName': 'G', 'consumeType': 'CONSUME_ACTIVELY', \
            'messageModel': null, 'subscriptionDataSet': [{'topic': 'T', 'subString': '*', 'subVersion': 1796060833806.0, \
            'codeSet': null, 'tagsSet': [],},],}, null],}",
    ),
    (
        "the only consumer without a list around it, and members that nobody knows",
        r#"{"clientID":"1@2","fingerprint":{"a":[1,{}]},"consumerDataSet":{"groupName":"G","consumeType":"CONSUME_ACTIVELY",
            "subscriptionDataSet":{"topic":"T","subString":"*","subVersion":"1,796,060,833,806"}}}"#,
    ),
];

#[test]
fn heartbeats_in_every_dialect_make_members_that_are_served() {
    for (who, heartbeat) in HEARTBEATS {
        play(
            1,
            |_| {},
            move |stage| async move {
                stage.send_ok("T", 0, "hello", "TAGS\u{1}new\u{2}").await;
                let answer = stage.ask_with(request_code::HEART_BEAT, &(), heartbeat).await;
                assert_eq!(answer.code, code::SUCCESS, "{who}: {:?}", answer.remark);
                let group = ConsumerGroupRequestHeader { consumer_group: "G".into() };
                let answer = stage.ask(request_code::GET_CONSUMER_CONNECTION_LIST, &group).await;
                let connection = ConsumerConnection::decode(&answer.body).expect(who);
                assert_eq!(connection.connection_set[0].client_id, "1@2", "{who}");
                assert_eq!(connection.consume_type, ConsumeType::Actively, "{who}");
                assert_eq!(connection.message_model, MessageModel::Clustering, "{who}");
                assert_eq!(connection.consume_from_where, ConsumeFromWhere::LastOffset, "{who}");
                assert!(connection.subscription_table["T"].sub_version > 0, "{who}");
                let pulled = stage.ask(request_code::PULL_MESSAGE, &pull_as_member("G", "T")).await;
                assert_eq!(pulled.code, code::SUCCESS, "{who}: {:?}", pulled.remark);
            },
        );
    }
}

#[test]
fn locks_and_groups_in_other_spellings_are_understood() {
    play(
        2,
        |_| {},
        |stage| async move {
            let body = "{clientId:'c',consumer_group:'G',mqSet:[{topic:'T',brokerName:'broker-a',queueId:'3'}]}";
            let answer = stage.ask_with(request_code::LOCK_BATCH_MQ, &(), body).await;
            let locked = LockBatchResponseBody::decode(&answer.body).expect("a set").lock_ok_mq_set;
            assert_eq!(locked.iter().map(|queue| queue.queue_id).collect::<Vec<_>>(), [3]);
            let body = r#"{"groupName":"G","retryMaxTimes":"3","consumeEnable":1,"brokerId":"0","retryQueueNums":""}"#;
            let answer = stage.ask_with(request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &(), body).await;
            assert_eq!(answer.code, code::SUCCESS, "{:?}", answer.remark);
            let all = stage.ask(request_code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG, &()).await;
            let all = protocol::body::SubscriptionGroupWrapper::decode(&all.body).expect("groups");
            let group = &all.subscription_group_table["G"];
            assert_eq!((group.retry_max_times, group.consume_enable, group.retry_queue_nums), (3, true, 1));
        },
    );
}

#[test]
fn a_pull_may_leave_out_what_it_does_not_use() {
    play(
        3,
        |_| {},
        |stage| async move {
            stage.send_ok("T", 0, "hello", "").await;
            let mut request = RemotingCommand::request(request_code::PULL_MESSAGE, &pull_header("G", "T", 0, "*", 0));
            for unused in ["commitOffset", "suspendTimeoutMillis", "subVersion"] {
                request.ext_fields.remove(unused);
            }
            let answer = stage.client.invoke(&stage.addr, request, TIMEOUT).await.expect("an answer");
            assert_eq!(answer.code, code::SUCCESS, "{:?}", answer.remark);
            assert_eq!(stage.committed("G", "T").await, None, "what was not said is not committed");
        },
    );
}

/// The words that the oldest clients know (`LanguageCode` of 3.2): they close a connection on which another comes.
#[test]
fn answers_speak_of_a_language_that_every_client_knows() {
    play(
        4,
        |_| {},
        |stage| async move {
            let answer = stage.ask(request_code::GET_ALL_TOPIC_CONFIG, &()).await;
            assert_eq!(answer.language, Language::Java);
            let answer = stage.ask(9999, &()).await;
            assert_eq!((answer.code, answer.language), (code::REQUEST_CODE_NOT_SUPPORTED, Language::Java));
        },
    );
}

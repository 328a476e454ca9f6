//! Requests as nobody should send them: every code that there is, with fields and bodies of any kind. No task
//! panics (the simulation would end), and the broker serves on.

use std::time::Duration;

use crate::support::{Stage, play};
use protocol::header::UpdateConsumerOffsetRequestHeader;
use protocol::{QueueOffset, RemotingCommand, request_code, response_code};

const TOPIC: &str = "TopicZ";

/// Of the headers of all requests, the long names and those of SEND_MESSAGE_V2.
const FIELDS: &str = "topic consumerGroup producerGroup group groupName queueId queueOffset offset commitOffset maxMsgNums \
    sysFlag suspendTimeoutMillis subscription subVersion expressionType maxMsgBytes key maxNum beginTimestamp endTimestamp \
    timestamp delayLevel originMsgId originTopic unitMode maxReconsumeTimes defaultTopic defaultTopicQueueNums bornTimestamp \
    flag properties reconsumeTimes batch readQueueNums writeQueueNums perm topicFilterType topicSysFlag order clientID \
    clientId clientAddr isForce statsName statsKey setZeroIfNotFound removeOffset msgId jstackEnable bname a b c d e f g h i \
    j k l m n";

const VALUES: [&str; 24] = [
    "",
    "0",
    "1",
    "-1",
    "7",
    "255",
    "65536",
    "2147483647",
    "-2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "true",
    "false",
    "TAG",
    "SINGLE_TAG",
    "*",
    "a || b || ",
    TOPIC,
    "%RETRY%cg",
    "SCHEDULE_TOPIC_XXXX",
    "DELAY\u{1}99999999999\u{2}WAIT\u{1}x",
    "\u{1}\u{2}\u{0}\u{1F680}",
    "../../etc/passwd",
];

const BODIES: [&str; 10] = [
    "",
    "x",
    "null",
    "[]",
    "{}",
    "{\"clientID\":\"c\",\"consumerDataSet\":[{\"groupName\":\"cg\",\"subscriptionDataSet\":[{}]}],\"producerDataSet\":[{}]}",
    "{\"consumerGroup\":\"cg\",\"clientId\":\"c\",\"mqSet\":[{\"topic\":\"TopicZ\",\"brokerName\":\"b\",\"queueId\":-9}]}",
    "{\"groupName\":\"cg\",\"retryMaxTimes\":-5,\"retryQueueNums\":-2147483648,\"brokerId\":99999999999}",
    "\u{0}\u{0}\u{0}\u{9}\u{0}\u{0}",
    "nonsense=1\n=\n",
];

/// A number below `bound`, of the simulation's own randomness.
fn any(bound: usize) -> usize {
    sim::rng::below("hostile", bound as u64) as usize
}

fn nonsense(request_code: i32) -> RemotingCommand {
    let mut request = RemotingCommand::request(request_code, &());
    for field in FIELDS.split_ascii_whitespace() {
        if any(3) > 0 {
            request.ext_fields.insert(field, VALUES[any(VALUES.len())]);
        }
    }
    let mut body = BODIES[any(BODIES.len())].as_bytes().to_vec();
    for _ in 0..any(3) {
        body.extend((0..any(60)).map(|_| any(256) as u8));
    }
    request.with_body(body)
}

async fn go_on(stage: &Stage) {
    let sent = stage.send_ok("Untouched", 0, "still there", "").await;
    assert_eq!(stage.pull("readers", "Untouched", sent).await.bodies(), ["still there"]);
}

#[test]
fn requests_of_every_code_with_any_fields_harm_nobody() {
    for seed in 1..4 {
        play(
            seed,
            |_| {},
            |stage| async move {
                go_on(&stage).await;
                stage.heartbeat("c", "cg", TOPIC, "*").await;
                for number in 0..20 {
                    stage.send_ok(TOPIC, 0, &format!("{number}"), "KEYS\u{1}key\u{2}").await;
                }
                // What Apache's brokers, controllers and proxies are asked: 10 to 355, 400 to 402, 901 to 908, 1001 to 1018.
                let codes =
                    (10..356).chain(400..403).chain(901..909).chain(1001..1019).chain([0, -1, i32::MAX, 200_050]);
                for request_code in codes {
                    for _ in 0..4 {
                        // An error is a pull that is held, or a client that is asked and does not answer.
                        let _ = stage.client.invoke(&stage.addr, nonsense(request_code), Duration::from_secs(5)).await;
                    }
                }
                go_on(&stage).await;
                stage.restart().await;
                go_on(&stage).await;
            },
        );
    }
}

/// Whoever commits offsets of topics and queues that there are not, or of ever new ones, does not fill the table.
#[test]
fn offsets_are_stored_for_queues_that_there_are() {
    play(
        4,
        |_| {},
        |stage| async move {
            stage.send_ok(TOPIC, 0, "x", "").await;
            let commit = |topic: &str, queue_id| UpdateConsumerOffsetRequestHeader {
                consumer_group: "cg".into(),
                topic: topic.into(),
                queue_id,
                commit_offset: QueueOffset(0),
                broker_name: None,
            };
            for (topic, queue_id, expected) in [
                (TOPIC, 0, response_code::SUCCESS),
                ("Nothing", 0, response_code::TOPIC_NOT_EXIST),
                ("%RETRY%cg", 0, response_code::TOPIC_NOT_EXIST),
                (TOPIC, 1_000_000, response_code::INVALID_PARAMETER),
                (TOPIC, -1, response_code::INVALID_PARAMETER),
            ] {
                let answer = stage.ask(request_code::UPDATE_CONSUMER_OFFSET, &commit(topic, queue_id)).await;
                assert_eq!(answer.code, expected, "{topic} {queue_id}: {:?}", answer.remark);
            }
            // A heartbeat makes the retry topic.
            stage.heartbeat("c", "cg", TOPIC, "*").await;
            assert_eq!(stage.commit("cg", "%RETRY%cg", 0).await, response_code::SUCCESS);
        },
    );
}

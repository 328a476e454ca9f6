//! Requests as nobody should send them: every code that there is, with fields and bodies of any kind. No task
//! panics (the simulation would end), and the broker serves on.

use std::time::Duration;

use crate::support::{Stage, play, pull_header};
use bytes::BytesMut;
use protocol::header::UpdateConsumerOffsetRequestHeader;
use protocol::{QueueOffset, RemotingCommand, frame, request_code, response_code};
use sim::net::TcpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

/// A client that shuts down its half of the connection behind its requests is answered all of them: a send, a pull that is held
/// until then, and one that found something.
#[test]
fn who_sends_nothing_more_is_answered() {
    play(
        5,
        |_| {},
        |stage| async move {
            stage.send_ok(TOPIC, 0, "x", "").await;
            let addr = stage.addr.parse::<std::net::SocketAddr>().expect("an address");
            let mut stream = TcpStream::connect(addr).await.expect("it listens");
            let mut bytes = BytesMut::new();
            for (opaque, offset) in [(1, 1), (2, 0), (3, 1)] {
                let header = pull_header("readers", TOPIC, offset, "*", 60_000);
                let mut pull = RemotingCommand::request(request_code::PULL_MESSAGE, &header);
                pull.opaque = opaque;
                frame::encode(&pull, &mut bytes).expect("it is short");
            }
            stream.write_all(&bytes).await.expect("it is read");
            sim::time::sleep(Duration::from_secs(1)).await;
            stream.shutdown().await.expect("it is open");
            let begin = sim::time::Instant::now();
            let mut answers = Vec::new();
            let mut bytes = BytesMut::new();
            while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                while let Some(answer) = frame::decode(&mut bytes).expect("a frame") {
                    answers.push((answer.opaque, answer.code));
                }
            }
            answers.sort_unstable();
            let not_found = response_code::PULL_NOT_FOUND;
            assert_eq!(answers, [(1, not_found), (2, response_code::SUCCESS), (3, not_found)]);
            assert!(begin.elapsed() < Duration::from_secs(1), "nobody waits for what will not come");
            go_on(&stage).await;
        },
    );
}

/// What is refused for its length is refused before it has come.
#[test]
fn a_body_that_is_too_long_is_refused_by_its_head() {
    play(
        6,
        |config| config.store.max_message_size_bytes = 100_000,
        |stage| async move {
            for (code, bytes, expected) in [
                (request_code::HEART_BEAT, 5 << 20, response_code::INVALID_PARAMETER),
                (request_code::GET_ALL_CONSUMER_OFFSET, 2 << 20, response_code::INVALID_PARAMETER),
                (request_code::SEND_MESSAGE_V2, 100_001, response_code::MESSAGE_ILLEGAL),
            ] {
                let addr = stage.addr.parse::<std::net::SocketAddr>().expect("an address");
                let mut stream = TcpStream::connect(addr).await.expect("it listens");
                let mut begun = BytesMut::new();
                frame::encode(&RemotingCommand::request(code, &()).with_body(vec![b'{'; bytes]), &mut begun)
                    .expect("it is no longer than a frame");
                begun.truncate(1_000);
                stream.write_all(&begun).await.expect("it is read");
                let mut bytes = BytesMut::new();
                let answer = loop {
                    assert!(stream.read_buf(&mut bytes).await.expect("it is open") > 0);
                    if let Some(answer) = frame::decode(&mut bytes).expect("a frame") {
                        break answer;
                    }
                };
                assert_eq!(answer.code, expected, "{:?}", answer.remark);
            }
            go_on(&stage).await;
        },
    );
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

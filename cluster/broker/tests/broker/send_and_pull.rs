//! Messages in and out, through raw remoting requests to a broker in the simulation.

use std::time::Duration;

use crate::support::{TIMEOUT, play, pull_header, send_header};
use protocol::header::{SendMessageRequestHeader, SendMessageRequestHeaderV1, SendMessageResponseHeader};
use protocol::message::encode_batch_message;
use protocol::properties::property;
use protocol::{RemotingCommand, request_code, response_code as code};
use sim::time::{Instant, sleep};

#[test]
fn every_kind_of_send_arrives_as_apache_stores_it() {
    play(
        1,
        |_| {},
        |stage| async move {
            assert_eq!(stage.send_ok("TopicA", 0, "v2", "KEYS\u{1}k\u{2}WAIT\u{1}true\u{2}TAGS\u{1}tagX").await, 0);

            let v1 = SendMessageRequestHeaderV1(send_header("TopicA", 0, "TAGS\u{1}tagY"));
            let response = stage.ask_with(request_code::SEND_MESSAGE, &v1, "v1").await;
            let answer: SendMessageResponseHeader = response.header().unwrap();
            assert_eq!((response.code, answer.queue_offset.0, answer.queue_id), (code::SUCCESS, 1, 0));
            assert_eq!(answer.msg_id.len(), 32);
            assert_eq!(response.ext_fields.get("MSG_REGION"), Some("DefaultRegion"));
            assert_eq!(response.ext_fields.get("TRACE_ON"), Some("true"));

            let mut batch = Vec::new();
            for body in ["b0", "b1", "b2"] {
                encode_batch_message(&mut batch, 0, body.as_bytes(), "WAIT\u{1}true\u{2}TAGS\u{1}tB").unwrap();
            }
            let header = SendMessageRequestHeader { batch: Some(true), ..send_header("TopicA", 0, "WAIT\u{1}true") };
            let response = stage.ask_with(request_code::SEND_BATCH_MESSAGE, &header, batch).await;
            let answer: SendMessageResponseHeader = response.header().unwrap();
            assert_eq!((response.code, answer.queue_offset.0), (code::SUCCESS, 2));
            assert_eq!(answer.msg_id.split(',').count(), 3);

            let oneway = RemotingCommand::request(request_code::SEND_MESSAGE_V2, &send_header("TopicA", 0, ""))
                .with_body("oneway");
            stage.client.invoke_oneway(&stage.addr, oneway).await.unwrap();
            sleep(Duration::from_millis(100)).await;

            let pulled = stage.pull("cg", "TopicA", 0).await;
            assert_eq!(pulled.code, code::SUCCESS);
            assert_eq!(pulled.bodies(), ["v2", "v1", "b0", "b1", "b2", "oneway"]);
            assert_eq!((pulled.header.next_begin_offset.0, pulled.header.max_offset.0), (6, 6));
            let first = &pulled.messages[0].properties;
            assert_eq!(first.get(property::CLUSTER), Some("DefaultCluster"));
            assert_eq!(first.get(property::WAIT), None);
            assert_eq!(first.get(property::TAGS), Some("tagX"));
            assert_eq!(pulled.messages[2].properties.get(property::WAIT), Some("true"), "a batch keeps it");
        },
    );
}

#[test]
fn what_cannot_be_sent_is_refused_with_rocketmqs_code() {
    play(
        2,
        |_| {},
        |stage| async move {
            for (topic, expected) in [
                ("bad topic!", code::SYSTEM_ERROR),
                ("SCHEDULE_TOPIC_XXXX", code::NO_PERMISSION),
                ("%DLQ%nobody", code::SUCCESS),
            ] {
                assert_eq!(stage.send(topic, 0, "x", "").await.code, expected, "{topic}");
            }
            let no_parent = SendMessageRequestHeader { default_topic: "none".into(), ..send_header("New", 0, "") };
            let response = stage.ask_with(request_code::SEND_MESSAGE_V2, &no_parent, "x").await;
            assert_eq!(response.code, code::TOPIC_NOT_EXIST);
            assert!(response.ext_fields.contains("MSG_REGION"), "also a refusal says it");
            stage.send_ok("TopicA", 0, "x", "").await;
            assert_eq!(stage.send("TopicA", 99, "x", "").await.code, code::SYSTEM_ERROR);
            assert_eq!(stage.send("TopicA", 0, "x", "TRAN_MSG\u{1}true").await.code, code::NO_PERMISSION);
            assert_eq!(stage.send("TopicA", 0, &"x".repeat(5 << 20), "").await.code, code::MESSAGE_ILLEGAL);
            let long = format!("a\u{1}{}", "p".repeat(40_000));
            assert_eq!(stage.send("TopicA", 0, "x", &long).await.code, code::MESSAGE_ILLEGAL);
            let bad_batch = SendMessageRequestHeader { batch: Some(true), ..send_header("TopicA", 0, "") };
            let response = stage.ask_with(request_code::SEND_BATCH_MESSAGE, &bad_batch, vec![0_u8, 0, 0, 99, 1]).await;
            assert_eq!(response.code, code::MESSAGE_ILLEGAL);
        },
    );
}

#[test]
fn what_a_message_asks_is_kept_or_refused() {
    play(
        12,
        |_| {},
        |stage| async move {
            stage.send_ok("TopicA", 0, "first", "").await;
            for (properties, expected) in [
                ("DELAY\u{1}abc", code::SYSTEM_ERROR),
                ("DELAY\u{1}\u{2}TAGS\u{1}a", code::SYSTEM_ERROR),
                ("TAGS\u{1}a\u{2}DELAY\u{1}1.5", code::SYSTEM_ERROR),
                ("TIMER_DELAY_MS\u{1}5000", code::SYSTEM_ERROR),
                ("TIMER_DELIVER_MS\u{1}1", code::SYSTEM_ERROR),
                ("__STARTDELIVERTIME\u{1}1767225600000", code::SYSTEM_ERROR),
                ("INNER_MULTI_DISPATCH\u{1}%LMQ%a", code::MESSAGE_ILLEGAL),
            ] {
                let refused = stage.send("TopicA", 0, "x", properties).await;
                assert_eq!(refused.code, expected, "{properties:?}");
                assert!(refused.remark.is_some_and(|remark| remark.contains("property")), "{properties:?}");
                let mut batch = Vec::new();
                encode_batch_message(&mut batch, 0, b"b0", "TAGS\u{1}a").unwrap();
                encode_batch_message(&mut batch, 0, b"b1", properties).unwrap();
                let header = SendMessageRequestHeader { batch: Some(true), ..send_header("TopicA", 0, "") };
                let refused = stage.ask_with(request_code::SEND_BATCH_MESSAGE, &header, batch).await;
                assert_eq!(refused.code, expected, "{properties:?} in a batch");
                let header = SendMessageRequestHeader { batch: Some(true), ..send_header("TopicA", 0, properties) };
                let refused = stage.ask_with(request_code::SEND_BATCH_MESSAGE, &header, "").await;
                assert_eq!(refused.code, expected, "{properties:?} of a batch");
            }
            let mut batch = Vec::new();
            encode_batch_message(&mut batch, 0, b"b", "DELAY\u{1}3").unwrap();
            let header = SendMessageRequestHeader { batch: Some(true), ..send_header("TopicA", 0, "") };
            let refused = stage.ask_with(request_code::SEND_BATCH_MESSAGE, &header, batch).await;
            assert_eq!(refused.code, code::MESSAGE_ILLEGAL, "a batch is not delayed");
            // A half or rolled-back message, and a batch in one record: nobody would find them.
            for sys_flag in [4, 12, 128] {
                let header = SendMessageRequestHeader { sys_flag, ..send_header("TopicA", 0, "") };
                let refused = stage.ask_with(request_code::SEND_MESSAGE_V2, &header, "x").await;
                assert_eq!(refused.code, code::MESSAGE_ILLEGAL, "{sys_flag}");
            }
            // A client before 4.6.1 leaves the mark of a half message in a retry.
            let properties = Some("TRAN_MSG\u{1}true\u{2}DELAY\u{1}1\u{2}TIMER_DELAY_SEC\u{1}9".to_owned());
            let header = SendMessageRequestHeader {
                sys_flag: 4,
                reconsume_times: Some(1),
                properties,
                ..send_header("%RETRY%cg", 0, "")
            };
            let sent = stage.ask_with(request_code::SEND_MESSAGE_V2, &header, "old retry").await;
            assert_eq!(sent.code, code::SUCCESS, "{:?}", sent.remark);
            assert_eq!(stage.pull_tags("cg", "%RETRY%cg", 0, "*", 5_000).await.bodies(), ["old retry"]);
            // A level is enough, and a stale receipt is no harm.
            stage.send_ok("TopicA", 0, "both", "TIMER_DELAY_SEC\u{1}9\u{2}DELAY\u{1}1\u{2}POP_CK\u{1}0 1").await;
            stage.send_ok("%DLQ%cg", 0, "not yet", "DELAY\u{1}1").await;
            assert_eq!(stage.pull("cg", "%DLQ%cg", 0).await.bodies(), [""; 0]);
            assert_eq!(stage.pull_tags("cg", "%DLQ%cg", 0, "*", 5_000).await.bodies(), ["not yet"]);
            assert_eq!(stage.pull("cg", "TopicA", 0).await.bodies(), ["first", "both"]);
            let pulled = stage.pull("cg", "TopicA", 1).await;
            assert_eq!(pulled.bodies(), ["both"]);
            let properties = &pulled.messages[0].properties;
            assert_eq!((properties.get("TIMER_DELAY_SEC"), properties.get(property::POP_CK)), (None, None));
        },
    );
}

#[test]
fn a_held_pull_wakes_for_its_tag_only_or_when_its_time_is_over() {
    play(
        3,
        |_| {},
        |stage| async move {
            stage.send_ok("TopicA", 0, "old", "TAGS\u{1}other").await;
            assert_eq!(stage.pull("cg", "TopicA", 0).await.header.next_begin_offset.0, 1);
            let waiting = {
                let stage = stage.clone();
                sim::task::spawn(async move {
                    let began = Instant::now();
                    (stage.pull_tags("cg", "TopicA", 1, "tagX", 15_000).await, began.elapsed())
                })
            };
            sleep(Duration::from_secs(1)).await;
            stage.send_ok("TopicA", 0, "not wanted", "TAGS\u{1}other").await;
            sleep(Duration::from_secs(1)).await;
            stage.send_ok("TopicA", 0, "wanted", "TAGS\u{1}tagX").await;
            let (pulled, took) = waiting.await.unwrap();
            assert_eq!((pulled.code, pulled.bodies()), (code::SUCCESS, vec!["wanted".to_owned()]));
            assert!((2000..2100).contains(&took.as_millis()), "{took:?}");

            let began = Instant::now();
            let pulled = stage.pull_tags("cg", "TopicA", 3, "tagX", 5_000).await;
            assert_eq!(pulled.code, code::PULL_NOT_FOUND);
            assert!((5000..5100).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());

            let pulled = stage.pull_tags("cg", "TopicA", 1, "nothing", 0).await;
            assert_eq!((pulled.code, pulled.header.next_begin_offset.0), (code::PULL_RETRY_IMMEDIATELY, 3));
        },
    );
}

#[test]
fn a_held_pull_does_not_keep_other_requests_waiting_and_dies_with_its_connection() {
    play(
        4,
        |_| {},
        |stage| async move {
            stage.send_ok("TopicA", 0, "0", "").await;
            assert_eq!(stage.pull("cg", "TopicA", 0).await.header.next_begin_offset.0, 1);
            for _ in 0..3 {
                let stage = stage.clone();
                sim::task::spawn(async move {
                    let header = pull_header("cg", "TopicA", 1, "*", 15_000);
                    let pull = RemotingCommand::request(request_code::PULL_MESSAGE, &header);
                    // It ends with its connection.
                    stage.client.invoke(&stage.addr, pull, TIMEOUT).await.expect_err("nothing came before");
                });
            }
            sleep(Duration::from_secs(1)).await;
            let began = Instant::now();
            stage.send_ok("TopicA", 1, "elsewhere", "").await;
            assert!(began.elapsed() < Duration::from_millis(100));
            stage.client.close_channel(&stage.addr);
            sleep(Duration::from_secs(1)).await;
            stage.send_ok("TopicA", 0, "1", "").await;
            let pulled = stage.pull("cg", "TopicA", 1).await;
            assert_eq!((pulled.code, pulled.bodies()), (code::SUCCESS, vec!["1".to_owned()]), "{:?}", pulled.header);
        },
    );
}

#[test]
fn pulls_outside_of_the_queue_get_rocketmqs_codes() {
    play(
        5,
        |_| {},
        |stage| async move {
            stage.send_ok("TopicA", 0, "0", "").await;
            for (topic, offset, expected) in [
                ("TopicA", 0, code::SUCCESS),
                ("TopicA", 1, code::PULL_NOT_FOUND),
                ("TopicA", 9, code::PULL_OFFSET_MOVED),
            ] {
                assert_eq!(stage.pull("cg", topic, offset).await.code, expected, "{topic} {offset}");
            }
            let header = protocol::header::PullMessageRequestHeader {
                consumer_group: "cg".into(),
                topic: "None".into(),
                ..Default::default()
            };
            assert_eq!(stage.ask(request_code::PULL_MESSAGE, &header).await.code, code::TOPIC_NOT_EXIST);
            let header = protocol::header::PullMessageRequestHeader { topic: "TopicA".into(), queue_id: 77, ..header };
            assert_eq!(stage.ask(request_code::PULL_MESSAGE, &header).await.code, code::SYSTEM_ERROR);
            let header = protocol::header::PullMessageRequestHeader { queue_id: 0, ..header };
            assert_eq!(stage.ask(request_code::PULL_MESSAGE, &header).await.code, code::SUBSCRIPTION_NOT_EXIST);
            stage.heartbeat("c@1", "cg", "TopicA", "*").await;
            let header = protocol::header::PullMessageRequestHeader { max_msg_nums: 1, sub_version: 1, ..header };
            assert_eq!(stage.ask(request_code::PULL_MESSAGE, &header).await.code, code::SUCCESS);
            let header = protocol::header::PullMessageRequestHeader { sub_version: 9, ..header };
            assert_eq!(stage.ask(request_code::PULL_MESSAGE, &header).await.code, code::SUBSCRIPTION_NOT_LATEST);
        },
    );
}

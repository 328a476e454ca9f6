//! What is acknowledged can be read: queues that a topic has not, or has no more, and names too long for a record that clients
//! read. Through raw remoting requests to a broker in the simulation.

use std::time::Duration;

use crate::support::{play, send_header};
use protocol::body::{ConsumeStats, JsonBody, SubscriptionGroupConfig, TopicStatsTable};
use protocol::header::{
    ConsumerSendMsgBackRequestHeader, CreateTopicRequestHeader, GetConsumeStatsRequestHeader,
    GetTopicStatsInfoRequestHeader, SendMessageRequestHeader, SendMessageResponseHeader,
};
use protocol::{request_code, response_code as code};
use sim::time::sleep;

fn topic(name: &str, read_queue_nums: i32, write_queue_nums: i32) -> CreateTopicRequestHeader {
    CreateTopicRequestHeader {
        topic: name.into(),
        default_topic: "TBW102".into(),
        read_queue_nums,
        write_queue_nums,
        perm: 6,
        topic_filter_type: "SINGLE_TAG".into(),
        ..Default::default()
    }
}

#[test]
fn no_message_is_taken_that_nobody_could_read_and_what_still_drains_is_shown() {
    play(
        10,
        |_| {},
        |stage| async move {
            for (name, read, write) in [("None", 0, 0), ("NoRead", 0, 4), ("NoWrite", 4, 0), ("Fewer", 2, 4)] {
                let made = stage.ask(request_code::UPDATE_AND_CREATE_TOPIC, &topic(name, read, write)).await;
                assert_eq!(made.code, code::SUCCESS, "{name}: {:?}", made.remark);
            }
            for (name, queue_id, expected) in [
                ("None", -1, code::SYSTEM_ERROR),
                ("None", 0, code::SYSTEM_ERROR),
                ("NoRead", -1, code::SYSTEM_ERROR),
                ("NoRead", 0, code::SYSTEM_ERROR),
                ("NoWrite", -1, code::SYSTEM_ERROR),
                // As in Apache's, who knows a queue that can be read may write to it.
                ("NoWrite", 3, code::SUCCESS),
                ("Fewer", 1, code::SUCCESS),
                ("Fewer", 2, code::SYSTEM_ERROR),
                ("Fewer", 3, code::SYSTEM_ERROR),
            ] {
                let sent = stage.send(name, queue_id, "x", "").await;
                assert_eq!(sent.code, expected, "{name}, queue {queue_id}: {:?}", sent.remark);
                assert!(sent.code == code::SUCCESS || sent.remark.unwrap().contains("queues to write and"));
            }
            for _ in 0..20 {
                let sent = stage.send("Fewer", -1, "x", "").await;
                let answer: SendMessageResponseHeader = sent.header().unwrap();
                assert!((0..2).contains(&answer.queue_id), "queue {}", answer.queue_id);
            }
            // A topic that a send makes has a queue, whatever the client wishes.
            let wishes = SendMessageRequestHeader { default_topic_queue_nums: 0, ..send_header("Made", -1, "") };
            let sent = stage.ask_with(request_code::SEND_MESSAGE_V2, &wishes, "x").await;
            assert_eq!(sent.code, code::SUCCESS, "{:?}", sent.remark);

            // A topic is given fewer queues, while a message waits for one of the others.
            stage.ask(request_code::UPDATE_AND_CREATE_TOPIC, &topic("Shrinks", 8, 8)).await;
            stage.send_ok("Shrinks", 6, "stays", "").await;
            stage.send_ok("Shrinks", 5, "late", "DELAY\u{1}1").await;
            stage.ask(request_code::UPDATE_AND_CREATE_TOPIC, &topic("Shrinks", 2, 2)).await;
            sleep(Duration::from_secs(2)).await;
            let stats = GetTopicStatsInfoRequestHeader { topic: "Shrinks".into() };
            let stats = stage.ask(request_code::GET_TOPIC_STATS_INFO, &stats).await;
            let stats = TopicStatsTable::decode(&stats.body).unwrap().offset_table;
            let shown: Vec<(i32, i64)> = stats.iter().map(|(queue, at)| (queue.queue_id, at.max_offset.0)).collect();
            assert_eq!(shown, [(0, 0), (1, 1), (6, 1)]);
            stage.commit("cg", "Shrinks", 0).await;
            let header = GetConsumeStatsRequestHeader { consumer_group: "cg".into(), topic: Some("Shrinks".into()) };
            let stats = stage.ask(request_code::GET_CONSUME_STATS, &header).await;
            let stats = ConsumeStats::decode(&stats.body).unwrap().offset_table;
            assert_eq!(stats.keys().map(|queue| queue.queue_id).collect::<Vec<_>>(), [0, 1, 6]);
        },
    );
}

#[test]
fn a_message_comes_back_only_in_a_form_that_its_clients_read() {
    play(
        11,
        |_| {},
        |stage| async move {
            stage.send_ok("TopicA", 0, "hard", "").await;
            let offset = stage.pull("cg", "TopicA", 0).await.messages[0].commit_log_offset;
            let mut back = ConsumerSendMsgBackRequestHeader { offset, delay_level: 1, ..Default::default() };
            for (bytes, retried, dead) in [
                (120, code::SUCCESS, code::SUCCESS),
                (121, code::MESSAGE_ILLEGAL, code::SUCCESS),
                (122, code::MESSAGE_ILLEGAL, code::SUCCESS),
                (123, code::MESSAGE_ILLEGAL, code::MESSAGE_ILLEGAL),
                (255, code::MESSAGE_ILLEGAL, code::MESSAGE_ILLEGAL),
            ] {
                back.group = "g".repeat(bytes);
                stage.heartbeat("client", &back.group, "TopicA", "*").await;
                for (delay_level, expected) in [(1, retried), (0, retried), (-1, dead)] {
                    back.delay_level = delay_level;
                    let sent = stage.ask(request_code::CONSUMER_SEND_MSG_BACK, &back).await;
                    assert_eq!(sent.code, expected, "{bytes} bytes, level {delay_level}: {:?}", sent.remark);
                }
                let again = stage.send(&format!("%RETRY%{}", back.group), 0, "by itself", "").await;
                assert_eq!(again.code, retried, "{bytes} bytes: {:?}", again.remark);
            }
            let group = "g".repeat(120);
            assert_eq!(stage.pull(&group, &format!("%RETRY%{group}"), 0).await.bodies(), ["by itself"]);
            let pulled = stage.pull_tags(&group, &format!("%RETRY%{group}"), 1, "*", 5_000).await;
            assert_eq!((pulled.bodies(), pulled.messages[0].topic.len()), (vec!["hard".to_owned()], 127));
        },
    );
}

#[test]
fn a_group_with_more_retry_queues_than_its_topic_gets_its_messages_back() {
    play(
        12,
        |_| {},
        |stage| async move {
            stage.send_ok("TopicA", 0, "hard", "").await;
            // Its retry topic has one queue.
            stage.heartbeat("client", "cg", "TopicA", "*").await;
            let group = SubscriptionGroupConfig { retry_queue_nums: 8, ..SubscriptionGroupConfig::new("cg") };
            stage.ask_with(request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, &(), group.encode()).await;
            let offset = stage.pull("cg", "TopicA", 0).await.messages[0].commit_log_offset;
            for _ in 0..8 {
                let back = ConsumerSendMsgBackRequestHeader {
                    offset,
                    group: "cg".into(),
                    delay_level: 1,
                    ..Default::default()
                };
                assert_eq!(stage.ask(request_code::CONSUMER_SEND_MSG_BACK, &back).await.code, code::SUCCESS);
            }
            sleep(Duration::from_secs(2)).await;
            assert_eq!(stage.pull("cg", "%RETRY%cg", 0).await.bodies().len(), 8);
        },
    );
}

//! The small shared vocabulary: names, ids, tags, subscriptions, queues.

use std::collections::BTreeMap;

use protocol::body::*;
use protocol::message_id::{decode_offset_message_id, unique_key};
use protocol::tags::{java_hash_code, tags_code};
use protocol::topic::{dlq_topic, is_system_topic, retry_topic, validate_group, validate_topic};
use protocol::{JsonBody, QueueOffset, SendStatus, fastjson, response_code};

#[test]
fn a_unique_key_is_shaped_as_the_java_client_shapes_it() {
    // A captured one, of process 13853 on fd00::2, taken apart.
    let key = unique_key("fd00::2".parse().expect("an address"), 13_853, 0x5FFD_2B27, 0x6FC3_81EC, 0);
    assert_eq!(key, "FD000000000000000000000000000002361D5FFD2B276FC381EC0000");
    assert_eq!(unique_key("10.0.0.1".parse().expect("an address"), 1, 2, 3, 4).len(), 32);
}

#[test]
fn what_is_no_offset_message_id_is_refused() {
    for text in
        ["", "7F00000100002A9F0000000000001A4", "7F00000100002A9F0000000000001A4G", "7F0000010F002A9F0000000000001A47"]
    {
        assert!(decode_offset_message_id(text).is_err(), "{text}");
    }
    assert!(decode_offset_message_id("7f00000100002a9f0000000000001a47").is_ok(), "lower case");
}

#[test]
fn hashes_are_javas() {
    assert_eq!(java_hash_code(""), 0);
    assert_eq!(java_hash_code("hello world, this wraps around"), java_model("hello world, this wraps around"));
    assert_eq!(java_hash_code("é世🚀"), java_model("é世🚀"));
    assert_eq!(tags_code(None), 0);
    assert_eq!(tags_code(Some("polygenelubricants")), i64::from(i32::MIN), "negative hashes are sign-extended");
}

/// The defining sum s[0]*31^(n-1) + … + s[n-1], modulo 2^32.
fn java_model(text: &str) -> i32 {
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut sum = 0_u64;
    for (index, unit) in units.iter().enumerate() {
        let power = (0..units.len() - 1 - index).fold(1_u64, |power, _| power * 31 % (1 << 32));
        sum = (sum + power * u64::from(*unit)) % (1 << 32);
    }
    sum as u32 as i32
}

#[test]
fn names_are_checked() {
    assert!(validate_topic("Topic-A_1%x|y").is_ok());
    assert!(validate_topic(&"t".repeat(127)).is_ok());
    assert_eq!(
        validate_topic(&"t".repeat(128)).expect_err("too long").to_string(),
        "the topic name has 128 bytes, the most is 127"
    );
    assert!(validate_group(&"g".repeat(255)).is_ok());
    assert!(validate_group(&"g".repeat(256)).is_err());
    assert_eq!(validate_group("  ").expect_err("blank").to_string(), "the group name is blank: give one");
    assert_eq!(
        validate_topic("a b").expect_err("a space").to_string(),
        "the topic name \"a b\" has a character outside of ^[%|a-zA-Z0-9_-]+$"
    );
    assert!(is_system_topic("TBW102") && is_system_topic("rmq_sys_REVIVE_LOG_c") && !is_system_topic("TopicA"));
    assert_eq!((retry_topic("g").as_str(), dlq_topic("g").as_str()), ("%RETRY%g", "%DLQ%g"));
}

#[test]
fn subscriptions_by_tags() {
    let some = SubscriptionData::by_tags("TopicA", " a || b||", 7);
    assert_eq!(some.tags_set.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert!(some.may_match(tags_code(Some("b"))));
    assert!(!some.may_match(tags_code(Some("c"))) && !some.may_match(0) && !some.may_match(i64::MAX));
    for expression in ["", "*"] {
        let all = SubscriptionData::by_tags("TopicA", expression, 7);
        assert_eq!(all.sub_string, SUB_ALL);
        assert!(all.may_match(0));
    }
}

#[test]
fn queues_are_ordered_by_topic_broker_and_number() {
    let mut queues = [("b", "x", 0), ("a", "y", 0), ("a", "x", 10), ("a", "x", 9)]
        .map(|(topic, broker, queue_id)| MessageQueue::new(topic, broker, queue_id));
    queues.sort();
    assert_eq!(queues.map(|queue| queue.to_string()), ["a@x/9", "a@x/10", "a@y/0", "b@x/0"]);
}

#[test]
fn send_statuses_and_codes() {
    for code in [response_code::SUCCESS, response_code::FLUSH_DISK_TIMEOUT, 11, 12] {
        assert_eq!(SendStatus::from_response_code(code).map(SendStatus::response_code), Some(code));
    }
    assert_eq!(SendStatus::from_response_code(response_code::MESSAGE_ILLEGAL), None);
}

#[test]
fn object_keys_survive_quotes_and_nesting() {
    let offsets = BTreeMap::from([(MessageQueue::new("T\"\\{", "b", 0), QueueOffset(5))]);
    let body = GetConsumerStatusBody {
        consumer_table: BTreeMap::from([("ip@{1}".to_owned(), QueueOffsets(offsets.clone()))]),
        message_queue_table: offsets,
    };
    let json = body.encode();
    let expected = br#"{"consumerTable":{"ip@{1}":{{"brokerName":"b","queueId":0,"topic":"T\"\\{"}:5}},"messageQueueTable":{{"brokerName":"b","queueId":0,"topic":"T\"\\{"}:5}}"#;
    assert_eq!(String::from_utf8_lossy(&json), String::from_utf8_lossy(expected));
    assert_eq!(GetConsumerStatusBody::decode(&json).expect("our own"), body);
}

#[test]
fn running_info_is_read_and_written() {
    let info = ConsumerRunningInfo {
        mq_table: BTreeMap::from([(MessageQueue::new("T", "b", 1), ProcessQueueInfo::default())]),
        status_table: BTreeMap::from([("T".to_owned(), ConsumeStatus { consume_ok_tps: 1.5, ..Default::default() })]),
        subscription_set: vec![SubscriptionData::by_tags("T", "a", 1)],
        ..Default::default()
    };
    assert_eq!(ConsumerRunningInfo::decode(&info.encode()).expect("our own"), info);
}

#[test]
fn fastjsons_liberties_are_taken() {
    let read = |json: &str| fastjson::from_str::<serde_json::Value>(json).map(|value| value.to_string());
    assert_eq!(read("{a : 'it\\'s \"x\"', }").expect("JSON"), r#"{"a":"it's \"x\""}"#);
    assert_eq!(read("[1,{-1:null,2:[null]},]").expect("JSON"), r#"[1,{"2":[]}]"#);
    assert_eq!(read("not json").expect_err("no JSON").to_string(), "a value is expected at byte 0");
    let nulls =
        HeartbeatData::decode(br#"{"clientID":"c","consumerDataSet":null,"producerDataSet":[{"groupName":"g"}]}"#);
    assert_eq!(nulls.expect("null is absence").producer_data_set.len(), 1);
}

#[test]
fn a_body_that_is_none_says_so() {
    let error = TopicRouteData::decode(b"{\"brokerDatas\":7}").expect_err("no list");
    assert_eq!(
        error.to_string(),
        "TopicRouteData cannot be read from this JSON: brokerDatas: an object is expected at byte 15"
    );
}

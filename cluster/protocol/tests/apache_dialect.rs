//! Bodies and headers are read as Apache's own classes read them.
//!
//! `golden/fastjson/read-by-apache.txt` has what those made of each spelling in `spellings.txt`, written by
//! `tests/interop/java/dialect`. A member that Apache's leave null has its default here; times that they take from the clock
//! are not compared; what they refuse is refused here, too, unless it is listed in [`MORE`].

use bytes::{BufMut, BytesMut};
use protocol::body::*;
use protocol::header::*;
use protocol::{CommandHeader, ExtFields, JsonBody, frame};
use serde_json::{Map, Value};

const GOLDEN: &str = include_str!("golden/fastjson/read-by-apache.txt");

/// What is read here although Apache's classes refuse it, with the reason.
const MORE: &[(&str, &[&str])] = &[
    (
        "newer versions know more languages: an unknown one is no reason to refuse a client",
        &[
            r#"{"clientId":"C","language":99}"#,
            r#"{"code":34,"opaque":7,"language":99}"#,
            r#"{"code":34,"opaque":7,"language":true}"#,
            r#"{"code":34,"opaque":7,"language":{}}"#,
            r#"{"code":34,"opaque":7,"serializeTypeCurrentRPC":9}"#,
        ],
    ),
    (
        "it depends on the collection's class and on the generated reader whether fastjson takes one for a list of it",
        &[
            r#"{"codeSet":"","topic":"T"}"#,
            r#"{"codeSet":"108960","topic":"T"}"#,
            r#"{"codeSet":108960,"topic":"T"}"#,
            r#"{"codeSet":TreeSet[108960],"topic":"T"}"#,
            r#"{"codeSet":[,108960,,109871,],"topic":"T"}"#,
            r#"{"tagsSet":"a","topic":"T"}"#,
            r#"{"tagsSet":"","topic":"T"}"#,
            r#"{"tagsSet":{},"topic":"T"}"#,
            r#"{"clientID":"C","consumerDataSet":""}"#,
            r#"{"topicList":"a"}"#,
            r#"{"topicList":{"a":1}}"#,
            r#"{"topicList":""}"#,
            r#"{"brokerDatas":""}"#,
            r#"{"lock_ok_mq_set":{"topic":"T","queueId":1,"brokerName":"b"}}"#,
        ],
    ),
    (
        "and likewise which keys a map may have, and whether it may have nulls",
        &[
            r#"{"brokerDatas":[{"brokerName":"b","brokerAddrs":{,"0":"a:1"}}]}"#,
            r#"{"table":{1:"b"}}"#,
            r#"{"table":{a_b:"1",a-b:"2"}}"#,
            r#"{"table":{a.b:"1"}}"#,
            r#"{"table":{{"a":"b"}:"c"}}"#,
            r#"{"offsetTable":{"T@G":{0:null}}}"#,
            r#"{"offsetTable":{"T@G":null}}"#,
            r#"{"code":34,"opaque":7,"extFields":{1:"b"}}"#,
        ],
    ),
    (
        "what nobody reads is passed over, and so are the names of Java's types",
        &[
            r#"{"more":x,"clientID":"C"}"#,
            r#"{"@type":"no.such.Type","clientID":"C"}"#,
            r#"{"table":{"@type":"java.util.HashMap","a":"b"}}"#,
            r#"{"code":34,"opaque":7,"extFields":{"@type":"x","a":"b"}}"#,
        ],
    ),
];

/// What is refused here although Apache's classes read something from it, with the reason.
const LESS: &[(&str, &[&str])] = &[
    (
        "a null as key, or a reference to nothing, makes what nobody can have meant",
        &[
            r#"{"brokerDatas":[{"brokerName":"b","brokerAddrs":{"":"a:1"}}]}"#,
            r#"{"brokerDatas":[{"brokerName":"b","brokerAddrs":{null:"a:1"}}]}"#,
            r#"{"offsetTable":{null:7}}"#,
            r#"{"clientID":"C","consumerDataSet":[{"$ref":"$.nothing"}]}"#,
        ],
    ),
    (
        "the field is null there, and the request fails as soon as it is used",
        &[
            r#"{"consumerGroup":"G","topic":"T","queueId":" 3"}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":"3 "}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":""}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":"3.0"}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":"0x3"}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":"3L"}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":"2147483648"}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":"null"}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":null}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":"1","commitOffset":"9223372036854775808"}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":"1","commitOffset":"7.0"}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":"1","commitOffset":""}"#,
            r#"{"consumerGroup":"G","topic":"T","queueId":"1","commitOffset":null}"#,
            r#"{"offset":"1","group":"G"}"#,
        ],
    ),
];

/// Which constant stands for a null.
const DEFAULT_CONSTANTS: [&str; 6] =
    ["CONSUME_FROM_LAST_OFFSET", "CONSUME_PASSIVELY", "CLUSTERING", "SINGLE_TAG", "JAVA", "OTHER"];

struct Case<'a> {
    class: &'a str,
    text: String,
    read: &'a str,
}

fn cases() -> impl Iterator<Item = Case<'static>> {
    GOLDEN.lines().map(|line| {
        let mut parts = line.split('\t');
        let mut part = || parts.next().expect("class, text and result between tabs");
        Case { class: part(), text: part().replace("\\t", "\t").replace('␤', "\n"), read: part() }
    })
}

fn body<T: JsonBody>(text: &str) -> Option<Value> {
    T::decode(text.as_bytes()).ok().map(|body| serde_json::to_value(body).expect("a body can be written"))
}

/// The fields of a header, which are text; `None` if one is missing.
fn header<T: CommandHeader>(text: &str) -> Option<Value> {
    let given: Map<String, Value> = serde_json::from_str(text).expect("the fields of a header are standard JSON");
    let given: ExtFields = given.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
    let mut fields = ExtFields::new();
    T::read(&given).ok()?.write(&mut fields);
    Some(fields.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect())
}

fn command(text: &str) -> Option<Value> {
    let mut buffer = BytesMut::new();
    buffer.put_u32(4 + text.len() as u32);
    buffer.put_u32(text.len() as u32);
    buffer.put_slice(text.as_bytes());
    let command = frame::decode(&mut buffer).ok()?.expect("it is a whole frame");
    let fields: Map<String, Value> =
        command.ext_fields.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    Some(serde_json::json!({
        "code": command.code, "extFields": command.has_ext.then_some(fields), "flag": command.flag,
        "language": command.language.name(), "opaque": command.opaque, "remark": command.remark,
        "version": command.version,
    }))
}

/// The class's own reader here, and what it gives for nothing.
fn read(class: &str, text: &str) -> (Option<Value>, Value) {
    macro_rules! by_name {
        (bodies: $($body:ident $(as $name:literal)?),+; parts: $($part:ident),+; headers: $($header:ident),+;) => {
            match class {
                $( by_name!(@ $body $($name)?) => {
                    (body::<$body>(text), serde_json::to_value($body::default()).expect("it can be written"))
                } )+
                $( stringify!($part) => {
                    let read = protocol::fastjson::from_str::<$part>(text).ok();
                    let value = |part| serde_json::to_value(part).expect("it can be written");
                    (read.map(value), value($part::default()))
                } )+
                $( stringify!($header) => (header::<$header>(text), Value::Null), )+
                "SendMessageRequestHeader" => (header::<SendMessageRequestHeaderV1>(text), Value::Null),
                "SendMessageRequestHeaderV2" => (header::<SendMessageRequestHeader>(text), Value::Null),
                "RemotingCommand" => (command(text), Value::Null),
                other => panic!("no reader for {other}"),
            }
        };
        (@ $body:ident) => { stringify!($body) };
        (@ $body:ident $name:literal) => { $name };
    }
    by_name! {
        bodies: HeartbeatData, SubscriptionData, CheckClientRequestBody, LockBatchRequestBody, LockBatchResponseBody,
            RegisterBrokerBody, TopicConfigSerializeWrapper, TopicConfig, DataVersion, SubscriptionGroupConfig,
            SubscriptionGroupWrapper, ConsumerOffsetSerializeWrapper, ResetOffsetBody, GetConsumerStatusBody,
            ConsumerRunningInfo, ConsumeMessageDirectlyResult, KvTable as "KVTable", ClusterInfo, TopicList, TopicRouteData,
            ConsumerConnection, ProducerConnection, QueryConsumeTimeSpanBody, BrokerStatsData, GroupList,
            ConsumerIdList as "GetConsumerListByGroupResponseBody", ConsumeStats, TopicStatsTable;
        parts: ProducerData, ConsumerData, ProcessQueueInfo, ConsumeStatus, QueueData, Connection;
        headers: QueryConsumerOffsetRequestHeader, UpdateConsumerOffsetRequestHeader, ConsumerSendMsgBackRequestHeader,
            PullMessageRequestHeader, UnregisterClientRequestHeader, CreateTopicRequestHeader,
            ResetOffsetRequestHeader, RegisterBrokerRequestHeader;
    }
}

/// Whether what we have read is what Apache's have; `default` is ours for what is not said.
fn is_same(ours: &Value, apaches: Option<&Value>, default: Option<&Value>) -> bool {
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(bool) => !bool,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || DEFAULT_CONSTANTS.contains(&text.as_str()),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    };
    match (ours, apaches) {
        (_, Some(Value::String(now))) if now == "now" => true,
        (ours, None | Some(Value::Null)) => {
            is_nothing(ours) || default.is_some_and(|default| is_same(ours, Some(default), None))
        }
        (Value::Object(ours), Some(Value::Object(apaches))) => {
            let known = |name: &String| apaches.get(name);
            let default_of = |name: &String| default.and_then(|default| default.get(name));
            ours.iter().all(|(name, value)| is_same(value, known(name), default_of(name)))
                // A map has no more entries there; a struct may have members that we do not read.
                && apaches.iter().all(|(name, value)| value.is_null() || ours.contains_key(name) || default.is_some())
        }
        (Value::Array(ours), Some(Value::Array(apaches))) => {
            let apaches: Vec<&Value> = apaches.iter().filter(|item| !item.is_null()).collect();
            ours.len() == apaches.len()
                && ours.iter().all(|item| apaches.iter().any(|other| is_same(item, Some(other), Some(&Value::Null))))
        }
        (Value::Number(ours), Some(Value::Number(apaches))) => ours.as_f64() == apaches.as_f64(),
        // A header's field is text.
        (Value::String(ours), Some(apaches @ (Value::Number(_) | Value::Bool(_)))) => {
            let text = apaches.to_string();
            *ours == text
        }
        (ours, Some(apaches)) => ours == apaches,
    }
}

fn listed(list: &[(&str, &[&str])], case: &Case<'_>) -> bool {
    list.iter().any(|(_, texts)| texts.contains(&case.text.as_str()))
}

#[test]
fn every_spelling_is_read_as_apaches_own_classes_read_it() {
    let mut wrong = Vec::new();
    let (mut all, mut read_by_both) = (0, 0);
    for case in cases() {
        all += 1;
        let (ours, default) = read(case.class, &case.text);
        let refused = matches!(case.read, "refused" | "null");
        let is_right = match &ours {
            None if refused => !listed(MORE, &case),
            None => listed(LESS, &case),
            Some(_) if refused => listed(MORE, &case),
            Some(ours) => {
                read_by_both += 1;
                let apaches: Value = serde_json::from_str(&case.read.replace(":NaN", ":null")).expect("JSON");
                is_same(ours, Some(&apaches), Some(&default))
            }
        };
        if !is_right {
            let ours = ours.map_or_else(|| "refused".to_owned(), |ours| ours.to_string());
            wrong.push(format!("{} {}\n  apache: {}\n  ours:   {ours}", case.class, case.text, case.read));
        }
    }
    assert!(wrong.is_empty(), "{} of {all} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(all > 500 && read_by_both > 300, "{all} spellings, of which {read_by_both} are read by both");
}

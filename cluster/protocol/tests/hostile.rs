//! Whatever the bytes are, they become a value or a clear error: no panic, and no memory beyond the frame limit.

mod common;

use bytes::{BufMut, Bytes, BytesMut};
use common::{COMMIT_LOG, JAVA_FRAMES, captured};
use proptest::prelude::*;
use protocol::body::*;
use protocol::frame::{FIELDS_MAX, FRAME_BYTES_MAX, FrameError, HEADER_BYTES_MAX};
use protocol::header::*;
use protocol::message::*;
use protocol::message_id::decode_offset_message_id;
use protocol::properties::Properties;
use protocol::{ExtFields, JsonBody, RemotingCommand, SerializeType, fastjson, frame};

fn read_all(mut wire: BytesMut) -> Result<Vec<RemotingCommand>, FrameError> {
    let mut commands = Vec::new();
    while let Some(command) = frame::decode(&mut wire)? {
        commands.push(command);
    }
    Ok(commands)
}

fn framed(serialize_type: u8, header: &[u8]) -> BytesMut {
    let mut wire = BytesMut::new();
    wire.put_u32(4 + header.len() as u32);
    wire.put_u32(u32::from(serialize_type) << 24 | header.len() as u32);
    wire.put_slice(header);
    wire
}

/// Bytes of something sound, some of them changed.
fn damaged(sound: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    (changes, any::<prop::sample::Index>()).prop_map(move |(changes, cut)| {
        let mut bytes = sound.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() * 2).max(1));
        bytes
    })
}

fn damaged_frame() -> impl Strategy<Value = Vec<u8>> {
    let frames: Vec<Vec<u8>> = captured(JAVA_FRAMES).iter().map(|frame| frame.frame().to_vec()).collect();
    prop::sample::select(frames).prop_flat_map(damaged)
}

fn damaged_binary_header() -> impl Strategy<Value = Vec<u8>> {
    let headers: Vec<Vec<u8>> = captured(JAVA_FRAMES)
        .iter()
        .map(|frame| {
            let command = RemotingCommand { serialize_type: SerializeType::RocketMq, ..frame.command() };
            let mut wire = BytesMut::new();
            frame::encode_head(&command, &mut wire).expect("the codes of 4.9 fit");
            wire[8..].to_vec()
        })
        .collect();
    prop::sample::select(headers).prop_flat_map(damaged)
}

fn read_bodies(json: &[u8]) {
    let _ = TopicRouteData::decode(json);
    let _ = TopicStatsTable::decode(json);
    let _ = HeartbeatData::decode(json);
    let _ = ConsumerRunningInfo::decode(json);
    let _ = GetConsumerStatusBody::decode(json);
    let _ = ConsumerOffsetSerializeWrapper::decode(json);
    let _ = RegisterBrokerBody::decode_as(json, true);
}

fn read_records(bytes: Vec<u8>) {
    let _ = parse_record(&bytes).map(|record| record.check_crc());
    let bytes = Bytes::from(bytes);
    let decoded: Vec<_> = decode_messages(bytes.clone()).collect();
    assert!(decoded.iter().rev().skip(1).all(Result::is_ok), "nothing follows an error");
    assert!(decode_batch(bytes).count() <= 4096);
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_all(BytesMut::from(&bytes[..]));
        let _ = read_all(framed(0, &bytes));
        let _ = read_all(framed(1, &bytes));
        let _ = Properties::decode(&bytes);
        let _ = decode_offset_message_id(&String::from_utf8_lossy(&bytes));
        read_bodies(&bytes);
        read_records(bytes);
    }

    #[test]
    fn any_text_of_json_letters(text in "[{}\\[\\]\"':,0-9a-z\\\\ -]{0,80}") {
        let _ = read_all(framed(0, text.as_bytes()));
        read_bodies(text.as_bytes());
        let _ = fastjson::from_str::<serde_json::Value>(&text);
    }

    #[test]
    fn standard_json_keeps_its_meaning(value in json_value()) {
        let text = serde_json::to_string_pretty(&value).expect("JSON");
        let read: serde_json::Value = fastjson::from_str(&text).expect("JSON");
        prop_assert_eq!(read, value);
    }

    #[test]
    fn damaged_frames(bytes in damaged_frame()) {
        let _ = read_all(BytesMut::from(&bytes[..]));
    }

    #[test]
    fn damaged_binary_headers(header in damaged_binary_header()) {
        let _ = read_all(framed(1, &header));
    }

    #[test]
    fn damaged_records(bytes in damaged(COMMIT_LOG[..904].to_vec())) {
        read_records(bytes);
    }

    #[test]
    fn a_length_is_believed_only_up_to_the_limit(length in any::<i32>(), rest in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut wire = BytesMut::with_capacity(64);
        wire.put_i32(length);
        wire.put_slice(&rest);
        let before = wire.clone();
        match frame::decode(&mut wire) {
            Ok(None) => {
                prop_assert!((4..FRAME_BYTES_MAX as i32).contains(&length));
                prop_assert_eq!(&wire, &before);
                prop_assert!(wire.capacity() <= 64, "nothing is allocated for what has not arrived");
            }
            Err(FrameError::BadLength { .. }) => prop_assert!(length < 4),
            Err(FrameError::TooLong { .. }) => prop_assert!(length > FRAME_BYTES_MAX as i32 - 4),
            Ok(Some(_)) | Err(_) => prop_assert!(length as usize <= rest.len()),
        }
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        common::text().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map(common::text(), inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

#[track_caller]
fn assert_refused(wire: BytesMut, expected: &str) {
    assert_eq!(read_all(wire).expect_err("no frame").to_string(), expected);
}

#[test]
fn errors_say_what_is_wrong() {
    let tls = BytesMut::from(&b"\x16\x03\x01\x02\x00\x01\x00\x01"[..]);
    assert_refused(
        tls,
        "frame of 369295622 bytes is over the limit of 16777216: too big a batch, or no RocketMQ remoting (TLS?)",
    );
    let negative = BytesMut::from(&b"\xff\xff\xff\xff"[..]);
    assert_refused(
        negative,
        "frame with an impossible length word -1: the peer does not speak RocketMQ remoting, or lost its place",
    );
    assert_refused(
        framed(2, b"{}"),
        "frame with the unknown serialize type 2: 0 (JSON) and 1 (ROCKETMQ) are understood",
    );
    let long_header = BytesMut::from(&b"\x00\x00\x00\x06\x00\x00\x00\x63{}"[..]);
    assert_refused(long_header, "frame with a header of 99 bytes, but only 2 bytes follow");
    assert_refused(framed(0, b"hello"), "JSON header is malformed at byte 0: an object is expected");
    assert_refused(framed(0, b""), "JSON header is malformed at byte 0: an object is expected");
    assert_refused(framed(0, br#"{"code":"x"}"#), "JSON header is malformed at byte 11: a 32-bit integer is expected");
    assert_refused(
        framed(0, br#"{"code":1"#),
        "JSON header is malformed at byte 9: ',' or '}' is expected after a value",
    );
    assert_refused(framed(1, &[0; 20]), "ROCKETMQ header is malformed at byte 17: the header ends within a field");
}

#[test]
fn what_other_peers_send_is_taken() {
    let command = read_all(framed(
        0,
        br#" { "extFields" : {"a":1,"b":true,"c":null,"d":"\u00e9\ud83d\ude80\/","e":{"x":[1]}} , "code":"11",
            "language":"COBOL","remark":null,"flag":2,"new":{"a":[{},"}"]}}"#,
    ))
    .expect("a frame")
    .remove(0);
    assert_eq!((command.code, command.flag, command.remark), (11, 2, None));
    assert_eq!(command.language, protocol::Language::Other);
    let fields: Vec<(&str, &str)> = command.ext_fields.iter().collect();
    assert_eq!(fields, [("a", "1"), ("b", "true"), ("d", "é🚀/"), ("e", r#"{"x":[1]}"#)]);
    let command = read_all(framed(0, br#"{"code":34,"extFields":null}"#)).expect("a frame").remove(0);
    assert!(!command.has_ext);
    let command = read_all(framed(0, b"{\"remark\":\"\xff\"}")).expect("a frame").remove(0);
    assert_eq!(command.remark.as_deref(), Some("\u{FFFD}"));
}

#[test]
fn too_many_fields_are_refused() {
    let fields: Vec<String> = (0..=FIELDS_MAX).map(|number| format!("\"{number}\":0")).collect();
    let header = format!("{{\"extFields\":{{{}}}}}", fields.join(","));
    let error = read_all(framed(0, header.as_bytes())).expect_err("one field too many");
    assert!(error.to_string().ends_with("too many ext fields"), "{error}");
}

#[test]
fn one_field_over_and_over_counts_each_time() {
    let header = format!("{{\"extFields\":{{{}}}}}", vec!["\"a\":0"; FIELDS_MAX + 1].join(","));
    let error = read_all(framed(0, header.as_bytes())).expect_err("one field too many");
    assert!(error.to_string().ends_with("too many ext fields"), "{error}");
    let field = b"\0\x01a\0\0\0\x010";
    let mut header = vec![0; 17];
    header.extend(((FIELDS_MAX + 1) as i32 * field.len() as i32).to_be_bytes());
    header.extend(field.repeat(FIELDS_MAX + 1));
    let error = read_all(framed(1, &header)).expect_err("one field too many");
    assert!(error.to_string().ends_with("too many ext fields"), "{error}");
}

#[test]
fn a_header_is_shorter_than_a_frame() {
    let header = format!("{{\"remark\":\"{}\"}}", "x".repeat(HEADER_BYTES_MAX));
    let mut wire = framed(0, header.as_bytes());
    let expected = FrameError::HeaderTooLong { header_bytes: header.len() };
    assert_eq!(read_all(wire.split_to(8)), Err(expected.clone()), "it is not waited for");
    let long = RemotingCommand::response(1).with_remark("x".repeat(HEADER_BYTES_MAX));
    assert!(matches!(frame::encode(&long, &mut BytesMut::new()), Err(FrameError::HeaderTooLong { .. })));
    let longest = "\u{1}".repeat(i16::MAX as usize);
    let mut properties = RemotingCommand::request(310, &());
    properties.ext_fields.insert("i", &longest);
    let mut wire = BytesMut::new();
    frame::encode(&properties, &mut wire).expect("the longest properties fit");
    assert_eq!(read_all(wire).expect("a frame")[0].ext_fields.get("i"), Some(&*longest));
}

#[test]
fn deep_nesting_is_no_danger() {
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(1 << 17), "]".repeat(1 << 17));
    assert_eq!(read_all(framed(0, deep.as_bytes())).expect("skipped without recursion").len(), 1);
    let deep = format!("{}1:1{}", "{".repeat(1 << 16), "}".repeat(1 << 16));
    assert!(TopicStatsTable::decode(deep.as_bytes()).is_err());
}

#[test]
fn references_cost_no_more_than_the_text_is_long() {
    let queues = |references: usize| {
        let reference = r#"{"$ref":"$.queueDatas[0]"},"#.repeat(references);
        format!(r#"{{"queueDatas":[{{"brokerName":"b","perm":6}},{reference}]}}"#)
    };
    let read = TopicRouteData::decode(queues(50).as_bytes()).expect("as fastjson writes it").queue_datas;
    assert!(read.len() == 51 && read.iter().all(|queue| queue.broker_name == "b"));
    let far = queues(50).replace("[0]", "[49]");
    assert!(TopicRouteData::decode(far.as_bytes()).is_err(), "one leads to itself");
    let filler = r#""filterServerTable":{},"#.repeat(1 << 12);
    let many = queues(1 << 12).replacen('{', &format!("{{{filler}"), 1);
    let error = TopicRouteData::decode(many.as_bytes()).expect_err("each has to pass the filler");
    assert!(error.to_string().contains("too many references"), "{error}");
}

#[test]
fn what_cannot_be_written_is_refused_and_leaves_no_trace() {
    let mut out = BytesMut::from(&b"before"[..]);
    let mut pop = RemotingCommand::request(200_050, &());
    pop.serialize_type = SerializeType::RocketMq;
    assert_eq!(frame::encode(&pop, &mut out), Err(FrameError::CodeTooWide { code: 200_050 }));
    let long = RemotingCommand::request(310, &()).with_body(vec![0; FRAME_BYTES_MAX]);
    assert!(matches!(frame::encode(&long, &mut out), Err(FrameError::TooLong { .. })));
    assert_eq!(&out[..], b"before");
}

#[test]
fn header_errors_name_the_field() {
    let mut fields = ExtFields::new();
    fields.insert("topic", "TopicA");
    let read = |fields: &ExtFields| <GetMaxOffsetRequestHeader as protocol::CommandHeader>::read(fields);
    assert_eq!(read(&fields).expect_err("no queue").to_string(), "the custom field <queueId> is null");
    fields.insert("queueId", "three");
    assert_eq!(
        read(&fields).expect_err("no number").to_string(),
        "the custom field <queueId> of GetMaxOffsetRequestHeader must be a 32-bit integer, but is \"three\""
    );
}

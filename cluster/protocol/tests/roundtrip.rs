//! What is written is read again as it was, whatever it was.

mod common;

use std::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};
use common::{command, ext_fields, message, text};
use proptest::prelude::*;
use protocol::body::{RegisterBrokerBody, TopicConfig};
use protocol::header::{SendMessageRequestHeader, SendMessageRequestHeaderV1};
use protocol::message::*;
use protocol::message_id::{decode_offset_message_id, offset_message_id};
use protocol::properties::{Properties, find_property, without_property};
use protocol::{CommandHeader, ExtFields, JsonBody, PhysicalOffset, QueueOffset, RemotingCommand, frame};

proptest! {
    #[test]
    fn commands(command in command()) {
        let mut wire = BytesMut::new();
        frame::encode(&command, &mut wire).expect("a small command can be written");
        let decoded = frame::decode(&mut wire).expect("our own frame").expect("a whole frame");
        prop_assert_eq!(decoded, command);
        prop_assert!(wire.is_empty());
    }

    #[test]
    fn commands_arrive_in_any_pieces(commands in prop::collection::vec(command(), 1..5), piece in 1_usize..50) {
        let mut wire = BytesMut::new();
        for command in &commands {
            frame::encode(command, &mut wire).expect("a small command can be written");
        }
        let mut buffer = BytesMut::new();
        let mut decoded: Vec<RemotingCommand> = Vec::new();
        for piece in wire.chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(command) = frame::decode(&mut buffer).expect("our own frames") {
                decoded.push(command);
            }
        }
        prop_assert_eq!(decoded, commands);
    }

    #[test]
    fn json_headers_are_json(command in command()) {
        let command = RemotingCommand { serialize_type: protocol::SerializeType::Json, ..command };
        let mut wire = BytesMut::new();
        frame::encode(&command, &mut wire).expect("a small command can be written");
        let header = &wire[8..wire.len() - command.body.len()];
        let value: serde_json::Value = serde_json::from_slice(header).expect("standard JSON");
        for (name, text) in command.ext_fields.iter() {
            prop_assert_eq!(value["extFields"][name].as_str(), Some(text));
        }
        prop_assert_eq!(value["remark"].as_str(), command.remark.as_deref());
    }

    #[test]
    fn json_headers_of_other_writers(command in command()) {
        // serde_json writes spaces, escapes and the order of members in its own way.
        let fields: serde_json::Map<String, serde_json::Value> =
            command.ext_fields.iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
        let header = serde_json::to_string_pretty(&serde_json::json!({
            "version": command.version, "remark": command.remark, "opaque": command.opaque, "flag": command.flag,
            "language": command.language.name(), "extFields": fields, "code": command.code,
            "unknown": [{"nested": [1, null, "}"]}, true],
        })).expect("JSON");
        let mut wire = BytesMut::new();
        wire.extend_from_slice(&(4 + header.len() as u32).to_be_bytes());
        wire.extend_from_slice(&(header.len() as u32).to_be_bytes());
        wire.extend_from_slice(header.as_bytes());
        let decoded = frame::decode(&mut wire).expect("a frame").expect("a whole frame");
        prop_assert_eq!((decoded.code, decoded.opaque, decoded.flag), (command.code, command.opaque, command.flag));
        prop_assert_eq!((decoded.language, decoded.version), (command.language, command.version));
        prop_assert_eq!(&decoded.remark, &command.remark);
        prop_assert_eq!(decoded.ext_fields.len(), command.ext_fields.len());
        for (name, text) in command.ext_fields.iter() {
            prop_assert_eq!(decoded.ext_fields.get(name), Some(text));
        }
    }

    #[test]
    fn ext_fields_are_a_map(pairs in prop::collection::vec(("[a-d]", "[a-z]{0,3}"), 0..20), gone in "[a-d]") {
        let mut model: Vec<(String, String)> = Vec::new();
        let mut fields = ExtFields::new();
        for (name, value) in pairs {
            fields.insert(&name, &value);
            match model.iter_mut().find(|(known, _)| *known == name) {
                Some(entry) => entry.1 = value,
                None => model.push((name, value)),
            }
        }
        prop_assert_eq!(fields.remove(&gone), model.iter().any(|(name, _)| *name == gone));
        model.retain(|(name, _)| *name != gone);
        let pairs: Vec<(&str, &str)> = fields.iter().collect();
        let expected: Vec<(&str, &str)> = model.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        prop_assert_eq!(pairs, expected);
    }

    #[test]
    fn send_headers_in_both_versions(group in text(), topic in text(), properties in prop::option::of(text()),
                                     queue_id in any::<i32>(), born_timestamp in any::<i64>(), batch in any::<Option<bool>>()) {
        let header = SendMessageRequestHeader {
            producer_group: group, topic, properties, queue_id, born_timestamp, batch, ..Default::default()
        };
        let mut fields = ExtFields::new();
        header.write(&mut fields);
        prop_assert!(fields.contains("a") && !fields.contains("topic"));
        prop_assert_eq!(&SendMessageRequestHeader::read(&fields).expect("V2"), &header);
        let mut fields = ExtFields::new();
        SendMessageRequestHeaderV1(header.clone()).write(&mut fields);
        prop_assert!(fields.contains("topic") && !fields.contains("a"));
        prop_assert_eq!(&SendMessageRequestHeader::read(&fields).expect("V1"), &header);
    }

    #[test]
    fn records(message in message(), queue_offset in any::<i64>(), physical_offset in any::<i64>(), stored_ms in any::<i64>()) {
        let mut out = Vec::new();
        let bytes = message.encode_into(&mut out, QueueOffset(1), PhysicalOffset(2), 3).expect("a small message");
        prop_assert_eq!((bytes, out.len()), (message.encoded_len(), message.encoded_len()));
        patch_queue_offset(&mut out, QueueOffset(queue_offset));
        patch_physical_offset(&mut out, PhysicalOffset(physical_offset));
        patch_store_timestamp(&mut out, stored_ms);
        let mut at_once = BytesMut::new();
        message
            .encode_into(&mut at_once, QueueOffset(queue_offset), PhysicalOffset(physical_offset), stored_ms)
            .expect("a small message");
        prop_assert_eq!(&at_once[..], &out[..]);
        out.extend_from_slice(b"and what follows");
        let record = parse_record(&out).expect("our own record");
        record.check_crc().expect("our own body");
        prop_assert_eq!(record.magic, if message.topic.len() > 127 { MAGIC_V2 } else { MAGIC_V1 });
        prop_assert_eq!(record.total_bytes, bytes);
        prop_assert_eq!((record.queue_offset.0, record.physical_offset.0), (queue_offset, physical_offset));
        prop_assert_eq!((record.store_timestamp_ms, record.born_timestamp_ms), (stored_ms, message.born_timestamp_ms));
        prop_assert_eq!((record.born_host, record.store_host), (message.born_host, message.store_host));
        prop_assert_eq!((record.queue_id, record.flag), (message.queue_id, message.flag));
        prop_assert_eq!(record.sys_flag & !0x30, message.sys_flag & !0x30);
        prop_assert_eq!(record.reconsume_times, message.reconsume_times);
        prop_assert_eq!(record.prepared_transaction_offset, message.prepared_transaction_offset);
        prop_assert_eq!((record.topic, record.body), (message.topic.as_str(), &message.body[..]));
        prop_assert_eq!(record.properties, message.properties.as_bytes());
    }

    #[test]
    fn a_cut_record_is_never_taken_for_a_whole_one(message in message(), cut in any::<prop::sample::Index>()) {
        let mut out = Vec::new();
        message.encode_into(&mut out, QueueOffset(1), PhysicalOffset(2), 3).expect("a small message");
        let have_bytes = cut.index(out.len());
        let error = parse_record(&out[..have_bytes]).expect_err("it is cut");
        match error {
            RecordError::Truncated { .. } => {}
            // Up to seven zeros can be the end of the log as well.
            RecordError::Zeros => prop_assert!(out[..have_bytes].iter().all(|byte| *byte == 0)),
            other => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn a_damaged_body_is_noticed(message in message(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        prop_assume!(!message.body.is_empty());
        let mut out = Vec::new();
        message.encode_into(&mut out, QueueOffset(1), PhysicalOffset(2), 3).expect("a small message");
        let body_at = out.len() - message.properties.len() - message.topic.len() - message.body.len()
            - if message.topic.len() > 127 { 4 } else { 3 };
        out[body_at + at.index(message.body.len())] ^= 1 << bit;
        let record = parse_record(&out).expect("the lengths are sound");
        let is_bad_crc = matches!(record.check_crc(), Err(RecordError::BadCrc { .. }));
        prop_assert!(is_bad_crc);
    }

    #[test]
    fn blanks(blank_bytes in 8_usize..1 << 30) {
        let blank = blank_record(blank_bytes);
        prop_assert_eq!(parse_record(&blank), Err(RecordError::Blank { blank_bytes }));
    }

    #[test]
    fn batches(messages in prop::collection::vec((any::<i32>(), prop::collection::vec(any::<u8>(), 0..50), text()), 0..8)) {
        let mut out = Vec::new();
        for (flag, body, properties) in &messages {
            let before = out.len();
            encode_batch_message(&mut out, *flag, body, properties).expect("a small message");
            prop_assert_eq!(out.len() - before, batch_message_len(body.len(), properties.len()));
        }
        let decoded: Vec<BatchMessage> = decode_batch(out.into()).collect::<Result<_, _>>().expect("our own batch");
        let expected: Vec<BatchMessage> = messages
            .into_iter()
            .map(|(flag, body, properties)| BatchMessage { flag, body: body.into(), properties: properties.into() })
            .collect();
        prop_assert_eq!(decoded, expected);
    }

    #[test]
    fn properties(fields in ext_fields()) {
        let mut properties = Properties::new();
        for (name, value) in fields.iter() {
            let separated = [name, value].iter().any(|text| text.contains(['\u{1}', '\u{2}']));
            prop_assert_eq!(properties.set(name, value).is_err(), separated);
        }
        let text = properties.encode();
        prop_assert_eq!(text.len(), properties.encoded_len());
        prop_assert_eq!(&Properties::decode(text.as_bytes()), &properties);
        let unseparated = text.strip_suffix('\u{2}').unwrap_or_default();
        prop_assert_eq!(&Properties::decode(unseparated.as_bytes()), &properties);
        for (name, value) in properties.iter() {
            prop_assert_eq!(find_property(text.as_bytes(), name), Some(value));
            let mut rest = properties.clone();
            rest.remove(name);
            prop_assert_eq!(Properties::decode(without_property(&text, name).as_bytes()), rest);
        }
    }

    #[test]
    fn one_property_of_any_text_is_what_reading_all_gives(text in "[ab\u{1}\u{2}]{0,24}", name in "[ab]{1,2}") {
        let all = Properties::decode(text.as_bytes());
        prop_assert_eq!(find_property(text.as_bytes(), &name), all.get(&name));
    }

    #[test]
    fn offset_message_ids(ip in any::<IpAddr>(), port in any::<u16>(), offset in any::<i64>()) {
        let host = SocketAddr::new(ip, port);
        let id = offset_message_id(host, PhysicalOffset(offset));
        prop_assert_eq!(id.len(), if ip.is_ipv4() { 32 } else { 56 });
        prop_assert_eq!(decode_offset_message_id(&id), Ok((host, PhysicalOffset(offset))));
    }

    #[test]
    fn compressed_bodies(body in prop::collection::vec(0_u8..4, 0..5000), type_bits in prop::sample::select(vec![0, 3 << 8])) {
        use std::io::Write;
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&body).expect("to memory");
        let zlib = encoder.finish().expect("to memory");
        prop_assert_eq!(&inflate_body(&zlib, 1 | type_bits).expect("our own"), &body);
        for cut in [0, zlib.len() / 2, zlib.len() - 1] {
            prop_assert!(inflate_body(&zlib[..cut], 1).is_err());
        }
        prop_assert!(inflate_body(&zlib, 1 | 1 << 8).is_err(), "LZ4");
    }

    #[test]
    fn register_bodies_in_both_forms(names in prop::collection::btree_set("[a-zA-Z0-9_%-]{1,20}", 0..20), counter in any::<i64>()) {
        let mut body = RegisterBrokerBody::default();
        let wrapper = &mut body.topic_config_serialize_wrapper;
        wrapper.data_version.counter = counter;
        wrapper.topic_config_table =
            names.into_iter().map(|name| (name.clone(), TopicConfig::new(name, 8, 6))).collect();
        prop_assert_eq!(&RegisterBrokerBody::decode_as(&body.encode_compressed(), true).expect("our own"), &body);
        prop_assert_eq!(&RegisterBrokerBody::decode_as(&body.encode(), false).expect("our own"), &body);
    }
}

#[test]
fn a_zip_bomb_is_refused() {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&zeros).expect("to memory");
    }
    let bomb = encoder.finish().expect("to memory");
    let error = inflate_body(&bomb, 1).expect_err("64 MiB");
    assert_eq!(error.to_string(), "the body cannot be expanded: it expands beyond the frame limit");
}

#[test]
fn a_decoded_body_shares_the_frames_memory() {
    let command = RemotingCommand::request(310, &()).with_body(Bytes::from(vec![7; 1000]));
    let mut wire = BytesMut::new();
    frame::encode(&command, &mut wire).expect("a small command can be written");
    let body_at = wire[wire.len() - 1000..].as_ptr();
    let decoded = frame::decode(&mut wire).expect("our own frame").expect("a whole frame");
    assert_eq!(decoded.body.as_ptr(), body_at);
}

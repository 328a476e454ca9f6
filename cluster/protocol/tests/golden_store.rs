//! Records, ConsumeQueue units and configuration files that Apache's broker really wrote.

mod common;

use bytes::Buf;
use common::COMMIT_LOG;
use protocol::body::{
    ConsumerOffsetSerializeWrapper, DelayOffsetSerializeWrapper, SubscriptionGroupWrapper, TopicConfigSerializeWrapper,
};
use protocol::message::{MessageToStore, RecordError, RecordView, parse_record};
use protocol::properties::property;
use protocol::tags::tags_code;
use protocol::{JsonBody, PhysicalOffset, QueueOffset};

/// The whole records at the head of the CommitLog.
fn records() -> Vec<RecordView<'static>> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Ok(record) = parse_record(&COMMIT_LOG[at..]) {
        at += record.total_bytes;
        records.push(record);
    }
    records
}

#[test]
fn every_record_is_sound_and_where_it_says() {
    let records = records();
    assert_eq!(records.len(), 52);
    let mut at = 0;
    for record in &records {
        assert_eq!(record.physical_offset, PhysicalOffset(at));
        record.check_crc().expect("an undamaged body");
        at += record.total_bytes as i64;
    }
    assert_eq!(at, 12_347);
    assert_eq!(
        parse_record(&COMMIT_LOG[12_347..]),
        Err(RecordError::Truncated { need_bytes: 187, have_bytes: 53 }),
        "the capture ends within a record"
    );
}

#[test]
fn records_are_written_again_byte_for_byte() {
    for record in records() {
        let message = MessageToStore {
            topic: record.topic.to_owned(),
            queue_id: record.queue_id,
            flag: record.flag,
            sys_flag: record.sys_flag,
            born_timestamp_ms: record.born_timestamp_ms,
            born_host: record.born_host,
            store_host: record.store_host,
            reconsume_times: record.reconsume_times,
            prepared_transaction_offset: record.prepared_transaction_offset,
            body: bytes::Bytes::copy_from_slice(record.body),
            properties: String::from_utf8(record.properties.to_vec()).expect("text"),
        };
        let mut written = Vec::new();
        let bytes = message
            .encode_into(&mut written, record.queue_offset, record.physical_offset, record.store_timestamp_ms)
            .expect("what was a record can be one again");
        assert_eq!((bytes, message.encoded_len()), (record.total_bytes, record.total_bytes));
        let at = record.physical_offset.0 as usize;
        assert_eq!(written, COMMIT_LOG[at..at + bytes], "the record at {at}");
    }
}

/// The units of a ConsumeQueue file whose records were captured, with those records.
fn units(mut file: &'static [u8]) -> Vec<(QueueOffset, RecordView<'static>, i64)> {
    let records = records();
    let mut units = Vec::new();
    loop {
        let (offset, bytes, tags_code) = (file.get_i64(), file.get_i32(), file.get_i64());
        let record = records.iter().find(|record| bytes > 0 && record.physical_offset.0 == offset);
        let Some(record) = record else {
            return units;
        };
        assert_eq!(record.total_bytes as i32, bytes);
        units.push((QueueOffset(units.len() as i64), record.clone(), tags_code));
    }
}

#[test]
fn the_tags_code_is_the_one_in_the_consume_queue() {
    let units = units(include_bytes!("golden/consumequeue_TopicA_0.bin"));
    assert_eq!(units.len(), 4);
    for (offset, record, code) in units {
        assert_eq!((record.topic, record.queue_id, record.queue_offset), ("TopicA", 0, offset));
        assert_eq!(tags_code(record.property(property::TAGS)), code);
    }
}

#[test]
fn a_delayed_message_has_its_delivery_time_for_a_tags_code() {
    let units = units(include_bytes!("golden/consumequeue_SCHEDULE_TOPIC_XXXX_2.bin"));
    assert_eq!(units.len(), 3);
    for (offset, record, deliver_at_ms) in units {
        assert_eq!((record.topic, record.queue_id), ("SCHEDULE_TOPIC_XXXX", 2));
        assert_eq!((record.queue_offset, record.property(property::DELAY)), (offset, Some("3")));
        assert_eq!(deliver_at_ms - record.store_timestamp_ms, 10_000, "level 3 is ten seconds");
    }
}

#[test]
fn configuration_files_are_read() {
    let topics = TopicConfigSerializeWrapper::decode(include_bytes!("golden/topics.json")).expect("topics.json");
    assert_eq!(
        (topics.data_version.counter, topics.topic_config_table["SCHEDULE_TOPIC_XXXX"].read_queue_nums),
        (9, 18)
    );
    let groups = SubscriptionGroupWrapper::decode(include_bytes!("golden/subscriptionGroup.json"))
        .expect("subscriptionGroup.json");
    assert_eq!(groups.subscription_group_table["cg1"].retry_max_times, 16);
    let offsets = ConsumerOffsetSerializeWrapper::decode(include_bytes!("golden/consumerOffset.json"))
        .expect("consumerOffset.json, with its bare integer keys");
    assert_eq!(offsets.offset_table["TopicT@cg1"][&3], QueueOffset(2));
    assert_eq!(offsets.offset_table.len(), 7);
    let delays =
        DelayOffsetSerializeWrapper::decode(include_bytes!("golden/delayOffset.json")).expect("delayOffset.json");
    assert_eq!(delays.offset_table[&3], QueueOffset(3));
}

#[test]
fn configuration_files_look_like_apaches() {
    let sorted = |json: &[u8]| {
        let mut lines: Vec<String> =
            String::from_utf8_lossy(json).lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
        lines.sort();
        lines
    };
    let captured = include_bytes!("golden/topics.json");
    let topics = TopicConfigSerializeWrapper::decode(captured).expect("topics.json");
    // The order of the topics is that of Java's hash map, so the lines are compared as a set.
    assert_eq!(sorted(&topics.encode_pretty()), sorted(captured));
}

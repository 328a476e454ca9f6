//! Frames, headers and bodies that Apache's processes and ali-ons really sent.

mod common;

use bytes::BytesMut;
use common::{ALI_ONS_FRAMES, JAVA_FRAMES, captured, find, request, response_body};
use protocol::body::*;
use protocol::header::*;
use protocol::message::{BatchMessage, decode_batch, decode_messages};
use protocol::{
    CommandHeader, ExtFields, JsonBody, Language, PhysicalOffset, QueueOffset, RemotingCommand, frame, request_code,
};

#[test]
fn javas_frames_are_written_again_byte_for_byte() {
    for frame in captured(JAVA_FRAMES) {
        let mut again = BytesMut::new();
        frame::encode(&frame.command(), &mut again).expect("what was a frame can be one again");
        assert_eq!(again, frame.frame(), "{}", frame.header);
    }
}

#[test]
fn ali_ons_frames_carry_numbers_as_text() {
    let send = request(ALI_ONS_FRAMES, request_code::SEND_MESSAGE_V2);
    assert_eq!((send.version, send.opaque, send.language), (121, 6, Language::Java));
    assert_eq!(send.ext_fields.get("g"), Some("1795366198172"));
    assert_eq!(send.ext_fields.get("k"), Some("false"));
    let header: SendMessageRequestHeader = send.header().expect("complete");
    assert_eq!(header.properties.as_deref(), Some("TAGS\u{1}tg\u{2}KEYS\u{1}jk0\u{2}"));
    assert_eq!((header.max_reconsume_times, header.batch, header.broker_name), (None, None, None));
}

/// Reads each request's header, writes it, and compares the fields, which Java's hash map has in another order.
fn check_header<H: CommandHeader>(command: &RemotingCommand) {
    let header: H = command.header().unwrap_or_else(|error| panic!("{error} in {command:?}"));
    let mut fields = ExtFields::new();
    header.write(&mut fields);
    for (name, value) in fields.iter() {
        // A field with a default may have been left out by the sender.
        assert_eq!(command.ext_fields.get(name).unwrap_or(value), value, "{name} of {command:?}");
    }
    // What the hooks of ACL and tracing add is no part of a header; ali-ons' fields are all read by some header.
    let foreign = ["Signature", "AccessKey", "OnsChannel", "ReqT", "_UNIQUE_KEY_QUERY", "bname"];
    for (name, _) in command.ext_fields.iter().filter(|(name, _)| !foreign.contains(name)) {
        assert!(fields.contains(name), "{name} of {command:?} is not read");
    }
}

#[test]
fn every_captured_request_header_is_understood() {
    for frame in captured(JAVA_FRAMES).iter().chain(&captured(ALI_ONS_FRAMES)).filter(|frame| frame.is_request) {
        let command = frame.command();
        let check = match command.code {
            request_code::SEND_MESSAGE_V2 | request_code::SEND_BATCH_MESSAGE => {
                check_header::<SendMessageRequestHeader>
            }
            request_code::PULL_MESSAGE => check_header::<PullMessageRequestHeader>,
            request_code::QUERY_MESSAGE => check_header::<QueryMessageRequestHeader>,
            request_code::QUERY_CONSUMER_OFFSET => check_header::<QueryConsumerOffsetRequestHeader>,
            request_code::UPDATE_CONSUMER_OFFSET => check_header::<UpdateConsumerOffsetRequestHeader>,
            request_code::GET_MAX_OFFSET => check_header::<GetMaxOffsetRequestHeader>,
            request_code::GET_MIN_OFFSET => check_header::<GetMinOffsetRequestHeader>,
            request_code::VIEW_MESSAGE_BY_ID => check_header::<ViewMessageRequestHeader>,
            request_code::UNREGISTER_CLIENT => check_header::<UnregisterClientRequestHeader>,
            request_code::CONSUMER_SEND_MSG_BACK => check_header::<ConsumerSendMsgBackRequestHeader>,
            request_code::END_TRANSACTION => check_header::<EndTransactionRequestHeader>,
            request_code::CHECK_TRANSACTION_STATE => check_header::<CheckTransactionStateRequestHeader>,
            request_code::GET_CONSUMER_LIST_BY_GROUP
            | request_code::NOTIFY_CONSUMER_IDS_CHANGED
            | request_code::GET_CONSUMER_CONNECTION_LIST => check_header::<ConsumerGroupRequestHeader>,
            request_code::GET_CONSUME_STATS => check_header::<GetConsumeStatsRequestHeader>,
            request_code::GET_PRODUCER_CONNECTION_LIST => check_header::<GetProducerConnectionListRequestHeader>,
            request_code::REGISTER_BROKER => check_header::<RegisterBrokerRequestHeader>,
            request_code::GET_ROUTEINFO_BY_TOPIC => check_header::<GetRouteInfoRequestHeader>,
            request_code::GET_TOPIC_STATS_INFO => check_header::<GetTopicStatsInfoRequestHeader>,
            request_code::QUERY_TOPIC_CONSUME_BY_WHO => check_header::<QueryTopicConsumeByWhoRequestHeader>,
            request_code::WIPE_WRITE_PERM_OF_BROKER | request_code::ADD_WRITE_PERM_OF_BROKER => {
                check_header::<WritePermOfBrokerRequestHeader>
            }
            request_code::INVOKE_BROKER_TO_RESET_OFFSET => check_header::<ResetOffsetRequestHeader>,
            request_code::VIEW_BROKER_STATS_DATA => check_header::<ViewBrokerStatsDataRequestHeader>,
            request_code::HEART_BEAT
            | request_code::CHECK_CLIENT_CONFIG
            | request_code::GET_BROKER_CLUSTER_INFO
            | request_code::GET_ALL_TOPIC_LIST_FROM_NAMESERVER
            | request_code::GET_BROKER_RUNTIME_INFO
            | request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP
            | request_code::GET_BROKER_CONFIG
            | request_code::UPDATE_BROKER_CONFIG
            | request_code::GET_NAMESRV_CONFIG
            | request_code::CLEAN_UNUSED_TOPIC => check_header::<()>,
            code => panic!("a request with code {code} was captured, but is not tested"),
        };
        check(&command);
    }
}

#[test]
fn responses_to_send_and_pull_are_understood() {
    let sent = find(JAVA_FRAMES, |frame, command| !frame.is_request && command.ext_fields.contains("msgId"));
    let header: SendMessageResponseHeader = sent.header().expect("complete");
    assert_eq!(header.msg_id, "7F00000100002A9F0000000000001A47");
    assert_eq!((header.queue_id, header.queue_offset), (3, QueueOffset(2)));
    let pulled = find(JAVA_FRAMES, |_, command| command.remark.as_deref() == Some("FOUND"));
    let header: PullMessageResponseHeader = pulled.header().expect("complete");
    assert_eq!((header.next_begin_offset, header.max_offset), (QueueOffset(2), QueueOffset(2)));
    let messages: Vec<_> = decode_messages(pulled.body).collect::<Result<_, _>>().expect("sound records");
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body, "txCOMMIT_MESSAGE");
    assert_eq!(messages[0].msg_id, "FD000000000000000000000000000002361D5FFD2B276FC3829B000B");
    assert_eq!((messages[0].commit_log_offset, messages[0].tags()), (PhysicalOffset(0x2635), Some("tt")));
    assert_eq!(messages[0].prepared_transaction_offset, PhysicalOffset(0x23BF));
}

#[test]
fn a_message_without_a_unique_key_is_called_by_its_place() {
    let pulled = find(ALI_ONS_FRAMES, |_, command| command.remark.as_deref() == Some("FOUND"));
    let message = decode_messages(pulled.body).next().expect("one message").expect("a sound record");
    assert_eq!(message.msg_id, message.offset_msg_id());
    assert_eq!(message.msg_id, "7F00000100002A9F0000000000001681");
}

#[test]
fn a_batch_is_taken_apart() {
    let batch = request(JAVA_FRAMES, request_code::SEND_BATCH_MESSAGE);
    let messages: Vec<BatchMessage> = decode_batch(batch.body).collect::<Result<_, _>>().expect("a sound batch");
    let bodies: Vec<&[u8]> = messages.iter().map(|message| &*message.body).collect();
    assert_eq!(bodies, [b"b0", b"b1", b"b2"]);
    assert!(messages[2].properties.ends_with(b"\x02TAGS\x01tB"));
}

#[test]
fn heartbeats_of_java_and_node_are_understood() {
    let java = HeartbeatData::decode(&request(JAVA_FRAMES, request_code::HEART_BEAT).body).expect("a heartbeat");
    assert_eq!(java.client_id, "192.0.2.2@13853#3518673666677");
    assert_eq!(java.producer_data_set[1].group_name, "pg1");
    let node = HeartbeatData::decode(&request(ALI_ONS_FRAMES, request_code::HEART_BEAT).body).expect("a heartbeat");
    let group = &node.consumer_data_set[0];
    assert_eq!((group.message_model, group.consume_type), (MessageModel::Clustering, ConsumeType::Passively));
    assert_eq!(group.subscription_data_set[1].topic, "%RETRY%jsc");
    assert!(group.subscription_data_set[1].takes_all());
}

/// Reads a captured body and writes it: the same bytes.
#[track_caller]
fn assert_same<B: JsonBody>(captured: &[u8]) {
    let body = B::decode(captured).expect("a captured body is understood");
    assert_eq!(as_4_9_writes(&body), String::from_utf8_lossy(captured));
}

/// The body without what only newer name servers write.
fn as_4_9_writes(body: &impl JsonBody) -> String {
    String::from_utf8_lossy(&body.encode()).replace(",\"enableActingMaster\":false", "")
}

#[test]
fn bodies_are_written_again_byte_for_byte() {
    assert_same::<TopicRouteData>(&response_body(JAVA_FRAMES, "{\"brokerDatas\""));
    assert_same::<ConsumerIdList>(&response_body(JAVA_FRAMES, "{\"consumerIdList\""));
    assert_same::<GroupList>(&response_body(JAVA_FRAMES, "{\"groupList\""));
    assert_same::<ProducerConnection>(&response_body(JAVA_FRAMES, "{\"connectionSet\""));
    assert_same::<BrokerStatsData>(&response_body(JAVA_FRAMES, "{\"statsDay\""));
    assert_same::<HeartbeatData>(&request(JAVA_FRAMES, request_code::HEART_BEAT).body);
    assert_same::<CheckClientRequestBody>(&request(JAVA_FRAMES, request_code::CHECK_CLIENT_CONFIG).body);
    let group = request(JAVA_FRAMES, request_code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).body;
    assert_same::<SubscriptionGroupConfig>(&group);
}

#[test]
fn bare_integer_keys_are_read_and_written_quoted() {
    let captured = response_body(ALI_ONS_FRAMES, "{\"brokerDatas\"");
    assert!(captured.starts_with(b"{\"brokerDatas\":[{\"brokerAddrs\":{0:"));
    let route = TopicRouteData::decode(&captured).expect("a route");
    assert_eq!(route.broker_datas[0].master_or_any_addr(), Some("127.0.0.1:10911"));
    let quoted = String::from_utf8_lossy(&captured).replace("{0:", "{\"0\":");
    assert_eq!(as_4_9_writes(&route), quoted);
    let cluster = ClusterInfo::decode(&response_body(JAVA_FRAMES, "{\"brokerAddrTable\"")).expect("a cluster");
    assert_eq!(cluster.broker_addr_table["broker-a"].broker_name, "broker-a");
}

#[test]
fn maps_keyed_by_queues_are_read_and_written_as_fastjson_does() {
    let captured = response_body(JAVA_FRAMES, "{\"offsetTable\"");
    let stats = TopicStatsTable::decode(&captured).expect("topic statistics");
    let queue = MessageQueue::new("TopicA", "broker-a", 1);
    assert_eq!(stats.offset_table.len(), 4);
    assert_eq!(stats.offset_table[&queue].last_update_timestamp, 1_795_366_283_848);
    let written = stats.encode();
    let entry = |queue_id: i32| {
        let key = format!("{{\"brokerName\":\"broker-a\",\"queueId\":{queue_id},\"topic\":\"TopicA\"}}:");
        move |json: &[u8]| String::from_utf8_lossy(json).contains(&key)
    };
    assert!((0..4).all(|queue_id| entry(queue_id)(&written) && entry(queue_id)(&captured)));
    assert_eq!(written.len(), captured.len(), "the same entries, in the order of their queues");
    assert_eq!(TopicStatsTable::decode(&written).expect("our own"), stats);
}

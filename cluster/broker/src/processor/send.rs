//! Sending: SEND_MESSAGE, SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE (`SendMessageProcessor`).
//!
//! What RocketMQ 4.9 does to a message on its way in is done here, so that the stored bytes are the same: the property
//! `CLUSTER` is added, `WAIT` is taken out of ordinary messages, a delayed one goes to the schedule topic with its real
//! place in properties, a retry that failed too often goes to the dead letter topic. What a message asks and this broker
//! cannot keep is refused ([`asked`](crate::state::asked)), and so is a message that nobody could read where it would go.
//!
//! Left out on purpose: half messages of transactions (refused, as a broker with `rejectTransactionMessage` refuses them),
//! and hooks.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use protocol::body::{TopicConfig, TopicFilterType};
use protocol::header::{EXT_MSG_REGION, EXT_TRACE_ON, SendMessageRequestHeader, SendMessageResponseHeader};
use protocol::message::{MessageIllegal, MessageToStore, RECORD_BYTES_MIN, decode_batch};
use protocol::properties::{
    PROPERTIES_BYTES_MAX, end_with_separator, find_property, property, push_property, without_property,
};
use protocol::sysflag::message as sysflag;
use protocol::{
    PhysicalOffset, RemotingCommand, SendStatus, perm, request_code, response_code as code, topic, version,
};
use remoting::{Channel, Reply};
use sim::task::yield_now;
use sim::time::wall_clock_ms;
use store::{PutMessageResult, PutMessageStatus};

use super::{Answer, Refusal};
use crate::config::BrokerConfig;
use crate::core::{Core, lock};

use crate::state::asked::{CannotKeep, asked_of};
use crate::state::delay_level::DelayLevels;
use crate::state::send_queue::{SendLimits, SendTicket};
use crate::state::tracked::{Holds, TableFull};

/// Longer properties are refused before they are looked into. What is a little too long for a record may lose a part on the
/// way there: the store tells.
const PROPERTIES_BYTES_READ: usize = 2 * PROPERTIES_BYTES_MAX;
/// So many messages of a batch are made ready before others have their turn.
const MESSAGES_AT_A_TIME: usize = 1_000;
/// Queues of a dead letter topic (`DLQ_NUMS_PER_GROUP`).
const DLQ_QUEUE_NUMS: i32 = 1;

/// Takes a send. What can be refused at once is; the rest is a future that waits for the store.
pub(crate) fn handle(core: &Arc<Core>, channel: &Channel, request: RemotingCommand) -> Reply {
    let core = Arc::clone(core);
    let born_host = channel.remote_addr();
    Reply::later(async move {
        let config = core.config();
        let answer = send(&core, &config, request, born_host).await;
        Some(into_response(answer, &config))
    })
}

fn into_response(answer: Answer, config: &BrokerConfig) -> RemotingCommand {
    let mut response = answer.unwrap_or_else(Refusal::into_response);
    // Every response to a send has these two, also one that refuses.
    response.ext_fields.insert(EXT_MSG_REGION, &config.region_id);
    response.ext_fields.insert_bool(EXT_TRACE_ON, config.trace_on);
    response.has_ext = true;
    response
}

/// The answer to a send whose body is too long, before that has come.
pub(crate) fn refuse(core: &Core, request_code: i32, body_bytes: usize) -> Option<RemotingCommand> {
    let is_send = matches!(
        request_code,
        request_code::SEND_MESSAGE | request_code::SEND_MESSAGE_V2 | request_code::SEND_BATCH_MESSAGE
    );
    let config = core.config();
    let bytes_max = config.store.max_message_size_bytes;
    (is_send && body_bytes > bytes_max).then(|| {
        let remark = format!("the message is illegal: the body has {body_bytes} bytes, maxMessageSize is {bytes_max}");
        into_response(Err(Refusal::new(code::MESSAGE_ILLEGAL, remark)), &config)
    })
}

async fn send(core: &Core, config: &BrokerConfig, request: RemotingCommand, born_host: SocketAddr) -> Answer {
    let header: SendMessageRequestHeader = request.header()?;
    accepts_messages(core)?;
    check_topic(core, config, &header, born_host).await?;
    let queue_id = choose_queue(core, &header, born_host)?;
    let is_batch = header.batch == Some(true) || request.code == request_code::SEND_BATCH_MESSAGE;
    let ticket = enter_queue(core, config)?;
    let answer = if is_batch {
        send_batch(core, config, header, queue_id, request.body, born_host).await
    } else {
        send_one(core, config, header, queue_id, request.version, request.body, born_host).await
    };
    lock(&core.sends).leave(ticket, core.now_ms());
    answer
}

/// A slave, or a master that is not one yet, takes no message, and makes no topic for one. Producers turn to another master.
pub(crate) fn accepts_messages(core: &Core) -> Result<(), Refusal> {
    if *core.serving.borrow() {
        return Ok(());
    }
    let why = core.store.refusal();
    let remark = format!("service not available now: {}", why.as_deref().unwrap_or("the broker is starting"));
    Err(Refusal::new(code::SERVICE_NOT_AVAILABLE, remark))
}

fn enter_queue(core: &Core, config: &BrokerConfig) -> Result<SendTicket, Refusal> {
    let fast_failure =
        |ms: u64| if config.broker_fast_failure_enable { i64::try_from(ms).unwrap_or(i64::MAX) } else { i64::MAX };
    let is_full = sim::fault_point!("broker.send.queue-full", 0.02);
    let limits = SendLimits {
        capacity: if is_full { 0 } else { config.send_thread_pool_queue_capacity },
        wait_ms: fast_failure(config.wait_time_in_send_queue_ms),
        page_cache_busy_ms: fast_failure(config.os_page_cache_busy_time_out_ms),
    };
    let written = core.store.max_physical_offset().0;
    let entered = lock(&core.sends).enter(core.now_ms(), written, limits);
    entered.map_err(|busy| Refusal::new(code::SYSTEM_BUSY, busy.to_string()))
}

/// Whether the topic may be sent to (`AbstractSendMessageProcessor.msgCheck`); an unknown one is made if that is allowed.
async fn check_topic(
    core: &Core,
    config: &BrokerConfig,
    header: &SendMessageRequestHeader,
    born_host: SocketAddr,
) -> Result<(), Refusal> {
    let name = &header.topic;
    check_length(name)?;
    let is_saved = {
        let topics = lock(&core.topics);
        if let Some(known) = topics.get(name) {
            if !perm::is_writable(config.broker_permission) && known.order {
                let addr = core.broker_addr();
                return Err(Refusal::new(
                    code::NO_PERMISSION,
                    format!("the broker[{addr}] sending message is forbidden"),
                ));
            }
            if !perm::is_writable(known.perm) {
                return Err(Refusal::new(
                    code::NO_PERMISSION,
                    format!("the topic[{name}] sending message is forbidden"),
                ));
            }
            (!topic::is_not_allowed_send_topic(name)).then(|| topics.tracked().is_row_saved(name))
        } else {
            None
        }
    };
    match is_saved {
        Some(true) => return Ok(()),
        // It was made a moment ago, or could not be written: its messages would be lost with it.
        Some(false) => return Ok(core.files.topics.ensure_saved(&core.topics, name).await?),
        None => {}
    }
    topic::validate_topic(name).map_err(|error| Refusal::new(code::SYSTEM_ERROR, error.to_string()))?;
    if topic::is_not_allowed_send_topic(name) {
        return Err(Refusal::new(code::NO_PERMISSION, format!("Sending message to topic[{name}] is forbidden.")));
    }
    let created = create_topic(core, config, header)?;
    if created {
        tracing::info!(topic = name, default_topic = header.default_topic, producer = %born_host, "topic created by a send");
        return Ok(core.topics_changed().await?);
    }
    if topic::is_retry_topic(name) {
        core.ensure_topic(name, 1, perm::PERM_READ | perm::PERM_WRITE).await?;
    }
    if lock(&core.topics).get(name).is_some() {
        return Ok(core.files.topics.ensure_saved(&core.topics, name).await?);
    }
    Err(Refusal::new(code::TOPIC_NOT_EXIST, format!("topic[{name}] not exist, apply first please!")))
}

fn create_topic(core: &Core, config: &BrokerConfig, header: &SendMessageRequestHeader) -> Result<bool, TableFull> {
    let mut topics = lock(&core.topics);
    if topics.get(&header.topic).is_some() {
        return Ok(false);
    }
    let inherited = topics.inherited(
        &header.topic,
        &header.default_topic,
        header.default_topic_queue_nums,
        config.auto_create_topic_enable,
    );
    match inherited {
        Some(new) => topics.put(new, wall_clock_ms()).map(|()| true),
        None => Ok(false),
    }
}

/// The longest topic of a record that clients before 5.0 read (`DefaultMessageStore.checkMessage`): a retry topic that a
/// heartbeat has made can be longer.
pub(crate) fn check_length(topic: &str) -> Result<(), Refusal> {
    if topic.len() <= topic::TOPIC_BYTES_MAX {
        return Ok(());
    }
    let remark = format!(
        "the topic {topic} has {} bytes, and clients cannot read the messages of one with more than {}",
        topic.len(),
        topic::TOPIC_BYTES_MAX
    );
    Err(Refusal::new(code::MESSAGE_ILLEGAL, remark))
}

fn choose_queue(core: &Core, header: &SendMessageRequestHeader, born_host: SocketAddr) -> Result<i32, Refusal> {
    let topics = lock(&core.topics);
    let Some(known) = topics.get(&header.topic) else {
        let remark = format!("topic[{}] not exist, apply first please!", header.topic);
        return Err(Refusal::new(code::TOPIC_NOT_EXIST, remark));
    };
    let TopicConfig { topic_name, read_queue_nums, write_queue_nums, .. } = known;
    let queue_nums = *write_queue_nums.max(read_queue_nums);
    let illegal = |why: &str| {
        let remark = format!(
            "request queueId[{}] is illegal, topic[{topic_name}] has {write_queue_nums} queues to write and \
             {read_queue_nums} to read{why} Producer: {born_host}",
            header.queue_id
        );
        Err(Refusal::new(code::SYSTEM_ERROR, remark))
    };
    match header.queue_id {
        queue_id if queue_id >= queue_nums => illegal(""),
        queue_id if queue_id >= *read_queue_nums => illegal(": what is stored there, nobody could read;"),
        queue_id if queue_id >= 0 => Ok(queue_id),
        _ => match readable_queues(known, *write_queue_nums) {
            0 => illegal(": the broker cannot choose one;"),
            queue_nums => Ok(Core::pick_queue(queue_nums)),
        },
    }
}

/// How many of the first `wished` queues of a topic have somebody to read them.
pub(crate) fn readable_queues(topic: &TopicConfig, wished: i32) -> i32 {
    wished.min(topic.read_queue_nums).max(0)
}

async fn send_one(
    core: &Core,
    config: &BrokerConfig,
    header: SendMessageRequestHeader,
    queue_id: i32,
    request_version: i32,
    body: Bytes,
    born_host: SocketAddr,
) -> Answer {
    let properties = header.properties.as_deref().unwrap_or_default();
    if properties.len() > PROPERTIES_BYTES_READ {
        let bytes = properties.len();
        let remark = format!("the message is illegal: {}", MessageIllegal::PropertiesTooLong { bytes });
        return Err(Refusal::new(code::MESSAGE_ILLEGAL, remark));
    }
    let is_retry = topic::is_retry_topic(&header.topic);
    let asked = asked_of(properties, is_retry).map_err(cannot_keep)?;
    let reconsume_times = header.reconsume_times.unwrap_or(0);
    // Clients before 4.6.1 leave the mark of a half message in a retry.
    let is_old_retry = asked.is_half && reconsume_times > 0 && asked.delay_level > 0;
    if asked.is_half && !is_old_retry {
        return Err(no_transactions(core));
    }
    let mut sys_flag = checked_sys_flag(header.sys_flag, is_old_retry)?;
    if lock(&core.topics).get(&header.topic).is_some_and(|known| known.topic_filter_type == TopicFilterType::MultiTag) {
        sys_flag |= sysflag::MULTI_TAGS;
    }
    // A delayed message keeps its WAIT in RocketMQ 4.9, whose bytes these are.
    let mut properties =
        if asked.delay_level > 0 { properties.to_owned() } else { without_property(properties, property::WAIT) };
    for name in asked.taken_out {
        properties = without_property(&properties, name);
    }
    set_property(&mut properties, property::CLUSTER, &config.broker_cluster_name);

    let mut place = Place { topic: header.topic, queue_id };
    let mut is_dead = false;
    if is_retry {
        let max_reconsume_times = header.max_reconsume_times.filter(|_| request_version >= version::V3_4_9);
        (place, is_dead) = retry_or_dead_letter(core, place, reconsume_times, max_reconsume_times).await?;
    }
    let real_topic = place.topic.clone();
    if asked.delay_level > 0 && !is_dead {
        place = delayed(&config.message_delay_level, place, asked.delay_level, &mut properties);
    }
    let bytes = body.len();
    let message = MessageToStore {
        topic: place.topic,
        queue_id: place.queue_id,
        flag: header.flag,
        sys_flag,
        born_timestamp_ms: header.born_timestamp,
        born_host,
        store_host: core.store_host(),
        reconsume_times,
        prepared_transaction_offset: PhysicalOffset::ZERO,
        body,
        properties: without_last_separator(properties),
    };
    let result = core.store.put_waiting(message, asked.waits).await;
    answer_put(core, &real_topic, queue_id, bytes, result)
}

/// A message asks for what this broker does not do.
fn cannot_keep(error: CannotKeep) -> Refusal {
    Refusal::new(error.code(), error.to_string())
}

/// As a broker with `rejectTransactionMessage` answers.
fn no_transactions(core: &Core) -> Refusal {
    let addr = core.broker_addr();
    Refusal::new(code::NO_PERMISSION, format!("the broker[{addr}] sending transaction message is forbidden"))
}

/// The flags of a message that is to be stored. A half or rolled-back message has no place in a queue, and a batch in one
/// record none in ours: such flags would have it stored where nobody finds it.
fn checked_sys_flag(sys_flag: i32, is_old_retry: bool) -> Result<i32, Refusal> {
    let illegal = |what: &str| {
        let remark = format!("sysFlag {sys_flag} says that the message is {what}: nobody would ever get it");
        Err(Refusal::new(code::MESSAGE_ILLEGAL, remark))
    };
    if is_old_retry {
        return Ok(sysflag::with_transaction_value(sys_flag, sysflag::TRANSACTION_NOT));
    }
    match sysflag::transaction_value(sys_flag) {
        sysflag::TRANSACTION_PREPARED => illegal("a half message, and its property TRAN_MSG does not"),
        sysflag::TRANSACTION_ROLLBACK => illegal("rolled back"),
        _ if sys_flag & sysflag::INNER_BATCH != 0 => illegal("a batch in one record, which no topic here holds"),
        _ => Ok(sys_flag),
    }
}

/// Where a message goes.
pub(crate) struct Place {
    pub topic: String,
    pub queue_id: i32,
}

/// The schedule topic's queue of the level; where the message shall go in the end is kept in its properties.
pub(crate) fn delayed(levels: &DelayLevels, place: Place, level: i32, properties: &mut String) -> Place {
    let level = levels.effective(level);
    set_property(properties, property::DELAY, itoa(level).as_str());
    set_property(properties, property::REAL_TOPIC, &place.topic);
    set_property(properties, property::REAL_QID, itoa(place.queue_id).as_str());
    Place { topic: topic::SCHEDULE_TOPIC.to_owned(), queue_id: DelayLevels::queue_id(level) }
}

fn itoa(number: i32) -> String {
    number.to_string()
}

/// Sets a property in the text form, replacing what was there, at the end.
pub(crate) fn set_property(properties: &mut String, name: &str, value: &str) {
    if find_property(properties.as_bytes(), name).is_some() {
        *properties = without_property(properties, name);
    }
    end_with_separator(properties);
    push_property(properties, name, value);
}

/// 4.9.8 stores no separator after the last property.
pub(crate) fn without_last_separator(mut properties: String) -> String {
    if properties.ends_with('\u{2}') {
        properties.pop();
    }
    properties
}

/// A consumer's own resend to its retry topic (`handleRetryAndDLQ`): after too many attempts it is a dead letter. Where it
/// goes, and whether it is dead.
async fn retry_or_dead_letter(
    core: &Core,
    place: Place,
    reconsume_times: i32,
    max_reconsume_times: Option<i32>,
) -> Result<(Place, bool), Refusal> {
    let group = &place.topic[topic::RETRY_TOPIC_PREFIX.len()..];
    let Some(config) = core.find_or_create_group(group).await else {
        let remark = format!("subscription group not exist, {group}");
        return Err(Refusal::new(code::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    if reconsume_times < max_reconsume_times.unwrap_or(config.retry_max_times) {
        return Ok((place, false));
    }
    Ok((dead_letter(core, group).await?, true))
}

/// A group's dead letter topic, made if need be. It can be read, as with Apache's 4.9: consoles and consumers
/// of dead letters find no queue of a topic that cannot.
pub(crate) async fn dead_letter(core: &Core, group: &str) -> Result<Place, Refusal> {
    own_topic(core, topic::dlq_topic(group), DLQ_QUEUE_NUMS, perm::PERM_READ | perm::PERM_WRITE).await
}

/// A queue of a topic that belongs to a group, made if need be with so many queues.
pub(crate) async fn own_topic(core: &Core, name: String, queue_nums: i32, perm: i32) -> Result<Place, Refusal> {
    check_length(&name)?;
    core.ensure_topic(&name, queue_nums, perm).await?;
    // An operator may have given it other numbers than the group has.
    match lock(&core.topics).get(&name).map_or(queue_nums, |known| readable_queues(known, queue_nums)) {
        0 => Err(Refusal::new(code::SYSTEM_ERROR, format!("the topic[{name}] has no queue to read"))),
        queue_nums => Ok(Place { topic: name, queue_id: Core::pick_queue(queue_nums) }),
    }
}

async fn send_batch(
    core: &Core,
    config: &BrokerConfig,
    header: SendMessageRequestHeader,
    queue_id: i32,
    body: Bytes,
    born_host: SocketAddr,
) -> Answer {
    let illegal = |remark: String| Refusal::new(code::MESSAGE_ILLEGAL, remark);
    if topic::is_retry_topic(&header.topic) {
        return Err(illegal("batch request does not support retry group".to_owned()));
    }
    let ask = |properties: &str| -> Result<(), Refusal> {
        let asked = asked_of(properties, false).map_err(cannot_keep)?;
        if asked.is_half {
            return Err(no_transactions(core));
        }
        // As in `CommitLog.asyncPutMessages`, which looks at the batch's own properties only.
        if asked.delay_level > 0 { Err(illegal("a message of a batch cannot be delayed".to_owned())) } else { Ok(()) }
    };
    ask(header.properties.as_deref().unwrap_or_default())?;
    let sys_flag = checked_sys_flag(header.sys_flag, false)?;
    let bytes = body.len();
    let bytes_max = config.store.max_message_size_bytes;
    if bytes > bytes_max {
        return Err(illegal(format!("the batch has {bytes} bytes, maxMessageSize is {bytes_max}")));
    }
    let mut messages = Vec::new();
    for message in decode_batch(body) {
        let message = message.map_err(|error| illegal(error.to_string()))?;
        // Short forms of messages are much shorter than their records: what cannot be stored is not made ready for it.
        let records_bytes = (messages.len() + 1) * (RECORD_BYTES_MIN + header.topic.len());
        if records_bytes > bytes_max + RECORD_BYTES_MIN {
            let count = messages.len();
            return Err(illegal(format!(
                "the records of the first {count} messages of the batch have more than {bytes_max} bytes, maxMessageSize"
            )));
        }
        if !messages.is_empty() && messages.len().is_multiple_of(MESSAGES_AT_A_TIME) {
            yield_now().await;
        }
        let mut properties = match std::str::from_utf8(&message.properties) {
            Ok(properties) => properties.to_owned(),
            Err(_) => {
                return Err(illegal(format!("the properties of message {} of the batch are no UTF-8", messages.len())));
            }
        };
        ask(&properties)?;
        set_property(&mut properties, property::CLUSTER, &config.broker_cluster_name);
        messages.push(MessageToStore {
            topic: header.topic.clone(),
            queue_id,
            flag: message.flag,
            sys_flag,
            born_timestamp_ms: header.born_timestamp,
            born_host,
            store_host: core.store_host(),
            reconsume_times: header.reconsume_times.unwrap_or(0),
            prepared_transaction_offset: PhysicalOffset::ZERO,
            body: message.body,
            properties: without_last_separator(properties),
        });
    }
    if messages.is_empty() {
        return Err(illegal("the batch is empty".to_owned()));
    }
    let result = core.store.put_batch(messages).await;
    answer_put(core, &header.topic, queue_id, bytes, result)
}

/// The response to a put (`SendMessageProcessor.handlePutMessageResult`).
fn answer_put(core: &Core, topic: &str, queue_id: i32, bytes: usize, result: PutMessageResult) -> Answer {
    let status = match result.status {
        PutMessageStatus::PutOk => SendStatus::SendOk,
        PutMessageStatus::FlushDiskTimeout => SendStatus::FlushDiskTimeout,
        PutMessageStatus::FlushSlaveTimeout => SendStatus::FlushSlaveTimeout,
        PutMessageStatus::SlaveNotAvailable => SendStatus::SlaveNotAvailable,
        _ => return Err(put_refused(&result)),
    };
    let Some(appended) = result.appended else { return Err(put_refused(&result)) };
    let count = i64::try_from(appended.message_count).unwrap_or(i64::MAX);
    lock(&core.stats).count_put(topic, count, i64::try_from(bytes).unwrap_or(i64::MAX));
    Ok(RemotingCommand::response_with(
        status.response_code(),
        &SendMessageResponseHeader {
            msg_id: appended.message_id,
            queue_id,
            queue_offset: appended.queue_offset,
            transaction_id: None,
            batch_uniq_id: None,
        },
    ))
}

/// What a producer is told of a put that failed.
pub(crate) fn put_refused(result: &PutMessageResult) -> Refusal {
    let (code, what) = match result.status {
        PutMessageStatus::MessageIllegal | PutMessageStatus::PropertiesSizeExceeded => {
            (code::MESSAGE_ILLEGAL, "the message is illegal")
        }
        PutMessageStatus::ServiceNotAvailable => (code::SERVICE_NOT_AVAILABLE, "service not available now"),
        PutMessageStatus::CreateMappedFileFailed => {
            (code::SYSTEM_ERROR, "create mapped file failed, server is busy or broken")
        }
        PutMessageStatus::InSyncReplicasNotEnough => (code::SYSTEM_ERROR, "in-sync replicas not enough"),
        _ => (code::SYSTEM_ERROR, "UNKNOWN_ERROR"),
    };
    match &result.remark {
        Some(remark) => Refusal::new(code, format!("{what}: {remark}")),
        None => Refusal::new(code, what),
    }
}

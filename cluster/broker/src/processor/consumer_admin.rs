//! Consumers and producers as `mqadmin` sees them: who is connected, how far they are, and requests that the broker passes
//! on to one of them (`AdminBrokerProcessor`, `Broker2Client`).
//!
//! Left out on purpose: the list form of RESET_CONSUMER_CLIENT_OFFSET for C++ consumers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::body::{
    Connection, ConsumeStats, ConsumerConnection, GroupList, JsonBody, MessageQueue, OffsetWrapper, ProducerConnection,
    ProducerInfo, ProducerTableInfo, QueryConsumeTimeSpanBody, QueueTimeSpan, ResetOffsetBody,
};
use protocol::header::{
    ConsumeMessageDirectlyResultRequestHeader, ConsumerGroupRequestHeader, GetConsumeStatsRequestHeader,
    GetConsumerRunningInfoRequestHeader, GetProducerConnectionListRequestHeader, QueryConsumeTimeSpanRequestHeader,
    QueryTopicConsumeByWhoRequestHeader, ResetOffsetRequestHeader,
};
use protocol::message_id::decode_offset_message_id;
use protocol::{QueueOffset, RemotingCommand, request_code, response_code as code};
use remoting::Channel;
use sim::task::yield_now;
use sim::time::wall_clock_ms;
use store::BoundaryType;

use super::topic_admin::queues_to_show;
use super::{Answer, Refusal, offset, success_body};
use crate::core::{Core, lock};
use crate::state::clients::Member;

/// How long a consumer may take to answer what is passed on to it (`Broker2Client.callConsumer`).
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(10);

fn connection(member: &Member<Channel>) -> Connection {
    Connection {
        client_addr: member.handle.remote_addr().to_string(),
        client_id: member.client_id.clone(),
        language: member.language,
        version: member.version,
    }
}

/// GET_CONSUMER_CONNECTION_LIST.
pub(crate) fn consumer_connections(core: &Core, request: &RemotingCommand) -> Answer {
    let header: ConsumerGroupRequestHeader = request.header()?;
    let clients = lock(&core.clients);
    let Some(group) = clients.consumer_group(&header.consumer_group) else {
        let remark = format!("the consumer group[{}] not online", header.consumer_group);
        return Err(Refusal::new(code::CONSUMER_NOT_ONLINE, remark));
    };
    let subscriptions = group.subscriptions.iter().map(|(topic, data)| (topic.clone(), (**data).clone()));
    Ok(success_body(&ConsumerConnection {
        connection_set: group.members.values().map(connection).collect(),
        consume_from_where: group.consume_from_where,
        consume_type: group.consume_type,
        message_model: group.message_model,
        subscription_table: subscriptions.collect(),
    }))
}

/// GET_PRODUCER_CONNECTION_LIST.
pub(crate) fn producer_connections(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetProducerConnectionListRequestHeader = request.header()?;
    let clients = lock(&core.clients);
    let Some(members) = clients.producer_group(&header.producer_group) else {
        let remark = format!("the producer group[{}] not exist", header.producer_group);
        return Err(Refusal::new(code::SYSTEM_ERROR, remark));
    };
    Ok(success_body(&ProducerConnection { connection_set: members.values().map(connection).collect() }))
}

/// GET_ALL_PRODUCER_INFO: the members of all producer groups.
pub(crate) fn all_producers(core: &Core) -> Answer {
    // Heartbeats are timed by a clock that nothing sets.
    let wall_clock_ahead_ms = wall_clock_ms() - core.now_ms();
    let info = |member: &Member<Channel>| ProducerInfo {
        client_id: member.client_id.clone(),
        language: member.language,
        last_update_timestamp: member.heard_at_ms + wall_clock_ahead_ms,
        remote_ip: member.handle.remote_addr().to_string(),
        version: member.version,
    };
    let clients = lock(&core.clients);
    let groups = clients.producer_groups();
    let data = groups.map(|(group, members)| (group.to_owned(), members.values().map(info).collect())).collect();
    Ok(success_body(&ProducerTableInfo { data }))
}
/// How many groups are looked at before others may have the table.
const GROUPS_AT_A_TIME: usize = 1_000;

/// QUERY_TOPIC_CONSUME_BY_WHO.
pub(crate) async fn topic_consumed_by(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let QueryTopicConsumeByWhoRequestHeader { topic } = request.header()?;
    let mut group_list = BTreeSet::new();
    let mut after: Option<String> = None;
    loop {
        let (groups, next) =
            lock(&core.clients).groups_subscribed_to().some(&topic, after.as_deref(), GROUPS_AT_A_TIME);
        group_list.extend(groups);
        after = next;
        if after.is_none() {
            break;
        }
        yield_now().await;
    }
    loop {
        let (groups, next) = lock(&core.offsets).groups_of().some(&topic, after.as_deref(), GROUPS_AT_A_TIME);
        group_list.extend(groups);
        after = next;
        if after.is_none() {
            return Ok(success_body(&GroupList { group_list }));
        }
        yield_now().await;
    }
}

/// GET_CONSUME_STATS.
pub(crate) async fn consume_stats(core: Arc<Core>, channel: Channel, request: RemotingCommand) -> Answer {
    let header: GetConsumeStatsRequestHeader = request.header()?;
    let group = &header.consumer_group;
    let topics: Vec<String> = match header.topic.filter(|topic| !topic.is_empty()) {
        Some(topic) => vec![topic],
        None => lock(&core.offsets).topics_of(group).map(str::to_owned).collect(),
    };
    let mut stats = ConsumeStats::default();
    for topic in &topics {
        if !is_subscribed(&core, group, topic) {
            continue;
        }
        let queues = queues_to_show(&core, topic, |config| config.read_queue_nums).unwrap_or_default();
        let of_topic = stats_of_topic(&core, group, topic, queues).await?;
        for (queue, offsets) in &of_topic.offset_table {
            // A tool may set another group to it.
            core.tell(&channel, topic, queue.queue_id, offsets.broker_offset);
        }
        stats.consume_tps += of_topic.consume_tps;
        stats.offset_table.extend(of_topic.offset_table);
    }
    Ok(success_body(&stats))
}

/// How far a group lags in queues of a topic.
pub(super) async fn stats_of_topic(
    core: &Core,
    group: &str,
    topic: &str,
    queues: impl IntoIterator<Item = i32>,
) -> Result<ConsumeStats, Refusal> {
    let broker_name = core.config().broker_name.clone();
    let mut stats = ConsumeStats { consume_tps: lock(&core.stats).group_get_tps(group, topic), ..Default::default() };
    for queue_id in queues {
        let broker_offset = core.store.max_offset_in_queue(topic, queue_id);
        let consumer_offset = QueueOffset(lock(&core.offsets).committed(group, topic, queue_id).unwrap_or(0));
        let last_timestamp = if consumer_offset.0 > 0 {
            core.store.message_store_timestamp_ms(topic, queue_id, consumer_offset - 1).await?.unwrap_or(0)
        } else {
            0
        };
        stats.offset_table.insert(
            MessageQueue::new(topic, broker_name.as_str(), queue_id),
            OffsetWrapper { broker_offset, consumer_offset, last_timestamp },
        );
    }
    Ok(stats)
}

/// A group that is online counts only for what it subscribes to now.
pub(super) fn is_subscribed(core: &Core, group: &str, topic: &str) -> bool {
    lock(&core.clients).consumer_group(group).is_none_or(|info| info.subscriptions.contains_key(topic))
}

/// QUERY_CONSUME_TIME_SPAN.
pub(crate) async fn consume_time_span(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let header: QueryConsumeTimeSpanRequestHeader = request.header()?;
    let QueryConsumeTimeSpanRequestHeader { topic, group } = &header;
    let Some(queue_nums) = lock(&core.topics).get(topic).map(|config| config.write_queue_nums) else {
        return Err(Refusal::new(code::TOPIC_NOT_EXIST, format!("topic[{topic}] not exist")));
    };
    let mut body = QueryConsumeTimeSpanBody::default();
    for queue_id in 0..queue_nums {
        let max_offset = core.store.max_offset_in_queue(topic, queue_id);
        let time_of = async |offset: QueueOffset| core.store.message_store_timestamp_ms(topic, queue_id, offset).await;
        let min_time_stamp = core.store.earliest_message_time_ms(topic, queue_id).await?.unwrap_or(-1);
        let max_time_stamp = time_of(max_offset - 1).await?.unwrap_or(-1);
        let consumed = lock(&core.offsets).committed(group, topic, queue_id).unwrap_or(0);
        let consume_time_stamp =
            if consumed > 0 { time_of(QueueOffset(consumed - 1)).await?.unwrap_or(-1) } else { min_time_stamp };
        let delay_time = if consumed < max_offset.0 {
            let next = time_of(QueueOffset(consumed)).await?;
            next.map_or(0, |stored_ms| (sim::time::wall_clock_ms() - stored_ms).max(0))
        } else {
            0
        };
        body.consume_time_span_set.push(QueueTimeSpan {
            consume_time_stamp,
            delay_time,
            max_time_stamp,
            message_queue: MessageQueue::new(topic.as_str(), core.config().broker_name.as_str(), queue_id),
            min_time_stamp,
        });
    }
    Ok(success_body(&body))
}

/// INVOKE_BROKER_TO_RESET_OFFSET: works out where to go for each queue and tells the members of the group, who then move
/// and commit (`Broker2Client.resetOffset`). Before that it is stored here, durably: Apache's broker relies on the members.
pub(crate) async fn reset_offset(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let header: ResetOffsetRequestHeader = request.header()?;
    let ResetOffsetRequestHeader { topic, group, timestamp, is_force, .. } = &header;
    let Some(queue_nums) = lock(&core.topics).get(topic).map(|config| config.write_queue_nums) else {
        let remark = format!("[reset-offset] reset offset failed, no topic in this broker. topic={topic}");
        return Err(Refusal::new(code::SYSTEM_ERROR, remark));
    };
    let mut offset_table = BTreeMap::new();
    for queue_id in 0..queue_nums {
        let committed = lock(&core.offsets).committed(group, topic, queue_id);
        let Some(committed) = committed else {
            return Err(Refusal::new(code::SYSTEM_ERROR, format!("THe consumer group <{group}> not exist")));
        };
        let wanted = match timestamp {
            -1 => core.store.max_offset_in_queue(topic, queue_id),
            -2 => core.store.min_offset_in_queue(topic, queue_id),
            &ms => core.store.offset_in_queue_by_time(topic, queue_id, ms, BoundaryType::Lower).await?,
        };
        let offset = if *is_force || wanted.0 < committed { wanted } else { QueueOffset(committed) };
        offset_table.insert(MessageQueue::new(topic.as_str(), core.config().broker_name.as_str(), queue_id), offset);
    }
    let handles: Vec<Channel> = {
        let clients = lock(&core.clients);
        let members =
            clients.consumer_group(group).map(|info| info.members.values().map(|member| member.handle.clone()));
        members.into_iter().flatten().collect()
    };
    if handles.is_empty() {
        let remark = format!(
            "Consumer not online, so can not reset offset, Group: {group} Topic: {topic} Timestamp: {timestamp}"
        );
        return Err(Refusal::new(code::CONSUMER_NOT_ONLINE, remark));
    }
    for (queue, offset) in &offset_table {
        offset::commit(&core, group, topic, queue.queue_id, *offset)?;
    }
    core.persist_offsets().await?;
    let body = ResetOffsetBody { offset_table };
    let encoded = body.encode();
    for channel in handles {
        let moves = body.offset_table.iter();
        for (queue, offset) in moves {
            core.tell(&channel, topic, queue.queue_id, *offset);
        }
        let push =
            RemotingCommand::request(request_code::RESET_CONSUMER_CLIENT_OFFSET, &header).with_body(encoded.clone());
        if let Err(error) = channel.invoke_oneway(push) {
            tracing::warn!(group, %error, "a consumer was not told to reset its offsets");
        }
    }
    Ok(super::success().with_body(encoded))
}

/// GET_CONSUMER_RUNNING_INFO: asks the consumer.
pub(crate) async fn running_info(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let header: GetConsumerRunningInfoRequestHeader = request.header()?;
    let ask = RemotingCommand::request(request_code::GET_CONSUMER_RUNNING_INFO, &header);
    ask_consumer(&core, &header.consumer_group, &header.client_id, ask).await
}

/// CONSUME_MESSAGE_DIRECTLY: hands one stored message to a consumer.
pub(crate) async fn consume_directly(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let mut header: ConsumeMessageDirectlyResultRequestHeader = request.header()?;
    header.broker_name = Some(core.config().broker_name.clone());
    let invalid = |what: &str| Refusal::new(code::INVALID_PARAMETER, what);
    let client_id = header.client_id.clone().ok_or_else(|| invalid("clientId is missing"))?;
    let msg_id = header.msg_id.as_deref().ok_or_else(|| invalid("msgId is missing"))?;
    let (_, offset) = decode_offset_message_id(msg_id).map_err(|error| invalid(&error.to_string()))?;
    let not_found = || Refusal::new(code::SYSTEM_ERROR, format!("can not find message by the msgId {msg_id}"));
    let record = core.store.look_message_by_offset(offset).await?.ok_or_else(not_found)?;
    let ask = RemotingCommand::request(request_code::CONSUME_MESSAGE_DIRECTLY, &header).with_body(record);
    ask_consumer(&core, &header.consumer_group, &client_id, ask).await
}

async fn ask_consumer(core: &Core, group: &str, client_id: &str, ask: RemotingCommand) -> Answer {
    let handle = {
        let clients = lock(&core.clients);
        clients.consumer_group(group).and_then(|info| info.member(client_id)).map(|member| member.handle.clone())
    };
    let Some(channel) = handle else {
        return Err(Refusal::new(code::SYSTEM_ERROR, format!("The Consumer <{group}> <{client_id}> not online")));
    };
    match channel.invoke(ask, CONSUMER_TIMEOUT).await {
        Ok(answer) => {
            Ok(RemotingCommand { remark: answer.remark, ..RemotingCommand::response(answer.code) }
                .with_body(answer.body))
        }
        Err(remoting::RemotingError::Timeout { .. }) => {
            let remark = format!("consumer <{group}> <{client_id}> Timeout");
            Err(Refusal::new(code::CONSUME_MSG_TIMEOUT, remark))
        }
        Err(error) => Err(Refusal::new(code::SYSTEM_ERROR, error.to_string())),
    }
}

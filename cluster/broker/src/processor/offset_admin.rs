//! What groups have consumed, as consoles ask for it: all groups at once, by topic or by group, compared, and copied from one
//! group to another (`AdminBrokerProcessor`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::body::{
    ConsumeStatsList, GetConsumerStatusBody, JsonBody, QueryCorrectionOffsetBody, QuerySubscriptionResponseBody,
    QueueOffsets, TopicList,
};
use protocol::header::{
    CloneGroupOffsetRequestHeader, GetConsumeStatsInBrokerHeader, GetConsumerStatusRequestHeader,
    QueryCorrectionOffsetHeader, QuerySubscriptionByConsumerRequestHeader, QueryTopicsByConsumerRequestHeader,
};
use protocol::{QueueOffset, RemotingCommand, request_code, response_code as code};
use remoting::Channel;

use super::consumer_admin::{is_subscribed, stats_of_topic};
use super::topic_admin::queues_to_show;
use super::{Answer, Refusal, offset, only_on_a_master, success, success_body};
use crate::core::{Core, lock};

/// How long a consumer may take to say where it is (`Broker2Client.getConsumeStatus`).
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(5);

/// GET_BROKER_CONSUME_STATS: how far every group lags in every topic.
pub(crate) async fn all_consume_stats(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let header: GetConsumeStatsInBrokerHeader = request.header()?;
    let groups: Vec<String> = lock(&core.groups).table().subscription_group_table.keys().cloned().collect();
    let mut list = ConsumeStatsList { broker_addr: core.store_host().to_string(), ..ConsumeStatsList::default() };
    for group in groups {
        let mut of_group = Vec::new();
        for topic in topics_of(&core, &group) {
            let Some(order) = lock(&core.topics).get(&topic).map(|config| config.order) else { continue };
            if (header.is_order && !order) || !is_subscribed(&core, &group, &topic) {
                continue;
            }
            let queues = queues_to_show(&core, &topic, |config| config.write_queue_nums).unwrap_or_default();
            let stats = stats_of_topic(&core, &group, &topic, queues).await?;
            list.total_diff += stats.offset_table.values().map(|at| at.broker_offset - at.consumer_offset).sum::<i64>();
            of_group.push(stats);
        }
        list.consume_stats_list.push(BTreeMap::from([(group, of_group)]));
    }
    Ok(success_body(&list))
}

fn topics_of(core: &Core, group: &str) -> BTreeSet<String> {
    lock(&core.offsets).topics_of(group).map(str::to_owned).collect()
}

/// QUERY_TOPICS_BY_CONSUMER (5.x): the topics that a group has consumed.
pub(crate) fn topics_by_consumer(core: &Core, request: &RemotingCommand) -> Answer {
    let header: QueryTopicsByConsumerRequestHeader = request.header()?;
    let broker_addr = Some(core.store_host().to_string());
    Ok(success_body(&TopicList { broker_addr, topic_list: topics_of(core, &header.group) }))
}

/// QUERY_SUBSCRIPTION_BY_CONSUMER (5.x): what a group that is online subscribes to of a topic.
pub(crate) fn subscription_by_consumer(core: &Core, request: &RemotingCommand) -> Answer {
    let QuerySubscriptionByConsumerRequestHeader { group, topic } = request.header()?;
    let subscription_data = topic.as_ref().and_then(|topic| {
        let clients = lock(&core.clients);
        clients.consumer_group(&group)?.subscriptions.get(topic).map(|data| (**data).clone())
    });
    Ok(success_body(&QuerySubscriptionResponseBody { group, subscription_data, topic }))
}

/// QUERY_CORRECTION_OFFSET: for each queue of a topic the least that any group has consumed, but nothing that the group
/// compared with has passed: such a queue gets the greatest number there is.
pub(crate) fn correction_offset(core: &Core, request: &RemotingCommand) -> Answer {
    let header: QueryCorrectionOffsetHeader = request.header()?;
    let QueryCorrectionOffsetHeader { filter_groups, compare_group, topic } = &header;
    let left_out: BTreeSet<&str> = filter_groups.iter().flat_map(|groups| groups.split(',')).map(str::trim).collect();
    let offsets = lock(&core.offsets);
    let mut least: BTreeMap<i32, i64> = BTreeMap::new();
    for group in offsets.groups().filter(|group| !left_out.contains(group)) {
        for (queue_id, offset) in offsets.of_topic(group, topic).into_iter().flatten() {
            if *offset >= core.store.min_offset_in_queue(topic, *queue_id).0 {
                least.entry(*queue_id).and_modify(|least| *least = (*least).min(*offset)).or_insert(*offset);
            }
        }
    }
    for (queue_id, compared) in offsets.of_topic(compare_group, topic).into_iter().flatten() {
        if let Some(least) = least.get_mut(queue_id).filter(|least| **least > *compared) {
            *least = i64::MAX;
        }
    }
    Ok(success_body(&QueryCorrectionOffsetBody { correction_offsets: least }))
}

/// CLONE_GROUP_OFFSET: one group gets the offsets of another.
pub(crate) async fn clone_group_offset(core: Arc<Core>, request: RemotingCommand) -> Answer {
    only_on_a_master(&core)?;
    let header: CloneGroupOffsetRequestHeader = request.header()?;
    let CloneGroupOffsetRequestHeader { src_group, dest_group, topic, offline } = &header;
    let topics = match topic.as_deref().map(str::trim).filter(|topic| !topic.is_empty()) {
        Some(topic) => BTreeSet::from([topic.to_owned()]),
        None => topics_of(&core, src_group),
    };
    for topic in &topics {
        if lock(&core.topics).get(topic).is_none() || !(*offline || is_subscribed(&core, src_group, topic)) {
            tracing::warn!(
                topic,
                src_group,
                "offsets not cloned: no such topic, or the group does not subscribe to it"
            );
            continue;
        }
        let of_source = lock(&core.offsets).of_topic(src_group, topic).cloned().unwrap_or_default();
        for (queue_id, offset) in of_source {
            offset::commit(&core, dest_group, topic, queue_id, QueueOffset(offset))?;
        }
        tracing::info!(topic, src_group, dest_group, "offsets cloned");
    }
    core.persist_offsets().await?;
    Ok(success())
}

/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS: asks the members of a group, or one of them, where they are.
pub(crate) async fn consumer_status(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let mut header: GetConsumerStatusRequestHeader = request.header()?;
    let only = header.client_addr.take().filter(|client_id| !client_id.trim().is_empty());
    let members: Vec<(String, Channel)> = {
        let clients = lock(&core.clients);
        let group = clients.consumer_group(&header.group);
        let members = group.into_iter().flat_map(|group| group.members.values());
        members.map(|member| (member.client_id.clone(), member.handle.clone())).collect()
    };
    if members.is_empty() {
        let remark = format!("No Any Consumer online in the consumer group: [{}]", header.group);
        return Err(Refusal::new(code::SYSTEM_ERROR, remark));
    }
    let mut status = GetConsumerStatusBody::default();
    for (client_id, channel) in members {
        if only.as_ref().is_some_and(|only| *only != client_id) {
            continue;
        }
        let ask = RemotingCommand::request(request_code::GET_CONSUMER_STATUS_FROM_CLIENT, &header);
        let answer = channel.invoke(ask, CONSUMER_TIMEOUT).await.ok().filter(|answer| answer.code == code::SUCCESS);
        match answer.map(|answer| GetConsumerStatusBody::decode(&answer.body)) {
            Some(Ok(body)) => {
                status.consumer_table.insert(client_id, QueueOffsets(body.message_queue_table));
            }
            Some(Err(error)) => tracing::warn!(client_id, %error, "a consumer's status cannot be read"),
            None => tracing::warn!(client_id, group = header.group, "a consumer did not say where it is"),
        }
    }
    Ok(success_body(&status))
}

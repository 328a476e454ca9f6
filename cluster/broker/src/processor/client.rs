//! The clients of a broker: heartbeats, goodbyes, and who is in a group (`ClientManageProcessor`).

use std::sync::Arc;

use protocol::body::{CheckClientRequestBody, ConsumerIdList, EXPRESSION_TYPE_TAG, HeartbeatData, JsonBody};
use protocol::header::{ConsumerGroupRequestHeader, EmptyResponseHeader, UnregisterClientRequestHeader};
use protocol::{RemotingCommand, perm, response_code as code, topic};
use remoting::{Channel, Reply};
use sim::time::wall_clock_ms;

use super::{Answer, Refusal, success, success_with};
use crate::core::{Core, lock};
use crate::service::notices::notify_members;
use crate::state::clients::{Sender, TooMuch};

/// HEART_BEAT. A group that is not known yet, and its retry topic, are made; that alone takes time.
pub(crate) fn heartbeat(core: &Arc<Core>, channel: &Channel, request: &RemotingCommand) -> Reply {
    let mut heartbeat = match HeartbeatData::decode(&request.body) {
        Ok(heartbeat) => heartbeat,
        Err(error) => return Refusal::from(error).into_response().into(),
    };
    // A subscription without a version is as new as the heartbeat (`SubscriptionData.subVersion`).
    let now_ms = wall_clock_ms();
    let subscriptions = heartbeat.consumer_data_set.iter_mut().flat_map(|data| &mut data.subscription_data_set);
    subscriptions.filter(|data| data.sub_version == 0).for_each(|data| data.sub_version = now_ms);
    if heartbeat.client_id.is_empty() {
        return Refusal::new(code::SYSTEM_ERROR, "the heartbeat names no clientID").into_response().into();
    }
    let all_known = {
        let topics = lock(&core.topics);
        // A slave has what its master has made.
        core.is_slave()
            || heartbeat
                .consumer_data_set
                .iter()
                .all(|data| topics.get(&topic::retry_topic(&data.group_name)).is_some())
    };
    let changed = match take_in(core, channel, request, &heartbeat) {
        Ok(changed) => changed,
        Err(too_much) => return Refusal::new(code::SYSTEM_ERROR, too_much.to_string()).into_response().into(),
    };
    if all_known {
        notify_members(core, &changed);
        return success().into();
    }
    let core = Arc::clone(core);
    Reply::later(async move {
        make_groups(&core, &heartbeat).await;
        notify_members(&core, &changed);
        Some(success())
    })
}

/// Makes the groups of a heartbeat that are not known, and their retry topics: all at once, however many there are.
async fn make_groups(core: &Core, heartbeat: &HeartbeatData) {
    let (mut new_groups, mut new_topics) = (false, false);
    for data in &heartbeat.consumer_data_set {
        if let Some((group, is_new)) = core.group_or_new(&data.group_name) {
            new_groups |= is_new;
            let retry_topic = topic::retry_topic(&data.group_name);
            let perm = perm::PERM_READ | perm::PERM_WRITE;
            match core.put_if_missing(&retry_topic, group.retry_queue_nums, perm) {
                Ok(is_new) => new_topics |= is_new,
                Err(error) => tracing::warn!(group = data.group_name, %error, "a group has no retry topic"),
            }
        }
    }
    // Errors have been told, and are tried again: nothing is in these topics yet, and what comes waits until they are on disk.
    if new_groups {
        let _ = core.save_groups().await;
    }
    if new_topics {
        let _ = core.topics_changed().await;
    }
}

/// Notes who is a member of which groups, each group for itself: the table is everybody's. Gives the consumer groups that have
/// changed.
fn take_in(
    core: &Core,
    channel: &Channel,
    request: &RemotingCommand,
    heartbeat: &HeartbeatData,
) -> Result<Vec<String>, TooMuch> {
    let HeartbeatData { client_id, consumer_data_set, producer_data_set } = heartbeat;
    let RemotingCommand { language, version, .. } = *request;
    let sender = Sender { key: channel.id(), handle: channel, client_id, language, version };
    let now_ms = core.now_ms();
    for producer in producer_data_set {
        lock(&core.clients).producer(&sender, &producer.group_name, now_ms)?;
    }
    let mut changed = Vec::new();
    for data in consumer_data_set {
        if lock(&core.clients).consumer(&sender, data, now_ms)? {
            changed.push(data.group_name.clone());
        }
    }
    if !channel.is_open() {
        // It has ended while this was being read.
        lock(&core.clients).channel_closed(channel.id());
    }
    Ok(changed)
}

/// UNREGISTER_CLIENT.
pub(crate) fn unregister(core: &Core, channel: &Channel, request: &RemotingCommand) -> Answer {
    let header: UnregisterClientRequestHeader = request.header()?;
    if let Some(group) = &header.producer_group {
        lock(&core.clients).unregister_producer(group, channel.id());
    }
    if let Some(group) = header.consumer_group {
        let left = lock(&core.clients).unregister_consumer(&group, channel.id());
        if left {
            notify_members(core, &[group]);
        }
    }
    Ok(success_with(&EmptyResponseHeader {}))
}

/// CHECK_CLIENT_CONFIG: whether a subscription other than by tags can be served.
pub(crate) fn check_config(request: &RemotingCommand) -> Answer {
    let body = CheckClientRequestBody::decode(&request.body)?;
    let expression_type = &body.subscription_data.expression_type;
    if expression_type.is_empty() || expression_type == EXPRESSION_TYPE_TAG {
        return Ok(success());
    }
    let remark = format!("The broker does not support consumer to filter message by {expression_type}");
    Err(Refusal::new(code::SYSTEM_ERROR, remark))
}

/// GET_CONSUMER_LIST_BY_GROUP.
pub(crate) fn consumer_list(core: &Core, request: &RemotingCommand) -> Answer {
    let header: ConsumerGroupRequestHeader = request.header()?;
    let group = &header.consumer_group;
    let ids = lock(&core.clients).consumer_group(group).map(|info| info.client_ids());
    match ids {
        Some(consumer_id_list) if !consumer_id_list.is_empty() => {
            let body = ConsumerIdList { consumer_id_list }.encode();
            Ok(success_with(&EmptyResponseHeader {}).with_body(body))
        }
        _ => Err(Refusal::new(code::SYSTEM_ERROR, format!("no consumer for this group, {group}"))),
    }
}

//! Topics as `mqadmin` sees them: create, delete, list, look into.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::body::{
    CreateTopicListRequestBody, JsonBody, MessageQueue, TopicConfig, TopicFilterType, TopicList, TopicOffset,
    TopicStatsTable,
};
use protocol::header::{
    CreateTopicRequestHeader, DeleteTopicRequestHeader, GetTopicConfigRequestHeader, GetTopicStatsInfoRequestHeader,
};
use protocol::{RemotingCommand, perm, response_code as code, topic};
use sim::time::wall_clock_ms;

use super::{Answer, Refusal, only_on_a_master, success, success_body, topic_attributes};
use crate::core::{Core, lock};
use crate::service::registration::registered;

/// The most queues a topic may have here: each costs a directory and files.
const QUEUE_NUMS_MAX: i32 = 65_536;

/// UPDATE_AND_CREATE_TOPIC. The answer comes when the topic is on disk and the name servers have been told.
pub(crate) async fn create(core: Arc<Core>, request: RemotingCommand) -> Answer {
    only_on_a_master(&core)?;
    let header: CreateTopicRequestHeader = request.header()?;
    let Some(topic_filter_type) = TopicFilterType::from_name(&header.topic_filter_type) else {
        let what = format!("topicFilterType must be SINGLE_TAG or MULTI_TAG, but is {}", header.topic_filter_type);
        return Err(Refusal::new(code::INVALID_PARAMETER, what));
    };
    let changes = topic_attributes::parse(header.attributes.as_deref().unwrap_or_default());
    let wished = TopicConfig {
        attributes: Some(changes.map_err(|what| Refusal::new(code::INVALID_PARAMETER, what))?),
        order: header.order,
        perm: header.perm,
        read_queue_nums: header.read_queue_nums,
        topic_filter_type,
        topic_name: header.topic,
        topic_sys_flag: header.topic_sys_flag.unwrap_or(0),
        write_queue_nums: header.write_queue_nums,
    };
    put_all(&core, vec![wished]).await
}

/// UPDATE_AND_CREATE_TOPIC_LIST (5.x): all of them, or none if one cannot be.
pub(crate) async fn create_all(core: Arc<Core>, request: RemotingCommand) -> Answer {
    only_on_a_master(&core)?;
    put_all(&core, CreateTopicListRequestBody::decode(&request.body)?.topic_config_list).await
}

/// Makes or changes topics, all of them or none. Their attributes are changes of those that they have.
async fn put_all(core: &Core, wished: Vec<TopicConfig>) -> Answer {
    if wished.is_empty() {
        return Err(Refusal::new(code::INVALID_PARAMETER, "the request names no topic"));
    }
    let mut configs = Vec::with_capacity(wished.len());
    for mut config in wished {
        check(&config)?;
        let known = lock(&core.topics).get(&config.topic_name).and_then(|old| old.attributes.clone());
        let changed = topic_attributes::changed(known, &config.attributes.take().unwrap_or_default());
        let invalid = |what| Refusal::new(code::INVALID_PARAMETER, format!("topic {}: {what}", config.topic_name));
        config.attributes = changed.map_err(invalid)?;
        configs.push(config);
    }
    lock(&core.topics).put_all(configs.clone(), wall_clock_ms())?;
    for TopicConfig { topic_name, read_queue_nums, write_queue_nums, .. } in &configs {
        tracing::info!(topic = topic_name, read = read_queue_nums, write = write_queue_nums, "topic updated");
    }
    core.topics_changed().await?;
    Ok(success())
}

/// Refuses a topic that cannot be.
fn check(wished: &TopicConfig) -> Result<(), Refusal> {
    let name = &wished.topic_name;
    topic::validate_topic(name).map_err(|error| Refusal::new(code::SYSTEM_ERROR, error.to_string()))?;
    if topic::is_system_topic(name) {
        let remark = format!("The topic[{name}] is conflict with system topic.");
        return Err(Refusal::new(code::SYSTEM_ERROR, remark));
    }
    let invalid = |what: String| Err(Refusal::new(code::INVALID_PARAMETER, what));
    for (field, nums) in [("readQueueNums", wished.read_queue_nums), ("writeQueueNums", wished.write_queue_nums)] {
        if !(0..=QUEUE_NUMS_MAX).contains(&nums) {
            return invalid(format!("{field} must be 0 to {QUEUE_NUMS_MAX}, but is {nums}"));
        }
    }
    if !perm::is_valid(wished.perm) {
        return invalid(format!("perm must be a sum of 1 (inherit), 2 (write) and 4 (read), but is {}", wished.perm));
    }
    Ok(())
}

/// DELETE_TOPIC_IN_BROKER: the topic, its queues and what groups have consumed of it.
pub(crate) async fn delete(core: Arc<Core>, request: RemotingCommand) -> Answer {
    only_on_a_master(&core)?;
    let header: DeleteTopicRequestHeader = request.header()?;
    let name = &header.topic;
    topic::validate_topic(name).map_err(|error| Refusal::new(code::SYSTEM_ERROR, error.to_string()))?;
    if topic::is_system_topic(name) {
        let remark = format!("The topic[{name}] is conflict with system topic.");
        return Err(Refusal::new(code::SYSTEM_ERROR, remark));
    }
    lock(&core.topics).remove(name, wall_clock_ms());
    core.save_topics().await?;
    core.store.delete_topic(name).await?;
    core.forget_topic(name);
    lock(&core.offsets).remove_topic(name);
    lock(&core.stats).remove_topic(name);
    core.persist_offsets().await?;
    tracing::info!(topic = name, "topic deleted");
    registered(&core).await;
    Ok(success())
}

/// GET_ALL_TOPIC_CONFIG.
pub(crate) fn all(core: &Core) -> Answer {
    Ok(success().with_body(lock(&core.topics).json()))
}

/// GET_TOPIC_CONFIG (5.x).
pub(crate) fn get(core: &Core, request: &RemotingCommand) -> Answer {
    let header: GetTopicConfigRequestHeader = request.header()?;
    let config = lock(&core.topics).get(&header.topic).cloned();
    let not_there = || Refusal::new(code::TOPIC_NOT_EXIST, format!("No topic in this broker. topic: {}", header.topic));
    config.map(|config| success_body(&config)).ok_or_else(not_there)
}

/// GET_SYSTEM_TOPIC_LIST_FROM_BROKER: the topics that belong to the system, those of the cluster's and the broker's name included.
pub(crate) fn system_topics(core: &Core) -> Answer {
    let config = core.config();
    let mut topic_list: BTreeSet<String> = topic::SYSTEM_TOPICS.into_iter().map(str::to_owned).collect();
    topic_list.extend([config.broker_name.clone(), config.broker_cluster_name.clone()]);
    let topics = lock(&core.topics);
    topic_list.extend(topics.table().topic_config_table.keys().filter(|name| topic::is_system_topic(name)).cloned());
    Ok(success_body(&TopicList { broker_addr: None, topic_list }))
}

/// GET_TOPIC_STATS_INFO.
pub(crate) async fn stats(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let header: GetTopicStatsInfoRequestHeader = request.header()?;
    let name = &header.topic;
    let queue_nums = |config: &TopicConfig| config.read_queue_nums.max(config.write_queue_nums);
    let Some(queue_ids) = queues_to_show(&core, name, queue_nums) else {
        return Err(Refusal::new(code::TOPIC_NOT_EXIST, format!("topic[{name}] not exist")));
    };
    let broker_name = &core.config().broker_name;
    let mut offset_table = BTreeMap::new();
    for queue_id in queue_ids {
        let (min_offset, max_offset) =
            (core.store.min_offset_in_queue(name, queue_id), core.store.max_offset_in_queue(name, queue_id));
        let last = if max_offset > min_offset {
            core.store.message_store_timestamp_ms(name, queue_id, max_offset - 1).await?
        } else {
            None
        };
        offset_table.insert(
            MessageQueue::new(name.as_str(), broker_name.as_str(), queue_id),
            TopicOffset { last_update_timestamp: last.unwrap_or(0), max_offset, min_offset },
        );
    }
    Ok(success_body(&TopicStatsTable { offset_table }))
}

/// The queues that a topic has now, and those beyond that still have messages: it may have been given fewer. `None`: there is
/// no such topic.
pub(crate) fn queues_to_show(
    core: &Core,
    name: &str,
    queue_nums: impl Fn(&TopicConfig) -> i32,
) -> Option<BTreeSet<i32>> {
    let queue_nums = lock(&core.topics).get(name).map(queue_nums)?;
    let has_messages = |queue_id: &i32| {
        core.store.max_offset_in_queue(name, *queue_id) > core.store.min_offset_in_queue(name, *queue_id)
    };
    Some((0..queue_nums).chain(core.store.queue_ids(name).into_iter().filter(has_messages)).collect())
}

/// CLEAN_UNUSED_TOPIC: removes the queues of topics that are not in the table any more.
pub(crate) async fn clean_unused(core: Arc<Core>) -> Answer {
    let known: Vec<String> = lock(&core.topics).table().topic_config_table.keys().cloned().collect();
    let keep =
        |name: &str| topic::is_system_topic(name) || known.binary_search_by(|topic| topic.as_str().cmp(name)).is_ok();
    let removed = core.store.clean_unused_topics(keep).await?;
    tracing::info!(?removed, "queues of unused topics removed");
    Ok(success())
}

//! Questions about offsets, and the offsets that groups commit (`ConsumerManageProcessor`, parts of
//! `AdminBrokerProcessor`).
//!
//! After a loss, what is told here as an answer about a queue is noted in [`LeftOvers`](crate::state::left_overs::LeftOvers):
//! a consumer may go on from there.

use std::sync::Arc;

use protocol::body::JsonBody;
use protocol::header::{
    EmptyResponseHeader, GetEarliestMsgStoretimeRequestHeader, GetEarliestMsgStoretimeResponseHeader,
    GetMaxOffsetRequestHeader, GetMinOffsetRequestHeader, OffsetResponseHeader, QueryConsumerOffsetRequestHeader,
    QueryConsumerOffsetResponseHeader, SearchOffsetRequestHeader, UpdateConsumerOffsetRequestHeader,
};
use protocol::{QueueOffset, RemotingCommand, response_code as code};
use remoting::{Channel, Reply};
use store::BoundaryType;

use super::{Answer, Refusal, later, now, success_body, success_with};
use crate::core::{Core, lock};
use crate::replication::log_position::LogPosition;
use crate::state::consumer_offsets::TABLE_BYTES_MAX;
use crate::state::subscription_groups::is_system_group;

/// UPDATE_CONSUMER_OFFSET. What a tool sets is on the drive before it is answered; what consumers commit is written now and
/// then, as by Apache's broker. A tool is who waits for the answer and is no member of the group.
pub(crate) fn update(core: &Arc<Core>, channel: &Channel, request: RemotingCommand) -> Reply {
    let header: UpdateConsumerOffsetRequestHeader = match request.header() {
        Ok(header) => header,
        Err(error) => return now(Err(error.into())),
    };
    let is_of_tool = !request.is_oneway() && core.client_id(&header.consumer_group, channel).is_none();
    let stored = store_commit(core, channel, &header, is_of_tool);
    if !is_of_tool || stored.is_err() {
        return now(stored);
    }
    let core = Arc::clone(core);
    later(async move {
        core.persist_offsets().await?;
        stored
    })
}

fn store_commit(
    core: &Core,
    channel: &Channel,
    header: &UpdateConsumerOffsetRequestHeader,
    is_of_tool: bool,
) -> Answer {
    let UpdateConsumerOffsetRequestHeader { consumer_group: group, topic, queue_id, commit_offset, .. } = header;
    let offset = commit_offset.0;
    if !is_system_group(group) {
        let queue_offset = (topic.as_str(), *queue_id, *commit_offset);
        if let Some(floor) = core.floor_of_left_over(group, channel, is_of_tool, queue_offset) {
            tracing::warn!(group, topic, queue_id, offset, floor, "an offset from before a loss was not stored");
            let remark = format!(
                "offset {offset} of {topic} queue {queue_id} may be from before this broker lost what was beyond {floor}: \
                 ask for the offset first, or set {floor}"
            );
            return Err(Refusal::new(code::PULL_OFFSET_MOVED, remark));
        }
        if !is_in_queue(core, topic, *queue_id, *commit_offset) {
            let end = core.store.max_offset_in_queue(topic, *queue_id);
            let remark = format!("offset {offset} lies beyond the end of {topic} queue {queue_id}, which is {end}");
            return Err(Refusal::new(code::PULL_OFFSET_MOVED, remark));
        }
    }
    commit(core, group, topic, *queue_id, *commit_offset)?;
    Ok(success_with(&EmptyResponseHeader {}))
}

/// Stores a group's offset of a queue that there is: the table would have no end otherwise. Apache's broker takes any up to 4.9
/// and asks for the topic from 5.0 on.
pub(crate) fn commit(core: &Core, group: &str, topic: &str, queue_id: i32, offset: QueueOffset) -> Result<(), Refusal> {
    let queue_nums = {
        let topics = lock(&core.topics);
        topics.get(topic).map(|config| config.read_queue_nums.max(config.write_queue_nums))
    };
    let Some(queue_nums) = queue_nums else {
        return Err(Refusal::new(code::TOPIC_NOT_EXIST, format!("Topic {topic} not exist!")));
    };
    // One that was taken away may still have messages.
    if !(0..queue_nums).contains(&queue_id) && !core.store.queue_ids(topic).contains(&queue_id) {
        let remark = format!("queueId[{queue_id}] is illegal, topic:[{topic}] has {queue_nums} queues");
        return Err(Refusal::new(code::INVALID_PARAMETER, remark));
    }
    let mut offsets = lock(&core.offsets);
    if !offsets.has_room_for(group, topic, queue_id) {
        let remark = format!(
            "the first offset of {group} in {topic} queue {queue_id} was not stored: all offsets together have {} MiB, more \
             cannot be sent to slaves. Delete groups and topics that nobody uses",
            TABLE_BYTES_MAX >> 20
        );
        return Err(Refusal::new(code::SYSTEM_ERROR, remark));
    }
    offsets.commit(group, topic, queue_id, offset.0);
    Ok(())
}

/// Whether an offset lies within its queue. One that is beyond the end is of a slave that has shown more than this broker
/// does yet, or of a master that this slave has not caught up with: it counts only when the messages are here.
pub(crate) fn is_in_queue(core: &Core, topic: &str, queue_id: i32, offset: QueueOffset) -> bool {
    core.believes_all_offsets() || offset <= core.store.max_offset_in_queue(topic, queue_id)
}

/// QUERY_CONSUMER_OFFSET.
pub(crate) async fn query(core: Arc<Core>, channel: Channel, request: RemotingCommand) -> Answer {
    let header: QueryConsumerOffsetRequestHeader = request.header()?;
    let QueryConsumerOffsetRequestHeader { consumer_group, topic, queue_id, set_zero_if_not_found, .. } = &header;
    let committed = lock(&core.offsets).committed(consumer_group, topic, *queue_id);
    let offset = match committed {
        Some(offset) => Some(offset),
        None if *set_zero_if_not_found == Some(false) => None,
        None => core.is_young(topic, *queue_id).await?.then_some(0),
    };
    match offset {
        Some(offset) => {
            // It begins here, perhaps by reading from a slave.
            core.lead(consumer_group, &channel, topic, *queue_id);
            Ok(success_with(&QueryConsumerOffsetResponseHeader { offset: Some(QueueOffset(offset)) }))
        }
        None => {
            let header = QueryConsumerOffsetResponseHeader { offset: None };
            Ok(RemotingCommand::response_with(code::QUERY_NOT_FOUND, &header)
                .with_remark("Not found, maybe this group consumer boot first"))
        }
    }
}

/// GET_MAX_OFFSET.
pub(crate) fn max(core: &Core, channel: &Channel, request: &RemotingCommand) -> Answer {
    let header: GetMaxOffsetRequestHeader = request.header()?;
    let offset = core.store.max_offset_in_queue(&header.topic, header.queue_id);
    core.tell(channel, &header.topic, header.queue_id, offset);
    Ok(success_with(&OffsetResponseHeader { offset }))
}

/// GET_MIN_OFFSET.
pub(crate) fn min(core: &Core, channel: &Channel, request: &RemotingCommand) -> Answer {
    let header: GetMinOffsetRequestHeader = request.header()?;
    let offset = core.store.min_offset_in_queue(&header.topic, header.queue_id);
    core.tell(channel, &header.topic, header.queue_id, offset);
    Ok(success_with(&OffsetResponseHeader { offset }))
}

/// SEARCH_OFFSET_BY_TIMESTAMP.
pub(crate) async fn search(core: Arc<Core>, channel: Channel, request: RemotingCommand) -> Answer {
    let header: SearchOffsetRequestHeader = request.header()?;
    let boundary = match header.boundary_type.as_deref() {
        None | Some("LOWER" | "lower") => BoundaryType::Lower,
        Some("UPPER" | "upper") => BoundaryType::Upper,
        Some(other) => {
            let remark = format!("boundaryType must be LOWER or UPPER, but is \"{other}\"");
            return Err(Refusal::new(code::INVALID_PARAMETER, remark));
        }
    };
    let SearchOffsetRequestHeader { topic, queue_id, timestamp, .. } = &header;
    let offset = core.store.offset_in_queue_by_time(topic, *queue_id, *timestamp, boundary).await?;
    core.tell(&channel, topic, *queue_id, offset);
    Ok(success_with(&OffsetResponseHeader { offset }))
}

/// GET_EARLIEST_MSG_STORETIME.
pub(crate) async fn earliest(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let header: GetEarliestMsgStoretimeRequestHeader = request.header()?;
    let timestamp = core.store.earliest_message_time_ms(&header.topic, header.queue_id).await?.unwrap_or(-1);
    Ok(success_with(&GetEarliestMsgStoretimeResponseHeader { timestamp }))
}

/// GET_ALL_CONSUMER_OFFSET. What was lowered on purpose is on the drive before another broker hears of it.
pub(crate) async fn all_consumer_offsets(core: Arc<Core>) -> Answer {
    while !lock(&core.offsets).is_durable() {
        core.persist_offsets().await?;
    }
    let position = LogPosition::of(&core.store);
    let table = lock(&core.offsets).snapshot();
    Ok(position.attach(success_body(&table.to_file())))
}

/// GET_ALL_DELAY_OFFSET: the text of delayOffset.json.
pub(crate) fn all_delay_offsets(core: &Core) -> Answer {
    let table = lock(&core.delay_offsets).clone();
    // After the table: all that it counts as delivered lies before.
    let position = LogPosition::of(&core.store);
    Ok(position.attach(super::success().with_body(table.encode())))
}

//! A store's files as `mqadmin` sees them: the units of a ConsumeQueue, and cleaning up out of turn.

use std::sync::Arc;

use protocol::body::{ConsumeQueueData, QueryConsumeQueueResponseBody};
use protocol::header::QueryConsumeQueueRequestHeader;
use protocol::{QueueOffset, RemotingCommand, response_code as code};

use super::{Answer, Refusal, success, success_body};
use crate::core::{Core, lock};

/// The most units that one request gets.
const UNITS_MAX: i64 = 1_024;

/// QUERY_CONSUME_QUEUE.
pub(crate) async fn consume_queue(core: Arc<Core>, request: RemotingCommand) -> Answer {
    let header: QueryConsumeQueueRequestHeader = request.header()?;
    let QueryConsumeQueueRequestHeader { topic, queue_id, index, count, consumer_group } = &header;
    if !core.store.queue_ids(topic).contains(queue_id) {
        return Err(Refusal::new(code::SYSTEM_ERROR, format!("{queue_id}@{topic} is not exist!")));
    }
    let (min, max) =
        (core.store.min_offset_in_queue(topic, *queue_id).0, core.store.max_offset_in_queue(topic, *queue_id).0);
    let mut body = QueryConsumeQueueResponseBody { max_queue_index: max, min_queue_index: min, ..Default::default() };
    if let Some(group) = consumer_group {
        let clients = lock(&core.clients);
        let subscription = clients.consumer_group(group).and_then(|info| info.subscriptions.get(topic));
        body.subscription_data = subscription.map(|data| (**data).clone());
        body.filter_data = Some(match subscription {
            Some(_) => "null".to_owned(),
            None => format!("{group}@{topic} is not online!"),
        });
    }
    let end = index.saturating_add(i64::from(*count).min(UNITS_MAX)).min(max);
    for offset in (*index).max(0)..end {
        let Some(unit) = core.store.unit_in_queue(topic, *queue_id, QueueOffset(offset)).await? else { continue };
        body.queue_data.push(ConsumeQueueData {
            eval: false,
            physic_offset: unit.physical_offset.0,
            physic_size: unit.size_bytes,
            tags_code: unit.tags_code,
        });
    }
    let answer = success_body(&body);
    if !(min..max).contains(index) {
        return Ok(answer.with_remark(format!("Index {index} of {queue_id}@{topic} is not exist!")));
    }
    Ok(answer)
}

/// CLEAN_EXPIRED_CONSUMEQUEUE.
pub(crate) async fn clean_expired_queues(core: Arc<Core>) -> Answer {
    tracing::warn!("an operator lets expired ConsumeQueue files be deleted");
    core.store.delete_expired_queues().await?;
    Ok(success())
}

/// DELETE_EXPIRED_COMMITLOG: the files go in the next rounds of retention.
pub(crate) fn delete_expired_log(core: &Core) -> Answer {
    tracing::warn!("an operator lets expired CommitLog files be deleted, whatever the hour");
    core.store.delete_expired_soon();
    Ok(success())
}

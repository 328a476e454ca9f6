//! LOCK_BATCH_MQ and UNLOCK_BATCH_MQ: which member of a group consumes a queue in order.

use std::collections::BTreeSet;

use protocol::RemotingCommand;
use protocol::body::{JsonBody, LockBatchRequestBody, LockBatchResponseBody};
use remoting::Channel;

use super::{Answer, success, success_body};
use crate::core::{Core, lock};
use crate::state::rebalance_lock::Asker;

/// How many queues are locked before others may have the table.
const QUEUES_AT_A_TIME: usize = 500;

/// LOCK_BATCH_MQ.
pub(crate) fn lock_batch(core: &Core, channel: &Channel, request: &RemotingCommand) -> Answer {
    let LockBatchRequestBody { client_id, consumer_group, mq_set, .. } = LockBatchRequestBody::decode(&request.body)?;
    let (group, client_id) = (consumer_group.as_str(), &client_id.into());
    let asker = Asker { group, client_id, channel: channel.id() };
    let now_ms = core.now_ms();
    let mut lock_ok_mq_set = BTreeSet::new();
    let mut queues = mq_set.into_iter().peekable();
    while queues.peek().is_some() {
        let mut locks = lock(&core.locks);
        let queues = queues.by_ref().take(QUEUES_AT_A_TIME);
        lock_ok_mq_set.extend(queues.filter(|queue| locks.try_lock(&asker, &queue.topic, queue.queue_id, now_ms)));
    }
    Ok(success_body(&LockBatchResponseBody { lock_ok_mq_set }))
}

/// UNLOCK_BATCH_MQ.
pub(crate) fn unlock_batch(core: &Core, channel: &Channel, request: &RemotingCommand) -> Answer {
    let LockBatchRequestBody { client_id, consumer_group, mq_set, .. } = LockBatchRequestBody::decode(&request.body)?;
    let (group, client_id) = (consumer_group.as_str(), &client_id.into());
    let asker = Asker { group, client_id, channel: channel.id() };
    let mut queues = mq_set.iter().peekable();
    while queues.peek().is_some() {
        let mut locks = lock(&core.locks);
        for queue in queues.by_ref().take(QUEUES_AT_A_TIME) {
            locks.unlock(&asker, &queue.topic, queue.queue_id);
        }
    }
    Ok(success())
}

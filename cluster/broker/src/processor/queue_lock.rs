//! LOCK_BATCH_MQ and UNLOCK_BATCH_MQ: which member of a group consumes a queue in order.

use std::collections::BTreeSet;

use protocol::RemotingCommand;
use protocol::body::{JsonBody, LockBatchRequestBody, LockBatchResponseBody};

use super::{Answer, success, success_body};
use crate::core::{Core, lock};

/// How many queues are locked before others may have the table.
const QUEUES_AT_A_TIME: usize = 500;

/// LOCK_BATCH_MQ.
pub(crate) fn lock_batch(core: &Core, request: &RemotingCommand) -> Answer {
    let LockBatchRequestBody { client_id, consumer_group, mq_set, .. } = LockBatchRequestBody::decode(&request.body)?;
    let now_ms = core.now_ms();
    let mut lock_ok_mq_set = BTreeSet::new();
    let mut queues = mq_set.into_iter().peekable();
    while queues.peek().is_some() {
        let mut locks = lock(&core.locks);
        lock_ok_mq_set.extend(
            queues
                .by_ref()
                .take(QUEUES_AT_A_TIME)
                .filter(|queue| locks.try_lock(&consumer_group, &queue.topic, queue.queue_id, &client_id, now_ms)),
        );
    }
    Ok(success_body(&LockBatchResponseBody { lock_ok_mq_set }))
}

/// UNLOCK_BATCH_MQ.
pub(crate) fn unlock_batch(core: &Core, request: &RemotingCommand) -> Answer {
    let LockBatchRequestBody { client_id, consumer_group, mq_set, .. } = LockBatchRequestBody::decode(&request.body)?;
    let mut queues = mq_set.iter().peekable();
    while queues.peek().is_some() {
        let mut locks = lock(&core.locks);
        for queue in queues.by_ref().take(QUEUES_AT_A_TIME) {
            locks.unlock(&consumer_group, &queue.topic, queue.queue_id, &client_id);
        }
    }
    Ok(success())
}

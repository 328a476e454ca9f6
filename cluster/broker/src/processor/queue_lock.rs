//! LOCK_BATCH_MQ and UNLOCK_BATCH_MQ: which member of a group consumes a queue in order.

use protocol::RemotingCommand;
use protocol::body::{JsonBody, LockBatchRequestBody, LockBatchResponseBody};

use super::{Answer, success, success_body};
use crate::core::{Core, lock};

/// LOCK_BATCH_MQ.
pub(crate) fn lock_batch(core: &Core, request: &RemotingCommand) -> Answer {
    let LockBatchRequestBody { client_id, consumer_group, mut mq_set, .. } =
        LockBatchRequestBody::decode(&request.body)?;
    let now_ms = core.now_ms();
    let mut locks = lock(&core.locks);
    mq_set.retain(|queue| locks.try_lock(&consumer_group, &queue.topic, queue.queue_id, &client_id, now_ms));
    drop(locks);
    Ok(success_body(&LockBatchResponseBody { lock_ok_mq_set: mq_set }))
}

/// UNLOCK_BATCH_MQ.
pub(crate) fn unlock_batch(core: &Core, request: &RemotingCommand) -> Answer {
    let LockBatchRequestBody { client_id, consumer_group, mq_set, .. } = LockBatchRequestBody::decode(&request.body)?;
    let mut locks = lock(&core.locks);
    for queue in &mq_set {
        locks.unlock(&consumer_group, &queue.topic, queue.queue_id, &client_id);
    }
    drop(locks);
    Ok(success())
}

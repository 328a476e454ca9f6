//! The loop that pulls from one queue (`pullMessage` and its callback).

use std::sync::Arc;
use std::time::Duration;

use protocol::body::MessageQueue;
use protocol::{QueueOffset, response_code};
use sim::task::{self, JoinHandle};
use sim::time;

use super::assigned::Assigned;
use super::core::PushCore;
use crate::consumer::puller::{Answer, PullFailure, PullRequest};
use crate::error::ClientError;
use crate::instance::api::PullStatus;

/// The wait of a loop that pulls late (`PULL_TIME_DELAY_MILLS_WHEN_FLOW_CONTROL`).
const FLOW_CONTROL_DELAY: Duration = Duration::from_millis(50);
/// The wait after the broker asked for less (`PULL_TIME_DELAY_MILLS_WHEN_BROKER_FLOW_CONTROL`).
const BROKER_FLOW_CONTROL_DELAY: Duration = Duration::from_millis(20);
/// How long what is in flight may take to end after an offset was moved. Java waits 10 s and then up to 20 s for the
/// next rebalance.
const OFFSET_MOVED_DELAY: Duration = Duration::from_secs(1);

/// The wait after an answer that leads nowhere: a slave that is behind the reader answers so, at once (PULL_RETRY_IMMEDIATELY
/// without correction), and Java's client asks again at once.
const NO_PROGRESS_DELAY: Duration = Duration::from_millis(200);
/// A slave that does not have the offset has lost it, or does not have it yet, or not any more: only the master can tell.
/// Followed, a slave that lags would have everything consumed again, and one with a younger log would have messages skipped.
const WAITS_FOR_MASTER: &str =
    "the slave does not have the offset: the master is waited for; if it is gone for good, reset the group's offset";

impl PushCore {
    pub(super) fn spawn_pulling(self: &Arc<Self>, assigned: &Arc<Assigned>, offset: QueueOffset) -> JoinHandle<()> {
        task::spawn(pull_all(Arc::clone(self), Arc::clone(assigned), offset))
    }
}

/// Pulls until the assignment ends.
async fn pull_all(core: Arc<PushCore>, assigned: Arc<Assigned>, mut next: QueueOffset) {
    let mut waits_for_master = false;
    let queue = Arc::clone(&assigned.queue);
    while !assigned.is_dropped() {
        core.unless_paused().await;
        assigned.room(&core.config).await;
        let Some(subscription) = core.subscription(&queue.topic) else {
            // Unsubscribed: the next rebalance ends the assignment.
            time::sleep(core.config.pull_delay_when_exception).await;
            continue;
        };
        if sim::fault_point!("client.pull.late", 0.05) {
            time::sleep(FLOW_CONTROL_DELAY).await;
        }
        assigned.pulls_now();
        let request = PullRequest {
            queue: &queue,
            subscription: &subscription,
            with_expression: false,
            offset: next,
            max_nums: if sim::fault_point!("client.pull.one-message") { 1 } else { core.config.pull_batch_size },
            commit_offset: core.offsets.read_memory(&queue).filter(|_| core.config.is_clustering()),
            suspend: Some(core.config.broker_suspend_max),
            timeout: core.config.consumer_timeout_when_suspend,
        };
        match core.puller.pull(&request).await {
            Ok(Answer { result, by }) if result.pull_status == PullStatus::OffsetIllegal => {
                if by.is_master() {
                    return offset_moved(&core, &assigned, next, result.next_begin_offset).await;
                }
                if !std::mem::replace(&mut waits_for_master, true) {
                    let (min, max) = (result.min_offset, result.max_offset);
                    tracing::warn!(group = core.group, %queue, offset = %next, slave = %by, %min, %max, WAITS_FOR_MASTER);
                }
                core.instance.route_change(core.config.pull_delay_when_exception).await;
            }
            Ok(Answer { result, .. }) => {
                waits_for_master = false;
                let asked = std::mem::replace(&mut next, result.next_begin_offset);
                if result.msg_found_list.is_empty() {
                    assigned.correct_tags_offset(next, &core.offsets);
                    if result.pull_status == PullStatus::NoMatchedMsg && next <= asked {
                        time::sleep(NO_PROGRESS_DELAY).await;
                    }
                } else if assigned.put(&result.msg_found_list) {
                    core.submit(&assigned, result.msg_found_list);
                }
            }
            Err(PullFailure { addr, error }) => {
                tracing::debug!(group = core.group, %queue, offset = %next, %error, "a pull failed");
                pull_failed(&core, &queue, addr.as_deref(), &error).await;
            }
        }
    }
}

/// The queue does not have the offset. It begins anew where the broker says, in a new assignment: what the old one has in
/// flight commits nothing any more.
async fn offset_moved(core: &Arc<PushCore>, assigned: &Arc<Assigned>, asked: QueueOffset, moved: QueueOffset) {
    let queue = &*assigned.queue;
    tracing::warn!(group = core.group, %queue, %asked, %moved, "the offset was moved");
    assigned.drop_queue();
    core.offsets.update(queue, moved, false);
    time::sleep(OFFSET_MOVED_DELAY).await;
    let turn = core.rebalance_turn.lock().await;
    core.offsets.persist(queue).await;
    core.forget(assigned);
    drop(turn);
    core.instance.rebalance_immediately();
}

/// Waits after a failed pull, for as short as may be, and sees to it that the broker knows us.
async fn pull_failed(core: &PushCore, queue: &MessageQueue, addr: Option<&str>, error: &ClientError) {
    let delay = match error.response_code() {
        Some(response_code::FLOW_CONTROL) => BROKER_FLOW_CONTROL_DELAY,
        _ => core.config.pull_delay_when_exception,
    };
    let forgotten = matches!(
        error.response_code(),
        Some(
            response_code::SUBSCRIPTION_NOT_EXIST
                | response_code::SUBSCRIPTION_NOT_LATEST
                | response_code::SUBSCRIPTION_GROUP_NOT_EXIST
        )
    );
    // A broker that does not know the subscription was restarted: told at once, it knows at the next pull.
    if let (true, Some(addr)) = (forgotten, addr) {
        core.instance.heartbeat_soon(addr).await;
    }
    if let ClientError::Remoting(_) | ClientError::NoBroker { .. } = error {
        core.instance.refresh_route(&queue.topic).await;
        // Another broker of that name may be asked instead, and then at once.
        if core.puller.has_other(queue, addr) {
            return;
        }
        core.instance.route_change(delay).await;
    } else {
        time::sleep(delay).await;
    }
    // A broker that lost the connection has taken us off its list: tell it before the others take our queues.
    if let (ClientError::Remoting(_), Some(addr)) = (error, addr) {
        core.instance.heartbeat_soon(addr).await;
    }
}

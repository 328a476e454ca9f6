//! Pulling: PULL_MESSAGE, answered at once or, when there is nothing yet, later (`PullMessageProcessor`).
//!
//! On a slave, and on a master that takes back what it has lost, the log is still to grow by messages that readers may have
//! seen already: an offset beyond its end is then one to wait for. Apache's slave answers such a pull with "try again at
//! once", which keeps a consumer busy for as long as the master is away.
//!
//! Left out on purpose: SQL92 and class filters (refused, as a broker without `enablePropertyFilter` refuses them), and the
//! OFFSET_MOVED_EVENT records that Apache writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use protocol::body::{EXPRESSION_TYPE_TAG, MessageModel, SubscriptionData, SubscriptionGroupConfig};
use protocol::header::{PullMessageRequestHeader, PullMessageResponseHeader};
use protocol::sysflag::pull as pull_flag;
use protocol::{BrokerId, QueueOffset, RemotingCommand, perm, response_code as code};
use quirks::Quirk;
use remoting::{Channel, Reply};
use sim::time::sleep;
use store::{GetMessageResult, GetMessageStatus, StoreError};

use super::Refusal;
use crate::config::BrokerConfig;
use crate::core::{Core, join_records, lock};
use crate::processor::offset::{self, is_in_queue};
use crate::service::pull_wait::WaitingPull;
use crate::state::left_overs::corrected_offset;
use crate::state::pull_hold::HeldPull;
use crate::state::subscription_groups::is_system_group;

/// The longest time that a pull is held, whatever it asks for. Clients ask for 15 to 30 s.
const SUSPEND_MS_MAX: i64 = 300_000;
/// The longest subscription that a pull may bring with it, in bytes.
const SUBSCRIPTION_BYTES_MAX: usize = 32 << 10;

/// How long a reader waits whom a refused slave sends to the master, which may not be there.
const REFUSED_WAIT: Duration = Duration::from_millis(200);

/// Takes a pull.
pub(crate) fn handle(core: &Arc<Core>, channel: &Channel, request: RemotingCommand) -> Reply {
    let core = Arc::clone(core);
    let channel = channel.clone();
    Reply::later(async move {
        match pull(&core, &channel, request).await {
            Ok(response) => response,
            Err(refusal) => Some(refusal.into_response()),
        }
    })
}

/// `None` if the pull is held.
async fn pull(
    core: &Core,
    channel: &Channel,
    mut request: RemotingCommand,
) -> Result<Option<RemotingCommand>, Refusal> {
    let mut header: PullMessageRequestHeader = request.header()?;
    let config = core.config();
    let group = match core.find_or_create_group(&header.consumer_group).await {
        Some(group) => group,
        None => {
            let remark = format!("subscription group [{}] does not exist", header.consumer_group);
            return Err(Refusal::new(code::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
        }
    };
    check_permission(core, &config, &group, &header)?;
    let subscription = subscription(core, &group, &header)?;
    if core.is_slave()
        && let Some(refused) = core.group.refused()
    {
        // A client that is told to try again at once does so at the broker that it is sent to.
        sleep(REFUSED_WAIT).await;
        let remark = format!("this slave's log is of another history than its master's and is not shown: {refused}");
        let offset = header.queue_offset;
        let result = nothing(GetMessageStatus::NoMatchedMessage, offset, offset, offset);
        let found = Found { wait_from: Some(offset), code: code::PULL_RETRY_IMMEDIATELY, remark, result: Some(result) };
        return Ok(Some(found.into_response(core, &header)));
    }
    let found = read(core, channel, &header, &subscription).await;
    // What a slave is told on the way is not stored (`PullMessageProcessor`): whoever reads from it commits on purpose.
    if pull_flag::has_commit_offset(header.sys_flag) && !core.is_slave() {
        commit(core, channel, &header);
    }
    if found.code == code::PULL_NOT_FOUND && pull_flag::has_suspend(header.sys_flag) {
        let suspend_ms = if config.long_polling_enable {
            header.suspend_timeout_millis
        } else {
            i64::try_from(config.short_polling_time_ms).unwrap_or(i64::MAX)
        };
        let suspend_ms = suspend_ms.min(SUSPEND_MS_MAX);
        let suspend_ms = if sim::fault_point!("broker.pull.held-briefly") { suspend_ms.min(5) } else { suspend_ms };
        if suspend_ms > 0 {
            request.ext_fields = protocol::ExtFields::new();
            request.body = Bytes::new();
            header.subscription = None;
            let held = HeldPull {
                // What waits for the log waits for its next message, wherever it stands.
                queue_offset: found.wait_from.unwrap_or(header.queue_offset).0,
                bytes: if pull_flag::has_subscription(header.sys_flag) { bytes_of(&subscription) } else { 0 },
                subscription,
                deadline_ms: core.now_ms().saturating_add(suspend_ms),
                payload: WaitingPull { channel: channel.clone(), request, header },
            };
            core.pull_wait.hold(core, held);
            return Ok(None);
        }
    }
    Ok(Some(found.into_response(core, &header)))
}

fn check_permission(
    core: &Core,
    config: &BrokerConfig,
    group: &SubscriptionGroupConfig,
    header: &PullMessageRequestHeader,
) -> Result<(), Refusal> {
    let forbidden = |what: String| Err(Refusal::new(code::NO_PERMISSION, what));
    if !perm::is_readable(config.broker_permission) {
        return forbidden(format!("the broker[{}] pulling message is forbidden", core.broker_addr()));
    }
    if !group.consume_enable {
        return forbidden(format!("subscription group no permission, {}", header.consumer_group));
    }
    let topics = lock(&core.topics);
    let Some(topic) = topics.get(&header.topic) else {
        let remark = format!("topic[{}] not exist, apply first please!", header.topic);
        return Err(Refusal::new(code::TOPIC_NOT_EXIST, remark));
    };
    if !perm::is_readable(topic.perm) {
        return forbidden(format!("the topic[{}] pulling message is forbidden", header.topic));
    }
    if header.queue_id < 0 || header.queue_id >= topic.read_queue_nums {
        let remark = format!(
            "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}]",
            header.queue_id, header.topic, topic.read_queue_nums
        );
        return Err(Refusal::new(code::SYSTEM_ERROR, remark));
    }
    Ok(())
}

/// What the consumer wants: as the request says, or as its heartbeats said.
fn subscription(
    core: &Core,
    group: &SubscriptionGroupConfig,
    header: &PullMessageRequestHeader,
) -> Result<Arc<SubscriptionData>, Refusal> {
    let expression_type = header.expression_type.as_deref().unwrap_or(EXPRESSION_TYPE_TAG);
    if pull_flag::has_subscription(header.sys_flag) {
        check_expression_type(expression_type)?;
        let expression = header.subscription.as_deref().unwrap_or_default();
        if expression.len() > SUBSCRIPTION_BYTES_MAX {
            let bytes = expression.len();
            let remark =
                format!("the subscription has {bytes} bytes, at most {SUBSCRIPTION_BYTES_MAX} are taken with a pull");
            return Err(Refusal::new(code::SUBSCRIPTION_PARSE_FAILED, remark));
        }
        return Ok(Arc::new(SubscriptionData::by_tags(header.topic.as_str(), expression, header.sub_version)));
    }
    let clients = lock(&core.clients);
    let Some(members) = clients.consumer_group(&header.consumer_group) else {
        return Err(Refusal::new(code::SUBSCRIPTION_NOT_EXIST, "the consumer's group info not exist"));
    };
    if !group.consume_broadcast_enable && members.message_model == MessageModel::Broadcasting {
        let remark = format!("the consumer group[{}] can not consume by broadcast way", header.consumer_group);
        return Err(Refusal::new(code::NO_PERMISSION, remark));
    }
    let Some(subscription) = members.subscriptions.get(&header.topic) else {
        return Err(Refusal::new(code::SUBSCRIPTION_NOT_EXIST, "the consumer's subscription not exist"));
    };
    if subscription.sub_version < header.sub_version {
        return Err(Refusal::new(code::SUBSCRIPTION_NOT_LATEST, "the consumer's subscription not latest"));
    }
    check_expression_type(&subscription.expression_type)?;
    Ok(Arc::clone(subscription))
}

/// The memory that a subscription takes, roughly: its text twice, and what the tags and their hashes cost beside.
fn bytes_of(subscription: &SubscriptionData) -> usize {
    const TAG_BYTES: usize = 64;
    2 * subscription.sub_string.len() + subscription.topic.len() + TAG_BYTES * subscription.tags_set.len()
}

fn check_expression_type(expression_type: &str) -> Result<(), Refusal> {
    if expression_type.is_empty() || expression_type == EXPRESSION_TYPE_TAG {
        return Ok(());
    }
    let remark = format!("The broker does not support consumer to filter message by {expression_type}");
    Err(Refusal::new(code::SYSTEM_ERROR, remark))
}

/// Stores the offset that a pull says its group has consumed, unless it is left over from before a loss.
fn commit(core: &Core, channel: &Channel, header: &PullMessageRequestHeader) {
    let PullMessageRequestHeader { consumer_group, topic, queue_id, commit_offset, .. } = header;
    let queue_offset = (topic.as_str(), *queue_id, *commit_offset);
    if core.floor_of_left_over(consumer_group, channel, false, queue_offset).is_none()
        && is_in_queue(core, topic, *queue_id, *commit_offset)
    {
        // The consumer learns it when it commits by itself.
        let _ = offset::commit(core, consumer_group, topic, *queue_id, *commit_offset);
    }
}

/// What a pull found, with its response code.
pub(crate) struct Found {
    /// Where a pull that is to be held waits, if not at the offset that it asked for.
    wait_from: Option<QueueOffset>,
    code: i32,
    remark: String,
    result: Option<GetMessageResult>,
}

/// Reads for a pull that has been checked.
pub(crate) async fn read(
    core: &Core,
    channel: &Channel,
    header: &PullMessageRequestHeader,
    subscription: &SubscriptionData,
) -> Found {
    match read_queue(core, channel, header, subscription).await {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(%error, topic = header.topic, queue_id = header.queue_id, "a pull failed");
            Found { wait_from: None, code: code::SYSTEM_ERROR, remark: error.to_string(), result: None }
        }
    }
}

async fn read_queue(
    core: &Core,
    channel: &Channel,
    header: &PullMessageRequestHeader,
    subscription: &SubscriptionData,
) -> Result<Found, StoreError> {
    let PullMessageRequestHeader { consumer_group: group, topic, queue_id, queue_offset, .. } = header;
    let queue_id = *queue_id;
    let exempt = is_system_group(group);
    let keeps_its_offsets = !pull_flag::has_commit_offset(header.sys_flag);
    let floor_of_left_over = || {
        let queue_offset = (topic.as_str(), queue_id, *queue_offset);
        if exempt { None } else { core.floor_of_left_over(group, channel, keeps_its_offsets, queue_offset) }
    };
    if let Some(floor) = floor_of_left_over() {
        return left_over(core, header, floor).await;
    }
    let config = core.config();
    let max_pull_nums = if sim::fault_point!("broker.pull.few-messages") { 2 } else { config.max_pull_nums };
    let max_messages = header.max_msg_nums.clamp(1, max_pull_nums.max(1));
    let max_bytes = header.max_msg_bytes.and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    let mut result = core
        .store
        .get_message(
            topic,
            queue_id,
            *queue_offset,
            usize::try_from(max_messages).unwrap_or(1),
            max_bytes.unwrap_or(usize::MAX),
            |tags_code| subscription.may_match(tags_code),
        )
        .await?;
    // On a slave the first message after a loss may have come meanwhile.
    if core.is_slave()
        && let Some(floor) = floor_of_left_over()
    {
        return left_over(core, header, floor).await;
    }
    if core.awaits_log() && is_to_come(&result, *queue_offset) {
        return Ok(await_log(*queue_offset, result));
    }
    if !exempt
        && !keeps_its_offsets
        && *queue_offset > result.max_offset
        && core.has_lost_without_trace(topic, queue_id).await?
    {
        let floor = lock(&core.left_overs).floor(topic, queue_id);
        return left_over(core, header, floor).await;
    }
    if result.status == GetMessageStatus::OffsetOverflowBadly && config.quirks.has(Quirk::OffsetOverflowResets) {
        // Apache #2181, #4215: a queue that has its first message still is begun anew.
        result.next_begin_offset = if result.min_offset.0 == 0 { result.min_offset } else { result.max_offset };
    }
    if !exempt {
        core.lead(group, channel, topic, queue_id);
    }
    let (code, remark) = match result.status {
        GetMessageStatus::Found => (code::SUCCESS, "FOUND"),
        GetMessageStatus::NoMatchedMessage => (code::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE"),
        GetMessageStatus::BeingMended => (code::PULL_RETRY_IMMEDIATELY, "BEING_MENDED"),
        GetMessageStatus::MessageWasRemoving => (code::PULL_RETRY_IMMEDIATELY, "MESSAGE_WAS_REMOVING"),
        GetMessageStatus::NoMatchedLogicQueue => (empty_queue_code(*queue_offset), "NO_MATCHED_LOGIC_QUEUE"),
        GetMessageStatus::NoMessageInQueue => (empty_queue_code(*queue_offset), "NO_MESSAGE_IN_QUEUE"),
        GetMessageStatus::OffsetFoundNull => (code::PULL_NOT_FOUND, "OFFSET_FOUND_NULL"),
        GetMessageStatus::OffsetOverflowOne => (code::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
        GetMessageStatus::OffsetOverflowBadly => (code::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY"),
        GetMessageStatus::OffsetTooSmall => (code::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL"),
    };
    let mut stats = lock(&core.stats);
    if code == code::SUCCESS {
        let count = i64::try_from(result.messages.len()).unwrap_or(i64::MAX);
        stats.count_get(group, topic, count, i64::try_from(result.messages_bytes).unwrap_or(i64::MAX));
    } else {
        stats.get_miss.add(1, 0);
    }
    drop(stats);
    Ok(Found { wait_from: None, code, remark: remark.to_owned(), result: Some(result) })
}

/// Whether what the reader asks for is not here and may come: it lies beyond the end, or before what an empty slave was sent.
fn is_to_come(result: &GetMessageResult, queue_offset: QueueOffset) -> bool {
    match result.status {
        GetMessageStatus::OffsetOverflowBadly | GetMessageStatus::OffsetTooSmall => true,
        GetMessageStatus::NoMatchedLogicQueue | GetMessageStatus::NoMessageInQueue => queue_offset.0 != 0,
        _ => false,
    }
}

/// The reader keeps its place and waits. Meanwhile the master, if there is one, may be asked.
fn await_log(queue_offset: QueueOffset, result: GetMessageResult) -> Found {
    Found {
        wait_from: Some(queue_offset.max(result.max_offset)),
        code: code::PULL_NOT_FOUND,
        remark: "OFFSET_NOT_HERE_YET".to_owned(),
        result: Some(GetMessageResult { next_begin_offset: queue_offset, suggest_pulling_from_slave: false, ..result }),
    }
}

/// An offset other than 0 in an empty queue is of another life of the queue.
const fn empty_queue_code(queue_offset: QueueOffset) -> i32 {
    if queue_offset.0 == 0 { code::PULL_NOT_FOUND } else { code::PULL_OFFSET_MOVED }
}

/// The answer to a reader that stands at an offset from before a loss, and has missed nothing up to `floor`; see
/// [`left_overs`](crate::state::left_overs).
async fn left_over(core: &Core, header: &PullMessageRequestHeader, floor: i64) -> Result<Found, StoreError> {
    let PullMessageRequestHeader { consumer_group: group, topic, queue_id, queue_offset, .. } = header;
    let min_offset = core.store.min_offset_in_queue(topic, *queue_id);
    let max_offset = core.store.max_offset_in_queue(topic, *queue_id);
    let committed = lock(&core.offsets).committed(group, topic, *queue_id);
    let keeps_its_offsets = !pull_flag::has_commit_offset(header.sys_flag);
    let starts_over = committed.is_none() && !keeps_its_offsets && core.is_young(topic, *queue_id).await?;
    if core.recovering.load(Ordering::Acquire) {
        // It may turn out not to be lost when the end of the log has been taken back.
        let result = nothing(GetMessageStatus::OffsetOverflowBadly, *queue_offset, min_offset, max_offset);
        return Ok(await_log(*queue_offset, result));
    }
    let next = corrected_offset(committed, floor, min_offset.0, max_offset.0, starts_over);
    tracing::warn!(
        group,
        topic,
        queue_id,
        from = queue_offset.0,
        to = next,
        floor,
        "a consumer stands at an offset from before a loss: sent back"
    );
    let result = nothing(GetMessageStatus::OffsetOverflowBadly, QueueOffset(next), min_offset, max_offset);
    let remark = "OFFSET_OVERFLOW_BADLY".to_owned();
    Ok(Found { wait_from: None, code: code::PULL_OFFSET_MOVED, remark, result: Some(result) })
}

/// What a pull is answered that is held no longer, without another look.
pub(crate) fn found_nothing(core: &Core, header: &PullMessageRequestHeader) -> Found {
    let PullMessageRequestHeader { topic, queue_id, queue_offset, .. } = header;
    let min_offset = core.store.min_offset_in_queue(topic, *queue_id);
    let max_offset = core.store.max_offset_in_queue(topic, *queue_id);
    let result = nothing(GetMessageStatus::OffsetOverflowOne, *queue_offset, min_offset, max_offset);
    let remark = "OFFSET_OVERFLOW_ONE".to_owned();
    Found { wait_from: None, code: code::PULL_NOT_FOUND, remark, result: Some(result) }
}

const fn nothing(
    status: GetMessageStatus,
    next_begin_offset: QueueOffset,
    min_offset: QueueOffset,
    max_offset: QueueOffset,
) -> GetMessageResult {
    GetMessageResult {
        status,
        messages: Vec::new(),
        messages_bytes: 0,
        next_begin_offset,
        min_offset,
        max_offset,
        suggest_pulling_from_slave: false,
        missing: 0,
    }
}

impl Found {
    /// The response.
    pub(crate) fn into_response(self, core: &Core, header: &PullMessageRequestHeader) -> RemotingCommand {
        let Some(result) = self.result else {
            return RemotingCommand::response(self.code).with_remark(self.remark);
        };
        let suggest = if core.config().slave_read_enable && self.wait_from.is_none() {
            let groups = lock(&core.groups);
            groups.get(&header.consumer_group).map_or(BrokerId::MASTER, |group| {
                // Far behind, it is sent to a slave; near again, back to the broker that the group is to read from.
                if result.suggest_pulling_from_slave { group.which_broker_when_consume_slowly } else { group.broker_id }
            })
        } else {
            BrokerId::MASTER
        };
        // A slave that knows of a loss does not know that this reader is past it: it would be sent back there, and come again.
        let PullMessageRequestHeader { topic, queue_id, .. } = header;
        let is_doubted = !suggest.is_master()
            && lock(&core.left_overs).is_doubted_elsewhere(topic, *queue_id, result.next_begin_offset.0);
        let suggest = if is_doubted { BrokerId::MASTER } else { suggest };
        let response = RemotingCommand::response_with(
            self.code,
            &PullMessageResponseHeader {
                suggest_which_broker_id: suggest,
                next_begin_offset: result.next_begin_offset,
                min_offset: result.min_offset,
                max_offset: result.max_offset,
            },
        )
        .with_remark(self.remark);
        if result.messages.is_empty() {
            response
        } else {
            response.with_body(join_records(result.messages, result.messages_bytes))
        }
    }
}

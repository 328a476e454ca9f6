//! One pull (`PullAPIWrapper`): which broker to ask, with which flags, and which messages of the answer are wanted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocol::body::{MessageQueue, SubscriptionData};
use protocol::header::PullMessageRequestHeader;
use protocol::message::{MessageExt, decode_messages};
use protocol::properties::property;
use protocol::topic::is_retry_topic;
use protocol::{BrokerId, QueueOffset, request_code, sysflag};

use crate::error::ClientError;
use crate::instance::ClientInstance;
use crate::instance::api::PullStatus;
use crate::lock::Lock;

/// The answer to a pull (`PullResult`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullResult {
    /// How it ended.
    pub pull_status: PullStatus,
    /// Where to pull next.
    pub next_begin_offset: QueueOffset,
    /// The queue's first offset.
    pub min_offset: QueueOffset,
    /// One past the queue's last offset.
    pub max_offset: QueueOffset,
    /// The messages, if any were found. They are shared, because a consumer keeps each until it is acknowledged.
    pub msg_found_list: Vec<Arc<MessageExt>>,
}

/// What to pull.
pub(crate) struct PullRequest<'a> {
    pub queue: &'a MessageQueue,
    pub subscription: &'a SubscriptionData,
    /// Whether the expression travels with the request, or the broker has it from the heartbeat.
    pub with_expression: bool,
    pub offset: QueueOffset,
    pub max_nums: i32,
    /// What the group has consumed, to be stored by the way.
    pub commit_offset: Option<QueueOffset>,
    /// How long the broker may hold the request; `None` asks for an answer at once.
    pub suspend: Option<Duration>,
    pub timeout: Duration,
}

/// A result, and who gave it.
pub(super) struct Answer {
    pub result: PullResult,
    pub by: BrokerId,
}

/// Why there is no result; and which address was asked, for those who want to mend something there.
pub(super) struct PullFailure {
    pub addr: Option<String>,
    pub error: ClientError,
}

/// Pulls for one group.
pub(crate) struct Puller {
    instance: Arc<ClientInstance>,
    group: String,
    /// The broker id that each queue's broker suggested last: absent means the master.
    suggested: Lock<BTreeMap<MessageQueue, BrokerId>>,
}

impl Puller {
    pub(crate) fn new(instance: Arc<ClientInstance>, group: &str) -> Self {
        Self { instance, group: group.to_owned(), suggested: Lock::default() }
    }

    /// Asks once: the broker that the queue's last answer suggested, or another one if that one is not there. A broker that
    /// does not answer is passed over from then on, if there is another one.
    pub(super) async fn pull(&self, request: &PullRequest<'_>) -> Result<Answer, PullFailure> {
        let queue = request.queue;
        let wanted = self.suggested.lock().get(queue).copied().unwrap_or(BrokerId::MASTER);
        let asked = self.instance.subscribe_addr(queue, wanted).await;
        let (addr, by) = asked.map_err(|error| PullFailure { addr: None, error })?;
        match self.pull_from(&addr, by, request).await {
            Ok((result, suggested)) => {
                self.instance.broker_answered(&addr);
                self.suggest(queue, suggested);
                Ok(Answer { result, by })
            }
            Err(error) => {
                self.instance.broker_failed(&addr, &error);
                Err(PullFailure { addr: Some(addr), error })
            }
        }
    }

    /// Asks this broker, which has this id; also gives the id that it suggests to ask next.
    pub(crate) async fn pull_from(
        &self,
        addr: &str,
        id: BrokerId,
        request: &PullRequest<'_>,
    ) -> Result<(PullResult, BrokerId), ClientError> {
        let header = self.header(request, id);
        let pulled = self.instance.api().pull(addr, &header, request.timeout).await?;
        let msg_found_list = match pulled.status {
            PullStatus::Found => decode(pulled.records, request.subscription, &self.group)
                .map_err(|reason| ClientError::malformed(addr, request_code::PULL_MESSAGE, reason))?,
            _ => Vec::new(),
        };
        let result = PullResult {
            pull_status: pulled.status,
            next_begin_offset: pulled.header.next_begin_offset,
            min_offset: pulled.header.min_offset,
            max_offset: pulled.header.max_offset,
            msg_found_list,
        };
        Ok((result, pulled.header.suggest_which_broker_id))
    }

    /// Whether the next pull goes to another address than `failed`, and to one that may answer.
    pub(super) fn has_other(&self, queue: &MessageQueue, failed: Option<&str>) -> bool {
        let wanted = self.suggested.lock().get(queue).copied().unwrap_or(BrokerId::MASTER);
        self.instance
            .next_subscribe_addr(&queue.broker_name, wanted)
            .is_some_and(|addr| failed != Some(addr.as_str()) && self.instance.is_reachable(&addr))
    }

    fn header(&self, request: &PullRequest<'_>, id: BrokerId) -> PullMessageRequestHeader {
        let mut sys_flag = 0;
        // A slave stores no offsets. 0 is where a group without an offset begins anyway.
        let commit_offset = request.commit_offset.filter(|offset| id.is_master() && *offset > QueueOffset::ZERO);
        if commit_offset.is_some() {
            sys_flag |= sysflag::pull::COMMIT_OFFSET;
        }
        if request.suspend.is_some() {
            sys_flag |= sysflag::pull::SUSPEND;
        }
        if request.with_expression {
            sys_flag |= sysflag::pull::SUBSCRIPTION;
        }
        let suspend = request.suspend.unwrap_or_default();
        PullMessageRequestHeader {
            consumer_group: self.group.clone(),
            topic: request.queue.topic.clone(),
            queue_id: request.queue.queue_id,
            queue_offset: request.offset,
            max_msg_nums: request.max_nums,
            sys_flag,
            commit_offset: commit_offset.unwrap_or_default(),
            suspend_timeout_millis: i64::try_from(suspend.as_millis()).unwrap_or(i64::MAX),
            subscription: request.with_expression.then(|| request.subscription.sub_string.clone()),
            sub_version: request.subscription.sub_version,
            expression_type: Some(request.subscription.expression_type.clone()),
            max_msg_bytes: None,
            broker_name: Some(request.queue.broker_name.clone()),
        }
    }

    /// Follows a broker's hint (`updatePullFromWhichNode`).
    fn suggest(&self, queue: &MessageQueue, id: BrokerId) {
        let mut suggested = self.suggested.lock();
        if id.is_master() {
            suggested.remove(queue);
        } else {
            suggested.insert(queue.clone(), id);
        }
    }
}

/// The messages of an answer that the subscription takes: brokers compare hashes of tags, which collide. Retried messages
/// get their own topic back.
fn decode(
    records: bytes::Bytes,
    subscription: &SubscriptionData,
    group: &str,
) -> Result<Vec<Arc<MessageExt>>, protocol::message::RecordError> {
    let by_tag = !subscription.tags_set.is_empty() && !subscription.class_filter_mode;
    let mut messages = Vec::new();
    for message in decode_messages(records) {
        let mut message = message?;
        if by_tag && !message.tags().is_some_and(|tag| subscription.tags_set.contains(tag)) {
            continue;
        }
        if is_retry_topic(&message.topic)
            && message.topic[protocol::topic::RETRY_TOPIC_PREFIX.len()..] == *group
            && let Some(topic) = message.properties.get(property::RETRY_TOPIC)
        {
            message.topic = topic.to_owned();
        }
        messages.push(Arc::new(message));
    }
    Ok(messages)
}

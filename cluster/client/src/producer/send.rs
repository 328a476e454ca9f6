//! Sending (`sendDefaultImpl`, `sendKernelImpl`): one message, to one queue after the other until a broker takes it.
//!
//! The error of a send knows the worst of its attempts: when one of them may have stored the message, so may the send.

use std::time::Duration;

use bytes::Bytes;
use protocol::body::MessageQueue;
use protocol::header::SendMessageRequestHeader;
use protocol::properties::{PROPERTIES_BYTES_MAX, property};
use protocol::topic::{AUTO_CREATE_TOPIC_KEY, is_retry_topic};
use protocol::{SendStatus, response_code, sysflag};
use sim::time::Instant;

use super::{ProducerCore, SendResult};
use crate::error::{ClientError, Outcome};
use crate::instance::ClientInstance;
use crate::instance::api::Sent;
use crate::message::Message;
use crate::validators;

/// Where a message is to go.
pub(crate) enum Target {
    /// The next queue, with retries on others.
    Any,
    /// This queue only.
    Queue(MessageQueue),
}

/// Who waits for the result; it decides on the retries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The caller.
    Sync,
    /// A callback: a broker's refusal is final then, as in Java's `onExceptionImpl`.
    Async,
}

/// A message ready to be sent, whatever the queue.
pub(super) struct Prepared {
    /// All but the queue.
    pub header: SendMessageRequestHeader,
    pub body: Bytes,
    pub msg_id: String,
}

/// Codes of a broker after which another one is tried (`DefaultMQProducer.retryResponseCodes`).
const RETRY_RESPONSE_CODES: [i32; 6] = [
    response_code::TOPIC_NOT_EXIST,
    response_code::SERVICE_NOT_AVAILABLE,
    response_code::SYSTEM_ERROR,
    response_code::NO_PERMISSION,
    response_code::NO_BUYER_ID,
    response_code::NOT_IN_CURRENT_UNIT,
];

impl ProducerCore {
    /// Sends one message.
    pub(crate) async fn send(
        &self,
        instance: &ClientInstance,
        message: Message,
        target: Target,
        mode: Mode,
        timeout: Duration,
    ) -> Result<SendResult, ClientError> {
        self.check_running()?;
        validators::check_send_topic(&message.topic)?;
        validators::check_body(&message.topic, message.body.len(), self.config().max_message_bytes)?;
        let prepared = self.prepare(instance, message)?;
        self.send_prepared(instance, prepared, target, mode, timeout).await
    }

    /// Sends one message for which no answer is wanted.
    pub(super) async fn send_oneway(
        &self,
        instance: &ClientInstance,
        message: Message,
        target: Target,
    ) -> Result<(), ClientError> {
        self.check_running()?;
        validators::check_send_topic(&message.topic)?;
        validators::check_body(&message.topic, message.body.len(), self.config().max_message_bytes)?;
        let mut prepared = self.prepare(instance, message)?;
        let timeout = self.config().send_msg_timeout;
        let queue = match target {
            Target::Queue(queue) => queue,
            Target::Any => {
                let info = self.publish_info(instance, &prepared.header.topic, timeout).await?;
                self.next_queue(&info, None).ok_or_else(|| no_queue(&prepared.header.topic))?
            }
        };
        let addr = self.master_addr(instance, &queue, timeout).await?;
        address_to(&mut prepared.header, &queue);
        instance.api().send_oneway(&addr, &prepared.header, prepared.body).await
    }

    /// Names the message, compresses it, and makes its header.
    fn prepare(&self, instance: &ClientInstance, mut message: Message) -> Result<Prepared, ClientError> {
        let msg_id = match message.properties.get(property::UNIQ_KEY) {
            Some(key) => key.to_owned(),
            None => {
                let key = instance.unique_keys().next();
                message.properties.insert(property::UNIQ_KEY, &key);
                key
            }
        };
        let mut header = self.header(message.topic, message.flag);
        if message.properties.get(property::TRAN_MSG) == Some("true") {
            header.sys_flag |= sysflag::message::TRANSACTION_PREPARED;
        }
        if is_retry_topic(&header.topic) {
            // A consumer sends its failed message itself: the counters travel in the header.
            let take = |properties: &mut protocol::Properties, name: &str| {
                let value = properties.get(name).and_then(|text| text.parse().ok());
                properties.remove(name);
                value
            };
            header.reconsume_times = take(&mut message.properties, property::RECONSUME_TIME).or(Some(0));
            header.max_reconsume_times = take(&mut message.properties, property::MAX_RECONSUME_TIMES);
        }
        let body = match self.config().compress_msg_body_over_howmuch_bytes {
            Some(bytes_min) if message.body.len() >= bytes_min => {
                header.sys_flag |= sysflag::message::COMPRESSED;
                self.compressor().compress(&message.body)
            }
            _ => message.body,
        };
        let properties = message.properties.encode();
        if properties.len() > PROPERTIES_BYTES_MAX {
            let reason = format!("has {} bytes of properties, the most is {PROPERTIES_BYTES_MAX}", properties.len());
            return Err(ClientError::Message { topic: header.topic, reason });
        }
        header.properties = Some(properties);
        Ok(Prepared { header, body, msg_id })
    }

    /// A header without queue and properties.
    pub(super) fn header(&self, topic: String, flag: i32) -> SendMessageRequestHeader {
        SendMessageRequestHeader {
            producer_group: self.group().to_owned(),
            topic,
            default_topic: AUTO_CREATE_TOPIC_KEY.to_owned(),
            default_topic_queue_nums: self.config().default_topic_queue_nums,
            flag,
            reconsume_times: Some(0),
            unit_mode: Some(false),
            batch: Some(false),
            ..SendMessageRequestHeader::default()
        }
    }

    /// Tries one queue after the other, until a broker takes the message or the time or the attempts are used up.
    pub(super) async fn send_prepared(
        &self,
        instance: &ClientInstance,
        mut prepared: Prepared,
        target: Target,
        mode: Mode,
        timeout: Duration,
    ) -> Result<SendResult, ClientError> {
        let started_at = Instant::now();
        let deadline = started_at + timeout;
        let (info, fixed, attempts_max) = match target {
            Target::Queue(queue) => (None, Some(queue), 1),
            Target::Any => {
                let info = self.publish_info(instance, &prepared.header.topic, timeout).await?;
                let retries = match mode {
                    Mode::Sync => self.config().retry_times_when_send_failed,
                    Mode::Async => self.config().retry_times_when_send_async_failed,
                };
                (Some(info), None, 1 + retries)
            }
        };
        let mut brokers: Vec<String> = Vec::new();
        let mut outcome = Outcome::Fail;
        let mut stored = None;
        let mut last = None;
        while brokers.len() < attempts_max {
            let attempt_at = Instant::now();
            if attempt_at >= deadline {
                break;
            }
            // The route may have changed since the last attempt.
            let info = match &info {
                Some(_) if !brokers.is_empty() => {
                    self.publish_info(instance, &prepared.header.topic, deadline - attempt_at).await.ok()
                }
                info => info.clone(),
            };
            let next = || self.next_queue(info.as_deref()?, brokers.last().map(String::as_str));
            let Some(queue) = fixed.clone().or_else(next) else { break };
            brokers.push(queue.broker_name.clone());
            let remaining = deadline.saturating_duration_since(Instant::now());
            let remaining = remaining.min(self.config().send_msg_max_timeout_per_request.unwrap_or(remaining));
            let sent = self.send_to(instance, &mut prepared, &queue, remaining).await;
            self.update_fault_item(&queue.broker_name, attempt_at.elapsed(), sent.is_err());
            match sent {
                Ok(sent) => {
                    let result = result(sent, &prepared.msg_id, queue);
                    if result.send_status == SendStatus::SendOk
                        || !self.config().retry_another_broker_when_not_store_ok
                        || mode == Mode::Async
                    {
                        return Ok(result);
                    }
                    stored = Some(result);
                }
                Err(error) => {
                    outcome = outcome.max(error.outcome());
                    let again = should_retry(&error, mode);
                    if route_may_have_changed(&error) {
                        instance.refresh_route_later(&prepared.header.topic);
                    }
                    tracing::debug!(group = self.group(), %queue, %error, again, "a send failed");
                    last = Some(error);
                    if !again {
                        break;
                    }
                }
            }
        }
        // A broker has the message, though not as safely as was asked for: that is better than an error.
        if let Some(stored) = stored {
            return Ok(stored);
        }
        let topic = prepared.header.topic;
        let last =
            last.unwrap_or(ClientError::CallTimeout { operation: "finding a queue to send to", budget: timeout });
        let (attempts, cost) = (brokers.len(), started_at.elapsed());
        Err(ClientError::Send { topic, attempts, cost, brokers, outcome, last: Box::new(last) })
    }

    async fn send_to(
        &self,
        instance: &ClientInstance,
        prepared: &mut Prepared,
        queue: &MessageQueue,
        timeout: Duration,
    ) -> Result<Sent, ClientError> {
        let started_at = Instant::now();
        let addr = self.master_addr(instance, queue, timeout).await?;
        address_to(&mut prepared.header, queue);
        let remaining = timeout.saturating_sub(started_at.elapsed());
        if remaining.is_zero() {
            return Err(ClientError::CallTimeout { operation: "finding the broker of a queue", budget: timeout });
        }
        instance.api().send(&addr, &prepared.header, prepared.body.clone(), remaining).await
    }

    /// The master of a queue; asks for the route again if it is not known.
    async fn master_addr(
        &self,
        instance: &ClientInstance,
        queue: &MessageQueue,
        timeout: Duration,
    ) -> Result<String, ClientError> {
        if let Some(addr) = instance.master_addr(&queue.broker_name) {
            return Ok(addr);
        }
        // Another broker may know better what to do with the rest of the time.
        instance.update_topic_route(&queue.topic, timeout / 2).await?;
        let unknown = || ClientError::NoBroker { broker_name: queue.broker_name.clone() };
        instance.master_addr(&queue.broker_name).ok_or_else(unknown)
    }
}

/// Whether another broker may do better.
fn should_retry(error: &ClientError, mode: Mode) -> bool {
    match error {
        ClientError::Response { code, .. } => mode == Mode::Sync && RETRY_RESPONSE_CODES.contains(code),
        ClientError::Remoting(_) | ClientError::NoBroker { .. } | ClientError::Malformed { .. } => true,
        _ => false,
    }
}

/// Whether the broker seems to be gone, or not to take messages any more, so that the name servers may know of another route.
fn route_may_have_changed(error: &ClientError) -> bool {
    match error {
        ClientError::Remoting(_) | ClientError::NoBroker { .. } => true,
        error => matches!(
            error.response_code(),
            Some(response_code::SERVICE_NOT_AVAILABLE | response_code::NO_PERMISSION | response_code::TOPIC_NOT_EXIST)
        ),
    }
}

fn no_queue(topic: &str) -> ClientError {
    ClientError::NoQueue { topic: topic.to_owned(), purpose: "send to" }
}

/// Puts the queue and the present time into a header.
fn address_to(header: &mut SendMessageRequestHeader, queue: &MessageQueue) {
    header.queue_id = queue.queue_id;
    header.broker_name = Some(queue.broker_name.clone());
    header.born_timestamp = sim::time::wall_clock_ms();
}

fn result(sent: Sent, msg_id: &str, mut queue: MessageQueue) -> SendResult {
    queue.queue_id = sent.header.queue_id;
    SendResult {
        send_status: sent.status,
        msg_id: msg_id.to_owned(),
        offset_msg_id: sent.header.msg_id,
        message_queue: queue,
        queue_offset: sent.header.queue_offset,
    }
}

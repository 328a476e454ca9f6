//! The listener's calls, and what follows from their result (`ConsumeMessageConcurrentlyService`).
//!
//! Instead of threads there are workers: tasks that take requests from one queue. One worker serves many requests as long
//! as the listener does not wait; when it waits, another worker goes on, up to the limit. So a quick listener costs no task
//! per message, and a slow one is called as often at a time as the limit says. A message whose listener panics stays held
//! until the time for consuming it is over, and is then handed back.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use protocol::body::MessageModel;
use protocol::header::ConsumerSendMsgBackRequestHeader;
use protocol::message::MessageExt;
use protocol::properties::property;
use protocol::topic::retry_topic;
use sim::task::{self, JoinHandle};
use sim::time;

use super::assigned::Assigned;
use super::core::PushCore;
use super::{ConsumeContext, ConsumeStatus};
use crate::error::ClientError;
use crate::message::Message;
use crate::producer::{Mode, Target};

/// What a listener takes longer that is slow.
const SLOW: Duration = Duration::from_millis(200);
/// How long handing a message back may take (`consumerSendMessageBack`).
const SEND_BACK_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait before a message that could not be handed back is consumed again here (`submitConsumeRequestLater`).
const CONSUME_LATER_DELAY: Duration = Duration::from_secs(5);
/// How many expired messages of one queue are handed back at a time (`cleanExpiredMsg`).
const EXPIRED_MAX: usize = 16;
/// The delay level of a message that took too long: 10 s.
const EXPIRED_DELAY_LEVEL: i32 = 3;

/// Messages for one call of the listener.
struct ConsumeRequest {
    assigned: Arc<Assigned>,
    messages: Vec<Arc<MessageExt>>,
}

/// The requests that wait, and how many workers there are.
#[derive(Default)]
pub(super) struct Executor {
    waiting: VecDeque<ConsumeRequest>,
    workers: usize,
}

impl Executor {
    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

/// A worker that is counted, until it finds nothing to do, or ends by a panic of the listener.
struct Worker {
    core: Arc<PushCore>,
    counted: bool,
}

impl Worker {
    /// The next request; without one the worker counts no more. Both happen under one lock, so that a request which comes
    /// just then finds either this worker or room for another one.
    fn next(&mut self) -> Option<ConsumeRequest> {
        let mut executor = self.core.executor.lock();
        let request = executor.waiting.pop_front();
        if request.is_none() {
            executor.workers -= 1;
            self.counted = false;
        }
        request
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.counted {
            self.core.executor.lock().workers -= 1;
        }
    }
}

impl PushCore {
    /// Has the listener called for messages that were put into the process queue.
    pub(super) fn submit(self: &Arc<Self>, assigned: &Arc<Assigned>, messages: Vec<Arc<MessageExt>>) {
        let batch = self.config.consume_message_batch_max_size;
        let request = |messages| ConsumeRequest { assigned: Arc::clone(assigned), messages };
        {
            let mut executor = self.executor.lock();
            if messages.len() <= batch {
                executor.waiting.push_back(request(messages));
            } else {
                executor.waiting.extend(messages.chunks(batch).map(|chunk| request(chunk.to_vec())));
            }
        }
        self.add_worker();
    }

    /// Starts a worker if something waits and the limit allows.
    fn add_worker(self: &Arc<Self>) {
        let mut executor = self.executor.lock();
        if executor.waiting.is_empty() || executor.workers >= self.config.consume_thread_max {
            return;
        }
        executor.workers += 1;
        let worker = Worker { core: Arc::clone(self), counted: true };
        drop(executor);
        task::spawn(work(worker));
    }

    /// One call of the listener and what follows.
    async fn consume(self: &Arc<Self>, ConsumeRequest { assigned, messages }: ConsumeRequest) {
        if !assigned.start(&messages, self.now_ms()) {
            return;
        }
        if sim::fault_point!("client.consume.slow", 0.02) {
            time::sleep(SLOW).await;
        }
        let context = ConsumeContext { message_queue: Arc::clone(&assigned.queue) };
        let status = (self.listener)(messages.clone(), context).await;
        if assigned.is_dropped() {
            tracing::debug!(group = self.group, queue = %assigned.queue, "consumed, but the queue is not ours any more");
            return;
        }
        match (status, self.config.message_model) {
            (ConsumeStatus::ConsumeSuccess, _) => self.done(&assigned, &messages),
            (ConsumeStatus::ReconsumeLater, MessageModel::Broadcasting) => {
                tracing::warn!(group = self.group, queue = %assigned.queue, "failed, and is not consumed again: broadcasting");
                self.done(&assigned, &messages);
            }
            // Kept small: a worker is made for nearly every message, and moved with room for all that it may come to.
            (ConsumeStatus::ReconsumeLater, MessageModel::Clustering) => {
                Box::pin(self.give_back(&assigned, messages)).await;
            }
        }
    }

    fn done(&self, assigned: &Assigned, messages: &[Arc<MessageExt>]) {
        assigned.remove(messages.iter().map(|message| message.queue_offset), &self.offsets);
    }

    /// Hands failed messages back to the broker; those for which that fails are consumed again here, later.
    async fn give_back(self: &Arc<Self>, assigned: &Arc<Assigned>, messages: Vec<Arc<MessageExt>>) {
        let (mut given, mut kept) = (Vec::new(), Vec::new());
        for message in messages {
            // One that took too long has been handed back already.
            if !assigned.holds(message.queue_offset) {
                continue;
            }
            match self.send_message_back(assigned, &message, 0).await {
                Ok(()) => given.push(message),
                Err(error) => {
                    tracing::warn!(group = self.group, msg_id = message.msg_id, %error, "not handed back, kept");
                    let mut message = MessageExt::clone(&message);
                    message.reconsume_times += 1;
                    kept.push(Arc::new(message));
                }
            }
        }
        self.done(assigned, &given);
        if !kept.is_empty() {
            let (core, assigned) = (Arc::clone(self), Arc::clone(assigned));
            task::spawn(async move {
                time::sleep(CONSUME_LATER_DELAY).await;
                if !assigned.is_dropped() {
                    core.submit(&assigned, kept);
                }
            });
        }
    }

    /// Hands a message back (`sendMessageBack`): the broker delivers it again after a while, or puts it into the dead
    /// letter queue. If the broker cannot be asked, the message is sent to the retry topic like any other.
    async fn send_message_back(
        &self,
        assigned: &Assigned,
        message: &MessageExt,
        delay_level: i32,
    ) -> Result<(), ClientError> {
        let addr = self.instance.master_addr(&assigned.queue.broker_name);
        let addr = addr.unwrap_or_else(|| message.store_host.to_string());
        let header = ConsumerSendMsgBackRequestHeader {
            offset: message.commit_log_offset,
            group: self.group.clone(),
            delay_level,
            origin_msg_id: Some(message.msg_id.clone()),
            origin_topic: Some(message.topic.clone()),
            unit_mode: false,
            max_reconsume_times: Some(self.config.max_reconsume_times),
            broker_name: Some(assigned.queue.broker_name.clone()),
        };
        let api = self.instance.api();
        let Err(error) = api.consumer_send_message_back(&addr, &header, SEND_BACK_TIMEOUT).await else { return Ok(()) };
        tracing::debug!(group = self.group, msg_id = message.msg_id, %error, "not handed back, sent anew");
        let producer = self.instance.inner_producer();
        let timeout = producer.config().send_msg_timeout;
        producer.send(&self.instance, self.retry_message(message), Target::Any, Mode::Sync, timeout).await.map(drop)
    }

    /// The message as it is sent to the retry topic by the consumer itself.
    fn retry_message(&self, message: &MessageExt) -> Message {
        let mut properties = message.properties.clone();
        if properties.get(property::ORIGIN_MESSAGE_ID).is_none() {
            properties.insert(property::ORIGIN_MESSAGE_ID, &message.msg_id);
        }
        properties.insert(property::RETRY_TOPIC, &message.topic);
        properties.insert(property::RECONSUME_TIME, &(message.reconsume_times + 1).to_string());
        properties.insert(property::MAX_RECONSUME_TIMES, &self.config.max_reconsume_times.to_string());
        properties.insert(property::DELAY, &(3 + message.reconsume_times).to_string());
        properties.remove(property::TRAN_MSG);
        Message { topic: retry_topic(&self.group), flag: message.flag, properties, body: message.body.clone() }
    }

    /// Hands back what the listener is busy with for too long, every so often (`cleanExpireMsg`).
    pub(super) fn spawn_cleaning(self: &Arc<Self>) -> JoinHandle<()> {
        let (core, timeout) = (Arc::downgrade(self), self.config.consume_timeout);
        task::spawn(async move {
            loop {
                time::sleep(timeout).await;
                let Some(core) = core.upgrade() else { return };
                core.give_back_expired().await;
            }
        })
    }

    async fn give_back_expired(&self) {
        let timeout_ms = u64::try_from(self.config.consume_timeout.as_millis()).unwrap_or(u64::MAX);
        let assigned: Vec<_> = self.assigned.lock().values().cloned().collect();
        for assigned in assigned {
            for message in assigned.expired(self.now_ms(), timeout_ms, EXPIRED_MAX) {
                tracing::warn!(
                    group = self.group,
                    msg_id = message.msg_id,
                    "is being consumed for too long, handed back"
                );
                match self.send_message_back(&assigned, &message, EXPIRED_DELAY_LEVEL).await {
                    Ok(()) => self.done(&assigned, std::slice::from_ref(&message)),
                    Err(error) => {
                        tracing::warn!(group = self.group, msg_id = message.msg_id, %error, "not handed back")
                    }
                }
            }
        }
    }
}

/// Serves requests until none waits.
async fn work(mut worker: Worker) {
    let core = Arc::clone(&worker.core);
    while let Some(request) = worker.next() {
        let mut consuming = pin!(core.consume(request));
        let mut waits = false;
        poll_fn(|context| match consuming.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => {
                if !std::mem::replace(&mut waits, true) {
                    core.add_worker();
                }
                Poll::Pending
            }
        })
        .await;
    }
}

//! What a broker answers: one file for each family of requests.
//!
//! A handler is a plain function where it only looks at tables, and gives a future where it waits for the store, a file or
//! a client. [`terms`] says how much each request may bring, and which may take long: those run in the broker's lane.

pub(crate) mod broker_admin;
pub(crate) mod client;
pub(crate) mod consumer_admin;
pub(crate) mod group_admin;
pub(crate) mod ha_admin;
pub(crate) mod offset;
pub(crate) mod offset_admin;
pub(crate) mod pull;
pub(crate) mod query;
pub(crate) mod queue_admin;
pub(crate) mod queue_lock;
mod replica_group;
pub(crate) mod send;
pub(crate) mod send_back;
mod terms;
pub(crate) mod topic_admin;
mod topic_attributes;

use std::future::Future;
use std::sync::Arc;

use protocol::body::{BodyError, JsonBody};
use protocol::{CommandHeader, HeaderError, RemotingCommand, request_code as code, response_code};
use remoting::{Channel, Reply, RequestHandler, bad_header, request_code_not_supported, system_error};
use store::StoreError;

use crate::core::{Core, lock};
use crate::persistence::saved_table::NotSaved;
use crate::service::notices::notify_members;
use crate::state::tracked::TableFull;

/// Why a request gets no answer of its own kind.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A response code and the words for people.
    Code(i32, String),
    Header(HeaderError),
    Body(BodyError),
    Store(StoreError),
}

impl Refusal {
    pub(crate) fn new(code: i32, remark: impl Into<String>) -> Self {
        Self::Code(code, remark.into())
    }

    pub(crate) fn into_response(self) -> RemotingCommand {
        match self {
            Self::Code(code, remark) => RemotingCommand::response(code).with_remark(remark),
            Self::Header(error) => bad_header(&error),
            Self::Body(error) => system_error(error),
            Self::Store(error) => {
                tracing::error!(%error, "a request failed");
                system_error(error)
            }
        }
    }
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<NotSaved> for Refusal {
    fn from(error: NotSaved) -> Self {
        Self::new(response_code::SYSTEM_ERROR, error.to_string())
    }
}

impl From<TableFull> for Refusal {
    fn from(error: TableFull) -> Self {
        Self::new(response_code::SYSTEM_ERROR, error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// An answer, or why there is none.
pub(crate) type Answer = Result<RemotingCommand, Refusal>;

pub(crate) fn success() -> RemotingCommand {
    RemotingCommand::response(response_code::SUCCESS)
}

pub(crate) fn success_with(header: &impl CommandHeader) -> RemotingCommand {
    RemotingCommand::response_with(response_code::SUCCESS, header)
}

pub(crate) fn success_body(body: &impl JsonBody) -> RemotingCommand {
    success().with_body(body.encode())
}

/// A slave changes nothing by itself: its topics and groups are its master's (`AdminBrokerProcessor.validateSlave`).
pub(crate) fn only_on_a_master(core: &Core) -> Result<(), Refusal> {
    if !core.is_slave() {
        return Ok(());
    }
    let master = lock(&core.master_addr).clone();
    let master = master.as_deref().unwrap_or("which is not known at the moment");
    let remark = format!("this broker is a slave: topics and groups are changed at its master, {master}");
    Err(Refusal::new(response_code::SYSTEM_ERROR, remark))
}

fn now(answer: Answer) -> Reply {
    Reply::Now(answer.unwrap_or_else(Refusal::into_response))
}

fn later(answer: impl Future<Output = Answer> + Send + 'static) -> Reply {
    Reply::later(async move { Some(answer.await.unwrap_or_else(Refusal::into_response)) })
}

/// The broker as the remoting server sees it.
pub(crate) struct Processor(pub Arc<Core>);

impl RequestHandler for Processor {
    fn handle(&self, channel: &Channel, request: RemotingCommand) -> Reply {
        match terms::take(&request) {
            terms::Taken::AtOnce => Self::answer(&self.0, channel, request),
            terms::Taken::Aside => aside(&self.0, channel, request),
            terms::Taken::Not(response) => response.into(),
        }
    }

    fn refuse(&self, head: &RemotingCommand, body_bytes: usize) -> Option<RemotingCommand> {
        send::refuse(&self.0, head.code, body_bytes).or_else(|| terms::refuse(head.code, body_bytes))
    }

    fn on_peer_finished(&self, channel: &Channel) {
        self.0.pull_wait.give_back(&self.0, channel.id());
    }

    fn on_close(&self, channel: &Channel) {
        self.0.pull_wait.forget_channel(channel.id());
        lock(&self.0.left_overs).forget_channel(channel.id());
        let changed = lock(&self.0.clients).channel_closed(channel.id());
        notify_members(&self.0, &changed);
    }
}

/// Answers a request in the lane of those that may take long.
fn aside(core: &Arc<Core>, channel: &Channel, request: RemotingCommand) -> Reply {
    let (core, channel) = (Arc::clone(core), channel.clone());
    Reply::later(async move {
        let lane = core.lane.clone();
        let id = channel.id();
        let answered = lane.run(id, async move {
            match Processor::answer(&core, &channel, request) {
                Reply::Now(response) => Some(response),
                Reply::Later(reply) => reply.await,
                Reply::Elsewhere => None,
            }
        });
        answered.await.unwrap_or_else(|busy| {
            Some(RemotingCommand::response(response_code::SYSTEM_BUSY).with_remark(busy.to_string()))
        })
    })
}

/// Whether a request is answered from the log or by offsets in it. A pull is too; it sends its reader to the master.
fn shows_the_log(code: i32) -> bool {
    matches!(
        code,
        code::QUERY_CONSUMER_OFFSET
            | code::GET_MAX_OFFSET
            | code::GET_MIN_OFFSET
            | code::SEARCH_OFFSET_BY_TIMESTAMP
            | code::GET_EARLIEST_MSG_STORETIME
            | code::QUERY_MESSAGE
            | code::VIEW_MESSAGE_BY_ID
            | code::QUERY_CONSUME_QUEUE
            | code::UPDATE_CONSUMER_OFFSET
    )
}

/// Whether a slave copies what this request asks for.
const fn is_a_table_of_the_group(request: i32) -> bool {
    matches!(
        request,
        code::GET_ALL_TOPIC_CONFIG
            | code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG
            | code::GET_ALL_CONSUMER_OFFSET
            | code::GET_ALL_DELAY_OFFSET
    )
}

impl Processor {
    fn answer(core: &Arc<Core>, channel: &Channel, request: RemotingCommand) -> Reply {
        if shows_the_log(request.code)
            && let Some(refusal) = replica_group::refusal(core)
        {
            return now(Err(refusal));
        }
        if is_a_table_of_the_group(request.code)
            && let Some(refusal) = replica_group::not_leading_yet(core)
        {
            return now(Err(refusal));
        }
        match request.code {
            code::SEND_MESSAGE | code::SEND_MESSAGE_V2 | code::SEND_BATCH_MESSAGE => {
                send::handle(core, channel, request)
            }
            code::PULL_MESSAGE | code::LITE_PULL_MESSAGE => pull::handle(core, channel, request),
            code::CONSUMER_SEND_MSG_BACK => later(send_back::handle(Arc::clone(core), request)),

            code::UPDATE_CONSUMER_OFFSET => offset::update(core, channel, request),
            code::QUERY_CONSUMER_OFFSET => later(offset::query(Arc::clone(core), channel.clone(), request)),
            code::GET_MAX_OFFSET => now(offset::max(core, channel, &request)),
            code::GET_MIN_OFFSET => now(offset::min(core, channel, &request)),
            code::SEARCH_OFFSET_BY_TIMESTAMP => later(offset::search(Arc::clone(core), channel.clone(), request)),
            code::GET_EARLIEST_MSG_STORETIME => later(offset::earliest(Arc::clone(core), request)),
            code::GET_ALL_CONSUMER_OFFSET => later(offset::all_consumer_offsets(Arc::clone(core))),
            code::GET_ALL_DELAY_OFFSET => now(offset::all_delay_offsets(core)),

            code::HEART_BEAT => client::heartbeat(core, channel, &request),
            code::UNREGISTER_CLIENT => now(client::unregister(core, channel, &request)),
            code::CHECK_CLIENT_CONFIG => now(client::check_config(&request)),
            code::GET_CONSUMER_LIST_BY_GROUP => now(client::consumer_list(core, &request)),
            code::LOCK_BATCH_MQ => now(queue_lock::lock_batch(core, channel, &request)),
            code::UNLOCK_BATCH_MQ => now(queue_lock::unlock_batch(core, channel, &request)),

            code::UPDATE_AND_CREATE_TOPIC => later(topic_admin::create(Arc::clone(core), request)),
            code::UPDATE_AND_CREATE_TOPIC_LIST => later(topic_admin::create_all(Arc::clone(core), request)),
            code::DELETE_TOPIC_IN_BROKER => later(topic_admin::delete(Arc::clone(core), request)),
            code::GET_TOPIC_CONFIG => now(topic_admin::get(core, &request)),
            code::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => now(topic_admin::system_topics(core)),
            code::GET_ALL_TOPIC_CONFIG => now(topic_admin::all(core)),
            code::GET_TOPIC_STATS_INFO => later(topic_admin::stats(Arc::clone(core), request)),
            code::CLEAN_UNUSED_TOPIC => later(topic_admin::clean_unused(Arc::clone(core))),

            code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => later(group_admin::create(Arc::clone(core), request)),
            code::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => later(group_admin::create_all(Arc::clone(core), request)),
            code::DELETE_SUBSCRIPTIONGROUP => later(group_admin::delete(Arc::clone(core), request)),
            code::GET_SUBSCRIPTIONGROUP_CONFIG => now(group_admin::get(core, &request)),
            code::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => now(group_admin::all(core)),

            code::GET_CONSUMER_CONNECTION_LIST => now(consumer_admin::consumer_connections(core, &request)),
            code::GET_PRODUCER_CONNECTION_LIST => now(consumer_admin::producer_connections(core, &request)),
            code::GET_ALL_PRODUCER_INFO => now(consumer_admin::all_producers(core)),
            code::QUERY_TOPIC_CONSUME_BY_WHO => later(consumer_admin::topic_consumed_by(Arc::clone(core), request)),
            code::GET_CONSUME_STATS => later(consumer_admin::consume_stats(Arc::clone(core), channel.clone(), request)),
            code::QUERY_CONSUME_TIME_SPAN => later(consumer_admin::consume_time_span(Arc::clone(core), request)),
            code::INVOKE_BROKER_TO_RESET_OFFSET => later(consumer_admin::reset_offset(Arc::clone(core), request)),
            code::GET_CONSUMER_RUNNING_INFO => later(consumer_admin::running_info(Arc::clone(core), request)),
            code::CONSUME_MESSAGE_DIRECTLY => later(consumer_admin::consume_directly(Arc::clone(core), request)),

            code::GET_BROKER_CONSUME_STATS => later(offset_admin::all_consume_stats(Arc::clone(core), request)),
            code::QUERY_TOPICS_BY_CONSUMER => now(offset_admin::topics_by_consumer(core, &request)),
            code::QUERY_SUBSCRIPTION_BY_CONSUMER => now(offset_admin::subscription_by_consumer(core, &request)),
            code::QUERY_CORRECTION_OFFSET => now(offset_admin::correction_offset(core, &request)),
            code::CLONE_GROUP_OFFSET => later(offset_admin::clone_group_offset(Arc::clone(core), request)),
            code::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => {
                later(offset_admin::consumer_status(Arc::clone(core), request))
            }

            code::QUERY_CONSUME_QUEUE => later(queue_admin::consume_queue(Arc::clone(core), request)),
            code::CLEAN_EXPIRED_CONSUMEQUEUE => later(queue_admin::clean_expired_queues(Arc::clone(core))),
            code::DELETE_EXPIRED_COMMITLOG => now(queue_admin::delete_expired_log(core)),

            code::UPDATE_BROKER_CONFIG => later(broker_admin::update_config(Arc::clone(core), request)),
            code::GET_BROKER_CONFIG => now(broker_admin::get_config(core)),
            code::GET_BROKER_RUNTIME_INFO => later(broker_admin::runtime_info(Arc::clone(core))),
            code::QUERY_MESSAGE => later(query::message(Arc::clone(core), request)),
            code::VIEW_MESSAGE_BY_ID => later(broker_admin::view_message(Arc::clone(core), request)),
            code::GET_BROKER_HA_STATUS => now(ha_admin::status(core)),
            code::GET_HA_PROTOCOL_VERSION => now(ha_admin::protocol_version(core)),
            code::MASTER_IS_BACK => now(ha_admin::master_is_back(core, &request)),
            code::GET_REPLICA_GROUP => now(replica_group::get(core)),
            code::REMOVE_REPLICA => later(replica_group::remove(Arc::clone(core), request)),
            code::BEGIN_HISTORY => now(replica_group::begin(core, &request)),
            code::LEAVE_REPLICA_GROUP => later(replica_group::leave(Arc::clone(core), request)),
            code::VIEW_BROKER_STATS_DATA => now(broker_admin::view_stats(core, &request)),

            other => {
                tracing::debug!(code = other, peer = %channel.remote_addr(), "request code not supported");
                request_code_not_supported(other).into()
            }
        }
    }
}

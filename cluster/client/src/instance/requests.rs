//! What brokers ask of a client (`ClientRemotingProcessor`).
//!
//! Left out on purpose: CHECK_TRANSACTION_STATE, CONSUME_MESSAGE_DIRECTLY and reply messages, which come with their
//! features; until then they are answered as codes that are not supported.

use std::sync::{Arc, Weak};

use protocol::body::{GetConsumerStatusBody, JsonBody, ResetOffsetBody};
use protocol::header::{
    ConsumerGroupRequestHeader, GetConsumerRunningInfoRequestHeader, GetConsumerStatusRequestHeader,
    ResetOffsetRequestHeader,
};
use protocol::{HeaderError, RemotingCommand, request_code, response_code};
use remoting::{Channel, Reply, RequestHandler, bad_header, request_code_not_supported, system_error};

use super::ClientInstance;

/// Answers for an instance, without keeping it alive.
pub(super) struct ServerRequests {
    instance: Weak<ClientInstance>,
}

impl ServerRequests {
    pub(super) const fn new(instance: Weak<ClientInstance>) -> Self {
        Self { instance }
    }
}

impl RequestHandler for ServerRequests {
    fn handle(&self, _channel: &Channel, request: RemotingCommand) -> Reply {
        let Some(instance) = self.instance.upgrade() else {
            return system_error("the client has been shut down").into();
        };
        let reply = match request.code {
            request_code::NOTIFY_CONSUMER_IDS_CHANGED => notify_consumer_ids_changed(&instance, &request),
            request_code::RESET_CONSUMER_CLIENT_OFFSET => reset_offset(&instance, &request),
            request_code::GET_CONSUMER_STATUS_FROM_CLIENT => consumer_status(&instance, &request),
            request_code::GET_CONSUMER_RUNNING_INFO => running_info(&instance, &request),
            code => Ok(request_code_not_supported(code).into()),
        };
        reply.unwrap_or_else(|error| bad_header(&error).into())
    }
}

fn notify_consumer_ids_changed(instance: &ClientInstance, request: &RemotingCommand) -> Result<Reply, HeaderError> {
    let header: ConsumerGroupRequestHeader = request.header()?;
    tracing::debug!(client = %instance.client_id, group = header.consumer_group, "the group's members have changed");
    instance.rebalance_immediately();
    Ok(Reply::Elsewhere)
}

fn reset_offset(instance: &Arc<ClientInstance>, request: &RemotingCommand) -> Result<Reply, HeaderError> {
    let header: ResetOffsetRequestHeader = request.header()?;
    let body = match ResetOffsetBody::decode(&request.body) {
        Ok(body) => body,
        Err(error) => return Ok(system_error(error).into()),
    };
    match instance.consumer(&header.group) {
        Some(consumer) => {
            tracing::info!(client = %instance.client_id, group = header.group, topic = header.topic, "offsets are reset");
            let mut offsets = body.offset_table;
            offsets.retain(|queue, _| queue.topic == header.topic);
            Ok(Reply::later(async move {
                consumer.reset_offsets(offsets).await;
                Some(RemotingCommand::response(response_code::SUCCESS))
            }))
        }
        None => Ok(no_consumer(&header.group)),
    }
}

fn consumer_status(instance: &ClientInstance, request: &RemotingCommand) -> Result<Reply, HeaderError> {
    let header: GetConsumerStatusRequestHeader = request.header()?;
    let message_queue_table = match instance.consumer(&header.group) {
        Some(consumer) => consumer.consumer_status(&header.topic),
        None => return Ok(no_consumer(&header.group)),
    };
    let body = GetConsumerStatusBody { message_queue_table, ..GetConsumerStatusBody::default() };
    Ok(RemotingCommand::response(response_code::SUCCESS).with_body(body.encode()).into())
}

fn running_info(instance: &ClientInstance, request: &RemotingCommand) -> Result<Reply, HeaderError> {
    let header: GetConsumerRunningInfoRequestHeader = request.header()?;
    match instance.consumer(&header.consumer_group) {
        Some(consumer) => {
            let body = consumer.running_info().encode();
            Ok(RemotingCommand::response(response_code::SUCCESS).with_body(body).into())
        }
        None => Ok(no_consumer(&header.consumer_group)),
    }
}

fn no_consumer(group: &str) -> Reply {
    system_error(format_args!("the consumer group \"{group}\" does not exist in this client")).into()
}

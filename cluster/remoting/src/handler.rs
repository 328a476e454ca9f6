//! Who answers requests.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;

use protocol::{RemotingCommand, response_code};

use crate::channel::Channel;

/// A future that computes a response; `None` if it is sent elsewhere or not at all.
pub type ReplyFuture = Pin<Box<dyn Future<Output = Option<RemotingCommand>> + Send>>;

/// What a handler makes of a request.
pub enum Reply {
    /// The response, at hand. Costs no allocation and no task.
    Now(RemotingCommand),
    /// The response will be computed. The connection's task runs the future beside the other requests of the connection;
    /// it is first polled at once. It runs to its end even if the connection is lost meanwhile.
    Later(ReplyFuture),
    /// Nothing is sent on return: the request was one-way, or somebody kept the [`Channel`] and answers through
    /// [`Channel::send`] (with [`RemotingCommand::in_reply_to`]).
    Elsewhere,
}

impl Reply {
    /// A response that a future computes.
    pub fn later(future: impl Future<Output = Option<RemotingCommand>> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

impl From<RemotingCommand> for Reply {
    fn from(response: RemotingCommand) -> Self {
        Self::Now(response)
    }
}

/// The requests that a peer sends come here: to a server's handler, or to a client's for what the server asks.
///
/// `opaque`, the response flag and the serialize type of a response are set by the connection; a response to a one-way
/// request is dropped. A handler must not block.
///
/// ```
/// use protocol::{RemotingCommand, request_code, response_code};
/// use remoting::{Channel, Reply, RequestHandler, request_code_not_supported};
///
/// struct Heart;
///
/// impl RequestHandler for Heart {
///     fn handle(&self, _channel: &Channel, request: RemotingCommand) -> Reply {
///         match request.code {
///             request_code::HEART_BEAT => RemotingCommand::response(response_code::SUCCESS).into(),
///             code => request_code_not_supported(code).into(),
///         }
///     }
/// }
/// ```
pub trait RequestHandler: Send + Sync + 'static {
    /// Takes one request. Requests of one connection arrive in their order; their responses may leave in any order.
    fn handle(&self, channel: &Channel, request: RemotingCommand) -> Reply;

    /// Looks at the head of a request whose body is long and has not come yet: it will have `body_bytes`. Whoever would refuse it
    /// for its length says so here, with what is to be answered: then the body is passed over, and takes no memory.
    fn refuse(&self, head: &RemotingCommand, body_bytes: usize) -> Option<RemotingCommand> {
        let _ = (head, body_bytes);
        None
    }

    /// The peer will send nothing more, but may still read. What it has asked and waits for with [`Reply::Elsewhere`] is to be
    /// answered now or not at all: the channel ends when the replies that are under way have left.
    fn on_peer_finished(&self, channel: &Channel) {
        let _ = channel;
    }

    /// A channel has ended; called once for each channel, after its last request. It can send no more.
    fn on_close(&self, channel: &Channel) {
        let _ = channel;
    }
}

/// Supports no request at all: for clients whose servers ask nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRequests;

impl RequestHandler for NoRequests {
    fn handle(&self, _channel: &Channel, request: RemotingCommand) -> Reply {
        request_code_not_supported(request.code).into()
    }
}

/// The answer to a request code that nobody handles, in the words that RocketMQ's clients know.
#[must_use]
pub fn request_code_not_supported(code: i32) -> RemotingCommand {
    RemotingCommand::response(response_code::REQUEST_CODE_NOT_SUPPORTED)
        .with_remark(format!(" request type {code} not supported"))
}

/// SYSTEM_ERROR with this remark: the answer to what went wrong inside.
#[must_use]
pub fn system_error(remark: impl Display) -> RemotingCommand {
    RemotingCommand::response(response_code::SYSTEM_ERROR).with_remark(remark.to_string())
}

/// The answer to a request whose header cannot be read: SYSTEM_ERROR naming the field.
#[must_use]
pub fn bad_header(error: &protocol::HeaderError) -> RemotingCommand {
    system_error(error)
}

//! What can go wrong for a client, and what is then known of the message that was to be sent.

use std::time::Duration;

use protocol::topic::NameError;
use protocol::{HeaderError, response_code};
use remoting::RemotingError;

use crate::state::ServiceState;

/// What is known of a message after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It is certain that no broker has stored the message.
    Fail,
    /// A broker may have stored it: the request left, and no answer came that says otherwise.
    Unknown,
}

/// Why a client could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The configuration names no name server.
    #[error("no name server is configured: set namesrv_addr to at least one host:port")]
    NoNameServer,
    /// A setting has a value that makes no sense.
    #[error("{name} is \"{value}\", but must be {allowed}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A topic's or group's name is refused (`Validators`).
    #[error(transparent)]
    Name(#[from] NameError),
    /// The group's name is one that RocketMQ keeps for itself.
    #[error("the {kind} group may not be called \"{group}\": that name is reserved, choose another")]
    ReservedGroup {
        /// `producer` or `consumer`.
        kind: &'static str,
        /// The name.
        group: String,
    },
    /// Clients may not send to this topic (`Validators.isNotAllowedSendTopic`).
    #[error("sending to topic \"{topic}\" is forbidden: it belongs to the broker")]
    TopicForbidden {
        /// The topic.
        topic: String,
    },
    /// A message is refused before it is sent (`Validators.checkMessage`).
    #[error("the message for topic \"{topic}\" {reason}")]
    Message {
        /// Its topic.
        topic: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A subscription expression is refused.
    #[error("the expression \"{expression}\" for topic \"{topic}\" {reason}")]
    Subscription {
        /// The topic.
        topic: String,
        /// The expression.
        expression: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The client instance has a member of this kind and group already.
    #[error(
        "the {kind} group \"{group}\" has been created before in the client instance {client_id}: choose another group, or \
         give one of the two another instance_name"
    )]
    GroupExists {
        /// `producer` or `consumer`.
        kind: &'static str,
        /// The group.
        group: String,
        /// The instance that has it.
        client_id: String,
    },
    /// The service is not running (`makeSureStateOK`).
    #[error("the {service} is not running, its state is {state}: {}", remedy(*state))]
    NotRunning {
        /// Which service: kind and group.
        service: String,
        /// Its state.
        state: ServiceState,
    },
    /// The name servers know no route to the topic, and the broker side creates none.
    #[error(
        "no route to topic \"{topic}\": create the topic, or allow its creation on a broker that the name servers know"
    )]
    NoRoute {
        /// The topic.
        topic: String,
    },
    /// The topic has a route, but no queue for what was asked.
    #[error("topic \"{topic}\" has no queue to {purpose}")]
    NoQueue {
        /// The topic.
        topic: String,
        /// What the queue was wanted for.
        purpose: &'static str,
    },
    /// A queue's broker is in no route.
    #[error("the broker \"{broker_name}\" does not exist: no route that this client knows names it")]
    NoBroker {
        /// The broker's name.
        broker_name: String,
    },
    /// A queue's master is away, and its slaves cannot know the answer.
    #[error(
        "the master of \"{broker_name}\" is away, and only it knows whether the group has consumed of its queues: it is waited for"
    )]
    MasterAway {
        /// The broker's name.
        broker_name: String,
    },
    /// The peer could not be asked, or did not answer.
    #[error(transparent)]
    Remoting(#[from] RemotingError),
    /// The peer answered that it did not do it (`MQBrokerException`).
    #[error("{addr} answered request {request} with code {code}: {remark}")]
    Response {
        /// Who.
        addr: String,
        /// The request code.
        request: i32,
        /// The response code.
        code: i32,
        /// The peer's words.
        remark: String,
    },
    /// The peer's answer cannot be understood.
    #[error("{addr} answered request {request} with a malformed response: {reason}")]
    Malformed {
        /// Who.
        addr: String,
        /// The request code.
        request: i32,
        /// What is wrong with it.
        reason: String,
    },
    /// The time for the whole operation is over (`RemotingTooMuchRequestException`).
    #[error("{operation} did not fit into {} ms", budget.as_millis())]
    CallTimeout {
        /// The operation.
        operation: &'static str,
        /// The time it had.
        budget: Duration,
    },
    /// No attempt to send succeeded.
    #[error(
        "send [{attempts}] times, still failed, cost [{} ms], topic: {topic}, brokers sent: {brokers:?}, outcome {outcome:?}",
        cost.as_millis()
    )]
    Send {
        /// The message's topic.
        topic: String,
        /// How many attempts were made.
        attempts: usize,
        /// How long they took together.
        cost: Duration,
        /// The brokers that were tried, in order.
        brokers: Vec<String>,
        /// What is known of the message after all the attempts.
        outcome: Outcome,
        /// Why the last attempt failed.
        #[source]
        last: Box<ClientError>,
    },
    /// The offsets of a broadcasting consumer cannot be read or written.
    #[error("the offset file {path}: {reason}")]
    OffsetFile {
        /// The file.
        path: String,
        /// What happened.
        reason: String,
    },
}

fn remedy(state: ServiceState) -> &'static str {
    match state {
        ServiceState::CreateJust => "start it first",
        ServiceState::Running => "nothing to do",
        ServiceState::ShutdownAlready => "it has been shut down, build another one",
        ServiceState::StartFailed => "its start failed, build another one",
    }
}

impl ClientError {
    pub(crate) fn setting(name: &'static str, value: impl ToString, allowed: &'static str) -> Self {
        Self::Setting { name, value: value.to_string(), allowed }
    }

    pub(crate) fn malformed(addr: &str, request: i32, reason: impl ToString) -> Self {
        Self::Malformed { addr: addr.to_owned(), request, reason: reason.to_string() }
    }

    pub(crate) fn header(addr: &str, request: i32, error: &HeaderError) -> Self {
        Self::malformed(addr, request, error)
    }

    /// What is known of the message after this error.
    ///
    /// `Fail` is certain. A response code is taken as `Fail` only where it means that the broker refused before it wrote;
    /// SYSTEM_ERROR is `Unknown`, because a broker also answers it when writing or replicating went wrong half-way.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Remoting(error) if error.may_have_been_sent() => Outcome::Unknown,
            Self::Response { code, .. } if !is_refusal(*code) => Outcome::Unknown,
            Self::Malformed { .. } => Outcome::Unknown,
            Self::Send { outcome, .. } => *outcome,
            _ => Outcome::Fail,
        }
    }

    /// The response code, if a peer answered with one.
    #[must_use]
    pub fn response_code(&self) -> Option<i32> {
        match self {
            Self::Response { code, .. } => Some(*code),
            Self::Send { last, .. } => last.response_code(),
            _ => None,
        }
    }
}

/// Whether a broker that answers a send with this code has stored nothing for certain.
const fn is_refusal(code: i32) -> bool {
    matches!(
        code,
        response_code::SYSTEM_BUSY
            | response_code::REQUEST_CODE_NOT_SUPPORTED
            | response_code::MESSAGE_ILLEGAL
            | response_code::SERVICE_NOT_AVAILABLE
            | response_code::VERSION_NOT_SUPPORTED
            | response_code::NO_PERMISSION
            | response_code::TOPIC_NOT_EXIST
            | response_code::SUBSCRIPTION_GROUP_NOT_EXIST
            | response_code::INVALID_PARAMETER
            | response_code::NO_BUYER_ID
            | response_code::NOT_IN_CURRENT_UNIT
            | response_code::FLOW_CONTROL
            | response_code::NOT_LEADER_FOR_QUEUE
            | response_code::GO_AWAY
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(code: i32) -> ClientError {
        ClientError::Response { addr: "b:1".into(), request: 310, code, remark: String::new() }
    }

    #[test]
    fn outcome_is_fail_only_when_certain() {
        let connect = RemotingError::Connect { addr: "b:1".into(), code: 310, reason: "refused".into() };
        let timeout = RemotingError::Timeout { addr: "b:1".into(), code: 310, timeout: Duration::from_secs(3) };
        assert_eq!(ClientError::from(connect).outcome(), Outcome::Fail);
        assert_eq!(ClientError::from(timeout).outcome(), Outcome::Unknown);
        assert_eq!(response(response_code::SYSTEM_BUSY).outcome(), Outcome::Fail);
        assert_eq!(response(response_code::SYSTEM_ERROR).outcome(), Outcome::Unknown);
        assert_eq!(response(4711).outcome(), Outcome::Unknown);
        assert_eq!(ClientError::NoRoute { topic: "T".into() }.outcome(), Outcome::Fail);
    }
}

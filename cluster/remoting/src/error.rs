//! What can go wrong with a request, and why a connection ended.

use std::time::Duration;

/// Why a request got no response. Each names the peer and the request code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemotingError {
    /// There is no connection to the peer and none could be made (`RemotingConnectException`).
    #[error("cannot connect to {addr} for request {code}: {reason}")]
    Connect {
        /// The peer's address, as it was asked for.
        addr: String,
        /// The request code.
        code: i32,
        /// What the operating system, the resolver or the timer said.
        reason: String,
    },
    /// There was a connection, but the request was not handed to it (`RemotingSendRequestException`).
    #[error("request {code} was not sent to {addr}: {reason}")]
    SendRequest {
        /// The peer's address, as it was asked for.
        addr: String,
        /// The request code.
        code: i32,
        /// Why not.
        reason: String,
    },
    /// No response came in time (`RemotingTimeoutException`).
    #[error("no response from {addr} to request {code} within {} ms", timeout.as_millis())]
    Timeout {
        /// The peer's address, as it was asked for.
        addr: String,
        /// The request code.
        code: i32,
        /// How long was waited.
        timeout: Duration,
    },
    /// The connection ended while the response was awaited.
    #[error("the connection to {addr} ended before the response to request {code}: {reason}")]
    Closed {
        /// The peer's address, as it was asked for.
        addr: String,
        /// The request code.
        code: i32,
        /// Why it ended.
        reason: CloseReason,
    },
    /// The peer sent something that is no frame, so the connection was closed while the response was awaited.
    #[error("{addr} sent a malformed frame while request {code} waited for its response: {reason}")]
    Decode {
        /// The peer's address, as it was asked for.
        addr: String,
        /// The request code.
        code: i32,
        /// What is wrong with the frame.
        reason: String,
    },
}

impl RemotingError {
    /// Whether the peer may have received the request, and so may have carried it out. `false` is certain.
    #[must_use]
    pub const fn may_have_been_sent(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::SendRequest { .. } => false,
            Self::Timeout { .. } | Self::Closed { .. } | Self::Decode { .. } => true,
        }
    }

    /// The peer's address, as it was asked for.
    #[must_use]
    pub fn addr(&self) -> &str {
        match self {
            Self::Connect { addr, .. }
            | Self::SendRequest { addr, .. }
            | Self::Timeout { addr, .. }
            | Self::Closed { addr, .. }
            | Self::Decode { addr, .. } => addr,
        }
    }

    /// The request code.
    #[must_use]
    pub const fn code(&self) -> i32 {
        match self {
            Self::Connect { code, .. }
            | Self::SendRequest { code, .. }
            | Self::Timeout { code, .. }
            | Self::Closed { code, .. }
            | Self::Decode { code, .. } => *code,
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed by this side")]
    Local,
    /// The peer closed it.
    #[error("closed by the peer")]
    Peer,
    /// Nothing was sent or received for the idle time-out.
    #[error("idle for {} s", .0.as_secs())]
    Idle(Duration),
    /// Nothing came from the peer since a request that timed out was sent.
    #[error("the peer was silent while a request timed out")]
    Silent,
    /// The peer does not read what is sent to it.
    #[error("the peer does not read: {bytes_queued} bytes are queued for it")]
    Backlog {
        /// How much had been queued.
        bytes_queued: usize,
    },
    /// The peer began a large frame and did not go on with it, while others waited for the memory that it held.
    #[error(
        "{received_bytes} bytes of a frame of {frame_bytes} had come, and no more, while others waited for the memory"
    )]
    SlowFrame {
        /// What the frame was to have.
        frame_bytes: usize,
        /// What had come of it.
        received_bytes: usize,
    },
    /// The peer sent something that is no frame.
    #[error("malformed frame: {0}")]
    Decode(String),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(String),
    /// The connection's task ended by a panic in a handler, or with its process.
    #[error("the connection's task ended")]
    TaskEnded,
}

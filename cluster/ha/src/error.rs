//! Why a connection between two replicas ended.

use std::{io, time::Duration};

use store::StoreError;

use crate::frame::FrameError;

/// Why a connection ended, or could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HaError {
    /// The operating system broke it.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The other side closed it.
    #[error("the other side closed the connection")]
    Closed,
    /// Nothing came for too long.
    #[error("nothing came for {} ms", .0.as_millis())]
    Silent(Duration),
    /// What came is not our protocol.
    #[error("the other side sends nonsense: {0}")]
    Nonsense(String),
    /// One of the two does not want the other, for this reason, which names the remedy.
    #[error("{0}")]
    Refused(String),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The same replica has connected anew.
    #[error("the same replica has connected anew")]
    Replaced,
    /// Its place is another connection's now.
    #[error("all places are taken, and this connection has shown least")]
    NoPlace,
}

impl From<FrameError> for HaError {
    fn from(error: FrameError) -> HaError {
        HaError::Nonsense(error.to_string())
    }
}

//! The JSON bodies of commands, which are also the configuration files of a broker.
//!
//! Fields are declared in the alphabetical order of their names in JSON, because that is the order in which fastjson
//! writes them. Reading is lenient: unknown members are ignored, missing and null ones get their default, and the
//! dialect of [`fastjson`] is understood. What a struct leaves out is what no peer of today reads.

mod client;
mod config;
mod connection;
mod ha;
mod heartbeat;
mod message_queue;
mod offset;
mod register;
mod replica_group;
mod route;
mod running;
mod stats;
mod table;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use client::*;
pub use config::*;
pub use connection::*;
pub use ha::*;
pub use heartbeat::*;
pub use message_queue::MessageQueue;
pub use offset::*;
pub use register::*;
pub use replica_group::*;
pub use route::*;
pub use running::*;
pub use stats::*;
pub use table::ConfigTable;

use crate::fastjson;

/// Why a body or a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is no JSON, or not of this shape.
    #[error("{body} cannot be read from this JSON: {source}")]
    Json {
        /// The name of the body.
        body: &'static str,
        /// What is wrong, and where.
        source: fastjson::Error,
    },
    /// A body in a binary form does not have that form.
    #[error("{body} cannot be read: {reason}")]
    Binary {
        /// The name of the body.
        body: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}

/// A body, or a file, that is JSON.
pub trait JsonBody: Serialize + DeserializeOwned {
    /// Its name in error texts: RocketMQ's.
    const NAME: &'static str;

    /// Whether it has maps whose keys are objects, which fastjson writes as objects.
    const OBJECT_KEYS: bool = false;

    /// Its compact JSON, as sent.
    #[must_use]
    fn encode(&self) -> Bytes {
        let written = if Self::OBJECT_KEYS { fastjson::write_object_keys(self) } else { serde_json::to_vec(self) };
        written.expect("a body has only text, numbers and maps with text keys, which JSON can say").into()
    }

    /// Its JSON with line breaks and tabs, as stored in a file.
    #[must_use]
    fn encode_pretty(&self) -> Vec<u8> {
        fastjson::write_pretty(self).expect("a body has only text, numbers and maps with text keys, which JSON can say")
    }

    /// Reads it, from standard JSON or from fastjson's dialect.
    ///
    /// # Errors
    /// It is no JSON, or not of this shape.
    fn decode(json: &[u8]) -> Result<Self, BodyError> {
        fastjson::from_slice(json).map_err(|source| BodyError::Json { body: Self::NAME, source })
    }
}

/// Declares which structs are bodies, under their own names.
macro_rules! json_body {
    ($($name:ident),+ $(,)?) => {$(
        impl $crate::body::JsonBody for $name {
            const NAME: &'static str = stringify!($name);
        }
    )+};
    (object_keys: $($name:ident),+ $(,)?) => {$(
        impl $crate::body::JsonBody for $name {
            const NAME: &'static str = stringify!($name);
            const OBJECT_KEYS: bool = true;
        }
    )+};
}

use json_body;

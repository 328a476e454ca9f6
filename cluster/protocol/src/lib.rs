//! The pure wire and record formats of RocketMQ: bytes to types and back, without I/O, clock or randomness.
//!
//! | room | is |
//! |---|---|
//! | [`command`], [`frame`], [`ext_fields`] | one remoting command and its frame on the wire, in both header encodings |
//! | [`code`] | request and response codes, and what a response code means to a producer ([`SendStatus`]) |
//! | [`header`] | the typed headers that travel in a command's `extFields` |
//! | [`body`], [`fastjson`] | the JSON bodies (and configuration files), and the dialect of JSON that Apache's peers write |
//! | [`message`], [`properties`] | the CommitLog record, batches, what a consumer sees of a message |
//! | [`message_id`], [`tags`], [`sysflag`], [`perm`], [`version`], [`topic`], [`newtypes`] | the small shared vocabulary |
//!
//! Facts come from RocketMQ 4.9.8 (and 5.x where it adds a field that its peers send to a 4.9 peer); constants name the
//! Java class that they correspond to. Left out on purpose: POP, controller, ACL and timer headers, LZ4 and ZSTD bodies,
//! the BatchConsumeQueue family.
#![deny(missing_docs)]

pub mod body;
pub mod calendar;
pub mod code;
pub mod command;
pub mod ext_fields;
pub mod fastjson;
pub mod frame;
pub mod header;
mod inflate;
pub mod message;
pub mod message_id;
pub mod newtypes;
pub mod perm;
pub mod properties;
pub mod sysflag;
pub mod tags;
pub mod topic;
pub mod version;

pub use body::{BodyError, JsonBody};
pub use code::{SendStatus, request_code, response_code};
pub use command::{Language, RemotingCommand, SerializeType};
pub use ext_fields::ExtFields;
pub use frame::{FRAME_BYTES_MAX, FrameError};
pub use header::{CommandHeader, HeaderError};
pub use newtypes::{BrokerId, PhysicalOffset, QueueOffset};
pub use properties::Properties;

//! RocketMQ's remoting: requests, responses and one-way commands over TCP connections that both ends may ask on.
//!
//! | room | is |
//! |---|---|
//! | [`server`] | [`RemotingServer`]: listens, and gives each request to a [`RequestHandler`] |
//! | [`client`] | [`RemotingClient`]: one connection per address, made on demand, and the choice of a name server |
//! | [`channel`] | [`Channel`]: one connection as the rest of the program holds it: answer late, ask the peer, close |
//! | [`handler`] | [`RequestHandler`], [`Reply`], and the answers that every handler needs |
//! | [`error`] | [`RemotingError`]: what went wrong, with whom, and whether the request may have been carried out |
//! | [`lane`] | [`Lane`]: requests that take long, a few at a time and in turn by connection |
//! | [`name_servers`] | which name server to ask: a sticky choice, the next one after a failure |
//!
//! Both ends run the same loop (the private module `connection`): one task per connection reads frames, runs
//! handlers, writes what is queued (many frames in one system call) and keeps one timer for all that can expire. Bytes
//! and headers are the crate `protocol`'s; this crate knows only requests and responses.
//!
//! Left out on purpose: TLS, the PROXY preface, and the RPC hooks of access control.
#![deny(missing_docs)]

pub mod channel;
pub mod client;
mod connection;
pub mod error;
pub mod handler;
pub mod lane;
mod large_frame;
mod memory;
pub mod name_servers;
mod outgoing;
pub mod server;

pub use channel::{Channel, ChannelId};
pub use client::{ClientConfig, RemotingClient};
pub use error::{CloseReason, RemotingError};
pub use handler::{NoRequests, Reply, RequestHandler, bad_header, request_code_not_supported, system_error};
pub use lane::{Lane, LaneBusy, LaneConfig};
pub use server::{RemotingServer, ServerConfig};

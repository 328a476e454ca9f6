//! RocketMQ's client: producers, push and pull consumers, and the few admin questions that go with them; in behaviour what
//! Java's `rocketmq-client` 4.9 does, in the shape of async Rust.
//!
//! | room | is |
//! |---|---|
//! | [`producer`] | [`Producer`]: sends, with retries on other brokers |
//! | [`consumer`] | [`PushConsumer`]: gets messages as they come, shares queues with its group; [`PullConsumer`]: asks |
//! | [`admin`] | [`Admin`]: topics, offsets by time, single messages |
//! | `instance` | what all clients with one client id share: connections, routes, heartbeats |
//! | [`config`], [`state`], [`error`], [`message`] | the shared vocabulary |
//!
//! Everything that a client asks of its machine goes through the seam `sim`, so the same client runs in a simulation and
//! on a real network. Handles that are dropped without `shutdown` leave the brokers to find out by themselves.
//!
//! Left out on purpose: ordered consumption, transactions, POP, SQL92 filters on the client side, message traces, access
//! control, namespaces.
#![deny(missing_docs)]

pub mod admin;
pub mod config;
pub mod consumer;
pub mod error;
mod instance;
mod lock;
pub mod message;
pub mod producer;
pub mod state;
mod unique_key;
pub mod validators;

pub use admin::Admin;
pub use config::ClientConfig;
pub use consumer::allocate::AllocateMessageQueueStrategy;
pub use consumer::pull::{PullConfig, PullConsumer, PullConsumerBuilder, PullResult};
pub use consumer::push::{ConsumeContext, ConsumeStatus, PushConfig, PushConsumer, PushConsumerBuilder};
pub use error::{ClientError, Outcome};
pub use instance::api::PullStatus;
pub use instance::factory::ClientFactory;
pub use message::Message;
pub use producer::{Producer, ProducerBuilder, ProducerConfig, SendResult};
pub use protocol::body::{ConsumeFromWhere, MessageModel, MessageQueue};
pub use protocol::message::MessageExt;
pub use protocol::properties::PropertyError;
pub use protocol::{QueueOffset, SendStatus};
pub use state::ServiceState;

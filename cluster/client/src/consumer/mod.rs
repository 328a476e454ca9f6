//! The consumers.
//!
//! | room | is |
//! |---|---|
//! | [`push`] | [`PushConsumer`](push::PushConsumer): shares the queues of its topics with its group and calls a listener |
//! | [`pull`] | [`PullConsumer`](pull::PullConsumer): asks for messages where and when its user wants |
//! | [`allocate`] | whose queue is whose, as a plain function |
//! | [`process_queue`] | what is held of one queue, and what may be committed: a plain state machine |
//! | `offset_store` | where a group's offsets are kept: at the broker, or in a file |
//! | `puller` | one pull: which broker, which flags, which messages of the answer |

pub mod allocate;
mod offset_store;
pub mod process_queue;
pub mod pull;
pub(crate) mod puller;
pub mod push;

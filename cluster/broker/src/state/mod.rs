//! The broker's memory, as plain data and plain functions: no I/O, no clock, no locks. Times are passed in.

pub mod asked;
pub mod clients;
pub mod consumer_offsets;
pub mod delay_level;
pub mod encoded;
pub mod groups_by_topic;
pub mod left_overs;
pub mod notices;
pub mod pull_hold;
pub mod put_times;
pub mod queue_map;
pub mod rebalance_lock;
pub mod send_queue;
pub mod stats;
pub mod subscription_groups;
pub mod topics;
pub mod tracked;

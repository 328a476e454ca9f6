//! Brokers of one name that replicate: what their clients are told, and what is left when something breaks.
#![cfg(not(feature = "real"))]

mod acks;
mod clocks;
mod cluster;
mod metadata;
mod reads;
mod recovery;
mod refusals;
mod replica_group;
#[path = "../support/mod.rs"]
mod support;

/// The topic of the tests.
const TOPIC: &str = "TopicR";

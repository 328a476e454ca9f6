//! Brokers of one name that replicate: what their clients are told, and what is left when something breaks.

mod acks;
mod clocks;
mod cluster;
mod held_against;
mod metadata;
mod mistakes;
mod reads;
mod recovery;
mod refusals;
mod replica_group;
mod without_service;

/// The topic of the tests.
const TOPIC: &str = "TopicR";

//! The broker: takes messages, keeps them in its store, gives them to consumers, and remembers how far these are.
//!
//! | room | is |
//! |---|---|
//! | [`broker`] | [`Broker`]: its life, from recovery to a stop in good order |
//! | [`config`], [`host`], [`settings`], [`config_check`] | [`BrokerConfig`], its settings under RocketMQ's own keys, which do not go together |
//! | [`state`] | the tables: topics, groups, clients, offsets, held pulls and the rest, as plain state machines |
//! | `core` | what the parts of a running broker share |
//! | `persistence` | the files of the tables |
//! | `creation` | topics and groups that come into being by being used |
//! | `processor` | what it answers, one file for each family of requests |
//! | `service` | what it does by itself, one file for each loop |
//! | `replication` | what it does as the master of slaves, and as a slave |
//!
//! Facts come from RocketMQ 4.9.8. Where Apache's broker breaks its own promises, this one does not: see
//! [`state::left_overs`] (offsets from before a loss), `service::delay` and `processor::send_back`.
//!
//! Left out on purpose: transactions, SQL92 filters, access control, POP.
#![deny(missing_docs)]

pub mod broker;
pub mod config;
pub mod config_check;
mod core;
mod creation;
pub mod host;
mod persistence;
mod processor;
mod replication;
mod running;
mod service;
pub mod settings;
pub mod state;

pub use broker::{Broker, BrokerError};
pub use config::BrokerConfig;
pub use config_check::ConfigError;
pub use ha::{HaConfig, Role};
pub use host::Host;

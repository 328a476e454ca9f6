//! The name server: which brokers there are, and which of them has which topic.
//!
//! | room | is |
//! |---|---|
//! | [`route_table`] | [`RouteTable`]: the brokers and topics as plain data, changed by plain functions |
//! | [`route_query`] | what can be asked of the route table |
//! | [`kv_config`] | configuration by namespace and key, kept in `kvConfig.json` |
//! | [`config`] | [`NamesrvConfig`], and the [`Settings`] that may change while the name server runs |
//! | [`server`] | [`Namesrv`]: the running name server |
//! | `witness` | what is remembered of replica groups, durably |
//! | `processor`, `headers` | the requests that it answers |
//!
//! A name server keeps routes in memory only: brokers register with every name server anew every 30 s. Name servers know
//! nothing of each other, so two of them may for a while tell different routes.
//!
//! Left out on purpose: the 5.x notification of slaves when the lowest broker id changes (905), static topics, and zones.
#![deny(missing_docs)]

pub mod config;
mod headers;
pub mod kv_config;
mod processor;
pub mod route_query;
pub mod route_table;
#[cfg(test)]
mod route_table_tests;
pub mod server;
mod witness;

pub use config::{NamesrvConfig, Settings};
pub use route_table::RouteTable;
pub use server::{Namesrv, NamesrvError};

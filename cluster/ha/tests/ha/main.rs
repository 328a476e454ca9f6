//! Replication between stores on several simulated machines.
#![cfg(not(feature = "real"))]

mod apache;
mod quirks_shown;
mod refusals;
mod stage;
mod streaming;
mod sync;
mod tail;

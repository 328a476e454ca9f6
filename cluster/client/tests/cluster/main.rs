//! Producers and consumers against the project's own brokers and name servers, on simulated machines.
#![cfg(not(feature = "real"))]

mod failover;
mod fake;
mod faults;
mod multi_master;
mod name_servers;
mod produce_and_consume;
mod support;

//! Producers and consumers against the project's own brokers and name servers, on simulated machines.
#![cfg(not(feature = "real"))]

mod faults;
mod produce_and_consume;
mod support;

//! Brokers on simulated hosts, driven by raw remoting commands. One executable: it is linked once.
#![cfg(not(feature = "real"))]

mod clients_and_admin;
mod clocks;
mod consoles;
mod dialects;
mod hostile;
mod offsets;
mod quirks;
mod readable;
mod registration;
mod replication;
mod send_and_pull;
mod support;
mod tables_kept;

//! The store on a simulated machine: what it promises, and what a crash leaves of it.
#![cfg(not(feature = "real"))]

mod check;
mod config_files;
mod golden;
mod hostile;
mod index;
mod machine;
mod many_queues;
mod model;
mod mutations;
mod put_get;
mod quirks;
mod readers;
mod reconfigure;
mod recovery;
mod recovery_reads;
mod refusals;
mod replica;
mod replication;
mod retention;
mod room;
mod shown;
mod support;
mod table_files;

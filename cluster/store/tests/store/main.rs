//! The store on a simulated machine: what it promises, and what a crash leaves of it.
#![cfg(not(feature = "real"))]

mod config_files;
mod golden;
mod machine;
mod model;
mod put_get;
mod recovery;
mod refusals;
mod retention;
mod support;

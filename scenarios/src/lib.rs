//! Scenarios: who talks to whom, what must hold, and the machinery that runs and judges them.
//!
//! A [`spec::Scenario`] and a seed make a run ([`run::run`]): hosts are built, the cluster and its clients are booted on
//! them, a plan of faults is carried out, everything is healed, drained and read back. What was seen from outside is a
//! history ([`history`]), which the oracles ([`oracle`]) judge against the mode's promise ([`promise`]); the outcome is a
//! `reports::RunRecord`. [`cli`] is the `staticfire` command.

#![cfg(not(feature = "real"))]

pub mod catalogue;
pub mod cli;
mod cluster;
pub mod fault_points;
mod harness;
pub mod history;
pub mod knobs;
mod log_image;
pub mod message;
mod nearest;
mod operator;
pub mod oracle;
pub mod promise;
mod recorder;
mod removal;
pub mod run;
pub mod settings;
pub mod spec;
pub mod storm;
pub mod sweep;
mod upkeep;
pub mod verdict;
mod workload;

//! What the deployable binaries share: property files, logging, and how a program starts and fails.
//!
//! The binaries are `mqnamesrv`, `mqbroker` and `mqadmin` (feature `real`).
#![deny(missing_docs)]

pub mod admin;
pub mod broker_settings;
mod log_limit;
pub mod logging;
#[cfg(feature = "real")]
pub mod program;
pub mod properties;

pub use properties::{Properties, PropertiesError, Refusal};

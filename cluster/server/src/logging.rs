//! Logs go to standard error; standard output is for what scripts read.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// The environment variable that selects what is logged, for example `info,remoting=debug`.
pub const LOG_VARIABLE: &str = "ROCKETMQ_LOG";

/// Starts logging to standard error: level `info`, or what [`LOG_VARIABLE`] says. Call it once, before anything else.
pub fn start() {
    let filter = EnvFilter::builder().with_env_var(LOG_VARIABLE).from_env();
    let (filter, error) = match filter {
        Ok(filter) if !filter.to_string().is_empty() && std::env::var_os(LOG_VARIABLE).is_some() => (filter, None),
        Ok(_) => (EnvFilter::new("info"), None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    if let Some(error) = error {
        tracing::warn!(%error, "{LOG_VARIABLE} cannot be understood; logging at level info");
    }
}

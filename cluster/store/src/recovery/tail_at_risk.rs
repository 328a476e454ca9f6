//! The file `tail_at_risk`: this log may lack its end, and no master's epoch has begun since.
//!
//! A machine that went down takes with it what was not flushed; a lost disk takes everything. A master then takes back from
//! its slaves what they have, and that may be cut short by the next crash: so what recovery has found is kept, durably, until
//! a new epoch begins, whatever happens before. Slaves keep the file until they are masters one day. Apache's brokers do not
//! know it.

use std::path::PathBuf;

use sim::disk;

use crate::{
    config::StoreConfig,
    durable,
    error::{StoreError, io_error},
};

/// Why the end of the log may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TailAtRisk {
    /// The machine went down while the store was open.
    pub machine_went_down: bool,
    /// The log was empty.
    pub is_empty: bool,
}

const MACHINE: &str = "machine-went-down";
const EMPTY: &str = "empty";

fn path(config: &StoreConfig) -> PathBuf {
    config.store_path_root_dir.join("tail_at_risk")
}

/// What was found at earlier starts.
pub(crate) async fn load(config: &StoreConfig) -> Result<TailAtRisk, StoreError> {
    let path = path(config);
    if !disk::exists(&path).await.map_err(io_error("look for", &path))? {
        return Ok(TailAtRisk::default());
    }
    let text = disk::read(&path).await.map_err(io_error("read", &path))?;
    let text = String::from_utf8_lossy(&text);
    let says = |what: &str| text.lines().any(|line| line == what);
    Ok(TailAtRisk { machine_went_down: says(MACHINE), is_empty: says(EMPTY) })
}

/// Keeps what was found now and before.
pub(super) async fn store(config: &StoreConfig, found: TailAtRisk) -> Result<(), StoreError> {
    let mut text = String::new();
    for (is_so, what) in [(found.machine_went_down, MACHINE), (found.is_empty, EMPTY)] {
        if is_so {
            text.push_str(what);
            text.push('\n');
        }
    }
    durable::replace_file(Some(&config.store_path_root_dir), &path(config), text.as_bytes(), None).await
}

/// A master's epoch has begun.
pub(crate) async fn clear(config: &StoreConfig) -> Result<(), StoreError> {
    let path = path(config);
    if disk::exists(&path).await.map_err(io_error("look for", &path))? {
        durable::remove_file(&path).await?;
    }
    Ok(())
}

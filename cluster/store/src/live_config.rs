//! The settings of an open store. Some of them may change while it is open: `config` of the store's tasks gives the newest.
//!
//! Readers take no lock: each change is one more version, and old ones stay until the store is closed. So there is a limit to
//! their number.

use std::{
    ops::Deref,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    config::StoreConfig,
    error::{StoreError, lock},
};

/// How often the settings of an open store may be changed.
const VERSIONS_MAX: usize = 4096;

/// The settings as they are now.
pub(crate) struct LiveConfig {
    versions: Box<[OnceLock<Box<StoreConfig>>]>,
    newest: AtomicUsize,
    changing: Mutex<()>,
}

impl LiveConfig {
    pub(crate) fn new(config: StoreConfig) -> LiveConfig {
        let versions: Box<[_]> = (0..VERSIONS_MAX).map(|_| OnceLock::new()).collect();
        versions[0].get_or_init(|| Box::new(config));
        LiveConfig { versions, newest: AtomicUsize::new(0), changing: Mutex::default() }
    }

    /// Takes from `wanted` what may change while the store is open.
    pub(crate) fn change(&self, wanted: &StoreConfig) -> Result<(), StoreError> {
        let _changing = lock(&self.changing);
        let changed = self.with_changes_of(wanted);
        changed.check()?;
        let next = self.newest.load(Ordering::Relaxed) + 1;
        let Some(place) = self.versions.get(next) else { return Err(StoreError::ChangedTooOften) };
        place.get_or_init(|| Box::new(changed));
        self.newest.store(next, Ordering::Release);
        Ok(())
    }
}

impl Deref for LiveConfig {
    type Target = StoreConfig;

    fn deref(&self) -> &StoreConfig {
        self.versions[self.newest.load(Ordering::Acquire)].get().expect("a version is there before it is the newest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_does_and_the_rest_stays() {
        let live = LiveConfig::new(StoreConfig::new("store"));
        let before: &StoreConfig = &live;
        let mut wanted = before.clone();
        wanted.file_reserved_time_hours = 5;
        wanted.max_message_size_bytes = 77;
        wanted.mapped_file_size_commit_log_bytes = 8192;
        live.change(&wanted).unwrap();
        assert_eq!((live.file_reserved_time_hours, live.max_message_size_bytes), (5, 77));
        assert_eq!(live.mapped_file_size_commit_log_bytes, 1 << 30, "files have the size that they have");
        assert_eq!(before.file_reserved_time_hours, 72, "who has looked has what was");
        wanted.flush_interval_commit_log_ms = 0;
        assert!(live.change(&wanted).is_err());
        assert_eq!(live.flush_interval_commit_log_ms, 500);
    }

    #[test]
    fn changes_have_an_end() {
        let live = LiveConfig::new(StoreConfig::new("store"));
        let wanted = StoreConfig::new("store");
        let changes = (0..).take_while(|_| live.change(&wanted).is_ok()).count();
        assert_eq!(changes, VERSIONS_MAX - 1);
    }
}

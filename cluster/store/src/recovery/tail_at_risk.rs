//! The file `tail_at_risk`: this log may lack its end, and no master's epoch has begun since.
//!
//! A machine that went down takes with it what was not flushed; a lost disk takes everything. A master then takes back from
//! its slaves what they have, and that may be cut short by the next crash: so what recovery has found is kept, durably, until
//! a new epoch begins, whatever happens before. Slaves keep the file until they are masters one day. Apache's brokers do not
//! know it.
//!
//! One line for each thing that was found: `machine-went-down`, `empty`, `shown 8192 12288`; and a checksum. Where that is wrong,
//! everything may be missing.

use std::path::PathBuf;

use protocol::PhysicalOffset;
use sim::disk;

use crate::{
    config::StoreConfig,
    durable,
    error::{StoreError, io_error},
    sealed::{open_text, seal_text},
};

/// Why the end of the log may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TailAtRisk {
    /// The machine went down while the store was open.
    pub machine_went_down: bool,
    /// The log was empty.
    pub is_empty: bool,
    /// What readers may have been shown beyond its end.
    pub shown: Option<Shown>,
}

/// A part of the log that readers may have been shown and that is not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Where the log ended after recovery.
    pub from: PhysicalOffset,
    /// Nothing at or beyond this was shown: `from`, if nothing should be missing; `PhysicalOffset(i64::MAX)`, if nobody
    /// knows.
    pub until: PhysicalOffset,
}

impl Shown {
    /// What is known after another recovery: as long as the log has not grown beyond it, the earlier loss counts too.
    fn and_then(self, later: Shown) -> Shown {
        if later.from > self.until {
            return later;
        }
        Shown { from: self.from.min(later.from), until: self.until.max(later.until) }
    }

    /// How many bytes may have been shown beyond `start`, where a new life begins; `None` if it is not the life after.
    #[must_use]
    pub fn beyond(self, start: PhysicalOffset) -> Option<u64> {
        (start >= self.from).then(|| match self.until {
            PhysicalOffset(i64::MAX) => u64::MAX,
            until => (until - start).max(0).cast_unsigned(),
        })
    }
}

impl TailAtRisk {
    /// What is known after another recovery has found `later`.
    pub(super) fn and_then(self, later: TailAtRisk) -> TailAtRisk {
        TailAtRisk {
            machine_went_down: self.machine_went_down || later.machine_went_down,
            is_empty: self.is_empty || later.is_empty,
            shown: match (self.shown, later.shown) {
                (Some(earlier), Some(later)) => Some(earlier.and_then(later)),
                (earlier, later) => later.or(earlier),
            },
        }
    }
}

const MACHINE: &str = "machine-went-down";
const EMPTY: &str = "empty";
const SHOWN: &str = "shown ";

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
    let (text, seal) = open_text(&text);
    if let Some(why) = seal.objection() {
        tracing::warn!(path = %path.display(), why, "any part of the log's end may be missing");
        let shown = Some(parse_shown("?"));
        return Ok(TailAtRisk { machine_went_down: true, is_empty: text.lines().any(|line| line == EMPTY), shown });
    }
    let says = |what: &str| text.lines().any(|line| line == what);
    let shown = text.lines().find_map(|line| line.strip_prefix(SHOWN)).map(parse_shown);
    Ok(TailAtRisk { machine_went_down: says(MACHINE), is_empty: says(EMPTY), shown })
}

/// What cannot be read may be anything.
fn parse_shown(text: &str) -> Shown {
    let offset = |text: &str| text.parse().ok().filter(|offset| *offset >= 0).map(PhysicalOffset);
    let shown =
        text.split_once(' ').and_then(|(from, until)| Some(Shown { from: offset(from)?, until: offset(until)? }));
    shown.unwrap_or(Shown { from: PhysicalOffset::ZERO, until: PhysicalOffset(i64::MAX) })
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
    if let Some(Shown { from, until }) = found.shown {
        text.push_str(&format!("{SHOWN}{from} {until}\n"));
    }
    let text = seal_text(&text);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(from: i64, until: i64) -> Shown {
        Shown { from: PhysicalOffset(from), until: PhysicalOffset(until) }
    }

    #[test]
    fn two_losses_count_together_until_the_log_has_grown_beyond_the_first() {
        assert_eq!(shown(100, 180).and_then(shown(120, 150)), shown(100, 180));
        assert_eq!(shown(100, 180).and_then(shown(90, 200)), shown(90, 200));
        assert_eq!(shown(100, 180).and_then(shown(181, 200)), shown(181, 200));
    }

    #[test]
    fn what_was_taken_back_is_not_missing() {
        assert_eq!(shown(100, 180).beyond(PhysicalOffset(100)), Some(80));
        assert_eq!(shown(100, 180).beyond(PhysicalOffset(150)), Some(30));
        assert_eq!(shown(100, 180).beyond(PhysicalOffset(500)), Some(0));
        assert_eq!(shown(100, 180).beyond(PhysicalOffset(99)), None, "a life that began before");
        assert_eq!(shown(100, i64::MAX).beyond(PhysicalOffset(500)), Some(u64::MAX));
    }

    #[test]
    fn a_line_that_cannot_be_read_may_mean_anything() {
        assert_eq!(parse_shown("8192 12288"), shown(8_192, 12_288));
        for text in ["", "8192", "8192 x", "-1 5", "8192 12288 1"] {
            assert_eq!(parse_shown(text), shown(0, i64::MAX), "{text}");
        }
    }
}

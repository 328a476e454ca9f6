//! How two logs of a group stand to one another, as a function of both histories.
//!
//! The epochs tell how far the two logs are one; the CRC of the last bytes before that point must then bear it out. Neither
//! is ever resolved by taking one side's word: logs without a common past, or whose common past differs, are refused, and
//! both are kept.

use protocol::PhysicalOffset;
use serde::{Deserialize, Serialize};
use store::{CommonPoint, LogHistory, common_point};

/// How many bytes before the common point are compared.
pub const CHECK_BYTES: i64 = 64 << 10;

/// What both sides have and must have alike: `[from, to)`; empty when there is nothing to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub from: PhysicalOffset,
    pub to: PhysicalOffset,
}

impl Window {
    fn before(common: PhysicalOffset, master: &LogHistory, slave: &LogHistory) -> Window {
        let from = (common - CHECK_BYTES).max(master.min).max(slave.min).min(common);
        Window { from, to: common }
    }

    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// How a slave joins a master that has begun its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Its log is a part of the master's: it is sent what follows.
    Stream { check: Window, from: PhysicalOffset },
    /// Its log has an end that the master's has not: it must be cut first.
    Truncate { check: Window, to: PhysicalOffset },
}

/// Where an empty slave begins.
pub fn first_offset(master: &LogHistory, file_bytes: u64, from_last_file: bool) -> PhysicalOffset {
    if !from_last_file {
        return master.min;
    }
    let file_bytes = i64::try_from(file_bytes).unwrap_or(i64::MAX);
    (master.max - master.max.0 % file_bytes).max(master.min)
}

/// How a slave with this log joins a master whose epoch has begun.
///
/// # Errors
/// Why it cannot, and what to do about it.
pub fn join(master: &LogHistory, slave: &LogHistory, file_bytes: u64, from_last_file: bool) -> Result<Joining, String> {
    let (has, start_over) = (
        format!("the slave's log is {}..{}, the master's {}..{}", slave.min, slave.max, master.min, master.max),
        "both are kept: the slave serves nothing; move its store directory aside and start it empty, and `mqadmin republish` \
         brings what only the directory has into the living topics",
    );
    if slave.max == PhysicalOffset::ZERO {
        let from = first_offset(master, file_bytes, from_last_file);
        return Ok(Joining::Stream { check: Window { from, to: from }, from });
    }
    let common = match common_point(master, slave) {
        CommonPoint::At(common) => common,
        CommonPoint::Unrelated => {
            return Err(format!(
                "the two logs have no epoch in common: {has}; one of the brokers has the store of another. {start_over}"
            ));
        }
        CommonPoint::Empty if slave.min == slave.max => slave.max,
        CommonPoint::Empty => {
            return Err(format!(
                "{has}: the master has lost its log. Stop both and bring the slave's store to the master. Otherwise {start_over}"
            ));
        }
    };
    if common < master.min || common > master.max {
        return Err(format!("{has}, and what follows {common} is not there any more: {start_over}"));
    }
    if common < slave.min {
        return Err(format!("{has}, and they part at {common}, before the slave's first byte: {start_over}"));
    }
    let check = Window::before(common, master, slave);
    if slave.max > common {
        return Ok(Joining::Truncate { check, to: common });
    }
    Ok(Joining::Stream { check, from: common })
}

/// Why the log of a slave that has another master's history, no earlier than this one's, is not cut at `common`.
#[must_use]
pub fn later_master(master: &LogHistory, slave: &LogHistory, common: PhysicalOffset, generation: u64) -> String {
    format!(
        "the slave has the history of another master of this group (generation {generation}), no earlier than this one's: there \
         are two histories, which part at {common}. Only the slave has {common}..{}, and only this master has {common}..{}. Make the \
         slave the master, if its history is the one to go on with; otherwise move its store directory aside and start it \
         empty: `mqadmin republish` brings what only the directory has into the living topics",
        slave.max, master.max
    )
}

/// Whether a master that has not begun its epoch yet can take the end of this slave's log: its own is a part of it, and
/// shorter. What must be compared first.
pub fn tail_of(master: &LogHistory, slave: &LogHistory) -> Option<Window> {
    if slave.max <= master.max {
        return None;
    }
    if master.max == PhysicalOffset::ZERO {
        return Some(Window { from: slave.min, to: slave.min });
    }
    let common = match common_point(master, slave) {
        CommonPoint::At(common) if common == master.max && common >= slave.min => common,
        _ => return None,
    };
    // An epoch that was begun here and has no bytes has ended the one that the slave's next bytes belong to.
    let next = slave.epochs.iter().rfind(|epoch| epoch.start <= common)?;
    (next.start == common || master.epochs.last() == Some(next)).then(|| Window::before(common, master, slave))
}

#[cfg(test)]
mod tests {
    use store::EpochEntry;

    use super::*;

    fn log(epochs: &[(u64, i64)], min: i64, max: i64) -> LogHistory {
        let epochs = epochs.iter().map(|(id, start)| EpochEntry { id: *id, start: PhysicalOffset(*start) }).collect();
        LogHistory { epochs, min: PhysicalOffset(min), max: PhysicalOffset(max) }
    }

    fn window(from: i64, to: i64) -> Window {
        Window { from: PhysicalOffset(from), to: PhysicalOffset(to) }
    }

    fn joined(master: &LogHistory, slave: &LogHistory) -> Result<Joining, String> {
        join(master, slave, 1000, false)
    }

    fn stream(from: i64, to: i64) -> Result<Joining, String> {
        Ok(Joining::Stream { check: window(from, to), from: PhysicalOffset(to) })
    }

    #[test]
    fn a_slave_goes_on_where_the_logs_part() {
        let master = log(&[(1, 0), (2, 100_000), (3, 200_000)], 0, 300_000);
        assert_eq!(joined(&master, &log(&[], 0, 0)), stream(0, 0));
        assert_eq!(joined(&master, &log(&[(1, 0)], 0, 50_000)), stream(0, 50_000));
        assert_eq!(joined(&master, &log(&[(1, 0), (2, 100_000)], 0, 200_000)), stream(200_000 - CHECK_BYTES, 200_000));
        assert_eq!(joined(&master, &log(&[(2, 100_000)], 190_000, 200_000)), stream(190_000, 200_000));
        let longer = joined(&master, &log(&[(1, 0), (2, 100_000)], 0, 200_500));
        let check = window(200_000 - CHECK_BYTES, 200_000);
        assert_eq!(longer, Ok(Joining::Truncate { check, to: PhysicalOffset(200_000) }));
    }

    #[test]
    fn what_cannot_be_resolved_is_refused() {
        let master = log(&[(1, 0), (2, 5000)], 4000, 9000);
        let refused = |slave: &LogHistory| joined(&master, slave).expect_err("refused");
        assert!(refused(&log(&[(7, 0)], 0, 5000)).contains("no epoch in common"));
        assert!(refused(&log(&[(1, 0)], 0, 3000)).contains("not there any more"));
        assert!(refused(&log(&[(1, 0), (9, 4500)], 4600, 5000)).contains("before the slave's first byte"));
        let empty = log(&[(3, 0)], 0, 0);
        assert!(joined(&empty, &log(&[(1, 0)], 0, 3000)).expect_err("refused").contains("lost its log"));
    }

    #[test]
    fn an_empty_slave_begins_with_the_first_or_the_last_file() {
        let master = log(&[(1, 0)], 2000, 5500);
        assert_eq!(first_offset(&master, 1000, false), PhysicalOffset(2000));
        assert_eq!(first_offset(&master, 1000, true), PhysicalOffset(5000));
        assert_eq!(first_offset(&log(&[(1, 0)], 2000, 2500), 4000, true), PhysicalOffset(2000));
    }

    #[test]
    fn a_tail_is_taken_from_whom_the_own_log_is_a_part_of() {
        let own = log(&[(1, 0), (2, 1000)], 0, 1500);
        let longer = log(&[(1, 0), (2, 1000), (3, 1800)], 0, 2000);
        assert_eq!(tail_of(&own, &longer), Some(window(0, 1500)));
        assert_eq!(tail_of(&own, &own), None, "nothing is missing");
        assert_eq!(tail_of(&own, &log(&[(1, 0)], 0, 2000)), None, "it has another end");
        assert_eq!(tail_of(&log(&[], 0, 0), &longer), Some(window(0, 0)), "everything was lost");
        let begun = log(&[(1, 0), (2, 1000)], 0, 1000);
        assert_eq!(tail_of(&begun, &log(&[(1, 0)], 0, 2000)), None, "the lost end was given up");
        assert_eq!(tail_of(&begun, &longer), Some(window(0, 1000)));
    }
}

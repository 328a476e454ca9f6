//! The levels of delayed messages (`messageDelayLevel`): their texts, times and queues.

use std::fmt;

/// RocketMQ's eighteen levels.
pub const DEFAULT_LEVELS: &str = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";

/// How long a message of each level waits. Levels count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayLevels(Vec<i64>);

/// A text that is no list of levels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelayLevelError {
    /// A word of it.
    #[error("\"{found}\" in messageDelayLevel is no delay: each is a number and one of s, m, h, d, such as 30s or 2h")]
    NoDelay {
        /// The word that is none.
        found: String,
    },
    /// There is none: no delayed message would ever come.
    #[error("messageDelayLevel is empty: give at least one delay, such as {DEFAULT_LEVELS}")]
    Empty,
}

impl DelayLevels {
    /// Reads a list such as [`DEFAULT_LEVELS`].
    ///
    /// # Errors
    /// A word is not a number and a unit, or there is none.
    pub fn parse(text: &str) -> Result<Self, DelayLevelError> {
        let levels = text.split_whitespace().map(parse_delay_ms).collect::<Result<Vec<_>, _>>()?;
        if levels.is_empty() { Err(DelayLevelError::Empty) } else { Ok(Self(levels)) }
    }

    /// How many levels there are.
    #[must_use]
    pub fn max_level(&self) -> i32 {
        i32::try_from(self.0.len()).unwrap_or(i32::MAX)
    }

    /// The delay of a level in ms; a level above the highest has the highest's delay, one below 1 has none.
    #[must_use]
    pub fn delay_ms(&self, level: i32) -> i64 {
        if level < 1 {
            return 0;
        }
        self.0[(self.effective(level) - 1) as usize]
    }

    /// The level that counts: above the highest means the highest.
    #[must_use]
    pub fn effective(&self, level: i32) -> i32 {
        level.clamp(1, self.max_level())
    }

    /// The queue of the schedule topic that holds a level.
    #[must_use]
    pub const fn queue_id(level: i32) -> i32 {
        level - 1
    }

    /// The level that a queue of the schedule topic holds.
    #[must_use]
    pub const fn level_of_queue(queue_id: i32) -> i32 {
        queue_id + 1
    }
}

impl Default for DelayLevels {
    fn default() -> Self {
        Self::parse(DEFAULT_LEVELS).expect("the default levels are a list of levels")
    }
}

impl fmt::Display for DelayLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ms) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}s", ms / 1000)?;
        }
        Ok(())
    }
}

fn parse_delay_ms(word: &str) -> Result<i64, DelayLevelError> {
    let error = || DelayLevelError::NoDelay { found: word.to_owned() };
    let unit = word.chars().last().ok_or_else(error)?;
    let unit_ms = match unit {
        's' => 1000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return Err(error()),
    };
    let count: i64 = word[..word.len() - unit.len_utf8()].parse().map_err(|_| error())?;
    count.checked_mul(unit_ms).filter(|ms| *ms >= 0).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_levels_are_those_of_rocketmq() {
        let levels = DelayLevels::default();
        assert_eq!(levels.max_level(), 18);
        assert_eq!(levels.delay_ms(1), 1000);
        assert_eq!(levels.delay_ms(5), 60_000);
        assert_eq!(levels.delay_ms(18), 7_200_000);
        assert_eq!(levels.delay_ms(99), 7_200_000);
        assert_eq!(levels.delay_ms(0), 0);
    }

    #[test]
    fn a_bad_word_is_named() {
        for bad in ["1s x", "1s 5", "1s -3s", "1s 9223372036854775807h", "1s ü"] {
            assert!(DelayLevels::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(DelayLevels::parse("5x"), Err(DelayLevelError::NoDelay { found: "5x".to_owned() }));
        assert_eq!(DelayLevels::parse(" "), Err(DelayLevelError::Empty));
    }
}

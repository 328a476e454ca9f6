//! How times, permissions and switches are read and shown.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use protocol::{calendar::utc, perm};

/// Times as the operator's zone has them. Apache's tool takes the machine's zone for what it reads and for what it shows.
#[derive(Clone, Debug)]
pub struct Times {
    zone: TimeZone,
}

impl Times {
    /// Times in UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC }
    }

    /// Times in this zone.
    #[must_use]
    pub const fn in_zone(zone: TimeZone) -> Self {
        Self { zone }
    }

    /// A wall clock time in ms as `2026-11-22 16:51:23,843`.
    pub(super) fn time_ms(&self, ms: i64) -> String {
        format!("{},{:03}", self.time(ms), ms.rem_euclid(1000))
    }

    /// As [`Times::time_ms`], without the milliseconds; `N/A` for a time that is none.
    pub(super) fn time_or_none(&self, ms: i64) -> String {
        if ms <= 0 { "N/A".to_owned() } else { self.time(ms) }
    }

    fn time(&self, ms: i64) -> String {
        let at = Timestamp::from_millisecond(ms).map_or_else(|_| utc(ms), |at| self.zone.to_datetime(at));
        let (year, month, day) = (at.year(), at.month(), at.day());
        format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
    }

    /// Reads a time in ms since 1970, or as `yyyy-MM-dd#HH:mm:ss:SSS` (`UtilAll.YYYY_MM_DD_HH_MM_SS_SSS`).
    pub(super) fn parse(&self, text: &str) -> Result<i64, String> {
        let text = text.trim();
        if let Ok(ms) = text.parse() {
            return Ok(ms);
        }
        let at = date(text).and_then(|date| date.to_zoned(self.zone.clone()).ok());
        let at =
            at.ok_or_else(|| format!("\"{text}\" is neither a time in ms since 1970 nor yyyy-MM-dd#HH:mm:ss:SSS"))?;
        Ok(at.timestamp().as_millisecond())
    }
}

fn date(text: &str) -> Option<DateTime> {
    fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i16; N]> {
        let numbers: Option<Vec<i16>> = text.split(separator).map(|part| i16::from_str(part).ok()).collect();
        numbers?.try_into().ok()
    }
    let (day, time) = text.split_once('#')?;
    let [year, month, day] = numbers(day, '-')?;
    let [hour, minute, second, ms] = numbers(time, ':')?;
    let small = |number: i16| i8::try_from(number).ok();
    let ms = (0..1000).contains(&ms).then_some(i32::from(ms))?;
    let time = civil::Time::new(small(hour)?, small(minute)?, small(second)?, ms * 1_000_000).ok()?;
    Some(civil::Date::new(year, small(month)?, small(day)?).ok()?.to_datetime(time))
}

/// Reads a switch, in any letter case (`Boolean.parseBoolean`).
pub(super) fn switch(text: &str) -> Result<bool, String> {
    text.trim().to_ascii_lowercase().parse().map_err(|_| "true or false".to_owned())
}

/// Permissions as `RW-` (`PermName.perm2String`).
pub(super) fn perm(bits: i32) -> String {
    let letter = |set: bool, letter: char| if set { letter } else { '-' };
    let letters = [
        letter(perm::is_readable(bits), 'R'),
        letter(perm::is_writable(bits), 'W'),
        letter(perm::is_inherited(bits), 'X'),
    ];
    letters.iter().collect()
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    #[test]
    fn times_are_shown_as_rocketmq_shows_them() {
        let times = Times::utc();
        for (ms, expected) in [
            (0, "1970-01-01 00:00:00,000"),
            (1_795_366_283_843, "2026-11-22 16:51:23,843"),
            (951_782_399_999, "2000-02-28 23:59:59,999"),
            (951_782_400_000, "2000-02-29 00:00:00,000"),
            (-1, "1969-12-31 23:59:59,999"),
            (i64::MAX, "9999-12-30 22:00:00,807"),
        ] {
            assert_eq!(times.time_ms(ms), expected);
        }
        assert_eq!(times.time_or_none(0), "N/A");
        assert_eq!((perm(6), perm(7), perm(2)), ("RW-".into(), "RWX".into(), "-W-".into()));
    }

    #[test]
    fn times_are_read_in_the_zone_in_which_they_are_shown() {
        let shanghai = Times::in_zone(Offset::constant(8).to_time_zone());
        for (text, ms) in [
            ("1795366283843", 1_795_366_283_843),
            ("-1", -1),
            ("2026-11-23#00:51:23:843", 1_795_366_283_843),
            (" 1970-01-01#08:00:00:000 ", 0),
        ] {
            assert_eq!(shanghai.parse(text), Ok(ms), "{text}");
        }
        assert_eq!(shanghai.time_ms(1_795_366_283_843), "2026-11-23 00:51:23,843");
        for text in
            ["", "yesterday", "2026-11-22", "2026-11-22 16:51:23", "2026-13-01#00:00:00:000", "2026-1-1#1:1:1:1000"]
        {
            assert!(shanghai.parse(text).is_err(), "{text}");
        }
    }
}

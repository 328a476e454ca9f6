//! How times and permissions are shown.

use protocol::{calendar::utc, perm};

/// A wall clock time in ms as `2026-11-22 16:51:23,843`, UTC.
pub(super) fn time_ms(ms: i64) -> String {
    format!("{},{:03}", time(ms), ms.rem_euclid(1000))
}

/// As [`time_ms`], without the milliseconds; `N/A` for a time that is none.
pub(super) fn time_or_none(ms: i64) -> String {
    if ms <= 0 { "N/A".to_owned() } else { time(ms) }
}

fn time(ms: i64) -> String {
    let at = utc(ms);
    let (year, month, day) = (at.year(), at.month(), at.day());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())
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
    use super::*;

    #[test]
    fn times_are_shown_as_rocketmq_shows_them() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00:00,000"),
            (1_795_366_283_843, "2026-11-22 16:51:23,843"),
            (951_782_399_999, "2000-02-28 23:59:59,999"),
            (951_782_400_000, "2000-02-29 00:00:00,000"),
            (-1, "1969-12-31 23:59:59,999"),
        ] {
            assert_eq!(time_ms(ms), expected);
        }
        assert_eq!(time_or_none(0), "N/A");
        assert_eq!((perm(6), perm(7), perm(2)), ("RW-".into(), "RWX".into(), "-W-".into()));
    }
}

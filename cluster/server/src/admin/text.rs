//! How times and permissions are shown.

use protocol::perm;

/// A wall clock time in ms as `2026-11-22 16:51:23,843`, UTC.
pub(super) fn time_ms(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    format!("{},{:03}", time_s(seconds), ms.rem_euclid(1000))
}

/// As [`time_ms`], without the milliseconds; `N/A` for a time that is none.
pub(super) fn time_or_none(ms: i64) -> String {
    if ms <= 0 { "N/A".to_owned() } else { time_s(ms.div_euclid(1000)) }
}

fn time_s(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar, counting years from March, so that the day
/// that comes and goes is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_400_YEARS: i64 = 146_097;
    // From 0000-03-01.
    let days = days + 719_468;
    let era = days.div_euclid(DAYS_OF_400_YEARS);
    let of_era = days.rem_euclid(DAYS_OF_400_YEARS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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

//! Names of index files: when they were made, as `yyyyMMddHHmmssSSS` (`UtilAll.timeMillisToHumanString`), in UTC; Apache
//! takes the machine's zone. Names give the order of the files, so a name is always later than the one before it, whatever
//! the clock does.

const DAY_MS: i64 = 86_400_000;

/// The name of a file made at this wall clock time, later than `last`.
pub(crate) fn next_name(now_ms: i64, last: Option<&str>) -> String {
    let name = name_at(now_ms.max(0));
    match last {
        // As numbers: what follows the 59th second need not be a time to be a later name.
        Some(last) if *last >= *name => last.parse::<u64>().map_or(name, |last| format!("{:017}", last + 1)),
        _ => name,
    }
}

/// Whether this can be an index file's name.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() == 17 && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn name_at(ms: i64) -> String {
    let (year, month, day) = civil(ms.div_euclid(DAY_MS));
    let of_day = ms.rem_euclid(DAY_MS);
    let (seconds, ms) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{ms:03}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_times_and_go_up() {
        assert_eq!(next_name(1_795_366_035_519, None), "20261122164715519");
        assert_eq!(next_name(951_782_400_000, None), "20000229000000000");
        assert_eq!(next_name(1_795_366_035_519, Some("20261122164715518")), "20261122164715519");
        assert_eq!(next_name(1_795_366_035_519, Some("20261122164715519")), "20261122164715520");
        assert_eq!(next_name(0, Some("20261122164759999")), "20261122164760000", "the clock was set back");
        assert!(is_name("20261122164760000") && !is_name("2026112216476000") && !is_name("2026112216476000x"));
    }
}

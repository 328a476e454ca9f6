//! Names of index files: when they were made, as `yyyyMMddHHmmssSSS` (`UtilAll.timeMillisToHumanString`), in UTC; Apache
//! takes the machine's zone. Names give the order of the files, so a name is always later than the one before it, whatever
//! the clock does.

use protocol::calendar::utc;

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
    let at = utc(ms);
    let (year, month, day) = (at.year(), at.month(), at.day());
    let (hour, minute, second, ms) = (at.hour(), at.minute(), at.second(), at.millisecond());
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{ms:03}")
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

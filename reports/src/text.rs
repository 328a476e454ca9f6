//! Numbers as people read them.

/// A count with thin groups: `18 204`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A duration: `437 ms`, `4.2 s`.
pub fn duration_ms(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{} ms", count(ms)),
        _ => format!("{}.{} s", count(ms / 1000), ms % 1000 / 100),
    }
}

/// A median and a maximum of durations in one unit: `316 / 464 ms`, `9.0 / 15.0 s`. Seconds from `seconds_from_ms` on.
pub(crate) fn median_and_max_ms(median: u64, max: u64, seconds_from_ms: u64) -> String {
    if max < seconds_from_ms {
        format!("{} / {} ms", count(median), count(max))
    } else {
        format!("{} / {} s", seconds(median), seconds(max))
    }
}

/// A duration in a narrow place: milliseconds below a second, then seconds with one decimal.
pub(crate) fn short_ms(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{} s", seconds(ms)) }
}

fn seconds(ms: u64) -> String {
    format!("{}.{}", count(ms / 1000), ms % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_share_a_unit() {
        assert_eq!(median_and_max_ms(316, 464, 10_000), "316 / 464 ms");
        assert_eq!(median_and_max_ms(316, 9_999, 10_000), "316 / 9 999 ms");
        assert_eq!(median_and_max_ms(316, 10_000, 10_000), "0.3 / 10.0 s");
        assert_eq!((short_ms(999), short_ms(1_000)), ("999 ms".to_owned(), "1.0 s".to_owned()));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(18_204), "18 204");
        assert_eq!(count(1_000_000), "1 000 000");
        assert_eq!(duration_ms(437), "437 ms");
        assert_eq!(duration_ms(12_340), "12.3 s");
    }
}

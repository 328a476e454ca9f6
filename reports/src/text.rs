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

#[cfg(test)]
mod tests {
    use super::*;

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

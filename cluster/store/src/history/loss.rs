//! A number of bytes in eight bits, for the id of an epoch: as a floating-point number, rounded up by a quarter at most.
//!
//! | code | means |
//! |---|---|
//! | 0 | nothing is lost |
//! | 1 | 0 bytes |
//! | 4…247 | `(4 + code % 4) << (code / 4)` bytes |
//! | 255 | any number of bytes |

const NONE: u8 = 0;
const ZERO: u8 = 1;
const FIRST: u8 = 4;
const LAST: u8 = 247;
const ANY: u8 = 255;

const fn value(code: u8) -> u64 {
    (4 + (code % 4) as u64) << (code / 4)
}

/// The code of the least number that is not below `bytes`.
pub(super) fn encode(bytes: u64) -> u8 {
    if bytes == 0 {
        return ZERO;
    }
    (FIRST..=LAST).find(|code| value(*code) >= bytes).unwrap_or(ANY)
}

/// The number of a code; `None` where nothing is lost. A code that is never written counts as any number.
pub(super) fn decode(code: u8) -> Option<u64> {
    match code {
        NONE => None,
        ZERO => Some(0),
        FIRST..=LAST => Some(value(code)),
        _ => Some(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_and_nothing_are_kept() {
        assert_eq!(decode(0), None, "an epoch of unknown origin tells of no loss");
        assert_eq!(decode(encode(0)), Some(0));
        assert_eq!(decode(encode(4_096)), Some(4_096));
        assert_eq!(decode(encode(u64::MAX)), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn a_number_is_rounded_up_by_a_quarter_at_most(bytes in 8..u64::MAX >> 2, shift in 0..58_u32) {
            let bytes = (bytes >> shift).max(8);
            let back = decode(encode(bytes)).expect("something is lost");
            prop_assert!(back >= bytes && back - bytes <= bytes / 4, "{bytes} {back}");
        }
    }
}

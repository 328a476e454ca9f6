//! The checksum of a whole record, as its last property (5.x: `enabledAppendPropCRC`, `MessageDecoder.createCrc32`).
//!
//! BODYCRC covers the body alone. A power loss can take a sector with a record's properties and leave the rest: such a
//! record would be believed, without its keys, or with another queue. So a broker appends a property to what it stores:
//! `__CRC32#` \x01, ten decimal digits, the least significant first, \x02. It is the CRC-32 without its top bit of all
//! bytes of the record before the property. 4.9 neither writes nor reads it; consumers see one property more.

use super::record::RecordError;
use crate::properties::{NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR, end_with_separator, property, without_property};

const DIGITS: usize = 10;
const NAME_BYTES: usize = property::CRC32.len() + 1;
/// What the property takes at the end of a record.
pub const CHECKSUM_BYTES: usize = NAME_BYTES + DIGITS + 1;
/// So many bytes of the name tell that there was such a property.
const NAME_BYTES_TELLING: usize = 5;

/// Makes room for the checksum at the end of these properties, in the place of one that came along.
pub fn reserve_checksum(properties: &mut String) {
    if properties.contains(property::CRC32) {
        *properties = without_property(properties, property::CRC32);
    }
    properties.reserve(CHECKSUM_BYTES + 1);
    end_with_separator(properties);
    properties.push_str(property::CRC32);
    properties.push(char::from(NAME_VALUE_SEPARATOR));
    properties.extend(std::iter::repeat_n('0', DIGITS));
    properties.push(char::from(PROPERTY_SEPARATOR));
}

/// Computes the checksum of a record that is complete but for it, and writes it into the room at its end.
///
/// # Panics
/// The record is shorter than the property.
pub fn write_checksum(record: &mut [u8]) {
    let (covered, property) = record.split_at_mut(record.len() - CHECKSUM_BYTES);
    let mut rest = checksum(covered);
    for digit in &mut property[NAME_BYTES..NAME_BYTES + DIGITS] {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

fn checksum(covered: &[u8]) -> u32 {
    crc32fast::hash(covered) & 0x7FFF_FFFF
}

/// Whether properties end with a checksum, right or wrong.
pub(super) fn is_there(properties: &[u8]) -> bool {
    let Some((_, property)) = properties.split_last_chunk::<CHECKSUM_BYTES>() else { return false };
    property.strip_prefix(property::CRC32.as_bytes()).is_some_and(|rest| rest[0] == NAME_VALUE_SEPARATOR)
}

/// Whether a record is what was written, as far as its checksum tells. One without is believed; but not one whose checksum
/// itself is damaged.
pub(super) fn check(record: &[u8], properties: &[u8]) -> Result<(), RecordError> {
    let Some((_, property)) = properties.split_last_chunk::<CHECKSUM_BYTES>() else { return Ok(()) };
    let (name, rest) = property.split_at(NAME_BYTES);
    let (digits, end) = rest.split_at(DIGITS);
    let expected_name = property::CRC32.bytes().chain([NAME_VALUE_SEPARATOR]);
    let name_bytes = name.iter().zip(expected_name).filter(|(found, expected)| **found == *expected).count();
    // A sector that never came is zeros; no property of anybody's has one.
    let has_zeros = property.contains(&0);
    if name_bytes < NAME_BYTES_TELLING && !has_zeros {
        return Ok(());
    }
    let is_sound = name_bytes == NAME_BYTES && digits.iter().all(u8::is_ascii_digit) && end == [PROPERTY_SEPARATOR];
    if !is_sound {
        return Err(RecordError::BadChecksum);
    }
    let written = digits.iter().rev().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    let found = checksum(&record[..record.len() - CHECKSUM_BYTES]);
    if written == u64::from(found) { Ok(()) } else { Err(RecordError::BadChecksum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_apaches() {
        let mut properties = "TAGS\u{1}a".to_owned();
        reserve_checksum(&mut properties);
        assert_eq!(properties, "TAGS\u{1}a\u{2}__CRC32#\u{1}0000000000\u{2}");
        // One that came along is replaced.
        reserve_checksum(&mut properties);
        assert_eq!(properties, "TAGS\u{1}a\u{2}__CRC32#\u{1}0000000000\u{2}");
        let mut record = [b"abc", properties.as_bytes()].concat();
        write_checksum(&mut record);
        let crc = crc32fast::hash(b"abcTAGS\x01a\x02") & 0x7FFF_FFFF;
        let digits: String = format!("{crc:010}").chars().rev().collect();
        assert!(record.ends_with(format!("__CRC32#\u{1}{digits}\u{2}").as_bytes()));
        assert!(is_there(&record) && is_there(properties.as_bytes()) && !is_there(&record[..record.len() - 1]));
    }

    #[test]
    fn properties_without_a_checksum_are_believed() {
        for properties in [
            &b""[..],
            b"TAGS\x01a",
            b"UNIQ_KEY\x017F00000100002A139A5500000000",
            b"KEYS\x01k\x02TRACE\x0117953660355191795366035519\x02",
        ] {
            assert_eq!(check(properties, properties), Ok(()));
            assert!(!is_there(properties));
        }
    }
}

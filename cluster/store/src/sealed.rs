//! Small files with a checksum that other brokers pass over.
//!
//! ```text
//! JSON    …,"crc32":"1c291ca3"}       of what is before the comma; Apache's fastjson ignores a field that it does not know
//! text    …\ncrc32 1c291ca3\n         of the lines before
//! ```
//!
//! A file that ends otherwise was written by a broker that has no checksums, Apache's for one, and is taken as it is.

use std::borrow::Cow;

/// What was found at the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// A checksum that is right.
    Right,
    /// None.
    None,
    /// A checksum that is wrong: something was changed since the file was written.
    Wrong,
}

impl Seal {
    /// What is wrong, for people.
    pub(crate) fn objection(self) -> Option<&'static str> {
        (self == Seal::Wrong).then_some(
            "its checksum is wrong: it is damaged, or was edited (who edits it removes the checksum at its end)",
        )
    }
}

const DIGITS: usize = 8;
const TEXT: &str = "crc32 ";
const JSON: &str = "\"crc32\":\"";
const JSON_END: &str = "\"}";

/// Adds the checksum to a JSON object; anything else stays as it is.
pub(crate) fn seal_json(mut json: Vec<u8>) -> Vec<u8> {
    if !json.starts_with(b"{") || json.pop_if(|last| *last == b'}').is_none() {
        return json;
    }
    let is_empty = json[1..].iter().all(u8::is_ascii_whitespace);
    let comma = if is_empty { "" } else { "," };
    let end = format!("{comma}{JSON}{:08x}{JSON_END}", crc32fast::hash(&json));
    json.extend_from_slice(end.as_bytes());
    json
}

/// Whether a JSON file is as it was written, and what it was before it was sealed.
pub(crate) fn open_json(bytes: &[u8]) -> (Cow<'_, [u8]>, Seal) {
    let Some(json) = sealed_part(bytes) else { return (bytes.into(), Seal::None) };
    let (json, digits) = json;
    (Cow::Owned([json, b"}"].concat()), judge(json, digits))
}

/// What the checksum is of, and the checksum.
fn sealed_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, digits) = bytes.strip_suffix(JSON_END.as_bytes())?.split_last_chunk::<DIGITS>()?;
    let rest = rest.strip_suffix(JSON.as_bytes())?;
    Some((rest.strip_suffix(b",").unwrap_or(rest), digits))
}

/// Adds the checksum to lines of text.
pub(crate) fn seal_text(text: &str) -> String {
    format!("{text}{TEXT}{:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// The lines of a text file without the checksum, and whether they are as they were written.
pub(crate) fn open_text(bytes: &[u8]) -> (Cow<'_, str>, Seal) {
    let unsealed = || (String::from_utf8_lossy(bytes), Seal::None);
    let Some(rest) = bytes.strip_suffix(b"\n") else { return unsealed() };
    let Some((rest, digits)) = rest.split_last_chunk::<DIGITS>() else { return unsealed() };
    let Some(text) = rest.strip_suffix(TEXT.as_bytes()) else { return unsealed() };
    (String::from_utf8_lossy(text), judge(text, digits))
}

fn judge(content: &[u8], digits: &[u8]) -> Seal {
    let said = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
    if said == Some(crc32fast::hash(content)) { Seal::Right } else { Seal::Wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flipped_bit_changes_what_a_file_says_unnoticed() {
        let json = seal_json(br#"{"offsetTable":{"T@G":{"0":1500}}}"#.to_vec());
        assert_eq!(open_json(&json).1, Seal::Right);
        let said: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let text = seal_text("12 TopicA\n");
        assert_eq!(open_text(text.as_bytes()), ("12 TopicA\n".into(), Seal::Right));
        for bit in 0..json.len() * 8 {
            let mut changed = json.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let is_same = serde_json::from_slice::<serde_json::Value>(&changed)
                .is_ok_and(|changed| changed["offsetTable"] == said["offsetTable"]);
            let is_noticed =
                open_json(&changed).1 == Seal::Wrong || serde_json::from_slice::<serde_json::Value>(&changed).is_err();
            assert!(is_same || is_noticed, "bit {bit}");
        }
        for bit in 0..text.len() * 8 {
            let mut changed = text.clone().into_bytes();
            changed[bit / 8] ^= 1 << (bit % 8);
            let (lines, seal) = open_text(&changed);
            assert!(seal == Seal::Wrong || lines.lines().next() == Some("12 TopicA"), "bit {bit}: {lines}");
        }
    }

    #[test]
    fn what_others_wrote_has_no_seal_and_what_is_no_object_gets_none() {
        assert_eq!(open_json(br#"{"offsetTable":{}}"#).1, Seal::None);
        assert_eq!(seal_json(b"\"text\"".to_vec()), b"\"text\"");
        let empty = seal_json(b"{}".to_vec());
        assert_eq!(open_json(&empty), (b"{}".as_slice().into(), Seal::Right));
        assert!(serde_json::from_slice::<serde_json::Value>(&empty).is_ok());
        assert_eq!(open_text(b"12 TopicA\n"), ("12 TopicA\n".into(), Seal::None));
    }
}

//! Tags as ConsumeQueues see them: Java's `String.hashCode` of the `TAGS` property.

/// Java's `String.hashCode`: over UTF-16 units, in wrapping 32-bit arithmetic. Also the hash of index keys.
///
/// ```
/// assert_eq!(protocol::tags::java_hash_code("tagX"), 3_552_254);
/// ```
#[must_use]
pub fn java_hash_code(text: &str) -> i32 {
    java_hash_code_of([text])
}

/// Java's hash of these parts, one behind another.
#[must_use]
pub fn java_hash_code_of<const N: usize>(parts: [&str; N]) -> i32 {
    let step = |hash: i32, unit: i32| hash.wrapping_mul(31).wrapping_add(unit);
    parts.into_iter().fold(0, |hash, text| {
        if text.is_ascii() {
            text.bytes().fold(hash, |hash, byte| step(hash, i32::from(byte)))
        } else {
            text.encode_utf16().fold(hash, |hash, unit| step(hash, i32::from(unit)))
        }
    })
}

/// The `tagsCode` of a ConsumeQueue unit (`MessageExtBrokerInner.tagsString2tagsCode`): the hash sign-extended, 0 without
/// a tag.
#[must_use]
pub fn tags_code(tags: Option<&str>) -> i64 {
    tags.map_or(0, |tags| i64::from(java_hash_code(tags)))
}

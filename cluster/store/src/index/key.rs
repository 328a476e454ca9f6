//! Which keys of a message are indexed, and their hashes (`IndexService.buildIndex`, `IndexFile.indexKeyHashMethod`).

use protocol::{
    message::RecordView,
    properties::{KEY_SEPARATOR, property},
    sysflag::message::{TRANSACTION_ROLLBACK, transaction_value},
    tags::java_hash_code_of,
};

/// The hash of a key under a topic: Java's hash of `topic#key` without its sign.
pub(crate) fn key_hash(topic: &str, key: &str) -> i32 {
    // Of Integer.MIN_VALUE Java's `Math.abs` gives itself, and Apache takes 0 for it.
    java_hash_code_of([topic, "#", key]).checked_abs().unwrap_or(0)
}

/// The keys under which a message is found: its UNIQ_KEY, then its KEYS, in order. Half messages have theirs under
/// RMQ_SYS_TRANS_HALF_TOPIC, rolled-back ones have none.
pub(crate) fn keys_of<'a>(record: &RecordView<'a>) -> impl Iterator<Item = &'a str> {
    let is_indexed = transaction_value(record.sys_flag) != TRANSACTION_ROLLBACK;
    let unique_key = record.property(property::UNIQ_KEY).filter(|_| is_indexed);
    let keys = record.property(property::KEYS).filter(|_| is_indexed).unwrap_or_default();
    unique_key.into_iter().chain(keys.split(KEY_SEPARATOR).filter(|key| !key.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_apaches() {
        // Entries 2 and 9 of the index of a 4.9.8 broker.
        assert_eq!(key_hash("TopicA", "key0"), 641_858_178);
        assert_eq!(key_hash("TopicA", "FD0000000000000000000000000000022DDF5FFD2B276FBFB7BE0000"), 1_256_291_979);
        // Java's hash of it is negative.
        assert_eq!(key_hash("TopicJs", "jk0"), 971_261_636);
    }
}

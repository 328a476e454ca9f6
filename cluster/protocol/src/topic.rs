//! Names of topics and groups: what is allowed (`TopicValidator`, `Validators`), what is reserved, what is derived.

/// The longest topic name in bytes; a record of version 1 has one byte for the length, read as signed.
pub const TOPIC_BYTES_MAX: usize = 127;
/// The longest group name in bytes (`Validators.CHARACTER_MAX_LENGTH`).
pub const GROUP_BYTES_MAX: usize = 255;

/// The topic that new topics are copied from (`TopicValidator.AUTO_CREATE_TOPIC_KEY_TOPIC`).
pub const AUTO_CREATE_TOPIC_KEY: &str = "TBW102";
/// Delayed messages; queue = level - 1.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// For benchmarks.
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";
/// Half messages.
pub const TRANS_HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Which half messages are decided.
pub const TRANS_OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Half messages that were checked too often.
pub const TRANS_CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// Message traces.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// Self test of clients.
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
/// Notes that a consumer's offset was corrected.
pub const OFFSET_MOVED_EVENT: &str = "OFFSET_MOVED_EVENT";
/// What every system topic of 5.x begins with.
pub const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";
/// What a group's retry topic begins with.
pub const RETRY_TOPIC_PREFIX: &str = "%RETRY%";
/// What a group's dead letter topic begins with.
pub const DLQ_TOPIC_PREFIX: &str = "%DLQ%";

/// The topics that belong to the system (`TopicValidator.SYSTEM_TOPIC_SET`), in alphabetical order.
pub const SYSTEM_TOPICS: [&str; 9] = [
    BENCHMARK_TOPIC,
    OFFSET_MOVED_EVENT,
    TRACE_TOPIC,
    TRANS_HALF_TOPIC,
    TRANS_OP_HALF_TOPIC,
    SCHEDULE_TOPIC,
    SELF_TEST_TOPIC,
    AUTO_CREATE_TOPIC_KEY,
    TRANS_CHECK_MAX_TIME_TOPIC,
];

/// The topics that no client may send to (`TopicValidator.NOT_ALLOWED_SEND_TOPIC_SET`).
pub const NOT_ALLOWED_SEND_TOPICS: [&str; 6] = [
    SCHEDULE_TOPIC,
    TRANS_HALF_TOPIC,
    TRANS_OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
];

/// Why a name cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing but spaces, or nothing at all.
    #[error("the {kind} name is blank: give one")]
    Blank {
        /// `topic` or `group`.
        kind: &'static str,
    },
    /// A character that is not allowed.
    #[error("the {kind} name \"{name}\" has a character outside of ^[%|a-zA-Z0-9_-]+$")]
    IllegalCharacter {
        /// `topic` or `group`.
        kind: &'static str,
        /// The name, shortened.
        name: String,
    },
    /// Too long.
    #[error("the {kind} name has {bytes} bytes, the most is {bytes_max}")]
    TooLong {
        /// `topic` or `group`.
        kind: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

/// Whether a topic of this name may be created.
///
/// # Errors
/// The name is blank, too long, or has a character that is not allowed.
pub fn validate_topic(name: &str) -> Result<(), NameError> {
    validate("topic", name, TOPIC_BYTES_MAX)
}

/// Whether a producer or consumer group may have this name.
///
/// # Errors
/// The name is blank, too long, or has a character that is not allowed.
pub fn validate_group(name: &str) -> Result<(), NameError> {
    validate("group", name, GROUP_BYTES_MAX)
}

fn validate(kind: &'static str, name: &str, bytes_max: usize) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Blank { kind });
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'_' | b'-');
    if !name.bytes().all(allowed) {
        return Err(NameError::IllegalCharacter { kind, name: name.chars().take(TOPIC_BYTES_MAX).collect() });
    }
    if name.len() > bytes_max {
        return Err(NameError::TooLong { kind, bytes: name.len(), bytes_max });
    }
    Ok(())
}

/// Whether the topic belongs to the system, so that users may neither create nor delete it.
#[must_use]
pub fn is_system_topic(name: &str) -> bool {
    SYSTEM_TOPICS.contains(&name) || name.starts_with(SYSTEM_TOPIC_PREFIX)
}

/// Whether clients may not send to this topic.
#[must_use]
pub fn is_not_allowed_send_topic(name: &str) -> bool {
    NOT_ALLOWED_SEND_TOPICS.contains(&name)
}

/// The topic to which a group's failed messages come back (`MixAll.getRetryTopic`).
#[must_use]
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_TOPIC_PREFIX}{group}")
}

/// The topic where a group's hopeless messages end (`MixAll.getDLQTopic`).
#[must_use]
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_TOPIC_PREFIX}{group}")
}

/// Whether this is some group's retry topic.
#[must_use]
pub fn is_retry_topic(name: &str) -> bool {
    name.starts_with(RETRY_TOPIC_PREFIX)
}

/// Whether this is some group's dead letter topic.
#[must_use]
pub fn is_dlq_topic(name: &str) -> bool {
    name.starts_with(DLQ_TOPIC_PREFIX)
}

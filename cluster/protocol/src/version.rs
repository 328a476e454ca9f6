//! The `version` field of a command: an ordinal of `MQVersion.Version`, and the ordinals that behaviour is keyed on.

/// 3.4.9: from here on a send's `maxReconsumeTimes` is honoured. `ali-ons` says it is this version.
pub const V3_4_9: i32 = 121;
/// 4.1.0-SNAPSHOT: a client asks a broker older than this for no filter other than tags.
pub const V4_1_0_SNAPSHOT: i32 = 232;
/// 4.9.4: a client from here on gets its route in standard JSON (our routes are standard JSON for everyone).
pub const V4_9_4: i32 = 401;
/// 4.9.8: the version whose wire and disk formats this crate follows.
pub const V4_9_8: i32 = 409;
/// 5.0.0: from here on a compressed `RegisterBrokerBody` ends with the topic-queue mappings.
pub const V5_0_0: i32 = 413;

/// What this implementation says it is.
pub const CURRENT: i32 = V4_9_8;

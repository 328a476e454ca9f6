//! What may be done with a topic's queues on a broker: the bits of `perm` (`PermName`).

/// Consumers may read.
pub const PERM_READ: i32 = 1 << 2;
/// Producers may write.
pub const PERM_WRITE: i32 = 1 << 1;
/// New topics may be created from this one (`TBW102` carries it); never handed on to the new topic.
pub const PERM_INHERIT: i32 = 1;

/// Whether consumers may read.
#[must_use]
pub const fn is_readable(perm: i32) -> bool {
    perm & PERM_READ != 0
}

/// Whether producers may write.
#[must_use]
pub const fn is_writable(perm: i32) -> bool {
    perm & PERM_WRITE != 0
}

/// Whether topics may be created from this one.
#[must_use]
pub const fn is_inherited(perm: i32) -> bool {
    perm & PERM_INHERIT != 0
}

/// Whether `perm` is a combination of the three bits.
#[must_use]
pub const fn is_valid(perm: i32) -> bool {
    perm >= 0 && perm <= (PERM_READ | PERM_WRITE | PERM_INHERIT)
}

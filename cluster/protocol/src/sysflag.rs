//! The bits of `sysFlag`: of a message (`MessageSysFlag`), of a pull (`PullSysFlag`) and of a topic (`TopicSysFlag`).

/// Bits of a message's `sysFlag`, as sent and as stored.
pub mod message {
    /// The body is compressed; bits 8 to 10 say how.
    pub const COMPRESSED: i32 = 1;
    /// The `TAGS` property holds several tags.
    pub const MULTI_TAGS: i32 = 1 << 1;
    /// Not part of a transaction (the value of [`TRANSACTION_MASK`]'s two bits).
    pub const TRANSACTION_NOT: i32 = 0;
    /// A half message.
    pub const TRANSACTION_PREPARED: i32 = 1 << 2;
    /// A committed transactional message.
    pub const TRANSACTION_COMMIT: i32 = 2 << 2;
    /// A rolled-back transactional message.
    pub const TRANSACTION_ROLLBACK: i32 = 3 << 2;
    /// The two bits of the transaction's state.
    pub const TRANSACTION_MASK: i32 = 3 << 2;
    /// The producer's address takes 20 bytes (IPv6) in the record instead of 8.
    pub const BORN_HOST_V6: i32 = 1 << 4;
    /// The broker's address takes 20 bytes (IPv6) in the record instead of 8.
    pub const STORE_HOST_V6: i32 = 1 << 5;
    /// 5.x: the message is a batch that the client must unwrap.
    pub const NEED_UNWRAP: i32 = 1 << 6;
    /// 5.x: one record that holds a batch (BatchConsumeQueue).
    pub const INNER_BATCH: i32 = 1 << 7;
    /// The three bits that name the compression.
    pub const COMPRESSION_MASK: i32 = 7 << 8;
    /// LZ4.
    pub const COMPRESSION_LZ4: i32 = 1 << 8;
    /// Zstandard.
    pub const COMPRESSION_ZSTD: i32 = 2 << 8;
    /// zlib; 0 in these bits (all of 4.9) means zlib as well.
    pub const COMPRESSION_ZLIB: i32 = 3 << 8;

    /// The transaction bits alone, to compare with the `TRANSACTION_*` values.
    #[must_use]
    pub const fn transaction_value(sys_flag: i32) -> i32 {
        sys_flag & TRANSACTION_MASK
    }

    /// `sys_flag` with other transaction bits.
    #[must_use]
    pub const fn with_transaction_value(sys_flag: i32, value: i32) -> i32 {
        (sys_flag & !TRANSACTION_MASK) | (value & TRANSACTION_MASK)
    }

    /// Whether the body is compressed.
    #[must_use]
    pub const fn is_compressed(sys_flag: i32) -> bool {
        sys_flag & COMPRESSED != 0
    }
}

/// Bits of a PULL_MESSAGE request's `sysFlag`.
pub mod pull {
    /// `commitOffset` is to be stored as the group's offset.
    pub const COMMIT_OFFSET: i32 = 1;
    /// The broker may hold the request (long polling) when there is nothing to give.
    pub const SUSPEND: i32 = 1 << 1;
    /// The request carries its own subscription expression.
    pub const SUBSCRIPTION: i32 = 1 << 2;
    /// A class filter; no broker since 4.x runs one.
    pub const CLASS_FILTER: i32 = 1 << 3;
    /// A lite pull consumer.
    pub const LITE_PULL: i32 = 1 << 4;

    /// Whether the request commits an offset.
    #[must_use]
    pub const fn has_commit_offset(sys_flag: i32) -> bool {
        sys_flag & COMMIT_OFFSET != 0
    }

    /// Whether the broker may hold the request.
    #[must_use]
    pub const fn has_suspend(sys_flag: i32) -> bool {
        sys_flag & SUSPEND != 0
    }

    /// Whether the request carries its own subscription expression.
    #[must_use]
    pub const fn has_subscription(sys_flag: i32) -> bool {
        sys_flag & SUBSCRIPTION != 0
    }

    /// Whether a class filter is asked for.
    #[must_use]
    pub const fn has_class_filter(sys_flag: i32) -> bool {
        sys_flag & CLASS_FILTER != 0
    }

    /// `sys_flag` without the commit bit: what is sent to a slave, which stores no offsets.
    #[must_use]
    pub const fn clear_commit_offset(sys_flag: i32) -> i32 {
        sys_flag & !COMMIT_OFFSET
    }

    /// `sys_flag` without the suspend bit.
    #[must_use]
    pub const fn clear_suspend(sys_flag: i32) -> i32 {
        sys_flag & !SUSPEND
    }
}

/// Bits of a topic's `topicSysFlag`.
pub mod topic {
    /// The topic belongs to a unit.
    pub const UNIT: i32 = 1;
    /// The topic has a subscription from a unit.
    pub const UNIT_SUB: i32 = 1 << 1;
}

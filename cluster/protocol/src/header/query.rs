//! Headers that look single messages up.

use super::fields::command_header;
use crate::newtypes::PhysicalOffset;

/// Extra field of QUERY_MESSAGE: `true` if the key is a UNIQ_KEY (`MixAll.UNIQUE_MSG_QUERY_FLAG`).
pub const EXT_UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";

command_header! {
    /// VIEW_MESSAGE_BY_ID (`ViewMessageRequestHeader`); the response's body is the record.
    ViewMessageRequestHeader {
        /// Where the record begins.
        offset: PhysicalOffset => "offset";
        /// 5.x: the topic.
        topic: Option<String> => "topic";
    }

    /// QUERY_MESSAGE (`QueryMessageRequestHeader`); the response's body is the records.
    QueryMessageRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// The key.
        key: String => "key";
        /// How many at most.
        max_num: i32 => "maxNum";
        /// Stored at or after, in ms.
        begin_timestamp: i64 => "beginTimestamp";
        /// Stored at or before, in ms.
        end_timestamp: i64 => "endTimestamp";
    }

    /// The response to QUERY_MESSAGE (`QueryMessageResponseHeader`): how far the index reaches.
    QueryMessageResponseHeader {
        /// Store time of the last record indexed, in ms.
        index_last_update_timestamp: i64 => "indexLastUpdateTimestamp";
        /// Place of the last record indexed.
        index_last_update_phyoffset: PhysicalOffset => "indexLastUpdatePhyoffset";
    }
}

//! Headers about queue offsets: what a group has consumed, and what a queue holds.

use super::fields::command_header;
use crate::newtypes::QueueOffset;

command_header! {
    /// QUERY_CONSUMER_OFFSET (`QueryConsumerOffsetRequestHeader`).
    QueryConsumerOffsetRequestHeader {
        /// The consumer group.
        consumer_group: String => "consumerGroup";
        /// The topic.
        topic: String => "topic";
        /// The queue.
        queue_id: i32 => "queueId";
        /// 5.x: whether a young queue's 0 may be answered when nothing is stored; absent means yes.
        set_zero_if_not_found: Option<bool> => "setZeroIfNotFound";
        /// The broker name the consumer believes it speaks to.
        broker_name: Option<String> => "bname";
    }

    /// The response to QUERY_CONSUMER_OFFSET (`QueryConsumerOffsetResponseHeader`).
    QueryConsumerOffsetResponseHeader {
        /// What the group has consumed. Absent when the code is not SUCCESS.
        offset: Option<QueueOffset> => "offset";
    }

    /// UPDATE_CONSUMER_OFFSET (`UpdateConsumerOffsetRequestHeader`). Its response has an empty header.
    UpdateConsumerOffsetRequestHeader {
        /// The consumer group.
        consumer_group: String => "consumerGroup";
        /// The topic.
        topic: String => "topic";
        /// The queue.
        queue_id: i32 => "queueId";
        /// What the group has consumed. Node's `ali-ons` sends -1 where it means 0.
        commit_offset: QueueOffset => "commitOffset";
        /// The broker name the consumer believes it speaks to.
        broker_name: Option<String> => "bname";
    }

    /// GET_MAX_OFFSET (`GetMaxOffsetRequestHeader`).
    GetMaxOffsetRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// The queue.
        queue_id: i32 => "queueId";
        /// 5.x: only what consumers may see; absent means yes.
        committed: Option<bool> => "committed";
        /// The broker name the client believes it speaks to.
        broker_name: Option<String> => "bname";
    }

    /// GET_MIN_OFFSET (`GetMinOffsetRequestHeader`).
    GetMinOffsetRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// The queue.
        queue_id: i32 => "queueId";
        /// The broker name the client believes it speaks to.
        broker_name: Option<String> => "bname";
    }

    /// SEARCH_OFFSET_BY_TIMESTAMP (`SearchOffsetRequestHeader`).
    SearchOffsetRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// The queue.
        queue_id: i32 => "queueId";
        /// The store time looked for, in ms.
        timestamp: i64 => "timestamp";
        /// 5.x: `LOWER` or `UPPER` where several messages have that time; absent means `LOWER`.
        boundary_type: Option<String> => "boundaryType";
        /// The broker name the client believes it speaks to.
        broker_name: Option<String> => "bname";
    }

    /// The response to GET_MAX_OFFSET, GET_MIN_OFFSET and SEARCH_OFFSET_BY_TIMESTAMP (`GetMaxOffsetResponseHeader`,
    /// `GetMinOffsetResponseHeader`, `SearchOffsetResponseHeader`: they are alike).
    OffsetResponseHeader {
        /// The answer.
        offset: QueueOffset => "offset";
    }

    /// GET_EARLIEST_MSG_STORETIME (`GetEarliestMsgStoretimeRequestHeader`).
    GetEarliestMsgStoretimeRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// The queue.
        queue_id: i32 => "queueId";
        /// The broker name the client believes it speaks to.
        broker_name: Option<String> => "bname";
    }

    /// The response to GET_EARLIEST_MSG_STORETIME (`GetEarliestMsgStoretimeResponseHeader`).
    GetEarliestMsgStoretimeResponseHeader {
        /// The store time of the queue's first message in ms; -1 if it has none.
        timestamp: i64 => "timestamp";
    }

    /// INVOKE_BROKER_TO_RESET_OFFSET, and RESET_CONSUMER_CLIENT_OFFSET from the broker to its consumers
    /// (`ResetOffsetRequestHeader`).
    ResetOffsetRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// The consumer group.
        group: String => "group";
        /// 5.x: one queue only; absent or -1 means all.
        queue_id: Option<i32> => "queueId";
        /// 5.x: the offset itself, with a queue id.
        offset: Option<QueueOffset> => "offset";
        /// The store time to go back to in ms; -1 means the end of the queue, -2 (5.x) its beginning.
        timestamp: i64 => "timestamp";
        /// Whether an offset may also move forward.
        is_force: bool => "isForce", or false;
    }
}

//! Headers of PULL_MESSAGE.

use super::fields::command_header;
use crate::newtypes::{BrokerId, QueueOffset};

command_header! {
    /// PULL_MESSAGE and LITE_PULL_MESSAGE (`PullMessageRequestHeader`).
    PullMessageRequestHeader {
        /// The consumer group.
        consumer_group: String => "consumerGroup";
        /// The topic.
        topic: String => "topic";
        /// The queue.
        queue_id: i32 => "queueId";
        /// Where to read from.
        queue_offset: QueueOffset => "queueOffset";
        /// How many messages at most.
        max_msg_nums: i32 => "maxMsgNums";
        /// [`sysflag::pull`](crate::sysflag::pull) bits.
        sys_flag: i32 => "sysFlag";
        /// What the group has consumed, stored if the flag says so; -1 is nothing.
        commit_offset: QueueOffset => "commitOffset", or QueueOffset(-1);
        /// How long the broker may hold the request, in ms.
        suspend_timeout_millis: i64 => "suspendTimeoutMillis", or 0;
        /// The subscription expression, if the flag says that one is sent.
        subscription: Option<String> => "subscription";
        /// The version of the subscription: a timestamp in ms.
        sub_version: i64 => "subVersion", or 0;
        /// `TAG` or `SQL92`; absent means `TAG`.
        expression_type: Option<String> => "expressionType";
        /// 5.x: how many bytes at most.
        max_msg_bytes: Option<i32> => "maxMsgBytes";
        /// The broker name the consumer believes it speaks to.
        broker_name: Option<String> => "bname";
    }

    /// The response to a pull (`PullMessageResponseHeader`); sent with every code.
    PullMessageResponseHeader {
        /// Which broker to pull from next time: the master, or a slave when the reader is far behind.
        suggest_which_broker_id: BrokerId => "suggestWhichBrokerId";
        /// Where to pull next.
        next_begin_offset: QueueOffset => "nextBeginOffset";
        /// The queue's first offset.
        min_offset: QueueOffset => "minOffset";
        /// One past the queue's last offset.
        max_offset: QueueOffset => "maxOffset";
    }
}

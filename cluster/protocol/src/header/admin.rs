//! Headers that `mqadmin` sends to a broker.

use super::fields::command_header;

command_header! {
    /// UPDATE_AND_CREATE_TOPIC (`CreateTopicRequestHeader`).
    CreateTopicRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// The topic that it resembles: `TBW102`.
        default_topic: String => "defaultTopic", or String::new();
        /// How many queues can be read.
        read_queue_nums: i32 => "readQueueNums";
        /// How many queues can be written.
        write_queue_nums: i32 => "writeQueueNums";
        /// [`perm`](crate::perm) bits.
        perm: i32 => "perm";
        /// `SINGLE_TAG` or `MULTI_TAG`.
        topic_filter_type: String => "topicFilterType";
        /// [`sysflag::topic`](crate::sysflag::topic) bits.
        topic_sys_flag: Option<i32> => "topicSysFlag";
        /// Whether the topic is globally ordered.
        order: bool => "order", or false;
        /// 5.x: changes of attributes, `+key=value,-key`.
        attributes: Option<String> => "attributes";
    }

    /// DELETE_TOPIC_IN_BROKER (`DeleteTopicRequestHeader`).
    DeleteTopicRequestHeader {
        /// The topic.
        topic: String => "topic";
    }

    /// DELETE_SUBSCRIPTIONGROUP (`DeleteSubscriptionGroupRequestHeader`).
    DeleteSubscriptionGroupRequestHeader {
        /// The consumer group.
        group_name: String => "groupName";
        /// 4.x: whether the group's offsets go as well.
        remove_offset: Option<bool> => "removeOffset";
        /// 5.x's name for the same.
        clean_offset: Option<bool> => "cleanOffset";
    }

    /// GET_TOPIC_STATS_INFO (`GetTopicStatsInfoRequestHeader`).
    GetTopicStatsInfoRequestHeader {
        /// The topic.
        topic: String => "topic";
    }

    /// GET_TOPIC_CONFIG (5.x, `GetTopicConfigRequestHeader`).
    GetTopicConfigRequestHeader {
        /// The topic.
        topic: String => "topic";
    }

    /// GET_SUBSCRIPTIONGROUP_CONFIG (5.x, `GetSubscriptionGroupConfigRequestHeader`).
    GetSubscriptionGroupConfigRequestHeader {
        /// The consumer group.
        group: String => "group";
    }

    /// GET_CONSUME_STATS (`GetConsumeStatsRequestHeader`).
    GetConsumeStatsRequestHeader {
        /// The consumer group.
        consumer_group: String => "consumerGroup";
        /// One topic only.
        topic: Option<String> => "topic";
    }

    /// QUERY_TOPIC_CONSUME_BY_WHO (`QueryTopicConsumeByWhoRequestHeader`).
    QueryTopicConsumeByWhoRequestHeader {
        /// The topic.
        topic: String => "topic";
    }

    /// QUERY_TOPICS_BY_CONSUMER (`QueryTopicsByConsumerRequestHeader`).
    QueryTopicsByConsumerRequestHeader {
        /// The consumer group.
        group: String => "group";
    }

    /// QUERY_SUBSCRIPTION_BY_CONSUMER (`QuerySubscriptionByConsumerRequestHeader`).
    QuerySubscriptionByConsumerRequestHeader {
        /// The consumer group.
        group: String => "group";
        /// The topic.
        topic: Option<String> => "topic";
    }

    /// QUERY_CONSUME_TIME_SPAN (`QueryConsumeTimeSpanRequestHeader`).
    QueryConsumeTimeSpanRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// The consumer group.
        group: String => "group";
    }

    /// QUERY_CORRECTION_OFFSET (`QueryCorrectionOffsetHeader`).
    QueryCorrectionOffsetHeader {
        /// Groups whose offsets are compared, joined by commas.
        filter_groups: Option<String> => "filterGroups";
        /// The group to compare with.
        compare_group: String => "compareGroup";
        /// The topic.
        topic: String => "topic";
    }

    /// CLONE_GROUP_OFFSET (`CloneGroupOffsetRequestHeader`).
    CloneGroupOffsetRequestHeader {
        /// The group whose offsets are copied.
        src_group: String => "srcGroup";
        /// The group that gets them.
        dest_group: String => "destGroup";
        /// One topic only.
        topic: Option<String> => "topic";
        /// Whether the groups are offline.
        offline: bool => "offline", or false;
    }

    /// VIEW_BROKER_STATS_DATA (`ViewBrokerStatsDataRequestHeader`).
    ViewBrokerStatsDataRequestHeader {
        /// The family of figures, such as `TOPIC_PUT_NUMS`.
        stats_name: String => "statsName";
        /// The one looked at, such as a topic.
        stats_key: String => "statsKey";
    }

    /// GET_BROKER_CONSUME_STATS (`GetConsumeStatsInBrokerHeader`).
    GetConsumeStatsInBrokerHeader {
        /// Whether only ordered topics are wanted.
        is_order: bool => "isOrder", or false;
    }

    /// QUERY_CONSUME_QUEUE (`QueryConsumeQueueRequestHeader`).
    QueryConsumeQueueRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// The queue.
        queue_id: i32 => "queueId", or 0;
        /// The first unit.
        index: i64 => "index", or 0;
        /// How many units.
        count: i32 => "count", or 0;
        /// The group whose filter is tried on the units.
        consumer_group: Option<String> => "consumerGroup";
    }

    /// The response to GET_BROKER_CONFIG (`GetBrokerConfigResponseHeader`).
    GetBrokerConfigResponseHeader {
        /// The `DataVersion` of the configuration, as JSON.
        version: String => "version";
    }
}

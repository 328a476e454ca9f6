//! Headers about the clients of a broker: groups, members, connections.

use super::fields::command_header;

command_header! {
    /// UNREGISTER_CLIENT (`UnregisterClientRequestHeader`); the response's header is [`EmptyResponseHeader`].
    UnregisterClientRequestHeader {
        /// The client's id, `ip@instance`.
        client_id: String => "clientID", or String::new();
        /// The producer group it leaves.
        producer_group: Option<String> => "producerGroup";
        /// The consumer group it leaves.
        consumer_group: Option<String> => "consumerGroup";
    }

    /// GET_CONSUMER_LIST_BY_GROUP, GET_CONSUMER_CONNECTION_LIST and NOTIFY_CONSUMER_IDS_CHANGED
    /// (`GetConsumerListByGroupRequestHeader`, `GetConsumerConnectionListRequestHeader`,
    /// `NotifyConsumerIdsChangedRequestHeader`: they are alike).
    ConsumerGroupRequestHeader {
        /// The consumer group.
        consumer_group: String => "consumerGroup";
    }

    /// GET_PRODUCER_CONNECTION_LIST (`GetProducerConnectionListRequestHeader`).
    GetProducerConnectionListRequestHeader {
        /// The producer group.
        producer_group: String => "producerGroup";
    }

    /// A response header without fields: Java writes `"extFields":{}` for the responses to UNREGISTER_CLIENT,
    /// GET_CONSUMER_LIST_BY_GROUP, UPDATE_CONSUMER_OFFSET and REGISTER_BROKER (of a master).
    EmptyResponseHeader {}

    /// GET_CONSUMER_RUNNING_INFO (`GetConsumerRunningInfoRequestHeader`).
    GetConsumerRunningInfoRequestHeader {
        /// The consumer group.
        consumer_group: String => "consumerGroup";
        /// The client's id.
        client_id: String => "clientId";
        /// Whether the threads' stacks are wanted.
        jstack_enable: bool => "jstackEnable", or false;
    }

    /// CONSUME_MESSAGE_DIRECTLY (`ConsumeMessageDirectlyResultRequestHeader`); the body is the message's record.
    ConsumeMessageDirectlyResultRequestHeader {
        /// The consumer group.
        consumer_group: String => "consumerGroup";
        /// The client's id.
        client_id: Option<String> => "clientId";
        /// The message's id.
        msg_id: Option<String> => "msgId";
        /// Where the message is.
        broker_name: Option<String> => "brokerName";
        /// The message's topic.
        topic: Option<String> => "topic";
    }

    /// INVOKE_BROKER_TO_GET_CONSUMER_STATUS and GET_CONSUMER_STATUS_FROM_CLIENT (`GetConsumerStatusRequestHeader`).
    GetConsumerStatusRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// The consumer group.
        group: String => "group";
        /// One client only.
        client_addr: Option<String> => "clientAddr";
    }
}

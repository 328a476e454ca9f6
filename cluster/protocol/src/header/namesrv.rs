//! Headers that a name server answers: routes, brokers, key-value configuration.

use super::fields::command_header;
use crate::newtypes::BrokerId;

command_header! {
    /// GET_ROUTEINFO_BY_TOPIC (`GetRouteInfoRequestHeader`).
    GetRouteInfoRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// Whether only standard JSON is understood. Our routes always are standard JSON.
        accept_standard_json_only: Option<bool> => "acceptStandardJsonOnly";
    }

    /// REGISTER_BROKER (`RegisterBrokerRequestHeader`).
    RegisterBrokerRequestHeader {
        /// The broker's name, shared by a master and its slaves.
        broker_name: String => "brokerName";
        /// Where clients reach it, `ip:port`.
        broker_addr: String => "brokerAddr";
        /// Its cluster.
        cluster_name: String => "clusterName";
        /// Where slaves reach it, `ip:port`.
        ha_server_addr: String => "haServerAddr", or String::new();
        /// Its id.
        broker_id: BrokerId => "brokerId";
        /// 5.x: after how many ms of silence it is to be taken off the routes.
        heartbeat_timeout_millis: Option<i64> => "heartbeatTimeoutMillis";
        /// 5.x: whether a slave may stand in for the master.
        enable_acting_master: Option<bool> => "enableActingMaster";
        /// Whether the body is in the compressed form.
        compressed: bool => "compressed", or false;
        /// CRC32 of the body; 0 means unchecked.
        body_crc32: i32 => "bodyCrc32", or 0;
    }

    /// The response to REGISTER_BROKER (`RegisterBrokerResponseHeader`): a slave learns its master.
    RegisterBrokerResponseHeader {
        /// The master's address for slaves.
        ha_server_addr: Option<String> => "haServerAddr";
        /// The master's address.
        master_addr: Option<String> => "masterAddr";
    }

    /// UNREGISTER_BROKER (`UnRegisterBrokerRequestHeader`).
    UnRegisterBrokerRequestHeader {
        /// The broker's name.
        broker_name: String => "brokerName";
        /// Where clients reached it.
        broker_addr: String => "brokerAddr";
        /// Its cluster.
        cluster_name: String => "clusterName";
        /// Its id.
        broker_id: BrokerId => "brokerId";
    }

    /// QUERY_DATA_VERSION (`QueryDataVersionRequestHeader`); the body is the broker's `DataVersion`.
    QueryDataVersionRequestHeader {
        /// The broker's name.
        broker_name: String => "brokerName";
        /// Where clients reach it.
        broker_addr: String => "brokerAddr";
        /// Its cluster.
        cluster_name: String => "clusterName";
        /// Its id.
        broker_id: BrokerId => "brokerId";
    }

    /// The response to QUERY_DATA_VERSION (`QueryDataVersionResponseHeader`).
    QueryDataVersionResponseHeader {
        /// Whether the name server knows another version, so that the broker must register.
        changed: bool => "changed";
    }

    /// REGISTER_TOPIC_IN_NAMESRV (`RegisterTopicRequestHeader`); the body is a `TopicRouteData` with the queues.
    RegisterTopicRequestHeader {
        /// The topic.
        topic: String => "topic";
    }

    /// PUT_KV_CONFIG (`PutKVConfigRequestHeader`).
    PutKvConfigRequestHeader {
        /// The namespace.
        namespace: String => "namespace";
        /// The key.
        key: String => "key";
        /// The value.
        value: String => "value";
    }

    /// GET_KV_CONFIG and DELETE_KV_CONFIG (`GetKVConfigRequestHeader`, `DeleteKVConfigRequestHeader`).
    KvConfigRequestHeader {
        /// The namespace.
        namespace: String => "namespace";
        /// The key.
        key: String => "key";
    }

    /// The response to GET_KV_CONFIG (`GetKVConfigResponseHeader`).
    GetKvConfigResponseHeader {
        /// The value; absent with code QUERY_NOT_FOUND.
        value: Option<String> => "value";
    }

    /// GET_KVLIST_BY_NAMESPACE (`GetKVListByNamespaceRequestHeader`).
    GetKvListByNamespaceRequestHeader {
        /// The namespace.
        namespace: String => "namespace";
    }

    /// WIPE_WRITE_PERM_OF_BROKER and ADD_WRITE_PERM_OF_BROKER (`WipeWritePermOfBrokerRequestHeader`,
    /// `AddWritePermOfBrokerRequestHeader`).
    WritePermOfBrokerRequestHeader {
        /// The broker's name.
        broker_name: String => "brokerName";
    }

    /// The response to WIPE_WRITE_PERM_OF_BROKER (`WipeWritePermOfBrokerResponseHeader`).
    WipeWritePermOfBrokerResponseHeader {
        /// How many topics lost the permission.
        wipe_topic_count: i32 => "wipeTopicCount";
    }

    /// The response to ADD_WRITE_PERM_OF_BROKER (`AddWritePermOfBrokerResponseHeader`).
    AddWritePermOfBrokerResponseHeader {
        /// How many topics got the permission back.
        add_topic_count: i32 => "addTopicCount";
    }

    /// DELETE_TOPIC_IN_NAMESRV (`DeleteTopicFromNamesrvRequestHeader`).
    DeleteTopicFromNamesrvRequestHeader {
        /// The topic.
        topic: String => "topic";
        /// 5.x: only in this cluster.
        cluster_name: Option<String> => "clusterName";
    }

    /// GET_TOPICS_BY_CLUSTER (`GetTopicsByClusterRequestHeader`).
    GetTopicsByClusterRequestHeader {
        /// The cluster.
        cluster: String => "cluster";
    }
}

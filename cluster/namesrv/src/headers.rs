//! Headers and bodies that only name servers and brokers of 5.x exchange.

use protocol::body::{BrokerData, JsonBody};
use protocol::header::{CommandHeader, FieldValue, HeaderError};
use protocol::{BrokerId, ExtFields};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// BROKER_HEARTBEAT (`BrokerHeartbeatRequestHeader`): what a name server reads of it. Controllers read more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerHeartbeatRequestHeader {
    /// Where clients reach the broker.
    pub broker_addr: String,
}

impl CommandHeader for BrokerHeartbeatRequestHeader {
    fn write(&self, out: &mut ExtFields) {
        self.broker_addr.put("brokerAddr", out);
    }

    fn read(fields: &ExtFields) -> Result<Self, HeaderError> {
        Ok(Self { broker_addr: FieldValue::take(fields, "BrokerHeartbeatRequestHeader", "brokerAddr")? })
    }
}

/// GET_BROKER_MEMBER_GROUP (`GetBrokerMemberGroupRequestHeader`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetBrokerMemberGroupRequestHeader {
    /// The cluster.
    pub cluster_name: String,
    /// The broker name.
    pub broker_name: String,
}

impl CommandHeader for GetBrokerMemberGroupRequestHeader {
    fn write(&self, out: &mut ExtFields) {
        self.cluster_name.put("clusterName", out);
        self.broker_name.put("brokerName", out);
    }

    fn read(fields: &ExtFields) -> Result<Self, HeaderError> {
        const NAME: &str = "GetBrokerMemberGroupRequestHeader";
        Ok(Self {
            cluster_name: FieldValue::take(fields, NAME, "clusterName")?,
            broker_name: FieldValue::take(fields, NAME, "brokerName")?,
        })
    }
}

/// The response to GET_BROKER_MEMBER_GROUP (`GetBrokerMemberGroupResponseBody`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetBrokerMemberGroupResponseBody {
    /// The members.
    pub broker_member_group: BrokerMemberGroup,
}

/// The brokers of one name (`BrokerMemberGroup`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerMemberGroup {
    /// `ip:port` by id.
    pub broker_addrs: BTreeMap<BrokerId, String>,
    /// The name.
    pub broker_name: String,
    /// The cluster.
    pub cluster: String,
}

impl From<BrokerData> for BrokerMemberGroup {
    fn from(data: BrokerData) -> Self {
        Self { broker_addrs: data.broker_addrs, broker_name: data.broker_name, cluster: data.cluster }
    }
}

impl JsonBody for GetBrokerMemberGroupResponseBody {
    const NAME: &'static str = "GetBrokerMemberGroupResponseBody";
}

//! How the commands speak to servers: asking, and finding out which brokers are meant.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use protocol::body::{BodyError, ClusterInfo, JsonBody, TopicRouteData};
use protocol::header::{GetRouteInfoRequestHeader, OffsetResponseHeader};
use protocol::{CommandHeader, HeaderError, RemotingCommand, request_code, response_code};
use remoting::{ClientConfig, RemotingClient, RemotingError};

/// How long a server may take to answer (`DefaultMQAdminExt`: 5 s).
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No name server was given.
    #[error("no name server is known: give -n host:port, or set NAMESRV_ADDR")]
    NoNameServer,
    /// A server does not answer.
    #[error(transparent)]
    Remoting(#[from] RemotingError),
    /// A server refuses.
    #[error("{addr} refuses request {request}: CODE: {code}  DESC: {remark}")]
    Refused {
        /// The server.
        addr: String,
        /// The request code.
        request: i32,
        /// The response code.
        code: i32,
        /// Its words.
        remark: String,
    },
    /// A server's answer cannot be read.
    #[error("an answer cannot be read: {0}")]
    Header(#[from] HeaderError),
    /// A server's answer cannot be read.
    #[error("an answer cannot be read: {0}")]
    Body(#[from] BodyError),
    /// A store that was checked is damaged.
    #[error("{damages} damages found")]
    Damaged {
        /// What was found, line by line.
        report: String,
        /// How many findings are damage.
        damages: usize,
    },
    /// What was asked for is not there, or the options do not fit together.
    #[error("{0}")]
    Usage(String),
}

impl AdminError {
    /// The response code of a server's refusal.
    #[must_use]
    pub const fn code(&self) -> Option<i32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// A connection to the servers of a cluster.
#[derive(Clone)]
pub struct Session {
    client: RemotingClient,
}

/// Which brokers a command is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Target {
    /// One broker, host:port
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    pub broker_addr: Option<String>,
    /// All masters of a cluster
    #[arg(short = 'c', long = "clusterName", value_name = "CLUSTER")]
    pub cluster_name: Option<String>,
}

impl Session {
    /// A session with these name servers, separated by semicolons.
    #[must_use]
    pub fn new(namesrv_addr: &str) -> Self {
        let client = RemotingClient::new(ClientConfig::default());
        let addrs = namesrv_addr.split(';').map(str::trim).filter(|addr| !addr.is_empty());
        client.update_name_servers(addrs.map(str::to_owned).collect());
        Self { client }
    }

    /// Ends all connections.
    pub fn close(&self) {
        self.client.shutdown();
    }

    /// The name servers.
    ///
    /// # Errors
    /// There are none.
    pub fn name_servers(&self) -> Result<Vec<String>, AdminError> {
        let addrs = self.client.name_servers();
        if addrs.is_empty() { Err(AdminError::NoNameServer) } else { Ok(addrs) }
    }

    /// Asks a server; anything but SUCCESS is an error.
    pub(super) async fn ask(
        &self,
        addr: &str,
        request: i32,
        header: &impl CommandHeader,
        body: impl Into<Bytes>,
    ) -> Result<RemotingCommand, AdminError> {
        let command = RemotingCommand::request(request, header).with_body(body);
        accepted(addr, request, self.client.invoke(addr, command, TIMEOUT).await?)
    }

    /// As [`Session::ask`], giving the response whatever its code.
    pub(super) async fn ask_any(
        &self,
        addr: &str,
        request: i32,
        header: &impl CommandHeader,
        body: impl Into<Bytes>,
    ) -> Result<RemotingCommand, AdminError> {
        Ok(self.client.invoke(addr, RemotingCommand::request(request, header).with_body(body), TIMEOUT).await?)
    }

    /// Sends a request as it is; gives the response whatever its code.
    pub(super) async fn ask_with(&self, addr: &str, request: RemotingCommand) -> Result<RemotingCommand, AdminError> {
        Ok(self.client.invoke(addr, request, TIMEOUT).await?)
    }

    /// Asks some name server.
    pub(super) async fn ask_name_server(
        &self,
        request: i32,
        header: &impl CommandHeader,
    ) -> Result<RemotingCommand, AdminError> {
        let addrs = self.name_servers()?;
        let command = RemotingCommand::request(request, header);
        accepted(&addrs.join(";"), request, self.client.invoke_name_server(command, TIMEOUT).await?)
    }

    /// Asks a server for an offset.
    pub(super) async fn ask_offset(
        &self,
        addr: &str,
        request: i32,
        header: &impl CommandHeader,
    ) -> Result<i64, AdminError> {
        let response = self.ask(addr, request, header, Bytes::new()).await?;
        Ok(response.header::<OffsetResponseHeader>()?.offset.0)
    }

    /// All brokers.
    pub(super) async fn cluster_info(&self) -> Result<ClusterInfo, AdminError> {
        let response = self.ask_name_server(request_code::GET_BROKER_CLUSTER_INFO, &()).await?;
        Ok(ClusterInfo::decode(&response.body)?)
    }

    /// Where a topic is.
    pub(super) async fn route(&self, topic: &str) -> Result<TopicRouteData, AdminError> {
        let header = GetRouteInfoRequestHeader { topic: topic.to_owned(), accept_standard_json_only: Some(true) };
        let response = self.ask_name_server(request_code::GET_ROUTEINFO_BY_TOPIC, &header).await?;
        Ok(TopicRouteData::decode(&response.body)?)
    }

    /// The masters of a cluster.
    pub(super) async fn masters_of(&self, cluster: &str) -> Result<Vec<String>, AdminError> {
        let info = self.cluster_info().await?;
        let Some(names) = info.cluster_addr_table.get(cluster) else {
            let known: Vec<&str> = info.cluster_addr_table.keys().map(String::as_str).collect();
            return Err(AdminError::Usage(format!("there is no cluster {cluster}; there are: {}", known.join(", "))));
        };
        let brokers = names.iter().filter_map(|name| info.broker_addr_table.get(name));
        Ok(brokers.filter_map(|broker| broker.broker_addrs.get(&protocol::BrokerId::MASTER).cloned()).collect())
    }

    /// The brokers that are meant.
    pub(super) async fn brokers(&self, target: &Target) -> Result<Vec<String>, AdminError> {
        match (&target.broker_addr, &target.cluster_name) {
            (Some(addr), _) => Ok(vec![addr.clone()]),
            (None, Some(cluster)) => {
                let masters = self.masters_of(cluster).await?;
                if masters.is_empty() {
                    return Err(AdminError::Usage(format!("cluster {cluster} has no master at the moment")));
                }
                Ok(masters)
            }
            (None, None) => Err(AdminError::Usage("give -b host:port or -c cluster".to_owned())),
        }
    }
}

fn accepted(addr: &str, request: i32, response: RemotingCommand) -> Result<RemotingCommand, AdminError> {
    if response.code == response_code::SUCCESS {
        return Ok(response);
    }
    let remark = response.remark.unwrap_or_default();
    Err(AdminError::Refused { addr: addr.to_owned(), request, code: response.code, remark })
}

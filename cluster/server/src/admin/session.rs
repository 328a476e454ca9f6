//! How the commands speak to servers: asking, and finding out which brokers are meant.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use protocol::body::{BodyError, ClusterInfo, JsonBody, TopicRouteData};
use protocol::header::{GetRouteInfoRequestHeader, OffsetResponseHeader};
use protocol::{CommandHeader, HeaderError, RemotingCommand, request_code, response_code};
use remoting::{ClientConfig, RemotingClient, RemotingError};

use super::text::Times;

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
    /// Some of the servers did not answer or refused; the others did what was asked.
    #[error("not everything was done or shown:{}", missing.iter().map(|line| format!("\n  {line}")).collect::<String>())]
    Partial {
        /// What the others said.
        report: String,
        /// Whom it concerns, and why.
        missing: Vec<String>,
    },
    /// A server that has not answered before is not asked again.
    #[error("{0}")]
    Silent(String),
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
    times: Times,
    /// Servers that have not answered, with what happened: each costs the time of one attempt, however often it is wanted.
    silent: Arc<Mutex<BTreeMap<String, String>>>,
}

/// What a command could not learn or do while it went on with the other servers.
#[derive(Debug, Default)]
pub(super) struct Missing(Vec<String>);

impl Missing {
    /// Takes note of a failure, with the name of what it concerns; gives what succeeded.
    pub(super) fn note<T>(&mut self, what: &str, outcome: Result<T, AdminError>) -> Option<T> {
        let error = match outcome {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let line = format!("{what}: {error}");
        if !self.0.contains(&line) {
            self.0.push(line);
        }
        None
    }

    /// Whether nothing is missing.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The command has done the rest.
    pub(super) fn end(self, report: String) -> Result<String, AdminError> {
        if self.0.is_empty() { Ok(report) } else { Err(AdminError::Partial { report, missing: self.0 }) }
    }
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
        Self { client, times: Times::utc(), silent: Arc::default() }
    }

    /// The same, with times in another zone than UTC.
    #[must_use]
    pub fn with_times(self, times: Times) -> Self {
        Self { times, ..self }
    }

    /// How times are read and shown.
    pub(super) const fn times(&self) -> &Times {
        &self.times
    }

    async fn invoke(&self, addr: &str, command: RemotingCommand) -> Result<RemotingCommand, AdminError> {
        if let Some(why) = self.silent().get(addr) {
            return Err(AdminError::Silent(why.clone()));
        }
        let outcome = self.client.invoke(addr, command, TIMEOUT).await;
        if let Err(error) = &outcome {
            self.silent().insert(addr.to_owned(), error.to_string());
        }
        Ok(outcome?)
    }

    fn silent(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The times from `begin` to `end`, as an operator writes them; any time without them.
    pub(super) fn time_range(&self, begin: Option<&str>, end: Option<&str>) -> Result<RangeInclusive<i64>, AdminError> {
        let parse = |text: &str| self.times.parse(text).map_err(AdminError::Usage);
        let (begin, end) = (begin.map_or(Ok(0), parse)?.max(0), end.map_or(Ok(i64::MAX), parse)?);
        if begin > end {
            let why = format!("beginTimestamp {begin} is after endTimestamp {end}: nothing lies between");
            return Err(AdminError::Usage(why));
        }
        Ok(begin..=end)
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
        accepted(addr, request, self.invoke(addr, command).await?)
    }

    /// As [`Session::ask`], giving the response whatever its code.
    pub(super) async fn ask_any(
        &self,
        addr: &str,
        request: i32,
        header: &impl CommandHeader,
        body: impl Into<Bytes>,
    ) -> Result<RemotingCommand, AdminError> {
        self.invoke(addr, RemotingCommand::request(request, header).with_body(body)).await
    }

    /// Sends a request as it is; gives the response whatever its code.
    pub(super) async fn ask_with(&self, addr: &str, request: RemotingCommand) -> Result<RemotingCommand, AdminError> {
        self.invoke(addr, request).await
    }

    /// Sends a request as it is; the remark of the answer, which must be SUCCESS.
    pub(super) async fn told(&self, addr: &str, code: i32, request: RemotingCommand) -> Result<String, AdminError> {
        let response = accepted(addr, code, self.invoke(addr, request).await?)?;
        Ok(response.remark.unwrap_or_default())
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

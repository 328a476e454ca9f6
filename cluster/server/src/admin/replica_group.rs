//! `replicaGroup`, `removeReplica`, `beginHistory`: the replica group of a broker name, and an operator's word in it. They speak
//! requests of our own; Apache's broker says that it does not know them.

use std::fmt::Write;

use bytes::Bytes;
use clap::Args;
use protocol::RemotingCommand;
use serde::Deserialize;

use super::session::{AdminError, Missing, Session};

/// See the broker's `replication`.
const GET_REPLICA_GROUP: i32 = 23_011;
const REMOVE_REPLICA: i32 = 23_012;
const BEGIN_HISTORY: i32 = 23_013;

/// What a broker says of its group.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct View {
    broker_name: String,
    broker_id: i64,
    broker_addr: String,
    role: String,
    membership: Membership,
    leads: bool,
    waits_for: Option<String>,
    follows: Option<String>,
    refused: Option<String>,
    min_offset: i64,
    max_offset: i64,
    epochs: Vec<Life>,
    slaves: Vec<Follower>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Membership {
    group: Option<String>,
    generation: u64,
    members: Vec<Member>,
    removed: Vec<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Member {
    broker_id: i64,
    addr: String,
    stopped_at: Option<Position>,
}

#[derive(Debug, Deserialize)]
struct Position {
    end: i64,
}

#[derive(Debug, Deserialize)]
struct Life {
    id: u64,
    start: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Follower {
    broker_id: Option<i64>,
    addr: String,
    acked: i64,
    behind_bytes: u64,
    in_sync: bool,
}

/// `replicaGroup`
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ReplicaGroup {
    /// One broker, host:port
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker_addr: Option<String>,
    /// All brokers of this name, masters and slaves
    #[arg(short = 'm', long = "brokerName", value_name = "NAME")]
    broker_name: Option<String>,
    /// All brokers of a cluster
    #[arg(short = 'c', long = "clusterName", value_name = "CLUSTER")]
    cluster_name: Option<String>,
}

impl ReplicaGroup {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let addrs = match &self.broker_addr {
            Some(addr) => vec![addr.clone()],
            None => self.known(session).await?,
        };
        let (mut report, mut missing) = (String::new(), Missing::default());
        for addr in addrs {
            let asked = session.ask(&addr, GET_REPLICA_GROUP, &(), Bytes::new()).await;
            let view = asked.and_then(|response| {
                serde_json::from_slice::<View>(&response.body)
                    .map_err(|error| AdminError::Usage(format!("{addr} answers what cannot be read: {error}")))
            });
            if let Some(view) = missing.note(&addr, view) {
                view.show(&mut report);
            }
        }
        missing.end(report)
    }

    /// The brokers that name servers know.
    async fn known(&self, session: &Session) -> Result<Vec<String>, AdminError> {
        let info = session.cluster_info().await?;
        let is_wanted = |name: &str, cluster: &str| {
            self.broker_name.as_deref().is_none_or(|wanted| wanted == name)
                && self.cluster_name.as_deref().is_none_or(|wanted| wanted == cluster)
        };
        let brokers = info.broker_addr_table.iter().filter(|(name, data)| is_wanted(name, &data.cluster));
        let addrs: Vec<String> = brokers.flat_map(|(_, data)| data.broker_addrs.values().cloned()).collect();
        if addrs.is_empty() {
            return Err(AdminError::Usage(
                "name servers know no such broker at the moment: give -b host:port".to_owned(),
            ));
        }
        Ok(addrs)
    }
}

impl View {
    fn show(&self, text: &mut String) {
        let Membership { group, generation, members, removed } = &self.membership;
        let group = group.as_deref().unwrap_or("none yet");
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} brokerId {} at {} ({}): replica group {group}, generation {generation}",
            self.broker_name, self.broker_id, self.broker_addr, self.role
        );
        let state = match (&self.waits_for, &self.refused, &self.follows) {
            (Some(waits_for), ..) => format!("takes no messages; it waits for {waits_for}"),
            (_, Some(refused), _) => format!("is refused by its master and shows nothing: {refused}"),
            (.., Some(master)) => format!("follows {master}"),
            _ if self.leads => "leads".to_owned(),
            _ => "follows nobody at the moment".to_owned(),
        };
        let _ = writeln!(text, "  state     {state}");
        let _ = writeln!(text, "  log       {}..{}", self.min_offset, self.max_offset);
        for (number, life) in self.epochs.iter().enumerate() {
            let end = self.epochs.get(number + 1).map_or(self.max_offset, |next| next.start);
            let _ = writeln!(text, "  history   {}..{end}  epoch {}", life.start, life.id);
        }
        for member in members {
            let stopped = member.stopped_at.as_ref().map(|at| format!("  stopped in good order at {}", at.end));
            let stopped = stopped.unwrap_or_default();
            let _ = writeln!(text, "  member    brokerId {} at {}{stopped}", member.broker_id, member.addr);
        }
        if !removed.is_empty() {
            let _ = writeln!(text, "  removed   {removed:?}");
        }
        for slave in &self.slaves {
            let id = slave.broker_id.map_or_else(|| "Apache's".to_owned(), |id| id.to_string());
            let in_sync = if slave.in_sync { "in sync" } else { "not in sync" };
            let Follower { addr, acked, behind_bytes, .. } = slave;
            let _ = writeln!(
                text,
                "  slave     brokerId {id} at {addr}: has {acked}, {behind_bytes} bytes behind, {in_sync}"
            );
        }
    }
}

/// `removeReplica`
#[derive(Debug, Args)]
pub struct RemoveReplica {
    /// The master of the group, host:port
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker_addr: String,
    /// The slave that is gone for good
    #[arg(short = 'i', long = "brokerId", value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    broker_id: i64,
}

impl RemoveReplica {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let Self { broker_addr, broker_id } = self;
        let request = RemotingCommand::request(REMOVE_REPLICA, &()).with_field("brokerId", &broker_id.to_string());
        let remark = session.told(broker_addr, REMOVE_REPLICA, request).await?;
        Ok(format!("broker {broker_id} is taken out of the replica group of {broker_addr}: {remark}\n"))
    }
}

/// `beginHistory`
#[derive(Debug, Args)]
pub struct BeginHistory {
    /// The master that waits, host:port
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker_addr: String,
    /// Give up what the master waits for; without this the command only shows what that is
    #[arg(long = "accept-loss")]
    accept_loss: bool,
}

impl BeginHistory {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let request = RemotingCommand::request(BEGIN_HISTORY, &());
        let request = if self.accept_loss { request.with_field("acceptLoss", "true") } else { request };
        let remark = session.told(&self.broker_addr, BEGIN_HISTORY, request).await?;
        Ok(format!("{} begins. Given up: {remark}\n", self.broker_addr))
    }
}

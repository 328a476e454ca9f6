//! `replicaGroup`, `removeReplica`, `beginHistory`: the replica group of a broker name, and an operator's word in it. They speak
//! requests of our own; Apache's broker says that it does not know them.

use std::collections::BTreeSet;
use std::fmt::Write;

use bytes::Bytes;
use clap::Args;
use protocol::body::{FollowerView, JsonBody, MembershipView, ReplicaGroupView};
use protocol::{RemotingCommand, request_code};

use super::session::{AdminError, Missing, Session};

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
        let mut addrs = match &self.broker_addr {
            Some(addr) => vec![addr.clone()],
            None => self.known(session).await?,
        };
        let (mut report, mut missing) = (String::new(), Missing::default());
        let mut seen: BTreeSet<String> = addrs.iter().cloned().collect();
        let registered = addrs.len();
        let mut next = 0;
        while let Some(addr) = addrs.get(next).cloned() {
            next += 1;
            let asked = session.ask(&addr, request_code::GET_REPLICA_GROUP, &(), Bytes::new()).await;
            let view = asked.and_then(|response| Ok(ReplicaGroupView::decode(&response.body)?));
            let is_registered = next <= registered;
            let view = match view {
                Err(error) if !is_registered => {
                    // Writing to a string does not fail.
                    let _ = writeln!(report, "member at {addr}, which no name server knows, does not answer: {error}");
                    continue;
                }
                view => missing.note(&addr, view),
            };
            let Some(view) = view else { continue };
            show(&view, &mut report);
            if self.broker_addr.is_none() {
                // Name servers do not know a member whose log is refused.
                let members = view.membership.members.iter().map(|member| &member.addr);
                let others = members.filter(|addr| addr.contains(':') && !addr.starts_with('('));
                addrs.extend(others.filter(|addr| seen.insert((*addr).clone())).cloned());
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

fn show(view: &ReplicaGroupView, text: &mut String) {
    let MembershipView { group, generation, members, removed } = &view.membership;
    let group = group.as_deref().unwrap_or("none yet");
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} brokerId {} at {} ({}): replica group {group}, generation {generation}",
        view.broker_name, view.broker_id, view.broker_addr, view.role
    );
    let state = match (&view.waits_for, &view.refused, &view.follows) {
        (Some(waits_for), ..) => format!("takes no messages; it waits for {waits_for}"),
        (_, Some(refused), _) => format!("is refused by its master and shows nothing: {refused}"),
        (.., Some(master)) => format!("follows {master}"),
        _ if view.leads => "leads".to_owned(),
        _ => "follows nobody at the moment".to_owned(),
    };
    let _ = writeln!(text, "  state     {state}");
    let _ = writeln!(text, "  log       {}..{}", view.min_offset, view.max_offset);
    for (number, life) in view.epochs.iter().enumerate() {
        let end = view.epochs.get(number + 1).map_or(view.max_offset, |next| next.start);
        let _ = writeln!(text, "  history   {}..{end}  epoch {}", life.start, life.id);
    }
    for member in members {
        let stopped = member.stopped_at.map(|at| format!("  stopped in good order at {at}"));
        let stopped = stopped.unwrap_or_default();
        let _ = writeln!(text, "  member    brokerId {} at {}{stopped}", member.broker_id, member.addr);
    }
    if !removed.is_empty() {
        let _ = writeln!(text, "  removed   {removed:?}");
    }
    for slave in &view.slaves {
        let id = slave.broker_id.map_or_else(|| "Apache's".to_owned(), |id| id.to_string());
        let in_sync = if slave.in_sync { "in sync" } else { "not in sync" };
        let FollowerView { addr, acked, behind_bytes, .. } = slave;
        let _ =
            writeln!(text, "  slave     brokerId {id} at {addr}: has {acked}, {behind_bytes} bytes behind, {in_sync}");
    }
}

fn accepting(is_accepted: bool, request: RemotingCommand) -> RemotingCommand {
    if is_accepted { request.with_field("acceptLoss", "true") } else { request }
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
    /// Give up what only that slave may have, where the master waits for it; without this such a removal is refused
    #[arg(long = "accept-loss")]
    accept_loss: bool,
}

impl RemoveReplica {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let Self { broker_addr, broker_id, accept_loss } = self;
        let request = RemotingCommand::request(request_code::REMOVE_REPLICA, &());
        let request = accepting(*accept_loss, request.with_field("brokerId", &broker_id.to_string()));
        let remark = session.told(broker_addr, request_code::REMOVE_REPLICA, request).await?;
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
        let request = accepting(self.accept_loss, RemotingCommand::request(request_code::BEGIN_HISTORY, &()));
        let remark = session.told(&self.broker_addr, request_code::BEGIN_HISTORY, request).await?;
        Ok(format!("{} begins. Given up: {remark}\n", self.broker_addr))
    }
}

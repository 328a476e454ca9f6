//! Who is connected: `consumerConnection`, `producerConnection`.

use std::collections::BTreeMap;

use bytes::Bytes;
use clap::Args;
use protocol::body::{Connection, ConsumerConnection, JsonBody, ProducerConnection, SubscriptionData};
use protocol::header::{ConsumerGroupRequestHeader, GetProducerConnectionListRequestHeader};
use protocol::{request_code, topic};

use super::session::{AdminError, Missing, Session};

/// `consumerConnection`
#[derive(Debug, Args)]
pub struct ShowConsumers {
    /// The consumer group
    #[arg(short = 'g', long = "consumerGroup")]
    consumer_group: String,
    /// One broker only, host:port
    #[arg(short = 'b', long = "brokerAddr", value_name = "ADDRESS")]
    broker_addr: Option<String>,
}

/// What the brokers say of a group's members together. A member is connected to each of them.
#[derive(Default)]
struct Members {
    clients: BTreeMap<String, Connection>,
    subscriptions: BTreeMap<String, SubscriptionData>,
    group: Option<ConsumerConnection>,
}

impl ShowConsumers {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let addrs = match &self.broker_addr {
            Some(addr) => vec![addr.clone()],
            None => brokers_of(session, &topic::retry_topic(&self.consumer_group)).await?,
        };
        let (mut missing, mut members) = (Missing::default(), Members::default());
        let header = ConsumerGroupRequestHeader { consumer_group: self.consumer_group.clone() };
        for addr in addrs {
            let response = session.ask(&addr, request_code::GET_CONSUMER_CONNECTION_LIST, &header, Bytes::new()).await;
            let Some(response) = missing.note(&addr, response) else { continue };
            let answer = ConsumerConnection::decode(&response.body)?;
            members.clients.extend(answer.connection_set.iter().map(|one| (one.client_id.clone(), one.clone())));
            members.subscriptions.extend(answer.subscription_table.clone());
            members.group = Some(answer);
        }
        missing.end(members.shown())
    }
}

impl Members {
    fn shown(&self) -> String {
        let Some(group) = &self.group else { return String::new() };
        let mut out = clients_shown(self.clients.values());
        out.push_str(&format!("\nBelow is subscription:\n{:<40} {}\n", "#Topic", "#SubExpression"));
        for (topic, subscription) in &self.subscriptions {
            out.push_str(&format!("{topic:<40} {}\n", subscription.sub_string));
        }
        out.push_str(&format!(
            "\nConsumeType: {}\nMessageModel: {}\nConsumeFromWhere: {}\n",
            name(&group.consume_type),
            name(&group.message_model),
            name(&group.consume_from_where)
        ));
        out
    }
}

/// An enum's name on the wire.
fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// `producerConnection`
#[derive(Debug, Args)]
pub struct ShowProducers {
    /// The producer group
    #[arg(short = 'g', long = "producerGroup")]
    producer_group: String,
    /// A topic that it sends to
    #[arg(short = 't', long = "topic")]
    topic: String,
}

impl ShowProducers {
    pub(super) async fn run(&self, session: &Session) -> Result<String, AdminError> {
        let mut missing = Missing::default();
        let mut clients = BTreeMap::new();
        let header = GetProducerConnectionListRequestHeader { producer_group: self.producer_group.clone() };
        for addr in brokers_of(session, &self.topic).await? {
            let response = session.ask(&addr, request_code::GET_PRODUCER_CONNECTION_LIST, &header, Bytes::new()).await;
            let Some(response) = missing.note(&addr, response) else { continue };
            let answer = ProducerConnection::decode(&response.body)?;
            clients.extend(answer.connection_set.into_iter().map(|one| (one.client_id.clone(), one)));
        }
        let out = if clients.is_empty() { String::new() } else { clients_shown(clients.values()) };
        missing.end(out)
    }
}

fn clients_shown<'a>(clients: impl Iterator<Item = &'a Connection>) -> String {
    let mut out = format!("{:<40} {:<22} {:<10} {}\n", "#ClientId", "#ClientAddr", "#Language", "#Version");
    for client in clients {
        let Connection { client_id, client_addr, language, version } = client;
        out.push_str(&format!("{client_id:<40} {client_addr:<22} {:<10} {version}\n", name(language)));
    }
    out
}

/// The masters of a topic, or another replica where there is none.
async fn brokers_of(session: &Session, topic: &str) -> Result<Vec<String>, AdminError> {
    let brokers = session.route(topic).await?.broker_datas;
    Ok(brokers.iter().filter_map(|broker| broker.master_or_any_addr().map(str::to_owned)).collect())
}

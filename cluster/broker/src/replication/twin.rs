//! Two brokers of one name and id. Both would register, the name servers would send clients now to one and now to the
//! other, and their logs would part for good. So a broker that starts looks whether it is there already.
//!
//! Left out: two that start at the same moment do not see one another. Name servers take the first one for the master
//! ([`group::witness`]); the other one learns that, closes its store, and looks here again.

use std::time::Duration;

use group::Testimony;
use protocol::{RemotingCommand, request_code, response_code};
use remoting::RemotingClient;

use super::master::Views;
use crate::config::BrokerConfig;

/// How long the broker that may be a twin has for an answer.
const TWIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The address of a live broker with this broker's name and id, if the name servers know one: by its registration, which of two
/// the last one has overwritten, or as the master that led last.
pub(crate) async fn find(client: &RemotingClient, config: &BrokerConfig, views: &Views) -> Option<String> {
    let own = config.advertised_host().with_port(config.listen_port);
    let registered = views
        .clusters
        .iter()
        .filter_map(|view| view.broker_addr_table.get(&config.broker_name)?.broker_addrs.get(&config.broker_id));
    let led = views.testimonies.iter().filter_map(|(_, testimony)| match testimony {
        Testimony::Knows(record) if config.broker_id.is_master() => Some(&record.membership.leader),
        _ => None,
    });
    let mut addrs: Vec<&String> = registered.chain(led).filter(|addr| !addr.is_empty() && **addr != own).collect();
    addrs.sort();
    addrs.dedup();
    for addr in addrs {
        if is_twin(client, config, addr).await {
            return Some(addr.clone());
        }
        tracing::warn!(
            addr,
            "name servers know a broker of this name and id at another address, which does not answer as that"
        );
    }
    None
}

/// Whether the broker at this address says that it has our name and id.
async fn is_twin(client: &RemotingClient, config: &BrokerConfig, addr: &str) -> bool {
    let request = RemotingCommand::request(request_code::GET_BROKER_CONFIG, &());
    let answer = sim::time::timeout(TWIN_TIMEOUT, client.invoke(addr, request, TWIN_TIMEOUT)).await;
    let Some(response) = answer.ok().and_then(Result::ok).filter(|response| response.code == response_code::SUCCESS)
    else {
        return false;
    };
    let text = String::from_utf8_lossy(&response.body).into_owned();
    let says = |key: &str, value: &str| {
        text.lines().any(|line| line.split_once('=').is_some_and(|(k, v)| k.trim() == key && v.trim() == value))
    };
    says("brokerName", &config.broker_name) && says("brokerId", &config.broker_id.to_string())
}

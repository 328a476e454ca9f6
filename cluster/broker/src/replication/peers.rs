//! What a broker asks other brokers and the name servers.

use std::time::Duration;

use futures_util::future::join_all;
use protocol::body::{BodyError, ClusterInfo, JsonBody};
use protocol::{RemotingCommand, request_code, response_code};
use remoting::RemotingError;

use crate::core::Core;

/// How long another broker has for an answer.
pub(crate) const PEER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a starting broker waits for name servers: those that are down must not keep it from its work.
const VIEW_TIMEOUT: Duration = Duration::from_secs(1);

/// Why another broker's table was not had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error(transparent)]
    Remoting(#[from] RemotingError),
    #[error("it answers with code {code}: {remark}")]
    Refused { code: i32, remark: String },
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Asks the broker at `addr` something that has no header.
pub(crate) async fn ask(core: &Core, addr: &str, code: i32) -> Result<RemotingCommand, PeerError> {
    let response = core.links.client.invoke(addr, RemotingCommand::request(code, &()), PEER_TIMEOUT).await?;
    if response.code != response_code::SUCCESS {
        return Err(PeerError::Refused { code: response.code, remark: response.remark.unwrap_or_default() });
    }
    Ok(response)
}

/// Asks the broker at `addr` for one of its tables.
pub(crate) async fn ask_table<T: JsonBody>(core: &Core, addr: &str, code: i32) -> Result<T, PeerError> {
    Ok(T::decode(&ask(core, addr, code).await?.body)?)
}

/// What the name servers that answer in time say of the brokers there are.
pub(crate) async fn cluster_views(client: &remoting::RemotingClient) -> Vec<ClusterInfo> {
    let asked = client.name_servers().into_iter().map(|addr| async move {
        let request = RemotingCommand::request(request_code::GET_BROKER_CLUSTER_INFO, &());
        let answer = sim::time::timeout(VIEW_TIMEOUT, client.invoke(&addr, request, VIEW_TIMEOUT)).await;
        let response = answer.ok().and_then(Result::ok).filter(|response| response.code == response_code::SUCCESS);
        let view = response.and_then(|response| ClusterInfo::decode(&response.body).ok());
        if view.is_none() {
            tracing::debug!(name_server = addr, "a name server did not say which brokers there are");
        }
        view
    });
    join_all(asked).await.into_iter().flatten().collect()
}

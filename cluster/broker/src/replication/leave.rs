//! The good-bye of a slave that stops in good order: it tells its master how far its log goes, and the master, once it has all of
//! that on its drive, writes down that it need not wait for this slave. The name servers are told too.

use std::time::Duration;

use group::{GroupId, Position};
use protocol::{BrokerId, RemotingCommand, request_code, response_code};
use serde::{Deserialize, Serialize};
use sim::time::timeout;
use store::StoreError;

use super::witness;
use crate::core::{Core, lock};

/// How long a good-bye may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a slave says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GoodBye {
    broker_id: BrokerId,
    group: Option<GroupId>,
    position: Option<Position>,
}

/// A slave says good-bye. Whoever does not hear it waits for the slave when it has to.
pub(crate) async fn say(core: &Core) {
    if core.group.refused().is_some() {
        return;
    }
    if let Err(error) = core.store.flush().await {
        tracing::warn!(%error, "the log was not flushed: the slave stops without a good-bye");
        return;
    }
    let membership = core.group.membership();
    let broker_id = core.config().broker_id;
    let position = Position::of(&core.store.history());
    let master = lock(&core.master_addr).clone();
    let to_master = async {
        let (Some(master), Some(_)) = (master, membership.member(broker_id)) else { return };
        let good_bye = GoodBye { broker_id, group: membership.group.clone(), position };
        let Ok(body) = serde_json::to_vec(&good_bye) else { return };
        let request = RemotingCommand::request(request_code::LEAVE_REPLICA_GROUP, &()).with_body(body);
        match core.links.client.invoke(&master, request, TIMEOUT).await {
            Ok(response) if response.code == response_code::SUCCESS => {}
            Ok(response) => tracing::info!(master, remark = response.remark, "the master did not take the good-bye"),
            Err(error) => tracing::info!(master, %error, "the master did not hear the good-bye"),
        }
    };
    let word = witness::stand(core, true);
    // Either way the slave stops.
    let _ = timeout(TIMEOUT, async { tokio::join!(to_master, witness::tell(core, &word)) }).await;
}

/// A master hears a good-bye; returns whether it has all that the slave has.
pub(crate) async fn hear(core: &Core, good_bye: GoodBye) -> Result<bool, StoreError> {
    let GoodBye { broker_id, group, position } = good_bye;
    let is_ours = group.is_none() || group == core.group.membership().group;
    let has_all = position.is_none_or(|position| position.is_within(&core.store.history()));
    if !is_ours || !has_all || !*core.serving.borrow() {
        return Ok(false);
    }
    core.store.flush().await?;
    let is_member = core.group.change(|kept| kept.membership.stop(broker_id, position)).await?;
    if is_member {
        tracing::info!(%broker_id, "replica group: a member has stopped in good order");
    }
    Ok(is_member)
}
